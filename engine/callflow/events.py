"""Everything that can happen to a call, in the past tense. The counterpart, what we can ask for, is commands.py.

Rules for this file: frozen dataclasses of plain values, no behaviour. Each event is decided for every state of the
call in call.py's table. News of a called leg carries the number of its offer (law 4): an offer is one attempt to
reach one party, its number is never used again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from engine.callflow import plan, steps
from engine.callflow.errors import CallError
from engine.callflow.record import Message


class Refusal(StrEnum):
    """Why a called party did not take an offer. The four are told apart in records and in the agent's state."""

    BUSY = "busy"  # 486, 600
    REJECTED = "rejected"  # 403, 480, 603 and other final answers of a phone that was reached
    NO_ANSWER = "no_answer"  # it rang until the offer's time was up (RONA), or answered 408, 487
    UNREACHABLE = "unreachable"  # no answer of any kind, transport failed, 404, 410, 5xx


class Loss(StrEnum):
    """Why a leg is over although its far side did not say so. The CDR names it in place of who ended the call."""

    NO_AUDIO = "no_audio"  # neither RTP nor RTCP came any more
    NO_ACK = "no_ack"  # our 200 was never acknowledged (RFC 3261 section 13.3.1.4)


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class CalledEvent(Event):
    """News of a called leg: an agent's phone or a transfer target."""

    offer: int


# ---- the caller's leg (from sip)


@dataclass(frozen=True, slots=True)
class CallArrived(Event):
    """A trunk delivered an INVITE and the switch may take it."""

    caller: plan.Caller
    leg: int


@dataclass(frozen=True, slots=True)
class CallTurnedAway(Event):
    """A trunk delivered an INVITE that the switch does not take: unknown number, limit reached, draining."""

    caller: plan.Caller
    leg: int
    error: CallError


@dataclass(frozen=True, slots=True)
class CallerAnswered(Event):
    """Our 200 went out and audio flows."""


@dataclass(frozen=True, slots=True)
class CallerHears(Event):
    """Our 183 went out and audio flows to the caller, whose call is not answered."""


@dataclass(frozen=True, slots=True)
class CallerDigit(Event):
    """The caller pressed a key: one of 0-9 * # A-D (RFC 4733)."""

    digit: str


@dataclass(frozen=True, slots=True)
class KeyChosen(Event):
    """The caller, waiting, pressed one of the exit keys of the queue step."""

    key: str


@dataclass(frozen=True, slots=True)
class CallerGone(Event):
    """The caller's leg ended: CANCEL, BYE, or a failure with its SIP status."""

    status: int
    reason: str
    loss: Loss | None = None


# ---- what the plan says next (from the conductor, which runs the interpreter)


@dataclass(frozen=True, slots=True)
class AnswerPlanned(Event):
    step: steps.Answer


@dataclass(frozen=True, slots=True)
class EarlyMediaPlanned(Event):
    step: steps.EarlyMedia


@dataclass(frozen=True, slots=True)
class PlayPlanned(Event):
    step: steps.Play


@dataclass(frozen=True, slots=True)
class AskPlanned(Event):
    step: steps.Ask | steps.Consent


@dataclass(frozen=True, slots=True)
class VoicemailPlanned(Event):
    step: steps.Voicemail


@dataclass(frozen=True, slots=True)
class MessagesPlanned(Event):
    step: steps.Messages


@dataclass(frozen=True, slots=True)
class ErrandPlanned(Event):
    """`ticket` numbers this attempt and is never used again."""

    step: steps.Errand
    ticket: int


@dataclass(frozen=True, slots=True)
class ErrandDone(Event):
    """What was asked of another room came back, perhaps too late."""

    ticket: int
    result: str
    found: Mapping[str, str] = field(default_factory=dict)  # what a look-up taught the call, for the trace


@dataclass(frozen=True, slots=True)
class MailboxOpened(Event):
    """The PIN was right. New messages come first, then those heard; of each, the oldest first. `at` of each is local
    time."""

    ticket: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class MailboxRefused(Event):
    """No such box, a wrong PIN, or too many of them."""

    ticket: int
    is_locked: bool


@dataclass(frozen=True, slots=True)
class RecordPlanned(Event):
    step: steps.Record


@dataclass(frozen=True, slots=True)
class QueuePlanned(Event):
    step: steps.Queue


@dataclass(frozen=True, slots=True)
class TransferPlanned(Event):
    step: steps.Transfer
    offer: int


@dataclass(frozen=True, slots=True)
class HangUpPlanned(Event):
    step: steps.HangUp


# ---- callbacks: a call without a caller, until the customer is reached (from the conductor)


@dataclass(frozen=True, slots=True)
class CallbackBegan(Event):
    """A promised callback goes into its queue as a virtual caller, with its original arrival. caller.ani is the
    customer's number."""

    caller: plan.Caller
    step: steps.Queue
    customer_first: bool
    ring_for_s: float = 30.0  # how long the customer's phone rings at most
    greeting: tuple[steps.Item, ...] = ()  # customer first: said over the music when the customer has picked up


@dataclass(frozen=True, slots=True)
class CallbackTurn(Event):
    """Customer first: the ACD gives an agent, so the callback's turn has come. The agent is given back at once."""

    offer: int


@dataclass(frozen=True, slots=True)
class CustomerAnswered(Event):
    """The customer's leg was answered and audio flows. From here on it is the caller's leg."""


@dataclass(frozen=True, slots=True)
class CustomerRefused(Event):
    """The customer's leg ended before it was answered."""

    refusal: "Refusal"
    status: int


