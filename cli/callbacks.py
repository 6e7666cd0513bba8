"""`agner callbacks`: the calls that customers are owed, what became of them, and a hand on them.

Counterparts: engine/records/callbacks.py; the daemon, which owns those that are active while it runs (see desk.py).
"""

import getpass
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from cli.desk import Later, ask_owner, database
from cli.main import fail, load_or_exit
from cli.sheets import BadCell, read_number
from cli.show import WIDE_TABLE, Row, cell, console, json_option, local, print_json, table, text
from engine.callflow.record import CallbackEntry
from engine.callflow.settings import Settings
from engine.records.callbacks import CallbackTable, cancelled, retried

STATES = ("active", "open", "dialling", "done", "cancelled", "failed", "any")
Change = Callable[[CallbackEntry, datetime], CallbackEntry | None]


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--offset", type=click.IntRange(0), default=0, help="Rows to leave out: the next page."),
        click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Rows a page."),
        click.option("--number", metavar="NUMBER", help="Of this customer, in any form."),
        click.option("--queue", metavar="NAME", help="Of this queue."),
        click.option("--state", type=click.Choice(STATES), default="active", show_default=True, help="How it stands."),
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@_options
@json_option
@click.pass_context
def callbacks(ctx: click.Context, as_json: bool, **search: Any) -> None:
    """Show the calls that customers are owed; cancel, try again, add or close one."""
    if ctx.invoked_subcommand is None:
        _list(ctx.obj, as_json, **search)


@callbacks.command("list")
@_options
@json_option
@click.pass_obj
def show(folder: Path, as_json: bool, **search: Any) -> None:
    """Show callbacks, the newest first. What a daemon changes is here within half a second."""
    _list(folder, as_json, **search)


def _list(
    folder: Path, as_json: bool, state: str, queue: str | None, number: str | None, limit: int, offset: int
) -> None:
    with database(load_or_exit(folder).settings) as opened:
        wanted = None if state == "any" else state
        entries, total = CallbackTable(opened).search(wanted, queue, number, limit, offset)
    if as_json:
        print_json({"total": total, "offset": offset, "callbacks": [asdict(entry) for entry in entries]})
        return
    screen = console()
    last = ("agent", "call", "dnis", "language", "id") if screen.width >= WIDE_TABLE else ("id",)
    shown = table("number", "queue", "reason", "arrived", "due", "state", "n tries", "result", *last)
    for entry in entries:
        shown.add_row(
            *(cell(value) for value in (entry.number, entry.queue, entry.reason)),
            local(entry.arrived_at),
            local(entry.due_at),
            entry.state,
            str(entry.n_attempts),
            cell(entry.result),
            *(cell(getattr(entry, name)) for name in last),
        )
    if entries:
        screen.print(shown)
    click.echo(f"{len(entries):,} of {total:,} callbacks")


# ---- a hand on them

_id_argument = click.argument("id", metavar="ID")
_by_option = click.option("--by", default=getpass.getuser, help="Who does it, for the record; your user name.")


@callbacks.command()
@_id_argument
@_by_option
@json_option
@click.pass_obj
def cancel(folder: Path, id: str, by: str, as_json: bool) -> None:
    """Owe this call no longer."""
    _change(folder, "callback_cancel", id, by, lambda entry, now: cancelled(entry, by, now), as_json)


@callbacks.command()
@_id_argument
@_by_option
@json_option
@click.pass_obj
def retry(folder: Path, id: str, by: str, as_json: bool) -> None:
    """Have it dialled as soon as an agent is free, also after it was cancelled or given up."""
    _change(folder, "callback_retry", id, by, retried, as_json)


@callbacks.command()
@_id_argument
@_by_option
@json_option
@click.pass_obj
def done(folder: Path, id: str, by: str, as_json: bool) -> None:
    """Somebody has called the customer by hand."""

    def close(entry: CallbackEntry, now: datetime) -> CallbackEntry | None:
        is_open = entry.state == "open"
        return replace(entry, state="done", result="answered", agent=by, updated_at=now) if is_open else None

    _change(folder, "callback_done", id, by, close, as_json)


def _change(folder: Path, verb: str, id: str, by: str, change: Change, as_json: bool) -> None:
    settings = load_or_exit(folder).settings

    def change_here() -> Row:
        with database(settings) as opened:
            kept = CallbackTable(opened)
            entry = kept.get(id)
            if entry is None:
                fail(f"no callback {id!r}")
            changed = change(entry, datetime.now(UTC))
            if changed is None:
                fail(f"callback {id} is {entry.state} ({entry.result or 'no result yet'})")
            return asdict(kept.put(changed))

    _tell(ask_owner(settings, verb, change_here, id=id, by=by), as_json)


@callbacks.command()
@click.argument("number")
@click.option("--queue", required=True, metavar="NAME", help="Whose agents call.")
@click.option("--due", type=Later(), help="Not before: 2026-12-31T20:00, 30m, 2h; at once if left out.")
@click.option("--language", metavar="NAME", help="Of the prompts.")
@_by_option
@json_option
@click.pass_obj
def add(
    folder: Path, number: str, queue: str, due: datetime | None, language: str | None, by: str, as_json: bool
) -> None:
    """Owe a number a call. If one is owed already, both become one with the earlier arrival."""
    loaded = load_or_exit(folder)
    if queue not in loaded.staff.queues:
        fail(f"no queue {queue!r} is in staff.yaml ({', '.join(loaded.staff.queues)})")
    now = datetime.now(UTC)
    try:
        entry = CallbackEntry(
            id=f"by-hand-{uuid4().hex[:12]}",
            number=read_number(number),
            queue=queue,
            reason="asked",
            arrived_at=now,
            created_at=now,
            due_at=now if due is None else due.astimezone(UTC),
            updated_at=now,
            language=language,
        )
    except BadCell as error:
        fail(str(error))
    added = _add(loaded.settings, entry, by)
    _tell(added, as_json)


def _add(settings: Settings, entry: CallbackEntry, by: str) -> Row:
    def add_here() -> Row:
        with database(settings) as opened:
            return asdict(CallbackTable(opened).put(entry))

    row: Row = ask_owner(
        settings,
        "callback_add",
        add_here,
        id=entry.id,
        number=entry.number,
        queue=entry.queue,
        reason=entry.reason,
        arrived_at=entry.arrived_at.isoformat(),
        due_at=entry.due_at.isoformat(),
        language=entry.language,
        by=by,
    )
    return row


def _tell(row: Row, as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    result = f" ({row['result']})" if row.get("result") else ""
    click.echo(f"{text(row['id'])}: {text(row['number'])} {row['state']}{text(result)}")
