"""`agner phones`: the phones that are logged in, and the passwords that they log in with.

Counterparts: engine/sip/phones.py, which knows the phones; engine/records/passwords.py, which keeps the passwords. A
daemon that runs is told.
"""

import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from cli.desk import tell_daemon
from cli.main import fail, load_or_exit
from cli.show import ask_or_exit, cell, console, json_option, print_json, seconds, table, text
from engine.callflow.staff import who_registers
from engine.config import Configuration
from engine.records import passwords

Row = dict[str, Any]


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def phones(ctx: click.Context, as_json: bool) -> None:
    """Show the phones of agents whose `phone` in staff.yaml is `registered`; set a phone's password.

    A phone is `there`, or `gone` if it does not answer any more; an agent without any is `missing`. Such an agent gets
    no calls.
    """
    if ctx.invoked_subcommand is None:
        rows = ask_or_exit(ctx.obj, "phones")
        print_json(rows) if as_json else console().print(phone_table(rows))


def phone_table(rows: list[Row]) -> Table:
    shown = table("agent", "state", "contact", "source", "user agent", "expires (s)", "round trip (ms)")
    for row in rows:
        round_trip = row.get("rtt_ms")
        shown.add_row(
            *(cell(row.get(key)) for key in ("agent", "state", "contact", "source", "user_agent")),
            seconds(row.get("expires_s")),
            cell(None if round_trip is None else f"{round_trip:.1f}"),
        )
    return shown


@phones.command()
@click.argument("agent")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read it from standard input, one line.")
@click.option("--generate", is_flag=True, help="Make one up and print it; it is not shown again.")
@click.option("--remove", is_flag=True, help="Take it away: the phone cannot log in any more.")
@click.pass_obj
def password(folder: Path, agent: str, from_stdin: bool, generate: bool, remove: bool) -> None:
    """Set the password with which an agent's phone logs in; it is asked for twice.

    The user name in the phone is the agent's number, its realm that of switch.yaml. Kept is a hash of it, in a file
    that only the daemon's user may read; a phone that is logged in needs the new one when it logs in the next time.
    """
    if from_stdin + generate + remove > 1:
        raise click.UsageError("--stdin, --generate and --remove exclude each other")
    loaded = _open(folder)
    state, realm = Path(loaded.settings.folder), loaded.settings.registrar.realm
    try:
        if remove:
            told = "password removed" if passwords.remove_password(state, agent) else "it had no password"
        else:
            _check_agent(loaded, agent)
            secret = _secret(from_stdin, generate)
            passwords.set_password(state, realm, agent, secret)
            told = f"password set: {secret}" if generate else "password set"
    except (passwords.BadPassword, passwords.Unreadable) as error:
        fail(str(error))
    tell_daemon(loaded.settings, "passwords_changed")
    click.echo(f"{text(agent)}: {told}")


def _secret(from_stdin: bool, generate: bool) -> str:
    if generate:
        return passwords.generate()
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    secret: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return secret


def _open(folder: Path) -> Configuration:
    """The configuration, if this user may: the file must belong to who runs the daemon, or it could not read it."""
    loaded = load_or_exit(folder)
    state = Path(loaded.settings.folder)
    if state.exists() and state.stat().st_uid != os.geteuid():
        fail(f"only the daemon's user may: {state} is another's")
    return loaded


def _check_agent(loaded: Configuration, agent: str) -> None:
    if agent not in loaded.staff.agents:
        fail(f"no agent {agent!r} is in staff.yaml")
    if agent not in who_registers(loaded.staff):
        fail(f"the phone of agent {agent} does not log in: staff.yaml says where it is")
