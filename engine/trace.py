"""The trace: one JSON line per event of a call, with the move and the commands that followed. Always on.

Ladders are drawn from it (cli/ladder.py), and a bad night can be read again from it. A thread of its own writes the
lines, so that a slow or frozen disk never holds a call; what does not fit its queue is dropped and counted.
"""

import dataclasses
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, TextIO

from engine.callflow.commands import Command
from engine.callflow.events import Event

MAX_PENDING = 100_000
FLUSH_S = 0.5

_Line = tuple[float, datetime, str, Event, str, str, list[Command], str | None]


class Trace:
    """Writes <folder>/YYYY-MM-DD.jsonl by UTC day, and removes days older than `keep_days`."""

    def __init__(self, folder: Path, keep_days: int) -> None:
        self.n_dropped = 0
        self._folder = folder
        self._keep_days = keep_days
        self._lines: Queue[_Line | None] = Queue(MAX_PENDING)
        self._file: TextIO | None = None
        self._day = ""
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
        try:
            self._lines.put_nowait((now, at, call, event, was, state, commands, note))
        except Full:
            self.n_dropped += 1

    def close(self) -> None:
        self._lines.put(None)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            try:
                line = self._lines.get(timeout=FLUSH_S)
            except Empty:
                self._flush()
                continue
            if line is None:
                break
            self._write(line)
        if self._file:
            self._file.close()

    def _write(self, line: _Line) -> None:
        now, at, call, event, was, state, commands, note = line
        row: dict[str, Any] = {
            "t": round(now, 6),
            "at": at.isoformat(timespec="milliseconds"),
            "call": call,
            "event": type(event).__name__,
            "args": plain(event),
            "was": was,
            "state": state,
            "commands": [{"do": type(command).__name__, **plain(command)} for command in commands],
        }
        if note:
            row["note"] = note
        try:
            self._open(at).write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError:
            self.n_dropped += 1

    def _flush(self) -> None:
        try:
            if self._file:
                self._file.flush()
        except OSError:
            self.n_dropped += 1

    def _open(self, at: datetime) -> TextIO:
        day = f"{at:%Y-%m-%d}"
        if self._file is None or day != self._day:
            if self._file:
                self._file.close()
            self._file = (self._folder / f"{day}.jsonl").open("a", encoding="utf-8")
            self._day = day
            self._remove_old(at)
        return self._file

    def _remove_old(self, at: datetime) -> None:
        oldest = f"{at - timedelta(days=self._keep_days):%Y-%m-%d}"
        for file in self._folder.glob("????-??-??.jsonl"):
            if file.stem < oldest:
                file.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """A frozen dataclass as JSON values. A plan's step is told by its place and description, an error by its text."""
    if hasattr(value, "describe"):
        return {"place": str(value.place), "step": value.describe()}
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Exception):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value
