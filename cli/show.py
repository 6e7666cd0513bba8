"""How the commands that read talk to the daemon and print: rich tables for people, one JSON document for programs.

A table has units in its headers. Outside a terminal it is as wide as its content, so that grep sees whole lines.
"""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.main import fail, load_or_exit
from engine.control import ControlError, NoDaemon, ask

EXIT_NO_DAEMON = 3
WIDE_TABLE = 130  # columns of a terminal from which on tables show everything
WIDE = 400  # columns, where there is no terminal

Row = dict[str, Any]

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")


def ask_or_exit(folder: Path, verb: str, **arguments: str) -> Any:
    """What the daemon of this configuration answers; exit code 3 if there is none, 1 if it refuses."""
    socket = Path(load_or_exit(folder).settings.folder) / "agner.sock"
    try:
        return ask(socket, verb, **arguments)
    except NoDaemon as error:
        click.echo(f"agner: {error}", err=True)
        sys.exit(EXIT_NO_DAEMON)
    except ControlError as error:
        fail(str(error))


def console() -> Console:
    plain = Console()
    return plain if plain.is_terminal else Console(width=WIDE)


def table(*headers: str) -> Table:
    """Headers that end in a unit, or begin with "n ", stand over numbers."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for header in headers:
        made.add_column(header.removeprefix("n "), justify="right" if _is_number(header) else "left")
    return made


def print_json(data: Any) -> None:
    click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=_as_json))


def seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def text(value: Any) -> str:
    """Also of what a caller's headers carried: no control character reaches the terminal."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return " ".join(f"{name}:{level}" for name, level in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "".join(character if character.isprintable() else "?" for character in str(value))


def cell(value: Any) -> Text:
    """The same for a table, where brackets are no markup."""
    return Text(text(value))


def local(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def completed(ctx: click.Context, verb: str, key: str, incomplete: str) -> list[CompletionItem]:
    """Names for the shell, from the daemon if one runs; silence otherwise."""
    from engine.config import Complaints, load

    try:
        settings = load(ctx.find_root().params.get("folder") or Path("config")).settings
        rows: Sequence[Row] = ask(Path(settings.folder) / "agner.sock", verb)
    except (Complaints, ControlError, OSError):
        return []
    return [CompletionItem(row[key], help=row.get("name")) for row in rows if row[key].startswith(incomplete)]


def _is_number(header: str) -> bool:
    return header.startswith("n ") or header.endswith(("(s)", "(%)", "(ms)"))


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value))
