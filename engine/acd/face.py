"""The Python face of the ACD core: names to handles on the way in, events on the way out. Counterpart: acd_core.pyi.

Nothing is decided here. The core is the single truth of who waits and what every agent does; this file holds no state
of its own but the two directions of each name. floor.py is the other half: what is configured.
"""

from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version

import acd_core
from acd_core import IllegalMove, Out, Reason
from engine.acd import rows
from engine.acd.book import bare
from engine.acd.floor import Floor, UnknownName
from engine.acd.spans import Spans
from engine.acd.telling import KINDS, STATES, Followed, Row, Tell, never, tell_nobody
from engine.acd.words import FAILURES, LEAVES, WAIT_OUTCOMES, news_of_offer
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.events import Event, Refusal
from engine.callflow.record import AgentSpan
from engine.callflow.staff import Staff
from engine.encoding import digest, encode, unpack

_AGENT_STATE = int(Out.AGENT_STATE)


class Acd:
    """One per switch. Every method takes `now`; take_events() tells what followed.

    `tell` hears everything that the core is asked, by name and at its time, and what followed: enough to do it again
    (engine/replay.py). What was refused changed nothing and is not told. `begins_file` says whether what is told at
    `now` would begin a new file of the trace: then the whole state is told first, so that every file stands alone.
    """

    def __init__(
        self,
        staff: Staff,
        book: plan.PlanBook,
        n_calls: int,
        now: float,
        tell: Tell = tell_nobody,
        seed: int = 1,
        begins_file: Callable[[float], bool] = never,
    ) -> None:
        """There is room for four times the staff and queues of the start."""
        room = {
            "n_calls": n_calls,
            "n_agents": max(256, 4 * len(staff.agents)),
            "n_queues": max(64, 4 * len(staff.queues)),
            "n_serving": max(1024, 4 * sum(len(agent.queues) for agent in staff.agents.values())),
        }
        self._begin(room, seed, now, tell, begins_file)
        self._digest = digest(staff, book)
        self.floor.configure(staff, book, now)
        self._open_new_spans(now)
        self._collect(now)
        self._tell(now, "start", {**self._about(), "seed": seed, "n_calls": n_calls, **self._configured(staff)}, [])

    @classmethod
    def restored(cls, saved: Row, now: float, tell: Tell = tell_nobody) -> "Acd":
        """As it was when it told the checkpoint `saved`. Raises AcdError for that of another build."""
        self = cls.__new__(cls)
        self._begin(saved["room"], 0, saved["now"], tell, never)
        self.core.load(unpack(saved["core"]))
        self.floor.load(saved["floor"])
        self._digest, self._reasons = saved["digest"], list(saved["reasons"])
        for row in saved["calls"]:
            self._remember(row["call"], row["handle"])
        self._asked = {row["call"]: tuple(row["asked"]) for row in saved["calls"]}
        self._open_new_spans(now)
        return self

    def _begin(
        self, room: dict[str, int], seed: int, now: float, tell: Tell, begins_file: Callable[[float], bool]
    ) -> None:
        self.core = acd_core.Acd(**room, seed=seed)
        self.floor = Floor(self.core, room)
        self._tell, self._begins_file, self._now = tell, begins_file, now
        self._reasons = [""]  # a person's reasons, by the number the core keeps
        self._calls: dict[str, int] = {}  # calls in queues or talk
        self._call_names: dict[int, str] = {}
        self._asked: dict[str, tuple[int, Row]] = {}  # call -> its widening in the core, the start of its ladder
        self._events: list[tuple[str, Event | ev.OfferGivenUp]] = []
        self._spans = Spans()

    def _about(self) -> Row:
        return {"version": version("agner"), "digest": self._digest}

    def _configured(self, staff: Staff) -> Row:
        return {"staff": encode(staff), "steps": [encode(bare(step)) for step in self.floor.steps.values()]}

    # ---- the configuration

    @property
    def staff(self) -> Staff:
        """With agents who are to leave after their talk, and queues that are to close when they are empty."""
        return self.floor.staff

    @property
    def agents(self) -> dict[str, int]:
        return self.floor.agents

    @property
    def queues(self) -> dict[str, int]:
        return self.floor.queues

    def begin_day(self, now: float) -> None:
        """Every agent becomes what `at_start` says."""
        for name in self.staff.agents:
            self._begin_work(name, now)

    def _begin_work(self, name: str, now: float) -> None:
        at_start = self.staff.agents[name].at_start
        if at_start != "logged_out":
            self.log_in(name, now)
        if at_start == "ready":
            self.ready(name, now)

    def apply(self, staff: Staff, book: plan.PlanBook, now: float) -> None:
        """A changed configuration, for calls that wait too: settings of queues, skills, who serves what, groups and
        relaxations of the steps they stand at. Nobody's state and no count changes.

        An agent who is no longer there leaves at once, in talk after the call; a new one becomes what `at_start` says.
        A queue that is no longer there serves who waits in it and closes when it is empty. What a waiting call asked
        for when it came, it still asks. Raises NoRoom, having changed nothing, if it has more than four times the
        agents or queues of the start.
        """
        self.floor.check_room(staff, book)
        gone = sorted(self.agents.keys() - staff.agents.keys() - self.floor.leaving.keys())
        for name in gone:
            self.log_out(name, now)
        back = self.floor.leaving.keys() & staff.agents.keys()
        new = [name for name in staff.agents if name not in self.agents]
        self.reconfigure(staff, book, digest(staff, book), now)
        for name in sorted(back):
            self.log_in(name, now)
        for name in new:
            self._begin_work(name, now)

    def reconfigure(self, staff: Staff, book: plan.PlanBook, configuration: str, now: float) -> None:
        """The part of apply() that is one event. `configuration` is its digest."""
        self.advance(now)
        moved = self.floor.configure(staff, book, now)
        self._digest = configuration
        self._open_new_spans(now)
        self._tell(now, "apply", {**self._about(), **self._configured(staff), "moved": moved}, self._collect(now))

    def _open_new_spans(self, now: float) -> None:
        for name, handle in self.agents.items():
            if handle not in self._spans:
                state, reason, _ = self.core.agent_state(handle)
                self._spans.begin(handle, name, state, self.reason_text(reason), now)

    # ---- agents, as people and their phones say. In talk, out or not ready is after the call; no phone: no calls

    def log_in(self, agent: str, now: float) -> None:
        self._ask("log_in", agent, now)

    def log_out(self, agent: str, now: float) -> None:
        self._ask("log_out", agent, now)

    def ready(self, agent: str, now: float) -> None:
        self._ask("ready", agent, now)

    def phone_gone(self, agent: str, now: float) -> None:
        self._ask("phone_gone", agent, now)

    def phone_back(self, agent: str, now: float) -> None:
        self._ask("phone_back", agent, now)

    def outside_began(self, agent: str, now: float) -> None:
        self._ask("outside_began", agent, now)

    def outside_dialled(self, agent: str, now: float) -> None:
        self._ask("outside_dialled", agent, now)

    def outside_ended(self, agent: str, now: float) -> None:
        """Nothing if the agent left since it began, and perhaps came back."""
        with suppress(IllegalMove):
            self._ask("outside_ended", agent, now)

    def _ask(self, verb: str, agent: str, now: float) -> None:
        """An agent who leaves may have calls outside, too; who has left has none."""
        if (is_outside := verb.startswith("outside")) and agent not in self.agents:
            return
        handle = self.agents[agent] if is_outside else self._agent(agent)
        self.advance(now)
        getattr(self.core, verb)(handle, now)
        self._tell(now, verb, {"agent": agent}, self._collect(now))

    def not_ready(self, agent: str, reason: str, now: float) -> None:
        """At once, in talk after wrap-up. Raises IllegalMove if the agent is logged out, as ready() does."""
        handle = self._agent(agent)
        number = self._reasons.index(reason) if reason in self._reasons else len(self._reasons)
        self.advance(now)
        self.core.not_ready(handle, now, number)
        if number == len(self._reasons):
            self._reasons.append(reason)
        self._tell(now, "not_ready", {"agent": agent, "reason": reason}, self._collect(now))

    def _agent(self, name: str) -> int:
        """An agent who works here and goes on to."""
        if name not in self.agents or name in self.floor.leaving:
            raise UnknownName(f"no agent {name!r}")
        return self.agents[name]

    def reason_text(self, reason: int) -> str:
        return Reason(reason).name.lower() if reason < 0 else self._reasons[reason]

    # ---- calls

    def enqueue(self, call: str, step: steps.Queue, now: float, arrival: float | None = None) -> None:
        """`arrival`: since when its place counts, if not from now: of a call that keeps its place, or of a callback.

        The step's preferred agent is a name; nobody of that name works here: no agent is preferred. Of a queue that has
        closed the call learns that nobody is there.
        """
        self.advance(now)
        if step.queue not in self.queues:
            self._events.append((call, ev.WaitEnded("no_agents")))
            return
        asked = self.floor.asked(step, now)
        preferred = step.preferred if step.preferred and step.preferred.agent in self.agents else None
        handle = self.core.enqueue(
            self.queues[step.queue],
            now,
            needs=asked.needs,
            relaxation=asked.relaxation,
            arrival=arrival,
            head_start_s=asked.head_start_s,
            max_wait_s=float("inf") if step.max_wait_s is None else step.max_wait_s,
            preferred=self.agents[preferred.agent] if preferred else 0,
            preferred_wait_s=preferred.wait_s if preferred else 0.0,
            preferred_head_start_s=preferred.head_start_s if preferred else 0.0,
        )
        arguments: Row = {"call": call, "queue": step.queue, "step": asked.place or encode(bare(step))}
        if asked.place and step.preferred:
            arguments["preferred"] = step.preferred.agent
        if arrival is not None:
            arguments["arrival"] = arrival
        if handle < 0:
            refusal = acd_core.Refusal(handle)
            self._events.append((call, ev.WaitEnded(WAIT_OUTCOMES[refusal])))
            self._tell(now, "enqueue", {**arguments, "refused": refusal.name}, self._collect(now))
        else:
            self._remember(call, handle)
            self._asked[call] = (asked.relaxation, asked.first)
            self._tell(now, "enqueue", arguments, self._collect(now))

    def leave(self, call: str, outcome: str, now: float) -> None:
        """abandoned, withdrawn, failed or called_back: the call waits no more, agents held for it are free."""
        self.advance(now)
        if call not in self._calls:  # its wait ended since the round began, which it will be told
            return
        getattr(self.core, LEAVES[outcome])(self._calls[call], now)
        self._tell(now, "leave", {"call": call, "outcome": outcome}, self._collect(now))
        self._forget(call)

    def take(self, offer: int, now: float) -> None:
        self.advance(now)
        self.core.accept(offer, now)
        self._tell(now, "take", {"offer": offer}, self._collect(now))

    def decline(self, offer: int, refusal: Refusal, now: float) -> None:
        self.advance(now)
        getattr(self.core, FAILURES[refusal])(offer, now)
        self._tell(now, "decline", {"offer": offer, "refusal": refusal}, self._collect(now))

    def give_back(self, offer: int, now: float) -> None:
        """Nothing if the call has left the queue since: its offers ended with it."""
        self._settle_offer("give_back", self.core.take_back, offer, now)

    def cleared(self, offer: int, now: float) -> None:
        """The phone is out of an offer that was given up. Nothing if the agent was freed without that, or has left."""
        self._settle_offer("cleared", self.core.cleared, offer, now)

    def _settle_offer(self, verb: str, ask: Callable[[int, float], None], offer: int, now: float) -> None:
        self.advance(now)
        try:
            ask(offer, now)
        except acd_core.StaleOffer:
            return
        self._tell(now, verb, {"offer": offer}, self._collect(now))

    def release(self, call: str, now: float) -> None:
        """The talk is over; the agent's wrap-up begins."""
        self.advance(now)
        self.core.release(self._calls[call], now)
        self._tell(now, "release", {"call": call}, self._collect(now))
        self._forget(call)

    def position(self, call: str) -> int:
        """1 is next in its queue; 0: does not wait."""
        handle = self._calls.get(call, 0)
        return self.core.position(handle) if handle else 0

    def estimate(self, call: str, now: float) -> tuple[float, float]:
        """Median and 80th percentile of the wait still to come, in seconds; infinite while nobody works; (0, 0): does
        not wait."""
        self.advance(now)
        handle = self._calls.get(call)
        return self.core.estimate(handle, now) if handle else (0.0, 0.0)

    def call_name(self, handle: int) -> str | None:
        return self._call_names.get(handle)

    def handle_of(self, call: str) -> int | None:
        """The core's handle of a call that waits or talks."""
        return self._calls.get(call)

    def ladder_of(self, call: str) -> list[Row]:
        """What a call in a queue or talk asks as it waits, from the start on: rungs as JSON values."""
        relaxation, first = self._asked[call]
        return [first, *self.floor.rungs_of(relaxation)]

    def _remember(self, call: str, handle: int) -> None:
        self._calls[call] = handle
        self._call_names[handle] = call

    def _forget(self, call: str) -> None:
        del self._call_names[self._calls.pop(call)], self._asked[call]

    def queue_rows(self, now: float) -> list[Row]:
        """Every queue as it stands, with its counts since the start; null where nothing was counted yet."""
        return rows.of_queues(self.core.snapshot("queues", now), self.floor.queue_names, self.staff)

    # ---- time and what followed

    def advance(self, now: float) -> None:
        """Every verb does this first, so that what time alone brought about is told apart from what the verb did."""
        if self._begins_file(now):
            self.checkpoint(now, self._now)
        self.core.advance(now)
        self._now = now
        if followed := self._collect(now):
            self._tell(now, "advance", {}, followed)

    def deadline(self) -> float:
        return self.core.deadline()

    def take_events(self) -> list[tuple[str, Event | ev.OfferGivenUp]]:
        events, self._events = self._events, []
        return events

    def take_spans(self) -> list[AgentSpan]:
        return self._spans.take()

    def close_spans(self, now: float) -> None:
        """The daemon stops: every agent's present span ends here."""
        self._spans.end_but((), now)

    def checkpoint(self, now: float, moment: float) -> None:
        """Tell the whole state, as it was at `moment`, the time of what was done last: a replay can begin here."""
        state = rows.of_state(self.core, self.floor, self._calls, self.reason_text, moment)
        for row in state["calls"]:
            row["asked"] = list(self._asked[row["call"]])
        about = {**self._about(), "now": moment, "room": self.floor.room, "reasons": list(self._reasons)}
        told = {**about, "floor": self.floor.saved(), **state, "core": self.core.save()}
        self._tell(now, "checkpoint", told, [])

    def stop(self, now: float) -> None:
        """Tell the core's counters: a replay must come to the same."""
        self.advance(now)
        self._tell(now, "stop", rows.of_counts(self.core, self.floor, now), [])

    def _collect(self, now: float) -> Followed:
        outputs = self.core.drain()
        followed = self._follow(outputs) if outputs else []
        if self.floor.leaving or self.floor.closing:
            self.floor.tidy(now)
            followed += self._follow(self.core.drain())
            self._spans.end_but(self.floor.agent_names, now)
        return followed

    def _follow(self, outputs: "list[acd_core.Output]") -> Followed:
        followed: Followed = []
        for kind, at, call, agent, number, value in outputs:
            name, who = self._call_names.get(call), self.floor.agent_names.get(agent)
            if kind == _AGENT_STATE:
                reason = self.reason_text(value)
                followed.append(("AGENT_STATE", at, name, who, STATES[number], reason))
                self._spans.change(agent, number, reason, at, name)
            elif kind == Out.RESERVE:
                followed.append(("RESERVE", at, None, None, self.floor.queue_names[number], value))
            else:
                followed.append((KINDS[kind], at, name, who, number, value))
            match kind:
                case Out.CALL_EXPIRED:
                    self._end_wait(call, "timeout")
                case Out.CALL_OVERFLOWED:
                    self._end_wait(call, WAIT_OUTCOMES[acd_core.Refusal(value)])
            self._events += [(self._call_names[call], event) for event in news_of_offer(kind, number, value, str(who))]
        return followed

    def _end_wait(self, handle: int, outcome: str) -> None:
        call = self._call_names[handle]
        self._events.append((call, ev.WaitEnded(outcome)))
        self._forget(call)
