"""A call of ours over trunks: one destination after the other, as one leg with one offer.

An attempt is a leg as any other; its news comes here. What is news of the called party goes on; a destination that
answers 503, that cannot be reached, or that has sent nothing within the trunk's `silent within` is passed over, and the
next has its turn (RFC 3263 section 4.3), on the next trunk when this one has no other. Counterparts: carriers.py, which
has the trunks; endpoint.py, which knows this by the number of its leg.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

import pjsua2 as pj

from engine.callflow.events import (
    CalledRefused,
    CalledRinging,
    CustomerRefused,
    Event,
    LegEnded,
    LegMedia,
    Loss,
    Refusal,
)
from engine.callflow.plan import Caller
from engine.sip import identity, library, translate, unheard
from engine.sip.legs import CalledLeg, CustomerLeg, Leg, guarded
from engine.sip.trunks import Hop, Search

if TYPE_CHECKING:
    from engine.callflow.settings import Destination
    from engine.sip.endpoint import Endpoint

log = logging.getLogger(__name__)

TRUNK = "trunk:"  # and NAME/NUMBER: what is dialled over a trunk
TIMEOUT, UNAVAILABLE = 408, 503
_RETRY_AFTER = re.compile(r"^Retry-After[ \t]*:[ \t]*([0-9]{1,6})", re.IGNORECASE | re.MULTILINE)


class Outward:
    """One call; what its attempts take for the endpoint (legs.Holder)."""

    def __init__(
        self, endpoint: Endpoint, call: str, leg: int, offer: int | None, uri: str, caller: Caller, flag: int = 0
    ) -> None:
        """`offer`: of a called party; None for a customer who is called back."""
        trunk, _, self._number = uri.removeprefix(TRUNK).partition("/")
        self.endpoint, self.call, self.leg, self.offer = endpoint, call, leg, offer
        self._carriers, self._caller, self._flag = endpoint.carriers, caller, flag
        self._search = Search(self._carriers.ways, trunk)
        self.attempt: CalledLeg | CustomerLeg | None = None
        self.account: pj.Account | None = None
        self.n_attempts = 0
        self.ending = self.rang = False
        self._hop = Hop("", 0, "")
        self._is_heard = self._goes_on = False
        self._retry_after_s: float | None = None
        self._refusal: Event | None = None  # of the last attempt

    def next(self) -> None:
        """Try the next destination; without one, the called party is refused."""
        while not self.ending and (found := self._search.next(self.now(), self._carriers.dice())):
            if self._send(*found):
                return
        if not self.ending:
            log.warning("leg %d: %s cannot be called: %s", self.leg, translate.clean(self._number), self._search.why)
            self.endpoint.post(self.call, self._refusal or self._refused())
        self._over()

    def _refused(self) -> Event:
        if self.offer is None:
            return CustomerRefused(Refusal.UNREACHABLE, UNAVAILABLE)
        return CalledRefused(self.offer, Refusal.UNREACHABLE, UNAVAILABLE)

    def _send(self, destination: Destination, hop: Hop) -> bool:
        ways = self._carriers.ways[self._search.trunk]
        self.n_attempts += 1
        self._hop, self._is_heard, self._goes_on, self._retry_after_s = hop, False, False, None
        try:
            self.account = self._carriers.account(ways.trunk, destination, hop)
            leg = self.attempt = self._leg()
            prm = library.audio_only()
            prm.opt.flag |= self._flag | unheard.HEARS_MESSAGES
            prm.txOption.localUri, headers = identity.shown_to(
                ways.trunk, self._caller, self._carriers.own_host(hop)
            )
            prm.txOption.headers = translate.headers_of(headers)
            number = quote(ways.trunk.numbers.called_out.rewrite(self._number), safe=translate.USER_SAFE)
            ways.health[hop].n_calls += 1
            leg.makeCall(f"sip:{number}@{str(destination).removeprefix('sip:')}", prm)
        except (pj.Error, ValueError) as error:
            log.warning("leg %d: %s: %s", self.leg, destination, translate.reason_of(error))
            if self.attempt is None or self.attempt.is_over:
                return True  # its end was told while it was made
            self.attempt = None
            ways.lost(hop, self.now())
            return False
        self._carriers.await_word(self, self.now() + ways.trunk.silent_within_s)
        return True

    def _leg(self) -> CalledLeg | CustomerLeg:
        if self.offer is None:
            customer = _CustomerOverTrunk(self, self.call, self.leg)
            customer.rang = self.rang
            return customer
        called = _CalledOverTrunk(self, self.call, self.leg, self.offer)
        called.rang = self.rang
        return called

    # ---- what becomes of an attempt

    def heard(self, event: pj.SipEvent) -> None:
        """A response came."""
        state = event.body.tsxState
        if event.type != pj.PJSIP_EVENT_TSX_STATE or state.type != pj.PJSIP_EVENT_RX_MSG:
            return
        if not self._is_heard:
            self._is_heard = True
            self._carriers.ways[self._search.trunk].answered(self._hop, self.now())
        if state.tsx.statusCode == UNAVAILABLE:
            found = _RETRY_AFTER.search(state.src.rdata.wholeMsg)
            self._retry_after_s = float(found[1]) if found else None

    def silent(self, n_attempts: int) -> None:
        """The time for a first word is over."""
        if n_attempts != self.n_attempts or self._is_heard or self.ending or self.attempt is None:
            return
        self._carriers.ways[self._search.trunk].lost(self._hop, self.now())
        log.warning("leg %d: nothing from %s:%d; the next one", self.leg, self._hop.address, self._hop.port)
        self._goes_on = self.attempt.ending = True
        self.endpoint.end_attempt(self.attempt)

    def _may_go_on(self, status: int) -> bool:
        ways, now = self._carriers.ways[self._search.trunk], self.now()
        if status == UNAVAILABLE and self._is_heard:
            ways.overloaded(self._hop, self._retry_after_s, now)
            return True
        if status in (UNAVAILABLE, TIMEOUT) and not self._is_heard:
            ways.lost(self._hop, now)
            return True
        return False

    # ---- for the attempt

    @property
    def now(self) -> Callable[[], float]:
        return self.endpoint.now

    def post(self, call: str, event: Event | LegMedia | LegEnded) -> None:
        if isinstance(event, CalledRefused | CustomerRefused) and self._may_go_on(event.status):
            self._goes_on, self._refusal = True, event
            return
        if isinstance(event, CalledRinging):
            self.rang = True
        if not self.ending:
            self.endpoint.post(call, event)

    def forget(self, leg: Leg) -> None:
        if leg is not self.attempt:
            return
        self.attempt = None
        if self._goes_on and not self.ending:
            self._carriers.try_next(self)
        else:
            self._over()

    def lost(self, loss: Loss) -> None:
        if self.attempt is not None:
            self.attempt.lost(loss)

    def callback_failed(self, leg: Leg, doing: str, error: Exception) -> None:
        self.endpoint.callback_failed(leg, doing, error)

    def leave(self) -> None:
        """The call holds no place on a trunk any more."""
        self._search.leave()

    def _over(self) -> None:
        self.leave()
        self.endpoint.forget(self)


class _CalledOverTrunk(CalledLeg):
    endpoint: Outward

    @guarded
    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        self.endpoint.heard(prm.e)
        CalledLeg.onCallState(self, prm)

    @guarded
    def onCallTsxState(self, prm: pj.OnCallTsxStateParam) -> None:
        self.endpoint.heard(prm.e)


class _CustomerOverTrunk(CustomerLeg):
    endpoint: Outward

    @guarded
    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        self.endpoint.heard(prm.e)
        CustomerLeg.onCallState(self, prm)

    @guarded
    def onCallTsxState(self, prm: pj.OnCallTsxStateParam) -> None:
        self.endpoint.heard(prm.e)
