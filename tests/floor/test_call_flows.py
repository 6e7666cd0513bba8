"""The flows a telecom engineer names, one test each: what happens to a call, and what it asks for (see playbook.py).

The chapters before the moment that matters (arrived, answered, queued, offering, talking, dialling, transferred) are in
steps.py. Crossings in every order are the storm's (test_storm.py); here stand the ones with a name.
"""

import pytest

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.call import Rules
from engine.callflow.errors import BusyError, ImpossibleEvent, MediaError, PlanError
from engine.callflow.events import Refusal
from engine.callflow.table import State
from tests.floor import steps
from tests.floor.playbook import after, at, cdr, expire, opened, segment, state
from tests.floor.steps import CALLER, answered, arrived, dialling, hang_up, offering, queued, talking, transferred

CANCEL = ev.CallerGone(487, "CANCEL")
BYE = ev.CallerGone(200, "BYE")

# ---- a talk, and who ends it


def test_the_agent_hangs_up_first(play):
    (
        talking(play)
        >> after(60) >> ev.CalledGone(1)
        << do.ReleaseAgent(1) << segment("talk", "agent", agent="101", queue="support") << do.HangUpCaller()
        << state(State.CLOSING)
        >> ev.CallerGone(200, "BYE")
        >> ev.LegsGone() << cdr(disposition="answered", ended_by="agent", status=200, agent="101", queue="support")
        << state(State.ENDED)
    )


def test_the_caller_hangs_up_first(play):
    (
        talking(play)
        >> after(60) >> BYE
        << do.ReleaseAgent(1) << segment("talk", "caller", agent="101") << do.HangUpCalled(1)
        >> ev.CalledGone(1)
        >> ev.LegsGone() << cdr(disposition="answered", ended_by="caller", status=200)
    )


def test_the_times_of_a_call(play):
    (
        arrived(play)
        >> at(1) >> ev.AnswerPlanned(steps.ANSWER) << do.AnswerCaller
        >> at(2) >> ev.CallerAnswered() << do.StartRecording << do.TakeStep
        >> at(3) >> ev.QueuePlanned(steps.SUPPORT) << do.StartMusic << do.Enqueue
        >> at(8) >> ev.AgentReserved(1, "101") << do.RingAgent
        >> at(12) >> ev.CalledAnswered(1) << do.TakeOffer
        << segment("offer", "answered", began_at=8, ended_at=12)
        << segment("queue", "answered", began_at=3, ended_at=12)
        << do.StopPrompts << do.StopMusic << do.Greet
        >> at(14) >> ev.Greeted(1) << do.Bridge
        >> at(72) >> ev.CalledGone(1)
        << do.ReleaseAgent << segment("talk", "agent", began_at=12, ended_at=72) << do.HangUpCaller
        >> at(73) >> ev.LegsGone() << cdr(arrived_at=0, answered_at=1, connected_at=12, ended_at=73)
    )


def test_a_talk_is_cut_at_the_longest_time(play):
    (
        talking(play)
        >> expire()
        << do.ReleaseAgent(1) << segment("talk", "switch", began_at=0, ended_at=3600)
        << do.HangUpCalled(1) << do.HangUpCaller()
        >> ev.CalledGone(1) >> BYE
        >> ev.LegsGone() << cdr(disposition="answered", ended_by="switch")
    )


def test_both_hang_up_at_once(play):
    (
        talking(play)
        >> ev.CalledGone(1) << do.ReleaseAgent(1) << segment("talk", "agent") << do.HangUpCaller()
        >> BYE << state(State.CLOSING)
        >> ev.LegsGone() << cdr(ended_by="agent")
    )


def test_recording_from_the_bridge_on(play):
    rules = Rules(max_talk_s=3600, ending_s=35, record_from="talked", recording="c1.wav")
    (
        arrived(play, rules=rules)
        >> ev.AnswerPlanned(steps.ANSWER) << do.AnswerCaller()
        >> ev.CallerAnswered() << do.TakeStep("done")
        >> ev.QueuePlanned(steps.SUPPORT) << do.StartMusic << do.Enqueue
        >> ev.AgentReserved(1, "101") << do.RingAgent
        >> ev.CalledAnswered(1) << do.TakeOffer << segment("offer", "answered") << segment("queue", "answered")
        << do.StopPrompts << do.StopMusic << do.Greet
        >> ev.Greeted(1) << do.Bridge(1) << do.StartRecording("c1.wav")
    )


# ---- nothing is heard of somebody any more


