"""Callbacks in the database, as the command line sees them.

While a daemon runs it owns those that are active, and commands go through it; without one they are changed here.
Counterpart: versions.py, which puts what either of them wrote.
"""

from dataclasses import asdict, replace
from datetime import datetime

from sqlalchemy import func, select

from engine.callflow.numbers import canonical
from engine.callflow.record import ACTIVE, CallbackEntry
from engine.records.database import TABLES, Database
from engine.records.versions import put_callback

_CALLBACKS = TABLES["callbacks"]
RETRIED = ("open", "cancelled", "failed")  # states from which an operator may have it tried (again)


class CallbackTable:
    """Raises StorageError when the database does not do it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(
        self, state: str | None, queue: str | None, number: str | None, limit: int, offset: int
    ) -> tuple[list[CallbackEntry], int]:
        """The newest first, and how many there are in all. The state "active" is open or dialling; None is any."""
        query = select(_CALLBACKS)
        if state is not None:
            query = query.where(_CALLBACKS.c.state.in_(ACTIVE if state == "active" else [state]))
        if queue is not None:
            query = query.where(_CALLBACKS.c.queue == queue)
        if number is not None:
            query = query.where(_CALLBACKS.c.number == canonical(number))
        total = self._database.rows(select(func.count().label("n")).select_from(query.subquery()))[0]["n"]
        newest = query.order_by(_CALLBACKS.c.created_at.desc(), _CALLBACKS.c.id.desc()).limit(limit).offset(offset)
        return [CallbackEntry(**row) for row in self._database.rows(newest)], total

    def get(self, id: str) -> CallbackEntry | None:
        rows = self._database.rows(select(_CALLBACKS).where(_CALLBACKS.c.id == id))
        return CallbackEntry(**rows[0]) if rows else None

    def put(self, entry: CallbackEntry) -> CallbackEntry:
        """A new one or a later version; as it is stored then, after a merge with another of the number."""
        with self._database.begin() as connection:
            put_callback(connection, _CALLBACKS, asdict(entry))
        stored = self.get(entry.id)
        assert stored is not None, entry.id
        return stored


def cancelled(entry: CallbackEntry, by: str, now: datetime) -> CallbackEntry | None:
    """None if it is over already."""
    if not entry.is_active:
        return None
    return replace(entry, state="cancelled", result=f"cancelled_by {by}", updated_at=now)


def retried(entry: CallbackEntry, now: datetime) -> CallbackEntry | None:
    """Due at once, whatever came of it. None for one that is being dialled or has been answered."""
    if entry.state not in RETRIED:
        return None
    return replace(entry, state="open", result=None, due_at=now, updated_at=now)
