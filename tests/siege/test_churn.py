"""Calls of every kind at a hundred a second: callers who talk, give up, cancel or dial wrongly, phones that answer,
reject or only ring. At the end all is accounted for and nothing is left.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
import yaml

from benchmarks.generator.phones import Agents, Leg
from tests.live.floor import Daemon, until
from tests.siege.conftest import one_cdr_each
from tests.siege.crowd import Crowd
from tests.siege.ground import AGENTS, besiege, n_descriptors, pid_of

RATE = 100.0
TALK_S, SHORT_S = 1.0, 0.03
NOWHERE = "999"
KINDS = ("talks",) * 11 + ("leaves",) * 4 + ("cancels",) * 2 + ("wrong",) * 2 + ("waits",)
LAST_S = 15.0  # no caller is in it for longer


class Moody(Agents):
    """Of ten phones one rejects and one only rings; the others answer, and hang up if the caller does not."""

    def _pick_up(self, leg: Leg, tag: str, source: tuple[str, int]) -> None:
        match int(leg.record.user) % 10:
            case 0:
                self._refuse(leg, 603, "Decline", "", source)
            case 1:
                pass  # until it is cancelled
            case _:
                super()._pick_up(leg, tag, source)


@pytest.fixture
def daemon(tmp_path) -> Iterator[Daemon]:
    """Its crowd rings for a second, and nobody is punished for not answering. Load is not judged: it would turn calls
    away where this machine is slow."""
    limits, sip = {"max calls": 400, "max load": "100%"}, {"rtp ports": "34000-35999"}
    daemon = besiege(tmp_path / "daemon", limits=limits, sip=sip)
    path = tmp_path / "daemon/config/staff.yaml"
    staff = yaml.safe_load(path.read_text())
    staff["queues"]["crowd"] |= {"ring for": "1s", **dict.fromkeys(("on rejected", "on no answer", "on busy"), "ready")}
    path.write_text(yaml.safe_dump(staff))
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.close()


@pytest.mark.timeout(200)
@pytest.mark.parametrize("n", [400, *(pytest.param(n, marks=pytest.mark.siege) for n in (2_000, 20_000))])
def test_nothing_is_lost_and_nothing_left(daemon, n):
    asyncio.run(churn(daemon, 100))  # warm
    daemon.until_clean()
    before, offered = n_descriptors(pid_of(daemon)), daemon.queue("crowd")["offered"]
    legs, n_rejected = asyncio.run(churn(daemon, n))
    daemon.until_clean()
    failures = Counter((kind, leg.record.failure) for kind, leg in legs if leg.record.failure)
    print(failures, "rejected by phones:", n_rejected)
    assert set(failures) <= {("wrong", "404 Not Found")}
    assert failures[("wrong", "404 Not Found")] == sum(kind == "wrong" for kind, _ in legs)
    assert n_rejected > 10
    queue = daemon.queue("crowd")
    assert queue["offered"] == queue["answered"] + queue["abandoned"]
    n_in = sum(kind in ("talks", "leaves", "waits") for kind, _ in legs)
    assert n_in <= queue["offered"] - offered <= n_in + sum(kind == "cancels" for kind, _ in legs)
    assert queue["abandoned"] > 10 and queue["waiting"] == 0
    one_cdr_each(daemon)
    assert all(row["state"] == "READY" for row in daemon.ask("agents") if row["agent"].startswith("4"))
    until("descriptors as before", lambda: n_descriptors(pid_of(daemon)) <= before, within_s=5)


async def churn(daemon: Daemon, n: int) -> tuple[list[tuple[str, Leg]], int]:
    async with Crowd(daemon.port) as crowd:
        crowd.agents.transport.close()
        crowd.agents = Moody(AGENTS, crowd.agents.voice, crowd.agents.law)
        crowd.agents.talk_s = lambda user: 2 * TALK_S
        legs, loop = [], asyncio.get_running_loop()
        began = loop.time()
        for number in range(n):
            await asyncio.sleep(began + number / RATE - loop.time())
            kind = KINDS[number * 7 % len(KINDS)]
            legs.append((kind, dial(crowd, kind)))
        end = loop.time() + LAST_S
        while not all(leg.ended for _, leg in legs):
            assert loop.time() < end, Counter(kind for kind, leg in legs if not leg.ended)
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)  # BYEs are answered
        return legs, sum(one.user.endswith("0") for one in crowd.agents.records)


def dial(crowd: Crowd, kind: str) -> Leg:
    match kind:
        case "talks":
            return crowd.dial(TALK_S)
        case "leaves":
            return crowd.dial(SHORT_S)
        case "wrong":
            return crowd.dial(TALK_S, NOWHERE)
        case "waits":
            return crowd.dial(None)
    leg = crowd.dial(TALK_S)
    crowd.callers.cancel(leg)
    return leg
