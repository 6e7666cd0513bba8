"""A thousand TCP connections that bring a byte now and then (security.md S8): calls over UDP do not notice, and all is
closed again."""

import asyncio
import contextlib
import socket
from collections import deque

import pytest

from tests.live.floor import HOST, until
from tests.siege.crowd import Crowd, Fared
from tests.siege.ground import n_descriptors, pid_of

N = 1_000
FEW, EVERY_S = 20, 0.01  # each of the thousand twice a second
RATE, TALK_S = 20.0, 0.6
LONG_S = 60.0  # from here on times are judged too
FRAME_MS = 20.0
BYTES = b"REGISTER sip:127.0.0.1 SIP/2.0\r\nSubject: slowly, slowly"


class Loris:
    """So many connections from one stranger; those that are closed are made anew."""

    def __init__(self, port: int) -> None:
        self._to, self._at, self.n_made = (HOST, port), 0, 0
        self.lines: deque[socket.socket] = deque()

    def drip(self) -> None:
        """A byte over the next few, in turn."""
        self._at += 1
        for _ in range(FEW):
            line = self.lines.popleft() if len(self.lines) == N else self._connect()
            try:
                with contextlib.suppress(BlockingIOError):
                    line.send(BYTES[self._at % len(BYTES) :][:1])
            except OSError:
                line.close()
                line = self._connect()
            self.lines.append(line)

    def _connect(self) -> socket.socket:
        line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        line.bind(("127.0.0.66", 0))
        line.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            line.connect(self._to)
        self.n_made += 1
        return line

    def close(self) -> None:
        for line in self.lines:
            line.close()


async def twice(port: int, loris: Loris, seconds: float) -> tuple[Fared, Fared]:
    """Quiet, and among the thousand."""
    async with Crowd(port) as crowd:
        await crowd.call(20, RATE, TALK_S)  # warm
        quiet = await crowd.call(100, RATE, TALK_S)

        async def drip() -> None:
            while True:
                loris.drip()
                await asyncio.sleep(EVERY_S)

        dripping = asyncio.ensure_future(drip())
        await asyncio.sleep(1.0)
        try:
            return quiet, await crowd.call(round(seconds * RATE), RATE, TALK_S)
        finally:
            dripping.cancel()


@pytest.mark.timeout(200)
@pytest.mark.parametrize("seconds", [5.0, pytest.param(LONG_S, marks=pytest.mark.siege)])
def test_calls_among_a_thousand_slow_connections(ground, seconds):
    daemon = ground.daemon
    pid, loris = pid_of(daemon), Loris(daemon.port)
    before = n_descriptors(pid)
    try:
        quiet, among = asyncio.run(twice(daemon.port, loris, seconds))
        held = n_descriptors(pid) - before
    finally:
        loris.close()
    print(f"quiet {quiet}; among {held} connections {among}; {loris.n_made} made")
    assert held > 0.9 * N
    assert among.n_good == among.n, among.failures
    if seconds >= LONG_S:
        assert loris.n_made > 4 * N, "closed after 10 s each"
        assert among.set_up_ms() <= max(2 * quiet.set_up_ms(), FRAME_MS)
    until("they are closed", lambda: n_descriptors(pid) <= before + 2, within_s=5)
