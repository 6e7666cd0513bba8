"""By which accounts calls come in and go out. PJSIP takes all about a call's audio from its account, so there are, for
each address that we listen at, one for calls in, and one for each way in which phones may be encrypted. Counterparts:
endpoint.py; inward.py, which tries each caller's offer; carriers.py, which has accounts of its own for calls out over
trunks.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import product
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
    def __init__(self, endpoint: Endpoint, sip: settings.Sip, srtp_of: Mapping[str, str]) -> None:
        """`srtp_of`: phones whose audio is not encrypted as that of all (staff.srtp_of_phones)."""
        self._endpoint, self._sip, self._srtp_of = endpoint, sip, srtp_of
        self._srtp_in = "off"
        self._taking: list[Account] = []  # calls in
        self._calling: dict[tuple[str, str], Account] = {}  # (address of ours, settings.SRTP): phones are called by it

    def open(self, trunks: Sequence[settings.Trunk], has_phones: bool) -> None:
        """`has_phones`: some may log in, and call."""
        self._srtp_in = library.srtp_in(trunks, [self._sip.srtp, *self._srtp_of.values()] if has_phones else [])
        for own in self._sip.addresses:
            taking = Account(self._endpoint)
            taking.create(library.account_config(self._sip, self._srtp_in, own), not self._taking)
            if self._taking:
                turned_away.take_by(taking.getId(), settings.is_v6(own))
            self._taking.append(taking)
        self._open_calling()

    def renew(self, srtp_of: Mapping[str, str]) -> None:
        """Other phones, for new calls. What may come in grows until the next start: calls are up that began with it."""
        self._srtp_of = srtp_of
        self._open_calling()
        if self._srtp_in != "offered" and set(srtp_of.values()) - {self._srtp_in}:
            self._srtp_in = "offered"
            for own, taking in zip(self._sip.addresses, self._taking, strict=True):
                taking.modify(library.account_config(self._sip, self._srtp_in, own))

    def srtp_of(self, phone: str) -> str:
        """One of settings.SRTP. `phone`: as an agent has it."""
        return self._srtp_of.get(phone, self._sip.srtp)

    def towards(self, far: str, phone: str = "") -> Account:
        """By which an address, or a name, is called; `phone` as in srtp_of."""
        return self._calling[self._sip.address_for(far or self._sip.address)[0], self.srtp_of(phone)]

    def _open_calling(self) -> None:
        for key in product(self._sip.addresses, {self._sip.srtp, *self._srtp_of.values()}):
            if key not in self._calling:
                self._calling[key] = Account(self._endpoint)
                self._calling[key].create(library.account_config(self._sip, key[1], key[0]))

    def close(self) -> None:
        """Before libDestroy: their destructors would crash after it (pjproject issue 4353)."""
        self._taking.clear()
        self._calling.clear()
