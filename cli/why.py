"""`agner why`: why a call waits, which call an agent gets next. Counterpart: engine/why.py, through the daemon."""

from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from cli.show import Row, ask_or_exit, cell, completed, console, json_option, print_json, seconds, table

# The core's verdicts in an operator's words.
VERDICTS = {
    "OK": "could take it now",
    "NOT_SERVING": "does not serve this queue",
    "LOGGED_OUT": "logged out",
    "NOT_READY": "not ready",
    "RESERVED": "another call is ringing there",
    "CLEARING": "a call was taken back there, and the phone has not confirmed it yet",
    "TALKING": "in a talk",
    "ACW": "in wrap-up",
    "RESERVE_OFF": "kept in reserve, and the queue is not in need",
    "TOO_EARLY": "helps this queue only from a longer wait on",
    "LACKS_SKILL": "lacks a skill it needs",
    "NOT_IN_GROUP": "not of the group whose turn it is",
    "HELD": "the call waits for its preferred agent",
    "DECLINED": "declined this call, and others are untried",
    "NOT_WAITING": "the call is offered or in talk already",
}


def _calls(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return completed(ctx, "calls", "call", incomplete)


def _agents(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return completed(ctx, "agents", "agent", incomplete)


@click.group()
def why() -> None:
    """Tell why a call waits, or which call an agent gets next.

    The answer comes from the rules that match calls and agents, asked at this moment.
    """


@why.command("call")
@click.argument("call", shell_complete=_calls)
@json_option
@click.pass_obj
def why_call(folder: Path, call: str, as_json: bool) -> None:
    """Who could take a waiting call, who could not and why, and which calls stand before it."""
    row = ask_or_exit(folder, "why_call", id=call)
    if as_json:
        print_json(row)
        return
    screen = console()
    screen.print(_sentence(row))
    for line in _who_and_when(row):
        screen.print(line)
    if row["before"]:
        screen.print("\nBefore it: " + ", ".join(f"{one['call']} ({one['queue']})" for one in row["before"]))
    shown = table("agent", "now", "time left (s)")
    for one in row["agents"]:
        shown.add_row(cell(one["agent"]), cell(VERDICTS[one["verdict"]]), seconds(one["in_s"]))
    screen.print()
    screen.print(shown)


def _who_and_when(row: Row) -> Iterator[str]:
    """Whose turn it is, who comes first, what changes as it waits on."""
    if row["preferred"]:
        alone = f", alone for {row['held_in_s']:.0f} s yet" if row["held_in_s"] is not None else ""
        yield f"First: agent {row['preferred']}{alone}"
    if row["groups"]:
        yield f"Its turn: group {' or '.join(row['groups'])}"
    for rung in row["later"]:
        who = f"group {' or '.join(rung['groups'])}" if rung["groups"] else "everybody"
        parts = [who, f"needs {_needs(rung['needs'])}"]
        if rung["strict_priority"]:
            parts.append("strict priority")
        elif rung["head_start_s"]:
            parts.append(f"head start {rung['head_start_s']:g} s")
        yield f"In {rung['in_s']:.0f} s: {', '.join(parts)}"
    if reserves := row["reserves"]:
        yield f"Reserves of the queue: {_reserves(reserves)}"


def _reserves(reserves: Row) -> str:
    which = "until" if reserves["serve_now"] else "from"
    limits = []
    if reserves["from_wait_s"] is not None:
        wait = reserves[f"{which}_wait_s"]
        limits.append(f"a wait of {wait:g} s" if wait or which == "from" else "nobody waits")
    if reserves["from_sl_percent"] is not None:
        limits.append(f"a service level of {reserves[f'{which}_sl_percent']:g} %")
    if reserves["serve_now"]:
        return f"serve it now, until {' and '.join(limits)}"
    return f"stand by, from {' or '.join(limits)} on"


def _needs(terms: list[dict[str, int]]) -> str:
    ways = [" and ".join(f"{skill}>={level}" for skill, level in term.items()) for term in terms]
    return " or ".join(ways) or "no skill"


def _sentence(row: Row) -> str:
    parts = [f"{row['call']}: {row['state'].lower()} in queue {row['queue']} for {row['waited_s']:.1f} s"]
    if row["position"]:
        parts.append(f"position {row['position']}")
    if row["strict_priority"]:
        parts.append("strict priority")
    elif row["head_start_s"]:
        parts.append(f"head start {row['head_start_s']:g} s")
    parts.append(f"needs {_needs(row['needs'])}")
    if row["relaxation_step"]:
        parts.append(f"relaxed to step {row['relaxation_step']}")
    if row["leaves_in_s"] is not None:
        parts.append(f"gives up in {row['leaves_in_s']:.0f} s")
    return ", ".join(parts)


@why.command("agent")
@click.argument("agent", shell_complete=_agents)
@json_option
@click.pass_obj
def why_agent(folder: Path, agent: str, as_json: bool) -> None:
    """What an agent does, and which call comes next."""
    row = ask_or_exit(folder, "why_agent", id=agent)
    if as_json:
        print_json(row)
        return
    screen = console()
    doing = row["state"].lower().replace("_", " ") + (f" ({row['reason']})" if row["reason"] else "")
    on_call = f", call {row['call']}" if row["call"] else ""
    screen.print(f"{row['agent']}: {doing} for {row['state_s']:.1f} s{on_call}")
    screen.print(f"Next call if free now: {row['next'] or 'none waits that this agent may take'}\n")
    shown = table("queue", "first waiting call", "this agent")
    for one in row["queues"]:
        shown.add_row(cell(one["queue"]), cell(one["first"]), VERDICTS.get(one["verdict"] or "", ""))
    screen.print(shown)
