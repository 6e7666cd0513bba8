"""Phones that log in, over real sockets against the real room: digest, refresh, NAT, TCP, forks, phones that vanish;
phones that dial: whose INVITE is a call, and whose is a stranger's."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.callflow import events as e
from engine.callflow import settings
from engine.callflow.plan import Caller
from engine.sip import gate as gate_module
from tests.sip.peers import CALLER, HOST, PORT
from tests.sip.phones import SDP, Kept, Phone, Room

PATH = "Supported: path\r\nPath: <sip:127.0.0.9:5070;lr>"
NAT = "sip:1001@10.1.2.3:5060"  # what a phone behind a NAT says of itself


@pytest.fixture(scope="module")
def running() -> Iterator[Room]:
    room = Room()
    room.kept = Kept()  # type: ignore[attr-defined]
    gate = settings.Gate(per_s=1000.0, burst=1000, ban_after=20, ban_s=2.0)
    room.start_with_phones(room.kept, gate, n_contacts=3, keep_alive_s=1.0, n_unanswered=1)  # type: ignore[attr-defined]
    room.phones.registrar.digest._nonce_s = 30.0
    yield room
    room.endpoint.close()


@pytest.fixture
def room(running: Room) -> Iterator[Room]:
    running.heard.clear()
    yield running
    registrar = running.phones.registrar
    for agent in list(registrar.bindings):
        for binding in registrar.of(agent):
            registrar._unbind(binding)
    running.changes()
    running.until(lambda: running.endpoint.n_legs() == 0 and running.endpoint.n_closing() == 0)


@pytest.fixture
def phone(room: Room) -> Iterator[Callable[..., Phone]]:
    made: list[Phone] = []

    def make(**how: Any) -> Phone:
        made.append(Phone(room, **how))
        return made[-1]

    yield make
    for one in made:
        one.close()


def wait(room: Room, phones: list[Phone], is_so: Callable[[], object], within_s: float = 8.0) -> None:
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, ([one.got for one in phones], room.heard)
        room.endpoint.poll(0.01)
        for one in phones:
            one.read()


# ---- logging in


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_logs_in_refreshes_and_leaves(room: Room, phone: Callable[..., Phone], tcp: bool, algorithm: str):
    one = phone(tcp=tcp, algorithm=algorithm)
    status, text = one.send()
    assert status == 401 and text.count("WWW-Authenticate: Digest") == 2
    assert one.register()[0] == 200
    (row,) = (row for row in room.phones.rows() if row["agent"] == "1001")
    assert row["contact"] == one.contact and row["user_agent"] == "rawphone/1" and 299 < row["expires_s"] <= 300
    assert row["source"] == f"127.0.0.9:{one.port}/{'tcp' if tcp else 'udp'}"
    status, text = one.register(600)
    assert status == 200 and f"<{one.contact}>;expires=600" in text
    status, text = one.register(0)
    assert status == 200 and "Contact:" not in text
    assert room.phones.registrar.of("1001") == []


def test_the_answer_goes_to_where_the_request_came_from(room: Room, phone: Callable[..., Phone]):
    """Without rport, and with a Via that leads nowhere."""
    one = phone(contact=NAT)
    assert one.register()[0] == 200
    assert "Via: SIP/2.0/UDP 10.99.0.1:5999" in one.request()


def test_a_wrong_password_and_an_unknown_user(room: Room, phone: Callable[..., Phone]):
    """S3."""
    words = []
    for how in ({"password": "wrong"}, {"user": "4711"}):
        one = phone(**how)
        one.take_challenge(one.send()[1])
        status, text = one.send(authorized=True)
        assert status == 401 and "stale" not in text
        words.append(sorted(line.partition("nonce")[0] for line in text.split("\r\n") if "Authenticate" in line))
    assert words[0] == words[1]
    assert room.phones.registrar.bindings == {}


def test_a_count_once_taken_and_a_nonce_grown_old(room: Room, phone: Callable[..., Phone]):
    one = phone()
    one.register()
    request = one.request(authorized=True)
    for _ in range(2):  # lost on the way and sent again
        one.transmit(request)
        assert one.answer()[0] == 200
    status, text = one.send(authorized=True, nc=one.nc)
    assert status == 401 and "stale=true" in text
    assert one.register()[0] == 200
    room.phones.registrar.digest._nonce_s = 0.0
    status, text = one.send(authorized=True)
    room.phones.registrar.digest._nonce_s = 30.0
    assert status == 401 and "stale=true" in text


def test_another_address_cannot_use_the_challenge(room: Room, phone: Callable[..., Phone]):
    one, thief = phone(), phone(ip="127.0.0.10")
    one.take_challenge(one.send()[1])
    thief.challenge = one.challenge
    status, text = thief.send(authorized=True)
    assert status == 401 and "stale=true" in text


def test_guessing_is_banned_and_nobody_else_is(room: Room, phone: Callable[..., Phone]):
    """S4: 20 attempts here; then even the right password is not heard, until the ban is over."""
    guesser, other = phone(ip="127.0.0.66", password="wrong"), phone(ip="127.0.0.67")
    guesser.take_challenge(guesser.send()[1])
    answers = [guesser.send(authorized=True)[0] for _ in range(19)]
    assert answers == [401] * 19
    guesser.send(authorized=True)
    guesser.password = phone().password
    assert guesser.send(authorized=True)[0] == 0
    assert other.register()[0] == 200
    began = time.monotonic()
    wait(room, [], lambda: time.monotonic() > began + 2.0)
    assert guesser.register()[0] == 200


def test_a_flood_without_password_bans_nobody(room: Room, phone: Callable[..., Phone]):
    """S11: whoever forges an address has no challenge that was given to it."""
    one = phone(ip="127.0.0.68")
    one.challenge = {"nonce": "0" * 52}
    assert {one.send(authorized=True)[0] for _ in range(60)} == {401}
    assert one.register()[0] == 200


def test_what_is_absurd_is_400(room: Room, phone: Callable[..., Phone]):
    one = phone()
    contacts = ", ".join(f"<sip:{n}@10.0.0.1>" for n in range(20))
    assert one.send(contact=contacts)[0] == 400
    assert one.register(30)[0] == 423
    assert one.register(header="Require: outbound, magic")[0] == 420
    assert one.register(0, contact="*")[0] == 200


def test_outbound_and_path(room: Room, phone: Callable[..., Phone]):
    one = phone(tcp=True)
    contact = f'<{one.contact};ob>;reg-id=1;+sip.instance="<urn:uuid:0001>"'
    status, text = one.register(contact=contact, header="Supported: path, outbound\r\nPath: <sip:edge@127.0.0.9;lr;ob>")
    assert status == 200
    assert "Require: outbound" in text and "Path: <sip:edge@127.0.0.9;lr;ob>" in text
    assert '+sip.instance="<urn:uuid:0001>";reg-id=1' in text
    assert room.phones._whereabouts.direct == {}, "nobody's address is taken for the proxy's"


def test_a_proxys_address_is_known_as_long_as_a_phone_is_behind_it(room: Room, phone: Callable[..., Phone]):
    one, other = phone(), phone(user="1002")
    places = room.phones._whereabouts
    for each in (one, other):
        assert each.register(header=PATH)[0] == 200
    assert one.register(header=PATH)[0] == 200, "a refresh counts once"
    assert ("127.0.0.9", 1, "tcp") in places and places.proxies == {"127.0.0.9": 2}
    assert one.register(header="")[0] == 200, "not behind it any more"
    assert places.proxies == {"127.0.0.9": 1} and ("127.0.0.9", one.port, "udp") in places.direct
    assert other.register(0)[0] == one.register(0)[0] == 200
    assert not places and ("127.0.0.9", 1, "tcp") not in places


@pytest.mark.parametrize("is_known", [True, False], ids=["phone", "stranger"])
def test_a_phone_may_ask_whether_its_connection_is_up(room: Room, phone: Callable[..., Phone], is_known: bool):
    """RFC 5626 section 3.5.1, also in front of a request; a stranger hears nothing."""
    one = phone(tcp=True)
    if is_known:
        assert one.register()[0] == 200
    one.transmit("\r\n\r\n")
    wait(room, [], lambda: one.n_pongs() == is_known)
    one.transmit("\r\n\r\n" + one.request(authorized=False))
    assert one.answer()[0] == 401
    assert one.n_pongs() == 2 * is_known


# ---- being there


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_round_trip_and_a_phone_that_falls_silent(
    room: Room, phone: Callable[..., Phone], tcp: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("engine.sip.probes.ANSWER_WITHIN_S", 0.5)
    room.phones._changed.add("1001")
    assert room.changes() == {"1001": False} or room.phones._told["1001"] is False
    one = phone(contact=NAT, tcp=tcp)
    one.register()
    assert room.changes() == {"1001": True}
    wait(room, [one], lambda: room.phones.rows()[0].get("rtt_ms"))
    assert "OPTIONS sip:1001@10.1.2.3:5060" in one.got[0] and "Route:" not in one.got[0]
    assert 0 < room.phones.rows()[0]["rtt_ms"] < 1000
    one.is_mute = True
    wait(room, [one], lambda: room.changes() == {"1001": False})
    assert room.phones.rows()[0]["state"] == "gone" and room.phones.reachable("1001") == []
    one.is_mute = False
    wait(room, [one], lambda: room.changes() == {"1001": True})
    assert room.phones.rows()[0]["state"] == "there"


def test_a_connection_that_closes(room: Room, phone: Callable[..., Phone]):
    one = phone(tcp=True, contact="sip:1001@127.0.0.9:5060")
    one.register()
    room.changes()
    one.close()
    wait(room, [], lambda: room.changes() == {"1001": False}, 2.0)
    again = phone(tcp=True, contact="sip:1001@127.0.0.9:5060")
    again.register()
    assert room.changes() == {"1001": True}


def test_a_proxy_whose_connection_closes_is_looked_for_where_it_listens(room: Room, phone: Callable[..., Phone]):
    one = phone(tcp=True)
    one.register(header="Supported: path\r\nPath: <sip:127.0.0.9:5070;transport=tcp;lr>")
    room.changes()
    one.close()
    wait(room, [], lambda: room.changes() == {"1001": False}, 2.0)
    assert room.phones.rows()[0]["source"] == "127.0.0.9:5070/tcp"


def test_bindings_run_out(room: Room, phone: Callable[..., Phone]):
    one = phone()
    one.register(60)
    room.changes()
    room.phones.registrar.expire(time.monotonic() + 61)
    assert room.changes() == {"1001": False}


# ---- calls


def dial(room: Room) -> int:
    leg: int = room.endpoint.dial("c1", 7, "registered:1001", CALLER, {"X-Agner-Call": "c1"}, "Sales")
    return leg


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_a_call_to_a_phone_behind_a_nat(room: Room, phone: Callable[..., Phone], tcp: bool):
    """INVITE, ACK and BYE come where its REGISTER came from, though its Contact leads nowhere."""
    one = phone(contact=NAT, tcp=tcp)
    one.register()
    leg = dial(room)
    wait(room, [one], lambda: "ACK" in one.methods() and room.all(e.CalledAnswered))
    invite = next(text for text in one.got if text.startswith("INVITE"))
    assert invite.startswith("INVITE sip:1001@10.1.2.3:5060") and "Route:" not in invite
    (contact,) = (line for line in invite.split("\r\n") if line.startswith("Contact:"))
    assert f":{PORT}" in contact, "where we listen"
    assert "X-Agner-Call: c1" in invite
    room.endpoint.hang_up(leg)
    wait(room, [one], lambda: "BYE" in one.methods())
    assert room.story() == ["CalledRinging", "LegMedia", "CalledAnswered", "LegEnded"]


def test_all_phones_ring_and_the_first_has_it(room: Room, phone: Callable[..., Phone]):
    phones = [phone(ip=f"127.0.0.{n}") for n in (21, 22, 23)]
    for one in phones:
        one.rings = 180
        assert one.register()[0] == 200
    leg = dial(room)
    wait(room, phones, lambda: all("INVITE" in one.methods() for one in phones) and room.all(e.CalledRinging))
    phones[1].pick_up()
    wait(room, phones, lambda: all("CANCEL" in phones[n].methods() for n in (0, 2)) and room.all(e.CalledAnswered))
    for n in (0, 2):
        cancel = next(text for text in phones[n].got if text.startswith("CANCEL"))
        assert 'Reason: SIP;cause=200;text="Call completed elsewhere"' in cancel
    assert "CANCEL" not in phones[1].methods() and len(room.all(e.CalledRinging)) == 1
    assert {media.leg for media in room.all(e.LegMedia)} == {leg}
    room.endpoint.hang_up(leg)
    wait(room, phones, lambda: "BYE" in phones[1].methods())
    assert room.story()[-1] == "LegEnded" and len(room.all(e.LegEnded)) == 1


def test_two_answers_at_once(room: Room, phone: Callable[..., Phone]):
    phones = [phone(ip=f"127.0.0.{n}") for n in (21, 22)]
    for one in phones:
        one.rings = 180
        one.register()
    leg = dial(room)
    wait(room, phones, lambda: all("INVITE" in one.methods() for one in phones))
    for one in phones:
        one.pick_up()
    wait(room, phones, lambda: sum("BYE" in one.methods() for one in phones) == 1)
    assert len(room.all(e.CalledAnswered)) == 1 and not room.all(e.LegEnded)
    room.endpoint.hang_up(leg)
    wait(room, phones, lambda: all("BYE" in one.methods() for one in phones))


@pytest.mark.parametrize(
    ("statuses", "refusal", "status"),
    [
        ((486, 404), e.Refusal.BUSY, 486),
        ((404, 404), e.Refusal.UNREACHABLE, 404),
        ((180, 603), e.Refusal.REJECTED, 603),
        ((486, 180), None, 0),
    ],
)
def test_refusals(
    room: Room, phone: Callable[..., Phone], statuses: tuple[int, int], refusal: e.Refusal | None, status: int
):
    phones = [phone(ip=f"127.0.0.{21 + n}") for n in range(2)]
    for one, answers in zip(phones, statuses, strict=True):
        one.register()
        one.rings = answers
    leg = dial(room)
    if refusal is None:
        wait(room, phones, lambda: room.all(e.CalledRinging) and "ACK" in phones[0].methods())
        assert not room.all(e.CalledRefused)
        room.endpoint.hang_up(leg)
        wait(room, phones, lambda: "CANCEL" in phones[1].methods())
        return
    wait(room, phones, lambda: room.all(e.LegEnded))
    (refused,) = room.all(e.CalledRefused)
    assert (refused.refusal, refused.status) == (refusal, status)


def test_nobody_logged_in(room: Room):
    dial(room)
    (refused,) = room.all(e.CalledRefused)
    assert refused.refusal is e.Refusal.UNREACHABLE and room.story() == ["CalledRefused", "LegEnded"]


def test_hang_up_while_all_ring(room: Room, phone: Callable[..., Phone]):
    """The agent's phones are clear when the last of them is."""
    phones = [phone(ip=f"127.0.0.{n}") for n in (21, 22)]
    for one in phones:
        one.register()
        one.rings = 180
    leg = dial(room)
    wait(room, phones, lambda: all("INVITE" in one.methods() for one in phones))
    room.endpoint.hang_up(leg)
    assert room.story()[-1] == "LegEnded" and not room.all(e.CalledRefused)
    wait(room, phones[:1], lambda: "ACK" in phones[0].methods())
    assert room.all(e.LegCleared) == []
    wait(room, phones, lambda: all("CANCEL" in one.methods() for one in phones) and room.all(e.LegCleared))
    assert room.all(e.LegCleared) == [e.LegCleared(leg)]


