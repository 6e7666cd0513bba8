"""The generator's SIP: against itself over a network that loses every message once, and with SIPp as the judge."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from benchmarks.generator.phones import Agents, Callers, Phone, Voice
from benchmarks.generator.source import RtpSource

HERE = Path(__file__).parent
CALLERS, AGENTS, PEER = ("127.0.0.31", 19500), ("127.0.0.32", 19501), ("127.0.0.33", 19502)
PCMA = 8


@asynccontextmanager
async def phones(ring_s: float = 0.0) -> AsyncIterator[tuple[Callers, Agents, RtpSource]]:
    source = RtpSource(max_streams=256)
    callers = Callers(CALLERS, Voice.on(source, CALLERS[0], 40800, 2, 0), PCMA)
    agents = Agents(AGENTS, Voice.on(source, AGENTS[0], 50800, 2, 1), PCMA, ring_s)
    source.start()
    try:
        yield callers, agents, source
    finally:
        callers.transport.close()
        agents.transport.close()
        source.stop()


async def until_ended(*sides: Phone, within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while any(not leg.ended for side in sides for leg in side.legs.values()):
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)


class LossyProxy(asyncio.DatagramProtocol):
    """Stands between callers and agents; of every message it loses the first copy."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.n_lost = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        if data not in self.seen:
            self.seen.add(data)
            self.n_lost += 1
            return
        self.transport.sendto(data, AGENTS if addr == CALLERS else CALLERS)


def test_a_call_has_audio_both_ways_and_ends_on_both_sides() -> None:
    async def run() -> None:
        async with phones() as (callers, agents, source):
            for n in range(10):
                callers.dial(str(2000 + n), AGENTS, f"49{n}", talk_s=0.5)
            await until_ended(callers, agents)
            results = {result["id"]: result for result in source.collect()}
            assert [r.failure for r in callers.records + agents.records] == [""] * 20
            assert {r.ended_by for r in callers.records} == {"us"}
            assert {r.ended_by for r in agents.records} == {"far end"}
            for record in callers.records + agents.records:
                heard = results[record.id]
                assert heard["n_stamped"] >= 20
                assert results[heard["heard"]]["heard"] == record.id
            assert not agents.busy

    asyncio.run(run())


def test_every_message_lost_once_still_makes_whole_calls() -> None:
    async def run() -> None:
        async with phones() as (callers, agents, _):
            proxy = LossyProxy()
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: proxy, local_addr=PEER)
            # In-dialog requests follow the Contact; the proxy must see them, too.
            contact = f"sip:anybody@{PEER[0]}:{PEER[1]}"
            callers.contact = agents.contact = lambda user: contact  # type: ignore[method-assign]
            for n in range(5):
                callers.dial(str(2000 + n), PEER, f"49{n}", talk_s=2.5)
            await until_ended(callers, agents)
            transport.close()
            assert proxy.n_lost >= 5 * 6
            assert callers.transport.n_retransmitted and agents.transport.n_retransmitted
            assert [r.failure for r in callers.records + agents.records] == [""] * 10
            assert len(agents.records) == 5

    asyncio.run(run())


def test_a_busy_phone_is_busy_and_the_caller_knows() -> None:
    async def run() -> None:
        async with phones() as (callers, agents, _):
            callers.dial("2000", AGENTS, "491", talk_s=0.5)
            await asyncio.sleep(0.1)
            callers.dial("2000", AGENTS, "492", talk_s=0.5)
            await until_ended(callers, agents)
            assert [r.failure for r in callers.records] == ["", "486 Busy Here"]
            assert agents.n_rejected == 1

    asyncio.run(run())


def test_a_cancelled_call_leaves_nothing() -> None:
    async def run() -> None:
        async with phones(ring_s=5.0) as (callers, agents, _):
            leg = callers.dial("2000", AGENTS, "491", talk_s=None)
            await asyncio.sleep(0.2)
            callers.give_up(leg)
            await until_ended(callers, agents)
            assert agents.records[0].failure == "cancelled" and not agents.busy
            await asyncio.sleep(0.1)
            assert callers.transport.n_retransmitted == agents.transport.n_retransmitted == 0

    asyncio.run(run())


