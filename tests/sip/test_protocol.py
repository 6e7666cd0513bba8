"""What a call may do beside INVITE, 200 and BYE, against real SIPp: rings, UPDATE, timers, glare, forks, 302."""

import pytest

from engine.callflow import events as e
from engine.sip import library
from tests.sip.peers import CALLER, _send, got, in_dialog_ok, invite, pause, reply, request, sdp

CONTACT = "Contact: <sip:uac@[local_ip]:[local_port]>"
ANSWERED = ["CallArrived", "LegMedia", "CallerAnswered"]


def ring(ear, peer):
    return ear.endpoint.dial("c", 7, f"sip:phone@127.0.0.1:{peer}", CALLER, {})


def answer_all(ear):
    ear.on_post = lambda call, event: ear.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None


def with_header(step: str, line: str) -> str:
    return step.replace("Max-Forwards: 70\n", f"Max-Forwards: 70\n{line}\n", 1)


def with_offer(step: str, body: str) -> str:
    return step.replace("Content-Length: 0\n\n", f"Content-Type: application/sdp\nContent-Length: [len]\n\n{body}", 1)


def from_phone(method: str, cseq: int, header: str = "") -> str:
    """A request of the called phone inside the dialog."""
    return _send(
        f"""{method} [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:phone@[local_ip]:[local_port]>;tag=[call_number]
To:[$1]
Call-ID: [call_id]
CSeq: {cseq} {method}
Contact: <sip:phone@[local_ip]:[local_port]>
Max-Forwards: 70
{header}Content-Length: 0

""",
        "" if method == "ACK" else 'retrans="500"',
    )


def got_reliable(status: int) -> str:
    """A provisional response with its RSeq, which [$3] then is."""
    number = '<ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" check_it="true" assign_to="3"/>'
    return f'<recv response="{status}" rrs="true"><action>{number}</action></recv>'


def refused(status: int) -> str:
    """The answer to a request within the dialog."""
    return in_dialog_ok().replace("200 OK", f"{status} Refused")


def end_of(peer, ear):
    ear.until(peer.done)
    assert peer.passed()


# ---- rings, RFC 3261 and 3262


@pytest.mark.parametrize("order", [(180, 183), (183, 180), (183, 183, 180), (180, 181, 182, 183)])
def test_rings_in_any_order_are_one_ring(ear, sipp, order):
    rings = [reply(status, sdp() if status == 183 else "") for status in order]
    phone = sipp(got("INVITE"), *rings, pause(50), reply(200, sdp()), got("ACK"), got("BYE"), in_dialog_ok())
    ear.until(phone.listening)
    leg = ring(ear, phone.port)
    ear.next(e.CalledAnswered)
    ear.endpoint.hang_up(leg)
    end_of(phone, ear)
    story = [kind for kind in ear.story() if kind != "LegMedia"]
    assert story == ["CalledRinging", "CalledAnswered", "LegEnded"]


def test_a_caller_with_100rel_gets_its_183_reliably(ear, sipp):
    """RFC 3262 section 3: sent again until the PRACK, which is answered."""
    offer = with_header(invite(), "Supported: 100rel")
    acknowledge = with_header(request("PRACK", 2), "RAck: [$3] 1 INVITE")
    caller = sipp(
        *(offer, got(100, True), got_reliable(183), pause(1300)),
        *(acknowledge, got(200), got(200), request("ACK"), pause(50), request("BYE", 3), got(200)),
    )
    leg = ear.next(e.CallArrived).leg
    ear.endpoint.progress(leg)
    ear.next(e.CallerHears)
    ear.until(lambda: caller.messages.exists() and "200 OK" in caller.sent_and_received())
    ear.endpoint.answer(leg)
    ear.next(e.LegEnded)
    end_of(caller, ear)
    assert caller.sent_and_received().count("SIP/2.0 183") >= 2


