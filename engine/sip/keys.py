"""Keys that a caller pressed, each once. Counterpart: legs.py, which hears of them from PJSIP.

A key comes as an RTP event (RFC 4733), as a SIP INFO (application/dtmf-relay), or as a tone that the media room hears
in the audio of a leg without RTP events; from some gateways by two of these ways. The second copy of such a key comes
within moments, in the same order, by the other way; it is dropped. Whoever uses one way alone, or changes over in the
middle of a call, loses nothing.
"""

from collections import deque
from collections.abc import Callable

COPY_WITHIN_S = 2.0
IN_BAND = -1  # beside PJSIP's numbers of ways, from 0 up


class Keys:
    """The keys of one leg."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._alone: deque[tuple[float, int, str]] = deque()  # when, by which way: no copy of it has come

    def is_new(self, key: str, way: int) -> bool:
        """False for the copy of a key that came by another way."""
        now = self._now()
        while self._alone and self._alone[0][0] < now - COPY_WITHIN_S:
            self._alone.popleft()
        for at, (_, other, pressed) in enumerate(self._alone):
            if other != way and pressed == key:
                del self._alone[at]
                return False
        self._alone.append((now, way, key))
        return True
