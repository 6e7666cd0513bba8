"""Floods: calls from the trunk get through as if there were none (security.md S1, S2; OWASP ASVS 17.3.1).

Quiet, then the same crowd under the flood, then at once after it. Set-up may take twice as long as in quiet, or 20 ms,
which is one frame of audio, where that is longer: on this loopback the quiet figure is a few milliseconds, and the
flood's own process needs the same CPUs.
"""

import asyncio

import pytest

from tests.live.floor import HOST, Daemon
from tests.siege.crowd import Crowd, Fared
from tests.siege.flood import Flood
from tests.siege.ground import LOUD, pid_of, rss_kb

FRAME_MS = 20.0
GOOD = 0.999
STALL_MS = 50.0  # what a flood may add to the longest round
GREW_KB = 32 << 10  # 65,536 strangers remembered are 4 MB; bounded is what matters
ADMITTED_KB = 64 << 10  # more where the trunk's own calls are let in, 5 a second: nobody acknowledges them for 32 s
RATE, TALK_S = 20.0, 0.6
SETTLED_S = 35.0  # a call's transactions are remembered for 32 s (RFC 3261, timers H and J), and weigh

# what, a second, from, how many addresses, seconds
SHORT = [
    pytest.param("invite", 1000, "127.0.0.66", 1, 3, id="INVITE from a stranger"),
    pytest.param("register", 10_000, "127.1.0.0", 10_000, 3, id="REGISTER from 10,000 sources"),
]
LONG_S = 60  # from here on times are judged too
LONG = [
    pytest.param(kind, rate, source, n, LONG_S, id=f"{kind} {rate} from {n}, long", marks=pytest.mark.siege)
    for kind, rate, source, n in (
        ("invite", 1000, "127.0.0.66", 1),
        ("invite", 1000, LOUD, 1),
        ("options", 10_000, "127.0.0.66", 1),
        ("register", 10_000, "127.0.0.66", 1),
        ("garbage", 10_000, "127.0.0.66", 1),
        ("garbage", 10_000, "127.0.0.1", 1),
        ("options", 10_000, "127.1.0.0", 10_000),
        ("invite", 10_000, "127.1.0.0", 10_000),
    )
]


async def three_times(daemon: Daemon, flood: Flood, seconds: float) -> tuple[list[Fared], list[float], int]:
    """Quiet, under the flood, after it; the longest round (ms) in each; by how many kB the daemon grew."""
    n, fared, delays = round(seconds * RATE), [], []
    pid = pid_of(daemon)
    async with Crowd(daemon.port) as crowd:

        async def watched(n: int) -> Fared:
            """The daemon keeps the longest round of 5 s."""
            longest = 0.0
            calling = asyncio.ensure_future(crowd.call(n, RATE, TALK_S))
            while not (await asyncio.wait([calling], timeout=1.0))[0]:
                longest = max(longest, daemon.ask("status")["engine_delay_ms"])
            delays.append(longest)
            return calling.result()

        await crowd.call(round(RATE * (SETTLED_S if seconds >= LONG_S else 1)), RATE, TALK_S)  # warm
        before = rss_kb(pid)
        fared.append(await watched(min(n, 200)))
        with flood:
            fared.append(await watched(n))
        fared.append(await watched(min(n, 100)))
        return fared, delays, rss_kb(pid) - before


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "rate", "source", "n_sources", "seconds"), [*SHORT, *LONG])
def test_calls_get_through(ground, kind, rate, source, n_sources, seconds):
    daemon, flood = ground.daemon, Flood(kind, (HOST, ground.daemon.port), rate, source, n_sources)
    (quiet, flooded, after), delays, grown = asyncio.run(three_times(daemon, flood, seconds))
    for name, fared, delay in zip(("quiet", "flooded", "after"), (quiet, flooded, after), delays, strict=True):
        print(f"{name:8} {fared}; longest round {delay:.1f} ms")
    print(f"{flood.n_sent} datagrams; RSS {grown:+d} kB")
    assert flood.n_sent > 0.9 * rate * seconds, "that was no flood"
    limit_ms = max(2 * quiet.set_up_ms(), FRAME_MS)
    for fared in (flooded, after):
        assert fared.n_good >= GOOD * fared.n, fared.failures
    assert grown < GREW_KB + (ADMITTED_KB if source == LOUD else 0)
    if seconds >= LONG_S:
        for fared in (flooded, after):
            assert fared.set_up_ms() <= limit_ms, f"set-up p95 {fared.set_up_ms():.1f} ms, limit {limit_ms:.1f}"
        assert delays[1] <= delays[0] + STALL_MS
