"""The table of the call machine: for every state and event, what comes next. Handlers are in chapters/.

A pair is a move (next state, name of the handler), late with a reason, or impossible. The table alone can be drawn,
because a row fixes the next state whatever its handler finds: tests/golden/call_table.txt is that drawing.

States:  NEW        nothing decided yet
         ROUTING    the plan is at work: answering, playing, asking, looking up, deciding
         TONE       the caller hears the tone before a message
         MESSAGE    the caller leaves a message
         QUEUED     waiting for an agent, hearing music
         OFFERING   waiting, and the phones of reserved agents ring
         GREETING   an agent picked up and hears a whisper, the caller a greeting
         TALKING    bridged to an agent
         SENDING    the agent sends the caller to somebody, who is called; the agent is still there
         DIALLING   a transfer target is called
         TRANSFERRED  bridged to a transfer target
         FETCHING   a callback, agent first: an agent is on the line, the customer is called
         REACHING   a callback, customer first: the customer is called, nobody waits
         CLOSING    every leg was told to end; waiting for the last
         ENDED      the CDR is written
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from engine.callflow import events as ev
from engine.callflow.events import Event


class State(StrEnum):
    NEW = "NEW"
    ROUTING = "ROUTING"
    TONE = "TONE"
    MESSAGE = "MESSAGE"
    QUEUED = "QUEUED"
    OFFERING = "OFFERING"
    GREETING = "GREETING"
    TALKING = "TALKING"
    SENDING = "SENDING"
    DIALLING = "DIALLING"
    TRANSFERRED = "TRANSFERRED"
    FETCHING = "FETCHING"
    REACHING = "REACHING"
    CLOSING = "CLOSING"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class Move:
    state: State  # the next one
    handler: str


@dataclass(frozen=True, slots=True)
class Late:
    """The event crossed something on its way and means nothing any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """No order of messages leads here: one of our rooms is wrong."""


Row = Move | Late | Impossible
S = State
IMPOSSIBLE: Final = Impossible()

# ---- the table

_ENDINGS: Mapping[type[Event], Row] = {
    ev.CallerGone: Move(S.CLOSING, "caller_left"),
    ev.HangUpOrdered: Move(S.CLOSING, "obey"),
    ev.CallFailed: Move(S.CLOSING, "give_up"),
}

OLD_OFFER = Late("the offer is over")
OLD_PLAY = Late("the prompt was cut")
OLD_ERRAND = Late("the errand is over")
_NO_LONGER = Late("the call is ending")
_LEFT_QUEUE = Late("the call has left the queue")
_ANSWERED = Late("the answer came first")
_NOBODY_HEARS = Late("nobody hears it yet")
_NO_AGENT = Late("the agent is gone")

# News of offers where none is open. Law 4 answers it before the table is asked; the rows say the same for the drawing.
_NO_OFFERS: Mapping[type[Event], Row] = {
    ev.CalledRinging: OLD_OFFER,
    ev.CalledAnswered: OLD_OFFER,
    ev.CalledRefused: OLD_OFFER,
    ev.CalledGone: OLD_OFFER,
    ev.TalkEnded: OLD_OFFER,
    ev.AgentLost: OLD_OFFER,
    ev.Greeted: OLD_OFFER,
    ev.GreetedAgent: OLD_OFFER,
    ev.OfferExpired: OLD_OFFER,
    ev.OfferWithdrawn: OLD_OFFER,
}

# The same for what another room was asked.
_NO_ERRAND: Mapping[type[Event], Row] = {
    ev.ErrandDone: OLD_ERRAND,
    ev.MailboxOpened: OLD_ERRAND,
    ev.MailboxRefused: OLD_ERRAND,
}

# News of the queue that crossed the call's way out of it.
_NO_QUEUE: Mapping[type[Event], Row] = {
    ev.OffersFailed: OLD_OFFER,
    ev.WaitEnded: _LEFT_QUEUE,
    ev.KeyChosen: _LEFT_QUEUE,
}

_ARRIVALS: tuple[type[Event], ...] = (ev.CallArrived, ev.CallTurnedAway, ev.CallbackBegan)

_HEARING: tuple[type[Event], ...] = (ev.CallerAnswered, ev.CallerHears)

_PLAN_STEPS: tuple[type[Event], ...] = (
    ev.AnswerPlanned,
    ev.EarlyMediaPlanned,
    ev.PlayPlanned,
    ev.AskPlanned,
    ev.VoicemailPlanned,
    ev.MessagesPlanned,
    ev.ErrandPlanned,
    ev.RecordPlanned,
    ev.QueuePlanned,
    ev.TransferPlanned,
    ev.HangUpPlanned,
)

