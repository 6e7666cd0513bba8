"""Which callers are not let in, in memory: one look-up for the number and one for each length of prefix in use.

Counterpart: engine/records/people.py, which reads the entries.
"""

from collections.abc import Iterable
from datetime import datetime

from engine.callflow.numbers import canonical, international
from engine.callflow.record import BlacklistEntry


class Blacklist:
    """Entries are never changed here: a changed list is read anew and put in the place of this one."""

    def __init__(self, entries: Iterable[BlacklistEntry] = ()) -> None:
        self._entries = {entry.pattern: entry for entry in entries}
        lengths = {len(pattern) - 1 for pattern in self._entries if pattern.endswith("*")}
        self._lengths = sorted(lengths, reverse=True)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, number: str, now: datetime) -> BlacklistEntry | None:
        """The entry for a number in any form that stands at `now` (UTC): itself, else the longest prefix."""
        if not self._entries:
            return None
        plain = canonical(number)
        found = self._entries.get(plain)
        if found and _stands(found, now):
            return found
        full = international(plain)
        for length in self._lengths:
            found = self._entries.get(f"{full[:length]}*") if length <= len(full) else None
            if found and _stands(found, now):
                return found
        return None


def _stands(entry: BlacklistEntry, now: datetime) -> bool:
    return entry.expires_at is None or now < entry.expires_at
