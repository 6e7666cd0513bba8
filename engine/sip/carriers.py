"""Trunks in PJSIP: the accounts that calls go out by, registrations, probes, and who a call comes from.

Pure parts: trunks.py (which destination, limits), enrolment.py (when to register), identity.py (callers), digest.py
(callers who must log in). Counterparts: endpoint.py, which asks; outward.py, one call going out; names.py, DNS.

Credentials stand in accounts of their own, one realm each, and only what we begin over a trunk is sent by them: INVITE,
REGISTER, OPTIONS. Calls that come in are all taken by the endpoint's account, which has none (turned_away.pyi sees to
that), so that no caller's 401 or 407 draws an answer.
"""

import heapq
import itertools
import logging
import os
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pjsua2 as pj

from engine.callflow import settings
from engine.callflow.errors import SipError
from engine.callflow.settings import Destination, Login, Trunk, bracketed
from engine.sip import digest, identity, large, library, translate
from engine.sip.enrolment import Enrolment
from engine.sip.names import Names
from engine.sip.trunks import IN, OUT, Hop, Ways

if TYPE_CHECKING:
    from engine.sip.outward import Outward

log = logging.getLogger(__name__)

MOST_ACCOUNTS = 200  # PJSUA_MAX_ACC without what else there is; more servers than these share them in turn
CACHED_SOURCES = 1024
OK = 200
_REALM = re.compile(r'^(?:WWW|Proxy)-Authenticate:.*?realm="([^"]*)"', re.IGNORECASE | re.MULTILINE)
_RETRY_AFTER = re.compile(r"^Retry-After[ \t]*:[ \t]*([0-9]{1,6})", re.IGNORECASE | re.MULTILINE)


def password_of(login: Login) -> str:
    """Raises SipError; its text never has any of the password."""
    if login.password_variable:
        password = os.environ.get(login.password_variable, "")
        where = f"environment variable {login.password_variable}"
    else:
        where = f"password file {login.password_file}"
        try:
            password = Path(login.password_file).read_text().rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise SipError(f"{where}: cannot be read ({getattr(error, 'strerror', None) or 'no text'})") from None
    if not password:
        raise SipError(f"{where} is empty or not there")
    return password


class _ProbingAccount(pj.Account):
    """What goes out over a trunk to one server."""

    def __init__(self, carriers: "Carriers") -> None:
        super().__init__()
        self._carriers = carriers

    def onSendRequest(self, prm: pj.OnSendRequestParam) -> None:
        self._carriers.probe_ended(int(prm.userData), prm.e.body.tsxState.tsx.statusCode)


class _Enrolled(pj.Account):
    """Our registration with one carrier."""

    def __init__(self, carriers: "Carriers", trunk: Trunk, now: float) -> None:
        super().__init__()
        assert trunk.registration
        self.trunk, self.registration = trunk, trunk.registration
        self.enrolment = Enrolment(now)
        self._carriers = carriers
        registrar = Trunk(trunk.name, (), destinations=(trunk.registration.registrar,), probing=None)
        self.ways = Ways(registrar, now)
        self.hop: Hop | None = None

    def onRegState(self, prm: pj.OnRegStateParam) -> None:
        try:
            self._carriers.registered(self, prm.code, prm.expiration, prm.reason, prm.rdata.wholeMsg)
        except Exception:
            log.exception("REGISTER of trunk %s", self.trunk.name)


