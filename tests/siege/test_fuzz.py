"""Mutated messages to the real daemon, over UDP and TCP, from a known trunk, so that they pass the gate (S7).

Throughout: the process lives, OPTIONS is answered within a second, memory and descriptors stay, and a recorded call
loses nothing. Seeds count from FIRST; `make fuzz SEEDS=17` or `SEEDS=17-40` sends those alone.
"""

import contextlib
import os
import re
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field

import pytest

from engine.control import ControlError
from tests.live.ear import AGENT, CALLER
from tests.live.floor import HOST, Daemon
from tests.live.phones import Floor
from tests.siege.conftest import one_cdr_each
from tests.siege.ground import Costs, slices
from tests.siege.mutants import mutant

FIRST = 1
ANSWERED_WITHIN_S = 1.0
BATCH = 25  # messages between two OPTIONS: so exactly is it known who did harm
A_CALL = 8_000  # messages beside one call; baresip falls silent after two minutes
TCP_EVERY, N_STREAMS = 4, 8
LEAK_B, LEAK_DESCRIPTORS = 200.0, 0.002  # a message, in the second half of a long run
HOLE_S = 0.1  # of a talk's audio
FORGOTTEN_S = 34.0  # after 32 s no transaction is left (RFC 3261, timers B, F, H and J)


def seeds_to_send(n: int) -> range:
    wanted = os.environ.get("SEEDS", "")
    first, _, last = wanted.partition("-")
    return range(int(first), int(last or first) + 1) if wanted else range(FIRST, FIRST + n)


