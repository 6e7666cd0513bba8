"""`agner diff` and `agner reload`: what has changed in the configuration since the daemon took it up, and taking it up.

Counterparts: engine/config/difference.py, which compares; engine/reload.py, which answers in the daemon.
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cli.main import load_or_exit
from cli.show import ask_or_exit, json_option, print_json, text
from engine.config.difference import Change, difference

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@click.pass_obj
def diff(configured: Path, folder: Path | None, as_json: bool) -> None:
    """Show what a reload would change: queues, agents, numbers, plans step by step, settings.

    With FOLDER, compare that configuration with the one of --config; then no daemon is needed.
    """
    if folder is None:
        changes = _changes(ask_or_exit(configured, "diff"))
    else:
        changes = difference(load_or_exit(folder, as_json), load_or_exit(configured, as_json))
    if as_json:
        print_json([asdict(change) for change in changes])
    else:
        _show(changes)


@click.command()
@json_option
@click.pass_obj
def reload(folder: Path, as_json: bool) -> None:
    """Have the daemon take up the changed configuration, all of it or nothing, and show what changed.

    Calls go on: those that wait are served by the new queues and agents, and walk on in the plan that they began
    with. A mistake leaves the old configuration as it is. SIGHUP does the same.
    """
    load_or_exit(folder, as_json)  # mistakes are told as `agner check` tells them
    changes = _changes(ask_or_exit(folder, "reload"))
    if as_json:
        print_json([asdict(change) for change in changes])
        return
    _show(changes)
    restart = sum(change.needs_restart for change in changes)
    click.echo(f"taken up: {len(changes) - restart} of {len(changes)} changes" if changes else "nothing has changed")
    if restart:
        click.echo(f"{restart} will hold after a restart")


def _changes(outcome: dict[str, Any]) -> list[Change]:
    return [Change(**{**change, "details": tuple(change["details"])}) for change in outcome["changes"]]


def _show(changes: Iterable[Change]) -> None:
    for change in changes:
        click.echo(text(f"{_SIGNS[change.kind]} {change}"))
        for detail in change.details:
            click.echo(text(f"    {detail}"))
