"""A trunk's limits at the conductor: calls in, and what is out over the trunk."""

from dataclasses import replace
from typing import Any

from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.switch import Setup
from tests.switch.test_conductor import Floor, place


def rejected(floor: Floor, n_out: int, **limits: Any) -> list[int]:
    """The statuses of callers 2 to 4, while n_out calls are out over the trunk."""
    setup = floor.switch.setup
    trunks = tuple(replace(trunk, **limits) for trunk in setup.settings.trunks)
    floor.switch.setup = Setup(replace(setup.settings, trunks=trunks), setup.staff, setup.book)
    floor.sip._answers["n_calls_out"] = lambda trunk: n_out
    for leg in (2, 3, 4):
        floor.switch.post(f"c{leg}", ev.CallArrived(plan.Caller("1", "100", "carrier"), leg))
    floor.switch.round(floor.now)
    return [asked[1] for asked in floor.sip.all("reject")]


def test_a_trunk_takes_as_many_calls_as_it_may() -> None:
    """One is on line already."""
    assert rejected(Floor(steps.Answer(place(0), {"done": 1})), 0) == []
    assert rejected(Floor(steps.Answer(place(0), {"done": 1})), 0, max_calls=3) == [503]
    assert rejected(Floor(steps.Answer(place(0), {"done": 1})), 1, max_calls=3) == [503, 503]
    assert rejected(Floor(steps.Answer(place(0), {"done": 1})), 1, max_calls_in=3) == [503]
    assert rejected(Floor(steps.Answer(place(0), {"done": 1})), 5, max_calls_in=9, max_calls=7) == [503, 503]