_CUSTOMER: tuple[type[Event], ...] = (ev.CustomerAnswered, ev.CustomerRefused)
_PICKED_UP: tuple[type[Event], ...] = (ev.CalledAnswered, ev.CalledRefused)
_GREETED: tuple[type[Event], ...] = (ev.Greeted, ev.GreetedAgent)
_GOES_ON: tuple[type[Event], ...] = (ev.AgentLost, ev.TalkEnded)
_PARTED: tuple[type[Event], ...] = (ev.CalledGone, *_GOES_ON)
_ACD_TAKES_BACK: tuple[type[Event], ...] = (ev.OfferExpired, ev.OfferWithdrawn)

# Where the plan is not at work.
_NOT_NOW: tuple[type[Event], ...] = (*_ARRIVALS, *_HEARING, *_PLAN_STEPS, ev.LegsGone)

# The same where a target's answer may have been the caller's.
_NOT_WITH_TARGET = tuple(event for event in _NOT_NOW if event is not ev.CallerAnswered)


def _given_back(state: State) -> Mapping[type[Event], Row]:
    """Law 3: an agent, a turn with an agent, or somebody on the line, whom this state cannot use. And what an agent's
    phone has asked for, where no agent talks to the caller."""
    row = Move(state, "give_back")
    live = {ev.AgentReserved: row, ev.CallbackTurn: row, ev.PutThrough: Move(state, "hang_up_party")}
    return {**live, ev.SentTo: _NO_AGENT, ev.SentIntoPlan: _NO_AGENT, ev.CalledTaken: OLD_OFFER}


def _is_over(state: State) -> Mapping[type[Event], Row]:
    """What may still be on its way when a call ends."""
    late = (*_HEARING, *_PLAN_STEPS, ev.CallerDigit, ev.KeyChosen, ev.CallerGone, ev.CustomerRefused)
    late += (ev.OffersFailed, ev.WaitEnded, ev.PlayFinished, ev.HangUpOrdered, ev.CallFailed)
    return {
        **_given_back(state),
        ev.CustomerAnswered: Move(state, "hang_up_customer"),
        **dict.fromkeys(late, _NO_LONGER),
        **_NO_ERRAND,
        **_NO_OFFERS,
    }


