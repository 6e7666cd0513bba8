"""What stands now, on disk within microseconds: keyed JSON lines in one file, so that a kill of the daemon loses none.

One line when a value is put, one when it ends; a start reads what has not ended. Lines go to the page cache by one
write() each: they survive the process, not a power cut. The file is written anew when it is mostly of the past.
Counterparts: promises.py, bindings.py.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger("agner.records")

COMPACT_AT_BYTES = 1 << 20
COMPACT_AT_RATIO = 4  # of the file to what still counts of it


class Lines:
    """For one thread. Nothing raises for a disk: what could not be written is written with the next line."""

    def __init__(self, path: Path, what: str, key: str = "key", keep: Iterable[dict[str, Any]] = ()) -> None:
        """Begins with those to keep of what read() found, and nothing else. `what` says in the log what a crash would
        lose, `key` is the field that tells the values apart.

        Raises OSError for a file that cannot be opened.
        """
        self._path, self._what, self._key = path, what, key
        self._lines = {values[key]: _line(values) for values in keep}
        self._n_live_bytes = sum(map(len, self._lines.values()))
        self._n_bytes = 0
        self.is_behind = False
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _open(path)
        self._write_anew()

    def __len__(self) -> int:
        return len(self._lines)

    def put(self, key: str, values: dict[str, Any]) -> None:
        """Of two for one key the later stands."""
        line = _line({self._key: key, **values})
        self._n_live_bytes += len(line) - len(self._lines.get(key, b""))
        self._lines[key] = line
        self._append(line)

    def end(self, key: str) -> None:
        """Twice is once."""
        line = self._lines.pop(key, None)
        if line is not None:
            self._n_live_bytes -= len(line)
            self._append(_line({"end": key}))

    def close(self) -> None:
        os.close(self._file)

    def _append(self, line: bytes) -> None:
        is_long = self._n_bytes > max(COMPACT_AT_BYTES, COMPACT_AT_RATIO * self._n_live_bytes)
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
        """Only what stands, in a file that takes the place of the old one in one move."""
        lines = b"".join(self._lines.values())
        new = self._path.with_suffix(".new")
        try:
            file = _open(new)
            try:
                os.ftruncate(file, 0)
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
            log.warning("%s are on disk again", self._what)

    def _cut_to(self, n_bytes: int) -> None:
        """Away with half a line, or the next one were lost with it."""
        try:
            os.ftruncate(self._file, n_bytes)
        except OSError as error:
            log.error("%s: %s", self._path, error)

    def _fall_behind(self, error: OSError) -> None:
        if not self.is_behind:
            log.error("%s: %s; a crash now would forget %s", self._path, error, self._what)
        self.is_behind = True


def read(path: Path, key: str = "key") -> Iterator[dict[str, Any]]:
    """What stood when the last run ended, each with its key. Raises OSError for a file that cannot be read."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            values = json.loads(line)
            if "end" in values:
                found.pop(values["end"], None)
            else:
                found[values[key]] = values
        except (ValueError, KeyError, TypeError):
            log.error("%s: a line cannot be read: %r", path, line[:200])
    return iter(found.values())


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
