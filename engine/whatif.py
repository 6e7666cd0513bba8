"""The same people, another configuration: a recorded day played through changed plans and staff.

The plan's interpreter and the ACD are the real ones; callers, talks and phones are those of the recorded day
(engine/day.py), in simulated time. What a trace cannot know is assumed, and ASSUMED says it: read it beside every
figure. Counterpart: engine/replay.py, which proves that an unchanged day comes out the same.
"""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import inf
from statistics import mean
from typing import Any
from zoneinfo import ZoneInfo

from acd_core import AgentState, IllegalMove
from engine.acd import Acd, UnknownName
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.errors import PlanError
from engine.callflow.events import Refusal
from engine.callflow.staff import Staff
from engine.day import Day, Person, Ring, Tallies, Tally, Visit

Row = dict[str, Any]

ASSUMED = (
    "Callers who hung up waiting leave when they left then, unless an agent answers before; all others wait on.",
    "A talk lasts as long as it did; one that never was lasts the mean of the day.",
    "Each agent's phone rings, answers and refuses as it did, offer by offer; beyond those it answers after the mean,"
    " at the latest after half the queue's ring time.",
    "A phone that still rang when its caller left would have been answered after the mean, or a second later.",
    "A phone whose call is given up is out of it as soon as it was then; one that never was is so at once.",
    "Agents log in and out when they did; an agent who is new works all day.",
    "Prompts that the day never played take 3 s; a transfer that it never made succeeds.",
    "Where a caller comes to a question or errand for the first time, it ends as it mostly did for others.",
    "Nobody is on the blacklist; callbacks come to their queue when they came, whatever their callers met.",
    "Calls that were up when the trace begins are left out.",
)
TALK_S, RING_S, PLAY_S = 180.0, 5.0, 3.0  # where the day has none to take the mean of
CUT_SHORT_S = 1.0
AFTER_S = 1e-6  # callers leave after what happened in the same moment on the day, whatever sums of floats come to


@dataclass(slots=True)
class Live:
    person: Person
    step: int = -1
    queue: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    n_visits: Counter[str] = field(default_factory=Counter)
    n_waits: int = 0
    place_at: float | None = None  # of its first queue
    is_queued: bool = False
    is_over: bool = False

    def visit(self, step: str) -> Visit | None:
        """How it went on the day, this time."""
        n, those = self.n_visits[step], self.person.visits.get(step, [])
        self.n_visits[step] += 1
        return those[n] if n < len(those) else None


