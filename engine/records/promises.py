"""Who waits for an agent, on disk within microseconds, so that a kill of the daemon forgets nobody.

One line when a caller begins to wait, one when the wait is over (lines.py); at a start, everyone without an end is owed
a callback. Counterpart: writer.py, whose write_callback() makes an entry safe before its end is noted here.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.callflow.record import CallbackEntry
from engine.records.lines import Lines, read

log = logging.getLogger("agner.records")


class Promises(Lines):
    """For one thread. Nothing raises for a disk: what could not be written is written with the next line. The end()
    of a call: connected, or gone with whatever it is owed stored."""

    def __init__(self, path: Path, owe: Callable[[CallbackEntry], None]) -> None:
        """`owe` is called for everyone whom an earlier run left waiting, and must have stored the entry when it
        returns. A crash before the last one repeats them all, which are then known by their id.

        Raises OSError for a file that cannot be read or written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.n_recovered = _recover(path, owe)
        super().__init__(path, "promises to waiting callers", key="call")

    def begin(
        self,
        call: str,
        number: str,
        queue: str,
        arrived_at: datetime,
        dnis: str | None = None,
        language: str | None = None,
        needs: str | None = None,
    ) -> None:
        """The caller waits. Of two for one call the later stands: another queue. Nobody can call a withheld number."""
        if not number:
            return
        waiting = {
            "number": number,
            "queue": queue,
            "at": arrived_at.isoformat(),
            "dnis": dnis,
            "language": language,
            "needs": needs,
        }
        self.put(call, waiting)


def _recover(path: Path, owe: Callable[[CallbackEntry], None]) -> int:
    entries = [_entry_of(waiting) for waiting in read(path, key="call")]
    for entry in entries:
        owe(entry)
    if entries:
        log.warning("%d callers were waiting when the last run died: each is owed a callback", len(entries))
    return len(entries)


def _entry_of(waiting: dict[str, Any]) -> CallbackEntry:
    """Its version is as old as can be, so that an entry which is there already stands."""
    arrived_at = datetime.fromisoformat(waiting["at"])
    return CallbackEntry(
        id=waiting["call"],
        number=waiting["number"],
        queue=waiting["queue"],
        reason="crash",
        arrived_at=arrived_at,
        created_at=arrived_at,
        due_at=arrived_at,
        updated_at=arrived_at,
        dnis=waiting["dnis"],
        language=waiting["language"],
        needs=waiting["needs"],
    )
