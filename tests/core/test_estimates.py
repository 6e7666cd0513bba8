"""Expected wait: what is announced comes true for the share it says, is never negative, and never rises without a
cause."""

import math

import pytest

import acd_core
from engine.simulate import Floor, Stream, Team, exponential


@pytest.mark.parametrize(
    ("n_agents", "load", "patience_s"), [(10, 0.9, math.inf), (30, 0.95, math.inf), (10, 1.1, 120.0), (3, 0.8, 300.0)]
)
def test_the_announced_p80_holds_for_75_to_85_percent(n_agents, load, patience_s):
    patience = exponential(patience_s) if patience_s < math.inf else (lambda rng: math.inf)
    stream = Stream("q", n_agents * load / 180, exponential(180.0), patience)
    (row,) = Floor([stream], [Team(n_agents, {"q": 0})], {"q": {}}, seed=21).run(n_calls=20_000).queues
    assert row["estimated"] > 2_000
    assert 0.75 <= row["within_p80"] / row["estimated"] <= 0.85
    assert 0.45 <= row["within_median"] / row["estimated"] <= 0.55


def busy_desk():
    acd = acd_core.Acd(n_calls=64, n_agents=4, n_queues=1)
    queue = acd.add_queue(0.0)
    for _ in range(2):
        agent = acd.add_agent(0.0)
        acd.serve(agent, queue, 0.0)
        acd.log_in(agent, 0.0)
        acd.ready(agent, 0.0)
        acd.accept(acd.offer_of(agent) or acd.offer_of(acd.agents_of(acd.enqueue(queue, 0.0))[0]), 0.0)
    return acd, queue


def test_it_rises_with_the_place_and_stands_still_between_events():
    acd, queue = busy_desk()
    calls = [acd.enqueue(queue, 10.0) for _ in range(20)]
    medians = [acd.estimate(call, 10.0)[0] for call in calls]
    assert medians == sorted(medians) and medians[0] > 0
    for now in (11.0, 100.0, 5_000.0):
        assert [acd.estimate(call, now)[0] for call in calls] == medians
    assert all(p80 >= median for median, p80 in (acd.estimate(call, 5_000.0) for call in calls))


def test_nobody_working_is_infinite_and_an_answered_call_has_none():
    acd, queue = busy_desk()
    call = acd.enqueue(queue, 1.0)
    for agent in (1, 2):
        acd.log_out(agent, 2.0)
        acd.release(acd.call_of(agent), 2.0)
    assert acd.estimate(call, 4.0) == (math.inf, math.inf)
    acd.log_in(1, 5.0)
    acd.ready(1, 5.0)
    assert acd.estimate(call, 5.0) == (0.0, 0.0)
