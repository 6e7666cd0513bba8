"""The agent's phone sends the caller elsewhere: to somebody who is called first, into a plan, or to somebody whom the
agent has on the line already. The caller stays through all of it, and is back with the agent if nobody takes the call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.chapters import ending
from engine.callflow.commands import Command
from engine.callflow.steps import AGENT, Transfer

if TYPE_CHECKING:
    from engine.callflow.call import Call

TRYING, RINGING, OK, UNAVAILABLE = 100, 180, 200, 480


def send_to(call: Call, event: ev.SentTo, now: float) -> Iterator[Command]:
    """The caller hears the music of the queue, or the ringing that the plan has for it."""
    assert call.talk is not None
    call.sent = event.step
    call.open_offer(event.offer, event.step.uri.removeprefix(AGENT), now)
    yield do.ReportTransfer(call.talk, TRYING)
    yield do.Part(call.talk)
    if music := event.step.ringback or (call.left_queue.music if call.left_queue else ""):
        yield do.StartMusic(music)
    yield do.DialOut(event.offer, event.step.uri)


def report_ringing(call: Call, event: ev.CalledRinging, now: float) -> Iterator[Command]:
    """Not the agent's own phone, whose 180 crossed its 200."""
    if event.offer != call.talk:
        assert call.talk is not None
        yield do.ReportTransfer(call.talk, RINGING)


def connect_sent(call: Call, event: ev.CalledAnswered, now: float) -> Iterator[Command]:
    step, call.sent = call.sent, None
    assert step
    yield call.close_offer(event.offer, "answered", now)
    yield from _hand_over(call, now)
    yield from _join(call, step, event.offer, now)


def come_back(call: Call, event: ev.CalledRefused, now: float) -> Iterator[Command]:
    yield call.close_offer(event.offer, event.refusal, now, event.status)
    yield from _back(call, event.status if event.status >= 300 else UNAVAILABLE)


def come_back_unanswered(call: Call, event: ev.TimeUp, now: float) -> Iterator[Command]:
    (offer,) = (offer for offer in call.offers if offer != call.talk)
    yield call.close_offer(offer, ev.Refusal.NO_ANSWER, now)
    yield do.HangUpCalled(offer)
    yield from _back(call, UNAVAILABLE)


def leave_to_target(call: Call, event: ev.CalledGone, now: float) -> Iterator[Command]:
    """The agent's phone did not wait: what comes of it is the plan's."""
    del call.offers[event.offer]
    yield from ending.end_talk(call, event.loss or "agent", now)
    call.transfer, call.sent = call.sent, None
    yield do.FollowAgent()


def send_into_plan(call: Call, event: ev.SentIntoPlan, now: float) -> Iterator[Command]:
    assert call.talk is not None
    yield do.Part(call.talk)
    yield from _hand_over(call, now)
    yield do.FollowAgent()
    yield do.TakeStep("start")


def put_through(call: Call, event: ev.PutThrough, now: float) -> Iterator[Command]:
    assert call.talk is not None
    yield do.Part(call.talk)
    yield from _hand_over(call, now)
    yield from _join(call, event.step, event.offer, now)


def hang_up_party(call: Call, event: ev.PutThrough, now: float) -> Iterator[Command]:
    """Law 3: the party comes too late for this call."""
    yield do.HangUpCalled(event.offer)


def end_taken(call: Call, event: ev.CalledTaken, now: float) -> Iterator[Command]:
    """The call that the agent made for it has done its work."""
    del call.offers[event.offer]
    yield from ending.end(call, "agent", now)


# ---- shared


def _hand_over(call: Call, now: float) -> Iterator[Command]:
    """The agent leaves, and wraps up."""
    assert call.talk is not None
    yield do.ReportTransfer(call.talk, OK)
    yield from ending.end_talk(call, "agent", now)


def _join(call: Call, step: Transfer, offer: int, now: float) -> Iterator[Command]:
    """The caller talks to who has answered."""
    party = step.uri.removeprefix(AGENT)
    call.open_offer(offer, party, now)
    call.talk, call.partner, call.transfer, call.talk_began_at = offer, party, step, now
    if step.uri.startswith(AGENT):
        call.set(agent=party)
    yield from call.silence()
    yield do.Bridge(offer)


def _back(call: Call, status: int) -> Iterator[Command]:
    assert call.talk is not None
    call.sent = None
    yield from call.silence()
    yield do.ReportTransfer(call.talk, status)
    yield do.Bridge(call.talk)
