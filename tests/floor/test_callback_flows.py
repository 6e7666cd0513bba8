"""Callbacks, one test each: agent first, customer first, and what crosses."""

import pytest

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.events import Refusal
from engine.callflow.table import State
from tests.floor import steps
from tests.floor.playbook import after, cdr, expire, segment, state
from tests.floor.steps import CALLER, calling_back, fetching, reaching

BYE = ev.CallerGone(200, "BYE")

# ---- agent first


def connected(play):
    return (
        fetching(play)
        >> after(6) >> ev.CustomerAnswered()
        << segment("customer", "answered", began_at=0, ended_at=6, agent="101", queue="support")
        << do.Bridge(1) << do.StartRecording("c1.wav") << state(State.TALKING)
    )


def test_the_customer_answers(play):
    (
        connected(play)
        >> after(30) >> BYE << do.ReleaseAgent(1) << segment("talk", "caller", began_at=6) << do.HangUpCalled(1)
        >> ev.LegsGone()
        << cdr(kind="callback", ani=CALLER.ani, disposition="answered", answered_at=6, connected_at=6, agent="101")
    )


def test_the_agent_hangs_up_and_the_customer_is_asked_how_it_was(play):
    (
        connected(play)
        >> ev.TalkEnded(1) << do.ReleaseAgent(1) << segment("talk", "agent") << do.TakeStep("served")
        >> ev.AskPlanned(steps.SURVEY) << do.PlayPrompts(1, ("rate_us",), "zh")
    )


@pytest.mark.parametrize(
    ("refusal", "status", "disposition"),
    [
        (Refusal.BUSY, 486, "customer_busy"),
        (Refusal.NO_ANSWER, 408, "customer_no_answer"),
        (Refusal.REJECTED, 603, "customer_failed"),
        (Refusal.UNREACHABLE, 503, "customer_failed"),
    ],
)
def test_the_customer_is_not_reached(play, refusal, status, disposition):
    (
        fetching(play)
        >> ev.CustomerRefused(refusal, status)
        << segment("customer", refusal, status=status) << do.ReleaseAgent(1) << do.HangUpCalled(1)
        >> ev.LegsGone() << cdr(disposition=disposition, status=status, agent=None, connected_at=None)
    )


def test_the_customer_does_not_pick_up_and_the_200_crosses_the_cancel(play):
    (
        fetching(play)
        >> expire() << segment("customer", "no_answer", ended_at=30) << do.ReleaseAgent(1) << do.HangUpCalled(1)
        << do.HangUpCaller()
        >> ev.CustomerAnswered() << do.HangUpCaller() << state(State.CLOSING)
        >> BYE >> ev.LegsGone() << cdr(disposition="customer_no_answer", ended_by="switch")
    )


def test_the_agent_leaves_while_the_customers_phone_rings(play):
    (
        fetching(play)
        >> ev.CalledGone(1) << segment("customer", "withdrawn") << do.ReleaseAgent(1) << do.HangUpCaller()
        >> ev.CustomerRefused(Refusal.NO_ANSWER, 487)
        >> ev.LegsGone() << cdr(disposition="agent_left", ended_by="agent")
    )


def test_the_customer_answers_as_the_agent_leaves(play):
    (
        fetching(play)
        >> ev.CalledGone(1) << segment("customer", "withdrawn") << do.ReleaseAgent(1) << do.HangUpCaller()
        >> ev.CustomerAnswered() << do.HangUpCaller()
    )


def test_the_agent_leaves_during_the_whisper(play):
    (
        calling_back(play)
        >> ev.AgentReserved(1, "101") << do.RingAgent(1, "101")
        >> ev.CalledAnswered(1) << do.TakeOffer << segment("offer", "answered") << segment("queue", "answered")
        << do.Greet
        >> ev.CalledGone(1) << do.ReleaseAgent(1)
        >> ev.LegsGone() << cdr(disposition="agent_left", agent=None)
    )


def test_the_agent_does_not_pick_up_and_the_callback_waits_on(play):
    (
        calling_back(play)
        >> ev.AgentReserved(1, "101") << do.RingAgent(1, "101")
        >> ev.OfferExpired(1) << segment("offer", "no_answer") << do.HangUpCalled(1)
        >> ev.OffersFailed() << state(State.QUEUED)
    )


