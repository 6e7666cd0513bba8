"""Flows of calls that agents' phones dial: to a colleague, outside, and back out of them."""

import pytest

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.call import Rules
from engine.callflow.table import State
from tests.floor.playbook import after, cdr, expire, opened, segment, state
from tests.floor.steps import HERE, NOWHERE, hang_up

AGENT = plan.Caller(ani="101", dnis="102", trunk="", name="Li", agent="101")
COLLEAGUE = steps.Transfer(HERE, NOWHERE, uri="agent:102", ring_for_s=20)
OUTSIDE = steps.Transfer(HERE, NOWHERE, uri="trunk:carrier/057112345", ring_for_s=20)
BYE, CANCEL = ev.CallerGone(200, "BYE"), ev.CallerGone(487, "CANCEL")


def dialling(play, step=COLLEAGUE, **options):
    return (
        play(**options)
        >> ev.CallArrived(AGENT, leg=1) << opened(kind="internal", ani="101") << do.TakeStep("start")
        >> ev.TransferPlanned(step, -1) << do.DialOut(-1, step.uri)
        << state(State.DIALLING)
    )  # fmt: skip


def talking(play, step=COLLEAGUE, **options):
    return (
        dialling(play, step, **options)
        >> after(1) >> ev.CalledRinging(-1) << do.RingCaller()
        >> after(4) >> ev.CalledAnswered(-1) << segment("offer", "answered")
        << do.StopPrompts() << do.StopMusic() << do.AnswerCaller() << do.Bridge(-1)
        << state(State.TRANSFERRED)
    )  # fmt: skip


def test_a_colleague_answers_and_so_is_the_phone(play):
    (
        talking(play)
        >> ev.CallerAnswered() << do.StartRecording("c1.wav")
        >> after(60) >> BYE << segment("talk", "caller", agent="102") << do.HangUpCalled(-1)
        >> ev.LegsGone()
        << cdr(kind="internal", disposition="answered", agent="101", answered_at=5, connected_at=5, ended_by="caller")
    )  # fmt: skip


def test_outside_and_who_is_called_hangs_up_before_the_phone_has_our_200(play):
    (
        talking(play, OUTSIDE)
        >> ev.CalledGone(-1) << segment("talk", "called", agent=OUTSIDE.uri) << do.HangUpCaller()
        >> ev.CallerAnswered() << state(State.CLOSING)
        >> ev.LegsGone() << cdr(kind="outbound", trunk="carrier", agent="101", recording=None, status=200)
    )  # fmt: skip


def test_recorded_from_the_talk_on_once_audio_flows(play):
    rules = Rules(max_talk_s=60, ending_s=35, record_from="talked", recording="c1.wav")
    (
        talking(play, rules=rules)
        >> ev.CallerAnswered() << do.StartRecording("c1.wav")
        >> expire() << segment("talk", "switch") << do.HangUpCalled(-1) << do.HangUpCaller()
        >> ev.LegsGone() << cdr(ended_by="switch")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("refusal", "status", "result"),
    [(ev.Refusal.BUSY, 486, "busy"), (ev.Refusal.NO_ANSWER, 480, "no_answer"), (ev.Refusal.UNREACHABLE, 404, "failed")],
)
def test_the_phone_hears_why_not(play, refusal, status, result):
    (
        dialling(play)
        >> ev.CalledRefused(-1, refusal, status) << do.StopPrompts() << do.StopMusic() << segment("offer", refusal)
        << do.TakeStep(result)
        >> hang_up("busy") << do.RejectCaller(486)
        >> ev.LegsGone() << cdr(disposition=result, status=486, answered_at=None, agent=None)
    )  # fmt: skip


FOLLOWED = steps.Transfer(HERE, NOWHERE, uri="agent:102", ring_for_s=20, follows_redirect=True)


@pytest.mark.parametrize(
    ("step", "asked"), [(COLLEAGUE, do.TakeStep("failed")), (FOLLOWED, do.FollowRedirect("103", "failed"))]
)
def test_a_302_is_followed_only_where_the_plan_says_so(play, step, asked):
    (
        dialling(play, step)
        >> ev.CalledRefused(-1, ev.Refusal.REJECTED, 302, "103") << do.StopPrompts() << do.StopMusic()
        << segment("offer", "rejected", status=302) << asked
        >> hang_up("busy") << do.RejectCaller(486)
        >> ev.LegsGone() << cdr()
    )  # fmt: skip


def test_the_agent_gives_up_while_it_rings_and_the_200_crosses_the_cancel(play):
    (
        dialling(play)
        >> ev.CalledRinging(-1) << do.RingCaller()
        >> CANCEL << segment("offer", "abandoned") << do.HangUpCalled(-1)
        >> ev.CalledAnswered(-1) << do.HangUpCalled(-1)
        >> ev.LegsGone() << cdr(disposition="caller_left", status=487, answered_at=None)
    )  # fmt: skip


def test_a_caller_of_a_trunk_put_through_to_an_agent_unanswered(play):
    caller = plan.Caller(ani="13800138000", dnis="102", trunk="carrier")
    (
        play()
        >> ev.CallArrived(caller, leg=1) << opened(kind="inbound") << do.TakeStep("start")
        >> ev.TransferPlanned(COLLEAGUE, -1) << do.DialOut(-1, "agent:102")
        >> ev.CalledAnswered(-1) << segment("offer", "answered") << do.StopPrompts() << do.StopMusic()
        << do.AnswerCaller() << do.Bridge(-1)
        >> ev.CallerAnswered() << do.StartRecording("c1.wav")
        >> ev.CalledGone(-1) << segment("talk", "called") << do.HangUpCaller()
        >> ev.LegsGone() << cdr(kind="inbound", disposition="answered", agent="102")
    )  # fmt: skip