@dataclass
class Fuzzer:
    """Sends mutants, and behaves well otherwise: refusals and answers of INVITEs are acknowledged, calls hung up."""

    port: int
    finals: int = 0
    longest_s: float = 0.0
    streams: deque[socket.socket] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.line.bind((HOST, 0))
        self.line.setblocking(False)
        self.here = f"{HOST}:{self.line.getsockname()[1]}"

    def send(self, seed: int) -> None:
        if seed % TCP_EVERY:
            self.line.sendto(mutant(seed, self.here, "UDP"), (HOST, self.port))
            return
        if len(self.streams) == N_STREAMS:
            self.streams.popleft().close()
        stream = socket.create_connection((HOST, self.port), timeout=2)
        stream.sendall(mutant(seed, ":".join(map(str, stream.getsockname())), "TCP"))
        stream.setblocking(False)
        self.streams.append(stream)

    def hear(self, within_s: float = 0.0) -> list[bytes]:
        """What came; INVITEs are followed up."""
        came: list[bytes] = []
        for line in select.select([self.line, *self.streams], [], [], within_s)[0]:
            try:
                while data := line.recv(65535):
                    came.append(data)
                    self._follow_up(line, data.decode(errors="replace"))
                    if line is not self.line:
                        break
            except OSError:
                continue
        return came

    def _follow_up(self, line: socket.socket, text: str) -> None:
        first, _, rest = text.partition("\r\n")
        cseq = re.search(r"^CSeq:\s*(\d+)\s+(\w+)", rest, re.M | re.I)
        if not cseq:
            return
        kept = "".join(re.findall(r"^(?:Via|From|To|Call-ID):[^\n]*\n", rest, re.M | re.I))
        if first.startswith("SIP/2.0 ") and cseq[2] == "INVITE" and (status := int(first[8:11])) >= 200:
            self.finals += 1
            self._reply(line, f"ACK sip:x@{HOST} SIP/2.0\r\n{kept}CSeq: {cseq[1]} ACK\r\nMax-Forwards: 70\r\n")
            if status < 300:
                later = kept.replace("z9hG4bK", "z9hG4bKbye", 1)
                bye = f"BYE sip:x@{HOST} SIP/2.0\r\n{later}CSeq: {int(cseq[1]) + 1} BYE\r\nMax-Forwards: 70\r\n"
                self._reply(line, bye)
        elif not first.startswith("SIP/2.0 "):
            self._reply(line, f"SIP/2.0 200 OK\r\n{kept}CSeq: {cseq[1]} {cseq[2]}\r\n")

    def _reply(self, line: socket.socket, head: str) -> None:
        data = f"{head}Content-Length: 0\r\n\r\n".encode(errors="replace")
        with contextlib.suppress(OSError):  # it closed the connection on us
            line.sendto(data, (HOST, self.port)) if line is self.line else line.send(data)

    def is_answered(self) -> bool:
        """An OPTIONS is, in time; also by TCP, whatever its other connections brought."""
        mark, began = f"alive-{time.monotonic_ns()}", time.monotonic()
        self.line.sendto(
            (
                f"OPTIONS sip:{HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {self.here};branch=z9hG4bK{mark}\r\n"
                f"From: <sip:a@{self.here}>;tag=1\r\nTo: <sip:{HOST}>\r\nCall-ID: {mark}\r\nCSeq: 1 OPTIONS\r\n"
                "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            ).encode(),
            (HOST, self.port),
        )
        while (took := time.monotonic() - began) < ANSWERED_WITHIN_S:
            if any(data.startswith(b"SIP/2.0 200") and mark.encode() in data for data in self.hear(0.05)):
                self.longest_s = max(self.longest_s, took)
                return True
        return False

    def close(self) -> None:
        for one in (self.line, *self.streams):
            one.close()


def send_all(daemon: Daemon, seeds: range) -> None:
    fuzzer = Fuzzer(daemon.port)
    try:
        for batch in slices(len(seeds), BATCH):
            sent = seeds[batch.start : batch.stop]
            for seed in sent:
                fuzzer.send(seed)
                fuzzer.hear()
            again = f"seeds {sent[0]} to {sent[-1]}: make fuzz SEEDS={sent[0]}-{sent[-1]}\n"
            assert daemon.is_alive(), again + daemon.log()[-2000:]
            assert fuzzer.is_answered(), again + daemon.log()[-2000:]
        print(
            f"seeds {seeds[0]} to {seeds[-1]}: {len(seeds)} messages, {fuzzer.finals} final answers to INVITEs;"
            f" OPTIONS answered within {1000 * fuzzer.longest_s:.0f} ms"
        )
    finally:
        fuzzer.close()


def beside_a_call(floor: Floor, ani: str, seeds: range) -> None:
    """It is recorded, and nothing of it may be missing."""
    agent = floor.agent("1001")
    calling = floor.call(ani, "100")
    agent.wait_for("CALL_ESTABLISHED")
    floor.talk_for(0.5)
    began = time.monotonic()
    send_all(floor.daemon, seeds)
    took_s = time.monotonic() - began
    calling.hang_up()
    agent.wait_for("CALL_CLOSED")
    cdr = floor.daemon.cdr(ani)
    assert cdr["disposition"] == "answered"
    for sound, tone in zip(floor.daemon.recording(cdr), (CALLER, AGENT), strict=True):
        begin_s, end_s = sound.span(tone)
        hole_s = (~sound.between(begin_s, end_s).has(tone)).sum() * 0.010
        print(f"{tone} Hz for {end_s - begin_s:.2f} s, {hole_s:.2f} s of holes")
        assert end_s - begin_s > took_s and hole_s <= HOLE_S


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("n", [2_000, pytest.param(100_000, marks=pytest.mark.fuzz)])
def test_mutants_harm_nobody(own, make_floor, n):
    daemon, seeds = own(), seeds_to_send(n)
    costs = Costs(daemon)
    costs.note(0)
    for part in slices(len(seeds), A_CALL):
        floor = make_floor(daemon)
        beside_a_call(floor, f"63{part.start:06d}", seeds[part.start : part.stop])
        floor.close()
        daemon.ask("agent_logout", id="1001")
        for row in daemon.ask("calls"):  # a mutant that waits would have the agent before the next part's caller
            with contextlib.suppress(ControlError):
                daemon.ask("hangup", id=row["call"])
        if n > A_CALL:
            time.sleep(FORGOTTEN_S)
        costs.note(part.stop)
    daemon.until_clean(within_s=75)
    one_cdr_each(daemon)
    if n > A_CALL and len(seeds) == n:
        print(costs)
        kb, descriptors, _ = costs.slopes()
        assert kb * 1024 < LEAK_B and descriptors < LEAK_DESCRIPTORS
