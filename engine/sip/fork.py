"""An agent with several phones: they ring at once, as one leg. The first that answers has the call; the others are told
that it was answered elsewhere (RFC 3326).

Each phone's INVITE is a CalledLeg as any other; its news goes to the branch here, which passes on what is news of the
agent: the first ring, the answer, its media and its end, or a refusal when no phone is left. Counterpart: endpoint.py,
which knows the fork by the number of its leg.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.callflow.events import (
    CalledAnswered,
    CalledGone,
    CalledRefused,
    CalledRinging,
    Event,
    LegEnded,
    LegMedia,
    Loss,
    Refusal,
)

if TYPE_CHECKING:
    import pjsua2 as pj

    from engine.sip.endpoint import Endpoint
    from engine.sip.legs import CalledLeg, Leg

DECLINED = 600  # and above: the agent does not want the call, at any phone (RFC 3261 section 21.6)
_WORST_FIRST = (Refusal.UNREACHABLE, Refusal.NO_ANSWER, Refusal.BUSY, Refusal.REJECTED)


class Fork:
    """Called legs of one offer, as one."""

    def __init__(self, endpoint: Endpoint, call: str, leg: int, offer: int) -> None:
        self.endpoint, self.call, self.leg, self.offer = endpoint, call, leg, offer
        self.ending = self.rang = self.confirmed = False
        self.branches: list[Branch] = []
        self.winner: Branch | None = None
        self._refused: CalledRefused | None = None
        self._is_complete = False

    def complete(self) -> None:
        """Every phone was sent its INVITE, if there is any."""
        self._is_complete = True
        if not self.branches:
            self._finish()

    def losers(self) -> list[Branch]:
        return [branch for branch in self.branches if branch is not self.winner]

    def hear(self, branch: Branch, event: Event | LegMedia | LegEnded) -> None:
        match event:
            case CalledRinging() if not self.rang:
                self.rang = True
                self._post(event)
            case CalledAnswered() if self.winner is None:
                self.winner, self.confirmed = branch, True
                if branch.media is not None:
                    self._post(branch.media)
                self._post(event)
                self.endpoint.end_later(self)
            case CalledAnswered():  # its 200 crossed our CANCEL
                self.endpoint.end_later(self)
            case LegMedia() | CalledGone() if branch is self.winner:
                self._post(event)
            case LegMedia():
                branch.media = event
            case CalledRefused():
                self._refuse(event)

    def lost(self, loss: Loss) -> None:
        if self.winner and self.winner.leg:
            self.winner.leg.lost(loss)

    def _refuse(self, event: CalledRefused) -> None:
        """Of several refusals that of the phone at which the agent was nearest counts."""
        known = self._refused
        if known is None or _WORST_FIRST.index(event.refusal) > _WORST_FIRST.index(known.refusal):
            self._refused = event
        if event.status >= DECLINED:
            self.endpoint.end_later(self)

    def over(self, branch: Branch) -> None:
        """PJSIP is done with this phone's leg."""
        self.branches.remove(branch)
        if not self.branches and self._is_complete:
            self._finish()

    def _finish(self) -> None:
        if self.winner is None and not self.ending:
            self._post(self._refused or CalledRefused(self.offer, Refusal.UNREACHABLE, 480))
        self.endpoint.forget(self)

    def _post(self, event: Event | LegMedia | LegEnded) -> None:
        if not self.ending:
            self.endpoint.post(self.call, event)


class Branch:
    """One phone of a fork: what its leg takes for the endpoint."""

    def __init__(self, fork: Fork, account: pj.Account | None) -> None:
        self.fork, self.account = fork, account
        self.leg: CalledLeg | None = None
        self.media: LegMedia | None = None  # held back until the phone has won
        fork.branches.append(self)

    @property
    def now(self) -> Callable[[], float]:
        return self.fork.endpoint.now

    def post(self, call: str, event: Event | LegMedia | LegEnded) -> None:
        self.fork.hear(self, event)

    def forget(self, leg: Leg) -> None:
        if self.leg is not None:
            self.leg = None
            self.fork.over(self)

    def callback_failed(self, leg: Leg, doing: str, error: Exception) -> None:
        self.fork.endpoint.callback_failed(leg, doing, error)
