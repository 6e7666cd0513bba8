"""`agner demo`: a real call floor for half a minute. Counterparts: story.py is what happens on it, phones.py who
calls.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from cli.demo.hurry import Hurried, NotThere
from cli.demo.phones import PhoneError
from cli.demo.story import PARTS, Outcome, Story, StoryError, prepare
from cli.main import load_or_exit
from cli.show import console, table
from engine.control import ControlError, ask

READY_WITHIN_S = 15.0


@click.command()
@click.pass_obj
def demo(folder: Path) -> None:
    """Put a real call floor through the daemon for well under a minute.

    Starts a daemon with a copy of the configuration whose times are shorter (var/demo/config), lets baresip and SIPp
    call each other through it, shows the floor while they do, and then what became of every call beside what the plan
    says should have. Exit code 0 only when the two agree everywhere.
    """
    screen = console()
    state = Path(load_or_exit(folder).settings.folder) / "demo"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    try:
        hurried = Hurried(folder, state)
    except (NotThere, OSError) as error:
        screen.print(f"[red]the demo needs the shipped plan: {error}[/red]")
        sys.exit(1)
    folder, loaded = hurried.folder, load_or_exit(hurried.folder)
    prepare(loaded.settings.storage)
    socket = state / "agner.sock"
    screen.print(f"Starting the daemon; its log is {state / 'daemon.log'}")
    with (state / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "--config", str(folder), "run", "--quiet"], stderr=log, stdout=log
        )
    try:
        _wait_until_ready(daemon, socket, state / "daemon.log")
        outcomes = Story(loaded, hurried, socket, state).play(screen)
    except (PhoneError, StoryError, ControlError) as error:
        screen.print(f"[red]{error}[/red]")
        sys.exit(1)
    finally:
        daemon.terminate()
        try:
            code = daemon.wait(60)
        except subprocess.TimeoutExpired:
            daemon.kill()
            code = daemon.wait()
    _show(screen, outcomes, folder)
    if code:
        screen.print(f"[red]The daemon ended with exit code {code}; see {state / 'daemon.log'}[/red]")
    if code or not all(outcome.is_as_planned for outcome in outcomes):
        sys.exit(1)


def _wait_until_ready(daemon: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while True:
        if daemon.poll() is not None:
            raise StoryError(f"the daemon did not start:\n{log.read_text(errors='replace')}")
        try:
            if ask(socket, "status")["pid"] == daemon.pid:
                return
        except ControlError:
            if time.monotonic() > until:
                raise
        time.sleep(0.05)


def _show(screen: Console, outcomes: list[Outcome], folder: Path) -> None:
    screen.print("\nWhat became of every call", style="bold")
    calls = table("caller", "the caller", "should be", "was", "waited (s)", "talked (s)", "offered to", "")
    for one in outcomes:
        verdict = "[green]ok[/]" if one.is_as_planned else "[red]wrong[/]"
        offers = "\n".join(one.offers)
        calls.add_row(one.ani, one.does, one.should_be, one.was, one.waited, one.talked, offers, verdict)
    screen.print(calls)
    screen.print("\nRecordings: left the caller, right what the caller heard", style="bold")
    recorded = table("file", "length (s)")
    for one in outcomes:
        if one.recording:
            recorded.add_row(one.recording, one.recorded)
    screen.print(recorded)
    n_wrong = sum(not one.is_as_planned for one in outcomes)
    if n_wrong:
        screen.print(f"[red]{n_wrong} of {len(outcomes)} calls did not end as the plan says.[/red]")
    else:
        screen.print(f"[green]All {len(outcomes)} calls ended as the plan says.[/green]")
    longest = max(outcomes[: len(PARTS)], key=lambda one: len(one.offers))
    screen.print("Look next:")
    for command, what in (
        (f"agner --config {folder} cdr", "every call"),
        (f"agner --config {folder} ladder {longest.call}", "this one, message by message"),
        (f"agner --config {folder} explain --ani {longest.ani} --dnis {longest.dnis}", "what the plan says to it"),
        ("make run", "the daemon, and how to call it with a softphone"),
    ):
        screen.print(f"  {command:<80}{what}")
