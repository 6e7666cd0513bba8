"""Legs against real SIPp on 127.0.0.1: the ways a leg can begin, go on and end."""

import functools
import gc
import re
import select
import socket
import threading
import time

import pjsua2 as pj
import pytest

from engine.callflow import events as e
from engine.sip import legs, unheard
from tests.sip import peers
from tests.sip.peers import (
    CALLER,
    RawCaller,
    cancel,
    got,
    in_dialog_ok,
    invite,
    n_descriptors,
    pause,
    reply,
    request,
    sdp,
)

ANSWERED = ["CallArrived", "LegMedia", "CallerAnswered"]


def answer_all(ear):
    ear.on_post = lambda call, event: ear.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None


def ring(ear, peer, offer=7, headers=None):
    return ear.endpoint.dial("c", offer, f"sip:phone@127.0.0.1:{peer}", CALLER, headers or {})


def test_a_poll_tells_whether_the_network_had_something_at_once(ear):
    """By that the load is judged: an engine that waited is not behind, also where something came in the end."""
    ear.until(lambda: ear.endpoint.poll(0.0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        later = threading.Timer(0.1, far.sendto, (b"\r\n\r\n", (peers.HOST, peers.PORT)))
        later.start()
        began = time.monotonic()
        assert ear.endpoint.poll(5.0) and time.monotonic() - began < 4.0
        later.join()
        far.sendto(b"\r\n\r\n", (peers.HOST, peers.PORT))
        assert not ear.endpoint.poll(0.0)


# ---- the caller's leg


def test_answered_call_ended_by_the_caller(ear, sipp):
    body = sdp()
    caller = sipp(invite(body), got(100, True), got(200), request("ACK"), pause(100), request("BYE", 2), got(200))
    arrived = ear.next(e.CallArrived)
    assert (arrived.caller.ani, arrived.caller.dnis, arrived.caller.name) == ("+15551234", "100", "Grace Hopper")
    assert arrived.caller.trunk == "carrier"
    ear.endpoint.answer(arrived.leg)
    ear.endpoint.answer(arrived.leg)
    ear.next(e.LegEnded)
    assert ear.story() == [*ANSWERED, "CallerGone", "LegEnded"]
    media = ear.next(e.LegMedia)
    assert media.leg == arrived.leg and media.slot > 0 and media.stream >= 0
    assert ear.next(e.CallerGone).status == 200
    ear.until(caller.done)
    assert caller.passed()


def test_answered_call_ended_by_us(ear, sipp):
    answer_all(ear)
    caller = sipp(invite(), got(100, True), got(200), request("ACK"), got("BYE"), in_dialog_ok())
    ear.next(e.CallerAnswered)
    leg = ear.next(e.CallArrived).leg
    ear.silence(0.1)
    ear.endpoint.hang_up(leg)
    ear.endpoint.hang_up(leg)
    ear.endpoint.reject(leg, 503)
    ear.endpoint.drop(leg)
    ear.until(caller.done)
    assert caller.passed()
    assert ear.story() == [*ANSWERED, "LegEnded"]


def test_over_tcp(ear, sipp):
    answer_all(ear)
    steps = invite(), got(100, True), got(200), request("ACK"), pause(50), request("BYE", 2), got(200)
    caller = sipp(*steps, udp=False)
    ear.next(e.LegEnded)
    assert ear.story() == [*ANSWERED, "CallerGone", "LegEnded"]
    ear.until(caller.done)
    assert caller.passed()


def test_cancelled_before_the_answer(ear, sipp):
    caller = sipp(invite(), got(100), pause(50), cancel(), got(200), got(487), request("ACK"))
    leg = ear.next(e.CallArrived).leg
    assert ear.next(e.CallerGone).status == 487
    ear.next(e.LegEnded)
    ear.endpoint.answer(leg)
    assert ear.story() == ["CallArrived", "CallerGone", "LegEnded"]
    ear.until(caller.done)
    assert caller.passed()


def test_rejected_with_retry_after(ear, sipp):
    caller = sipp(invite(), got(100, True), got(503, check="Retry-After: 10"), request("ACK"))
    ear.endpoint.reject(ear.next(e.CallArrived).leg, 503, 10)
    ear.until(caller.done)
    assert caller.passed()
    assert ear.story() == ["CallArrived", "LegEnded"]


def test_no_codec_in_common_is_488_and_a_call_turned_away(ear, sipp, caplog):
    """PJSIP refuses it before anybody is asked; it is told all the same."""
    caller = sipp(invite(sdp("3 4")), got(100, True), got(488), request("ACK"))
    ear.until(caller.done)
    assert caller.passed()
    assert ear.story() == ["CallTurnedAway", "LegEnded"]
    away = ear.next(e.CallTurnedAway)
    assert (away.caller.ani, away.caller.dnis, away.caller.trunk) == ("+15551234", "100", "carrier")
    assert (away.error.status, away.error.disposition) == (488, "sip_error") and "codec" in str(away.error)
    assert [r.message for r in caplog.records if "488" in r.message] == [
        f"INVITE from 127.0.0.1:{caller.port} (carrier): 488 by PJSIP"
    ]
    ear.endpoint.reject(away.leg, 488)
    assert ear.story() == ["CallTurnedAway", "LegEnded"]


def test_odd_offers_leave_nothing(ear, sipp):
    """Whatever PJSIP makes of them, each story that begins also ends."""
    answer_all(ear)
    offers = {
        "no audio": sdp().replace("m=audio", "m=image"),
        "secure profile": sdp().replace("RTP/AVP", "RTP/SAVP"),
        "port zero": sdp(port="0"),
        "no connection": sdp().replace("c=IN IP4 [media_ip]\n", ""),
        "codec only by name": sdp("97").replace("a=rtpmap:101 telephone-event", "a=rtpmap:97 XYZ"),
        "events only": sdp("101"),
        "no such address": sdp().replace("c=IN IP4 [media_ip]", "c=IN IP6 ::1"),
        "two audio lines": sdp() + "m=audio 9 RTP/AVP 8\n",
        "not SDP": "hello",
    }
    for name, body in offers.items():
        ear.heard.clear()
        caller = RawCaller(body)
        ear.until(lambda caller=caller: caller.final() >= 200)
        ear.silence(0.02)
        for leg in [event.leg for event in ear.all(e.CallArrived)]:
            ear.endpoint.hang_up(leg)
        story = ear.story()
        begun = story.count("CallArrived") + story.count("CallTurnedAway")
        assert begun == story.count("LegEnded") == 1, (name, story)
        ear.until(lambda caller=caller: caller.final() and ear.endpoint.n_closing() == 0)
        caller.close()


def test_real_time_text_is_refused_within_the_answer(ear):
    """With a text stream PJSIP would hold the engine's thread for 0.3 s when the leg ends."""
    answer_all(ear)
    caller = RawCaller(sdp() + "m=text 11 RTP/AVP 98\na=rtpmap:98 t140/1000\n")
    ear.until(lambda: caller.final() == 200)
    assert "m=text 0 " in caller.answer and "m=audio 0 " not in caller.answer
    ear.silence(0.1)
    began = time.monotonic()
    ear.endpoint.hang_up(ear.next(e.CallArrived).leg)
    assert time.monotonic() - began < 0.15
    ear.until(lambda: caller.final() and ear.endpoint.n_closing() == 0)
    caller.close()


@pytest.mark.parametrize("method", ["SUBSCRIBE", "INVITE"])
def test_a_route_that_is_no_sip_address(ear, method):
    """It is refused, and the process lives."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind((peers.HOST, 0))
        line.setblocking(False)
        here = f"{peers.HOST}:{line.getsockname()[1]}"
        text = (
            f"{method} sip:100@{peers.HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{method}\r\n"
            f"From: <sip:a@{here}>;tag=1\r\nTo: <sip:100@{peers.HOST}>\r\nCall-ID: {method}\r\nCSeq: 1 {method}\r\n"
            f"Contact: <sip:a@{here}>\r\nRecord-Route: <tel:+4930123456789012345678>\r\nEvent: presence\r\n"
            "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        line.sendto(text.encode(), (peers.HOST, peers.PORT))
        ear.until(lambda: select.select([line], [], [], 0)[0])
        assert int(line.recv(65535).split()[1]) >= 400


@pytest.mark.parametrize("hold", ["a=sendonly", "a=inactive", "c=IN IP4 0.0.0.0"])
def test_hold_and_resume_rebuild_the_stream(ear, sipp, hold):
    answer_all(ear)
    held = sdp().replace("a=sendrecv", hold) if hold[0] == "a" else sdp().replace("c=IN IP4 [media_ip]", hold)
    caller = sipp(
        invite(), got(100, True), got(200), request("ACK"), pause(50),
        invite(held, cseq=2), got(100, True), got(200), request("ACK", 2), pause(50),
        invite(cseq=3), got(100, True), got(200), request("ACK", 3), pause(50),
        request("BYE", 4), got(200),
    )  # fmt: skip
    ear.next(e.LegEnded)
    assert ear.story() == [*ANSWERED, "LegMedia", "LegMedia", "CallerGone", "LegEnded"]
    first, second, third = ear.all(e.LegMedia)  # each is told, also one that got the slot of the one before
    assert first.stream == second.stream == third.stream
    ear.until(caller.done)
    assert caller.passed()


def test_late_offer(ear, sipp):
    """INVITE without SDP: our 200 has the offer, the ACK the answer."""
    answer_all(ear)
    bare = invite("").replace("Content-Type: application/sdp\n", "")
    ack = request("ACK").replace(
        "Content-Length: 0\n\n", f"Content-Type: application/sdp\nContent-Length: [len]\n\n{sdp()}"
    )
    caller = sipp(bare, got(100, True), got(200, check="m=audio"), ack, pause(100), request("BYE", 2), got(200))
    ear.next(e.LegEnded)
    assert ear.story() == [*ANSWERED, "CallerGone", "LegEnded"]
    ear.until(caller.done)
    assert caller.passed()


def test_refer_is_refused(ear, sipp):
    answer_all(ear)
    refer = request("REFER", 2).replace("Content-Length", "Refer-To: <sip:+900123@127.0.0.1>\nContent-Length")
    caller = sipp(invite(), got(100, True), got(200), request("ACK"), refer, got(403), request("BYE", 3), got(200))
    ear.next(e.LegEnded)
    ear.until(caller.done)
    assert caller.passed()


def test_replaces_does_not_take_a_call_over(ear, sipp):
    answer_all(ear)
    caller = sipp(invite(), got(100, True), got(200), request("ACK"), pause(1500), request("BYE", 2), got(200))
    ear.next(e.CallerAnswered)
    dialog = re.compile(r"Call-ID: (\S+).*?;tag=(\S+)\s+CSeq: 1 INVITE\s+Contact: <sip:agner", re.S)
    ear.until(lambda: dialog.search(caller.sent_and_received()))  # SIPp writes its log when it likes
    found = dialog.search(caller.sent_and_received())
    assert found
    thief = RawCaller(sdp(), header=f"Replaces: {found[1]};to-tag={found[2]};from-tag=1\n")
    ear.until(lambda: thief.final() >= 200)
    thief.close()
    assert thief.final_status == 403
    ear.next(e.CallerGone)
    ours, theirs = dict.fromkeys(call for call, _ in ear.heard)
    assert ear.story(ours) == [*ANSWERED, "CallerGone", "LegEnded"]
    assert ear.story(theirs) == ["CallTurnedAway", "LegEnded"]
    ear.until(caller.done)
    assert caller.passed()


# ---- the called leg


def test_called_leg_answers_and_hangs_up(ear, sipp):
    check = "From: .Ada Lovelace. .sip:.4930123456@127.0.0.1."
    phone = sipp(
        got("INVITE", check=check), reply(180), pause(50), reply(200, sdp()), got("ACK"), pause(50),
        peers.bye_from_phone(), got(200),
    )  # fmt: skip
    ear.until(phone.listening)
    ring(ear, phone.port, headers={"X-Agner-Queue": "support"})
    ear.next(e.LegEnded)
    assert ear.story() == ["CalledRinging", "LegMedia", "CalledAnswered", "CalledGone", "LegEnded"]
    assert ear.next(e.CalledAnswered).offer == 7
    ear.until(phone.done)
    assert phone.passed()
    assert "X-Agner-Queue: support" in phone.sent_and_received()


@pytest.mark.parametrize("flag", [0, unheard.HEARS_MESSAGES])
def test_messages_are_told_of_calls_that_want_them(ear, sipp, monkeypatch, flag):
    """pjsua2 makes strings of each, which nobody reads but an attempt over a trunk."""
    heard = set()
    on_call_state = legs.CalledLeg.onCallState

    def hear(leg, prm):
        heard.add(prm.e.type)
        on_call_state(leg, prm)

    monkeypatch.setattr(legs.CalledLeg, "onCallState", hear)
    monkeypatch.setattr(legs.CalledLeg, "onCallTsxState", lambda leg, prm: heard.add(prm.e.type), raising=False)
    monkeypatch.setattr(legs, "begin", functools.partial(legs.begin, flag=flag))
    phone = sipp(got("INVITE"), reply(180), reply(200, sdp()), got("ACK"), peers.bye_from_phone(), got(200))
    ear.until(phone.listening)
    ring(ear, phone.port)
    ear.next(e.LegEnded)
    assert (pj.PJSIP_EVENT_TSX_STATE in heard) == bool(flag)
    assert flag or heard == {pj.PJSIP_EVENT_UNKNOWN}
    ear.until(phone.done)


@pytest.mark.parametrize("body", [sdp("3 4"), sdp(port="0")])
def test_a_200_without_usable_audio_is_a_refusal(ear, sipp, body):
    phone = sipp(got("INVITE"), reply(200, body), got("BYE"), in_dialog_ok())
    ear.until(phone.listening)
    ring(ear, phone.port)
    ear.next(e.LegEnded)
    assert ear.story() == ["CalledRefused", "LegEnded"]
    assert ear.next(e.CalledRefused).refusal is e.Refusal.REJECTED
    ear.until(phone.done)
    assert phone.passed()


def test_we_hang_up_an_answered_phone(ear, sipp):
    phone = sipp(got("INVITE"), reply(200, sdp()), got("ACK"), got("BYE"), in_dialog_ok())
    ear.until(phone.listening)
    leg = ring(ear, phone.port)
    ear.next(e.CalledAnswered)
    ear.endpoint.hang_up(leg)
    ear.until(phone.done)
    assert phone.passed()
    assert ear.story() == ["LegMedia", "CalledAnswered", "LegEnded"]


def test_refusals_are_told_apart(ear, sipp):
    cases = {
        486: e.Refusal.BUSY, 600: e.Refusal.BUSY,
        403: e.Refusal.REJECTED, 480: e.Refusal.REJECTED, 603: e.Refusal.REJECTED,
        404: e.Refusal.UNREACHABLE, 410: e.Refusal.UNREACHABLE, 500: e.Refusal.UNREACHABLE, 503: e.Refusal.UNREACHABLE,
        408: e.Refusal.NO_ANSWER, 487: e.Refusal.NO_ANSWER,
    }  # fmt: skip
    phones = {status: sipp(got("INVITE"), reply(180), reply(status), got("ACK")) for status in cases}
    ear.until(lambda: all(phone.listening() for phone in phones.values()))
    for status, phone in phones.items():
        ring(ear, phone.port, offer=status)
    ear.next(e.LegEnded, len(cases))
    assert {event.offer: event.refusal for event in ear.all(e.CalledRefused)} == cases
    assert all(event.status == event.offer for event in ear.all(e.CalledRefused))
    ear.until(lambda: all(phone.done() for phone in phones.values()))
    assert all(phone.passed() for phone in phones.values())


def test_hang_up_while_ringing_says_elsewhere(ear, sipp):
    reason = "Reason: SIP;cause=200;text=.Call completed elsewhere."
    phone = sipp(
        got("INVITE"), reply(180), got("CANCEL", check=reason), reply(200), reply(487, to_invite=True), got("ACK")
    )
    ear.until(phone.listening)
    leg = ring(ear, phone.port)
    ear.next(e.CalledRinging)
    ear.endpoint.hang_up(leg, elsewhere=True)
    assert ear.next(e.LegEnded) == e.LegEnded(leg, is_clear=False)
    assert ear.next(e.LegCleared) == e.LegCleared(leg)
    ear.until(phone.done)
    assert phone.passed()
    assert ear.story() == ["CalledRinging", "LegEnded", "LegCleared"]


def test_200_crosses_our_cancel(ear, sipp):
    """The phone is in the call, for all we know, until it has answered BYE."""
    phone = sipp(
        got("INVITE"), reply(180), got("CANCEL"), reply(200), reply(200, sdp(), to_invite=True), got("ACK"),
        got("BYE"), pause(300), in_dialog_ok(),
    )  # fmt: skip
    ear.until(phone.listening)
    leg = ring(ear, phone.port)
    ear.next(e.CalledRinging)
    ear.endpoint.hang_up(leg)
    ear.until(lambda: "\nBYE" in phone.sent_and_received())
    assert ear.story() == ["CalledRinging", "LegEnded"]
    ear.next(e.LegCleared)
    ear.until(phone.done)
    assert phone.passed()
    assert ear.story() == ["CalledRinging", "LegEnded", "LegCleared"]


def test_hung_up_before_any_answer_and_then_answered(ear, sipp):
    phone = sipp(got("INVITE"), pause(100), reply(200, sdp()), got("ACK"), got("BYE"), in_dialog_ok())
    ear.until(phone.listening)
    ear.endpoint.hang_up(ring(ear, phone.port))
    ear.until(phone.done)
    assert phone.passed()
    ear.next(e.LegCleared)
    assert ear.story() == ["LegEnded", "LegCleared"]


def test_hung_up_before_any_answer_and_then_ringing(ear, sipp):
    phone = sipp(
        got("INVITE"), pause(100), reply(180), got("CANCEL"), reply(200), reply(487, to_invite=True), got("ACK")
    )
    ear.until(phone.listening)
    ear.endpoint.hang_up(ring(ear, phone.port))
    ear.until(phone.done)
    assert phone.passed()
    ear.next(e.LegCleared)
    assert ear.story() == ["LegEnded", "LegCleared"]


def test_refused_connection_and_bad_uri_are_unreachable_at_once(ear):
    leg = ear.endpoint.dial("a", 1, "sip:phone@127.0.0.1:18199;transport=tcp", CALLER, {})
    other = ear.endpoint.dial("b", 2, "not a uri", CALLER, {"X-Bad": "one\r\nTwo: three"})
    ear.next(e.LegEnded, 2)
    for name, number in (("a", leg), ("b", other)):
        assert ear.story(name) == ["CalledRefused", "LegEnded"]
        assert (name, e.LegEnded(number)) in ear.heard
    assert {event.refusal for event in ear.all(e.CalledRefused)} == {e.Refusal.UNREACHABLE}


# ---- many, and mishaps


def test_churn_leaves_nothing(ear, sipp):
    """200 calls, each bridged to a phone; the collector runs among them and finds no leg to hang up."""
    phone = sipp(got("INVITE"), reply(180), reply(200, sdp()), got("ACK"), got("BYE"), in_dialog_ok(), n=200)
    steps = invite(), got(100, True), got(200), request("ACK"), pause(150), request("BYE", 2), got(200)
    ear.until(phone.listening)
    gc.collect()
    gc.freeze()  # what was there before cannot be a leg of these, and to go through it 40 times makes phones impatient
    before = n_descriptors()
    called = {}

    def conduct(call, event):
        if isinstance(event, e.CallArrived):
            if event.leg % 10 == 0:
                gc.collect()
            ear.endpoint.answer(event.leg)
            called[call] = ear.endpoint.dial(call, 1, f"sip:phone@127.0.0.1:{phone.port}", event.caller, {})
        elif isinstance(event, e.CallerGone):
            ear.endpoint.hang_up(called[call])

    pending = []
    ear.on_post = lambda call, event: pending.append((call, event))
    caller = sipp(*steps, n=200, rate=50)

    def turn():
        while pending:
            conduct(*pending.pop(0))
        return caller.done() and phone.done()

    ear.until(turn, 20)
    gc.unfreeze()
    assert caller.passed() and phone.passed()
    assert len(ear.all(e.LegEnded)) == 400 and len(ear.all(e.CalledAnswered)) == 200
    for call in called:
        assert ear.story(call).count("CallerGone") == ear.story(call).count("CalledAnswered") == 1
    legs = [event.leg for event in ear.all(e.LegEnded)]
    assert len(set(legs)) == 400
    ear.until(lambda: n_descriptors() <= before)


def test_a_callback_that_raises_ends_its_call_alone(ear, sipp):
    steps = invite(), got(100, True), got(200), request("ACK"), pause(300), request("BYE", 2), got(200)
    good = sipp(*steps)
    answer_all(ear)
    ear.next(e.CallerAnswered)
    bad = sipp(invite(), got(100, True), got(200), request("ACK"), got("BYE"), in_dialog_ok())

    def stumble(call, event):
        if isinstance(event, e.LegMedia):
            raise ZeroDivisionError("test")
        if isinstance(event, e.CallArrived):
            ear.endpoint.answer(event.leg)

    ear.on_post = stumble
    ear.next(e.LegEnded, 2)
    ear.until(lambda: good.done() and bad.done())
    assert good.passed() and bad.passed()
    failed = next(call for call, event in ear.heard if isinstance(event, e.CallFailed))
    assert "onCallMediaState: ZeroDivisionError: test" in str(ear.next(e.CallFailed).error)
    story = ear.story(failed)
    assert story.count("CallFailed") == story.count("LegEnded") == 1 and story[-1] == "LegEnded"
