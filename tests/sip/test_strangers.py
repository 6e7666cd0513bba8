"""The table of strangers against a plain model: rates, bans, and a bound on everything. The clock is passed in."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sip.gate import Sources

BURST, PER_S, BAN_AFTER, WINDOW_S, BAN_S = 4, 2.0, 10, 30.0, 100.0
RULES: dict[str, Any] = {"burst": BURST, "per_s": PER_S, "ban_after": BAN_AFTER, "window_s": WINDOW_S, "ban_s": BAN_S}


@dataclass
class Model:
    """One source, as the rules say it."""

    tokens: float = BURST
    seen: float | None = None
    since: float = 0.0
    n_refused: int = 0
    banned_until: float = 0.0

    def take(self) -> bool:
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def touch(self, now: float) -> None:
        if self.seen is None:
            self.since = self.seen = now
        self.tokens = min(BURST, self.tokens + (now - self.seen) * PER_S)
        self.seen = now

    def refuse(self, now: float) -> str:
        self.touch(now)
        if now < self.banned_until:
            return "silence"
        may_answer = self.take()
        if now - self.since > WINDOW_S:
            self.since, self.n_refused = now, 0
        self.n_refused += 1
        if self.n_refused >= BAN_AFTER:
            self.banned_until, self.n_refused = now + BAN_S, 0
            return "banned"
        return "answer" if may_answer else "silence"

    def admit(self, now: float) -> bool:
        self.touch(now)
        if now < self.banned_until:
            return False
        return self.take()

    def lift(self, now: float) -> bool:
        if now >= self.banned_until:
            return False
        self.banned_until, self.n_refused, self.since = 0.0, 0, now
        return True


PLACES = ("192.0.2.1", "192.0.2.2", "2001:db8::1")
EVENTS = st.lists(
    st.tuples(st.integers(0, 240), st.sampled_from(("refuse", "refuse", "refuse", "admit", "lift")), st.integers(0, 2)),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_each_source_fares_as_the_rules_say(events: list[tuple[int, str, int]]) -> None:
    sources, models, now = Sources(4096, **RULES), [Model() for _ in PLACES], 1.0
    for quarters, verb, place in events:
        now += quarters / 4 if quarters < 200 else quarters
        assert getattr(sources, verb)(PLACES[place], now) == getattr(models[place], verb)(now)
        banned = {ban.source for ban in sources.bans(now)}
        wanted = {name for name, model in zip(PLACES, models, strict=True) if now < model.banned_until}
        assert banned == {"2001:db8::/64" if ":" in name else name for name in wanted}


def test_one_datagram_bans_nobody_and_a_ban_ends_by_itself() -> None:
    sources = Sources(64, **RULES)
    assert sources.refuse("192.0.2.9", 1.0) == "answer" and not sources.bans(1.0)
    verdicts = [sources.refuse("192.0.2.9", 1.0) for _ in range(BAN_AFTER - 1)]
    assert verdicts[-1] == "banned" and "banned" not in verdicts[:-1]
    assert not sources.admit("192.0.2.9", 100.9) and sources.admit("192.0.2.9", 101.1)


def test_an_ipv6_network_counts_as_one_and_its_neighbour_as_another() -> None:
    sources = Sources(64, **RULES)
    verdicts = [sources.refuse(f"2001:db8:0:1::{n:x}", 1.0) for n in range(1, BAN_AFTER + 1)]
    assert verdicts[-1] == "banned"
    assert sources.refuse("2001:db8:0:2::1", 1.0) == "answer"


def test_a_flood_of_forged_sources_does_not_grow_the_table_or_lift_a_ban() -> None:
    """One who is banned stays so while thousands of strangers pass once: they push each other out."""
    sources = Sources(1024, **RULES)
    for _ in range(BAN_AFTER):
        sources.refuse("192.0.2.9", 1.0)
    for n in range(20000):
        sources.refuse(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 2.0)
    assert sources.size == 1024
    assert [ban.source for ban in sources.bans(3.0)] == ["192.0.2.9"]
