"""`agner queues`, `agner agents`, `agner calls`: the floor as the daemon sees it, and what operators may do there.

Counterpart: engine/board.py, which answers. `agner top` shows the same, live.
"""

import getpass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.table import Table

from cli.show import (
    WIDE_TABLE,
    Row,
    ask_or_exit,
    cell,
    completed,
    console,
    json_option,
    print_json,
    seconds,
    table,
    text,
)

# ---- queues


@click.command()
@json_option
@click.pass_obj
def queues(folder: Path, as_json: bool) -> None:
    """Show the queues: who waits, who works, how well it goes today.

    SL is the share of calls answered within the queue's target, ASA the mean time to answer. Below 130 columns the
    least needed ones are left out; --json has everything.
    """
    rows = ask_or_exit(folder, "queues")
    if as_json:
        print_json(rows)
    else:
        screen = console()
        screen.print(queue_table(rows, screen.width))


def queue_table(rows: list[Row], width: int) -> Table:
    return _wide_queue_table(rows) if width >= WIDE_TABLE else _narrow_queue_table(rows)


def _wide_queue_table(rows: list[Row]) -> Table:
    shown = table(
        *("queue", "n waiting", "longest wait (s)", "n logged in", "n ready", "n reserved", "n talking", "n ACW"),
        *("n not ready", "n offered", "n answered", "n abandoned", "n timed out", "SL (%)", "target", "ASA (s)"),
    )
    for row in rows:
        counts = ("logged_in", "ready", "reserved", "talking", "acw", "not_ready")
        shown.add_row(
            cell(row["queue"]),
            str(row["waiting"]),
            seconds(row["longest_wait_s"]),
            *(str(row["agents"][name]) for name in counts),
            *(str(row[name]) for name in ("offered", "answered", "abandoned", "timed_out")),
            _percent(row["sl_percent"]),
            cell(row["sl_target"]),
            seconds(row["asa_s"]),
        )
    return shown


def _narrow_queue_table(rows: list[Row]) -> Table:
    """For 80 columns. Busy is reserved, talking or in wrap-up."""
    shown = table(
        *("queue", "n waiting", "longest (s)", "n ready", "n busy", "n not ready", "n answered", "n abandoned"),
        *("SL (%)", "ASA (s)"),
    )
    for row in rows:
        agents = row["agents"]
        shown.add_row(
            cell(row["queue"]),
            str(row["waiting"]),
            seconds(row["longest_wait_s"]),
            str(agents["ready"]),
            str(agents["reserved"] + agents["talking"] + agents["acw"]),
            str(agents["not_ready"]),
            str(row["answered"]),
            str(row["abandoned"]),
            _percent(row["sl_percent"]),
            seconds(row["asa_s"]),
        )
    return shown


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


# ---- agents


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def agents(ctx: click.Context, as_json: bool) -> None:
    """Show agents; log them in or out, ready or not ready."""
    if ctx.invoked_subcommand is None:
        rows = ask_or_exit(ctx.obj, "agents")
        if as_json:
            print_json(rows)
        else:
            screen = console()
            screen.print(agent_table(rows, screen.width))


def agent_table(rows: list[Row], width: int) -> Table:
    """In a narrow terminal without skills and phones."""
    last = ("reason", "call", "queues", "skills", "phone")[: None if width >= WIDE_TABLE else 3]
    shown = table("agent", "name", "state", "in state (s)", *last)
    for row in rows:
        cells = (cell(row[key]) for key in last)
        shown.add_row(cell(row["agent"]), cell(row["name"]), _coloured(row["state"]), seconds(row["state_s"]), *cells)
    return shown


def _coloured(state: str) -> str:
    colours = {"READY": "green", "RESERVED": "yellow", "TALKING": "cyan", "ACW": "magenta", "LOGGED_OUT": "dim"}
    name = state.replace("_", " ").lower().replace("acw", "ACW")
    return f"[{colours[state]}]{name}[/]" if state in colours else name


