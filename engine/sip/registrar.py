"""The registrar: which phones an agent can be reached at (RFC 3261 section 10, RFC 3327, RFC 5626).

An address of record is an agent's number, and its user in the digest. Requests to a phone go where its REGISTER came
from, whatever the Contact says: that crosses any NAT, and nobody can make the switch call an address that is not the
phone's own. A Path is sent along as Route.

Counterparts: digest.py, which says who asks; probes.py, which says whether a phone is still there; phones.py, which
brings the requests. Pure: time is passed in, in seconds of the engine's clock.
"""

import heapq
import math
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from engine.callflow.settings import Registrar as Settings
from engine.callflow.settings import bracketed
from engine.sip.digest import Authorization, Digest, Verdict

SUPPORTED = ("path",)
DEFAULT_EXPIRES_S = 3600  # RFC 3261 section 10.2.1.1
LONGEST_PATH = 512
LONGEST_AGENT = 64  # of User-Agent; the rest is cut
REPEATS_S = 32.0  # a datagram that is sent again comes within this (RFC 3261 section 17.1.2.2, Timer F)
N_REPEATS = 8192

_URI = re.compile(r"sip:[^\s<>?\"]{1,256}", re.IGNORECASE | re.ASCII)  # with "?" it would put headers into our INVITE
_INSTANCE = re.compile(r"[^\s\"\\]{0,256}", re.ASCII)


class Contact(NamedTuple):
    uri: str
    expires_s: int | None
    q: int  # thousandths; -1: not said
    instance: str  # of +sip.instance
    reg_id: int  # 0: none


class Register(NamedTuple):
    """A REGISTER, as far as it matters here."""

    source: str  # address, without the port
    port: int
    transport: str  # udp, tcp, tls
    user: str  # of To; of an INVITE, of the Request-URI
    sender: str  # the user of From
    call_id: str
    cseq: int
    branch: str
    contacts: list[Contact]
    is_star: bool
    expires_s: int | None
    path: list[str]
    require: list[str]
    supported: list[str]
    user_agent: str
    answers: list[Authorization]


class Answer(NamedTuple):
    status: int
    reason: str
    headers: list[tuple[str, str]]


Key = tuple[str, int]
Flow = tuple[str, int, str]  # address, port, transport


@dataclass(slots=True)
class Binding:
    """A phone that an agent can be reached at."""

    agent: str
    uri: str  # of Contact, as it was given
    instance: str
    reg_id: int
    q: int
    call_id: str
    cseq: int
    path: tuple[str, ...]
    user_agent: str
    source: str  # where requests to it go, and over what
    port: int
    transport: str
    registered_at: float
    expires_at: float
    is_gone: bool = False  # it does not answer, or its connection is closed
    rtt_s: float | None = None  # of the last OPTIONS that it answered

    @property
    def key(self) -> Key:
        return key_of(self.uri, self.instance, self.reg_id)

    @property
    def flow(self) -> Flow:
        return self.source, self.port, self.transport

    @property
    def place(self) -> str:
        """The flow, for people to read."""
        return f"{bracketed(self.source)}:{self.port}/{self.transport}"


class Listener(Protocol):
    """Who remembers bindings and watches over them. `bound` comes with each refresh, too."""

    def bound(self, binding: Binding) -> None: ...
    def unbound(self, binding: Binding) -> None: ...


class Refused(Exception):
    def __init__(self, status: int, reason: str, *headers: tuple[str, str]) -> None:
        super().__init__(reason)
        self.answer = Answer(status, reason, list(headers))


