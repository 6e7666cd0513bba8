"""`agner trunks`: the carriers, how they fare, and what goes over them. Counterpart: engine/sip/carriers.py."""

from typing import Any

import click

from cli.show import ask_or_exit, cell, console, json_option, print_json, table

Row = dict[str, Any]


@click.command()
@json_option
@click.pass_context
def trunks(ctx: click.Context, as_json: bool) -> None:
    """Show each trunk: its calls and limits, its registration, and its destinations.

    A destination is `new` until something was heard of it, `up`, `resting` after a 503 with Retry-After, or `gone`
    when it does not answer; calls then go to the others. A destination without a server: DNS has not told one yet.
    """
    rows = ask_or_exit(ctx.obj, "trunks")
    if as_json:
        print_json(rows)
        return
    shown = table("trunk", "in", "out", "limits", "registration", "n in", "n out")
    for row in rows:
        totals = str(row["n_in_total"]), str(row["n_out_total"])
        calls = cell(row["trunk"]), str(row["n_in"]), str(row["n_out"])
        shown.add_row(*calls, cell(limits(row)), cell(registration(row)), *totals)
    console().print(shown)
    servers = table("trunk", "destination", "server", "state", "priority", "weight", "round trip (ms)", "n calls")
    for row in rows:
        for one in row["destinations"]:
            trip = None if one["rtt_s"] is None else f"{one['rtt_s'] * 1000:.1f}"
            ranks = str(one["priority"]), str(one["weight"])
            known = (cell(row["trunk"]), cell(one["to"]), cell(one["server"]), cell(one["state"]))
            servers.add_row(*known, *ranks, cell(trip), str(one["n_calls"]))
        for name in row["unknown"]:
            servers.add_row(cell(row["trunk"]), cell(name), *[cell(None)] * 6)
    if servers.row_count:
        console().print(servers)


def limits(row: Row) -> str:
    """`30, 10 out, 5/s in`; empty without any."""
    at_once = [("max_calls", ""), ("max_calls_in", " in"), ("max_calls_out", " out")]
    told = [f"{row[key]}{way}" for key, way in at_once if row[key] is not None]
    rates = [("max_calls_per_s", "/s in"), ("max_calls_per_s_out", "/s out")]
    return ", ".join(told + [f"{row[key]:g}{way}" for key, way in rates if row[key] is not None])


def registration(row: Row) -> str:
    """`registered, 540 s left`; `failed, again in 4 s: 403 Forbidden`; empty where the trunk needs none."""
    found = row["registration"]
    if found is None:
        return ""
    text = found["state"]
    if text == "registered":
        text += f", {found['left_s']:.0f} s left"
    if found["why"]:
        again = "" if found["again_in_s"] is None else f", again in {found['again_in_s']:.0f} s"
        text += f"{again}: {found['why']}"
    return str(text)
