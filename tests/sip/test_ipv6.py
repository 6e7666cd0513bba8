"""The SIP room at an IPv4 and an IPv6 address at once. What calls are like there: tests/live/test_ipv6.py."""

import socket
from ipaddress import IPv4Network, IPv6Network

import pytest

from engine.callflow import events as e
from engine.callflow import settings
from engine.callflow.settings import Destination, Sip, Tls, Trunk
from engine.sip import gate
from engine.sip.names import servers_of
from tests.sip.peers import HOST, PORT, Ear, RawCaller, certificate, sdp

V6, BAN_AFTER, TLS_PORT = "::1", 10, PORT + 1
RULES = settings.Gate(tells_strangers=True, ban_after=BAN_AFTER, ban_s=30.0)
OPTIONS = (
    "OPTIONS sip:100@[::1] SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{n};rport\r\nFrom: <sip:x@{at}>;tag=1\r\n"
    "To: <sip:100@[::1]>\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    ear = Ear()
    files = certificate(tmp_path_factory.mktemp("tls"), "both.example")
    trunk = Trunk("carrier", (IPv4Network(f"{HOST}/32"), IPv6Network("2001:db8::/32")))
    ear.start(second_address=V6, gate=RULES, trunks=(trunk,), tls=Tls(TLS_PORT, *files, authorities=files[0]))
    yield ear
    ear.endpoint.close()


@pytest.mark.parametrize("address", [HOST, V6])
@pytest.mark.parametrize("port", [PORT, TLS_PORT])
def test_tcp_and_tls_listen_at_both(ear, address, port):
    with socket.create_connection((address, port), timeout=2):
        ear.silence(0.02)


def test_a_stranger_is_counted_by_the_64_bits_of_its_network(ear):
    """And banned with them, while IPv4 goes on."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as line:
        line.bind((V6, 0))
        line.setblocking(False)
        at = f"[{V6}]:{line.getsockname()[1]}"
        for n in range(2 * BAN_AFTER):
            line.sendto(OPTIONS.format(at=at, n=n).encode(), (V6, PORT))
        ear.until(lambda: [ban.source for ban in gate.bans()] == ["::/64"], within_s=2)
        assert line.recv(2000).startswith(b"SIP/2.0 403")
    caller = RawCaller(sdp())
    ear.endpoint.reject(ear.next(e.CallArrived).leg, 486)
    ear.until(lambda: caller.final() == 486)
    caller.close()
    assert gate.lift("::")


def test_each_address_is_for_its_family():
    sip = Sip("0.0.0.0", "::", public_address="192.0.2.7", second_public_address="2001:db8::7")
    assert sip.addresses == ("0.0.0.0", "::")
    assert sip.address_for("198.51.100.1") == ("0.0.0.0", "192.0.2.7")
    assert sip.address_for("2001:db8:1::1") == ("::", "2001:db8::7")
    alone = Sip("2001:db8::10")
    assert alone.address_for("198.51.100.1") == alone.address_for("2001:db8::1") == ("2001:db8::10", None)


def test_a_name_of_both_families_has_servers_of_both():
    """The preferred family first, and it alone has the weight: the other's turn comes when it is gone."""

    class Record:
        def __init__(self, address):
            self.address = address

    records = {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]}
    ask = lambda name, kind: ([Record(one) for one in records.get(kind, ())], 60.0)  # noqa: E731
    for families, found in (([False, True], ["192.0.2.1", "2001:db8::1"]), ([True], ["2001:db8::1"])):
        servers, _ = servers_of(Destination("sbc.example", 5060), ask, families)
        assert [(one.hop.address, one.weight) for one in servers] == [(found[0], 1), *((one, 0) for one in found[1:])]
