"""How busy the engine's thread is, and how many new calls it takes when that is too much.

Overload shows in the thread's own CPU time, not in the length of a round: PJSIP hands over one message at a time, so
each round stays short while messages queue up in the socket. CPU time also leaves out what other programs and a
hypervisor take. It is too much when the thread uses more of a core than `max load`, or has worked for long without once
finding the network's queue empty: what waits there then waits for as long.

New calls then get a rate, which follows the load from second to second, so that those which are taken are set up as
fast as ever. To refuse all of them until the load has fallen, and then to take all, swings from one to the other: at
twice the bearable rate hardly any caller got through. Pure: the clocks are passed in.
"""

from collections import deque

WINDOW_S = 5.0  # of the slowest round
LOOK_EVERY_S = 1.0
BEHIND_S = 0.2  # of work without a pause; what is not answered within T1, 0.5 s, is sent again (RFC 3261 section 17.1)
LESS, MORE = 0.5, 1.5  # the most by which the rate changes at once
LEAST_PER_S = 1.0
IN_USE = 0.75  # of the rate: where fewer calls come, it is not needed any more


class Load:
    def __init__(self, max_load: float) -> None:
        """max_load: share of one core, 0 to 1, above which new calls are refused; 1: none ever is."""
        self._max_load = max_load
        self._slowest: deque[tuple[float, float]] = deque()  # (when, seconds) of rounds, the slowest first
        self._looked: tuple[float, float, int] | None = None  # (now, CPU seconds, calls) at the last look
        self._rested_cpu_s = 0.0  # CPU seconds when the network's queue was empty last
        self.calls_per_s: float | None = None  # new calls that are taken; None: all
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

    def look(self, now: float, cpu_s: float, n_calls: int, is_idle: bool) -> bool:
        """After each round. `n_calls`: taken since the start; `is_idle`: the network's queue was empty. True if
        `calls_per_s` changed."""
        if self._looked is None:
            self._looked = now, cpu_s, n_calls
            self._rested_cpu_s = cpu_s
        if is_idle:
            self._rested_cpu_s = cpu_s
        looked_at, cpu_before_s, n_before = self._looked
        is_behind, seconds = cpu_s - self._rested_cpu_s > BEHIND_S, now - looked_at
        if seconds < (BEHIND_S if is_behind else LOOK_EVERY_S):
            return False
        self._looked = now, cpu_s, n_calls
        if is_behind:
            self._rested_cpu_s = cpu_s
        self.load = (cpu_s - cpu_before_s) / seconds
        was, self.calls_per_s = self.calls_per_s, self._bearable((n_calls - n_before) / seconds, is_behind)
        return self.calls_per_s != was

    def _bearable(self, taken_per_s: float, is_behind: bool) -> float | None:
        if self._max_load >= 1.0:
            return None
        change = min(MORE, self._max_load / max(self.load, self._max_load / MORE))
        if is_behind:
            return max(LEAST_PER_S, taken_per_s * LESS)
        if change < 1.0:
            return max(LEAST_PER_S, taken_per_s * max(LESS, change))
        if self.calls_per_s is None or taken_per_s < IN_USE * self.calls_per_s:
            return None
        return self.calls_per_s * change
