"""The contract of the ACD core: what the engine may ask of it, and nothing else. Its counterpart is acd_core.pyx.

Handles are ints, given out in rising order and never again: a stale one is refused. 0 means none. Every verb takes
`now`, seconds of one monotonic clock, never less than in the verb before (else TimeWentBack). A verb first lets every
timer that is due run, at the timer's own time; so outputs depend on the events only, not on how often advance() runs.
What a verb brought about waits in order of happening for drain(). A verb that raises has changed nothing (but time).

Order of waiting calls, over all queues: key = arrival - head start, smaller first; ties by handle. An infinite head
start is strict priority: before every finite one, and by arrival among its own. The order uses `arrival`; every
"waited" (from_s, relaxation, max_wait_s, service level) counts from the enqueue. A call is overtaken only by calls that
came less than the difference of head starts later: that is the bound, there is no second mechanism.
A free agent and a waiting call who may be matched never coexist after a verb (work conservation).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Literal

import numpy as np

class AcdError(Exception): ...
class UnknownHandle(AcdError): ...  # "no call 17": never given out, or gone
class StaleOffer(AcdError): ...  # "offer 12 is over": ignore the news; hang up if it was an answer
class IllegalMove(AcdError): ...  # "agent 7: READY -> ACW"
class CapacityReached(AcdError): ...  # "no room for more than 1024 agents"
class TimeWentBack(AcdError): ...  # "now 3.0 is before 5.0"
class BrokenInvariant(AcdError): ...  # raised by check(), and after any verb in an ACD_CHECKS build

class AgentState(IntEnum):
    """Derived from login, readiness, phone, legs and wrap-up: never stored as another truth."""

    LOGGED_OUT = 0
    NOT_READY = 1
    READY = 2
    RESERVED = 3  # an offer rings; or the phone is being cleared of one, see cleared()
    TALKING = 4
    ACW = 5

class CallState(IntEnum):
    WAITING = 1
    OFFERED = 2
    CONNECTED = 3

class Reason(IntEnum):
    """Why an agent is NOT_READY: the core's own reasons. Those of people are 0 and up."""

    PHONE_GONE = -1
    OUTSIDE_CALL = -2
    REFUSED = -3
    NO_ANSWER = -4  # RONA
    BUSY = -5
    UNREACHABLE = -6

class Refusal(IntEnum):
    """enqueue() gives one of these in place of a handle; CALL_OVERFLOWED carries one."""

    NO_AGENT = -1  # nobody logged in
    NO_SKILL = -2  # nobody logged in who fits any step of the call
    QUEUE_FULL = -3
    WAIT_TOO_LONG = -4

class Strategy(IntEnum):
    """Which free agent first, among those of the lowest rank. Ties: longest idle."""

    LONGEST_IDLE = 0
    LEAST_OCCUPIED = 1  # (ring + talk + wrap-up) / logged-in time, over all queues
    FEWEST_CALLS = 2  # answered since login, over all queues
    ROUND_ROBIN = 3  # least recently offered a call of this queue
    MOST_SKILLED = 4  # highest sum of levels in the skills the call needs
    LEAST_SKILLED = 5  # lowest sum of all levels: keeps experts free
    LINEAR = 6  # the order of serve() calls
    RANDOM = 7  # seeded
    WEIGHTED = 8  # seeded, chance in proportion to the weight in serve()

class Failure(IntEnum):
    """How an offer failed through the agent; each has its own policy."""

    REFUSED = 0
    NO_ANSWER = 1
    BUSY = 2
    UNREACHABLE = 3

class Policy(IntEnum):
    STAY_READY = 0
    PAUSE = 1  # NOT_READY for some seconds, then as before
    GO_NOT_READY = 2  # until ready()

class Out(IntEnum):
    """Kinds of output, each (kind, time, call, agent, number, value)."""

    OFFER = 1  # number = offer. Ring this agent
    OFFER_CANCELLED = 2  # number = offer, value = Cancelled. Stop ringing, and say when that is cleared()
    OFFER_EXPIRED = 3  # number = offer. ring_s is over, counted as no answer. Stop ringing, and say when it is cleared()
    CALL_REQUEUED = 4  # no offer left, back in its place
    CALL_EXPIRED = 5  # max_wait_s is over; only ever for a waiting call; the handle is gone
    CALL_OVERFLOWED = 6  # value = Refusal: the last agent left; the handle is gone
    CALL_RELAXED = 7  # number = step it stands on now
    AGENT_STATE = 8  # number = AgentState, value = reason (NOT_READY only, else 0); call: of RESERVED and TALKING
    RESERVE = 9  # number = queue, value = 1: its reserves serve it now, 0: no more

