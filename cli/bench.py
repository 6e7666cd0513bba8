"""`agner bench`: load of the project's own on this Agner, on another switch, or on none. benchmarks/ does the work.

Its figures and scenarios are told in benchmarks/README.md.
"""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import click

from benchmarks import asterisk, capacity, command, elsewhere, reading, report
from benchmarks.daemon import configuration, write_configuration
from benchmarks.layout import Layout, SwitchError
from benchmarks.scenario import CODECS, RECORDINGS, Scenario
from engine.config import Complaints

_URI = re.compile(r"sip:(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?", re.ASCII)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[SCENARIO]...", nargs=-1)
@click.option("--list", "as_list", is_flag=True, help="The scenarios, and which are in the short set.")
@click.option("--calls", type=click.IntRange(1), help="Calls at once. Sets the talk time, or with --talk the rate.")
@click.option("--rate", type=click.FloatRange(0.1), help="New calls a second.")
@click.option("--talk", type=click.FloatRange(0.5), help="Talk time in seconds.")
@click.option("--duration", type=click.FloatRange(1), help="How many seconds are measured, after the warm-up.")
@click.option("--agents", type=click.IntRange(0), help="Agents who are there.")
@click.option("--codec", type=click.Choice(CODECS), help="Of both legs.")
@click.option("--record", type=click.Choice(RECORDINGS), help="How calls are recorded: a format, or not at all.")
@click.option(
    "--search",
    type=click.Choice(list(capacity.SEARCHES)),
    help="In place of a scenario: the most recorded calls at once without RTP lost, or the most set-ups a second"
    " without one that fails. Begins at --calls or --rate. Some minutes.",
)
@click.option(
    "--switch",
    type=click.Choice(["agner", "asterisk", "none"]),
    default="agner",
    show_default=True,
    help="What is called; none: callers dial the agents, which shows what the generator takes and adds.",
)
@click.option("--against", metavar="sip:IP[:PORT]", help="A switch that runs already, such as on another machine.")
@click.option("--from", "here", metavar="IP", help="With --against: this machine's address, as that switch reaches it.")
@click.option(
    "--write-config",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --against: only write the configuration that an Agner there needs, into this folder.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of results, plots and summary.  [default: var/bench]",
)
@click.option("--keep", is_flag=True, help="Keep the daemon's folder: configuration, log, trace, recordings.")
def bench(
    names: tuple[str, ...],
    as_list: bool,
    calls: int | None,
    rate: float | None,
    talk: float | None,
    duration: float | None,
    agents: int | None,
    codec: str | None,
    record: str | None,
    search: str | None,
    switch: str,
    against: str | None,
    here: str | None,
    write_config: Path | None,
    output: Path | None,
    keep: bool,
) -> None:
    """Measure this machine under load: the scenarios named, or a short set of some minutes.

    A SCENARIO is a name of --list, or a file of your own that ends in .yaml; benchmarks/README.md says what stands in
    it and what each figure means. The options override what stands there. An otherwise quiet machine is needed; where
    other programs run, put `chrt -r 1` before the command, as root. Ctrl-C prints what is known.

    The last line of stdout is one JSON object. Exit code 0: every limit kept; 1: one missed; 2: nothing measured.
    """
    scenarios = _scenarios(names)
    if as_list:
        for scenario in scenarios:
            click.echo(f"{scenario.name:<12} {'*' if scenario.in_short_set else ' '} {scenario.says}")
        click.echo("* the short set, run when no scenario is named")
        return
    if not names:
        scenarios = [scenario for scenario in scenarios if scenario.in_short_set]
    scenarios = [scenario.changed(calls, rate, talk, duration, agents, codec, record) for scenario in scenarios]
    make, layout = (
        {"agner": command.agner(keep), "asterisk": command.other(keep), "none": command.nobody}[switch],
        Layout(),
    )
    if switch == "none":
        scenarios = [replace(scenario, record="none") for scenario in scenarios]
    if against:
        make, layout = command.somebody, _layout(against, here)
        for scenario in scenarios:
            click.echo(elsewhere.tell(layout, scenario), err=True)
    elif here or write_config:
        raise click.UsageError("--from and --write-config go with --against")
    if write_config:
        _write(write_config, layout, scenarios)
        return
    try:
        if switch == "asterisk":
            asterisk.install(lambda text: report.say(text, lasting=True))
        if search:
            (base,) = reading.load(["steady"])
            base = base.changed(codec=codec, record=record)
            whole = command.search(search, layout, make, base, calls or rate, output or command.OUTPUT)
        else:
            whole = command.run_all(scenarios, layout, make, output or command.OUTPUT)
    except (SwitchError, OSError) as error:
        click.echo(f"agner bench: {error}", err=True)
        sys.exit(2)
    click.echo(json.dumps(whole))
    sys.exit(0 if whole["passed"] else 1)


def _scenarios(names: tuple[str, ...]) -> list[Scenario]:
    known = reading.known()
    for name in names:
        if not name.endswith(".yaml") and name not in known:
            raise click.UsageError(f"no scenario is called {name!r} (one of: {', '.join(known)})")
    try:
        return reading.load(names or known)
    except Complaints as complaints:
        click.echo(str(complaints), err=True)
        sys.exit(2)


def _layout(against: str, here: str | None) -> Layout:
    found = _URI.fullmatch(against)
    if not found:
        raise click.UsageError(f"--against: {against!r} is no address like sip:192.0.2.1:5060")
    if not here:
        raise click.UsageError("--against needs --from: the address of this machine that the switch reaches")
    return Layout.from_here(here, (found[1], int(found[2] or 5060)))


def _write(folder: Path, layout: Layout, scenarios: list[Scenario]) -> None:
    if len(scenarios) != 1:
        raise click.UsageError("--write-config is for one scenario: name it")
    write_configuration(folder, configuration(layout, scenarios[0], "var/bench-floor", "."))
    click.echo(
        f"written: there, in a checkout of Agner, `agner --config {folder} run`; then this again without --write-config"
    )