def test_a_caller_is_lost_while_waiting(play):
    """Abandoned, as by a BYE; the CDR says why."""
    (
        queued(play)
        >> after(40) >> ev.CallerGone(408, "no_audio", ev.Loss.NO_AUDIO)
        << do.LeaveQueue("abandoned") << segment("queue", "abandoned", queue="support")
        >> ev.LegsGone() << cdr(disposition="abandoned", ended_by="no_audio", status=200)
    )


def test_a_caller_who_never_acknowledged_is_lost_in_a_talk(play):
    (
        talking(play)
        >> after(20) >> ev.CallerGone(408, "no_ack", ev.Loss.NO_ACK)
        << do.ReleaseAgent(1) << segment("talk", "no_ack", agent="101") << do.HangUpCalled(1)
        >> ev.LegsGone() << cdr(disposition="answered", ended_by="no_ack")
    )


def test_an_agent_is_lost_in_a_talk(play):
    (
        talking(play)
        >> after(60) >> ev.CalledGone(1, ev.Loss.NO_AUDIO)
        << do.ReleaseAgent(1) << segment("talk", "no_audio", agent="101") << do.HangUpCaller()
        >> BYE >> ev.LegsGone() << cdr(disposition="answered", ended_by="no_audio", agent="101")
    )


# ---- abandoned


def test_abandoned_while_waiting(play):
    (
        queued(play)
        >> after(40) >> BYE << do.LeaveQueue("abandoned") << segment("queue", "abandoned", queue="support")
        >> ev.LegsGone() << cdr(disposition="abandoned", ended_by="caller", agent=None, connected_at=None)
    )


def test_abandoned_while_a_phone_rings(play):
    (
        offering(play)
        >> BYE
        << do.LeaveQueue("abandoned") << segment("offer", "abandoned", agent="101") << do.HangUpCalled(1)
        << segment("queue", "abandoned")
        >> ev.CalledRefused(1, Refusal.NO_ANSWER, 487)
        >> ev.LegsGone() << cdr(disposition="abandoned")
    )


def test_the_agent_answers_after_the_caller_has_gone(play):
    """The 200 crossed our CANCEL: the phone must get a BYE (RFC 3261 section 9.1)."""
    (
        offering(play)
        >> BYE << do.LeaveQueue << segment("offer", "abandoned") << do.HangUpCalled(1) << segment("queue", "abandoned")
        >> ev.CalledAnswered(1) << do.HangUpCalled(1) << state(State.CLOSING)
        >> ev.CalledGone(1)
        >> ev.LegsGone() << cdr(disposition="abandoned", agent=None)
    )


def test_an_agent_reserved_after_the_caller_has_gone_is_given_back(play):
    (
        queued(play)
        >> BYE << do.LeaveQueue("abandoned") << segment("queue", "abandoned")
        >> ev.AgentReserved(2, "102") << do.GiveBackAgent(2) << state(State.CLOSING)
        >> ev.LegsGone() << cdr(disposition="abandoned")
        >> ev.AgentReserved(3, "103") << do.GiveBackAgent(3) << state(State.ENDED)
    )


def test_the_caller_cancels_before_the_answer(play):
    arrived(play) >> CANCEL >> ev.LegsGone() << cdr(disposition="caller_left", status=487, ended_by="caller")


def test_the_caller_leaves_as_our_200_goes_out(play):
    """Nothing was recorded, and what the plan would have done next is never asked for."""
    (
        arrived(play)
        >> ev.AnswerPlanned(steps.ANSWER) << do.AnswerCaller()
        >> BYE >> ev.CallerAnswered() << state(State.CLOSING)
        >> ev.LegsGone() << cdr(disposition="caller_left", ended_by="caller", recording=None)
    )


def test_the_caller_cancels_before_our_200_goes_out(play):
    """The plan had answered, the SIP room had not: the CDR says what the caller met."""
    (
        arrived(play)
        >> ev.AnswerPlanned(steps.ANSWER) << do.AnswerCaller()
        >> CANCEL
        >> ev.LegsGone() << cdr(disposition="caller_left", status=487, answered_at=None)
    )


def test_the_plan_comes_after_the_caller_has_gone(play):
    (
        answered(play)
        >> BYE >> ev.QueuePlanned(steps.SUPPORT) << state(State.CLOSING)
        >> ev.LegsGone() << cdr(disposition="caller_left")
    )


# ---- offers that fail, and the next agent