def test_an_answer_waits_for_the_prack(ear, sipp):
    """RFC 3262 section 3: no 200 while a reliable 183 with SDP is unacknowledged."""
    offer = with_header(invite(), "Require: 100rel")
    acknowledge = with_header(request("PRACK", 2), "RAck: [$3] 1 INVITE")
    caller = sipp(
        *(offer, got(100, True), got_reliable(183), pause(200)),
        *(acknowledge, got(200), got(200), request("ACK"), pause(50), request("BYE", 3), got(200)),
    )
    leg = ear.next(e.CallArrived).leg
    ear.endpoint.progress(leg)
    ear.endpoint.answer(leg)
    ear.next(e.LegEnded)
    end_of(caller, ear)
    assert ear.story()[-3:] == ["CallerAnswered", "CallerGone", "LegEnded"]


def test_a_phone_that_rings_reliably_gets_its_prack(ear, sipp):
    rings = reply(180, header="Require: 100rel\nRSeq: 41\n")
    phone = sipp(
        *(got("INVITE"), rings, got("PRACK", check="RAck: 41 [0-9]+ INVITE"), in_dialog_ok()),
        *(got("CANCEL"), in_dialog_ok(), reply(487, to_invite=True), got("ACK")),
    )
    ear.until(phone.listening)
    leg = ring(ear, phone.port)
    ear.next(e.CalledRinging)
    ear.until(lambda: "RAck: 41" in phone.sent_and_received())
    ear.silence(0.1)
    ear.endpoint.hang_up(leg)
    end_of(phone, ear)


# ---- session timers, RFC 4028


def test_a_caller_who_wants_no_less_than_90_s_is_told(ear, sipp):
    offer = with_header(with_header(invite(), "Session-Expires: 30"), "Supported: timer")
    caller = sipp(offer, got(100, True), got(422, check="Min-SE: *90"), request("ACK"))
    end_of(caller, ear)
    assert ear.story() == ["CallArrived", "CallerGone", "LegEnded"]
    assert ear.next(e.CallerGone).status == 422


@pytest.mark.parametrize("refresher", ["uac", "uas"])
def test_a_caller_with_a_timer_has_it_granted_both_ways(ear, sipp, refresher):
    answer_all(ear)
    offer = with_header(with_header(invite(), f"Session-Expires: 120;refresher={refresher}"), "Supported: timer")
    granted = got(200, check=f"Session-Expires: *120;refresher={refresher}")
    caller = sipp(offer, got(100, True), granted, request("ACK"), pause(50), request("BYE", 2), got(200))
    ear.next(e.LegEnded)
    end_of(caller, ear)


def test_a_phone_is_offered_a_timer_and_asks_for_a_longer_one(ear, sipp):
    """422 with Min-SE: the INVITE goes out again with that (RFC 4028 section 7.3)."""
    phone = sipp(
        *(got("INVITE", check="Session-Expires: *1800"), reply(422, header="Min-SE: 3600\n"), got("ACK")),
        *(got("INVITE", check="Session-Expires: *3600"), reply(180), got("CANCEL"), in_dialog_ok()),
        *(reply(487, to_invite=True), got("ACK")),
    )
    ear.until(phone.listening)
    leg = ring(ear, phone.port)
    ear.next(e.CalledRinging)
    ear.endpoint.hang_up(leg)
    end_of(phone, ear)


def test_a_caller_without_timers_is_served_without(ear, sipp):
    answer_all(ear)
    caller = sipp(invite(), got(100, True), got(200), request("ACK"), pause(50), request("BYE", 2), got(200))
    ear.next(e.LegEnded)
    end_of(caller, ear)


# ---- UPDATE and re-INVITE, RFC 3311, RFC 3261 section 14


