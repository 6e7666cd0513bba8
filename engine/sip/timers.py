"""What the SIP room does when some time has passed, if it is still to be done then: whoever is called looks."""

import heapq
import itertools
from collections.abc import Callable

Deed = Callable[[int], None]  # with a leg


class Timers:
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._heap: list[tuple[float, int, Deed, int]] = []
        self._order = itertools.count()

    def after(self, seconds: float, deed: Deed, leg: int) -> None:
        heapq.heappush(self._heap, (self._now() + seconds, next(self._order), deed, leg))

    def run(self) -> None:
        while self._heap and self._heap[0][0] <= self._now():
            _, _, deed, leg = heapq.heappop(self._heap)
            deed(leg)
