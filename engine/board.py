"""The wallboard, and what the control socket answers: the call floor as it stands at one moment, and what operators
may ask of it.

Counterparts: control.py carries the requests here, cli/live.py shows the answers. Runs on the engine's thread, so it
reads the rooms as they are; everything it returns is JSON values, times in seconds.
"""

import os
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from acd_core import AgentState, IllegalMove
from engine import why
from engine.acd import UnknownName
from engine.callbacks import Callbacks, row_of
from engine.callflow.blacklist import Blacklist
from engine.callflow.record import CallbackEntry
from engine.control import ControlError
from engine.switch import Live, boxes, planning

if TYPE_CHECKING:
    from engine.app import Daemon

RATE_WINDOW_S = 5.0

Row = dict[str, Any]


class Board:
    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._arrivals: deque[tuple[float, int]] = deque()  # (when, calls in all) at the last looks
        self._verbs: dict[str, Callable[..., Any]] = {
            "status": self.status,
            "queues": self.queues,
            "agents": self.agents,
            "calls": self.calls,
            "call": self.call,
            "floor": self.floor,
            "why_call": lambda id: why.call(self._daemon.acd, id, self._now()),
            "why_agent": lambda id: why.agent(self._daemon.acd, id, self._now()),
            "agent_login": self.agent_login,
            "agent_logout": self.agent_logout,
            "agent_ready": self.agent_ready,
            "agent_not_ready": self.agent_not_ready,
            "hangup": self.hangup,
            "callbacks": self.callbacks,
            "callback_add": self.callback_add,
            "callback_cancel": self.callback_cancel,
            "callback_retry": self.callback_retry,
            "callback_done": self.callback_done,
            "blacklist_changed": self.blacklist_changed,
            "messages_changed": self.messages_changed,
            "messages": self.messages,
            "phones": lambda: self._daemon.phones.rows(),
            "passwords_changed": lambda: {"passwords": self._daemon.read_passwords()},
            "surges": self.surges,
            "bans": self.bans,
            "trunks": lambda: self._daemon.sip.carriers.rows(),
            "ban_lift": self.ban_lift,
            "reload": lambda dry="": self._daemon.reload.begin(dry.lower() in ("true", "yes", "1")),
            "diff": lambda: self._daemon.reload.begin(is_dry=True),
        }

    def answer(self, request: dict[str, Any]) -> Any:
        """Raises ControlError for what cannot be done."""
        arguments = {name: str(value) for name, value in request.items() if name != "do"}
        try:
            verb = self._verbs[request["do"]]
        except KeyError:
            raise ControlError(f"unknown request {request['do']!r}; known: {', '.join(self._verbs)}") from None
        try:
            return verb(**arguments)
        except TypeError as error:
            raise ControlError(f"{request['do']}: {error}") from None
        except (UnknownName, IllegalMove) as error:
            raise ControlError(str(error)) from None

    # ---- looking

    def floor(self) -> Row:
        return {"status": self.status(), "queues": self.queues(), "agents": self.agents(), "calls": self.calls()}

    def status(self) -> Row:
        daemon, switch, now = self._daemon, self._daemon.switch, self._now()
        return {
            "version": version("agner"),
            "pid": os.getpid(),
            "uptime_s": round(now - daemon.started_at, 3),
            "draining": switch.is_draining,
            "n_calls": len(switch.calls),
            "n_legs": daemon.sip.n_legs(),
            "n_slots": daemon.media.n_slots(),
            "n_pools": daemon.sip.n_pools(),
            "calls_total": switch.n_calls_total,
            "calls_per_s": self._calls_per_s(now),
            "records_pending": daemon.records.pending(),
            "storage_ok": daemon.records.is_healthy(),
            "recordings_ok": not daemon.media.is_recording_stuck(),
            "trace_dropped": daemon.trace.n_dropped,
            "load": round(daemon.load.load, 3),
            "engine_delay_ms": round(daemon.load.slowest_round_s() * 1000, 3),
            "callbacks_owed": len(switch.calling_back.registry),
            "messages_new": sum(n_new for n_new, _ in switch.boxes.counts.values()),
            "blacklisted": len(switch.blacklist),
            "webhooks_failed": daemon.errands.n_webhooks_failed,
            "webhooks_dropped": daemon.errands.n_webhooks_dropped,
        }

    def _calls_per_s(self, now: float) -> float:
        """Over the last 5 s, as far as somebody looked."""
        total = self._daemon.switch.n_calls_total
        self._arrivals.append((now, total))
        while self._arrivals[0][0] < now - RATE_WINDOW_S:
            self._arrivals.popleft()
        since, before = self._arrivals[0]
        return round((total - before) / (now - since), 1) if now > since else 0.0

    def queues(self) -> list[Row]:
        now = self._now()
        states: dict[str, Counter[str]] = {}
        for agent in self._daemon.acd.staff.agents.values():
            state = self._agent_state(agent.id)
            for serves in agent.queues:
                states.setdefault(serves.queue, Counter())[state] += 1
        return [
            {**row, "agents": _agent_counts(states.get(row["queue"], Counter()))}
            for row in self._daemon.acd.queue_rows(now)
        ]

    def _agent_state(self, agent: str) -> str:
        state, _, _ = self._daemon.acd.core.agent_state(self._daemon.acd.agents[agent])
        return AgentState(state).name

    def agents(self) -> list[Row]:
        return [self._agent(name) for name in self._daemon.acd.agents]

    def _agent(self, name: str) -> Row:
        acd = self._daemon.acd
        if name not in acd.agents:
            raise ControlError(f"no agent {name!r}")
        handle, agent = acd.agents[name], acd.staff.agents[name]
        state, reason, since = acd.core.agent_state(handle)
        return {
            "agent": name,
            "name": agent.name,
            "state": AgentState(state).name,
            "reason": acd.reason_text(reason) if state == AgentState.NOT_READY else "",
            "state_s": round(self._now() - since, 3),
            "call": acd.call_name(acd.core.call_of(handle)),
            "phone": agent.phone,
            "queues": [serves.queue for serves in agent.queues],
            "skills": dict(agent.skills),
        }

    def calls(self) -> list[Row]:
        return [self._call(live) for live in self._daemon.switch.calls.values()]

    def _call(self, live: Live) -> Row:
        now, machine = self._now(), live.machine
        step = self._daemon.switch.place_of(live)
        return {
            "call": machine.id,
            "trunk": live.caller.trunk,
            "ani": live.caller.ani,
            "dnis": live.caller.dnis,
            "state": machine.state.value,
            "state_s": round(now - machine.since, 3),
            "age_s": round(now - machine.cdr.arrived_at, 3),
            "queue": machine.queue.queue if machine.queue else machine.cdr.queue,
            "position": self._daemon.acd.position(machine.id) if machine.queue else None,
            "wait_s": round(now - machine.queued_at, 3) if machine.queue else None,
            "agent": machine.cdr.agent,
            "step": step,
            "kind": live.machine.cdr.kind,
        }

    def call(self, id: str) -> Row:
        live = self._daemon.switch.calls.get(id)
        if live is None:
            raise ControlError(f"no call {id!r} is up")
        answered_at = live.machine.cdr.answered_at
        return self._call(live) | {
            "plan": live.machine.plan,
            "answered_s": None if answered_at is None else round(self._now() - answered_at, 3),
            "recording": live.machine.cdr.recording,
            "values": planning.values(self._daemon.switch, live),
            "legs": [{"leg": leg, "offer": offer} for offer, leg in live.legs.items()],
        }

    def bans(self) -> Row:
        keeper = self._daemon.sip.gatekeeper
        found = [{**ban._asdict(), "left_s": round(ban.left_s, 3)} for ban in keeper.bans()]
        return {"bans": found, "counts": keeper.counts()}

    # ---- asking

    def ban_lift(self, source: str) -> bool:
        try:
            return self._daemon.sip.gatekeeper.lift(source)
        except ValueError as error:
            raise ControlError(str(error)) from None

    def agent_login(self, id: str) -> Row:
        self._daemon.acd.log_in(id, self._now())
        return self._agent(id)

    def agent_logout(self, id: str) -> Row:
        self._daemon.acd.log_out(id, self._now())
        return self._agent(id)

    def agent_ready(self, id: str) -> Row:
        self._daemon.acd.ready(id, self._now())
        return self._agent(id)

    def agent_not_ready(self, id: str, reason: str = "") -> Row:
        self._daemon.acd.not_ready(id, reason, self._now())
        return self._agent(id)

    def hangup(self, id: str, by: str = "operator") -> Row:
        if not self._daemon.switch.hang_up(id, by, self._now()):
            raise ControlError(f"no call {id!r} is up")
        return {}

    # ---- promises, messages, the blacklist

    def callbacks(self) -> list[Row]:
        """All that are owed, the earliest arrival first."""
        return [row_of(entry) for entry in self._registry().entries()]

    def callback_add(self, id: str, number: str, queue: str, reason: str = "asked", arrived_at: str = "",
                     due_at: str = "", language: str = "", needs: str = "", by: str = "") -> Row:  # fmt: skip
        """`by` is kept by who asks."""
        if queue not in self._daemon.acd.staff.queues:
            raise ControlError(f"no queue {queue!r}")
        utc = self._utc()
        since, due = (datetime.fromisoformat(text) if text else utc for text in (arrived_at, due_at))
        entry = self._registry().promise(
            id, number, queue, reason, since, utc, language=language or None, needs=needs or None, due_at=due
        )
        if entry is None:
            raise ControlError(f"{number!r} is no number that can be called")
        return self._changed(entry)

    def callback_cancel(self, id: str, by: str = "operator") -> Row:
        entry = self._owed(id)
        under_way = self._registry().cancel(entry.number, by, self._utc())
        if under_way:
            self._daemon.switch.hang_up(under_way, by, self._now())
        return self._changed(replace(entry, state="cancelled", result=f"cancelled_by {by}"))

    def callback_done(self, id: str, by: str = "operator") -> Row:
        entry = self._owed(id)
        if entry.state != "open":
            raise ControlError(f"callback {id} is being dialled")
        self._registry().call_by_hand(entry.number, by, self._utc())
        return self._changed(replace(entry, state="done", result="answered", agent=by))

    def callback_retry(self, id: str, by: str = "operator") -> "Row | Future[Row]":
        """One that is over is read from the database first."""
        for entry in self._registry().entries():
            if entry.id == id:
                if entry.state != "open":
                    raise ControlError(f"callback {id} is being dialled")
                return self._changed(self._registry().retry(entry, self._utc()))
        answer: Future[Row] = Future()

        def take(found: Any) -> None:
            if isinstance(found, CallbackEntry) and found.state in ("cancelled", "failed", "open"):
                answer.set_result(self._changed(self._registry().retry(found, self._utc())))
            elif isinstance(found, Exception):
                answer.set_exception(ControlError(f"database: {found}"))
            else:
                answer.set_exception(ControlError(f"callback {id!r} is {'answered' if found else 'unknown'}"))

        self._daemon.errands.ask(lambda database: database.callback(id), take)
        return answer

    def _owed(self, id: str) -> CallbackEntry:
        for entry in self._registry().entries():
            if entry.id == id:
                return entry
        raise ControlError(f"no callback {id!r} is owed")

    def _changed(self, entry: CallbackEntry) -> Row:
        self._daemon.switch.calling_back.wake()
        return row_of(entry)

    def _registry(self) -> Callbacks:
        return self._daemon.switch.calling_back.registry

    def blacklist_changed(self) -> "Future[Row]":
        """Read it anew. The answer comes when it holds."""
        answer: Future[Row] = Future()

        def take(entries: Any) -> None:
            if isinstance(entries, Exception):
                answer.set_exception(ControlError(f"database: {entries}"))
                return
            self._daemon.switch.blacklist = Blacklist(entries)
            answer.set_result({"entries": len(entries)})

        self._daemon.errands.ask(lambda database: database.blacklist(), take)
        return answer

    def messages_changed(self, box: str) -> Row:
        boxes.recount(self._daemon.switch, box)
        return {}

    def messages(self) -> list[Row]:
        counts = self._daemon.switch.boxes.counts
        return [{"box": box, "new": n_new, "old": n_old} for box, (n_new, n_old) in sorted(counts.items())]

    def surges(self) -> list[Row]:
        """When the callers of each product's next spot are expected."""
        book = self._daemon.running.book
        local = self._utc().astimezone(ZoneInfo(book.timezone))
        return [
            {
                "product": name,
                "on_air": air.is_on(local),
                "surge_at": None if (at := air.next_surge(local)) is None else at.isoformat(),
                "in_s": None if at is None else round((at - local).total_seconds()),
            }
            for name, air in book.airs.items()
        ]

    def _utc(self) -> datetime:
        return self._daemon.clock.to_utc(self._now())

    def _now(self) -> float:
        return self._daemon.clock.now()


def _agent_counts(states: Counter[str]) -> dict[str, int]:
    counts = {state.name.lower(): states[state.name] for state in AgentState if state is not AgentState.LOGGED_OUT}
    return {"logged_in": sum(counts.values()), **counts}
