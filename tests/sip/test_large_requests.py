"""A request above 1,300 bytes goes by TCP to a trunk that takes it so, and by UDP where TCP is refused (RFC 3261
section 18.1.1)."""

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import pytest

from engine.callflow import events as e
from engine.callflow.plan import Caller
from engine.callflow.settings import ASSERTED, FROM, REMOTE_PARTY, Destination, Identity, Trunk
from tests.sip.peers import HOST, Ear

V6 = "::1"
LONG, SHORT = "Rosalind " * 60, "Rosalind"


@pytest.fixture(scope="module")
def running() -> Iterator[Ear]:
    ear = Ear()
    sources = (IPv4Network(f"{HOST}/32"), IPv6Network(f"{V6}/128"))
    ear.start(second_address=V6, trunks=(Trunk("carrier", sources, probing=None),))
    yield ear
    ear.endpoint.close()


class Server:
    """A carrier's, at one port of both transports, or of UDP alone."""

    def __init__(self, address: str, has_tcp: bool) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        self.udp.bind((address, 0))
        self.udp.setblocking(False)
        self.port: int = self.udp.getsockname()[1]
        self.tcp = socket.socket(family, socket.SOCK_STREAM)
        self.tcp.setblocking(False)
        if has_tcp:
            self.tcp.bind((address, self.port))
            self.tcp.listen()
        self._lines: list[socket.socket] = []

    def came_by(self) -> str:
        """The transport of the INVITE, as its Via says too; empty: it has not come yet. It is answered with 486."""
        with contextlib.suppress(BlockingIOError):
            data, source = self.udp.recvfrom(65535)
            self.udp.sendto(busy(data), source)
            return transport_of(data)
        with contextlib.suppress(OSError):
            self._lines.append(self.tcp.accept()[0])
            self._lines[-1].setblocking(False)
        for line in self._lines:
            with contextlib.suppress(BlockingIOError):
                data = line.recv(65535)
                line.sendall(busy(data))
                return transport_of(data)
        return ""

    def close(self) -> None:
        for line in (self.udp, self.tcp, *self._lines):
            line.close()


def transport_of(invite: bytes) -> str:
    (found,) = re.findall(rb"^Via: SIP/2.0/(\w+) ", invite, re.M)
    return str(found.decode().lower())


def busy(invite: bytes) -> bytes:
    kept = re.findall(rb"^((?:Via|From|To|Call-ID|CSeq): .*?)\r$", invite, re.M)
    lines = [b"SIP/2.0 486 Busy Here", *(line + b";tag=1" * line.startswith(b"To:") for line in kept)]
    return b"\r\n".join([*lines, b"Content-Length: 0", b"", b""])


@pytest.mark.parametrize(
    ("address", "name", "large", "has_tcp", "by"),
    [
        pytest.param(HOST, LONG, True, True, "tcp", id="large"),
        pytest.param(HOST, LONG, True, False, "udp", id="large, TCP is refused"),
        pytest.param(HOST, LONG, False, True, "udp", id="large, but nobody said that TCP works"),
        pytest.param(HOST, SHORT, True, True, "udp", id="small"),
        pytest.param(V6, LONG, True, True, "tcp", id="large, IPv6"),
        pytest.param(V6, LONG, True, False, "udp", id="large, IPv6, TCP is refused"),
    ],
)
def test_which_way_an_invite_goes(ear, address, name, large, has_tcp, by):
    server = Server(address, has_tcp)
    (ways,) = ear.endpoint.carriers.ways.values()
    told = Identity(caller_to=(FROM, ASSERTED, REMOTE_PARTY))
    trunk = replace(ways.trunk, destinations=(Destination(address, server.port),), large_by_tcp=large, identity=told)
    ear.endpoint.carriers.renew([trunk])
    ear.silence(0.02)
    ear.endpoint.dial("c", 1, "trunk:carrier/4711", Caller("+4930123456", "100", "carrier", name), {})
    ear.until(lambda: server.came_by() == by, within_s=0.9)  # less than `silent within`
    assert ear.next(e.CalledRefused).status == 486
    server.close()
