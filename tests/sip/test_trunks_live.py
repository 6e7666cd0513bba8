"""Trunks over real sockets, SIPp as the carrier: fail-over, logins both ways, registration, identities, DNS."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from engine.callflow import events as e
from engine.callflow.events import Refusal
from engine.callflow.plan import Caller
from engine.callflow.rewrite import table
from engine.callflow.settings import Destination, Identity, Login, Numbers, Probing, Registration, Trunk
from engine.sip.trunks import Hop, Server
from tests.sip.peers import HOST, PORT, Ear, Sipp, got, in_dialog_ok, invite, pause, reply, request, sdp

DEAD = 18195  # nobody there; packets to it are refused by the kernel, which UDP's sender does not hear of
SILENT = Destination("127.9.9.9", 18198)  # a port that no SIPp has, as tests tell hops by it
SHOP = Caller(ani="+4940123", dnis="+8613800138000", trunk="carrier", name="Shop")
SOURCES = (IPv4Network("127.0.0.1/32"),)
ANSWERS = (got("INVITE"), reply(100), pause(20), reply(180), reply(200, sdp()), got("ACK"), got("BYE"), in_dialog_ok())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    """With one trunk; each test gives it the destinations it needs. Logins and registrations only a start takes, so
    they are here already."""
    folder = tmp_path_factory.mktemp("trunks")
    (folder / "password").write_text("s3cret\n")
    login = Login("agner", "carrier.example", str(folder / "password"))
    asked = replace(login, user="carrier", realm="agner", algorithms=("MD5",))  # SIPp knows no other
    registration = Registration("4940", Destination(HOST, REGISTRAR))
    ear = Ear()
    ear.start(trunks=(
        Trunk("carrier", SOURCES, probing=None, login=login, registration=registration),
        Trunk("spare", (), probing=None),
        Trunk("asks", (IPv4Network("127.0.0.2/32"),), challenge=asked),
    ))
    yield ear
    ear.endpoint.close()
    assert ear.endpoint.n_legs() == 0


@pytest.fixture
def over(ear: Ear) -> Iterator[Callable[..., Any]]:
    """Gives the trunk its destinations, and other settings."""
    at_first = [ways.trunk for ways in ear.endpoint.carriers.ways.values()]

    def set_up(*destinations: Destination, spare: tuple[Destination, ...] = (), **more: Any) -> Any:
        first = replace(at_first[0], destinations=destinations, overflow="spare" if spare else "", **more)
        ear.endpoint.carriers.renew([first, replace(at_first[1], destinations=spare), at_first[2]])
        ear.silence(0.02)
        return ear.endpoint.carriers.ways["carrier"]

    yield set_up
    ear.endpoint.carriers.renew(at_first)
    counts = [ways.n_calls for ways in ear.endpoint.carriers.ways.values()]
    assert all(count.total() == 0 for count in counts), counts


def to(phone: Sipp, priority: int = 1, transport: str = "") -> Destination:
    return Destination(HOST, phone.port, transport, priority)


def header(messages: str, name: str) -> list[str]:
    return re.findall(rf"^{name}: (.*?)\r?$", messages, re.M)


def call_and_end(ear: Ear, phone: Sipp, uri: str = "trunk:carrier/13800138000", offer: int = 7) -> float:
    """Seconds from dialling to the answer."""
    began = time.monotonic()
    leg = ear.endpoint.dial("c", offer, uri, SHOP, {})
    answered = ear.next(e.CalledAnswered)
    took = time.monotonic() - began
    assert answered.offer == offer
    ear.endpoint.hang_up(leg)
    ear.next(e.LegEnded)
    ear.until(phone.done)
    assert phone.passed()
    assert [type(event) for _, event in ear.heard].count(e.LegEnded) == 1
    return took


# ---- fail-over


def test_a_call_goes_out_and_comes_to_its_end(ear, sipp, over):
    phone = sipp(*ANSWERS)
    ear.until(phone.listening)
    ways = over(to(phone))
    call_and_end(ear, phone)
    assert ear.story() == ["CalledRinging", "LegMedia", "CalledAnswered", "LegEnded"]
    sent = phone.sent_and_received()
    assert f"INVITE sip:13800138000@127.0.0.1:{phone.port} SIP/2.0" in sent
    assert not header(sent, "Route") and not re.search("^X-Agner", sent, re.M)
    assert ways.n_total["out"] == 1 and ways.state_of(next(iter(ways.health)), time.monotonic()) == "up"


def test_after_503_the_next_destination_has_the_call_with_the_same_offer(ear, sipp, over):
    busy = sipp(got("INVITE"), reply(503, header="Retry-After: 120\n"), got("ACK"))
    phone = sipp(*ANSWERS)
    ear.until(lambda: busy.listening() and phone.listening())
    ways = over(to(busy), to(phone, 2))
    assert call_and_end(ear, phone) < 0.5
    ear.until(busy.done)
    assert busy.passed()
    states = {hop.port: ways.state_of(hop, time.monotonic()) for hop in ways.health}
    assert states == {busy.port: "resting", phone.port: "up"}
    again = sipp(*ANSWERS)
    ear.until(again.listening)
    over(to(busy), to(again, 2))
    ear.heard.clear()
    assert call_and_end(ear, again) < 0.5  # the busy one is not asked again


def test_a_destination_without_a_word_is_passed_over_within_a_second(ear, sipp, over):
    phone = sipp(*ANSWERS)
    ear.until(phone.listening)
    ways = over(SILENT, to(phone, 2))
    took = call_and_end(ear, phone)
    assert 0.99 < took < 1.2
    assert ways.state_of(next(hop for hop in ways.health if hop.port == SILENT.port), time.monotonic()) == "gone"
    again = sipp(*ANSWERS)
    ear.until(again.listening)
    over(SILENT, to(again, 2))
    ear.heard.clear()
    assert call_and_end(ear, again) < 0.5
    ear.until(lambda: ear.endpoint.n_closing() == 0, 40)


def test_a_connection_that_is_refused_costs_no_time(ear, sipp, over):
    phone = sipp(*ANSWERS)
    ear.until(phone.listening)
    over(Destination(HOST, DEAD, "tcp"), to(phone, 2))
    assert call_and_end(ear, phone) < 0.5


def test_busy_is_busy_at_the_first_destination(ear, sipp, over):
    busy, other = sipp(got("INVITE"), reply(180), reply(486), got("ACK")), sipp(*ANSWERS)
    ear.until(lambda: busy.listening() and other.listening())
    over(to(busy), to(other, 2))
    ear.endpoint.dial("c", 7, "trunk:carrier/1", SHOP, {})
    ear.next(e.LegEnded)
    assert ear.story() == ["CalledRinging", "CalledRefused", "LegEnded"]
    assert ear.next(e.CalledRefused).refusal is Refusal.BUSY
    other.stop()


def test_without_a_destination_left_the_next_trunk_and_then_nobody(ear, sipp, over):
    full, spare = (sipp(got("INVITE"), reply(503), got("ACK")) for _ in range(2))
    ear.until(lambda: full.listening() and spare.listening())
    over(to(full), spare=(to(spare),))
    ear.endpoint.dial_customer("c", "trunk:carrier/1", SHOP, {})
    ear.next(e.LegEnded)
    assert ear.story() == ["CustomerRefused", "LegEnded"]
    assert ear.next(e.CustomerRefused).refusal is Refusal.UNREACHABLE
    ear.until(lambda: full.done() and spare.done())
    assert full.passed() and spare.passed()


def test_limits_refuse_or_pass_on(ear, sipp, over):
    first, second = sipp(*ANSWERS), sipp(*ANSWERS)
    ear.until(lambda: first.listening() and second.listening())
    over(to(first), spare=(to(second),), max_calls_out=1)
    spare = ear.endpoint.carriers.ways["spare"]
    spare.trunk = replace(spare.trunk, max_calls_out=1)
    legs = [ear.endpoint.dial("c", n, "trunk:carrier/1", SHOP, {}) for n in (1, 2)]
    ear.next(e.CalledAnswered, 2)
    third = ear.endpoint.dial("c", 3, "trunk:carrier/1", SHOP, {})
    counts = {name: ways.n_calls["out"] for name, ways in ear.endpoint.carriers.ways.items()}
    assert ear.story()[-2:] == ["CalledRefused", "LegEnded"] and ear.next(e.LegEnded).leg == third
    for leg in legs:
        ear.endpoint.hang_up(leg)
    ear.next(e.LegEnded, 3)
    ear.until(lambda: first.done() and second.done())
    assert first.passed() and second.passed() and counts == {"carrier": 1, "spare": 1, "asks": 0}


def test_hanging_up_between_two_destinations_leaves_nothing(ear, sipp, over):
    phone = sipp(*ANSWERS)
    ear.until(phone.listening)
    over(SILENT, to(phone, 2))
    leg = ear.endpoint.dial("c", 7, "trunk:carrier/1", SHOP, {})
    ear.silence(0.5)
    ear.endpoint.hang_up(leg)
    ear.silence(1.0)
    ear.until(lambda: ear.endpoint.n_closing() == 0, 40)  # PJSIP waits for the silent one's last word
    assert ear.story() == ["LegEnded", "LegCleared"] and "INVITE" not in phone.sent_and_received()


def test_a_name_stands_in_the_request_that_goes_to_one_of_its_servers(ear, sipp, over):
    """As DNS would have it (test_trunks_names.py): the first server is silent, the second answers."""
    phone = sipp(*ANSWERS)
    ear.until(phone.listening)
    named = Destination("carrier.invalid")
    ways, now = over(named), time.monotonic()
    hops = Hop(SILENT.host, SILENT.port or 0, "udp"), Hop(HOST, phone.port, "udp")
    ways.found(named, [Server(hops[0], 10, 1), Server(hops[1], 20, 1)], now)
    assert 0.99 < call_and_end(ear, phone) < 1.2
    sent = phone.sent_and_received()
    assert "INVITE sip:13800138000@carrier.invalid SIP/2.0" in sent and not header(sent, "Route")
    ear.until(lambda: ear.endpoint.n_closing() == 0, 40)


# ---- identities and numbers


def test_what_a_trunk_wants_to_be_told(ear, sipp, over):
    phone = sipp(*ANSWERS)
    ear.until(phone.listening)
    numbers = Numbers(called_out=table([("+86*", "0086*")]), caller_out=table([("+49*", "0*")]))
    identity = Identity(caller_to=("P-Asserted-Identity",), own_number="88880000")
    over(to(phone), numbers=numbers, identity=identity)
    call_and_end(ear, phone, "trunk:carrier/+8613800138000")
    sent = phone.sent_and_received()
    assert f"INVITE sip:008613800138000@127.0.0.1:{phone.port} SIP/2.0" in sent
    assert header(sent, "P-Asserted-Identity")[0] == '"Shop" <sip:040123@127.0.0.1>'
    assert header(sent, "From")[0].startswith("<sip:88880000@127.0.0.1>;tag=")


def test_who_withheld_the_number_is_anonymous_to_the_trunk(ear, sipp, over):
    phone = sipp(got("INVITE"), reply(486), got("ACK"))
    ear.until(phone.listening)
    over(to(phone))
    ear.endpoint.dial("c", 7, "trunk:carrier/1", Caller("", "1", "t", "known"), {}, "known")
    ear.next(e.LegEnded)
    sent = phone.sent_and_received()
    assert header(sent, "From")[0].startswith('"Anonymous" <sip:anonymous@anonymous.invalid>')
    assert header(sent, "Privacy")[0] == "id" and "known" not in sent


def test_a_caller_is_known_by_the_headers_that_the_trunk_may_set(ear, sipp, over):
    lines = "P-Asserted-Identity: <sip:040555@h>\nRemote-Party-ID: <sip:1@h>;party=calling\nDiversion: <sip:0200@h>\n"
    over(
        identity=Identity(("P-Asserted-Identity",), ("Diversion",)),
        numbers=Numbers(called_in=table([("0*", "+49*")]), caller_in=table([("0*", "+49*")])),
    )
    caller = sipp(invite().replace("Max-Forwards", lines + "Max-Forwards"), got(100, True), got(486), request("ACK"))
    arrived = ear.next(e.CallArrived)
    assert (arrived.caller.ani, arrived.caller.dnis) == ("+4940555", "+49200")
    assert ear.endpoint.carriers.ways["carrier"].n_calls["in"] == 1
    ear.endpoint.reject(arrived.leg, 486)
    ear.until(caller.done)
    assert caller.passed()


# ---- logins


def challenge(status: int, realm: str) -> str:
    kind = "WWW" if status == 401 else "Proxy"
    line = f'{kind}-Authenticate: Digest realm="{realm}", nonce="abc", qop="auth", algorithm=MD5\n'
    return reply(status, header=line)


@pytest.mark.parametrize("status", [401, 407])
def test_a_carriers_challenge_to_our_invite_is_answered(ear, sipp, over, status):
    name = "Authorization" if status == 401 else "Proxy-Authorization"
    phone = sipp(
        got("INVITE"), challenge(status, "carrier.example"), got("ACK"),
        got("INVITE", check=f'{name}: Digest username=.agner., realm=.carrier.example.'),
        *ANSWERS[1:],
    )
    ear.until(phone.listening)
    over(to(phone))
    call_and_end(ear, phone)
    assert "s3cret" not in phone.sent_and_received()


def test_no_other_realm_draws_the_password(ear, sipp, over):
    phone = sipp(got("INVITE"), challenge(401, "evil.example"), got("ACK"))
    ear.until(phone.listening)
    over(to(phone))
    ear.endpoint.dial("c", 7, "trunk:carrier/1", SHOP, {})
    ear.next(e.LegEnded)
    assert ear.next(e.CalledRefused).status == 401
    ear.until(phone.done)
    assert phone.passed() and "Authorization" not in phone.sent_and_received().replace("WWW-Auth", "")


@pytest.mark.parametrize("to_whom", ["100", "agner"])
def test_a_callers_challenge_inside_the_call_draws_nothing(ear, sipp, over, to_whom):
    """S12: our BYE is challenged with the very realm of the trunk's login; `agner` is the user that logs in."""
    over()
    evil = reply(401, header='WWW-Authenticate: Digest realm="carrier.example", nonce="x", algorithm=MD5\n')
    evil = evil.replace("[last_To:];tag=[call_number]", "[last_To:]")
    caller = sipp(
        invite().replace("sip:100@", f"sip:{to_whom}@"), got(100, True), got(200), request("ACK"), got("BYE"), evil,
        pause(300),
    )
    arrived = ear.next(e.CallArrived)
    ear.endpoint.answer(arrived.leg)
    ear.next(e.CallerAnswered)
    ear.silence(0.2)
    ear.endpoint.hang_up(arrived.leg)
    ear.until(caller.done)
    assert caller.passed()
    messages = caller.sent_and_received()
    assert len(re.findall("^BYE ", messages, re.M)) == 1 and not re.search("^(Proxy-)?Authorization", messages, re.M)


