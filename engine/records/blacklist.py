"""The blacklist in the database, as the command line keeps it. Counterpart: callflow/blacklist.py, which decides."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, update

from engine.callflow.numbers import canonical_pattern
from engine.callflow.record import BlacklistEntry
from engine.records.customers import Counts
from engine.records.database import TABLES, Database

_BLACKLIST, _HITS = TABLES["blacklist"], TABLES["blacklist_hits"]
_KEPT = ("reason", "by", "expires_at")  # what a change of an entry changes


def entries_query() -> Select[Any]:
    """Entries with their hits since they were made, the newest first."""
    since_made = (_HITS.c.pattern == _BLACKLIST.c.pattern) & (_HITS.c.at >= _BLACKLIST.c.created_at)
    n_hits = select(func.count()).where(since_made).scalar_subquery().label("n_hits")
    last_hit_at = select(func.max(_HITS.c.at)).where(since_made).scalar_subquery().label("last_hit_at")
    return select(_BLACKLIST, n_hits, last_hit_at).order_by(_BLACKLIST.c.created_at.desc(), _BLACKLIST.c.pattern)


class BlacklistTable:
    """Raises StorageError when the database does not do it, ValueError for a pattern that is none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(self) -> list[BlacklistEntry]:
        return [BlacklistEntry(**row) for row in self._database.rows(entries_query())]

    def put(self, entries: Iterable[BlacklistEntry], dry_run: bool = False) -> Counts:
        """In one transaction. An entry that is there already gets the new reason, author and expiry."""
        fresh = {entry.pattern: entry for entry in (_canonical(entry) for entry in entries)}
        new: list[BlacklistEntry] = []
        changed: list[BlacklistEntry] = []
        with self._database.begin() as connection:
            query = select(_BLACKLIST).where(_BLACKLIST.c.pattern.in_(list(fresh)))
            stored = {row["pattern"]: row for row in connection.execute(query).mappings()}
            for entry in fresh.values():
                before = stored.get(entry.pattern)
                if before is None:
                    new.append(entry)
                elif (before["reason"], before["expires_at"]) != (entry.reason, entry.expires_at):
                    changed.append(entry)
            if new and not dry_run:
                connection.execute(insert(_BLACKLIST), [_values(entry) for entry in new])
            for entry in () if dry_run else changed:
                sets = {name: getattr(entry, name) for name in _KEPT}
                connection.execute(update(_BLACKLIST).where(_BLACKLIST.c.pattern == entry.pattern).values(sets))
        return Counts(len(new), len(changed), len(fresh) - len(new) - len(changed))

    def remove(self, patterns: Sequence[str]) -> list[str]:
        """Those that were there."""
        removed = []
        with self._database.begin() as connection:
            for pattern in map(canonical_pattern, patterns):
                if connection.execute(delete(_BLACKLIST).where(_BLACKLIST.c.pattern == pattern)).rowcount:
                    removed.append(pattern)
        return removed


def _canonical(entry: BlacklistEntry) -> BlacklistEntry:
    return replace(entry, pattern=canonical_pattern(entry.pattern))


def _values(entry: BlacklistEntry) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if name not in ("n_hits", "last_hit_at")}
