"""How `agner explain` goes through a plan: every step a call would meet, and all ways behind it.

The walk is the interpreter's that real calls use (PlanBook.walk), so it cannot drift from what calls do; the results
of the steps are made up: what is certain happens, of the rest each is followed, or the one that was asked for.
Counterpart: dry.py, the command, which draws the lines.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cli.main import fail
from engine.callflow.conditions import OnAir, Share
from engine.callflow.ladder import Rung, ladder
from engine.callflow.numbers import can_be_called
from engine.callflow.plan import Caller, PlanBook, Situation, Step, Stop
from engine.callflow.record import Customer
from engine.callflow.settings import Settings
from engine.callflow.staff import Agent, Staff, able
from engine.callflow.steps import (
    AGENT,
    Announce,
    Ask,
    Callback,
    EarlyMedia,
    HangUp,
    LookUp,
    Queue,
    Transfer,
    items_text,
    needs_text,
)

Dice = tuple[float, float]  # the call's dice lies in here, from, to (excluded)
ANY_DICE: Dice = (0.0, 1.0)


@dataclass(slots=True)
class Line:
    """One step met: where it stands, what it does, what came of it; `ways` are the lines behind each of its results."""

    place: str
    says: str
    result: str | None = None
    notes: list[str] = field(default_factory=list)
    ways: dict[str, list["Line"]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """The call that is explained: what is known of it before it comes."""

    caller: Caller
    at: datetime
    given: Mapping[str, str]  # name -> value, as the command line has it
    is_listed: Callable[[str, str], bool]
    find: Callable[[str], Customer | None] | None  # a customer by number; None: no database is at hand

    def situation(self, values: Mapping[str, str], dice: float = 0.0) -> Situation:
        return Situation(self.caller, self.at, values, self.is_listed, dice)


class Walk:
    """One explanation. `results` are used up, one at each step that may end in several ways."""

    def __init__(self, book: PlanBook, staff: Staff, settings: Settings, call: Call) -> None:
        self.book, self.staff, self.settings, self.call = book, staff, settings, call
        self.airs: set[str] = set()  # names of the air times that were asked for
        self._told: set[tuple[int, frozenset[tuple[str, str]], Dice]] = set()

    def explain(self, plan: str, results: list[str]) -> list[Line]:
        return self._lines(self.book.entries[plan], dict(self.call.given), ANY_DICE, results, 0)

    def _lines(
        self, index: int, values: Mapping[str, str], dice: Dice, results: list[str], n_skipped: int
    ) -> list[Line]:
        """From step `index` on; the first `n_skipped` lines have been told."""
        lines: list[Line] = []
        while True:
            stop = self.book.walk(index, self.call.situation(values, dice[0]))
            for n, visit in enumerate(stop.trail[:-1]):
                step = self.book.steps[visit.index]
                if isinstance(step, OnAir):
                    self.airs.add(step.air.name)
                if n >= n_skipped:
                    lines.append(Line(str(step.place), step.describe(), visit.result))
                    if isinstance(step, Share) and len(parts := _parts(step, dice)) > 1:
                        return lines + self._split(lines[-1], parts, (index, values, n + 1), results)
            n_skipped = 0
            line = Line(str(stop.step.place), stop.step.describe())
            lines.append(line)
            key = (stop.index, frozenset(stop.values.items()), dice)
            if key in self._told and not results:
                line.notes = ["from here on as above"] if stop.step.ways else []
                return lines
            self._told.add(key)
            line.notes = list(self._notes(stop))
            ends = possible(stop.step, self.staff)
            if not ends:
                return lines
            result, learnt = self._certain(stop, ends)
            if result is None and results:
                result, results = self._ordered(stop, ends, results[0]), results[1:]
            if result is None:
                self._fork(line, stop, ends, dice)
                return lines
            line.result = result
            index, values = stop.step.ways[result], {**stop.values, **(learnt or self._learnt(stop, result))}

    def _split(
        self, line: Line, parts: Mapping[str, Dice], at: tuple[int, Mapping[str, str], int], results: list[str]
    ) -> list[Line]:
        """The ways of a split, told from its line on."""
        index, values, n_skipped = at
        if results and results[0] in parts:
            line.result = results[0]
            return self._lines(index, values, parts[results[0]], results[1:], n_skipped)
        line.result = None
        for label, dice in parts.items():
            line.ways[label] = self._lines(index, values, dice, results, n_skipped)
        return []

    def _fork(self, line: Line, stop: Stop, ends: list[str], dice: Dice) -> None:
        """All ways behind a step; results that lead the same way with the same values are told together."""
        ways: dict[tuple[int, frozenset[tuple[str, str]]], list[str]] = {}
        for result in ends:
            values = {**stop.values, **self._learnt(stop, result)}
            ways.setdefault((stop.step.ways[result], frozenset(values.items())), []).append(result)
        for (index, known), together in ways.items():
            line.ways[",".join(together)] = self._lines(index, dict(known), dice, [], 0)

    def _ordered(self, stop: Stop, ends: list[str], result: str) -> str:
        if result not in ends:
            can = ", ".join(repr(end.replace("_", " ")) for end in ends)
            fail(f"{stop.step.place}: {stop.step.describe()} cannot end with {result.replace('_', ' ')!r} (but {can})")
        return result

    def _certain(self, stop: Stop, ends: list[str]) -> tuple[str | None, Mapping[str, str]]:
        """The result that is no matter of chance, and what the call learns by it."""
        step, situation = stop.step, self.call.situation(stop.values)
        if len(ends) == 1:
            return ends[0], {}
        if isinstance(step, Callback) and (not _is_open(step.number, stop) or step.number == "$ani"):
            is_customer = not situation.caller.agent and can_be_called(situation.value(step.number))
            return ("done" if is_customer else "no_number"), {}
        if isinstance(step, LookUp):
            prefix = f"{step.into}."
            given = {name: text for name, text in self.call.given.items() if name.startswith(prefix)}
            if given:
                return "found", given
            if not _is_open(step.number, stop) and not situation.value(step.number):
                return "unknown", {}
            if step.source == "customers" and self.call.find is not None and not _is_open(step.number, stop):
                found = self.call.find(situation.value(step.number))
                return ("found" if found else "unknown"), {
                    prefix + name: text for name, text in (found.values() if found else {}).items()
                }
        return None, {}

    def _learnt(self, stop: Stop, result: str) -> Mapping[str, str]:
        """What a step leaves behind for the steps after it."""
        step = stop.step
        if isinstance(step, Ask) and result in step.choices and not step.survey:
            return {step.into: result}
        if isinstance(step, Queue):
            return {"queue": step.queue}
        return {}

    # ---- what is told besides

    def _notes(self, stop: Stop) -> Iterator[str]:
        step = stop.step
        if isinstance(step, Transfer):
            yield from self._transfer_notes(step, stop)
        elif isinstance(step, EarlyMedia):
            trunk = next((trunk for trunk in self.settings.trunks if trunk.name == self.call.caller.trunk), None)
            if trunk is not None:
                yield f"trunk {trunk.name} has early media" if trunk.early_media else f"trunk {trunk.name}: answered"
        elif isinstance(step, LookUp):
            yield from self._look_up_notes(step, stop)
        elif isinstance(step, Ask) and not step.choices and step.into not in stop.values:
            yield f"what is keyed in is open: --with {step.into}=..."
        elif isinstance(step, Queue):
            yield from self._queue_notes(step, stop)
        elif "$queue" in (getattr(step, "queue", ""), getattr(step, "box", "").removeprefix("queue:")):
            yield f"queue {stop.values['queue']}"

    def _transfer_notes(self, step: Transfer, stop: Stop) -> Iterator[str]:
        """Who it is, where the step leaves that to the call."""
        way, dollar, name = step.uri.partition("$")
        party = way + self.call.situation(stop.values).value(dollar + name)
        if party.startswith(AGENT) and not _is_open(dollar + name, stop):
            agent = self.staff.agents.get(party.removeprefix(AGENT))
            if agent is None:
                yield "no such agent works here: failed"
                return
            yield f"{agent.id} {agent.name}, at {agent.phone}"
        elif dollar and party != way:
            yield party
        yield "answered: the talk ends the plan"

    def _look_up_notes(self, step: LookUp, stop: Stop) -> Iterator[str]:
        result, learnt = self._certain(stop, possible(step, self.staff))
        if result == "found" and learnt:
            yield ", ".join(f"{name} {text}" for name, text in learnt.items())
        elif result is None and step.source == "customers" and self.call.find is None:
            yield f"no database is here: --with {step.into}.level=..."

    def _queue_notes(self, step: Queue, stop: Stop) -> Iterator[str]:
        if step.preferred:
            agent = self.staff.agents.get(self.call.situation(stop.values).value(step.preferred.agent))
            yield f"first: {agent.id} {agent.name}" if agent else "first: nobody, since no such agent is known"
        own = f" ({needs_text(queue.needs)} for the queue)" if (queue := self.staff.queues[step.queue]).needs else ""
        told = None
        for rung in ladder(step):
            names = ", ".join(_named(agent, step.queue) for agent in self._able(step.queue, rung)) or "nobody"
            when = f"after {rung.after_s:g} s" if rung.after_s else "at once" if told is None else "if none is free"
            if (rung.needs, rung.groups) != told:
                yield f"{when}, by skill{own}: {names}"
            told = rung.needs, rung.groups
        yield from (_announced(announce) for announce in step.announces)
        if step.whisper:
            yield f"the agent hears at pick-up: {items_text(step.whisper)}"
        if step.greeting:
            yield f"the caller hears at pick-up: {items_text(step.greeting)}"
        yield "answered by an agent: the talk ends the plan" + (
            ", but for what is under `after talk`" if "served" in step.ways else ""
        )

    def _able(self, queue: str, rung: Rung) -> list[Agent]:
        agents = able(self.staff, queue, rung.needs)
        return [agent for agent in agents if not rung.groups or set(rung.groups) & set(agent.groups)]


def possible(step: Step, staff: Staff) -> list[str]:
    """The results with a way on that this configuration makes possible."""
    if not isinstance(step, Queue):
        return [] if isinstance(step, HangUp) else list(step.ways)
    queue = staff.queues[step.queue]
    can = {
        "timeout": step.max_wait_s is not None,
        "full": queue.max_length is not None,
        "no_agents": step.leave_without_agents,
        "no_skill": step.leave_without_skill,
        "too_long": queue.max_ewt_s is not None,
    }
    return [result for result in step.ways if can.get(result, True)]


def _parts(step: Share, dice: Dice) -> dict[str, Dice]:
    """The shares that a call with such a dice may fall into, and what the dice is then."""
    parts: dict[str, Dice] = {}
    edge = 0.0
    for label, percent in step.shares:
        low, high = max(edge, dice[0]), min(edge + percent / 100, dice[1])
        edge += percent / 100
        if low < high:
            parts[label] = (low, high)
    return parts


def _is_open(text: str, stop: Stop) -> bool:
    """A `$name` that the explained call has no value for."""
    return text.startswith("$") and text[1:] not in ("ani", "dnis", "trunk", "name") and text[1:] not in stop.values


def _announced(announce: Announce) -> str:
    again = "" if announce.every_s == float("inf") else f", then every {announce.every_s:g} s"
    return f"over the music after {announce.first_s:g} s{again}: {items_text(announce.items)}"


def _named(agent: Agent, queue: str) -> str:
    from_s = next(serves.from_s for serves in agent.queues if serves.queue == queue)
    return f"{agent.id} {agent.name}" + (f" (from {from_s:g} s of waiting on)" if from_s else "")
