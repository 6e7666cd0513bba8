"""A recorded day through the core once more: the same verbs at the same times must bring about the same, bit for bit.

The trace holds everything that the ACD was asked (engine/acd.py tells it). This file builds the ACD again from the
trace's first line, asks it the same, and compares line by line what it tells: every offer and every change of an
agent's state with its time, at the end the counters. No configuration, clock or network is needed. A trace may hold
several runs of the daemon, one behind the other; a run may go on over several files.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.acd import Acd, Followed, UnknownName, place_of
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
    "enqueue": lambda acd, run, args, now: acd.enqueue(args["call"], run.steps[args["step"]], now),
    "leave": lambda acd, run, args, now: acd.leave(args["call"], args["outcome"], now),
    "take": lambda acd, run, args, now: acd.take(args["offer"], now),
    "decline": lambda acd, run, args, now: acd.decline(args["offer"], Refusal(args["refusal"]), now),
    "give_back": lambda acd, run, args, now: acd.give_back(args["offer"], now),
    "release": lambda acd, run, args, now: acd.release(args["call"], now),
    "advance": lambda acd, run, args, now: acd.advance(now),
    "stop": lambda acd, run, args, now: acd.stop(now),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a run parts from its trace: the number of the ACD line, and what each side has there."""

    n: int
    recorded: Any
    replayed: Any


class Exact:
    """One run of the daemon, from its `start` line on. Take every ACD line; stop at the first difference."""

    def __init__(self, start: Row) -> None:
        about = start["args"]
        self.digest: str = about["digest"]
        self.version: str = about["version"]
        self.began_at: str = start["at"]
        self.n_verbs = 0
        self.n_offers = 0
        self.difference: Difference | None = None
        self.counters_agree: bool | None = None  # None while the closing line has not come: the daemon did not stop
        steps = [decode(Queue, step) for step in about["steps"]]
        self.steps: dict[str, Queue] = {place_of(step): step for step in steps}
        self._n = start["n"]
        self._told: list[Row] = []
        book = PlanBook(tuple(steps), {}, {})
        self._acd = Acd(decode(Staff, about["staff"]), book, about["n_calls"], start["t"], self._hear, about["seed"])
        self._told.clear()

    def _hear(self, now: float, verb: str, arguments: Row, followed: Followed) -> None:
        out = [list(output) for output in followed]
        self._told.append({"t": now, "acd": verb, "args": arguments, "out": out})

    def take(self, line: Row) -> None:
        if self.difference:
            return
        self._n += 1
        if line["n"] != self._n:
            lost = f"lines {self._n} to {line['n'] - 1} of the ACD are missing: the disk was too slow for the trace"
            self.difference = Difference(self._n, lost, None)
            return
        recorded = {name: line[name] for name in ("t", "acd", "args", "out")}
        replayed = self._ask(line)
        self.n_verbs += line["acd"] not in ("advance", "stop")
        self.n_offers += sum(output[0] == "OFFER" for output in line["out"])
        if line["acd"] == "stop":
            self.counters_agree = replayed == recorded
        if replayed != recorded:
            self.difference = Difference(self._n, *_apart(recorded, replayed))

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


def _apart(recorded: Row, replayed: Row | None) -> tuple[Any, Any]:
    """The smallest part of two lines that differs."""
    if replayed is None or "error" in replayed:
        return recorded, replayed
    if recorded["acd"] == "stop" and recorded["args"] != replayed["args"]:
        pairs = [
            (f"{what} {n} {name}", mine[name], row.get(name))
            for what, rows in recorded["args"].items()
            for n, (mine, row) in enumerate(zip(rows, replayed["args"].get(what, ()), strict=False), 1)
            for name in mine
            if mine[name] != row.get(name)
        ]
        return {name: mine for name, mine, _ in pairs}, {name: other for name, _, other in pairs}
    for mine, other in zip(recorded["out"], replayed["out"], strict=False):
        if mine != other:
            return mine, other
    return recorded, replayed


def replay(rows: Iterable[Row]) -> list[Exact]:
    """Every run in the lines of a trace. Lines of calls are passed over, so are ACD lines before the first start."""
    runs: list[Exact] = []
    for row in rows:
        if row.get("acd") == "start":
            runs.append(Exact(row))
        elif "acd" in row and runs:
            runs[-1].take(row)
    return runs
