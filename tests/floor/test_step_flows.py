"""The flows of a plan's steps, one test each: early media, questions, consent, errands, messages, exit keys, greetings,
and what comes after a talk. Those of the call itself are in test_call_flows.py, of callbacks in test_callback_flows.py.
"""

import pytest

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import steps as plan_steps
from engine.callflow.call import Rules
from engine.callflow.errors import MediaError
from engine.callflow.table import State
from tests.floor import steps
from tests.floor.playbook import after, at, cdr, expire, segment, state
from tests.floor.steps import (
    HERE,
    NOWHERE,
    answered,
    arrived,
    greeting,
    hang_up,
    hearing_tone,
    leaving_message,
    offering,
    queued,
)

BYE = ev.CallerGone(200, "BYE")
CANCEL = ev.CallerGone(487, "CANCEL")
EARLY_TRUNK = Rules(max_talk_s=3600, ending_s=35, record_from="answered", recording="c1.wav", early_media=True)


def key(digit: str) -> ev.CallerDigit:
    return ev.CallerDigit(digit)


# ---- early media


def heard(play):
    return (
        arrived(play, rules=EARLY_TRUNK)
        >> ev.EarlyMediaPlanned(steps.EARLY) << do.SendProgress()
        >> ev.CallerHears() << do.TakeStep("done")
    )


def test_a_blacklisted_caller_hears_why_and_pays_nothing(play):
    (
        heard(play)
        >> ev.PlayPlanned(steps.GREETING) << do.PlayPrompts(1, ("welcome",), "zh")
        >> ev.PlayFinished(1) << do.TakeStep("done")
        >> hang_up("rejected") << do.RejectCaller(603)
        >> ev.LegsGone() << cdr(disposition="ended_by_plan", status=603, answered_at=None, recording=None)
    )


def test_early_media_and_then_the_answer(play):
    (
        heard(play)
        >> at(4) >> ev.AnswerPlanned(steps.ANSWER) << do.AnswerCaller()
        >> ev.CallerAnswered() << do.StartRecording("c1.wav") << do.TakeStep("done")
        >> BYE >> ev.LegsGone() << cdr(answered_at=4, disposition="caller_left")
    )


def test_a_trunk_without_early_media_is_answered(play):
    (
        arrived(play)
        >> ev.EarlyMediaPlanned(steps.EARLY) << do.AnswerCaller()
        >> ev.CallerAnswered() << do.StartRecording << do.TakeStep("done")
    )


@pytest.mark.parametrize("again", [ev.AnswerPlanned(steps.ANSWER), ev.EarlyMediaPlanned(steps.EARLY)])
def test_a_caller_is_answered_once(play, again):
    answered(play) >> again << do.TakeStep("done")


def test_an_answer_after_early_media_of_a_trunk_that_has_none(play):
    (
        arrived(play)
        >> ev.EarlyMediaPlanned(steps.EARLY) << do.AnswerCaller()
        >> ev.CallerAnswered() << do.StartRecording << do.TakeStep("done")
        >> ev.AnswerPlanned(steps.ANSWER) << do.TakeStep("done")
    )


def test_early_media_once(play):
    heard(play) >> ev.EarlyMediaPlanned(steps.EARLY) << do.TakeStep("done")


def test_the_caller_cancels_in_early_media(play):
    heard(play) >> CANCEL >> ev.LegsGone() << cdr(status=487, answered_at=None, disposition="caller_left")


# ---- a menu, a number, a survey


def asked(play, step=steps.MENU):
    return answered(play) >> ev.AskPlanned(step) << do.PlayPrompts(1, step.items, "zh")


def test_a_key_cuts_the_menu_short(play):
    asked(play) >> key("2") << do.StopPrompts() << do.Remember("choice", "2") << do.TakeStep("2")


