"""The core's snapshots as rows with names: for boards, for the counters that end a trace, for its checkpoints."""

from collections.abc import Callable, Mapping
from typing import Any

from acd_core import Acd as Core
from acd_core import AgentState, CallState
from engine.acd.floor import Floor
from engine.callflow.staff import Staff

Row = dict[str, Any]


def of_queues(snapshot: Any, names: Mapping[int, str], staff: Staff) -> list[Row]:
    """Every queue as it stands, with its counts since the start; null where nothing was counted yet.

    sl_percent: answered within the queue's service level time / offered and no longer waiting. ASA: mean wait of the
    answered, in seconds.
    """
    return [
        {
            "queue": (name := names[int(row["queue"])]),
            "waiting": int(row["waiting"]),
            "longest_wait_s": round(float(row["oldest_wait_s"]), 3) if row["waiting"] else 0.0,
            "offered": int(row["offered"]),
            "answered": int(row["answered"]),
            "abandoned": int(row["abandoned"]),
            "timed_out": int(row["timed_out"]),
            "overflowed": int(row["overflowed"]),
            "sl_percent": _ratio(100 * row["in_sl"], row["offered"] - row["waiting"]),
            "sl_target": f"{staff.queues[name].sl_percent:g}/{staff.queues[name].sl_within_s:g}",
            "asa_s": _ratio(row["wait_us"] / 1e6, row["answered"]),
        }
        for row in snapshot
    ]


def of_counts(core: Core, floor: Floor, now: float) -> Row:
    """All counters, every queue and agent by name."""
    return {
        "queues": [_named(row, queue=floor.queue_names) for row in _plain(core.snapshot("queues", now))],
        "agents": [_named(row, agent=floor.agent_names) for row in _plain(core.snapshot("agents", now))],
        "serving": [
            _named(row, agent=floor.agent_names, queue=floor.queue_names)
            for row in _plain(core.snapshot("serving", now))
        ],
    }


def of_state(
    core: Core, floor: Floor, calls: Mapping[str, int], reason_text: Callable[[int], str], now: float
) -> Row:
    """All counters, and every call and agent as they stand: what an auditor must know to begin here."""
    names = {handle: name for name, handle in calls.items()}
    counts = of_counts(core, floor, now)
    for row in counts["agents"]:
        row["state"], row["reason"] = AgentState(row["state"]).name, reason_text(row["reason"])
        row["call"] = names.get(row["call"])
    standing = []
    for row in _plain(core.snapshot("calls", now)):
        handle = row["call"]
        row = _named({**row, "handle": handle, "state": CallState(row["state"]).name}, queue=floor.queue_names)
        row |= {"call": names[handle], "agent": floor.agent_names.get(row["agent"])}
        row["preferred"] = floor.agent_names.get(row["preferred"])
        declined = core.why_call(handle, now)["declined"] if row["declined"] else []
        row["declined"] = [floor.agent_names[agent] for agent in declined]
        standing.append(row)
    return {**counts, "calls": standing}


def _plain(snapshot: Any) -> list[Row]:
    return [dict(zip(snapshot.dtype.names, row.tolist(), strict=True)) for row in snapshot]


def _named(row: Row, **names: Mapping[int, str]) -> Row:
    return row | {column: known[row[column]] for column, known in names.items()}


def _ratio(part: float, whole: float) -> float | None:
    return round(float(part) / float(whole), 3) if whole else None


def n_logged_in(core: Core, floor: Floor, queue: str) -> int:
    """Agents of a queue who are at work, in whatever state."""
    return sum(
        core.agent_state(floor.agents[agent.id])[0] != AgentState.LOGGED_OUT
        for agent in floor.staff.agents.values()
        if any(serves.queue == queue for serves in agent.queues)
    )
