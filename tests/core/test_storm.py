"""Random stories for the core and the model together, from printed seeds; both builds, the six invariants after every
event.

The short run is part of `make test`; `make prove` plays a million events. A failure prints its seed and the story's
end.
"""

from concurrent.futures import ProcessPoolExecutor

import pytest

import acd_core
from tests.core.pair import storm

N_EVENTS = 200


def play(seed: int) -> str:
    try:
        storm(acd_core, seed, N_EVENTS)
    except Exception as error:
        return f"seed {seed}: {type(error).__name__}: {error}"
    return ""


def test_a_short_storm(core):
    """40 stories of 200 events on each build."""
    for seed in range(40):
        try:
            storm(core, seed, N_EVENTS)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


def test_a_crowd_declines_more_often_than_a_call_remembers(core):
    """So that the storms, of which each twentieth is such a crowd, go beyond twelve decliners."""
    assert sum(storm(core, seed, N_EVENTS).model.n_forgotten for seed in (19, 39, 59, 79)) > 10


@pytest.mark.prove
def test_a_million_events():
    """5,000 stories of 200 events, seeds 100,000 to 104,999, the audit after every event."""
    seeds = range(100_000, 105_000)
    print(f"seeds {seeds.start} to {seeds.stop - 1}, {len(seeds) * N_EVENTS:,} events")
    with ProcessPoolExecutor() as pool:
        failed = [line for line in pool.map(play, seeds, chunksize=50) if line]
    assert not failed, "\n\n".join(failed[:3])
