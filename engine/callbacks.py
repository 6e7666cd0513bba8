"""Who is owed a call, when each is due, and who may be called now. Pure: the time is an argument, the rest of the
world is `write`, which keeps each version of an entry.

One entry for each number stands open: asked again, the newer request stands with the older arrival. An entry lives
`open -> dialling -> open ... -> done | failed | cancelled`. While it is `dialling`, a virtual caller stands for it in
its queue with the original arrival, so that its order among the callers is the core's; the customer's phone rings only
when an agent is there for it. Nobody is called outside the windows of the day, nor while being on the line with us.

Counterparts: staff.Callbacks, the rules of a queue; switch, which makes calls of entries; engine/records, which keeps
them. All datetimes are UTC with their zone.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from engine.callflow.numbers import can_be_called, canonical
from engine.callflow.record import CallbackEntry
from engine.callflow.staff import Callbacks as Rules

AGAIN_S = 30.0  # until an attempt that ended before the customer was called is made anew

# What became of an attempt in which the customer was called, by the call's disposition. Any other: failed.
_RESULTS: Mapping[str, str] = {
    "customer_busy": "busy",
    "customer_no_answer": "no_answer",
    "abandoned": "no_answer",  # customer first: reached, and gone before an agent came
}

_TICK = timedelta(microseconds=1)


@dataclass(slots=True)
class Attempt:
    """A virtual caller."""

    number: str
    queue: str
    is_called: bool = False  # the customer's phone rings or rang


@dataclass(slots=True)
class Line:
    """The open entries of one queue: numbers by the arrival they count from, and those to come by their time.

    What is no longer so is left in the heaps until it comes up.
    """

    ready: list[tuple[datetime, str, str]] = field(default_factory=list)  # arrival, id, number
    later: list[tuple[datetime, str, str]] = field(default_factory=list)  # due, id, number
    n_attempts: int = 0


class Callbacks:
    """`rules` and `zone` (of the windows) may be replaced at any time."""

    def __init__(self, rules: Mapping[str, Rules], zone: tzinfo, write: Callable[[CallbackEntry], None]) -> None:
        self.rules, self.zone = rules, zone
        self._write = write
        self._active: dict[str, CallbackEntry] = {}
        self._lines: dict[str, Line] = {}
        self._attempts: dict[str, Attempt] = {}  # by their calls
        self._on_line: Counter[str] = Counter()  # callers who are with us now, by number

    def load(self, entries: Iterable[CallbackEntry], utc: datetime) -> None:
        """What an earlier run left. An attempt that a crash cut off is made again."""
        for entry in entries:
            held = self._active.get(entry.number)
            if not entry.is_active or (held and held.id == entry.id):
                continue
            if held or entry.state == "dialling":
                self._promise(replace(entry, state="open"), utc)
            else:
                self._active[entry.number] = entry
                self._line_up(entry)

    # ---- promises

    def promise(
        self,
        call: str,
        number: str,
        queue: str,
        reason: str,
        arrived_at: datetime,
        utc: datetime,
        dnis: str | None = None,
        language: str | None = None,
        needs: str | None = None,
        due_at: datetime | None = None,
    ) -> CallbackEntry | None:
        """Owe this number a call, not before `due_at`; it is kept when this returns. None: that is no number one can
        call.

        An attempt under way is kept to: it takes the promise over.
        """
        number = canonical(number)
        if not can_be_called(number):
            return None
        entry = CallbackEntry(call, number, queue, reason, arrived_at, utc, due_at or utc, utc)
        return self._promise(replace(entry, dnis=dnis, language=language, needs=needs), utc)

    def _promise(self, entry: CallbackEntry, utc: datetime) -> CallbackEntry:
        other = self._active.get(entry.number)
        if other and other.state == "dialling":
            return other
        if other:
            entry, other = (entry, other) if entry.created_at >= other.created_at else (other, entry)
            entry = entry.taking_over(other)
        self._keep(entry, utc)
        if other and other.id != entry.id:
            self._close(other, utc, "cancelled", "merged")
        return self._active[entry.number]

    def cancel(self, number: str, by: str, utc: datetime) -> str | None:
        """An operator takes the promise back. Returns the call to hang up, if one is under way. KeyError: none is
        owed."""
        number = canonical(number)
        entry = self._active[number]
        self._forget_attempt(entry)
        self._close(entry, utc, "cancelled", f"cancelled_by {by}")
        return entry.call if entry.state == "dialling" else None

    def retry(self, entry: CallbackEntry, utc: datetime) -> CallbackEntry:
        """An operator has it tried at once, also one that was cancelled or has failed."""
        return self._promise(replace(entry, state="open", result=None, due_at=utc), utc)

    def call_by_hand(self, number: str, by: str, utc: datetime) -> None:
        """Somebody called the customer: the promise is kept. KeyError: none is owed."""
        self._close(replace(self._active[number], agent=by), utc, "done", "answered")

    # ---- callers who are owed a call and call themselves

    def arrives(self, number: str) -> str | None:
        """A caller is with us, and is not called meanwhile. Returns the call to hang up if that is under way."""
        number = canonical(number)
        self._on_line[number] += 1
        entry = self._active.get(number)
        return entry.call if entry and entry.state == "dialling" else None

    def leaves(self, number: str) -> None:
        """The caller has gone. What is still owed may be dialled again."""
        number = canonical(number)
        self._on_line[number] -= 1
        if not self._on_line[number]:
            del self._on_line[number]
            entry = self._active.get(number)
            if entry and entry.state == "open":
                self._line_up(entry)

    def serves(self, number: str, call: str, agent: str | None, utc: datetime) -> None:
        """The caller talks to an agent: nothing is owed any more."""
        entry = self._active.get(canonical(number))
        if entry:
            self._forget_attempt(entry)
            self._close(replace(entry, agent=agent, call=call), utc, "cancelled", "served_meanwhile")

    # ---- attempts

    def due(self, utc: datetime, n_agents: Callable[[str], int]) -> list[CallbackEntry]:
        """Whom to call now, the earliest arrival first: as many as the queue's agents (`n_agents` are logged in) may
        have in callbacks at once. Each must begin() or stay open."""
        found = []
        for queue, line in self._lines.items():
            rules = self.rules.get(queue)
            if rules is None or not rules.trunk:
                continue
            while line.later and line.later[0][0] <= utc:
                _, id, number = heapq.heappop(line.later)
                if self._is_open(number, id):
                    heapq.heappush(line.ready, (self._active[number].arrived_at, id, number))
            if line.ready and self._is_within(rules, utc):
                found += self._first(line, most_at_once(rules, n_agents(queue)) - line.n_attempts, utc)
        return found

    def _first(self, line: Line, most: int, utc: datetime) -> list[CallbackEntry]:
        found: list[CallbackEntry] = []
        while line.ready and len(found) < most:
            _, id, number = heapq.heappop(line.ready)
            if not self._is_open(number, id) or self._active[number] in found:
                continue
            if number not in self._on_line and self._active[number].due_at <= utc:  # else leaves() lines it up again
                found.append(self._active[number])
        for entry in found:
            heapq.heappush(line.ready, (entry.arrived_at, entry.id, entry.number))
        return found

    def next_at(self, utc: datetime) -> datetime | None:
        """When due() or closed() may bring something new if nothing happens before."""
        times = []
        for queue, line in self._lines.items():
            if (rules := self.rules.get(queue)) and rules.trunk:
                times += [line.later[0][0]] if line.later else []
                times += [self._next_edge(rules, utc)] if line.ready or line.n_attempts else []
        return min(times, default=None)

    def begin(self, number: str, call: str, utc: datetime) -> CallbackEntry:
        """The virtual caller `call` goes into the queue."""
        entry = replace(self._active[number], state="dialling", call=call)
        self._attempts[call] = Attempt(number, entry.queue)
        self._lines[entry.queue].n_attempts += 1
        self._keep(entry, utc)
        return entry

    def may_call(self, call: str, utc: datetime) -> bool:
        """Whether the customer's phone may ring now. From then on this is an attempt that counts."""
        attempt = self._attempts.get(call)
        if attempt is None or attempt.number in self._on_line:
            return False
        rules = self.rules.get(attempt.queue)
        if rules is None or not self._is_within(rules, utc):
            return False
        attempt.is_called = True
        entry = self._active[attempt.number]
        self._keep(replace(entry, n_attempts=entry.n_attempts + 1), utc)
        return True

    def closed(self, utc: datetime) -> list[str]:
        """Calls under way whose customer was not called before the window of the day ended: they are to be hung up."""
        return [
            call
            for call, attempt in self._attempts.items()
            if not attempt.is_called
            and not ((rules := self.rules.get(attempt.queue)) and self._is_within(rules, utc))
        ]

    def connected(self, call: str, agent: str | None, utc: datetime) -> None:
        """Customer and agent talk: the promise is kept."""
        if attempt := self._attempts.get(call):
            entry = self._active[attempt.number]
            self._forget_attempt(entry)
            self._close(replace(entry, agent=agent), utc, "done", "answered")

    def ended(self, call: str, disposition: str | None, utc: datetime) -> None:
        """The call is over. If it did not come to a talk, there is another attempt, or the callback has failed."""
        attempt = self._attempts.get(call)
        if attempt is None:
            return
        entry = self._active[attempt.number]
        self._forget_attempt(entry)
        if not attempt.is_called:
            is_wanted = attempt.number in self._on_line  # and waits for them to leave
            due_at = utc if is_wanted else utc + timedelta(seconds=AGAIN_S)
            self._keep(replace(entry, state="open", due_at=due_at), utc)
            return
        result = _RESULTS.get(disposition or "", "failed")
        rules = self.rules.get(entry.queue)
        pauses = rules.retries.get(result, ()) if rules else ()
        if attempt.number in self._on_line:  # the call crossed the customer's own
            self._keep(replace(entry, state="open", due_at=utc), utc)
        elif entry.n_attempts <= len(pauses):
            due_at = utc + timedelta(seconds=pauses[entry.n_attempts - 1])
            self._keep(replace(entry, state="open", due_at=due_at, result=result), utc)
        else:
            self._close(entry, utc, "failed", result)

    # ---- looking

    def __len__(self) -> int:
        return len(self._active)

    def entries(self) -> list[CallbackEntry]:
        """All that are owed, the earliest arrival first."""
        return sorted(self._active.values(), key=lambda entry: (entry.arrived_at, entry.id))

    def entry_of(self, call: str) -> CallbackEntry | None:
        """What a virtual caller stands for."""
        attempt = self._attempts.get(call)
        return self._active[attempt.number] if attempt else None

    # ---- helpers

    def _keep(self, entry: CallbackEntry, utc: datetime) -> None:
        """A version must be later than the one before, however little time went by."""
        before = self._active.get(entry.number, entry)
        at = max(utc, entry.updated_at + _TICK, before.updated_at + _TICK)
        entry = self._active[entry.number] = replace(entry, updated_at=at)
        if entry.state == "open":
            self._line_up(entry)
        self._write(entry)

    def _close(self, entry: CallbackEntry, utc: datetime, state: str, result: str) -> None:
        if self._active[entry.number].id == entry.id:
            del self._active[entry.number]
        self._write(replace(entry, state=state, result=result, updated_at=max(utc, entry.updated_at + _TICK)))

    def _line_up(self, entry: CallbackEntry) -> None:
        line = self._lines.setdefault(entry.queue, Line())
        heapq.heappush(line.later, (entry.due_at, entry.id, entry.number))

    def _is_open(self, number: str, id: str) -> bool:
        entry = self._active.get(number)
        return entry is not None and entry.id == id and entry.state == "open"

    def _forget_attempt(self, entry: CallbackEntry) -> None:
        if entry.state == "dialling" and entry.call:
            self._lines[self._attempts.pop(entry.call).queue].n_attempts -= 1

    def _is_within(self, rules: Rules, utc: datetime) -> bool:
        local = utc.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        return any(begin <= minute < end for begin, end in rules.windows)

    def _next_edge(self, rules: Rules, utc: datetime) -> datetime:
        """When a window begins or ends next."""
        local = utc.astimezone(self.zone)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        edges = [
            (midnight + timedelta(days=days, minutes=minute)).astimezone(UTC)
            for days in (0, 1)
            for stretch in rules.windows
            for minute in stretch
        ]
        return min((edge for edge in edges if edge > utc), default=utc + timedelta(days=1))


def most_at_once(rules: Rules, n_agents: int) -> int:
    """How many callbacks of a queue may be under way: its share of the agents logged in, one at least."""
    return max(1, int(n_agents * rules.share_percent / 100)) if n_agents else 0


def row_of(entry: CallbackEntry) -> dict[str, Any]:
    """All its fields as JSON values."""
    return {name: v.isoformat() if isinstance(v, datetime) else v for name, v in asdict(entry).items()}
