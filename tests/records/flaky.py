"""A SQLite driver whose connections fail or hang on order: real databases, real files, faults where they hurt."""

import sqlite3
from contextlib import contextmanager
from threading import Event
from typing import ClassVar

from sqlalchemy import event
from sqlalchemy.engine import Engine


class FlakyConnection(sqlite3.Connection):
    """`fault` is one of None, "execute", "commit" (nothing stored), "lost" (stored, but the answer is lost)."""

    fault: ClassVar[str | None] = None
    gate: ClassVar[Event] = Event()  # while it is clear, a commit hangs

    def cursor(self, *arguments):
        if FlakyConnection.fault == "execute":
            raise sqlite3.OperationalError("injected: disk I/O error")
        return super().cursor(*arguments)

    def commit(self):
        FlakyConnection.gate.wait()
        if FlakyConnection.fault == "commit":
            self.rollback()
            raise sqlite3.OperationalError("injected: commit failed")
        super().commit()
        if FlakyConnection.fault == "lost":
            raise sqlite3.OperationalError("injected: answer of the commit lost")


@contextmanager
def flaky_sqlite():
    """Every SQLite connection that SQLAlchemy opens meanwhile is a flaky one."""

    def use_flaky(_dialect, _record, _arguments, parameters):
        parameters["factory"] = FlakyConnection

    FlakyConnection.fault = None
    FlakyConnection.gate.set()
    event.listen(Engine, "do_connect", use_flaky)
    try:
        yield FlakyConnection
    finally:
        FlakyConnection.fault = None
        FlakyConnection.gate.set()
        event.remove(Engine, "do_connect", use_flaky)