class Rerun:
    """One day, played at once. `queues` and `n_turned_away` tell what became of the calls."""

    def __init__(self, day: Day, staff: Staff, book: plan.PlanBook) -> None:
        self.day, self.staff, self.book = day, staff, book
        self.tallies = Tallies()
        self.n_turned_away = 0
        self.n_not_asked = 0  # of agents' verbs: the agent is gone, or stood otherwise than on the day
        self._zone = ZoneInfo(self.book.timezone)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._calls: dict[str, Live] = {}
        self._offers: dict[int, str] = {}  # those that ring -> call
        self._rung: dict[int, Ring] = {}  # by offer
        self._rings: dict[str, deque[Ring]] = {agent: deque(rings) for agent, rings in day.rings.items()}
        self._talk_s, self._ring_s = _means(day)
        self._durations, self._results = _by_step(day)
        self._now = day.began
        n_calls = max(day.n_calls, len(day.people))
        self._acd = Acd(self.staff, self.book, n_calls, day.began, self.tallies.take, day.seed)
        self._play()

    @property
    def queues(self) -> Mapping[str, Tally]:
        return self.tallies.queues

    # ---- time

    def _play(self) -> None:
        for at, verb, args in self.day.verbs:
            self._at(at, lambda verb=verb, args=args: self._ask_agent(verb, args))  # type: ignore[misc]
        for agent in self.staff.agents.keys() - self.day.staff.agents.keys():
            self._ask_agent("log_in", {"agent": agent})
            self._ask_agent("ready", {"agent": agent})
        for name, person in self.day.people.items():
            self._at(person.arrived, lambda name=name, person=person: self._arrive(name, person))  # type: ignore[misc]
        while (due := min(self._acd.deadline(), self._events[0][0] if self._events else inf)) < inf:
            self._now = max(self._now, due)
            self._acd.advance(self._now)
            self._follow()
            while self._events and self._events[0][0] <= self._now:
                heapq.heappop(self._events)[2]()
                self._follow()

    def _at(self, moment: float, deed: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), deed))

    def _later(self, seconds: float, deed: Callable[[], None]) -> None:
        self._at(self._now + seconds, deed)

    # ---- agents

    def _ask_agent(self, verb: str, args: Row) -> None:
        try:
            getattr(self._acd, verb)(**args, now=self._now)
        except (UnknownName, IllegalMove):
            self.n_not_asked += 1

    def _ring(self, call: str, offer: int, agent: str) -> None:
        rings = self._rings.get(agent)
        half_s = self.staff.queues[self._calls[call].queue].ring_for_s / 2
        ring = rings.popleft() if rings else Ring(min(self._ring_s, half_s))
        self._offers[offer], self._rung[offer] = call, ring
        if ring.refusal is None:
            ring_s = max(self._ring_s, ring.ring_s + CUT_SHORT_S) if ring.is_cut else ring.ring_s
            self._later(ring_s, lambda: self._answer(offer))
        else:
            refusal = Refusal(ring.refusal)
            self._later(ring.ring_s, lambda: self._decline(offer, refusal))
        if ring.back_s is not None:
            self._later(ring.ring_s + ring.back_s, lambda: self._back(agent))

    def _answer(self, offer: int) -> None:
        if (call := self._offers.get(offer)) is None:
            return
        self._offers = {other: ringing for other, ringing in self._offers.items() if ringing != call}
        live = self._calls[call]
        live.is_queued, live.is_over = False, True
        self._acd.take(offer, self._now)
        talk_s = self._talk_s if live.person.talk_s is None else live.person.talk_s
        self._later(talk_s, lambda: self._acd.release(call, self._now))

    def _decline(self, offer: int, refusal: Refusal) -> None:
        if self._offers.pop(offer, None) is not None:
            self._acd.decline(offer, refusal, self._now)

    def _clear(self, offer: int, after_s: float) -> None:
        if after_s < inf:
            self._later(after_s, lambda: self._acd.cleared(offer, self._now))

    def _back(self, agent: str) -> None:
        """Only from not ready: the failure may not have come to pass."""
        if (handle := self._acd.agents.get(agent)) and self._acd.core.agent_state(handle)[0] == AgentState.NOT_READY:
            self._ask_agent("ready", {"agent": agent})

    # ---- callers

    def _arrive(self, name: str, person: Person) -> None:
        live = self._calls[name] = Live(person)
        if person.leaves is not None:
            self._at(person.leaves + AFTER_S, lambda: self._leave(name))
        if person.queued:
            step, arrival = person.queued
            if step.queue in self.staff.queues:
                self._enqueue(name, step, arrival)
            return
        try:
            entry = self.book.plan_for(person.caller.dnis, person.caller.agent)
        except PlanError:
            self.n_turned_away += 1
            live.is_over = True
            return
        self._walk(name, self.book.enter(entry, self._situation(name)))

    def _leave(self, name: str) -> None:
        live = self._calls[name]
        if live.is_queued:
            self._out_of_queue(name, live.person.leaves_as)
        live.is_over = True

    def _walk(self, name: str, stop: plan.Stop) -> None:
        live = self._calls[name]
        live.step, live.values = stop.index, stop.values
        match stop.step:
            case steps.Queue():
                self._come_to_queue(name, stop.step)
            case steps.HangUp():
                live.is_over = True
            case step:
                visit = live.visit(step.describe())
                if visit is None and isinstance(step, steps.Transfer):
                    return
                usual_s = self._durations.get(step.describe(), PLAY_S if isinstance(step, steps.Play) else 0.0)
                result = visit.result if visit else self._results.get(step.describe(), "done")
                if result not in step.ways:
                    result = next(iter(step.ways), "")
                if result:
                    self._later(visit.seconds if visit else usual_s, lambda: self._walk_on(name, result, visit))

    def _come_to_queue(self, name: str, step: steps.Queue) -> None:
        """An exit key is pressed when it was pressed, if the caller still waits then."""
        live = self._calls[name]
        visit = live.visit(step.describe())
        if step.preferred:
            agent = self._situation(name).value(step.preferred.agent) or (visit.preferred if visit else "")
            step = replace(step, preferred=replace(step.preferred, agent=agent))
        kept = live.place_at if step.keep_place else None
        live.place_at = self._now if live.place_at is None else live.place_at
        live.n_waits += 1
        if visit and visit.result in step.keys:
            wait = live.n_waits
            self._later(visit.seconds, lambda: self._press(name, wait, visit.result))
        self._enqueue(name, step, kept)

    def _enqueue(self, name: str, step: steps.Queue, arrival: float | None) -> None:
        live = self._calls[name]
        live.is_queued, live.queue = True, step.queue
        self._acd.enqueue(name, step, self._now, arrival)

    def _press(self, name: str, wait: int, key: str) -> None:
        live = self._calls[name]
        if live.is_queued and live.n_waits == wait:
            self._out_of_queue(name, "withdrawn")
            self._walk_on(name, key)

    def _out_of_queue(self, name: str, outcome: str) -> None:
        self._offers = {offer: call for offer, call in self._offers.items() if call != name}
        self._calls[name].is_queued = False
        self._acd.leave(name, outcome, self._now)

    def _walk_on(self, name: str, result: str, visit: Visit | None = None) -> None:
        live = self._calls[name]
        if visit:
            live.values = {**live.values, **visit.values}
        if not live.is_over and not live.person.queued:
            self._walk(name, self.book.after(live.step, result, self._situation(name)))

    def _situation(self, name: str) -> plan.Situation:
        live = self._calls[name]
        dice = plan.dice_of(name)
        return plan.Situation(live.person.caller, self._local_time(), live.values, dice=dice)

    def _local_time(self) -> Any:
        return (self.day.began_at + timedelta(seconds=self._now - self.day.began)).astimezone(self._zone)

    def _follow(self) -> None:
        """What the ACD tells, until it tells nothing more."""
        self._acd.take_spans()
        while events := self._acd.take_events():
            for call, event in events:
                match event:
                    case ev.AgentReserved(offer, agent):
                        self._ring(call, offer, agent)
                    case ev.OfferExpired(offer) | ev.OfferWithdrawn(offer):
                        self._offers.pop(offer, None)
                    case ev.OfferGivenUp(offer):
                        self._clear(offer, self._rung.pop(offer).clear_s)
                    case ev.WaitEnded(outcome):
                        self._calls[call].is_queued = False
                        self._walk_on(call, outcome)