def logs_in(password: str, last: str, *after: str) -> tuple[str, ...]:
    """An INVITE, its challenge, and the INVITE again with SIPp's own digest."""
    ack = request("ACK").replace("[next_url]", "sip:100@[remote_ip]:[remote_port]")
    second = invite(cseq=1).replace("CSeq: 1 INVITE", "CSeq: 2 INVITE").replace(
        "Max-Forwards", f"[authentication username=carrier password={password}]\nMax-Forwards"
    )
    challenged = '<recv response="401" auth="true"></recv>'
    return invite(), got(100, True), challenged, ack, second, got(100, True), last, *after


def test_a_trunk_that_must_log_in_does_so(ear, sipp, over):
    over()
    ack = request("ACK", 2)
    caller = sipp(*logs_in("s3cret", got(200), ack, got("BYE"), in_dialog_ok()), ip="127.0.0.2")
    arrived = ear.next(e.CallArrived)
    assert arrived.caller.trunk == "asks"
    ear.endpoint.answer(arrived.leg)
    ear.next(e.CallerAnswered)
    ear.endpoint.hang_up(arrived.leg)
    ear.until(caller.done)
    assert caller.passed()


def test_with_a_wrong_password_nothing_happens(ear, sipp, over, caplog):
    over()
    caller = sipp(*logs_in("guess", got(401)), ip="127.0.0.2")
    ear.until(caller.done)
    assert caller.passed() and ear.heard == []
    assert any("wrong password" in record.message for record in caplog.records)
    assert ear.endpoint.carriers.ways["asks"].n_total["in"] <= 1


