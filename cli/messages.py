"""`agner messages`: voicemail, for the operator of the daemon's user. By phone a box opens with its PIN.

Counterpart: engine/records/mailboxes.py. A daemon that runs is told, and so are the phones (MWI).
"""

import getpass
import os
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from cli.desk import database, tell_daemon
from cli.main import fail, load_or_exit
from cli.show import cell, console, json_option, local, print_json, seconds, table, text
from engine.callflow.record import Message
from engine.callflow.settings import Settings
from engine.config import Configuration
from engine.records.mailboxes import BadPin, Mailboxes


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def messages(ctx: click.Context, as_json: bool) -> None:
    """Show voicemail, find its files, delete it; set the PIN of a box.

    A box is queue:NAME or agent:ID. Only the user the daemon runs as may do this.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx.obj, None, False, as_json)


@messages.command("list")
@click.argument("box", required=False)
@click.option("--deleted", is_flag=True, help="Also what was deleted.")
@json_option
@click.pass_obj
def show(folder: Path, box: str | None, deleted: bool, as_json: bool) -> None:
    """Show the messages of a box, or of all, the latest first."""
    _list(folder, box, deleted, as_json)


def _list(folder: Path, box: str | None, deleted: bool, as_json: bool) -> None:
    loaded = _open(folder)
    if box is not None:
        _check_box(loaded, box)
    with database(loaded.settings) as opened:
        found = Mailboxes(opened).messages(box, deleted)
    if as_json:
        print_json([asdict(message) | {"file": str(_file(loaded.settings, message))} for message in found])
        return
    shown = table("box", "at", "from", "length (s)", "state", "id")
    for message in found:
        state = "deleted" if message.deleted_at else f"heard by {message.heard_by}" if message.heard_at else "new"
        shown.add_row(
            cell(message.box),
            local(message.at),
            cell(message.number or "withheld"),
            seconds(message.seconds),
            cell(state),
            cell(message.id),
        )
    console().print(shown) if found else click.echo("no messages")


@messages.command("path")
@click.argument("id")
@click.option("--peek", is_flag=True, help="Leave it as new.")
@click.option("--by", default=getpass.getuser, help="Who listens, for the record; your user name if left out.")
@click.pass_obj
def path_of(folder: Path, id: str, peek: bool, by: str) -> None:
    """Print where message ID is, and mark it as heard: `play "$(agner messages path ID)"`."""
    loaded = _open(folder)
    with database(loaded.settings) as opened:
        message = _get(Mailboxes(opened), id)
        file = _file(loaded.settings, message)
        if not file.is_file():
            fail(f"message {id} is no longer at {file}")
        if not peek and message.heard_at is None:
            Mailboxes(opened).put(replace(message, heard_at=datetime.now(UTC), heard_by=by))
            tell_daemon(loaded.settings, "messages_changed", box=message.box)
    click.echo(str(file.absolute()))


@messages.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@click.pass_obj
def delete(folder: Path, ids: tuple[str, ...], as_json: bool) -> None:
    """Delete messages with their files."""
    loaded = _open(folder)
    with database(loaded.settings) as opened:
        boxes = Mailboxes(opened)
        for message in [_get(boxes, id) for id in ids]:
            try:
                _file(loaded.settings, message).unlink(missing_ok=True)
            except OSError as error:
                fail(f"message {message.id} was not deleted: {error}")
            boxes.put(replace(message, deleted_at=datetime.now(UTC)))
            tell_daemon(loaded.settings, "messages_changed", box=message.box)
    print_json({"deleted": list(ids)}) if as_json else click.echo(f"{len(ids)} deleted")


@messages.command()
@click.argument("box")
@click.option("--remove", is_flag=True, help="Take the PIN away: nobody can listen by phone.")
@click.pass_obj
def pin(folder: Path, box: str, remove: bool) -> None:
    """Set the PIN that opens a box by phone; it is asked for twice. Unlocks a box that wrong PINs have locked."""
    loaded = _open(folder)
    if remove:
        with database(loaded.settings) as opened:
            was_there = Mailboxes(opened).remove_pin(box)
        click.echo(f"{text(box)}: {'PIN removed' if was_there else 'it had no PIN'}")
        return
    _check_box(loaded, box)
    digits = click.prompt("PIN", hide_input=True, confirmation_prompt=True)
    with database(loaded.settings) as opened:
        try:
            Mailboxes(opened).set_pin(box, digits)
        except BadPin as error:
            fail(str(error))
    click.echo(f"{text(box)}: PIN set")


def _open(folder: Path) -> Configuration:
    """The configuration, if this user may listen: who runs the daemon owns its folder."""
    loaded = load_or_exit(folder)
    state = Path(loaded.settings.folder)
    if state.exists() and state.stat().st_uid != os.geteuid():
        fail(f"only the daemon's user may: {state} is another's")
    return loaded


def _check_box(loaded: Configuration, box: str) -> None:
    kind, _, name = box.partition(":")
    known = {"queue": loaded.staff.queues, "agent": loaded.staff.agents}.get(kind)
    if known is None:
        fail(f"{box!r} is no box; one is queue:NAME or agent:ID")
    if name not in known:
        fail(f"no {kind} {name!r} is in staff.yaml")


def _get(boxes: Mailboxes, id: str) -> Message:
    message = boxes.get(id)
    if message is None or message.deleted_at is not None:
        fail(f"no message {id!r}")
    return message


def _file(settings: Settings, message: Message) -> Path:
    return Path(settings.recording.folder) / message.path
