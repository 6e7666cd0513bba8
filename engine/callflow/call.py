"""The call machine: one call from its INVITE to the end of its last leg. State x Event -> Commands, State'.

It does no I/O, owns no clock and calls nobody: `handle(event, now)` returns commands, and switch.py carries them out.
Five laws:

1. A row fixes the next state; a handler only yields commands. Where the outcome decides, the outside sends two
   different events.
   So the table alone (table.py) can be drawn.
2. Total: every pair of state and event is a move, late with a reason, or impossible. Impossible ends this one call.
3. An event that carries something live is never late: an answered leg is hung up, a reserved agent is given back.
4. News of an offer carries the offer's number. News of one that is no longer open is ignored, except an answer, which
   is hung up. Likewise prompts and errands: each has its number, and old news is ignored.
5. A timer belongs to a state; leaving the state drops it.

The handlers are in chapters/, one file for each chapter of a call's life. Here is what a call knows, and the helpers
that several chapters share.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from types import ModuleType
from typing import Any

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.chapters import asking, calling_back, ending, messages, routing, sending, talking, waiting
from engine.callflow.commands import Command
from engine.callflow.dialog import Dialog
from engine.callflow.errors import ImpossibleEvent
from engine.callflow.events import Event
from engine.callflow.mailbox import Mailbox
from engine.callflow.record import Cdr, Segment
from engine.callflow.steps import Errand, Item, Queue, Transfer, Voicemail
from engine.callflow.table import OLD_ERRAND, OLD_OFFER, OLD_PLAY, TABLE, Impossible, Late, Move, State

CHAPTERS: tuple[ModuleType, ...] = (routing, asking, messages, waiting, talking, sending, calling_back, ending)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the switch's settings say about every call."""

    max_talk_s: float
    ending_s: float
    record_from: str  # none, answered, talked
    recording: str  # path below the recordings folder
    early_media: bool = False  # the trunk carries audio before the answer


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
        self.rules = rules
        self.state = State.NEW
        self.since: float = 0.0  # when the state was entered
        self.deadline: float | None = None  # when TimeUp is due
        self.late: str | None = None  # why the last event meant nothing, for the trace
        self.cdr: Cdr
        self.verdict: str | None = None  # what became of the call so far
        # the caller's leg
        self.is_caller_up = True  # it stands, in whatever state; false for a callback until the customer is called
        self.is_heard = False  # early media flows
        self.is_answer_out = False
        self.dialled_by = ""  # the agent whose phone it is
        # what is heard and recorded
        self.play = 0  # number of the prompts that play now, 0: none
        self.n_plays = 0
        self.record_from = rules.record_from
        self.is_recording = False
        self.may_record = True  # the caller did not refuse
        self.n_recordings = 0
        # the step that stands: a dialog, an errand, a message, or none of them
        self.typed = ""  # keys ahead of the next question
        self.dialog: Dialog | None = None
        self.mailbox: Mailbox | None = None  # the dialog, where it is one
        self.mailbox_tickets = count(-1, -1)
        self.errand: Errand | None = None
        self.ticket = 0  # of the errand, or below 0 of a mailbox that is being opened; 0: none
        self.voicemail: Voicemail | None = None
        self.message_began_at: float | None = None  # the end of the tone
        self.due: float | None = None  # when the step, or the greeting, has had its time
        # waiting
        self.queue: Queue | None = None  # the queue step while waiting
        self.queued_at = 0.0
        self.waits_since = 0.0  # the same, but for a call that came back to its place: when it came there first
        self.left_queue: Queue | None = None  # the step that an agent took the call from
        self.announce_at: list[float] = []  # when each announcement is due
        # called parties
        self.offers: dict[int, Offer] = {}
        self.talk: int | None = None  # the offer that became the talk
        self.talk_began_at: float | None = None  # both are there; of several talks the one that is up
        # before the talk: verdict, and of the CDR agent and connected_at
        self.before_talk: tuple[str | None, str | None, float | None] = (None, None, None)
        self.partner = ""  # the other party of the talk
        self.transfer: Transfer | None = None  # the transfer that is tried or became the talk
        self.sent: Transfer | None = None  # the same while the talk with the agent is not over
        self.callback: ev.CallbackBegan | None = None
        self.dialled_at: float | None = None  # a customer is being called since then

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event. Raises ImpossibleEvent, having changed nothing, if the table rules it out."""
        self.late = None
        if stale := self._stale(event):
            self.late = stale.reason
            return [do.HangUpCalled(event.offer)] if isinstance(event, ev.CalledAnswered) else []
        row = TABLE[self.state][type(event)]
        if isinstance(row, Impossible):
            raise ImpossibleEvent(f"{type(event).__name__} in state {self.state}")
        if isinstance(row, Late):
            self.late = row.reason
            return []
        is_new = row.state is not self.state
        if is_new:
            self.due, self.typed = None, ""
        asked = list(_HANDLERS[row.handler](self, event, now))
        if is_new:
            self.state, self.since = row.state, now
        self.deadline = self._timer(now)
        return asked

    def _stale(self, event: Event) -> Late | None:
        """Law 4."""
        match event:
            case ev.CalledEvent(offer) if offer not in self.offers:
                return OLD_OFFER
            case ev.PlayFinished(play) if play != self.play:
                return OLD_PLAY
            case ev.ErrandDone(ticket) | ev.MailboxOpened(ticket) | ev.MailboxRefused(ticket) if ticket != self.ticket:
                return OLD_ERRAND
        return None

    def _timer(self, now: float) -> float | None:
        match self.state:
            case State.ROUTING | State.MESSAGE | State.GREETING:
                return self.due
            case State.QUEUED if self.announce_at:
                due = min(self.announce_at)
                return max(due, now) if due < float("inf") else None
            case State.DIALLING if self.transfer:
                return self.since + self.transfer.ring_for_s
            case State.SENDING if self.sent:
                return self.since + self.sent.ring_for_s
            case State.FETCHING | State.REACHING if self.callback:
                return self.since + self.callback.ring_for_s
            case State.TALKING | State.TRANSFERRED:
                return self.since + self.rules.max_talk_s
            case State.CLOSING:
                return self.since + self.rules.ending_s
        return None

    # ---- what several chapters share

    def set(self, **changes: Any) -> None:
        self.cdr = replace(self.cdr, **changes)

    def start_play(self, items: tuple[Item, ...], language: str) -> Command:
        self.n_plays += 1
        self.play = self.n_plays
        return do.PlayPrompts(self.play, items, language)

    def cut_play(self) -> Command:
        self.play = 0
        return do.StopPrompts()

    def silence(self) -> Iterator[Command]:
        """Before the caller hears somebody else."""
        if self.is_caller_up:
            yield self.cut_play()
            yield do.StopMusic()

    def start_recording(self) -> Iterator[Command]:
        """Each stretch has a file of its own: c1.wav, c1-2.wav."""
        if self.is_recording or not self.may_record:
            return
        self.is_recording = True
        self.n_recordings += 1
        stem, dot, form = self.rules.recording.rpartition(".")
        path = self.rules.recording if self.n_recordings == 1 else f"{stem}-{self.n_recordings}{dot}{form}"
        self.set(recording=self.cdr.recording or path)
        yield do.StartRecording(path)

    def stop_recording(self, *, discard: bool = False) -> Iterator[Command]:
        if self.is_recording or (discard and self.n_recordings):
            self.is_recording = False
            yield do.StopRecording(discard)

    def open_offer(self, number: int, party: str, now: float) -> None:
        self.offers[number] = Offer(party, now)

    def close_offer(self, number: int, outcome: str, now: float, status: int | None = None) -> Command:
        offer = self.offers.pop(number)
        queue = self.queue.queue if self.queue else None
        segment = Segment(self.id, "offer", offer.began_at, now, str(outcome), queue, offer.party, status)
        return do.WriteSegment(segment)

    def close_wait(self, outcome: str, now: float) -> Command:
        assert self.queue
        queue, self.queue, self.left_queue, self.announce_at = self.queue.queue, None, self.queue, []
        return do.WriteSegment(Segment(self.id, "queue", self.queued_at, now, outcome, queue=queue))


_HANDLERS: Mapping[str, Callable[[Call, Any, float], Iterator[Command]]] = {
    row.handler: next(getattr(chapter, row.handler) for chapter in CHAPTERS if hasattr(chapter, row.handler))
    for rows in TABLE.values()
    for row in rows.values()
    if isinstance(row, Move)
}
