"""Phones that log in: REGISTER in, OPTIONS out, for each agent whether one of the phones is there, and who dials.

Counterparts: registrar.py and probes.py, which decide; requests.pyx, which brings and sends; endpoint.py, which rings
the phones. Engine thread only. Nothing here blocks or calls anybody of the outside: changes wait for who asks.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from engine import doors
from engine.callflow import settings
from engine.callflow.settings import bracketed
from engine.sip import gate, requests
from engine.sip.digest import Credentials, Digest, Verdict
from engine.sip.probes import Probes
from engine.sip.registrar import Answer, Binding, Flow, Register, Registrar, key_of
from engine.sip.trunks import DEFAULT_PORTS

log = logging.getLogger(__name__)

# What a proxy answers for a phone that it does not reach: time is up, 430 (RFC 5626 section 5.3.1), no such connection
# (Kamailio), and what a server says of itself.
NOT_THERE = (408, 430, 477, 478, 500, 502, 503, 504)

Row = dict[str, Any]


class Whereabouts(Container[Flow]):
    """Where a phone that logged in may dial from: what its REGISTER came from itself, or any port of the proxy that it
    came through, whose connections change."""

    def __init__(self) -> None:
        self.direct: Counter[Flow] = Counter()
        self.proxies: Counter[str] = Counter()

    def __contains__(self, flow: object) -> bool:
        return flow in self.direct or (isinstance(flow, tuple) and flow[0] in self.proxies)

    def __bool__(self) -> bool:
        return bool(self.direct or self.proxies)

    def count(self, binding: Binding, change: int) -> None:
        """Containers ask for the key alone."""
        place: Counter[Any] = self.proxies if binding.path else self.direct
        key = binding.source if binding.path else binding.flow
        place[key] += change
        if not place[key]:
            del place[key]


class Phones:
    def __init__(
        self,
        how: settings.Registrar,
        agents: Collection[str],
        credentials: Credentials,
        kept: doors.Bindings,
        now: Callable[[], float],
        to_utc: Callable[[float], datetime],
    ) -> None:
        """`agents`: those whose phones log in here. `kept`: what an earlier run left, and where it is written to."""
        self._now, self._to_utc, self._kept = now, to_utc, kept
        self._digest = Digest(how.realm, os.urandom(32), credentials, how.nonce_s, algorithms=how.algorithms)
        self._probes = Probes(how.keep_alive_s, how.n_unanswered)
        self._agents = frozenset(agents)
        self._told: dict[str, bool] = {}  # agent -> what take_changes() said last; else: there is a phone
        self._changed = set(agents)
        self._stands: dict[str, Binding] = {}  # name on disk -> binding
        self._by_flow: dict[Flow, set[str]] = {}
        self._whereabouts = Whereabouts()
        self._own_uri: Callable[[str], str] = str
        self._is_trunk: Callable[[str], bool] = bool
        self._dialling = ("", "", "")  # source, Call-ID and agent of the INVITE that passed last
        self.registrar = Registrar(how, self._digest, agents, self)
        self._restore(kept.found)

    def open(self, own_uri: Callable[[str], str], is_trunk: Callable[[str], bool]) -> None:
        """PJSIP stands, and the gate in front of it. `own_uri`: ours towards an address. `is_trunk`: whether a source,
        as PJSIP says it, is a trunk's. Raises SipError."""
        self._own_uri, self._is_trunk = own_uri, is_trunk
        gate.take_registers(bool(self._agents))
        gate.know_phones(self._whereabouts)
        places = self._whereabouts
        requests.open(self._register, self._invited, self._ponged, self._closed, places.direct, places)

    def close(self) -> None:
        requests.close()

    # ---- for the endpoint

    def poll(self, now: float) -> None:
        self.registrar.expire(now)
        ask, gone = self._probes.due(now)
        for number, binding in ask:
            requests.ping(number, binding.uri, self._own_uri(binding.source), routes(binding))
        for binding in gone:
            self._has_gone(binding, "does not answer")

    def who_dials(self, source: str, call_id: str) -> str:
        """The agent whose phone sent the INVITE that PJSIP has at hand; empty: no phone did. `source`: as PJSIP says
        it."""
        return self._dialling[2] if self._dialling[:2] == (source, call_id) else ""

    def reachable(self, agent: str) -> list[Binding]:
        return self.registrar.reachable(agent)

    def notify(self, agent: str, summary: str) -> None:
        """Each of the agent's phones is told how many messages wait (RFC 3842)."""
        for binding in self.reachable(agent):
            if not requests.notify(binding.uri, self._own_uri(binding.source), routes(binding), summary):
                log.warning("agent %s: the phone at %s cannot be told", agent, binding.place)

    # ---- for the application

    def take_changes(self) -> list[tuple[str, bool]]:
        """(agent, whether a phone is there), of those where it is not as it was; at first nobody's is missing."""
        changes = []
        for agent in self._changed:
            is_there = agent not in self._agents or bool(self.registrar.reachable(agent))
            if self._told.get(agent, True) != is_there:
                self._told[agent] = is_there
                changes.append((agent, is_there))
        self._changed.clear()
        return changes

    def configure(self, agents: Collection[str]) -> None:
        """Another staff: phones that are logged in stay so, while their agents stay."""
        self._changed |= self._agents ^ frozenset(agents)
        self._agents = frozenset(agents)
        self.registrar.set_agents(agents)
        gate.take_registers(bool(self._agents))

    def set_credentials(self, credentials: Credentials) -> None:
        """Other passwords: they are asked for at the phones' next REGISTER."""
        self._digest.credentials = credentials

    def rows(self) -> list[Row]:
        """Every binding as it stands, and agents without any."""
        now = self._now()
        found = []
        for agent in sorted(self._agents):
            bindings = self.registrar.of(agent)
            found += [_row(binding, now) for binding in bindings] or [{"agent": agent, "state": "missing"}]
        return found

    # ---- told by the registrar

    def bound(self, binding: Binding) -> None:
        name = _name(binding)
        if name in self._stands:
            self._leave_flow(name)
        else:
            log.info("agent %s: phone at %s", binding.agent, binding.place)
        self._enter_flow(name, binding)
        self._probes.watch(binding, self._now())
        self._kept.put(name, {**asdict(binding), "expires_at": self._to_utc(binding.expires_at).timestamp()})
        self._changed.add(binding.agent)

    def unbound(self, binding: Binding) -> None:
        name = _name(binding)
        self._leave_flow(name)
        del self._stands[name]
        self._probes.unwatch(binding)
        self._kept.end(name)
        self._changed.add(binding.agent)
        log.info("agent %s: no phone at %s any more", binding.agent, binding.place)

    # ---- told by PJSIP

    def _register(self, request: Register) -> Answer:
        if not self._agents:
            return Answer(405, "Method Not Allowed", [])
        answer, is_failed = self.registrar.register(request, self._now())
        if is_failed:
            gate.login_failed(request.source)
            log.info("REGISTER from %s:%d: wrong password", *request[:2])
        elif answer.status == 200:
            gate.login_succeeded(request.source)
        return answer

    def _invited(self, request: Register) -> Answer | None:
        """None: it may pass. Whoever the phone says it is, it is the agent whose password it knows, and one who has
        logged in from this very place; and what it dials is what it signed. Through a proxy that is a trunk, too, come
        calls of others: those who do not say that they are such an agent."""
        self._dialling = ("", "", "")
        now, source = self._now(), f"{bracketed(request.source)}:{request.port}"
        is_proxied = request[:3] not in self._whereabouts.direct
        if is_proxied and self._is_trunk(source) and not self._is_here(request.sender, request):
            return None
        if gate.is_banned_from_logins(request.source):
            return Answer(403, "Forbidden", [])
        verdict, user = self._digest.check("INVITE", request.answers, request.source, now)
        if verdict is not Verdict.RIGHT:
            if verdict is Verdict.WRONG:
                gate.login_failed(request.source)
                log.info("INVITE from %s:%d: wrong password", *request[:2])
            challenges = self._digest.challenges(request.source, now, verdict is Verdict.STALE)
            return Answer(401, "Unauthorized", [("WWW-Authenticate", challenge) for challenge in challenges])
        signed = [user_of(one.uri) for one in request.answers if one.username == user]
        if not self._is_here(user, request) or request.user not in signed:
            log.warning("INVITE from %s:%d: %s has not logged in there, or signed another number", *request[:2], user)
            return Answer(403, "Forbidden", [])
        self._dialling = source, request.call_id, user
        return None

    def _is_here(self, agent: str, request: Register) -> bool:
        """The agent has a phone there, or behind this proxy."""
        return any(
            binding.source == request.source if binding.path else binding.flow == request[:3]
            for binding in self.registrar.of(agent)
        )

    def _ponged(self, number: int, status: int, source: str, port: int) -> None:
        if status in NOT_THERE and self._probes.asks_by_proxy(number):
            return
        if binding := self._probes.answered(number, self._now()):
            self._changed.add(binding.agent)
            log.info("agent %s: the phone at %s answers again", binding.agent, binding.place)

    def _closed(self, flow: Flow) -> None:
        for name in list(self._by_flow.get(flow, ())):
            binding = self._stands[name]
            if not binding.is_gone:
                self._lose(binding)
                self._has_gone(binding, "its connection is closed")

    # ---- small helpers

    def _lose(self, binding: Binding) -> None:
        """Perhaps it can be connected to, at the same address: it is asked."""
        name = _name(binding)
        self._leave_flow(name)
        binding.port, binding.is_gone, binding.rtt_s = home_port(binding), True, None
        self._enter_flow(name, binding)
        self._probes.watch(binding, self._now())

    def _has_gone(self, binding: Binding, why: str) -> None:
        self._changed.add(binding.agent)
        log.warning("agent %s: the phone at %s is gone: %s", binding.agent, binding.place, why)

    def _enter_flow(self, name: str, binding: Binding) -> None:
        self._stands[name] = binding
        self._by_flow.setdefault(binding.flow, set()).add(name)
        self._whereabouts.count(binding, 1)

    def _leave_flow(self, name: str) -> None:
        binding = self._stands[name]
        self._by_flow[binding.flow].discard(name)
        if not self._by_flow[binding.flow]:
            del self._by_flow[binding.flow]
        self._whereabouts.count(binding, -1)

    def _restore(self, rows: Iterable[Row]) -> None:
        """A connection of the last run is closed; the phone may be reached at the port that it named."""
        now = self._now()
        utc = self._to_utc(now).timestamp()
        bindings = []
        for row in rows:
            values = {name: value for name, value in row.items() if name in Binding.__dataclass_fields__}
            try:
                binding = Binding(**values)
                binding = replace(
                    binding,
                    path=tuple(binding.path),
                    registered_at=now,
                    expires_at=now + binding.expires_at - utc,
                    is_gone=binding.transport != "udp",
                    rtt_s=None,
                )
                if binding.transport != "udp":
                    binding.port = home_port(binding)
                bindings.append(binding)
            except (TypeError, ValueError) as error:
                log.error("a phone of the last run cannot be read: %s", error)
        self.registrar.restore(bindings, now)
        for name in {row["key"] for row in rows} - self._stands.keys():
            self._kept.end(name)


