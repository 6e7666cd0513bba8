"""How much is too much: the most calls at once without a lost packet, the most new calls a second without a failed one.

Doubles until a trial fails, then halves the gap between the best that held and the least that did not, down to a tenth.
A trial that fails is tried a second time: a machine may stumble once. Pure but for the trials, which are given.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.scenario import Scenario

GAP = 0.1  # of the best, where the search ends
MOST_CALLS = 1800  # two legs each, and some to spare: PJSUA_MAX_CALLS of pjsip/config_site.h is 4096
HELD_TALK_S = 600.0  # nobody hangs up before the trial is over
LATE_PERCENT = 0.01  # packets more than 40 ms late count as lost above this share

Trial = Callable[[Scenario], dict[str, Any]]  # runs it, and gives back the result


@dataclass(frozen=True, slots=True)
class Search:
    what: str  # for the user
    unit: str
    start: int
    at_most: int
    record: str
    window_s: float


SEARCHES = {
    "calls": Search("most recorded conversations at once, no RTP lost", "calls", 100, MOST_CALLS, "wav", 12.0),
    "rate": Search("most set-ups a second, none failed", "calls/s", 40, 640, "none", 8.0),
}


def scenario_of(kind: str, value: int, base: Scenario) -> Scenario:
    """What is tried: `calls` come in at 50/s and stay; `rate` sets up calls that last a second."""
    search = SEARCHES[kind]
    record = search.record if base.record == "wav" else base.record
    common = replace(base, name=f"capacity-{kind}", duration_s=search.window_s, record=record, n_agents=None)
    if kind == "calls":
        talk = (HELD_TALK_S, HELD_TALK_S)
        limits = {"failed": 0, "lost": 0, "late": LATE_PERCENT}
        return replace(common, arrivals="refill", rate=50.0, n_calls=value, talk_s=talk, limits=limits)
    return replace(common, arrivals="even", rate=float(value), talk_s=(1.0, 1.0), limits={"failed": 0})


def search(kind: str, trial: Trial, base: Scenario, start: int | None = None) -> dict[str, Any]:
    """`best` is 0 if not even a tenth of the start held. `tried` are the trials in their order."""
    tried: list[dict[str, Any]] = []
    is_over = False

    def holds(value: int) -> bool:
        nonlocal is_over
        for _ in range(2):
            result = trial(scenario_of(kind, value, base))
            verdict = result["verdict"]
            tried.append({"value": value, "held": verdict["passed"], "missed": verdict["missed"], **_told(result)})
            is_over = is_over or result["interrupted"]
            if verdict["passed"] or is_over:
                return bool(verdict["passed"])
        return False

    plan = SEARCHES[kind]
    best, least_bad, value = 0, None, start or plan.start
    while not is_over:
        if holds(value):
            best = value
            if value >= plan.at_most:
                break
        elif not is_over:
            least_bad = value
        if least_bad is not None and least_bad - best <= max(1, GAP * best):
            break
        if least_bad is None:
            value = min(2 * value, plan.at_most)
        else:
            value = (best + least_bad) // 2 if best else least_bad // 2
        if not value:
            break
    return {"search": kind, "what": plan.what, "unit": plan.unit, "best": best, "interrupted": is_over, "tried": tried}


def _told(result: dict[str, Any]) -> dict[str, Any]:
    cpu, set_up = result["cpu"], result.get("invite_to_200_ms")
    return {
        "engine_cores": cpu.get("engine_cores"),
        "generator_cores": cpu.get("generator_cores"),
        "set_up_p99_ms": set_up["p99"] if set_up else None,
        "lost": result["rtp"]["lost"] + result["rtp"]["wire_lost"],
        "late": result["rtp"]["late"],
        "n_failed": result["n_failed"],
        "doubts": result["verdict"]["doubts"],
    }
