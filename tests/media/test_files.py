"""Sound files played to a leg: read beside the engine, in their place among the prompts."""

import sys
import time
from pathlib import Path

import pytest
import soundfile

from engine.callflow.media_news import LegPlayed
from engine.media import ports
from engine.media.sounds import read_sound
from tests.live.ear import EDGE_S, Sound
from tests.media.conftest import AGENT_HZ, CALLER_HZ, PROMPT_HZ, RATE, tone, tones_in

LISTENER, OTHER = 1, 2


@pytest.fixture
def message(tmp_path) -> Path:
    path = tmp_path / "message.wav"
    soundfile.write(path, tone(AGENT_HZ, 0.6, rate=16000), 16000)
    return path


@pytest.fixture
def slow_disk(monkeypatch):
    def read(path, rate):
        time.sleep(0.5)
        return read_sound(path, rate)

    monkeypatch.setattr("engine.media.files.read_sound", read)


def spans(samples, hz):
    """Seconds from the beginning to the end of this tone, right to some 2 ms."""
    found = Sound(samples / 32768, RATE)
    assert found.amplitudes(hz).max() > 0.1, f"no {hz} Hz"
    return found.edges(hz)


def test_prompts_and_files_come_in_their_order(floor, media, ear, message, slow_disk):
    media.attach(LISTENER, ear.slot, -1)
    media.play(LISTENER, ["short", message, "short"], 1, "zh")
    media.play(LISTENER, ["short"], 2, "zh")  # ready at once, and waits for its turn
    assert floor.news(media) == [LegPlayed(LISTENER, 1)]
    assert floor.news(media) == [LegPlayed(LISTENER, 2)]
    heard = ear.heard()
    first, last = spans(heard, PROMPT_HZ)
    begin, end = spans(heard, AGENT_HZ)
    assert first == pytest.approx(begin - 0.3, abs=0.05) and end - begin == pytest.approx(0.6, abs=0.05)
    assert last - end == pytest.approx(0.6, abs=0.05)
    assert media.poll() == []


def test_the_engine_waits_for_no_disk(floor, media, ear, message, slow_disk):
    media.attach(LISTENER, ear.slot, -1)
    began = time.monotonic()
    media.play(LISTENER, [message], 1, "zh")
    slowest = time.monotonic() - began
    while not (events := media.poll()):
        began = time.monotonic()
        media.poll()
        slowest = max(slowest, time.monotonic() - began)
        floor.run(0.01)
    assert events == [LegPlayed(LISTENER, 1)] and slowest < 0.1


def test_a_file_that_cannot_be_played_is_left_out(floor, media, ear, message, tmp_path, caplog):
    (tmp_path / "broken.wav").write_text("no sound")
    media.attach(LISTENER, ear.slot, -1)
    media.play(LISTENER, [tmp_path / "missing.wav"], 1, "zh")
    assert floor.news(media) == [LegPlayed(LISTENER, 1)]
    media.play(LISTENER, [tmp_path / "broken.wav", message], 2, "zh")
    assert floor.news(media) == [LegPlayed(LISTENER, 2)]
    assert tones_in(ear.heard()[-4000:]) == {AGENT_HZ}
    told = [record.message for record in caplog.records]
    assert len(told) == 2 and "missing.wav: there is no such file" in told[0] and "broken.wav" in told[1]


def test_stopped_while_it_is_read(floor, media, ear, message, slow_disk):
    media.attach(LISTENER, ear.slot, -1)
    media.play(LISTENER, [message], 1, "zh")
    media.play(LISTENER, [Path("missing")], 2, "zh")
    floor.run(0.1)
    media.stop_play(LISTENER)
    media.play(LISTENER, ["short"], 3, "zh")
    assert floor.news(media) == [LegPlayed(LISTENER, 3)]
    floor.run(1.2)
    assert media.poll() == [] and tones_in(ear.heard()) == {PROMPT_HZ}


def test_bridged_while_it_is_read(floor, media, ear, message, slow_disk, voice):
    media.attach(LISTENER, ear.slot, -1)
    media.attach(OTHER, voice(CALLER_HZ), -1)
    media.play(LISTENER, [message], 1, "zh")
    media.bridge(LISTENER, OTHER)
    floor.run(1.3)
    assert media.poll() == [] and tones_in(ear.heard()[1600:]) == {CALLER_HZ}


def test_gone_while_it_is_read(floor, media, ear, message, slow_disk):
    media.attach(LISTENER, ear.slot, -1)
    media.play(LISTENER, [message], 1, "zh")
    media.detach(LISTENER)
    floor.run(0.7)
    assert media.poll() == [] and media.n_links() == 0


def test_files_are_let_go(floor, media, ears, message):
    """After the last sample; after a cut, with the port."""
    media.poll()
    before = ports.n_held()
    media.attach(LISTENER, ears[0].slot, -1)
    for play in range(5):
        media.play(LISTENER, [message, message], play, "zh")
    assert floor.until(lambda: len(media.poll()) == 1 and ports.n_held() - before == 8, 4.0)
    media.attach(OTHER, ears[1].slot, -1)
    media.bridge(LISTENER, OTHER)
    assert floor.until(lambda: not media.poll() and ports.n_held() == before, 1.0)


def test_music_lives_as_long_as_the_port_that_plays_it(floor, ear):
    """After a reload nobody else holds the old music."""
    audio = ports.QueueAudio(-1)
    music = ports.Sound(tone(PROMPT_HZ, 1.0))
    before = sys.getrefcount(music)
    audio.set_music(music)
    audio.set_music(None)
    assert sys.getrefcount(music) == before + 1
    audio.close()
    assert floor.until(lambda: not ports.take_news() and sys.getrefcount(music) == before, 1.0)


def test_whisper_and_greeting_and_then_the_bridge(floor, media, ears, sounds, voice):
    """Agent and caller each hear their own, at the same time, whole; then each other."""
    caller, agent = LISTENER, OTHER
    caller_phone, caller_line = floor.call()
    agent_line, agent_phone = floor.call()  # we call the agent
    ports.connect(voice(CALLER_HZ), caller_phone.slot)
    ports.connect(voice(AGENT_HZ), agent_phone.slot)
    ports.connect(caller_phone.slot, ears[0].slot)
    ports.connect(agent_phone.slot, ears[1].slot)
    media.attach(caller, caller_line.slot, caller_line.getId())
    media.attach(agent, agent_line.slot, agent_line.getId())
    media.start_music(caller, "tone")
    floor.run(0.5)
    media.stop_music(caller)
    media.play(caller, ["short", "short"], 1, "zh")
    media.play(agent, ["short"], 2, "zh")
    assert floor.news(media) == [LegPlayed(agent, 2)] and floor.news(media) == [LegPlayed(caller, 1)]
    media.bridge(caller, agent)
    floor.run(0.8)
    floor.hang_up(caller_phone, caller_line)
    floor.hang_up(agent_line, agent_phone)
    at_caller, at_agent = ears[0].heard(), ears[1].heard()
    media.detach(caller)
    media.detach(agent)
    for heard, prompt_s, other in ((at_caller, 0.6, AGENT_HZ), (at_agent, 0.3, CALLER_HZ)):
        begin, end = spans(heard, PROMPT_HZ)
        assert end - begin == pytest.approx(prompt_s, abs=0.05)
        assert spans(heard, other)[0] > end - EDGE_S
    assert spans(at_agent, CALLER_HZ)[0] - spans(at_caller, AGENT_HZ)[0] == pytest.approx(0, abs=0.06)
