"""Everything a call can ask for, in the imperative. The counterpart, what can happen, is events.py.

Rules for this file: frozen dataclasses of plain values. The call yields them; switch.py alone carries them out.
"""

from dataclasses import dataclass, field

from engine.callflow import steps
from engine.callflow.events import Refusal
from engine.callflow.record import Cdr, Segment


@dataclass(frozen=True, slots=True)
class Command:
    """Base of all commands."""


# ---- the caller's leg


@dataclass(frozen=True, slots=True)
class AnswerCaller(Command):
    """Send 200. CallerAnswered follows when audio flows."""


@dataclass(frozen=True, slots=True)
class SendProgress(Command):
    """Send 183 with SDP. CallerHears follows when audio flows."""


@dataclass(frozen=True, slots=True)
class RingCaller(Command):
    """Send 180: whom the caller wants to speak to is being called."""


@dataclass(frozen=True, slots=True)
class RejectCaller(Command):
    """Refuse the INVITE with a final status of 400 to 699, and Retry-After where a time is known."""

    status: int
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class HangUpCaller(Command):
    """End the answered leg with BYE, or with CANCEL that of a callback's customer who has not picked up."""


# ---- the plan


@dataclass(frozen=True, slots=True)
class TakeStep(Command):
    """Ask the plan what comes after `result` of the step that stands; an event ...Planned answers."""

    result: str


@dataclass(frozen=True, slots=True)
class FollowRedirect(Command):
    """Take the step that this number leads to, where agents may dial it; else what comes after `result`."""

    number: str
    result: str


@dataclass(frozen=True, slots=True)
class RunErrand(Command):
    """Ask another room. ErrandDone(ticket) follows, perhaps after the deadline."""

    ticket: int
    step: steps.Errand


@dataclass(frozen=True, slots=True)
class Remember(Command):
    """The call has learnt a value; later steps may use it as `$name`."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class WriteSurvey(Command):
    """The caller's answer to a survey question: the digit."""

    question: str
    answer: str


# ---- what the caller hears


@dataclass(frozen=True, slots=True)
class PlayPrompts(Command):
    """Play prompts and spoken values one after the other, over the music if there is any. PlayFinished(play) follows,
    at once if a value is not known."""

    play: int
    items: tuple[steps.Item, ...]
    language: str


@dataclass(frozen=True, slots=True)
class StopPrompts(Command):
    """Cut the prompts now."""


@dataclass(frozen=True, slots=True)
class StartMusic(Command):
    music: str


@dataclass(frozen=True, slots=True)
class StopMusic(Command):
    """Cut the music now: not a sample of it may follow."""


@dataclass(frozen=True, slots=True)
class StartRecording(Command):
    """Record the caller's leg from here on, to a path below the recordings folder."""

    path: str


@dataclass(frozen=True, slots=True)
class StopRecording(Command):
    """`discard`: the caller refused; all that was recorded of this call is deleted."""

    discard: bool = False


@dataclass(frozen=True, slots=True)
class StartMessage(Command):
    """Record what the caller says, and only that, as a message for this box."""

    box: str


@dataclass(frozen=True, slots=True)
class StopMessage(Command):
    """The message ends. It is kept if it is long enough and somebody spoke."""

    keep: bool


# ---- messages, listened to by phone


@dataclass(frozen=True, slots=True)
class OpenMailbox(Command):
    """Somebody keyed in the number of a box and a PIN. MailboxOpened(ticket) or MailboxRefused(ticket) follows."""

    ticket: int  # below 0; errands have theirs above
    number: str
    pin: str = field(metadata={"secret": True})  # not for the trace


@dataclass(frozen=True, slots=True)
class MarkHeard(Command):
    message: str  # its id


@dataclass(frozen=True, slots=True)
class DeleteMessage(Command):
    message: str


@dataclass(frozen=True, slots=True)
class AnswerMessage(Command):
    """The reply to a message is a callback to who left it."""

    message: str


# ---- the queue and its agents


@dataclass(frozen=True, slots=True)
class Enqueue(Command):
    """Wait for an agent. `since`: of a call that comes back to its place, when it came there."""

    step: steps.Queue
    since: float | None = None


@dataclass(frozen=True, slots=True)
class LeaveQueue(Command):
    """The call waits no more; every agent held for it is free again."""

    outcome: str  # abandoned, withdrawn, failed, called_back


@dataclass(frozen=True, slots=True)
class TakeOffer(Command):
    """The agent's phone was answered: the offer becomes a talk, other offers of the call end."""

    offer: int


@dataclass(frozen=True, slots=True)
class DeclineOffer(Command):
    """The agent's phone did not take it: the agent's state follows `refusal`, the call keeps its place."""

    offer: int
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class GiveBackAgent(Command):
    """An agent came too late for this call and is free again, through no fault of the agent (law 3)."""

    offer: int


@dataclass(frozen=True, slots=True)
class ReleaseAgent(Command):
    """The talk is over; the agent's wrap-up begins."""

    offer: int


# ---- called legs


@dataclass(frozen=True, slots=True)
class RingAgent(Command):
    """Call the agent's phone. CalledRinging, CalledAnswered, CalledRefused follow."""

    offer: int
    agent: str


@dataclass(frozen=True, slots=True)
class DialCustomer(Command):
    """Call the customer of a callback. CustomerAnswered or CustomerRefused follows."""


@dataclass(frozen=True, slots=True)
class Greet(Command):
    """The agent has picked up: whisper to the agent, and greet the caller meanwhile. Greeted follows, or GreetedAgent
    in a callback whose customer is not called yet."""

    offer: int
    whisper: tuple[steps.Item, ...]
    greeting: tuple[steps.Item, ...]
    language: str


@dataclass(frozen=True, slots=True)
class CutGreeting(Command):
    """Whisper and greeting have had their time: cut what still plays. Greeted or GreetedAgent follows at once."""


@dataclass(frozen=True, slots=True)
class DialOut(Command):
    """Call a SIP address, a number over a trunk, or an agent."""

    offer: int
    uri: str


@dataclass(frozen=True, slots=True)
class HangUpCalled(Command):
    """End a called leg with CANCEL or BYE, as its state needs. `elsewhere`: another phone took the call (RFC 3326)."""

    offer: int
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Bridge(Command):
    """The caller and the called leg hear each other, and nothing else."""

    offer: int


@dataclass(frozen=True, slots=True)
class Part(Command):
    """The caller and the called leg hear each other no more; both stay."""

    offer: int


@dataclass(frozen=True, slots=True)
class ReportTransfer(Command):
    """Tell the agent's phone what becomes of the transfer that it asked for: a SIP status, final from 200 on."""

    offer: int
    status: int


@dataclass(frozen=True, slots=True)
class FollowAgent(Command):
    """The plan goes on where the agent has sent the caller, and no more where it stood."""


@dataclass(frozen=True, slots=True)
class DropLegs(Command):
    """Forget every leg that still stands: it did not end in time."""


# ---- the record


@dataclass(frozen=True, slots=True)
class OpenCdr(Command):
    """A call began: written at once, so that a crash leaves a trace of it."""

    cdr: Cdr


@dataclass(frozen=True, slots=True)
class WriteSegment(Command):
    segment: Segment


@dataclass(frozen=True, slots=True)
class WriteCdr(Command):
    """The call is over. Exactly one per call."""

    cdr: Cdr
