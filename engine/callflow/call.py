"""The call machine: one call from its INVITE to the end of its last leg. State x Event -> Commands, State'.

It does no I/O, owns no clock and calls nobody: `handle(event, now)` returns commands, and switch.py carries them out.
Five laws:

1. A row fixes the next state; a handler only yields commands. Where the outcome decides, the outside sends two
   different events.
   So the table alone (table.py) can be drawn.
2. Total: every pair of state and event is a move, late with a reason, or impossible. Impossible ends this one call.
3. An event that carries something live is never late: an answered leg is hung up, a reserved agent is given back.
4. News of an offer carries the offer's number. News of one that is no longer open is ignored, except an answer, which
   is hung up.
5. A timer belongs to a state; leaving the state drops it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.commands import Command
from engine.callflow.errors import ImpossibleEvent
from engine.callflow.events import Event
from engine.callflow.record import Cdr, Segment
from engine.callflow.steps import CAUSES, Item, Queue, Transfer
from engine.callflow.table import OLD_OFFER, OLD_PLAY, TABLE, Impossible, Late, Move, State

# Verdicts of a wait that ended unserved, by the plan's branch names.
_UNSERVED: Mapping[str, str] = {"timeout": "timed_out", "full": "overflowed", "no_agents": "no_agents"}

_TRANSFER_RESULTS: Mapping[ev.Refusal, str] = {
    ev.Refusal.BUSY: "busy",
    ev.Refusal.NO_ANSWER: "no_answer",
    ev.Refusal.REJECTED: "failed",
    ev.Refusal.UNREACHABLE: "failed",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the switch's settings say about every call."""

    max_talk_s: float
    ending_s: float
    record_from: str  # none, answered, talked
    recording: str  # path below the recordings folder


@dataclass(slots=True)
class Offer:
    """An attempt to reach one party: an agent's id or a SIP address."""

    party: str
    began_at: float


