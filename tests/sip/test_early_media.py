"""183 with SDP: the caller hears something before, or instead of, the answer."""

import re

from engine.callflow import events as e
from tests.sip.peers import cancel, got, invite, pause, request, sdp


def body_of(messages: str, status: int) -> str:
    found = re.search(rf"SIP/2.0 {status} .*?\n\s*\n(v=0.*?)\n-----", messages.replace("\r", ""), re.S)
    assert found, status
    return found[1].strip()


def test_heard_and_then_answered_with_the_same_sdp(ear, sipp, rtp):
    offer = invite(sdp(port=str(rtp.port)))
    caller = sipp(
        offer, got(100, True), got(183), got(200), request("ACK"), pause(100), request("BYE", 2), got(200)
    )
    leg = ear.next(e.CallArrived).leg
    ear.endpoint.progress(leg)
    ear.endpoint.progress(leg)
    ear.next(e.CallerHears)
    ear.until(rtp.has_come)
    rtp.press("5", ear.silence)
    ear.next(e.CallerDigit)
    assert ear.story() == ["CallArrived", "LegMedia", "CallerHears", "CallerDigit"]
    ear.endpoint.answer(leg)
    ear.endpoint.progress(leg)
    ear.next(e.LegEnded)
    assert ear.story()[4:] == ["CallerAnswered", "CallerGone", "LegEnded"]
    ear.until(caller.done)
    assert caller.passed()
    messages = caller.sent_and_received()
    assert body_of(messages, 183) == body_of(messages, 200) and "m=audio" in body_of(messages, 183)
    assert len(re.findall("SIP/2.0 183", messages)) == 1


def test_heard_and_then_refused(ear, sipp):
    """The blacklisted caller: unbilled."""
    caller = sipp(invite(), got(100, True), got(183, check="m=audio"), got(480), request("ACK"))
    leg = ear.next(e.CallArrived).leg
    ear.endpoint.progress(leg)
    ear.next(e.CallerHears)
    ear.silence(0.1)
    ear.endpoint.reject(leg, 480)
    ear.until(caller.done)
    assert caller.passed()
    assert ear.story() == ["CallArrived", "LegMedia", "CallerHears", "LegEnded"]


def test_caller_gives_up_while_hearing(ear, sipp):
    caller = sipp(invite(), got(100, True), got(183), pause(100), cancel(), got(200), got(487), request("ACK"))
    ear.endpoint.progress(ear.next(e.CallArrived).leg)
    ear.next(e.LegEnded)
    assert ear.story() == ["CallArrived", "LegMedia", "CallerHears", "CallerGone", "LegEnded"]
    assert ear.next(e.CallerGone).status == 487
    ear.until(caller.done)
    assert caller.passed()


def test_without_an_offer_nothing_can_be_heard(ear, sipp):
    bare = invite("").replace("Content-Type: application/sdp\n", "")
    caller = sipp(bare, got(100, True), got(183), got(500), request("ACK"))
    ear.endpoint.progress(ear.next(e.CallArrived).leg)
    ear.until(caller.done)
    assert caller.passed()
    assert ear.story() == ["CallArrived", "CallFailed", "LegEnded"]
    assert "early media: SipError: no audio before the answer" in str(ear.next(e.CallFailed).error)


def test_progress_of_a_leg_that_is_gone_is_nothing(ear):
    ear.endpoint.progress(4711)
    assert ear.heard == []