def test_a_key_after_the_menu(play):
    (
        asked(play)
        >> after(3) >> ev.PlayFinished(1)
        >> after(2) >> key("0") << do.Remember("choice", "0") << do.TakeStep("0")
    )


def test_a_wrong_key_and_then_silence(play):
    """Two tries: the last one decides the way out."""
    (
        asked(play)
        >> key("7") << do.StopPrompts() << do.PlayPrompts(2, ("wrong_key", "menu"), "zh")
        >> ev.PlayFinished(1)
        >> ev.PlayFinished(2)
        >> expire() << do.TakeStep("no_input")
    )


def test_silence_and_then_a_wrong_key(play):
    (
        asked(play)
        >> ev.PlayFinished(1) >> expire() << do.PlayPrompts(2, ("menu",), "zh")
        >> key("7") << do.StopPrompts() << do.TakeStep("invalid")
    )


def test_keys_before_the_menu_answer_it_unsaid_and_the_rest_is_for_the_next(play):
    (
        answered(play)
        >> ev.PlayPlanned(steps.GREETING) << do.PlayPrompts(1, ("welcome",), "zh")
        >> key("1") >> key("2")
        >> ev.PlayFinished(1) << do.TakeStep("done")
        >> ev.AskPlanned(steps.MENU) << do.Remember("choice", "1") << do.TakeStep("1")
        >> ev.AskPlanned(steps.MENU) << do.Remember("choice", "2") << do.TakeStep("2")
        >> ev.AskPlanned(steps.MENU) << do.PlayPrompts(2, ("menu",), "zh")
    )


def test_a_number_ended_by_its_key(play):
    book = asked(play, steps.ORDER) >> key("1") << do.StopPrompts()
    for digit in "234":
        book = book >> after(1) >> key(digit)
    book >> key("#") << do.Remember("order", "1234") << do.TakeStep("done")


def test_a_number_ended_by_silence(play):
    book = asked(play, steps.ORDER) >> key("1") << do.StopPrompts() >> key("2") >> key("3") >> key("4")
    book >> expire() << do.Remember("order", "1234") << do.TakeStep("done")


def test_a_number_too_short(play):
    book = asked(play, steps.ORDER) >> key("1") << do.StopPrompts()
    book >> expire() << do.PlayPrompts(2, ("order_number",), "zh") << state(State.ROUTING)


def test_a_number_at_its_full_length(play):
    book = asked(play, steps.ORDER) >> key("1") << do.StopPrompts()
    for digit in "2345":
        book = book >> key(digit)
    book >> key("6") << do.Remember("order", "123456") << do.TakeStep("done")


def test_the_caller_leaves_in_the_menu(play):
    asked(play) >> BYE >> ev.LegsGone() << cdr(disposition="caller_left")


def test_the_survey_after_the_talk(play):
    """The agent hung up first; the caller is still there."""
    (
        greeting(play) >> ev.Greeted(1) << do.Bridge(1)
        >> after(60) >> ev.TalkEnded(1)
        << do.ReleaseAgent(1) << segment("talk", "agent", agent="101") << do.TakeStep("served")
        >> ev.AskPlanned(steps.SURVEY) << do.PlayPrompts(1, ("rate_us",), "zh")
        >> key("3") << do.StopPrompts() << do.Remember("digits", "3") << do.WriteSurvey("service", "3")
        << do.TakeStep("3")
        >> hang_up("normal") << do.HangUpCaller()
        >> BYE >> ev.LegsGone() << cdr(disposition="answered", ended_by="plan", agent="101", connected_at=0)
    )


def test_no_survey_for_who_hangs_up_first(play):
    greeting(play) >> ev.Greeted(1) << do.Bridge(1) >> BYE << do.ReleaseAgent << segment("talk", "caller") << (
        do.HangUpCalled(1)
    )


# ---- consent and recording


