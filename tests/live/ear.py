"""What lies in a sound: which tones, from when to when. Every party of the live suite has a tone of its own, so who is
heard is measured by frequency.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import soundfile

# No tone is near another's harmonics, and all pass through every codec.
CALLER, AGENT, MUSIC, WELCOME = 425, 650, 1150, 1600
CALLER_2, SORRY, ENGAGED, CLOSED = 950, 2050, 2450, 2900
TONES = (CALLER, AGENT, MUSIC, WELCOME, CALLER_2, SORRY, ENGAGED, CLOSED)
LEVEL = 0.25  # of full scale; each party and file sends its tone so loud

WINDOW_S, HOP_S = 0.040, 0.010
HEARD = 0.12 * LEVEL  # a window has a tone from this amplitude on
EDGE_WINDOW_S, EDGE_HOP_S, EDGE_S = 0.020, 0.001, 0.005
LEAST_S = 0.1  # shorter is a click, or a tone's edge in the spectrum of another


@dataclass(frozen=True, slots=True)
class Sound:
    """One channel."""

    samples: npt.NDArray[np.float64]
    rate: int

    @classmethod
    def read(cls, path: Path, channel: int = 0) -> Self:
        samples, rate = soundfile.read(path, always_2d=True)
        return cls(samples[:, channel], rate)

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def between(self, begin_s: float, end_s: float) -> Self:
        return type(self)(self.samples[int(begin_s * self.rate) : int(end_s * self.rate)], self.rate)

    def amplitudes(self, hz: float) -> npt.NDArray[np.float64]:
        """Of the tone, one a window; windows begin HOP_S apart."""
        n, hop = int(WINDOW_S * self.rate), int(HOP_S * self.rate)
        if len(self.samples) < n:
            return np.zeros(0)
        windows = np.lib.stride_tricks.sliding_window_view(self.samples, n)[::hop]
        probe = np.hanning(n) * np.exp(-2j * np.pi * hz * np.arange(n) / self.rate)
        return np.abs(windows @ probe) * 2 / np.hanning(n).sum()

    def has(self, hz: float) -> npt.NDArray[np.bool_]:
        return self.amplitudes(hz) > HEARD

    def edges(self, hz: float) -> tuple[float, float]:
        """Seconds at which the tone begins and ends for good: where it has half of its strength, for a window that lies
        half in it has that. Right to EDGE_S."""
        n, hop = int(EDGE_WINDOW_S * self.rate), int(EDGE_HOP_S * self.rate)
        windows = np.lib.stride_tricks.sliding_window_view(self.samples, n)[::hop]
        found = np.abs(windows @ (np.hanning(n) * np.exp(-2j * np.pi * hz * np.arange(n) / self.rate)))
        (where,) = np.nonzero(found > np.median(found[found > found.max() / 2]) / 2)
        return where[0] * EDGE_HOP_S + EDGE_WINDOW_S / 2, where[-1] * EDGE_HOP_S + EDGE_WINDOW_S / 2

    def tones(self) -> set[int]:
        """Those of TONES that are heard for a while."""
        return {hz for hz in TONES if self.has(hz).sum() * HOP_S >= LEAST_S}

    def span(self, hz: float) -> tuple[float, float]:
        """Seconds from the first to the last window with the tone: middles of the windows, which makes an edge right
        to a window's half."""
        (where,) = np.nonzero(self.has(hz))
        assert len(where), f"{hz} Hz is nowhere in {self.seconds:.2f} s"
        return where[0] * HOP_S + WINDOW_S / 2, where[-1] * HOP_S + WINDOW_S / 2


def write_tone(path: Path, hz: float, seconds: float, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, LEVEL * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate), rate)
