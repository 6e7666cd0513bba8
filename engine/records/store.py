"""One database, with its journal for when it does not take rows.

No thread of its own: writer.py drives it, tests step it.

What is handed to take() ends in the database once, whatever happens between: it is stored, or stands in the journal
until it is. A row that the database will never take (its data, not its day) goes to a file of its own, with the
reason: nothing waits behind it.
"""

import json
import logging
import os
from collections.abc import Callable, Sequence
from errno import EACCES, EISDIR
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, make_url, select, update
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    StatementError,
)

from engine.records.journal import Journal
from engine.records.models import Call
from engine.records.rows import Row, put, to_line
from engine.records.schema import SchemaError, upgrade

log = logging.getLogger("agner.records")

ROWS_A_COMMIT = 100
COMMITS_A_ROUND = 10  # of the journal, so that new rows are looked after in between
SQLITE_BUSY_S = 1.0


FindRecording = Callable[[str], str | None]  # call -> what stands on disk of its recording, below the folder


def no_recording(call: str) -> str | None:
    return None


class StorageError(Exception):
    """This storage cannot work as configured. The text is for the operator."""


class Store:
    """Not for several threads, but for `journal`."""

    def __init__(self, url: str, journal: Journal, refused: Path, find_recording: FindRecording = no_recording) -> None:
        """Raises StorageError for a storage that no waiting will mend; one that is only away is tried again later."""
        self.journal = journal
        self.n_done = 0  # rows stored, or refused for good
        self.is_healthy = True
        self._refused = refused
        self._find_recording = find_recording
        self._kept: list[Row] = []  # rows that neither database nor disk took
        self._n_inherited = len(journal)
        self._has_tables = self._has_closed_calls = False
        self._engine = open_engine(url)
        try:
            self._make_tables()
        except SchemaError as error:
            raise StorageError(f"{url}: {error}") from None
        except DatabaseError as error:
            if type(error) is DatabaseError:  # SQLite: not a database
                raise StorageError(f"{url}: {error.orig}") from None
            self._fell_ill(error)

    @property
    def is_behind(self) -> bool:
        """Whether catch_up() has something to do."""
        return not self.is_healthy or not self._has_closed_calls or bool(self._kept) or len(self.journal) > 0

    def take(self, rows: list[Row]) -> None:
        """Store them, or keep them for catch_up()."""
        if self._has_closed_calls and self.is_healthy and not self._kept:
            rows = self._store(rows)
        if rows:
            self._keep(rows)

    def catch_up(self) -> bool:
        """Try the database once more: its tables, the journal, the calls of a crashed run. False if it is still ill."""
        try:
            if not self._has_tables:
                self._make_tables()
            for _ in range(COMMITS_A_ROUND):
                if not self._has_closed_calls and not self._n_inherited:
                    self.close_open_calls()
                if not self._replay():
                    break
            if self._kept and self._has_closed_calls and not len(self.journal):
                batch = self._kept[:ROWS_A_COMMIT]
                self._commit(batch)
                self.n_done += len(batch)
                del self._kept[:ROWS_A_COMMIT]
        except Exception as error:  # whatever a driver raises: the rows are kept and tried again
            self._fell_ill(error)
            return False
        if not self.is_healthy:
            log.warning("storage takes records again")
            self.is_healthy = True
        return True

    def close_open_calls(self) -> None:
        """The CDR of calls that an earlier run left open when it died says so. Once, before rows of this run."""
        with self._engine.begin() as connection:
            open_calls = connection.scalars(select(Call.call).where(Call.disposition.is_(None))).all()
            for call in open_calls:
                found = {"disposition": "crashed", "ended_by": "switch", "recording": self._find_recording(call)}
                connection.execute(update(Call).where(Call.call == call).values(found))
        self._has_closed_calls = True
        if open_calls:
            log.warning("%d calls were open when the last run died: marked as crashed", len(open_calls))

    def close(self) -> int:
        """Rows that are nowhere: neither database nor disk took them."""
        self._engine.dispose()
        self.journal.close()
        return len(self._kept)

    def _make_tables(self) -> None:
        with self._engine.begin() as connection:
            upgrade(connection)
        self._has_tables = True

    def _replay(self) -> bool:
        """One commit's worth of the journal: first what an earlier run left there. False when it is empty."""
        if not len(self.journal):
            self._n_inherited = 0
            return not self._has_closed_calls
        most = min(ROWS_A_COMMIT, self._n_inherited or ROWS_A_COMMIT)
        rows = self.journal.peek(most)
        self._commit(rows)
        self.journal.advance(len(rows))
        self.n_done += len(rows)
        self._n_inherited = max(0, self._n_inherited - most)
        return True

    def _store(self, rows: list[Row]) -> list[Row]:
        """The rows that were not stored because the database fell ill."""
        while rows:
            batch = rows[:ROWS_A_COMMIT]
            try:
                self._commit(batch)
            except Exception as error:  # as in catch_up()
                self._fell_ill(error)
                break
            self.n_done += len(batch)
            rows = rows[ROWS_A_COMMIT:]
        return rows

    def _commit(self, rows: Sequence[Row]) -> None:
        try:
            with self._engine.begin() as connection:
                put(connection, rows)
        except Exception as error:
            if not _is_about_data(error):
                raise
            if len(rows) > 1:
                for row in rows:
                    self._commit([row])
                return
            self._refuse(rows[0], error)

    def _refuse(self, row: Row, error: Exception) -> None:
        line = json.dumps({"error": str(error), "row": json.loads(to_line(row))})
        with self._refused.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        log.error("storage refused a row for good, see %s: %s", self._refused, _first_line(error))

    def _keep(self, rows: list[Row]) -> None:
        self._kept.extend(rows)
        try:
            self.journal.append(self._kept)
        except OSError as error:
            log.error("journal of records: %s; %d rows are held in memory", error, len(self._kept))
        else:
            self._kept.clear()

    def _fell_ill(self, error: Exception) -> None:
        if self.is_healthy:
            log.error("storage does not take records, they are kept until it does: %s", _first_line(error))
        self.is_healthy = False
        self._has_tables = False  # what comes back may be another database
        self._engine.dispose()


