"""The trace: one JSON line per event of a call, with the move and the commands that followed, and one per verb that the
ACD was asked, with what followed there. Always on.

Ladders are drawn from it (cli/ladder.py); a bad night can be played again (engine/replay.py) and judged
(engine/audit) from it. A thread of its own writes the lines, some times a second, so that a slow or frozen disk never
holds a call; what does not fit its queue is dropped and counted. ACD lines are numbered, so that a reader sees what is
missing.

A file holds a day of UTC and stands alone: it begins with the daemon's start or with a checkpoint of the ACD, so that
the days before may be removed.
"""

import dataclasses
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from engine.callflow.commands import Command
from engine.callflow.events import Event
from engine.encoding import pack

MAX_PENDING = 100_000
WRITE_EVERY_S = 0.2  # waking the thread for each line would cost the engine more than the line

Row = dict[str, Any]

# made once: it costs as much as a line
_as_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, default=pack).encode

_CallLine = tuple[float, datetime, str, Event, str, str, list[Command], str | None]
_AcdLine = tuple[float, datetime, int, str, dict[str, Any], Sequence[Any]]


class Trace:
    """Writes <folder>/YYYY-MM-DD.jsonl by UTC day, and removes days older than `keep_days`."""

    def __init__(self, folder: Path, keep_days: int) -> None:
        self.n_dropped = 0
        self._folder = folder
        self._keep_days = keep_days
        self._n_acd = 0
        self._acd_day: date | None = None
        self._lines: deque[_CallLine | _AcdLine] = deque()
        self._closing = threading.Event()
        self._file: TextIO | None = None
        self._day: date | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="trace", daemon=True)
        self._thread.start()

    def write(
        self,
        now: float,
        at: datetime,
        call: str,
        event: Event,
        was: str,
        state: str,
        commands: list[Command],
        note: str | None,
    ) -> None:
        """`at` is UTC of `now`; `note` says why a late event meant nothing."""
        self._put((now, at, call, event, was, state, commands, note))

    def begins_file(self, at: datetime) -> bool:
        """Whether an ACD line of this moment would be the first of its day, and not the first of all: a checkpoint is
        due."""
        return self._acd_day is not None and at.date() != self._acd_day

    def write_acd(
        self, now: float, at: datetime, verb: str, arguments: dict[str, Any], followed: Sequence[Any]
    ) -> None:
        """What the ACD was asked and what followed, as engine/acd tells it."""
        self._n_acd += 1
        self._acd_day = at.date()
        self._put((now, at, self._n_acd, verb, arguments, followed))

    def _put(self, line: _CallLine | _AcdLine) -> None:
        if len(self._lines) < MAX_PENDING:
            self._lines.append(line)
        else:
            self.n_dropped += 1

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._closing.wait(WRITE_EVERY_S):
            self._write_all()
        self._write_all()
        if self._file:
            self._file.close()

    def _write_all(self) -> None:
        while self._lines:
            self._write(self._lines.popleft())
        try:
            if self._file:
                self._file.flush()
        except OSError:
            self.n_dropped += 1

    def _write(self, line: _CallLine | _AcdLine) -> None:
        row = _acd_row(line) if len(line) == 6 else _call_row(line)
        try:
            self._open(line[1]).write(_as_json(row) + "\n")
        except OSError:
            self.n_dropped += 1

    def _open(self, at: datetime) -> TextIO:
        day = at.date()
        if self._file is None or day != self._day:
            if self._file:
                self._file.close()
            self._file = (self._folder / f"{day:%Y-%m-%d}.jsonl").open("a", encoding="utf-8", errors="backslashreplace")
            self._day = day
            self._remove_old(at)
        return self._file

    def _remove_old(self, at: datetime) -> None:
        oldest = f"{at - timedelta(days=self._keep_days):%Y-%m-%d}"
        for file in self._folder.glob("????-??-??.jsonl"):
            if file.stem < oldest:
                file.unlink(missing_ok=True)


def _call_row(line: _CallLine) -> Row:
    now, at, call, event, was, state, commands, note = line
    row: Row = {
        "t": now,
        "at": at.isoformat(timespec="milliseconds"),
        "call": call,
        "event": type(event).__name__,
        "args": plain(event),
        "was": was,
        "state": state,
        "commands": [{"do": type(command).__name__, **plain(command)} for command in commands],
    }
    return {**row, "note": note} if note else row


def _acd_row(line: _AcdLine) -> Row:
    """Times are exact: JSON writes every digit that tells one float from the next."""
    now, at, number, verb, arguments, followed = line
    stamp = at.isoformat(timespec="milliseconds")
    return {"t": now, "at": stamp, "n": number, "acd": verb, "args": arguments, "out": followed}


def read(files: Iterable[Path]) -> Iterator[Row]:
    """Every line of these files as it was written. A line cut off by a crash is left out. Raises OSError."""
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if (row := parsed(line)) is not None:
                    yield row


def parsed(line: str) -> Row | None:
    """None for the line that is being written, or was when the power went."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def plain(value: Any) -> Any:
    """A frozen dataclass as JSON values. A plan's step is told by its place and description, an error by its text, a
    secret not at all."""
    kind: type = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if hasattr(value, "describe"):
        return {"place": str(value.place), "step": value.describe()}
    if (names := _told(kind)) is not None:
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Exception):
        return f"{kind.__name__}: {value}"
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value


_AS_THEY_ARE = frozenset((str, int, float, bool, type(None)))


@cache
def _told(kind: type) -> tuple[str, ...] | None:
    """The fields of a dataclass that may be told. None: it is no dataclass."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind) if not field.metadata.get("secret"))
