"""What is kept: of a call and of an agent's day (the CDR, its segments, the agent's spans), of promises to callers
(callbacks, messages), and about them (customers, blacklist, surveys). Counterpart: engine/records/models.py.

A float is a time in monotonic seconds of the engine's clock; the records room turns it into UTC when it writes. What
is read back after a restart (callbacks, messages, blacklist) has aware UTC datetimes from the start, because
monotonic seconds end with the machine's uptime. Callers' numbers are in the form of numbers.canonical().
"""

from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Cdr:
    """One call from INVITE to the end of its last leg."""

    call: str
    trunk: str
    ani: str
    dnis: str
    arrived_at: float
    plan: str | None = None
    answered_at: float | None = None  # our 200 to the caller
    queue: str | None = None  # the last queue it waited in
    agent: str | None = None  # the agent who talked
    connected_at: float | None = None  # the bridge to an agent or a transfer target, of several the first
    ended_at: float | None = None
    disposition: str | None = None  # None while the call lives
    status: int | None = None  # SIP status that ended it, 200 after a normal BYE
    ended_by: str | None = None  # caller, agent, called, plan, switch, no_audio, no_ack, or an operator's name
    recording: str | None = None  # path below the recordings folder, of the first if there are several
    # inbound; callback: we called the customer, whose number is `ani`; or an agent's phone dialled, `ani` is the agent:
    # outbound over a trunk, internal to a colleague or a queue
    kind: str = "inbound"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a call: waiting in a queue, an offer to an agent, calling a customer, a talk, the wrap-up after
    it."""

    call: str
    kind: str  # queue, offer, customer (calling one back), talk, wrap_up
    began_at: float
    ended_at: float
    outcome: str
    queue: str | None = None
    agent: str | None = None  # an agent's id, or the address of a transfer target
    status: int | None = None  # SIP status of a refused offer


@dataclass(frozen=True, slots=True)
class AgentSpan:
    """An agent in one state, from one change to the next."""

    agent: str
    state: str
    began_at: float
    ended_at: float
    reason: str | None = None
    call: str | None = None


# ---- promises to callers

ACTIVE = ("open", "dialling")  # states of a callback that is still owed


@dataclass(frozen=True, slots=True)
class CallbackEntry:
    """A call that we owe a number. At most one per number is active, see taking_over()."""

    id: str  # the call that asked for it, which makes a request one however often it is read
    number: str
    queue: str
    reason: str  # timeout, asked, abandoned, after_hours, crash, voicemail
    arrived_at: datetime  # of the original call: the callback's place in the queue
    created_at: datetime
    due_at: datetime  # no attempt before
    updated_at: datetime  # of two versions of one entry, the later one stands
    state: str = "open"  # open, dialling; over: done, cancelled, failed
    n_attempts: int = 0
    result: str | None = None  # answered, busy, no_answer, failed, served_meanwhile, cancelled_by NAME, merged
    agent: str | None = None  # who talked, or was meant to
    call: str | None = None  # the last attempt
    dnis: str | None = None  # the number the customer had dialled
    language: str | None = None
    needs: str | None = None  # skills beyond those of the queue, as a plan writes them

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    def taking_over(self, older: "CallbackEntry") -> "CallbackEntry":
        """This newer request stands with the older one's arrival; the records room closes the older as `merged`."""
        return replace(self, arrived_at=min(self.arrived_at, older.arrived_at))


@dataclass(frozen=True, slots=True)
class Message:
    """A voicemail: one recording in one box."""

    id: str  # of the call that left it
    box: str  # "queue:NAME" or "agent:ID"
    number: str  # who left it
    call: str
    at: datetime
    seconds: float
    path: str  # below the recordings folder
    heard_at: datetime | None = None
    heard_by: str | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SurveyAnswer:
    """What a caller answered to one question after the talk."""

    call: str
    question: str
    digit: str
    label: str
    at: float
    queue: str | None = None
    agent: str | None = None


# ---- about callers


@dataclass(frozen=True, slots=True)
class Customer:
    """What routing knows of a number."""

    number: str
    name: str = ""
    level: str = ""  # vip or any other the plans name; "" is ordinary
    region: str = ""
    last_order_agent: str | None = None
    notes: str = ""

    def values(self) -> dict[str, str]:
        """What a plan learns by looking the customer up; what is not known is left out."""
        told = {"number": self.number, "name": self.name, "level": self.level, "region": self.region}
        told |= {"agent": self.last_order_agent or "", "notes": self.notes}
        return {name: text for name, text in told.items() if text}


@dataclass(frozen=True, slots=True)
class BlacklistEntry:
    """A number, or a prefix with `*` at its end, that is not let in."""

    pattern: str
    reason: str
    by: str
    created_at: datetime
    expires_at: datetime | None = None
    n_hits: int = 0
    last_hit_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BlacklistHit:
    """A call that an entry turned away."""

    call: str
    pattern: str
    at: float
