"""Which prompts lie in a sound, from when to when, and whether they were heard to the end.

Every prompt and every part of spoken values is a short noise of its own here. Noises have nothing in common, so
correlation finds each, under music and tones too, and nothing that is not there. Counterpart: tests/live/ear.py, which
hears the tones of parties and music.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import soundfile

from tests.live.ear import Sound

Samples = npt.NDArray[np.float64]

RATE = 8000  # Hz
LEVEL = 0.12  # RMS of a noise, of full scale
BAND = (300.0, 3300.0)  # Hz
PROBE_S = 0.12  # head and tail of a noise; its place is found by these
SAID = 0.5  # a probe is there from this share of its level on; noises that are not there stay below 0.25
SLIP_S = 0.1  # so much may a phone's jitter buffer stretch or squeeze a prompt
EDGE_S = 0.03  # around a prompt
FRAME = 8192  # samples of one transform


@dataclass(frozen=True, slots=True)
class Heard:
    """One prompt. `end_s` is None where its tail was not heard: it was cut off."""

    name: str
    begin_s: float
    end_s: float | None


@dataclass(frozen=True, slots=True)
class Voice:
    """The prompts of one language: name -> noise. Parts of values are called say/NAME."""

    noises: Mapping[str, Samples]

    @classmethod
    def read(cls, folder: Path) -> Self:
        return cls({str(file.relative_to(folder).with_suffix("")): _read(file) for file in folder.rglob("*.wav")})

    def heard(self, sound: Sound) -> list[Heard]:
        """In order of their beginnings."""
        assert sound.rate == RATE
        n = int(PROBE_S * RATE)
        heads = _places(sound.samples, {name: noise[:n] for name, noise in self.noises.items()})
        tails = _places(sound.samples, {name: noise[-n:] for name, noise in self.noises.items()})
        found = [self._whole(name, at, tails[name]) for name, places in heads.items() for at in places]
        return sorted(found, key=lambda one: one.begin_s)

    def _whole(self, name: str, at: int, tails: list[int]) -> Heard:
        length = len(self.noises[name])
        wanted = at + length - int(PROBE_S * RATE)
        is_whole = any(abs(tail - wanted) <= SLIP_S * RATE for tail in tails)
        return Heard(name, at / RATE, (at + length) / RATE if is_whole else None)

    def said(self, sound: Sound) -> list[str]:
        """Names in order; one that was cut off ends with `...`."""
        return [one.name if one.end_s is not None else f"{one.name}..." for one in self.heard(sound)]

    def has_said(self, samples: Samples, name: str) -> bool:
        """This prompt, to its end: as long as a call goes on."""
        return bool(_places(samples, {name: self.noises[name][-int(PROBE_S * RATE) :]})[name])

    def besides(self, sound: Sound) -> Sound:
        """The sound without its prompts, for ears that hear tones: silence stands in their places."""
        samples = sound.samples.copy()
        for one in self.heard(sound):
            end_s = one.begin_s + len(self.noises[one.name]) / RATE
            samples[int((one.begin_s - EDGE_S) * RATE) : int((end_s + EDGE_S) * RATE)] = 0
        return Sound(samples, RATE)

    def under(self, sound: Sound, hz: float) -> float:
        """How loud this tone is under prompts, at most: whether somebody spoke into them."""
        most = 0.0
        for one in self.heard(sound):
            n = len(self.noises[one.name])
            part = sound.samples[int(one.begin_s * RATE) :][:n]
            probe = np.hanning(len(part)) * np.exp(-2j * np.pi * hz * np.arange(len(part)) / RATE)
            most = max(most, float(np.abs(part @ probe) * 2 / np.hanning(len(part)).sum()))
        return most


def _places(samples: Samples, probes: Mapping[str, Samples]) -> dict[str, list[int]]:
    """Where each probe begins, by overlapping frames: all probes have one length."""
    n = len(next(iter(probes.values())))
    hop = FRAME - n + 1
    n_frames = max(1, -(-len(samples) // hop))
    padded = np.concatenate([samples, np.zeros(n_frames * hop + FRAME - len(samples))])
    frames = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::hop][:n_frames], axis=1)
    return {name: _peaks(_levels(frames, probe, hop), n) for name, probe in probes.items()}


def _levels(frames: npt.NDArray[np.complex128], probe: Samples, hop: int) -> Samples:
    """How much of the probe begins at each sample, as a share of its level."""
    products = np.fft.irfft(frames * np.conj(np.fft.rfft(probe, FRAME)), FRAME, axis=1)
    levels: Samples = products[:, :hop].ravel() / np.square(probe).sum()
    return levels


def _peaks(levels: Samples, apart: int) -> list[int]:
    found: list[int] = []
    for at in np.flatnonzero(levels > SAID):
        if found and at - found[-1] < apart:
            found[-1] = int(at) if levels[at] > levels[found[-1]] else found[-1]
        else:
            found.append(int(at))
    return found


def _read(file: Path) -> Samples:
    samples, rate = soundfile.read(file)
    assert rate == RATE
    return np.asarray(samples, dtype=np.float64)


def write_noise(path: Path, seed: str, seconds: float) -> None:
    dice = np.random.default_rng(zlib.crc32(seed.encode()))
    n = int(seconds * RATE)
    spectrum = np.fft.rfft(dice.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / RATE)
    spectrum[(hz < BAND[0]) | (hz > BAND[1])] = 0
    noise = np.fft.irfft(spectrum, n)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, LEVEL * noise / np.sqrt(np.square(noise).mean()), RATE, subtype="PCM_16")
