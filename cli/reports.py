"""`agner cdr`, `agner recordings`: what became of calls, from the database; a daemon is not needed.

Counterpart: engine/records/search.py. Times are shown in local time; JSON has UTC.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem
from rich.table import Table

from cli.main import fail, load_or_exit
from cli.show import WIDE_TABLE, Row, cell, console, json_option, local, print_json, seconds, table, text
from engine.callflow.settings import Settings
from engine.records.search import Archive, Page, Wanted
from engine.records.store import StorageError

Answer = TypeVar("Answer")
Command = TypeVar("Command", bound=Callable[..., Any])

KINDS = ["inbound", "callback", "outbound", "internal"]
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class When(click.ParamType[datetime]):
    """A moment: ISO date, or date and time (local without a zone), `today`, or how long ago: 90s, 30m, 2h, 7d, 1w."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        now = datetime.now().astimezone()
        if value == "today":
            return now.replace(hour=0, minute=0, second=0, microsecond=0)
        if match := re.fullmatch(r"(\d{1,6})([smhdw])", value):
            return now - timedelta(seconds=int(match[1]) * UNITS_S[match[2]])
        try:
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not like 2026-11-21, 2026-11-21T20:15, today, 30m, 2h or 7d", param, ctx)


def _names(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Agents or queues of the configuration, for the shell."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from engine.config import Complaints, load

        try:
            names = getattr(load(ctx.find_root().params.get("folder") or Path("config")).staff, kind)
        except (Complaints, OSError):
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return complete


def search_options(command: Command) -> Command:
    """The same for calls and recordings."""
    for option in reversed(
        (
            click.option(
                "--since", type=When(), help="Arrived then or later: 2026-11-21, 2026-11-21T20:15, today, 2h."
            ),
            click.option("--until", type=When(), help="Arrived before: the same forms."),
            click.option("--ani", metavar="NUMBER", help="The caller's number; * stands for anything."),
            click.option("--dnis", metavar="NUMBER", help="The number dialled; * stands for anything."),
            click.option("--agent", metavar="ID", shell_complete=_names("agents"), help="Who talked."),
            click.option("--queue", metavar="NAME", shell_complete=_names("queues"), help="A queue it waited in."),
            click.option("--disposition", metavar="NAME", help='How it ended; "open" for calls that live.'),
            click.option("--kind", type=click.Choice(KINDS), help="Who called: the caller, we, or an agent's phone."),
            click.option("--text", metavar="TEXT", help="Part of any id, number, name or path."),
            click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Rows a page."),
            click.option("--offset", type=click.IntRange(0), default=0, help="Rows to leave out: the next page."),
        )
    ):
        command = option(command)
    return command


# ---- calls


@click.command()
@click.argument("call", required=False)
@search_options
@json_option
@click.pass_obj
def cdr(folder: Path, call: str | None, as_json: bool, **search: Any) -> None:
    """Show what became of calls, the latest first; of one CALL, with its segments.

    Wait is the time in queues, talk from the bridge to the end, duration from INVITE to the end.
    """
    settings = load_or_exit(folder).settings
    if call is not None:
        _show_call(settings, call, as_json)
        return
    wanted = Wanted(**search)
    page = _read(settings, lambda archive: archive.calls(wanted))
    totals = _read(settings, lambda archive: archive.totals(wanted))
    if as_json:
        print_json({"total": page.n_total, "offset": wanted.offset, "dispositions": totals, "calls": page.rows})
        return
    screen = console()
    screen.print(_cdr_table(page.rows, is_wide=screen.width >= WIDE_TABLE))
    click.echo(", ".join(f"{name} {n}" for name, n in totals.items()), nl=bool(totals))
    _tell_page(page, wanted, "calls")


def _cdr_table(rows: list[Row], is_wide: bool) -> Table:
    times = ("wait_s", "talk_s", "duration_s") if is_wide else ("wait_s", "talk_s")
    last = ("status", "ended_by", "call", "recording") if is_wide else ("call",)
    names = {"status": "n SIP", "ended_by": "ended by"}
    first = ("kind", "ani", "dnis", "queue", "agent") if is_wide else ("ani", "dnis", "queue", "agent")
    names |= {"ani": "ANI", "dnis": "DNIS"}
    shown = table(
        "arrived",
        *(names.get(key, key) for key in first),
        *(f"{key.removesuffix('_s')} (s)" for key in times),
        "disposition",
        *(names.get(key, key) for key in last),
    )
    for row in rows:
        shown.add_row(
            local(row["arrived_at"]),
            *(cell(row[key]) for key in first),
            *(seconds(row[key]) for key in times),
            cell(row["disposition"] or "open"),
            *(cell(row[key]) for key in last),
        )
    return shown


def _show_call(settings: Settings, call: str, as_json: bool) -> None:
    row = _read(settings, lambda archive: archive.call(call))
    if row is None:
        fail(f"no call {call!r} is in the records")
    if as_json:
        print_json(row)
        return
    for key, value in row.items():
        if key.endswith("_at"):
            click.echo(f"{key.removesuffix('_at'):<13} {local(value)}")
        elif key.endswith("_s"):
            click.echo(f"{key.removesuffix('_s') + ' (s)':<13} {seconds(value)}")
        elif not isinstance(value, list):
            click.echo(f"{key.replace('_', ' '):<13} {text(value)}")
    shown = table("segment", "began (s)", "length (s)", "queue", "agent", "outcome", "n SIP")
    for segment in row["segments"]:
        began_s = (segment["began_at"] - row["arrived_at"]).total_seconds()
        length_s = (segment["ended_at"] - segment["began_at"]).total_seconds()
        cells = (cell(segment[key]) for key in ("queue", "agent", "outcome", "status"))
        shown.add_row(segment["kind"].replace("_", "-"), f"{began_s:.3f}", f"{length_s:.3f}", *cells)
    console().print(shown)


# ---- recordings


@click.group(invoke_without_command=True)
@search_options
@json_option
@click.pass_context
def recordings(ctx: click.Context, as_json: bool, **search: Any) -> None:
    """Find recordings: those of calls that match, the file of a call, the call of a file."""
    if ctx.invoked_subcommand is not None:
        return
    settings, wanted = load_or_exit(ctx.obj).settings, Wanted(**search)
    page = _read(settings, lambda archive: archive.recordings(wanted))
    for row in page.rows:
        row["file"] = str(_file(settings, row["path"]))
    if as_json:
        print_json({"total": page.n_total, "offset": wanted.offset, "recordings": page.rows})
        return
    shown = table("arrived", "ANI", "DNIS", "queue", "agent", "length (s)", "lost (s)", "call", "file")
    for row in page.rows:
        shown.add_row(
            local(row["arrived_at"]),
            *(cell(row[key]) for key in ("ani", "dnis", "queue", "agent")),
            seconds(row["seconds"]),
            f"{row['lost_s']:.3f}" if row["n_overruns"] or row["lost_s"] else "",
            cell(row["call"]),
            cell(row["file"]),
        )
    console().print(shown)
    _tell_page(page, wanted, "recordings")


@recordings.command("path")
@click.argument("call")
@json_option
@click.pass_obj
def path_of(folder: Path, call: str, as_json: bool) -> None:
    """Print where the recording of CALL is: `play "$(agner recordings path CALL)"`."""
    settings = load_or_exit(folder).settings
    row = _read(settings, lambda archive: archive.call(call))
    if row is None:
        fail(f"no call {call!r} is in the records")
    paths = [found["path"] for found in row["recordings"]] or [row["recording"]]
    files = [_file(settings, path).absolute() for path in paths if path]
    if not files:
        fail(f"call {call} was not recorded")
    if missing := [str(file) for file in files if not file.is_file()]:
        fail(f"the recording of call {call} is no longer at {', '.join(missing)}")
    if as_json:
        print_json([str(file) for file in files])
        return
    for file in files:
        click.echo(str(file))


@recordings.command("call")
@click.argument("file")
@json_option
@click.pass_obj
def call_of(folder: Path, file: str, as_json: bool) -> None:
    """Print the call whose recording FILE is: a path, or a file's name."""
    settings = load_or_exit(folder).settings
    root = Path(settings.recording.folder).absolute()
    full = Path(file).absolute()
    name = str(full.relative_to(root)) if full.is_relative_to(root) else file
    call = _read(settings, lambda archive: archive.call_of(name))
    if call is None:
        fail(f"no recording {file!r} is in the records")
    print_json({"call": call}) if as_json else click.echo(call)


def _file(settings: Settings, path: str) -> Path:
    """Paths in the records are below the recordings folder, or name it."""
    root = Path(settings.recording.folder)
    return Path(path) if Path(path).is_relative_to(root) else root / path


def _read(settings: Settings, question: Callable[[Archive], Answer]) -> Answer:
    try:
        return question(Archive(settings.storage))
    except StorageError as error:
        fail(str(error))


def _tell_page(page: Page, wanted: Wanted, what: str) -> None:
    if not page.rows:
        click.echo(f"no {what} like that" if not page.n_total else f"{page.n_total:,} {what} in all, none from here on")
        return
    first, last = wanted.offset + 1, wanted.offset + len(page.rows)
    more = f"; --offset {last} shows more" if last < page.n_total else ""
    click.echo(f"{what} {first:,} to {last:,} of {page.n_total:,}{more}")
