"""What the daemon reads while it runs: a caller's customer record, the blacklist, open callbacks, boxes.

For a thread that may block, never the engine's. Counterparts: customers.py, blacklist.py, mailboxes.py, which the
command line changes these with; writer.py, which stores what the daemon itself changes.
"""

from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError

from engine.callflow.numbers import canonical
from engine.callflow.record import ACTIVE, BlacklistEntry, CallbackEntry, Customer, Message
from engine.records.blacklist import entries_query
from engine.records.database import TABLES
from engine.records.store import StorageError, open_engine

_CUSTOMER_FIELDS = ("number", "name", "level", "region", "last_order_agent", "notes")
_CUSTOMERS, _CALLBACKS, _MESSAGES = TABLES["customers"], TABLES["callbacks"], TABLES["messages"]
_CUSTOMER_OF = select(*(_CUSTOMERS.c[name] for name in _CUSTOMER_FIELDS)).where(
    _CUSTOMERS.c.number == bindparam("number")
)
_READ_ONLY = {"sqlite": "PRAGMA query_only=ON", "postgresql": "SET default_transaction_read_only = on"}


class LookUp:
    """One connection of its own that can only read, opened when first needed and again after a failure.

    For one thread at a time. Every question raises StorageError when the database does not answer; the next one tries
    again.
    """

    def __init__(self, url: str) -> None:
        """Raises StorageError for a storage that cannot work as configured."""
        self._engine: Engine = open_engine(url)
        self._open: Connection | None = None

    def customer(self, number: str) -> Customer | None:
        """By a number in any form: one row by its primary key."""
        rows = self._ask(_CUSTOMER_OF, {"number": canonical(number)})
        return Customer(*rows[0]) if rows else None

    def blacklist(self) -> list[BlacklistEntry]:
        """For callflow/blacklist.py; expired entries too, since time is told to it."""
        return [BlacklistEntry(**row._mapping) for row in self._ask(entries_query())]

    def active_callbacks(self) -> list[CallbackEntry]:
        """What is owed, the earliest arrival first. One that was being dialled when the last run died is `dialling`."""
        query = select(_CALLBACKS).where(_CALLBACKS.c.state.in_(ACTIVE)).order_by(_CALLBACKS.c.arrived_at)
        return [CallbackEntry(**row._mapping) for row in self._ask(query)]

    def messages(self, box: str) -> list[Message]:
        """Those not deleted: new ones first, the latest first among each."""
        query = select(_MESSAGES).where(_MESSAGES.c.box == box, _MESSAGES.c.deleted_at.is_(None))
        rows = self._ask(query.order_by(_MESSAGES.c.heard_at.is_not(None), _MESSAGES.c.at.desc()))
        return [Message(**row._mapping) for row in rows]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Box -> (new, old) messages, as a message waiting indication tells them (RFC 3842 section 3.5)."""
        is_kept = _MESSAGES.c.deleted_at.is_(None)
        query = select(_MESSAGES.c.box, func.count(), func.count(_MESSAGES.c.heard_at)).where(is_kept)
        return {box: (n - n_old, n_old) for box, n, n_old in self._ask(query.group_by(_MESSAGES.c.box))}

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
        self._engine.dispose()

    def _ask(self, query: Any, values: dict[str, Any] | None = None) -> list[Any]:
        try:
            if self._open is None:
                self._open = self._connect()
            return list(self._open.execute(query, values))
        except SQLAlchemyError as error:
            self.close()
            raise StorageError(str(error).partition("\n")[0]) from None

    def _connect(self) -> Connection:
        """Without transactions: each question sees what is committed by then."""
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if read_only := _READ_ONLY.get(self._engine.dialect.name):
            connection.exec_driver_sql(read_only)
        return connection