def test_a_waiting_message_is_told_to_every_phone(room: Room, phone: Callable[..., Phone]):
    phones = [phone(ip=f"127.0.0.{n}", contact=NAT.replace("3:", f"{n}:")) for n in (21, 22)]
    for one in phones:
        one.register()
    room.endpoint.notify_mwi("registered:1001", "sip:9@agner", 2, 1)
    wait(room, phones, lambda: all("NOTIFY" in one.methods() for one in phones))


# ---- phones dial


def logged_in(phone: Callable[..., Phone], **how: object) -> Phone:
    one = phone(**how)
    assert one.register()[0] == 200
    return one


def challenged(one: Phone, number: str = "1002") -> str:
    """The answer to an INVITE without a password."""
    one.dial(number)
    status, text = one.response("INVITE")
    assert status == 401, text
    one.in_call("ACK", text)
    one.take_challenge(text)
    return text


@pytest.mark.parametrize("tcp", [False, True])
def test_a_phone_dials_rings_is_answered_and_hangs_up(room: Room, phone: Callable[..., Phone], tcp: bool):
    """Behind a NAT: our BYE finds it all the same."""
    one = logged_in(phone, tcp=tcp, contact=NAT)
    text = challenged(one)
    assert "SHA-256" in text and room.heard == [] and room.endpoint.n_legs() == 0
    one.dial("1002", authorized=True)
    wait(room, [one], lambda: room.heard)
    arrived = room.next(e.CallArrived)
    assert arrived.caller == Caller("1001", "1002", "", agent="1001")
    room.endpoint.ring(arrived.leg)
    assert one.response("INVITE", 180)[0] == 180
    room.endpoint.answer(arrived.leg)
    status, answer = one.response("INVITE", 200)
    assert status == 200
    one.in_call("ACK", answer)
    room.next(e.CallerAnswered)
    room.endpoint.hang_up(arrived.leg)
    wait(room, [one], lambda: "BYE" in one.methods())
    room.next(e.LegEnded)