class Registrar:
    def __init__(self, settings: Settings, digest: Digest, agents: Collection[str], listener: Listener) -> None:
        """`agents`: whose phones register here; may be replaced by set_agents()."""
        self.digest = digest
        self.bindings: dict[str, dict[Key, Binding]] = {}
        self._settings, self._agents, self._listener = settings, frozenset(agents), listener
        self._due: list[tuple[float, str, Key]] = []  # heap: when to look at a binding, not later than it ends
        self._wakes: dict[tuple[str, Key], float] = {}  # which of its entries counts
        self._repeats: OrderedDict[tuple[object, ...], tuple[float, Answer]] = OrderedDict()
        self.n_failed = 0

    def set_agents(self, agents: Collection[str]) -> None:
        """Who is no longer among them has no phone here any more."""
        self._agents = frozenset(agents)
        for agent in self.bindings.keys() - self._agents:
            for binding in list(self.bindings[agent].values()):
                self._unbind(binding)

    def restore(self, bindings: Iterable[Binding], now: float) -> None:
        """What an earlier run left."""
        for binding in bindings:
            if binding.agent in self._agents and binding.expires_at > now:
                self._bind(binding)

    def of(self, agent: str) -> list[Binding]:
        return list(self.bindings.get(agent, {}).values())

    def reachable(self, agent: str) -> list[Binding]:
        """The phones that a call rings at."""
        return [binding for binding in self.of(agent) if not binding.is_gone]

    # ---- requests

    def register(self, request: Register, now: float) -> tuple[Answer, bool]:
        """The answer, and whether this was a failed attempt to log in."""
        repeat = self._repeat_of(request)
        if repeat in self._repeats and self._repeats[repeat][0] > now - REPEATS_S:
            return self._repeats[repeat][1], False
        verdict, user = self.digest.check("REGISTER", request.answers, request.source, now)
        if verdict is not Verdict.RIGHT:
            challenges = self.digest.challenges(request.source, now, verdict is Verdict.STALE)
            headers = [("WWW-Authenticate", challenge) for challenge in challenges]
            self.n_failed += verdict is Verdict.WRONG
            return Answer(401, "Unauthorized", headers), verdict is Verdict.WRONG
        try:
            answer = self._serve(request, user, now)
        except Refused as refused:
            answer = refused.answer
        self._repeats[repeat] = (now, answer)
        if len(self._repeats) > N_REPEATS:
            self._repeats.popitem(last=False)
        return answer, False

    def _repeat_of(self, request: Register) -> tuple[object, ...]:
        """A datagram that was sent again says what the first one said: its count of the nonce as well."""
        responses = tuple(answer.response for answer in request.answers)
        return (*request[:3], request.branch, request.call_id, request.cseq, responses)

    def _serve(self, request: Register, user: str, now: float) -> Answer:
        if unknown := [name for name in request.require if name.lower() not in supported(request)]:
            raise Refused(420, "Bad Extension", ("Unsupported", ", ".join(unknown)))
        if request.user != user or user not in self._agents:
            raise Refused(403, "Forbidden")
        if request.is_star:
            self._remove_all(request)
        else:
            self._update(request, now)
        return self._ok(request, now)

    def _remove_all(self, request: Register) -> None:
        if request.contacts or request.expires_s != 0:
            raise Refused(400, "Contact * needs Expires 0 and no other Contact")  # RFC 3261 section 10.2.2
        bindings = self.of(request.user)
        for binding in bindings:
            _check_order(binding, request)
        for binding in bindings:
            self._unbind(binding)

    def _update(self, request: Register, now: float) -> None:
        """All of it or nothing (RFC 3261 section 10.3, step 7)."""
        there = self.bindings.get(request.user, {})
        wanted: dict[Key, Binding | None] = {}
        for contact in request.contacts:
            key = self._check(contact, request)
            if key in there:
                _check_order(there[key], request)
            expires_s = self._expires(contact, request)
            wanted[key] = _binding(contact, request, now, expires_s) if expires_s else None
        self._make_room(request.user, wanted)
        for key, binding in wanted.items():
            if binding is not None:
                if key in there and there[key].flow == binding.flow:
                    binding.rtt_s = there[key].rtt_s
                self._bind(binding)
            elif key in there:
                self._unbind(there[key])

    def _check(self, contact: Contact, request: Register) -> Key:
        if not _URI.fullmatch(contact.uri) or not _INSTANCE.fullmatch(contact.instance):
            raise Refused(400, "Bad Contact")
        if sum(map(len, request.path)) > LONGEST_PATH:
            raise Refused(400, "Path too long")
        return key_of(contact.uri, contact.instance, contact.reg_id)

    def _expires(self, contact: Contact, request: Register) -> int:
        """Seconds; 0: away with it."""
        said = [each for each in (contact.expires_s, request.expires_s, DEFAULT_EXPIRES_S) if each is not None][0]
        if 0 < said < self._settings.min_expires_s:
            raise Refused(423, "Interval Too Brief", ("Min-Expires", str(self._settings.min_expires_s)))
        return min(said, self._settings.max_expires_s)

    def _make_room(self, user: str, wanted: Mapping[Key, Binding | None]) -> None:
        """Phones that are gone give way to those that come."""
        others = [binding for key, binding in self.bindings.get(user, {}).items() if key not in wanted]
        n_wanted = sum(binding is not None for binding in wanted.values())
        n_over = len(others) + n_wanted - self._settings.n_contacts
        gone = sorted((binding for binding in others if binding.is_gone), key=lambda binding: binding.registered_at)
        if n_wanted and n_over > len(gone):
            raise Refused(403, f"More than {self._settings.n_contacts} phones")
        for binding in gone[: max(0, n_over)]:
            self._unbind(binding)

    def _ok(self, request: Register, now: float) -> Answer:
        headers = [("Contact", _contact(binding, now)) for binding in self.of(request.user)]
        headers += [("Path", path) for path in request.path]
        headers.append(("Supported", ", ".join(supported(request))))
        wants_outbound = "outbound" in {name.lower() for name in (*request.supported, *request.require)}
        has_outbound = wants_outbound and "outbound" in supported(request)
        if has_outbound and any(contact.instance and contact.reg_id for contact in request.contacts):
            headers.append(("Require", "outbound"))  # RFC 5626 section 6
        return Answer(200, "OK", headers)

    # ---- bindings

    def _bind(self, binding: Binding) -> None:
        self.bindings.setdefault(binding.agent, {})[binding.key] = binding
        at = (binding.agent, binding.key)
        if binding.expires_at < self._wakes.get(at, math.inf):
            self._wakes[at] = binding.expires_at
            heapq.heappush(self._due, (binding.expires_at, *at))
            self._sweep()
        self._listener.bound(binding)

    def _unbind(self, binding: Binding) -> None:
        bindings = self.bindings[binding.agent]
        del bindings[binding.key], self._wakes[binding.agent, binding.key]
        if not bindings:
            del self.bindings[binding.agent]
        self._listener.unbound(binding)

    def _sweep(self) -> None:
        """A phone that comes and goes leaves entries behind; not for ever."""
        if len(self._due) > 4 * len(self._wakes) + 1024:
            self._due = [(wakes_at, *at) for at, wakes_at in self._wakes.items()]
            heapq.heapify(self._due)

    def expire(self, now: float) -> None:
        """End the bindings whose time is over."""
        while self._due and self._due[0][0] <= now:
            wakes_at, agent, key = heapq.heappop(self._due)
            if self._wakes.get((agent, key)) != wakes_at:
                continue
            binding = self.bindings[agent][key]
            if binding.expires_at > now:
                self._wakes[agent, key] = binding.expires_at
                heapq.heappush(self._due, (binding.expires_at, agent, key))
            else:
                self._unbind(binding)


