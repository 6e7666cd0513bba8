"""Recordings on their way from the rings to the disk, in a thread of their own. Counterpart: recording_tap_port.c fills
the rings.

The thread takes what all rings hold a few times a second, in one go and without the GIL, and gives it to soundfile. The
media clock never waits for it: a ring that runs full counts what it loses, and the file has silence of that length. A
disk that is full or gone is tried again every second, and what it missed is silence too. A disk that stops in the
middle of a write holds this thread and nothing else, until it goes on; when too many recordings wait for it, no more
are begun. What happens to a file is told by poll(), never raised. A path is used once.
"""

import contextlib
import errno
import logging
import os
import shutil
import threading
import time
from collections import deque
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from engine.callflow.media_news import MessageClosed, RecordingClosed, RecordingTrouble
from engine.media import rings

EVERY_S = 0.5  # how often the rings are drained
RING_S = 1.5  # how long the thread may stand still before audio is lost
STAMP_S = 0.5  # how often a file's header is brought up to date, so that it plays after a crash
RETRY_S = 1.0
STUCK_S = 2.0  # a disk that has a write for longer has stopped; rings are full before
# While the disk has stopped, no ring is given back. So many bytes are 4,096 recordings at 8 kHz: four times what the
# machine of docs/performance.md holds at once, and more than three minutes of 20 calls a second.
MAX_WAITING_BYTES = 256 << 20
BLOCK = 1 << 16  # samples of silence written at once
ROOM_BYTES = 1 << 16  # what all recordings together want at once; a disk with less is full
FORMATS = ("wav", "flac")
FLAC_BLOCK = 4096  # samples that libFLAC gathers before it writes a frame
SPEECH_S = 0.02  # speech is counted in blocks of this length ...
SPEECH_RMS = 10 ** (-40 / 20) * 32768  # ... that are louder than -40 dBFS: lines hum below -50, people speak above -35

log = logging.getLogger(__name__)
Frames = npt.NDArray[np.int16]  # (n, channels): left the caller, right what the caller hears
Closed = RecordingClosed | MessageClosed


