"""Whom we connect to over TLS must show a certificate for what the trunk has as its destination, a name or an address,
and is told the name (SNI): RFC 5922 section 7. What DNS makes of a name is in test_trunks_names.py; here it is given.

Without pjsip/patches/server-name.patch names fail: their servers had to show the address, and were told nothing.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest

from engine.callflow import events as e
from engine.callflow.events import Refusal
from engine.callflow.plan import Caller
from engine.callflow.settings import Destination, Probing, Registration, Tls, Trunk
from engine.sip.trunks import Hop, Server, Ways
from tests.sip.peers import HOST, PORT, Ear, certificate

NAME, OTHER = "carrier.test", "other.test"
SHOP = Caller(ani="+4940123", dnis="110", trunk="carrier", name="Shop")
ANSWERS = {"OPTIONS": "200 OK", "REGISTER": "200 OK", "INVITE": "486 Busy Here", "BYE": "200 OK"}
COPIED = ("Via:", "From:", "To:", "Call-ID:", "CSeq:")
Files = tuple[str, str]


class Carrier:
    """One server. It shows the certificate of the name that it is told, else the first that it has."""

    def __init__(self, shows: dict[str, Files]) -> None:
        self.heard: list[tuple[str, str]] = []  # method; what SNI said on that connection
        self.told: list[str] = []  # by connection
        self.answers, self._shows = dict(ANSWERS), shows
        self._sockets = [socket.create_server((HOST, 0))]
        self.port: int = self._sockets[0].getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                plain = self._sockets[0].accept()[0]
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        told: list[str] = []
        contexts = {name: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for name in self._shows}
        for name, context in contexts.items():
            context.load_cert_chain(*self._shows[name])

        def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            told.append(name or "")
            connection.context = contexts.get(told[0], context)

        first = next(iter(contexts.values()))
        first.sni_callback = choose
        with suppress(OSError), first.wrap_socket(plain, server_side=True) as secret:
            self._sockets.append(secret)
            self.told += told
            with secret.makefile("rb") as stream:
                while lines := [line.decode().strip() for line in takewhile(bytes.strip, stream)]:
                    stream.read(int(next(line for line in lines if line.startswith("Content-Length:"))[15:]))
                    self._answer(secret, lines, told[0])

    def _answer(self, secret: ssl.SSLSocket, lines: list[str], told: str) -> None:
        method = lines[0].split()[0]
        self.heard.append((method, told))
        if answer := self.answers.get(method):
            copied = COPIED if method == "INVITE" else (*COPIED, "Contact:")  # of REGISTER
            head = [f"{line};tag=1" if line.startswith("To:") else line for line in lines if line.startswith(copied)]
            body = ""
            if (method, answer) == ("INVITE", "200 OK"):
                head += [f"Contact: <sip:{HOST}:{self.port};transport=tls>", "Content-Type: application/sdp"]
                body = f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\nm=audio 18398 RTP/AVP 8\r\n"
            head = [f"SIP/2.0 {answer}", *head, f"Content-Length: {len(body)}", "", body]
            secret.sendall("\r\n".join(head).encode())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """Certificates by what they are for."""
    return {host: certificate(tmp_path_factory.mktemp("tls"), host, host) for host in (NAME, OTHER, HOST)}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, files: dict[str, Files]) -> Iterator[Ear]:
    """Whom each certificate names is the one question: all are trusted."""
    ear, folder = Ear(), tmp_path_factory.mktemp("trusted")
    trusted = folder / "trusted.pem"
    trusted.write_text("".join(Path(shown).read_text() for shown, _ in files.values()))
    registration = Registration("4940", Destination(NAME, 5061, "tls"))
    trunks = Trunk("carrier", (), probing=None), Trunk("registers", (), probing=None, registration=registration)
    ear.start(trunks=trunks, tls=Tls(PORT + 1, *files[NAME], authorities=str(trusted)))
    yield ear
    ear.endpoint.close()
    assert ear.endpoint.n_legs() == 0


@pytest.fixture
def carrier(files: dict[str, Files]) -> Iterator[Callable[..., Carrier]]:
    started: list[Carrier] = []

    def start(*names: str) -> Carrier:
        started.append(Carrier({name: files[name] for name in names}))
        return started[-1]

    yield start
    for each in started:
        each.close()


def lead(ear: Ear, carrier: Carrier, *hosts: str, probing: Probing | None = None) -> Ways:
    """The trunk's destinations, all at this carrier."""
    known = [ways.trunk for ways in ear.endpoint.carriers.ways.values()]
    destinations = tuple(Destination(host, carrier.port, "tls") for host in hosts)
    ear.endpoint.carriers.renew([replace(known[0], destinations=destinations, probing=probing), known[1]])
    ways = ear.endpoint.carriers.ways["carrier"]
    for destination in destinations:
        ways.found(destination, [Server(Hop(HOST, carrier.port, "tls"), 0, 1)], time.monotonic())
    return ways


