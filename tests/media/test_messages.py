"""Voicemail: only what the caller says, beside the call's own recording, and how much of it is speech."""

import numpy as np
import pytest
import soundfile

from engine.callflow.media_news import MessageClosed, RecordingClosed
from engine.media import ports, rings
from engine.media.recorder import MessageFile
from tests.media.conftest import CALLER_HZ, MUSIC_HZ, PROMPT_HZ, RATE, tone, tones_in
from tests.media.test_recording import CALLER, Customer, Talk


def message_of(floor, media) -> MessageClosed:
    events = floor.news(media)
    assert [type(event) for event in events] == [MessageClosed]
    return events[0]


@pytest.mark.parametrize("party", [Talk, Customer])
def test_a_message_is_what_the_caller_says_and_no_more(floor, media, voice, tmp_path, party):
    talk = party(floor, media, voice)
    media.record(CALLER, str(tmp_path / "call.wav"))
    media.start_music(CALLER, "tone")
    floor.run(0.5)
    media.record_message(CALLER, str(tmp_path / "box" / "message.wav"))
    floor.run(1.0)
    media.stop_message(CALLER)
    media.stop_message(CALLER)
    message = message_of(floor, media)
    assert (message.leg, message.path) == (CALLER, str(tmp_path / "box" / "message.wav"))
    assert 0.9 < message.seconds < 1.15 and message.speech_s == pytest.approx(message.seconds, abs=0.06)
    samples, rate = soundfile.read(message.path, dtype="int16", always_2d=True)
    assert samples.shape[1] == 1 and len(samples) / rate == pytest.approx(message.seconds)
    assert tones_in(samples[1600:6400, 0], rate) == {CALLER_HZ}
    floor.run(0.4)
    talk.hang_up()
    (recording,) = floor.news(media)
    assert isinstance(recording, RecordingClosed) and recording.seconds > 1.8  # not cut by the message
    left, right = soundfile.read(recording.path, dtype="int16")[0].T
    assert tones_in(left[4800:12800]) == {CALLER_HZ} and tones_in(right[4800:12800]) == {MUSIC_HZ}


def test_hanging_up_ends_the_message(floor, media, voice, tmp_path):
    media.record_message(CALLER, str(tmp_path / "message.flac"))  # before the stream stands
    talk = Talk(floor, media, voice)
    floor.run(0.6)
    talk.hang_up()
    assert 0.5 < message_of(floor, media).seconds < 0.9
    assert soundfile.info(tmp_path / "message.flac").channels == 1


def test_a_message_in_which_nobody_speaks(floor, media, voice, tmp_path):
    talk = Talk(floor, media, voice)
    ports.disconnect(talk.mouth, talk.phone.slot)
    floor.run(0.3)
    media.record_message(CALLER, str(tmp_path / "message.wav"))
    media.start_music(CALLER, "tone")  # what the caller hears does not count
    floor.run(0.6)
    talk.hang_up()
    message = message_of(floor, media)
    assert message.seconds > 0.5 and message.speech_s == 0


def test_a_discarded_message_leaves_nothing_and_the_recording_goes_on(floor, media, voice, tmp_path):
    talk = Talk(floor, media, voice)
    media.record(CALLER, str(tmp_path / "call.wav"))
    media.record_message(CALLER, str(tmp_path / "message.wav"))
    floor.run(0.5)
    media.stop_message(CALLER, discard=True)
    floor.run(0.5)
    talk.hang_up()
    events = floor.news(media)
    assert [type(event) for event in events] == [RecordingClosed] and events[0].seconds > 0.9
    assert [path.name for path in tmp_path.glob("*.wav")] == ["call.wav"]


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_speech_is_what_is_louder_than_a_line(tmp_path, rate):
    file = MessageFile(1, tmp_path / "message.wav", RATE)
    hum = np.random.default_rng(1).normal(0, 100, 2 * rate).astype(np.int16)  # -50 dBFS
    speech = tone(PROMPT_HZ, 1.5, amplitude=32768 * 10 ** (-30 / 20), rate=rate)
    for part in (hum, speech, hum):
        for at in range(0, len(part), 333):
            file.add(rings.AUDIO, rate, np.stack([part[at : at + 333]] * 2, axis=1), now=0.0)
    closed = file.close(now=1.0)
    assert closed.seconds == pytest.approx(5.5, abs=0.01) and closed.speech_s == pytest.approx(1.5, abs=0.06)