@pytest.mark.parametrize(
    ("refusal", "status"),
    [(Refusal.BUSY, 486), (Refusal.REJECTED, 603), (Refusal.NO_ANSWER, 408), (Refusal.UNREACHABLE, 503)],
)
def test_a_refused_offer_goes_to_the_next_agent(play, refusal, status):
    (
        offering(play)
        >> ev.CalledRefused(1, refusal, status)
        << segment("offer", refusal, agent="101", status=status) << do.DeclineOffer(1, refusal)
        >> ev.OffersFailed() << state(State.QUEUED)
        >> ev.AgentReserved(2, "102") << do.RingAgent(2, "102")
        >> ev.CalledAnswered(2) << do.TakeOffer(2)
        << segment("offer", "answered", agent="102") << segment("queue", "answered", began_at=0)
        << do.StopPrompts << do.StopMusic << do.Greet >> ev.Greeted(2) << do.Bridge(2)
    )


def test_rona_cancels_the_phone_and_the_call_keeps_its_place(play):
    """Redirection on no answer: the ACD took the agent back, so nothing is declined."""
    (
        offering(play)
        >> after(18) >> ev.OfferExpired(1) << segment("offer", "no_answer", agent="101") << do.HangUpCalled(1)
        >> ev.OffersFailed() << state(State.QUEUED)
        >> ev.CalledRefused(1, Refusal.NO_ANSWER, 487) << state(State.QUEUED)
        >> ev.AgentReserved(2, "102") << do.RingAgent(2, "102") << state(State.OFFERING)
    )


def test_an_answer_that_crosses_rona_is_hung_up(play):
    (
        offering(play)
        >> ev.OfferExpired(1) << segment("offer", "no_answer") << do.HangUpCalled(1)
        >> ev.OffersFailed()
        >> ev.AgentReserved(2, "102") << do.RingAgent(2, "102")
        >> ev.CalledAnswered(1) << do.HangUpCalled(1) << state(State.OFFERING)
        >> ev.CalledGone(1) << state(State.OFFERING)
    )


def test_an_offer_is_withdrawn(play):
    (
        offering(play)
        >> ev.OfferWithdrawn(1) << segment("offer", "withdrawn", agent="101") << do.HangUpCalled(1)
        >> ev.OffersFailed() << state(State.QUEUED)
    )


def test_news_of_an_old_offer_does_not_touch_the_new_one(play):
    (
        offering(play)
        >> ev.CalledRefused(1, Refusal.BUSY, 486) << segment("offer", "busy") << do.DeclineOffer(1, Refusal.BUSY)
        >> ev.OffersFailed()
        >> ev.AgentReserved(2, "102") << do.RingAgent(2, "102")
        >> ev.OfferExpired(1) >> ev.OfferWithdrawn(1) >> ev.CalledRinging(1) << state(State.OFFERING)
    )


def test_two_phones_ring_and_one_wins(play):
    (
        offering(play)
        >> ev.AgentReserved(2, "102") << do.RingAgent(2, "102")
        >> ev.CalledAnswered(2) << do.TakeOffer(2) << segment("offer", "answered", agent="102")
        << segment("offer", "elsewhere", agent="101") << do.HangUpCalled(1, elsewhere=True)
        << segment("queue", "answered") << do.StopPrompts << do.StopMusic << do.Greet >> ev.Greeted(2) << do.Bridge(2)
        >> ev.CalledAnswered(1) << do.HangUpCalled(1) << state(State.TALKING)
        >> ev.CalledGone(1) << state(State.TALKING)
    )


def test_one_of_two_phones_refuses_and_the_other_rings_on(play):
    (
        offering(play)
        >> ev.AgentReserved(2, "102") << do.RingAgent(2, "102")
        >> ev.CalledRefused(1, Refusal.REJECTED, 603) << segment("offer", "rejected") << do.DeclineOffer
        << state(State.OFFERING)
    )


def test_a_third_agent_comes_after_the_answer(play):
    talking(play) >> ev.AgentReserved(3, "103") << do.GiveBackAgent(3) << state(State.TALKING)


def test_the_ring_time_ends_as_the_agent_answers(play):
    talking(play) >> ev.OfferExpired(1) << state(State.TALKING)


# ---- the queue without an agent


@pytest.mark.parametrize(
    ("outcome", "disposition"), [("timeout", "timed_out"), ("full", "overflowed"), ("no_agents", "no_agents")]
)
def test_the_wait_ends_unserved_and_the_branch_plays_a_prompt(play, outcome, disposition):
    (
        queued(play)
        >> ev.WaitEnded(outcome)
        << do.StopPrompts() << do.StopMusic() << segment("queue", outcome) << do.TakeStep(outcome)
        >> ev.PlayPlanned(steps.GREETING) << do.PlayPrompts(1, ("welcome",), "zh")
        >> ev.PlayFinished(1) << do.TakeStep("done")
        >> hang_up("busy") << do.HangUpCaller()
        >> BYE >> ev.LegsGone() << cdr(disposition=disposition, ended_by="plan", status=200, queue="support")
    )