def call(ear: Ear) -> e.CalledRefused:
    ear.heard.clear()
    ear.endpoint.dial("c", 7, "trunk:carrier/110", SHOP, {})
    ear.next(e.LegEnded)
    return ear.next(e.CalledRefused)


TOLD = {NAME: NAME, HOST: ""}  # SNI is for names alone (RFC 6066 section 3)
RIGHT = [(NAME, NAME), (HOST, HOST)]
WRONG = [(NAME, OTHER), (NAME, HOST), (HOST, NAME)]


@pytest.mark.parametrize(("asked", "shown"), RIGHT)
def test_who_shows_what_was_asked_for_is_called(ear, carrier, asked, shown):
    there = carrier(shown)
    lead(ear, there, asked)
    assert call(ear).refusal is Refusal.BUSY
    ear.until(lambda: len(there.heard) == 2)
    assert there.heard == [("INVITE", TOLD[asked]), ("ACK", TOLD[asked])]


def test_a_call_stays_on_its_connection(ear, carrier):
    """ACK and BYE go to the Contact, an address, which the server need not show."""
    there = carrier(NAME)
    there.answers["INVITE"] = "200 OK"
    lead(ear, there, NAME)
    leg = ear.endpoint.dial("c", 7, "trunk:carrier/110", SHOP, {})
    ear.next(e.CalledAnswered)
    ear.until(lambda: ("ACK", NAME) in there.heard)
    ear.endpoint.hang_up(leg)
    ear.next(e.LegEnded)
    ear.until(lambda: ("BYE", NAME) in there.heard)
    assert [method for method, _ in there.heard] == ["INVITE", "ACK", "BYE"] and there.told == [NAME]


@pytest.mark.parametrize(("asked", "shown"), WRONG)
def test_who_shows_another_is_not(ear, carrier, asked, shown):
    there = carrier(shown)
    lead(ear, there, asked)
    assert call(ear).refusal is Refusal.UNREACHABLE
    assert there.heard == []


@pytest.mark.parametrize(("asked", "shown"), RIGHT + WRONG)
def test_probes(ear, carrier, asked, shown):
    there = carrier(shown)
    ways = lead(ear, there, asked, probing=Probing(60.0, 1))
    (hop,) = ways.health
    ear.until(lambda: ways.state_of(hop, time.monotonic()) != "new")
    assert ways.state_of(hop, time.monotonic()) == ("up" if asked == shown else "gone")
    assert there.heard == ([("OPTIONS", TOLD[asked])] if asked == shown else [])


@pytest.mark.parametrize("shown", [OTHER, HOST, NAME])
def test_registrations(ear, carrier, shown):
    there = carrier(shown)
    one = ear.endpoint.carriers._enrolled[0]
    one.ways.found(one.registration.registrar, [Server(Hop(HOST, there.port, "tls"), 0, 1)], time.monotonic())
    one.enrolment.why, one.enrolment.next_at = "", 0.0
    ear.until(lambda: one.enrolment.why or one.enrolment.registered_until)
    assert (one.enrolment.why == "") == (shown == NAME)
    assert there.heard == ([("REGISTER", NAME)] if shown == NAME else [])


def test_a_connection_is_used_again_for_the_same_name_alone(ear, carrier):
    """One server is both."""
    there = carrier(NAME, OTHER)
    for name in (NAME, OTHER, NAME, OTHER):
        lead(ear, there, name)
        assert call(ear).refusal is Refusal.BUSY
    assert [told for method, told in there.heard if method == "INVITE"] == [NAME, OTHER, NAME, OTHER]
    assert there.told == [NAME, OTHER]
