"""A trunk's ways out against a plain model: which destination is next, who is gone, how many calls fit."""

import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from engine.callflow.settings import Destination, Probing, Trunk
from engine.sip.trunks import BACK_S, IN, LONGEST_REST_S, OUT, Bucket, Hop, Search, Server, Ways, pick


def hop_of(destination: Destination, n: int = 0) -> Hop:
    return Hop(f"192.0.2.{n}", destination.port or 5060, "udp")


def ways(*destinations: Destination, now: float = 0.0, **more: Any) -> Ways:
    """Each destination is one address of its own."""
    made = Ways(Trunk("t", (), destinations=destinations, **more), now)
    for destination in destinations:
        made.found(destination, [Server(hop_of(destination))], now)
    return made


def places(*ranks: tuple[int, int]) -> list[Destination]:
    return [Destination("h", 5000 + n, "", priority, weight) for n, (priority, weight) in enumerate(ranks)]


# ---- which is next


def chi_square(counted: Counter[int], weights: dict[int, int], n: int) -> float:
    total = sum(weights.values())
    return sum((counted[port] - n * w / total) ** 2 / (n * w / total) for port, w in weights.items())


@pytest.mark.parametrize("weights", [(1, 1), (60, 20, 10, 10), (1, 2, 3, 4, 5), (65535, 1)])
def test_weights_share_the_calls(weights: tuple[int, ...]) -> None:
    """Chi-square at one in ten thousand, for up to 4 degrees of freedom; as a control, equal shares fail it."""
    dice, n = random.Random(7), 40_000
    here = ways(*places(*((1, weight) for weight in weights)))
    counted: Counter[int] = Counter()
    for _ in range(n):
        found = here.choose((), 0.0, dice.random())
        assert found is not None
        counted[found[1].port] += 1
    wanted = {5000 + n: weight for n, weight in enumerate(weights)}
    assert chi_square(counted, wanted, n) < 23.5
    if len(set(weights)) > 1:
        assert chi_square(counted, dict.fromkeys(wanted, 1), n) > 100


def test_servers_of_a_name_share_by_their_own_weights() -> None:
    """The throw that chose the destination does not also choose the server."""
    one, other = places((1, 1), (1, 1))
    here, dice, n = ways(one, other), random.Random(11), 40_000
    for destination in (one, other):
        here.found(destination, [Server(hop_of(destination, k), 10, k) for k in (1, 3)], 0.0)
    counted = Counter(here.choose((), 0.0, dice.random()) for _ in range(n))
    assert chi_square(Counter({k: counted[one, hop_of(one, k)] for k in (1, 3)}), {1: 1, 3: 3}, sum(
        counted[one, hop_of(one, k)] for k in (1, 3))) < 15.2


RANKS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6)


@given(RANKS, st.randoms(use_true_random=False))
def test_a_call_goes_through_all_of_them_once_by_priority(ranks: list[tuple[int, int]], dice: random.Random) -> None:
    here, order = ways(*places(*ranks)), []
    tried: set[Hop] = set()
    while found := here.choose(tried, 0.0, dice.random()):
        assert found[1] not in tried
        tried.add(found[1])
        order.append(found[0])
    assert len(order) == len(ranks)
    assert [one.priority for one in order] == sorted(priority for priority, _ in ranks)
    for _, level in itertools.groupby(order, key=lambda one: one.priority):
        weightless = [one.weight == 0 for one in level]
        assert weightless == sorted(weightless)  # who has no weight comes last of its level


def test_all_servers_of_a_destination_come_before_the_next_one() -> None:
    first, second = places((1, 1), (1, 1))
    for seed in range(50):
        here, dice, order = ways(first, second), random.Random(seed), []
        tried: set[Hop] = set()
        here.found(first, [Server(hop_of(first, 1), 10, 5), Server(hop_of(first, 2), 20, 5)], 0.0)
        while found := here.choose(tried, 0.0, dice.random()):
            tried.add(found[1])
            order.append(found[1])
        assert order.index(hop_of(first, 2)) == order.index(hop_of(first, 1)) + 1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.floats(0, 1, exclude_max=True))
def test_every_throw_picks_one(weights: list[int], dice: float) -> None:
    choice = pick([Server(Hop("h", n, ""), 0, weight) for n, weight in enumerate(weights)], dice)
    assert choice.weight or not any(weights)


# ---- who is gone


@dataclass
class Model:
    """One destination, as the module's text has it."""

    n_most: int
    probes: bool
    lost_in_a_row: int = 0
    gone_since: float | None = None
    rests_until: float = -1.0
    heard: list[str] = field(default_factory=list)

    def usable(self, now: float) -> bool:
        if now < self.rests_until:
            return False
        return self.gone_since is None or (not self.probes and now >= self.gone_since + BACK_S)

    def do(self, verb: str, now: float, seconds: float) -> None:
        if verb == "lost":
            self.lost_in_a_row += 1
            if self.lost_in_a_row >= (self.n_most if self.probes else 1):
                self.gone_since = now
            return
        self.lost_in_a_row, self.gone_since = 0, None
        if verb == "overloaded":
            self.rests_until = now + min(seconds, LONGEST_REST_S)


