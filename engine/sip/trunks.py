"""A trunk's ways out: which destination is next, who is gone, how many calls fit. Pure: time and dice are passed in.

Which is next (RFC 2782, RFC 3263 section 4.3): of the destinations that can be had, those of the lowest priority;
among them one by weight; and of its servers, which are several where its name has SRV records, the same again. A call
that fails over asks again and names those it has tried, so it goes through all of a destination's servers before the
next destination.

A server can be had unless it is gone or rests. Gone: so many requests after another had no answer; one answer, also to
a probe, brings it back; where nothing probes, it is tried again after BACK_S. Rests: it answered 503 with Retry-After.
Counterparts: carriers.py, which sends and tells; names.py, which finds the servers of a name.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from engine.callflow.settings import Destination, Trunk

BACK_S = 30.0  # a gone server of a trunk without probes may be tried again
LONGEST_REST_S = 600.0  # of a Retry-After; a mistake of the far side's must not take it out for a day
DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}  # RFC 3261 section 19.1.2
IN, OUT = "in", "out"


class Hop(NamedTuple):
    """Where a request goes."""

    address: str
    port: int
    transport: str


@dataclass(frozen=True, slots=True)
class Server:
    """One of a destination's, as DNS or the configuration has it."""

    hop: Hop
    priority: int = 0
    weight: int = 0


class _Ranked(Protocol):
    @property
    def priority(self) -> int: ...
    @property
    def weight(self) -> int: ...


_Choice = TypeVar("_Choice", bound=_Ranked)


def pick(choices: Sequence[_Choice], dice: float) -> _Choice:
    """One of the lowest priority, by weight. 0 <= dice < 1. Who has no weight is only taken where nobody has any."""
    lowest = min(choice.priority for choice in choices)
    level = [choice for choice in choices if choice.priority == lowest]
    total = sum(choice.weight for choice in level)
    if not total:
        return level[int(dice * len(level))]
    at = dice * total
    for choice in level:
        at -= choice.weight
        if at < 0:
            return choice
    return next(choice for choice in reversed(level) if choice.weight)


@dataclass(slots=True)
class Health:
    n_lost: int = 0  # requests without an answer, one after the other
    gone_at: float | None = None
    rests_until: float = float("-inf")
    rtt_s: float | None = None  # of the last probe that was answered
    answered_at: float | None = None
    n_calls: int = 0


class Bucket:
    """New calls per second: as many as one second allows at once."""

    def __init__(self, per_s: float | None, now: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s or 0.0)
        self._tokens, self._seen = self._most, now

    def take(self, now: float) -> bool:
        if self._per_s is None:
            return True
        self._tokens = min(self._most, self._tokens + (now - self._seen) * self._per_s)
        self._seen = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(slots=True)
class _Probe:
    next_at: float
    sent_at: float | None = None  # of the one that is out