def test_the_caller_refuses_to_be_recorded(play):
    """Neither what was recorded before nor the talk later is kept."""
    (
        answered(play)
        >> ev.AskPlanned(steps.CONSENT) << do.PlayPrompts(1, ("recorded",), "zh")
        >> key("9") << do.StopPrompts() << do.StopRecording(discard=True) << do.TakeStep("refused")
        >> ev.RecordPlanned(plan_steps.Record(HERE, NOWHERE)) << do.TakeStep("done")
        >> BYE >> ev.LegsGone() << cdr(recording=None)
    )


def test_the_caller_says_nothing_against_the_recording(play):
    (
        answered(play)
        >> ev.AskPlanned(steps.CONSENT) << do.PlayPrompts(1, ("recorded",), "zh")
        >> key("1") >> ev.PlayFinished(1) >> expire() << do.TakeStep("given")
        >> ev.AskPlanned(steps.MENU) << do.Remember("choice", "1") << do.TakeStep("1")
    )


def test_recording_is_interrupted(play):
    (
        answered(play)
        >> ev.RecordPlanned(steps.RECORD_OFF) << do.StopRecording() << do.TakeStep("done")
        >> ev.RecordPlanned(steps.RECORD_OFF) << do.TakeStep("done")
        >> ev.RecordPlanned(plan_steps.Record(HERE, NOWHERE)) << do.StartRecording("c1-2.wav") << do.TakeStep("done")
        >> BYE >> ev.LegsGone() << cdr(recording="c1.wav")
    )


def test_what_the_plan_says_of_the_recording_before_the_answer(play):
    (
        arrived(play)
        >> ev.RecordPlanned(steps.RECORD_OFF) << do.TakeStep("done")
        >> ev.AnswerPlanned(steps.ANSWER) << do.AnswerCaller() >> ev.CallerAnswered() << do.TakeStep("done")
    )


# ---- errands


def errand(play):
    return answered(play) >> ev.ErrandPlanned(steps.LOOK_UP, 7) << do.RunErrand(7, steps.LOOK_UP)


def test_a_look_up_in_time(play):
    errand(play) >> after(0.5) >> ev.ErrandDone(7, "found") << do.TakeStep("found")


def test_a_slow_look_up_never_holds_a_call(play):
    (
        errand(play)
        >> expire() << do.TakeStep("failed")
        >> ev.ErrandPlanned(steps.LOOK_UP, 8) << do.RunErrand(8, steps.LOOK_UP)
        >> ev.ErrandDone(7, "found") << state(State.ROUTING)
        >> ev.ErrandDone(8, "unknown") << do.TakeStep("unknown")
    )


def test_the_caller_leaves_during_a_look_up(play):
    """No agent's phone rings for somebody who has gone."""
    errand(play) >> BYE >> ev.ErrandDone(7, "found") << state(State.CLOSING) >> ev.LegsGone() << cdr()


# ---- a message


def test_a_message_ended_by_a_key(play):
    leaving_message(play) >> after(5) >> key("#") << do.StopMessage(keep=True) << do.TakeStep("done") << (
        state(State.ROUTING)
    )


def test_a_message_too_short(play):
    leaving_message(play) >> after(1) >> key("#") << do.StopMessage(keep=False) << do.TakeStep("too_short")


def test_a_message_as_long_as_it_may_be(play):
    leaving_message(play) >> expire() << do.StopMessage(keep=True) << do.TakeStep("done")


def test_who_hangs_up_has_left_a_message(play):
    (
        leaving_message(play)
        >> after(20) >> BYE << do.StopMessage(keep=True)
        >> ev.LegsGone() << cdr(disposition="left_message", ended_by="caller")
    )


def test_who_hangs_up_at_once_has_left_none(play):
    leaving_message(play) >> after(1) >> BYE << do.StopMessage(keep=False) >> ev.LegsGone() << cdr(
        disposition="caller_left"
    )


def test_who_hangs_up_during_the_tone(play):
    hearing_tone(play) >> BYE >> ev.LegsGone() << cdr(disposition="caller_left")


