"""Phones that log in, for the SIP room's tests: a socket each that says what SIP says, without a stack of ours; and the
room with a registrar in it.
"""

import contextlib
import hashlib
import itertools
import re
import socket
import time
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

from engine.callflow import settings
from tests.sip.peers import HOST, PORT, Ear

PASSWORD = "right horse battery"
AGENTS = ("1001", "1002")
_NUMBERS = itertools.count(1)
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\n"


def ha1(user: str, password: str = PASSWORD, realm: str = "agner") -> dict[str, str]:
    text = f"{user}:{realm}:{password}".encode()
    return {"SHA-256": hashlib.sha256(text).hexdigest(), "MD5": hashlib.md5(text).hexdigest()}


class Kept:
    """What stands on disk."""

    def __init__(self, found: list[dict[str, Any]] | None = None) -> None:
        self.found = found or []
        self.rows: dict[str, dict[str, Any]] = {row["key"]: row for row in self.found}

    def put(self, key: str, values: dict[str, Any]) -> None:
        self.rows[key] = {"key": key, **values}

    def end(self, key: str) -> None:
        self.rows.pop(key, None)


class Room(Ear):
    """The SIP room with a registrar. Trunk: 127.0.0.1; everybody else is a stranger who may log in."""

    def start_with_phones(self, kept: Kept, gate: settings.Gate, **how: Any) -> None:
        from engine.sip.endpoint import Endpoint
        from engine.sip.phones import Phones

        sip = settings.Sip(address=HOST, udp_port=PORT, tcp_port=PORT, rtp_from=18400, rtp_to=18999, gate=gate)
        trunk = settings.Trunk("carrier", (IPv4Network("127.0.0.1/32"),))
        started = datetime.now(UTC).timestamp() - time.monotonic()
        self.phones = Phones(
            settings.Registrar(**how),
            AGENTS,
            {user: ha1(user) for user in AGENTS},
            kept,
            time.monotonic,
            lambda now: datetime.fromtimestamp(started + now, UTC),
        )
        limits = settings.Limits(max_calls=60)
        self.endpoint = Endpoint(
            sip, (trunk,), limits, 8000, self.post, self.new_call, time.monotonic, phones=self.phones
        )

    def changes(self) -> dict[str, bool]:
        return dict(self.phones.take_changes())


