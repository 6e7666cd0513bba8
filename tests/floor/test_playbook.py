"""The playbook itself: each way in which a test can be wrong must fail it. The controls of test_call_flows.py."""

from unittest.mock import ANY

import pytest

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.errors import ImpossibleEvent
from engine.callflow.table import State
from tests.floor.playbook import Mismatch, Playbook, after, at, cdr, expire, like, opened, segment, state
from tests.floor.steps import CALLER

ARRIVED = ev.CallArrived(CALLER, leg=1)


def test_a_true_story_passes():
    book = Playbook() >> ARRIVED << do.OpenCdr(ANY) << do.TakeStep("start") << state(State.ROUTING)
    book.close()


def test_commands_may_be_named_in_part():
    book = Playbook() >> ARRIVED << opened(ani=CALLER.ani, disposition=None) << like(do.TakeStep, result="start")
    book.close()


@pytest.mark.parametrize(
    "wrong",
    [do.TakeStep("start"), do.AnswerCaller, opened(ani="other"), cdr(), segment("talk", "agent")],
    ids=["another command", "another class", "another field", "another record", "a segment"],
)
def test_a_wrong_command_fails(wrong):
    with pytest.raises(Mismatch, match="HERE"):
        Playbook() >> ARRIVED << wrong


def test_a_command_that_does_not_come_fails():
    with pytest.raises(Mismatch, match="nothing"):
        Playbook() >> ARRIVED << do.OpenCdr << do.TakeStep << do.AnswerCaller


def test_an_event_over_an_unnamed_command_fails():
    with pytest.raises(Mismatch, match="not named"):
        Playbook() >> ARRIVED << do.OpenCdr >> ev.CallerGone(487, "CANCEL")


def test_an_unfinished_playbook_fails():
    book = Playbook() >> ARRIVED << do.OpenCdr
    with pytest.raises(Mismatch, match="the end"):
        book.close()


def test_a_wrong_state_fails():
    with pytest.raises(Mismatch, match="ROUTING"):
        Playbook() >> ARRIVED << do.OpenCdr << do.TakeStep << state(State.TALKING)


def test_time_does_not_jump_over_a_timer():
    book = Playbook() >> ARRIVED << do.OpenCdr << do.TakeStep >> ev.CallerGone(487, "CANCEL")
    with pytest.raises(Mismatch, match="due before, at 35 s"):
        book >> after(36)


def test_expire_needs_a_timer():
    with pytest.raises(Mismatch, match="no timer"):
        Playbook() >> ARRIVED << do.OpenCdr << do.TakeStep >> expire()


def test_an_impossible_event_shows_the_ladder():
    with pytest.raises(ImpossibleEvent) as caught:
        Playbook() >> ARRIVED << do.OpenCdr << do.TakeStep >> at(3) >> ev.LegsGone()
    assert ">> LegsGone()" in caught.value.__notes__[0]


def test_both_ladders_are_printed():
    with pytest.raises(Mismatch) as caught:
        Playbook() >> ARRIVED << do.TakeStep("start")
    first, *_, wrong, rest = str(caught.value).strip().splitlines()
    assert first.split("|")[0].strip() == "the test expects"
    left, right = wrong.split("|")
    assert left.strip() == "<< TakeStep(result='start')" and "OpenCdr" in right and "HERE" in right
    assert rest.split("|")[1].strip() == "<< TakeStep(result='start')"
