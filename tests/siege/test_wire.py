"""Between two network namespaces: loss, jitter, reordering, and a partition of 40 s in a talk and in a queue.

Calls set up in spite of all, survive or end by the timers of RFC 3261, and nobody is left. As root; without it these
tests fail.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.floor import Daemon
from tests.siege.conftest import UNANSWERED_S, one_cdr_each
from tests.siege.crowd import Crowd
from tests.siege.ground import besiege
from tests.siege.wire import FAR_IP, NEAR_IP, Wire, inside

CALLERS, AGENTS = (FAR_IP, 16100), (FAR_IP, 16200)
WAITING = "100"  # a queue that nobody serves
PARTITION_S, SILENT_S = 40.0, 8.0
TALK_S = 15.0  # an agent's phone may need 4 s to be rung, and then another one is tried


pytestmark = pytest.mark.siege  # it needs root and /dev/net/tun


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


@pytest.fixture
def near(wire: Wire, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """The daemon on the near side of the wire; its trunk and its agents are on the far side. A parameter goes into
    `sip`."""
    sip = {"address": NEAR_IP, **getattr(request, "param", {})}
    changes = {"sip": sip, "trunks": {"carrier": {"from": [f"{FAR_IP}/32"]}}}
    daemon = besiege(tmp_path / "near", AGENTS, **changes)
    try:
        with inside(wire.near):
            daemon.start()
        yield daemon
        daemon.until_clean(within_s=UNANSWERED_S)
        one_cdr_each(daemon)
    finally:
        daemon.close()


def crowd_of(wire: Wire, daemon: Daemon) -> Crowd:
    with inside(wire.far):
        return Crowd(daemon.port, NEAR_IP, CALLERS, AGENTS)


def n_busy(daemon: Daemon) -> int:
    return sum(row["state"] in ("RESERVED", "TALKING") for row in daemon.ask("agents"))


@pytest.mark.parametrize(
    ("loss", "jitter_ms", "n", "within_ms"),
    [(0.05, 30.0, 20, 2500), (0.2, 80.0, 200, 8000)],
)
@pytest.mark.timeout(300)
def test_calls_over_a_bad_line(wire, near, loss, jitter_ms, n, within_ms):
    """Lost messages are sent again after 0.5, 1, 2 s (RFC 3261 section 17): all calls answer within a few of them."""

    async def calls():
        async with crowd_of(wire, near) as crowd:
            await crowd.call(1, 10, 0.2)
            wire.set(loss, jitter_ms)
            fared = await crowd.call(n, 5, TALK_S)
            wire.set()
            return fared

    fared = asyncio.run(calls())
    print(f"loss {loss:.0%}, jitter {jitter_ms:g} ms: {fared}; {fared.failures}")
    assert fared.n_good == n and fared.set_up_ms() < within_ms
    assert fared.n_lost > 0, "the wire lost nothing"


def test_a_partition_in_a_talk(wire, near):
    """Shorter than any timer: those who go on are heard again. Those who hung up meanwhile were heard by nobody; their
    agents are freed when the phone hangs up, or by what the switch has against silence."""

    async def talk() -> None:
        async with crowd_of(wire, near) as crowd:
            legs = [crowd.dial(PARTITION_S + 5) for _ in range(4)]
            gone = [crowd.dial(5.0) for _ in range(4)]
            await asyncio.sleep(2)
            assert n_busy(near) == 8
            wire.set(is_cut=True)
            await asyncio.sleep(PARTITION_S)
            wire.set()
            healed = time.monotonic()
            stayed = await crowd.ended(legs)
            lost = await crowd.ended(gone)
            print(f"stayed: {stayed}; {stayed.failures}; hung up meanwhile: {lost.failures}")
            assert stayed.n_good == 4, stayed.failures
            assert lost.failures == ["BYE not answered"] * 4
            print(f"agents busy after the partition: {n_busy(near)} at {time.monotonic() - healed:.0f} s")
            for leg in [leg for leg in crowd.agents.busy.values() if not leg.ended]:
                leg.hang_up()
            await asyncio.sleep(1)
            assert n_busy(near) == 0

    asyncio.run(talk())


@pytest.mark.parametrize("near", [{"rtp timeout": f"{SILENT_S:g}s"}], indirect=True)
def test_nobody_is_busy_for_longer_than_the_rtp_time_out(wire, near):
    """A partition that does not heal while it matters: talks end without a word from either side, agents are free."""

    async def talk() -> None:
        async with crowd_of(wire, near) as crowd:
            legs = [crowd.dial(PARTITION_S) for _ in range(4)]
            await asyncio.sleep(2)
            assert n_busy(near) == 4
            wire.set(is_cut=True)
            cut = time.monotonic()
            while n_busy(near) and time.monotonic() < cut + PARTITION_S:
                await asyncio.sleep(0.2)
            took_s = time.monotonic() - cut
            print(f"agents free {took_s:.1f} s after the cut")
            assert SILENT_S - 1 <= took_s <= SILENT_S + 3
            wire.set()
            await crowd.ended(legs)

    asyncio.run(talk())


def test_a_partition_in_a_queue(wire, near):
    """Those who wait on keep their place, also one whose INVITE was sent into the partition; agents rung meanwhile are
    let go at once, and no call is lost with them."""

    async def wait() -> None:
        async with crowd_of(wire, near) as crowd:
            waiting = [crowd.dial(PARTITION_S + 6, WAITING) for _ in range(4)]
            await asyncio.sleep(2)
            before = [(row["call"], row["position"]) for row in near.ask("calls")]
            assert len(before) == 4
            wire.set(is_cut=True)
            near.seat("1001", "1002")  # their phones are not there: each offer ends as unreachable
            busy = []
            late: list = []
            began = time.monotonic()
            while time.monotonic() < began + PARTITION_S:
                await asyncio.sleep(0.5)
                busy.append(n_busy(near))
                if not late and time.monotonic() > began + PARTITION_S - 8:
                    late.append(crowd.dial(3.0, WAITING))
            wire.set()
            print(f"busy agents in the partition: at most {max(busy)}, at its end {busy[-1]}")
            assert busy[-1] == 0
            assert [(row["call"], row["position"]) for row in near.ask("calls")][:4] == before
            fared = await crowd.ended([*waiting, *late])
            assert all(one.answered_ns and not one.failure for one in fared.records), fared.failures

    asyncio.run(wait())
