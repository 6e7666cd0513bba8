"""Flows of transfers that the agent's phone asks for: to somebody, into a plan, to whom the agent has on the line."""

import pytest

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.table import State
from tests.floor.playbook import after, cdr, expire, opened, segment, state
from tests.floor.steps import COLLEAGUE, EXTRAS, HERE, NOWHERE, SUPPORT, sending, talking

OUTSIDE = steps.Transfer(HERE, NOWHERE, uri="trunk:carrier/0571", ring_for_s=20, ringback="ringback")
BYE = ev.CallerGone(200, "BYE")


def test_the_colleague_takes_it_and_the_agent_wraps_up(play):
    (
        sending(play)
        >> after(3) >> ev.CalledAnswered(9) << segment("offer", "answered", agent="102")
        << do.ReportTransfer(1, 200) << do.ReleaseAgent(1)
        << segment("talk", "agent", agent="101", queue="support", ended_at=3) << do.HangUpCalled(1)
        << do.StopPrompts() << do.StopMusic() << do.Bridge(9) << state(State.TRANSFERRED)
        >> after(60) >> BYE << segment("talk", "caller", agent="102", began_at=3, queue=None) << do.HangUpCalled(9)
        >> ev.LegsGone() << cdr(disposition="answered", agent="102", connected_at=0, ended_by="caller")
    )  # fmt: skip


@pytest.mark.parametrize(("refusal", "status", "told"), [(ev.Refusal.BUSY, 486, 486), (ev.Refusal.UNREACHABLE, 0, 480)])
def test_nobody_takes_it_and_the_caller_is_back_with_the_agent(play, refusal, status, told):
    """Recording goes on, and the talk is one."""
    (
        sending(play)
        >> ev.CalledRefused(9, refusal, status) << segment("offer", refusal, agent="102")
        << do.StopPrompts() << do.StopMusic() << do.ReportTransfer(1, told) << do.Bridge(1) << state(State.TALKING)
        >> after(5) >> ev.CalledGone(1) << do.ReleaseAgent(1) << segment("talk", "agent", agent="101", began_at=0)
        << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="answered", agent="101", ended_by="agent")
    )  # fmt: skip


def test_nobody_answers_in_time(play):
    (
        sending(play)
        >> expire() << segment("offer", "no_answer") << do.HangUpCalled(9)
        << do.StopPrompts() << do.StopMusic() << do.ReportTransfer(1, 480) << do.Bridge(1)
        >> ev.CalledAnswered(9) << do.HangUpCalled(9) << state(State.TALKING)
    )  # fmt: skip


def test_the_agent_does_not_wait_and_nobody_takes_it(play):
    """Then the plan of the number says what follows."""
    (
        sending(play)
        >> ev.CalledGone(1) << do.ReleaseAgent(1) << segment("talk", "agent", agent="101") << do.FollowAgent()
        << state(State.DIALLING)
        >> ev.CalledRefused(9, ev.Refusal.BUSY, 486) << do.StopPrompts() << do.StopMusic() << segment("offer", "busy")
        << do.TakeStep("busy")
        >> ev.QueuePlanned(SUPPORT) << do.StartMusic("moh") << do.Enqueue(SUPPORT)
    )  # fmt: skip


def test_the_caller_leaves_while_the_colleagues_phone_rings(play):
    (
        sending(play)
        >> BYE << segment("offer", "abandoned", agent="102") << do.HangUpCalled(9)
        << do.ReleaseAgent(1) << segment("talk", "caller", agent="101") << do.HangUpCalled(1)
        >> ev.LegsGone() << cdr(disposition="answered", agent="101")
    )  # fmt: skip


def test_into_a_queue(play):
    """The same call in the trace, with a wait and a talk of its own."""
    (
        talking(play)
        >> after(30) >> ev.SentIntoPlan() << do.Part(1) << do.ReportTransfer(1, 200) << do.ReleaseAgent(1)
        << segment("talk", "agent", agent="101", ended_at=30) << do.HangUpCalled(1)
        << do.FollowAgent() << do.TakeStep("start")
        >> ev.QueuePlanned(EXTRAS) << do.StartMusic("moh") << do.Enqueue(EXTRAS)
        >> ev.AgentReserved(2, "102") << do.RingAgent(2, "102")
        >> ev.CalledAnswered(2) << do.TakeOffer(2) << segment("offer", "answered") << segment("queue", "answered")
        << do.StopPrompts() << do.StopMusic() << do.Greet
        >> after(1) >> ev.AgentLost(2) << do.StopPrompts() << do.ReleaseAgent(2) << do.StartMusic << do.Enqueue
        >> BYE << do.LeaveQueue("abandoned") << segment("queue", "abandoned")
        >> ev.LegsGone() << cdr(disposition="abandoned", agent="101", connected_at=0)
    )  # fmt: skip


def test_put_through_to_whom_the_agent_has_on_the_line(play):
    (
        talking(play)
        >> after(30) >> ev.PutThrough(OUTSIDE, -3) << do.Part(1) << do.ReportTransfer(1, 200) << do.ReleaseAgent(1)
        << segment("talk", "agent", agent="101") << do.HangUpCalled(1)
        << do.StopPrompts() << do.StopMusic() << do.Bridge(-3) << state(State.TRANSFERRED)
        >> after(9) >> ev.CalledGone(-3) << segment("talk", "called", agent=OUTSIDE.uri, began_at=30)
        << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="answered", agent="101", ended_by="called")
    )  # fmt: skip


def test_put_through_as_the_caller_hangs_up(play):
    """Law 3."""
    (
        talking(play)
        >> BYE << do.ReleaseAgent(1) << segment("talk", "caller") << do.HangUpCalled(1)
        >> ev.PutThrough(OUTSIDE, -3) << do.HangUpCalled(-3)
        >> ev.LegsGone() << cdr()
    )  # fmt: skip


def test_the_agents_own_call_ends_when_its_party_is_taken(play):
    agent = plan.Caller(ani="101", dnis="102", trunk="", agent="101")
    (
        play()
        >> ev.CallArrived(agent, leg=1) << opened(kind="internal") << do.TakeStep("start")
        >> ev.TransferPlanned(COLLEAGUE, -1) << do.DialOut(-1, "agent:102")
        >> ev.CalledAnswered(-1) << segment("offer", "answered") << do.StopPrompts() << do.StopMusic()
        << do.AnswerCaller() << do.Bridge(-1)
        >> ev.CallerAnswered() << do.StartRecording
        >> after(9) >> ev.CalledTaken(-1) << segment("talk", "agent", agent="102") << do.HangUpCaller()
        >> ev.LegsGone() << cdr(ended_by="agent", disposition="answered", kind="internal")
    )  # fmt: skip
