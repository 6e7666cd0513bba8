"""Calls that are begun and never acknowledged (security.md S14): each is over when SIP gives it up, and with it what it
held."""

import asyncio
import time

import pytest

from engine.records.search import Wanted
from tests.live.floor import BUSY, HOST, until
from tests.siege.conftest import one_cdr_each
from tests.siege.crowd import Crowd
from tests.siege.flood import Flood
from tests.siege.ground import CALLERS, n_descriptors, pid_of

TIMER_H_S = 32.0  # RFC 3261 section 17
MOMENT_S = 6.0
SPARE = 2  # descriptors: some files open with the first call


@pytest.mark.timeout(250)
@pytest.mark.parametrize(("n", "rate"), [(90, 60), pytest.param(10_000, 250, marks=pytest.mark.siege)])
def test_nobody_acknowledges(own, n, rate):
    """Some reach an agent, who picks up and is free again with the call; beyond `max calls` they get 503, and that is
    never acknowledged either."""
    daemon = own()
    before = n_descriptors(pid_of(daemon))
    busiest = asyncio.run(flooded(daemon, n, rate))
    print(f"{n} INVITEs, at most {busiest} agents busy")
    assert busiest > 20, "nobody reached an agent"

    def ends() -> set[str | None]:
        return {row["ended_by"] for row in daemon.archive().calls(Wanted(limit=1_000_000)).rows}

    until("the last CDR is written", lambda: None not in ends())
    assert ends() <= {"no_ack", "switch"}
    one_cdr_each(daemon)
    daemon.until_clean()
    until("the sockets are closed", lambda: n_descriptors(pid_of(daemon)) <= before + SPARE, within_s=5)


async def flooded(daemon, n, rate) -> int:
    busiest = 0
    async with Crowd(daemon.port):
        with Flood("half-open", (HOST, daemon.port), rate, CALLERS[0]) as flood:
            await asyncio.sleep(n / rate)
        assert flood.n_sent > 0.9 * n
        end = time.monotonic() + TIMER_H_S + MOMENT_S
        while (status := daemon.ask("status"))["n_calls"] or status["n_legs"] or n_busy(daemon):
            busiest = max(busiest, n_busy(daemon))
            assert time.monotonic() < end, (status, n_busy(daemon))
            await asyncio.sleep(0.5)
    return busiest


def n_busy(daemon) -> int:
    return sum(row["state"] in BUSY for row in daemon.ask("agents"))
