"""Why a call still waits, and which call an agent gets next: the ACD core's own answer, in names. Counterpart: `agner
why`.

Nothing is worked out here. The core asks itself the questions it asks when it matches, and says what it found; this
file puts names to handles and turns moments into seconds from now.
"""

import math
from typing import Any

from acd_core import AgentState, Verdict
from engine.acd import Acd, UnknownName
from engine.callflow.staff import Agent

Row = dict[str, Any]


def call(acd: Acd, name: str, now: float) -> Row:
    """A call in a queue, or in talk with an agent. Raises UnknownName for one that is in neither.

    `groups` are those whose turn it is ([]: everybody), `later` what it asks as it waits on, `preferred` the agent who
    comes first, `held_in_s` for how long yet that one alone. `before` are the calls that its queue's agents would get
    first; `agents` tells of each whether that agent could take it now (OK), and if not why not and in how many seconds
    that ends, where time alone ends it.
    """
    handle = acd.handle_of(name)
    if handle is None:
        raise UnknownName(f"no call {name!r} is in a queue or in talk")
    found = acd.core.why_call(handle, now)
    floor, ladder, step = acd.floor, acd.ladder_of(name), found["step"]
    queue, groups = floor.queue_names[found["queue"]], ladder[step]["groups"]
    return {
        "call": name,
        "state": found["state"].name,
        "queue": queue,
        "position": found["position"] or None,
        "waited_s": round(found["waited_s"], 3),
        "head_start_s": _finite(found["head_start_s"]),
        "strict_priority": found["head_start_s"] == math.inf,
        "leaves_in_s": _from_now(found["expires"], now),
        "relaxation_step": step,
        "needs": [floor.skill_levels(term) for term in found["needs"] if floor.skill_levels(term)],
        "groups": groups,
        "later": [_later(rung, found["waited_s"]) for rung in ladder[step + 1 :]],
        "preferred": floor.agent_names.get(found["preferred"]),
        "held_in_s": _from_now(found["held_until"], now),
        "reserves": floor.reserves(queue, now),
        "declined_by": [floor.agent_names[agent] for agent in found["declined"]],
        "before": [
            {"call": acd.call_name(other), "queue": floor.queue_names[handle]} for other, handle in found["before"]
        ],
        "agents": [
            {
                "agent": floor.agent_names[agent],
                "verdict": _verdict(verdict, floor.staff.agents[floor.agent_names[agent]], groups),
                "in_s": _from_now(moment, now),
            }
            for agent, verdict, moment in found["agents"]
        ],
    }


def _later(rung: Row, waited_s: float) -> Row:
    return {
        "in_s": round(max(0.0, rung["after_s"] - waited_s), 3),
        "needs": [dict(term) for term in rung["needs"]],
        "groups": rung["groups"],
        "head_start_s": _finite(rung["head_start_s"]),
        "strict_priority": rung["head_start_s"] == math.inf,
    }


def _verdict(verdict: Verdict, agent: Agent, groups: list[str]) -> str:
    """To the core a group is one more skill."""
    lacks_group = bool(groups) and set(groups).isdisjoint(agent.groups)
    return "NOT_IN_GROUP" if verdict == Verdict.LACKS_SKILL and lacks_group else verdict.name


def agent(acd: Acd, name: str, now: float) -> Row:
    """What the agent does, the call this agent would get if free now, and the first call of each queue served."""
    if name not in acd.agents:
        raise UnknownName(f"no agent {name!r}")
    found = acd.core.why_agent(acd.agents[name], now)
    return {
        "agent": name,
        "state": AgentState(found["state"]).name,
        "reason": acd.reason_text(found["reason"]) if found["state"] == AgentState.NOT_READY else "",
        "state_s": round(now - found["since"], 3),
        "call": acd.call_name(found["call"]),
        "next": acd.call_name(found["next"]),
        "queues": [
            {
                "queue": acd.floor.queue_names[queue],
                "first": acd.call_name(first),
                "verdict": verdict.name if isinstance(verdict, Verdict) else None,
            }
            for queue, first, verdict in found["queues"]
        ],
    }


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


def _from_now(moment: float | None, now: float) -> float | None:
    return None if moment is None or not math.isfinite(moment) else round(max(0.0, moment - now), 3)