class Phone:
    """One phone: `contact` is what it says of its own address, which may lead nowhere."""

    def __init__(
        self, room: Room, user: str = "1001", ip: str = "127.0.0.9", tcp: bool = False, contact: str = "",
        password: str = PASSWORD, algorithm: str = "SHA-256", to: int = PORT,
    ) -> None:  # fmt: skip
        self.room, self.user, self.ip, self.password, self.algorithm = room, user, ip, password, algorithm
        self.registrar = f"sip:{HOST}:{to}"
        self.number, self.cseq, self.nc = next(_NUMBERS), 0, 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        self._socket.bind((ip, 0))
        self._socket.connect((HOST, to))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.transport, self.contact = "TCP" if tcp else "UDP", contact or f"sip:{user}@{ip}:{self.port}"
        if tcp:
            self.contact += ";transport=tcp"
        self.challenge: dict[str, str] = {}
        self.got: list[str] = []  # requests
        self.is_mute = False  # answers no OPTIONS
        self.rings = 200  # how an INVITE is answered; 180: rings on
        self._buffer, self._n_pongs = b"", 0

    def close(self) -> None:
        self._socket.close()

    # ---- REGISTER

    def register(self, expires: int | None = 300, header: str = "", **changes: Any) -> tuple[int, str]:
        """Status and text of the answer; a challenge is answered once."""
        status, text = self.send(expires, header, authorized=bool(self.challenge), **changes)
        if status == 401:
            self.take_challenge(text)
            status, text = self.send(expires, header, authorized=True, **changes)
        return status, text

    def take_challenge(self, text: str) -> None:
        for line in re.findall(r"WWW-Authenticate: Digest (.*)\r", text):
            found = dict(re.findall(r'(\w+)="?([^",]+)"?', line))
            if found["algorithm"] == self.algorithm:
                self.challenge, self.nc = found, 0

    def send(
        self, expires: int | None = 300, header: str = "", authorized: bool = False, contact: str = "", nc: int = 0
    ) -> tuple[int, str]:
        self.transmit(self.request(expires, header, authorized, contact, nc))
        return self.answer()

    def request(
        self, expires: int | None = 300, header: str = "", authorized: bool = False, contact: str = "", nc: int = 0
    ) -> str:
        self.cseq += 1
        uri = self.registrar
        lines = [
            f"REGISTER {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} 10.99.0.1:5999;branch=z9hG4bK{self.number}x{self.cseq}",
            f"From: <sip:{self.user}@{HOST}>;tag={self.number}",
            f"To: <sip:{self.user}@{HOST}>",
            f"Call-ID: phone-{self.number}",
            f"CSeq: {self.cseq} REGISTER",
            "Max-Forwards: 70",
            "User-Agent: rawphone/1",
        ]
        if contact != "none":
            lines.append(f"Contact: {contact or f'<{self.contact}>'}")
        if expires is not None:
            lines.append(f"Expires: {expires}")
        if header:
            lines.append(header)
        if authorized:
            lines.append(self._authorization(uri, nc))
        return "\r\n".join([*lines, "Content-Length: 0", "", ""])

    # ---- INVITE

    def dial(self, number: str, authorized: bool = False, nc: int = 0, signed: str = "", sdp: str = SDP) -> None:
        """An INVITE as a phone sends it; `signed`: for another number than it is sent to."""
        self.cseq += 1
        uri = f"sip:{number}@{self.registrar.removeprefix('sip:')}"
        lines = [
            f"INVITE {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} 10.99.0.1:5999;rport;branch=z9hG4bK{self.number}i{self.cseq}",
            f'From: "Somebody" <sip:{self.user}@{HOST}>;tag={self.number}',
            f"To: <{uri}>",
            f"Call-ID: call-{self.number}-{self.cseq}",
            f"CSeq: {self.cseq} INVITE",
            f"Contact: <{self.contact}>",
            "Max-Forwards: 70",
            *([self._authorization(f"sip:{signed or number}@{HOST}", nc, "INVITE")] if authorized else []),
            "Content-Type: application/sdp",
            f"Content-Length: {len(sdp)}",
        ]
        self.invite = "\r\n".join([*lines, "", sdp])
        self.transmit(self.invite)

    def in_call(self, method: str, answer: str, more: str = "") -> None:
        """ACK, BYE, CANCEL or another request about the INVITE that got this answer."""
        lines = {line.partition(":")[0]: line for line in self.invite.split("\r\n")[1:]}
        to = next((line for line in answer.split("\r\n") if line.startswith("To:")), lines["To"])
        target = re.search(r"^Contact: <([^>]*)>", answer, re.MULTILINE)
        is_same = method in ("ACK", "CANCEL")
        uri = self.invite.split()[1] if method == "CANCEL" or not target else target[1]
        self.cseq += not is_same
        number = int(lines["CSeq"].split()[1]) if is_same else self.cseq
        via = lines["Via"] if method == "CANCEL" or " 200 " not in answer[:16] else f"{lines['Via']}{method}{number}"
        told = [via, lines["From"], to, lines["Call-ID"], f"CSeq: {number} {method}", "Max-Forwards: 70"]
        told += [f"Contact: <{self.contact}>", *([more] if more else []), "Content-Length: 0"]
        self.transmit("\r\n".join([f"{method} {uri} SIP/2.0", *told, "", ""]))

    def refer(self, target: str, repeated: bool = False) -> None:
        """Inside the call that came in last."""
        lines = {line.partition(":")[0]: line for line in self.last("INVITE").split("\r\n")[1:]}
        self.cseq += not repeated
        contact = re.search(r"<([^>]*)>", lines["Contact"])
        assert contact
        told = [
            f"REFER {contact[1]} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} 10.99.0.1:5999;rport;branch=z9hG4bK{self.number}r{self.cseq}",
            f"From: {lines['To'].partition(':')[2].strip()};tag=p{self.number}",
            f"To: {lines['From'].partition(':')[2].strip()}",
            lines["Call-ID"],
            f"CSeq: {self.cseq} REFER",
            f"Contact: <{self.contact}>",
            "Max-Forwards: 70",
            f"Refer-To: {target}",
            "Content-Length: 0",
        ]
        self.transmit("\r\n".join([*told, "", ""]))

    def last(self, method: str) -> str:
        """The last request of this method that came."""
        return next(text for text in reversed(self.got) if text.startswith(method))

    def response(self, method: str, least: int = 100, within_s: float = 3.0) -> tuple[int, str]:
        """The next response to this method from this status on; (0, ""): none came."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            self.room.endpoint.poll(0.005)
            for text in self.read():
                status = int(text.split()[1]) if text.startswith("SIP/2.0") else 0
                if status >= least and re.search(rf"^CSeq: \d+ {method}\r$", text, re.MULTILINE):
                    return status, text
        return 0, ""

    def _authorization(self, uri: str, nc: int, method: str = "REGISTER") -> str:
        self.nc = nc or self.nc + 1
        h = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}[self.algorithm]
        a1 = h(f"{self.user}:agner:{self.password}".encode()).hexdigest()
        a2 = h(f"{method}:{uri}".encode()).hexdigest()
        nonce = self.challenge["nonce"]
        response = h(f"{a1}:{nonce}:{self.nc:08x}:cn:auth:{a2}".encode()).hexdigest()
        return (
            f'Authorization: Digest username="{self.user}", realm="agner", nonce="{nonce}", uri="{uri}",'
            f' response="{response}", algorithm={self.algorithm}, cnonce="cn", qop=auth, nc={self.nc:08x}'
        )

    # ---- the wire

    def transmit(self, text: str) -> None:
        self._socket.send(text.encode())

    def answer(self, within_s: float = 3.0) -> tuple[int, str]:
        """The next response to a REGISTER; (0, ""): none came."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            self.room.endpoint.poll(0.005)
            for text in self.read():
                if text.startswith("SIP/2.0") and "REGISTER" in text:
                    return int(text.split()[1]), text
        return 0, ""

    def read(self) -> list[str]:
        """What came. Requests are answered as a phone would; responses are given back."""
        with contextlib.suppress(BlockingIOError):
            while data := self._socket.recv(65535):
                if self.transport == "UDP":
                    self._take(data.decode())
                else:
                    self._buffer += data
        found, self._responses = self._responses, []
        while self._buffer.startswith(b"\r\n"):
            self._n_pongs, self._buffer = self._n_pongs + 1, self._buffer[2:]
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            length = int((re.search(rb"Content-Length:\s*(\d+)", head) or [0, 0])[1])
            self._buffer = rest[length:]
            self._take((head + b"\r\n\r\n" + rest[:length]).decode())
        found += self._responses
        self._responses = []
        return found

    _responses: list[str] = []

    def _take(self, text: str) -> None:
        if text.startswith("SIP/2.0"):
            self._responses = [*self._responses, text]
            return
        self.got.append(text)
        method = text.split()[0]
        if method == "OPTIONS" and not self.is_mute:
            self.reply(text, 200)
        elif method == "INVITE":
            self.reply(text, 180)
            if self.rings != 180:
                self.reply(text, self.rings)
        elif method == "CANCEL":
            self.reply(text, 200)
            invite = next(got for got in self.got if got.startswith("INVITE"))
            self.reply(invite, 487)
        elif method in ("BYE", "NOTIFY"):
            self.reply(text, 200)

    def pick_up(self) -> None:
        self.reply(next(got for got in self.got if got.startswith("INVITE")), 200)

    def reply(self, text: str, status: int) -> None:
        kept = [line for line in text.split("\r\n") if line.split(":")[0] in ("Via", "From", "Call-ID", "CSeq")]
        to = next(line for line in text.split("\r\n") if line.startswith("To:"))
        to += "" if ";tag=" in to or status == 100 else f";tag=p{self.number}"
        body = ""
        if "INVITE" in text.split("CSeq:")[1].split("\r\n")[0] and status == 200:
            body = SDP
        lines = [f"SIP/2.0 {status} Reply", *kept, to, f"Contact: <{self.contact}>"]
        if body:
            lines.append("Content-Type: application/sdp")
        self.transmit("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]))

    def n_pongs(self) -> int:
        """Newlines between messages of the engine."""
        self.read()
        return self._n_pongs

    def methods(self) -> list[str]:
        return [text.split()[0] for text in self.got]
