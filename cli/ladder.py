"""`agner ladder CALL`: one call as a sequence ladder, drawn from the trace that engine/trace.py writes.

Three lanes: the caller, Agner, and whoever Agner calls (agents, transfer targets). One line for each event and each
command, with the seconds since the call arrived. `-->` is signalling, `~~>` is what somebody hears, `o` is what Agner
does with itself.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from cli.main import fail, load_or_exit
from cli.show import Row, completed, json_option, print_json, text
from engine.trace import parsed

GAP = 25  # characters between two lanes

# Event or command -> (gap, direction, label). Gap 0 lies between caller and Agner, 1 between Agner and the called.
# Labels are filled from the arguments of the line.
ARROWS: dict[str, tuple[int, str, str]] = {
    "CallArrived": (0, ">", "INVITE {dnis}"),
    "CallTurnedAway": (0, ">", "INVITE {dnis}"),
    "CallerAnswered": (0, ">", "ACK"),
    "CallerDigit": (0, ">", "digit {digit}"),
    "CallerGone": (0, ">", "gone {status} {reason}"),
    "AnswerCaller": (0, "<", "200 OK"),
    "RejectCaller": (0, "<", "{status}"),
    "HangUpCaller": (0, "<", "BYE"),
    "CallbackBegan": (0, ">", "callback to {ani}"),
    "CallerHears": (0, ">", "early media"),
    "SendProgress": (0, "<", "183"),
    "RingCaller": (0, "<", "180"),
    "KeyChosen": (0, ">", "key {key}"),
    "DialCustomer": (0, "<", "INVITE"),
    "CustomerAnswered": (0, ">", "200 OK"),
    "CustomerRefused": (0, ">", "{status} {refusal}"),
    "PlayPrompts": (0, "~", "{items}"),
    "StopPrompts": (0, "~", "prompts stop"),
    "StartMusic": (0, "~", "music {music}"),
    "StopMusic": (0, "~", "music stops"),
    "RingAgent": (1, ">", "INVITE {agent} #{offer}"),
    "DialOut": (1, ">", "INVITE {uri} #{offer}"),
    "CalledRinging": (1, "<", "ringing #{offer}"),
    "CalledAnswered": (1, "<", "200 OK #{offer}"),
    "CalledRefused": (1, "<", "{status} {refusal} #{offer}"),
    "CalledGone": (1, "<", "gone #{offer}"),
    "TalkEnded": (1, "<", "gone #{offer}"),
    "SentTo": (1, "<", "REFER #{offer}"),
    "SentIntoPlan": (1, "<", "REFER"),
    "PutThrough": (1, "<", "REFER, Replaces #{offer}"),
    "ReportTransfer": (1, ">", "NOTIFY {status}"),
    "Greet": (1, "~", "{whisper}"),
    "HangUpCalled": (1, ">", "CANCEL or BYE #{offer}"),
}
KEPT_OF: dict[str, tuple[str, ...]] = {
    "cdr": ("disposition", "status", "ended_by", "recording"),
    "segment": ("kind", "outcome", "agent"),
    "caller": ("ani", "dnis", "trunk"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the ladder: seconds since the call arrived, the drawing, what stands beside it."""

    at_s: float
    drawing: str
    beside: str


def _call_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return completed(ctx, "calls", "call", incomplete)


@click.command()
@click.argument("call", shell_complete=_call_ids)
@json_option
@click.pass_obj
def ladder(folder: Path, call: str, as_json: bool) -> None:
    """Draw a call as a ladder: what came, what Agner did, how the call's state moved.

    CALL is an id as `agner calls` and `agner cdr` show it. Calls that are up can be drawn as well.
    """
    settings = load_or_exit(folder).settings
    traced = read_trace(Path(settings.folder) / "trace", call)
    if not traced:
        fail(f"no call {call!r} is in the trace; traces are kept for {settings.trace_days} days")
    if as_json:
        print_json(traced)
        return
    first = traced[0]
    click.echo(f"call {text(call)}, {first['at']}")
    for line in draw(traced):
        click.echo(line)


