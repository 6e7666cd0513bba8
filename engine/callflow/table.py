"""The table of the call machine: for every state and event, what comes next. Handlers are in call.py.

A pair is a move (next state, name of the handler), late with a reason, or impossible. The table alone can be drawn,
because a row fixes the next state whatever its handler finds: tests/golden/call_table.txt is that drawing.

States:  NEW        nothing decided yet
         ROUTING    the plan is at work: answering, playing, deciding
         QUEUED     waiting for an agent, hearing music
         OFFERING   waiting, and the phones of reserved agents ring
         TALKING    bridged to an agent
         DIALLING   a transfer target is called
         TRANSFERRED  bridged to a transfer target
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
    QUEUED = "QUEUED"
    OFFERING = "OFFERING"
    TALKING = "TALKING"
    DIALLING = "DIALLING"
    TRANSFERRED = "TRANSFERRED"
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
_NO_LONGER = Late("the call is ending")

# News of offers where none is open. Law 4 answers it before the table is asked; the rows say the same for the drawing.
_NO_OFFERS: Mapping[type[Event], Row] = {
    ev.CalledRinging: OLD_OFFER,
    ev.CalledAnswered: OLD_OFFER,
    ev.CalledRefused: OLD_OFFER,
    ev.CalledGone: OLD_OFFER,
    ev.OfferExpired: OLD_OFFER,
    ev.OfferWithdrawn: OLD_OFFER,
}

_PLAN_STEPS: tuple[type[Event], ...] = (
    ev.AnswerPlanned,
    ev.PlayPlanned,
    ev.QueuePlanned,
    ev.TransferPlanned,
    ev.HangUpPlanned,
)

_MOVES: Mapping[State, Mapping[type[Event], Row]] = {
    S.NEW: {
        ev.CallArrived: Move(S.ROUTING, "begin"),
        ev.CallTurnedAway: Move(S.CLOSING, "turn_away"),
    },
    S.ROUTING: {
        ev.AnswerPlanned: Move(S.ROUTING, "answer"),
        ev.CallerAnswered: Move(S.ROUTING, "go_on_answered"),
        ev.PlayPlanned: Move(S.ROUTING, "play"),
        ev.PlayFinished: Move(S.ROUTING, "go_on_played"),
        ev.QueuePlanned: Move(S.QUEUED, "enter_queue"),
        ev.TransferPlanned: Move(S.DIALLING, "dial_out"),
        ev.HangUpPlanned: Move(S.CLOSING, "end_by_plan"),
        ev.CallerDigit: Late("no step asks for digits"),
        ev.AgentReserved: Move(S.ROUTING, "give_back"),
        ev.OffersFailed: OLD_OFFER,
        ev.WaitEnded: Late("the call has left the queue"),
        **_NO_OFFERS,
        **_ENDINGS,
    },
    S.QUEUED: {
        ev.AgentReserved: Move(S.OFFERING, "ring_agent"),
        ev.WaitEnded: Move(S.ROUTING, "leave_unserved"),
        ev.TimeUp: Move(S.QUEUED, "announce"),
        ev.PlayFinished: Late("the music goes on"),
        ev.CallerDigit: Late("no step asks for digits"),
        ev.OffersFailed: OLD_OFFER,
        **_NO_OFFERS,
        **_ENDINGS,
    },
    S.OFFERING: {
        ev.AgentReserved: Move(S.OFFERING, "ring_agent"),
        ev.CalledRinging: Move(S.OFFERING, "hear_ringing"),
        ev.CalledAnswered: Move(S.TALKING, "connect_agent"),
        ev.CalledRefused: Move(S.OFFERING, "note_refusal"),
        ev.OfferExpired: Move(S.OFFERING, "cancel_expired"),
        ev.OfferWithdrawn: Move(S.OFFERING, "cancel_withdrawn"),
        ev.OffersFailed: Move(S.QUEUED, "wait_on"),
        ev.WaitEnded: Move(S.ROUTING, "leave_unserved"),  # the last agent of the queue left, with the offer
        ev.PlayFinished: Late("the music goes on"),
        ev.CallerDigit: Late("no step asks for digits"),
        **_ENDINGS,
    },
    S.TALKING: {
        ev.CalledGone: Move(S.CLOSING, "agent_left"),
        ev.TimeUp: Move(S.CLOSING, "end_long_talk"),
        ev.AgentReserved: Move(S.TALKING, "give_back"),
        ev.CalledRinging: Late("180 crossed the 200"),
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: Late("the agent hears it"),
        ev.OffersFailed: OLD_OFFER,
        ev.WaitEnded: Late("the call has left the queue"),
        ev.OfferExpired: Late("the answer came first"),
        ev.OfferWithdrawn: Late("the answer came first"),
        **_ENDINGS,
    },
    S.DIALLING: {
        ev.CalledRinging: Move(S.DIALLING, "hear_ringing"),
        ev.CalledAnswered: Move(S.TRANSFERRED, "connect_target"),
        ev.CalledRefused: Move(S.ROUTING, "go_on_refused"),
        ev.TimeUp: Move(S.ROUTING, "go_on_unanswered"),
        ev.AgentReserved: Move(S.DIALLING, "give_back"),
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: Late("nobody hears it yet"),
        ev.OffersFailed: OLD_OFFER,
        ev.WaitEnded: Late("the call has left the queue"),
        **_ENDINGS,
    },
    S.TRANSFERRED: {
        ev.CalledGone: Move(S.CLOSING, "target_left"),
        ev.TimeUp: Move(S.CLOSING, "end_long_talk"),
        ev.AgentReserved: Move(S.TRANSFERRED, "give_back"),
        ev.CalledRinging: Late("180 crossed the 200"),
        ev.PlayFinished: OLD_PLAY,
        ev.CallerDigit: Late("the called party hears it"),
        ev.OffersFailed: OLD_OFFER,
        ev.WaitEnded: Late("the call has left the queue"),
        **_ENDINGS,
    },
    S.CLOSING: {
        ev.LegsGone: Move(S.ENDED, "write_cdr"),
        ev.TimeUp: Move(S.ENDED, "drop_legs"),
        ev.AgentReserved: Move(S.CLOSING, "give_back"),
        ev.CallerAnswered: _NO_LONGER,
        ev.CallerDigit: _NO_LONGER,
        ev.CallerGone: _NO_LONGER,
        **dict.fromkeys(_PLAN_STEPS, _NO_LONGER),
        ev.OffersFailed: _NO_LONGER,
        ev.WaitEnded: _NO_LONGER,
        ev.PlayFinished: _NO_LONGER,
        ev.HangUpOrdered: _NO_LONGER,
        ev.CallFailed: _NO_LONGER,
        **_NO_OFFERS,
    },
    S.ENDED: {
        ev.AgentReserved: Move(S.ENDED, "give_back"),
        ev.LegsGone: Late("the legs were dropped"),
        ev.CallerAnswered: _NO_LONGER,
        ev.CallerDigit: _NO_LONGER,
        ev.CallerGone: _NO_LONGER,
        **dict.fromkeys(_PLAN_STEPS, _NO_LONGER),
        ev.OffersFailed: _NO_LONGER,
        ev.WaitEnded: _NO_LONGER,
        ev.PlayFinished: _NO_LONGER,
        ev.HangUpOrdered: _NO_LONGER,
        ev.CallFailed: _NO_LONGER,
        **_NO_OFFERS,
    },
}

# A new event must be decided in every state: a move or late above, or named here. tests/floor/test_call_table.py
# counts.
_RULED_OUT: Mapping[State, tuple[type[Event], ...]] = {
    S.NEW: tuple(e for e in ev.CALL_EVENTS if e not in (ev.CallArrived, ev.CallTurnedAway)),
    S.ROUTING: (ev.CallArrived, ev.CallTurnedAway, ev.TimeUp, ev.LegsGone),
    S.QUEUED: (ev.CallArrived, ev.CallTurnedAway, ev.CallerAnswered, *_PLAN_STEPS, ev.LegsGone),
    S.OFFERING: (
        ev.CallArrived,
        ev.CallTurnedAway,
        ev.CallerAnswered,
        *_PLAN_STEPS,
        ev.CalledGone,  # the offer becomes the talk with the answer, and only a talk has an end
        ev.TimeUp,
        ev.LegsGone,
    ),
    S.TALKING: (
        ev.CallArrived,
        ev.CallTurnedAway,
        ev.CallerAnswered,
        *_PLAN_STEPS,
        ev.CalledAnswered,
        ev.CalledRefused,
        ev.LegsGone,
    ),
    S.DIALLING: (
        ev.CallArrived,
        ev.CallTurnedAway,
        ev.CallerAnswered,
        *_PLAN_STEPS,
        ev.CalledGone,
        ev.OfferExpired,  # transfers are not the ACD's
        ev.OfferWithdrawn,
        ev.LegsGone,
    ),
    S.TRANSFERRED: (
        ev.CallArrived,
        ev.CallTurnedAway,
        ev.CallerAnswered,
        *_PLAN_STEPS,
        ev.CalledAnswered,
        ev.CalledRefused,
        ev.OfferExpired,
        ev.OfferWithdrawn,
        ev.LegsGone,
    ),
    S.CLOSING: (ev.CallArrived, ev.CallTurnedAway),
    S.ENDED: (ev.CallArrived, ev.CallTurnedAway, ev.TimeUp),
}

TABLE: Mapping[State, Mapping[type[Event], Row]] = {
    state: dict(_MOVES[state]) | dict.fromkeys(_RULED_OUT[state], IMPOSSIBLE) for state in State
}
