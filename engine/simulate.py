"""A call floor in simulated time: random callers and agents around the real acd_core.

Callers of a stream arrive as a Poisson process, lose patience, talk for a random time; agents answer at once, wrap up
as their queue says. Every decision is the core's own, so what holds here holds for the live engine: tests/core
compares it with queueing theory, the planning of staff stands on it. No call passes through the call machine, SIP or
media here.
"""

import heapq
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

import acd_core
from acd_core import Out

Times = Callable[[random.Random], float]  # draws a duration in seconds


def exponential(mean_s: float) -> Times:
    return lambda rng: rng.expovariate(1 / mean_s)


def constant(seconds: float) -> Times:
    return lambda rng: seconds


@dataclass(frozen=True)
class Stream:
    """Callers of one kind: where they queue, how often they come, how long they talk and wait."""

    queue: str
    per_s: float
    talk: Times
    patience: Times = constant(math.inf)
    needs: tuple[Mapping[int, int], ...] = ()
    head_start_s: float = 0.0


@dataclass(frozen=True)
class Team:
    """Equal agents: how many, their skills, the queues they serve with the rank in each."""

    n_agents: int
    queues: Mapping[str, int]
    skills: Mapping[int, int] = field(default_factory=dict)


@dataclass
class Outcome:
    """What became of the callers of one stream who came after the warm-up, in the order of coming."""

    waits_s: list[float] = field(default_factory=list)  # until answered or gone
    answered: list[bool] = field(default_factory=list)

    def wait(self) -> "np.ndarray":
        return np.array(self.waits_s)

    def was_answered(self) -> "np.ndarray":
        return np.array(self.answered, dtype=bool)


@dataclass
class Result:
    streams: list[Outcome]
    queues: "np.ndarray"  # the core's own "queues" snapshot at the end
    core: acd_core.Acd


class Floor:
    """One run. `on_offer(call, agent, now)` sees every assignment, before it is answered."""

    def __init__(
        self,
        streams: list[Stream],
        teams: list[Team],
        queues: Mapping[str, Mapping[str, float]],
        *,
        seed: int,
        on_offer: Callable[[int, int, float], None] | None = None,
    ) -> None:
        self.streams, self.on_offer = streams, on_offer
        self.rng = [random.Random(f"{seed} {i}") for i in range(len(streams))]
        n_agents = sum(team.n_agents for team in teams)
        self.core = acd_core.Acd(
            n_calls=1 << 16,
            n_agents=n_agents,
            n_queues=len(queues),
            n_serving=sum(t.n_agents * len(t.queues) for t in teams),
            seed=seed,
        )
        self.queue_of = {name: self.core.add_queue(0.0, **settings) for name, settings in queues.items()}
        self.needs_of = [self.core.needs(stream.needs) for stream in streams]
        for team in teams:
            for _ in range(team.n_agents):
                self.hire(team)
        self.core.drain()
        self.events: list[tuple[float, int, str, int]] = []  # (time, tie, what, stream or call)
        self.n_events = 0
        self.came: dict[int, tuple[int, float, int]] = {}  # waiting call -> stream, arrival, place in its outcome
        self.outcomes = [Outcome() for _ in streams]
        self.n_counted = 0

    def hire(self, team: Team) -> None:
        agent = self.core.add_agent(0.0)
        self.core.set_skills(agent, team.skills, 0.0)
        for queue, rank in team.queues.items():
            self.core.serve(agent, self.queue_of[queue], 0.0, rank=rank)
        self.core.log_in(agent, 0.0)
        self.core.ready(agent, 0.0)

    def at(self, time: float, what: str, who: int) -> None:
        self.n_events += 1
        heapq.heappush(self.events, (time, self.n_events, what, who))

    def run(self, *, n_calls: int, n_warm_up: int = 0) -> Result:
        """Until so many callers came after the warm-up; those still there then are followed to their end."""
        self.n_left, self.n_warm_up = n_calls + n_warm_up, n_warm_up
        for i, stream in enumerate(self.streams):
            self.at(self.rng[i].expovariate(stream.per_s), "arrive", i)
        now = 0.0
        while self.events:
            now, _, what, who = heapq.heappop(self.events)
            if what == "arrive":
                self.arrive(who, now)
            elif what == "release":
                self.core.release(who, now)
            elif who in self.came:
                self.core.abandon(who, now)
                self.gone(who, now, answered=False)
            self.answer_offers()
        return Result(self.outcomes, self.core.snapshot("queues", now), self.core)

    def arrive(self, i: int, now: float) -> None:
        if self.n_left == 0:
            return
        stream, rng = self.streams[i], self.rng[i]
        self.n_left -= 1
        call = self.core.enqueue(
            self.queue_of[stream.queue], now, needs=self.needs_of[i], head_start_s=stream.head_start_s
        )
        place = -1
        if self.n_warm_up:
            self.n_warm_up -= 1
        else:
            place = len(self.outcomes[i].waits_s)
            self.outcomes[i].waits_s.append(0.0)
            self.outcomes[i].answered.append(False)
        if call > 0:
            self.came[call] = (i, now, place)
            patience = stream.patience(rng)
            if patience < math.inf:
                self.at(now + patience, "abandon", call)
        self.at(now + rng.expovariate(stream.per_s), "arrive", i)

    def answer_offers(self) -> None:
        for kind, time, call, agent, number, _ in self.core.drain():
            if kind == Out.OFFER:
                if self.on_offer:
                    self.on_offer(call, agent, time)
                self.core.accept(number, time)
                stream = self.came[call][0]
                self.gone(call, time, answered=True)
                self.at(time + self.streams[stream].talk(self.rng[stream]), "release", call)

    def gone(self, call: int, now: float, *, answered: bool) -> None:
        stream, came, place = self.came.pop(call)
        if place >= 0:
            self.outcomes[stream].waits_s[place] = now - came
            self.outcomes[stream].answered[place] = answered
