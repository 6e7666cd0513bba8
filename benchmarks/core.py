"""What one decision of the ACD core costs: `make bench-core`. The last line is one JSON object.

A busy floor is driven at random once and its verbs recorded; the same verbs are then played to fresh cores, which must
give the same outputs: through the Python face (each verb a method call, each followed by drain()), the same with every
event timed by itself, and inside the core by feed(). Rates count CPU seconds of the one core that runs them, so that
neighbours on the machine do not enter; the single events are timed by the wall clock, the best of three runs of each.
Then the floor grows tenfold in agents, waiting calls and queues together. Growth is the cost of an event there by the
cost of an event before: a queue has as many agents and waiting calls as before, so what grows is the system alone.
"""

import argparse
import gc
import json
import math
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import acd_core
from acd_core import COMMAND, VERBS, Out
from benchmarks.machine import describe

N_SKILLS = 64
QUEUES_PER_AGENT = 5
PLOT = Path("build/bench/core-growth.svg")


@dataclass(frozen=True)
class Size:
    n_agents: int
    n_waiting: int
    n_queues: int

    def __str__(self) -> str:
        return f"{self.n_agents:,} agents x {self.n_waiting:,} waiting x {self.n_queues:,} queues"


GOAL = Size(1_000, 5_000, 40)
GROWTH = [Size(100, 500, 4), GOAL, Size(10_000, 50_000, 400)]
HUGE = Size(100_000, 100_000, 40_000)


class Floor:
    """A core with its staff: 64 skills; an agent holds eight and serves five queues; a call needs up to two, by
    level."""

    def __init__(self, size: Size) -> None:
        rng = random.Random(1)
        core = self.core = acd_core.Acd(
            n_calls=2 * (size.n_waiting + size.n_agents),
            n_agents=size.n_agents,
            n_queues=size.n_queues,
            n_serving=size.n_agents * QUEUES_PER_AGENT,
        )
        self.size = size
        relaxation = core.add_relaxation([(120.0, 0, True, 30.0)], 0.0)
        settings = {"wrap_up_s": 4.0, "ring_s": 20.0, "relaxation": relaxation}
        self.queues = [core.add_queue(0.0, **settings) for _ in range(size.n_queues)]
        self.needs = [self.needs_of_queue(rng) for _ in self.queues]
        self.agents = [self.hire(rng, i) for i in range(size.n_agents)]

    def needs_of_queue(self, rng: random.Random) -> list[int]:
        one, two, three = rng.sample(range(N_SKILLS), 3)
        terms: list[list[dict[int, int]]] = [[], [{one: 1}], [{one: 3}], [{two: 1}, {three: 2}], [{one: 1, two: 2}]]
        return [self.core.needs(either) for either in terms]

    def hire(self, rng: random.Random, i: int) -> int:
        agent = self.core.add_agent(0.0)
        self.core.set_skills(agent, {s: rng.randint(1, 4) for s in rng.sample(range(N_SKILLS), 8)}, 0.0)
        near = [self.queues[(i + step) % self.size.n_queues] for step in range(min(20, self.size.n_queues))]
        for rank, queue in enumerate(rng.sample(near, min(QUEUES_PER_AGENT, len(near)))):
            self.core.serve(agent, queue, 0.0, rank=min(rank, 1))
        return agent


