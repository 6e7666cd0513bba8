"""RTP from third addresses neither enters a call nor takes its audio away, and a flood of it harms no other call
(security.md S9; OWASP ASVS 17.2.5, 17.2.7). The calls are baresip's, with a tone each; the stranger says another one.
"""

import asyncio
import contextlib
import socket
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from tests.live.ear import AGENT, CALLER, CALLER_2, LEVEL
from tests.live.floor import HOST, Daemon
from tests.live.phones import heard
from tests.live.voice import a_law
from tests.siege.crowd import LATEST_S, Crowd
from tests.siege.flood import Flood
from tests.siege.ground import pid_of

STRANGER = "127.0.0.66"
HOLE_S = 0.1
LOST = 0.001  # of the packets of a call beside the flood
FRAME, RATE = 160, 8000


def rtp_ports(daemon: Daemon) -> list[int]:
    """Those that its calls have now: even ones of its range."""
    folder = Path(f"/proc/{pid_of(daemon)}")
    mine = set()
    for link in (folder / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            mine.add(link.readlink().name.removeprefix("socket:[").rstrip("]"))
    rows = [line.split() for line in (folder / "net/udp").read_text().splitlines()[1:]]
    ports = [int(row[1].split(":")[1], 16) for row in rows if row[9] in mine]
    return [port for port in ports if 34_000 <= port < 36_000 and port % 2 == 0]


class Stranger:
    """Says CALLER_2 to every port there is, as a stream of its own."""

    def __init__(self, ports: list[int]) -> None:
        self._line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._line.bind((STRANGER, 0))
        self._line.setblocking(False)
        self._ports, self._n = ports, 0

    def say(self, n: int, per_s: float | None = None) -> None:
        """n packets to each port, at once or at a rate."""
        began = time.monotonic()
        for packet in range(n):
            if per_s and (wait := began + packet / per_s - time.monotonic()) > 0:
                time.sleep(wait)
            at = np.arange(self._n * FRAME, (self._n + 1) * FRAME) / RATE
            head = struct.pack("!BBHII", 0x80, 8, self._n & 0xFFFF, self._n * FRAME, 0x5111)
            for port in self._ports:
                self._line.sendto(head + a_law(3 * LEVEL * np.sin(2 * np.pi * CALLER_2 * at)), (HOST, port))
            self._n += 1

    def n_heard(self) -> int:
        n = 0
        while True:
            try:
                self._line.recv(2000)
            except BlockingIOError:
                return n
            n += 1


# how many packets in a burst, a second, how many bursts
S9A = (12, None, 6)
S9B = (1000, 1000.0, 2)


@pytest.mark.parametrize(("ani", "n", "per_s", "times"), [("6401", *S9A), ("6402", *S9B)], ids=["burst", "continuous"])
def test_a_third_address_neither_enters_nor_takes_away(ground, ani, n, per_s, times):
    agent = ground.agent("1001")
    calling = ground.call(ani, "100")
    agent.wait_for("CALL_ESTABLISHED")
    ground.talk_for(0.5)
    ports = rtp_ports(ground.daemon)
    assert len(ports) == 2, "one a leg"
    stranger = Stranger(ports)
    for _ in range(times):
        stranger.say(n, per_s)
        time.sleep(0.1)
    n_taken = stranger.n_heard()
    calling.hang_up()
    agent.wait_for("CALL_CLOSED")
    calling.wait_for("CALL_CLOSED")
    left, right = ground.daemon.recording(ground.daemon.cdr(ani))
    assert n_taken == 0, "its audio went to the stranger"
    assert (left.tones(), right.tones()) == ({CALLER}, {AGENT})
    assert (heard(agent).tones(), heard(calling).tones()) == ({CALLER}, {AGENT})
    for sound, tone in ((left, CALLER), (right, AGENT)):
        hole_s = (~sound.between(*sound.span(tone)).has(tone)).sum() * 0.010
        print(f"{tone} Hz: {hole_s:.2f} s of holes in {sound.seconds:.2f} s")
        assert hole_s <= HOLE_S


async def beside(port: int, flood: Flood | None, seconds: float) -> tuple[int, int, float]:
    """Of ten calls: packets heard, packets lost, jitter."""
    async with Crowd(port) as crowd:
        legs = [crowd.dial(seconds) for _ in range(10)]
        await asyncio.sleep(0.5)
        if flood:
            with flood:
                fared = await crowd.ended(legs, seconds + LATEST_S)
        else:
            fared = await crowd.ended(legs, seconds + LATEST_S)
    assert fared.n_good == fared.n, fared.failures
    return sum(one["n_received"] for one in fared.streams), fared.n_lost, fared.jitter_ms


@pytest.mark.parametrize("seconds", [3.0, pytest.param(60.0, marks=pytest.mark.siege)])
@pytest.mark.timeout(200)
def test_a_flood_of_rtp_on_one_call_leaves_the_others_and_its_recording(ground, seconds):
    agent = ground.agent("1001")
    ani = f"641{seconds:.0f}"
    calling = ground.call(ani, "100")
    agent.wait_for("CALL_ESTABLISHED")
    ground.talk_for(0.5)
    quiet = asyncio.run(beside(ground.daemon.port, None, min(seconds, 5.0)))
    port = next(port for port in rtp_ports(ground.daemon))
    flood = Flood("rtp", (HOST, port), 10_000, STRANGER)
    flooded = asyncio.run(beside(ground.daemon.port, flood, seconds))
    calling.hang_up()
    agent.wait_for("CALL_CLOSED")
    print(f"{flood.n_sent} packets; (heard, lost, jitter p95 ms): quiet {quiet}, flooded {flooded}")
    assert flood.n_sent > 0.8 * 10_000 * (seconds - 0.5)
    assert flooded[1] <= LOST * flooded[0] and flooded[2] <= max(2 * quiet[2], 5.0)
    for sound, tone in zip(ground.daemon.recording(ground.daemon.cdr(ani)), (CALLER, AGENT), strict=True):
        begin_s, end_s = sound.span(tone)
        hole_s = (~sound.between(begin_s, end_s).has(tone)).sum() * 0.010
        print(f"{tone} Hz: {hole_s:.2f} s of holes in {end_s - begin_s:.2f} s")
        assert end_s - begin_s > seconds and sound.tones() == {tone} and hole_s <= HOLE_S