def test_hang_up_before_and_after_the_answer(room: Room, phone: Callable[..., Phone]):
    one = logged_in(phone)
    for is_answered in (False, True):
        room.heard.clear()
        challenged(one)
        one.dial("1002", authorized=True)
        wait(room, [one], lambda: room.heard)
        leg = room.next(e.CallArrived).leg
        answer = one.response("INVITE")[1]
        if is_answered:
            room.endpoint.answer(leg)
            answer = one.response("INVITE", 200)[1]
            one.in_call("ACK", answer)
            room.next(e.CallerAnswered)
        one.in_call("BYE" if is_answered else "CANCEL", answer)
        assert one.response("BYE" if is_answered else "CANCEL")[0] == 200
        room.next(e.CallerGone)
        room.next(e.LegEnded)


def test_the_number_is_not_looked_at_before_the_password(room: Room, phone: Callable[..., Phone]):
    one = logged_in(phone)
    texts = [challenged(one, number) for number in ("1002", "00441234", "nobody")]
    assert all("401" in text for text in texts) and room.heard == []


@pytest.mark.parametrize("number", ["1002", "00441234", "4008001001"])
def test_a_stranger_hears_nothing_whatever_is_dialled(room: Room, phone: Callable[..., Phone], number: str):
    one = phone(ip="127.0.0.9")  # has not logged in
    known = logged_in(phone, ip="127.0.0.9")  # from the same address
    text = challenged(known)
    for authorized in (False, True):
        one.challenge, one.nc = known.challenge, 20
        one.dial(number, authorized=authorized)
        assert one.response("INVITE", within_s=0.3) == (0, ""), text
    assert room.heard == [] and room.endpoint.n_legs() == 0


