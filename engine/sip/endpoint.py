"""The SIP room: INVITEs in, requests out, and the legs between. Counterparts: doors.Sip, which this fulfils; legs.py.

Each leg of a call is a pj.Call that the endpoint holds until PJSIP reports it disconnected: one that the garbage
collector finds hangs up its leg (pjproject issue 3856). At that report it must be let go, before the callback returns:
PJSIP gives the slot to the next call, and a late destructor would hang up that one.

Nothing here touches conference links, decides anything about a call, or raises for what the outside did. After hang_up,
reject or drop only LegEnded comes from a leg, and LegCleared of a phone that had not confirmed its end by then;
retransmissions, and a 200 that crosses our CANCEL, are then PJSIP's.
"""

import functools
import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence

import pjsua2 as pj

from engine.callflow import settings
from engine.callflow.errors import SipError
from engine.callflow.events import CalledRefused, CallFailed, LegEnded, Loss, Refusal
from engine.callflow.plan import Caller
from engine.callflow.staff import REGISTERED
from engine.doors import Post
from engine.sip import gate, legs, library, referrals, slots, tls, translate, turned_away, unheard
from engine.sip.accounts import Accounts
from engine.sip.carriers import Carriers
from engine.sip.clearing import Clearing
from engine.sip.fork import Branch, Fork
from engine.sip.gatekeeper import Gatekeeper
from engine.sip.inward import Inward
from engine.sip.keys import IN_BAND
from engine.sip.legs import NO_SLOT, CalledLeg, CallerLeg, ChallengedLeg, CustomerLeg, KeyedLeg, Leg
from engine.sip.outward import TRUNK, Outward
from engine.sip.phones import Phones, dialled
from engine.sip.referrals import Referrals
from engine.sip.timers import Timers
from engine.sip.trunks import IN, OUT

log = logging.getLogger(__name__)

ELSEWHERE = {"Reason": 'SIP;cause=200;text="Call completed elsewhere"'}  # RFC 3326 section 2
LOST = {loss: f'Agner;text="{loss.replace("_", " ")}"' for loss in Loss}
RINGING, PROGRESS, OK = 180, 183, 200
TIMEOUT, SHORT_INTERVAL, UNAVAILABLE, SERVER_ERROR = 408, 422, 480, 500
RECORDABLE = 1 << 30  # among pjsua's flags of a call, where PJSIP has none; the media room taps calls that have it
NO_ACK_S = 32.5  # PJSIP's Timer H, 32 s, and a moment: before it no BYE may be sent (RFC 3261 section 15)
LOOK_EVERY_S = 0.02  # what is due by time alone; each round would cost more than it is exact
CLOSING_S = 2.0  # how long close() waits for the far sides to agree to our BYE and CANCEL


