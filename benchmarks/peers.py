"""`make bench-peers`: the same scenarios, phones and audio on Agner and on Asterisk, and the ratio of the figures.

A step measures one goal of the project, or two. It runs on both in turn, so that both meet the same machine; with
several rounds each figure is the median of them, as what a machine gives for one second of CPU time differs from minute
to minute. The last line of stdout is one JSON object; each step is also kept in var/bench/peers.jsonl.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks import asterisk, capacity, machine, reading, report
from benchmarks.command import OUTPUT, MakeSwitch, run_one
from benchmarks.daemon import Daemon
from benchmarks.layout import Layout, SwitchError
from benchmarks.scenario import Scenario

Result = dict[str, Any]
Found = dict[str, dict[str, list[Result]]]  # step -> switch -> a result for each round
MAY_FAIL = 0.01  # of the calls
SWITCHES: dict[str, MakeSwitch] = {
    "agner": lambda layout, scenario: Daemon(layout, scenario),
    "asterisk": lambda layout, scenario: asterisk.Asterisk(layout, scenario),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `goal` is Agner's: a share of the peer's figure, or a value of its own, or both."""

    name: str
    of: Callable[[Result], float | None]
    ratio: float | None = None  # at most, or at least where more is better
    at_most: float | None = None
    at_least: float | None = None


def _cpu(result: Result) -> float | None:
    return result["cpu"].get("engine_cpu_s_per_1000_call_s")


def _p99(name: str) -> Callable[[Result], float | None]:
    return lambda result: (result.get(name) or {}).get("p99")


def _memory(name: str) -> Callable[[Result], float | None]:
    return lambda result: result["memory"].get(name)


def _best(result: Result) -> float:
    return float(result["best"])


# Step -> the scenario, what is changed in it, and what is read from the result. A search has no scenario of its own.
STEPS: dict[str, tuple[str, dict[str, Any], list[Figure]]] = {
    "bridged": ("steady", {"record": "none"}, [
        Figure("engine CPU-s per 1,000 call-s, bridged", _cpu, 1 / 3),
        Figure("RSS kB a conversation", _memory("rss_per_conversation_kb"), at_most=300),
    ]),
    "recorded": ("steady", {"record": "wav"}, [
        Figure("engine CPU-s per 1,000 call-s, recorded", _cpu, 1 / 4),
        Figure("RSS kB a conversation, recorded", _memory("rss_per_conversation_kb"), at_most=320),
    ]),
    "waiting": ("music", {}, [
        Figure("engine CPU-s per 1,000 waiting-s, music", _cpu, 1 / 4),
        Figure("RSS kB a waiting caller", _memory("rss_per_leg_kb")),
    ]),
    "busy": ("full-house", {"record": "none"}, [
        Figure("agent free to INVITE, p99 ms, 300 waiting for 40 agents", _p99("agent_free_to_invite_ms"), at_most=20),
    ]),
    "free": ("few-wait", {}, [
        Figure("agent free to INVITE, p99 ms, 3 callers waiting", _p99("agent_free_to_invite_ms"), at_most=5),
    ]),
    "rush": ("rush", {}, [
        Figure("agent free to INVITE, p99 ms, 100 calls/s", _p99("agent_free_to_invite_ms"), at_most=20),
    ]),
    "set-up": ("short-calls", {"record": "none"}, [
        Figure("set-up p99 ms at 100 calls/s", _p99("invite_to_200_ms"), at_most=100),
        Figure("engine CPU ms a call", lambda result: result["cpu"].get("engine_cpu_ms_per_call")),
    ]),
    "start": ("start", {}, [
        Figure("start to ready, ms, 1,000 agents", lambda result: 1000 * result["start_to_ready_s"], at_most=1000),
    ]),
    "calls": ("", {}, [Figure("most recorded conversations, 0 RTP lost", _best, ratio=3, at_least=1000)]),
    "rate": ("", {}, [Figure("most set-ups a second, 0 failed", _best, at_least=200)]),
}  # fmt: skip


def measure(step: str, base: Scenario, output: Path, found: Found) -> bool:
    """The step on each switch in turn; a result each, into `found`. False, and at an end, after an interrupted one."""
    name, changes, _figures = STEPS[step]
    for switch, make in SWITCHES.items():
        if name:
            (scenario,) = reading.load([name])
            result = run_one(replace(scenario, codec=base.codec, **changes), Layout(), make, f"{step} on {switch}")
        else:
            result = capacity.search(step, _trial(make, switch), base)
        report.say(f"{step} on {switch}: {_in_short(step, result)}", lasting=True)
        found.setdefault(step, {}).setdefault(switch, []).append(result)
        kept = {"step": step, "switch": switch, "machine": machine.describe()} | result
        kept.pop("course", None)
        output.mkdir(parents=True, exist_ok=True)
        with (output / "peers.jsonl").open("a") as lines:
            lines.write(json.dumps(kept) + "\n")
        if result["interrupted"]:
            return False
    return True


def _trial(make: MakeSwitch, switch: str) -> capacity.Trial:
    def trial(scenario: Scenario) -> Result:
        value = scenario.n_calls or scenario.rate
        return run_one(scenario, Layout(), make, f"{scenario.name} {value:g} on {switch}")

    return trial


