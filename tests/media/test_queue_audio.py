"""Music with prompts over it, heard at the other side of a real bridge, sample by sample."""

import numpy as np
import pytest

from engine.callflow.errors import MediaError
from engine.callflow.media_news import LegPlayed
from engine.media import ports
from tests.media.conftest import AGENT_HZ, FRAME, MUSIC_HZ, PROMPT_HZ, RATE, tone, tones_in

RAMP = int(RATE * 0.3)  # music fades in over 300 ms
LEG = 5


def frames(samples):
    return [samples[i : i + FRAME] for i in range(0, len(samples) - FRAME + 1, FRAME)]


def test_music_loops_without_a_seam(floor, media, ear):
    media.attach(LEG, ear.slot, 0)
    media.start_music(LEG, "tone")
    floor.run(2.6)
    media.detach(LEG)
    heard = ear.heard()
    steady = heard[RAMP + FRAME : RAMP + FRAME + 2 * RATE]
    assert len(steady) == 2 * RATE  # across two seams
    assert np.array_equal(steady[:RATE], steady[RATE:])
    # A sine of amplitude 6000 at 400 Hz moves at most so far from one sample to the next.
    assert np.max(np.abs(np.diff(steady.astype(int)))) <= 6000 * 2 * np.pi * MUSIC_HZ / RATE + 2


def test_stop_music_is_exact(floor, media, ear):
    media.attach(LEG, ear.slot, 0)
    media.start_music(LEG, "tone")
    floor.run(0.6)
    media.stop_music(LEG)
    floor.run(0.3)
    assert len(ear.heard()) <= 0.62 * RATE + FRAME  # PJMEDIA's recorder writes nothing for frames of nothing


def test_bridge_cuts_music_and_prompt_before_the_first_frame_of_talk(floor, media, ear, voice):
    agent = 6
    media.attach(LEG, ear.slot, 0)
    media.start_music(LEG, "tone")
    media.play(LEG, ["long"], 1, "zh")
    media.attach(agent, voice(AGENT_HZ), 1)
    floor.run(0.8)
    media.bridge(LEG, agent)
    floor.run(0.5)
    assert media.poll() == []  # a play that was cut does not finish
    media.detach(LEG)
    media.detach(agent)
    heard = ear.heard()
    talk = [AGENT_HZ in tones_in(frame) for frame in frames(heard)]
    wait = [bool({MUSIC_HZ, PROMPT_HZ} & tones_in(frame)) for frame in frames(heard)]
    assert sum(talk) > 20 and sum(wait) > 30
    assert not any(t and w for t, w in zip(talk, wait, strict=True)), "music under the agent's voice"
    assert talk == sorted(talk) and wait == sorted(wait, reverse=True)


def test_control_music_under_talk_would_be_heard(floor, media, ear, voice):
    """The measurement of the test before sees what it is there to see."""
    media.attach(LEG, ear.slot, 0)
    media.start_music(LEG, "tone")
    media.attach(6, voice(AGENT_HZ), 1)
    floor.run(0.5)
    media._mixer.join(6, LEG)  # a bridge that forgets the music
    floor.run(0.3)
    media.detach(LEG)
    media.detach(6)
    assert any(tones_in(frame) == {AGENT_HZ, MUSIC_HZ} for frame in frames(ear.heard()))


def test_prompt_over_ducked_music_and_one_news_of_its_end(floor, media, ear):
    media.attach(LEG, ear.slot, 0)
    media.start_music(LEG, "tone")
    floor.run(0.6)
    media.play(LEG, ["short", "short"], 42, "zh")
    events = floor.news(media)
    assert events == [LegPlayed(LEG, 42)]
    floor.run(0.6)
    assert media.poll() == []
    media.detach(LEG)
    heard = ear.heard()
    spoken = [i for i, frame in enumerate(frames(heard)) if PROMPT_HZ in tones_in(frame, at_least=2000)]
    assert 30 <= len(spoken) <= 31 and spoken[-1] - spoken[0] == len(spoken) - 1  # 0.6 s, in one piece
    # The music is 18 dB down: 750.
    middle = heard[(spoken[0] + 10) * FRAME : (spoken[0] + 20) * FRAME]
    assert MUSIC_HZ in tones_in(middle, at_least=500) and MUSIC_HZ not in tones_in(middle, at_least=1200)
    after = heard[(spoken[-1] + 20) * FRAME : (spoken[-1] + 28) * FRAME]
    assert MUSIC_HZ in tones_in(after, at_least=5500) and PROMPT_HZ not in tones_in(after, at_least=50)


