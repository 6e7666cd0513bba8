"""An INVITE that comes in: whose it is, and whether it becomes a call. Counterparts: identity.py, which reads it;
phones.py, which has authenticated those of phones before PJSIP saw them; endpoint.py, which holds the leg.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.callflow.errors import SipError
from engine.callflow.events import CallTurnedAway, LegEnded
from engine.callflow.plan import Caller
from engine.callflow.staff import REGISTERED
from engine.sip import identity, translate
from engine.sip.accounts import Accounts
from engine.sip.legs import NOT_ACCEPTABLE, CallerLeg, ChallengedLeg
from engine.sip.phones import Phones

if TYPE_CHECKING:
    from engine.sip.endpoint import Endpoint

log = logging.getLogger(__name__)

UNAUTHORIZED = 401
REFUSED = {400: "its SDP is broken", 486: "every leg is taken", 488: "no audio, or no codec in common"}


class Inward:
    def __init__(self, endpoint: Endpoint, accounts: Accounts, phones: Phones | None) -> None:
        self._endpoint, self._accounts, self._phones = endpoint, accounts, phones

    def caller(self, source: str, message: str) -> Caller:
        """Who sent it: an agent's phone, or a trunk. `source` as PJSIP says it."""
        agent = self._phones.who_dials(source, identity.call_id_of(message)) if self._phones else ""
        if agent:
            return identity.caller_by_phone(message, agent)
        return identity.caller_of(message, self._endpoint.carriers.trunk_of(source))

    def open(self, new_call: Callable[[], str], leg: int, slot: int, source: str, message: str) -> CallerLeg:
        """Its leg; a ChallengedLeg where no call comes of it."""
        caller, carriers = self.caller(source, message), self._endpoint.carriers
        if caller.agent:
            srtp = self._accounts.srtp_of(REGISTERED + caller.agent)
        else:
            trunk = carriers.trunk_of(source)
            srtp = trunk.srtp
            if challenges := carriers.challenges(trunk, source, message):
                return ChallengedLeg(self._endpoint, leg, slot, caller, UNAUTHORIZED, challenges)
        if not translate.is_as_secret(message, srtp):
            self._endpoint.turned_away(source, message, NOT_ACCEPTABLE)
            return ChallengedLeg(self._endpoint, leg, slot, caller, NOT_ACCEPTABLE)
        return CallerLeg(self._endpoint, new_call(), leg, slot, caller)

    def refused(self, call: str, leg: int, source: str, message: str, status: int) -> None:
        """PJSIP has refused it by itself, or we did: the call has a record all the same."""
        caller = self.caller(source, message)
        log.warning("INVITE from %s (%s): %d by PJSIP", source, caller.trunk or caller.agent, status)
        error = SipError(f"PJSIP refused the INVITE: {REFUSED.get(status, 'not acceptable')}", status=status)
        self._endpoint.post(call, CallTurnedAway(caller, leg, error))
        self._endpoint.post(call, LegEnded(leg))
