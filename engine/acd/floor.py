"""The configuration in the core: queues, agents, skills, groups and what the plans' queue steps ask for, as handles.

Counterparts: engine/callflow/staff.py and steps.py, what is configured; acd_core.pyi, what the core keeps. Here too is
what a reload changes, and what of all this a checkpoint of the trace holds.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import acd_core
from acd_core import AgentState, Failure
from acd_core import Policy as CorePolicy
from engine.acd.book import asks_the_same, bare, moved_steps, place_of, queue_steps
from engine.callflow.ladder import MOST_SKILLS, Rung, both, ladder
from engine.callflow.plan import Place, PlanBook
from engine.callflow.staff import Agent, Policy, Queue, Serves, Staff
from engine.callflow.steps import Needs
from engine.callflow.steps import Queue as QueueStep
from engine.encoding import decode, encode

Row = dict[str, Any]

_STRATEGIES = {name.lower(): strategy for name, strategy in acd_core.Strategy.__members__.items()}
_POLICIES = {"ready": CorePolicy.STAY_READY, "pause": CorePolicy.PAUSE, "not_ready": CorePolicy.GO_NOT_READY}


class UnknownName(Exception):
    """No such agent or queue."""


class NoRoom(Exception):
    """A changed configuration is larger than this ACD can become; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Widening:
    """The rungs above the start of a step's ladder, and the core's handle of them: what a waiting call goes by."""

    queue: str
    rungs: tuple[Rung, ...]
    relaxation: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A queue step in the core's terms. `place`: None if it is not a step of the plans."""

    step: QueueStep
    place: str | None
    needs: int
    head_start_s: float
    relaxation: int
    first: Row  # the start of its ladder


