"""Callers on a trunk and agents' phones, hundreds of each on one UDP socket. What they measured is in their records.

A caller dials, talks (RTP from the answer on) and hangs up after its talk time, or waits for the other end to do so. It
may press keys, or give up at any moment. An agent's phone rings, answers, and hangs up after its talk time, or waits
likewise; it may decline, or ring on. Counterparts: sip.py sends, RtpSource speaks.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.generator import sdp
from benchmarks.generator.sip import (
    T2_S,
    Address,
    Message,
    Pending,
    Transport,
    address_of,
    compose,
    parameter,
    response,
    uri_in,
    user_of,
)
from benchmarks.generator.source import RtpSource

BETWEEN_KEYS_S = 0.25
ALLOW = ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO")


@dataclass(slots=True)
class Record:
    """One leg as its phone saw it. Times in ns of real time, 0 if it never came to it."""

    id: int  # the RTP stream's, too
    user: str  # the caller's number, the agent's user
    invite_ns: int
    answered_ns: int = 0  # 200 seen by the caller, sent by the agent
    ended_ns: int = 0
    ended_by: str = ""  # "us", "far end"
    failure: str = ""  # why it is not a good call, as seen from here
    retry_after: str = ""  # told with a refusal
    law: int = 8
    wants: str = "talk"  # how the caller means the call to end: talk, plan (the switch ends it), gives up


@dataclass(slots=True)
class Voice:
    """Where RTP comes from: sockets of one side, used in turn. Stream ids of the side are odd or even."""

    source: RtpSource
    ip: str
    ports: list[int]
    sockets: list[int]
    n_ids: int
    n_used: int = 0

    @classmethod
    def on(cls, source: RtpSource, ip: str, first_port: int, n_sockets: int, side: int) -> "Voice":
        ports = [first_port + 2 * i for i in range(n_sockets)]
        return cls(source, ip, ports, [source.add_socket(ip, port, side) for port in ports], side + 1)

    def next_id(self) -> int:
        self.n_ids += 2
        return self.n_ids

    def pick(self) -> int:
        self.n_used += 1
        return self.n_used % len(self.ports)


@dataclass(slots=True, eq=False)
class Leg:
    """One dialog and its audio."""

    phone: "Phone"
    record: Record
    call_id: str
    local: str  # our From or To value, with tag
    remote: str
    target: str  # request URI
    to: Address
    voice_at: int
    routes: list[str] = field(default_factory=list)
    cseq: int = 1
    slot: int = -1
    key_payload: int = 0  # as which keys are sent, 0 if the far end takes none
    branch: str = ""
    invite: Message | None = None  # the agent's: what is answered
    pending: Pending | None = None  # a final response that waits for its ACK
    ack: bytes = b""
    on_answer: Callable[[], object] = lambda: None  # the caller's: audio goes both ways from here on
    timer: asyncio.TimerHandle | None = None
    ended: bool = False

    def speak(self, media: sdp.Media) -> None:
        if self.slot < 0:
            voice = self.phone.voice
            self.slot = voice.source.open(
                self.record.id, voice.sockets[self.voice_at], media.ip, media.port, media.law, media.ssrc
            )
            self.key_payload = media.keys

    def press(self, keys: str) -> None:
        """One after the other, as a person would; keys that come after the end are lost."""
        if self.ended or self.slot < 0 or not keys:
            return
        if not self.key_payload:
            self.record.failure = self.record.failure or "the switch takes no keys"
            return
        self.phone.voice.source.press(self.slot, keys[0], self.key_payload)
        self.phone.loop.call_later(BETWEEN_KEYS_S, self.press, keys[1:])

    def describe(self, law: int) -> str:
        voice = self.phone.voice
        return sdp.describe(voice.ip, voice.ports[self.voice_at], law, self.record.id)

    def headers(self, method: str, branch: str, cseq: int) -> list[tuple[str, str]]:
        return [
            ("Via", self.phone.transport.via(branch)),
            *(("Route", route) for route in self.routes),
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<{self.phone.contact(self.record.user)}>"),
        ]

    def hang_up(self) -> None:
        """The leg ends now; the BYE is repeated until answered."""
        if not self.ended:
            self.end("us", self.send_bye())

    def send_bye(self) -> int:
        self.cseq += 1
        branch = self.phone.transport.new_branch()
        data = compose(f"BYE {self.target} SIP/2.0", self.headers("BYE", branch, self.cseq))
        return self.phone.transport.request("BYE", branch, data, self.to, self._bye_answered)

    def _bye_answered(self, answer: Message | None) -> None:
        if answer is None:
            self.record.failure = self.record.failure or "BYE not answered"
        elif answer.status >= 300:
            self.record.failure = self.record.failure or f"BYE answered {answer.status}"

    def end(self, by: str, at_ns: int, failure: str = "") -> None:
        if self.ended:
            return
        self.ended = True
        self.record.ended_ns, self.record.ended_by = at_ns, by
        self.record.failure = self.record.failure or failure
        if self.timer:
            self.timer.cancel()
        if self.pending:
            self.pending.stop()
        if self.slot >= 0:
            self.phone.voice.source.close(self.slot)
        self.phone.leg_ended(self)


class Phone:
    """What both sides share: the socket, the dialogs, and requests inside a dialog."""

    def __init__(self, address: Address, voice: Voice, law: int) -> None:
        self.voice = voice
        self.law = law
        self.legs: dict[str, Leg] = {}
        self.records: list[Record] = []
        self.on_end: Callable[[Leg], None] = lambda leg: None
        self.loop = asyncio.get_running_loop()
        self.transport = Transport(address, self._request)

    def contact(self, user: str) -> str:
        ip, port = self.transport.address
        return f"sip:{user}@{ip}:{port}"

    def leg_ended(self, leg: Leg) -> None:
        self.loop.call_later(T2_S, self._forget, leg)  # a repeated 200 or BYE still finds it
        self.on_end(leg)

    def _forget(self, leg: Leg) -> None:
        if self.legs.get(leg.call_id) is leg:
            del self.legs[leg.call_id]
        if leg.branch:
            self.transport.forget(leg.branch, "INVITE")

    def _request(self, request: Message, source: Address) -> None:
        leg = self.legs.get(request.headers["call-id"])
        if request.method == "ACK":
            if leg and leg.pending:
                leg.pending.stop()
                self._acked(leg)
        elif leg is None:
            self._out_of_dialog(request, source)
        elif request.method == "BYE":
            self.transport.answer(request, response(request, 200, "OK"), source)
            leg.end("far end", request.at_ns)
        elif request.method == "CANCEL":
            self.transport.answer(request, response(request, 200, "OK"), source)
            self._cancelled(leg, request)
        elif request.method == "INVITE":
            body = leg.describe(leg.record.law)
            self.transport.answer(request, response(request, 200, "OK", more=self._ours(leg), body=body), source)
        else:
            self.transport.answer(request, response(request, 200, "OK", more=[ALLOW]), source)

    def _ours(self, leg: Leg) -> list[tuple[str, str]]:
        return [("Contact", f"<{self.contact(leg.record.user)}>"), ALLOW]

    def _out_of_dialog(self, request: Message, source: Address) -> None:
        status, reason = (200, "OK") if request.method == "OPTIONS" else (481, "Call Does Not Exist")
        self.transport.answer(request, response(request, status, reason, secrets.token_hex(4)), source)

    def _acked(self, leg: Leg) -> None: ...

    def _cancelled(self, leg: Leg, request: Message) -> None: ...


class Callers(Phone):
    """The trunk's end: dial() makes a caller."""

    def dial(self, number: str, to: Address, user: str, talk_s: float | None, patience_s: float = 120.0) -> Leg:
        """talk_s counts from the answer; None: the other end hangs up. Longer than patience_s is a failed call."""
        ip, port = self.transport.address
        branch = self.transport.new_branch()
        uri = f"sip:{number}@{to[0]}:{to[1]}"
        leg = Leg(
            self,
            Record(self.voice.next_id(), user, 0, law=self.law),
            call_id=f"{secrets.token_hex(8)}@{ip}",
            local=f"<sip:{user}@{ip}:{port}>;tag={secrets.token_hex(4)}",
            remote=f"<{uri}>",
            target=uri,
            to=to,
            voice_at=self.voice.pick(),
            branch=branch,
        )
        self.legs[leg.call_id] = leg
        self.records.append(leg.record)
        data = compose(
            f"INVITE {uri} SIP/2.0", [*leg.headers("INVITE", branch, leg.cseq), ALLOW], leg.describe(self.law)
        )
        leg.timer = self.loop.call_later(patience_s, self._out_of_patience, leg)
        leg.record.invite_ns = self.transport.request(
            "INVITE", branch, data, to, lambda answer: self._answered(leg, talk_s, answer)
        )
        return leg

    def _answered(self, leg: Leg, talk_s: float | None, answer: Message | None) -> None:
        if answer is None:
            leg.end("us", time.time_ns(), "no response to INVITE")
        elif answer.status >= 300:
            data = compose(f"ACK {leg.target} SIP/2.0", self._ack_headers(leg, leg.branch, answer.headers["to"]))
            self.transport.send(data, leg.to)
            leg.record.retry_after = answer.headers.get("retry-after", "")
            leg.end("far end", answer.at_ns, f"{answer.status} {answer.reason}")
        elif answer.status >= 200:
            if not leg.ack:
                self._establish(leg, talk_s, answer)
            self.transport.send(leg.ack, leg.to)

    def _establish(self, leg: Leg, talk_s: float | None, answer: Message) -> None:
        leg.record.answered_ns = answer.at_ns
        leg.remote = answer.headers["to"]
        leg.routes = answer.routes[::-1]
        leg.target = uri_in(answer.headers.get("contact", f"<{leg.target}>"))
        leg.to = address_of(leg.routes[0].strip("<>") if leg.routes else leg.target)
        leg.ack = compose(f"ACK {leg.target} SIP/2.0", self._ack_headers(leg, self.transport.new_branch(), leg.remote))
        if leg.ended:  # it crossed our CANCEL
            self.loop.call_soon(leg.send_bye)
            return
        try:
            leg.speak(sdp.read(answer.body))
        except (ValueError, OSError) as error:
            leg.record.failure = str(error)
            self.loop.call_soon(leg.hang_up)
            return
        if talk_s is not None and leg.timer:
            leg.timer.cancel()
            leg.timer = self.loop.call_later(talk_s, leg.hang_up)
        leg.on_answer()

    def _ack_headers(self, leg: Leg, branch: str, to: str) -> list[tuple[str, str]]:
        headers = leg.headers("ACK", branch, 1)
        return [(name, to if name == "To" else value) for name, value in headers]

    def _out_of_patience(self, leg: Leg) -> None:
        leg.record.failure = leg.record.failure or "out of patience"
        self.give_up(leg)

    def give_up(self, leg: Leg) -> None:
        """BYE or CANCEL, as the call's state needs."""
        if leg.ended:
            return
        if leg.ack:
            leg.hang_up()
        else:
            self.cancel(leg)

    def cancel(self, leg: Leg) -> None:
        """RFC 3261 section 9.1; the final response to the INVITE is still acknowledged."""
        headers = [("Via", self.transport.via(leg.branch)), ("Max-Forwards", "70"), ("From", leg.local)]
        headers += [("To", leg.remote), ("Call-ID", leg.call_id), ("CSeq", "1 CANCEL")]
        data = compose(f"CANCEL {leg.target} SIP/2.0", headers)
        leg.end("us", self.transport.request("CANCEL", leg.branch, data, leg.to, lambda answer: None))


