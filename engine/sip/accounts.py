"""By which accounts calls come in and go out. PJSIP takes all about a call's audio from its account, so there are two
for each address that we listen at. Counterparts: endpoint.py; carriers.py, which has accounts of its own for calls out
over trunks.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pjsua2 as pj

from engine.callflow import settings
from engine.sip import library, translate, turned_away

if TYPE_CHECKING:
    from engine.sip.endpoint import Endpoint

log = logging.getLogger(__name__)


class Account(pj.Account):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        try:
            self._endpoint.invited(prm.callId, prm.rdata.srcAddress, prm.rdata.wholeMsg)
        except Exception:
            log.exception("INVITE from %s: callback raised", prm.rdata.srcAddress)  # pjsua2 answers it with 500

    def onSendRequest(self, prm: pj.OnSendRequestParam) -> None:
        done = prm.e.body.tsxState.tsx
        if done.statusCode >= 300:
            log.warning("NOTIFY about messages: %d %s", done.statusCode, translate.clean(done.statusText))


class Accounts:
    def __init__(self, endpoint: Endpoint, sip: settings.Sip) -> None:
        self._endpoint, self._sip = endpoint, sip
        self._taking: list[Account] = []  # calls in
        self._calling: dict[str, Account] = {}  # address of ours -> phones are called from there

    def open(self, srtp_in: str) -> None:
        """`srtp_in`: of calls that come in."""
        for own in self._sip.addresses:
            taking, calling = Account(self._endpoint), Account(self._endpoint)
            taking.create(library.account_config(self._sip, srtp_in, own), not self._taking)
            calling.create(library.account_config(self._sip, self._sip.srtp, own))
            if self._taking:
                turned_away.take_by(taking.getId(), settings.is_v6(own))
            self._taking.append(taking)
            self._calling[own] = calling

    def towards(self, far: str) -> Account:
        """By which an address, or a name, is called."""
        return self._calling[self._sip.address_for(far or self._sip.address)[0]]

    def close(self) -> None:
        """Before libDestroy: their destructors would crash after it (pjproject issue 4353)."""
        self._taking.clear()
        self._calling.clear()