def test_nobody_hears_announcements_of_a_callback(play):
    began = ev.CallbackBegan(CALLER, steps.PATIENT, customer_first=False)
    assert calling_back(play, began).call.deadline is None


def test_the_wait_of_a_callback_ends(play):
    (
        calling_back(play)
        >> ev.WaitEnded("timeout") << segment("queue", "timeout") << do.TakeStep("timeout")
        >> steps.hang_up("normal")
        >> ev.LegsGone() << cdr(disposition="timed_out", ended_by="plan", kind="callback")
    )


def test_the_customer_has_called_in_meanwhile(play):
    (
        calling_back(play)
        >> ev.HangUpOrdered("served_meanwhile") << do.LeaveQueue("withdrawn") << segment("queue", "withdrawn")
        >> ev.LegsGone() << cdr(disposition="hung_up", ended_by="served_meanwhile")
    )


# ---- customer first


def waiting_again(play):
    return (
        reaching(play)
        >> after(8) >> ev.CustomerAnswered()
        << segment("customer", "answered", began_at=0, ended_at=8) << do.StartRecording("c1.wav")
        << do.StartMusic("moh") << do.Enqueue(steps.EXTRAS) << do.PlayPrompts(1, ("you_asked_for_a_call",), "zh")
        << state(State.QUEUED)
    )


def test_the_customer_waits_like_any_caller(play):
    (
        waiting_again(play)
        >> ev.PlayFinished(1)
        >> ev.AgentReserved(2, "102") << do.RingAgent(2, "102")
        >> ev.CalledAnswered(2) << do.TakeOffer(2) << segment("offer", "answered") << segment("queue", "answered")
        << do.StopPrompts() << do.StopMusic() << do.Greet(2, ("vip",), ("agent_number",), "zh")
        >> ev.Greeted(2) << do.Bridge(2)
        >> BYE << do.ReleaseAgent(2) << segment("talk", "caller") << do.HangUpCalled(2)
        >> ev.LegsGone() << cdr(kind="callback", disposition="answered", agent="102", answered_at=8)
    )


def test_the_customer_hangs_up_waiting(play):
    (
        waiting_again(play)
        >> BYE << do.LeaveQueue("abandoned") << segment("queue", "abandoned")
        >> ev.LegsGone() << cdr(kind="callback", disposition="abandoned")
    )


def test_the_customer_leaves_by_an_exit_key(play):
    (
        waiting_again(play)
        >> ev.KeyChosen("1") << do.StopPrompts() << do.StopMusic() << do.LeaveQueue("withdrawn")
        << segment("queue", "left_queue") << do.TakeStep("1")
    )


def test_a_busy_customer(play):
    (
        reaching(play)
        >> ev.CustomerRefused(Refusal.BUSY, 486) << segment("customer", "busy", status=486)
        >> ev.LegsGone() << cdr(disposition="customer_busy", agent=None)
    )


def test_the_customer_does_not_pick_up(play):
    (
        reaching(play)
        >> expire() << segment("customer", "no_answer") << do.HangUpCaller()
        >> ev.CustomerRefused(Refusal.NO_ANSWER, 487)
        >> ev.LegsGone() << cdr(disposition="customer_no_answer")
    )


def test_two_turns_cross(play):
    """The ACD had given another agent before it heard that the customer is called."""
    reaching(play) >> ev.CallbackTurn(2) << do.GiveBackAgent(2) << state(State.REACHING)


def test_a_turn_after_the_callback_was_cancelled(play):
    (
        calling_back(play, steps.CUSTOMER_FIRST)
        >> ev.HangUpOrdered("wang") << do.LeaveQueue("withdrawn") << segment("queue", "withdrawn")
        >> ev.CallbackTurn(1) << do.GiveBackAgent(1) << state(State.CLOSING)
        >> ev.LegsGone() << cdr(disposition="hung_up", ended_by="wang")
    )


def test_an_operator_ends_it_while_the_customers_phone_rings(play):
    (
        reaching(play)
        >> ev.HangUpOrdered("wang") << segment("customer", "withdrawn") << do.HangUpCaller()
        >> ev.CustomerAnswered() << do.HangUpCaller()
        >> BYE >> ev.LegsGone() << cdr(disposition="hung_up", answered_at=None)
    )
