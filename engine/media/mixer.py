"""Who hears whom, as links of the conference bridge. Bridging is two links; hold, monitor, whisper and barge are other
sets of them.

What is wanted is kept by party, what is made by slot. A party is a leg, or the queue audio of one. Its slot changes
when a re-INVITE rebuilds its stream, and it may have none yet: then its links are made when it has one. No PJSIP here:
the two functions that make and unmake a link are given.
"""

from collections.abc import Callable, Hashable

Link = Callable[[int, int], None]  # source slot, listener slot


class Mixer:
    def __init__(self, connect: Link, disconnect: Link) -> None:
        self._connect = connect
        self._disconnect = disconnect
        self._slots: dict[Hashable, int] = {}
        self._hears: dict[Hashable, set[Hashable]] = {}  # listener -> sources, as wanted
        self._heard_by: dict[Hashable, set[Hashable]] = {}  # the same, the other way round
        self._made: dict[tuple[Hashable, Hashable], tuple[int, int]] = {}  # (source, listener) -> their slots

    def place(self, party: Hashable, slot: int) -> None:
        """The party's audio stands, or stands anew, in this slot. Its links are made again, even where the number is
        the same: a rebuilt stream may get the slot of the old one, whose links went with it."""
        self._unlink(party)
        self._slots[party] = slot
        self._link(party)

    def remove(self, party: Hashable) -> None:
        """The party is gone, and with it all that was wanted for it."""
        self._unlink(party)
        self._slots.pop(party, None)
        for source in self._hears.pop(party, set()):
            self._heard_by[source].discard(party)
        for listener in self._heard_by.pop(party, set()):
            self._hears[listener].discard(party)

    def join(self, source: Hashable, listener: Hashable) -> None:
        """`listener` is to hear `source`. Twice is once."""
        self._hears.setdefault(listener, set()).add(source)
        self._heard_by.setdefault(source, set()).add(listener)
        self._make(source, listener)

    def part(self, source: Hashable, listener: Hashable) -> None:
        """`listener` is not to hear `source` any more."""
        self._hears.get(listener, set()).discard(source)
        self._heard_by.get(source, set()).discard(listener)
        self._unmake(source, listener)

    def sources(self, listener: Hashable) -> frozenset[Hashable]:
        """Whom a party is to hear."""
        return frozenset(self._hears.get(listener, ()))

    def n_links(self) -> int:
        return len(self._made)

    def _link(self, party: Hashable) -> None:
        for source in self._hears.get(party, ()):
            self._make(source, party)
        for listener in self._heard_by.get(party, ()):
            self._make(party, listener)

    def _unlink(self, party: Hashable) -> None:
        for source in self._hears.get(party, ()):
            self._unmake(source, party)
        for listener in self._heard_by.get(party, ()):
            self._unmake(party, listener)

    def _make(self, source: Hashable, listener: Hashable) -> None:
        if source in self._slots and listener in self._slots and (source, listener) not in self._made:
            slots = self._slots[source], self._slots[listener]
            self._connect(*slots)
            self._made[source, listener] = slots

    def _unmake(self, source: Hashable, listener: Hashable) -> None:
        # Also where a stream is gone and took its links along: its slot may already be another call's, which is
        # announced to us only later, and must not hear what was linked in the moment between.
        slots = self._made.pop((source, listener), None)
        if slots is not None:
            self._disconnect(*slots)