def test_a_phone_declines_rings_on_or_is_silent_as_it_is_told() -> None:
    async def run() -> None:
        async with phones() as (callers, agents, _):
            agents.declines = lambda user: user == "2001"
            agents.rings_s = lambda user: None
            callers.dial("2001", AGENTS, "491", talk_s=0.5)
            callers.dial("2002", AGENTS, "492", talk_s=0.5, patience_s=1.0)
            await until_ended(callers, agents)
            agents.silent = True
            callers.dial("2003", AGENTS, "493", talk_s=0.5, patience_s=1.0)
            await until_ended(callers)
            assert [r.failure for r in callers.records] == ["486 Busy Here", "out of patience", "out of patience"]
            assert [r.failure for r in agents.records] == ["declined", "cancelled"]

    asyncio.run(run())


def test_a_carrier_takes_calls_to_one_number_at_once() -> None:
    async def run() -> None:
        async with phones() as (callers, agents, _):
            agents.has_lines = True
            for n in range(3):
                callers.dial("2000", AGENTS, f"49{n}", talk_s=0.5)
            await until_ended(callers, agents)
            assert [r.failure for r in callers.records + agents.records] == [""] * 6
            assert not agents.busy

    asyncio.run(run())


def test_nobody_there_is_no_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.generator.sip.TIMEOUT_S", 1.2)

    async def run() -> None:
        async with phones() as (callers, agents, _):
            callers.dial("2000", PEER, "491", talk_s=0.5)
            await until_ended(callers, agents)
            assert [r.failure for r in callers.records] == ["no response to INVITE"]

    asyncio.run(run())


# ---- SIPp judges


async def sipp(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("sipp")
    assert program, "SIPp is needed (Debian package sip-tester)"
    command = [
        program,
        *arguments,
        "-nostdin",
        "-timeout",
        "15s",
        "-timeout_error",
        "-trace_err",
        "-error_file",
        "/dev/stderr",
    ]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)


def test_sipp_as_a_phone_takes_our_callers() -> None:
    async def run() -> None:
        async with phones() as (callers, agents, _):
            server = asyncio.create_task(
                sipp("-sn", "uas", "-i", PEER[0], "-p", str(PEER[1]), "-mp", "41900", "-m", "20")
            )
            await asyncio.sleep(0.5)
            for n in range(20):
                callers.dial("service", PEER, f"49{n}", talk_s=0.3)
                await asyncio.sleep(0.01)
            await until_ended(callers)
            done = await server
            assert done.returncode == 0, done.stderr[-2000:]
            assert [r.failure for r in callers.records] == [""] * 20
            assert callers.transport.n_malformed == 0

    asyncio.run(run())


@pytest.mark.parametrize("scenario", ["uac", "cancel.xml"])
def test_sipp_as_a_switch_rings_our_phones(scenario: str) -> None:
    async def run() -> None:
        async with phones(ring_s=2.0 if scenario == "cancel.xml" else 0.0) as (callers, agents, _):
            which = ("-sf", str(HERE / scenario)) if scenario.endswith(".xml") else ("-sn", scenario)
            # One phone is one user: calls one after the other, as a queue would offer them.
            done = await sipp(
                *which, f"{AGENTS[0]}:{AGENTS[1]}", "-s", "2001", "-i", PEER[0], "-p", str(PEER[1]),
                "-mp", "41900", "-l", "1", "-m", "5", "-r", "5", "-d", "100",
            )  # fmt: skip
            await until_ended(agents)
            assert done.returncode == 0, done.stderr[-2000:]
            expected = "cancelled" if scenario == "cancel.xml" else ""
            assert [r.failure for r in agents.records] == [expected] * 5
            assert agents.n_rejected == agents.transport.n_malformed == 0

    asyncio.run(run())
