"""The call waits for an agent: announcements, offers to agents, and the ends of a wait without a talk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.commands import Command
from engine.callflow.steps import Queue

if TYPE_CHECKING:
    from engine.callflow.call import Call

# Verdicts of a wait that ended unserved, by the plan's branch names.
_UNSERVED: Mapping[str, str] = {
    "timeout": "timed_out",
    "full": "overflowed",
    "no_agents": "no_agents",
    "no_skill": "no_skill",
    "too_long": "too_long",
}


def enter_queue(call: Call, event: ev.QueuePlanned, now: float) -> Iterator[Command]:
    call.verdict = None
    call.set(queue=event.step.queue)
    yield from wait(call, event.step, now)


def wait(call: Call, step: Queue, now: float, since: float | None = None) -> Iterator[Command]:
    """`since`: the call comes back to the place that it has had since then."""
    call.queue, call.queued_at = step, now
    call.waits_since = now if since is None else since
    call.announce_at = [now + announce.first_s for announce in step.announces]
    if step.music:
        yield do.StartMusic(step.music)
    yield do.Enqueue(step, since)


def announce(call: Call, event: ev.TimeUp, now: float) -> Iterator[Command]:
    """The one that is due; left out this time if another still plays."""
    assert call.queue
    n = call.announce_at.index(min(call.announce_at))
    due = call.queue.announces[n]
    call.announce_at[n] = now + due.every_s
    if not call.play:
        yield call.start_play(due.items, call.queue.language)


def end_announcement(call: Call, event: ev.PlayFinished, now: float) -> Iterator[Command]:
    call.play = 0
    yield from ()


# ---- offers to agents


def ring_agent(call: Call, event: ev.AgentReserved, now: float) -> Iterator[Command]:
    call.open_offer(event.offer, event.agent, now)
    yield do.RingAgent(event.offer, event.agent)


def hear_ringing(call: Call, event: ev.CalledRinging, now: float) -> Iterator[Command]:
    yield from ()


def note_refusal(call: Call, event: ev.CalledRefused, now: float) -> Iterator[Command]:
    yield call.close_offer(event.offer, event.refusal, now, event.status)
    yield do.DeclineOffer(event.offer, event.refusal)


def cancel_expired(call: Call, event: ev.OfferExpired, now: float) -> Iterator[Command]:
    yield call.close_offer(event.offer, ev.Refusal.NO_ANSWER, now)
    yield do.HangUpCalled(event.offer)


def cancel_withdrawn(call: Call, event: ev.OfferWithdrawn, now: float) -> Iterator[Command]:
    yield call.close_offer(event.offer, "withdrawn", now)
    yield do.HangUpCalled(event.offer)


def wait_on(call: Call, event: ev.OffersFailed, now: float) -> Iterator[Command]:
    yield from ()


def give_back(call: Call, event: ev.AgentReserved | ev.CallbackTurn, now: float) -> Iterator[Command]:
    yield do.GiveBackAgent(event.offer)


# ---- no agent


def leave_unserved(call: Call, event: ev.WaitEnded, now: float) -> Iterator[Command]:
    """The ACD has ended every offer before."""
    call.verdict = _UNSERVED[event.outcome]
    yield from call.silence()
    yield call.close_wait(event.outcome, now)
    yield do.TakeStep(event.outcome)


def leave_by_key(call: Call, event: ev.KeyChosen, now: float) -> Iterator[Command]:
    call.verdict = "left_queue"
    yield from call.silence()
    yield do.LeaveQueue("withdrawn")
    for offer in list(call.offers):
        yield call.close_offer(offer, "withdrawn", now)
        yield do.HangUpCalled(offer)
    yield call.close_wait("left_queue", now)
    yield do.TakeStep(event.key)