class Floor:
    """Everything configured, by name and by the core's handle. Agents who are to leave and queues that are to close
    stay in `staff` until nothing of them is left."""

    def __init__(self, core: acd_core.Acd, room: Mapping[str, int]) -> None:
        """`room`: what the core was made for."""
        self.core, self.room = core, room
        self.staff = Staff((), {}, {})
        self.steps: dict[str, QueueStep] = {}  # of the plans, by place
        self.queues: dict[str, int] = {}
        self.agents: dict[str, int] = {}
        self.queue_names: dict[int, str] = {}
        self.agent_names: dict[int, str] = {}
        self.skills: dict[str, int] = {}
        self.groups: dict[tuple[str, ...], int] = {}  # sets of groups that a rung names; numbers like those of skills
        self.widenings: dict[str, Widening] = {}
        self.leaving: dict[str, int] = {}  # agents -> how many sets of groups there were: they are given no later ones
        self.closing: set[str] = set()  # queues
        self._asked: dict[Place, Asked] = {}  # steps of the plans
        self._held: dict[str, tuple[dict[int, int], list[int]]] = {}  # agent -> skills and groups in the core

    # ---- what the plan asks for

    def asked(self, step: QueueStep, now: float) -> "Asked":
        """What the core is to be asked for a call that comes to this step."""
        known = self._asked.get(step.place)
        if known is None or not asks_the_same(step, known.step):
            first, *_ = rungs = ladder(step)
            self._meet(rungs, now)
            place = place_of(step) if self._in_book(step) else None
            needs = self._needs(first.needs, first.groups)
            known = Asked(step, place, needs, first.head_start_s, self._relaxation(step, now), encode(first))
            if place is not None:
                self._asked[step.place] = known
        return known

    def _meet(self, rungs: tuple[Rung, ...], now: float) -> None:
        """Skills and sets of groups of a step that is in no plan may be new."""
        n_sets = len(self.groups)
        self._number((), rungs)
        for agent in self.staff.agents.values() if len(self.groups) > n_sets else ():
            if agent.id not in self.leaving:
                self._give(agent, now)

    def _in_book(self, step: QueueStep) -> bool:
        """Whether the plans hold this very step, but for the agent who is preferred."""
        known = self.steps.get(place_of(step))
        return known is not None and asks_the_same(step, known)

    def rungs_of(self, relaxation: int) -> list[Row]:
        """Those above the start, of a widening that somebody goes by."""
        return next(encode(one.rungs) for one in self.widenings.values() if one.relaxation == relaxation)

    def _widening_key(self, step: QueueStep) -> str:
        """Each step of the plans has a widening of its own, so that a reload can change it; others share by content."""
        rungs, place = ladder(step)[1:], place_of(step)
        if (known := self.steps.get(place)) and known.queue == step.queue and ladder(known)[1:] == rungs:
            return place
        return f"={step.queue} {rungs!r}"

    def _relaxation(self, step: QueueStep, now: float) -> int:
        """The core's handle of the step's widening."""
        key = self._widening_key(step)
        known = self.widenings.get(key)
        if known is None:
            rungs = ladder(step)[1:]
            handle = self.core.add_relaxation(self._core_steps(step.queue, rungs), now)
            known = self.widenings[key] = Widening(step.queue, rungs, handle)
        return known.relaxation

    def _core_steps(self, queue: str, rungs: tuple[Rung, ...]) -> list[tuple[float, int | None, bool, float]]:
        """Every rung says all that is asked from then on, the queue's own needs included."""
        own = self.staff.queues[queue].needs
        return [
            (rung.after_s, self._needs(both(own, rung.needs), rung.groups), True, rung.head_start_s) for rung in rungs
        ]

    def _needs(self, needs: Needs, groups: tuple[str, ...] = ()) -> int:
        terms = [{self.skills[skill]: level for skill, level in term} for term in needs]
        if groups:
            terms = [{**term, self.groups[groups]: 1} for term in terms or [{}]]
        return self.core.needs(terms)

    def skill_levels(self, term: Mapping[int, int]) -> dict[str, int]:
        """One AND of needs by name; without the sets of groups, which are skills to the core alone."""
        names = {number: name for name, number in self.skills.items()}
        return {names[number]: level for number, level in term.items() if number in names}

    def reserves(self, queue: str, now: float) -> Row | None:
        """When those kept for the queue serve it, and whether they do now. None: nobody is kept."""
        places = [place for agent in self.staff.agents.values() for place in agent.queues]
        if not any(place.reserve for place in places if place.queue == queue):
            return None
        asked = self.staff.queues[queue]
        snapshot = self.core.snapshot("queues", now)
        is_on = bool(snapshot["reserve_on"][snapshot["queue"] == self.queues[queue]][0])
        return {
            "serve_now": is_on,
            "from_wait_s": asked.reserve_on_s if asked.reserve_on_s < inf else None,
            "until_wait_s": asked.reserve_off_s,
            "from_sl_percent": asked.reserve_on_sl or None,
            "until_sl_percent": max(asked.reserve_on_sl, asked.reserve_off_sl),
        }

    # ---- what is configured

    def configure(self, staff: Staff, book: PlanBook, now: float) -> dict[str, str]:
        """Make the core's configuration this one, as one event; calls that wait go by it at once, where it names their
        queue and step: what they asked when they came, they still ask. The places of steps that moved, old -> new.

        Raises NoRoom, having changed nothing.
        """
        self.check_room(staff, book)
        steps = queue_steps(book)
        was, moved = self.staff, moved_steps(self.steps, steps)
        gone = was.agents.keys() - staff.agents.keys()
        self.leaving = {name: self.leaving.get(name, len(self.groups)) for name in sorted(gone)}
        self._held = {name: held for name, held in self._held.items() if name not in self.leaving}
        self.closing = (self.closing | was.queues.keys()) - staff.queues.keys()
        stay = {name: was.agents[name] for name in was.agents if name in self.leaving}
        shut = {name: was.queues[name] for name in was.queues if name in self.closing}
        self.staff = replace(staff, queues={**staff.queues, **shut}, agents={**staff.agents, **stay})
        self.steps, self._asked = steps, {}
        self._number(staff.skills, [rung for step in steps.values() for rung in ladder(step)])
        self.core.begin_changes(now)
        try:
            for queue in self.staff.queues.values():
                self._set_queue(queue, now)
            self._move_widenings(moved, now)
            for agent in staff.agents.values():
                self._set_agent(agent, was.agents.get(agent.id), now)
        finally:
            self.core.end_changes(now)
        return moved

    def check_room(self, staff: Staff, book: PlanBook) -> None:
        """Raises NoRoom."""
        steps = queue_steps(book)
        agents, queues = self.agents.keys() | staff.agents.keys(), self.queues.keys() | staff.queues.keys()
        serving = {
            (agent.id, place.queue)
            for agent in (*self.staff.agents.values(), *staff.agents.values())
            for place in agent.queues
        }
        sets = {rung.groups for step in steps.values() for rung in ladder(step) if rung.groups} | self.groups.keys()
        for what, wanted, most in (
            ("agents", len(agents), self.room["n_agents"]),
            ("queues", len(queues), self.room["n_queues"]),
            ("places of agents in queues", len(serving), self.room["n_serving"]),
            ("skills and sets of groups", len(self.skills.keys() | set(staff.skills)) + len(sets), MOST_SKILLS),
        ):
            if wanted > most:
                raise NoRoom(f"{wanted} {what}, those of before counted: {most} at most until the next start")

    def _number(self, skills: Iterable[str], rungs: Iterable[Rung]) -> None:
        """Numbers stay: calls that wait hold them."""
        asked = [skill for rung in rungs for term in rung.needs for skill, _ in term]
        for skill in (*skills, *asked):
            self.skills.setdefault(skill, len(self.skills) + len(self.groups))
        for rung in rungs:
            if rung.groups:
                self.groups.setdefault(rung.groups, len(self.skills) + len(self.groups))

    def _set_queue(self, queue: Queue, now: float) -> None:
        asking = [step for step in self.steps.values() if step.queue == queue.name]
        settings: Row = {
            "strategy": _STRATEGIES[queue.strategy],
            "needs": self._needs(queue.needs),
            "n_ring": queue.n_ring,
            "ring_s": queue.ring_for_s,
            "wrap_up_s": queue.wrap_up_s,
            "max_waiting": -1 if queue.max_length is None else queue.max_length,
            "max_ewt_s": inf if queue.max_ewt_s is None else queue.max_ewt_s,
            "needs_agent": any(step.leave_without_agents for step in asking),
            "needs_skill": any(step.leave_without_skill for step in asking),
            "sl_s": queue.sl_within_s,
            "reserve_on_s": queue.reserve_on_s,
            "reserve_off_s": queue.reserve_off_s,
            "reserve_on_sl": queue.reserve_on_sl / 100,
            "reserve_off_sl": queue.reserve_off_sl / 100,
        }
        handle = self.queues.get(queue.name)
        if handle is None:
            handle = self.queues[queue.name] = self.core.add_queue(now, **settings)
            self.queue_names[handle] = queue.name
        else:
            self.core.set_queue(handle, now, **settings)
        for failure, policy in (
            (Failure.NO_ANSWER, queue.on_no_answer),
            (Failure.REFUSED, queue.on_rejected),
            (Failure.BUSY, queue.on_busy),
            (Failure.UNREACHABLE, queue.on_unreachable),
        ):
            self._set_policy(handle, failure, policy, now)

    def _set_policy(self, queue: int, failure: int, policy: Policy, now: float) -> None:
        self.core.set_policy(queue, failure, now, _POLICIES[policy.then], policy.pause_s, policy.after_n)

    def _set_agent(self, agent: Agent, was: Agent | None, now: float) -> None:
        handle = self.agents.get(agent.id)
        if handle is None:
            handle = self.agents[agent.id] = self.core.add_agent(now)
            self.agent_names[handle] = agent.id
        self._give(agent, now)
        self.core.set_wrap_up(handle, agent.wrap_up_s, now)
        serves = {place.queue: place for place in agent.queues}
        for place in was.queues if was else ():
            if place.queue in self.closing:
                serves.setdefault(place.queue, place)  # who waits there yet is served yet
            elif place.queue not in serves:
                self.core.cease(handle, self.queues[place.queue], now)
        known = was.queues if was else ()
        for place in serves.values():
            if place not in known:
                self._serve(handle, place, now)
        if len(serves) > len(agent.queues):
            kept = replace(agent, queues=tuple(serves.values()))
            self.staff = replace(self.staff, agents={**self.staff.agents, agent.id: kept})

    def _give(self, agent: Agent, now: float) -> None:
        skills, groups = held = self._holds(agent)
        if self._held.get(agent.id) != held:  # to be given the same again would let go calls that wait for the agent
            self._held[agent.id] = held
            self.core.set_skills(self.agents[agent.id], skills, now, groups=groups)

    def _holds(self, agent: Agent) -> tuple[dict[int, int], list[int]]:
        """Numbers of skills with levels, and of those sets of groups that the agent is in."""
        skills = {self.skills[skill]: level for skill, level in agent.skills.items()}
        return skills, [number for names, number in self.groups.items() if not set(names).isdisjoint(agent.groups)]

    def _serve(self, agent: int, place: Serves, now: float) -> None:
        self.core.serve(
            agent,
            self.queues[place.queue],
            now,
            rank=place.rank,
            from_s=place.from_s,
            weight=place.weight,
            reserve=place.reserve,
        )

    def _move_widenings(self, moved: Mapping[str, str], now: float) -> None:
        """Calls that wait go by the new rungs of their step; those of a step that is gone by its old ones."""
        kept: dict[str, Widening] = {}
        for key, known in self.widenings.items():
            if known.queue not in self.staff.queues:
                continue
            rungs = known.rungs
            if key in moved:
                key = moved[key]
                rungs = ladder(self.steps[key])[1:]
            elif not key.startswith("="):
                key = f"={known.queue} {known.relaxation}"
            self.core.set_relaxation(known.relaxation, self._core_steps(known.queue, rungs), now)
            kept[key] = replace(known, rungs=rungs)
        self.widenings = kept

    def tidy(self, now: float) -> None:
        """Let go agents who were to leave and have logged out, and queues that were to close and are empty."""
        for name in sorted(self.leaving):
            handle = self.agents[name]
            if self.core.agent_state(handle)[0] == AgentState.LOGGED_OUT:
                self.core.remove_agent(handle, now)
                del self.leaving[name]
                del self.agents[name], self.agent_names[handle]
                agents = {other: agent for other, agent in self.staff.agents.items() if other != name}
                self.staff = replace(self.staff, agents=agents)
        for name in sorted(self.closing):
            with suppress(acd_core.IllegalMove):  # calls are in it yet
                self.core.remove_queue(self.queues[name], now)
                self.closing.remove(name)
                del self.queue_names[self.queues.pop(name)]
                self.staff = _without_queue(self.staff, name)

    # ---- in the trace

    def saved(self) -> Row:
        """A copy: the trace writes it down later."""
        return {
            "staff": encode(self.staff),
            "steps": [encode(bare(step)) for step in self.steps.values()],
            "queues": dict(self.queues),
            "agents": dict(self.agents),
            "skills": dict(self.skills),
            "groups": [[list(names), number] for names, number in self.groups.items()],
            "widenings": {key: encode(widening) for key, widening in self.widenings.items()},
            "leaving": dict(self.leaving),
            "closing": sorted(self.closing),
        }

    def load(self, saved: Row) -> None:
        """What saved() gave, for a core that took up the state of then."""
        self.staff = decode(Staff, saved["staff"])
        self.steps = {place_of(step): step for step in (decode(QueueStep, row) for row in saved["steps"])}
        self.queues, self.agents, self.skills = dict(saved["queues"]), dict(saved["agents"]), dict(saved["skills"])
        self.queue_names = {handle: name for name, handle in self.queues.items()}
        self.agent_names = {handle: name for name, handle in self.agents.items()}
        self.groups = {tuple(names): number for names, number in saved["groups"]}
        self.widenings = {key: decode(Widening, row) for key, row in saved["widenings"].items()}
        self.leaving, self.closing = dict(saved["leaving"]), set(saved["closing"])
        self._held = {
            name: self._holds(agent) for name, agent in self.staff.agents.items() if name not in self.leaving
        }


def _without_queue(staff: Staff, name: str) -> Staff:
    agents = {
        ident: replace(agent, queues=tuple(place for place in agent.queues if place.queue != name))
        for ident, agent in staff.agents.items()
    }
    return replace(staff, queues={one: queue for one, queue in staff.queues.items() if one != name}, agents=agents)