def test_a_phone_that_has_left_is_a_stranger_again(room: Room, phone: Callable[..., Phone]):
    one = logged_in(phone)
    challenged(one)
    assert one.register(0)[0] == 200
    one.dial("1002", authorized=True)
    assert one.response("INVITE", within_s=0.3) == (0, "") and room.heard == []


def test_an_agent_calls_from_where_that_agent_has_logged_in(room: Room, phone: Callable[..., Phone]):
    """The password of another, from a phone that knows it."""
    one = logged_in(phone)
    logged_in(phone, user="1002", ip="127.0.0.10")
    challenged(one)
    one.user = "1002"
    one.dial("1003", authorized=True)
    status, text = one.response("INVITE", 300)
    assert status == 403 and room.heard == []
    one.in_call("ACK", text)


def test_what_is_dialled_is_what_was_signed(room: Room, phone: Callable[..., Phone]):
    one = logged_in(phone)
    challenged(one)
    one.dial("00441234", authorized=True, signed="1002")
    assert one.response("INVITE", 300)[0] == 403 and room.heard == []


def test_a_count_once_taken_is_stale_and_an_invite_sent_again_is_one_call(room: Room, phone: Callable[..., Phone]):
    one = logged_in(phone)
    challenged(one)
    one.dial("1002", authorized=True)
    one.transmit(one.invite)
    wait(room, [one], lambda: room.heard)
    leg = room.next(e.CallArrived).leg
    one.dial("1002", authorized=True, nc=one.nc)
    status, text = one.response("INVITE", 300)
    assert status == 401 and "stale=true" in text
    room.endpoint.reject(leg, 486)
    room.silence(0.2)
    assert [type(event) for _, event in room.heard] == [e.CallArrived, e.LegEnded]


