"""The database as commands use it, beside a daemon or without one: short transactions, errors in the room's words.

Counterpart: store.py, the daemon's way in. Everything here blocks: never on the engine's thread.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import SQLAlchemyError

from engine.records.models import Base
from engine.records.schema import SchemaError, upgrade
from engine.records.store import StorageError, open_engine

BUSY_S = 10.0  # a command may wait for the daemon's writer

TABLES: Mapping[str, Table] = Base.metadata.tables


class Database:
    """Its tables are made or brought up to date first. Raises StorageError for whatever goes wrong."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url, BUSY_S)
        with _in_our_words(), self._engine.begin() as connection:
            try:
                upgrade(connection)
            except SchemaError as error:
                raise StorageError(f"{url}: {error}") from None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction: all of it, or nothing."""
        with _in_our_words(), self._engine.begin() as connection:
            yield connection

    def rows(self, query: Any) -> list[dict[str, Any]]:
        with self.begin() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def close(self) -> None:
        self._engine.dispose()


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StorageError(str(error).partition("\n")[0]) from None
