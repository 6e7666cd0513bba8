"""SIP messages as text, and the transactions of RFC 3261 section 17 over one UDP socket. The phones are in phones.py.

Light on purpose: what a call needs, nothing that negotiates. Arrival times are the kernel's (CLOCK_REALTIME, ns), so a
generator that is late reading does not blame the server.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Address = tuple[str, int]

T1_S = 0.5
T2_S = 4.0
TIMEOUT_S = 64 * T1_S  # timers B, F and H
SO_TIMESTAMPNS = 35  # Linux; the socket module does not name it
RECEIVE_BUFFER = 8 << 20
COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}


@dataclass(slots=True)
class Message:
    """A request (method set) or a response (status set). Header names in lower case, first values only."""

    method: str
    status: int
    reason: str
    uri: str
    headers: dict[str, str]
    vias: list[str]
    routes: list[str]
    body: str
    at_ns: int

    @property
    def branch(self) -> str:
        return parameter(self.vias[0], "branch") if self.vias else ""

    @property
    def cseq_method(self) -> str:
        return self.headers["cseq"].split()[1]


class Malformed(ValueError):
    """Not a SIP message that a phone could answer."""


def parse(data: bytes, at_ns: int) -> Message:
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    lines = head.split("\r\n")
    headers: dict[str, str] = {}
    vias: list[str] = []
    routes: list[str] = []
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        name = COMPACT.get(name, name)
        value = value.strip()
        if name == "via":
            vias.extend(part.strip() for part in value.split(","))
        elif name == "record-route":
            routes.extend(part.strip() for part in value.split(","))
        else:
            headers.setdefault(name, value)
    first = lines[0].split(" ", 2)
    if len(first) != 3 or not {"from", "to", "call-id", "cseq"} <= headers.keys() or not vias:
        raise Malformed(lines[0][:80])
    if first[0] == "SIP/2.0":
        return Message("", int(first[1]), first[2], "", headers, vias, routes, body, at_ns)
    return Message(first[0], 0, "", first[1], headers, vias, routes, body, at_ns)


def parameter(value: str, name: str) -> str:
    """The header parameter `;name=...`, "" if there is none."""
    _, found, rest = value.partition(f";{name}=")
    return rest.partition(";")[0].partition(">")[0].strip() if found else ""


def uri_in(value: str) -> str:
    """The URI of a From, To or Contact value."""
    if "<" in value:
        return value.partition("<")[2].partition(">")[0]
    return value.partition(";")[0].strip()


def user_of(uri: str) -> str:
    return uri.partition(":")[2].partition("@")[0] if "@" in uri else ""


def address_of(uri: str) -> Address:
    """Where a SIP URI with an IPv4 address is sent to."""
    host = uri.partition(":")[2].rpartition("@")[2].partition(";")[0].partition("?")[0]
    name, _, port = host.partition(":")
    return name, int(port or 5060)


def compose(first: str, headers: Iterable[tuple[str, str]], body: str = "") -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return ("\r\n".join(lines) + body).encode()


def response(
    request: Message, status: int, reason: str, to_tag: str = "", more: Iterable[tuple[str, str]] = (), body: str = ""
) -> bytes:
    to = request.headers["to"]
    if to_tag and ";tag=" not in to:
        to += f";tag={to_tag}"
    headers = [("Via", via) for via in request.vias]
    headers += [("Record-Route", route) for route in request.routes]
    headers += [("From", request.headers["from"]), ("To", to)]
    headers += [("Call-ID", request.headers["call-id"]), ("CSeq", request.headers["cseq"]), *more]
    return compose(f"SIP/2.0 {status} {reason}", headers, body)


class Pending:
    """A message repeated until something comes back: T1 doubling, up to T2 unless it is an INVITE; 32 s in all."""

    __slots__ = ("_transport", "_data", "_to", "_interval_s", "_limit_s", "_until", "_timer", "_given_up", "n_repeats")

    def __init__(
        self, transport: "Transport", data: bytes, to: Address, limit_s: float, given_up: Callable[[], None]
    ) -> None:
        self._transport, self._data, self._to, self._limit_s, self._given_up = transport, data, to, limit_s, given_up
        self._interval_s = T1_S
        self._until = transport.loop.time() + TIMEOUT_S
        self.n_repeats = 0
        self._timer: asyncio.TimerHandle | None = transport.loop.call_later(T1_S, self._repeat)

    def _repeat(self) -> None:
        if self._transport.loop.time() >= self._until:
            self._timer = None
            self._given_up()
            return
        self._transport.send(self._data, self._to)
        self._transport.n_retransmitted += 1
        self.n_repeats += 1
        self._interval_s = min(2 * self._interval_s, self._limit_s)
        self._timer = self._transport.loop.call_later(self._interval_s, self._repeat)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class Transport:
    """One UDP socket. Requests go to `on_request`, but one repeated after its answer gets that again."""

    def __init__(self, address: Address, on_request: Callable[[Message, Address], None]) -> None:
        self.address = address
        self.loop = asyncio.get_running_loop()
        self.n_retransmitted = 0
        self.n_malformed = 0
        self._on_request = on_request
        self._requests: dict[tuple[str, str], tuple[Callable[[Message | None], None], Pending | None]] = {}
        self._answers: dict[tuple[str, str], tuple[bytes, Address]] = {}
        self._old_answers: deque[tuple[float, tuple[str, str]]] = deque()
        self._n_branches = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setblocking(False)
        try:
            self._socket.bind(address)
        except OSError as error:
            self._socket.close()
            raise OSError(error.errno, f"SIP port {address[0]}:{address[1]}: {error.strerror}") from None
        self.loop.add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        self.loop.remove_reader(self._socket.fileno())
        for _, pending in self._requests.values():
            if pending:
                pending.stop()
        self._socket.close()

    def new_branch(self) -> str:
        self._n_branches += 1
        return f"z9hG4bK{self._n_branches:x}.{self.address[1]:x}.{time.monotonic_ns():x}"

    def via(self, branch: str) -> str:
        return f"SIP/2.0/UDP {self.address[0]}:{self.address[1]};rport;branch={branch}"

    def send(self, data: bytes, to: Address) -> int:
        """Returns the moment before it left, in ns of real time."""
        at_ns = time.time_ns()
        with contextlib.suppress(BlockingIOError):  # as lost on the way: the transaction repeats it
            self._socket.sendto(data, to)
        return at_ns

    def request(
        self, method: str, branch: str, data: bytes, to: Address, on_response: Callable[[Message | None], None]
    ) -> int:
        """Send and repeat until a response; None for none. An INVITE's callback may hear several."""
        key = (branch, method)

        def give_up() -> None:
            self._requests.pop(key, None)
            on_response(None)

        limit_s = TIMEOUT_S if method == "INVITE" else T2_S
        self._requests[key] = on_response, Pending(self, data, to, limit_s, give_up)
        return self.send(data, to)

    def forget(self, branch: str, method: str) -> None:
        """The INVITE's dialog is over: a response still coming is nobody's."""
        entry = self._requests.pop((branch, method), None)
        if entry and entry[1]:
            entry[1].stop()

    def answer(self, request: Message, data: bytes, to: Address) -> int:
        """Send a response, and again whenever the request is repeated."""
        key = (request.branch, request.method)
        if key not in self._answers:
            self._old_answers.append((self.loop.time() + TIMEOUT_S, key))
        self._answers[key] = data, to
        while self._old_answers[0][0] < self.loop.time():
            del self._answers[self._old_answers.popleft()[1]]
        return self.send(data, to)

    def _read(self) -> None:
        for _ in range(64):
            try:
                data, extra, _, source = self._socket.recvmsg(8192, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", extra[0][2]) if extra else (0, time.time_ns())
            try:
                self._take(parse(data, seconds * 1_000_000_000 + nanoseconds), source)
            except (Malformed, ValueError, IndexError):
                self.n_malformed += bool(data.strip())  # an empty datagram keeps a NAT open

    def _take(self, message: Message, source: Address) -> None:
        if message.method:
            known = self._answers.get((message.branch, message.method))
            if known:
                self.send(*known)
            else:
                self._on_request(message, source)
            return
        key = (message.branch, message.cseq_method)
        entry = self._requests.get(key)
        if entry is None:
            return
        on_response, pending = entry
        if pending:
            pending.stop()
        if key[1] == "INVITE":
            self._requests[key] = on_response, None
        elif message.status >= 200:
            del self._requests[key]
        on_response(message)