def behind_a_proxy(phone: Callable[..., Phone], **how: Any) -> tuple[Phone, Phone]:
    """A phone that has logged in through a proxy, and another connection of that proxy, which brings its calls."""
    one, other = phone(**how), phone(**how)
    assert one.register(header=PATH)[0] == 200
    return one, other


def test_a_phone_behind_a_proxy_dials(room: Room, phone: Callable[..., Phone]):
    _, one = behind_a_proxy(phone)
    challenged(one)
    one.dial("1002", authorized=True)
    wait(room, [one], lambda: room.heard)
    call = room.next(e.CallArrived)
    assert call.caller == Caller("1001", "1002", "", agent="1001")
    one.in_call("CANCEL", "")
    room.next(e.LegEnded)


@pytest.mark.parametrize("ip", ["127.0.0.9", HOST], ids=["proxy", "proxy that is a trunk"])
def test_others_behind_the_proxy_are_not_taken_for_the_agent(room: Room, phone: Callable[..., Phone], ip: str):
    """S5, S6: nobody dials without the password, whatever number."""
    behind_a_proxy(phone, ip=ip)
    stranger = phone(ip=ip, password="guess")
    for number in ("1002", "00441234", "nobody"):
        challenged(stranger, number)
        stranger.dial(number, authorized=True)
        status, text = stranger.response("INVITE", 300)
        assert status == 401
        stranger.in_call("ACK", text)
    assert room.heard == []


