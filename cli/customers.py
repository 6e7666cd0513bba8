"""`agner customers`: who routing knows, one by one or from a file; a daemon is not needed, and sees a change at the
next call.

Counterpart: engine/records/customers.py.
"""

import csv
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from cli.desk import database, outcome_row, tell_outcome
from cli.main import fail, load_or_exit
from cli.reports import When
from cli.sheets import BadCell, BadLine, Sheet, SheetError, load, read_number
from cli.show import Row, cell, console, json_option, local, print_json, table, text
from engine.records.customers import Customers, NewOrder

COLUMNS = {
    "number": ("电话", "手机", "号码", "电话号码", "手机号", "手机号码", "客户电话", "phone", "mobile", "tel"),
    "name": ("姓名", "客户姓名", "名称", "客户"),
    "level": ("级别", "等级", "客户级别"),
    "region": ("地区", "区域", "城市", "省份", "city"),
    "last_order_agent": ("工号", "坐席", "坐席工号", "agent"),
    "notes": ("备注", "说明", "note", "remarks"),
}
LONGEST = 255  # characters, but for notes
SHOWN = ("number", "name", "level", "region", "last_order_agent", "updated_at", "notes")


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def customers(ctx: click.Context, as_json: bool) -> None:
    """Keep the customers that routing knows: name, level, region, agent of the last order.

    Numbers may be in any form: 13800138000, 013800138000 and +86 138-0013-8000 are one customer.
    """
    if ctx.invoked_subcommand is None:
        _search(ctx.obj, "", None, 50, 0, as_json)


@customers.command()
@click.argument("words", metavar="[TEXT]", default="")
@click.option("--level", metavar="NAME", help="Only those of this level.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Rows a page.")
@click.option("--offset", type=click.IntRange(0), default=0, help="Rows to leave out: the next page.")
@json_option
@click.pass_obj
def search(folder: Path, words: str, level: str | None, limit: int, offset: int, as_json: bool) -> None:
    """Find customers by part of a number, name, region, agent or note."""
    _search(folder, words, level, limit, offset, as_json)


def _search(folder: Path, words: str, level: str | None, limit: int, offset: int, as_json: bool) -> None:
    with database(load_or_exit(folder).settings) as opened:
        rows, total = Customers(opened).search(words, level, limit, offset)
    if as_json:
        print_json({"total": total, "offset": offset, "customers": rows})
        return
    if rows:
        shown = table("number", "name", "level", "region", "agent", "changed", "notes")
        for row in rows:
            shown.add_row(*(_shown(row, name) for name in SHOWN))
        console().print(shown)
    click.echo(f"{len(rows):,} of {total:,} customers")


def _shown(row: Row, name: str) -> Any:
    return local(row[name]) if name.endswith("_at") else cell(row[name])


@customers.command()
@click.argument("number")
@json_option
@click.pass_obj
def show(folder: Path, number: str, as_json: bool) -> None:
    """Show one customer with the latest orders."""
    with database(load_or_exit(folder).settings) as opened:
        row = Customers(opened).find(number)
    if row is None:
        fail(f"no customer has the number {number}")
    if as_json:
        print_json(row)
        return
    for name in SHOWN:
        click.echo(f"{name.replace('_', ' '):<17} {local(row[name]) if name.endswith('_at') else text(row[name])}")
    if row["orders"]:
        shown = table("order", "at", "agent", "product", "n amount")
        for order in row["orders"]:
            shown.add_row(
                cell(order["id"]),
                local(order["at"]),
                cell(order["agent"]),
                cell(order["product"]),
                f"{Decimal(order['amount_cents']) / 100:.2f}",
            )
        console().print(shown)


# ---- one customer


def _fields(command: Any) -> Any:
    for option in (
        click.option("--notes", metavar="TEXT"),
        click.option("--agent", "last_order_agent", metavar="ID", help="Who took the last order."),
        click.option("--region", metavar="NAME"),
        click.option("--level", metavar="NAME", help="vip, or any other that a plan asks for; none is ordinary."),
        click.option("--name", metavar="TEXT"),
    ):
        command = option(command)
    return command


@customers.command()
@click.argument("number")
@_fields
@json_option
@click.pass_obj
def add(folder: Path, number: str, as_json: bool, **fields: str | None) -> None:
    """Add a customer. One who is there already is left alone: see `set`."""
    _put(folder, number, fields, as_json, is_new=True)


@customers.command("set")
@click.argument("number")
@_fields
@json_option
@click.pass_obj
def set_fields(folder: Path, number: str, as_json: bool, **fields: str | None) -> None:
    """Change what is known of a customer; what is not named stays."""
    _put(folder, number, fields, as_json, is_new=False)


