"""Calls to ourselves through the whole of PJSIP, recorded: which tones lie on which channel, and whether the channels
stay together."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pjsua2 as pj
import pytest
import soundfile

from engine.callflow.errors import MediaError
from engine.callflow.media_news import RecordingClosed
from engine.media import ports, recorder
from engine.sip.endpoint import RECORDABLE
from tests.media.conftest import AGENT_HZ, CALLER_HZ, MUSIC_HZ, PROMPT_HZ, RATE, option, stall, tones_in

CALLER, AGENT = 1, 2


class Talk:
    """A caller's phone and our leg of its call, the phone sending its tone."""

    def __init__(self, floor, media, voice, hz=CALLER_HZ, leg=CALLER):
        self.floor, self.media, self.leg = floor, media, leg
        self.phone, self.line = floor.call()
        self.mouth = voice(hz)
        ports.connect(self.mouth, self.phone.slot)
        media.attach(leg, self.line.slot, self.line.getId())

    def reinvite(self, hold: bool) -> None:
        n, n_phone = len(self.line.slots), len(self.phone.slots)
        wish = option()
        if hold:
            self.phone.setHold(wish)
        else:
            wish.opt.flag = pj.PJSUA_CALL_UNHOLD
            self.phone.reinvite(wish)
        assert self.floor.until(lambda: len(self.line.slots) > n)
        self.media.attach(self.leg, self.line.slot, self.line.getId())
        assert self.floor.until(lambda: len(self.phone.slots) > n_phone)
        ports.connect(self.mouth, self.phone.slot)

    def hang_up(self) -> None:
        self.floor.hang_up(self.phone, self.line)
        self.media.detach(self.leg)


class Customer(Talk):
    """A customer's phone and our leg to it: as Talk, but we called."""

    def __init__(self, floor, media, voice, hz=CALLER_HZ, leg=CALLER):
        self.floor, self.media, self.leg = floor, media, leg
        self.line, self.phone = floor.call(RECORDABLE)
        self.mouth = voice(hz)
        ports.connect(self.mouth, self.phone.slot)
        media.attach(leg, self.line.slot, self.line.getId())


def closed(floor, media) -> RecordingClosed:
    events = floor.news(media)
    assert [type(event) for event in events] == [RecordingClosed]
    return events[0]


def channels(path):
    samples, rate = soundfile.read(path, dtype="int16")
    assert samples.shape[1] == 2
    return samples[:, 0], samples[:, 1], rate


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_each_party_is_on_its_channel(floor, media, voice, tmp_path, suffix):
    talk = Talk(floor, media, voice)
    path = tmp_path / "new folder" / f"call.{suffix}"
    media.record(CALLER, str(path))
    media.start_music(CALLER, "tone")
    media.play(CALLER, ["short"], 1, "zh")
    floor.run(1.0)  # waiting: nobody listens to the caller, who is recorded all the same
    media.attach(AGENT, voice(AGENT_HZ), -1)
    media.bridge(CALLER, AGENT)
    floor.run(1.0)
    talk.hang_up()
    media.detach(AGENT)
    media.poll()
    end = closed(floor, media)
    assert (end.leg, end.path, end.n_overruns, end.lost_s) == (CALLER, str(path), 0, 0.0)
    left, right, rate = channels(path)
    assert rate == RATE and abs(len(left) / rate - end.seconds) < 1e-6 and 1.9 < end.seconds < 2.3
    assert tones_in(left[2000:7000]) == {CALLER_HZ} and tones_in(left[9000:15000]) == {CALLER_HZ}
    assert tones_in(right[800:2400]) == {PROMPT_HZ, MUSIC_HZ} or tones_in(right[800:2400]) == {PROMPT_HZ}
    assert tones_in(right[5000:7500]) == {MUSIC_HZ}
    assert tones_in(right[9000:15000]) == {AGENT_HZ}


