"""Keys in audio (DTMF in band): each is heard once, speech and music are none, and no key is heard twice in a call."""

import io
import itertools
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from engine.callflow import events as e
from engine.callflow import media_news
from engine.media import ports
from tests.media.test_phones import rooms, running  # noqa: F401
from tests.sip.conftest import sipp  # noqa: F401
from tests.sip.peers import Rtp, got, info, invite, pause, request, sdp

ROWS, COLUMNS, KEYS = (697, 770, 852, 941), (1209, 1336, 1477, 1633), "123A456B789C*0#D"
ALL = "159D*0#A2648B73C"


def pressed(
    keys: str, rate: int = 8000, on_s: float = 0.08, off_s: float = 0.08, twist_db: float = 0.0, drift: float = 1.0,
    level: float = 4000.0, noise: float = 0.0,
) -> np.ndarray:  # fmt: skip
    """What a telephone sends: both tones of a key, then a pause. `twist_db`: by how much the high tone is louder."""
    t = np.arange(int(on_s * rate)) / rate
    parts = []
    for key in keys:
        row, column = divmod(KEYS.index(key), 4)
        low, high = (np.sin(2 * np.pi * hz * drift * t) for hz in (ROWS[row], COLUMNS[column]))
        parts += [level * (low + 10 ** (twist_db / 20) * high), np.zeros(int(off_s * rate))]
    samples = np.concatenate(parts)
    samples += np.random.default_rng(1).normal(0, noise, len(samples)) if noise else 0
    return samples.clip(-32768, 32767).astype(np.int16)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"on_s": 0.041, "off_s": 0.04},
        {"on_s": 1.0, "off_s": 0.1},
        {"twist_db": 5.0},
        {"twist_db": -5.0},
        {"drift": 1.012},
        {"drift": 0.988},
        {"level": 500.0},
        {"level": 14000.0},
        {"noise": 300.0},
    ],
    ids=str,
)
def test_each_key_is_heard_once(rate, how):
    assert ports.keys_in(pressed(ALL + "1122", rate, **how), rate) == ALL + "1122"


@pytest.mark.parametrize("how", [{"on_s": 0.015}, {"level": 150.0}, {"twist_db": 12.0}, {"drift": 1.05}], ids=str)
def test_what_is_no_key(how):
    assert ports.keys_in(pressed(ALL, **how), 8000) == ""


def test_single_tones_and_noise_are_no_keys():
    t = np.arange(8000) / 8000
    for hz in (*ROWS, *COLUMNS, 350, 440, 480, 620):
        assert ports.keys_in((9000 * np.sin(2 * np.pi * hz * t)).astype(np.int16), 8000) == ""
    assert ports.keys_in(np.random.default_rng(1).normal(0, 6000, 800_000).astype(np.int16), 8000) == ""


def test_speech_is_no_key():
    """All prompts that are shipped, in both languages."""
    seconds = 0.0
    for path in sorted((Path(__file__).resolve().parents[2] / "prompts").rglob("*.wav")):
        samples, rate = soundfile.read(path, always_2d=True)
        mono = soxr.resample(samples.mean(axis=1), rate, 8000)
        seconds += len(mono) / 8000
        for gain in (1.0, 0.3):
            assert ports.keys_in((mono * gain * 32767).clip(-32768, 32767).astype(np.int16), 8000) == "", path
    assert seconds > 60


class Mouth(Rtp):
    """Sends audio as a phone does: 20 ms of A-law at a time."""

    def say(self, samples: np.ndarray, rooms) -> None:  # noqa: F811
        written = io.BytesIO()
        soundfile.write(written, samples, 8000, format="RAW", subtype="ALAW")
        started = time.monotonic()
        for n in itertools.count():
            payload = written.getvalue()[n * 160 : n * 160 + 160]
            if len(payload) < 160:
                return
            head = b"\x80\x08" + (1000 + n).to_bytes(2) + (n * 160).to_bytes(4) + b"\0\0\0\x07"
            self._socket.sendto(head + payload, self.engine)
            while time.monotonic() < started + (n + 1) * 0.02:
                rooms.silence(0.002)


def talk(rooms, sipp, codecs: str, *steps: str) -> str:  # noqa: F811
    """Keys that the switch takes from a caller who sends 2, 5, 5 as tones; `steps` go on beside."""
    rooms.on_post = lambda call, event: rooms.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None
    mouth = Mouth()
    try:
        last = len(steps) + 3
        sipp(
            invite(sdp(codecs, port=str(mouth.port))), got(100, True), got(200), request("ACK"), *steps,
            pause(1600), request("BYE", last), got(200),
        )  # fmt: skip
        rooms.next(e.CallerAnswered)
        rooms.until(mouth.has_come)
        mouth.say(pressed("255", on_s=0.12, off_s=0.12), rooms)
        rooms.until(lambda: rooms.all(e.LegEnded))
    finally:
        mouth.close()
        rooms.on_post = lambda call, event: None
    for key in rooms.all(media_news.LegKey):
        assert key.leg == rooms.next(e.CallArrived).leg
    return "".join(event.digit for event in rooms.all(e.CallerDigit))


@pytest.fixture
def joined(rooms, monkeypatch):  # noqa: F811
    """As the conductor does with a key that the media room heard."""
    poll = rooms.media.poll

    def take():
        news = poll()
        for event in news:
            if isinstance(event, media_news.LegKey):
                rooms.endpoint.take_key(event.leg, event.key)
        return news

    monkeypatch.setattr(rooms.media, "poll", take)
    return rooms


def test_a_caller_without_telephone_event(joined, sipp):  # noqa: F811
    assert talk(joined, sipp, "8") == "255"


def test_a_caller_with_telephone_event_is_not_listened_to(joined, sipp):  # noqa: F811
    assert talk(joined, sipp, "8 101") == ""


def test_tones_and_info_together_are_one_key(joined, sipp):  # noqa: F811
    steps = (pause(300), info("2", 2), got(200), info("5", 3), got(200), info("5", 4), got(200), info("9", 5), got(200))
    assert sorted(talk(joined, sipp, "8", *steps)) == ["2", "5", "5", "9"]
