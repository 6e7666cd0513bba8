"""Days to trace: random ones over the ACD's face with skills, ranks, relaxations and head starts, and a simple one of
known arithmetic. All are written by the real trace into a folder.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import acd_core
from engine.acd import Acd
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.events import Refusal
from engine.callflow.staff import Agent, Policy, Queue, Serves, Staff
from engine.trace import Trace, read
from tests.switch.world import World

EPOCH = datetime(2026, 11, 21, tzinfo=UTC)
SKILLS = ("english", "mandarin", "billing")
STRATEGIES = ("longest_idle", "least_occupied", "fewest_calls", "round_robin", "most_skilled", "random")
POLICIES = (Policy("ready"), Policy("pause", 3.0), Policy("not_ready"), Policy("pause", 1.0, after_n=2))


@contextmanager
def traced(folder: Path) -> Iterator[Any]:
    """(trace, tell): the tell of an Acd that writes into it."""
    trace = Trace(folder, 1000)

    def tell(now: float, verb: str, arguments: dict[str, Any], followed: list[Any]) -> None:
        trace.write_acd(now, EPOCH + timedelta(seconds=now), verb, arguments, followed)

    try:
        yield trace, tell
    finally:
        trace.close()
        assert trace.n_dropped == 0


def lines(folder: Path) -> list[dict[str, Any]]:
    return list(read(sorted(folder.glob("*.jsonl"))))


def conductors_day(seed: int, folder: Path) -> list[dict[str, Any]]:
    """A day of tests/switch: whole calls through the conductor, with operators who meddle."""
    with traced(folder) as (trace, _):
        world = World(seed, trace=trace)
        world.run()
        world.acd.stop(world.now)
    return lines(folder)


class RandomDay:
    """Anybody may do anything at any moment; moments often fall together."""

    def __init__(self, seed: int, folder: Path, n_calls: int = 64) -> None:
        self.random = random.Random(seed)
        self.now = 100.0
        self.offers: dict[int, str] = {}
        self.waiting: set[str] = set()
        self.talking: set[str] = set()
        self.n_calls = 0
        self.steps = [self._step(line) for line in range(1, 6)]
        book = plan.PlanBook(tuple(self.steps), {}, {})
        with traced(folder) as (_, tell):
            self.acd = Acd(self._staff(), book, n_calls, self.now, tell, seed)
            self.acd.begin_day(self.now)
            self._play()

    def _needs(self) -> steps.Needs:
        some = [
            ((self.random.choice(SKILLS), self.random.choice((1, 40, 80))),) for _ in range(self.random.randint(0, 2))
        ]
        return tuple(some)

    def _staff(self) -> Staff:
        r = self.random
        queues = {
            name: Queue(
                name,
                strategy=r.choice(STRATEGIES),
                needs=r.choice(((), self._needs())),
                ring_for_s=r.choice((2.0, 5.0)),
                wrap_up_s=r.choice((0.0, 2.0)),
                max_length=r.choice((None, 3)),
                on_no_answer=r.choice(POLICIES),
                on_rejected=r.choice(POLICIES),
            )
            for name in ("sales", "support")
        }
        agents = {}
        for n in range(r.randint(2, 5)):
            skills = {skill: r.choice((1, 50, 90)) for skill in r.sample(SKILLS, r.randint(0, 3))}
            served = r.sample(("sales", "support"), r.randint(1, 2))
            serves = tuple(Serves(queue, r.choice((1, 1, 2)), r.choice((0.0, 0.0, 4.0))) for queue in served)
            agents[f"a{n}"] = Agent(f"a{n}", "", "", skills, serves, r.choice(("ready", "ready", "not_ready")))
        return Staff(SKILLS, queues, agents)

    def _step(self, line: int) -> steps.Queue:
        r = self.random
        relax = [
            steps.Relax(after, r.choice((None, (), self._needs())), r.choice((None, 6.0)))
            for after in sorted(r.sample((0.0, 2.0, 5.0), r.randint(0, 2)))
        ]
        return steps.Queue(
            plan.Place("plan.yaml", line, 5),
            {},
            r.choice(("sales", "support")),
            needs=self._needs(),
            head_start_s=r.choice((0.0, 0.0, 3.0, 20.0, float("inf"))),
            max_wait_s=r.choice((None, 6.0, 15.0)),
            relax=tuple(relax),
            leave_without_agents=r.random() < 0.2,
        )

    def _play(self) -> None:
        for _ in range(120):
            self.now += self.random.choice((0.0, 0.0, 0.25, 0.5, 1.0, 2.5))
            self.acd.advance(self.now)
            self._follow()
            with suppress(acd_core.IllegalMove):  # logged out; the operator is told
                self._do_something()
            self._follow()
        while self.talking:
            self.acd.release(self.talking.pop(), self.now)
            self._follow()
        while self.waiting:
            self.acd.leave(self.waiting.pop(), "withdrawn", self.now)
            self._follow()
        self.acd.stop(self.now + 1)

    def _do_something(self) -> None:
        r, agent = self.random, self.random.choice(list(self.acd.agents))
        match r.choice(
            ("call",) * 4 + ("offer",) * 5 + ("talk",) * 3 + ("leave", "in", "out", "ready", "ready", "break")
        ):
            case "call":
                self.n_calls += 1
                self.waiting.add(f"c{self.n_calls}")
                self.acd.enqueue(f"c{self.n_calls}", r.choice(self.steps), self.now)
            case "offer" if self.offers:
                self._answer(r.choice(list(self.offers)))
            case "talk" if self.talking:
                call = r.choice(sorted(self.talking))
                self.talking.remove(call)
                self.acd.release(call, self.now)
            case "leave" if self.waiting:
                call = r.choice(sorted(self.waiting))
                self.acd.leave(call, r.choice(("abandoned", "withdrawn", "failed")), self.now)
                self._gone(call)
            case "in":
                self.acd.log_in(agent, self.now)
            case "out":
                self.acd.log_out(agent, self.now)
            case "ready":
                self.acd.ready(agent, self.now)
            case "break":
                self.acd.not_ready(agent, r.choice(("lunch", "training")), self.now)

    def _answer(self, offer: int) -> None:
        call = self.offers.pop(offer)
        match self.random.randrange(4):
            case 0:
                self.acd.decline(offer, self.random.choice(list(Refusal)), self.now)
            case 1:
                self.acd.give_back(offer, self.now)
            case _:
                self.acd.take(offer, self.now)
                self.waiting.remove(call)
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


def random_day(seed: int, folder: Path) -> list[dict[str, Any]]:
    RandomDay(seed, folder)
    return lines(folder)