# ---- the queue (from the ACD)


@dataclass(frozen=True, slots=True)
class AgentReserved(Event):
    """The ACD gives an agent to this waiting call. The agent is held until the offer is taken, declined or given
    back."""

    offer: int
    agent: str


@dataclass(frozen=True, slots=True)
class OfferExpired(CalledEvent):
    """The agent's phone rang for the queue's whole ring time (RONA). The ACD has taken the agent back."""


@dataclass(frozen=True, slots=True)
class OfferWithdrawn(CalledEvent):
    """The ACD took the agent back while the phone rang: logged out, sent on a break, removed."""


@dataclass(frozen=True, slots=True)
class OffersFailed(Event):
    """No offer of this call is open any more; it waits again, in its old place."""


@dataclass(frozen=True, slots=True)
class WaitEnded(Event):
    """The ACD took the call out of its queue unserved."""

    outcome: str  # timeout, full, no_agents, no_skill, too_long: the names of the plan's branches


# ---- a called leg (from sip)


@dataclass(frozen=True, slots=True)
class CalledRinging(CalledEvent):
    """180 or 183 came back."""


@dataclass(frozen=True, slots=True)
class CalledAnswered(CalledEvent):
    """200 came back and audio flows."""


@dataclass(frozen=True, slots=True)
class CalledRefused(CalledEvent):
    """The called leg ended before it was answered; by a 302, `moved_to` is the number that it names."""

    refusal: Refusal
    status: int
    moved_to: str = ""


@dataclass(frozen=True, slots=True)
class CalledGone(CalledEvent):
    """The called leg ended after it was answered."""

    loss: Loss | None = None


@dataclass(frozen=True, slots=True)
class TalkEnded(CalledEvent):
    """In place of CalledGone where the plan goes on after the talk: the agent hung up first."""

    loss: Loss | None = None


@dataclass(frozen=True, slots=True)
class AgentLost(CalledEvent):
    """In place of CalledGone where the agent hung up before the talk and the caller is there."""

    loss: Loss | None = None


@dataclass(frozen=True, slots=True)
class Greeted(CalledEvent):
    """The whisper to the agent and the greeting to the caller have both ended; at once if there was neither."""


@dataclass(frozen=True, slots=True)
class GreetedAgent(CalledEvent):
    """The same in a callback, agent first: the customer is not called yet."""


# ---- the agent's phone sends the caller elsewhere (from the conductor, which knows what the agent may dial)


@dataclass(frozen=True, slots=True)
class SentTo(Event):
    """To somebody who is called first; `offer` is the attempt. The agent stays on the line until it is known what
    became of it."""

    step: steps.Transfer
    offer: int


@dataclass(frozen=True, slots=True)
class SentIntoPlan(Event):
    """To a number that leads to more than a call to somebody, such as a queue."""


@dataclass(frozen=True, slots=True)
class PutThrough(Event):
    """To somebody whom the agent has on the line in a call of the agent's own. That party's leg is this call's now, by
    this offer."""

    step: steps.Transfer
    offer: int


@dataclass(frozen=True, slots=True)
class CalledTaken(CalledEvent):
    """The called party of this call, which an agent dialled, was put through to another call."""


# ---- media, people, and the conductor itself


@dataclass(frozen=True, slots=True)
class PlayFinished(Event):
    """The last sample of the prompts numbered `play` was taken by the leg."""

    play: int


@dataclass(frozen=True, slots=True)
class HangUpOrdered(Event):
    """Somebody ended the call from outside: an operator's name, or "shutdown"."""

    by: str


@dataclass(frozen=True, slots=True)
class CallFailed(Event):
    """A room could not do what the call needed, or a callback raised."""

    error: CallError


@dataclass(frozen=True, slots=True)
class TimeUp(Event):
    """The timer of the call's state ran out. Leaving the state drops it (law 5), so it is never late."""


@dataclass(frozen=True, slots=True)
class LegsGone(Event):
    """The last leg of the call has ended. Sent once per call, after the leg's own event."""


# ---- news for the conductor alone: they never reach the call's table


@dataclass(frozen=True, slots=True)
class LegMedia:
    """A leg's audio stream stands, or was rebuilt by a re-INVITE: conference slot, and pjsua's number of the call."""

    leg: int
    slot: int
    stream: int


@dataclass(frozen=True, slots=True)
class LegRefers:
    """A phone asks to send the far side of its call elsewhere (RFC 3515): to a number, or to the other party of another
    of its calls (`replaced`: our leg of that one, RFC 3891)."""

    leg: int
    number: str
    replaced: int | None


@dataclass(frozen=True, slots=True)
class LegEnded:
    """The leg is gone for good; nothing more will come from it, but LegCleared if it is not clear: we have hung up on a
    phone that rang, or had just sent its 200, and which may still be in the call."""

    leg: int
    is_clear: bool = True


@dataclass(frozen=True, slots=True)
class LegCleared:
    """The phone has confirmed that it is out of a leg that had ended for us, or PJSIP expects no more word from it."""

    leg: int


@dataclass(frozen=True, slots=True)
class OfferGivenUp:
    """The ACD ended an offer, and not by the phone's own word: it holds the agent until it hears that the phone is
    cleared."""

    offer: int


# Every event of a call, in the order of this page.
CALL_EVENTS: tuple[type[Event], ...] = tuple(
    kind for kind in list(globals().values()) if isinstance(kind, type) and issubclass(kind, Event)
)[2:]  # after the two bases