class AudioFile:
    """One file. Frames are samples of all channels at the file's rate."""

    n_channels: ClassVar[int]

    def __init__(self, leg: int, path: Path, rate: int) -> None:
        self.leg, self.path, self.rate = leg, path, rate
        self.is_discarded = False  # set by the engine before the end: the file is deleted
        self.n_overruns = 0
        self.n_lost = 0  # frames of silence that should have been audio
        self.refused_at: float | None = None  # it was not begun: too many wait for the disk
        self.n_ring_bytes = 0
        self.trouble = ""  # why the disk does not take it; empty if it does
        self._file: soundfile.SoundFile | None = None
        self._n_frames = 0  # on disk
        self._n_missing = 0  # not on disk, to be made up by silence
        self._retry_at = 0.0
        self._stamped_at = 0.0
        self._resampler: soxr.ResampleStream | None = None
        self._from_rate = rate

    def add(self, kind: int, rate: int, audio: Frames | int, now: float) -> None:
        """A chunk of a ring: samples of both channels, or the length of a silence."""
        if rate != self._from_rate:
            self._change_rate(rate, now)
        if isinstance(audio, int):
            n_frames = audio
            if kind == rings.LOST:
                self.n_overruns += 1
                self.n_lost += round(n_frames * self.rate / rate)
            while n_frames:
                n = min(n_frames, BLOCK)
                self._add(self._silence(n), now)
                n_frames -= n
        else:
            self._add(audio[:, : self.n_channels], now)

    def stamp(self, now: float) -> None:
        """Bring the header up to date, so that the file plays if the process dies."""
        if self._file is None or now < self._stamped_at + STAMP_S:
            return
        self._stamped_at = now
        if self.path.suffix == ".wav":
            # soundfile has no word for this libsndfile command (SFC_UPDATE_HEADER_NOW); its flush() is an fsync.
            soundfile._snd.sf_command(self._file._file, 0x1060, soundfile._ffi.NULL, 0)
        else:
            stamp_flac(self.path, (self._n_frames - 1) // FLAC_BLOCK * FLAC_BLOCK)

    def close(self, now: float) -> Closed:
        raise NotImplementedError

    def refused(self, seconds: float) -> Closed:
        """What close() would tell of one that was not begun. The disk is not touched."""
        raise NotImplementedError

    def _finish(self, now: float) -> float:
        """The seconds on disk."""
        if self._resampler is not None:
            self._write(self._resampler.resample_chunk(self._silence(0), last=True), now)
        if self._file is None or self._n_missing:
            self._retry_at = 0.0
            self._write(self._silence(0), now)
        self._shut()
        self.n_lost += self._n_missing
        return self._n_frames / self.rate

    def _silence(self, n_frames: int) -> Frames:
        return np.zeros((n_frames, self.n_channels), np.int16)

    def _change_rate(self, rate: int, now: float) -> None:
        """The leg has another codec than the file has a rate for."""
        if self._resampler is not None:
            self._write(self._resampler.resample_chunk(self._silence(0), last=True), now)
        self._from_rate, is_same = rate, rate == self.rate
        self._resampler = None if is_same else soxr.ResampleStream(rate, self.rate, self.n_channels, dtype="int16")

    def _add(self, audio: Frames, now: float) -> None:
        self._write(self._resampler.resample_chunk(audio) if self._resampler is not None else audio, now)

    def _write(self, audio: Frames, now: float) -> None:
        if self._file is None and now < self._retry_at:
            self._n_missing += len(audio)
            return
        try:
            if self._file is None:
                self._open()
            while self._n_missing:
                n = min(self._n_missing, BLOCK)
                self._put(self._silence(n))
                self._n_missing -= n
                self.n_lost += n
            self._put(audio)
            self.trouble = ""
        except (OSError, soundfile.SoundFileError, AssertionError) as error:
            # soundfile asserts that all was written, which a full disk does not do.
            self._n_missing += len(audio)
            self._retry_at = now + RETRY_S
            self.trouble = _reason(error, self.path)
            self._shut()

    def _put(self, audio: Frames) -> None:
        if len(audio):
            assert self._file is not None
            self._file.buffer_write(np.ascontiguousarray(audio).data, "int16")
            self._n_frames += len(audio)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._n_frames and self.path.suffix == ".flac":
            raise OSError("a FLAC file that broke off cannot be continued")
        if self._n_frames:
            self._file = soundfile.SoundFile(self.path, "r+")
            self._file.seek(self._n_frames)
        else:
            self._file = soundfile.SoundFile(self.path, "w", self.rate, self.n_channels, "PCM_16")

    def _shut(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError, soundfile.SoundFileError):
                _close(file)


class RecordingFile(AudioFile):
    """What goes both ways."""

    n_channels = 2

    def close(self, now: float) -> RecordingClosed:
        seconds = self._finish(now)
        return RecordingClosed(self.leg, str(self.path), seconds, self.n_overruns, self.n_lost / self.rate)

    def refused(self, seconds: float) -> RecordingClosed:
        return RecordingClosed(self.leg, str(self.path), 0.0, 1, seconds)


class MessageFile(AudioFile):
    """What the caller says, and how much of it is speech."""

    n_channels = 1

    def __init__(self, leg: int, path: Path, rate: int) -> None:
        super().__init__(leg, path, rate)
        self._n_loud = 0  # blocks
        self._rest = self._silence(0)  # of the audio, shorter than a block

    def _put(self, audio: Frames) -> None:
        super()._put(audio)
        audio = np.concatenate((self._rest, audio))
        block = round(SPEECH_S * self.rate)
        n_blocks = len(audio) // block
        blocks = audio[: n_blocks * block].reshape(n_blocks, block).astype(np.float64)
        self._n_loud += int(np.count_nonzero(np.sqrt(np.mean(blocks**2, axis=1)) > SPEECH_RMS))
        self._rest = audio[n_blocks * block :]

    def close(self, now: float) -> MessageClosed:
        return MessageClosed(self.leg, str(self.path), self._finish(now), self._n_loud * SPEECH_S)

    def refused(self, seconds: float) -> MessageClosed:
        return MessageClosed(self.leg, str(self.path), 0.0, 0.0)


def _close(file: soundfile.SoundFile) -> None:
    """soundfile's own close() begins with an fsync, and all other recordings would wait for the disk."""
    soundfile._snd.sf_close(file._file)
    file._file = None


def _reason(error: Exception, path: Path) -> str:
    """For the operator. libsndfile says "System error" of whatever the system refuses."""
    with contextlib.suppress(OSError):
        if not isinstance(error, OSError) and shutil.disk_usage(path.parent).free < ROOM_BYTES:
            return os.strerror(errno.ENOSPC)
    return str(error) or "the disk took only a part"


def stamp_flac(path: Path, n_frames: int) -> None:
    """Write the length into the file's STREAMINFO (RFC 9639 section 8.2), which libFLAC does only when it closes the
    file."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDWR)
        try:
            packed = int.from_bytes(os.pread(fd, 8, 18), "big")  # rate, channels, bits; the length is the low 36 bits
            os.pwrite(fd, (packed >> 36 << 36 | max(n_frames, 0)).to_bytes(8, "big"), 18)
        finally:
            os.close(fd)


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.error("%s cannot be deleted: %s", path, error)


class Recorder:
    """The thread, and its doors: start(), end(), delete() and poll() for the engine."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._news: deque[Closed | RecordingTrouble] = deque()
        self._started: deque[tuple[AudioFile, rings.Ring]] = deque()
        self._to_delete: deque[Path] = deque()
        self._files: dict[int, AudioFile] = {}
        self._wake = threading.Event()
        self._busy_since: float | None = None  # the thread's writing goes on
        self._was_stuck = False
        self._n_refused = 0  # since the disk has stopped
        self._n_begun_bytes = self._n_ended_bytes = 0  # of rings; each is one thread's
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def start(self, file: AudioFile, rate: int) -> rings.Ring | None:
        """A ring for a leg whose codec has this rate; what is put into it goes into the file, which the thread
        opens. None: the disk has stopped, and too many wait for it. That the file is closed is then told by end()."""
        if file.path.suffix[1:] not in FORMATS:
            raise ValueError(f"{file.path}: recordings are {' or '.join(FORMATS)}")
        if self.is_stuck() and self._n_begun_bytes - self._n_ended_bytes >= MAX_WAITING_BYTES:
            file.refused_at = time.monotonic()
            self._n_refused += 1
            if self._n_refused == 1:
                log.error("recordings: too many wait for the disk; calls are not recorded until it answers")
            return None
        ring = rings.Ring(int(rate * RING_S))
        file.n_ring_bytes = ring.n_bytes
        self._n_begun_bytes += ring.n_bytes
        self._started.append((file, ring))
        self._wake.set()
        return ring

    def end(self, file: AudioFile) -> None:
        """The leg records no more. Nothing where it has a ring: that tells by itself."""
        if file.refused_at is not None and not file.is_discarded:
            self._news.append(file.refused(time.monotonic() - file.refused_at))

    def delete(self, path: Path) -> None:
        """Delete a file that is closed, soon. A missing one is no error; one that cannot be deleted is logged."""
        self._to_delete.append(path)
        self._wake.set()

    def is_stuck(self) -> bool:
        """The disk has stopped: recordings lose what comes now."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > STUCK_S

    def poll(self) -> list[Closed | RecordingTrouble]:
        if self.is_stuck() is not self._was_stuck:
            self._was_stuck = not self._was_stuck
            if self._was_stuck:
                log.error("recordings: the disk has not answered for %g s; audio is lost until it does", STUCK_S)
            else:
                log.warning("recordings: the disk answers again; %d were not begun", self._n_refused)
                self._n_refused = 0
        news = []
        while self._news:
            news.append(self._news.popleft())
        return news

    def close(self, timeout_s: float = 5.0) -> None:
        """Write out and close what is left. Rings that a tap still holds after half of the time are taken as they
        are."""
        self._stop = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        filled = rings.RingSet()
        n_started = 0
        stop_at = float("inf")
        while True:
            self._busy_since = time.monotonic()
            while self._started:
                file, ring = self._started.popleft()
                n_started += 1
                self._files[n_started] = file
                filled.add(n_started, ring)
            while self._to_delete:
                _delete(self._to_delete.popleft())
            try:
                self._drain(filled)
            except Exception:
                log.exception("recordings: an error of our own")
            self._busy_since = None
            if self._stop:
                stop_at = min(stop_at, time.monotonic() + 2.5)
                if not self._files or time.monotonic() > stop_at:
                    break
                time.sleep(0.02)
            elif self._files:
                time.sleep(EVERY_S)
            else:
                self._wake.wait()
                self._wake.clear()
        for file in self._files.values():
            self._finish(file, time.monotonic())

    def _finish(self, file: AudioFile, now: float) -> None:
        closed = file.close(now)
        self._n_ended_bytes += file.n_ring_bytes
        if file.is_discarded:
            _delete(file.path)
        else:
            self._news.append(closed)

    def _drain(self, filled: rings.RingSet) -> None:
        more = True
        while more:
            chunks, finished, more = filled.drain()
            now = time.monotonic()
            for key, kind, rate, audio in chunks:
                file = self._files[key]
                had = file.trouble
                samples = audio if isinstance(audio, int) else np.frombuffer(audio, np.int16).reshape(-1, 2)
                file.add(kind, rate, samples, now)
                if file.trouble and not had:
                    self._news.append(RecordingTrouble(file.leg, str(file.path), file.trouble))
            for key in finished:
                self._finish(self._files.pop(key), now)
        for file in self._files.values():
            file.stamp(now)
