"""The ACD as it should be, obviously: no index, every question answered by looking at everything.

Counterpart of acd_core.pyx, driven beside it by pair.py. Slow on purpose; estimates are not in it (they are judged by
tests/core/test_estimates.py): that a call is refused for its wait, the core tells (too_long). Read this to know the
rules; read acd/*.pxi to know how they are made fast.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from acd_core import AgentState as A
from acd_core import CallState as C
from acd_core import Cancelled, Failure, Out, Policy, Reason, Refusal, Strategy, Verdict

INF = math.inf
N_REMEMBERED = 12
CLEAR_S = 2.0
SL_SAMPLE = 16


class Refused(Exception):
    """args[0]: the name of the exception the core must raise."""


def us(t: float) -> int:
    return math.floor(t * 1e6 + 0.5)


@dataclass
class Queue:
    handle: int
    strategy: int = Strategy.LONGEST_IDLE
    needs: int = 0
    relaxation: int = 0
    n_ring: int = 1
    ring_s: float = INF
    wrap_up_s: float = 0.0
    max_waiting: int = -1
    max_ewt_s: float = INF
    needs_agent: bool = False
    needs_skill: bool = False
    sl_s: float = 20.0
    short_s: float = 5.0
    reserve_on_s: float = INF
    reserve_off_s: float = 0.0
    reserve_on_sl: float = 0.0
    reserve_off_sl: float = 0.0
    reserve_on: bool = False
    policy: list[tuple[int, float, int]] = field(
        default_factory=lambda: [
            (Policy.PAUSE, 5.0, 1),
            (Policy.GO_NOT_READY, 0.0, 1),
            (Policy.PAUSE, 5.0, 1),
            (Policy.PAUSE, 10.0, 1),
        ]
    )
    recent: list[bool] = field(default_factory=list)
    count: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, n: int = 1) -> None:
        self.count[what] = self.count.get(what, 0) + n


@dataclass
class Serving:
    rank: int
    from_s: float
    weight: int
    reserve: bool
    order: int
    last_offer: int = 0
    n_offers: int = 0
    n_answered: int = 0
    talk_us: int = 0


@dataclass
class Agent:
    handle: int
    skills: dict[int, int] = field(default_factory=dict)
    groups: set[int] = field(default_factory=set)  # of the skills, those that do not count as skill
    intent: int = A.LOGGED_OUT
    reason: int = 0
    next: tuple[int, int] | None = None
    paused: tuple[float, int] | None = None
    wrap_until: float | None = None
    own_wrap: float | None = None
    phone: bool = True
    n_outside: int = 0
    offer: int = 0
    ring_until: float = INF
    rings_for: int = 0
    clearing: int = 0  # the offer whose leg is not known to be over
    clear_by: float = INF
    talks_to: int = 0
    wrapped: int = 0
    idle: int = 0
    row: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    n_calls: int = 0
    busy_us: int = 0
    logged_at: float = 0.0
    told: tuple[int, int] = (A.LOGGED_OUT, 0)
    since: float = 0.0
    count: dict[str, int] = field(default_factory=dict)

    def state(self) -> tuple[int, int]:
        if self.talks_to:
            return A.TALKING, 0
        if self.rings_for:
            return A.RESERVED, 0
        if self.intent == A.LOGGED_OUT:
            return A.LOGGED_OUT, 0
        if self.wrap_until is not None:
            return A.ACW, 0
        if self.intent == A.NOT_READY:
            return A.NOT_READY, self.reason
        if self.paused:
            return A.NOT_READY, self.paused[1]
        if not self.phone:
            return A.NOT_READY, Reason.PHONE_GONE
        if self.n_outside:
            return A.NOT_READY, Reason.OUTSIDE_CALL
        return (A.RESERVED, 0) if self.clearing else (A.READY, 0)

    def works(self) -> bool:
        return self.told[0] >= A.READY

    def skill(self) -> int:
        return sum(level for skill, level in self.skills.items() if skill not in self.groups)

    def timer(self) -> float:
        if self.rings_for:
            return self.ring_until
        if self.told[0] == A.ACW:
            return self.wrap_until if self.wrap_until is not None else INF
        return min(self.paused[0] if self.paused else INF, self.clear_by)

    def add(self, what: str, n: int = 1) -> None:
        self.count[what] = self.count.get(what, 0) + n


@dataclass
class Call:
    handle: int
    queue: int
    needs: int
    relaxation: int
    arrival: float
    enqueued: float
    expires: float
    head: float
    preferred: int
    preferred_head: float
    state: int = C.WAITING
    in_line: bool = False
    step: int = 0
    hold_until: float | None = None
    declined: list[int] = field(default_factory=list)
    connected: float = 0.0
    agent: int = 0
    asked: set[int] = field(default_factory=set)  # the skills it came for
    armed_at: float = -INF

    def place(self) -> tuple[int, float, int]:
        return (0, self.arrival, self.handle) if self.head == INF else (1, self.arrival - self.head, self.handle)


class Model:
    def __init__(self, *, n_calls: int, n_agents: int, n_queues: int, seed: int) -> None:
        """n_queues: a power of two."""
        self.now = -INF
        self.random = seed
        self.max_calls, self.max_agents, self.max_queues = n_calls, n_agents, n_queues
        self.slots = 2
        while self.slots < 2 * n_calls:
            self.slots *= 2
        self.agent_slots = 2
        while self.agent_slots < n_agents:
            self.agent_slots *= 2
        self.offer_slots = 2 * self.agent_slots
        self.queues: dict[int, Queue] = {}
        self.agents: dict[int, Agent] = {}
        self.calls: dict[int, Call] = {}
        self.serving: dict[tuple[int, int], Serving] = {}
        self.terms: list[tuple[dict[int, int], ...]] = [()]
        self.relaxations: list[list[tuple[float, int | None, bool, float]]] = [[]]
        self.last = {"queue": 0, "agent": 0, "call": 0, "offer": 0, "idle": 0, "serving": 0}
        self.expiring: list[Call] = []
        self.is_changing = False
        self.n_forgotten = 0  # declines, each for a thirteenth
        self.too_long = False  # the core's word for the call that comes now
        self.by_skill: dict[int, list[int]] = {}  # offered, answered, in_sl, abandoned, wait_us
        self.out: list[tuple[int, float, int, int, int, int]] = []

    # --- rules ---

    def steps(self, call: Call) -> list[tuple[float, tuple[dict[int, int], ...], tuple[dict[int, int], ...], float]]:
        """(after_s, the call's terms, the queue's terms, head start) of the call's ladder, the start first."""
        queue = self.queues[call.queue]
        own, theirs = self.terms[call.needs], self.terms[queue.needs]
        ladder = [(0.0, own, theirs, 0.0)]
        for after, needs, drops, head in self.relaxations[queue.relaxation if call.relaxation < 0 else call.relaxation]:
            theirs = theirs if needs is None else self.terms[needs]
            own = () if drops else own
            ladder.append((after, own, theirs, head))
        return ladder

    def fits(self, agent: Agent, call: Call, step: int) -> bool:
        _, own, theirs, _ = self.steps(call)[step]
        return all(
            not terms or any(all(agent.skills.get(s, 0) >= level for s, level in term.items()) for term in terms)
            for terms in (own, theirs)
        )

    def admits(self, agent: Agent, call: Call) -> bool:
        served = self.serving.get((agent.handle, call.queue))
        if served is None or (served.reserve and not self.queues[call.queue].reserve_on):
            return False
        return call.preferred == agent.handle or call.enqueued + served.from_s <= self.now

    def barred(self, agent: Agent, call: Call) -> bool:
        return agent.handle in call.declined and any(
            other.works()
            and other.handle not in call.declined
            and self.admits(other, call)
            and self.fits(other, call, call.step)
            for other in self.agents.values()
        )

    def able(self, agent: Agent, call: Call) -> bool:
        return self.admits(agent, call) and self.fits(agent, call, call.step) and not self.barred(agent, call)

    def may_take(self, agent: Agent, call: Call) -> bool:
        if agent.told[0] != A.READY or (call.hold_until is not None and agent.handle != call.preferred):
            return False
        return self.able(agent, call)

    def verdict(self, agent: Agent, call: Call) -> int:
        """Verdict: the first reason why not."""
        served = self.serving.get((agent.handle, call.queue))
        if served is None:
            return Verdict.NOT_SERVING
        if agent.told[0] == A.RESERVED and agent.clearing:
            return Verdict.CLEARING
        if agent.told[0] != A.READY:
            return Verdict[A(agent.told[0]).name]
        if served.reserve and not self.queues[call.queue].reserve_on:
            return Verdict.RESERVE_OFF
        if not self.admits(agent, call):
            return Verdict.TOO_EARLY
        if not self.fits(agent, call, call.step):
            return Verdict.LACKS_SKILL
        if call.hold_until is not None and call.preferred != agent.handle:
            return Verdict.HELD
        if self.barred(agent, call):
            return Verdict.DECLINED
        return Verdict.OK if call.state == C.WAITING else Verdict.NOT_WAITING

    def next_of(self, agent: Agent) -> int:
        """The call the agent would get if READY now."""
        for call in self.line():
            if (call.hold_until is None or call.preferred == agent.handle) and self.able(agent, call):
                return call.handle
        return 0

    def before(self, call: Call) -> list[tuple[int, int]]:
        """What comes before it in any queue of its queue's agents."""
        members = {a for a, q in self.serving if q == call.queue}
        queues = {q for a, q in self.serving if a in members} | {call.queue}
        return [(c.handle, c.queue) for c in self.line() if c.queue in queues and c.place() < call.place()]

    def choose(self, call: Call) -> Agent | None:
        """Preferred first; then by the earliest step the agent fits; then rank; then strategy; then longest idle."""
        free = [agent for agent in self.agents.values() if self.may_take(agent, call)]
        if not free:
            return None
        for agent in free:
            if agent.handle == call.preferred:
                return agent
        for step in range(call.step + 1):
            fitting = [agent for agent in free if self.fits(agent, call, step)]
            if fitting:
                return self.by_strategy(call, fitting)
        raise AssertionError("an agent who may take a call fits its step")

    def by_strategy(self, call: Call, free: list[Agent]) -> Agent:
        queue = self.queues[call.queue]
        lowest = min(self.serving[a.handle, queue.handle].rank for a in free)
        free = [a for a in free if self.serving[a.handle, queue.handle].rank == lowest]
        free.sort(key=lambda a: a.idle)
        if len(free) > 1 and queue.strategy in (Strategy.RANDOM, Strategy.WEIGHTED):
            chances = [
                self.serving[a.handle, queue.handle].weight if queue.strategy == Strategy.WEIGHTED else 1 for a in free
            ]
            draw = self.next_random() % sum(chances)
            for agent, chance in zip(free, chances, strict=True):
                draw -= chance
                if draw < 0:
                    return agent
        return min(free, key=lambda a: (self.weigh(a, call, queue), a.idle))

    def weigh(self, agent: Agent, call: Call, queue: Queue) -> float:
        served = self.serving[agent.handle, queue.handle]
        match queue.strategy:
            case Strategy.LEAST_OCCUPIED:
                logged = us(self.now) - us(agent.logged_at)
                return agent.busy_us / logged if logged > 0 else 0.0
            case Strategy.FEWEST_CALLS:
                return agent.n_calls
            case Strategy.ROUND_ROBIN:
                return served.last_offer
            case Strategy.MOST_SKILLED:
                return -self.skill_for(agent, call)
            case Strategy.LEAST_SKILLED:
                return agent.skill()
            case Strategy.LINEAR:
                return served.order
        return 0

    def skill_for(self, agent: Agent, call: Call) -> int:
        """Best sum of levels over the needed skills of a way in which the agent fits both the call's and the queue's
        needs."""
        _, own, theirs, _ = self.steps(call)[call.step]
        theirs = () if theirs == own else theirs  # the same needs twice are those needs
        if not own and not theirs:
            return agent.skill()
        ways = []
        for one in own or ({},):
            for other in theirs or ({},):
                term = {s: max(one.get(s, 0), other.get(s, 0)) for s in {*one, *other}}
                if all(agent.skills.get(s, 0) >= level for s, level in term.items()):
                    ways.append(sum(agent.skills[s] for s in term))
        return max(ways)

    def next_random(self) -> int:
        mask = (1 << 64) - 1
        self.random = (self.random + 0x9E3779B97F4A7C15) & mask
        z = self.random
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    # --- pairs ---

    def line(self, queue: int | None = None) -> list[Call]:
        waiting = [c for c in self.calls.values() if c.in_line and (queue is None or c.queue == queue)]
        return sorted(waiting, key=Call.place)

    def begin_changes(self, now: float) -> None:
        self.run_until(now)
        self.is_changing = True

    def end_changes(self, now: float) -> None:
        self.run_until(now)
        self.is_changing = False
        self.settle_floor()

    def settle_floor(self) -> None:
        while not self.is_changing:
            if self.one_pair():
                continue
            if not any(self.evict(q) or self.weigh_reserves(q) for q in sorted(self.queues)):
                return

    def one_pair(self) -> bool:
        return any(self.match(call) for call in self.line())

    def match(self, call: Call) -> bool:
        left = self.queues[call.queue].n_ring
        agent = self.choose(call)
        if agent is None:
            return False
        alone = call.hold_until is not None or agent.handle == call.preferred
        while agent is not None:
            self.offer(call, agent)
            left -= 1
            agent = None if left == 0 or alone else self.choose(call)
        return True

    def offer(self, call: Call, agent: Agent) -> None:
        if agent.handle in call.declined:
            call.declined = []
        offers = [a.offer or a.clearing for a in self.agents.values()]
        live = {offer % self.offer_slots for offer in offers if offer}
        self.last["offer"] += 1
        while self.last["offer"] % self.offer_slots in live:
            self.last["offer"] += 1
        agent.offer = self.last["offer"]
        agent.rings_for = call.handle
        agent.ring_until = self.now + self.queues[call.queue].ring_s
        agent.add("offers")
        if served := self.serving.get((agent.handle, call.queue)):
            served.last_offer = agent.offer
            served.n_offers += 1
        call.state, call.in_line, call.hold_until = C.OFFERED, False, None
        self.settle(agent)
        self.tell(Out.OFFER, call.handle, agent.handle, agent.offer)

    def evict(self, handle: int) -> bool:
        queue = self.queues[handle]
        waiting = self.line(handle)
        if not waiting or not queue.needs_agent or any(a.told[0] != A.LOGGED_OUT for a in self.members(handle)):
            return False
        for call in waiting:
            self.tell(Out.CALL_OVERFLOWED, call.handle, value=Refusal.NO_AGENT)
            self.leave(call, "overflowed")
        return True

    def weigh_reserves(self, handle: int) -> bool:
        queue = self.queues[handle]
        if not any(q == handle and served.reserve for (_, q), served in self.serving.items()):
            return False
        oldest = min((c.enqueued for c in self.line(handle)), default=INF)
        share = sum(queue.recent) / len(queue.recent) if len(queue.recent) >= SL_SAMPLE else 1.0
        if not queue.reserve_on:
            changed = oldest + queue.reserve_on_s <= self.now or share < queue.reserve_on_sl
        else:
            good = share >= max(queue.reserve_off_sl, queue.reserve_on_sl)
            changed = oldest + queue.reserve_off_s > self.now and good
        if changed:
            queue.reserve_on = not queue.reserve_on
            self.tell(Out.RESERVE, number=handle, value=int(queue.reserve_on))
        return changed

    def members(self, queue: int) -> list[Agent]:
        return [self.agents[a] for a, q in self.serving if q == queue]

    # --- agents ---

    def tell(self, kind: int, call: int = 0, agent: int = 0, number: int = 0, value: int = 0) -> None:
        self.out.append((int(kind), self.now, call, agent, int(number), int(value)))

    def settle(self, agent: Agent) -> None:
        new = agent.state()
        if new == agent.told:
            return
        old, agent.told = agent.told, new
        spent = us(self.now) - us(agent.since)
        agent.add(f"{A(old[0]).name.lower()}_us", spent)
        if old[0] >= A.RESERVED:
            agent.busy_us += spent
        if old[0] == A.ACW and agent.wrapped in self.queues:
            self.queues[agent.wrapped].add("wrap_us", spent)
        agent.since = self.now
        if (old[0] == A.LOGGED_OUT) != (new[0] == A.LOGGED_OUT):
            agent.n_calls, agent.busy_us, agent.logged_at = 0, 0, self.now
        if {old[0], new[0]} != {A.READY, A.RESERVED} and new[0] in (A.READY, A.RESERVED):
            self.restart_idle(agent)
        if new[0] == A.LOGGED_OUT or (new[0] == A.NOT_READY and new[1] != Reason.OUTSIDE_CALL):
            self.release_holds(agent)
        self.tell(Out.AGENT_STATE, agent.talks_to or agent.rings_for, agent.handle, *new)

    def restart_idle(self, agent: Agent) -> None:
        self.last["idle"] += 1
        agent.idle = self.last["idle"]

    def release_holds(self, agent: Agent, queue: int | None = None) -> None:
        for call in self.line(queue):
            if call.preferred == agent.handle and call.hold_until is not None:
                self.unhold(call)

    def unhold(self, call: Call) -> None:
        call.hold_until = None
        call.head = max(call.head, call.preferred_head)
        self.climb(call)

    def climb(self, call: Call) -> None:
        steps = self.steps(call)
        while call.step + 1 < len(steps) and call.enqueued + steps[call.step + 1][0] <= self.now:
            self.step_up(call)
        call.armed_at = self.now

    def step_up(self, call: Call) -> None:
        call.step += 1
        call.head = max(call.head, self.steps(call)[call.step][3])
        self.tell(Out.CALL_RELAXED, call.handle, number=call.step)

    def after_call(self, agent: Agent) -> None:
        agent.wrap_until = None
        if agent.next:
            agent.intent, agent.reason = agent.next
        agent.next = None

    def cancel(self, agent: Agent, why: int) -> Call:
        call = self.calls[agent.rings_for]
        self.tell(Out.OFFER_CANCELLED, call.handle, agent.handle, agent.offer, why)
        agent.add("cancelled")
        self.begin_clearing(agent)
        return call

    def begin_clearing(self, agent: Agent) -> None:
        """The offer ended, and not by the phone's own word."""
        agent.clearing, agent.clear_by = agent.offer, self.now + CLEAR_S
        agent.rings_for = agent.offer = 0

    def clear(self, agent: Agent) -> None:
        agent.clearing, agent.clear_by = 0, INF
        self.settle(agent)

    def cancel_all(self, call: Call, why: int) -> None:
        for agent in self.ringing(call):
            self.cancel(agent, why)
            if agent.next:
                self.after_call(agent)
            self.settle(agent)

    def ringing(self, call: Call) -> list[Agent]:
        return [a for a in self.agents.values() if a.rings_for == call.handle]

    def drop_offer(self, agent: Agent) -> None:
        if agent.rings_for:
            self.requeue_if_silent(self.cancel(agent, Cancelled.AGENT_LEFT))

    def requeue_if_silent(self, call: Call) -> None:
        if self.ringing(call):
            return
        call.state = C.WAITING
        if call.expires <= self.now:
            self.expire(call)
            return
        if call.preferred:
            call.head = max(call.head, call.preferred_head)
        self.tell(Out.CALL_REQUEUED, call.handle)
        call.in_line = True
        self.climb(call)

    def fail_offer(self, agent: Agent, failure: int, blame: bool = True, by_phone: bool = True) -> None:
        call = self.calls[agent.rings_for]
        queue = self.queues[call.queue]
        if agent.handle not in call.declined:
            self.n_forgotten += len(call.declined) == N_REMEMBERED
            call.declined = [*call.declined, agent.handle][-N_REMEMBERED:]
        if by_phone:
            agent.rings_for = agent.offer = 0
        else:
            self.begin_clearing(agent)
        then: tuple[int, float] = (Policy.STAY_READY, 0.0)
        if blame:
            agent.add(Failure(failure).name.lower())
            agent.row[failure] += 1
            policy, pause_s, in_a_row = queue.policy[failure]
            if agent.row[failure] >= in_a_row:
                then, agent.row[failure] = (policy, pause_s), 0
            self.restart_idle(agent)
        if agent.next:
            self.after_call(agent)
        elif then[0] == Policy.PAUSE and then[1] > 0:
            agent.paused = (self.now + then[1], Reason.REFUSED - failure)
        elif then[0] == Policy.GO_NOT_READY:
            agent.intent, agent.reason = A.NOT_READY, Reason.REFUSED - failure
        self.settle(agent)
        self.requeue_if_silent(call)

    # --- calls ---

    def expire(self, call: Call) -> None:
        self.tell(Out.CALL_EXPIRED, call.handle)
        self.leave(call, "timed_out")

    def leave(self, call: Call, outcome: str) -> None:
        queue = self.queues[call.queue]
        waited = us(self.now) - us(call.enqueued)
        del self.calls[call.handle]
        if call.state == C.OFFERED:
            self.calls[call.handle] = call
            self.cancel_all(call, Cancelled.CALL_LEFT)
            del self.calls[call.handle]
        short = outcome == "abandoned" and call.enqueued + queue.short_s > self.now
        queue.add(outcome)
        queue.add("lost_wait_us", waited)
        queue.count["max_wait_us"] = max(queue.count.get("max_wait_us", 0), waited)
        queue.add("short", int(short))
        queue.add("abandoned_in_sl", int(outcome == "abandoned" and call.enqueued + queue.sl_s >= self.now))
        self.add_by_skill(call, abandoned=int(outcome == "abandoned"))
        if outcome == "timed_out" or (outcome == "abandoned" and not short):
            queue.recent = [*queue.recent, False][-64:]

    def add_by_skill(
        self, call: Call, offered: int = 0, answered: int = 0, in_sl: int = 0, abandoned: int = 0, wait_us: int = 0
    ) -> None:
        for skill in call.asked:
            new = (offered, answered, in_sl, abandoned, wait_us)
            self.by_skill[skill] = [n + more for n, more in zip(self.by_skill.get(skill, [0] * 5), new, strict=True)]

    # --- time ---

    def call_timer(self, call: Call) -> float:
        moments = [call.expires]
        steps = self.steps(call)
        if call.hold_until is not None:
            moments.append(call.hold_until)
        elif call.step + 1 < len(steps):
            moments.append(call.enqueued + steps[call.step + 1][0])
        for mark in self.marks(call.queue):
            if call.enqueued + mark > call.armed_at:
                moments.append(call.enqueued + mark)
        return min(moments)

    def marks(self, queue: int) -> set[float]:
        served = [s for (_, q), s in self.serving.items() if q == queue]
        marks = {s.from_s for s in served if s.from_s > 0}
        if any(s.reserve for s in served) and 0 < self.queues[queue].reserve_on_s < INF:
            marks.add(self.queues[queue].reserve_on_s)
        return marks

    def next_timer(self) -> tuple[float, int, int]:
        timers = [(agent.timer(), 0, agent.handle) for agent in self.agents.values()]
        waiting = [call for call in self.calls.values() if call.in_line and call not in self.expiring]
        timers += [(self.call_timer(call), 1, call.handle) for call in waiting]
        return min(timers, default=(INF, 0, 0))

    def deadline(self) -> float:
        return self.next_timer()[0]

    def run_until(self, now: float) -> None:
        if now < self.now:
            raise Refused("TimeWentBack")
        while self.next_timer()[0] <= now and self.next_timer()[0] < INF:
            self.now = max(self.now, self.next_timer()[0])
            while self.next_timer()[0] <= self.now:
                _, is_call, handle = self.next_timer()
                if is_call:
                    self.call_due(self.calls[handle])
                else:
                    self.agent_due(self.agents[handle])
            self.settle_floor()
            expiring, self.expiring = self.expiring, []
            for call in expiring:
                if call.handle in self.calls and call.state == C.WAITING:
                    self.expire(call)
            self.settle_floor()
        self.now = now

    def agent_due(self, agent: Agent) -> None:
        if agent.rings_for:
            self.tell(Out.OFFER_EXPIRED, agent.rings_for, agent.handle, agent.offer)
            self.fail_offer(agent, Failure.NO_ANSWER, by_phone=False)
        elif agent.told[0] == A.ACW:
            self.after_call(agent)
            self.settle(agent)
        else:
            if agent.paused and agent.paused[0] <= self.now:
                agent.paused = None
            if agent.clear_by <= self.now:
                self.clear(agent)
            self.settle(agent)

    def call_due(self, call: Call) -> None:
        if call.hold_until is not None and call.hold_until <= self.now:
            self.unhold(call)
        elif call.hold_until is None:
            self.climb(call)
        call.armed_at = self.now
        if call.expires <= self.now:
            self.expiring.append(call)

    # --- configuration ---

    def needs(self, terms: Iterable[dict[int, int]]) -> int:
        kept = tuple(sorted((dict(t) for t in terms), key=lambda t: sorted(t.items())))
        kept = tuple(t for i, t in enumerate(kept) if t not in kept[:i])
        if not kept or any(not t for t in kept):
            return 0
        self.terms.append(kept)
        return len(self.terms) - 1

    def add_relaxation(self, steps: list[tuple[float, int | None, bool, float]], now: float) -> int:
        self.run_until(now)
        self.relaxations.append(steps)
        return len(self.relaxations) - 1

    def stand_anew(self, calls: list[Call]) -> None:
        for call in calls:
            call.step = 0
            if call.in_line:
                if call.hold_until is None:
                    self.climb(call)
                call.armed_at = self.now

    def set_relaxation(self, relaxation: int, steps: list[tuple[float, int | None, bool, float]], now: float) -> None:
        self.run_until(now)
        self.relaxations[relaxation] = steps
        self.stand_anew(
            [
                c
                for c in self.calls.values()
                if relaxation == (self.queues[c.queue].relaxation if c.relaxation < 0 else c.relaxation)
            ]
        )
        self.settle_floor()

    def add_queue(self, now: float, **settings: float) -> int:
        self.run_until(now)
        if len(self.queues) == self.max_queues:
            raise Refused("CapacityReached")
        self.last["queue"] += 1
        while any((h - self.last["queue"]) % self.max_queues == 0 for h in self.queues):
            self.last["queue"] += 1
        self.queues[self.last["queue"]] = Queue(self.last["queue"])
        self.set_queue(self.last["queue"], now, **settings)
        return self.last["queue"]

    def set_queue(self, queue: int, now: float, **settings: float) -> None:
        self.run_until(now)
        known = {f.name for f in fields(Queue)}
        for name, value in settings.items():
            assert name in known
            setattr(self.queues[queue], name, value)
        self.stand_anew([c for c in self.calls.values() if c.queue == queue and c.state != C.CONNECTED])
        self.settle_floor()

    def remove_queue(self, queue: int, now: float) -> None:
        self.run_until(now)
        if queue not in self.queues:
            raise Refused("UnknownHandle")
        if any(call.queue == queue for call in self.calls.values()):
            raise Refused("IllegalMove")
        for agent in self.members(queue):
            self.drop_serving(agent, queue)
        del self.queues[queue]
        self.settle_floor()

    def set_policy(
        self, queue: int, failure: int, now: float, policy: int, pause_s: float = 0.0, in_a_row: int = 1
    ) -> None:
        self.run_until(now)
        self.queues[queue].policy[failure] = (policy, pause_s, in_a_row)

    def add_agent(self, now: float) -> int:
        self.run_until(now)
        if len(self.agents) == self.max_agents:
            raise Refused("CapacityReached")
        self.last["agent"] += 1
        while any((h - self.last["agent"]) % self.agent_slots == 0 for h in self.agents):
            self.last["agent"] += 1
        self.agents[self.last["agent"]] = Agent(self.last["agent"], since=now)
        return self.last["agent"]

    def set_skills(self, agent: int, skills: dict[int, int], now: float, groups: Iterable[int] = ()) -> None:
        self.run_until(now)
        self.agents[agent].groups = set(groups)
        self.agents[agent].skills = {**skills, **dict.fromkeys(groups, 1)}
        self.release_holds(self.agents[agent])
        self.settle_floor()

    def set_wrap_up(self, agent: int, wrap_up_s: float | None, now: float) -> None:
        self.run_until(now)
        self.agents[agent].own_wrap = wrap_up_s

    def remove_agent(self, agent: int, now: float) -> None:
        self.run_until(now)
        if self.find_agent(agent).told[0] != A.LOGGED_OUT:
            raise Refused("IllegalMove")
        for queue in [q for a, q in self.serving if a == agent]:
            self.drop_serving(self.agents[agent], queue)
        for call in self.calls.values():
            call.preferred = 0 if call.preferred == agent else call.preferred
            call.declined = [-a if a == agent else a for a in call.declined]
        del self.agents[agent]
        self.settle_floor()

    def serve(
        self,
        agent: int,
        queue: int,
        now: float,
        rank: int = 0,
        from_s: float = 0.0,
        weight: int = 1,
        reserve: bool = False,
    ) -> None:
        self.run_until(now)
        old = self.serving.get((agent, queue))
        if old is None:
            self.last["serving"] += 1
            self.serving[agent, queue] = Serving(rank, from_s, weight, reserve, self.last["serving"])
        else:
            old.rank, old.from_s, old.weight, old.reserve = rank, from_s, weight, reserve
        self.arm_queue(queue)
        self.settle_floor()

    def arm_queue(self, queue: int) -> None:
        for call in self.line(queue):
            call.armed_at = self.now

    def cease(self, agent: int, queue: int, now: float) -> None:
        self.run_until(now)
        if (agent, queue) not in self.serving:
            raise Refused("IllegalMove")
        self.drop_serving(self.agents[agent], queue)
        self.settle_floor()

    def drop_serving(self, agent: Agent, queue: int) -> None:
        if agent.rings_for and self.calls[agent.rings_for].queue == queue:
            self.drop_offer(agent)
            if agent.next:
                self.after_call(agent)
        del self.serving[agent.handle, queue]
        self.arm_queue(queue)
        self.settle(agent)
        self.release_holds(agent, queue)

    # --- verbs of agents ---

    def find_agent(self, handle: int) -> Agent:
        if handle not in self.agents:
            raise Refused("UnknownHandle")
        return self.agents[handle]

    def find_call(self, handle: int) -> Call:
        if handle not in self.calls:
            raise Refused("UnknownHandle")
        return self.calls[handle]

    def log_in(self, agent: int, now: float) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        if a.intent == A.LOGGED_OUT:
            a.intent, a.reason = A.NOT_READY, 0
        elif a.next and a.next[0] == A.LOGGED_OUT:
            a.next = None
        self.settle(a)
        self.settle_floor()

    def log_out(self, agent: int, now: float) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        if a.talks_to:
            a.next = (A.LOGGED_OUT, 0)
        else:
            self.go(a, A.LOGGED_OUT, 0)

    def go(self, a: Agent, intent: int, reason: int) -> None:
        a.intent, a.reason, a.next, a.paused, a.wrap_until = intent, reason, None, None, None
        if intent != A.READY:
            self.drop_offer(a)
        self.settle(a)
        self.settle_floor()

    def ready(self, agent: int, now: float) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        if a.intent == A.LOGGED_OUT:
            raise Refused("IllegalMove")
        self.go(a, A.READY, 0)

    def not_ready(self, agent: int, now: float, reason: int = 0, after_call: bool = False) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        if a.intent == A.LOGGED_OUT:
            raise Refused("IllegalMove")
        if a.talks_to or (after_call and (a.rings_for or a.wrap_until is not None)):
            if not (a.next and a.next[0] == A.LOGGED_OUT):
                a.next = (A.NOT_READY, reason)
        else:
            self.go(a, A.NOT_READY, reason)

    def extend_wrap_up(self, agent: int, seconds: float, now: float) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        if a.told[0] != A.ACW:
            raise Refused("IllegalMove")
        assert a.wrap_until is not None
        a.wrap_until += seconds

    def end_wrap_up(self, agent: int, now: float) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        if a.told[0] != A.ACW:
            raise Refused("IllegalMove")
        self.after_call(a)
        self.settle(a)
        self.settle_floor()

    def phone_gone(self, agent: int, now: float) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        a.phone = False
        self.end_offer(a)
        self.settle(a)
        self.settle_floor()

    def end_offer(self, a: Agent) -> None:
        """The phone is not there for it."""
        if a.rings_for:
            self.drop_offer(a)
            self.after_call(a)

    def phone_back(self, agent: int, now: float) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        a.phone = True
        self.settle(a)
        self.settle_floor()

    def outside_began(self, agent: int, now: float) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        a.n_outside += 1
        self.settle(a)
        self.settle_floor()

    def outside_dialled(self, agent: int, now: float) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        a.n_outside += 1
        self.end_offer(a)
        self.settle(a)
        self.settle_floor()

    def outside_ended(self, agent: int, now: float) -> None:
        self.run_until(now)
        a = self.find_agent(agent)
        if a.n_outside == 0:
            raise Refused("IllegalMove")
        a.n_outside -= 1
        self.settle(a)
        self.settle_floor()

    # --- verbs of calls and offers ---

    def enqueue(
        self,
        queue: int,
        now: float,
        needs: int = 0,
        relaxation: int = -1,
        arrival: float | None = None,
        head_start_s: float = 0.0,
        max_wait_s: float = INF,
        preferred: int = 0,
        preferred_wait_s: float = 0.0,
        preferred_head_start_s: float = 0.0,
    ) -> int:
        self.run_until(now)
        if queue not in self.queues:
            raise Refused("UnknownHandle")
        if preferred:
            self.find_agent(preferred)
        if len(self.calls) >= self.max_calls:
            raise Refused("CapacityReached")
        self.last["call"] += 1
        while any((h - self.last["call"]) % self.slots == 0 for h in self.calls):
            self.last["call"] += 1
        call = Call(
            self.last["call"],
            queue,
            needs,
            relaxation,
            now if arrival is None else arrival,
            now,
            now + max_wait_s,
            head_start_s,
            preferred,
            preferred_head_start_s,
        )
        self.calls[call.handle] = call
        q = self.queues[queue]
        q.add("offered")
        _, own, theirs, _ = self.steps(call)[0]
        call.asked = {skill for term in (*own, *theirs) for skill in term}
        self.add_by_skill(call, offered=1)
        if preferred:
            self.greet_preferred(call, self.agents[preferred], preferred_wait_s)
        while call.hold_until is None:
            if self.match(call):
                self.settle_floor()
                return call.handle
            steps = self.steps(call)
            if call.step + 1 == len(steps) or call.enqueued + steps[call.step + 1][0] > now:
                break
            self.step_up(call)
        refusal = self.refusal(call)
        if refusal:
            q.add("overflowed")
            q.add({-1: "refused_no_agent", -2: "refused_no_skill", -3: "refused_full", -4: "refused_wait"}[refusal])
            del self.calls[call.handle]
            return refusal
        call.in_line, call.armed_at = True, now
        self.settle_floor()
        return call.handle

    def greet_preferred(self, call: Call, agent: Agent, wait_s: float) -> None:
        if agent.told[0] == A.READY and self.able(agent, call):
            return
        busy = agent.told[0] > A.READY or agent.told == (A.NOT_READY, Reason.OUTSIDE_CALL)
        if wait_s > 0 and busy and self.able(agent, call):
            call.hold_until = self.now + wait_s
        else:
            call.head = max(call.head, call.preferred_head)

    def refusal(self, call: Call) -> int:
        q = self.queues[call.queue]
        logged = [a for a in self.members(call.queue) if a.told[0] != A.LOGGED_OUT]
        if q.needs_agent and not logged:
            return Refusal.NO_AGENT
        if q.needs_skill and not any(self.fits(a, call, s) for a in logged for s in range(len(self.steps(call)))):
            return Refusal.NO_SKILL
        if 0 <= q.max_waiting <= len(self.line(call.queue)):
            return Refusal.QUEUE_FULL
        return Refusal.WAIT_TOO_LONG if self.too_long and q.max_ewt_s < INF else 0

    def raise_head_start(self, call: int, head_start_s: float, now: float) -> None:
        self.run_until(now)
        c = self.find_call(call)
        if c.state == C.CONNECTED:
            raise Refused("IllegalMove")
        c.head = max(c.head, head_start_s)
        self.settle_floor()

    def leaving(self, call: int, outcome: str, now: float) -> None:
        self.run_until(now)
        c = self.find_call(call)
        if c.state == C.CONNECTED:
            raise Refused("IllegalMove")
        self.leave(c, outcome)
        self.settle_floor()

    def abandon(self, call: int, now: float) -> None:
        self.leaving(call, "abandoned", now)

    def overflow(self, call: int, now: float) -> None:
        self.leaving(call, "overflowed", now)

    def call_back(self, call: int, now: float) -> None:
        self.leaving(call, "called_back", now)

    def withdraw(self, call: int, now: float) -> None:
        self.leaving(call, "withdrawn", now)

    def fail(self, call: int, now: float) -> None:
        self.leaving(call, "failed", now)

    def dispatch(self, call: int, agent: int, now: float) -> int:
        self.run_until(now)
        c, a = self.find_call(call), self.find_agent(agent)
        if c.state != C.WAITING or a.told[0] != A.READY:
            raise Refused("IllegalMove")
        self.offer(c, a)
        number = a.offer
        self.settle_floor()
        return number

    def by_offer(self, offer: int, now: float) -> Agent:
        self.run_until(now)
        for agent in self.agents.values():
            if offer and agent.offer == offer:
                return agent
        raise Refused("StaleOffer")

    def accept(self, offer: int, now: float) -> None:
        a = self.by_offer(offer, now)
        c = self.calls[a.rings_for]
        q = self.queues[c.queue]
        a.rings_for, a.offer, a.talks_to = 0, 0, c.handle
        a.add("answered")
        a.n_calls += 1
        a.row = [0, 0, 0, 0]
        self.cancel_all(c, Cancelled.OTHER_AGENT_WON)
        waited = us(now) - us(c.enqueued)
        within = c.enqueued + q.sl_s >= now
        c.state, c.agent, c.connected, c.declined, c.preferred = C.CONNECTED, a.handle, now, [], 0
        q.add("answered")
        q.add("in_sl", int(within))
        q.add("wait_us", waited)
        self.add_by_skill(c, answered=1, in_sl=int(within), wait_us=waited)
        if (a.handle, c.queue) in self.serving:
            self.serving[a.handle, c.queue].n_answered += 1
        q.count["max_wait_us"] = max(q.count.get("max_wait_us", 0), waited)
        q.recent = [*q.recent, within][-64:]
        self.settle(a)
        self.settle_floor()

    def failing(self, offer: int, failure: int, now: float, blame: bool = True) -> None:
        self.fail_offer(self.by_offer(offer, now), failure, blame)
        self.settle_floor()

    def refuse(self, offer: int, now: float) -> None:
        self.failing(offer, Failure.REFUSED, now)

    def no_answer(self, offer: int, now: float) -> None:
        self.failing(offer, Failure.NO_ANSWER, now)

    def busy(self, offer: int, now: float) -> None:
        self.failing(offer, Failure.BUSY, now)

    def unreachable(self, offer: int, now: float) -> None:
        self.failing(offer, Failure.UNREACHABLE, now)

    def take_back(self, offer: int, now: float) -> None:
        self.failing(offer, Failure.REFUSED, now, blame=False)

    def cleared(self, offer: int, now: float) -> None:
        self.run_until(now)
        for agent in self.agents.values():
            if offer and agent.clearing == offer:
                self.clear(agent)
                self.settle_floor()
                return
        raise Refused("StaleOffer")

    def release(self, call: int, now: float) -> None:
        self.run_until(now)
        c = self.find_call(call)
        if c.state != C.CONNECTED:
            raise Refused("IllegalMove")
        a, q = self.agents[c.agent], self.queues[c.queue]
        q.add("released")
        q.add("talk_us", us(now) - us(c.connected))
        if (a.handle, c.queue) in self.serving:
            self.serving[a.handle, c.queue].talk_us += us(now) - us(c.connected)
        a.talks_to, a.wrapped = 0, c.queue
        del self.calls[call]
        wrap = q.wrap_up_s if a.own_wrap is None else a.own_wrap
        if wrap > 0 and not (a.next and a.next[0] == A.LOGGED_OUT):
            a.wrap_until = now + wrap
        else:
            self.after_call(a)
        self.settle(a)
        self.settle_floor()

    def advance(self, now: float) -> None:
        self.run_until(now)