def _put(folder: Path, number: str, fields: dict[str, str | None], as_json: bool, is_new: bool) -> None:
    try:
        _, values = _parse({"number": number} | {name: value for name, value in fields.items() if value is not None})
    except BadCell as error:
        fail(str(error))
    with database(load_or_exit(folder).settings) as opened:
        kept = Customers(opened)
        if (kept.find(number) is None) != is_new:
            fail(f"{number} is a customer already" if is_new else f"no customer has the number {number}")
        kept.put([values], datetime.now(UTC))
        row = kept.find(number)
    print_json(row) if as_json else click.echo(f"{values['number']}: {'added' if is_new else 'changed'}")


@customers.command()
@click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True)
@json_option
@click.pass_obj
def remove(folder: Path, numbers: tuple[str, ...], as_json: bool) -> None:
    """Remove customers with their orders."""
    with database(load_or_exit(folder).settings) as opened:
        missing = [number for number in numbers if not Customers(opened).remove(number)]
    if as_json:
        print_json({"removed": [number for number in numbers if number not in missing], "missing": missing})
    else:
        click.echo(f"{len(numbers) - len(missing)} removed")
    if missing:
        fail(f"no customer has the number {', '.join(missing)}")


# ---- many customers


@customers.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write all bad lines here, as CSV.")
@json_option
@click.pass_obj
def import_file(folder: Path, file: Path, dry_run: bool, report: Path | None, as_json: bool) -> None:
    """Add or change customers from a CSV or XLSX file.

    The first line names the columns, in any order: number (电话), name (姓名), level (级别), region (地区),
    agent (工号), notes (备注). Columns that are not there change nothing. Good lines are loaded although others are
    bad; then the exit code is 1. The same file again changes nothing. CSV may be UTF-8 or GB18030, with commas,
    semicolons or tabs.
    """
    now = datetime.now(UTC)
    with database(load_or_exit(folder).settings) as opened, ExitStack() as files:
        kept = Customers(opened)
        try:
            sheet = Sheet(file, COLUMNS)
            files.callback(sheet.close)
            note = _reporter(report, files)
            outcome = load(sheet, _parse, lambda batch: kept.put(batch, now, dry_run), note)
        except SheetError as error:
            fail(str(error))
    print_json(outcome_row(outcome)) if as_json else tell_outcome(file, outcome, dry_run)
    if outcome.n_bad:
        raise SystemExit(1)


def _reporter(report: Path | None, files: ExitStack) -> Any:
    if report is None:
        return lambda bad: None
    try:
        lines = csv.writer(files.enter_context(report.open("w", encoding="utf-8-sig", newline="")))
    except OSError as error:
        fail(f"{report}: {error.strerror}")
    lines.writerow(("line", "column", "why"))
    return lambda bad: lines.writerow(_report_row(bad))


def _report_row(bad: BadLine) -> tuple[int, str, str]:
    return bad.line, bad.column, bad.why


def _parse(fields: dict[str, str]) -> tuple[int | str, Row]:
    """The key is a number where it can be: a million of them take half the memory of texts."""
    values: Row = {"number": read_number(fields["number"])}
    for name, value in fields.items():
        if name == "number":
            continue
        if "\0" in value:
            raise BadCell(name, "it holds a NUL character")
        if len(value) > LONGEST and name != "notes":
            raise BadCell(name, f"it is longer than {LONGEST} characters")
        values[name] = value
    if "level" in values:
        values["level"] = values["level"].lower()
    if "last_order_agent" in values:
        values["last_order_agent"] = values["last_order_agent"] or None
    number = values["number"]
    return int(number) if number.startswith("+") else number, values


# ---- orders


@customers.group()
def orders() -> None:
    """Keep the orders that routing knows: the newest one names a customer's agent."""


class _Money(click.ParamType[int]):
    """Hundredths of the currency."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            cents = Decimal(value) * 100
            if cents == cents.to_integral_value() and abs(cents) < 10**15:
                return int(cents)
        except InvalidOperation:
            pass
        self.fail(f"{value!r} is not an amount like 199 or 199.50", param, ctx)


@orders.command("add")
@click.argument("number")
@click.option("--agent", required=True, metavar="ID", help="Who took it.")
@click.option("--product", default="", metavar="TEXT", help="Product or business type.")
@click.option("--amount", "amount_cents", type=_Money(), default="0", help="With at most two decimals.")
@click.option("--at", type=When(), help="When it was; now if left out.")
@click.option("--id", "order", metavar="TEXT", help="The shop's number of the order: the same twice is once.")
@json_option
@click.pass_obj
def add_order(
    folder: Path, number: str, agent: str, product: str, amount_cents: int, at: datetime | None, order: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Note an order; a customer who is not known yet becomes one."""
    now = datetime.now(UTC)
    try:
        made = NewOrder(order or uuid4().hex[:12], read_number(number), agent, product, amount_cents, at or now)
    except BadCell as error:
        fail(str(error))
    with database(load_or_exit(folder).settings) as opened:
        is_new = Customers(opened).add_order(made, now)
        row = Customers(opened).find(number)
    if as_json:
        print_json({"new": is_new, "customer": row})
    else:
        click.echo(f"order {text(made.id)}: {'noted' if is_new else 'is there already'}")
