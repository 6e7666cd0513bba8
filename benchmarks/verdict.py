"""Did the run keep its limits, and can it be believed? Limits are the scenario's; a few hold for all. Pure."""

from typing import Any

from benchmarks.scenario import LIMITS

OTHERS_CORES = 0.2
STALL_MS = 20  # the generator itself being later than one frame makes a run doubtful
OF_ALL = {  # counts that must be 0, wherever they are known
    "records": ("missing", "surplus", "open", "recording_overruns", "recording_gaps"),
    "recordings": ("missing", "unreadable", "not_stereo"),
}


def value_of(limit: str, result: dict[str, Any]) -> float | None:
    """What the limit is held against; None if the run has no such figure."""
    rtp = result["rtp"]
    found = {
        "failed": result["n_failed"],
        "lost": rtp["lost"] + rtp["wire_lost"],
        "late": rtp["late_percent"],
        "set-up p99": _p99(result.get("invite_to_200_ms")),
        "ringing p99": _p99(result.get("invite_to_agent_invite_ms")),
        "agent free p99": _p99(result.get("agent_free_to_invite_ms")),
        "start": 1000 * result["start_to_ready_s"] if "start_to_ready_s" in result else None,
    }
    return found[limit]


def _p99(figures: dict[str, float] | None) -> float | None:
    return figures["p99"] if figures else None


def judge(result: dict[str, Any]) -> dict[str, Any]:
    """The limits that were missed, in words. Doubts: what the generator or the machine did to the figures."""
    missed = []
    for limit, at_most in (result["parameters"]["limits"] or {}).items():
        value = value_of(limit, result)
        if value is not None and value > at_most:
            missed.append(f"{limit} {value:g} > {at_most:g} {LIMITS[limit]}")
    if busy := result["n_busy_phones_rung"]:
        missed.append(f"offers to an agent who was talking: {busy}")
    if result["left_behind"]:
        missed.append("left behind " + ", ".join(f"{n} {name}" for name, n in result["left_behind"].items()))
    for part, faults in OF_ALL.items():
        for fault in faults:
            if n := result.get(part, {}).get(fault):
                missed.append(f"{part}: {n} {fault.replace('_', ' ')}")
    missed += [f"assignment: {problem}" for problem in result.get("wrong_assignments", [])]
    if not result["n_talks"] and result["parameters"]["n_agents"]:
        missed.append("no conversation came about")
    interrupted = result["interrupted"]
    return {"passed": not missed and not interrupted, "missed": missed, "doubts": _doubts(result)}


def _doubts(result: dict[str, Any]) -> list[str]:
    doubts = []
    generator, cpu = result["generator"], result["cpu"]
    if generator["longest_stall_ms"] > STALL_MS:
        doubts.append(f"the generator once sent {generator['longest_stall_ms']} ms late")
    if generator["n_dropped"]:
        doubts.append(f"{generator['n_dropped']} packets overflowed the generator's own sockets")
    if cpu.get("stolen_percent", 0) > 1:
        doubts.append(f"{cpu['stolen_percent']} % of the machine was stolen by its host")
    if cpu.get("others_cores", 0) > OTHERS_CORES and not result["real_time"]:
        doubts.append(f"other programs took {cpu['others_cores']} cores; `chrt -r 1` before the command keeps them out")
    if result["interrupted"]:
        doubts.append("interrupted")
    return doubts
