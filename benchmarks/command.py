"""`agner bench`: what the command line asks for, run after run. Counterparts: run.py is one run, report.py shows it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import capacity, machine, plot, report
from benchmarks.asterisk import Asterisk
from benchmarks.daemon import Daemon
from benchmarks.elsewhere import Elsewhere
from benchmarks.layout import CHECKOUT, Layout, Switch
from benchmarks.run import run
from benchmarks.scenario import Scenario

OUTPUT = CHECKOUT / "var" / "bench"
MakeSwitch = Callable[[Layout, Scenario], Switch | None]


def run_all(scenarios: Sequence[Scenario], layout: Layout, make: MakeSwitch, output: Path) -> dict[str, Any]:
    """All in turn; what is printed and kept of them. Ctrl-C ends the one that runs and leaves out those behind it."""
    results: list[dict[str, Any]] = []
    output.mkdir(parents=True, exist_ok=True)
    for n_done, scenario in enumerate(scenarios):
        where = f"{n_done + 1}/{len(scenarios)} " if len(scenarios) > 1 else ""
        result = run_one(scenario, layout, make, where + scenario.name)
        results.append(result)
        report.show(result)
        keep(result, output)
        if result["interrupted"]:
            break
    (output / "summary.md").write_text(report.markdown(results))
    return _whole(results)


def run_one(scenario: Scenario, layout: Layout, make: MakeSwitch, title: str) -> dict[str, Any]:
    """Raises SwitchError, or OSError when a port is taken."""
    try:
        return asyncio.run(run(scenario, layout, make(layout, scenario), report.progress(title)))
    finally:
        report.progress_done()


def keep(result: dict[str, Any], output: Path) -> None:
    """The plot, and a line in results.jsonl without the course that the plot shows."""
    (output / f"{result['scenario']}.svg").write_text(plot.draw(result, report.title(result)))
    with (output / "results.jsonl").open("a") as lines:
        lines.write(json.dumps(_lasting(result)) + "\n")


def search(
    kind: str, layout: Layout, make: MakeSwitch, base: Scenario, start: float | None, output: Path
) -> dict[str, Any]:
    """The most that is carried; each trial is told as it ends."""

    def trial(scenario: Scenario) -> dict[str, Any]:
        title = f"{scenario.calls_at_once} calls" if kind == "calls" else f"{scenario.rate:g} calls/s"
        result = run_one(scenario, layout, make, title)
        report.say(
            f"{title}: {'held' if result['verdict']['passed'] else ', '.join(result['verdict']['missed'])}", True
        )
        return result

    found = capacity.search(kind, trial, base, int(start) if start else None)
    found |= {"machine": machine.describe(), "passed": found["best"] > 0 and not found["interrupted"]}
    output.mkdir(parents=True, exist_ok=True)
    with (output / "results.jsonl").open("a") as lines:
        lines.write(json.dumps(found) + "\n")
    print(f"{found['what']}: {found['best']} {found['unit']}")
    return found


def _lasting(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "course"}


def _whole(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    verdicts = {result["scenario"]: result["verdict"] for result in results}
    return {
        "machine": machine.describe(),
        "passed": bool(results) and all(verdict["passed"] for verdict in verdicts.values()),
        "missed": [f"{name}: {text}" for name, verdict in verdicts.items() for text in verdict["missed"]],
        "doubts": [f"{name}: {text}" for name, verdict in verdicts.items() for text in verdict["doubts"]],
        "interrupted": any(result["interrupted"] for result in results),
        "scenarios": {result["scenario"]: _lasting(result) for result in results},
    }


def agner(keep_folder: bool) -> MakeSwitch:
    return lambda layout, scenario: Daemon(layout, scenario, keep_folder)


def other(keep_folder: bool) -> MakeSwitch:
    return lambda layout, scenario: Asterisk(layout, scenario, keep_folder)


def somebody(layout: Layout, scenario: Scenario) -> Switch:
    return Elsewhere()


def nobody(layout: Layout, scenario: Scenario) -> Switch | None:
    return None
