"""What was answered is remembered by its answer alone, not by PJSIP's dialogs (engine/sip/repeats.h)."""

import time

from engine.callflow import events as e
from engine.sip import slots
from tests.sip.peers import Ear, RawCaller, sdp


def talk(ear: Ear) -> RawCaller:
    """A call that the far side has just ended."""
    ear.heard.clear()
    ear.on_post = lambda call, event: ear.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None
    caller = RawCaller(sdp())
    ear.until(lambda: caller.final() == 200)
    ear.next(e.CallerAnswered)
    caller.send_bye()
    ear.next(e.LegEnded)
    return caller


def answer(ear: Ear, caller: RawCaller) -> str:
    heard = ""
    deadline = time.monotonic() + 5
    while not heard:
        assert time.monotonic() < deadline
        ear.endpoint.poll(0.01)
        heard = caller.heard()
    return heard


def test_the_memory_of_a_call_is_free_when_it_is_over(ear):
    """Not 32 s later. Control: one that was refused has its transaction still (timer I), and its dialog with it."""
    talk(ear).close()
    ear.silence(0.5)
    before = slots.n_pools()
    for _ in range(20):
        talk(ear).close()
    ear.until(lambda: slots.n_pools() <= before, 2)
    ear.on_post = lambda call, event: ear.endpoint.reject(event.leg, 480) if isinstance(event, e.CallArrived) else None
    refused = RawCaller(sdp())
    ear.until(lambda: refused.final() == 480)
    ear.silence(0.5)
    assert slots.n_pools() > before
    refused.close()


def test_a_bye_that_comes_again_gets_the_answer_of_before(ear):
    caller = talk(ear)
    first = answer(ear, caller)
    assert first.startswith("SIP/2.0 200") and "CSeq: 2 BYE" in first
    ear.silence(0.5)  # PJSIP's transaction is over
    for _ in range(3):
        caller.send_bye()
        assert answer(ear, caller) == first
    assert ear.story().count("LegEnded") == 1
    caller.close()


def test_a_bye_of_another_transaction_does_not(ear):
    """RFC 3261 section 15.1.2: there is no such dialog any more."""
    caller = talk(ear)
    answer(ear, caller)
    ear.silence(0.5)
    for changed in (
        {"Call_ID": "another"},
        {"CSeq": "3 BYE"},
        {"Via": f"SIP/2.0/UDP 127.0.0.1:{caller.port};branch=z9hG4bKother"},
        {"Via": f"SIP/2.0/UDP 127.0.0.2:{caller.port};rport;branch=z9hG4bKb{caller.port}"},
    ):
        caller.send_bye(**changed)
        assert answer(ear, caller).startswith("SIP/2.0 481"), changed
    caller.close()


def test_an_invite_that_comes_again_after_its_call_is_no_second_call(ear):
    caller = talk(ear)
    answer(ear, caller)
    ear.silence(0.5)
    caller.send_invite()
    ear.silence(0.3)
    assert len(ear.all(e.CallArrived)) == 1 and not caller.heard()
    other = RawCaller(sdp())  # control: the ear would have heard
    ear.next(e.CallArrived, 2)
    ear.until(lambda: other.final() == 200)
    other.send_bye()
    ear.next(e.LegEnded, 2)
    other.close()
    caller.close()
