"""The gate before PJSIP: what comes from strangers, what has an absurd shape, what comes too fast. Real datagrams."""

import operator
import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from engine.callflow import events as e
from engine.callflow import settings
from engine.sip import gate, library
from tests.sip.peers import HOST, PORT, Ear, RawCaller, Sipp, got, invite, pause, request, sdp
from tests.sip.test_torture import is_alive

BAN_AFTER, BAN_S = 20, 1.0
RULES = settings.Gate(tells_strangers=True, ban_after=BAN_AFTER, ban_s=BAN_S, burst=5, per_s=1, answers_per_s=1000)
SDP = sdp().replace("[local_ip]", HOST).replace("[media_ip]", HOST).replace("[media_port]", "9")


@pytest.fixture(scope="module")
def running() -> Iterator[Ear]:
    ear = Ear()
    ear.start(gate=RULES)
    yield ear
    ear.endpoint.close()
    assert ear.endpoint.n_legs() == 0


class Sender:
    """Sends what it likes from an address, and hears what comes back."""

    def __init__(self, address: str) -> None:
        self._line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._line.bind((address, 0))
        self._line.setblocking(False)
        self.address = address
        self.here = f"{address}:{self._line.getsockname()[1]}"
        self._n = 0

    def raw(self, text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.replace("\n", "\r\n").encode()
        self._line.sendto(data, (HOST, PORT))

    def send(self, method: str = "INVITE", user: str = "100", head: str = "", body: str = "") -> None:
        self._n += 1
        self.raw(
            f"{method} sip:{user}@{HOST} SIP/2.0\nVia: SIP/2.0/UDP {self.here};branch=z9hG4bK{self.here}{self._n}\n"
            f"From: <sip:x@{self.here}>;tag=1\nTo: <sip:{user}@{HOST}>\nCall-ID: {self._n}-{self.here}\n"
            f"CSeq: 1 {method}\nContact: <sip:x@{self.here}>\nMax-Forwards: 70\n{head}"
            f"Content-Type: application/sdp\nContent-Length: {len(body) + body.count(chr(10))}\n\n{body}"
        )

    def heard(self, ear: Ear, within_s: float = 0.1) -> list[str]:
        answers, end = [], time.monotonic() + within_s
        while time.monotonic() < end:
            ear.endpoint.poll(0.005)
            try:
                answers.append(self._line.recv(65535).decode())
            except OSError:
                continue
        return answers

    def close(self) -> None:
        self._line.close()


strangers = (f"127.0.0.{n}" for n in range(66, 255))  # nobody of them has been seen before


@pytest.fixture
def sender(ear: Ear) -> Iterator[Callable[..., Sender]]:
    made: list[Sender] = []

    def make(address: str = "") -> Sender:
        made.append(Sender(address or next(strangers)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def answer_all(ear: Ear) -> None:
    ear.on_post = lambda call, event: ear.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None


# ---- strangers


def test_a_stranger_gets_the_same_answer_whatever_is_dialled_and_nothing_happens(ear, sender):
    """security.md S5."""
    stranger, answers = sender(), []
    for user, method in (("100", "INVITE"), ("999", "INVITE"), ("100", "OPTIONS"), ("1001", "REGISTER")):
        stranger.send(method, user)
        (answer,) = stranger.heard(ear)
        # but for what the request itself brought
        told = ("Via", "Call-ID", "CSeq", "To")
        answers.append([line for line in answer.split("\r\n") if line.split(":")[0] not in told])
    assert answers[0][0] == "SIP/2.0 403 Forbidden" and all(answer == answers[0] for answer in answers)
    assert ear.heard == [] and ear.endpoint.n_closing() == 0


def test_who_does_not_stop_is_banned_for_a_time_and_others_are_not(ear, sender):
    stranger, other = sender(), sender()
    for _ in range(BAN_AFTER + 10):
        stranger.send()
    assert len(stranger.heard(ear)) == RULES.burst, "answers have a rate of their own"
    assert [ban.source for ban in gate.bans()] == [stranger.address]
    stranger.send()
    other.send()
    assert stranger.heard(ear) == [] and len(other.heard(ear)) == 1
    time.sleep(BAN_S)
    assert gate.bans() == []
    stranger.send()
    assert len(stranger.heard(ear)) == 1


def test_an_operator_lifts_a_ban(ear, sender):
    stranger = sender()
    for _ in range(BAN_AFTER):
        stranger.send()
    stranger.heard(ear)
    assert gate.lift(stranger.address) and not gate.lift(stranger.address) and gate.bans() == []


def test_nothing_that_is_sent_in_its_name_bans_a_known_address(ear, sender):
    """security.md S11: whoever forges a trunk's address, once or often, bans nobody."""
    forger = sender(HOST)
    for _ in range(3 * BAN_AFTER):
        forger.send("REGISTER", "friendly-scanner")
    forger.heard(ear)
    assert gate.bans() == [] and is_alive(ear)


# ---- shape


@pytest.mark.parametrize(
    "head, body",
    [
        ("", SDP + "m=video 0 RTP/AVP 31\n" * 9),
        ("", SDP + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\n" * 17),
        ("X-Filler: 1\n" * 200, SDP),
    ],
    ids=["media", "crypto", "headers"],
)
def test_an_absurd_message_never_reaches_pjsip(ear, sender, head, body):
    trunk, before = sender(HOST), gate.counts()
    trunk.send(head=head, body=body)
    answers = [answer.split("\r\n")[0] for answer in trunk.heard(ear)]
    assert answers == ["SIP/2.0 400 Bad Request"] and ear.heard == []
    assert gate.counts()["absurd"] == before["absurd"] + 1


def test_garbage_is_counted_and_keeps_nobody_from_an_answer(ear, sender):
    """security.md S8: empty, one byte, NULs, the longest datagram, 4001 bytes."""
    trunk, before = sender(HOST), gate.counts()["garbage"]
    for datagram in (b"", b"x", bytes(100), b"INVITE" * 10000, b"A" * 65507, b"\r\n\r\n", b"INVITE sip:" + b"a" * 3990):
        trunk.raw(datagram)
        assert is_alive(ear)
    assert ear.heard == [] and gate.counts()["garbage"] >= before + 4


# ---- calls in progress


def test_a_call_goes_on_though_a_stranger_knows_its_tags(ear, sender, sipp: Callable[..., Sipp]):
    """security.md S10: requests with the right tags from a foreign address, and with a wrong tag from the trunk's."""
    answer_all(ear)
    caller = sipp(invite(), got(100, True), got(200), request("ACK"), pause(2500), request("BYE", 2), got(200))
    ear.next(e.CallerAnswered)
    ear.until(lambda: "\nACK " in caller.sent_and_received())  # SIPp writes its log when it likes
    trace = caller.sent_and_received()
    call_id = trace.split("Call-ID: ")[1].split()[0]
    their_tag = trace.split("\nFrom:")[1].split(";tag=")[1].split()[0]
    our_tag = trace.split("SIP/2.0 200 OK")[1].split("\nTo:")[1].split(";tag=")[1].split()[0]
    for method in ("BYE", "INVITE", "UPDATE", "INFO", "REFER", "CANCEL"):
        for address, tag, right in (("", our_tag, set()), (HOST, "wrong", {"SIP/2.0 481"})):
            foreign, before = sender(address), gate.counts()["foreign"]
            to, is_told = f"<sip:100@{HOST}>;tag={tag}", not address
            if method == "CANCEL":  # has no tag, so it is a stranger's
                to, is_told, right = f"<sip:100@{HOST}>", False, right or {"SIP/2.0 403"}
            foreign.raw(
                f"{method} sip:agner@{HOST}:{PORT} SIP/2.0\n"
                f"Via: SIP/2.0/UDP {foreign.here};branch=z9hG4bK{method}{tag}\n"
                f"From: <sip:+15551234@{HOST}>;tag={their_tag}\nTo: {to}\nCall-ID: {call_id}\n"
                f"CSeq: 9 {method}\nContact: <sip:x@{foreign.here}>\nMax-Forwards: 70\nContent-Length: 0\n\n"
            )
            assert {answer[:11] for answer in foreign.heard(ear)} == right, method
            assert gate.counts()["foreign"] - before == is_told
    assert not {"CallerGone", "LegEnded"} & set(ear.story())
    ear.next(e.LegEnded)
    ear.until(caller.done)
    assert caller.passed()


# ---- what nobody here has a use for

ALLOWED = {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO", "PRACK", "REFER"}
UNUSED = {
    "SUBSCRIBE": "Event: {event}\nExpires: 3600\n",
    "NOTIFY": "Event: {event}\nSubscription-State: active\n",
    "PUBLISH": "Event: {event}\nExpires: 3600\n",
    "MESSAGE": "",
}


def header(text: str, name: str) -> set[str]:
    """Its values."""
    lines = [line.partition(":")[2] for line in text.split("\r\n") if line.startswith(f"{name}:")]
    return {value.strip() for line in lines for value in line.split(",")}


def in_pjsip() -> tuple[int, int]:
    """Transactions and dialogs."""
    return library.C.pjsip_tsx_layer_get_tsx_count(), library.C.pjsip_ua_get_dlg_set_count()


@pytest.mark.parametrize("method", UNUSED)
@pytest.mark.parametrize("event", ["presence", "message-summary", "refer", "dialog"])
def test_presence_messages_and_news_are_405_and_leave_nothing(ear, sender, method, event):
    """RFC 3261 section 8.2.1: known, and not supported. PJSIP would answer 200 to most, and keep the subscriptions."""
    known, before = sender(HOST), in_pjsip()
    known.send(method, head=UNUSED[method].format(event=event))
    (answer,) = known.heard(ear)
    assert answer.startswith("SIP/2.0 405 ") and header(answer, "Allow") == ALLOWED
    assert all(map(operator.le, in_pjsip(), before)) and ear.heard == []


def test_a_method_that_nobody_knows_is_501(ear, sender):
    known = sender(HOST)
    known.send("BREAKDANCE")
    (answer,) = known.heard(ear)
    assert answer.startswith("SIP/2.0 501 ") and ear.heard == []


def test_options_tells_what_is_allowed(ear, sender):
    known = sender(HOST)
    known.send("OPTIONS")
    (answer,) = known.heard(ear)
    assert answer.startswith("SIP/2.0 200 ") and header(answer, "Allow") == ALLOWED
    assert header(answer, "Allow-Events") == {"refer"}


def test_nor_do_they_reach_anybody_inside_a_call(ear, sipp: Callable[..., Sipp]):
    answer_all(ear)
    inside = [request(method, n).replace("Content-Length", UNUSED[method].format(event="presence") + "Content-Length")
              for n, method in enumerate(UNUSED, 2)]  # fmt: skip
    steps = [step for one in inside for step in (one, got(405))]
    caller = sipp(invite(), got(100, True), got(200), request("ACK"), *steps, request("BYE", 9), got(200))
    ear.next(e.LegEnded)
    ear.until(caller.done)
    assert caller.passed()
    told = re.findall(r"^Allow: (.*?)\r?$", caller.sent_and_received(), re.MULTILINE)
    assert len(told) > len(UNUSED) and {frozenset(line.split(", ")) for line in told} == {frozenset(ALLOWED)}


def test_more_calls_a_second_than_a_trunk_may_bring_get_503(ear):
    gate.set_rate(0, 3)
    callers = [RawCaller(SDP) for _ in range(10)]
    rejected: set[int] = set()

    def all_told() -> bool:
        for leg in {event.leg for event in ear.all(e.CallArrived)} - rejected:
            rejected.add(leg)
            ear.endpoint.reject(leg, 480)
        return all(caller.final() >= 200 for caller in callers)

    ear.until(all_told)
    gate.set_rate(0, 0)
    finals = sorted(caller.final() for caller in callers)
    for caller in callers:
        caller.close()
    assert finals == [480] * 3 + [503] * 7


def test_overload_refuses_new_calls_and_leaves_the_others_alone(ear, sender, sipp: Callable[..., Sipp]):
    answer_all(ear)
    caller = sipp(invite(), got(100, True), got(200), request("ACK"), pause(300), request("BYE", 2), got(200))
    ear.next(e.CallerAnswered)
    gate.set_overload(7, 0.0)
    late = sender(HOST)
    late.send(body=SDP)
    (answer,) = late.heard(ear)
    ear.next(e.LegEnded)
    gate.set_overload(0, 0.0)
    ear.until(caller.done)
    assert answer.startswith("SIP/2.0 503") and "Retry-After: 7" in answer
    assert caller.passed() and len(ear.all(e.CallArrived)) == 1
