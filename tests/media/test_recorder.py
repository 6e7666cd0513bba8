"""Recordings on disk: headers after a crash, a disk that fills up, legs with other rates. The disk is real."""

import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.callflow.media_news import RecordingClosed
from engine.media import rings
from engine.media.recorder import RecordingFile
from tests.media.conftest import CALLER_HZ, MUSIC_HZ, RATE, tone, tones_in


def both(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.stack([left, right], axis=1)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_after_kill_9_the_file_plays_to_its_last_second(tmp_path, suffix):
    path = tmp_path / f"call.{suffix}"
    program = f"""
        import time, numpy as np
        from pathlib import Path
        from engine.media import rings
        from engine.media.recorder import Recorder, RecordingFile
        recorder = Recorder(8000)
        ring = recorder.start(RecordingFile(1, Path({str(path)!r}), 8000), 8000)
        start = time.monotonic()
        for n in range(10_000):
            samples = np.random.default_rng(n).integers(-9000, 9000, 160).astype(np.int16)
            ring.write(samples, samples, 8000)
            print(n, flush=True)
            time.sleep(max(0, start + n * 0.02 - time.monotonic()))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "200":  # 4 s
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == 8000 and 200 * 160 - rate <= len(samples) <= 202 * 160
    assert np.array_equal(samples[:160, 0], np.random.default_rng(0).integers(-9000, 9000, 160).astype(np.int16))
    if suffix == "wav":  # libsndfile forgives a wrong length; other players do not
        header = path.read_bytes()[:44]
        assert int.from_bytes(header[40:44], "little") // 4 >= 200 * 160 - rate


@pytest.fixture
def small_disk():
    """Files may not grow beyond 100 kB until the fixture's function lifts that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, former)


def test_full_disk_leaves_a_gap_and_the_recording_goes_on(tmp_path, small_disk):
    path = tmp_path / "call.wav"
    file = RecordingFile(1, path, RATE)
    audio = both(tone(CALLER_HZ, 0.2), tone(MUSIC_HZ, 0.2))
    troubles = []
    for n in range(50):  # 10 s, 320 kB
        if n == 30:
            small_disk()
        file.add(rings.AUDIO, RATE, audio, now=n * 0.2)
        troubles.append(bool(file.trouble))
    end = file.close(now=10.0)
    assert troubles[:14] == [False] * 14 and any(troubles) and not troubles[-1]
    assert end.seconds == 10.0 and 2.5 < end.lost_s < 4.5 and end.n_overruns == 0
    samples, _ = soundfile.read(path, dtype="int16")
    assert len(samples) == 10 * RATE
    assert tones_in(samples[:8000, 0]) == {CALLER_HZ} and tones_in(samples[-8000:, 1]) == {MUSIC_HZ}
    assert not np.any(samples[4 * RATE : 5 * RATE])


def test_disk_that_stays_full_is_told_and_counted(tmp_path, small_disk):
    file = RecordingFile(1, tmp_path / "call.wav", RATE)
    for n in range(50):
        file.add(rings.AUDIO, RATE, both(tone(CALLER_HZ, 0.2), tone(CALLER_HZ, 0.2)), now=n * 0.2)
    end = file.close(now=10.0)
    assert file.trouble
    assert 2.8 <= end.seconds <= 3.2 and end.seconds + end.lost_s == pytest.approx(10.0)
    assert len(soundfile.read(tmp_path / "call.wav")[0]) == pytest.approx(end.seconds * RATE, abs=RATE * 0.3)


def test_folder_that_cannot_be_made_is_trouble_not_an_exception(tmp_path):
    (tmp_path / "file").write_text("")
    file = RecordingFile(1, tmp_path / "file" / "call.wav", RATE)
    file.add(rings.AUDIO, RATE, both(tone(CALLER_HZ, 0.2), tone(CALLER_HZ, 0.2)), now=0.0)
    assert "file" in file.trouble
    end = file.close(now=1.0)
    assert end.seconds == 0 and end.lost_s == pytest.approx(0.2)


def test_rates_mix_in_one_file(tmp_path):
    path = tmp_path / "call.wav"
    file = RecordingFile(1, path, RATE)
    for rate in (8000, 16000, 48000, 8000):
        for _ in range(5):
            part = tone(CALLER_HZ, 0.2, rate=rate)
            file.add(rings.AUDIO, rate, both(part, part), now=0.0)
        file.add(rings.PAUSE, rate, rate // 2, now=0.0)
    file.add(rings.LOST, RATE, RATE // 4, now=0.0)
    end = file.close(now=1.0)
    assert end.seconds == pytest.approx(4 * 1.5 + 0.25, abs=0.005)
    assert (end.n_overruns, end.lost_s) == (1, 0.25)
    samples, _ = soundfile.read(path, dtype="int16")
    for n in range(4):
        second = samples[int(n * 1.5 * RATE) + 400 :][: RATE - 800]
        assert tones_in(second[:, 0]) == {CALLER_HZ} and tones_in(second[:, 1]) == {CALLER_HZ}
        assert np.max(np.abs(second[:, 0].astype(int) - second[:, 1])) <= 2  # the resampler dithers


def test_frozen_writer_never_stalls_the_ring(tmp_path, monkeypatch):
    """The disk takes 4 s for a write: the ring loses what it must, says so, and the lengths agree."""
    from engine.media import recorder as module

    real = RecordingFile._put

    def frozen(self, audio):
        if not hasattr(self, "was_frozen"):
            self.was_frozen = True
            time.sleep(4)
        real(self, audio)

    monkeypatch.setattr(RecordingFile, "_put", frozen)
    recorder = module.Recorder(RATE)
    path = Path(tmp_path / "call.wav")
    ring = recorder.start(RecordingFile(1, path, RATE), RATE)
    assert ring is not None
    samples = tone(CALLER_HZ, 0.02)
    slowest, started = 0.0, time.monotonic()
    for n in range(300):  # 6 s; a loss is told by the audio behind it
        before = time.monotonic()
        ring.write(samples, samples, RATE)
        slowest = max(slowest, time.monotonic() - before)
        time.sleep(max(0.0, started + n * 0.02 - time.monotonic()))
    recorder.close(5.0)
    [end] = recorder.poll()
    assert isinstance(end, RecordingClosed)
    assert slowest < 1.0  # the disk took 4 s; what remains is a busy machine
    assert end.n_overruns >= 1 and 1.0 < end.lost_s < 3.5
    assert end.seconds == pytest.approx(6.0, abs=0.05) and len(soundfile.read(path)[0]) == 6 * RATE
