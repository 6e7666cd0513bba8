"""The table of links, against fake slots: what is wanted is made once, follows a party into another slot, and goes past
the bridge where two parties have to do with nobody else."""

import itertools
import random
from collections.abc import Hashable

import pytest

from engine.media.mixer import Mixer


class Bridge:
    """The links that stand, and what goes past the bridge, for parties that can."""

    def __init__(self, able: str = "") -> None:
        self.able: set[Hashable] = set(able)
        self.links: set[tuple[int, int]] = set()
        self.direct: set[tuple[Hashable, Hashable]] = set()  # source, listener

    def connect(self, source: int, listener: int) -> None:
        assert (source, listener) not in self.links
        self.links.add((source, listener))

    def disconnect(self, source: int, listener: int) -> None:
        self.links.discard((source, listener))

    def relay(self, one: Hashable, slot: int, other: Hashable, other_slot: int) -> bool:
        if not {one, other} <= self.able:
            return False
        assert not {one, other} & {party for link in self.direct for party in link}
        self.direct |= {(one, other), (other, one)}
        return True

    def feed(self, source: Hashable, listener: Hashable, slot: int) -> bool:
        if not {source, listener} <= self.able:
            return False
        assert not {source, listener} & {party for link in self.direct for party in link}
        self.direct.add((source, listener))
        return True

    def end_direct(self, one: Hashable, other: Hashable) -> None:
        self.direct -= {(one, other), (other, one)}

    def lose(self, slot: int) -> None:
        """The stream in this slot is gone, and its links with it."""
        self.links = {link for link in self.links if slot not in link}


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
def mixer(bridge: Bridge) -> Mixer:
    return Mixer(bridge)


def test_links_wait_for_slots(mixer, bridge):
    mixer.join("caller", "agent")
    mixer.join("agent", "caller")
    mixer.place("caller", 1)
    assert bridge.links == set()
    mixer.place("agent", 2)
    assert bridge.links == {(1, 2), (2, 1)}


def test_reinvite_moves_the_links(mixer, bridge):
    test_links_wait_for_slots(mixer, bridge)
    mixer.place("caller", 5)
    assert bridge.links == {(5, 2), (2, 5)}


def test_a_stream_rebuilt_in_the_same_slot_is_linked_again(mixer, bridge):
    test_links_wait_for_slots(mixer, bridge)
    bridge.lose(1)
    mixer.place("caller", 1)
    assert bridge.links == {(1, 2), (2, 1)}


def test_removed_party_takes_its_wishes_along(mixer, bridge):
    test_links_wait_for_slots(mixer, bridge)
    mixer.remove("caller")
    mixer.place("caller", 9)
    assert bridge.links == set() and mixer.n_links() == 0 and mixer.sources("agent") == frozenset()


def test_two_that_talk_are_relayed_and_a_third_brings_them_back():
    mixer = Mixer(bridge := Bridge(able="ab"))
    for slot, party in enumerate(("a", "b", "c")):
        mixer.place(party, slot)
    with mixer.at_once():
        mixer.join("a", "b")
        mixer.join("b", "a")
        assert bridge.links == bridge.direct == set()
    assert (bridge.links, bridge.direct) == (set(), {("a", "b"), ("b", "a")}) and mixer.n_links() == 2
    mixer.join("a", "c")  # c listens
    assert (bridge.links, bridge.direct) == ({(0, 1), (1, 0), (0, 2)}, set()) and mixer.n_links() == 3
    mixer.part("a", "c")
    assert (bridge.links, bridge.direct) == (set(), {("a", "b"), ("b", "a")})


def test_a_slot_is_asked_for_only_when_the_bridge_needs_it():
    mixer = Mixer(bridge := Bridge(able="am"))
    asked: list[int] = []

    def slot() -> int:
        asked.append(7)
        return 7

    mixer.place("a", 1)
    mixer.place("b", 2)
    with mixer.at_once():
        mixer.place("m", slot)
        mixer.join("m", "a")
    assert bridge.direct == {("m", "a")} and asked == []
    mixer.join("b", "a")
    assert (bridge.links, bridge.direct) == ({(7, 1), (2, 1)}, set()) and asked == [7]


@pytest.mark.parametrize("able", ["", "abcd", "abcdef"])
@pytest.mark.parametrize("seed", range(50))
def test_random_wishes_against_the_plain_model(seed, able):
    """Model: a link stands where it is wanted and both parties have a slot; it goes past the bridge where both are able
    and have to do with nobody else."""
    mixer = Mixer(bridge := Bridge(able))
    chance = random.Random(seed)
    slots: dict[str, int] = {}
    wanted: set[tuple[str, str]] = set()
    n_slots = itertools.count()
    for _ in range(300):
        one, other = chance.choices("abcdef", k=2)
        match chance.choice(("place", "remove", "join", "join", "talk", "part", "part")):
            case "place":
                if one not in slots or chance.random() < 0.8:
                    slots[one] = next(n_slots)
                mixer.place(one, slots[one])
            case "remove":
                slots.pop(one, None)
                wanted = {link for link in wanted if one not in link}
                mixer.remove(one)
            case "join":
                wanted.add((one, other))
                mixer.join(one, other)
            case "talk":
                wanted |= {(one, other), (other, one)}
                with mixer.at_once():
                    mixer.join(one, other)
                    mixer.join(other, one)
            case "part":
                wanted.discard((one, other))
                mixer.part(one, other)
        direct = {
            link
            for link in wanted
            if set(link) <= bridge.able & slots.keys()
            and link[0] != link[1]
            and all(set(near) == set(link) for near in wanted if set(near) & set(link))
        }
        assert bridge.direct == direct
        assert bridge.links == {(slots[s], slots[t]) for s, t in wanted - direct if s in slots and t in slots}