def test_the_last_agent_of_the_queue_logs_out_while_the_phone_rings(play):
    (
        offering(play)
        >> ev.OfferWithdrawn(1) << segment("offer", "withdrawn", agent="101") << do.HangUpCalled(1)
        >> ev.WaitEnded("no_agents")
        << do.StopPrompts << do.StopMusic << segment("queue", "no_agents") << do.TakeStep("no_agents")
        << state(State.ROUTING)
    )


def test_announcements_while_waiting(play):
    please_wait = ("please_wait",)
    (
        queued(play, steps.PATIENT)
        >> expire() << do.PlayPrompts(1, please_wait, "zh")
        >> after(4) >> ev.PlayFinished(1) << state(State.QUEUED)
        >> at(45) >> expire() << do.PlayPrompts(2, please_wait, "zh")
        >> ev.AgentReserved(1, "101") << do.RingAgent
        >> at(49) >> ev.PlayFinished(2) << state(State.OFFERING)
        >> at(100) >> ev.CalledRefused(1, Refusal.BUSY, 486) << segment("offer", "busy") << do.DeclineOffer
        >> ev.OffersFailed() >> expire() << do.PlayPrompts(3, please_wait, "zh")
    )


def test_the_first_announcement_comes_when_the_plan_says(play):
    book = queued(play, steps.PATIENT)
    assert book.call.deadline == 15
    book >> expire() << do.PlayPrompts
    assert book.call.deadline == 45


def test_no_announcement_while_a_phone_rings(play):
    assert offering(play, steps.PATIENT).call.deadline is None


def test_news_of_a_prompt_that_was_cut(play):
    (
        queued(play, steps.PATIENT)
        >> expire() << do.PlayPrompts(1, ("please_wait",), "zh")
        >> ev.WaitEnded("timeout") << do.StopPrompts << do.StopMusic << segment("queue", "timeout") << do.TakeStep
        >> ev.PlayPlanned(steps.GREETING) << do.PlayPrompts(2, ("welcome",), "zh")
        >> ev.PlayFinished(1) << state(State.ROUTING)
        >> ev.PlayFinished(2) << do.TakeStep("done")
    )


# ---- transfers


def test_a_transfer_is_answered(play):
    (
        transferred(play)
        >> after(30) >> ev.CalledGone(9) << segment("talk", "called", agent=steps.NIGHT_DESK.uri) << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="transferred", ended_by="called", agent=None)
    )


def test_the_caller_leaves_a_transfer(play):
    (
        transferred(play)
        >> BYE << segment("talk", "caller") << do.HangUpCalled(9)
        >> ev.LegsGone() << cdr(disposition="transferred", ended_by="caller")
    )


@pytest.mark.parametrize(
    ("refusal", "result"),
    [
        (Refusal.BUSY, "busy"),
        (Refusal.NO_ANSWER, "no_answer"),
        (Refusal.REJECTED, "failed"),
        (Refusal.UNREACHABLE, "failed"),
    ],
)
def test_a_transfer_is_refused(play, refusal, result):
    (
        dialling(play)
        >> ev.CalledRefused(9, refusal, 486)
        << do.StopPrompts << do.StopMusic << segment("offer", refusal, status=486) << do.TakeStep(result)
        << state(State.ROUTING)
    )


def test_a_transfer_is_not_answered_and_the_200_crosses_the_cancel(play):
    (
        dialling(play)
        >> expire() << do.StopPrompts << do.StopMusic << segment("offer", "no_answer", began_at=0, ended_at=20)
        << do.HangUpCalled(9) << do.TakeStep("no_answer")
        >> ev.CalledAnswered(9) << do.HangUpCalled(9) << state(State.ROUTING)
    )


def test_the_caller_leaves_while_the_target_rings(play):
    (
        dialling(play)
        >> BYE << segment("offer", "abandoned") << do.HangUpCalled(9)
        >> ev.LegsGone() << cdr(disposition="caller_left")
    )


# ---- calls the switch does not take, and ends given by the plan


@pytest.mark.parametrize(
    ("cause", "status"), [("busy", 486), ("rejected", 603), ("forbidden", 403), ("not_found", 404), ("normal", 480)]
)
def test_the_plan_hangs_up_before_the_answer(play, cause, status):
    (
        arrived(play)
        >> hang_up(cause) << do.RejectCaller(status)
        >> ev.LegsGone() << cdr(disposition="ended_by_plan", status=status, ended_by="plan", answered_at=None)
    )


