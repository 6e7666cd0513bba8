"""Both rooms, joined as the conductor joins them, and baresip phones: what people hear, and what is on disk."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.demo.phones import Baresip
from engine.callflow import events as e
from engine.callflow import media_news
from engine.media.media import Media
from engine.media.sounds import Sounds
from tests.live.ear import Sound
from tests.media.conftest import RATE, tone
from tests.sip.conftest import free_port
from tests.sip.peers import CALLER, HOST, PORT, Ear

PROMPT, CALLER_HZ, AGENT_HZ = 1600, 425, 650  # tones that tests/live/ear.py knows
EDGE_S = 0.05


class Rooms(Ear):
    media: Any = None

    def start(self, *how: Any, **changes: Any) -> None:
        super().start(*how, **changes)
        loud = {("zh", "prompt"): tone(PROMPT, 0.8, amplitude=8000), ("zh", "short"): tone(PROMPT, 0.4, amplitude=8000)}
        self.media = Media(Sounds(RATE, loud, {}))

    def post(self, call: str, event: object) -> None:
        if isinstance(event, e.LegMedia):
            self.media.attach(event.leg, event.slot, event.stream)
        elif isinstance(event, e.LegEnded):
            self.media.detach(event.leg)
        super().post(call, event)

    def until(self, held: Callable[[], object], within_s: float = 8.0) -> None:
        def turn() -> object:
            self.heard.extend(("media", event) for event in self.media.poll())
            return held()

        super().until(turn, within_s)


@pytest.fixture(scope="module")
def running() -> Iterator[Rooms]:
    rooms = Rooms()
    rooms.start()
    yield rooms
    rooms.media.close()
    rooms.endpoint.close()


@pytest.fixture
def rooms(running: Rooms) -> Iterator[Rooms]:
    running.heard.clear()
    yield running
    running.until(lambda: running.endpoint.n_legs() == running.endpoint.n_closing() == 0)
    running.until(lambda: running.media.n_slots() == 0)


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Callable[..., Baresip]]:
    phones: list[Baresip] = []

    def start(user: str, says: int) -> Baresip:
        phones.append(Baresip(tmp_path, user, free_port(), says=says, rtp_ports="17900-17998"))
        return phones[-1]

    yield start
    for each in phones:
        each.close()


def sound_at(rooms: Rooms, phone: Baresip) -> Sound:
    rooms.until(phone.heard)
    return Sound.read(phone.heard()[0])


def dial(phone: Baresip) -> None:
    phone.dial(f"sip:100@{HOST}:{PORT}")


def uri(phone: Baresip) -> str:
    return f"sip:{phone.user}@{HOST}:{phone.port}"


def test_a_refused_caller_hears_why_and_is_not_answered(rooms, phone):
    caller = phone("13800000001", CALLER_HZ)
    dial(caller)
    leg = rooms.next(e.CallArrived).leg
    rooms.endpoint.progress(leg)
    rooms.next(e.CallerHears)
    rooms.media.play(leg, ["prompt"], 1, "zh")
    rooms.next(media_news.LegPlayed)
    rooms.silence(0.1)
    rooms.endpoint.reject(leg, 480)
    rooms.until(lambda: caller.count("CALL_CLOSED"))
    begin, end = sound_at(rooms, caller).span(PROMPT)
    assert end - begin == pytest.approx(0.8, abs=2 * EDGE_S)
    assert caller.count("CALL_ESTABLISHED") == 0 and caller.count("CALL_PROGRESS") == 1


def test_a_customer_called_back_is_recorded_and_heard(rooms, phone, tmp_path):
    customer = phone("13800000002", CALLER_HZ)
    leg = rooms.endpoint.dial_customer("c", uri(customer), CALLER, {})
    rooms.next(e.CustomerAnswered)
    rooms.media.record(leg, str(tmp_path / "call.wav"))
    rooms.media.play(leg, ["prompt"], 1, "zh")
    rooms.next(media_news.LegPlayed)
    customer.press("5#")
    rooms.next(e.CallerDigit, 2)
    customer.hang_up()
    rooms.next(e.CallerGone)
    closed = rooms.next(media_news.RecordingClosed)
    assert [event.digit for event in rooms.all(e.CallerDigit)] == ["5", "#"]
    assert Sound.read(Path(closed.path), 0).tones() == {CALLER_HZ}
    assert Sound.read(Path(closed.path), 1).tones() == {PROMPT}
    assert sound_at(rooms, customer).tones() == {PROMPT}


def test_a_message_left_and_played_back(rooms, phone, tmp_path):
    caller, path = phone("13800000003", CALLER_HZ), tmp_path / "box" / "message.wav"
    dial(caller)
    leg = rooms.next(e.CallArrived).leg
    rooms.endpoint.answer(leg)
    rooms.next(e.CallerAnswered)
    rooms.media.play(leg, ["short"], 1, "zh")
    rooms.next(media_news.LegPlayed)
    rooms.media.record_message(leg, str(path))
    rooms.silence(1.0)
    rooms.media.stop_message(leg)
    message = rooms.next(media_news.MessageClosed)
    assert message.seconds == pytest.approx(1.0, abs=0.15) and message.speech_s > 0.8
    rooms.media.play(leg, ["short", Path(message.path)], 2, "zh")
    rooms.next(media_news.LegPlayed, 2)
    rooms.silence(0.2)
    rooms.endpoint.hang_up(leg)
    rooms.until(lambda: caller.count("CALL_CLOSED"))
    heard = sound_at(rooms, caller)
    begin, end = heard.span(CALLER_HZ)  # the caller's own words
    assert end - begin == pytest.approx(message.seconds, abs=3 * EDGE_S)
    assert heard.span(PROMPT)[1] < begin + EDGE_S


def test_whisper_to_the_agent_greeting_to_the_caller_then_the_talk(rooms, phone):
    caller, agent = phone("13800000004", CALLER_HZ), phone("1001", AGENT_HZ)
    dial(caller)
    leg = rooms.next(e.CallArrived).leg
    rooms.endpoint.answer(leg)
    rooms.next(e.CallerAnswered)
    called = rooms.endpoint.dial("c", 1, uri(agent), CALLER, {"X-Agner-Queue": "珠宝"}, "VIP 珠宝 13800000004 王女士")
    rooms.next(e.CalledAnswered)
    rooms.media.play(called, ["short"], 1, "zh")
    rooms.media.play(leg, ["prompt"], 2, "zh")
    rooms.next(media_news.LegPlayed, 2)
    rooms.media.bridge(leg, called)
    rooms.silence(1.0)
    rooms.endpoint.hang_up(leg)
    rooms.endpoint.hang_up(called)
    rooms.until(lambda: caller.count("CALL_CLOSED") and agent.count("CALL_CLOSED"))
    for end_of, other, prompt_s in ((caller, AGENT_HZ, 0.8), (agent, CALLER_HZ, 0.4)):
        heard = sound_at(rooms, end_of)
        assert heard.tones() == {PROMPT, other}
        begin, end = heard.span(PROMPT)
        assert end - begin == pytest.approx(prompt_s, abs=2 * EDGE_S)
        assert end < heard.span(other)[0] + EDGE_S
    assert any("王女士" in str(event.get("peerdisplayname", "")) for event in agent.events), "on the agent's display"
