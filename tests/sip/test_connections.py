"""TCP and TLS connections that bring nothing, bring it slowly, or end: none stays, and calls over UDP do not notice."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.callflow import events as e
from engine.callflow import settings
from tests.siege.flood import SDP
from tests.siege.flood import request as message
from tests.sip.peers import HOST, PORT, Ear, RawCaller, certificate, got, invite, n_descriptors, pause, request, sdp

N = 300
FIRST_S = 10.0  # PJSIP_TRANSPORT_SERVER_IDLE_TIME_FIRST
BAN_AFTER = 20
STRANGER = "127.0.0.66"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    ear = Ear()
    tls = settings.Tls(PORT + 1, *certificate(tmp_path_factory.mktemp("tls"), HOST))
    ear.start(gate=settings.Gate(ban_after=BAN_AFTER, ban_s=1.0), tls=tls)
    yield ear
    ear.endpoint.close()
    assert ear.endpoint.n_legs() == 0


class Connection:
    transport, port = "TCP", PORT

    def __init__(self, source: str) -> None:
        self.line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.line.bind((source, 0))
        self.line.setblocking(False)
        self.at = source
        with contextlib.suppress(BlockingIOError):
            self.line.connect((HOST, self.port))

    def is_open(self) -> bool:
        """Not closed by the engine; what it said is thrown away."""
        try:
            return bool(self.line.recv(65535))
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    def send(self, method: str, n: int) -> None:
        data = message(method, self.at, n, body=SDP.format(at=HOST) if method == "INVITE" else "")
        self.line.sendall(data.replace(b"SIP/2.0/UDP", f"SIP/2.0/{self.transport}".encode()))

    def drip(self, byte: bytes) -> None:
        with contextlib.suppress(OSError):
            self.line.send(byte)


class Secret(Connection):
    """The same over TLS."""

    transport, port = "TLS", PORT + 1

    def shake_hands(self, ear: Ear) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.line = context.wrap_socket(self.line, do_handshake_on_connect=False)
        ear.until(self._has_shaken)

    def _has_shaken(self) -> bool:
        try:
            self.line.do_handshake()  # type: ignore[attr-defined]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        return True


@contextlib.contextmanager
def connections(ear: Ear, n: int, source: str = STRANGER) -> Iterator[list[Connection]]:
    """So many, accepted."""
    before = n_descriptors()
    made = [Connection(source) for _ in range(n)]
    ear.until(lambda: n_descriptors() == before + 2 * n, within_s=5)
    yield made
    for one in made:
        one.line.close()
    ear.until(lambda: n_descriptors() == before)


def engines_sockets(state: str) -> int:
    """Of the engine's ports, in this state of TCP."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith((f":{PORT:04X}", f":{PORT + 1:04X}")) and row[3] == state for row in rows)


@pytest.mark.timeout(60)
def test_half_of_them_silent_and_half_slow(ear, sipp):
    """All are let in at once (by PJSIP's default backlog 5 would be), and all are gone after 10 s. Meanwhile calls come
    in over UDP as ever."""
    ear.on_post = lambda call, event: ear.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None
    began = time.monotonic()
    with connections(ear, N) as made:
        n_calls = 20
        steps = invite(), got(100, True), got(200), request("ACK"), pause(100), request("BYE", 2), got(200)
        caller = sipp(*steps, n=n_calls, rate=5)
        text, n_sent = b"INVITE sip:100@127.0.0.1 SIP/2.0\r\nSubject: ", 0
        while any(one.is_open() for one in made):
            if time.monotonic() > began + n_sent / 4:  # a byte each, four times a second
                n_sent += 1
                for one in made[::2]:
                    one.drip(text[n_sent % len(text) :][:1])
            assert time.monotonic() < began + FIRST_S + 5, sum(one.is_open() for one in made)
            ear.endpoint.poll(0.01)
        assert time.monotonic() > began + FIRST_S - 1, "somebody was cut off who might yet have spoken"
        ear.until(caller.done)
        assert caller.passed() and len(ear.all(e.CallerAnswered)) == n_calls


KINDS = (Connection, Secret, "TLS without a word")


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_the_far_side_closed_is_closed(ear, kind):
    """With a transaction that wants its ACK over it, which nobody sends. Unpatched, the socket stays for 32 s."""
    before = n_descriptors()
    caller = Connection(HOST) if kind is Connection else Secret(HOST)
    ear.until(lambda: n_descriptors() == before + 2)
    if isinstance(caller, Secret):
        caller.shake_hands(ear)
    caller.send("INVITE", 100 + KINDS.index(kind))
    ear.endpoint.reject(ear.next(e.CallArrived).leg, 486)
    ear.until(lambda: b"486" in received(caller))
    if kind is Secret:
        with contextlib.suppress(ssl.SSLWantReadError):
            caller.line.unwrap()  # type: ignore[attr-defined]  # close_notify
    caller.line.close()
    ear.until(lambda: n_descriptors() == before, within_s=2)
    assert engines_sockets("08") == 0, "CLOSE-WAIT"
    ear.until(lambda: ear.endpoint.n_closing() == 0)


def received(connection: Connection) -> bytes:
    try:
        return connection.line.recv(65535)
    except (BlockingIOError, ssl.SSLWantReadError):
        return b""


def test_a_banned_strangers_connection_is_closed(ear):
    with connections(ear, 2) as (stranger, other):
        for n in range(BAN_AFTER - 1):
            stranger.send("OPTIONS", n)
        ear.silence(0.3)
        assert stranger.is_open()
        stranger.send("OPTIONS", BAN_AFTER)
        ear.until(lambda: not stranger.is_open(), within_s=2)
        assert other.is_open(), "it has said nothing yet"
    ear.silence(1.1)  # the ban


def test_late_transactions_survive_a_closed_connection(ear):
    """An answer that has nowhere to go any more ends its call, and nothing else."""
    caller = Connection(HOST)
    ear.until(lambda: caller.is_open() and engines_sockets("01") > 0)
    caller.send("INVITE", 7)
    leg = ear.next(e.CallArrived).leg
    caller.line.close()
    ear.silence(0.2)
    ear.endpoint.reject(leg, 486)
    ear.next(e.LegEnded)
    good = RawCaller(sdp())
    ear.next(e.CallArrived, 2)
    ear.endpoint.reject(ear.all(e.CallArrived)[1].leg, 486)
    ear.until(lambda: good.final() == 486)
    good.close()
