"""`agner check` and `agner explain`: what the configuration would do, with no daemon and no call.

`explain` walks with the interpreter that live calls use (PlanBook.enter and after) and makes the results up: a
prompt is played to its end, and of a step that may end in several ways each is followed, or the one named by --on.
So it cannot drift from what calls do.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from cli.main import fail, load_or_exit
from engine.callflow.errors import PlanError
from engine.callflow.plan import Caller, Situation, Step, Stop
from engine.callflow.staff import Staff, able
from engine.callflow.steps import HangUp, Needs, Queue, Transfer, needs_text
from engine.config import Configuration

RESULTS = tuple(result.replace("_", " ") for result in (*Queue.results, *Transfer.results))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, also of the complaints.")
@click.pass_obj
def check(folder: Path, as_json: bool) -> None:
    """Check the configuration: every mistake with file, line, column and a likely fix.

    Exit code 0 if the daemon could run with it, 2 if not.
    """
    found = load_or_exit(folder, as_json)
    counts = {
        "plans": len(found.book.entries),
        "steps": len(found.book.steps),
        "numbers": len(found.book.numbers),
        "queues": len(found.staff.queues),
        "agents": len(found.staff.agents),
        "trunks": len(found.settings.trunks),
    }
    if as_json:
        click.echo(json.dumps({"ok": True, **counts}, indent=2))
    else:
        click.echo(f"{folder}: no mistake in " + ", ".join(_counted(n, name) for name, n in counts.items()))


def _counted(n: int, plural: str) -> str:
    return f"{n} {plural if n != 1 else plural[:-1]}"


@click.command()
@click.option("--ani", default="", metavar="NUMBER", help="The caller's number; a withheld one if left out.")
@click.option("--dnis", required=True, metavar="NUMBER", help="The number dialled.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"]),
    metavar='"2026-11-21 20:15"',
    help="Local time of the plans; now if left out.",
)
@click.option(
    "--on",
    "results",
    multiple=True,
    type=click.Choice(RESULTS),
    help="What becomes of the queues and transfers on the way, in turn. All ways if left out.",
)
@click.option("--json", "as_json", is_flag=True, help="The lines as JSON.")
@click.pass_obj
def explain(folder: Path, ani: str, dnis: str, at: datetime | None, results: tuple[str, ...], as_json: bool) -> None:
    """Tell what a call would meet, line by line, each with its place in the plan.

    The walk is done by the interpreter that real calls use. A queue shows who could take the call by skill.
    """
    configuration = load_or_exit(folder, as_json)
    book = configuration.book
    when = at or datetime.now(ZoneInfo(book.timezone)).replace(tzinfo=None)
    caller = Caller(ani, dnis, trunk="")
    try:
        plan = book.plan_for(dnis)
    except PlanError as error:
        fail(f"{error}: the call gets {error.status}")
    walk = Walk(configuration, caller, when)
    lines = walk.from_stop(book.enter(plan, Situation(caller, when)), [result.replace(" ", "_") for result in results])
    head = {"ani": ani, "dnis": dnis, "at": f"{when:%Y-%m-%d %H:%M}", "timezone": book.timezone, "plan": plan}
    if as_json:
        click.echo(json.dumps({**head, "steps": [asdict(line) for line in lines]}, indent=2, ensure_ascii=False))
        return
    click.echo(f"{ani or 'withheld number'} dials {dnis} on {when:%a %Y-%m-%d %H:%M} {book.timezone}: plan {plan}")
    for text in _drawn(lines, width=max(len(line.place) for line in _all(lines))):
        click.echo(text)


@dataclass(slots=True)
class Line:
    """One step met: where it stands, what it does, what came of it; `ways` are the lines behind each of its results."""

    place: str
    says: str
    result: str | None = None
    notes: list[str] = field(default_factory=list)
    ways: dict[str, list["Line"]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Walk:
    configuration: Configuration
    caller: Caller
    at: datetime

    def from_stop(self, stop: Stop, results: list[str], passed: frozenset[int] = frozenset()) -> list[Line]:
        """The lines of the way to a stop and of all that follows. `results` are used up by queues and transfers."""
        lines: list[Line] = []
        while True:
            for visit in stop.trail[:-1]:
                step = self.configuration.book.steps[visit.index]
                lines.append(Line(str(step.place), step.describe(), visit.result))
            line = Line(str(stop.step.place), stop.step.describe(), notes=list(self._notes(stop.step)))
            lines.append(line)
            if stop.index in passed:
                line.notes = ["from here on as above"]
                return lines
            passed |= {stop.index}
            if isinstance(stop.step, HangUp):
                return lines
            if isinstance(stop.step, Queue | Transfer):
                return lines + self._fork(line, stop, results, passed)
            line.result = "done"
            stop = self._after(stop, "done")

    def _fork(self, line: Line, stop: Stop, results: list[str], passed: frozenset[int]) -> list[Line]:
        """All ways behind a queue or transfer, indented; or, if its result is given, the lines that follow."""
        if results:
            if results[0] not in possible(stop.step, self.configuration.staff):
                fail(f"{stop.step.place}: {stop.step.describe()} cannot end with {results[0].replace('_', ' ')!r}")
            line.result = results[0]
            return self.from_stop(self._after(stop, results[0]), results[1:], passed)
        for result in possible(stop.step, self.configuration.staff):
            line.ways[result] = self.from_stop(self._after(stop, result), [], passed)
        return []

    def _after(self, stop: Stop, result: str) -> Stop:
        return self.configuration.book.after(stop.index, result, Situation(self.caller, self.at))

    def _notes(self, step: Step) -> Iterator[str]:
        if isinstance(step, Transfer):
            yield "answered: the talk ends the plan"
        if not isinstance(step, Queue):
            return
        stages: list[tuple[float, Needs]] = [(0.0, step.needs)]
        stages += [(relax.after_s, relax.needs) for relax in step.relax if relax.needs is not None]
        staff = self.configuration.staff
        for after_s, needs in stages:
            names = ", ".join(_named(staff, agent.id, step.queue) for agent in able(staff, step.queue, needs))
            own = f" ({needs_text(queue.needs)} for the queue)" if (queue := staff.queues[step.queue]).needs else ""
            yield f"{f'after {after_s:g} s' if after_s else 'at once'}, by skill{own}: {names}"
        yield "answered by an agent: the talk ends the plan"


def possible(step: Step, staff: Staff) -> list[str]:
    """The results with a way on that this configuration makes possible."""
    if isinstance(step, Queue):
        can = {
            "timeout": step.max_wait_s is not None,
            "full": staff.queues[step.queue].max_length is not None,
            "no_agents": step.leave_without_agents,
        }
        return [result for result in step.results if can[result] and result in step.ways]
    return [result for result in step.results if result in step.ways]


def _named(staff: Staff, agent: str, queue: str) -> str:
    from_s = next(serves.from_s for serves in staff.agents[agent].queues if serves.queue == queue)
    return f"{agent} {staff.agents[agent].name}" + (f" (from {from_s:g} s of waiting on)" if from_s else "")


def _all(lines: list[Line]) -> Iterator[Line]:
    for line in lines:
        yield line
        for way in line.ways.values():
            yield from _all(way)


def _drawn(lines: list[Line], width: int, depth: int = 0) -> Iterator[str]:
    indent = "    " * depth
    for line in lines:
        told = "" if line.result in (None, "done") else f": {str(line.result).replace('_', ' ')}"
        yield f"{line.place:<{width}}  {indent}{line.says}{told}"
        for note in line.notes:
            yield f"{'':<{width}}  {indent}    {note}"
        for result, way in line.ways.items():
            yield f"{'':<{width}}  {indent}  on {result.replace('_', ' ')}:"
            yield from _drawn(way, width, depth + 1)
