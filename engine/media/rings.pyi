"""From recorded legs to the disk, on one page. Implemented in rings.pyx over recording_ring.h.

A Ring is made by the engine thread and filled by a tap; a RingSet belongs to the writer thread.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

# kinds of chunks
AUDIO: int
PAUSE: int  # silence: the leg had no stream
LOST: int  # silence: the ring was full, or the engine got no CPU

class Ring:
    """From a recorded leg to the disk."""

    def __init__(self, n_samples: int) -> None:
        """Room for at least so many samples of both channels."""

    @property
    def n_bytes(self) -> int:
        """What it takes of memory once it is full."""

    def write(self, left: Samples, right: Samples, rate: int) -> None:
        """For tests: what a tap does with each frame."""

class RingSet:
    def __len__(self) -> int: ...
    def add(self, key: int, ring: Ring) -> None:
        """The set frees the ring when it is done. `ring` must not be used to write afterwards but by taps."""

    def drain(self) -> tuple[Sequence[tuple[int, int, int, bytes | int]], Iterable[int], bool]:
        """Take what all rings hold, without the GIL: (key, kind, rate, int16 pairs or the length of the silence) in
        order, the keys whose ring was closed and is drained, and whether there is more to take at once."""