class Carriers:
    """All trunks. Engine thread only."""

    def __init__(self, sip: settings.Sip, trunks: Sequence[Trunk], now: Callable[[], float]) -> None:
        """`problems` is what it lacks."""
        self.problems: list[str] = []
        self._sip, self._now, self._trunks = sip, now, tuple(trunks)
        self.dice = random.Random().random
        self.ways = {trunk.name: Ways(trunk, now()) for trunk in trunks}
        self._trunk_by_source: dict[str, str] = {}
        self._accounts: dict[tuple[str, str, str], _ProbingAccount] = {}
        self._enrolled: list[_Enrolled] = []
        self._passwords = {one.name: self._password_of(one, one.login) for one in trunks if one.login}
        asked = [(one, one.challenge) for one in trunks if one.challenge]
        self._challengers = {one.name: _challenger(login, self._password_of(one, login)) for one, login in asked}
        self._probes: dict[int, tuple[str, Hop, Any]] = {}
        self._awaited: list[tuple[float, int, int, Outward]] = []  # heap: which attempt should have had a word by when
        self._ticks = itertools.count()
        self._to_try: list[Outward] = []
        self._names: Names | None = None

    def _password_of(self, trunk: Trunk, login: Login) -> str:
        try:
            return password_of(login)
        except SipError as error:
            self.problems.append(f"trunk {trunk.name}: {error}")
            return ""

    def open(self) -> None:
        """When PJSIP runs."""
        enrolled = (trunk for trunk in self._trunks if trunk.registration)
        self._enrolled = [_Enrolled(self, trunk, self._now()) for trunk in enrolled]
        watched = [one for trunk in self._trunks for one in trunk.destinations]
        watched += [one.registration.registrar for one in self._enrolled]
        self._names = Names(watched, [settings.is_v6(own) for own in self._sip.addresses])
        self.poll()

    def renew(self, trunks: Sequence[Trunk]) -> None:
        """Changed settings of the trunks that are there; calls that are out keep what they have."""
        self._trunks = tuple(trunks)
        for trunk in trunks:
            self.ways[trunk.name].renew(trunk, self._now())
        if self._names:
            self._names.watch(one for trunk in trunks for one in trunk.destinations)
            for destination, servers in self._names.known.items():
                self._found(destination, servers)
            self._tell_large()

    def try_again(self) -> None:
        """The next destination of calls whose last one failed. Outside PJSIP's callbacks."""
        while self._to_try:
            self._to_try.pop(0).next()

    def poll(self) -> None:
        """What is due by time, and what DNS found. Outside PJSIP's callbacks."""
        now = self._now()
        for destination, servers in self._names.poll() if self._names else ():
            self._found(destination, servers)
        while self._awaited and self._awaited[0][0] <= now:
            _, _, n_attempts, outward = heapq.heappop(self._awaited)
            outward.silent(n_attempts)
        self.try_again()
        for ways in self.ways.values():
            if now >= ways.next_probe_at():
                for hop in ways.probes_due(now):
                    self._probe(ways, hop)
        for one in self._enrolled:
            if now >= one.enrolment.next_at:
                self._register(one)

    def leave(self) -> None:
        """Tell the carriers that we go; their answers are worth a moment's wait."""
        for one in self._enrolled:
            if one.enrolment.registered_until is not None:
                try:
                    one.setRegistration(False)
                except pj.Error as error:
                    log.warning("trunk %s: %s", one.trunk.name, translate.reason_of(error))
                one.enrolment.sent()

    def is_leaving(self) -> bool:
        return any(one.enrolment.registered_until is not None for one in self._enrolled)

    def close(self) -> None:
        """Before libDestroy: accounts that outlive it crash (pjproject issue 4353)."""
        if self._names:
            self._names.close()
        self._enrolled.clear()
        self._accounts.clear()

    # ---- calls

    def trunk_of(self, source: str) -> Trunk:
        """The gate lets no other address in."""
        if source not in self._trunk_by_source:
            address = translate.address_of(source)
            if len(self._trunk_by_source) >= CACHED_SOURCES:
                self._trunk_by_source.clear()
            self._trunk_by_source[source] = next(
                trunk.name for trunk in self._trunks for network in trunk.sources if address in network
            )
        return self.ways[self._trunk_by_source[source]].trunk

    def is_trunk(self, source: str) -> bool:
        """Whether calls from there are a trunk's. `source` as PJSIP says it."""
        address = translate.address_of(source)
        return any(address in network for trunk in self._trunks for network in trunk.sources)

    def challenges(self, trunk: Trunk, source: str, invite: str) -> list[str]:
        """Values of WWW-Authenticate for a caller who has yet to log in; empty: the call may come."""
        challenger = self._challengers.get(trunk.name)
        if challenger is None:
            return []
        address = str(translate.address_of(source))
        verdict, _ = challenger.check("INVITE", identity.answers_of(invite), address, self._now())
        if verdict is digest.Verdict.WRONG:
            log.warning("INVITE from %s, trunk %s: wrong password", source, trunk.name)
        if verdict is digest.Verdict.RIGHT:
            return []
        return challenger.challenges(address, self._now(), verdict is digest.Verdict.STALE)

    def account(self, trunk: Trunk, destination: Destination, hop: Hop) -> pj.Account:
        """By which requests go to a server. One for all servers of a trunk, and family, that are named by their
        addresses; else the account has a route to the server, which is not written into the request (`hide`)."""
        route = "" if destination.host == hop.address else _route(destination, hop)
        key = trunk.name, self._sip.address_for(hop.address)[0], route
        if account := self._accounts.pop(key, None):
            self._accounts[key] = account  # the last one used comes last
            return account
        config = library.account_config(self._sip, trunk.srtp, hop.address)
        self._log_in(config, trunk)
        if route:
            config.sipConfig.proxies.append(route)
        if len(self._accounts) >= MOST_ACCOUNTS:
            account = self._accounts.pop(next(iter(self._accounts)))
            account.modify(config)
        else:
            account = _ProbingAccount(self)
            account.create(config)
        self._accounts[key] = account
        return account

    def own_host(self, hop: Hop) -> str:
        return library.own_host(self._sip, hop.address)

    def _log_in(self, config: pj.AccountConfig, trunk: Trunk) -> None:
        if login := trunk.login:
            plain, password = pj.PJSIP_CRED_DATA_PLAIN_PASSWD, self._passwords[trunk.name]
            config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", login.realm, login.user, plain, password))

    def await_word(self, outward: "Outward", until: float) -> None:
        heapq.heappush(self._awaited, (until, next(self._ticks), outward.n_attempts, outward))

    def try_next(self, outward: "Outward") -> None:
        """When PJSIP's callbacks are over."""
        self._to_try.append(outward)

    # ---- probes

    def _probe(self, ways: Ways, hop: Hop) -> None:
        destination = next(one for one, servers in ways.servers.items() if hop in [server.hop for server in servers])
        prm = pj.SendRequestParam()
        token = pj.SipHeader()  # an address of our own, to know the answer by
        prm.method, prm.userData = "OPTIONS", token.this
        prm.txOption.targetUri = str(destination)
        self._probes[int(token.this)] = ways.trunk.name, hop, token
        try:
            self.account(ways.trunk, destination, hop).sendRequest(prm)
        except pj.Error as error:
            log.warning("trunk %s: OPTIONS to %s: %s", ways.trunk.name, destination, translate.reason_of(error))
            self.probe_ended(int(token.this), 0)

    def probe_ended(self, token: int, status: int) -> None:
        trunk, hop, _ = self._probes.pop(token, ("", Hop("", 0, ""), None))
        if ways := self.ways.get(trunk):
            before = ways.state_of(hop, self._now()) if hop in ways.health else ""
            ways.probe_ended(hop, status, self._now())
            after = ways.state_of(hop, self._now()) if hop in ways.health else ""
            if "gone" in (before, after) and before != after:
                log.warning("trunk %s: %s:%d was %s and is %s", trunk, hop.address, hop.port, before, after)

    # ---- registrations

    def _register(self, one: _Enrolled) -> None:
        now, enrolment = self._now(), one.enrolment
        tried = [one.hop] if one.hop and enrolment.why else []
        found = one.ways.choose(tried, now, self.dice()) or one.ways.last_resort(self.dice())
        if found is None:
            enrolment.refused("DNS has not told where the registrar is", 0.0, now, self.dice())
            return
        is_moved = one.hop != found[1]
        one.hop = found[1]
        enrolment.sent()
        try:
            if not one.isValid():
                one.create(self._enrolled_config(one))
            elif is_moved:
                one.modify(self._enrolled_config(one))
            one.setRegistration(True)
        except pj.Error as error:
            enrolment.refused(translate.reason_of(error), 0.0, now, self.dice())

    def _enrolled_config(self, one: _Enrolled) -> pj.AccountConfig:
        assert one.hop
        config = library.account_config(self._sip, one.trunk.srtp, one.hop.address)
        registrar = one.registration.registrar
        self._log_in(config, one.trunk)
        config.idUri = f"sip:{one.registration.user}@{registrar.host}"
        config.sipConfig.proxies.append(_route(registrar, one.hop))
        config.natConfig.contactRewriteUse = 0
        register = config.regConfig
        register.registrarUri, register.timeoutSec = str(registrar), one.registration.expires_s
        register.registerOnAdd, register.disableRegOnModify = False, True
        register.retryIntervalSec = 0  # we try again ourselves, and elsewhere
        return config

    def registered(self, one: _Enrolled, status: int, expires_s: float, reason: str, answer: str) -> None:
        now, enrolment, name = self._now(), one.enrolment, one.trunk.name
        if status == OK and expires_s > 0:
            if enrolment.state(now) != "registered":
                log.info("trunk %s: registered for %g s", name, expires_s)
            enrolment.granted(expires_s, now)
            return
        if status == OK:  # we left
            enrolment.registered_until = None
            return
        why = f"{status} {translate.clean(reason)}"
        if status in (401, 407) and (found := _REALM.search(answer)):
            why += f', asked by realm "{translate.clean(found[1])}"'
        wait = _RETRY_AFTER.search(answer)
        if one.hop and not answer:
            one.ways.lost(one.hop, now)
        enrolment.refused(why, float(wait[1]) if wait else 0.0, now, self.dice())
        log.warning("trunk %s: not registered: %s; again in %.0f s", name, why, enrolment.next_at - now)

    # ---- small helpers

    def _found(self, destination: Destination, servers: Sequence[Any]) -> None:
        for ways in (*self.ways.values(), *(one.ways for one in self._enrolled)):
            if destination in ways.trunk.destinations:
                ways.found(destination, servers, self._now())
        self._tell_large()

    def _tell_large(self) -> None:
        """Which servers take a request by TCP that is too large for UDP."""
        takers = [ways for ways in self.ways.values() if ways.trunk.large_by_tcp]
        large.go_by_tcp({one.hop.address for ways in takers for servers in ways.servers.values() for one in servers})

    def rows(self) -> list[dict[str, Any]]:
        """For `agner trunks`: what stands now, without any password."""
        now = self._now()
        enrolled = {one.trunk.name: one for one in self._enrolled}
        return [self._row(ways, enrolled.get(name), now) for name, ways in self.ways.items()]

    def _row(self, ways: Ways, enrolled: _Enrolled | None, now: float) -> dict[str, Any]:
        trunk = ways.trunk
        registration = None
        if enrolled:
            until = enrolled.enrolment.registered_until
            registration = {
                "user": enrolled.registration.user,
                "registrar": str(enrolled.registration.registrar),
                "state": enrolled.enrolment.state(now),
                "left_s": max(0.0, until - now) if until is not None else None,
                "why": enrolled.enrolment.why,
                "again_in_s": max(0.0, enrolled.enrolment.next_at - now) if enrolled.enrolment.why else None,
            }
        return {
            "trunk": trunk.name,
            "from": [str(network) for network in trunk.sources],
            "n_in": ways.n_calls[IN],
            "n_out": ways.n_calls[OUT],
            "n_in_total": ways.n_total[IN],
            "n_out_total": ways.n_total[OUT],
            "max_calls": trunk.max_calls,
            "max_calls_in": trunk.max_calls_in,
            "max_calls_out": trunk.max_calls_out,
            "max_calls_per_s": trunk.max_calls_per_s,
            "max_calls_per_s_out": trunk.max_calls_per_s_out,
            "overflow": trunk.overflow,
            "registration": registration,
            "destinations": [
                {
                    "to": str(destination),
                    "server": f"{bracketed(server.hop.address)}:{server.hop.port} {server.hop.transport}",
                    "priority": destination.priority,
                    "weight": destination.weight,
                    "state": ways.state_of(server.hop, now),
                    "rtt_s": ways.health[server.hop].rtt_s,
                    "n_lost": ways.health[server.hop].n_lost,
                    "n_calls": ways.health[server.hop].n_calls,
                }
                for destination in trunk.destinations
                for server in ways.servers.get(destination, ())
            ],
            "unknown": [str(one) for one in trunk.destinations if not ways.servers.get(one)],
        }


def _route(destination: Destination, hop: Hop) -> str:
    """To one of its servers. Over TLS that one must show a certificate for the destination as it is written (RFC 5922
    section 7), whatever DNS makes of it: `tls-name`, see pjsip/patches/server-name.patch."""
    to = f"{bracketed(hop.address)}:{hop.port};transport={hop.transport}"
    return f"<sip:{to};lr;hide;tls-name={bracketed(destination.host)}>"


def _challenger(login: Login, password: str) -> digest.Digest:
    """Who must answer our challenge, and with what."""
    secret = f"{login.user}:{login.realm}:{password}".encode()
    known = {name: make(secret).hexdigest() for name, make in digest.HASHES.items()}
    return digest.Digest(login.realm, os.urandom(32), {login.user: known}, algorithms=login.algorithms)