def test_a_key_during_the_tone_begins_the_message(play):
    (
        hearing_tone(play)
        >> key("#") << do.StopPrompts() << do.StartMessage("queue:support") << state(State.MESSAGE)
        >> ev.PlayFinished(1)
        >> after(5) >> key("#") << do.StopMessage(keep=True) << do.TakeStep("done")
    )


def test_a_message_begun_by_a_key_has_its_whole_time(play):
    hearing_tone(play) >> at(0.5) >> key("1") << do.StopPrompts << do.StartMessage >> at(120) >> expire() << (
        do.StopMessage(keep=True)
    ) << do.TakeStep("done")


def test_a_room_fails_during_a_message(play):
    (
        leaving_message(play)
        >> after(9) >> ev.CallFailed(MediaError("disk full")) << do.StopMessage(keep=True) << do.HangUpCaller()
    )


# ---- exit keys


def test_an_exit_key_while_waiting(play):
    (
        queued(play, steps.EXTRAS)
        >> after(20) >> ev.KeyChosen("1") << do.StopPrompts() << do.StopMusic() << do.LeaveQueue("withdrawn")
        << segment("queue", "left_queue", began_at=0, ended_at=20) << do.TakeStep("1") << state(State.ROUTING)
        >> hang_up("normal") << do.HangUpCaller()
        >> BYE >> ev.LegsGone() << cdr(disposition="left_queue", queue="support")
    )


def test_an_exit_key_while_a_phone_rings(play):
    (
        offering(play, steps.EXTRAS)
        >> ev.KeyChosen("2") << do.StopPrompts() << do.StopMusic() << do.LeaveQueue("withdrawn")
        << segment("offer", "withdrawn", agent="101") << do.HangUpCalled(1) << segment("queue", "left_queue")
        << do.TakeStep("2")
        >> ev.CalledAnswered(1) << do.HangUpCalled(1) << state(State.ROUTING)
    )


def test_an_exit_key_that_crosses_the_answer(play):
    greeting(play, steps.EXTRAS) >> ev.KeyChosen("1") << state(State.GREETING)


def test_an_agent_reserved_as_the_caller_chose_a_key(play):
    (
        queued(play, steps.EXTRAS)
        >> ev.KeyChosen("1") << do.StopPrompts << do.StopMusic << do.LeaveQueue << segment("queue", "left_queue")
        << do.TakeStep("1")
        >> ev.AgentReserved(4, "102") << do.GiveBackAgent(4) << state(State.ROUTING)
    )


# ---- announcements


def test_announcements_of_their_own_times(play):
    step = plan_steps.Queue(
        HERE, NOWHERE, "support", music="moh",
        announces=(plan_steps.Announce(("place",), 10, float("inf")), plan_steps.Announce(("wait",), 12, 20)),
    )  # fmt: skip
    (
        queued(play, step)
        >> expire() << do.PlayPrompts(1, ("place",), "zh")
        >> expire()  # at 12 s: left out, the other still plays
        >> at(15) >> ev.PlayFinished(1)
        >> expire() << do.PlayPrompts(2, ("wait",), "zh")
        >> at(33) >> ev.PlayFinished(2)
        >> expire() << do.PlayPrompts(3, ("wait",), "zh")
    )


def test_an_announcement_is_cut_by_the_answer(play):
    (
        queued(play, steps.PATIENT)
        >> expire() << do.PlayPrompts(1, ("please_wait",), "zh")
        >> ev.AgentReserved(1, "101") << do.RingAgent
        >> ev.CalledAnswered(1) << do.TakeOffer << segment("offer", "answered") << segment("queue", "answered")
        << do.StopPrompts() << do.StopMusic() << do.Greet
        >> ev.PlayFinished(1) << state(State.GREETING)
        >> ev.Greeted(1) << do.Bridge(1)
    )


# ---- whisper and greeting