def test_an_agent_who_has_not_logged_in_through_the_proxy_does_not_dial_through_it(
    room: Room, phone: Callable[..., Phone]
):
    _, one = behind_a_proxy(phone)
    logged_in(phone, user="1002", ip="127.0.0.10")
    challenged(one)
    one.user = "1002"
    one.dial("1003", authorized=True)
    assert one.response("INVITE", 300)[0] == 403 and room.heard == []


def test_a_proxy_that_is_a_trunk_brings_calls_of_others_too(room: Room, phone: Callable[..., Phone]):
    """Nobody but an agent who has logged in through it is asked; and none of its callers is an agent."""
    _, one = behind_a_proxy(phone, ip=HOST)
    caller = phone(ip=HOST, user="13800000001")
    caller.dial("100")
    wait(room, [caller], lambda: room.heard)
    call = room.next(e.CallArrived)
    assert (call.caller.trunk, call.caller.ani, call.caller.agent) == ("carrier", "13800000001", "")
    caller.in_call("CANCEL", "")
    room.next(e.LegEnded)
    room.heard.clear()
    challenged(one)
    assert room.heard == []
    one.dial("1002", authorized=True)
    wait(room, [one], lambda: room.heard)
    assert room.next(e.CallArrived).caller == Caller("1001", "1002", "", agent="1001")
    one.in_call("CANCEL", "")
    room.next(e.LegEnded)


def test_a_ban_holds_where_the_phone_is_at_a_trunks_address(room: Room, phone: Callable[..., Phone]):
    one = logged_in(phone, ip=HOST)
    challenged(one)
    for _ in range(20):
        gate_module.login_failed(HOST)
    one.dial("1002", authorized=True)
    assert one.response("INVITE", 300)[0] == 403 and room.heard == []
    assert gate_module.lift(HOST)


def test_wrong_passwords_ban_the_address_from_calling_too(room: Room, phone: Callable[..., Phone]):
    one = logged_in(phone, ip="127.0.0.77")
    challenged(one)
    one.password = "guess"
    for _ in range(20):
        one.dial("1002", authorized=True)
        status, text = one.response("INVITE", 300, within_s=0.5)
        if status == 0:
            break
        assert status == 401
        one.in_call("ACK", text)
        one.take_challenge(text)
    assert [ban.source for ban in gate_module.bans()] == ["127.0.0.77"]
    one.password = "right horse battery"
    one.dial("1002", authorized=True)
    assert one.response("INVITE", within_s=0.3) == (0, "") and room.heard == []
    assert gate_module.lift("127.0.0.77")
    challenged(one)
    one.dial("1002", authorized=True)
    wait(room, [one], lambda: room.heard)
    room.endpoint.reject(room.next(e.CallArrived).leg, 404)


