"""TLS and SRTP: what connects, with which protocol and certificate, and who may speak in the clear."""

import socket
import ssl
from ipaddress import IPv4Network

import pytest

from engine.callflow import events as e
from engine.callflow.settings import Tls, Trunk
from tests.sip.peers import HOST, PORT, Ear, RawCaller, certificate, sdp

TLS_PORT = PORT + 1
KEY = "inline:" + "A" * 40
SDES = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}\n"
DTLS = "a=setup:actpass\na=fingerprint:SHA-256 " + ":".join(["AB"] * 32) + "\n"
PLAIN, MIXED, SECRET = HOST, "127.0.0.2", "127.0.0.3"  # where each trunk calls from
TRUNKS = tuple(
    Trunk(srtp, (IPv4Network(f"{source}/32"),), srtp=srtp)
    for source, srtp in ((PLAIN, "off"), (MIXED, "offered"), (SECRET, "required"))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def running(folder):
    ear = Ear()
    files = certificate(folder, "first.example")
    ear.start(trunks=TRUNKS, tls=Tls(TLS_PORT, *files, authorities=files[0]))
    yield ear
    ear.endpoint.close()
    assert ear.endpoint.n_legs() == 0


class Connection:
    """One TLS connection to the engine."""

    def __init__(self, ear: Ear, **how: ssl.TLSVersion) -> None:
        self._ear = ear
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for name, value in how.items():
            setattr(context, name, value)
        plain = socket.create_connection((HOST, TLS_PORT))
        plain.setblocking(False)
        self.socket = context.wrap_socket(plain, do_handshake_on_connect=False)
        self._do(self.socket.do_handshake)

    def _do(self, what, *arguments):  # noqa: ANN001, ANN002, ANN202
        for _ in range(300):
            try:
                return what(*arguments)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._ear.endpoint.poll(0.01)
        raise AssertionError("nothing within 3 s")

    def name(self) -> bytes:
        """In the engine's certificate, as DER."""
        found = self.socket.getpeercert(binary_form=True)
        assert found
        return found

    def options(self) -> str:
        port = self.socket.getsockname()[1]
        lines = [
            f"OPTIONS sip:agner@{HOST}:{TLS_PORT};transport=tls SIP/2.0",
            f"Via: SIP/2.0/TLS {HOST}:{port};branch=z9hG4bK{port}{id(self)}",
            f"From: <sip:test@{HOST}>;tag=1",
            f"To: <sip:agner@{HOST}>",
            f"Call-ID: {port}-{id(self)}",
            *("CSeq: 1 OPTIONS", "Max-Forwards: 70", "Content-Length: 0", "", ""),
        ]
        self._do(self.socket.send, "\r\n".join(lines).encode())
        return self._do(self.socket.recv, 4096).decode()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_current_tls_is_spoken(ear, version):
    only = getattr(ssl.TLSVersion, version)
    connection = Connection(ear, minimum_version=only, maximum_version=only)
    assert connection.options().startswith("SIP/2.0 200")
    name, _, bits = connection.socket.cipher() or ("", "", 0)
    assert bits >= 128 and ("GCM" in name or "CHACHA20" in name), name
    connection.socket.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_not(ear):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Connection(ear, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)


def test_a_reload_takes_the_new_certificate_and_keeps_connections(ear, folder):
    before = Connection(ear)
    assert b"first.example" in before.name() and before.options().startswith("SIP/2.0 200")
    certificate(folder, "second.example")
    (folder / "key.pem").rename(folder / "away.pem")
    ear.endpoint.renew(TRUNKS, {})
    assert b"first.example" in Connection(ear).name()  # the pair is broken, and the old one stands
    (folder / "away.pem").rename(folder / "key.pem")
    ear.endpoint.renew(TRUNKS, {})
    after = Connection(ear)
    assert b"second.example" in after.name() and after.options().startswith("SIP/2.0 200")
    assert before.options().startswith("SIP/2.0 200")
    before.socket.close()
    after.socket.close()


def offer(kind: str) -> str:
    profile = {"plain": "RTP/AVP", "maybe": "RTP/AVP", "sdes": "RTP/SAVP", "dtls": "UDP/TLS/RTP/SAVP"}[kind]
    keys = {"plain": "", "maybe": SDES, "sdes": SDES, "dtls": DTLS}[kind]
    return sdp().replace("RTP/AVP", profile) + keys


@pytest.mark.parametrize(
    ("source", "kind", "status", "keyed"),
    [
        (PLAIN, "plain", 200, ""),
        (PLAIN, "sdes", 488, ""),
        (PLAIN, "dtls", 488, ""),
        (MIXED, "plain", 200, ""),
        (MIXED, "maybe", 200, "a=crypto:"),
        (MIXED, "sdes", 200, "a=crypto:"),
        (MIXED, "dtls", 200, "a=fingerprint:"),
        (SECRET, "plain", 488, ""),
        (SECRET, "sdes", 200, "a=crypto:"),
        (SECRET, "dtls", 200, "a=fingerprint:"),
    ],
)
def test_a_trunk_speaks_as_secretly_as_it_must(ear, source, kind, status, keyed):
    ear.on_post = lambda call, event: ear.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None
    caller = RawCaller(offer(kind), source)
    ear.until(lambda: caller.final() >= 200)
    assert caller.final_status == status
    assert [key for key in ("a=crypto:", "a=fingerprint:") if key in caller.answer] == ([keyed] if keyed else [])
    if status == 200:
        ear.silence(0.05)
        ear.endpoint.hang_up(ear.next(e.CallArrived).leg)
        assert "SAVP" in caller.answer or kind in ("plain", "maybe")
    else:
        assert ear.story() == ["CallTurnedAway", "LegEnded"]
    ear.until(lambda: caller.final() and ear.endpoint.n_closing() == 0)
    caller.close()