@how(max_examples=200)
@given(
    st.booleans(),
    st.integers(1, 4),
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(("lost", "lost", "answered", "overloaded")), st.integers(0, 900)),
        max_size=40,
    ),
)
def test_health_is_as_told(probes: bool, n_lost: int, events: list[tuple[int, str, int]]) -> None:
    destinations = places((1, 1), (1, 1), (1, 1))
    here = ways(*destinations, probing=Probing(1e9, n_lost) if probes else None)
    models, now = [Model(n_lost, probes) for _ in destinations], 0.0
    for place, verb, seconds in events:
        now += seconds / 30
        hop = hop_of(destinations[place])
        here.overloaded(hop, seconds, now) if verb == "overloaded" else getattr(here, verb)(hop, now)
        models[place].do(verb, now, seconds)
        for at in (now, now + 29.9, now + 31, now + 700):
            usable = {hop_of(one).port for one, model in zip(destinations, models, strict=True) if model.usable(at)}
            found = {one[1].port for n in range(6) if (one := here.choose((), at, n / 6))}
            assert found == usable


def test_probes_lose_a_destination_and_one_answer_brings_it_back() -> None:
    (place,) = places((1, 1))
    here, hop = ways(place, probing=Probing(10.0, 3)), hop_of(place)
    for now in (0.0, 10.0, 20.0):
        assert here.probes_due(now) == [hop] and here.probes_due(now + 9) == []
        assert here.next_probe_at() == now + 10 and here.state_of(hop, now) == "new"
    assert here.probes_due(30.0) == [hop]  # the third was not answered either
    assert here.state_of(hop, 30.0) == "gone" and here.choose((), 30.0, 0.5) is None
    here.probe_ended(hop, 408, 31.0)
    assert here.state_of(hop, 31.0) == "gone"
    assert here.probes_due(40.0) == [hop]
    here.probe_ended(hop, 404, 40.25)  # it lives, whatever it says
    assert here.state_of(hop, 40.25) == "up" and here.health[hop].rtt_s == 0.25
    here.probe_ended(hop, 200, 41.0)  # late or twice: no measure
    assert here.health[hop].rtt_s == 0.25


def test_a_server_keeps_its_health_when_its_name_is_looked_up_again() -> None:
    (place,) = places((1, 1))
    here = ways(place, probing=Probing(10.0, 1))
    one, other = Hop("192.0.2.1", 5060, "udp"), Hop("192.0.2.2", 5060, "udp")
    here.found(place, [Server(one), Server(other)], 0.0)
    here.lost(one, 0.0)
    here.found(place, [Server(other), Server(one)], 1.0)
    assert here.state_of(one, 1.0) == "gone" and set(here.health) == {one, other}
    here.found(place, [Server(other)], 2.0)
    assert set(here.health) == {other} and here.choose((), 2.0, 0.0) == (place, other)


def test_the_last_resort_is_any_server_there_is() -> None:
    (place,) = places((1, 1))
    here, hop = ways(place, probing=None), hop_of(place)
    here.lost(hop, 0.0)
    assert here.choose((), 1.0, 0.5) is None and here.last_resort(0.5) == (place, hop)
    assert Ways(Trunk("t", ()), 0.0).last_resort(0.5) is None


# ---- limits


@given(st.floats(0.5, 20), st.lists(st.floats(0, 3), max_size=60))
def test_no_second_has_more_calls_than_allowed(per_s: float, gaps: list[float]) -> None:
    bucket, now, taken = Bucket(per_s, 0.0), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.take(now):
            taken.append(now)
    most = max(1.0, per_s)
    for first, last in itertools.combinations_with_replacement(range(len(taken)), 2):
        assert last - first + 1 <= most + (taken[last] - taken[first]) * per_s + 1e-6


def test_places_are_counted_in_both_directions_and_given_back() -> None:
    here = {"t": ways(*places((1, 1)), max_calls=3, max_calls_out=2)}
    searches = [Search(here, "t") for _ in range(4)]
    assert [search.next(0.0, 0.5) is not None for search in searches] == [True, True, False, False]
    assert searches[2].why == "all 2 calls out are taken"
    searches[0].leave()
    searches[0].leave()
    here["t"].began(IN)
    here["t"].began(IN)
    assert Search(here, "t").next(0.0, 0.5) is None  # three are there
    here["t"].ended(IN)
    assert Search(here, "t").next(0.0, 0.5) is not None
    assert here["t"].n_calls == {IN: 1, OUT: 2} and here["t"].n_total == {IN: 2, OUT: 3}


def test_a_trunk_without_room_or_destination_passes_the_call_on() -> None:
    here = {
        "first": Ways(Trunk("first", (), destinations=tuple(places((1, 1))), max_calls_out=1, overflow="second"), 0.0),
        "second": ways(Destination("h", 6000), overflow="third"),
        "third": ways(Destination("h", 7000), overflow="first", max_calls_per_s_out=1.0),
    }
    here["first"].found(places((1, 1))[0], [Server(Hop("192.0.2.9", 5000, "udp"))], 0.0)
    call, other = Search(here, "first"), Search(here, "first")
    ports = []
    while found := call.next(0.0, 0.5):
        ports.append(found[1].port)
        assert sum(each.n_calls[OUT] for each in here.values()) == 1  # where it is now
    assert ports == [5000, 6000, 7000] and call.why == "no destination can be had"
    found = other.next(0.0, 0.5)
    assert found and found[1].port == 5000  # the first call left its place there
    third = Search(here, "first")
    found = third.next(0.0, 0.5)
    assert found and found[1].port == 6000
    assert third.next(0.0, 0.5) is None and third.why == "more than 1 calls a second"
    assert [here[name].n_calls[OUT] for name in here] == [1, 0, 0]
    assert Search(here, "nowhere").next(0.0, 0.5) is None