def test_every_sample_of_a_prompt_is_played(floor, media, ear, sounds):
    media.attach(LEG, ear.slot, 0)
    media.play(LEG, ["short", "long"], 1, "zh")
    assert floor.until(lambda: media.poll() == [LegPlayed(LEG, 1)])
    floor.run(0.05)
    media.detach(LEG)
    heard = ear.heard()
    expected = np.concatenate([sounds.prompts["zh", "short"], sounds.prompts["zh", "long"]])
    start = int(np.flatnonzero(heard)[0]) - 1  # a sine begins with 0
    assert np.max(np.abs(heard[start : start + len(expected)].astype(int) - expected)) <= 1
    assert not np.any(heard[start + len(expected) :])


def test_stopped_play_tells_nothing_and_the_next_is_heard(floor, media, ear):
    media.attach(LEG, ear.slot, 0)
    media.play(LEG, ["long", "long"], 1, "zh")
    floor.run(0.2)
    media.stop_play(LEG)
    media.play(LEG, ["short"], 2, "zh")
    events = floor.news(media)
    floor.run(0.1)
    assert events + media.poll() == [LegPlayed(LEG, 2)]
    media.detach(LEG)
    assert len(ear.heard()) < 0.7 * RATE


def test_stop_after_the_end_but_before_the_news_is_told(floor, media, ear):
    media.attach(LEG, ear.slot, 0)
    media.play(LEG, ["short"], 1, "zh")
    floor.run(0.5)
    media.stop_play(LEG)
    assert media.poll() == []


def test_what_is_asked_before_the_stream_stands_is_heard_whole(floor, media, ear):
    media.play(LEG, ["short"], 1, "zh")
    floor.run(0.5)
    assert media.poll() == []
    media.attach(LEG, ear.slot, 0)
    assert floor.until(lambda: media.poll() == [LegPlayed(LEG, 1)])
    media.detach(LEG)
    assert 0.28 * RATE < len(ear.heard()) < 0.36 * RATE


def test_moved_slot_keeps_its_music(floor, media, ears):
    ear, second = ears
    media.attach(LEG, ear.slot, 0)
    media.start_music(LEG, "tone")
    floor.run(0.3)
    media.attach(LEG, second.slot, 0)
    floor.run(0.3)
    media.detach(LEG)
    assert 0.26 * RATE < len(ear.heard()) < 0.36 * RATE and 0.26 * RATE < len(second.heard()) < 0.36 * RATE


def test_unknown_names_and_too_many_prompts_are_errors(media):
    with pytest.raises(MediaError, match="no prompt nonsense in language zh"):
        media.play(LEG, ["short", "nonsense"], 1, "zh")
    with pytest.raises(MediaError, match="no music nonsense"):
        media.start_music(LEG, "nonsense")
    with pytest.raises(MediaError, match="257 prompts at once"):
        media.play(LEG, ["short"] * 257, 1, "zh")
    media.detach(LEG)


def test_many_plays_end_each_once(floor, ear):
    """More ends in one frame than the news ring holds: none is lost, none is told twice."""
    tick = ports.Sound(tone(PROMPT_HZ, 0.02))
    audios = [ports.QueueAudio(leg) for leg in range(30)]
    expected = set()
    for leg, audio in enumerate(audios):
        for n in range(60):
            audio.play([tick], leg * 100 + n)
            expected.add((leg, leg * 100 + n))
        ports.connect(audio.slot, ear.slot)
    floor.run(60 * 0.02 + 0.3)
    told: list[tuple[int, int]] = []
    for _ in range(20):
        told.extend(ports.take_news())
        floor.run(0.05)
    assert len(told) == len(expected) > 1024 and set(told) == expected
    for audio in audios:
        audio.close()


def test_a_thousand_ports_leave_nothing_behind(floor, media):
    """Slots, pools and their bytes are as before."""

    def use(n):
        for leg in range(n):
            media.start_music(leg, "tone")
            media.play(leg, ["short"], leg, "zh")
            if leg % 20 == 19:
                for gone in range(leg - 19, leg + 1):
                    media.detach(gone)
                floor.until(lambda: ports.n_slots() == 0, 1.0)

    use(100)
    before = ports.pool_use(), ports.n_slots()
    use(1000)
    assert (ports.pool_use(), ports.n_slots()) == before and ports.n_slots() == 0
