"""The kinds of legs: pjsua2's callbacks of a call -> events. Counterpart: endpoint.py, which holds the legs.

A callback posts and returns. What it wants to know it asks of getInfo(), which takes 4 microseconds.
"""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import pjsua2 as pj

from engine.callflow import settings
from engine.callflow.events import (
    CallArrived,
    CalledAnswered,
    CalledGone,
    CalledRefused,
    CalledRinging,
    CallerAnswered,
    CallerDigit,
    CallerGone,
    CallerHears,
    CustomerAnswered,
    CustomerRefused,
    Event,
    LegEnded,
    LegMedia,
    Loss,
)
from engine.callflow.plan import Caller
from engine.sip import library, translate
from engine.sip.keys import Keys

log = logging.getLogger(__name__)

NO_SLOT = -1  # LegMedia.slot of a leg without audio: its far side made it inactive
ANONYMOUS = {"Privacy": "id"}  # RFC 3325 section 9.3: beyond the trunk, too
FORBIDDEN, TIMEOUT, NOT_ACCEPTABLE = 403, 408, 488


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """SWIG prints what a callback raises and goes on. This ends the call that the callback was for, and no other."""

    @functools.wraps(callback)
    def run(self: "Leg", prm: object) -> None:
        try:
            callback(self, prm)
        except Exception as error:
            log.exception("leg %d: %s raised", self.leg, callback.__name__)
            self.endpoint.callback_failed(self, callback.__name__, error)

    return run


class Holder(Protocol):
    """Who holds a leg and takes its news: the endpoint, or a branch of a fork."""

    @property
    def account(self) -> pj.Account | None: ...
    @property
    def now(self) -> Callable[[], float]: ...
    @property
    def post(self) -> Callable[[str, Event | LegMedia | LegEnded], None]: ...
    def forget(self, leg: "Leg") -> None: ...
    def callback_failed(self, leg: "Leg", doing: str, error: Exception) -> None: ...


class Leg(pj.Call):
    """One leg. What is common to all kinds; a subclass says which events its kind has."""

    def __init__(
        self,
        endpoint: Holder,
        call: str,
        leg: int,
        slot: int = pj.PJSUA_INVALID_ID,
        account: pj.Account | None = None,
    ) -> None:
        """`account`: by which a call goes out, if not by the holder's."""
        super().__init__(account or endpoint.account, slot)
        self.endpoint, self.call, self.leg = endpoint, call, leg
        self.ending = False  # we ended it: the rest is silence
        self.is_over = False  # PJSIP is done with it
        self.answered = False  # its answer was posted
        self.moved_to = ""  # the number that a 302 named first
        self.media_slot = NO_SLOT
        self._rebuilt = True  # LegMedia is to be told, also of a leg that begins without audio

    def progressed(self, info: pj.CallInfo) -> None:
        """The invite session moved on, short of its end."""

    def has_media(self) -> None:
        """Audio flows."""

    def ended(self, info: pj.CallInfo) -> None:
        """PJSIP is done with the leg, and not at our request."""

    def lost(self, loss: Loss) -> None:
        """It was answered, and its far side is gone without a word."""

    @guarded
    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        if self.isActive():
            self.progressed(self.getInfo())
            return
        self.is_over = True
        try:
            if not self.ending:
                self.ended(self.getInfo())
        finally:
            self.endpoint.forget(self)

    @guarded
    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        try:
            slot = self.getAudioMedia(-1).getPortId()
        except pj.Error:
            slot = NO_SLOT
        if self._rebuilt or slot != self.media_slot:
            self._rebuilt, self.media_slot = False, slot
            self.endpoint.post(self.call, LegMedia(self.leg, slot, self.getId()))
        if slot != NO_SLOT:
            self.has_media()

    def onStreamCreated(self, prm: pj.OnStreamCreatedParam) -> None:
        self._rebuilt = True  # the new stream may have the old one's slot

    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:
        prm.statusCode = FORBIDDEN  # REFER: nobody outside makes this switch dial

    def onCallReplaceRequest(self, prm: pj.OnCallReplaceRequestParam) -> None:
        prm.statusCode = FORBIDDEN  # Replaces would bypass the check of the source

    def onCallRedirected(self, prm: pj.OnCallRedirectedParam) -> int:
        """A 302 is a refusal; where the plan follows it, that is another call. STOP would pass for a CANCEL of ours."""
        self.moved_to = self.moved_to or translate.number_of(prm.targetUri)
        return int(pj.PJSIP_REDIRECT_REJECT)

    # Python is entered for every callback that unheard.pyi leaves. For those of no interest, this is cheaper than
    # handing them back to C++.
    def _ignore(self, prm: object) -> None:
        pass

    onDtmfDigit = onDtmfEvent = onCreateMediaTransport = onCallRxOffer = onCallRxReinvite = onCallTxOffer = _ignore
    onCallRxText = onInstantMessage = onInstantMessageStatus = onTypingIndication = _ignore