class Cancelled(IntEnum):
    CALL_LEFT = 1
    OTHER_AGENT_WON = 2
    AGENT_LEFT = 3

class Verdict(IntEnum):
    """Why an agent may not take a call now, from why_call() and why_agent(); the first that holds."""

    OK = 0
    NOT_SERVING = 1  # does not serve the call's queue
    LOGGED_OUT = 2
    NOT_READY = 3
    RESERVED = 4
    TALKING = 5
    ACW = 6
    RESERVE_OFF = 7  # a reserve, and the queue is not in need
    TOO_EARLY = 8  # serves the queue only from a longer wait on
    LACKS_SKILL = 9
    HELD = 10  # the call still waits for its preferred agent
    DECLINED = 11  # declined this call, and others are untried
    NOT_WAITING = 12  # the call is offered or connected already
    CLEARING = 13  # RESERVED, and nothing rings: the phone is being cleared

Output = tuple[int, float, int, int, int, int]

class Acd:
    def __init__(
        self, *, n_calls: int = 8192, n_agents: int = 1024, n_queues: int = 64, n_serving: int = 8192, seed: int = 1
    ) -> None:
        """Room for so many calls in queues and in talk, agents, queues, and (agent, queue) pairs. All is taken now, but
        for needs and relaxations: those of a queue or call take theirs when first seen."""
    # --- needs, queues, staff: from the configuration, changed by reloads, at any time ---
    def begin_changes(self, now: float) -> None:
        """From here to end_changes() only verbs of this section, none that removes; pairs are made at the end, by what
        holds then: a reload is one event."""
    def end_changes(self, now: float) -> None: ...
    def needs(self, terms: Iterable[Mapping[int, int]]) -> int:
        """OR of terms, each an AND of {skill 0..255: least level 1..255}. Interned: the same needs, the same handle.
        No term, or an empty one, fits everybody: handle 0. Groups of agents are numbers of the same kind."""
    def add_relaxation(self, steps: Sequence[tuple[float, int | None, bool, float]], now: float) -> int:
        """Steps (after_s, needs, drops_own, head_start_s) in rising order of after_s, at most 7.

        needs: replaces the queue's needs; None leaves them. drops_own: the needs of the call itself fall away.
        head_start_s: at least this from then on. A step at 0 s is entered at once if nobody free fits the steps before:
        so groups in turn are steps at 0 s. Among free agents those who fit an earlier step come first."""
    def set_relaxation(
        self, relaxation: int, steps: Sequence[tuple[float, int | None, bool, float]], now: float
    ) -> None:
        """Also for calls that wait already; a head start once given stays."""
    def add_queue(self, now: float, **settings: Any) -> int: ...
    def set_queue(
        self,
        queue: int,
        now: float,
        *,
        strategy: int = ...,  # Strategy.LONGEST_IDLE
        needs: int = ...,  # 0
        relaxation: int = ...,  # 0: none
        n_ring: int = ...,  # 1; ring so many free agents at once, 0 = all
        ring_s: float = ...,  # inf; then OFFER_EXPIRED
        wrap_up_s: float = ...,  # 0; inf = until ready()
        max_waiting: int = ...,  # -1: no limit; applies to calls that find nobody free
        max_ewt_s: float = ...,  # inf; limit of the estimated median wait, see estimate()
        needs_agent: bool = ...,  # False; True: refuse when nobody is logged in, overflow when the last leaves
        needs_skill: bool = ...,  # False; True: refuse when nobody logged in fits any step
        sl_s: float = ...,  # 20: answered within this counts for the service level
        short_s: float = ...,  # 5: abandoned before this counts as short
        reserve_on_s: float = ...,  # inf: reserves serve while the oldest wait is >= this ...
        reserve_off_s: float = ...,  # 0: ... until it is < this, or nobody waits (and the service level is back)
        reserve_on_sl: float = ...,  # 0: or while the share within sl_s of the last 64 calls is < this (0..1) ...
        reserve_off_sl: float = ...,  # 0: ... until it is >= this
    ) -> None:
        """Change what is named, for waiting calls too; the rest stays."""
    def set_policy(
        self, queue: int, failure: int, now: float, policy: int, pause_s: float = 0.0, in_a_row: int = 1
    ) -> None:
        """What follows when an offer fails, at the k-th failure of that kind in a row of that agent; before: stay
        ready. Defaults: refused PAUSE 5 s, no answer GO_NOT_READY, busy PAUSE 5 s, unreachable PAUSE 10 s."""
    def remove_queue(self, queue: int, now: float) -> None:
        """Illegal while a call is in it (waiting, offered or in talk). Agents cease to serve it."""
    def add_agent(self, now: float) -> int:
        """A new agent, logged out, without skills or queues."""
    def set_skills(
        self, agent: int, skills: Mapping[int, int], now: float, *, groups: Collection[int] = ()
    ) -> None:
        """groups: further numbers held at level 1, which no strategy counts as skill."""
    def set_wrap_up(self, agent: int, wrap_up_s: float | None, now: float) -> None:
        """The agent's own wrap-up in place of the queue's; None: the queue's again."""
    def remove_agent(self, agent: int, now: float) -> None:
        """Only when LOGGED_OUT."""
    def serve(
        self, agent: int, queue: int, now: float, *, rank: int = 0, from_s: float = 0.0, weight: int = 1,
        reserve: bool = False,
    ) -> None:
        """The agent serves the queue: lower rank first, only calls that waited from_s, reserve: only in need. Again:
        changes it. Rank orders agents, never calls."""
    def cease(self, agent: int, queue: int, now: float) -> None:
        """No more. A call in talk goes on, a ringing one of that queue is cancelled."""
    # --- agents ---
    def log_in(self, agent: int, now: float) -> None:
        """LOGGED_OUT -> NOT_READY(0); nothing new if logged in (a pending log-out is dropped)."""
    def log_out(self, agent: int, now: float) -> None:
        """At once, cancelling an offer and ending wrap-up; in talk: after the call, without wrap-up."""
    def ready(self, agent: int, now: float) -> None:
        """Ends wrap-up and pauses; in talk: drops what was to follow. Idle time goes on if READY."""
    def not_ready(self, agent: int, now: float, reason: int = 0, after_call: bool = False) -> None:
        """At once (cancelling an offer, ending wrap-up), in talk after wrap-up. after_call: after the offer, talk and
        wrap-up."""
    def extend_wrap_up(self, agent: int, seconds: float, now: float) -> None:
        """Only in ACW. From the planned end on; inf: until ready()."""
    def end_wrap_up(self, agent: int, now: float) -> None:
        """Only in ACW. Then what was to follow."""
    def phone_gone(self, agent: int, now: float) -> None:
        """No offers; a ringing one is cancelled."""
    def phone_back(self, agent: int, now: float) -> None: ...
    def outside_began(self, agent: int, now: float) -> None:
        """A call of the agent's that is none of ours: no offers until as many ended as began. What rings rings on."""
    def outside_dialled(self, agent: int, now: float) -> None:
        """As outside_began, by the agent: a ringing offer is cancelled, without blame."""
    def outside_ended(self, agent: int, now: float) -> None: ...
    # --- calls ---
    def enqueue(
        self,
        queue: int,
        now: float,
        *,
        needs: int = 0,
        relaxation: int = -1,
        arrival: float | None = None,
        head_start_s: float = 0.0,
        max_wait_s: float = ...,
        preferred: int = 0,
        preferred_wait_s: float = 0.0,
        preferred_head_start_s: float = 0.0,
    ) -> int:
        """A call's handle, or a Refusal (< 0; counted as offered and overflowed).

        needs: the call's own, beside the queue's. relaxation: -1 the queue's, 0 none. arrival: earlier than now for a
        callback or a transfer that keeps its place. max_wait_s: from now, default inf. preferred: gets it if free and
        able (from_s is waived); if busy, the call waits for that agent alone for preferred_wait_s; then, or if not
        logged in or on a break, all others at once with preferred_head_start_s."""
    def raise_head_start(self, call: int, head_start_s: float, now: float) -> None:
        """At least this. Moves forward, never back."""
    def abandon(self, call: int, now: float) -> None:
        """The caller hung up: from WAITING or OFFERED; so for the next four. The handle is gone."""
    def overflow(self, call: int, now: float) -> None: ...
    def call_back(self, call: int, now: float) -> None: ...
    def withdraw(self, call: int, now: float) -> None: ...
    def fail(self, call: int, now: float) -> None: ...
    def dispatch(self, call: int, agent: int, now: float) -> int:
        """Give this waiting call to this READY agent, whatever the order: a supervisor's pick. The offer's number."""
    # --- offers: the number is the one of the OFFER output; an old one raises StaleOffer ---
    def accept(self, offer: int, now: float) -> None:
        """The agent's leg is bridged: TALKING; other phones that ring for the call are cancelled."""
    def refuse(self, offer: int, now: float) -> None: ...
    def no_answer(self, offer: int, now: float) -> None: ...
    def busy(self, offer: int, now: float) -> None: ...
    def unreachable(self, offer: int, now: float) -> None: ...
    def take_back(self, offer: int, now: float) -> None:
        """The engine failed, not the agent, before the phone rang: READY as before, the call waits in its place but not
        for this agent first."""
    def cleared(self, offer: int, now: float) -> None:
        """The leg of an offer that was cancelled or has expired is over, or never came to be: the phone is free.

        Until then, and for 2 s at most, an agent who would be READY is RESERVED, without a call, and offered nothing:
        the phone may still be in the call that we have given up. The idle time goes on. Other states are told as they
        come; the phone is cleared meanwhile. StaleOffer: no phone is being cleared of this offer."""
    def release(self, call: int, now: float) -> None:
        """The talk is over: the agent wraps up, the handle is gone."""
    # --- clock and outputs ---
    def advance(self, now: float) -> None: ...
    def deadline(self) -> float:
        """When advance() must be called next; inf: never."""
    def drain(self) -> list[Output]: ...
    def feed(self, commands: np.ndarray) -> int:
        """Play COMMAND records one after another without entering Python; stops at the first that would raise. How
        many were played. For replay and measuring; outputs gather for drain()."""
    # --- looking ---
    def position(self, call: int) -> int:
        """1 = next of its queue; 0 when not waiting."""
    def estimate(self, call: int, now: float) -> tuple[float, float]:
        """Median and 80th percentile of the wait still to come, s; (0, 0) when not waiting.

        From the working agents who can take this call (skills of its step, from_s, reserves, declines; later steps
        and waits as they come), what a call costs them lately, those of its queue before it by the share of agents they
        have in common, overtaking and giving up as measured. inf: nobody who works can take it, now or at a later step.
        A held call: as if its preferred agent did not come free. Between events it never rises. Each queue tells 32
        kinds of needs apart; calls of further ones are told as those without. Cost: in the order of those kinds."""
    def call_state(self, call: int) -> int: ...
    def agent_state(self, agent: int) -> tuple[int, int, float]:
        """(AgentState, reason, since)."""
    def offer_of(self, agent: int) -> int:
        """The agent's ringing offer, 0: none."""
    def call_of(self, agent: int) -> int:
        """The call in talk with or offered to the agent, 0: none."""
    def agents_of(self, call: int) -> list[int]:
        """The agents it rings at or talks to."""
    def why_call(self, call: int, now: float) -> dict[str, Any]:
        """For a waiting call (others: the same, without a place). Keys:

        state, queue, position, key (-inf: strict priority), head_start_s, step, waited_s, expires, held_until (None: not
        held), preferred (0: nobody), declined [agent], needs (OR of ANDs in force, {skill: level}), before [(call,
        queue)]: the calls that come earlier in the global order in any queue of this call's agents, first first, at most
        100; agents [(agent, Verdict, until)]: everybody who serves the queue, OK first; until: when time alone ends the
        reason, else None."""
    def why_agent(self, agent: int, now: float) -> dict[str, Any]:
        """state, reason, since, call (of now), next: the call this agent gets if READY now (0: none), queues [(queue, its
        first call, Verdict about it)]."""
    def snapshot(
        self, what: Literal["queues", "agents", "calls", "needs", "skills", "serving"], now: float
    ) -> np.ndarray:
        """All of them as one structured array. Times in whole microseconds (`_us`), counts since the start: an interval
        is the difference of two snapshots, exact. Columns: see acd/snapshots.pxi."""
    def save(self) -> bytes:
        """The whole state, outputs drained. All of it is plain memory without pointers: the copy goes on as this one
        would, bit for bit."""
    def load(self, saved: bytes) -> None:
        """Take up the state that a core of the same build and size saved. Raises AcdError for another's."""
    def memory(self) -> dict[str, int]:
        """Bytes per_call, per_agent, per_queue, per_serving, with their share of the indices, and per_line: of each kind
        of needs that a queue's calls came with (n_lines, and one of every queue for those held); `all` in use now."""
    def check(self) -> None:
        """Audit everything; BrokenInvariant says what. Slow: for tests."""

# --- only for tests: an ACD_CHECKS=1 build audits itself after every verb and can leave out one law at a time ---
LAWS: dict[str, int]

def is_checked() -> bool: ...
def break_law(law: str | None) -> None:
    """Leave out this one of LAWS from now on, in this process; None: none. Raises AcdError in the production build."""

COMMAND: np.dtype[np.void]  # records of feed(): verb, now, a, b, and the arguments of enqueue
VERBS: dict[str, int]  # name -> COMMAND["verb"]

def service_levels(queues: np.ndarray) -> dict[str, np.ndarray]:
    """The usual formulas side by side, per row of a "queues" snapshot; NaN when nothing counted. Keys and formulas:

    answered = in_sl / answered; offered = in_sl / offered; handled = in_sl / (answered + abandoned);
    less_short = in_sl / (offered - short); with_abandoned = (in_sl + abandoned_in_sl) / offered"""