def test_the_agent_hears_the_whisper_and_the_caller_the_number(play):
    (
        greeting(play, steps.EXTRAS)
        >> at(2.5) >> ev.Greeted(1) << do.Bridge(1)
        >> after(10) >> ev.CalledGone(1)
        << do.ReleaseAgent(1) << segment("talk", "agent", began_at=0, ended_at=12.5) << do.HangUpCaller()
        >> ev.LegsGone() << cdr(connected_at=0, disposition="answered")
    )


def test_the_caller_leaves_during_the_greeting(play):
    (
        greeting(play)
        >> after(1) >> BYE << do.ReleaseAgent(1) << segment("talk", "caller") << do.HangUpCalled(1)
        >> ev.Greeted(1) << state(State.CLOSING)
        >> ev.LegsGone() << cdr(disposition="answered", ended_by="caller")
    )


def test_a_greeting_whose_end_nobody_reports(play):
    (
        greeting(play, steps.EXTRAS)
        >> expire() << do.CutGreeting() << state(State.GREETING)
        >> ev.Greeted(1) << do.Bridge(1) << state(State.TALKING)
    )


def test_the_agent_leaves_during_the_greeting_and_the_caller_waits_on(play):
    (
        queued(play, steps.EXTRAS)
        >> at(20) >> ev.AgentReserved(1, "101") << do.RingAgent(1, "101")
        >> at(25) >> ev.CalledAnswered(1) << do.TakeOffer(1) << segment("offer", "answered", agent="101")
        << segment("queue", "answered", began_at=0, ended_at=25)
        << do.StopPrompts() << do.StopMusic() << do.Greet(1, ("vip",), ("agent_number",), "zh")
        >> at(26) >> ev.AgentLost(1) << do.StopPrompts() << do.ReleaseAgent(1)
        << do.StartMusic("moh") << do.Enqueue(steps.EXTRAS, since=0) << state(State.QUEUED)
        >> ev.Greeted(1)
        >> at(30) >> ev.AgentReserved(2, "102") << do.RingAgent(2, "102")
        >> at(31) >> ev.CalledAnswered(2) << do.TakeOffer(2) << segment("offer", "answered", agent="102")
        << segment("queue", "answered", began_at=26, ended_at=31)
        << do.StopPrompts() << do.StopMusic() << do.Greet(2, ("vip",), ("agent_number",), "zh")
        >> at(33) >> ev.Greeted(2) << do.Bridge(2)
        >> at(40) >> BYE << do.ReleaseAgent(2) << segment("talk", "caller", began_at=31, agent="102")
        << do.HangUpCalled(2)
        >> ev.LegsGone() << cdr(agent="102", connected_at=31, disposition="answered")
    )


def test_the_caller_gives_up_after_an_agent_who_left(play):
    (
        greeting(play)
        >> after(1) >> ev.AgentLost(1) << do.StopPrompts() << do.ReleaseAgent(1)
        << do.StartMusic("moh") << do.Enqueue(steps.SUPPORT, since=0)
        >> after(5) >> BYE << do.LeaveQueue("abandoned") << segment("queue", "abandoned", began_at=1, ended_at=6)
        >> ev.LegsGone() << cdr(agent=None, connected_at=None, disposition="abandoned")
    )


def test_agent_and_caller_leave_during_the_greeting(play):
    greeting(play) >> ev.CalledGone(1) << do.ReleaseAgent(1) << segment("talk", "agent") << do.HangUpCaller()


@pytest.mark.parametrize("outcome", ["no_skill", "too_long"])
def test_a_wait_that_makes_no_sense(play, outcome):
    (
        queued(play)
        >> ev.WaitEnded(outcome) << do.StopPrompts << do.StopMusic << segment("queue", outcome) << do.TakeStep(outcome)
        >> hang_up("normal") << do.HangUpCaller() >> BYE >> ev.LegsGone() << cdr(disposition=outcome)
    )