def _agent_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return completed(ctx, "agents", "agent", incomplete)


_agents_argument = click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=_agent_ids)


def _ask_each(folder: Path, verb: str, ids: tuple[str, ...], as_json: bool, **arguments: str) -> None:
    rows = [ask_or_exit(folder, verb, id=agent, **arguments) for agent in ids]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{text(row['agent'])}: {row['state'].replace('_', ' ')} {text(row.get('reason'))}".rstrip())


@agents.command()
@_agents_argument
@json_option
@click.pass_obj
def login(folder: Path, ids: tuple[str, ...], as_json: bool) -> None:
    """Log agents in; they are not ready until they say so."""
    _ask_each(folder, "agent_login", ids, as_json)


@agents.command()
@_agents_argument
@json_option
@click.pass_obj
def logout(folder: Path, ids: tuple[str, ...], as_json: bool) -> None:
    """Log agents out; one who talks goes after the call."""
    _ask_each(folder, "agent_logout", ids, as_json)


@agents.command()
@_agents_argument
@json_option
@click.pass_obj
def ready(folder: Path, ids: tuple[str, ...], as_json: bool) -> None:
    """Make agents ready for calls."""
    _ask_each(folder, "agent_ready", ids, as_json)


@agents.command("not-ready")
@_agents_argument
@click.option("--reason", default="", help="Why, as shown to others and kept in the records: break, lunch, training.")
@json_option
@click.pass_obj
def not_ready(folder: Path, ids: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Take agents from the calls; one who talks goes after the call."""
    _ask_each(folder, "agent_not_ready", ids, as_json, reason=reason)


# ---- calls


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def calls(ctx: click.Context, as_json: bool) -> None:
    """Show calls that are up; hang one up. `agner cdr` has those that are over."""
    if ctx.invoked_subcommand is None:
        rows = ask_or_exit(ctx.obj, "calls")
        print_json(rows) if as_json else console().print(call_table(rows))


def call_table(rows: list[Row]) -> Table:
    shown = table(
        *("call", "trunk", "ANI", "DNIS", "state", "in state (s)", "age (s)", "queue", "n position", "wait (s)"),
        *("agent", "plan step"),
    )
    for row in rows:
        shown.add_row(
            *(cell(row[key]) for key in ("call", "trunk", "ani", "dnis")),
            cell(row["state"].lower()),
            seconds(row["state_s"]),
            seconds(row["age_s"]),
            cell(row["queue"]),
            cell(row["position"]),
            seconds(row["wait_s"]),
            cell(row["agent"]),
            cell(row["step"]),
        )
    return shown


def _call_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return completed(ctx, "calls", "call", incomplete)


_call_argument = click.argument("call", metavar="ID", shell_complete=_call_ids)


@calls.command()
@_call_argument
@json_option
@click.pass_obj
def show(folder: Path, call: str, as_json: bool) -> None:
    """Show one call that is up, with its legs."""
    row: dict[str, Any] = ask_or_exit(folder, "call", id=call)
    if as_json:
        print_json(row)
        return
    for key, value in row.items():
        if key == "legs":
            value = ", ".join(" ".join(f"{name} {part}" for name, part in leg.items()) for leg in value)
        elif key.endswith("_s"):
            key, value = f"{key.removesuffix('_s')} (s)", seconds(value)
        click.echo(f"{key.replace('_', ' '):<12} {text(value)}")


@calls.command()
@_call_argument
@click.option("--by", default=getpass.getuser, help="Who ends it, for the record; your user name if left out.")
@json_option
@click.pass_obj
def hangup(folder: Path, call: str, by: str, as_json: bool) -> None:
    """End a call."""
    done = ask_or_exit(folder, "hangup", id=call, by=by)
    print_json(done) if as_json else click.echo(f"{call}: hung up")
