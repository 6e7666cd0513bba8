"""A recorded day through the core once more: the same verbs at the same times must bring about the same, bit for bit.

The trace holds everything that the ACD was asked (engine/acd tells it). This file builds the ACD again from the
trace's first line, asks it the same, and compares line by line what it tells: every offer and every change of an
agent's state with its time, at the end the counters. No configuration, clock or network is needed. A trace may hold
several runs of the daemon, one behind the other; a run may go on over several files, and its first files may be gone:
then it is played from the first checkpoint on.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from acd_core import AcdError
from engine.acd import Acd, Followed, UnknownName
from engine.callflow.events import Refusal
from engine.callflow.plan import PlanBook
from engine.callflow.staff import Staff
from engine.callflow.steps import Queue
from engine.encoding import decode

Row = dict[str, Any]

# verb -> how it is asked, with the arguments of its line
_ASK: Mapping[str, Callable[[Acd, "Exact", Row, float], None]] = {
    "log_in": lambda acd, run, args, now: acd.log_in(args["agent"], now),
    "log_out": lambda acd, run, args, now: acd.log_out(args["agent"], now),
    "ready": lambda acd, run, args, now: acd.ready(args["agent"], now),
    "not_ready": lambda acd, run, args, now: acd.not_ready(args["agent"], args["reason"], now),
    "phone_gone": lambda acd, run, args, now: acd.phone_gone(args["agent"], now),
    "phone_back": lambda acd, run, args, now: acd.phone_back(args["agent"], now),
    "outside_began": lambda acd, run, args, now: acd.outside_began(args["agent"], now),
    "outside_dialled": lambda acd, run, args, now: acd.outside_dialled(args["agent"], now),
    "outside_ended": lambda acd, run, args, now: acd.outside_ended(args["agent"], now),
    "enqueue": lambda acd, run, args, now: acd.enqueue(args["call"], run.step(args), now, args.get("arrival")),
    "leave": lambda acd, run, args, now: acd.leave(args["call"], args["outcome"], now),
    "take": lambda acd, run, args, now: acd.take(args["offer"], now),
    "decline": lambda acd, run, args, now: acd.decline(args["offer"], Refusal(args["refusal"]), now),
    "give_back": lambda acd, run, args, now: acd.give_back(args["offer"], now),
    "cleared": lambda acd, run, args, now: acd.cleared(args["offer"], now),
    "release": lambda acd, run, args, now: acd.release(args["call"], now),
    "advance": lambda acd, run, args, now: acd.advance(now),
    "apply": lambda acd, run, args, now: acd.reconfigure(*configured(args), args["digest"], now),
    "checkpoint": lambda acd, run, args, now: acd.checkpoint(now, args["now"]),
    "stop": lambda acd, run, args, now: acd.stop(now),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a run parts from its trace: the number of the ACD line, and what each side has there."""

    n: int
    recorded: Any
    replayed: Any


