"""A recorded day as its people lived it: who called, how long each waited, talked and was rung for; who worked when.

Read from the lines of one run of the daemon in a trace. Counterparts: engine/trace.py writes the lines,
engine/whatif.py lets the same people meet another configuration. Durations are in seconds, moments in engine time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any

from engine.callflow.plan import Caller
from engine.callflow.staff import Staff
from engine.callflow.steps import Queue
from engine.encoding import decode

Row = dict[str, Any]

_OUTSIDE = ("outside_began", "outside_dialled", "outside_ended")
_FAILED = ("refused", "no_answer", "busy", "unreachable")  # the core's reasons for not being ready after an offer
_IN_TALK = ("TALKING", "CLOSING", "ENDED")
_LEAVES = {"CallerGone": "abandoned", "HangUpOrdered": "withdrawn", "CallFailed": "failed"}


@dataclass
class Visit:
    """How a step ended that a caller walked: its result, after how long (infinity: the caller left there), and what
    the call learnt in it."""

    result: str
    seconds: float
    values: dict[str, str] = field(default_factory=dict)
    preferred: str = ""  # of a queue step: the agent it named


@dataclass
class Person:
    """A caller; `visits` are those of each step, by its description, in their order. A callback comes to a queue
    without a plan: `queued` is its step, and since when its place counts."""

    caller: Caller
    arrived: float
    leaves: float | None = None  # before an agent was on the line
    leaves_as: str = "abandoned"
    talk_s: float | None = None
    visits: defaultdict[str, list[Visit]] = field(default_factory=lambda: defaultdict(list))
    queued: tuple[Queue, float] | None = None


@dataclass
class Ring:
    """What an agent's phone did once. `refusal` None: it was answered, or it rang on when the caller or the agent left
    (`is_cut`). `back_s`: until the agent, not ready for that failure, said ready again. `clear_s`: until the phone was
    out of a call that was given up; inf: nobody was told."""

    ring_s: float
    refusal: str | None = None
    back_s: float | None = None
    is_cut: bool = False
    clear_s: float = 0.0


@dataclass
class Tally:
    """What became of the calls of one queue."""

    counts: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)  # of the answered

    def row(self, within_s: float) -> Row:
        """Service level: answered within `within_s` / offered and no longer waiting, in percent. p50 and p95 by the
        nearest rank. None where nothing is counted."""
        waits = sorted(self.waits_s)
        ended = self.counts["offered"] - self.counts["waiting"]
        return {
            **{what: self.counts[what] for what in ("offered", "answered", "abandoned", "timed_out", "overflowed")},
            "asa_s": round(sum(waits) / len(waits), 3) if waits else None,
            "p50_s": _rank(waits, 0.50),
            "p95_s": _rank(waits, 0.95),
            "sl_percent": round(100 * sum(wait <= within_s for wait in waits) / ended, 2) if ended else None,
        }


def _rank(ordered: list[float], share: float) -> float | None:
    return round(ordered[max(0, -int(-share * len(ordered) // 1) - 1)], 3) if ordered else None


class Tallies:
    """Counts the queues from what an ACD was asked and what followed, live or from a trace."""

    def __init__(self) -> None:
        self.queues: defaultdict[str, Tally] = defaultdict(Tally)
        self._waiting: dict[str, tuple[str, float]] = {}  # call -> queue, since
        self._offers: dict[int, str] = {}

    def take(self, now: float, verb: str, args: Row, followed: Iterable[Any]) -> None:
        if verb == "enqueue":
            self.queues[args["queue"]].counts["offered"] += 1
            self.queues[args["queue"]].counts["overflowed" if "refused" in args else "waiting"] += 1
            if "refused" not in args:
                self._waiting[args["call"]] = (args["queue"], now)
        elif verb == "take":
            if ended := self._end(self._offers.pop(args["offer"], ""), "answered"):
                self.queues[ended[0]].waits_s.append(now - ended[1])
        elif verb == "leave":
            self._end(args["call"], args["outcome"])
        for kind, _, call, _, number, _ in followed:
            if kind == "OFFER":
                self._offers[number] = call
            elif kind == "CALL_EXPIRED":
                self._end(call, "timed_out")
            elif kind == "CALL_OVERFLOWED":
                self._end(call, "overflowed")

    def _end(self, call: str, outcome: str) -> tuple[str, float] | None:
        """None: the call was there before the day began, and is not counted."""
        waited = self._waiting.pop(call, None)
        if waited:
            self.queues[waited[0]].counts["waiting"] -= 1
            self.queues[waited[0]].counts[outcome] += 1
        return waited


class LinesMissing(Exception):
    """The trace dropped lines of the ACD: the day cannot be known from it."""


class Day:
    """One run of the daemon, from its `start` line or a checkpoint on; take every line behind it, those of calls too.
    Calls that were there before a checkpoint are left out."""

    def __init__(self, start: Row) -> None:
        about = start["args"]
        configured = about["floor"] if start["acd"] == "checkpoint" else about
        self.digest: str = about["digest"]
        self.n_calls: int = about["n_calls"] if start["acd"] == "start" else about["room"]["n_calls"]
        self.seed: int = about.get("seed", 1)
        self.staff: Staff = decode(Staff, configured["staff"])
        self.began: float = start["t"]
        self.began_at = datetime.fromisoformat(start["at"])
        self.people: dict[str, Person] = {}
        self.rings: defaultdict[str, list[Ring]] = defaultdict(list)
        self.verbs: list[tuple[float, str, Row]] = []  # what agents asked for themselves
        self.tallies = Tallies()
        self.n = start["n"]  # of the ACD line taken last
        self._steps = _by_place(configured["steps"])
        self._planned: dict[str, tuple[str, float]] = {}  # call -> the step it is at, since
        self._learnt: defaultdict[str, dict[str, str]] = defaultdict(dict)  # call -> what it learnt in that step
        self._preferred: dict[str, str] = {}
        self._offers: dict[int, tuple[str, str, float]] = {}  # offer -> call, agent, since
        self._given_up: dict[int, tuple[Ring, float]] = {}  # offers whose phones are not cleared yet, since
        self._talking: dict[str, float] = {}
        self._failed: dict[str, tuple[Ring, float]] = {}  # agents who are not ready since this ring
        for row in about.get("agents", ()):  # of a checkpoint
            self._begin_agent(row["agent"], row["state"], row["reason"])

    def _begin_agent(self, agent: str, state: str, reason: str) -> None:
        if state != "LOGGED_OUT":
            self.verbs.append((self.began, "log_in", {"agent": agent}))
        if state == "NOT_READY":
            self.verbs.append((self.began, "not_ready", {"agent": agent, "reason": reason}))
        elif state != "LOGGED_OUT":
            self.verbs.append((self.began, "ready", {"agent": agent}))

    def take(self, row: Row) -> None:
        """Raises LinesMissing."""
        if "acd" in row:
            self.n += 1
            if row["n"] != self.n:
                raise LinesMissing(f"lines {self.n} to {row['n'] - 1} of the ACD are missing in the trace")
            self._take_acd(row["t"], row["acd"], row["args"], row["out"])
        elif "call" in row:
            self._take_call(row["t"], row["call"], row)

    def _take_call(self, now: float, call: str, row: Row) -> None:
        event = row["event"]
        if event == "CallArrived":
            self.people[call] = Person(Caller(**row["args"]["caller"]), now)
        person = self.people.get(call)
        if person is None or person.queued:  # turned away; or a callback, which no plan leads
            return
        if event == "ErrandDone":
            self._learnt[call] |= row["args"].get("found", {})
        if event in _LEAVES and row["was"] not in _IN_TALK:
            person.leaves, person.leaves_as = now, _LEAVES[event]
            self._close_visit(call, person, "done", inf)
        for command in row["commands"]:
            if command["do"] == "Remember":
                self._learnt[call][command["name"]] = command["text"]
            if command["do"] == "TakeStep" and call in self._planned:
                self._close_visit(call, person, command["result"], now - self._planned[call][1])
        if event.endswith("Planned"):
            self._planned[call] = (row["args"]["step"]["step"], now)

    def _close_visit(self, call: str, person: Person, result: str, seconds: float) -> None:
        if stood := self._planned.pop(call, None):
            visit = Visit(result, seconds, self._learnt.pop(call, {}), self._preferred.pop(call, ""))
            person.visits[stood[0]].append(visit)

    def _take_acd(self, now: float, verb: str, args: Row, out: list[Any]) -> None:
        self.tallies.take(now, verb, args, out)
        if verb in ("log_in", "log_out", "ready", "not_ready", "phone_gone", "phone_back", *_OUTSIDE):
            self._take_agent(now, verb, args)
        elif verb == "enqueue":
            self._take_enqueue(now, args)
        elif verb == "apply":
            self._steps = _by_place(args["steps"])
        elif verb == "leave" and (person := self.people.get(args["call"])) and person.queued:
            person.leaves, person.leaves_as = now, args["outcome"]
        elif verb == "take" and args["offer"] in self._offers:
            call, agent, since = self._offers.pop(args["offer"])
            self.rings[agent].append(Ring(now - since))
            self._talking[call] = now
        elif verb == "decline" and args["offer"] in self._offers:
            self._fail(args["offer"], args["refusal"], now)
        elif verb == "give_back" and args["offer"] in self._offers:
            self._cut(args["offer"], now)
        elif verb == "cleared" and args["offer"] in self._given_up:
            ring, since = self._given_up.pop(args["offer"])
            ring.clear_s = now - since
        elif verb == "release" and (person := self.people.get(args["call"])) and args["call"] in self._talking:
            person.talk_s = now - self._talking.pop(args["call"])
        for kind, at, call, agent, number, value in out:
            if kind == "OFFER":
                self._offers[number] = (call, agent, at)
            elif kind in ("OFFER_EXPIRED", "OFFER_CANCELLED") and number in self._offers:
                ring = self._cut(number, at) if kind == "OFFER_CANCELLED" else self._fail(number, "no_answer", at)
                ring.clear_s = inf
                self._given_up[number] = ring, at
            elif kind == "AGENT_STATE" and not (number == "NOT_READY" and value in _FAILED):
                self._failed.pop(agent, None)

    def _take_enqueue(self, now: float, args: Row) -> None:
        call = args["call"]
        if preferred := args.get("preferred"):
            self._preferred[call] = preferred
        if call not in self.people:
            step = self._steps[args["step"]] if isinstance(args["step"], str) else decode(Queue, args["step"])
            self.people[call] = Person(Caller("", "", ""), now, queued=(step, args.get("arrival", now)))

    def _take_agent(self, now: float, verb: str, args: Row) -> None:
        """Ready after a failed offer belongs to the failure, not to the hour."""
        if verb == "ready" and (failed := self._failed.pop(args["agent"], None)):
            ring, since = failed
            ring.back_s = now - since
        else:
            self.verbs.append((now, verb, args))

    def _fail(self, offer: int, refusal: str, now: float) -> Ring:
        _, agent, since = self._offers.pop(offer)
        ring = Ring(now - since, refusal)
        self.rings[agent].append(ring)
        self._failed[agent] = (ring, now)
        return ring

    def _cut(self, offer: int, now: float) -> Ring:
        _, agent, since = self._offers.pop(offer)
        ring = Ring(now - since, is_cut=True)
        self.rings[agent].append(ring)
        return ring


def _by_place(steps: Iterable[Row]) -> dict[str, Queue]:
    decoded: list[Queue] = [decode(Queue, step) for step in steps]
    return {f"{step.place}:{step.place.column}": step for step in decoded}


def days(rows: Iterable[Row]) -> list[Day]:
    """Every run of the daemon in a trace; of one whose first files are gone, from its first checkpoint on. Raises
    LinesMissing."""
    found: list[Day] = []
    for row in rows:
        if row.get("acd") == "start" or (row.get("acd") == "checkpoint" and not found):
            found.append(Day(row))
        elif found:
            found[-1].take(row)
    return found
