"""Who waits for an agent, on disk within microseconds, so that a kill of the daemon forgets nobody.

One line when a caller begins to wait, one when the wait is over; at a start, everyone without an end is owed a
callback. Lines go to the page cache by one write() each: they survive the process, not a power cut. Counterpart:
writer.py, whose write_callback() makes an entry safe before its end is noted here.
"""

import json
import logging
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.callflow.record import CallbackEntry

log = logging.getLogger("agner.records")

COMPACT_AT_BYTES = 1 << 20
COMPACT_AT_RATIO = 4  # of the file to what still counts of it


class Promises:
    """For one thread. Nothing raises for a disk: what could not be written is written with the next line."""

    def __init__(self, path: Path, owe: Callable[[CallbackEntry], None]) -> None:
        """`owe` is called for everyone whom an earlier run left waiting, and must have stored the entry when it
        returns. A crash before the last one repeats them all, which are then known by their id.

        Raises OSError for a file that cannot be read or written.
        """
        self._path = path
        self._waiting: dict[str, bytes] = {}  # call -> its line
        self._n_waiting_bytes = self._n_bytes = 0
        self.is_behind = False
        path.parent.mkdir(parents=True, exist_ok=True)
        self.n_recovered = _recover(path, owe)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def __len__(self) -> int:
        return len(self._waiting)

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
            "call": call,
            "number": number,
            "queue": queue,
            "at": arrived_at.isoformat(),
            "dnis": dnis,
            "language": language,
            "needs": needs,
        }
        line = json.dumps(waiting).encode() + b"\n"
        self._n_waiting_bytes += len(line) - len(self._waiting.get(call, b""))
        self._waiting[call] = line
        self._append(line)

    def end(self, call: str) -> None:
        """Connected, or gone with whatever it is owed stored. Twice is once."""
        line = self._waiting.pop(call, None)
        if line is None:
            return
        self._n_waiting_bytes -= len(line)
        self._append(json.dumps({"end": call}).encode() + b"\n")

    def close(self) -> None:
        os.close(self._file)

    def _append(self, line: bytes) -> None:
        is_long = self._n_bytes > max(COMPACT_AT_BYTES, COMPACT_AT_RATIO * self._n_waiting_bytes)
        if self.is_behind or is_long:
            self._write_anew()
            return
        try:
            _write_all(self._file, line)
            self._n_bytes += len(line)
        except OSError as error:
            self._fall_behind(error)
            self._cut_to(self._n_bytes)

    def _write_anew(self) -> None:
        """Only those who wait now, in a file that takes the place of the old one in one move."""
        lines = b"".join(self._waiting.values())
        new = self._path.with_suffix(".new")
        try:
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                _write_all(file, lines)
                os.replace(new, self._path)
            except OSError:
                os.close(file)
                raise
        except OSError as error:
            self._fall_behind(error)
            return
        os.close(self._file)
        self._file, self._n_bytes = file, len(lines)
        if self.is_behind:
            self.is_behind = False
            log.warning("promises to waiting callers are on disk again")

    def _cut_to(self, n_bytes: int) -> None:
        """Away with half a line, or the next one were lost with it."""
        try:
            os.ftruncate(self._file, n_bytes)
        except OSError as error:
            log.error("%s: %s", self._path, error)

    def _fall_behind(self, error: OSError) -> None:
        if not self.is_behind:
            log.error("%s: %s; a crash now would forget waiting callers", self._path, error)
        self.is_behind = True


def _recover(path: Path, owe: Callable[[CallbackEntry], None]) -> int:
    if not path.exists():
        return 0
    entries = [_entry_of(waiting) for waiting in _left_waiting(path.read_bytes())]
    for entry in entries:
        owe(entry)
    if entries:
        log.warning("%d callers were waiting when the last run died: each is owed a callback", len(entries))
    return len(entries)


def _left_waiting(text: bytes) -> list[dict[str, Any]]:
    waiting: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        try:
            found = json.loads(line)
            if "end" in found:
                waiting.pop(found["end"], None)
            else:
                waiting[found["call"]] = found
        except (ValueError, KeyError, TypeError):
            log.error("promises: a line cannot be read: %r", line[:200])
    return list(waiting.values())


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


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
