"""Who works here: skills, queues and agents as configured. Counterparts: config builds these, acd gives them to
the core.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from engine.callflow.conditions import Stretches
from engine.callflow.steps import Announce, Item, Needs


@dataclass(frozen=True, slots=True)
class Policy:
    """What an agent becomes after a failed offer: ready again, ready after a pause, or not ready."""

    then: str  # ready, pause, not_ready
    pause_s: float = 0.0  # with pause
    after_n: int = 1  # the policy applies to the n-th failure in a row; before it the agent stays ready


RETRIES: Mapping[str, tuple[float, ...]] = {
    "busy": (300.0, 900.0, 3600.0),
    "no_answer": (1800.0, 7200.0),
    "failed": (900.0, 3600.0),
}


@dataclass(frozen=True, slots=True)
class Callbacks:
    """How a queue calls back those whom it could not serve.

    The n-th attempt that ends with a result of `retries` is followed by another one after that result's n-th pause;
    where there is no such pause, the callback has failed.
    """

    trunk: str = ""  # over which customers are called; empty: people call by hand, `agner callbacks`
    abandoned_after_s: float | None = 5.0  # who hangs up after waiting so long is called back; None: nobody is
    customer_first: bool = False  # the customer's phone rings first and then waits for an agent; else the agent's
    windows: Stretches = ((540, 1260),)  # of the plans' local day; no customer is called outside
    retries: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: RETRIES)
    share_percent: float = 30.0  # of the queue's agents logged in, at most in callbacks at once; one always may
    ring_for_s: float = 45.0  # at the customer's
    prompts: tuple[Item, ...] = ()  # customer first: what the customer hears at once
    whisper: tuple[Item, ...] = ()  # to the agent, in place of the queue's
    language: str = "zh"  # of a callback whose call had none


@dataclass(frozen=True, slots=True)
class Queue:
    name: str
    strategy: str = "longest_idle"
    needs: Needs = ()  # asked of every call, besides what the plan asks
    ring_for_s: float = 20.0
    wrap_up_s: float = 0.0
    n_ring: int = 1  # ring so many free agents at once, 0: all
    max_length: int | None = None  # waiting calls; one more gets the plan's `full`
    max_ewt_s: float | None = None  # a call that would wait longer, by the estimated median, gets the plan's `too long`
    reserve_on_s: float = inf  # reserves serve too while somebody has waited this long ...
    reserve_off_s: float = 0.0  # ... until nobody has waited this long; 0: until nobody waits
    reserve_on_sl: float = 0.0  # or while the service level of the last calls is below so many percent ...
    reserve_off_sl: float = 0.0  # ... until it is so many
    sl_percent: float = 80.0  # service level: so many percent of the calls offered ...
    sl_within_s: float = 20.0  # ... answered within so many seconds
    music: str = ""
    announces: tuple[Announce, ...] = ()
    on_no_answer: Policy = Policy("not_ready")
    on_rejected: Policy = Policy("ready")
    on_busy: Policy = Policy("pause", 10.0)
    on_unreachable: Policy = Policy("pause", 30.0)
    whisper: tuple[Item, ...] = ()  # to the agent who has picked up; a plan's own comes first
    greeting: tuple[Item, ...] = ()  # to the caller meanwhile
    survey: bool = True  # False: the plans' surveys are left out after talks of this queue
    callbacks: Callbacks | None = None  # None: nobody is called back


@dataclass(frozen=True, slots=True)
class Serves:
    """An agent's place in a queue: lower ranks are offered first; `from_s` is the wait from which on the agent helps
    out; a reserve helps only while the queue is in need; `weight` is the chance with strategy weighted."""

    queue: str
    rank: int = 1
    from_s: float = 0.0
    weight: int = 1
    reserve: bool = False


REGISTERED = "registered:"  # the phones that log in with this agent's number and password


@dataclass(frozen=True, slots=True)
class Agent:
    id: str
    name: str
    phone: str  # SIP URI of the agent's phone, or REGISTERED and the agent's number
    skills: Mapping[str, int]  # skill -> level, 1 to 100
    queues: tuple[Serves, ...]
    at_start: str = "logged_out"  # logged_out, not_ready, ready
    groups: tuple[str, ...] = ()
    wrap_up_s: float | None = None  # None: the queue's
    srtp: str = ""  # one of settings.SRTP, of the agent's phones alone; empty: as all phones


@dataclass(frozen=True, slots=True)
class Staff:
    skills: tuple[str, ...]
    queues: Mapping[str, Queue]
    agents: Mapping[str, Agent]
    groups: tuple[str, ...] = ()


def who_registers(staff: Staff) -> frozenset[str]:
    """Agents whose phones log in."""
    return frozenset(agent.id for agent in staff.agents.values() if agent.phone.startswith(REGISTERED))


def srtp_of_phones(staff: Staff) -> Mapping[str, str]:
    """Phones whose audio is not encrypted as that of all: their addresses, as agents have them, and settings.SRTP."""
    return {agent.phone: agent.srtp for agent in staff.agents.values() if agent.srtp}


def meets(skills: Mapping[str, int], needs: Needs) -> bool:
    """Whether these skills satisfy the needs: any of their terms, in all its parts."""
    return not needs or any(all(skills.get(skill, 0) >= level for skill, level in term) for term in needs)


def able(staff: Staff, queue: str, needs: Needs) -> list[Agent]:
    """Who serves a queue and has what the queue and the call ask for, whatever they do now; those offered first come
    first."""
    serving = [(serves, agent) for agent in staff.agents.values() for serves in agent.queues if serves.queue == queue]
    serving.sort(key=lambda pair: (pair[0].rank, pair[0].from_s))
    return [
        agent for _, agent in serving if meets(agent.skills, staff.queues[queue].needs) and meets(agent.skills, needs)
    ]