class Exact:
    """One run of the daemon, from its `start` line or a `checkpoint` on. Take every ACD line; stop at the first
    difference."""

    def __init__(self, start: Row) -> None:
        about = start["args"]
        self.digest: str = about["digest"]
        self.version: str = about["version"]
        self.began_at: str = start["at"]
        self.n_verbs = 0
        self.n_offers = 0
        self.difference: Difference | None = None
        self.counters_agree: bool | None = None  # None while the closing line has not come: the daemon did not stop
        self.n = start["n"]  # of the line taken last, of those without a gap
        self._told: list[Row] = []
        if start["acd"] == "start":
            self._acd = Acd(*configured(about), about["n_calls"], start["t"], self._hear, about["seed"])
        else:
            self._resume(start)
        self._told.clear()

    def _resume(self, checkpoint: Row) -> None:
        """The state that is told must be the one that is in the core's memory."""
        try:
            self._acd = Acd.restored(checkpoint["args"], checkpoint["t"], self._hear)
            self._acd.checkpoint(checkpoint["t"], checkpoint["args"]["now"])
            self._compare(checkpoint, self._told[0])
        except (AcdError, KeyError) as error:  # memory with agents or queues that it has no names for
            self.difference = Difference(self.n, "a checkpoint", {"error": str(error)})

    def step(self, args: Row) -> Queue:
        """The queue step that a call came to: one of the plans, or as the line tells it."""
        if not isinstance(args["step"], str):
            told: Queue = decode(Queue, args["step"])
            return told
        step = self._acd.floor.steps[args["step"]]
        if step.preferred and "preferred" in args:
            return replace(step, preferred=replace(step.preferred, agent=args["preferred"]))
        return step

    def _hear(self, now: float, verb: str, arguments: Row, followed: Followed) -> None:
        out = [list(output) for output in followed]
        self._told.append({"t": now, "acd": verb, "args": arguments, "out": out})

    def take(self, line: Row) -> None:
        due = self.n + 1
        if line["n"] != due and self.difference is None:
            lost = f"lines {due} to {line['n'] - 1} of the ACD are missing: the disk was too slow for the trace"
            self.difference = Difference(due, lost, None)
        if line["n"] == due:
            self.n = due
        if self.difference:
            return
        replayed = self._ask(line)
        self.n_verbs += line["acd"] not in ("advance", "checkpoint", "stop")
        self.n_offers += sum(output[0] == "OFFER" for output in line["out"])
        self._compare(line, replayed)
        if line["acd"] == "stop":
            self.counters_agree = self.difference is None

    def _compare(self, line: Row, replayed: Row | None) -> None:
        recorded = {name: line[name] for name in ("t", "acd", "args", "out")}
        if line["acd"] == "checkpoint" and replayed and "args" in replayed:
            recorded, replayed = _comparable(recorded), _comparable(replayed)
        if replayed != recorded:
            self.difference = Difference(self.n, *_apart(recorded, replayed))

    def _ask(self, line: Row) -> Row | None:
        """What the ACD tells now; None if it tells nothing."""
        try:
            _ASK[line["acd"]](self._acd, self, line["args"], line["t"])
        except (KeyError, UnknownName) as error:
            return {"error": f"{line['acd']}: the trace names no {error} before"}
        except Exception as error:  # whatever the core refuses now and took then is a difference
            return {"error": f"{type(error).__name__}: {error}"}
        finally:
            self._acd.take_events()
            self._acd.take_spans()
        told, self._told = self._told, []
        return told[0] if len(told) == 1 else {"error": f"{len(told)} lines instead of one", "lines": told}


def _comparable(checkpoint: Row) -> Row:
    """Without what says nothing of the state: the core's memory has bytes that mean nothing."""
    args = {key: value for key, value in checkpoint["args"].items() if key not in ("core", "digest", "version")}
    return {**checkpoint, "args": args}


def _apart(recorded: Row, replayed: Row | None) -> tuple[Any, Any]:
    """The smallest part of two lines that differs."""
    if replayed is None or "error" in replayed:
        return recorded, replayed
    if recorded["acd"] in ("stop", "checkpoint") and recorded["args"] != replayed["args"]:
        pairs = [
            (f"{what} {n} {name}", mine[name], row.get(name))
            for what, rows in recorded["args"].items()
            if what in ("queues", "agents", "serving", "calls")
            for n, (mine, row) in enumerate(zip(rows, replayed["args"].get(what, ()), strict=False), 1)
            for name in mine
            if mine[name] != row.get(name)
        ]
        if pairs:
            return {name: mine for name, mine, _ in pairs}, {name: other for name, _, other in pairs}
        keys = [key for key, value in recorded["args"].items() if value != replayed["args"].get(key)]
        return {key: recorded["args"][key] for key in keys}, {key: replayed["args"].get(key) for key in keys}
    for mine, other in zip(recorded["out"], replayed["out"], strict=False):
        if mine != other:
            return mine, other
    return recorded, replayed


def configured(args: Row) -> tuple[Staff, PlanBook]:
    """Staff and plans of a `start` or `apply` line."""
    return decode(Staff, args["staff"]), PlanBook(tuple(decode(Queue, step) for step in args["steps"]), {}, {})


def replay(rows: Iterable[Row]) -> list[Exact]:
    """Every run in the lines of a trace. Lines of calls are passed over, so are ACD lines before the first start or
    checkpoint. Where a run has lines missing, its next checkpoint begins another."""
    runs: list[Exact] = []
    for row in rows:
        if "acd" not in row:
            continue
        if begins_run(row, runs[-1].n if runs else None):
            runs.append(Exact(row))
        elif runs:
            runs[-1].take(row)
    return runs


def begins_run(row: Row, n: int | None) -> bool:
    """Whether a replay begins at this line. `n`: the number of the line before it in the run, None without a run."""
    return row["acd"] == "start" or (row["acd"] == "checkpoint" and row["n"] - 1 != n)