class Call:
    """One call. `state`, `deadline` and `cdr` may be read by anybody; only handle() changes them."""

    def __init__(self, call: str, rules: Rules, plan: str | None = None) -> None:
        self.id = call
        self.plan = plan
        self.state = State.NEW
        self.since: float = 0.0  # when the state was entered
        self.deadline: float | None = None  # when TimeUp is due
        self.late: str | None = None  # why the last event meant nothing, for the trace
        self.cdr: Cdr
        self.offers: dict[int, Offer] = {}
        self.talk: int | None = None  # the offer that became the talk
        self.queue: Queue | None = None  # the queue step while waiting
        self.queued_at = 0.0
        self._rules = rules
        self._transfer: Transfer | None = None
        self._caller_is_up = True
        self._has_heard_us = False
        self._play = 0  # number of the prompts that play now, 0: none
        self._n_plays = 0
        self._announce_at = 0.0
        self._verdict: str | None = None  # what became of the call so far

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event. Raises ImpossibleEvent, having changed nothing, if the table rules it out."""
        self.late = None
        if self._is_stale(event):
            self.late = OLD_OFFER.reason if isinstance(event, ev.CalledEvent) else OLD_PLAY.reason
            return [do.HangUpCalled(event.offer)] if isinstance(event, ev.CalledAnswered) else []
        row = TABLE[self.state][type(event)]
        if isinstance(row, Impossible):
            raise ImpossibleEvent(f"{type(event).__name__} in state {self.state}")
        if isinstance(row, Late):
            self.late = row.reason
            return []
        asked = list(_HANDLERS[row.handler](self, event, now))
        if row.state is not self.state:
            self.state, self.since = row.state, now
        self.deadline = self._timer(now)
        return asked

    def _is_stale(self, event: Event) -> bool:
        """Law 4, and the same for prompts."""
        if isinstance(event, ev.CalledEvent):
            return event.offer not in self.offers
        return isinstance(event, ev.PlayFinished) and event.play != self._play

    def _timer(self, now: float) -> float | None:
        match self.state:
            case State.QUEUED if self.queue and self.queue.announces:
                return max(self._announce_at, now)
            case State.DIALLING if self._transfer:
                return self.since + self._transfer.ring_for_s
            case State.TALKING | State.TRANSFERRED:
                return self.since + self._rules.max_talk_s
            case State.CLOSING:
                return self.since + self._rules.ending_s
        return None

    # ---- arrival

    def begin(self, event: ev.CallArrived, now: float) -> Iterator[Command]:
        caller = event.caller
        self.cdr = Cdr(self.id, caller.trunk, caller.ani, caller.dnis, now, self.plan)
        yield do.OpenCdr(self.cdr)
        yield do.TakeStep("start")

    def turn_away(self, event: ev.CallTurnedAway, now: float) -> Iterator[Command]:
        caller, error = event.caller, event.error
        self.cdr = Cdr(self.id, caller.trunk, caller.ani, caller.dnis, now, self.plan)
        self._verdict = error.disposition
        self._set(status=error.status, ended_by="switch")
        yield do.RejectCaller(error.status, error.retry_after_s)

    # ---- the plan

    def answer(self, event: ev.AnswerPlanned, now: float) -> Iterator[Command]:
        self._set(answered_at=now)
        yield do.AnswerCaller()

    def go_on_answered(self, event: ev.CallerAnswered, now: float) -> Iterator[Command]:
        self._has_heard_us = True
        if self._rules.record_from == "answered":
            yield from self._record()
        yield do.TakeStep("done")

    def play(self, event: ev.PlayPlanned, now: float) -> Iterator[Command]:
        yield self._start_play(event.step.items, event.step.language)

    def go_on_played(self, event: ev.PlayFinished, now: float) -> Iterator[Command]:
        self._play = 0
        yield do.TakeStep("done")

    def end_by_plan(self, event: ev.HangUpPlanned, now: float) -> Iterator[Command]:
        self._verdict = self._verdict or "ended_by_plan"
        yield from self._end("plan", now, CAUSES[event.step.cause])

    # ---- the queue

    def enter_queue(self, event: ev.QueuePlanned, now: float) -> Iterator[Command]:
        step = event.step
        self.queue, self.queued_at, self._verdict = step, now, None
        self._set(queue=step.queue)
        if step.announces:
            self._announce_at = now + step.announces[0].first_s
        if step.music:
            yield do.StartMusic(step.music)
        yield do.Enqueue(step)

    def announce(self, event: ev.TimeUp, now: float) -> Iterator[Command]:
        assert self.queue and self.queue.announces
        announce = self.queue.announces[0]
        self._announce_at = now + announce.every_s
        yield self._start_play(announce.items, self.queue.language)

    def leave_unserved(self, event: ev.WaitEnded, now: float) -> Iterator[Command]:
        self._verdict = _UNSERVED[event.outcome]
        yield from self._silence()
        yield self._leave_queue_segment(event.outcome, now)
        yield do.TakeStep(event.outcome)

    # ---- offers to agents

    def ring_agent(self, event: ev.AgentReserved, now: float) -> Iterator[Command]:
        self.offers[event.offer] = Offer(event.agent, now)
        yield do.RingAgent(event.offer, event.agent)

    def hear_ringing(self, event: ev.CalledRinging, now: float) -> Iterator[Command]:
        return iter(())

    def note_refusal(self, event: ev.CalledRefused, now: float) -> Iterator[Command]:
        yield self._close_offer(event.offer, event.refusal, now, event.status)
        yield do.DeclineOffer(event.offer, event.refusal)

    def cancel_expired(self, event: ev.OfferExpired, now: float) -> Iterator[Command]:
        yield self._close_offer(event.offer, ev.Refusal.NO_ANSWER, now)
        yield do.HangUpCalled(event.offer)

    def cancel_withdrawn(self, event: ev.OfferWithdrawn, now: float) -> Iterator[Command]:
        yield self._close_offer(event.offer, "withdrawn", now)
        yield do.HangUpCalled(event.offer)

    def wait_on(self, event: ev.OffersFailed, now: float) -> Iterator[Command]:
        return iter(())

    def connect_agent(self, event: ev.CalledAnswered, now: float) -> Iterator[Command]:
        """The first answer wins; the other phones learn that the call was completed elsewhere."""
        agent = self.offers[event.offer].party
        yield do.TakeOffer(event.offer)
        yield self._close_offer(event.offer, "answered", now)
        for other in list(self.offers):
            yield self._close_offer(other, "elsewhere", now)
            yield do.HangUpCalled(other, elsewhere=True)
        self._set(agent=agent)
        yield self._leave_queue_segment("answered", now)
        yield from self._connect(event.offer, agent, "answered", now)

    def give_back(self, event: ev.AgentReserved, now: float) -> Iterator[Command]:
        yield do.GiveBackAgent(event.offer)

    # ---- a transfer target

    def dial_out(self, event: ev.TransferPlanned, now: float) -> Iterator[Command]:
        self._transfer = event.step
        self.offers[event.offer] = Offer(event.step.uri, now)
        if event.step.ringback:
            yield do.StartMusic(event.step.ringback)
        yield do.DialOut(event.offer, event.step.uri)

    def connect_target(self, event: ev.CalledAnswered, now: float) -> Iterator[Command]:
        target = self.offers[event.offer].party
        yield self._close_offer(event.offer, "answered", now)
        yield from self._connect(event.offer, target, "transferred", now)

    def go_on_refused(self, event: ev.CalledRefused, now: float) -> Iterator[Command]:
        yield from self._silence()
        yield self._close_offer(event.offer, event.refusal, now, event.status)
        yield do.TakeStep(_TRANSFER_RESULTS[event.refusal])

    def go_on_unanswered(self, event: ev.TimeUp, now: float) -> Iterator[Command]:
        (offer,) = self.offers
        yield from self._silence()
        yield self._close_offer(offer, ev.Refusal.NO_ANSWER, now)
        yield do.HangUpCalled(offer)
        yield do.TakeStep("no_answer")

    # ---- the end

    def caller_left(self, event: ev.CallerGone, now: float) -> Iterator[Command]:
        self._caller_is_up = False
        if not self._has_heard_us:
            self._set(answered_at=None)  # the CANCEL came before our 200
        if self.queue:
            self._verdict = "abandoned"
        self._verdict = self._verdict or "caller_left"
        yield from self._end("caller", now, event.status, "abandoned")

    def agent_left(self, event: ev.CalledGone, now: float) -> Iterator[Command]:
        del self.offers[event.offer]
        yield from self._end("agent", now)

    def target_left(self, event: ev.CalledGone, now: float) -> Iterator[Command]:
        del self.offers[event.offer]
        yield from self._end("called", now)

    def end_long_talk(self, event: ev.TimeUp, now: float) -> Iterator[Command]:
        yield from self._end("switch", now)

    def obey(self, event: ev.HangUpOrdered, now: float) -> Iterator[Command]:
        self._verdict = self._verdict or "hung_up"
        yield from self._end(event.by, now, CAUSES["normal"])

    def give_up(self, event: ev.CallFailed, now: float) -> Iterator[Command]:
        self._verdict = self._verdict or event.error.disposition
        yield from self._end("switch", now, event.error.status, "failed")

    def write_cdr(self, event: ev.LegsGone, now: float) -> Iterator[Command]:
        self._set(ended_at=now, disposition=self._verdict)
        yield do.WriteCdr(self.cdr)

    def drop_legs(self, event: ev.TimeUp, now: float) -> Iterator[Command]:
        yield do.DropLegs()
        self._set(ended_at=now, disposition=self._verdict)
        yield do.WriteCdr(self.cdr)

    # ---- helpers

    def _set(self, **changes: Any) -> None:
        self.cdr = replace(self.cdr, **changes)

    def _record(self) -> Iterator[Command]:
        self._set(recording=self._rules.recording)
        yield do.StartRecording()

    def _start_play(self, items: tuple[Item, ...], language: str) -> Command:
        self._n_plays += 1
        self._play = self._n_plays
        return do.PlayPrompts(self._play, items, language)

    def _silence(self) -> Iterator[Command]:
        """Before the caller hears somebody else."""
        self._play = 0
        yield do.StopPrompts()
        yield do.StopMusic()

    def _connect(self, offer: int, party: str, verdict: str, now: float) -> Iterator[Command]:
        self.offers = {offer: Offer(party, now)}
        self.talk, self._verdict = offer, verdict
        self._set(connected_at=now)
        yield from self._silence()
        yield do.Bridge(offer)
        if self._rules.record_from == "talked":
            yield from self._record()

    def _leave_queue_segment(self, outcome: str, now: float) -> Command:
        assert self.queue
        queue, self.queue = self.queue.queue, None
        return do.WriteSegment(Segment(self.id, "queue", self.queued_at, now, outcome, queue=queue))

    def _close_offer(self, number: int, outcome: str, now: float, status: int | None = None) -> Command:
        offer = self.offers.pop(number)
        queue = self.queue.queue if self.queue else None
        segment = Segment(self.id, "offer", offer.began_at, now, str(outcome), queue, offer.party, status)
        return do.WriteSegment(segment)

    def _end(self, by: str, now: float, status: int = 200, unserved: str = "withdrawn") -> Iterator[Command]:
        """Tell every leg to end, give everything back. What is left to do is to wait for LegsGone."""
        is_answered = self.cdr.answered_at is not None
        self._set(ended_by=by, status=200 if is_answered else status)
        if self.talk is not None:
            yield from self._end_talk(by, now)
        elif self.queue:
            yield do.LeaveQueue(unserved)
        for offer in list(self.offers):
            if self.talk is None:
                yield self._close_offer(offer, unserved, now)
            yield do.HangUpCalled(offer)
        if self.queue:
            yield self._leave_queue_segment(unserved, now)
        self.offers = {}
        if self._caller_is_up:
            yield do.HangUpCaller() if is_answered else do.RejectCaller(status)

    def _end_talk(self, by: str, now: float) -> Iterator[Command]:
        connected_at = self.cdr.connected_at
        assert self.talk is not None and connected_at is not None
        if self.cdr.agent:
            yield do.ReleaseAgent(self.talk)
        queue = self.cdr.queue if self.cdr.agent else None
        party = self.cdr.agent or (self._transfer.uri if self._transfer else None)
        yield do.WriteSegment(Segment(self.id, "talk", connected_at, now, by, queue, party))


_HANDLERS: Mapping[str, Callable[[Call, Any, float], Iterator[Command]]] = {
    row.handler: getattr(Call, row.handler) for rows in TABLE.values() for row in rows.values() if isinstance(row, Move)
}
