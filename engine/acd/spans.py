"""Stretches of agents' states, from what the core tells: records of who was in which state when. Counterpart:
engine/records, which keeps them.
"""

from collections.abc import Iterable
from dataclasses import replace

from acd_core import AgentState
from engine.callflow.record import AgentSpan


class Spans:
    """One open span for each agent, by the core's handle, and those that ended and were not taken yet."""

    def __init__(self) -> None:
        self._open: dict[int, AgentSpan] = {}
        self._ended: list[AgentSpan] = []

    def __contains__(self, agent: int) -> bool:
        return agent in self._open

    def begin(self, agent: int, name: str, state: int, reason: str, now: float) -> None:
        self._open[agent] = AgentSpan(name, AgentState(state).name, now, now, reason or None)

    def change(self, agent: int, state: int, reason: str, at: float, call: str | None) -> None:
        old = self._open[agent]
        if at > old.began_at:
            self._ended.append(replace(old, ended_at=at))
        # The core names the call of RESERVED and TALKING; wrap-up belongs to the talk before it.
        name = old.call if state == AgentState.ACW else call
        self._open[agent] = AgentSpan(old.agent, AgentState(state).name, at, at, reason or None, name)

    def end_but(self, agents: Iterable[int], now: float) -> None:
        """Who is none of these works here no more."""
        for agent in self._open.keys() - set(agents):
            last = self._open.pop(agent)
            if now > last.began_at:
                self._ended.append(replace(last, ended_at=now))

    def take(self) -> list[AgentSpan]:
        ended, self._ended = self._ended, []
        return ended
