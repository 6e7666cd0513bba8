"""`agner top`: the floor live. One look at the daemon for each frame; board() draws it, for the demo as well."""

import sys
import time
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cli.live import agent_table, queue_table
from cli.show import Row, ask_or_exit, cell, console, json_option, print_json, seconds, table

CALLS_SHOWN = 15


@click.command()
@click.option("--once", is_flag=True, help="One frame, then end.")
@click.option("--every", "every_s", default=0.5, show_default=True, type=click.FloatRange(0.1), help="Seconds a frame.")
@json_option
@click.pass_obj
def top(folder: Path, once: bool, every_s: float, as_json: bool) -> None:
    """Watch queues, waiting callers, agents and calls per second live, until Ctrl-C.

    In a terminal that cannot move its cursor, and in a pipe, the frames are printed one below the other.
    """
    floor = ask_or_exit(folder, "floor")
    if as_json:
        print_json(floor)
        return
    screen = console()
    if once:
        screen.print(board(floor, screen.width))
        return
    try:
        _run(screen, folder, floor, every_s)
    except KeyboardInterrupt:
        sys.exit(0)


def _run(screen: Console, folder: Path, floor: Row, every_s: float) -> None:
    if not screen.is_terminal or screen.is_dumb_terminal:
        while True:
            screen.print(board(floor, screen.width))
            time.sleep(every_s)
            floor = ask_or_exit(folder, "floor")
    with Live(board(floor, screen.width), console=screen, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(every_s)
            live.update(board(ask_or_exit(folder, "floor"), screen.width), refresh=True)


def board(floor: Row, width: int) -> RenderableType:
    """One frame of that many columns, from the answer to `floor`."""
    live = [call for call in floor["calls"] if call["position"] is None]
    waiting = sorted(
        (call for call in floor["calls"] if call["position"] is not None),
        key=lambda call: (call["queue"] or "", call["position"]),
    )
    agents = [agent for agent in floor["agents"] if agent["state"] != "LOGGED_OUT"]
    n_out = len(floor["agents"]) - len(agents)
    parts: list[RenderableType] = [_head(floor["status"]), Text(), queue_table(floor["queues"], width)]
    if waiting:
        parts += [_title(f"Waiting: {len(waiting)}"), _waiting_table(waiting)]
    parts += [_title(f"Agents: {len(agents)} logged in, {n_out} out"), agent_table(agents, width)]
    if live:
        parts += [_title(f"Other calls: {len(live)}"), _calls_table(live)]
    return Group(*parts)


def _title(words: str) -> Text:
    return Text("\n" + words, style="bold")


def _head(status: Row) -> Text:
    head = Text.from_markup(
        f"[bold]Agner {escape(status['version'])}[/]  up {_clock(status['uptime_s'])}   "
        f"calls [bold]{status['n_calls']}[/]   legs {status['n_legs']}   "
        f"[bold]{status['calls_per_s']:.1f}[/] calls/s   {status['calls_total']} in all   "
        f"engine load {100 * status['load']:.0f} %, delay {status['engine_delay_ms']:.1f} ms   "
        f"records waiting {status['records_pending']}"
    )
    if status["draining"]:
        head.append("   draining: no new calls", style="bold yellow")
    if not status["storage_ok"]:
        head.append("   storage does not take records", style="bold red")
    if not status["recordings_ok"]:
        head.append("   recordings lose audio: their disk does not answer", style="bold red")
    if status["trace_dropped"]:
        head.append(f"   {status['trace_dropped']} lines of trace lost", style="bold red")
    return head


def _waiting_table(calls: list[Row]) -> Table:
    shown = table("queue", "n position", "ANI", "DNIS", "wait (s)", "state", "call")
    for call in calls[:CALLS_SHOWN]:
        cells = (cell(call["queue"]), str(call["position"]), cell(call["ani"]), cell(call["dnis"]))
        shown.add_row(*cells, seconds(call["wait_s"]), call["state"].lower(), cell(call["call"]))
    return _with_rest(shown, len(calls), at=1)


def _calls_table(calls: list[Row]) -> Table:
    shown = table("state", "in state (s)", "ANI", "DNIS", "agent", "call")
    for call in calls[:CALLS_SHOWN]:
        cells = (cell(call[key]) for key in ("ani", "dnis", "agent", "call"))
        shown.add_row(call["state"].lower(), seconds(call["state_s"]), *cells)
    return _with_rest(shown, len(calls), at=0)


def _with_rest(shown: Table, n_calls: int, at: int) -> Table:
    if n_calls > CALLS_SHOWN:
        shown.add_row(*[""] * at, f"... {n_calls - CALLS_SHOWN} more")
    return shown


def _clock(uptime_s: float) -> str:
    minutes, rest_s = divmod(int(uptime_s), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest_s:02}"
