"""The controls: each law left out of the core, one at a time, and the same storms fail.

A proof that cannot fail proves nothing. The checked build leaves out a law on break_law(); the invariant named beside
it is the one that must be seen broken first, or the model must disagree where the law is about order or memory.

INV-1 reservation        reservation, one winner
INV-2 derived state      derived state
INV-3 order              order; its other half, no eligible pair left waiting: work conservation
INV-4 bound              kept place, here and in test_inv_4_fails_when_places_are_not_kept
INV-5 conservation       conservation
INV-6 quiescence         give back
and a phone that is being cleared is not rung: clear phone, which the model sees, in the storm and in a story by hand
"""

import itertools

import pytest

from tests.core.pair import Disagreement, Pair, storm

SEEN_BY = {
    "reservation": "INV-1",
    "derived state": "INV-2",
    "order": "core",
    "kept place": "core",
    "conservation": "INV-5",
    "one winner": "INV-1",
    "work conservation": "INV-3",
    "stale offer": "core|INV|internal",
    "decline memory": "core|INV-3",
    "after call": "core",
    "give back": "INV-6",
    "clear phone": "core",
}


def test_every_law_has_a_control(checked):
    assert set(checked.LAWS) == set(SEEN_BY)


@pytest.mark.parametrize("law", SEEN_BY)
def test_without_the_law_the_storm_is_seen(checked, law):
    checked.break_law(law)
    try:
        with pytest.raises((checked.BrokenInvariant, Disagreement), match=SEEN_BY[law]):
            for seed in range(60):
                storm(checked, seed, 150)
    finally:
        checked.break_law(None)


def test_laws_cannot_be_broken_in_production(core):
    if core.is_checked():
        core.break_law(None)
        return
    with pytest.raises(core.AcdError, match="ACD_CHECKS"):
        core.break_law("order")


def overtakes(module, head_starts, law=None):
    """One agent; calls with these head starts come 10 s apart, and are served in the order given back."""
    pair = Pair(module)
    acd = pair.core
    queue = acd.add_queue(0.0)
    agent = acd.add_agent(0.0)
    acd.serve(agent, queue, 0.0)
    calls = [acd.enqueue(queue, 10.0 * i, head_start_s=head) for i, head in enumerate(head_starts)]
    now = 10.0 * len(calls)
    acd.log_in(agent, now)
    acd.ready(agent, now)
    served = []
    while acd.offer_of(agent):
        served.append(calls.index(acd.call_of(agent)))
        acd.accept(acd.offer_of(agent), now)
        acd.release(acd.call_of(agent), now)
    return served


def test_inv_4_the_bound_is_the_difference_of_head_starts(core):
    """A call is overtaken only by calls that came less than the difference of head starts later."""
    for heads in itertools.permutations([0.0, 0.0, 15.0, 35.0, 0.0, 25.0]):
        served = overtakes(core, heads)
        assert sorted(served) == list(range(6))
        for first, then in itertools.combinations(served, 2):
            if first > then:  # `first` came later and overtook `then`
                assert 10.0 * (first - then) < heads[first] - heads[then]


def test_inv_4_fails_when_places_are_not_kept(checked):
    """Its control: with keys by the moment of joining the line, head starts bind nothing."""
    checked.break_law("kept place")
    try:
        assert overtakes(checked, [0.0, 100.0]) == [0, 1], "without the law the head start is lost"
    finally:
        checked.break_law(None)
    assert overtakes(checked, [0.0, 100.0]) == [1, 0]