def test_agent_leg_cannot_be_recorded(floor, media, voice, tmp_path):
    talk = Talk(floor, media, voice)
    media.attach(AGENT, talk.phone.slot, talk.phone.getId())
    with pytest.raises(MediaError, match="only callers' and customers'"):
        media.record(AGENT, str(tmp_path / "no.wav"))
    media.detach(AGENT)
    talk.hang_up()


def record_echo(floor, media, voice, path):
    """A call that hears itself, recorded from now on; the call, and when now is."""
    talk = Talk(floor, media, voice)
    media.record(CALLER, str(path))
    started = time.monotonic()
    media._mixer.join(CALLER, CALLER)
    return talk, started


def test_channels_stay_together_through_hold_and_reinvites(floor, media, voice, tmp_path):
    """The caller hears itself, so both channels carry the same audio: at any time they may differ by 20 ms at most."""
    path = tmp_path / "call.wav"
    talk, started = record_echo(floor, media, voice, path)
    floor.run(0.6)
    for hold in (True, False, False):
        talk.reinvite(hold)
        floor.run(0.6)
    at_least = time.monotonic() - started
    talk.hang_up()
    at_most = time.monotonic() - started
    end = closed(floor, media)
    # No stream, no ticks: such times are made up by silence.
    assert end.n_overruns == 0 and at_least - 0.1 < end.seconds < at_most + 0.1
    left, right, _ = channels(path)
    assert tones_in(left[1600:3200]) == {CALLER_HZ} and tones_in(left[-4000:-1600]) == {CALLER_HZ}
    for heard, echo in zip(edges(left), edges(right), strict=True):
        assert abs(heard - echo) <= 0.02 * RATE, (edges(left), edges(right))


STALLS = """
import os, random, signal, sys, time
for _ in range(200):
    os.kill(int(sys.argv[1]), signal.SIGSTOP)
    time.sleep(0.05)
    os.kill(int(sys.argv[1]), signal.SIGCONT)
    time.sleep(random.uniform(0.01, 0.04))
"""


def test_a_machine_that_stalls_makes_no_recording_longer(floor, media, voice, tmp_path):
    """The bridge catches up with the frames of a stall; a gap between two streams must not count them a second time
    (0.4 s more in 20 re-INVITEs, when the gap was taken from the clock on the wall)."""
    talk = Talk(floor, media, voice)
    floor.run(0.3)
    stalls = subprocess.Popen([sys.executable, "-c", STALLS, str(os.getpid())])
    try:
        media.record(CALLER, str(tmp_path / "call.wav"))
        started = time.monotonic()
        for n in range(20):
            talk.reinvite(hold=n % 2 == 0)
            floor.run(0.15)
        media.stop_record(CALLER)
        seconds = time.monotonic() - started
    finally:
        stalls.kill()
        stalls.wait()
        os.kill(os.getpid(), signal.SIGCONT)
    assert closed(floor, media).seconds == pytest.approx(seconds, abs=0.15)
    talk.hang_up()


@pytest.mark.parametrize("end", ["later", "stop", "hang up"])
def test_time_without_cpu_is_in_the_recording(floor, media, voice, tmp_path, end):
    """The bridge does not catch up with more than half a second: that is silence of the same length, and counted."""
    path = tmp_path / "call.wav"
    talk, started = record_echo(floor, media, voice, path)
    floor.run(0.5)
    before = round((time.monotonic() - started) * RATE)
    stalled_s = stall(1.5)
    after = round((time.monotonic() - started) * RATE)
    if end == "later":
        floor.run(0.5)
    if end == "hang up":
        talk.hang_up()
    media.stop_record(CALLER)
    seconds = time.monotonic() - started
    told = closed(floor, media)
    assert told.seconds == pytest.approx(seconds, abs=0.1)
    assert 1.4 < told.lost_s < stalled_s + 0.1 and told.n_overruns >= 1
    left, right, _ = channels(path)
    assert tones_in(left[800:3200]) == {CALLER_HZ} and not np.any(left[before + 800 : after - 800])
    if end == "later":
        assert tones_in(left[-1600:]) == {CALLER_HZ}
        assert abs(edges(left)[2] - edges(right)[2]) <= 0.02 * RATE, (edges(left), edges(right))
    if end != "hang up":
        talk.hang_up()


