"""`agner blacklist`: who is not let in, why, until when, and how often they tried.

Counterpart: engine/records/blacklist.py. A daemon that runs is told, and turns the next call away.
"""

import getpass
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from cli.desk import Later, database, later, outcome_row, tell_daemon, tell_outcome
from cli.main import fail, load_or_exit
from cli.sheets import BadCell, Sheet, SheetError, load
from cli.show import cell, console, json_option, local, print_json, table
from engine.callflow.numbers import canonical_pattern
from engine.callflow.record import BlacklistEntry
from engine.callflow.settings import Settings
from engine.records.blacklist import BlacklistTable

COLUMNS = {
    "number": ("电话", "手机", "号码", "电话号码", "手机号", "黑名单", "phone", "mobile", "pattern"),
    "reason": ("原因", "理由", "备注", "why", "notes"),
    "expires": ("到期", "有效期", "到期时间", "失效时间", "until"),
}
LONGEST = 255


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def blacklist(ctx: click.Context, as_json: bool) -> None:
    """Show or change the blacklist: numbers and prefixes that are not let in."""
    if ctx.invoked_subcommand is None:
        _show(ctx.obj, as_json)


@blacklist.command("list")
@json_option
@click.pass_obj
def show(folder: Path, as_json: bool) -> None:
    """Show all entries, the newest first, with the calls they turned away."""
    _show(folder, as_json)


def _show(folder: Path, as_json: bool) -> None:
    with database(load_or_exit(folder).settings) as opened:
        entries = BlacklistTable(opened).entries()
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    now = datetime.now(UTC)
    shown = table("number", "reason", "by", "since", "expires", "n hits", "last hit")
    for entry in entries:
        is_over = entry.expires_at is not None and entry.expires_at <= now
        shown.add_row(
            *(cell(value) for value in (entry.pattern, entry.reason, entry.by)),
            local(entry.created_at),
            local(entry.expires_at) + (" (over)" if is_over else ""),
            str(entry.n_hits),
            local(entry.last_hit_at),
        )
    console().print(shown)


@blacklist.command()
@click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True)
@click.option("--reason", default="", help="Why, as shown to others.")
@click.option("--expires", type=Later(), help="When it ends: 2026-12-31, 12h, 30d; never if left out.")
@click.option("--by", default=getpass.getuser, help="Who does it; your user name if left out.")
@json_option
@click.pass_obj
def add(
    folder: Path, numbers: tuple[str, ...], reason: str, expires: datetime | None, by: str, as_json: bool
) -> None:
    """Turn numbers away: whole ones in any form, or a prefix such as '0571*'. Again: with the new reason and expiry."""
    now = datetime.now(UTC)
    entries = [BlacklistEntry(_pattern(number), reason[:LONGEST], by[:LONGEST], now, expires) for number in numbers]
    settings = load_or_exit(folder).settings
    with database(settings) as opened:
        done = BlacklistTable(opened).put(entries)
    tell_daemon(settings, "blacklist_changed")
    if as_json:
        print_json({"new": done.n_new, "updated": done.n_updated, "unchanged": done.n_unchanged})
    else:
        click.echo(f"{done.n_new} new, {done.n_updated} updated, {done.n_unchanged} unchanged")


@blacklist.command()
@click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True)
@json_option
@click.pass_obj
def remove(folder: Path, numbers: tuple[str, ...], as_json: bool) -> None:
    """Let numbers in again. A prefix is removed as it was added, with its *."""
    settings = load_or_exit(folder).settings
    patterns = [_pattern(number) for number in numbers]
    with database(settings) as opened:
        removed = BlacklistTable(opened).remove(patterns)
    if removed:
        tell_daemon(settings, "blacklist_changed")
    missing = [pattern for pattern in patterns if pattern not in removed]
    print_json({"removed": removed, "missing": missing}) if as_json else click.echo(f"{len(removed)} removed")
    if missing:
        fail(f"not on the blacklist: {', '.join(missing)}")


@blacklist.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option("--by", default=getpass.getuser, help="Who does it; your user name if left out.")
@json_option
@click.pass_obj
def import_file(folder: Path, file: Path, dry_run: bool, by: str, as_json: bool) -> None:
    """Add or change entries from a CSV or XLSX file.

    The first line names the columns: number (号码), reason (原因), expires (到期). As with customers, good lines are
    loaded although others are bad, and the same file again changes nothing.
    """
    settings = load_or_exit(folder).settings
    with database(settings) as opened, ExitStack() as files:
        kept = BlacklistTable(opened)
        try:
            sheet = Sheet(file, COLUMNS)
            files.callback(sheet.close)
            outcome = load(sheet, _parser(by[:LONGEST]), lambda batch: kept.put(batch, dry_run))
        except SheetError as error:
            fail(str(error))
    if not dry_run:
        _tell_if_changed(settings, outcome.counts.n_new + outcome.counts.n_updated)
    print_json(outcome_row(outcome)) if as_json else tell_outcome(file, outcome, dry_run)
    if outcome.n_bad:
        raise SystemExit(1)


def _tell_if_changed(settings: Settings, n_changed: int) -> None:
    if n_changed:
        tell_daemon(settings, "blacklist_changed")


def _parser(by: str) -> Callable[[dict[str, str]], tuple[str, BlacklistEntry]]:
    now = datetime.now(UTC)

    def parse(fields: dict[str, str]) -> tuple[str, BlacklistEntry]:
        try:
            pattern = canonical_pattern(fields["number"])
        except ValueError as error:
            raise BadCell("number", str(error)) from None
        if len(fields.get("reason", "")) > LONGEST:
            raise BadCell("reason", f"it is longer than {LONGEST} characters")
        expires_at = None
        if text := fields.get("expires"):
            try:
                expires_at = later(text.replace("/", "-"))
            except ValueError as error:
                raise BadCell("expires", str(error)) from None
        return pattern, BlacklistEntry(pattern, fields.get("reason", ""), by, now, expires_at)

    return parse


def _pattern(number: str) -> str:
    try:
        return canonical_pattern(number)
    except ValueError as error:
        fail(str(error))