class BusyHour:
    """Drives a floor at its limit, every agent busy and the line long, and records the verbs."""

    def __init__(self, size: Size, n_events: int) -> None:
        self.rng = random.Random(7)
        self.floor = Floor(size)
        self.now = 0.0
        self.rows: list[tuple[Any, ...]] = []
        self.offers: list[int] = []
        self.waiting: list[int] = []
        self.n_waiting = 0
        for agent in self.floor.agents:
            self.play("log_in", a=agent)
            self.play("ready", a=agent)
        while self.n_waiting < size.n_waiting:
            self.now += 1000.0 / size.n_waiting
            self.arrive()
            self.answer()
        self.n_filling = len(self.rows)
        while len(self.rows) < self.n_filling + n_events:
            self.happen()
        self.commands = np.array(self.rows, dtype=COMMAND)

    def play(
        self, verb: str, *, a: int = 0, b: int = 0, needs: int = 0, x: float = 0.0, max_wait: float = math.inf
    ) -> int:
        """Do it and record it; what is refused (gone in the meantime) is not recorded."""
        row = (VERBS[verb], needs, -1, 0, self.now, a, b, x, math.nan, max_wait, 0.0, 0.0)
        method, args, more = as_method_call(self.floor.core, np.array([row], dtype=COMMAND)[0])
        try:
            answer = method(*args, **more)
        except acd_core.AcdError:
            answer = 0
        else:
            self.rows.append(row)
        for kind, _, _, _, number, _ in self.floor.core.drain():
            if kind == Out.OFFER:
                self.offers.append(number)
                self.n_waiting -= 1
            self.n_waiting += (kind == Out.CALL_REQUEUED) - (kind == Out.CALL_EXPIRED)
        return answer or 0

    def arrive(self) -> None:
        i = self.rng.randrange(len(self.floor.queues))
        self.n_waiting += 1
        self.waiting.append(
            self.play(
                "enqueue",
                a=self.floor.queues[i],
                needs=self.rng.choice(self.floor.needs[i]),
                x=self.rng.choice([0.0, 0.0, 0.0, 0.0, 60.0, math.inf]),
                max_wait=self.rng.choice([600.0, 3600.0]),
            )
        )

    def answer(self) -> None:
        while self.offers:
            draw = self.rng.random()
            self.play("accept" if draw < 0.95 else "refuse" if draw < 0.98 else "take_back", a=self.offers.pop())

    def a_waiting_call(self) -> int:
        while True:
            i = self.rng.randrange(len(self.waiting))
            call, self.waiting[i] = self.waiting[i], self.waiting[-1]
            self.waiting.pop()
            try:
                if self.floor.core.call_state(call) == acd_core.CallState.WAITING:
                    return call
            except acd_core.UnknownHandle:
                continue

    def happen(self) -> None:
        rng, core = self.rng, self.floor.core
        self.now += rng.expovariate(self.floor.size.n_agents / 50.0)
        draw, agent = rng.random(), rng.choice(self.floor.agents)
        if self.n_waiting < self.floor.size.n_waiting and draw < 0.8:
            self.arrive()
        elif draw < 0.80:
            call = core.call_of(agent)
            if call and core.agent_state(agent)[0] == acd_core.AgentState.TALKING:
                self.play("release", a=call)
        elif draw < 0.84:
            self.n_waiting -= 1
            self.play("abandon", a=self.a_waiting_call())
        elif draw < 0.87:
            call = self.a_waiting_call()
            self.waiting.append(call)
            self.play("raise_head_start", a=call, x=rng.choice([30.0, 300.0]))
        elif draw < 0.90:
            self.play("not_ready", a=agent, b=1)
        elif draw < 0.99:
            self.play("ready", a=agent)
        else:
            self.play("advance")
        self.answer()


def as_method_call(core: acd_core.Acd, row: Any) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    verb = VERB_NAMES[int(row["verb"])]
    method, now = getattr(core, verb), float(row["now"])
    if verb == "enqueue":
        more = {"needs": int(row["needs"]), "head_start_s": float(row["x"]), "max_wait_s": float(row["max_wait_s"])}
        return method, (int(row["a"]), now), more
    if verb == "raise_head_start":
        return method, (int(row["a"]), float(row["x"]), now), {}
    if verb == "not_ready":
        return method, (int(row["a"]), now, int(row["b"])), {}
    return method, (now,) if verb == "advance" else (int(row["a"]), now), {}


VERB_NAMES = {number: name for name, number in VERBS.items()}


def prepared(hour: BusyHour) -> tuple[acd_core.Acd, list[Any]]:
    """A fresh core, filled, and the events to time as method calls."""
    core = Floor(hour.floor.size).core
    filling = hour.commands[: hour.n_filling]
    assert core.feed(filling) == len(filling)
    core.drain()
    return core, [as_method_call(core, row) for row in hour.commands[hour.n_filling :]]


def through_python(hour: BusyHour) -> tuple[float, int]:
    """Events per second by methods and drain(); and a fingerprint of the outputs."""
    core, calls = prepared(hour)
    drain, outputs = core.drain, []
    gc.disable()
    begin = time.process_time()
    for method, args, more in calls:
        method(*args, **more)
        outputs.append(drain())
    took = time.process_time() - begin
    gc.enable()
    return len(calls) / took, hash(str([out for batch in outputs for out in batch]))


def each_event(hour: BusyHour) -> np.ndarray:
    """Microseconds of every event with its drain()."""
    core, calls = prepared(hour)
    drain, clock = core.drain, time.perf_counter_ns
    took = np.empty(len(calls))
    gc.disable()
    for i, (method, args, more) in enumerate(calls):
        begin = clock()
        method(*args, **more)
        drain()
        took[i] = clock() - begin
    gc.enable()
    return took / 1e3


def inside(hour: BusyHour) -> tuple[float, int]:
    core, _ = prepared(hour)
    events = hour.commands[hour.n_filling :]
    begin = time.process_time()
    played = core.feed(events)
    took = time.process_time() - begin
    assert played == len(events), f"event {played} was refused"
    return played / took, hash(str(core.drain()))


