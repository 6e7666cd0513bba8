"""What is kept of a call and of an agent's day: the CDR, its segments, the agent's spans. Counterpart:
engine/records/models.py.

All times are monotonic seconds of the engine's clock; the records room turns them into UTC when it writes.
"""

from dataclasses import dataclass


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
    connected_at: float | None = None  # the bridge to an agent or a transfer target
    ended_at: float | None = None
    disposition: str | None = None  # None while the call lives
    status: int | None = None  # SIP status that ended it, 200 after a normal BYE
    ended_by: str | None = None  # caller, agent, called, plan, switch, or an operator's name
    recording: str | None = None  # path below the recordings folder


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a call: waiting in a queue, an offer to an agent, a talk, the wrap-up after it."""

    call: str
    kind: str  # queue, offer, talk, wrap_up
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
