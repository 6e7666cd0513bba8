"""The call floor as an auditor of the trace sees it: who works here, who waits, and who may take whom.

The rules of acd_core.pyi once more, in words as plain as may be. Counterpart: auditor.py, which reads the lines.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from math import inf
from typing import Any

Row = dict[str, Any]

WORKING = ("READY", "RESERVED", "TALKING", "ACW")
N_REMEMBERED = 12  # so many agents who declined a call, the latest, are not asked again before others
N_RECENT, LEAST_RECENT = 64, 16  # calls whose service level counts for reserves, from so many on
CLEAR_S = 2.0  # an agent whose phone is not known to be out of its last offer is held for so long at most
SHORT_S = 5.0  # a call abandoned before says nothing about the service level


@dataclass(frozen=True)
class Rung:
    """What a call asks from this wait on, besides what its queue asks."""

    after_s: float
    needs: Any
    groups: tuple[str, ...]  # somebody of one of these; (): everybody
    head_s: float


@dataclass(eq=False)
class Call:
    name: str
    number: int  # in the order of coming
    queue: str
    arrival: float
    enqueued: float
    expires: float
    ladder: list[Rung]
    step_place: str | None  # of the plans' step whose later rungs it goes by
    head_s: float
    preferred: str = ""
    preferred_head_s: float = 0.0
    held_until: float | None = None  # for the preferred agent alone
    step: int = 0
    state: str = "WAITING"
    agent: str = ""  # in talk
    declined: list[str] = field(default_factory=list)

    def place(self) -> tuple[int, float, int]:
        if self.head_s == inf:
            return 0, self.arrival, self.number
        return 1, self.arrival - self.head_s, self.number

    def climb(self, step: int) -> None:
        self.step = step
        self.head_s = max(self.head_s, self.ladder[step].head_s)

    def climb_to(self, now: float) -> None:
        """As high as its wait leads."""
        while self.next_at() <= now:
            self.climb(self.step + 1)

    def next_at(self) -> float:
        return self.enqueued + self.ladder[self.step + 1].after_s if self.step + 1 < len(self.ladder) else inf

    def unhold(self) -> None:
        self.held_until = None
        self.head_s = max(self.head_s, self.preferred_head_s)

    def remember_decline(self, agent: str) -> None:
        if agent not in self.declined:
            self.declined = [*self.declined, agent][-N_REMEMBERED:]


class Floor:
    def __init__(self, staff: Row, steps: Iterable[Row]) -> None:
        self.calls: dict[str, Call] = {}  # that wait or are offered
        self.talks: dict[str, Call] = {}
        self.clearing: dict[int, tuple[str, float]] = {}  # offer given up -> its agent, held until then
        self.state: dict[str, str] = {}
        self.reason: dict[str, str] = {}
        self.reserve_on: dict[str, bool] = {}
        self.recent: dict[str, list[bool]] = {}  # within the service level or not
        self.ready: set[str] = set()
        self.group_sets: set[tuple[str, ...]] = set()
        self.leaving: dict[str, frozenset[tuple[str, ...]]] = {}  # agents; the sets of groups named by then
        self.closing: set[str] = set()
        self._set(deepcopy(staff), steps)

    def _set(self, staff: Row, steps: Iterable[Row]) -> None:
        self.queues: Row = staff["queues"]
        self.agents: Row = staff["agents"]
        self.steps = {place_of(step): step for step in steps}
        self.group_sets |= {rung.groups for step in self.steps.values() for rung in ladder(step) if rung.groups}
        self.serves = {(a["id"], s["queue"]): s for a in self.agents.values() for s in a["queues"]}
        self.serving: dict[str, list[str]] = {name: [] for name in self.queues}
        for agent, queue in self.serves:
            self.serving[queue].append(agent)
        for agent in self.agents:
            self.state.setdefault(agent, "LOGGED_OUT")

    # ---- a changed configuration

    def apply(self, staff: Row, steps: list[Row], moved: dict[str, str], now: float) -> None:
        """Calls that wait go by the new rungs of their step, and by what their queue asks now."""
        staff = deepcopy(staff)
        was = {agent: self._holds(agent) for agent in self.agents.keys() - self.leaving.keys()}
        gone, named = self.agents.keys() - staff["agents"].keys(), frozenset(self.group_sets)
        self.leaving = {name: self.leaving.get(name, named) for name in gone}
        self.closing = (self.closing | self.queues.keys()) - staff["queues"].keys()
        ceased = self._keep_the_old(staff)
        self._set(staff, steps)
        for call in self.calls.values():
            if call.step_place is not None:
                call.step_place = moved.get(call.step_place)
            if call.step_place is not None:
                call.ladder = [call.ladder[0], *ladder(self.steps[call.step_place])[1:]]
            call.step = 0
        for agent in self.agents.keys() - self.leaving.keys():
            if was.get(agent) != self._holds(agent):
                self.release_holds(agent)
        for agent, queue in ceased:
            self.release_holds(agent, queue)
        for call in self.calls.values():
            if call.state == "WAITING" and call.held_until is None:
                call.climb_to(now)

    def _keep_the_old(self, staff: Row) -> set[tuple[str, str]]:
        """Put into the new staff the agents who are to leave and the queues that are to close, with those who serve
        them. Who ceased to serve which queue."""
        ceased = set()
        staff["queues"] |= {name: self.queues[name] for name in sorted(self.closing)}
        staff["agents"] |= {name: self.agents[name] for name in sorted(self.leaving)}
        for name, agent in self.agents.items():
            for place in agent["queues"] if name not in self.leaving else ():
                places = staff["agents"][name]["queues"]
                if all(place["queue"] != other["queue"] for other in places):
                    if place["queue"] in self.closing:
                        places.append(place)
                    else:
                        ceased.add((name, place["queue"]))
        return ceased

    def meet(self, rungs: list[Rung]) -> bool:
        """To be given a set of groups that no step named before lets go the calls held for its agents. Is there one?"""
        new = {rung.groups for rung in rungs if rung.groups} - self.group_sets
        self.group_sets |= new
        for agent in self.agents.keys() - self.leaving.keys() if new else ():
            if any(not set(names).isdisjoint(self.agents[agent]["groups"]) for names in new):
                self.release_holds(agent)
        return bool(new)

    def _holds(self, agent: str) -> Any:
        mine = self.agents[agent]
        return mine["skills"], {names for names in self.group_sets if not set(names).isdisjoint(mine["groups"])}

    def tidy(self) -> set[str]:
        """Agents who were to leave and are logged out, and empty queues that were to close, are gone. Which queues."""
        for name in [name for name in self.leaving if self.state[name] == "LOGGED_OUT"]:
            del self.leaving[name]
            del self.agents[name], self.state[name]
            self.clearing = {offer: held for offer, held in self.clearing.items() if held[0] != name}
            for call in self.calls.values():
                call.preferred = "" if call.preferred == name else call.preferred
                call.declined = [f"{other} gone" if other == name else other for other in call.declined]
        used = {call.queue for call in (*self.calls.values(), *self.talks.values())}
        closed = self.closing - used
        self.closing -= closed
        for name in closed:
            del self.queues[name]
            self.recent.pop(name, None)
            self.reserve_on.pop(name, None)
            for agent in self.agents.values():
                agent["queues"] = [place for place in agent["queues"] if place["queue"] != name]
        self._set({"queues": self.queues, "agents": self.agents}, self.steps.values())
        return closed

    # ---- who may take what

    def change(self, agent: str, state: str, reason: str) -> None:
        self.state[agent], self.reason[agent] = state, reason
        if state == "READY":
            self.ready.add(agent)
        else:
            self.ready.discard(agent)
        if state == "LOGGED_OUT" or (state == "NOT_READY" and reason != "outside_call"):
            self.release_holds(agent)

    def is_clearing(self, agent: str) -> bool:
        """The phone may still be in the call of an offer that was given up."""
        return any(agent == other for other, _ in self.clearing.values())

    def release_holds(self, agent: str, queue: str | None = None) -> None:
        """Of one queue, or of all."""
        for call in self.calls.values():
            if call.preferred == agent and call.held_until is not None and queue in (None, call.queue):
                call.unhold()

    def greet(self, call: Call, wait_s: float, now: float) -> None:
        """Its preferred agent is free and able: nothing to wait for. Able, but on a call: held for that one. Else the
        head start."""
        state = self.state[call.preferred]
        is_able = self._could_take(call.preferred, call, now)
        if state == "READY" and is_able:
            return
        is_busy = state in WORKING[1:] or (state == "NOT_READY" and self.reason[call.preferred] == "outside_call")
        if wait_s > 0 and is_able and is_busy:
            call.held_until = now + wait_s
        else:
            call.head_s = max(call.head_s, call.preferred_head_s)

    def may_take(self, agent: str, call: Call, now: float) -> bool:
        """All but being free."""
        if call.held_until is not None and agent != call.preferred:
            return False
        if not self._could_take(agent, call, now):
            return False
        return agent not in call.declined or not any(
            self.state[other] in WORKING and other not in call.declined and self._could_take(other, call, now)
            for other in self.serving[call.queue]
        )

    def _could_take(self, agent: str, call: Call, now: float) -> bool:
        serves = self.serves.get((agent, call.queue))
        if serves is None or (serves["reserve"] and not self.reserve_on.get(call.queue)):
            return False
        if serves["from_s"] > 0 and agent != call.preferred and call.enqueued + serves["from_s"] > now:
            return False
        return self.fits(agent, call, call.step)

    def fits(self, agent: str, call: Call, step: int) -> bool:
        skills, groups, rung = self.agents[agent]["skills"], self.agents[agent]["groups"], call.ladder[step]
        if rung.groups and set(rung.groups).isdisjoint(groups):
            return False
        if rung.groups and agent in self.leaving and rung.groups not in self.leaving[agent]:
            return False  # who ends the talk and goes is given no set of groups that is named meanwhile
        return meets(skills, self.queues[call.queue]["needs"]) and meets(skills, rung.needs)

    def free(self, queue: str) -> Iterator[str]:
        return (agent for agent in self.ready if (agent, queue) in self.serves)

    def turn(self, agent: str, call: Call) -> tuple[int, int]:
        """Who of several is asked first: the preferred agent, then who fits an earlier step, then the lower rank."""
        if agent == call.preferred:
            return -1, 0
        earliest = next(step for step in range(call.step + 1) if self.fits(agent, call, step))
        return earliest, self.serves[agent, call.queue]["rank"]

    # ---- reserves

    def note_level(self, queue: str, within: bool) -> None:
        self.recent[queue] = [*self.recent.get(queue, []), within][-N_RECENT:]

    def is_in_need(self, queue: str, now: float, before: str | None = None) -> bool:
        """Of its reserves, while they do not serve it: does it need them? While they do: does it still? `before`: as it
        was before this call came."""
        asked, recent = self.queues[queue], self.recent.get(queue, [])
        waiting = [call for call in self.calls.values() if call.queue == queue and call.state == "WAITING"]
        oldest = min((call.enqueued for call in waiting if call.name != before), default=inf)
        share = sum(recent) / len(recent) if len(recent) >= LEAST_RECENT else 1.0
        if not self.reserve_on.get(queue):
            return bool(oldest + asked["reserve_on_s"] <= now or share < asked["reserve_on_sl"] / 100)
        enough = max(asked["reserve_on_sl"], asked["reserve_off_sl"]) / 100
        return bool(oldest + asked["reserve_off_s"] <= now or share < enough)

    def has_reserves(self, queue: str) -> bool:
        return any(self.serves[agent, queue]["reserve"] for agent in self.serving[queue])

    def counts(self) -> Counter[str]:
        return Counter(call.queue for call in self.calls.values())


def place_of(step: Row) -> str:
    return f"{step['place']['file']}:{step['place']['line']}:{step['place']['column']}"


def ladder(step: Row) -> list[Rung]:
    """The start, then every turn and relaxation by its time; of one moment turns first. Groups add up."""
    turns = step["turns"] or [{"groups": [], "head_start_s": None}]
    groups, needs = set(turns[0]["groups"]), step["needs"]
    rungs = [Rung(0.0, needs, tuple(sorted(groups)), max(step["head_start_s"], turns[0]["head_start_s"] or 0.0))]
    for change in sorted([*turns[1:], *step["relax"]], key=lambda change: change["after_s"]):
        if "groups" in change:
            groups = groups | set(change["groups"]) if groups and change["groups"] else set()
        elif change["needs"] is not None:
            needs = change["needs"]
        rungs.append(Rung(change["after_s"], needs, tuple(sorted(groups)), change["head_start_s"] or 0.0))
    return rungs


def meets(skills: Row, needs: Any) -> bool:
    return not needs or any(all(skills.get(skill, 0) >= level for skill, level in term) for term in needs)
