"""Somebody has picked up: the greeting, the talk and its ends; and calling a transfer target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.chapters import ending, waiting
from engine.callflow.commands import Command
from engine.callflow.steps import AGENT, TRUNK

if TYPE_CHECKING:
    from engine.callflow.call import Call

GREETING_S = 30.0  # nothing said at pick-up is longer: an agent and a caller who hear nothing must not wait for ever

_TRANSFER_RESULTS: Mapping[ev.Refusal, str] = {
    ev.Refusal.BUSY: "busy",
    ev.Refusal.NO_ANSWER: "no_answer",
    ev.Refusal.REJECTED: "failed",
    ev.Refusal.UNREACHABLE: "failed",
}

# ---- an agent


def greet(call: Call, event: ev.CalledAnswered, now: float) -> Iterator[Command]:
    """The first answer wins; the other phones learn that the call was completed elsewhere. The caller's music ends."""
    step = call.queue
    assert step
    partner = call.offers[event.offer].party
    yield do.TakeOffer(event.offer)
    yield call.close_offer(event.offer, "answered", now)
    for other in list(call.offers):
        yield call.close_offer(other, "elsewhere", now)
        yield do.HangUpCalled(other, elsewhere=True)
    yield call.close_wait("answered", now)
    call.open_offer(event.offer, partner, now)
    call.talk, call.partner = event.offer, partner
    if call.is_caller_up:
        call.before_talk = call.verdict, call.cdr.agent, call.cdr.connected_at
        call.verdict, call.talk_began_at = "answered", now
        call.set(agent=partner, connected_at=_first(call, now))
    yield from call.silence()
    call.due = now + GREETING_S
    yield do.Greet(event.offer, step.whisper, step.greeting, step.language)


def cut_greeting(call: Call, event: ev.TimeUp, now: float) -> Iterator[Command]:
    call.due = None
    yield do.CutGreeting()


def bridge(call: Call, event: ev.Greeted, now: float) -> Iterator[Command]:
    yield do.Bridge(event.offer)
    if call.record_from == "talked":
        yield from call.start_recording()


def go_back(call: Call, event: ev.AgentLost, now: float) -> Iterator[Command]:
    """The agent hung up before the talk: the caller waits on in the old place, as if nobody had answered."""
    step = call.left_queue
    assert step
    del call.offers[event.offer]
    call.verdict, agent, connected_at = call.before_talk
    call.talk_began_at = None
    call.set(agent=agent, connected_at=connected_at)
    yield do.StopPrompts()
    yield from ending.end_talk(call, event.loss or "agent", now)
    yield from waiting.wait(call, step, now, call.waits_since)


def go_on_served(call: Call, event: ev.TalkEnded, now: float) -> Iterator[Command]:
    del call.offers[event.offer]
    yield from ending.end_talk(call, event.loss or "agent", now)
    yield do.TakeStep("served")


def _first(call: Call, now: float) -> float:
    """When the caller had somebody on the line, of several talks the first."""
    return now if call.cdr.connected_at is None else call.cdr.connected_at


# ---- a transfer target


def dial_out(call: Call, event: ev.TransferPlanned, now: float) -> Iterator[Command]:
    uri = event.step.uri
    call.transfer = event.step
    call.open_offer(event.offer, uri.removeprefix(AGENT), now)
    if call.dialled_by and uri.startswith(TRUNK):
        call.set(kind="outbound", trunk=uri.removeprefix(TRUNK).partition("/")[0])
    if event.step.ringback:
        yield do.StartMusic(event.step.ringback)
    yield do.DialOut(event.offer, uri)


def ring_back(call: Call, event: ev.CalledRinging, now: float) -> Iterator[Command]:
    """A caller who does not hear us yet hears that it rings."""
    if call.cdr.answered_at is None and not call.is_heard:
        yield do.RingCaller()


def connect_target(call: Call, event: ev.CalledAnswered, now: float) -> Iterator[Command]:
    """A caller who is not answered yet is answered now."""
    partner = call.offers[event.offer].party
    yield call.close_offer(event.offer, "answered", now)
    call.open_offer(event.offer, partner, now)
    assert call.transfer
    agent = call.dialled_by or (partner if call.transfer.uri.startswith(AGENT) else call.cdr.agent)
    call.talk, call.partner, call.verdict = event.offer, partner, "answered" if agent else "transferred"
    call.talk_began_at = now
    call.set(connected_at=_first(call, now), agent=agent)
    yield from call.silence()
    if call.cdr.answered_at is None:
        call.set(answered_at=now)
        yield do.AnswerCaller()
    yield do.Bridge(event.offer)
    if call.record_from == "talked" and call.is_answer_out:
        yield from call.start_recording()


def hear_answer(call: Call, event: ev.CallerAnswered, now: float) -> Iterator[Command]:
    call.is_answer_out = True
    if call.record_from != "none":
        yield from call.start_recording()


def go_on_refused(call: Call, event: ev.CalledRefused, now: float) -> Iterator[Command]:
    assert call.transfer
    is_followed = call.transfer.follows_redirect and event.moved_to
    yield from call.silence()
    yield call.close_offer(event.offer, event.refusal, now, event.status)
    step = _go_on(call, _TRANSFER_RESULTS[event.refusal])
    yield do.FollowRedirect(event.moved_to, step.result) if is_followed else step


def go_on_unanswered(call: Call, event: ev.TimeUp, now: float) -> Iterator[Command]:
    (offer,) = call.offers
    yield from call.silence()
    yield call.close_offer(offer, ev.Refusal.NO_ANSWER, now)
    yield do.HangUpCalled(offer)
    yield _go_on(call, "no_answer")


def _go_on(call: Call, result: str) -> do.TakeStep:
    """Without the target; of a call that an agent dialled, this is its outcome so far."""
    call.transfer = None
    if call.dialled_by:
        call.verdict = result
    return do.TakeStep(result)