class Endpoint:
    """PJSIP, running. One per process; all methods on one thread, and none from inside `post`."""

    def __init__(
        self,
        sip: settings.Sip,
        trunks: Sequence[settings.Trunk],
        limits: settings.Limits,
        clock_rate: int,
        post: Post,
        new_call: Callable[[], str],
        now: Callable[[], float],
        phones: Phones | None = None,
        srtp_of: Mapping[str, str] | None = None,
    ) -> None:
        """Opens the transports and starts; `phones`: those that log in; `srtp_of`: as of staff.srtp_of_phones. Raises
        SipError with one line for each thing that cannot work."""
        self.post = post
        self._new_call, self.now = new_call, now
        self._settings, self._phones = sip, phones
        self.carriers = Carriers(sip, trunks, now)
        self._accounts = Accounts(self, sip, srtp_of or {})
        self._inward, self._referrals = Inward(self, self._accounts, phones), Referrals(self)
        self._legs: dict[int, Leg | Fork | Outward] = {}
        self._numbers = itertools.count(1)
        self._invited: list[int] = []  # legs to announce, when PJSIP is done with the INVITE
        self._failed: list[int] = []  # legs whose callback raised
        self._decided: list[Fork] = []  # whose other phones need not ring any more
        self._clearing = Clearing()
        self._timers = Timers(now)  # of legs that may be given up
        self._look_at = now()
        self._answered: dict[int, tuple[int, bytes]] = {}  # callers' legs, until the ACK must be there: slot, Call-ID
        problems = library.check_limits(sip, limits) + library.raise_descriptors(limits) + self.carriers.problems
        library.C.pj_log_set_level(0)  # before libInit the log goes to stdout
        self._pj = pj.Endpoint()  # no subclass: a bridge thread would enter its Python at every change of a link
        self._pj.libCreate()
        try:
            self._pj.libInit(library.library_config(limits, clock_rate))
            unheard.leave_out()
            self.gatekeeper = Gatekeeper(sip.gate, trunks)
            problems += library.set_codecs(self._pj, sip.codecs)
            problems += library.open_transports(self._pj, sip)
            if problems:
                raise SipError("\n".join(problems))
            self._pj.audDevManager().setNullDev()
            self._pj.libStart()
            turned_away.listen(self.turned_away)
            self._accounts.open(trunks, phones is not None)
            self.carriers.open()
            if phones:
                phones.open(functools.partial(library.own_uri, sip), self.carriers.is_trunk)
                self._referrals.open()
        except SipError:
            self._destroy()
            raise
        except pj.Error as error:
            self._destroy()
            raise translate.sip_error("PJSIP does not start", error) from error

    def renew(self, trunks: Sequence[settings.Trunk], srtp_of: Mapping[str, str]) -> None:
        """Changed settings of trunks and phones (see __init__), and the TLS certificate as it stands on disk now."""
        self.carriers.renew(trunks)
        self._accounts.renew(srtp_of)
        library.renew_certificate(self._settings.tls)

    # ---- requests

    def ring(self, leg: int) -> None:
        call = self._legs.get(leg)
        if isinstance(call, CallerLeg) and not call.progress_sent and not call.ok_sent:
            self._answer(call, RINGING)

    def progress(self, leg: int) -> None:
        """A caller whose INVITE had no SDP cannot hear anything before the answer: CallFailed."""
        call = self._legs.get(leg)
        if not isinstance(call, CallerLeg) or call.progress_sent or call.ok_sent:
            return
        if not self._answer(call, PROGRESS):
            return
        call.progress_sent = True
        if call.media_slot != NO_SLOT:
            call.has_media()
        else:
            self.callback_failed(call, "early media", SipError("no audio before the answer"))

    def answer(self, leg: int) -> None:
        call = self._legs.get(leg)
        if not isinstance(call, CallerLeg) or call.ok_sent or not self._answer(call, OK):
            return
        call.ok_sent = True
        self._answered[leg] = call.getId(), slots.call_id(call.getId())
        self._timers.after(NO_ACK_S, self._give_up_unacknowledged, leg)
        if call.media_slot != NO_SLOT:
            call.has_media()

    def reject(self, leg: int, status: int, retry_after_s: int | None = None) -> None:
        self._end(leg, status, {} if retry_after_s is None else {"Retry-After": str(retry_after_s)})

    def dial(
        self, call: str, offer: int, uri: str, caller: Caller, headers: Mapping[str, str], display_name: str = ""
    ) -> int:
        """`uri`: a SIP address, or trunk:NAME/NUMBER. A leg that fails at once is refused as unreachable."""
        leg = next(self._numbers)
        if uri.startswith(TRUNK):
            return self._dial_over(Outward(self, call, leg, offer, uri, caller))
        self._timers.after(self._settings.ringing_within_s, self._give_up_silent, leg)
        if uri.startswith(REGISTERED):
            fork = self._legs[leg] = Fork(self, call, leg, offer)
            for binding in self._phones.reachable(uri.removeprefix(REGISTERED)) if self._phones else ():
                branch = Branch(fork, self._accounts.towards(binding.source, uri))
                branch.leg = CalledLeg(branch, call, leg, offer)
                legs.begin(branch.leg, self._settings, dialled(binding), binding.source, caller, headers, display_name)
            fork.complete()
        else:
            far = translate.host_of(uri)
            called = self._legs[leg] = CalledLeg(self, call, leg, offer, self._accounts.towards(far, uri))
            legs.begin(called, self._settings, uri, far, caller, headers, display_name)
        return leg

    def dial_customer(self, call: str, uri: str, caller: Caller, headers: Mapping[str, str]) -> int:
        """A public network may be silent for long before it rings, so no time is set to it here."""
        leg = next(self._numbers)
        if uri.startswith(TRUNK):
            return self._dial_over(Outward(self, call, leg, None, uri, caller, RECORDABLE))
        far = translate.host_of(uri)
        called = self._legs[leg] = CustomerLeg(self, call, leg, self._accounts.towards(far))
        legs.begin(called, self._settings, uri, far, caller, headers, flag=RECORDABLE)
        return leg

    def lose(self, leg: int, loss: Loss) -> None:
        call = self._legs.get(leg)
        if call is not None and not call.ending:
            call.lost(loss)
            self._end(leg, 0, {"Reason": LOST[loss]})

    def take_key(self, leg: int, key: str) -> None:
        call = self._legs.get(leg)
        if isinstance(call, Outward):
            call = call.attempt
        if isinstance(call, KeyedLeg):
            call.take_key(key, IN_BAND)

    def notify_mwi(self, uri: str, account: str, n_new: int, n_old: int) -> None:
        if not uri.startswith(REGISTERED):
            far = translate.host_of(uri)
            own_uri = library.own_uri(self._settings, far)
            translate.send_mwi(self._accounts.towards(far), uri, own_uri, account, n_new, n_old)
        elif self._phones:
            self._phones.notify(uri.removeprefix(REGISTERED), translate.message_summary(account, n_new, n_old))

    def give(self, leg: int, call: str, offer: int) -> None:
        referrals.give(self._legs.get(leg), call, offer)

    def report_transfer(self, leg: int, status: int) -> None:
        if phone := referrals.phone_of(self._legs.get(leg)):
            self._referrals.report(phone, status)

    def hang_up(self, leg: int, elsewhere: bool = False) -> None:
        self._end(leg, 0, ELSEWHERE if elsewhere else {})

    def drop(self, leg: int) -> None:
        self._end(leg, 0, {})

    def n_legs(self) -> int:
        """Legs whose LegEnded has not been posted."""
        return len(self._legs)

    def n_calls_out(self, trunk: str) -> int:
        return self.carriers.ways[trunk].n_calls[OUT]

    def n_pools(self) -> int:
        """Pools of memory that PJSIP has in use, those of transactions that are nearly over among them."""
        return slots.n_pools()

    def n_closing(self) -> int:
        """Legs that exist in PJSIP: also those that ended for us and wait for the far side's last word."""
        return int(library.C.pjsua_call_get_count())

    def poll(self, timeout_s: float) -> bool:
        """Let callbacks post what has happened; if nothing has, wait for the network, at most this long, and return
        True. What is due by time alone is exact to this timeout and LOOK_EVERY_S."""
        if is_idle := self._pj.libHandleEvents(0) == 0:
            self._pj.libHandleEvents(math.ceil(timeout_s * 1000))
        while self._invited:
            self._announce(self._invited.pop(0))
        while self._failed:
            self._end(self._failed.pop(), SERVER_ERROR, {})
        while self._decided:
            self._end_losers(self._decided.pop())
        for call, cleared in self._clearing.over():
            self.post(call, cleared)
        self.carriers.try_again()
        if (now := self.now()) >= self._look_at:
            self._look(now)
        return is_idle

    def _look(self, now: float) -> None:
        self._look_at = now + LOOK_EVERY_S
        self._timers.run()
        self.carriers.poll()
        if self._phones:
            self._phones.poll(now)
        self.gatekeeper.tell(now)

    def close(self) -> None:
        """End every leg, wait a moment for the far sides, and shut PJSIP down. Ended legs are posted as always."""
        self.carriers.leave()
        for leg in list(self._legs):
            self._end(leg, 0, {})
        end = self.now() + CLOSING_S
        while (self.n_closing() or self.carriers.is_leaving()) and self.now() < end:
            self.poll(0.05)
        self._destroy()

    # ---- for the callbacks

    @property
    def account(self) -> pj.Account:
        return self._accounts.towards("")

    def invited(self, slot: int, source: str, message: str) -> None:
        """An INVITE came. PJSIP may still refuse it, so it is announced when its callbacks are over."""
        leg = next(self._numbers)
        self._invited.append(leg)
        self._legs[leg] = opened = self._inward.open(self._new_call, leg, slot, source, message)
        if not isinstance(opened, ChallengedLeg) and opened.caller.trunk:
            self.carriers.ways[opened.caller.trunk].began(IN)

    def turned_away(self, source: str, message: str, status: int) -> None:
        """PJSIP refused an INVITE by itself: no codec in common, a broken SDP, no room."""
        if status != SHORT_INTERVAL:  # told by its leg already
            self._inward.refused(self._new_call(), next(self._numbers), source, message, status)

    def end_later(self, fork: Fork) -> None:
        """Its other phones stop ringing when PJSIP's callbacks are over."""
        self._decided.append(fork)

    def end_attempt(self, leg: Leg) -> None:
        self._hang_up(leg, 0, {})

    def forget(self, leg: Leg | Fork | Outward) -> None:
        """The leg is gone. The caller's own reference must be the last one."""
        if self._legs.pop(leg.leg, None) is not None and not isinstance(leg, ChallengedLeg):
            if isinstance(leg, CallerLeg) and leg.caller.trunk:
                self.carriers.ways[leg.caller.trunk].ended(IN)
            self.post(leg.call, LegEnded(leg.leg, leg.leg not in self._clearing))

    def callback_failed(self, leg: Leg, doing: str, error: Exception) -> None:
        self.post(leg.call, CallFailed(translate.sip_error(f"leg {leg.leg}: {doing}", error)))
        self._failed.append(leg.leg)

    # ---- small helpers

    def _dial_over(self, outward: Outward) -> int:
        self._legs[outward.leg] = outward
        outward.next()
        return outward.leg

    def _answer(self, call: CallerLeg, status: int) -> bool:
        prm = library.audio_only()
        prm.statusCode = status
        try:
            call.answer(prm)
        except pj.Error as error:
            if call.leg in self._legs:
                self.callback_failed(call, "answer", error)
            return False
        return call.leg in self._legs

    def _destroy(self) -> None:
        turned_away.forget()
        if self._phones:
            self._phones.close()
        self.carriers.close()
        self._accounts.close()
        unheard.put_back()
        self._pj.libDestroy(pj.PJSUA_DESTROY_NO_RX_MSG)  # else it waits another second
        del self._pj  # a second one beside it would abort the process
        gate.close()
        tls.forget()

    def _announce(self, leg: int) -> None:
        call = self._legs.get(leg)
        if isinstance(call, ChallengedLeg) and call.isActive():
            self._end(leg, call.status, call.asked)
            return
        if not isinstance(call, CallerLeg) or call.isActive():
            if isinstance(call, CallerLeg):
                call.announce()
            return
        # PJSIP refused the INVITE after all, and reports that to nobody.
        log.warning("INVITE from %s refused by PJSIP", call.caller.trunk or call.caller.agent)
        if pj.Call.lookup(call.getId()) is not call:
            call.this.disown()  # another call has the slot by now: rather lose some memory than hang that one up
        del self._legs[leg]
        if not isinstance(call, ChallengedLeg) and call.caller.trunk:
            self.carriers.ways[call.caller.trunk].ended(IN)

    def _give_up_silent(self, leg: int) -> None:
        called = self._legs.get(leg)
        if isinstance(called, CalledLeg | Fork) and not called.rang and not called.confirmed:
            self.post(called.call, CalledRefused(called.offer, Refusal.UNREACHABLE, TIMEOUT))
            self._end(leg, 0, {})

    def _give_up_unacknowledged(self, leg: int) -> None:
        """PJSIP has sent BYE, and would report the leg's end only when that is answered or has had its 32 s too. So it
        would with a leg that we hung up before its ACK."""
        call, taken = self._legs.get(leg), self._answered.pop(leg)
        if isinstance(call, CallerLeg) and call.confirmed:
            return
        if call is not None:
            call.lost(Loss.NO_ACK)
            call.ending = True
        slots.vacate(*taken)

    def _end(self, leg: int, status: int, headers: translate.Headers) -> None:
        call = self._legs.get(leg)
        if call is None or call.ending:
            return
        call.ending = True
        self._clearing.begin(call)
        if not status and isinstance(call, CallerLeg) and not call.ok_sent:
            status = UNAVAILABLE
        if isinstance(call, Fork):
            self._end_branches(call.branches, headers)
        elif isinstance(call, Outward):
            call.leave()
            if call.attempt is not None and not call.attempt.ending:
                call.attempt.ending = True
                self._hang_up(call.attempt, 0, headers)
        else:
            self._hang_up(call, status, headers)
        self.forget(call)

    def _end_losers(self, fork: Fork) -> None:
        self._end_branches(fork.losers(), ELSEWHERE if fork.winner else {})

    def _end_branches(self, branches: Sequence[Branch], headers: translate.Headers) -> None:
        for branch in list(branches):
            if branch.leg is not None and not branch.leg.ending:
                branch.leg.ending = True
                self._hang_up(branch.leg, 0, headers)

    def _hang_up(self, leg: Leg, status: int, headers: translate.Headers) -> None:
        try:
            legs.end(leg, status, headers)
        except pj.Error as error:
            log.warning("leg %d: hang up: %s", leg.leg, translate.reason_of(error))
