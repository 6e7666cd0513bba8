"""`agner run`: the daemon in the foreground. Counterpart: engine/app.py, which it only starts and tells about."""

import gc
import logging
import sys
from pathlib import Path

import click

from engine.app import Daemon, StartError
from engine.callflow.plan import PlanBook
from engine.callflow.settings import Settings


@click.command()
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="How much goes to stderr. What happens in calls is in the trace, whatever this says.",
)
@click.option("--quiet", is_flag=True, help="Do not explain how to call the switch.")
@click.pass_obj
def run(folder: Path, log_level: str, quiet: bool) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    It then takes no new calls, lets talks finish for as long as `drain` in switch.yaml says, writes every record and
    exits with 0. A second signal ends the talks at once. Exit code 2: it cannot start, and says why.
    """
    gc.freeze()  # what was imported stays: no collection need look at it
    _log_to_stderr(log_level)
    try:
        daemon = Daemon(folder)
    except StartError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(2)
    if not quiet:
        _explain(folder, daemon.running.settings, daemon.running.book)
    daemon.run()


def _log_to_stderr(level: str) -> None:
    handler: logging.Handler
    if sys.stderr.isatty():
        from rich.logging import RichHandler  # a service starts without it, and sooner

        handler = RichHandler(show_path=False)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], format="%(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _explain(folder: Path, settings: Settings, book: PlanBook) -> None:
    sip = settings.sip
    ports = [f"{name} {port}" for name, port in (("UDP", sip.udp_port), ("TCP", sip.tcp_port)) if port is not None]
    number = next(iter(book.numbers))
    sources = ", ".join(str(network) for trunk in settings.trunks for network in trunk.sources)
    click.echo(f"Agner listens on {' and '.join(sip.addresses)}, {' and '.join(ports)}. Stop it with Ctrl-C.")
    click.echo(
        f"  call it:    sip:{number}@{sip.address}:{sip.udp_port or sip.tcp_port} from {sources}; no registration"
    )
    click.echo(f"  numbers:    {', '.join(book.numbers)}")
    click.echo(f"  agents:     their phones are where {folder}/staff.yaml says; they answer like any SIP phone")
    click.echo("  watch:      agner top       (in another terminal)")
    click.echo("  afterwards: agner cdr       agner recordings       agner ladder CALL")
