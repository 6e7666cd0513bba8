"""REFER from phones (RFC 3515), with Replaces or without (RFC 3891, RFC 5589): what it asks for, and the NOTIFYs that
tell what came of it. No leg comes of it here: the conductor decides. Counterparts: requests.pyx, which brings it;
endpoint.py.

PJSIP itself would dial whatever it is told. So a REFER inside a dialog is taken out in front of it, and answered
without a transaction; one that is sent again is known by its CSeq.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pjsua2 as pj

from engine.callflow.events import LegRefers
from engine.sip import requests, translate
from engine.sip.fork import Fork
from engine.sip.legs import CalledLeg, Leg
from engine.sip.outward import Outward

if TYPE_CHECKING:
    from engine.sip.endpoint import Endpoint

log = logging.getLogger(__name__)

ACCEPTED, BAD_REQUEST, PENDING = 202, 400, 491
REASONS = {100: "Trying", 180: "Ringing", 200: "OK", 403: "Forbidden", 404: "Not Found", 480: "Temporarily Unavailable"}
REASONS |= {486: "Busy Here", 491: "Request Pending", 503: "Service Unavailable", 603: "Decline"}
EXPIRES_S = 180  # of the subscription that a REFER makes; nothing rings longer
_REPLACES = re.compile(r"[?&]replaces=([^&>]*)", re.IGNORECASE)


class Referrals:
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def open(self) -> None:
        """PJSIP stands, and the module for requests in it."""
        requests.take_refers(self.refer)

    def refer(self, slot: int, refer_to: str, cseq: int) -> int:
        """The answer's status; 0: PJSIP answers, by legs.py. Only an agent's phone that rang for the ACD may ask: its
        offers have numbers above 0."""
        leg = pj.Call.lookup(slot)
        if not isinstance(leg, CalledLeg) or leg.offer <= 0 or leg.ending or not leg.answered:
            return 0
        number = translate.number_of(refer_to)
        if not number:
            return BAD_REQUEST
        if cseq in leg.refers:
            return ACCEPTED
        if leg.is_referring:
            return PENDING
        leg.refers.append(cseq)
        leg.is_referring = True
        self._endpoint.post(leg.call, LegRefers(leg.leg, number, self._replaced(refer_to)))
        return ACCEPTED

    def _replaced(self, refer_to: str) -> int | None:
        """Our leg of the call that is named by Replaces; -1: there is none such."""
        found = _REPLACES.search(refer_to)
        if not found:
            return None
        call_id, *parameters = unquote(found[1]).split(";")
        tags = dict(part.strip().partition("=")[::2] for part in parameters)
        slot = requests.slot_of(call_id.strip(), tags.get("to-tag", ""), tags.get("from-tag", ""))
        leg = pj.Call.lookup(slot) if slot >= 0 else None
        return leg.leg if isinstance(leg, Leg) else -1

    def report(self, leg: CalledLeg, status: int) -> None:
        """A NOTIFY with the status line (RFC 3515 section 2.4.5). From the second REFER of a dialog on it says which
        one is meant (section 2.4.6)."""
        leg.is_referring = status < 200
        event = "refer" if len(leg.refers) < 2 else f"refer;id={leg.refers[-1]}"
        state = f"active;expires={EXPIRES_S}" if status < 200 else "terminated;reason=noresource"
        prm = pj.CallSendRequestParam()
        prm.method = "NOTIFY"
        prm.txOption.headers = translate.headers_of({"Event": event, "Subscription-State": state})
        prm.txOption.contentType = "message/sipfrag;version=2.0"
        prm.txOption.msgBody = f"SIP/2.0 {status} {REASONS.get(status, 'Failure')}\r\n"
        try:
            leg.sendRequest(prm)
        except pj.Error as error:
            log.warning("leg %d: NOTIFY about a transfer: %s", leg.leg, translate.reason_of(error))


def phone_of(leg: object) -> CalledLeg | None:
    """The called leg in PJSIP behind what the conductor knows as one."""
    if isinstance(leg, Fork):
        return leg.winner.leg if leg.winner else None
    if isinstance(leg, Outward):
        return leg.attempt if isinstance(leg.attempt, CalledLeg) else None
    return leg if isinstance(leg, CalledLeg) else None


def give(leg: object, call: str, offer: int) -> None:
    """What comes from this leg from here on is news of that call."""
    for part in (leg, phone_of(leg)):
        if isinstance(part, Fork | Outward | CalledLeg):
            part.call, part.offer = call, offer
