"""What a scenario is: who calls when, what the agents do, what the switch does for a call, and the limits to keep.

The scenarios are data, `scenarios/*.yaml`; reading.py reads them, play.py plays them. Times are seconds, shares 0 to 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

CODECS = ("PCMA", "PCMU")
RECORDINGS = ("wav", "flac", "none")
ARRIVALS = ("even", "refill")
SIDES = ("caller", "agent")
SETTLE_S = 2.0

# What a caller dials, and what the switch does then.
ENTRANCES: Mapping[str, str] = {
    "queue": "5000",  # answer, queue
    "menu": "5001",  # answer, a prompt and a key: 1 leads to the queue, 2 to a prompt and the end
    "transfer": "5002",  # answer, on to the back office, a phone outside the queue
    "outside": "5003",  # answer, and out over a trunk with two destinations
}

# Limit -> its unit. What each one is: figures.py.
LIMITS: Mapping[str, str] = {
    "failed": "calls",
    "lost": "packets",
    "late": "%",
    "set-up p99": "ms",
    "ringing p99": "ms",
    "agent free p99": "ms",
    "start": "ms",
}

Stretch = tuple[float, float]  # least and longest, seconds


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of caller."""

    name: str
    share: float
    dials: str = "queue"
    ends: str = (
        "talk"  # talk: with an agent; plan: the switch hangs up; gives up: the caller does, wherever the call is
    )
    keys: str = ""
    keys_after_s: float = 1.0  # from the answer on
    gives_up_s: Stretch | None = None  # from dialling on; None: as long as others talk


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    says: str
    arrivals: str = "even"  # even: `rate` new calls a second; refill: who goes is replaced, `n_calls` are always in
    rate: float = 20.0
    n_calls: int = 0  # at once; even: rate x talk, nothing to be set
    talk_s: Stretch = (10.0, 10.0)  # from the answer: the switch's where the caller hangs up, else the agent's
    duration_s: float = 20.0  # of measuring
    warm_up_s: float | None = None  # before; None: until as many calls are in as ever will be
    hang_up: str = "caller"  # who ends a talk
    n_agents: int | None = None  # None: always one more than calls need
    answer_after_s: Stretch = (0.0, 0.0)
    refuses: float = 0.0  # share of offers that an agent declines
    ignores: float = 0.0  # and lets ring
    ring_for_s: float = 20.0
    patience_s: float = 60.0  # a caller who wants to talk and is not over by then has failed
    codec: str = "PCMA"
    record: str = "wav"
    announce: bool = False  # over the music of who waits
    trunk_fails: bool = False  # the first destination is silent from the middle of the measuring on
    kinds: tuple[Kind, ...] = (Kind("callers", 1.0),)
    limits: Mapping[str, float] | None = None
    in_short_set: bool = False

    @property
    def mean_talk_s(self) -> float:
        return sum(self.talk_s) / 2

    @property
    def calls_at_once(self) -> int:
        """As many as are in when nobody has to wait."""
        return self.n_calls if self.arrivals == "refill" else max(1, round(self.rate * self.mean_talk_s))

    @property
    def filling_s(self) -> float:
        """How long calls come in before measuring begins."""
        if self.warm_up_s is not None:
            return self.warm_up_s
        return (self.n_calls / self.rate if self.arrivals == "refill" else self.talk_s[1]) + SETTLE_S

    @property
    def agents(self) -> int:
        if self.n_agents is not None:
            return self.n_agents
        return self.calls_at_once + max(10, self.calls_at_once // 10)

    @property
    def max_calls(self) -> int:
        """A limit that is never met."""
        if self.arrivals == "refill" or self.n_agents is None:
            return self.calls_at_once + max(50, self.calls_at_once // 10)
        return round(self.rate * (self.filling_s + self.duration_s)) + 50

    def changed(
        self,
        calls: int | None = None,
        rate: float | None = None,
        talk: float | None = None,
        duration: float | None = None,
        agents: int | None = None,
        codec: str | None = None,
        record: str | None = None,
    ) -> "Scenario":
        """With what the command line says. `calls` at once and `rate` fix the talk, `calls` and `talk` the rate."""
        new = replace(self, rate=rate or self.rate)
        if talk:
            new = replace(new, talk_s=(talk, talk))
        if calls and new.arrivals == "refill":
            new = replace(new, n_calls=calls)
        elif calls and talk:
            new = replace(new, rate=calls / talk)
        elif calls:
            new = replace(new, talk_s=(calls / new.rate, calls / new.rate))
        if duration:
            new = replace(new, duration_s=duration)
        if agents is not None:
            new = replace(new, n_agents=agents)
        return replace(new, codec=codec or self.codec, record=record or self.record)
