"""The caller is asked and keys in the answer: what dialog.py decides is carried out here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.commands import Command
from engine.callflow.dialog import Question, Refusal, Turn
from engine.callflow.steps import Ask

if TYPE_CHECKING:
    from engine.callflow.call import Call

MAX_TYPED = 64  # keys held for the next question


def ask(call: Call, event: ev.AskPlanned, now: float) -> Iterator[Command]:
    step = event.step
    call.asked = step
    call.dialog = Question(step) if isinstance(step, Ask) else Refusal(step)
    typed, call.typed = call.typed, ""
    yield from follow(call, call.dialog.begin(typed, now))


def take_key(call: Call, event: ev.CallerDigit, now: float) -> Iterator[Command]:
    if call.dialog:
        yield from follow(call, call.dialog.key(event.digit, now))
    else:
        call.typed = (call.typed + event.digit)[:MAX_TYPED]


def follow(call: Call, turn: Turn) -> Iterator[Command]:
    """Do what the dialog wants."""
    assert call.asked and call.dialog
    call.due = call.dialog.deadline
    call.typed = (call.typed + turn.unused)[:MAX_TYPED]
    if turn.is_cut:
        yield call.cut_play()
    if turn.items:
        yield call.start_play(turn.items, call.asked.language)
    if turn.result is not None:
        yield from _end(call, turn.result, turn.answer)


def _end(call: Call, result: str, answer: str | None) -> Iterator[Command]:
    step, call.asked, call.dialog, call.due = call.asked, None, None, None
    if result == "refused":
        call.may_record = False
        call.set(recording=None)
        yield from call.stop_recording(discard=True)
    if isinstance(step, Ask) and answer is None:
        call.typed = ""
    if isinstance(step, Ask) and answer is not None:
        yield do.Remember(step.into, answer)
        if step.survey:
            yield do.WriteSurvey(step.survey, answer)
    yield do.TakeStep(result)