class KeyedLeg(Leg):
    """A leg with the caller at its far end, whose keys are heard."""

    _keys: Keys | None = None

    @guarded
    def onDtmfDigit(self, prm: pj.OnDtmfDigitParam) -> None:
        self.take_key(prm.digit, prm.method)

    def take_key(self, key: str, way: int) -> None:
        if self._keys is None:
            self._keys = Keys(self.endpoint.now)
        if key in translate.DIGITS and self._keys.is_new(key, way):
            self.endpoint.post(self.call, CallerDigit(key))


class CallerLeg(KeyedLeg):
    """A leg that a trunk opened."""

    def __init__(self, endpoint: Holder, call: str, leg: int, slot: int, caller: Caller) -> None:
        super().__init__(endpoint, call, leg, slot)
        self.caller = caller
        self.announced = False
        self.progress_sent = self.hears = False
        self.ok_sent = False
        self.confirmed = False

    def announce(self) -> None:
        if not self.announced:
            self.announced = True
            self.endpoint.post(self.call, CallArrived(self.caller, self.leg))

    def has_media(self) -> None:
        if self.ok_sent and not self.answered:
            self.answered = True
            self.endpoint.post(self.call, CallerAnswered())
        elif self.progress_sent and not self.ok_sent and not self.hears:
            self.hears = True
            self.endpoint.post(self.call, CallerHears())

    def progressed(self, info: pj.CallInfo) -> None:
        self.confirmed = info.state == pj.PJSIP_INV_STATE_CONFIRMED

    def ended(self, info: pj.CallInfo) -> None:
        self.announce()
        is_unacknowledged = self.ok_sent and not self.confirmed and info.lastStatusCode == TIMEOUT
        loss = Loss.NO_ACK if is_unacknowledged else None
        self.endpoint.post(self.call, CallerGone(info.lastStatusCode, translate.clean(info.lastReason), loss))

    def lost(self, loss: Loss) -> None:
        self.endpoint.post(self.call, CallerGone(TIMEOUT, str(loss), loss))


class ChallengedLeg(CallerLeg):
    """One that gets 401, its trunk has yet to log in, or 488: no call comes of it."""

    def __init__(
        self, endpoint: Holder, leg: int, slot: int, caller: Caller, status: int, challenges: Sequence[str] = ()
    ) -> None:
        super().__init__(endpoint, "", leg, slot, caller)
        self.announced = True
        self.status = status
        self.asked = [("WWW-Authenticate", challenge) for challenge in challenges]  # RFC 8760: one for each algorithm

    def ended(self, info: pj.CallInfo) -> None:
        pass


