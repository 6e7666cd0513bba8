"""Who hears whom. Bridging is two wishes; hold, monitor, whisper and barge are other sets of them.

What is wanted is kept by party, what is made by slot of the conference bridge. A party is a leg, or the queue audio of
one. Its slot changes when a re-INVITE rebuilds its stream, and it may have none yet: then its links are made when it
has one. Two parties that hear nobody but each other, and are heard by nobody else, need no bridge: they are relayed to
each other, or the one is fed by the other, where that is possible. No PJSIP here: what makes and unmakes is given.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Protocol

Slot = int | Callable[[], int]  # a party that need not be in the bridge tells its slot when it must
Link = tuple[Hashable, Hashable]  # source, listener


class Ways(Protocol):
    """How one hears another. The bridge's links are between slots."""

    def connect(self, source: int, listener: int) -> None: ...
    def disconnect(self, source: int, listener: int) -> None: ...

    def relay(self, one: Hashable, slot: int, other: Hashable, other_slot: int) -> bool:
        """The two hear each other past the bridge, from now on. False: they cannot."""

    def feed(self, source: Hashable, listener: Hashable, slot: int) -> bool:
        """The listener in this slot hears the source past the bridge. False: it cannot."""

    def end_direct(self, one: Hashable, other: Hashable) -> None:
        """Neither hears the other past the bridge any more."""


class Mixer:
    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._slots: dict[Hashable, Slot] = {}
        self._hears: dict[Hashable, set[Hashable]] = {}  # listener -> sources, as wanted
        self._heard_by: dict[Hashable, set[Hashable]] = {}  # the same, the other way round
        self._made: dict[Link, tuple[int, int]] = {}  # -> their slots
        self._made_of: dict[Hashable, set[Link]] = {}  # the same, of either party
        self._direct: dict[Hashable, Hashable] = {}  # either of two -> the other
        self._relayed: set[Hashable] = set()  # those of them that hear each other
        self._changed: set[Hashable] = set()
        self._n_held = 0  # at_once() within at_once()

    def place(self, party: Hashable, slot: Slot) -> None:
        """The party's audio stands, or stands anew, in this slot. Its links are made again, even where the number is
        the same: a rebuilt stream may get the slot of the old one, whose links went with it."""
        self._end_direct(party)
        for source, listener in self._touching(party):
            self._unmake(source, listener)
        self._slots[party] = slot
        self._change(party)

    def remove(self, party: Hashable) -> None:
        """The party is gone, and with it all that was wanted for it."""
        sources, listeners = self._hears.pop(party, set()), self._heard_by.pop(party, set())
        for source in sources - {party}:
            self._heard_by[source].discard(party)
        for listener in listeners - {party}:
            self._hears[listener].discard(party)
        self._slots.pop(party, None)
        self._change(party, *sources, *listeners)

    def join(self, source: Hashable, listener: Hashable) -> None:
        """`listener` is to hear `source`. Twice is once."""
        self._hears.setdefault(listener, set()).add(source)
        self._heard_by.setdefault(source, set()).add(listener)
        self._change(source, listener)

    def part(self, source: Hashable, listener: Hashable) -> None:
        """`listener` is not to hear `source` any more."""
        self._hears.get(listener, set()).discard(source)
        self._heard_by.get(source, set()).discard(listener)
        self._change(source, listener)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Changes in here take effect together at its end."""
        self._n_held += 1
        try:
            yield
        finally:
            self._n_held -= 1
            self._change()

    def sources(self, listener: Hashable) -> frozenset[Hashable]:
        """Whom a party is to hear."""
        return frozenset(self._hears.get(listener, ()))

    def n_links(self) -> int:
        """What is made: links of the bridge, and ways past it."""
        return len(self._made) + sum(one in self._hears.get(other, ()) for one, other in self._direct.items())

    # ---- from what is wanted to what is made

    def _change(self, *parties: Hashable) -> None:
        self._changed.update(parties)
        if self._n_held:
            return
        changed, self._changed = self._changed, set()
        for party in list(changed):
            changed.update(self._hears.get(party, ()), self._heard_by.get(party, ()))
        for party in changed:
            other = self._direct.get(party)
            if other is not None and not self._is_still_direct(party, other):
                self._end_direct(party)
                changed = changed | {other}
        for party in changed:
            self._try_direct(party)
        for party in changed:
            for source, listener in self._touching(party):
                self._settle(source, listener)

    def _is_pair(self, one: Hashable, other: Hashable) -> bool:
        """Both stand, one hears the other at least, and neither has to do with anybody else."""
        near = [table.get(party, set()) for table in (self._hears, self._heard_by) for party in (one, other)]
        return (
            one != other
            and one in self._slots
            and other in self._slots
            and near[0] | near[2] == {other}
            and near[1] | near[3] == {one}
        )

    def _is_still_direct(self, one: Hashable, other: Hashable) -> bool:
        is_mutual = one in self._hears.get(other, ()) and other in self._hears.get(one, ())
        return self._is_pair(one, other) and is_mutual == (one in self._relayed)

    def _try_direct(self, one: Hashable) -> None:
        others = self._hears.get(one, set()) | self._heard_by.get(one, set())
        if one in self._direct or len(others) != 1:
            return
        (other,) = others
        if not self._is_pair(one, other):
            return
        if one in self._hears.get(other, ()) and other in self._hears.get(one, ()):
            is_direct = self._ways.relay(one, self._slot(one), other, self._slot(other))
            self._relayed.update((one, other) if is_direct else ())
        else:
            source, listener = (one, other) if one in self._hears.get(other, ()) else (other, one)
            is_direct = self._ways.feed(source, listener, self._slot(listener))
        if is_direct:
            self._direct[one], self._direct[other] = other, one

    def _end_direct(self, party: Hashable) -> None:
        other = self._direct.pop(party, None)
        if other is not None:
            del self._direct[other]
            self._relayed -= {party, other}
            self._ways.end_direct(party, other)

    def _touching(self, party: Hashable) -> set[Link]:
        """Links from and to the party, wanted or made."""
        wanted: set[Link] = {(source, party) for source in self._hears.get(party, ())}
        wanted.update((party, listener) for listener in self._heard_by.get(party, ()))
        return wanted | self._made_of.get(party, set())

    def _settle(self, source: Hashable, listener: Hashable) -> None:
        is_wanted = (
            source in self._hears.get(listener, ())
            and source in self._slots
            and listener in self._slots
            and self._direct.get(source) != listener
        )
        if not is_wanted:
            self._unmake(source, listener)
        elif (source, listener) not in self._made:
            slots = self._slot(source), self._slot(listener)
            self._ways.connect(*slots)
            self._made[source, listener] = slots
            for party in (source, listener):
                self._made_of.setdefault(party, set()).add((source, listener))

    def _unmake(self, source: Hashable, listener: Hashable) -> None:
        # Also where a stream is gone and took its links along: its slot may already be another call's, which is
        # announced to us only later, and must not hear what was linked in the moment between.
        slots = self._made.pop((source, listener), None)
        if slots is not None:
            for party in {source, listener}:
                self._made_of[party].discard((source, listener))
                if not self._made_of[party]:
                    del self._made_of[party]
            self._ways.disconnect(*slots)

    def _slot(self, party: Hashable) -> int:
        slot = self._slots[party]
        return slot if isinstance(slot, int) else slot()
