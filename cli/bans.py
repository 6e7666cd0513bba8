"""`agner bans`: strangers that the gate keeps out, and what it refused. Counterparts: engine/sip/gatekeeper.py,
engine/board.py.
"""

from pathlib import Path

import click

from cli.main import fail
from cli.show import ask_or_exit, cell, console, json_option, print_json, seconds, table


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def bans(ctx: click.Context, as_json: bool) -> None:
    """Show who is banned, and what the gate refused since the start.

    Only strangers are banned: addresses of no trunk and of no registered phone. A ban ends by itself.
    """
    if ctx.invoked_subcommand:
        return
    found = ask_or_exit(ctx.obj, "bans")
    if as_json:
        print_json(found)
        return
    shown = table("source", "ends in (s)", "n dropped")
    for ban in found["bans"]:
        shown.add_row(cell(ban["source"]), seconds(ban["left_s"]), str(ban["n_dropped"]))
    console().print(shown if found["bans"] else "Nobody is banned.")
    refused = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in found["counts"].items() if n and why != "passed")
    console().print(f"Since the start: {found['counts']['passed']} requests passed; {refused or 'none refused'}")


@bans.command()
@click.argument("source")
@click.pass_obj
def lift(folder: Path, source: str) -> None:
    """Let SOURCE in again: an address, or an IPv6 network as the list shows it."""
    if not ask_or_exit(folder, "ban_lift", source=source):
        fail(f"{source} is not banned")
