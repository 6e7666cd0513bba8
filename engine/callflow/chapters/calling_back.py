"""A promised call back. It waits as a virtual caller; the customer is called when an agent is on the line, or, customer
first, when its turn has come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.chapters import ending, waiting
from engine.callflow.commands import Command
from engine.callflow.record import Cdr

if TYPE_CHECKING:
    from engine.callflow.call import Call

_VERDICTS: Mapping[ev.Refusal, str] = {
    ev.Refusal.BUSY: "customer_busy",
    ev.Refusal.NO_ANSWER: "customer_no_answer",
    ev.Refusal.REJECTED: "customer_failed",
    ev.Refusal.UNREACHABLE: "customer_failed",
}


def begin_callback(call: Call, event: ev.CallbackBegan, now: float) -> Iterator[Command]:
    """Nobody hears anything yet."""
    caller, step = event.caller, event.step
    call.cdr = Cdr(call.id, caller.trunk, caller.ani, caller.dnis, now, call.plan, queue=step.queue, kind="callback")
    call.callback, call.is_caller_up = event, False
    call.queue, call.queued_at, call.waits_since = step, now, now
    yield do.OpenCdr(call.cdr)
    yield do.Enqueue(step)


def fetch_customer(call: Call, event: ev.GreetedAgent, now: float) -> Iterator[Command]:
    """Agent first: the agent waits on the line."""
    yield _dial(call, now)


def reach_customer(call: Call, event: ev.CallbackTurn, now: float) -> Iterator[Command]:
    """Customer first: the customer will stand in the old place of the queue again, so nobody is held meanwhile."""
    yield do.LeaveQueue("called_back")
    yield call.close_wait("called_back", now)
    yield _dial(call, now)


def connect_customer(call: Call, event: ev.CustomerAnswered, now: float) -> Iterator[Command]:
    assert call.talk is not None
    call.verdict = "answered"
    call.talk_began_at = now
    call.set(answered_at=now, connected_at=now, agent=call.partner)
    call.is_answer_out = True
    yield ending.close_customer(call, "answered", now)
    yield do.Bridge(call.talk)
    if call.record_from in ("answered", "talked"):
        yield from call.start_recording()


def queue_customer(call: Call, event: ev.CustomerAnswered, now: float) -> Iterator[Command]:
    """From here on the customer is like any other caller."""
    callback = call.callback
    assert callback
    call.set(answered_at=now)
    call.is_answer_out = True
    yield ending.close_customer(call, "answered", now)
    if call.record_from == "answered":
        yield from call.start_recording()
    yield from waiting.enter_queue(call, ev.QueuePlanned(callback.step), now)
    if callback.greeting:
        yield call.start_play(callback.greeting, callback.step.language)


def end_refused(call: Call, event: ev.CustomerRefused, now: float) -> Iterator[Command]:
    call.verdict = _VERDICTS[event.refusal]
    call.is_caller_up = False
    yield ending.close_customer(call, event.refusal, now, event.status)
    yield from ending.end(call, "caller", now, event.status)


def end_unanswered(call: Call, event: ev.TimeUp, now: float) -> Iterator[Command]:
    call.verdict = "customer_no_answer"
    yield ending.close_customer(call, ev.Refusal.NO_ANSWER, now)
    yield from ending.end(call, "switch", now, 487)


def hang_up_customer(call: Call, event: ev.CustomerAnswered, now: float) -> Iterator[Command]:
    """The 200 crossed our CANCEL."""
    yield do.HangUpCaller()


def _dial(call: Call, now: float) -> Command:
    call.is_caller_up = True
    call.dialled_at = now
    return do.DialCustomer()