def test_the_plan_hangs_up_after_the_answer(play):
    answered(play) >> hang_up("busy") << do.HangUpCaller() >> BYE >> ev.LegsGone() << cdr(status=200)


def test_a_number_nobody_configured(play):
    (
        play() >> ev.CallTurnedAway(CALLER, 1, PlanError("number leads to no plan"))
        << do.RejectCaller(404)
        >> ev.LegsGone() << cdr(disposition="unknown_number", status=404, ended_by="switch")
    )


def test_the_switch_is_full(play):
    (
        play() >> ev.CallTurnedAway(CALLER, 1, BusyError("1000 calls", retry_after_s=10))
        << do.RejectCaller(503, retry_after_s=10)
        >> ev.LegsGone() << cdr(disposition="turned_away", status=503)
    )


def test_the_record_is_opened_with_what_the_caller_dialled(play):
    play() >> ev.CallArrived(CALLER, 1) << opened(ani=CALLER.ani, dnis=CALLER.dnis, trunk="carrier") << do.TakeStep


# ---- somebody else ends it


ORDER = ev.HangUpOrdered("wang")


def test_an_operator_ends_a_call_not_yet_answered(play):
    arrived(play) >> ORDER << do.RejectCaller(480) >> ev.LegsGone() << cdr(disposition="hung_up", ended_by="wang")


def test_an_operator_ends_a_call_that_waits(play):
    (
        queued(play)
        >> ORDER << do.LeaveQueue("withdrawn") << segment("queue", "withdrawn") << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="hung_up", ended_by="wang")
    )


def test_an_operator_ends_a_call_while_a_phone_rings(play):
    (
        offering(play)
        >> ORDER << do.LeaveQueue("withdrawn") << segment("offer", "withdrawn") << do.HangUpCalled(1)
        << segment("queue", "withdrawn") << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="hung_up", ended_by="wang")
    )


def test_an_operator_ends_a_talk(play):
    (
        talking(play)
        >> ORDER << do.ReleaseAgent(1) << segment("talk", "wang") << do.HangUpCalled(1) << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="answered", ended_by="wang")
    )


def test_an_operator_ends_a_transfer(play):
    (
        transferred(play)
        >> ORDER << segment("talk", "wang") << do.HangUpCalled(9) << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="transferred", ended_by="wang")
    )


def test_an_operator_ends_a_call_that_is_being_transferred(play):
    (
        dialling(play)
        >> ORDER << segment("offer", "withdrawn") << do.HangUpCalled(9) << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="hung_up", ended_by="wang")
    )


def test_an_operator_is_too_late(play):
    arrived(play) >> CANCEL >> ORDER >> ev.LegsGone() << cdr(ended_by="caller") >> ORDER << state(State.ENDED)


def test_media_fails_before_the_answer(play):
    (
        arrived(play)
        >> ev.CallFailed(MediaError("no slot")) << do.RejectCaller(500)
        >> ev.LegsGone() << cdr(disposition="media_error", status=500, ended_by="switch")
    )


def test_media_fails_while_the_call_waits(play):
    (
        queued(play)
        >> ev.CallFailed(MediaError("no such prompt"))
        << do.LeaveQueue("failed") << segment("queue", "failed") << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="media_error")
    )


def test_media_fails_in_a_talk(play):
    (
        talking(play)
        >> ev.CallFailed(MediaError("no slot"))
        << do.ReleaseAgent(1) << segment("talk", "switch") << do.HangUpCalled(1) << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="answered", ended_by="switch")
    )


def test_legs_that_never_end_are_dropped(play):
    (
        talking(play)
        >> after(10) >> BYE << do.ReleaseAgent(1) << segment("talk", "caller") << do.HangUpCalled(1)
        >> expire() << do.DropLegs() << cdr(disposition="answered", ended_at=45) << state(State.ENDED)
        >> ev.LegsGone() << state(State.ENDED)
    )


def test_an_impossible_event_changes_nothing_and_the_call_can_still_be_ended(play):
    book = talking(play)
    with pytest.raises(ImpossibleEvent, match="QueuePlanned in state TALKING") as caught:
        book.call.handle(ev.QueuePlanned(steps.SUPPORT), 5)
    (
        book
        >> ev.CallFailed(caught.value)
        << do.ReleaseAgent(1) << segment("talk", "switch") << do.HangUpCalled(1) << do.HangUpCaller()
        >> ev.LegsGone() << cdr(disposition="answered")
    )