def test_update_changes_the_session(ear, sipp):
    answer_all(ear)
    hold = with_offer(with_header(request("UPDATE", 2), CONTACT), sdp(direction="sendonly"))
    caller = sipp(
        *(invite(), got(100, True), got(200, check="Allow: .*UPDATE"), request("ACK"), pause(50)),
        *(hold, got(200, check="a=recvonly"), pause(50), request("BYE", 3), got(200)),
    )
    ear.next(e.LegEnded)
    end_of(caller, ear)
    assert ear.story()[:3] == ANSWERED and ear.story()[-2:] == ["CallerGone", "LegEnded"]


def reinvite(ear):
    """What PJSIP does when it refreshes a session."""
    leg = ear.endpoint._legs[ear.next(e.CallArrived).leg]
    leg.reinvite(library.audio_only())


def test_a_reinvite_that_crosses_ours_is_491(ear, sipp):
    """RFC 3261 section 14.2; the call goes on."""
    answer_all(ear)
    caller = sipp(
        *(invite(), got(100, True), got(200), request("ACK"), got("INVITE"), invite(cseq=2), got(100, True), got(491)),
        *(request("ACK", 2), pause(50), request("BYE", 3), got(200)),
    )
    ear.next(e.CallerAnswered)
    ear.silence(0.1)
    reinvite(ear)
    ear.next(e.LegEnded)
    end_of(caller, ear)


def test_our_reinvite_that_crosses_theirs_ends_nothing(ear, sipp):
    answer_all(ear)
    caller = sipp(
        *(invite(), got(100, True), got(200), request("ACK"), got("INVITE"), refused(491), got("ACK"), pause(300)),
        *(invite(cseq=2), got(100, True), got(200), request("ACK", 2), pause(50), request("BYE", 3), got(200)),
    )
    ear.next(e.CallerAnswered)
    ear.silence(0.1)
    reinvite(ear)
    ear.next(e.LegEnded)
    end_of(caller, ear)
    assert ear.story()[-2:] == ["CallerGone", "LegEnded"]


# ---- forks and redirections, RFC 3261 sections 13.2.2.4 and 8.1.3.4


def test_of_two_answers_behind_a_proxy_the_second_is_taken_and_ended(ear, sipp):
    keep_via = '<ereg regexp=".*" search_in="hdr" header="Via:" assign_to="4"/></action>'
    invited = got("INVITE").replace("</action>", keep_via)
    second = reply(200, sdp(), to_invite=True).replace("[last_Via:]", "Via:[$4]")
    second = second.replace("[last_To:];tag=[call_number]", "To: <sip:phone@127.0.0.1>;tag=second")
    phone = sipp(
        *(invited, reply(180), reply(200, sdp()), got("ACK"), pause(50), second.replace('retrans="500"', "")),
        *(got("ACK", True), got("BYE", check="tag=second"), in_dialog_ok()),
        *(got("BYE", check="To: [^;]*;tag=[0-9]+"), in_dialog_ok()),
    )
    ear.until(phone.listening)
    leg = ring(ear, phone.port)
    ear.next(e.CalledAnswered)
    ear.until(lambda: "tag=second" in phone.sent_and_received().partition("\nBYE ")[2])
    ear.silence(0.3)
    assert ear.all(e.CalledGone) == []
    ear.endpoint.hang_up(leg)
    end_of(phone, ear)
    assert ear.story().count("CalledAnswered") == 1


def test_302_is_a_refusal_and_nobody_else_is_called(ear, sipp):
    elsewhere = sipp(got("INVITE"), reply(486), got("ACK"))
    moved = reply(302).replace("sip:phone@[local_ip]:[local_port]", f"sip:phone@127.0.0.1:{elsewhere.port}")
    phone = sipp(got("INVITE"), moved, got("ACK"))
    ear.until(lambda: phone.listening() and elsewhere.listening())
    ring(ear, phone.port)
    refused = ear.next(e.CalledRefused)
    assert (refused.refusal, refused.status) == (e.Refusal.REJECTED, 302)
    end_of(phone, ear)
    ear.silence(0.3)
    assert not elsewhere.messages.exists() or "INVITE" not in elsewhere.sent_and_received()