def test_codecs_that_nobody_has_are_told_and_recorded(room: Room, phone: Callable[..., Phone]):
    """PJSIP refuses it by itself."""
    one = logged_in(phone)
    challenged(one)
    one.dial("1002", authorized=True, sdp=SDP.replace("8\r\n", "99\r\na=rtpmap:99 odd/8000\r\n"))
    assert one.response("INVITE", 300)[0] == 488
    assert room.next(e.CallTurnedAway).caller.agent == "1001"


# ---- phones ask for transfers


def in_a_talk(room: Room, phone: Callable[..., Phone], offer: int = 1) -> tuple[Phone, int]:
    """A phone that was called and has picked up, and our leg."""
    one = logged_in(phone)
    leg = room.endpoint.dial("c1", offer, "registered:1001", CALLER, {})
    wait(room, [one], lambda: room.all(e.CalledAnswered))
    return one, leg


def let_go(room: Room, one: Phone, *legs: int) -> None:
    for leg in legs:
        room.endpoint.hang_up(leg)
    wait(room, [one], lambda: one.methods().count("BYE") == len(legs))


def test_a_transfer_is_asked_for_once_and_its_outcome_told(room: Room, phone: Callable[..., Phone]):
    one, leg = in_a_talk(room, phone)
    for repeated in (False, True):  # our 202 was lost
        one.refer(f"<sip:1002@{HOST}>", repeated)
        assert one.response("REFER")[0] == 202
    assert room.all(e.LegRefers) == [e.LegRefers(leg, "1002", None)]
    one.refer(f"<sip:1003@{HOST}>")
    assert one.response("REFER")[0] == 491  # one at a time
    for status, state in ((100, "active"), (486, "terminated")):
        room.endpoint.report_transfer(leg, status)
        wait(room, [one], lambda status=status: f"SIP/2.0 {status}" in one.got[-1])  # type: ignore[misc]
        told = one.last("NOTIFY")
        assert "Event: refer\r\n" in told and f"Subscription-State: {state}" in told
        assert "Content-Type: message/sipfrag;version=2.0\r\n" in told
    let_go(room, one, leg)


def test_replaces_names_a_call_of_the_phone(room: Room, phone: Callable[..., Phone]):
    one, leg = in_a_talk(room, phone)
    challenged(one)
    one.dial("1002", authorized=True)
    wait(room, [one], lambda: room.all(e.CallArrived))
    own = room.next(e.CallArrived).leg
    room.endpoint.answer(own)
    answer = one.response("INVITE", 200)[1]
    one.in_call("ACK", answer)
    call_id = next(line for line in one.invite.split("\r\n") if line.startswith("Call-ID"))[9:]
    tag = next(line for line in answer.split("\r\n") if line.startswith("To:")).partition(";tag=")[2]
    for n, (to_tag, found) in enumerate(((tag, own), ("other", -1)), 1):
        replaces = f"{call_id}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3D{one.number}"
        one.refer(f"<sip:1002@{HOST}?Replaces={replaces}>")
        assert one.response("REFER")[0] == 202
        assert room.next(e.LegRefers, n) == e.LegRefers(leg, "1002", found)
        room.endpoint.report_transfer(leg, 403)
        wait(room, [one], lambda n=n: one.methods().count("NOTIFY") == n)  # type: ignore[misc]
    assert "Event: refer;id=" in one.last("NOTIFY")
    let_go(room, one, leg, own)


def test_who_is_no_agent_of_the_acds_asks_in_vain(room: Room, phone: Callable[..., Phone]):
    """A called party that is the target of a transfer."""
    one, leg = in_a_talk(room, phone, offer=-1)
    one.refer(f"<sip:1002@{HOST}>")
    assert one.response("REFER")[0] == 403 and room.all(e.LegRefers) == []
    let_go(room, one, leg)


def test_a_leg_that_is_given_to_another_call_tells_that_one(room: Room, phone: Callable[..., Phone]):
    one, leg = in_a_talk(room, phone)
    room.endpoint.give(leg, "c2", -7)
    let_go(room, one, leg)
    assert room.heard[-1] == ("c2", e.LegEnded(leg))
