"""Thousands of quick calls through one daemon: descriptors, slots and legs are as before, one CDR a call.

PJSIP keeps a finished transaction for 32 s (RFC 3261 timers H, J), so memory grows until that many are kept, and is
flat from then on: only the long run comes so far, and is judged by its second half.
"""

import asyncio

import pytest

from tests.siege.conftest import one_cdr_each
from tests.siege.crowd import Crowd
from tests.siege.ground import Costs, pid_of

BATCH, RATE, TALK_S = 250, 100.0, 0.5
LEAK_B = 1024.0  # a call, after the warm-up
LEAK_DESCRIPTORS = 0.01


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("n", [2_000, pytest.param(20_000, marks=pytest.mark.siege)])
def test_churn(own, n):
    daemon = own(recording={"calls": "none"})
    costs = Costs(pid_of(daemon))

    async def churn() -> int:
        n_bad = 0
        async with Crowd(daemon.port) as crowd:
            for done in range(0, n, BATCH):
                fared = await crowd.call(BATCH, RATE, TALK_S)
                n_bad += fared.n - fared.n_good
                costs.note(done + BATCH)
            return n_bad

    n_bad = asyncio.run(churn())
    daemon.until_clean()
    kb, descriptors = costs.slopes()
    print(f"{n} calls, {n_bad} not good; {costs}")
    assert n_bad == 0
    assert daemon.ask("status")["calls_total"] == n
    one_cdr_each(daemon)
    assert descriptors < LEAK_DESCRIPTORS and (kb * 1024 < LEAK_B or n * 2 < 100 * RATE)