# ---- registration

REGISTRAR = 18197
CHALLENGE = 'WWW-Authenticate: Digest realm="carrier.example", nonce="abc", qop="auth", algorithm=MD5\n'


def granted(expires_s: int) -> str:
    contact = f"Contact: <sip:4940@127.0.0.1:{PORT}>;expires={expires_s}\n"
    return reply(200).replace("Contact: <sip:phone@[local_ip]:[local_port];transport=[transport]>\n", contact)


def test_we_register_answer_the_challenge_and_refresh(ear, sipp, over):
    """One REGISTER was sent when the endpoint started, to nobody; the next one finds the registrar. Binding: 8 s, so
    that PJSIP refreshes it 5 s before its end."""
    right = got("REGISTER", check="Authorization: Digest username=.agner., realm=.carrier.example.")
    registrar = sipp(
        *(got("REGISTER"), reply(401, header=CHALLENGE), right, granted(8)),
        *(got("REGISTER"), granted(600)),  # the refresh; it would be challenged again, as the first
        port=REGISTRAR,
    )
    state = lambda: ear.endpoint.carriers.rows()[0]["registration"]  # noqa: E731
    ear.until(lambda: state()["state"] == "registered", 45)
    assert state()["registrar"] == f"sip:127.0.0.1:{REGISTRAR}" and state()["user"] == "4940" and not state()["why"]
    ear.until(registrar.done, 10)
    assert registrar.passed() and state()["left_s"] > 500
    sent = registrar.sent_and_received()
    assert f"REGISTER sip:127.0.0.1:{REGISTRAR} SIP/2.0" in sent and "s3cret" not in sent
    assert header(sent, "To")[0].startswith("<sip:4940@127.0.0.1>") and "<sip:4940@127.0.0.1:18060" in sent


# ---- probes


def test_probes_measure_lose_and_find_again(ear, sipp, over):
    phone = sipp(got("OPTIONS"), reply(200))
    ear.until(phone.listening)
    ways = over(to(phone), probing=Probing(1.0, 2))
    (hop,) = ways.health
    ear.until(lambda: ways.state_of(hop, time.monotonic()) == "up")
    assert 0 < ways.health[hop].rtt_s < 0.2
    ear.until(phone.done)
    ear.until(lambda: ways.state_of(hop, time.monotonic()) == "gone", 6)
    phone.stop()
    row = ear.endpoint.carriers.rows()[0]
    assert row["destinations"][0]["state"] == "gone" and "s3cret" not in str(row)