_MOVES: Mapping[State, Mapping[type[Event], Row]] = {
    S.NEW: {
        ev.CallArrived: Move(S.ROUTING, "begin"),
        ev.CallTurnedAway: Move(S.CLOSING, "turn_away"),
        ev.CallbackBegan: Move(S.QUEUED, "begin_callback"),
    },
    S.ROUTING: {
        ev.AnswerPlanned: Move(S.ROUTING, "answer"),
        ev.CallerAnswered: Move(S.ROUTING, "go_on_answered"),
        ev.EarlyMediaPlanned: Move(S.ROUTING, "progress"),
        ev.CallerHears: Move(S.ROUTING, "go_on_heard"),
        ev.PlayPlanned: Move(S.ROUTING, "play"),
        ev.PlayFinished: Move(S.ROUTING, "go_on_played"),
        ev.AskPlanned: Move(S.ROUTING, "ask"),
        ev.CallerDigit: Move(S.ROUTING, "take_key"),
        ev.ErrandPlanned: Move(S.ROUTING, "run_errand"),
        ev.ErrandDone: Move(S.ROUTING, "go_on_done"),
        ev.TimeUp: Move(S.ROUTING, "go_on_late"),
        ev.RecordPlanned: Move(S.ROUTING, "record"),
        ev.VoicemailPlanned: Move(S.TONE, "take_message"),
        ev.MessagesPlanned: Move(S.ROUTING, "open_mailbox"),
        ev.MailboxOpened: Move(S.ROUTING, "list_messages"),
        ev.MailboxRefused: Move(S.ROUTING, "refuse_mailbox"),
        ev.QueuePlanned: Move(S.QUEUED, "enter_queue"),
        ev.TransferPlanned: Move(S.DIALLING, "dial_out"),
        ev.HangUpPlanned: Move(S.CLOSING, "end_by_plan"),
        **_given_back(S.ROUTING),
        **_NO_QUEUE,
        **_NO_OFFERS,
        **_ENDINGS,
    },
    S.TONE: {
        ev.PlayFinished: Move(S.MESSAGE, "open_message"),
        ev.CallerDigit: Move(S.MESSAGE, "skip_tone"),
        **_NO_ERRAND,
        **_given_back(S.TONE),
        **_NO_QUEUE,
        **_NO_OFFERS,
        **_ENDINGS,
    },
    S.MESSAGE: {
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: Move(S.ROUTING, "end_message"),
        ev.TimeUp: Move(S.ROUTING, "end_message"),
        **_NO_ERRAND,
        **_given_back(S.MESSAGE),
        **_NO_QUEUE,
        **_NO_OFFERS,
        **_ENDINGS,
    },
    S.QUEUED: {
        **_given_back(S.QUEUED),
        ev.AgentReserved: Move(S.OFFERING, "ring_agent"),
        ev.CallbackTurn: Move(S.REACHING, "reach_customer"),
        ev.WaitEnded: Move(S.ROUTING, "leave_unserved"),
        ev.KeyChosen: Move(S.ROUTING, "leave_by_key"),
        ev.TimeUp: Move(S.QUEUED, "announce"),
        ev.PlayFinished: Move(S.QUEUED, "end_announcement"),
        ev.CallerDigit: Late("no step asks for digits"),
        ev.OffersFailed: OLD_OFFER,
        **_NO_ERRAND,
        **_NO_OFFERS,
        **_ENDINGS,
    },
    S.OFFERING: {
        **_given_back(S.OFFERING),
        ev.AgentReserved: Move(S.OFFERING, "ring_agent"),
        ev.CalledRinging: Move(S.OFFERING, "hear_ringing"),
        ev.CalledAnswered: Move(S.GREETING, "greet"),
        ev.CalledRefused: Move(S.OFFERING, "note_refusal"),
        ev.OfferExpired: Move(S.OFFERING, "cancel_expired"),
        ev.OfferWithdrawn: Move(S.OFFERING, "cancel_withdrawn"),
        ev.OffersFailed: Move(S.QUEUED, "wait_on"),
        ev.WaitEnded: Move(S.ROUTING, "leave_unserved"),  # the last agent of the queue left, with the offer
        ev.KeyChosen: Move(S.ROUTING, "leave_by_key"),
        ev.PlayFinished: Move(S.OFFERING, "end_announcement"),
        ev.CallerDigit: Late("no step asks for digits"),
        **_NO_ERRAND,
        **_ENDINGS,
    },
    S.GREETING: {
        ev.Greeted: Move(S.TALKING, "bridge"),
        ev.GreetedAgent: Move(S.FETCHING, "fetch_customer"),
        ev.CalledGone: Move(S.CLOSING, "agent_left"),
        ev.AgentLost: Move(S.QUEUED, "go_back"),
        ev.TimeUp: Move(S.GREETING, "cut_greeting"),
        ev.CalledRinging: Late("180 crossed the 200"),
        ev.OfferExpired: _ANSWERED,
        ev.OfferWithdrawn: _ANSWERED,
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: _NOBODY_HEARS,
        **_NO_ERRAND,
        **_given_back(S.GREETING),
        **_NO_QUEUE,
        **_ENDINGS,
    },
    S.TALKING: {
        **_given_back(S.TALKING),
        ev.CalledGone: Move(S.CLOSING, "agent_left"),
        ev.TalkEnded: Move(S.ROUTING, "go_on_served"),
        ev.SentTo: Move(S.SENDING, "send_to"),
        ev.SentIntoPlan: Move(S.ROUTING, "send_into_plan"),
        ev.TimeUp: Move(S.CLOSING, "end_long_talk"),
        ev.CalledRinging: Late("180 crossed the 200"),
        ev.OfferExpired: _ANSWERED,
        ev.OfferWithdrawn: _ANSWERED,
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: Late("the agent hears it"),
        **_NO_ERRAND,
        ev.PutThrough: Move(S.TRANSFERRED, "put_through"),
        **_NO_QUEUE,
        **_ENDINGS,
    },
    S.SENDING: {
        **_given_back(S.SENDING),
        ev.CalledRinging: Move(S.SENDING, "report_ringing"),
        ev.CalledAnswered: Move(S.TRANSFERRED, "connect_sent"),
        ev.CalledRefused: Move(S.TALKING, "come_back"),
        ev.TimeUp: Move(S.TALKING, "come_back_unanswered"),
        ev.CalledGone: Move(S.DIALLING, "leave_to_target"),
        ev.OfferExpired: _ANSWERED,
        ev.OfferWithdrawn: _ANSWERED,
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: _NOBODY_HEARS,
        **dict.fromkeys((ev.SentTo, ev.SentIntoPlan), Late("one at a time")),
        **_NO_ERRAND,
        **_NO_QUEUE,
        **_ENDINGS,
    },
    S.DIALLING: {
        ev.CalledRinging: Move(S.DIALLING, "ring_back"),
        ev.CalledAnswered: Move(S.TRANSFERRED, "connect_target"),
        ev.CalledRefused: Move(S.ROUTING, "go_on_refused"),
        ev.TimeUp: Move(S.ROUTING, "go_on_unanswered"),
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: _NOBODY_HEARS,
        **_NO_ERRAND,
        **_given_back(S.DIALLING),
        **_NO_QUEUE,
        **_ENDINGS,
    },
    S.TRANSFERRED: {
        **_given_back(S.TRANSFERRED),
        ev.CallerAnswered: Move(S.TRANSFERRED, "hear_answer"),
        ev.CalledGone: Move(S.CLOSING, "target_left"),
        ev.CalledTaken: Move(S.CLOSING, "end_taken"),
        ev.TimeUp: Move(S.CLOSING, "end_long_talk"),
        ev.CalledRinging: Late("180 crossed the 200"),
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: Late("the called party hears it"),
        **_NO_ERRAND,
        **_NO_QUEUE,
        **_ENDINGS,
    },
    S.FETCHING: {
        ev.CustomerAnswered: Move(S.TALKING, "connect_customer"),
        ev.CustomerRefused: Move(S.CLOSING, "end_refused"),
        ev.TimeUp: Move(S.CLOSING, "end_unanswered"),
        ev.CalledGone: Move(S.CLOSING, "agent_left"),
        ev.CalledRinging: Late("180 crossed the 200"),
        ev.OfferExpired: _ANSWERED,
        ev.OfferWithdrawn: _ANSWERED,
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: _NOBODY_HEARS,
        **_NO_ERRAND,
        **_given_back(S.FETCHING),
        **_NO_QUEUE,
        ev.HangUpOrdered: _ENDINGS[ev.HangUpOrdered],
        ev.CallFailed: _ENDINGS[ev.CallFailed],
    },
    S.REACHING: {
        ev.CustomerAnswered: Move(S.QUEUED, "queue_customer"),
        ev.CustomerRefused: Move(S.CLOSING, "end_refused"),
        ev.TimeUp: Move(S.CLOSING, "end_unanswered"),
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: _NOBODY_HEARS,
        **_NO_ERRAND,
        **_given_back(S.REACHING),
        **_NO_QUEUE,
        **_NO_OFFERS,
        ev.HangUpOrdered: _ENDINGS[ev.HangUpOrdered],
        ev.CallFailed: _ENDINGS[ev.CallFailed],
    },
    S.CLOSING: {
        ev.LegsGone: Move(S.ENDED, "write_cdr"),
        ev.TimeUp: Move(S.ENDED, "drop_legs"),
        **_is_over(S.CLOSING),
    },
    S.ENDED: {
        ev.LegsGone: Late("the legs were dropped"),
        **_is_over(S.ENDED),
    },
}

