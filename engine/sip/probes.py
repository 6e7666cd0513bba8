"""Whether phones are still there: each is asked by OPTIONS now and then, the phones spread over the interval.

A phone that answers, whatever it says, is there, and the time it took is its round trip. One that leaves several in a
row unanswered, a few seconds each, is gone; it is asked on, and is back with its first answer or REGISTER.
Counterparts: registrar.py, whose bindings these are; phones.py, which sends. Pure: time is passed in.
"""

import heapq
import itertools
from dataclasses import dataclass
from zlib import crc32

from engine.sip.registrar import Binding, Key

ANSWER_WITHIN_S = 4.0  # then the next one is sent
_TRIES = 16  # numbers kept apart for one phone: a late answer is known as such

At = tuple[str, Key]


@dataclass(slots=True)
class Watch:
    number: int
    binding: Binding
    due_at: float = 0.0
    tries: int = 0
    sent_at: float | None = None  # the last one is unanswered
    n_unanswered: int = 0


class Probes:
    def __init__(self, every_s: float, n_unanswered: int) -> None:
        """`every_s`: infinite, if nobody is to be asked."""
        self._every_s, self._n_unanswered = every_s, n_unanswered
        self._watches: dict[At, Watch] = {}
        self._by_number: dict[int, Watch] = {}
        self._numbers = itertools.count(1)
        self._due: list[tuple[float, int]] = []  # heap; an entry counts if it is the watch's due_at

    def __len__(self) -> int:
        return len(self._watches)

    def watch(self, binding: Binding, now: float) -> None:
        """The phone has just registered, or a restart found it: asked within the interval, at once if it is gone."""
        at = binding.agent, binding.key
        watch = self._watches.get(at)
        if watch is None:
            watch = self._watches[at] = Watch(next(self._numbers), binding)
            self._by_number[watch.number] = watch
            self._ask_at(watch, now + self._phase(at))
        watch.binding, watch.sent_at, watch.n_unanswered = binding, None, 0
        if binding.is_gone:
            self._ask_at(watch, now)

    def unwatch(self, binding: Binding) -> None:
        watch = self._watches.pop((binding.agent, binding.key))
        del self._by_number[watch.number]

    def due(self, now: float) -> tuple[list[tuple[int, Binding]], list[Binding]]:
        """Whom to ask now, with the number of the question; and who has just become gone."""
        ask: list[tuple[int, Binding]] = []
        gone: list[Binding] = []
        while self.deadline() <= now:
            watch = self._by_number[heapq.heappop(self._due)[1]]
            if watch.sent_at is not None:
                watch.n_unanswered += 1
            binding = watch.binding
            if watch.n_unanswered >= self._n_unanswered and not binding.is_gone:
                binding.is_gone, binding.rtt_s = True, None
                gone.append(binding)
            watch.tries += 1
            watch.sent_at = now
            ask.append((watch.number * _TRIES + watch.tries % _TRIES, binding))
            self._ask_at(watch, now + (self._every_s if binding.is_gone else ANSWER_WITHIN_S))
        return ask, gone

    def answered(self, number: int, now: float) -> Binding | None:
        """The phone that answers, if it was gone."""
        watch = self._by_number.get(number // _TRIES)
        if watch is None or watch.sent_at is None:
            return None
        if number % _TRIES == watch.tries % _TRIES:
            watch.binding.rtt_s = now - watch.sent_at
        watch.sent_at, watch.n_unanswered = None, 0
        self._ask_at(watch, now + self._every_s)
        was_gone, watch.binding.is_gone = watch.binding.is_gone, False
        return watch.binding if was_gone else None

    def asks_by_proxy(self, number: int) -> bool:
        """Whether a proxy stands between us and the phone that was asked."""
        watch = self._by_number.get(number // _TRIES)
        return watch is not None and bool(watch.binding.path)

    def deadline(self) -> float:
        """When due() has something to do."""
        while self._due and not self._counts(*self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else float("inf")

    def _counts(self, due_at: float, number: int) -> bool:
        watch = self._by_number.get(number)
        return watch is not None and watch.due_at == due_at

    def _phase(self, at: At) -> float:
        """Of each phone's own, so that 10,000 that came at once are not asked at once."""
        return self._every_s * (crc32(repr(at).encode()) / 2**32) if self._every_s < float("inf") else self._every_s

    def _ask_at(self, watch: Watch, at: float) -> None:
        watch.due_at = at
        if at < float("inf"):
            heapq.heappush(self._due, (at, watch.number))
        if len(self._due) > 4 * len(self._watches) + 1024:
            self._due = [(one.due_at, one.number) for one in self._watches.values() if one.due_at < float("inf")]
            heapq.heapify(self._due)
