"""The core and the model side by side: every verb goes to both, and everything one can see must agree.

Also here: a floor at random, and events at random for it, from one seed. The Hypothesis machine (test_machine.py) and
the long storm (test_storm.py) draw from the same verbs.
"""

import math
import random
from types import ModuleType
from typing import Any

import acd_core
from tests.core.model import INF, Model, Refused

VERBS_OF_CALLS = ("abandon", "overflow", "call_back", "withdraw", "fail")
PHONE_VERBS = ("phone_gone", "phone_back", "outside_began", "outside_dialled", "outside_ended", "outside_ended")
FAILURES = ("refuse", "no_answer", "busy", "unreachable", "take_back")
N_SKILLS = 4
QUEUE_COUNTS = (
    "offered answered abandoned timed_out overflowed called_back withdrawn failed released in_sl abandoned_in_sl short "
    "wait_us max_wait_us lost_wait_us talk_us wrap_us refused_no_agent refused_no_skill refused_full refused_wait"
).split()
AGENT_COUNTS = (
    "offers answered refused no_answer busy unreachable cancelled logged_out_us not_ready_us ready_us reserved_us "
    "talking_us acw_us"
).split()


class Disagreement(AssertionError):
    pass


class Pair:
    def __init__(self, module: ModuleType = acd_core, *, n_calls: int = 64, n_agents: int = 16, seed: int = 1) -> None:
        self.module = module
        self.sizes = {"n_calls": n_calls, "n_agents": n_agents, "n_queues": 8, "n_serving": 8 * n_agents}
        self.core: Any = module.Acd(**self.sizes, seed=seed)
        self.model = Model(n_calls=n_calls, n_agents=n_agents, n_queues=8, seed=seed)
        self.now = 0.0
        self.story: list[str] = []
        self.told: list[Any] = []  # by the last verb

    def do(self, verb: str, *args: Any, **more: Any) -> Any:
        """Both do it; the same answer or the same refusal, and the same floor after it."""
        self.story.append(f"{verb}({', '.join([*map(repr, args), *(f'{k}={v!r}' for k, v in more.items())])})")
        done: list[Any] = []
        for side in (self.core, self.model):
            try:
                done.append(getattr(side, verb)(*args, **more))
            except (self.module.AcdError, Refused) as error:
                done.append(error.args[0] if isinstance(error, Refused) else type(error).__name__)
                if isinstance(error, self.module.BrokenInvariant):
                    raise
                if side is not self.model and self.module.is_checked() and not self.model.is_changing:
                    self.core.check()  # a verb that was refused has let time pass
            if side is not self.model and verb == "enqueue":
                self.model.too_long = done[0] == acd_core.Refusal.WAIT_TOO_LONG
        if verb != "needs":  # the core gives equal needs equal handles; nobody compares the numbers
            self.same(f"answer of {verb}", done[0], done[1])
        self.compare()
        return done[0] if verb != "needs" else tuple(done)

    def move(self) -> None:
        """The core's whole state goes into another core, which is the core from now on."""
        self.story.append("move")
        saved = self.core.save()
        self.core = self.module.Acd(**self.sizes)
        self.core.load(saved)

    def same(self, what: str, core: Any, model: Any) -> None:
        if core != model and not (isinstance(core, float) and math.isclose(core, model, abs_tol=1e-9)):
            story = "\n".join(self.story[-25:])
            raise Disagreement(f"{what}: core {core!r}, model {model!r}, after\n{story}")

    def compare(self) -> None:
        core, model = self.core, self.model
        self.told = sorted(core.drain())
        self.same("outputs", self.told, sorted(model.out))
        model.out.clear()
        self.same("deadline", core.deadline(), model.deadline())
        for handle, agent in model.agents.items():
            self.same(f"agent {handle}", core.agent_state(handle), (*map(int, agent.told), agent.since))
            self.same(f"offer of agent {handle}", core.offer_of(handle), agent.offer)
        places: dict[int, int] = {}
        for call in model.line():
            places[call.queue] = places.get(call.queue, 0) + 1
            self.same(f"position of call {call.handle}", core.position(call.handle), places[call.queue])
        for call in model.calls.values():
            self.same(f"call {call.handle}", core.call_state(call.handle), int(call.state))
            agents = sorted(a.handle for a in model.agents.values() if call.handle in (a.talks_to, a.rings_for))
            self.same(f"agents of call {call.handle}", sorted(core.agents_of(call.handle)), agents)

    def compare_counts(self) -> None:
        """Counters, bit for bit; each verb's own compare() leaves these out for speed."""
        self.do("advance", self.now)
        for row in self.core.snapshot("queues", self.now):
            count = self.model.queues[int(row["queue"])].count
            for name in QUEUE_COUNTS:
                self.same(f"{name} of queue {row['queue']}", int(row[name]), count.get(name, 0))
            ends = sum(int(row[name]) for name in QUEUE_COUNTS[1:8])
            self.same(f"conservation in queue {row['queue']}", int(row["offered"]), ends + int(row["waiting"]))
        for row in self.core.snapshot("agents", self.now):
            agent = self.model.agents[int(row["agent"])]
            for name in AGENT_COUNTS:
                value = int(row[name])
                if name == f"{acd_core.AgentState(agent.told[0]).name.lower()}_us":
                    value -= math.floor(self.now * 1e6 + 0.5) - math.floor(agent.since * 1e6 + 0.5)
                self.same(f"{name} of agent {agent.handle}", value, agent.count.get(name, 0))
        for agent, queue, _, offers, answered, talk_us in self.core.snapshot("serving", self.now).tolist():
            served = self.model.serving[agent, queue]
            counts = (served.n_offers, served.n_answered, served.talk_us)
            self.same(f"counts of agent {agent} in queue {queue}", (offers, answered, talk_us), counts)
        skills = {row[0]: list(row[1:]) for row in self.core.snapshot("skills", self.now).tolist()}
        self.same("counts by skill", skills, self.model.by_skill)

    def compare_why(self) -> None:
        """`why` says of every call and agent what the model's rules say; a snapshot has a row for each of them."""
        core, model, now = self.core, self.model, self.now
        self.do("advance", now)
        for call in model.calls.values():
            if call.state == acd_core.CallState.CONNECTED:
                continue
            why = core.why_call(call.handle, now)
            verdicts = {a.handle: int(model.verdict(a, call)) for a in model.members(call.queue)}
            self.same(f"verdicts on call {call.handle}", {a: int(v) for a, v, _ in why["agents"]}, verdicts)
            self.same(f"step of call {call.handle}", why["step"], call.step)
            self.same(f"who declined call {call.handle}", why["declined"], [a for a in call.declined if a > 0])
            self.same(f"hold of call {call.handle}", why["held_until"], call.hold_until)
            if call.in_line:
                self.same(f"calls before {call.handle}", why["before"], model.before(call))
        for agent in model.agents.values():
            self.same(f"next of agent {agent.handle}", core.why_agent(agent.handle, now)["next"], model.next_of(agent))
        self.same("calls of the snapshot", set(core.snapshot("calls", now)["call"]), set(model.calls))


