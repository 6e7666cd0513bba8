"""An agent's phone is rung when its last call is over, by the phone's own word.

The ACD offers the agent the next call as soon as the one before is given up. Its BYE, or a CANCEL that crosses the
phone's answer, is then only on its way. A phone of one line would say 486 to an INVITE that overtakes it, and the ACD
would hold that against the agent. A phone that says nothing is waited for no longer than AT_MOST_S.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.callflow import events as ev
from engine.callflow.errors import CallError
from engine.switch.live import Live

if TYPE_CHECKING:
    from engine.switch.conductor import Switch

AT_MOST_S = 0.5  # T1 (RFC 3261 section 17.1.1.1): what has no answer by then is sent again


@dataclass(frozen=True, slots=True)
class _Held:
    live: Live
    offer: int
    dial: Callable[[], int]  # the leg
    until: float


class Ringing:
    def __init__(self) -> None:
        self._legs: dict[str, int] = {}  # agent -> the leg to the phone, until it is over
        self._agents: dict[int, str] = {}  # the same, the other way round
        self._held: dict[str, _Held] = {}  # by agent, who has one offer at a time

    def ring(self, switch: Switch, live: Live, offer: int, agent: str, dial: Callable[[], int]) -> None:
        """dial() now, or when the leg before is over. Raises what dial() does, if now."""
        if agent in self._legs:
            self._held[agent] = _Held(live, offer, dial, switch.now + AT_MOST_S)
        else:
            self._dial(agent, dial)

    def withdrawn(self, live: Live, offer: int) -> None:
        for agent, held in self._held.items():
            if held.live is live and held.offer == offer:
                del self._held[agent]
                return

    def ended(self, switch: Switch, leg: int) -> None:
        agent = self._agents.pop(leg, "")
        if self._legs.get(agent) == leg:
            del self._legs[agent]
            self._dial_held(switch, agent)

    def run(self, switch: Switch) -> None:
        """Those that have waited long enough."""
        for agent in [agent for agent, held in self._held.items() if held.until <= switch.now]:
            self._dial_held(switch, agent)

    def deadline(self) -> float:
        return min((held.until for held in self._held.values()), default=float("inf"))

    def _dial_held(self, switch: Switch, agent: str) -> None:
        if held := self._held.pop(agent, None):
            try:
                self._dial(agent, held.dial)
            except CallError as error:
                switch.then(held.live, ev.CallFailed(error))

    def _dial(self, agent: str, dial: Callable[[], int]) -> None:
        self._legs[agent] = leg = dial()
        self._agents[leg] = agent
