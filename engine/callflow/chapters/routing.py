"""The call arrives and the plan takes it: answer, early media, prompts, recording, errands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.chapters import asking
from engine.callflow.commands import Command
from engine.callflow.plan import Caller
from engine.callflow.record import Cdr

if TYPE_CHECKING:
    from engine.callflow.call import Call

# ---- arrival


def begin(call: Call, event: ev.CallArrived, now: float) -> Iterator[Command]:
    caller = event.caller
    call.dialled_by = caller.agent
    call.cdr = Cdr(call.id, caller.trunk, caller.ani, caller.dnis, now, call.plan, kind=_kind_of(caller))
    yield do.OpenCdr(call.cdr)
    yield do.TakeStep("start")


def turn_away(call: Call, event: ev.CallTurnedAway, now: float) -> Iterator[Command]:
    caller, error = event.caller, event.error
    call.cdr = Cdr(call.id, caller.trunk, caller.ani, caller.dnis, now, call.plan, kind=_kind_of(caller))
    call.verdict = error.disposition
    call.set(status=error.status, ended_by="switch")
    yield do.RejectCaller(error.status, error.retry_after_s)


def _kind_of(caller: Caller) -> str:
    """Of a call that an agent's phone dialled, the direction is known when it goes out over a trunk."""
    return "internal" if caller.agent else "inbound"


# ---- the caller hears us


def answer(call: Call, event: ev.AnswerPlanned | ev.EarlyMediaPlanned, now: float) -> Iterator[Command]:
    if call.cdr.answered_at is not None:
        yield do.TakeStep("done")
        return
    call.set(answered_at=now)
    yield do.AnswerCaller()


def go_on_answered(call: Call, event: ev.CallerAnswered, now: float) -> Iterator[Command]:
    call.is_answer_out = True
    if call.record_from == "answered":
        yield from call.start_recording()
    yield do.TakeStep("done")


def progress(call: Call, event: ev.EarlyMediaPlanned, now: float) -> Iterator[Command]:
    """On a trunk without early media the step answers."""
    if not call.rules.early_media or call.cdr.answered_at is not None:
        yield from answer(call, event, now)
    elif call.is_heard:
        yield do.TakeStep("done")
    else:
        yield do.SendProgress()


def go_on_heard(call: Call, event: ev.CallerHears, now: float) -> Iterator[Command]:
    call.is_heard = True
    yield do.TakeStep("done")


def play(call: Call, event: ev.PlayPlanned, now: float) -> Iterator[Command]:
    yield call.start_play(event.step.items, event.step.language)


def go_on_played(call: Call, event: ev.PlayFinished, now: float) -> Iterator[Command]:
    call.play = 0
    if call.dialog:
        yield from asking.follow(call, call.dialog.played(now))
    else:
        yield do.TakeStep("done")


def record(call: Call, event: ev.RecordPlanned, now: float) -> Iterator[Command]:
    """What the plan says here stands against the switch's settings. Nothing is recorded before the answer."""
    if not event.step.is_on:
        call.record_from = "none"
        yield from call.stop_recording()
    elif call.is_answer_out:
        yield from call.start_recording()
    else:
        call.record_from = "answered"
    yield do.TakeStep("done")


# ---- errands


def run_errand(call: Call, event: ev.ErrandPlanned, now: float) -> Iterator[Command]:
    call.errand, call.ticket = event.step, event.ticket
    call.due = now + event.step.deadline_s
    yield do.RunErrand(event.ticket, event.step)


def go_on_done(call: Call, event: ev.ErrandDone, now: float) -> Iterator[Command]:
    call.errand, call.ticket, call.due = None, 0, None
    yield do.TakeStep(event.result)


def go_on_late(call: Call, event: ev.TimeUp, now: float) -> Iterator[Command]:
    """A key is overdue, or what another room was asked for."""
    if call.dialog:
        yield from asking.follow(call, call.dialog.time_up(now))
        return
    assert call.errand
    result = call.errand.late_result
    call.errand, call.ticket, call.due = None, 0, None
    yield do.TakeStep(result)
