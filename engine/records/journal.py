"""Rows that the database does not take now, kept in a file of JSON lines until it does.

A journal outlives the process: what stands in it at a start is read first. A row leaves it only after its commit, so
a row may be read twice; rows.put() makes twice once. Safe for several threads. Counterpart: store.py.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from engine.records.rows import Row, from_line, to_line

log = logging.getLogger("agner.records")


class Journal:
    """The file is made when first needed and emptied when everything in it was stored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._read_to = 0  # bytes already stored
        self._peeked_to = 0
        self._n = 0
        self.n_unreadable = 0
        if path.exists():
            self._adopt()

    def __len__(self) -> int:
        return self._n

    def append(self, rows: Sequence[Row]) -> None:
        """Raises OSError when the disk does not take them; then nothing was added."""
        data = "".join(to_line(row) + "\n" for row in rows).encode()
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                end = file.tell()
                try:
                    _write_all(file.fileno(), data)
                except OSError:
                    file.truncate(end)
                    raise
            self._n += len(rows)

    def peek(self, most: int) -> list[Row]:
        """The oldest rows, at most `most`; they stay until advance()."""
        rows: list[Row] = []
        with self._lock:
            if not self._n:
                return rows
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                for _ in range(min(most, self._n)):
                    if row := _read(file.readline()):
                        rows.append(row)
                    else:
                        self._n -= 1
                        self.n_unreadable += 1
                self._peeked_to = file.tell()
        return rows

    def advance(self, n: int) -> None:
        """The `n` rows last peeked at are stored."""
        with self._lock:
            self._n -= n
            self._read_to = self._peeked_to
            if not self._n and self._path.exists():
                os.truncate(self._path, 0)
                self._read_to = self._peeked_to = 0

    def _adopt(self) -> None:
        """Count what an earlier run left. A line cut off by a crash is closed, or the next row were lost with it."""
        text = self._path.read_bytes()
        if text and not text.endswith(b"\n"):
            with self._path.open("ab") as file:
                file.write(b"\n")
            self._n = 1
        self._n += text.count(b"\n")


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _read(line: bytes) -> Row | None:
    try:
        return from_line(line.decode())
    except (ValueError, KeyError, TypeError) as error:
        log.error("journal of records: a line cannot be read (%s): %r", error, line[:200])
        return None