def read_trace(folder: Path, call: str) -> list[Row]:
    """The lines of one call, the latest days first looked through; a call may go on over midnight."""
    found: list[Row] = []
    needle = json.dumps(call, ensure_ascii=False)
    for file in sorted(folder.glob("????-??-??.jsonl"), reverse=True):
        with file.open(encoding="utf-8", errors="replace") as lines:
            candidates = [row for line in lines if needle in line and (row := parsed(line))]
        of_call = [row for row in candidates if row.get("call") == call]
        if found and not of_call:
            break
        found = of_call + found
    return found


def draw(traced: list[Row]) -> Iterator[str]:
    """The ladder, line by line."""
    caller = traced[0]["args"].get("caller", {})
    names = (text(caller.get("ani") or "caller"), "Agner", "agent / called")
    yield "   seconds  " + "".join(f"{name:<{GAP + 1}}" for name in names).rstrip()
    began = traced[0]["t"]
    for line in traced:
        for one in _lines_of(line, line["t"] - began):
            yield f"{one.at_s:10.3f}  {one.drawing}  {one.beside}".rstrip()


def _lines_of(line: Row, at_s: float) -> Iterator[Line]:
    """The event with its move, then its commands."""
    was, state = line["was"], line["state"]
    beside = [f"{was} -> {state}" if was != state else ""]
    if line.get("note"):
        beside.append(f"({text(line['note'])})")
    yield _line(at_s, line["event"], line["args"], beside)
    for command in line["commands"]:
        arguments = {name: value for name, value in command.items() if name != "do"}
        yield _line(at_s, command["do"], arguments, [])


def _line(at_s: float, name: str, arguments: Row, beside: list[str]) -> Line:
    if name == "Bridge":
        return Line(at_s, "|<" + f" bridge #{arguments.get('offer')} ".center(2 * GAP - 1, "=") + ">|", "")
    if name not in ARROWS:
        label = _fit(f" {name}", GAP)
        beside = [*beside, _told(arguments)]
        return Line(at_s, f"|{' ' * GAP}o{label:<{GAP}}|", "  ".join(filter(None, beside)))
    gap, direction, form = ARROWS[name]
    gaps = [" " * GAP, " " * GAP]
    gaps[gap] = _arrow(direction, _label(form, arguments))
    return Line(at_s, f"|{gaps[0]}|{gaps[1]}|", "  ".join(filter(None, beside)))


def _arrow(direction: str, label: str) -> str:
    label = _fit(label, GAP - 6)
    if direction == ">":
        return f"-- {label} ".ljust(GAP - 1, "-") + ">"
    stroke = "~" if direction == "~" else "-"
    return f"<{stroke} {label} ".ljust(GAP, stroke)


def _label(form: str, arguments: Row) -> str:
    flat: dict[str, Any] = {**arguments, **arguments.get("caller", {})}
    values = {name: " ".join(map(_item, value)) if isinstance(value, list) else value for name, value in flat.items()}
    return text(form.format_map(_Blank(values))).strip()


def _item(item: Any) -> str:
    """A prompt by its name, a spoken value by its kind and value, a file by its path."""
    return " ".join(str(part) for part in item.values() if part) if isinstance(item, dict) else str(item)


class _Blank(dict[str, Any]):
    """A trace of another version may lack an argument."""

    def __missing__(self, key: str) -> str:
        return "?"


def _told(arguments: Row) -> str:
    parts = []
    for name, value in arguments.items():
        if isinstance(value, dict) and "step" in value:
            parts.append(f"{value['place']} {value['step']}")
        elif isinstance(value, dict):
            kept = KEPT_OF.get(name, tuple(value))
            parts += [f"{key}={value[key]}" for key in kept if value.get(key) is not None]
        elif value is not None:
            parts.append(f"{name}={value}")
    return text(" ".join(parts))


def _fit(label: str, width: int) -> str:
    return label if len(label) <= width else label[: width - 1] + "…"
