"""`agner check` and `agner explain`: what the configuration would do, with no daemon and no call.

Counterpart: walk.py, which goes through the plan as a call would.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from cli.main import fail, load_or_exit
from cli.walk import Call, Line, Walk
from engine.callflow.blacklist import Blacklist
from engine.callflow.errors import PlanError
from engine.callflow.plan import Caller, PlanBook
from engine.config import Configuration


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
@click.option("--trunk", metavar="NAME", help="The trunk it comes over; that of switch.yaml, if there is only one.")
@click.option("--from-agent", "agent", default="", metavar="ID", help="The agent whose phone dials.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"]),
    metavar='"2026-11-21 20:15"',
    help="Local time of the plans; now if left out.",
)
@click.option(
    "--with",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the call learns, such as customer.level=vip or digits=1234. Customers are else looked up.",
)
@click.option("--listed", is_flag=True, help="Say that the caller is on the blacklist. It is else looked up.")
@click.option(
    "--on",
    "results",
    multiple=True,
    metavar="RESULT",
    help="What becomes of the steps that may end in several ways, in turn: timeout, a key, busy. All ways if left out.",
)
@click.option("--json", "as_json", is_flag=True, help="The lines as JSON.")
@click.pass_obj
def explain(
    folder: Path,
    ani: str,
    dnis: str,
    trunk: str | None,
    agent: str,
    at: datetime | None,
    given: tuple[str, ...],
    listed: bool,
    results: tuple[str, ...],
    as_json: bool,
) -> None:
    """Tell what a call would meet, line by line, each with its place in the plan.

    The walk is done by the interpreter that real calls use. A queue shows who could take the call by skill.
    """
    configuration = load_or_exit(folder, as_json)
    book = configuration.book
    when = at or datetime.now(ZoneInfo(book.timezone)).replace(tzinfo=None)
    if agent and (ani or trunk):
        fail("--from-agent says who calls: --ani and --trunk do not go with it")
    if agent and agent not in configuration.staff.agents:
        fail(f"agent {agent} is not in staff.yaml")
    try:
        plan = book.plan_for(dnis, agent)
    except PlanError as error:
        fail(f"{error}: the call gets {error.status}")
    caller = Caller(ani, dnis, trunk or _only_trunk(configuration))
    if agent:
        ani = f"agent {agent}"
        caller = Caller(agent, dnis, "", configuration.staff.agents[agent].name, agent)
    call = _call(configuration, caller, when, given, listed)
    walk = Walk(book, configuration.staff, configuration.settings, call)
    lines = walk.explain(plan, [result.replace(" ", "_") for result in results])
    head = {"ani": ani, "dnis": dnis, "at": f"{when:%Y-%m-%d %H:%M}", "timezone": book.timezone, "plan": plan}
    if as_json:
        click.echo(json.dumps({**head, "steps": [asdict(line) for line in lines]}, indent=2, ensure_ascii=False))
        return
    click.echo(f"{ani or 'withheld number'} dials {dnis} on {when:%a %Y-%m-%d %H:%M} {book.timezone}: plan {plan}")
    for text in _on_air(book, {plan, *walk.airs}, when):
        click.echo(text)
    for text in _drawn(lines, width=max(len(line.place) for line in _all(lines))):
        click.echo(text)


def _only_trunk(configuration: Configuration) -> str:
    trunks = configuration.settings.trunks
    return trunks[0].name if len(trunks) == 1 else ""


def _call(configuration: Configuration, caller: Caller, when: datetime, given: tuple[str, ...], listed: bool) -> Call:
    """What the command line leaves open is looked up in the database, where there is one."""
    values = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals:
            fail(f"--with {one}: write NAME=VALUE, such as customer.level=vip")
        values[name.removeprefix("$")] = text
    storage = configuration.settings.storage
    file = storage.removeprefix("sqlite:///")
    if file != storage and not Path(file).exists():
        return Call(caller, when, values, lambda name, number: listed, None)
    from engine.records.lookup import LookUp
    from engine.records.store import StorageError

    try:
        database = LookUp(storage)
        blacklist = Blacklist(database.blacklist())
    except StorageError as error:
        click.echo(f"agner: nobody is looked up: {error}", err=True)
        return Call(caller, when, values, lambda name, number: listed, None)
    moment = when.replace(tzinfo=ZoneInfo(configuration.book.timezone)).astimezone(UTC)
    return Call(
        caller,
        when,
        values,
        lambda name, number: listed or blacklist.find(number, moment) is not None,
        database.customer,
    )


def _on_air(book: PlanBook, names: Collection[str], when: datetime) -> Iterator[str]:
    """The air times that decide about the call, and those named as the number's plan: when its callers come."""
    for name, air in book.airs.items():
        if name not in names:
            continue
        surge = air.next_surge(when)
        told = f"; next surge {surge:%a %H:%M:%S}" if surge else ""
        yield f"{name} is {'on' if air.is_on(when) else 'not on'} air{told}"


def _all(lines: list[Line]) -> Iterator[Line]:
    for line in lines:
        yield line
        for way in line.ways.values():
            yield from _all(way)


def _drawn(lines: list[Line], width: int, depth: int = 0) -> Iterator[str]:
    indent = "    " * depth
    for line in lines:
        told = "" if line.result in (None, "done") else f": {_word(str(line.result))}"
        yield f"{line.place:<{width}}  {indent}{line.says}{told}"
        for note in line.notes:
            yield f"{'':<{width}}  {indent}    {note}"
        for results, way in line.ways.items():
            yield f"{'':<{width}}  {indent}  on {', '.join(map(_word, results.split(',')))}:"
            yield from _drawn(way, width, depth + 1)


def _word(result: str) -> str:
    if result == "served":
        return "the agent hanging up first"
    return f"key {result}" if result.strip("0123456789*#") == "" else result.replace("_", " ")
