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
        self._end = 0
        self._n = 0
        self._file: int | None = None
        self.n_unreadable = 0
        if path.exists():
            self._adopt()

    def __len__(self) -> int:
        return self._n

    def append(self, rows: Sequence[Row]) -> None:
        """Raises OSError when the disk does not take them; then nothing was added."""
        data = "".join(to_line(row) + "\n" for row in rows).encode()
        with self._lock:
            try:
                _write_all(self._open(), data)
            except OSError:
                if self._file is not None:
                    os.ftruncate(self._file, self._end)
                raise
            self._end += len(data)
            self._n += len(rows)

    def peek(self, most: int) -> list[Row]:
        """The oldest rows, at most `most`; they stay until advance(). One thread reads; who appends does not wait."""
        with self._lock:
            n = min(most, self._n)
        if not n:
            return []
        rows: list[Row] = []
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            for _ in range(n):
                if row := _read(file.readline()):
                    rows.append(row)
            self._peeked_to = file.tell()
        with self._lock:
            self._n -= n - len(rows)
            self.n_unreadable += n - len(rows)
        return rows

    def advance(self, n: int) -> None:
        """The `n` rows last peeked at are stored."""
        with self._lock:
            self._n -= n
            self._read_to = self._peeked_to
            if not self._n and self._path.exists():
                os.truncate(self._path, 0)
                self._read_to = self._peeked_to = self._end = 0

    def close(self) -> None:
        """A later append opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        """Kept open, so that a row costs one write(); made anew if somebody removed it while it was empty."""
        if not self._n and not self._path.exists():
            self.close()
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._end = os.fstat(self._file).st_size
        return self._file

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
