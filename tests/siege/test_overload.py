"""Twice of what a limit lets in: the rest gets 503 with Retry-After, calls in progress lose nothing, and within 5 s of
the surge all is as it was. The limits are those of calls at once, of a trunk's calls a second, of the engine's load.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest

from engine.callflow.settings import Limits
from tests.live.floor import Daemon
from tests.siege.conftest import one_cdr_each
from tests.siege.crowd import Crowd, Fared
from tests.siege.ground import LOOPBACK

RTP_FROM = 34000
AGAIN_WITHIN_S = 5.0
NOTICED_S = 1.0  # the calls of so long are taken before a rate is found
LOST = 0.0005  # of the packets of calls in progress, where the surge takes the CPUs from the generator, too
ASIDE = 10  # calls in progress besides
N_AGAIN, AGAIN_PER_S, TALK_S = 10, 5.0, 0.5


@dataclass(frozen=True)
class Surge:
    rate: float
    seconds: float
    talk_s: float

    @property
    def n(self) -> int:
        return round(self.rate * self.seconds)


def limited(**limits: Any) -> dict[str, Any]:
    """With the RTP ports that the calls need, and not one more."""
    n_legs = Limits(max_calls=limits["max calls"]).n_legs
    return {"limits": limits, "sip": {"rtp ports": f"{RTP_FROM}-{RTP_FROM + 2 * n_legs - 1}"}}


AT_ONCE = 40
PER_S = 15
TRUNKS = {name: {"from": sources, "max calls per second": PER_S} for name, sources in LOOPBACK.items()}
CASES = [
    # as many again as there is room for, while the first talk
    pytest.param(limited(**{"max calls": AT_ONCE}), Surge(40.0, 2.0, 8.0), "10", id="calls"),
    pytest.param(limited(**{"max calls": 200}) | {"trunks": TRUNKS}, Surge(2.0 * PER_S, 3.0, 0.5), "1", id="rate"),
    # a call costs the engine 2 to 4 ms: these are 20 to 40 % of a core, and more where the machine is slow
    pytest.param(limited(**{"max calls": 300, "max load": "10%"}), Surge(100.0, 3.0, 0.5), "10", id="load"),
    # what one core of two carries, twice
    pytest.param(
        limited(**{"max calls": 1000}),
        Surge(500.0, 20.0, 1.0),
        "10",
        id="load, long",
        marks=pytest.mark.siege,
    ),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("changes", "surge", "retry_after"), CASES)
def test_too_much_is_refused_and_harms_nobody(own, changes, surge, retry_after):
    daemon = own(**changes)
    there, surged, refused, again_s, again = asyncio.run(surging(daemon, surge))
    print(f"in progress: {there}\nsurge of {surge.rate:g}/s: {surged}, {len(refused)} refused")
    print(f"{len(surged.failures) - len(refused)} taken in vain")
    print(f"all taken again after {again_s:.1f} s: {again}")
    assert there.n_good == there.n, there.failures
    assert there.n_lost <= LOST * sum(one["n_received"] for one in there.streams)
    assert len(refused) > surge.n // 10, "there was room for all"
    assert set(refused) == {retry_after}
    in_vain = [why for why in surged.failures if not why.startswith("503 ")]
    assert set(in_vain) <= {"heard no agent"} and len(in_vain) <= surge.rate * NOTICED_S, "taken, and then too late"
    assert again_s < AGAIN_WITHIN_S and again.n_good == again.n, again.failures
    daemon.until_clean()
    one_cdr_each(daemon)


async def surging(daemon: Daemon, surge: Surge) -> tuple[Fared, Fared, list[str], float, Fared]:
    """Calls in progress, those of the surge, what refused ones were told, how long none was taken after it, and how
    calls fared then."""
    async with Crowd(daemon.port) as crowd:
        there = [crowd.dial(600.0) for _ in range(ASIDE)]
        await asyncio.sleep(1.0)
        surged = await crowd.call(surge.n, surge.rate, surge.talk_s)
        ended = time.monotonic()
        while (await crowd.call(1, 1.0, TALK_S)).failures and time.monotonic() < ended + AGAIN_WITHIN_S:
            await asyncio.sleep(0.1)
        again_s = time.monotonic() - ended - TALK_S
        again = await crowd.call(N_AGAIN, AGAIN_PER_S, TALK_S)
        for leg in there:
            leg.hang_up()
        refused = [one.retry_after for one in surged.records if one.failure.startswith("503 ")]
        return await crowd.ended(there), surged, refused, again_s, again
