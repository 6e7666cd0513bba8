"""`agner`: the front of the command line. The commands are in the modules beside it, each read only when it is used.

Exit codes: 0 done; 1 refused, failed or not found, with the reason on stderr; 2 a mistake in the configuration or on
the command line; 3 no daemon runs. Counterpart: every command gets the configuration's folder by `@click.pass_obj`;
load_or_exit() reads it.
"""

import gc
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from click.shell_completion import CompletionItem, get_completion_class

if TYPE_CHECKING:
    from engine.config import Configuration

# Command -> its module, and its line in the help: so that help and completion of names read no module.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("cli.demo", "Put a real call floor through the daemon for half a minute."),
    "run": ("cli.run", "Run the daemon."),
    "check": ("cli.dry", "Check the configuration."),
    "diff": ("cli.reload", "Show what a reload would change."),
    "reload": ("cli.reload", "Have the daemon take up the changed configuration."),
    "explain": ("cli.dry", "Tell what a call would meet, line by line."),
    "top": ("cli.top", "Watch the floor live."),
    "queues": ("cli.live", "Show the queues."),
    "agents": ("cli.live", "Show agents; log them in or out, ready or not ready."),
    "calls": ("cli.live", "Show calls; hang one up."),
    "why": ("cli.why", "Tell why a call waits, or which call an agent gets next."),
    "trunks": ("cli.trunks", "Show the trunks: calls, limits, destinations, registrations."),
    "bans": ("cli.bans", "Show strangers that are kept out; let one in again."),
    "cdr": ("cli.reports", "Show what became of calls."),
    "recordings": ("cli.reports", "Find recordings."),
    "customers": ("cli.customers", "Keep the customers that routing knows."),
    "blacklist": ("cli.blacklist", "Show or change who is not let in."),
    "callbacks": ("cli.callbacks", "Show the calls that customers are owed; change one."),
    "messages": ("cli.messages", "Show voicemail; set the PIN of a box."),
    "phones": ("cli.phones", "Show the agents' phones; set a phone's password."),
    "ladder": ("cli.ladder", "Draw a call from the trace."),
    "replay": ("cli.replay", "Play a traced day again; or with other plans and staff."),
    "bench": ("cli.bench", "Measure this machine under load."),
    "completion": ("cli.main", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """Knows its commands by name and help; reads the module of the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        gc.disable()  # imports make no garbage, and looking for some takes a fifth of their time
        try:
            command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        finally:
            gc.enable()
        assert isinstance(command, click.Command), cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_module, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if ctx.params.get("version") or incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from engine.config.yaml_nodes import guess

            ctx.fail(f"no command is called {args[0]!r}{guess(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    default="config",
    envvar="AGNER_CONFIG",
    show_default=True,
    show_envvar=True,
    help="Where switch.yaml, staff.yaml and plans/ are.",
)
@click.version_option(package_name="agner", prog_name="agner")
@click.pass_context
def main(ctx: click.Context, folder: Path) -> None:
    """Agner: a softswitch and call distributor for call floors."""
    ctx.obj = folder


def load_or_exit(folder: Path, as_json: bool = False) -> "Configuration":
    """The configuration; if it cannot be used, its complaints on stderr (or as JSON on stdout) and exit code 2."""
    from engine.config import Complaints, load

    try:
        return load(folder)
    except Complaints as complaints:
        if as_json:
            import json
            from dataclasses import asdict

            click.echo(json.dumps({"ok": False, "complaints": [asdict(one) for one in complaints.found]}, indent=2))
        else:
            for one in complaints.found:
                click.echo(str(one), err=True)
            n_found = len(complaints.found)
            click.echo(f"{n_found} mistake{'s' if n_found > 1 else ''} in the configuration", err=True)
        sys.exit(2)


def fail(text: str) -> NoReturn:
    """Say why on stderr; exit code 1."""
    click.echo(f"agner: {text}", err=True)
    sys.exit(1)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    For bash: agner completion bash > ~/.local/share/bash-completion/completions/agner
    """
    kind = get_completion_class(shell)
    assert kind is not None, shell
    click.echo(kind(main, {}, "agner", "_AGNER_COMPLETE").source())


if __name__ == "__main__":
    main()
