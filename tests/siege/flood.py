"""A flood as a process of its own: `python -m tests.siege.flood KIND IP:PORT RATE SOURCE [N_SOURCES]`.

Sends RATE datagrams a second until its input closes, from SOURCE or in turn from N_SOURCES addresses of 127.0.0.0/8
behind it (one socket; IP_PKTINFO names the source of each). Prints how many it sent. It hears nobody.
"""

import ipaddress
import itertools
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Self

IP_PKTINFO = 8  # Linux; the socket module does not name it before 3.13
TICK_S = 0.002
SDP = "v=0\r\no=- 1 1 IN IP4 {at}\r\ns=-\r\nc=IN IP4 {at}\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\n"

NOISE = bytes((i * i * 31 + i * 7) & 0xFF for i in range(320))


def request(method: str, at: str, n: int, number: str = "100", body: str = "") -> bytes:
    """A request as anybody sends it; each n is a request of its own."""
    content = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"{method} sip:{number}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {at}:5060;branch=z9hG4bKf{n};rport\r\n"
        f"From: <sip:{n}@{at}>;tag={n}\r\nTo: <sip:{number}@127.0.0.1>\r\nCall-ID: flood-{n}@{at}\r\n"
        f"CSeq: 1 {method}\r\n"
        f"Contact: <sip:{n}@{at}:5060>\r\nMax-Forwards: 70\r\n{content}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def rtp(at: str, n: int) -> bytes:
    """20 ms of noise in A-law."""
    return struct.pack("!BBHII", 0x80, 8, n & 0xFFFF, n * 160 & 0xFFFFFFFF, 0x5111) + NOISE[n % 160 :][:160]


KINDS: dict[str, Callable[[str, int], bytes]] = {
    "invite": lambda at, n: request("INVITE", at, n, body=SDP.format(at=at)),
    "half-open": lambda at, n: request("INVITE", at, n, "200", SDP.format(at=at)),  # for an agent
    "options": lambda at, n: request("OPTIONS", at, n),
    "register": lambda at, n: request("REGISTER", at, n, "1001"),
    "garbage": lambda at, n: b"\x00\xffnot SIP %d" % n + b"A" * (n % 900),
    "rtp": rtp,
}


class Flood:
    """`with Flood(...) as flood:` it flows inside; flood.n_sent is known afterwards."""

    def __init__(self, kind: str, to: tuple[str, int], rate: int, source: str, n_sources: int = 1) -> None:
        here = [sys.executable, "-m", "tests.siege.flood", kind, f"{to[0]}:{to[1]}", str(rate), source, str(n_sources)]
        self._command, self.n_sent = here, 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout and self._process.stdout.readline() == "flowing\n"
        return self

    def __exit__(self, *exception: object) -> None:
        told, _ = self._process.communicate(timeout=10)
        self.n_sent = int(told)


def main(kind: str, to: str, rate: str, source: str, n_sources: str) -> None:
    ip, port = to.split(":")
    first = int(ipaddress.IPv4Address(source))
    places = [ipaddress.IPv4Address(first + n) for n in range(int(n_sources))]
    sources = itertools.cycle(
        (str(place), [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, place.packed, b""))]) for place in places
    )
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    make, sent, began = KINDS[kind], 0, time.monotonic()
    print("flowing", flush=True)
    while not select.select([sys.stdin], [], [], TICK_S)[0]:
        due = int((time.monotonic() - began) * int(rate))
        for n in range(sent, due):
            at, from_there = next(sources)
            line.sendmsg([make(at, n)], from_there, 0, (ip, int(port)))
        sent = due
    print(sent)


if __name__ == "__main__":
    main(*sys.argv[1:])