def compare(found: list[Day], staff: Staff, book: plan.PlanBook) -> Row:
    """Every queue, recorded and replayed, as rows of Tally.row(); several runs of the daemon are added up."""
    reruns = [Rerun(day, staff, book) for day in found]
    recorded, replayed = _sum([day.tallies.queues for day in found]), _sum([rerun.queues for rerun in reruns])
    within = {name: queue.sl_within_s for day in found for name, queue in day.staff.queues.items()}
    changed = {name: queue.sl_within_s for name, queue in staff.queues.items()}
    return {
        "queues": [
            {
                "queue": name,
                "recorded": recorded.get(name, Tally()).row(within.get(name, 0.0)),
                "replayed": replayed.get(name, Tally()).row(changed.get(name, 0.0)),
            }
            for name in dict.fromkeys([*within, *changed])
        ],
        "n_turned_away": sum(rerun.n_turned_away for rerun in reruns),
        "n_not_asked": sum(rerun.n_not_asked for rerun in reruns),
        "assumed": list(ASSUMED),
    }


def _sum(parts: list[Mapping[str, Tally]]) -> dict[str, Tally]:
    total: dict[str, Tally] = {}
    for part in parts:
        for name, tally in part.items():
            into = total.setdefault(name, Tally(Counter()))
            into.counts.update(tally.counts)
            into.waits_s += tally.waits_s
    return total


def _means(day: Day) -> tuple[float, float]:
    talks = [person.talk_s for person in day.people.values() if person.talk_s is not None]
    rings = [ring.ring_s for rings in day.rings.values() for ring in rings if ring.refusal is None and not ring.is_cut]
    return mean(talks) if talks else TALK_S, mean(rings) if rings else RING_S


def _by_step(day: Day) -> tuple[dict[str, float], dict[str, str]]:
    """How long a step takes and how it ends, for callers who did not walk it on the day."""
    found: dict[str, list[Visit]] = {}
    for person in day.people.values():
        for step, visits in person.visits.items():
            found.setdefault(step, []).extend(visit for visit in visits if visit.seconds < inf)
    durations = {step: mean(visit.seconds for visit in visits) for step, visits in found.items() if visits}
    return durations, {
        step: Counter(visit.result for visit in visits).most_common(1)[0][0] for step, visits in found.items() if visits
    }
