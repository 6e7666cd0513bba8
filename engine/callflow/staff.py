"""Who works here: skills, queues and agents as configured. Counterparts: config.py builds these, acd.py gives them to
the core.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.callflow.steps import Announce, Needs


@dataclass(frozen=True, slots=True)
class Policy:
    """What an agent becomes after a failed offer: ready again, ready after a pause, or not ready."""

    then: str  # ready, pause, not_ready
    pause_s: float = 0.0  # with pause
    after_n: int = 1  # the policy applies to the n-th failure in a row; before it the agent stays ready


@dataclass(frozen=True, slots=True)
class Queue:
    name: str
    strategy: str = "longest_idle"
    needs: Needs = ()  # asked of every call, besides what the plan asks
    ring_for_s: float = 20.0
    wrap_up_s: float = 0.0
    max_length: int | None = None  # waiting calls; one more gets the plan's `full`
    sl_percent: float = 80.0  # service level: so many percent of the calls offered ...
    sl_within_s: float = 20.0  # ... answered within so many seconds
    music: str = ""
    announces: tuple[Announce, ...] = ()
    on_no_answer: Policy = Policy("not_ready")
    on_rejected: Policy = Policy("ready")
    on_busy: Policy = Policy("pause", 10.0)
    on_unreachable: Policy = Policy("pause", 30.0)


@dataclass(frozen=True, slots=True)
class Serves:
    """An agent's place in a queue: lower ranks are offered first; `from_s` is the wait from which on the agent helps
    out."""

    queue: str
    rank: int = 1
    from_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Agent:
    id: str
    name: str
    phone: str  # SIP URI of the agent's phone
    skills: Mapping[str, int]  # skill -> level, 1 to 100
    queues: tuple[Serves, ...]
    at_start: str = "logged_out"  # logged_out, not_ready, ready


@dataclass(frozen=True, slots=True)
class Staff:
    skills: tuple[str, ...]
    queues: Mapping[str, Queue]
    agents: Mapping[str, Agent]


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