def supported(request: Register) -> tuple[str, ...]:
    """Outbound (RFC 5626) where the phone can ask whether its flow is up: us, by a connection (connections.c), for by
    UDP it would ask in STUN; or the proxy that it sends to, which says so in its Path, the last (section 5.1)."""
    first_hop = request.path[-1].rpartition("<")[2].partition(">")[0] if request.path else ""
    keeps_flow = "ob" in first_hop.lower().split(";") if request.path else request.transport != "udp"
    return (*SUPPORTED, "outbound") if keeps_flow else SUPPORTED


def key_of(uri: str, instance: str, reg_id: int) -> Key:
    """What makes two contacts the same: the flow (RFC 5626 section 6), else the URI (RFC 3261 section 19.1.4)."""
    if instance and reg_id:
        return instance, reg_id
    address, *parameters = uri.split(";")
    user, at, host = address.rpartition("@")
    return ";".join([f"{user}{at}{host.lower()}", *sorted(parameter.lower() for parameter in parameters)]), 0


def _check_order(binding: Binding, request: Register) -> None:
    """RFC 3261 section 10.3, step 7."""
    if binding.call_id == request.call_id and request.cseq <= binding.cseq:
        raise Refused(400, "CSeq out of order")


def _binding(contact: Contact, request: Register, now: float, expires_s: int) -> Binding:
    agent = "".join(char if char.isprintable() else " " for char in request.user_agent)
    return Binding(
        request.user,
        contact.uri,
        contact.instance,
        contact.reg_id,
        contact.q,
        request.call_id,
        request.cseq,
        tuple(request.path),
        agent[:LONGEST_AGENT],
        request.source,
        request.port,
        request.transport,
        now,
        now + expires_s,
    )


def _contact(binding: Binding, now: float) -> str:
    left_s = round(binding.expires_at - now, 3)  # a sum of floats may be a hair more than was granted
    text = f"<{binding.uri}>;expires={max(0, math.ceil(left_s))}"
    if binding.q >= 0:
        text += f";q={binding.q / 1000:g}"
    if binding.instance:
        text += f';+sip.instance="{binding.instance}"'
    if binding.reg_id:
        text += f";reg-id={binding.reg_id}"
    return text
