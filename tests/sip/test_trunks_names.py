"""The servers of a destination, from a real name server (dnsmasq on 127.0.0.1): NAPTR, SRV, addresses, stalls."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import dns.resolver
import pytest

from engine.callflow.settings import Destination
from engine.sip import names
from engine.sip.names import RANK, Ask, Failed, Names, asker, servers_of
from engine.sip.trunks import Hop, Server

PORT = 18353
RECORDS = """
--host-record=a.carrier.test,127.0.0.11 --host-record=b.carrier.test,127.0.0.12
--host-record=two.carrier.test,127.0.0.13 --host-record=two.carrier.test,127.0.0.14
--srv-host=_sip._udp.carrier.test,a.carrier.test,5070,10,60 --srv-host=_sip._udp.carrier.test,b.carrier.test,5071,10,20
--srv-host=_sip._udp.carrier.test,two.carrier.test,5072,20,5
--srv-host=_sip._tcp.carrier.test,b.carrier.test,5080,1,0
--srv-host=_sips._tcp.carrier.test,a.carrier.test,5091,1,0
--naptr-record=naptr.test,20,10,s,SIP+D2U,,_sip._udp.carrier.test
--naptr-record=naptr.test,10,10,s,SIP+D2T,,_sip._tcp.carrier.test
--naptr-record=naptr.test,5,10,s,SIPS+D2T,,_sips._tcp.secure.test
--naptr-record=clear.test,10,10,s,SIP+D2T,,_sip._tcp.carrier.test
--srv-host=_sips._tcp.clear.test,b.carrier.test,5093,1,0
--naptr-record=both.test,20,10,s,SIPS+D2T,,_sips._tcp.secure.test
--naptr-record=both.test,10,10,s,SIPS+D2T,,_sips._tcp.carrier.test
--srv-host=_sips._tcp.secure.test,b.carrier.test,5092,1,0
--srv-host=_sip._udp.none.test
--cname=alias.test,a.carrier.test
""".split()


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    command = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file="]
    command += [f"--port={PORT}", "--listen-address=127.0.0.1", "--bind-interfaces", "--local=/test/", "--local-ttl=20"]
    with subprocess.Popen([*command, *RECORDS]) as server:
        resolver = resolver_at(PORT)
        end = time.monotonic() + 5
        while True:
            try:
                asker(resolver)("a.carrier.test", "A")
                break
            except Failed:
                assert time.monotonic() < end and server.poll() is None
                time.sleep(0.05)
        yield asker(resolver)
        server.terminate()


def resolver_at(port: int) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], port
    return resolver


def hop(last: int, port: int, transport: str = "udp") -> Hop:
    return Hop(f"127.0.0.{last}", port, transport)


UDP = [
    Server(hop(11, 5070), 10, 60),
    Server(hop(12, 5071), 10, 20),
    Server(hop(13, 5072), 20, 5),
    Server(hop(14, 5072), 20, 0),
]
TCP = [Server(hop(12, 5080, "tcp"), 1, 0)]
SECURE = [Server(hop(12, 5092, "tls"), 1, 0)]


def raised(servers: list[Server], rank: int) -> list[Server]:
    return [Server(one.hop, rank * RANK + one.priority, one.weight) for one in servers]


@pytest.mark.parametrize(
    ("destination", "servers"),
    [
        (Destination("192.0.2.1"), [Server(Hop("192.0.2.1", 5060, "udp"), 0, 1)]),
        (Destination("192.0.2.1", 5080, "tcp"), [Server(Hop("192.0.2.1", 5080, "tcp"), 0, 1)]),
        (Destination("carrier.test"), [*UDP, *raised(TCP, 1)]),  # no NAPTR: UDP, then TCP
        (Destination("carrier.test", None, "tcp"), TCP),
        (Destination("carrier.test", None, "tls"), [Server(hop(11, 5091, "tls"), 1, 0)]),
        (Destination("a.carrier.test", None, "tls"), [Server(hop(11, 5061, "tls"), 0, 1)]),
        (Destination("192.0.2.1", None, "tls"), [Server(Hop("192.0.2.1", 5061, "tls"), 0, 1)]),
        (Destination("naptr.test"), [*TCP, *raised(UDP, 1)]),  # the carrier would rather have TCP; TLS is not asked for
        (Destination("naptr.test", None, "tls"), SECURE),  # no _sips._tcp.naptr.test: NAPTR alone says where
        (Destination("clear.test", None, "tls"), [Server(hop(12, 5093, "tls"), 1, 0)]),  # NAPTR without TLS: SRV
        (Destination("both.test", None, "tls"), [Server(hop(11, 5091, "tls"), 1, 0), *raised(SECURE, 1)]),
        (Destination("naptr.test", 5099, "tls"), []),  # a port: addresses at once, and it has none
        (Destination("a.carrier.test"), [Server(hop(11, 5060), 0, 1)]),  # neither NAPTR nor SRV
        (Destination("a.carrier.test", 5090), [Server(hop(11, 5090), 0, 1)]),  # a port: addresses at once
        (Destination("alias.test", None, "tcp"), [Server(hop(11, 5060, "tcp"), 0, 1)]),
        (Destination("none.test", None, "udp"), []),  # SRV says that there is no such service
    ],
)
def test_what_a_destination_stands_for(ask: Ask, destination: Destination, servers: list[Server]) -> None:
    found, holds_s = servers_of(destination, ask, families=[False])
    by_priority: Callable[[Server], Any] = lambda one: (one.priority, one.hop.port, -one.weight)  # noqa: E731
    assert {(one.priority, one.weight, one.hop.port, one.hop.transport) for one in found} == {
        (one.priority, one.weight, one.hop.port, one.hop.transport) for one in servers
    }
    assert {one.hop for one in found} == {one.hop for one in servers}
    assert [one.priority for one in sorted(found, key=by_priority)] == sorted(one.priority for one in servers)
    assert holds_s >= names.SHORTEST_S


def test_a_name_that_is_not_there_has_no_server(ask: Ask) -> None:
    assert servers_of(Destination("nowhere.test"), ask, families=[False])[0] == []


def test_names_are_found_in_the_background(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "system_resolver", lambda: resolver_at(PORT))
    destination = Destination("carrier.test", None, "tcp")
    watched = Names([destination], families=[False])
    end = time.monotonic() + 5
    found: list[tuple[Destination, list[Server]]] = []
    while not found and time.monotonic() < end:
        found = list(watched.poll())
        time.sleep(0.01)
    watched.close()
    assert found == [(destination, TCP)] == list(watched.known.items())


def test_a_name_server_that_never_answers_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stalled:
        stalled.bind(("127.0.0.1", 0))
        monkeypatch.setattr(names, "system_resolver", lambda: resolver_at(stalled.getsockname()[1]))
        monkeypatch.setattr(names, "WITHIN_S", 0.5)
        fixed, named = Destination("192.0.2.1"), Destination("carrier.test")
        began = time.monotonic()
        watched = Names([named, fixed], families=[False])
        found = list(watched.poll())
        assert time.monotonic() - began < 0.1
        assert found == [(fixed, [Server(Hop("192.0.2.1", 5060, "udp"), 0, 1)])]
        with pytest.raises(Failed):
            servers_of(named, asker(names.system_resolver()), families=[False])
        watched.close()
