"""One run of one scenario against one switch: the result as a dictionary, which is what is printed, kept and judged.

Counterparts: play.py plays, figures.py counts, verdict.py judges, report.py shows.
"""

import asyncio
import dataclasses
import gc
import os
import signal
import time
from typing import Any

from benchmarks import figures, machine, verdict
from benchmarks.afterwards import expected
from benchmarks.floor import Floor
from benchmarks.generator.counts import Totals
from benchmarks.generator.source import BUCKET_S
from benchmarks.layout import Layout, Switch
from benchmarks.play import Progress, play
from benchmarks.scenario import Scenario
from benchmarks.seen import Seen


async def run(scenario: Scenario, layout: Layout, switch: Switch | None, progress: Progress) -> dict[str, Any]:
    """`switch` None: the generator alone. Raises SwitchError, OSError when a port is taken."""
    result: dict[str, Any] = {
        "scenario": scenario.name,
        "switch": switch.name if switch else "none",
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine.describe(),
        "real_time": os.sched_getscheduler(0) in (os.SCHED_RR, os.SCHED_FIFO),
        "parameters": _parameters(scenario),
    }
    if switch is None:
        await _measure(Floor(layout, scenario, None), result, progress)
    else:
        async with switch:
            if switch.start_s:
                result["start_to_ready_s"] = round(switch.start_s, 3)
            result["version"] = switch.version()
            await _measure(Floor(layout, scenario, switch), result, progress)
            result |= await switch.stop()
        expected(result)
    result["verdict"] = verdict.judge(result)
    return result


def _parameters(scenario: Scenario) -> dict[str, Any]:
    named = dataclasses.asdict(scenario)
    for told_elsewhere in ("name", "says", "in_short_set"):
        del named[told_elsewhere]
    return named | {"n_calls": scenario.calls_at_once, "n_agents": scenario.agents, "warm_up_s": scenario.filling_s}


async def _measure(floor: Floor, result: dict[str, Any], progress: Progress) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, floor.stopping.set)
    gc.collect()
    gc.freeze()
    gc.disable()  # a run is short, and a collection would delay packets' answers
    try:
        seen = await play(floor, progress)
    finally:
        gc.enable()
        gc.unfreeze()
        totals = floor.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    result["interrupted"] = floor.stopping.is_set()
    n_malformed = sum(phones.transport.n_malformed for phones in floor.phones)
    result["generator"] = {**totals, "n_malformed": n_malformed}
    result |= _figures(floor, seen, totals)
    result["course"] = _course(seen)


def _figures(floor: Floor, seen: Seen, totals: Totals) -> dict[str, Any]:
    scenario = floor.scenario
    talks = figures.pair(seen, floor.results)
    failed = figures.failures(seen, floor.results, talks, scenario.hang_up)
    window = seen.measured
    free = figures.agent_free(seen, talks, int(window[0].ours.at_s * 1e9)) if window else None
    callers_wait = scenario.n_agents is not None and scenario.n_agents < scenario.calls_at_once
    sides = {"caller_hears_ms": 0, "agent_hears_ms": 1}
    found: dict[str, Any] = {
        "n_calls": len(seen.callers),
        "n_refused": figures.refused(seen.callers),
        "n_talks": len(talks),
        "n_failed": failed.total(),
        "failed": dict(failed.most_common()),
        **figures.set_up(talks, seen.callers, not callers_wait),
        "rtp": figures.rtp(talks)
        | {name: figures.latency_of(floor.source.latencies(side), BUCKET_S) for name, side in sides.items()},
        "cpu": figures.cpu(seen, talks),
        "memory": figures.memory(seen),
        "n_busy_phones_rung": seen.n_rejected,
        "n_retransmitted": seen.n_retransmitted,
        "left_behind": seen.left_behind,
    }
    found["rtp"]["dropped_at_switch"] = figures.dropped(seen, totals["n_dropped"])
    if callers_wait:
        found |= {"agent_free_to_invite_ms": free, "n_served_later_first": figures.served_later_first(talks)}
    return found


def _course(seen: Seen) -> dict[str, list[float]]:
    """Second by second, for the plot: calls, cores, and how long set-ups took."""
    begun_s = seen.samples[0].ours.at_s if seen.samples else 0.0
    course: dict[str, list[float]] = {name: [] for name in ("at_s", "talking", "waiting", "engine", "generator")}
    for before, after in zip(seen.samples, seen.samples[1:], strict=False):
        wall_s = after.ours.at_s - before.ours.at_s
        if wall_s < 0.2:
            continue
        course["at_s"].append(round(after.ours.at_s - begun_s, 2))
        course["talking"].append(after.n_talking)
        course["waiting"].append(max(0, after.n_in - after.n_talking))
        course["generator"].append(round((after.ours.cpu_s - before.ours.cpu_s) / wall_s, 3))
        if before.engine and after.engine:
            course["engine"].append(round((after.engine.cpu_s - before.engine.cpu_s) / wall_s, 3))
    answered = [caller for caller in seen.callers if caller.answered_ns]
    course["answered_at_s"] = [round(caller.answered_ns / 1e9 - begun_s, 2) for caller in answered]
    course["set_up_ms"] = [round((caller.answered_ns - caller.invite_ns) / 1e6, 2) for caller in answered]
    return course