# A new event must be decided in every state: a move or late above, or named here. tests/floor/test_call_table.py
# counts.
_RULED_OUT: Mapping[State, tuple[type[Event], ...]] = {
    S.NEW: tuple(e for e in ev.CALL_EVENTS if e not in _ARRIVALS),
    S.ROUTING: (*_ARRIVALS, *_CUSTOMER, ev.LegsGone),
    S.TONE: (*_NOT_NOW, *_CUSTOMER, ev.TimeUp),
    S.MESSAGE: (*_NOT_NOW, *_CUSTOMER),
    S.QUEUED: (*_NOT_NOW, *_CUSTOMER),
    # the offer becomes the talk with the answer, and only a talk is greeted and has an end
    S.OFFERING: (*_NOT_NOW, *_CUSTOMER, *_GREETED, *_PARTED, ev.TimeUp),
    S.GREETING: (*_NOT_NOW, *_CUSTOMER, *_PICKED_UP, ev.TalkEnded),
    S.TALKING: (*_NOT_NOW, *_CUSTOMER, *_PICKED_UP, *_GREETED, ev.AgentLost),
    S.SENDING: (*_NOT_NOW, *_CUSTOMER, *_GREETED, *_GOES_ON),
    # transfers are not the ACD's
    S.DIALLING: (*_NOT_NOW, *_CUSTOMER, *_GREETED, *_ACD_TAKES_BACK, *_PARTED),
    S.TRANSFERRED: (*_NOT_WITH_TARGET, *_CUSTOMER, *_PICKED_UP, *_GREETED, *_ACD_TAKES_BACK, *_GOES_ON),
    # before its answer the customer's leg says CustomerRefused, and no plan goes on without a caller
    S.FETCHING: (*_NOT_NOW, *_PICKED_UP, *_GREETED, ev.CallerGone, *_GOES_ON),
    S.REACHING: (*_NOT_NOW, ev.CallerGone),
    S.CLOSING: _ARRIVALS,
    S.ENDED: (*_ARRIVALS, ev.TimeUp),
}

TABLE: Mapping[State, Mapping[type[Event], Row]] = {
    state: dict(_MOVES[state]) | dict.fromkeys(_RULED_OUT[state], IMPOSSIBLE) for state in State
}