class Ways:
    """One trunk's, as they stand now."""

    def __init__(self, trunk: Trunk, now: float) -> None:
        self.trunk = trunk
        self.health: dict[Hop, Health] = {}
        self.servers: dict[Destination, tuple[Server, ...]] = {}
        self._probes: dict[Hop, _Probe] = {}
        self._bucket = Bucket(trunk.max_calls_per_s_out, now)
        self.n_calls = Counter({IN: 0, OUT: 0})  # now
        self.n_total = Counter({IN: 0, OUT: 0})

    def renew(self, trunk: Trunk, now: float) -> None:
        """Other settings for the same trunk."""
        if trunk.max_calls_per_s_out != self.trunk.max_calls_per_s_out:
            self._bucket = Bucket(trunk.max_calls_per_s_out, now)
        self.trunk = trunk
        for destination in self.servers.keys() - set(trunk.destinations):
            del self.servers[destination]
        for destination, servers in list(self.servers.items()):
            self.found(destination, servers, now)

    # ---- servers

    def found(self, destination: Destination, servers: Sequence[Server], now: float) -> None:
        """What a destination's name stands for. Who was known keeps its health, wherever it stands now."""
        self.servers[destination] = tuple(servers)
        known = {server.hop for all_of_one in self.servers.values() for server in all_of_one}
        for hop in known - self.health.keys():
            self.health[hop] = Health()
            self._probes[hop] = _Probe(now)
        for hop in self.health.keys() - known:
            del self.health[hop], self._probes[hop]

    def choose(self, tried: Collection[Hop], now: float, dice: float) -> tuple[Destination, Hop] | None:
        """The next one for a call; None: there is no other. A destination that was begun with is gone through first."""
        left = {
            destination: usable
            for destination, servers in self.servers.items()
            if (usable := [one for one in servers if one.hop not in tried and self.is_usable(one.hop, now)])
        }
        if not left:
            return None
        begun = [one for one in left if any(server.hop in tried for server in self.servers[one])]
        destination = begun[0] if begun else pick(list(left), dice)
        return destination, pick(left[destination], dice if begun else _thrown_again(dice)).hop

    def last_resort(self, dice: float) -> tuple[Destination, Hop] | None:
        """Any, gone or not: for what is tried again ever later anyway."""
        known = [destination for destination, servers in self.servers.items() if servers]
        if not known:
            return None
        destination = pick(known, dice)
        return destination, pick(self.servers[destination], _thrown_again(dice)).hop

    def is_usable(self, hop: Hop, now: float) -> bool:
        health = self.health[hop]
        if now < health.rests_until:
            return False
        return health.gone_at is None or (self.trunk.probing is None and now >= health.gone_at + BACK_S)

    def state_of(self, hop: Hop, now: float) -> str:
        """gone, resting, up, new (nothing heard yet)."""
        health = self.health[hop]
        if health.gone_at is not None:
            return "gone"
        if now < health.rests_until:
            return "resting"
        return "new" if health.answered_at is None else "up"

    # ---- what became of a request

    def answered(self, hop: Hop, now: float) -> None:
        """Any answer but 503."""
        if health := self.health.get(hop):
            health.n_lost, health.gone_at, health.answered_at = 0, None, now

    def lost(self, hop: Hop, now: float) -> None:
        """Nothing came, or it cannot be reached."""
        if health := self.health.get(hop):
            health.n_lost += 1
            most = self.trunk.probing.n_lost if self.trunk.probing else 1
            if health.n_lost >= most:
                health.gone_at = now

    def overloaded(self, hop: Hop, retry_after_s: float | None, now: float) -> None:
        """503 (RFC 3261 section 21.5.4). Without Retry-After the next call tries again."""
        self.answered(hop, now)
        if retry_after_s is not None and (health := self.health.get(hop)):
            health.rests_until = now + min(retry_after_s, LONGEST_REST_S)

    # ---- probes

    def probes_due(self, now: float) -> list[Hop]:
        """Who should be probed now. One that was not answered until the next is due is lost."""
        if self.trunk.probing is None:
            return []
        due = [hop for hop, probe in self._probes.items() if now >= probe.next_at]
        for hop in due:
            probe = self._probes[hop]
            if probe.sent_at is not None:
                self.lost(hop, now)
            probe.sent_at, probe.next_at = now, now + self.trunk.probing.every_s
        return due

    def next_probe_at(self) -> float:
        if self.trunk.probing is None:
            return float("inf")
        return min((probe.next_at for probe in self._probes.values()), default=float("inf"))

    def probe_ended(self, hop: Hop, status: int, now: float) -> None:
        """A final answer of its own; 0, 408 or 503: none, it cannot be reached."""
        probe = self._probes.get(hop)
        if probe is None or probe.sent_at is None:
            return
        sent_at, probe.sent_at = probe.sent_at, None
        if status in (0, 408, 503):
            self.lost(hop, now)
        else:
            self.health[hop].rtt_s = now - sent_at
            self.answered(hop, now)

    # ---- limits

    def refusal(self, now: float) -> str:
        """Why no call can go out now; empty: one can, and counts among the calls of this second."""
        limits = self.trunk
        if limits.max_calls is not None and self.n_calls.total() >= limits.max_calls:
            return f"all {limits.max_calls} calls are taken"
        if limits.max_calls_out is not None and self.n_calls[OUT] >= limits.max_calls_out:
            return f"all {limits.max_calls_out} calls out are taken"
        return "" if self._bucket.take(now) else f"more than {limits.max_calls_per_s_out:g} calls a second"

    def began(self, direction: str) -> None:
        self.n_calls[direction] += 1
        self.n_total[direction] += 1

    def ended(self, direction: str) -> None:
        self.n_calls[direction] -= 1


@dataclass(slots=True)
class Search:
    """One call's way through the trunks: what it has tried, and what is next."""

    all_ways: Mapping[str, Ways]
    trunk: str  # where it is now
    tried: set[Hop] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)  # trunks that have nothing more for it
    is_counted: bool = False  # among the calls of `trunk`
    why: str = ""  # the last trunk could not take it

    def next(self, now: float, dice: float) -> tuple[Destination, Hop] | None:
        """None: no trunk has anything for it. A trunk that is left behind gets its place back."""
        while (ways := self.all_ways.get(self.trunk)) is not None and self.trunk not in self.passed:
            if self.is_counted or not (why := ways.refusal(now)):
                if found := ways.choose(self.tried, now, dice):
                    if not self.is_counted:
                        ways.began(OUT)
                        self.is_counted = True
                    self.tried.add(found[1])
                    return found
                why = "no destination can be had"
            self.why = why
            self.leave()
            self.passed.add(self.trunk)
            if not ways.trunk.overflow:
                break
            self.trunk = ways.trunk.overflow
        return None

    def leave(self) -> None:
        """The call holds no place on a trunk any more. Twice is once."""
        if self.is_counted:
            self.is_counted = False
            self.all_ways[self.trunk].ended(OUT)


def _thrown_again(dice: float) -> float:
    """Another throw out of the same: the digits that the first choice hardly looked at."""
    return dice * 65536 % 1.0
