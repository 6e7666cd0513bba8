"""What the commands share that keep customers, blacklist, callbacks and messages: the database, and the word to a
daemon that runs beside them.

Each thing has one owner. The database has customers, blacklist, messages and PINs: commands write it, then say what
changed. A daemon has the callbacks that are active: commands ask it, and write the database only when none runs.
Counterpart: engine/board.py, which answers:

    blacklist_changed                         read the blacklist anew, off the engine's thread
    messages_changed  box                     count the box anew, tell its phones
    callback_add      id number queue reason arrived_at due_at language needs by   -> its row
    callback_cancel   id by                   -> its row
    callback_retry    id by                   due at once -> its row
    callback_done     id by                   somebody called by hand -> its row

Times are ISO 8601 in UTC; what is not known is left out. A row has the fields of record.CallbackEntry.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from cli.main import fail
from cli.reports import UNITS_S
from cli.sheets import BadLine, Outcome
from engine.callflow.settings import Settings
from engine.control import ControlError, NoDaemon, ask
from engine.records.database import Database
from engine.records.store import StorageError

BAD_LINES_SHOWN = 20


@contextmanager
def database(settings: Settings) -> Iterator[Database]:
    """Open, with its tables; what goes wrong with it ends the command."""
    try:
        opened = Database(settings.storage)
        try:
            yield opened
        finally:
            opened.close()
    except StorageError as error:
        fail(str(error))


def tell_daemon(settings: Settings, verb: str, **arguments: str) -> None:
    """What changed in the database, if a daemon runs."""
    try:
        ask(_socket(settings), verb, **arguments)
    except NoDaemon:
        return
    except ControlError as error:
        fail(f"it is stored, but the daemon that runs does not know yet: {error}")


def ask_owner(settings: Settings, verb: str, otherwise: Callable[[], Any], **arguments: str | None) -> Any:
    """The daemon's answer, or what `otherwise` does when none runs."""
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        return ask(_socket(settings), verb, **given)
    except NoDaemon:
        return otherwise()
    except ControlError as error:
        fail(str(error))


def _socket(settings: Settings) -> Path:
    return Path(settings.folder) / "agner.sock"


class Later(click.ParamType[datetime]):
    """A moment to come: how far off (90s, 30m, 12h, 30d, 1w), or an ISO date or time (local without a zone)."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return later(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def later(text: str) -> datetime:
    """Raises ValueError."""
    if match := re.fullmatch(r"(\d{1,6})([smhdw])", text):
        return datetime.now().astimezone() + timedelta(seconds=int(match[1]) * UNITS_S[match[2]])
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not like 2026-12-31, 2026-12-31T20:00, 12h or 30d") from None


def tell_outcome(file: Path, outcome: Outcome, dry_run: bool) -> None:
    """For people: bad lines on stderr, the counts on stdout."""
    for bad in outcome.bad[:BAD_LINES_SHOWN]:
        click.echo(f"{_place(file, bad)}: {bad.why}", err=True)
    if outcome.n_bad > BAD_LINES_SHOWN:
        click.echo(f"and {outcome.n_bad - BAD_LINES_SHOWN:,} more bad lines; --report FILE has them all", err=True)
    if outcome.ignored:
        click.echo(f"columns left out: {', '.join(outcome.ignored)}", err=True)
    counts = outcome.counts
    would = "would be " if dry_run else ""
    click.echo(
        f"{counts.n_new:,} {would}new, {counts.n_updated:,} {would}updated, {counts.n_unchanged:,} unchanged, "
        f"{outcome.n_bad:,} bad"
    )


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    counts = outcome.counts
    return {
        "new": counts.n_new,
        "updated": counts.n_updated,
        "unchanged": counts.n_unchanged,
        "bad": outcome.n_bad,
        "ignored_columns": outcome.ignored,
        "bad_lines": [{"line": bad.line, "column": bad.column, "why": bad.why} for bad in outcome.bad],
    }


def _place(file: Path, bad: BadLine) -> str:
    return f"{file}:{bad.line}: {bad.column}" if bad.column else f"{file}:{bad.line}"
