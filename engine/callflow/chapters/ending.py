"""The call ends: whoever ends it, every leg is told so, every agent is given back, and one CDR is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.chapters.messages import close_message
from engine.callflow.commands import Command
from engine.callflow.record import Segment
from engine.callflow.steps import CAUSES

if TYPE_CHECKING:
    from engine.callflow.call import Call


def end_by_plan(call: Call, event: ev.HangUpPlanned, now: float) -> Iterator[Command]:
    call.verdict = call.verdict or "ended_by_plan"
    yield from end(call, "plan", now, CAUSES[event.step.cause])


def caller_left(call: Call, event: ev.CallerGone, now: float) -> Iterator[Command]:
    call.is_caller_up = False
    if not call.is_answer_out:
        call.set(answered_at=None)  # the CANCEL came before our 200
    if call.queue:
        call.verdict = "abandoned"
    yield from end(call, event.loss or "caller", now, event.status, "abandoned")
    call.verdict = call.verdict or "caller_left"


def agent_left(call: Call, event: ev.CalledGone, now: float) -> Iterator[Command]:
    """In a callback perhaps before the customer was there."""
    call.verdict = call.verdict or "agent_left"
    del call.offers[event.offer]
    yield from end(call, event.loss or "agent", now)


def target_left(call: Call, event: ev.CalledGone, now: float) -> Iterator[Command]:
    del call.offers[event.offer]
    yield from end(call, event.loss or "called", now)


def end_long_talk(call: Call, event: ev.TimeUp, now: float) -> Iterator[Command]:
    yield from end(call, "switch", now)


def obey(call: Call, event: ev.HangUpOrdered, now: float) -> Iterator[Command]:
    call.verdict = call.verdict or "hung_up"
    yield from end(call, event.by, now, CAUSES["normal"])


def give_up(call: Call, event: ev.CallFailed, now: float) -> Iterator[Command]:
    call.verdict = call.verdict or event.error.disposition
    yield from end(call, "switch", now, event.error.status, "failed")


def write_cdr(call: Call, event: ev.LegsGone, now: float) -> Iterator[Command]:
    call.set(ended_at=now, disposition=call.verdict)
    yield do.WriteCdr(call.cdr)


def drop_legs(call: Call, event: ev.TimeUp, now: float) -> Iterator[Command]:
    yield do.DropLegs()
    call.set(ended_at=now, disposition=call.verdict)
    yield do.WriteCdr(call.cdr)


# ---- shared by every end


def end(call: Call, by: str, now: float, status: int = 200, unserved: str = "withdrawn") -> Iterator[Command]:
    """Tell every leg to end, give everything back. What is left to do is to wait for LegsGone."""
    is_answered = call.cdr.answered_at is not None
    call.set(ended_by=str(by), status=200 if is_answered else status)
    yield from close_message(call, now)
    if call.dialled_at is not None:
        yield close_customer(call, unserved, now)
    if call.queue:
        yield do.LeaveQueue(unserved)
    for offer in list(call.offers):
        if offer != call.talk:
            yield call.close_offer(offer, unserved, now)
            yield do.HangUpCalled(offer)
    if call.queue:
        yield call.close_wait(unserved, now)
    if call.talk is not None:
        yield from end_talk(call, by, now)
    if call.is_caller_up:
        yield do.HangUpCaller() if is_answered or call.callback else do.RejectCaller(status)


def end_talk(call: Call, by: str, now: float) -> Iterator[Command]:
    """The partner, if still there, is told. A talk that never began, because the customer did not come, has no
    segment."""
    talk, call.talk = call.talk, None
    assert talk is not None
    is_agent = call.transfer is None
    if is_agent:
        yield do.ReleaseAgent(talk)
    began_at, call.talk_began_at = call.talk_began_at, None
    if began_at is not None:
        queue = call.cdr.queue if is_agent else None
        yield do.WriteSegment(Segment(call.id, "talk", began_at, now, str(by), queue, call.partner))
    if call.offers.pop(talk, None):
        yield do.HangUpCalled(talk)


def close_customer(call: Call, outcome: str, now: float, status: int | None = None) -> Command:
    """The attempt to reach the customer is over."""
    assert call.dialled_at is not None
    began_at, call.dialled_at = call.dialled_at, None
    partner = call.partner or None
    segment = Segment(call.id, "customer", began_at, now, str(outcome), call.cdr.queue, partner, status)
    return do.WriteSegment(segment)
