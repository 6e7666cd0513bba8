"""Far sides that do not answer: everything ends by itself, and PJSIP's own timers get the time they need (32 s)."""

import time

from engine.callflow import events as e
from engine.callflow.events import Refusal
from tests.sip.peers import CALLER, RawCaller, got, reply, sdp

TIMER_B_S = 32  # RFC 3261 section 17.1.1.2: 64 * T1; Timer H and the retransmissions of a 200 are as long


def test_no_ack_no_response_and_100_alone(ear, sipp):
    ear.on_post = lambda call, event: ear.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None
    deaf = RawCaller(sdp())  # whom nobody turns to again: no ACK, and no answer to our BYE
    cut = RawCaller(sdp())  # the same, but we hang up at once
    ear.endpoint.hang_up(ear.next(e.CallerAnswered, 2) and ear.all(e.CallArrived)[1].leg)
    trying = sipp(got("INVITE"), reply(100), got("CANCEL"), reply(200), reply(487, to_invite=True), got("ACK"))
    ear.until(trying.listening)
    started = time.monotonic()
    nobody = ear.endpoint.dial("a", 1, "sip:phone@127.0.0.1:18399", CALLER, {})
    ear.endpoint.dial("b", 2, f"sip:phone@127.0.0.1:{trying.port}", CALLER, {})
    ear.next(e.CalledRefused, 2)
    assert 3.9 < time.monotonic() - started < 4.5, "settings.Sip.ringing_within_s"
    for call, offer in (("a", 1), ("b", 2)):
        assert (call, e.CalledRefused(offer, Refusal.UNREACHABLE, 408)) in ear.heard
        assert ear.story(call)[:2] == ["CalledRefused", "LegEnded"]
    ear.endpoint.hang_up(nobody)
    ear.until(trying.done)
    assert trying.passed()
    assert ear.endpoint.n_closing() == 3, "the INVITE to nobody, and the calls without ACK"

    gone = ear.next(e.CallerGone, within_s=2 * TIMER_B_S)
    assert gone == e.CallerGone(408, "no_ack", e.Loss.NO_ACK)
    assert TIMER_B_S < time.monotonic() - started < TIMER_B_S + 2
    assert ear.story("c1") == ["CallArrived", "LegMedia", "CallerAnswered", "CallerGone", "LegEnded"]
    ear.until(lambda: ear.endpoint.n_closing() == 0, within_s=5)
    assert "BYE" in deaf.methods(), "RFC 3261 section 13.3.1.4"
    deaf.close()
    cut.close()