def random_needs(rng: random.Random) -> list[dict[int, int]]:
    """An OR of 1 or 2 ANDs of 1 or 2 skills."""
    return [
        {rng.randrange(N_SKILLS): rng.randint(1, 3) for _ in range(rng.randint(1, 2))} for _ in range(rng.randint(1, 2))
    ]


def random_skills(rng: random.Random) -> dict[int, int]:
    return {skill: rng.randint(1, 3) for skill in range(N_SKILLS) if rng.random() < 0.6}


def random_groups(rng: random.Random) -> list[int]:
    return [rng.randrange(N_SKILLS)] if rng.random() < 0.3 else []


class Storm:
    """A random floor, and random events that mostly make sense."""

    def __init__(self, pair: Pair, rng: random.Random) -> None:
        self.pair, self.rng = pair, rng
        self.needs = [0]
        self.twins = {0: 0}
        self.relaxations = [0]
        self.queues: list[int] = []
        self.old_queues = [0]
        self.old_offers = [0]
        pair.now = 1.0
        for _ in range(4):
            core, model = pair.do("needs", random_needs(rng))
            self.needs.append(self.agreed(core, model))
        for _ in range(2):
            self.relaxations.append(pair.do("add_relaxation", self.random_steps(), pair.now))
        for _ in range(rng.randint(1, 4)):
            self.queues.append(pair.do("add_queue", pair.now, **self.random_settings()))
        for _ in range(rng.randint(1, 6)):
            self.hire()

    def agreed(self, core: int, model: int) -> int:
        """Handles of needs are the core's; the model is brought in step."""
        terms = self.pair.model.terms
        if core == len(terms) - 1 or core == model:
            return core
        terms.pop()  # the core knew them already
        return core

    def random_steps(self) -> list[tuple[float, int | None, bool, float]]:
        rng = self.rng
        times = sorted(rng.choice([0.0, 0.0, 5.0, 10.0, 20.0]) for _ in range(rng.randint(0, 3)))
        heads = [0.0, 0.0, 10.0, 60.0, INF]
        return [(t, rng.choice([None, *self.needs]), rng.random() < 0.3, rng.choice(heads)) for t in times]

    def random_settings(self) -> dict[str, Any]:
        rng = self.rng
        reserve_on_s = rng.choice([INF, 10.0, 0.0])
        return {
            "strategy": rng.randrange(9),
            "needs": rng.choice([0, 0, *self.needs]),
            "relaxation": rng.choice(self.relaxations),
            "n_ring": rng.choice([1, 1, 1, 2, 0]),
            "ring_s": rng.choice([INF, 8.0, 15.0]),
            "wrap_up_s": rng.choice([0.0, 3.0, 10.0, INF]),
            "max_waiting": rng.choice([-1, -1, 0, 3]),
            "max_ewt_s": rng.choice([INF, INF, 100.0, 300.0]),
            "needs_agent": rng.random() < 0.3,
            "needs_skill": rng.random() < 0.3,
            "sl_s": rng.choice([20.0, 5.0]),
            "short_s": rng.choice([5.0, 0.0]),
            "reserve_on_s": reserve_on_s,
            "reserve_off_s": rng.choice([0.0, reserve_on_s / 2 if reserve_on_s < INF else 5.0]),
            "reserve_on_sl": rng.choice([0.0, 0.5]),
            "reserve_off_sl": rng.choice([0.0, 0.7]),
        }

    def hire(self) -> None:
        pair, rng = self.pair, self.rng
        agent = pair.do("add_agent", pair.now)
        if isinstance(agent, str):
            return
        pair.do("set_skills", agent, random_skills(rng), pair.now, groups=random_groups(rng))
        for queue in self.queues:
            if rng.random() < 0.7:
                self.serve(agent, queue)
        pair.do("log_in", agent, pair.now)
        pair.do("ready", agent, pair.now)

    def serve(self, agent: int, queue: int) -> None:
        rng = self.rng
        self.pair.do(
            "serve", agent, queue, self.pair.now,
            rank=rng.choice([0, 0, 0, 1]),
            from_s=rng.choice([0.0, 0.0, 0.0, 5.0, 20.0]),
            weight=rng.randint(1, 3),
            reserve=rng.random() < 0.15,
        )  # fmt: skip

    def wait(self) -> None:
        """Mostly a little; sometimes exactly to the next deadline, sometimes none."""
        draw = self.rng.random()
        if draw < 0.25:
            return
        if draw < 0.45 and self.pair.model.deadline() < INF:
            self.pair.now = max(self.pair.now, self.pair.model.deadline())
        else:
            self.pair.now = round(self.pair.now + self.rng.choice([0.001, 0.5, 1, 1, 2, 5, 10]), 3)

    def step(self) -> None:
        self.wait()
        draw = self.rng.random()
        if draw < 0.3:
            self.arrive()
        elif draw < 0.58:
            self.offer_news()
        elif draw < 0.62:
            self.clear()
        elif draw < 0.72:
            self.end_talk()
        elif draw < 0.78:
            self.caller_leaves()
        elif draw < 0.96:
            self.agent_acts()
        elif draw < 0.99:
            self.reload()
        elif draw < 0.995:
            self.reload_at_once()
        else:
            self.pair.move()

    def arrive(self) -> None:
        pair, rng = self.pair, self.rng
        pair.do(
            "enqueue", rng.choice(self.queues if rng.random() < 0.98 else self.old_queues), pair.now,
            needs=rng.choice([0, 0, *self.needs]),
            relaxation=rng.choice([-1, -1, *self.relaxations]),
            arrival=pair.now - rng.choice([0.0, 0.0, 30.0]),
            head_start_s=rng.choice([0.0, 0.0, 0.0, 5.0, 60.0, INF]),
            max_wait_s=rng.choice([INF, 20.0, 60.0, 0.0]),
            preferred=rng.choice([0, 0, 0, *pair.model.agents]),
            preferred_wait_s=rng.choice([0.0, 10.0]),
            preferred_head_start_s=rng.choice([0.0, 30.0]),
        )  # fmt: skip

    def offer_news(self) -> None:
        pair, rng = self.pair, self.rng
        live = [a.offer for a in pair.model.agents.values() if a.offer]
        offer = rng.choice(live) if live and rng.random() < 0.95 else rng.choice(self.old_offers)
        self.old_offers = [*self.old_offers, offer][-20:]
        pair.do("accept" if rng.random() < 0.55 else rng.choice(FAILURES), offer, pair.now)

    def clear(self) -> None:
        """Mostly a phone that is being cleared; where none is, nobody's."""
        pair, rng = self.pair, self.rng
        due = [a.clearing for a in pair.model.agents.values() if a.clearing]
        pair.do("cleared", rng.choice(due if due and rng.random() < 0.95 else self.old_offers), pair.now)

    def a_call(self) -> int:
        calls = list(self.pair.model.calls)
        return self.rng.choice(calls) if calls and self.rng.random() < 0.97 else self.rng.randint(0, 50)

    def end_talk(self) -> None:
        talks = [a.talks_to for a in self.pair.model.agents.values() if a.talks_to]
        self.pair.do("release", self.rng.choice(talks) if talks else self.a_call(), self.pair.now)

    def caller_leaves(self) -> None:
        self.pair.do(self.rng.choice(VERBS_OF_CALLS), self.a_call(), self.pair.now)

    def agent_acts(self) -> None:
        pair, rng = self.pair, self.rng
        agents = list(pair.model.agents)
        agent = rng.choice(agents) if agents and rng.random() < 0.97 else 99
        draw = rng.randrange(-20, 22)
        if draw < 7:
            pair.do("ready", agent, pair.now)
        elif draw < 9:
            pair.do("log_in", agent, pair.now)
        elif draw < 10:
            pair.do("log_out", agent, pair.now)
        elif draw < 12:
            pair.do("not_ready", agent, pair.now, reason=rng.randint(0, 3), after_call=rng.random() < 0.5)
        elif draw < 13:
            pair.do("extend_wrap_up", agent, rng.choice([1.0, 5.0]), pair.now)
        elif draw < 14:
            pair.do("end_wrap_up", agent, pair.now)
        elif draw < 20:
            pair.do(PHONE_VERBS[draw - 14], agent, pair.now)
        elif draw < 21:
            pair.do("raise_head_start", self.a_call(), rng.choice([10.0, 100.0, INF]), pair.now)
        else:
            pair.do("dispatch", self.a_call(), agent, pair.now)

    def reload_at_once(self) -> None:
        self.pair.do("begin_changes", self.pair.now)
        for _ in range(self.rng.randint(1, 5)):
            self.reload()
        self.pair.do("end_changes", self.pair.now)

    def reload(self) -> None:
        pair, rng = self.pair, self.rng
        agents = list(pair.model.agents)
        draw = rng.randrange(11)
        if draw in (3, 10) and pair.model.is_changing:
            return
        if draw == 0:
            pair.do("set_queue", rng.choice(self.queues), pair.now, **self.random_settings())
        elif draw == 1:
            pair.do("set_relaxation", self.relaxations[-1], self.random_steps(), pair.now)
        elif draw == 2:
            self.hire()
        elif draw == 9:
            added = pair.do("add_queue", pair.now, **self.random_settings())
            self.queues += [added] if isinstance(added, int) else []
        elif draw == 10 and len(self.queues) > 1:
            queue = rng.choice(self.queues)
            if pair.do("remove_queue", queue, pair.now) is None:
                self.queues.remove(queue)
                self.old_queues.append(queue)
        elif not agents:
            return
        elif draw == 3:
            pair.do("remove_agent", rng.choice(agents), pair.now)
        elif draw == 4:
            pair.do("set_skills", rng.choice(agents), random_skills(rng), pair.now, groups=random_groups(rng))
        elif draw == 5:
            pair.do("cease", rng.choice(agents), rng.choice(self.queues), pair.now)
        elif draw == 6:
            pair.do("set_wrap_up", rng.choice(agents), rng.choice([None, 0.0, 4.0]), pair.now)
        elif draw == 7:
            pair.do("set_policy", rng.choice(self.queues), rng.randrange(4), pair.now, rng.randrange(3),
                    pause_s=rng.choice([0.0, 6.0]), in_a_row=rng.randint(1, 3))  # fmt: skip
        else:
            self.serve(rng.choice(agents), rng.choice(self.queues))


