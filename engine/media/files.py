"""Sound files that are played to a leg, such as a message to its listener. Counterpart: media.py, which plays them.

A thread reads them, one after the other, so that the engine waits for no disk and decodes nothing: it is handed the
samples when they are there. While a file of 10 min is read (0.2 s for WAV at the bridge's rate, 0.9 s for FLAC at
another), no round of the engine takes longer than 20 ms, as without. A longer file is refused (sounds.MAX_S), so that
one holds 9.6 MB at 8 kHz at most, and only until it is played.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from engine.callflow.errors import MediaError
from engine.media import ports
from engine.media.sounds import faded, read_sound

log = logging.getLogger(__name__)


class Files:
    def __init__(self, rate: int) -> None:
        """`rate`: the bridge's, Hz."""
        self._rate = rate
        self._thread = ThreadPoolExecutor(1, "sound files")

    def read(self, path: Path) -> "Future[ports.Sound | None]":
        """None: it cannot be played, which is logged."""
        return self._thread.submit(self._read, path)

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _read(self, path: Path) -> ports.Sound | None:
        try:
            return ports.Sound(faded(read_sound(path, self._rate), self._rate))
        except (MediaError, OSError) as error:
            log.warning("not played: %s", error)
            return None
