"""How busy the engine's thread is, and when it must take no more calls.

Overload shows in the thread's own CPU time, not in the length of a round: PJSIP hands over one message at a time, so
each round stays short while messages queue up in the socket. CPU time also leaves out what other programs and a
hypervisor take, which refusing calls would not give back. Pure: the clocks are passed in.
"""

from collections import deque

WINDOW_S = 5.0  # of the slowest round
LOOK_EVERY_S = 1.0
EASED = 0.85  # of the highest load: below it, calls are taken again


class Load:
    def __init__(self, max_load: float) -> None:
        """max_load: share of one core, 0 to 1, above which new calls are refused."""
        self._max_load = max_load
        self._slowest: deque[tuple[float, float]] = deque()  # (when, seconds) of rounds, the slowest first
        self._looked: tuple[float, float] | None = None  # (now, CPU seconds) at the last look
        self.is_over = False
        self.load = 0.0  # share of one core during the last look's interval

    def note_round(self, at: float, seconds: float) -> None:
        """Keeps those rounds that may yet be the slowest of the window."""
        while self._slowest and self._slowest[-1][1] <= seconds:
            self._slowest.pop()
        self._slowest.append((at, seconds))
        while self._slowest[0][0] < at - WINDOW_S:
            self._slowest.popleft()

    def slowest_round_s(self) -> float:
        """The longest time that a round of the last 5 s held up the network."""
        return self._slowest[0][1] if self._slowest else 0.0

    def look(self, now: float, cpu_s: float) -> bool:
        """Once a second; True if `is_over` changed."""
        if self._looked is None:
            self._looked = now, cpu_s
        looked_at, cpu_before_s = self._looked
        if now - looked_at < LOOK_EVERY_S:
            return False
        self._looked = now, cpu_s
        self.load = (cpu_s - cpu_before_s) / (now - looked_at)
        was, limit = self.is_over, self._max_load * (EASED if self.is_over else 1.0)
        self.is_over = self.load > limit
        return self.is_over is not was
