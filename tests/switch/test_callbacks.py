"""The registry of callbacks beside a plain model, through random days with crashes; and controls that show the days
would tell.

The model knows one thing of each number: what is owed to it. Whom to call is then a sentence, written out in
expected().
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine import callbacks
from engine.callbacks import AGAIN_S, Callbacks, most_at_once
from engine.callflow.record import CallbackEntry
from engine.callflow.staff import Callbacks as Rules

ZONE = ZoneInfo("Asia/Shanghai")
MORNING = datetime(2026, 11, 22, 0, 30, tzinfo=UTC)  # 08:30 in Shanghai
RULES = {
    "sales": Rules(trunk="carrier", windows=((540, 720), (780, 1260)), share_percent=40.0),
    "vip": Rules(trunk="carrier", windows=((0, 1440),), retries={"busy": (60.0, 120.0)}),
    "by_hand": Rules(trunk=""),
}
NUMBERS = [f"+86138001380{n:02}" for n in range(12)]


@dataclass
class Owed:
    """What the model knows of one number."""

    id: str
    queue: str
    arrived_at: datetime
    due_at: datetime
    call: str | None = None  # an attempt is under way
    is_called: bool = False
    n_attempts: int = 0


class Day:
    """A registry, a model, and what the records room has of it."""

    def __init__(self, seed: int, kind: type[Callbacks] = Callbacks) -> None:
        self.random = random.Random(seed)
        self.kind = kind
        self.utc = MORNING
        self.stored: dict[str, CallbackEntry] = {}
        self.owed: dict[str, Owed] = {}
        self.on_line: list[str] = []
        self.agents = {"sales": 5, "vip": 1, "by_hand": 9}
        self.n_calls = 0
        self.registry = kind(RULES, ZONE, self.write)

    def write(self, entry: CallbackEntry) -> None:
        before = self.stored.get(entry.id)
        assert before is None or before.updated_at < entry.updated_at, "the records room would drop this version"
        self.stored[entry.id] = entry

    def new_call(self) -> str:
        self.n_calls += 1
        return f"c{self.n_calls}"

    # ---- what may happen

    def play(self, n_steps: int = 120) -> None:
        deeds: list[Callable[[], None]] = [
            *[self.ask] * 4,
            *[self.dial] * 6,
            *[self.end_attempt] * 4,
            *[self.call_in] * 2,
            *[self.hang_up] * 2,
            self.be_served,
            self.cancel,
            self.crash,
            self.change_shift,
        ]
        for _ in range(n_steps):
            self.utc += timedelta(seconds=self.random.choice((0, 1, 30, 300, 1800, 7200)))
            self.random.choice(deeds)()
            self.check()

    def ask(self) -> None:
        number, queue = self.random.choice(NUMBERS), self.random.choice(list(RULES))
        arrived_at = self.utc - timedelta(seconds=self.random.randrange(900))
        call = self.new_call()
        self.registry.promise(call, number, queue, "asked", arrived_at, self.utc)
        older = self.owed.get(number)
        if older is None:
            self.owed[number] = Owed(call, queue, arrived_at, self.utc)
        elif older.call is None:
            self.owed[number] = Owed(call, queue, min(arrived_at, older.arrived_at), self.utc)

    def dial(self) -> None:
        for entry in self.registry.due(self.utc, lambda queue: self.agents[queue]):
            assert entry.number in self.expected(entry.queue)
            call = self.new_call()
            self.registry.begin(entry.number, call, self.utc)
            self.owed[entry.number].call = call
        assert not any(self.expected(queue) for queue in RULES), "somebody is owed a call and is not called"

    def expected(self, queue: str) -> list[str]:
        """Who may be called by this queue now, the earliest arrival first."""
        rules = RULES[queue]
        if not rules.trunk or not self.is_open(queue):
            return []
        room = most_at_once(rules, self.agents[queue]) - len(self.under_way(queue))
        waiting = [
            (owed.arrived_at, owed.id, number)
            for number, owed in self.owed.items()
            if owed.queue == queue and owed.call is None and owed.due_at <= self.utc and number not in self.on_line
        ]
        return [number for _, _, number in sorted(waiting)[: max(0, room)]]

    def is_open(self, queue: str) -> bool:
        local = self.utc.astimezone(ZONE)
        return any(begin <= local.hour * 60 + local.minute < end for begin, end in RULES[queue].windows)

    def under_way(self, queue: str) -> list[str]:
        return [number for number, owed in self.owed.items() if owed.queue == queue and owed.call]

    def end_attempt(self) -> None:
        """An agent is there for a callback, and the customer answers or not."""
        numbers = [number for number, owed in self.owed.items() if owed.call]
        if not numbers:
            return
        number = self.random.choice(numbers)
        owed = self.owed[number]
        assert owed.call
        may = self.registry.may_call(owed.call, self.utc)
        assert may == (self.is_open(owed.queue) and number not in self.on_line)
        if not may:
            self.registry.ended(owed.call, "hung_up", self.utc)
            owed.call, owed.due_at = None, self.utc + timedelta(seconds=0 if number in self.on_line else AGAIN_S)
            return
        owed.n_attempts += 1
        disposition = self.random.choice(("answered", "customer_busy", "customer_no_answer", "customer_failed"))
        if disposition == "answered":
            self.registry.connected(owed.call, "1001", self.utc)
            self.registry.ended(owed.call, disposition, self.utc)
            del self.owed[number]
            return
        self.registry.ended(owed.call, disposition, self.utc)
        pauses = RULES[owed.queue].retries.get(disposition.removeprefix("customer_"), ())
        if owed.n_attempts > len(pauses):
            del self.owed[number]
        else:
            owed.call, owed.due_at = None, self.utc + timedelta(seconds=pauses[owed.n_attempts - 1])

    def call_in(self) -> None:
        number = self.random.choice(NUMBERS)
        to_hang_up = self.registry.arrives(number)
        self.on_line.append(number)
        owed = self.owed.get(number)
        assert to_hang_up == (owed.call if owed else None), "called and calling at once"
        if owed and to_hang_up:
            self.registry.ended(to_hang_up, "hung_up", self.utc)
            owed.call, owed.due_at = None, self.utc

    def hang_up(self) -> None:
        if self.on_line:
            number = self.on_line.pop(self.random.randrange(len(self.on_line)))
            self.registry.leaves(number)

    def be_served(self) -> None:
        if self.on_line:
            number = self.random.choice(self.on_line)
            self.registry.serves(number, self.new_call(), "1001", self.utc)
            self.owed.pop(number, None)

    def cancel(self) -> None:
        if self.owed:
            number = self.random.choice(list(self.owed))
            owed = self.owed.pop(number)
            assert self.registry.cancel(number, "somebody", self.utc) == owed.call

    def crash(self) -> None:
        """Everything in memory is gone; calls with it."""
        self.registry = self.kind(RULES, ZONE, self.write)
        self.registry.load(self.stored.values(), self.utc)
        self.on_line = []
        for owed in self.owed.values():
            if owed.call:
                owed.call = None

    def change_shift(self) -> None:
        self.agents["sales"] = self.random.choice((0, 1, 5, 12))

    # ---- what must hold

    def check(self) -> None:
        held = {entry.number: entry for entry in self.registry.entries()}
        assert set(held) == set(self.owed), "a promise is lost, or made up"
        for number, entry in held.items():
            owed = self.owed[number]
            state = "dialling" if owed.call else "open"
            assert (entry.id, entry.state, entry.arrived_at) == (owed.id, state, owed.arrived_at)
            assert entry.n_attempts == owed.n_attempts
        active = [entry for entry in self.stored.values() if entry.is_active]
        assert {entry.id for entry in active} == {owed.id for owed in self.owed.values()}
        assert len({entry.number for entry in active}) == len(active), "two are open for one number"
        over = [entry for entry in self.stored.values() if not entry.is_active]
        assert all(entry.result for entry in over), "an entry is over and nobody knows why"
        next_at = self.registry.next_at(self.utc)
        later = [self.owed[n].due_at for n in self.owed if RULES[self.owed[n].queue].trunk and not self.owed[n].call]
        later = [at for at in later if at > self.utc]
        assert not later or (next_at is not None and next_at <= min(later)), "nobody would look in time"


def play(seeds: range, kind: type[Callbacks] = Callbacks) -> int:
    """How many of the days went wrong."""
    n_bad = 0
    for seed in seeds:
        try:
            Day(seed, kind).play()
        except (AssertionError, LookupError):
            if kind is Callbacks:
                raise
            n_bad += 1
    return n_bad


def test_registry_and_model_agree_through_any_day() -> None:
    play(range(200))


@pytest.mark.prove
def test_registry_and_model_agree_through_50_000_days() -> None:
    seeds = range(10_000, 60_000)
    print(f"seeds {seeds.start} to {seeds.stop - 1}")
    play(seeds)


# ---- controls: a law removed must be seen


class AtAnyHour(Callbacks):
    def _is_within(self, rules: Rules, utc: datetime) -> bool:
        return True


class TwoForOne(Callbacks):
    def _promise(self, entry: CallbackEntry, utc: datetime) -> CallbackEntry:
        self._keep(entry, utc)
        return entry


class PlaceLost(Callbacks):
    def _promise(self, entry: CallbackEntry, utc: datetime) -> CallbackEntry:
        older = self._active.get(entry.number)
        if older and older.state == "open" and older.id != entry.id:
            self._close(older, utc, "cancelled", "merged")
        return super()._promise(entry, utc)


class CalledWhileCalling(Callbacks):
    def arrives(self, number: str) -> str | None:
        super().arrives(number)
        self._on_line.clear()
        return None

    def leaves(self, number: str) -> None:
        pass


class ServedAndCalled(Callbacks):
    def serves(self, number: str, call: str, agent: str | None, utc: datetime) -> None:
        pass


class CutOffByCrash(Callbacks):
    def load(self, entries: Iterable[CallbackEntry], utc: datetime) -> None:
        super().load([entry for entry in entries if entry.state == "open"], utc)


class AttemptsForgotten(Callbacks):
    def begin(self, number: str, call: str, utc: datetime) -> CallbackEntry:
        entry = super().begin(number, call, utc)
        self._lines[entry.queue].n_attempts -= 1
        return entry


class SameInstant(Callbacks):
    """Versions by the clock alone: two changes at one instant are one for the records room."""

    def _keep(self, entry: CallbackEntry, utc: datetime) -> None:
        super()._keep(entry, utc)
        self._active[entry.number] = replace(self._active[entry.number], updated_at=utc - timedelta(seconds=1))


@pytest.mark.parametrize(
    "kind",
    [AtAnyHour, TwoForOne, PlaceLost, CalledWhileCalling, ServedAndCalled, CutOffByCrash, AttemptsForgotten],
)
def test_control_a_law_removed_is_seen(kind: type[Callbacks]) -> None:
    assert play(range(60), kind) > 0


def test_control_versions_of_one_instant_are_seen() -> None:
    assert play(range(60), SameInstant) > 0


def test_control_the_cap_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "most_at_once", lambda rules, n_agents: 99)
    with pytest.raises(AssertionError):
        play(range(60))


# ---- single sentences


def test_a_withheld_number_is_no_promise() -> None:
    registry = Callbacks(RULES, ZONE, lambda entry: None)
    for number in ("", "anonymous", "*31#", "12"):
        assert registry.promise("c1", number, "sales", "asked", MORNING, MORNING) is None
    assert len(registry) == 0


def test_one_number_in_three_forms_is_one_promise() -> None:
    registry = Callbacks(RULES, ZONE, lambda entry: None)
    for n, number in enumerate(("013800138000", "+86 138 0013 8000", "008613800138000")):
        registry.promise(f"c{n}", number, "sales", "asked", MORNING - timedelta(seconds=n), MORNING)
    (entry,) = registry.entries()
    assert (entry.id, entry.arrived_at) == ("c2", MORNING - timedelta(seconds=2))


def test_an_attempt_that_waits_past_the_window_is_taken_back() -> None:
    registry = Callbacks(RULES, ZONE, lambda entry: None)
    late = MORNING.replace(hour=12, minute=59, second=50)  # 20:59:50 in Shanghai
    registry.promise("c1", NUMBERS[0], "sales", "asked", late, late)
    (entry,) = registry.due(late, lambda queue: 3)
    registry.begin(entry.number, "v1", late)
    end = late + timedelta(seconds=10)
    assert registry.closed(late) == [] and registry.next_at(late) == end
    assert registry.closed(end) == ["v1"]
    registry.ended("v1", "hung_up", end)
    assert registry.due(end + timedelta(hours=1), lambda queue: 3) == []
    assert registry.due(late.replace(hour=1, minute=0) + timedelta(days=1), lambda queue: 3)


@pytest.mark.parametrize(("n_agents", "n"), [(0, 0), (1, 1), (4, 1), (5, 2), (10, 4), (12, 4)])
def test_the_share_of_agents_rounds_down_and_one_always_may(n_agents: int, n: int) -> None:
    assert most_at_once(RULES["sales"], n_agents) == n
