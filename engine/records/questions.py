"""What the daemon asks the database while it runs, in one thread that may block. Counterparts: engine/errands.py, whose
thread asks; lookup.py and the tables beside it, which answer.
"""

from datetime import datetime

from engine.callflow.record import CallbackEntry
from engine.records.callbacks import CallbackTable
from engine.records.database import Database
from engine.records.lookup import LookUp
from engine.records.mailboxes import Mailboxes, PinCheck


class Questions(LookUp):
    """With those that need more than reading: they have a connection of their own, opened when first needed."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._url = url
        self._writing: Database | None = None

    def check_pin(self, box: str, pin: str, now: datetime) -> PinCheck:
        return Mailboxes(self._database()).check_pin(box, pin, now)

    def callback(self, id: str) -> CallbackEntry | None:
        """In whatever state."""
        return CallbackTable(self._database()).get(id)

    def _database(self) -> Database:
        if self._writing is None:
            self._writing = Database(self._url)
        return self._writing

    def close(self) -> None:
        super().close()
        if self._writing is not None:
            self._writing.close()
            self._writing = None