def measure(size: Size, n_events: int, repeats: int) -> dict[str, Any]:
    hour = BusyHour(size, n_events)
    python, prints = zip(*(through_python(hour) for _ in range(repeats)), strict=True)
    core, core_prints = zip(*(inside(hour) for _ in range(repeats)), strict=True)
    assert len({*prints, *core_prints}) == 1, "the same events gave different outputs"
    times = np.min([each_event(hour) for _ in range(min(3, repeats))], axis=0)
    return {
        "agents": size.n_agents,
        "waiting": size.n_waiting,
        "queues": size.n_queues,
        "events": n_events,
        "python_per_s": round(max(python)),
        "python_per_s_median": round(statistics.median(python)),
        "core_per_s": round(max(core)),
        "core_per_s_median": round(statistics.median(core)),
        "p50_us": round(float(np.percentile(times, 50)), 2),
        "p99_us": round(float(np.percentile(times, 99)), 2),
        "max_us": round(float(times.max()), 1),
        "bytes": hour.floor.core.memory(),
    }


def show(row: dict[str, Any]) -> None:
    print(
        f"{row['agents']:>9,} {row['waiting']:>9,} {row['queues']:>8,} {row['python_per_s']:>12,}"
        f" {row['python_per_s_median']:>12,} {row['p50_us']:>8} {row['p99_us']:>8} {row['max_us']:>9}"
        f" {row['core_per_s']:>12,} {row['core_per_s_median']:>12,}",
        flush=True,
    )


def growth_of(small: dict[str, Any], large: dict[str, Any]) -> dict[str, float]:
    rates = {"python": "python_per_s", "core": "core_per_s"}
    rates |= {f"{name}_median": f"{rate}_median" for name, rate in rates.items()}
    return {name: round(small[rate] / large[rate], 2) for name, rate in rates.items()}


def plot(rows: list[dict[str, Any]], file: Path) -> None:
    """Cost of one event against the size of the floor, as a picture of bars."""
    bars, top = [], max(1e6 / row["python_per_s"] for row in rows)
    for i, row in enumerate(rows):
        for j, (rate, colour) in enumerate((("python_per_s", "#4878a8"), ("core_per_s", "#e09040"))):
            cost = 1e6 / row[rate]
            height, x = 240 * cost / top, 60 + 170 * i + 60 * j
            bars.append(f'<rect x="{x}" y="{290 - height:.0f}" width="50" height="{height:.0f}" fill="{colour}"/>')
            bars.append(f'<text x="{x + 25}" y="{284 - height:.0f}" text-anchor="middle">{cost:.2f}</text>')
        label = f"{row['agents']:,} x {row['waiting']:,} x {row['queues']:,}"
        bars.append(f'<text x="{115 + 170 * i}" y="308" text-anchor="middle">{label}</text>')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{60 + 170 * len(rows)}" height="340" font-family="sans-serif"'
        ' font-size="12"><rect width="100%" height="100%" fill="white"/>'
        '<text x="20" y="22">Microseconds per event by agents x waiting x queues; blue: Python, orange: inside</text>'
        f"{''.join(bars)}</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-core", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events, no huge floor: to try out")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind (default: %(default)s)")
    options = parser.parse_args()
    n_events = 10_000 if options.quick else 100_000
    where = describe()
    print(f"{N_SKILLS} skills, {QUEUES_PER_AGENT} queues per agent, {n_events:,} events; best and median of the runs")
    print("   agents   waiting   queues     python/s       median   p50 us   p99 us    max us     inside/s      median")
    rows = []
    for size in GROWTH:
        rows.append(measure(size, n_events, options.repeats))
        show(rows[-1])
    if not options.quick:
        rows.append(measure(HUGE, n_events, 2))
        show(rows[-1])
    goal = rows[1]
    growth = growth_of(goal, rows[2])
    plot(rows, PLOT)
    memory = goal["bytes"]
    print(f"cost per event on a floor ten times as large, best and median of the runs; {PLOT}")
    for small, large in zip(GROWTH, GROWTH[1:], strict=False):
        by = growth_of(rows[GROWTH.index(small)], rows[GROWTH.index(large)])
        print(f"    {small} -> {large}: {by['python']}x {by['python_median']}x in Python,", end=" ")
        print(f"{by['core']}x {by['core_median']}x inside")
    print(f"memory: {memory['per_call']} B per waiting call, {memory['per_agent']} B per agent, all taken at the start")
    print(json.dumps({"benchmark": "core", "machine": where, "sizes": rows, "growth_10x": growth, "goal": goal}))


if __name__ == "__main__":
    main()