class Crowd(Storm):
    """Many agents of one queue, nearly all of whom decline: a call is declined by more than it remembers."""

    def __init__(self, pair: Pair, rng: random.Random) -> None:
        super().__init__(pair, rng)
        queue = self.queues[0]
        pair.do("set_queue", queue, pair.now, needs=0, n_ring=rng.choice([1, 3]), strategy=rng.randrange(9))
        for failure in range(4):
            pair.do("set_policy", queue, failure, pair.now, 0)
        while len(pair.model.agents) < pair.model.max_agents:
            self.hire()
        for agent in pair.model.agents:
            pair.do("serve", agent, queue, pair.now)

    def step(self) -> None:
        pair, rng = self.pair, self.rng
        if rng.random() < 0.3:
            super().step()
            return
        for offer in [a.offer for a in pair.model.agents.values() if a.offer][:3]:
            pair.do(rng.choice(FAILURES), offer, pair.now)
        if not pair.model.line(self.queues[0]):
            pair.do("enqueue", self.queues[0], pair.now)


def storm(module: ModuleType, seed: int, n_events: int) -> Pair:
    """One random story from its seed, each 20th in a crowd; raises Disagreement, or BrokenInvariant from the audit."""
    rng = random.Random(seed)
    is_crowd = seed % 20 == 19
    pair = Pair(module, n_calls=rng.choice([3, 8, 20]), n_agents=18 if is_crowd else 8, seed=seed)
    floor = Crowd(pair, rng) if is_crowd else Storm(pair, rng)
    for i in range(n_events):
        floor.step()
        pair.core.check()
        if i % 10 == 9:
            pair.compare_counts()
            pair.compare_why()
    return pair
