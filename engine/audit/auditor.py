"""Reads the ACD lines of a trace, keeps the floor of floor.py by them, and says which rule each line breaks."""

from collections import Counter
from collections.abc import Iterable
from math import inf
from pathlib import Path
from typing import Any

from engine.audit.floor import CLEAR_S, SHORT_S, Call, Floor, Row, ladder, place_of
from engine.audit.opening import compare, opened
from engine.trace import read

ENDINGS = ("answered", "abandoned", "timed_out", "overflowed", "called_back", "withdrawn", "failed")


def audit(*paths: Path) -> list[str]:
    """What is wrong with these traces, files or folders of them in the order of time; nothing: []. Raises OSError."""
    files = [file for path in paths for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    return [problem for run in runs(read(files)) for problem in run.problems]


def runs(rows: Iterable[Row]) -> list["Audit"]:
    """One auditor for each run of the daemon, and for what follows a gap in one, from the next checkpoint on."""
    found: list[Audit] = []
    for row in rows:
        if "acd" not in row:
            continue
        resumes = row["acd"] == "checkpoint" and (not found or row["n"] - 1 != found[-1].n)
        if not found or resumes or row["acd"] == "start":
            found.append(Audit(row))
        else:
            found[-1].take(row)
    return found


class Audit:
    """One run of the daemon, from its `start` line or a `checkpoint` on."""

    def __init__(self, start: Row) -> None:
        self.problems: list[str] = []
        self.n_offers = 0
        self.n_lines = 0
        self.n = start["n"]  # of the line taken last, of those without a gap
        self._line = start
        self._is_lost = False
        self._offers: dict[int, tuple[Call, str]] = {}
        self._last_offer = 0
        self._n_calls = 0
        self._taken_for: str | None = None  # the agent who became RESERVED; the offer must follow at once
        self._round: tuple[Call, int, bool] | None = None  # a call, the phones it was given now, one is all
        self._held: Counter[str] = Counter()  # agent -> offers and talks
        self._touched: set[str] = set()  # agents of this line
        self._coming: str | None = None  # the call of this line, if agents were given a set of groups before it came
        self._counts: Counter[tuple[str, str]] = Counter()
        args = start["args"]
        if start["acd"] == "start":
            self.floor = Floor(args["staff"], args["steps"])
        elif start["acd"] == "checkpoint":
            self._open(args)
        else:
            self._lose("the trace begins in the middle of a run: name the file of the day before as well")

    def _open(self, args: Row) -> None:
        self.floor, self._offers, self._held = opened(args)
        calls = [*self.floor.calls.values(), *self.floor.talks.values()]
        self._n_calls = max((call.number for call in calls), default=0)
        for row in args["queues"]:
            self._counts.update({(row["queue"], what): row[what] for what in ("offered", *ENDINGS)})

    def _wrong(self, text: str) -> None:
        self.problems.append(f"line {self._line['n']} ({self._line['at']}, {self._line['acd']}): {text}")

    def _lose(self, text: str) -> None:
        self._wrong(text)
        self._is_lost = True

    # ---- one line

    def take(self, line: Row) -> None:
        due = self.n + 1
        if line["n"] == due:
            self.n = due
        if self._is_lost:
            return
        self._line = line
        if line["n"] != due:
            self._lose(f"lines {due} to {line['n'] - 1} are missing; nothing can be said of what follows")
            return
        self.n_lines += 1
        try:
            self._ask(line)
        except KeyError as error:
            self._lose(f"names {error}, which is none that lives; nothing can be said of what follows")

    def _ask(self, line: Row) -> None:
        args, now = line["args"], line["t"]
        if line["acd"] == "checkpoint":
            for difference in compare(self.floor, args):
                self._wrong(difference)
            return
        self._coming = None
        if line["acd"] != "advance":
            self._let_time_pass(now)
            self._do(line["acd"], args, now)
        then: float | None = None
        for output in line["out"]:
            if then is not None and output[1] != then:  # timers of several moments: each must leave the floor settled
                self._check_floor(then)
            then = output[1]
            self._let_time_pass(then)
            self._follow(*output)
        self._close_round(now if then is None else then)
        self._let_time_pass(now)
        self._check_floor(now)
        if self.floor.leaving or self.floor.closing:
            closed = self.floor.tidy()
            self._counts = Counter({key: n for key, n in self._counts.items() if key[0] not in closed})

    def _do(self, verb: str, args: Row, now: float) -> None:
        match verb:
            case "enqueue":
                self._enqueue(args, now)
            case "take":
                call, agent = self._close_offer(args["offer"])
                call.agent = agent
                self.floor.talks[call.name] = self.floor.calls.pop(call.name)
                self._hold(agent, 1)
                self._touched.update(other for one, other in self._offers.values() if one is call)
                self._count(call, "answered", now)
            case "decline" | "give_back":
                call, agent = self._close_offer(args["offer"])
                call.remember_decline(agent)
            case "cleared":
                agent, _ = self.floor.clearing.pop(args["offer"])
                self._touched.add(agent)
            case "leave":
                self._end(args["call"], args["outcome"], now)
            case "release":
                self._hold(self.floor.talks.pop(args["call"]).agent, -1)
            case "apply":
                self.floor.apply(args["staff"], args["steps"], args["moved"], now)
            case "stop":
                self._compare_counters(args)

    def _let_time_pass(self, now: float) -> None:
        """Holds that are over, and phones that count as cleared."""
        for call in self.floor.calls.values():
            if call.held_until is not None and call.held_until <= now:
                call.unhold()
        for offer, (agent, until) in list(self.floor.clearing.items()):
            if until <= now:
                del self.floor.clearing[offer]
                self._touched.add(agent)

    def _enqueue(self, args: Row, now: float) -> None:
        floor = self.floor
        if args["call"] in floor.calls or args["call"] in floor.talks:
            self._wrong(f"call {args['call']} is in a queue already")
        step = floor.steps[args["step"]] if isinstance(args["step"], str) else args["step"]
        rungs, place = ladder(step), place_of(step)
        self._coming = args["call"] if floor.meet(rungs) else None
        known = floor.steps.get(place)
        goes_with = known is not None and known["queue"] == args["queue"] and ladder(known)[1:] == rungs[1:]
        most = inf if step["max_wait_s"] is None else step["max_wait_s"]
        arrival = args.get("arrival", now)
        self._n_calls += 1
        call = Call(
            args["call"],
            self._n_calls,
            args["queue"],
            arrival,
            now,
            now + most,
            rungs,
            place if goes_with else None,
            rungs[0].head_s,
        )
        if step["preferred"]:
            name = args.get("preferred", step["preferred"]["agent"])
            if name in floor.agents:
                call.preferred, call.preferred_head_s = name, step["preferred"]["head_start_s"]
                floor.greet(call, step["preferred"]["wait_s"], now)
        self._counts[call.queue, "offered"] += 1
        if "refused" in args:
            self._check_refusal(call, args["refused"], now)
            self._counts[call.queue, "overflowed"] += 1
        else:
            floor.calls[call.name] = call

    def _follow(self, kind: str, at: float, name: str | None, agent: str | None, number: Any, value: Any) -> None:
        if self._taken_for and kind != "OFFER":
            self._wrong(f"agent {self._taken_for} is reserved without an offer")
            self._taken_for = None
        if self._round and not (name == self._round[0].name and (kind == "OFFER" or number == "RESERVED")):
            self._close_round(at)
        calls = self.floor.calls
        match kind:
            case "AGENT_STATE" if agent:
                self._change(agent, number, value)
            case "OFFER" if name and agent:
                self._check_offer(calls[name], agent, number, at)
            case "OFFER_EXPIRED" | "OFFER_CANCELLED":
                call, agent = self._close_offer(number)
                self.floor.clearing[number] = agent, at + CLEAR_S
                if kind == "OFFER_EXPIRED":
                    call.remember_decline(agent)
            case "CALL_REQUEUED" if name:
                calls[name].state = "WAITING"
                if calls[name].preferred:
                    calls[name].unhold()
                if self._line["acd"] == "apply":
                    calls[name].climb_to(at)
            case "CALL_RELAXED" if name and self._line["acd"] != "apply":  # there all steps are found anew
                self._relax(calls[name], number, at)
            case "CALL_EXPIRED" if name:
                if at < calls[name].expires:
                    self._wrong(f"the longest wait of call {name} was not over")
                self._end(name, "timed_out", at)
            case "CALL_OVERFLOWED" if name:
                self._end(name, "overflowed", at)
            case "RESERVE":
                self._turn_reserves(number, bool(value), at)

    def _change(self, agent: str, state: str, reason: str) -> None:
        is_clearing = self.floor.is_clearing(agent)
        if is_clearing and state == "READY":
            self._wrong(f"agent {agent} is free before the phone is cleared")
        if state == "RESERVED" and not is_clearing:
            if self.floor.state[agent] != "READY":
                self._wrong(f"agent {agent} is {self.floor.state[agent]} and is reserved")
            self._taken_for = agent
        self.floor.change(agent, state, reason)
        self._touched.add(agent)

    def _relax(self, call: Call, step: int, at: float) -> None:
        if step != call.step + 1 or call.next_at() > at:
            self._wrong(f"call {call.name} goes from step {call.step} to {step} before its time")
        call.climb(step)

    def _turn_reserves(self, queue: str, is_on: bool, at: float) -> None:
        if is_on not in (self.floor.is_in_need(queue, at), self.floor.is_in_need(queue, at, self._coming)):
            self._wrong(f"the reserves of queue {queue} are turned {'on without need' if is_on else 'off in need'}")
        self.floor.reserve_on[queue] = is_on

    def _hold(self, agent: str, change: int) -> None:
        self._held[agent] += change
        self._touched.add(agent)

    def _close_offer(self, offer: int) -> tuple[Call, str]:
        call, agent = self._offers.pop(offer)
        self._hold(agent, -1)
        return call, agent

    def _end(self, name: str, outcome: str, now: float) -> None:
        call = self.floor.calls.pop(name)
        self._count(call, outcome, now)
        self._touched.update(agent for other, agent in self._offers.values() if other is call)

    def _count(self, call: Call, outcome: str, now: float) -> None:
        self._counts[call.queue, outcome] += 1
        within = call.enqueued + self.floor.queues[call.queue]["sl_within_s"] >= now
        if outcome == "answered":
            self.floor.note_level(call.queue, within)
        elif outcome == "timed_out" or (outcome == "abandoned" and call.enqueued + SHORT_S <= now):
            self.floor.note_level(call.queue, False)

    # ---- what must hold

    def _check_offer(self, call: Call, agent: str, offer: int, now: float) -> None:
        floor = self.floor
        self.n_offers += 1
        if agent != self._taken_for:
            self._wrong(f"agent {agent} is offered call {call.name} and was not free")
        self._taken_for = None
        if offer <= self._last_offer:
            self._wrong(f"offer {offer} comes after offer {self._last_offer}")
        self._last_offer = max(offer, self._last_offer)
        self._hold(agent, 1)
        if self._held[agent] > 1:
            self._wrong(f"agent {agent} has two offers")
        self._check_round(call, agent)
        if not floor.may_take(agent, call, now):
            self._wrong(f"agent {agent} may not take call {call.name}")
        else:
            turn = floor.turn(agent, call)
            for other in floor.free(call.queue):
                if floor.may_take(other, call, now) and floor.turn(other, call) < turn:
                    self._wrong(f"agent {agent} is offered call {call.name} before agent {other}, whose turn it was")
        for earlier in floor.calls.values():
            is_there = earlier.state == "WAITING" and earlier.name != self._coming
            if is_there and earlier.place() < call.place() and floor.may_take(agent, earlier, now):
                self._wrong(f"agent {agent} is given to call {call.name} before call {earlier.name}")
        if agent in call.declined:
            call.declined = []
        call.state, call.held_until = "OFFERED", None
        self._offers[offer] = (call, agent)

    def _check_round(self, call: Call, agent: str) -> None:
        """A call that waits gets its first phone, or one that was just given a phone another one."""
        most = self.floor.queues[call.queue]["n_ring"] or inf
        if call.state == "WAITING":
            self._round = (call, 1, call.held_until is not None or agent == call.preferred or most == 1)
            return
        if self._round is None or self._round[2] or self._round[1] >= most:
            self._wrong(f"call {call.name} is {call.state} and is offered")
        else:
            self._round = (call, self._round[1] + 1, False)

    def _close_round(self, now: float) -> None:
        """No more phones are given to the call now: so many as its queue says, or nobody else is free."""
        if self._round is None:
            return
        (call, n_ringing, is_alone), self._round = self._round, None
        if not is_alone and n_ringing < (self.floor.queues[call.queue]["n_ring"] or inf):
            for other in self.floor.free(call.queue):
                if self.floor.may_take(other, call, now):
                    self._wrong(f"call {call.name} rings at {n_ringing} phones and not at that of agent {other}")

    def _check_refusal(self, call: Call, why: str, now: float) -> None:
        floor, queue = self.floor, self.floor.queues[call.queue]
        if call.held_until is None:
            call.climb_to(now)
        if any(floor.may_take(agent, call, now) for agent in floor.free(call.queue)):
            self._wrong(f"call {call.name} is refused ({why}) and somebody free could take it")
        n_waiting = sum(other.queue == call.queue and other.state == "WAITING" for other in floor.calls.values())
        most = queue["max_length"]
        if why == "QUEUE_FULL" and (most is None or n_waiting < most):
            self._wrong(f"call {call.name} is refused as one too many, after {n_waiting} of {most}")
        there = [agent for agent in floor.serving[call.queue] if floor.state[agent] != "LOGGED_OUT"]
        if why == "NO_AGENT" and there:
            self._wrong(f"call {call.name} is refused as nobody was logged in, and somebody was")
        if why == "NO_SKILL" and any(floor.fits(a, call, step) for a in there for step in range(len(call.ladder))):
            self._wrong(f"call {call.name} is refused as nobody had the skills, and somebody had")
        if why == "WAIT_TOO_LONG" and queue["max_ewt_s"] is None:
            self._wrong(f"call {call.name} is refused for its expected wait, which its queue does not limit")

    def _check_floor(self, now: float) -> None:
        """After a line: every agent it touched, every call that waits."""
        self._close_round(now)
        if self._taken_for:
            self._wrong(f"agent {self._taken_for} is reserved without an offer")
            self._taken_for = None
        for agent in self._touched & self.floor.state.keys():
            state, n_held = self.floor.state[agent], self._held[agent]
            is_held = n_held == 1 or (state == "RESERVED" and self.floor.is_clearing(agent))
            if (state in ("RESERVED", "TALKING")) != is_held or n_held > 1:
                self._wrong(f"agent {agent} is {state} with {n_held} offers and talks")
            for call, other in self._offers.values():
                if other == agent and call.name not in self.floor.calls:
                    self._wrong(f"agent {agent} is rung for call {call.name}, which has gone")
        self._touched.clear()
        for call in self.floor.calls.values():
            if call.state == "WAITING":
                self._check_waiting(call, now)
        for queue in self.floor.queues:
            is_on = self.floor.reserve_on.get(queue, False)
            if self.floor.has_reserves(queue) and self.floor.is_in_need(queue, now) != is_on:
                self._wrong(f"queue {queue} {'no longer needs' if is_on else 'needs'} its reserves")

    def _check_waiting(self, call: Call, now: float) -> None:
        if call.expires <= now:
            self._wrong(f"call {call.name} waits on after its longest wait")
        if call.held_until is None and call.next_at() <= now:
            self._wrong(f"call {call.name} waits on without its step {call.step + 1}")
        for agent in self.floor.free(call.queue):
            if self.floor.may_take(agent, call, now):
                self._wrong(f"agent {agent} is free and call {call.name} waits")

    def _compare_counters(self, counters: Row) -> None:
        waiting = self.floor.counts()
        for row in counters["queues"]:
            name = row["queue"]
            mine = {what: self._counts[name, what] for what in ("offered", *ENDINGS)} | {"waiting": waiting[name]}
            theirs = {what: row[what] for what in mine}
            if mine != theirs:
                self._wrong(f"queue {name} counts {theirs}, the trace {mine}")
            if row["offered"] != sum(row[what] for what in ENDINGS) + row["waiting"]:
                self._wrong(f"queue {name}: calls offered are not those that ended and wait: {theirs}")
