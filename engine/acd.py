"""The Python face of the ACD core: names to handles on the way in, events on the way out. Counterpart: acd_core.pyi.

Nothing is decided here. The core is the single truth of who waits and what every agent does; this file holds no state
of its own but the two directions of each name.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from typing import Any

import acd_core
from acd_core import AgentState, Cancelled, Failure, Out, Reason
from acd_core import Policy as CorePolicy
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.events import Event, Refusal
from engine.callflow.record import AgentSpan
from engine.callflow.staff import Agent, Policy, Queue, Staff
from engine.encoding import digest, encode

# Now, the verb, its arguments by name, and what followed in the core: (kind, time, call, agent, number, value). Of
# AGENT_STATE number and value are the state and the reason by name.
Followed = list[tuple[str, float, str | None, str | None, int | str, int | str]]
Tell = Callable[[float, str, dict[str, Any], Followed], None]

_STRATEGIES = {name.lower(): strategy for name, strategy in acd_core.Strategy.__members__.items()}

_FAILURES = {
    Refusal.REJECTED: "refuse",
    Refusal.NO_ANSWER: "no_answer",
    Refusal.BUSY: "busy",
    Refusal.UNREACHABLE: "unreachable",
}

_POLICIES = {"ready": CorePolicy.STAY_READY, "pause": CorePolicy.PAUSE, "not_ready": CorePolicy.GO_NOT_READY}

_WAIT_OUTCOMES = {
    acd_core.Refusal.NO_AGENT: "no_agents",
    acd_core.Refusal.NO_SKILL: "no_agents",
    acd_core.Refusal.QUEUE_FULL: "full",
    acd_core.Refusal.WAIT_TOO_LONG: "full",
}

_KINDS = {int(kind): kind.name for kind in Out}
_STATES = {int(state): state.name for state in AgentState}
_AGENT_STATE = int(Out.AGENT_STATE)
_LEAVES = {"abandoned": "abandon", "withdrawn": "withdraw", "failed": "fail"}


class UnknownName(Exception):
    """No such agent or queue."""


def _tell_nobody(now: float, verb: str, arguments: dict[str, Any], followed: Followed) -> None:
    pass


class Acd:
    """One per switch. Every method takes `now`; take_events() tells what followed.

    `tell` hears everything that the core is asked, by name and at its time, and what followed: enough to do it again
    (engine/replay.py). What was refused changed nothing and is not told.
    """

    def __init__(
        self, staff: Staff, book: plan.PlanBook, n_calls: int, now: float, tell: Tell = _tell_nobody, seed: int = 1
    ) -> None:
        n_serving = sum(len(agent.queues) for agent in staff.agents.values())
        self.core = acd_core.Acd(
            n_calls=n_calls,
            n_agents=max(64, 2 * len(staff.agents)),
            n_queues=max(16, 2 * len(staff.queues)),
            n_serving=max(256, 2 * n_serving),
            seed=seed,
        )
        self.staff = staff
        self._tell = tell
        self._skills = {skill: number for number, skill in enumerate(staff.skills)}
        self.skill_names = dict(enumerate(staff.skills))
        self._reasons = [""]  # a person's reasons, by the number the core keeps
        self._relaxations: dict[tuple[str, tuple[steps.Relax, ...]], int] = {}
        self._calls: dict[str, int] = {}  # calls in queues or talk
        self._call_names: dict[int, str] = {}
        self._events: list[tuple[str, Event]] = []
        self._spans: list[AgentSpan] = []
        may_leave = {step.queue for step in book.steps if isinstance(step, steps.Queue) and step.leave_without_agents}
        self.queues = {name: self._add_queue(queue, name in may_leave, now) for name, queue in staff.queues.items()}
        self.queue_names = {handle: name for name, handle in self.queues.items()}
        self.agents = {name: self._add_agent(agent, now) for name, agent in staff.agents.items()}
        self.agent_names = {handle: name for name, handle in self.agents.items()}
        self._open_spans = {
            handle: AgentSpan(name, AgentState.LOGGED_OUT.name, now, now) for handle, name in self.agent_names.items()
        }
        self._collect()
        queue_steps = [step for step in book.steps if isinstance(step, steps.Queue)]
        about = {"version": version("agner"), "digest": digest(staff, book), "seed": seed, "n_calls": n_calls}
        tell(now, "start", {**about, "staff": encode(staff), "steps": [encode(step) for step in queue_steps]}, [])

    # ---- staff

    def _add_queue(self, queue: Queue, needs_agent: bool, now: float) -> int:
        handle = self.core.add_queue(
            now,
            strategy=_STRATEGIES[queue.strategy],
            needs=self._needs(queue.needs),
            ring_s=queue.ring_for_s,
            wrap_up_s=queue.wrap_up_s,
            max_waiting=-1 if queue.max_length is None else queue.max_length,
            needs_agent=needs_agent,
            sl_s=queue.sl_within_s,
        )
        self._set_policy(handle, Failure.NO_ANSWER, queue.on_no_answer, now)
        self._set_policy(handle, Failure.REFUSED, queue.on_rejected, now)
        self._set_policy(handle, Failure.BUSY, queue.on_busy, now)
        self._set_policy(handle, Failure.UNREACHABLE, queue.on_unreachable, now)
        return handle

    def _set_policy(self, queue: int, failure: int, policy: Policy, now: float) -> None:
        self.core.set_policy(queue, failure, now, _POLICIES[policy.then], policy.pause_s, policy.after_n)

    def _add_agent(self, agent: Agent, now: float) -> int:
        handle = self.core.add_agent(now)
        self.core.set_skills(handle, {self._skills[skill]: level for skill, level in agent.skills.items()}, now)
        for serves in agent.queues:
            self.core.serve(handle, self.queues[serves.queue], now, rank=serves.rank, from_s=serves.from_s)
        return handle

    def _needs(self, needs: steps.Needs) -> int:
        return self.core.needs([{self._skills[skill]: level for skill, level in term} for term in needs])

    def begin_day(self, now: float) -> None:
        """Every agent becomes what `at_start` says."""
        for name, agent in self.staff.agents.items():
            if agent.at_start != "logged_out":
                self.log_in(name, now)
            if agent.at_start == "ready":
                self.ready(name, now)

    # ---- agents, as people ask

    def log_in(self, agent: str, now: float) -> None:
        handle = self._agent(agent)
        self.advance(now)
        self.core.log_in(handle, now)
        self._tell(now, "log_in", {"agent": agent}, self._collect())

    def log_out(self, agent: str, now: float) -> None:
        """In talk: after the call."""
        handle = self._agent(agent)
        self.advance(now)
        self.core.log_out(handle, now)
        self._tell(now, "log_out", {"agent": agent}, self._collect())

    def ready(self, agent: str, now: float) -> None:
        """Raises IllegalMove if the agent is logged out."""
        handle = self._agent(agent)
        self.advance(now)
        self.core.ready(handle, now)
        self._tell(now, "ready", {"agent": agent}, self._collect())

    def not_ready(self, agent: str, reason: str, now: float) -> None:
        """At once, in talk after wrap-up. Raises IllegalMove if the agent is logged out."""
        handle = self._agent(agent)
        number = self._reasons.index(reason) if reason in self._reasons else len(self._reasons)
        self.advance(now)
        self.core.not_ready(handle, now, number)
        if number == len(self._reasons):
            self._reasons.append(reason)
        self._tell(now, "not_ready", {"agent": agent, "reason": reason}, self._collect())

    def _agent(self, name: str) -> int:
        try:
            return self.agents[name]
        except KeyError:
            raise UnknownName(f"no agent {name!r}") from None

    def reason_text(self, reason: int) -> str:
        return Reason(reason).name.lower() if reason < 0 else self._reasons[reason]

    # ---- calls

    def enqueue(self, call: str, step: steps.Queue, now: float) -> None:
        self.advance(now)
        handle = self.core.enqueue(
            self.queues[step.queue],
            now,
            needs=self._needs(step.needs),
            relaxation=self._relaxation(step, now),
            head_start_s=step.head_start_s,
            max_wait_s=float("inf") if step.max_wait_s is None else step.max_wait_s,
        )
        arguments = {"call": call, "queue": step.queue, "step": place_of(step)}
        if handle < 0:
            refusal = acd_core.Refusal(handle)
            self._events.append((call, ev.WaitEnded(_WAIT_OUTCOMES[refusal])))
            self._tell(now, "enqueue", {**arguments, "refused": refusal.name}, self._collect())
        else:
            self._calls[call] = handle
            self._call_names[handle] = call
            self._tell(now, "enqueue", arguments, self._collect())

    def _relaxation(self, step: steps.Queue, now: float) -> int:
        """The plan's steps over the queue's own needs; -1 where the plan relaxes nothing."""
        if not step.relax:
            return -1
        key = (step.queue, step.relax)
        if key not in self._relaxations:
            queue_needs = self.staff.queues[step.queue].needs
            relaxed = [
                (
                    relax.after_s,
                    None if relax.needs is None else self._needs(_both(queue_needs, relax.needs)),
                    relax.needs is not None,
                    relax.head_start_s or 0.0,
                )
                for relax in step.relax
            ]
            self._relaxations[key] = self.core.add_relaxation(relaxed, now)
        return self._relaxations[key]

    def leave(self, call: str, outcome: str, now: float) -> None:
        """abandoned, withdrawn or failed: the call waits no more, agents held for it are free."""
        self.advance(now)
        if call not in self._calls:  # its wait ended since the round began, which it will be told
            return
        getattr(self.core, _LEAVES[outcome])(self._calls[call], now)
        self._tell(now, "leave", {"call": call, "outcome": outcome}, self._collect())
        self._forget(call)

    def take(self, offer: int, now: float) -> None:
        self.advance(now)
        self.core.accept(offer, now)
        self._tell(now, "take", {"offer": offer}, self._collect())

    def decline(self, offer: int, refusal: Refusal, now: float) -> None:
        self.advance(now)
        getattr(self.core, _FAILURES[refusal])(offer, now)
        self._tell(now, "decline", {"offer": offer, "refusal": refusal}, self._collect())

    def give_back(self, offer: int, now: float) -> None:
        """Nothing if the call has left the queue since: its offers ended with it."""
        self.advance(now)
        try:
            self.core.take_back(offer, now)
        except acd_core.StaleOffer:
            return
        self._tell(now, "give_back", {"offer": offer}, self._collect())

    def release(self, call: str, now: float) -> None:
        """The talk is over; the agent's wrap-up begins."""
        self.advance(now)
        self.core.release(self._calls[call], now)
        self._tell(now, "release", {"call": call}, self._collect())
        self._forget(call)

    def position(self, call: str) -> int:
        """1 is next in its queue; 0: does not wait."""
        handle = self._calls.get(call, 0)
        return self.core.position(handle) if handle else 0

    def call_name(self, handle: int) -> str | None:
        return self._call_names.get(handle)

    def handle_of(self, call: str) -> int | None:
        """The core's handle of a call that waits or talks."""
        return self._calls.get(call)

    def _forget(self, call: str) -> None:
        del self._call_names[self._calls.pop(call)]

    def queue_rows(self, now: float) -> list[dict[str, Any]]:
        """Every queue as it stands, with its counts since the start; null where nothing was counted yet.

        sl_percent: answered within the queue's service level time / offered and no longer waiting. ASA: mean wait of
        the answered, in seconds.
        """
        rows = self.core.snapshot("queues", now)
        return [
            {
                "queue": (name := self.queue_names[int(row["queue"])]),
                "waiting": int(row["waiting"]),
                "longest_wait_s": round(float(row["oldest_wait_s"]), 3) if row["waiting"] else 0.0,
                "offered": int(row["offered"]),
                "answered": int(row["answered"]),
                "abandoned": int(row["abandoned"]),
                "timed_out": int(row["timed_out"]),
                "overflowed": int(row["overflowed"]),
                "sl_percent": _ratio(100 * row["in_sl"], row["offered"] - row["waiting"]),
                "sl_target": f"{self.staff.queues[name].sl_percent:g}/{self.staff.queues[name].sl_within_s:g}",
                "asa_s": _ratio(row["wait_us"] / 1e6, row["answered"]),
            }
            for row in rows
        ]

    # ---- time and what followed

    def advance(self, now: float) -> None:
        """Every verb does this first, so that what time alone brought about is told apart from what the verb did."""
        self.core.advance(now)
        if followed := self._collect():
            self._tell(now, "advance", {}, followed)

    def deadline(self) -> float:
        return self.core.deadline()

    def take_events(self) -> list[tuple[str, Event]]:
        events, self._events = self._events, []
        return events

    def take_spans(self) -> list[AgentSpan]:
        spans, self._spans = self._spans, []
        return spans

    def close_spans(self, now: float) -> None:
        """The daemon stops: every agent's present span ends here."""
        self._spans += [replace(span, ended_at=now) for span in self._open_spans.values()]
        self._open_spans.clear()

    def stop(self, now: float) -> None:
        """Tell the core's counters: a replay must come to the same."""
        self.advance(now)
        take: Any = self.core.snapshot
        self._tell(now, "stop", {what: _as_rows(take(what, now)) for what in ("queues", "agents", "serving")}, [])

    def _collect(self) -> Followed:
        outputs = self.core.drain()
        if not outputs:
            return []
        followed: Followed = []
        for kind, at, call, agent, number, value in outputs:
            name, who = self._call_names.get(call), self.agent_names.get(agent)
            if kind == _AGENT_STATE:
                followed.append(("AGENT_STATE", at, name, who, _STATES[number], self.reason_text(value)))
            else:
                followed.append((_KINDS[kind], at, name, who, number, value))
            match kind:
                case Out.AGENT_STATE:
                    self._change_span(agent, number, value, at, call)
                case Out.OFFER:
                    self._events.append((self._call_names[call], ev.AgentReserved(number, self.agent_names[agent])))
                case Out.OFFER_EXPIRED:
                    self._events.append((self._call_names[call], ev.OfferExpired(number)))
                case Out.OFFER_CANCELLED if value == Cancelled.AGENT_LEFT:
                    self._events.append((self._call_names[call], ev.OfferWithdrawn(number)))
                case Out.CALL_REQUEUED:
                    self._events.append((self._call_names[call], ev.OffersFailed()))
                case Out.CALL_EXPIRED:
                    self._end_wait(call, "timeout")
                case Out.CALL_OVERFLOWED:
                    self._end_wait(call, _WAIT_OUTCOMES[acd_core.Refusal(value)])
        return followed

    def _end_wait(self, handle: int, outcome: str) -> None:
        call = self._call_names[handle]
        self._events.append((call, ev.WaitEnded(outcome)))
        self._forget(call)

    def _change_span(self, agent: int, state: int, reason: int, at: float, call: int) -> None:
        old = self._open_spans[agent]
        if at > old.began_at:
            self._spans.append(replace(old, ended_at=at))
        # The core names the call of RESERVED and TALKING; wrap-up belongs to the talk before it.
        name = old.call if state == AgentState.ACW else self._call_names.get(call)
        self._open_spans[agent] = AgentSpan(
            old.agent, AgentState(state).name, at, at, self.reason_text(reason) or None, name
        )


def place_of(step: plan.Step) -> str:
    """file:line:column: two steps may stand on one line."""
    return f"{step.place}:{step.place.column}"


def _as_rows(snapshot: Any) -> list[dict[str, Any]]:
    return [dict(zip(snapshot.dtype.names, row.tolist(), strict=True)) for row in snapshot]


def _ratio(part: float, whole: float) -> float | None:
    return round(float(part) / float(whole), 3) if whole else None


def _both(left: steps.Needs, right: steps.Needs) -> steps.Needs:
    """Needs that hold only where both hold: the AND of two ORs of terms."""
    if not left or not right:
        return left or right
    return tuple(_merge(a, b) for a, b in product(left, right))


def _merge(a: Iterable[steps.Need], b: Iterable[steps.Need]) -> tuple[steps.Need, ...]:
    levels: dict[str, int] = {}
    for skill, level in (*a, *b):
        levels[skill] = max(level, levels.get(skill, 0))
    return tuple(levels.items())