def edges(channel) -> list[int]:
    """Where the tone begins and where it ends, with 10 ms and more of quiet outside, each time."""
    loud = np.flatnonzero(np.abs(channel) > 1500)
    gaps = np.flatnonzero(np.diff(loud) > 80)
    return [int(loud[0]), *[int(loud[i + n]) for i in gaps for n in (0, 1)], int(loud[-1])]


def test_a_customers_leg_is_recorded_through_reinvites(floor, media, voice, tmp_path):
    """We called, so it is no leg that came in; the SIP room has flagged it."""
    assert ports.RECORDABLE == RECORDABLE
    customer, phone = Customer(floor, media, voice), voice(AGENT_HZ)
    path = tmp_path / "call.wav"
    media.record(CALLER, str(path))
    media.attach(AGENT, phone, -1)
    media.bridge(CALLER, AGENT)
    floor.run(0.8)
    customer.reinvite(hold=False)
    floor.run(0.8)
    customer.hang_up()
    media.detach(AGENT)
    end = closed(floor, media)
    left, right, _ = channels(path)
    assert 1.5 < end.seconds < 2.3
    for part in (slice(2400, 5600), slice(-4800, -1600)):
        assert tones_in(left[part]) == {CALLER_HZ} and tones_in(right[part]) == {AGENT_HZ}


def test_a_recording_that_the_caller_refuses_is_deleted(floor, media, voice, tmp_path):
    talk = Talk(floor, media, voice)
    refused, other = tmp_path / "refused.wav", tmp_path / "other.wav"
    media.record(CALLER, str(refused))
    floor.run(0.5)
    assert refused.exists()
    media.stop_record(CALLER, discard=True)
    assert floor.until(lambda: not refused.exists(), 2.0)
    media.record(CALLER, str(other))
    floor.run(0.5)
    talk.hang_up()
    assert closed(floor, media).path == str(other)
    media.delete(str(other))
    media.delete(str(tmp_path / "never.wav"))
    assert floor.until(lambda: not other.exists(), 2.0)
    floor.run(0.3)
    assert media.poll() == [] and list(tmp_path.glob("*.wav")) == []


@pytest.mark.parametrize("most_bytes", [1 << 16, 1 << 20])
def test_while_the_disk_is_frozen_no_more_recordings_are_begun_than_memory_is_meant_for(
    floor, media, voice, tmp_path, monkeypatch, caplog, most_bytes
):
    """The first file is a FIFO, which holds the recorder in the kernel. The other limit is the control: all begin."""
    monkeypatch.setattr(recorder, "MAX_WAITING_BYTES", most_bytes)
    talk = Talk(floor, media, voice)
    fifo, paths = tmp_path / "fifo.wav", [tmp_path / f"{n}.wav" for n in range(4)]
    os.mkfifo(fifo)
    media.record(CALLER, str(fifo))
    assert floor.until(media.is_recording_stuck)
    media.poll()
    for path in paths:
        media.record(CALLER, str(path))
        floor.run(0.2)
    media.record_message(CALLER, str(tmp_path / "message.wav"))
    media.stop_message(CALLER)
    media.stop_record(CALLER)
    told = {event.path: event for event in media.poll()}
    is_refused = most_bytes == 1 << 16
    assert set(told) == ({*map(str, paths), str(tmp_path / "message.wav")} if is_refused else set())
    assert all(told[str(path)].seconds == 0 for path in paths if is_refused)
    assert all(told[str(path)].lost_s == pytest.approx(0.2, abs=0.1) for path in paths if is_refused)
    alarms = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [alarm for alarm in alarms if "disk has not answered" in alarm]
    assert len([alarm for alarm in alarms if "not recorded" in alarm]) == is_refused
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # who waits to write goes on, and finds no reader
    fifo.unlink()
    os.close(reader)
    assert floor.until(lambda: not media.is_recording_stuck())
    events = media.poll()
    assert ("5 were not begun" in caplog.text) is is_refused
    media.record(CALLER, str(tmp_path / "after.wav"))
    floor.run(0.5)
    talk.hang_up()
    after = str(tmp_path / "after.wav")
    assert floor.until(lambda: events.extend(media.poll()) or after in [event.path for event in events])
    (end,) = (event for event in events if event.path == after)
    assert end.lost_s == 0 and end.seconds == pytest.approx(0.5, abs=0.2)
    assert all(path.exists() is not is_refused for path in paths)


