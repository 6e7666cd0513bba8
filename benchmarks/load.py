"""`make bench`: recorded conversations through the queue, under load, measured from outside.

Starts the real daemon on a configuration of its own, calls it from a trunk, answers as its agents, and prints what it
cost, what was lost and how long things took. The last line of stdout is one JSON object; the same goes to
var/bench/results.jsonl, a line a run. Exit 0 if every limit was kept, 1 if one was missed, 2 if nothing was measured.
"""

import asyncio
import dataclasses
import gc
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from benchmarks import figures, machine, report
from benchmarks.afterwards import check_assignments, check_recordings, check_records
from benchmarks.daemon import CHECKOUT, Daemon, DaemonError, Layout
from benchmarks.generator.source import BUCKET_S
from benchmarks.scenario import Floor, Load, Seen, steady, surplus

RESULTS = CHECKOUT / "var" / "bench" / "results.jsonl"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--conversations", default=200, type=click.IntRange(1), help="How many at once; talk = conversations / rate."
)
@click.option("--rate", default=20.0, type=click.FloatRange(0.1), help="New calls a second.")
@click.option("--talk", type=click.FloatRange(0.5), help="Talk time in seconds, in place of --conversations.")
@click.option("--seconds", default=30.0, type=click.FloatRange(1), help="How long to measure, after the warm-up.")
@click.option(
    "--surplus-seconds", default=20.0, type=click.FloatRange(0), help="The same with callers waiting; 0: leave out."
)
@click.option("--surplus-agents", default=40, type=click.IntRange(1), help="Agents there; talks last 1 to 3 s.")
@click.option("--codec", default="PCMA", type=click.Choice(["PCMA", "PCMU"]), help="Of both legs.")
@click.option("--record", default="wav", type=click.Choice(["wav", "flac", "none"]), help="How calls are recorded.")
@click.option("--no-record", is_flag=True, help="The same as --record none.")
@click.option(
    "--direct", is_flag=True, help="No switch: callers dial the agents. What the generator itself takes and adds."
)
@click.option(
    "--results",
    default=RESULTS,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the line of the run is added.",
)
@click.option("--keep", is_flag=True, help="Keep the daemon's folder: configuration, log, trace, recordings.")
def main(
    conversations: int,
    rate: float,
    talk: float | None,
    seconds: float,
    surplus_seconds: float,
    surplus_agents: int,
    codec: str,
    record: str,
    no_record: bool,
    direct: bool,
    results: Path,
    keep: bool,
) -> None:
    """Measure recorded conversations through the queue on this machine. Ctrl-C prints what is known."""
    talk_s = talk or conversations / rate
    conversations = round(talk_s * rate)
    record = "none" if no_record or direct else record
    n_surplus = 0 if direct or not surplus_seconds else surplus_agents
    load = Load(rate, talk_s, seconds, n_surplus, round(1.5 * n_surplus), surplus_s=surplus_seconds if n_surplus else 0)
    n_steady = conversations + max(10, conversations // 10)
    max_calls = max(conversations, n_surplus + load.n_waiting) + max(50, conversations // 2)
    layout = Layout(codec, record, n_steady, n_surplus, max_calls)
    try:
        result = asyncio.run(run(layout, load, None if direct else Daemon(layout, keep)))
    except (DaemonError, OSError) as error:
        report.progress_done()
        click.echo(f"bench: {error}", err=True)
        sys.exit(2)
    report.show(result)
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a") as lines:
        lines.write(json.dumps(result) + "\n")
    print(json.dumps(result))
    sys.exit(0 if result["verdict"]["passed"] else 1)


async def run(layout: Layout, load: Load, daemon: Daemon | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "what": "direct" if daemon is None else "agner",
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine.describe(),
        "real_time": os.sched_getscheduler(0) in (os.SCHED_RR, os.SCHED_FIFO),
        "load": dataclasses.asdict(load) | {"codec": layout.codec, "record": layout.record},
    }
    if daemon is None:
        floor = Floor(layout, None)
        await _drive(floor, load, result)
        return _judged(result)
    async with daemon:
        result["start_to_ready_s"] = round(daemon.start_s, 3)
        if daemon.folder and daemon.keep:
            report.progress(f"the daemon's folder is {daemon.folder}", lasting=True)
        await _drive(Floor(layout, daemon), load, result)
        await daemon.stop()
        seen = [result[name] for name in ("steady", "surplus") if name in result]
        result["records"] = check_records(daemon.folder, sum(s["n_calls"] - s["n_refused"] for s in seen))
        result["wrong_assignments"] = await asyncio.to_thread(check_assignments, daemon.folder)
        if layout.record != "none":
            result["recordings"] = await asyncio.to_thread(
                check_recordings, daemon.folder, sum(s["n_talks"] for s in seen)
            )
    return _judged(result)


async def _drive(floor: Floor, load: Load, result: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, floor.stopping.set)
    gc.collect()
    gc.freeze()
    gc.disable()  # a run is short, and a collection would delay packets' answers
    try:
        result["steady"] = _steady_figures(floor, await steady(floor, load, report.progress))
        if load.surplus_s and not floor.stopping.is_set():
            result["surplus"] = _surplus_figures(floor, await surplus(floor, load, report.progress))
    finally:
        gc.enable()
        totals = floor.close()
        report.progress_done()
    result["interrupted"] = floor.stopping.is_set()
    result["generator"] = {
        **totals,
        "n_malformed": floor.callers.transport.n_malformed + floor.agents.transport.n_malformed,
    }


def _steady_figures(floor: Floor, seen: Seen) -> dict[str, Any]:
    talks = figures.pair(seen, floor.results)
    failed = figures.failures(seen, floor.results, talks, ended_by="us")
    sides = {"caller_hears": 0, "agent_hears": 1}
    return {
        "n_calls": len(seen.callers),
        "n_refused": figures.refused(seen.callers),
        "n_talks": len(talks),
        "n_failed": failed.total(),
        "failed": dict(failed.most_common()),
        **figures.set_up(talks, seen.callers),
        "rtp": figures.rtp(talks)
        | {name + "_ms": figures.latency_of(floor.source.latencies(side), BUCKET_S) for name, side in sides.items()},
        "cpu": figures.cpu(seen, talks),
        "memory": figures.memory(seen),
        "n_busy_phones_rung": seen.n_rejected,
        "n_retransmitted": seen.n_retransmitted,
        "left_behind": seen.left_behind,
    }


def _surplus_figures(floor: Floor, seen: Seen) -> dict[str, Any]:
    talks = figures.pair(seen, floor.results)
    failed = figures.failures(seen, floor.results, talks, ended_by="far end")
    from_ns, until_ns = (int(sample.ours.at_s * 1e9) for sample in (seen.samples[0], seen.samples[-1]))
    return {
        "n_calls": len(seen.callers),
        "n_refused": figures.refused(seen.callers),
        "n_talks": len(talks),
        "n_failed": failed.total(),
        "failed": dict(failed.most_common()),
        "agent_free_to_invite_ms": figures.agent_free(seen.agents, from_ns, until_ns),
        "n_served_later_first": figures.served_later_first(talks),
        "rtp": figures.rtp(talks),
        "n_busy_phones_rung": seen.n_rejected,
        "left_behind": seen.left_behind,
    }


def _judged(result: dict[str, Any]) -> dict[str, Any]:
    result["verdict"] = report.judge(result)
    return result


if __name__ == "__main__":
    main()
