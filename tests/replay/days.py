"""Days to trace: random ones over the ACD's face with skills, ranks, relaxations and head starts, and a simple one of
known arithmetic. All are written by the real trace into a folder.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import acd_core
from engine.acd import Acd, UnknownName
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.events import Refusal
from engine.callflow.staff import Agent, Policy, Queue, Serves, Staff
from engine.trace import Trace, read
from tests.switch.world import World

EPOCH = datetime(2026, 11, 21, tzinfo=UTC)
SKILLS = ("english", "mandarin", "billing")
GROUPS = ("vip", "gold")
STRATEGIES = (
    "longest_idle", "least_occupied", "fewest_calls", "round_robin", "most_skilled", "least_skilled", "linear",
    "random", "weighted",
)  # fmt: skip
POLICIES = (Policy("ready"), Policy("pause", 3.0), Policy("not_ready"), Policy("pause", 1.0, after_n=2))


@contextmanager
def traced(folder: Path, pace: float = 1.0, keep_days: int = 1000) -> Iterator[Any]:
    """(trace, tell, begins_file): the tell of an Acd that writes into it. `pace`: so fast do its days pass."""
    trace = Trace(folder, keep_days)

    def at(now: float) -> datetime:
        return EPOCH + timedelta(seconds=now * pace)

    def tell(now: float, verb: str, arguments: dict[str, Any], followed: list[Any]) -> None:
        trace.write_acd(now, at(now), verb, arguments, followed)

    try:
        yield trace, tell, lambda now: trace.begins_file(at(now))
    finally:
        trace.close()
        assert trace.n_dropped == 0


def lines(folder: Path) -> list[dict[str, Any]]:
    return list(read(sorted(folder.glob("*.jsonl"))))


def conductors_day(seed: int, folder: Path, is_plain: bool = False) -> list[dict[str, Any]]:
    """A day of tests/switch: whole calls through the conductor, with operators who meddle."""
    with traced(folder) as (trace, _, _):
        world = World(seed, trace=trace, is_plain=is_plain)
        world.run()
        world.acd.stop(world.now)
    return lines(folder)


class RandomDay:
    """Anybody may do anything at any moment; moments often fall together. Everything a configuration can say is said,
    and now and then another configuration holds."""

    def __init__(
        self, seed: int, folder: Path, n_calls: int = 64, pace: float = 1.0, keep_days: int = 1000, n_events: int = 120
    ) -> None:
        self.random = random.Random(seed)
        self.now = 100.0
        self.offers: dict[int, str] = {}
        self.waiting: set[str] = set()
        self.talking: set[str] = set()
        self.clearing: list[int] = []  # offers given up whose legs are not over
        self.n_calls = 0
        self.n_reloads = 0
        with traced(folder, pace, keep_days) as (_, tell, begins_file):
            staff, book = self._configuration()
            self.acd = Acd(staff, book, n_calls, self.now, tell, seed, begins_file)
            self.acd.begin_day(self.now)
            self._play(n_events)

    def _configuration(self) -> tuple[Staff, plan.PlanBook]:
        r = self.random
        staff = self._staff(r.choice((("sales", "support"), ("sales", "support"), ("sales",))))
        shift = r.choice((0, 0, 3))  # steps move down the file
        self.steps = [self._step(line + shift, list(staff.queues)) for line in range(1, r.choice((6, 6, 5)))]
        return staff, plan.PlanBook(tuple(self.steps), {}, {})

    def _needs(self) -> steps.Needs:
        r = self.random
        return tuple(((r.choice(SKILLS), r.choice((1, 40, 80))),) for _ in range(r.choice((0, 0, 1, 2))))

    def _staff(self, names: tuple[str, ...]) -> Staff:
        r = self.random
        queues = {}
        for name in names:
            reserve_on_s = r.choice((float("inf"), 4.0))
            queues[name] = Queue(
                name,
                strategy=r.choice(STRATEGIES),
                needs=r.choice(((), self._needs())),
                ring_for_s=r.choice((2.0, 5.0)),
                wrap_up_s=r.choice((0.0, 2.0)),
                n_ring=r.choice((1, 2, 0)),
                max_length=r.choice((None, None, 3)),
                max_ewt_s=r.choice((None, None, None, 60.0)),
                reserve_on_s=reserve_on_s,
                reserve_off_s=r.choice((0.0, min(reserve_on_s, 2.0))),
                reserve_on_sl=r.choice((0.0, 50.0)),
                reserve_off_sl=r.choice((0.0, 70.0)),
                sl_within_s=r.choice((1.0, 20.0)),
                on_no_answer=r.choice(POLICIES),
                on_rejected=r.choice(POLICIES),
            )
        agents = {}
        for n in r.sample(range(6), r.randint(3, 6)):
            skills = {skill: r.choice((1, 50, 90)) for skill in r.sample(SKILLS, r.randint(0, 3))}
            served = r.sample(names, r.choice((1, len(names))))
            serves = tuple(
                Serves(queue, r.choice((1, 1, 2)), r.choice((0.0, 0.0, 4.0)), r.randint(1, 3), r.random() < 0.2)
                for queue in served
            )
            agents[f"a{n}"] = Agent(
                f"a{n}", "", "", skills, serves, r.choice(("ready", "ready", "not_ready")),
                groups=tuple(r.sample(GROUPS, r.randint(0, 2))), wrap_up_s=r.choice((None, None, 0.0, 1.0)),
            )  # fmt: skip
        return Staff(SKILLS, queues, agents, GROUPS)

    def _step(self, line: int, queues: list[str]) -> steps.Queue:
        r = self.random
        relax = [
            steps.Relax(after, r.choice((None, (), self._needs())), r.choice((None, 6.0)))
            for after in sorted(r.sample((0.0, 2.0, 5.0), r.randint(0, 2)))
        ]
        times = [0.0, *sorted(r.choice((0.0, 0.0, 2.0, 4.0)) for _ in range(r.randint(0, 2)))]
        turns = [
            steps.Turn(tuple(r.sample(GROUPS, r.choice((0, 1, 1, 2)))), after, r.choice((None, None, 8.0)))
            for after in times
        ]
        preferred = steps.Preferred(f"a{r.randrange(6)}", r.choice((0.0, 3.0, 3.0)), r.choice((0.0, 10.0)))
        return steps.Queue(
            plan.Place("plan.yaml", line, 5),
            {},
            r.choice(queues),
            needs=self._needs(),
            head_start_s=r.choice((0.0, 0.0, 3.0, 20.0, float("inf"))),
            max_wait_s=r.choice((None, 6.0, 15.0)),
            relax=tuple(relax),
            turns=tuple(turns) if r.random() < 0.5 else (),
            preferred=preferred if r.random() < 0.5 else None,
            keep_place=r.random() < 0.3,
            leave_without_agents=r.random() < 0.1,
            leave_without_skill=r.random() < 0.1,
        )

    def _play(self, n_events: int) -> None:
        for _ in range(n_events):
            self.now += self.random.choice((0.0, 0.0, 0.25, 0.5, 1.0, 2.5))
            self.acd.advance(self.now)
            self._follow()
            with suppress(acd_core.IllegalMove, UnknownName):  # logged out; the operator is told
                self._do_something()
            self._follow()
        for call in sorted(self.talking):
            self.acd.release(call, self.now)
            self._follow()
        for call in sorted(self.waiting):
            self.acd.leave(call, "withdrawn", self.now)
            self._follow()
        self.acd.stop(self.now + 1)

    def _do_something(self) -> None:
        r = self.random
        agent = r.choice(sorted(self.acd.agents.keys() - self.acd.floor.leaving) or ["nobody"])
        match r.choice(
            ("call",) * 4 + ("offer",) * 5 + ("talk",) * 3 + ("clear",) * 2
            + ("leave", "in", "ready", "ready", r.choice(("out", "break", "ready", "phone", "outside")), "reload")
        ):
            case "call":
                self._call()
            case "offer" if self.offers:
                self._answer(r.choice(list(self.offers)))
            case "talk" if self.talking:
                call = r.choice(sorted(self.talking))
                self.talking.remove(call)
                self.acd.release(call, self.now)
            case "clear" if self.clearing:
                self.acd.cleared(self.clearing.pop(r.randrange(len(self.clearing))), self.now)
            case "leave" if self.waiting:
                call = r.choice(sorted(self.waiting))
                self.acd.leave(call, r.choice(("abandoned", "withdrawn", "failed", "called_back")), self.now)
                self._gone(call)
            case "in":
                self.acd.log_in(agent, self.now)
            case "out":
                self.acd.log_out(agent, self.now)
            case "ready":
                self.acd.ready(agent, self.now)
            case "reload" if r.random() < 0.25:
                self.n_reloads += 1
                self.acd.apply(*self._configuration(), self.now)
            case "phone":
                (self.acd.phone_back if r.random() < 0.8 else self.acd.phone_gone)(agent, self.now)
            case "outside":
                began = r.choice((self.acd.outside_began, self.acd.outside_dialled))
                (self.acd.outside_ended if r.random() < 0.7 else began)(agent, self.now)
            case "break":
                self.acd.not_ready(agent, r.choice(("lunch", "training")), self.now)

    def _call(self) -> None:
        """A new call, or one that comes to another queue; a few are callbacks, whose step is in no plan."""
        r = self.random
        self.n_calls += 1
        call, step = f"c{self.n_calls}", r.choice(self.steps)
        if step.preferred and r.random() < 0.7:
            agent = r.choice([*sorted(self.acd.agents), "nobody"])
            step = replace(step, preferred=replace(step.preferred, agent=agent))
        if r.random() < 0.1:
            turns = (steps.Turn(tuple(r.sample(GROUPS, r.randint(1, 2)))),) if r.random() < 0.3 else step.turns
            step = replace(step, place=plan.Place("callbacks", 0, 0), preferred=None, turns=turns)
        arrival = self.now - r.choice((0.0, 5.0, 30.0)) if step.keep_place else None
        self.waiting.add(call)
        self.acd.enqueue(call, step, self.now, arrival)

    def _answer(self, offer: int) -> None:
        call = self.offers.pop(offer)
        match self.random.randrange(4):
            case 0:
                self.acd.decline(offer, self.random.choice(list(Refusal)), self.now)
            case 1:
                self.acd.give_back(offer, self.now)
            case _:
                self.acd.take(offer, self.now)
                self._gone(call)
                self.talking.add(call)

    def _gone(self, call: str) -> None:
        self.waiting.discard(call)
        self.offers = {offer: other for offer, other in self.offers.items() if other != call}

    def _follow(self) -> None:
        self.acd.take_spans()
        for call, event in self.acd.take_events():
            match event:
                case ev.AgentReserved(offer, _):
                    self.offers[offer] = call
                case ev.OfferExpired(offer) | ev.OfferWithdrawn(offer):
                    self.offers.pop(offer, None)
                case ev.WaitEnded():
                    self._gone(call)
                case ev.OfferGivenUp(offer):
                    self.clearing.append(offer)


def random_day(seed: int, folder: Path, **more: Any) -> list[dict[str, Any]]:
    RandomDay(seed, folder, **more)
    return lines(folder)