def test_stop_and_record_again_makes_two_files(floor, media, voice, tmp_path):
    talk = Talk(floor, media, voice)
    media.record(CALLER, str(tmp_path / "one.wav"))
    floor.run(0.5)
    media.record(CALLER, str(tmp_path / "two.wav"))
    floor.run(0.5)
    media.stop_record(CALLER)
    floor.run(0.5)
    ends = media.poll()
    assert sorted(end.path[-7:] for end in ends) == ["one.wav", "two.wav"]
    assert all(0.4 < end.seconds < 0.65 for end in ends)
    talk.hang_up()
    floor.run(0.3)
    assert media.poll() == []


def test_record_before_the_stream_stands(floor, media, voice, tmp_path):
    media.record(CALLER, str(tmp_path / "call.wav"))
    talk = Talk(floor, media, voice)
    floor.run(0.5)
    talk.hang_up()
    assert 0.4 < closed(floor, media).seconds < 0.8


@pytest.mark.parametrize("codec", ["G722/16000/1", "opus/48000/2"])
def test_wideband_leg_in_a_file_of_fixed_rate(floor, media, voice, tmp_path, codec):
    floor.set_codec(codec)
    try:
        talk = Talk(floor, media, voice)
        path = tmp_path / "call.wav"
        media.record(CALLER, str(path))
        media.start_music(CALLER, "tone")
        floor.run(1.5)
        talk.hang_up()
        end = closed(floor, media)
    finally:
        floor.set_codec("PCMA/8000/1")
    left, right, rate = channels(path)
    assert rate == RATE and 1.4 < end.seconds < 2.2
    assert tones_in(left[4000:11000]) == {CALLER_HZ} and tones_in(right[4000:11000]) == {MUSIC_HZ}


def test_codec_change_in_mid_call(floor, media, voice, tmp_path):
    talk = Talk(floor, media, voice)
    path = tmp_path / "call.wav"
    media.record(CALLER, str(path))
    media.start_music(CALLER, "tone")
    floor.run(0.8)
    floor.set_codec("G722/16000/1")
    try:
        talk.reinvite(hold=False)
        floor.run(0.8)
        talk.hang_up()
    finally:
        floor.set_codec("PCMA/8000/1")
    end = closed(floor, media)
    left, right, _ = channels(path)
    assert 1.5 < end.seconds < 2.5
    for part in (slice(3000, 6000), slice(9000, 12000)):
        assert tones_in(left[part]) == {CALLER_HZ} and tones_in(right[part]) == {MUSIC_HZ}


def test_fifty_calls_leave_nothing_behind(floor, media, voice, tmp_path):
    """Taps, streams and slots; SIP transactions stay for 32 s by themselves (RFC 3261 timer J)."""
    source = voice(CALLER_HZ)

    def run(n):
        for i in range(n):
            talk = Talk(floor, media, lambda _hz: source)
            stream = talk.line.getId()
            media.record(CALLER, str(tmp_path / f"{i}.wav"))
            floor.run(0.04)
            talk.hang_up()
            assert floor.until(lambda stream=stream: ports.n_taps(stream) == 0, 1.0), "the tap outlived its call"

    def use():
        return ports.n_slots(), *[ports.pool_use(name) for name in (b"recording-tap", b"strm", b"queue-audio")]

    floor.run(0.1)
    before = use()
    run(50)
    floor.run(0.5)
    assert use() == before
    assert sum(isinstance(event, RecordingClosed) for event in media.poll()) == 50