class CalledLeg(Leg):
    """A leg that we opened: an agent's phone or a transfer target."""

    def __init__(
        self, endpoint: Holder, call: str, leg: int, offer: int, account: pj.Account | None = None
    ) -> None:
        super().__init__(endpoint, call, leg, account=account)
        self.offer = offer
        self.refers: list[int] = []  # CSeq of each REFER that was taken
        self.is_referring = False  # the last one has had no final word yet
        self.rang = False
        self.confirmed = False

    def progressed(self, info: pj.CallInfo) -> None:
        if info.state == pj.PJSIP_INV_STATE_EARLY and not self.rang:
            self.rang = True
            self.endpoint.post(self.call, CalledRinging(self.offer))
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.confirmed = True
            if self.media_slot != NO_SLOT:
                self.has_media()

    def has_media(self) -> None:
        if self.confirmed and not self.answered:
            self.answered = True
            self.endpoint.post(self.call, CalledAnswered(self.offer))

    def ended(self, info: pj.CallInfo) -> None:
        if self.answered:
            self.endpoint.post(self.call, CalledGone(self.offer))
        else:
            self.refused(info.lastStatusCode)

    def lost(self, loss: Loss) -> None:
        if self.answered:
            self.endpoint.post(self.call, CalledGone(self.offer, loss))

    def refused(self, status: int) -> None:
        refusal = translate.refusal_of(status, self.rang)
        self.endpoint.post(self.call, CalledRefused(self.offer, refusal, status, self.moved_to))


class CustomerLeg(KeyedLeg):
    """A leg that we opened to the customer of a callback; once answered, the caller's leg of its call."""

    def __init__(self, endpoint: Holder, call: str, leg: int, account: pj.Account | None = None) -> None:
        super().__init__(endpoint, call, leg, account=account)
        self.rang = False
        self.confirmed = False

    def progressed(self, info: pj.CallInfo) -> None:
        self.rang = self.rang or info.state == pj.PJSIP_INV_STATE_EARLY
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.confirmed = True
            if self.media_slot != NO_SLOT:
                self.has_media()

    def has_media(self) -> None:
        if self.confirmed and not self.answered:
            self.answered = True
            self.endpoint.post(self.call, CustomerAnswered())

    def ended(self, info: pj.CallInfo) -> None:
        if self.answered:
            self.endpoint.post(self.call, CallerGone(info.lastStatusCode, translate.clean(info.lastReason)))
        else:
            self.refused(info.lastStatusCode)

    def lost(self, loss: Loss) -> None:
        if self.answered:
            self.endpoint.post(self.call, CallerGone(TIMEOUT, str(loss), loss))

    def refused(self, status: int) -> None:
        self.endpoint.post(self.call, CustomerRefused(translate.refusal_of(status, self.rang), status))


def end(call: pj.Call, status: int, headers: translate.Headers) -> None:
    """CANCEL, BYE or a final answer. PJSIP reports the leg disconnected before this returns."""
    prm = pj.CallOpParam()
    prm.statusCode = status
    if headers:
        prm.txOption.headers = translate.headers_of(headers)
    call.hangup(prm)


def begin(
    called: CalledLeg | CustomerLeg,
    sip: settings.Sip,
    uri: str,
    far: str,
    caller: Caller,
    headers: Mapping[str, str],
    display_name: str = "",
    flag: int = 0,
) -> None:
    """INVITE. `far`: the address or name that it goes to, `flag`: of pjsua's. A leg that fails at once is refused."""
    prm = library.audio_only()
    prm.opt.flag |= flag
    prm.txOption.localUri = translate.local_uri(caller, library.own_host(sip, far), display_name)
    try:
        prm.txOption.headers = translate.headers_of({**headers, **({} if caller.ani else ANONYMOUS)})
        called.makeCall(uri, prm)
    except (pj.Error, ValueError) as error:
        log.warning("leg %d: cannot call %s: %s", called.leg, translate.clean(uri), translate.reason_of(error))
        if not called.is_over:
            called.refused(503)
            called.endpoint.forget(called)
