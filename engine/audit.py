"""Every assignment of a trace, checked against the rules without the core: an auditor who reads what the ACD was asked
and what it did, and looks at everybody after every line.

Checked are, of 100 % of the lines:
  order            an agent is given to a call only if no waiting call that stands before it could have had that agent;
                   place = arrival - head start, strict priority first, ties by arrival
  right            the agent was free, serves the queue from that wait on, has the skills, has not declined this call
                   while somebody else was untried; nobody free of an earlier step or a lower rank was passed over
  work conserving  after a line nobody is free who may take a waiting call
  one each         an agent has one offer or one talk, a call one offer or one agent; offers end with their call
  time             no call waits beyond its longest wait or the time of its next relaxation
  counts           every call ends once; offered = answered + abandoned + ... + waiting, by the daemon's counters too

Agents' states are those the trace tells; everything else is worked out here. Plain dictionaries and scans on purpose.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from engine.trace import read

Row = dict[str, Any]

WORKING = ("READY", "RESERVED", "TALKING", "ACW")
ENDINGS = ("answered", "abandoned", "timed_out", "overflowed", "withdrawn", "failed")
N_REMEMBERED = 12  # so many agents who declined a call, the latest, are not asked again before others


def audit(*paths: Path) -> list[str]:
    """What is wrong with these traces, files or folders of them in the order of time; nothing: []. Raises OSError."""
    files = [file for path in paths for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    return [problem for run in runs(read(files)) for problem in run.problems]


def runs(rows: Iterable[Row]) -> list["Audit"]:
    """One auditor for each run of the daemon."""
    found: list[Audit] = []
    for row in rows:
        if row.get("acd") == "start":
            found.append(Audit(row))
        elif "acd" in row and found:
            found[-1].take(row)
        elif "acd" in row:
            found.append(Audit(row))
    return found


@dataclass(eq=False)
class Call:
    name: str
    number: int  # in the order of coming
    queue: str
    enqueued: float
    steps: list[tuple[float, Any, float]]  # (from this wait on, needs, head start), the start first
    expires: float
    step: int = 0
    state: str = "WAITING"
    agent: str = ""  # in talk
    declined: list[str] = field(default_factory=list)

    def place(self) -> tuple[int, float, int]:
        head = max(head for _, _, head in self.steps[: self.step + 1])
        return (0, self.enqueued, self.number) if head == inf else (1, self.enqueued - head, self.number)


class Audit:
    """One run of the daemon, from its `start` line on."""

    def __init__(self, start: Row) -> None:
        self.problems: list[str] = []
        self.n_offers = 0
        self.n_lines = 0
        self._line = start
        self._is_lost = False
        self._calls: dict[str, Call] = {}  # that wait or are offered
        self._talks: dict[str, Call] = {}
        self._n_calls = 0
        self._offers: dict[int, tuple[Call, str]] = {}
        self._last_offer = 0
        self._taken_for: str | None = None  # the agent who became RESERVED; the offer must follow at once
        self._counts: Counter[tuple[str, str]] = Counter()
        if start.get("acd") != "start":
            self._lose("the trace begins in the middle of a run: name the file of the day before as well")
            return
        staff = start["args"]["staff"]
        self._queues: Row = staff["queues"]
        self._agents: Row = staff["agents"]
        self._state = dict.fromkeys(self._agents, "LOGGED_OUT")
        self._ready: set[str] = set()
        self._held: Counter[str] = Counter()  # agent -> offers and talks
        self._touched: set[str] = set()  # agents of this line
        self._serves = {(a["id"], s["queue"]): s for a in self._agents.values() for s in a["queues"]}
        self._serving: dict[str, list[str]] = {name: [] for name in self._queues}
        for agent, queue in self._serves:
            self._serving[queue].append(agent)
        self._steps = {_place_of(step): step for step in start["args"]["steps"]}

    def _wrong(self, text: str) -> None:
        self.problems.append(f"line {self._line['n']} ({self._line['at']}, {self._line['acd']}): {text}")

    def _lose(self, text: str) -> None:
        self._wrong(text)
        self._is_lost = True

    # ---- one line

    def take(self, line: Row) -> None:
        if self._is_lost:
            return
        due, self._line = self._line["n"] + 1, line
        if line["n"] != due:
            self._lose(f"lines {due} to {line['n'] - 1} are missing; nothing can be said of what follows")
            return
        self.n_lines += 1
        try:
            self._ask(line)
        except KeyError as error:
            self._lose(f"names {error}, which is none that lives; nothing can be said of what follows")
            return
        self._check_floor(line["t"])

    def _ask(self, line: Row) -> None:
        args, now = line["args"], line["t"]
        match line["acd"]:
            case "enqueue":
                self._enqueue(args, now)
            case "take":
                call, agent = self._close_offer(args["offer"])
                call.agent = agent
                self._talks[call.name] = self._calls.pop(call.name)
                self._hold(agent, 1)
                self._counts[call.queue, "answered"] += 1
            case "decline" | "give_back":
                self._remember_decline(*self._close_offer(args["offer"]))
            case "leave":
                self._end(args["call"], args["outcome"])
            case "release":
                self._hold(self._talks.pop(args["call"]).agent, -1)
            case "stop":
                self._compare_counters(args)
        then: float | None = None
        for output in line["out"]:
            if then is not None and output[1] != then:  # timers of several moments: each must leave the floor settled
                self._check_floor(then)
            then = output[1]
            self._follow(*output)

    def _enqueue(self, args: Row, now: float) -> None:
        if args["call"] in self._calls or args["call"] in self._talks:
            self._wrong(f"call {args['call']} is in a queue already")
        self._n_calls += 1
        self._counts[args["queue"], "offered"] += 1
        call = Call(
            args["call"],
            self._n_calls,
            args["queue"],
            now,
            list(_ladder(self._steps[args["step"]])),
            now + (inf if (most := self._steps[args["step"]]["max_wait_s"]) is None else most),
        )
        if "refused" in args:
            self._check_refusal(call, args["refused"], now)
            self._counts[call.queue, "overflowed"] += 1
        else:
            self._calls[call.name] = call

    def _follow(self, kind: str, at: float, name: str | None, agent: str | None, number: Any, value: Any) -> None:
        if self._taken_for and kind != "OFFER":
            self._wrong(f"agent {self._taken_for} is reserved without an offer")
            self._taken_for = None
        match kind:
            case "AGENT_STATE" if agent:
                self._change(agent, number)
            case "OFFER" if name and agent:
                self._check_offer(self._calls[name], agent, number, at)
            case "OFFER_EXPIRED":
                self._remember_decline(*self._close_offer(number))
            case "OFFER_CANCELLED":
                self._close_offer(number)
            case "CALL_REQUEUED" if name:
                self._calls[name].state = "WAITING"
            case "CALL_RELAXED" if name:
                self._relax(self._calls[name], number, at)
            case "CALL_EXPIRED" if name:
                if at < self._calls[name].expires:
                    self._wrong(f"the longest wait of call {name} was not over")
                self._end(name, "timed_out")
            case "CALL_OVERFLOWED" if name:
                self._end(name, "overflowed")

    def _change(self, agent: str, state: str) -> None:
        if state == "RESERVED":
            if self._state[agent] != "READY":
                self._wrong(f"agent {agent} is {self._state[agent]} and is reserved")
            self._taken_for = agent
        self._state[agent] = state
        self._touched.add(agent)
        if state == "READY":
            self._ready.add(agent)
        else:
            self._ready.discard(agent)

    def _relax(self, call: Call, step: int, at: float) -> None:
        if step != call.step + 1 or call.enqueued + call.steps[step][0] > at:
            self._wrong(f"call {call.name} goes from step {call.step} to {step} before its time")
        call.step = step

    def _hold(self, agent: str, change: int) -> None:
        self._held[agent] += change
        self._touched.add(agent)

    def _close_offer(self, offer: int) -> tuple[Call, str]:
        call, agent = self._offers.pop(offer)
        self._hold(agent, -1)
        return call, agent

    def _remember_decline(self, call: Call, agent: str) -> None:
        if agent not in call.declined:
            call.declined = [*call.declined, agent][-N_REMEMBERED:]

    def _end(self, name: str, outcome: str) -> None:
        call = self._calls.pop(name)
        self._counts[call.queue, outcome] += 1
        self._touched.update(agent for other, agent in self._offers.values() if other is call)

    # ---- who may take what

    def _may_take(self, agent: str, call: Call, now: float) -> bool:
        """All but being free."""
        if not self._could_take(agent, call, now):
            return False
        return agent not in call.declined or not any(
            self._state[other] in WORKING and other not in call.declined and self._could_take(other, call, now)
            for other in self._serving[call.queue]
        )

    def _could_take(self, agent: str, call: Call, now: float) -> bool:
        serves = self._serves.get((agent, call.queue))
        if serves is None or (serves["from_s"] > 0 and call.enqueued + serves["from_s"] > now):
            return False
        return self._fits(agent, call, call.step)

    def _fits(self, agent: str, call: Call, step: int) -> bool:
        skills = self._agents[agent]["skills"]
        return _meets(skills, self._queues[call.queue]["needs"]) and _meets(skills, call.steps[step][1])

    def _free(self, queue: str) -> Iterator[str]:
        return (agent for agent in self._ready if (agent, queue) in self._serves)

    def _turn(self, agent: str, call: Call) -> tuple[int, int]:
        """Who of several is asked first: who fits an earlier step, then the lower rank."""
        earliest = next(step for step in range(call.step + 1) if self._fits(agent, call, step))
        return earliest, self._serves[agent, call.queue]["rank"]

    # ---- what must hold

    def _check_offer(self, call: Call, agent: str, offer: int, now: float) -> None:
        self.n_offers += 1
        if agent != self._taken_for:
            self._wrong(f"agent {agent} is offered call {call.name} and was not free")
        self._taken_for = None
        if offer <= self._last_offer:
            self._wrong(f"offer {offer} comes after offer {self._last_offer}")
        self._last_offer = max(offer, self._last_offer)
        if call.state != "WAITING":
            self._wrong(f"call {call.name} is {call.state} and is offered")
        self._hold(agent, 1)
        if self._held[agent] > 1:
            self._wrong(f"agent {agent} has two offers")
        if not self._may_take(agent, call, now):
            self._wrong(f"agent {agent} may not take call {call.name}")
        else:
            turn = self._turn(agent, call)
            for other in self._free(call.queue):
                if self._may_take(other, call, now) and self._turn(other, call) < turn:
                    self._wrong(f"agent {agent} is offered call {call.name} before agent {other}, whose turn it was")
        for earlier in self._calls.values():
            if earlier.state == "WAITING" and earlier.place() < call.place() and self._may_take(agent, earlier, now):
                self._wrong(f"agent {agent} is given to call {call.name} before call {earlier.name}")
        if agent in call.declined:
            call.declined = []
        call.state = "OFFERED"
        self._offers[offer] = (call, agent)

    def _check_refusal(self, call: Call, why: str, now: float) -> None:
        while call.step + 1 < len(call.steps) and call.steps[call.step + 1][0] <= 0:
            call.step += 1
        if any(self._may_take(agent, call, now) for agent in self._free(call.queue)):
            self._wrong(f"call {call.name} is refused ({why}) and somebody free could take it")
        n_waiting = sum(other.queue == call.queue and other.state == "WAITING" for other in self._calls.values())
        most = self._queues[call.queue]["max_length"]
        if why == "QUEUE_FULL" and (most is None or n_waiting < most):
            self._wrong(f"call {call.name} is refused as one too many, after {n_waiting} of {most}")
        if why == "NO_AGENT" and any(self._state[agent] != "LOGGED_OUT" for agent in self._serving[call.queue]):
            self._wrong(f"call {call.name} is refused as nobody was logged in, and somebody was")

    def _check_floor(self, now: float) -> None:
        """After a line: every agent it touched, every call that waits."""
        if self._taken_for:
            self._wrong(f"agent {self._taken_for} is reserved without an offer")
            self._taken_for = None
        for agent in self._touched:
            state, n_held = self._state[agent], self._held[agent]
            if (state in ("RESERVED", "TALKING")) != (n_held == 1) or n_held > 1:
                self._wrong(f"agent {agent} is {state} with {n_held} offers and talks")
            for call, other in self._offers.values():
                if other == agent and call.name not in self._calls:
                    self._wrong(f"agent {agent} is rung for call {call.name}, which has gone")
        self._touched.clear()
        for call in self._calls.values():
            if call.state == "WAITING":
                self._check_waiting(call, now)

    def _check_waiting(self, call: Call, now: float) -> None:
        if call.expires <= now:
            self._wrong(f"call {call.name} waits on after its longest wait")
        if call.step + 1 < len(call.steps) and call.enqueued + call.steps[call.step + 1][0] <= now:
            self._wrong(f"call {call.name} waits on without its step {call.step + 1}")
        for agent in self._free(call.queue):
            if self._may_take(agent, call, now):
                self._wrong(f"agent {agent} is free and call {call.name} waits")

    def _compare_counters(self, counters: Row) -> None:
        for name, row in zip(self._queues, counters["queues"], strict=True):
            here = sum(call.queue == name for call in self._calls.values())
            mine = {what: self._counts[name, what] for what in ("offered", *ENDINGS)} | {"waiting": here}
            theirs = {what: row[what] for what in mine}
            if mine != theirs:
                self._wrong(f"queue {name} counts {theirs}, the trace {mine}")
            if row["offered"] != sum(row[what] for what in ENDINGS) + row["called_back"] + row["waiting"]:
                self._wrong(f"queue {name}: calls offered are not those that ended and wait: {theirs}")


def _place_of(step: Row) -> str:
    return f"{step['place']['file']}:{step['place']['line']}:{step['place']['column']}"


def _ladder(step: Row) -> Iterator[tuple[float, Any, float]]:
    needs = step["needs"]
    yield 0.0, needs, step["head_start_s"]
    for relax in step["relax"]:
        needs = needs if relax["needs"] is None else relax["needs"]
        yield relax["after_s"], needs, relax["head_start_s"] or 0.0


def _meets(skills: Row, needs: Any) -> bool:
    return not needs or any(all(skills.get(skill, 0) >= level for skill, level in term) for term in needs)