class Agents(Phone):
    """Agents' phones: every user of the address answers. What else they do, functions of the user tell.

    `has_lines`: a user takes any number of calls at once, as a carrier does. Made `silent`, it answers nothing new, and
    calls that are up go on.
    """

    def __init__(self, address: Address, voice: Voice, law: int, ring_s: float = 0.0, has_lines: bool = False) -> None:
        super().__init__(address, voice, law)
        self.rings_s: Callable[[str], float | None] = lambda user: ring_s  # None: until the caller stops
        self.declines: Callable[[str], bool] = lambda user: False
        self.talk_s: Callable[[str], float | None] = lambda user: None
        self.busy: dict[str, Leg] = {}
        self.has_lines = has_lines
        self.silent = False
        self.n_rejected = 0

    def _out_of_dialog(self, request: Message, source: Address) -> None:
        if self.silent:
            return
        if request.method != "INVITE":
            super()._out_of_dialog(request, source)
            return
        user = user_of(request.uri)
        tag = secrets.token_hex(4)
        if user in self.busy and not self.has_lines:
            self.n_rejected += 1
            self.transport.answer(request, response(request, 486, "Busy Here", tag), source)
            return
        contact = request.headers.get("contact", "")
        leg = Leg(
            self,
            Record(self.voice.next_id(), user, request.at_ns, law=self.law),
            call_id=request.headers["call-id"],
            local=f"{request.headers['to']};tag={tag}",
            remote=request.headers["from"],
            target=uri_in(contact),
            to=address_of(uri_in(contact)) if contact else source,
            voice_at=self.voice.pick(),
            routes=request.routes,
            invite=request,
        )
        if leg.routes:
            leg.to = address_of(leg.routes[0].strip("<>"))
        self.legs[leg.call_id] = self.busy[user] = leg
        self.records.append(leg.record)
        if self.declines(user):
            self._refuse(leg, 486, "Busy Here", "declined", source)
            return
        self.transport.answer(request, response(request, 180, "Ringing", tag, self._ours(leg)), source)
        ring_s = self.rings_s(user)
        if ring_s:
            leg.timer = self.loop.call_later(ring_s, self._pick_up, leg, tag, source)
        elif ring_s is not None:
            self._pick_up(leg, tag, source)

    def _pick_up(self, leg: Leg, tag: str, source: Address) -> None:
        assert leg.invite
        try:
            media = sdp.read(leg.invite.body)
            leg.speak(media)
        except (ValueError, OSError) as error:
            self._refuse(leg, 488, "Not Acceptable Here", str(error), source)
            return
        leg.record.law = media.law
        data = response(leg.invite, 200, "OK", tag, self._ours(leg), leg.describe(media.law))
        leg.record.answered_ns = self.transport.answer(leg.invite, data, source)
        leg.pending = Pending(self.transport, data, source, T2_S, lambda: leg.end("us", time.time_ns(), "no ACK"))
        talk_s = self.talk_s(leg.record.user)
        leg.timer = self.loop.call_later(talk_s, leg.hang_up) if talk_s is not None else None

    def _refuse(self, leg: Leg, status: int, reason: str, failure: str, source: Address) -> None:
        assert leg.invite
        data = response(leg.invite, status, reason, parameter(leg.local, "tag"))
        leg.end("us", self.transport.answer(leg.invite, data, source), failure)
        leg.pending = Pending(self.transport, data, source, T2_S, lambda: None)

    def _cancelled(self, leg: Leg, request: Message) -> None:
        if not leg.record.answered_ns and not leg.ended:
            leg.end("far end", request.at_ns, "cancelled")
            assert leg.invite
            data = response(leg.invite, 487, "Request Terminated", parameter(leg.local, "tag"))
            self.transport.answer(leg.invite, data, leg.to)
            leg.pending = Pending(self.transport, data, leg.to, T2_S, lambda: None)

    def leg_ended(self, leg: Leg) -> None:
        if self.busy.get(leg.record.user) is leg:
            del self.busy[leg.record.user]
        super().leg_ended(leg)
