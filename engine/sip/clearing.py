"""Phones that may still be in a call that is over for us. PJSIP tells of a leg's end when we hang it up, and keeps it
in its slot until the phone has answered our CANCEL, or the BYE after a 200 that crossed it. Counterpart: endpoint.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.callflow.events import LegCleared
from engine.sip import slots
from engine.sip.fork import Fork
from engine.sip.legs import CalledLeg, Leg
from engine.sip.outward import Outward


class Clearing:
    def __init__(self) -> None:
        self._taken: dict[int, tuple[str, list[tuple[int, bytes]]]] = {}  # leg -> call; of its phones slot and Call-ID

    def __contains__(self, leg: int) -> bool:
        return leg in self._taken

    def begin(self, leg: Leg | Fork | Outward) -> None:
        """Before it is hung up. A phone that is in a talk is none: it gets BYE now, and so before any INVITE."""
        match leg:
            case Fork():
                rung = [branch.leg for branch in leg.branches]
            case Outward():
                rung = [leg.attempt] if isinstance(leg.attempt, CalledLeg) else []
            case _:
                rung = [leg] if isinstance(leg, CalledLeg) else []
        slots_taken = [one.getId() for one in rung if one and not one.confirmed]
        if taken := [(slot, whose) for slot in slots_taken if (whose := slots.call_id(slot))]:
            self._taken[leg.leg] = leg.call, taken

    def over(self) -> Iterator[tuple[str, LegCleared]]:
        """With the call of each. A slot is free, or another call's, when PJSIP is done with the call that was there."""
        for leg, (call, taken) in list(self._taken.items()):
            if all(slots.call_id(slot) != whose for slot, whose in taken):
                del self._taken[leg]
                yield call, LegCleared(leg)
