"""The caller is asked and keys in the answer: what dialog.py decides is carried out here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.commands import Command
from engine.callflow.dialog import Dialog, Question, Refusal, Turn
from engine.callflow.steps import Ask

if TYPE_CHECKING:
    from engine.callflow.call import Call

MAX_TYPED = 64  # keys held for the next question


def ask(call: Call, event: ev.AskPlanned, now: float) -> Iterator[Command]:
    step = event.step
    yield from talk(call, Question(step) if isinstance(step, Ask) else Refusal(step), now)


def take_key(call: Call, event: ev.CallerDigit, now: float) -> Iterator[Command]:
    if call.dialog:
        yield from follow(call, call.dialog.key(event.digit, now))
    else:
        call.typed = (call.typed + event.digit)[:MAX_TYPED]


def talk(call: Call, dialog: Dialog, now: float) -> Iterator[Command]:
    typed, call.typed = call.typed, ""
    call.dialog = dialog
    yield from follow(call, dialog.begin(typed, now))


def follow(call: Call, turn: Turn) -> Iterator[Command]:
    """Do what the dialog wants."""
    dialog = call.dialog
    assert dialog
    call.due = dialog.deadline
    call.typed = (call.typed + turn.unused)[:MAX_TYPED]
    if turn.is_cut:
        yield call.cut_play()
    for command in turn.commands:
        if isinstance(command, do.OpenMailbox):
            call.ticket = command.ticket
        yield command
    if turn.items:
        yield call.start_play(turn.items, dialog.language)
    if turn.result is not None:
        yield from _end(call, dialog, turn.result)


def _end(call: Call, dialog: Dialog, result: str) -> Iterator[Command]:
    call.dialog, call.due, call.ticket = None, None, 0
    if isinstance(dialog, Refusal) and result == "refused":
        call.may_record = False
        call.set(recording=None)
        yield from call.stop_recording(discard=True)
    yield do.TakeStep(result)
