"""What the core takes. Memory: at the start, it says how much, and it does not reach beyond. Time: an event of an agent
costs in the order of that agent's queues. How fast that is: benchmarks/core.py."""

import re
import time
from pathlib import Path

import acd_core
from acd_core import Out

ACD = Path(__file__).parents[2] / "acd"
ALLOCATES = re.compile(r"\b(?:malloc|calloc|realloc|aligned_alloc|room|array_of|mmap)\(")


def test_nothing_is_allocated_where_calls_are_matched():
    """All of acd/ is that path. One thing may grow: the outputs, where nobody drains them."""
    found = {
        (file.name, line.strip())
        for file in ACD.glob("*.pxi")
        for line in file.read_text().splitlines()
        if ALLOCATES.search(line)
    }
    assert found == {("structs.pxi", "more = <Event*>realloc(k.events, 2 * k.max_events * sizeof(Event))")}


def busy(core):
    """A floor through which more calls have gone than it has room for, many at once, and what it held before them."""
    acd = core.Acd(n_calls=200, n_agents=20, n_queues=4)
    queue = acd.add_queue(0.0, wrap_up_s=1.0)
    agents = [acd.add_agent(0.0) for _ in range(20)]
    for agent in agents:
        acd.serve(agent, queue, 0.0)
        acd.log_in(agent, 0.0)
        acd.ready(agent, 0.0)
    before = acd.memory()
    for i in range(1_000):
        if i % 4:
            acd.enqueue(queue, float(i), max_wait_s=200.0)
        for kind, _, call, _, offer, _ in acd.drain():
            if kind == Out.OFFER:
                acd.accept(offer, float(i))
                acd.release(call, float(i))
    return acd, before


def test_calls_take_no_memory_that_was_not_there_before_them(core):
    acd, before = busy(core)
    assert acd.memory() == before
    assert before["all"] > 200 * before["per_call"] + 20 * before["per_agent"]


def n_guards():
    """Pages of this process that nobody may touch."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return sum(line.split()[1].startswith("---") for line in maps)


def test_each_array_of_the_checked_core_ends_at_a_page_that_nobody_may_touch(checked):
    before = n_guards()
    acd, _ = busy(checked)
    assert n_guards() - before >= 25
    del acd
    assert n_guards() == before


def least_us(n_queues, n_agents, n_served):
    """Of many breaks of one agent who serves so many of the queues, in each of which calls wait that need another."""
    acd = acd_core.Acd(n_calls=n_queues + 1, n_agents=n_agents, n_queues=n_queues, n_serving=n_agents * n_served)
    queues = [acd.add_queue(0.0) for _ in range(n_queues)]
    rare = acd.needs([{1: 1}])
    for i in range(n_agents):
        agent = acd.add_agent(0.0)
        for j in range(n_served):
            acd.serve(agent, queues[(i + j) % n_queues], 0.0)
        acd.log_in(agent, 0.0)
        acd.ready(agent, 0.0)
    for queue in queues:
        acd.enqueue(queue, 0.0, needs=rare)
    times = []
    for _ in range(500):
        begin = time.perf_counter_ns()
        acd.not_ready(agent, 1.0, 1)
        acd.ready(agent, 1.0)
        times.append(time.perf_counter_ns() - begin)
        acd.drain()
    return min(times) / 1e3


def test_an_event_of_an_agent_costs_by_the_agents_queues_and_not_by_the_system():
    """A hundred times the system: not five times the cost. Fifty times the queues of the agent are seen."""
    alone = least_us(20, 20, 2)
    assert least_us(2_000, 2_000, 2) < 5 * alone
    assert least_us(200, 20, 100) > 5 * alone
