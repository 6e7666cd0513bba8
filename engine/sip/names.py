"""The servers of a destination, from DNS: NAPTR, SRV, addresses (RFC 3263 section 4). Counterpart: trunks.py, which
chooses among them.

Each name has a thread that looks it up again when its records expire. A call never waits for DNS: it takes what was
found last, and what DNS does not answer or has lost stays as it was. PJSIP's own resolver knows no NAPTR and no way on
to the next server, so requests over a trunk go to addresses.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from queue import SimpleQueue
from typing import Any

import dns.exception
import dns.resolver

from engine.callflow.settings import Destination
from engine.sip.trunks import DEFAULT_PORTS, Hop, Server

log = logging.getLogger(__name__)

SHORTEST_S, LONGEST_S = 5.0, 3600.0  # between two look-ups of a name
AGAIN_S = 15.0  # after one that failed
WITHIN_S = 5.0  # one question to DNS, all its repetitions together
SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp"}  # RFC 3263 section 4.1
SECURE_SERVICES = {"SIPS+D2T": "tls"}  # for who asks for TLS: nobody comes to it unasked, certificates would be missing
TRANSPORTS = ("udp", "tcp")
RANK = 1 << 16  # above an SRV record's priority: whose SRV records come first

Ask = Callable[[str, str], tuple[list[Any], float]]  # name, type -> records and for how long they hold; may raise


class Failed(Exception):
    """DNS did not answer."""


def servers_of(destination: Destination, ask: Ask, families: Sequence[bool]) -> tuple[list[Server], float]:
    """And for how many seconds that holds. `families`: is it IPv6, the preferred first. Raises Failed."""
    transport = destination.transport or "udp"
    port = destination.port or DEFAULT_PORTS[transport]
    if _is_address(destination.host):
        return [Server(Hop(destination.host, port, transport), 0, 1)], float("inf")
    look_up = _LookUp(ask, ["AAAA" if is_v6 else "A" for is_v6 in families])
    found: list[Server] = []
    if destination.port is None:
        found = [server for n, name in enumerate(look_up.services(destination)) for server in look_up.srv(*name, n)]
    if not found and not look_up.is_refused:
        found = list(look_up.addresses(destination.host, port, transport, 0, 1))
    return found, min(max(look_up.holds_s, SHORTEST_S), LONGEST_S)


class _LookUp:
    """One walk through the records."""

    def __init__(self, ask: Ask, kinds: Sequence[str]) -> None:
        self._ask, self._kinds = ask, kinds
        self.holds_s = LONGEST_S
        self.is_refused = False  # SRV says that there is no such service (RFC 2782: a target of ".")

    def records(self, name: str, kind: str) -> list[Any]:
        found, holds_s = self._ask(name, kind)
        self.holds_s = min(self.holds_s, holds_s)
        return found

    def services(self, destination: Destination) -> Iterator[tuple[str, str]]:
        """(name of SRV records, transport), the preferred first."""
        host, transport = destination.host, destination.transport
        if transport in ("udp", "tcp"):
            yield f"_sip._{transport}.{host}", transport
        elif transport == "tls":
            yield from self._pointed_to(host, SECURE_SERVICES) or ((f"_sips._tcp.{host}", "tls"),)
        else:
            yield from self._pointed_to(host, SERVICES) or ((f"_sip._{each}.{host}", each) for each in TRANSPORTS)

    def _pointed_to(self, host: str, services: Mapping[str, str]) -> list[tuple[str, str]]:
        """By NAPTR."""
        pointers = sorted(self.records(host, "NAPTR"), key=lambda one: (one.order, one.preference))
        return [
            (str(one.replacement).rstrip("."), services[service])
            for one in pointers
            if (service := one.service.decode(errors="replace").upper()) in services and one.flags.lower() == b"s"
        ]

    def srv(self, name: str, transport: str, rank: int) -> Iterator[Server]:
        for one in self.records(name, "SRV"):
            target = str(one.target).rstrip(".")
            if not target:
                self.is_refused = True
                continue
            yield from self.addresses(target, one.port, transport, rank * RANK + one.priority, one.weight)

    def addresses(self, name: str, port: int, transport: str, priority: int, weight: int) -> Iterator[Server]:
        """All of a host's. The first has the weight, so that the others follow when it is gone."""
        found = [str(one.address) for kind in self._kinds for one in self.records(name, kind)]
        for n, address in enumerate(found or [one for kind in self._kinds for one in _local(name, kind)]):
            yield Server(Hop(address, port, transport), priority, 0 if n else weight)


def asker(resolver: dns.resolver.Resolver) -> Ask:
    def ask(name: str, kind: str) -> tuple[list[Any], float]:
        try:
            answer = resolver.resolve(name, kind, search=False, raise_on_no_answer=False, lifetime=WITHIN_S)
        except dns.resolver.NXDOMAIN:
            return [], AGAIN_S
        except dns.exception.DNSException as error:
            raise Failed(f"{name} {kind}: {error}") from error
        if answer.rrset is None:
            return [], LONGEST_S
        return list(answer.rrset), float(answer.rrset.ttl)

    return ask


def system_resolver() -> dns.resolver.Resolver:
    """The machine's own name servers; where it names none, none."""
    try:
        return dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return dns.resolver.Resolver(configure=False)


class Names:
    """The destinations' servers, kept fresh."""

    def __init__(self, destinations: Iterable[Destination], families: Sequence[bool]) -> None:
        self._found: SimpleQueue[tuple[Destination, list[Server]]] = SimpleQueue()
        self._is_over = threading.Event()
        self._families = families
        self._watched: set[Destination] = set()
        self.known: dict[Destination, list[Server]] = {}
        self.watch(destinations)

    def watch(self, destinations: Iterable[Destination]) -> None:
        """These too, from now on."""
        for destination in set(destinations) - self._watched:
            self._watched.add(destination)
            if _is_address(destination.host):
                self._found.put((destination, servers_of(destination, _nobody, self._families)[0]))
            else:
                threading.Thread(target=self._follow, args=(destination,), name="dns", daemon=True).start()

    def poll(self) -> Iterator[tuple[Destination, list[Server]]]:
        """What was found since the last poll."""
        while not self._found.empty():
            destination, servers = self._found.get_nowait()
            self.known[destination] = servers
            yield destination, servers

    def close(self) -> None:
        self._is_over.set()

    def _follow(self, destination: Destination) -> None:
        last: list[Server] = []
        ask = asker(system_resolver())
        is_told = False
        while not self._is_over.is_set():
            try:
                found, holds_s = servers_of(destination, ask, self._families)
                why = "" if found else "DNS has no server for it"
            except Failed as error:
                found, holds_s, why = [], AGAIN_S, str(error)
            if found and found != last:
                log.info("%s is %s", destination, ", ".join(f"{one.hop.address}:{one.hop.port}" for one in found))
                self._found.put((destination, found))
                last = found
            if why and not is_told:
                log.warning("%s: %s; %s", destination, why, "what was known stays" if last else "no call can go there")
            is_told = bool(why)
            self._is_over.wait(holds_s)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _local(name: str, family: str) -> Iterator[str]:
    """What only this machine knows, such as /etc/hosts."""
    kind = socket.AF_INET6 if family == "AAAA" else socket.AF_INET
    try:
        yield from dict.fromkeys(str(one[4][0]) for one in socket.getaddrinfo(name, None, kind, socket.SOCK_DGRAM))
    except OSError:
        return


def _nobody(name: str, kind: str) -> tuple[list[Any], float]:
    raise Failed(name)
