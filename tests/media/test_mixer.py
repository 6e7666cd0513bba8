"""The table of links, against fake slots: what is wanted is made once, and follows a party into another slot."""

import itertools
import random

import pytest

from engine.media.mixer import Mixer


class Bridge:
    """The links that stand."""

    def __init__(self) -> None:
        self.links: set[tuple[int, int]] = set()

    def connect(self, source: int, listener: int) -> None:
        assert (source, listener) not in self.links
        self.links.add((source, listener))

    def disconnect(self, source: int, listener: int) -> None:
        self.links.discard((source, listener))

    def lose(self, slot: int) -> None:
        """The stream in this slot is gone, and its links with it."""
        self.links = {link for link in self.links if slot not in link}


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
def mixer(bridge: Bridge) -> Mixer:
    return Mixer(bridge.connect, bridge.disconnect)


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


@pytest.mark.parametrize("seed", range(50))
def test_random_wishes_against_the_plain_model(mixer, bridge, seed):
    """Model: a link stands where it is wanted and both parties have a slot."""
    chance = random.Random(seed)
    slots: dict[str, int] = {}
    wanted: set[tuple[str, str]] = set()
    n_slots = itertools.count()
    for _ in range(300):
        one, other = chance.choices("abcdef", k=2)
        match chance.choice(("place", "remove", "join", "join", "part")):
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
            case "part":
                wanted.discard((one, other))
                mixer.part(one, other)
        assert bridge.links == {(slots[s], slots[t]) for s, t in wanted if s in slots and t in slots}
