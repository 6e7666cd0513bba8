"""`agner replay TRACE...`: a traced day through the ACD once more.

Without a changed configuration: the same verbs must bring about the same offers, line by line, and the auditor looks at
every assignment (engine/replay.py, engine/audit). With one: the same people meet it (engine/whatif.py).
"""

import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from cli.main import fail, load_or_exit
from cli.show import Row, cell, console, json_option, print_json, table, text
from engine.audit import Audit
from engine.day import LinesMissing, days
from engine.encoding import digest
from engine.replay import Exact, begins_run
from engine.trace import read
from engine.whatif import compare

N_PROBLEMS = 20  # of the auditor that are shown; --json has all
COLUMNS = (
    ("offered", "n offered"),
    ("answered", "n answered"),
    ("abandoned", "n abandoned"),
    ("timed_out", "n timed out"),
    ("overflowed", "n overflowed"),
    ("asa_s", "ASA (s)"),
    ("p50_s", "p50 (s)"),
    ("p95_s", "p95 (s)"),
    ("sl_percent", "SL (%)"),
)


@click.command()
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--config",
    "changed",
    metavar="FOLDER",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Play the same callers and agents through this configuration, if it is not the one of the trace.",
)
@click.option("--what-if", is_flag=True, help="Do so even if it is: shows how near the simulation comes.")
@json_option
@click.pass_obj
def replay(folder: Path, traces: tuple[Path, ...], changed: Path | None, what_if: bool, as_json: bool) -> None:
    """Play a traced day through the ACD again, from trace files or their folder, in the order of time.

    Every verb is asked at its recorded time; offers, agents' states and the final counters must come out the same, and
    each assignment is checked against the rules by an auditor of its own. Exit code 0 if all of it holds, 1 if not.

    With --config and a changed configuration: a table of waits and service level, recorded beside replayed.
    """
    files = [file for path in traces for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    configuration = load_or_exit(changed or folder) if changed or what_if else None
    try:
        if configuration:
            found = days(read(files))
            _need(found)
            wanted = digest(configuration.staff, configuration.book)
            if what_if or any(day.digest != wanted for day in found):
                _show_comparison(compare(found, configuration.staff, configuration.book), as_json)
                return
        _replay(files, as_json)
    except LinesMissing as error:
        fail(str(error))
    except BrokenPipeError:  # of what is printed, not of what is read
        raise
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    except (KeyError, TypeError, ValueError) as error:
        wrote = next((row["args"].get("version") for row in read(files) if row.get("acd") == "start"), "?")
        fail(f"not a trace that this version {version('agner')} can read; {wrote} wrote it ({error})")


def _need(found: list[Any]) -> None:
    if not found:
        fail("no run of the daemon begins in this trace; name the file of the day before as well")


def _replay(files: list[Path], as_json: bool) -> None:
    runs: list[tuple[Exact, Audit]] = []
    for row in read(files):
        if "acd" not in row:
            continue
        if begins_run(row, runs[-1][0].n if runs else None):
            runs.append((Exact(row), Audit(row)))
        elif runs:
            for one in runs[-1]:
                one.take(row)
    _need(runs)
    rows = [_row(exact, audit) for exact, audit in runs]
    if as_json:
        print_json({"ok": all(row["ok"] for row in rows), "runs": rows})
    else:
        for row in rows:
            for line in _told(row):
                click.echo(line)
    sys.exit(0 if all(row["ok"] for row in rows) else 1)


def _row(exact: Exact, audit: Audit) -> Row:
    difference = exact.difference
    return {
        "ok": difference is None and not audit.problems,
        "began_at": exact.began_at,
        "version": exact.version,
        "digest": exact.digest,
        "n_verbs": exact.n_verbs,
        "n_offers": exact.n_offers,
        "identical": difference is None,
        "counters_agree": exact.counters_agree,
        "difference": difference
        and {"line": difference.n, "recorded": difference.recorded, "replayed": difference.replayed},
        "problems": audit.problems,
    }


def _told(row: Row) -> Iterator[str]:
    yield f"run of {row['began_at']}, version {text(row['version'])}, configuration {text(row['digest'])}"
    counted = f"  {row['n_verbs']} verbs, {row['n_offers']} offers, "
    if difference := row["difference"]:
        yield counted + f"then a difference at line {difference['line']} of the ACD:"
        yield f"    recorded  {text(json.dumps(difference['recorded'], ensure_ascii=False))}"
        yield f"    replayed  {text(json.dumps(difference['replayed'], ensure_ascii=False))}"
    else:
        closing = {True: "counters identical", None: "no counters: the daemon did not come to its end"}
        yield counted + f"identical; {closing[row['counters_agree']]}"
    n_wrong = len(row["problems"])
    yield "  audit: every assignment keeps the rules" if not n_wrong else f"  audit: {n_wrong} broken rules"
    for problem in row["problems"][:N_PROBLEMS]:
        yield f"    {text(problem)}"
    if n_wrong > N_PROBLEMS:
        yield f"    and {n_wrong - N_PROBLEMS} more"


def _show_comparison(found: Row, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    shown = table("queue", "", *(header for _, header in COLUMNS))
    for queue in found["queues"]:
        for which in ("recorded", "replayed"):
            name = queue["queue"] if which == "recorded" else ""
            shown.add_row(cell(name), which, *(_figure(queue[which][key]) for key, _ in COLUMNS))
    console().print(shown)
    for line in found["assumed"]:
        click.echo(line)
    if found["n_turned_away"]:
        click.echo(f"{found['n_turned_away']} callers dialled a number that leads to no plan now.")
    if found["n_not_asked"]:
        click.echo(f"{found['n_not_asked']} log-ins or changes of agents could not be repeated.")


def _figure(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.1f}"
