"""Calls that agents' phones dial, and that are dialled to agents. They are none of the ACD's, so it offers nothing to
either agent meanwhile. Counterparts: plan.Dialling, what may be dialled; engine/sip/phones.py, which says whose phone
it is.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.callflow import events as ev
from engine.callflow.errors import BusyError

if TYPE_CHECKING:
    from engine.switch.conductor import Switch

BUSY_HERE = 486
MINUTE_S = 60.0

Arrival = ev.CallArrived | ev.CallTurnedAway


class Dialling:
    def __init__(self) -> None:
        self._outside: dict[int, str] = {}  # leg -> the agent whose phone it is, while it stands
        self._dialled: defaultdict[str, deque[float]] = defaultdict(deque)  # agent -> when, within the last minute

    def check_room(self, switch: Switch, agent: str) -> None:
        """For one more call of this agent. Raises BusyError."""
        n_calls = sum(live.caller.agent == agent for live in switch.calls.values())
        if n_calls >= switch.setup.book.dialling.max_calls:
            raise BusyError(f"agent {agent} has dialled {n_calls} calls that are up", status=BUSY_HERE)
        self.check_rate(switch, agent)

    def check_rate(self, switch: Switch, agent: str) -> None:
        """This agent dials, for a call or a transfer. Raises BusyError."""
        rules, dialled = switch.setup.book.dialling, self._dialled[agent]
        while dialled and dialled[0] <= switch.now - MINUTE_S:
            dialled.popleft()
        if len(dialled) >= rules.max_calls_per_minute:
            text = f"agent {agent} has dialled {len(dialled)} calls within a minute"
            raise BusyError(text, retry_after_s=int(dialled[0] + MINUTE_S - switch.now) + 1)
        dialled.append(switch.now)

    def began(self, switch: Switch, leg: int, agent: str) -> None:
        """This leg leads to the agent's phone."""
        self._outside[leg] = agent
        switch.acd.outside_began(agent, switch.now)

    def dialled(self, switch: Switch, leg: int, agent: str) -> None:
        """This leg comes from the agent's phone: who dials does not answer what rings there."""
        self._outside[leg] = agent
        switch.acd.outside_dialled(agent, switch.now)

    def ended(self, switch: Switch, leg: int) -> None:
        if agent := self._outside.pop(leg, None):
            switch.acd.outside_ended(agent, switch.now)


def named(switch: Switch, event: Arrival) -> Arrival:
    """An agent's phone is called by the agent's name, whatever it says itself."""
    agent = switch.agents.get(event.caller.agent)
    return replace(event, caller=replace(event.caller, name=agent.name)) if agent else event
