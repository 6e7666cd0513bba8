"""The wallboard, and what the control socket answers: the call floor as it stands at one moment, and what operators
may ask of it.

Counterparts: control.py carries the requests here, cli/live.py shows the answers. Runs on the engine's thread, so it
reads the rooms as they are; everything it returns is JSON values, times in seconds.
"""

import os
from collections import Counter, deque
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from acd_core import AgentState, IllegalMove
from engine import why
from engine.acd import UnknownName
from engine.control import ControlError
from engine.switch import Live

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
            "calls_total": switch.n_calls_total,
            "calls_per_s": self._calls_per_s(now),
            "records_pending": daemon.records.pending(),
            "storage_ok": daemon.records.is_healthy(),
            "trace_dropped": daemon.trace.n_dropped,
            "engine_delay_ms": round(daemon.slowest_round_s() * 1000, 3),
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
            "legs": [{"leg": leg, "offer": offer} for offer, leg in live.legs.items()],
        }

    # ---- asking

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

    def _now(self) -> float:
        return self._daemon.clock.now()


def _agent_counts(states: Counter[str]) -> dict[str, int]:
    counts = {state.name.lower(): states[state.name] for state in AgentState if state is not AgentState.LOGGED_OUT}
    return {"logged_in": sum(counts.values()), **counts}