def open_engine(url: str, busy_s: float = SQLITE_BUSY_S) -> Engine:
    """`busy_s`: how long SQLite waits for another writer. Raises StorageError for what cannot be opened."""
    try:
        parsed = make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        connect_args = {"timeout": busy_s} if is_sqlite else {}
        engine = create_engine(parsed, connect_args=connect_args, pool_pre_ping=not is_sqlite)
        if is_sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise StorageError(f"{url}: a database in memory keeps no records; name a file")
            path = Path(parsed.database)
            path.parent.mkdir(parents=True, exist_ok=True)
            _see_that_it_can_be_written(path)
            event.listen(engine, "connect", _prepare_sqlite)
    except (ArgumentError, ImportError) as error:
        raise StorageError(f"{url}: {error}") from None
    except OSError as error:
        raise StorageError(f"{url}: {error.strerror}") from None
    return engine


def _see_that_it_can_be_written(path: Path) -> None:
    """A database that is there is not opened for that: closing any descriptor of a file gives up all locks that this
    process has on it, SQLite's too, and another process would then take the WAL away from under us. Raises OSError."""
    if not path.exists():
        path.touch()
    elif path.is_dir():
        raise IsADirectoryError(EISDIR, "Is a directory")
    elif not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(EACCES, "Permission denied")


def _prepare_sqlite(connection: object, _record: object) -> None:
    """Readers do not block the writer, nor it them (WAL); a power cut may cost the last rows, never the database."""
    connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
    connection.execute("PRAGMA synchronous=NORMAL")  # type: ignore[attr-defined]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _is_about_data(error: Exception) -> bool:
    if isinstance(error, OperationalError):
        return False
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError | IntegrityError | ProgrammingError) and not error.connection_invalidated
    return isinstance(error, StatementError | ValueError | TypeError | OverflowError)