def routes(binding: Binding) -> list[str]:
    """Where a request to the phone goes: to where it sends from, unseen by it (PJSIP's `hide`), and then along its
    Path (RFC 3327)."""
    return [f"<sip:{bracketed(binding.source)}:{binding.port};transport={binding.transport};lr;hide>", *binding.path]


def dialled(binding: Binding) -> str:
    """The URI that makes PJSIP send a request there (RFC 3261 section 19.1.1, headers)."""
    return f"{binding.uri}?" + "&".join(f"Route={quote(route, safe='')}" for route in routes(binding))


def user_of(uri: str) -> str:
    """The user part of a SIP URI, without what is escaped (RFC 3261 section 19.1.2)."""
    user, at, _ = uri.partition("@")
    return unquote(user.partition(":")[2]) if at else ""


def home_port(binding: Binding) -> int:
    """Where the phone, or the proxy in front of it, says that it can be connected to."""
    uri = binding.path[0].partition("<")[2].partition(">")[0] if binding.path else binding.uri
    return port_of(uri) or DEFAULT_PORTS[binding.transport]


def port_of(uri: str) -> int:
    """The port of a SIP URI; 0: it has none."""
    host = uri.partition(";")[0].rpartition("@")[2].removeprefix("sip:").rpartition("]")[2]
    _, _, port = host.rpartition(":")
    return int(port) if port.isdecimal() and 0 < int(port) < 65536 else 0


def _name(binding: Binding) -> str:
    """The binding's name on disk."""
    text, number = key_of(binding.uri, binding.instance, binding.reg_id)
    return f"{binding.agent} {number} {text}"


def _row(binding: Binding, now: float) -> Row:
    return {
        "agent": binding.agent,
        "state": "gone" if binding.is_gone else "there",
        "contact": binding.uri,
        "source": binding.place,
        "user_agent": binding.user_agent,
        "expires_s": round(binding.expires_at - now, 1),
        "rtt_ms": None if binding.rtt_s is None else round(binding.rtt_s * 1000, 2),
        "path": list(binding.path),
        "instance": binding.instance,
        "reg_id": binding.reg_id,
    }