def _in_short(step: str, result: Result) -> str:
    figures = ", ".join(f"{figure.name} {_shown(figure.of(result))}" for figure in STEPS[step][2])
    if "verdict" not in result:
        return figures
    told = [*result["verdict"]["missed"], *(f"doubt: {text}" for text in result["verdict"]["doubts"])]
    return figures + (f" ({'; '.join(told)})" if told else "")


def earlier(output: Path) -> Found:
    """What this commit has kept, whole."""
    commit = machine.describe()["commit"]
    found: Found = {}
    file = output / "peers.jsonl"
    for line in file.read_text().splitlines() if file.is_file() else ():
        result = json.loads(line)
        if result["machine"]["commit"] == commit and not result["interrupted"]:
            found.setdefault(result["step"], {}).setdefault(result["switch"], []).append(result)
    return found


def compare(found: Found) -> list[dict[str, Any]]:
    """A line for each figure: both values, their ratio, the goal, and whether Agner reached it.

    A switch that lost a part of its calls did other work, or none: there is no ratio then.
    """
    lines = []
    for step, (_name, _changes, figures) in STEPS.items():
        ours, theirs = found.get(step, {}).get("agner", []), found.get(step, {}).get("asterisk", [])
        if not ours:
            continue
        for figure in figures:
            mine, other = _median(figure, ours), _median(figure, theirs)
            have_carried = all(map(_carried, [*ours, *theirs]))
            ratio = mine / other if mine is not None and other and have_carried else None
            lines.append(
                {"figure": figure.name, "agner": mine, "asterisk": other, "ratio": round(ratio, 3) if ratio else None}
                | {"goal": _goal(figure), "reached": _reached(figure, mine, ratio)}
            )
    return lines


def _median(figure: Figure, results: Sequence[Result]) -> float | None:
    values = [value for result in results if (value := figure.of(result)) is not None]
    return median(values) if values else None


def _carried(result: Result) -> bool:
    return bool(result.get("n_failed", 0) <= MAY_FAIL * result.get("n_calls", 0))


def _goal(figure: Figure) -> str:
    more = figure.at_least is not None
    goals = [f"{'>=' if more else '<='} {figure.ratio:.2f}x"] if figure.ratio else []
    goals += [f">= {figure.at_least:g}"] if figure.at_least is not None else []
    goals += [f"<= {figure.at_most:g}"] if figure.at_most is not None else []
    return ", ".join(goals)


def _reached(figure: Figure, mine: float | None, ratio: float | None) -> bool | None:
    """None if there is no goal, or what it needs was not measured."""
    checks = []
    if figure.ratio:
        checks.append(None if ratio is None else ratio >= figure.ratio if figure.at_least else ratio <= figure.ratio)
    if figure.at_most is not None:
        checks.append(None if mine is None else mine <= figure.at_most)
    if figure.at_least is not None:
        checks.append(None if mine is None else mine >= figure.at_least)
    return None if not checks or None in checks else all(checks)


def show(lines: Sequence[dict[str, Any]]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    table = Table(title="Agner and Asterisk, the same phones and audio", title_justify="left")
    for name in ("figure", "Agner", "Asterisk", "ratio", "goal", ""):
        table.add_column(name, justify="left" if name in ("figure", "goal", "") else "right")
    for line in lines:
        reached = {True: "reached", False: "missed", None: ""}[line["reached"]]
        table.add_row(
            line["figure"],
            _shown(line["agner"]),
            _shown(line["asterisk"]),
            _shown(line["ratio"]),
            line["goal"],
            reached,
        )
    console.print(table)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _to_do(steps: Sequence[str], rounds: int, found: Found) -> Iterator[str]:
    for step in steps:
        n_done = min(len(found.get(step, {}).get(switch, [])) for switch in SWITCHES)
        yield from [step] * (rounds - n_done)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("steps", metavar="[STEP]...", nargs=-1, type=click.Choice(list(STEPS)))
@click.option("--codec", default="PCMA", type=click.Choice(["PCMA", "PCMU"]), help="Of both legs.", show_default=True)
@click.option("--rounds", default=1, type=click.IntRange(1), help="How often each step runs.", show_default=True)
@click.option("--resume", is_flag=True, help="Leave out what this commit has measured, and put it into the table.")
@click.option("--output", default=OUTPUT, type=click.Path(file_okay=False, path_type=Path), help="Where results go.")
def main(steps: tuple[str, ...], codec: str, rounds: int, resume: bool, output: Path) -> None:
    """Agner beside Asterisk 22 on this machine, as root. All steps take some 20 minutes.

    Asterisk is installed into a folder of the cache the first time; nothing outside it changes.
    Steps: bridged, recorded, waiting, busy, free, rush, set-up, start; calls and rate search for the most that each
    carries. CPU time differs by a seventh from run to run: --rounds 3 tells more.
    """
    (base,) = reading.load(["steady"])
    base = replace(base, codec=codec)
    found = earlier(output) if resume else {}
    try:
        asterisk.install(lambda text: report.say(text, lasting=True))
        for step in _to_do(steps or tuple(STEPS), rounds, found):
            if not measure(step, base, output, found):
                break
    except (SwitchError, OSError) as error:
        report.progress_done()
        click.echo(f"bench-peers: {error}", err=True)
        sys.exit(2)
    lines = compare(found)
    show(lines)
    print(json.dumps({"machine": machine.describe(), "peers": lines}))


if __name__ == "__main__":
    main()
