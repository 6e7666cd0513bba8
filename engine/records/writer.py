"""The records room's door: records in, rows out, in a thread of its own. Counterpart: class Records in engine/doors.py.

The engine's side only puts a record into a queue. The thread takes what came within a fifth of a second, or half a
second where records come all the time, makes rows of it and stores them in one transaction; store.py keeps what the
database does not take. Should a call into the database hang, a second thread empties the queue into the journal, so
that memory stays bounded.

What somebody was promised (a callback, a message) goes to the journal at once, by one write into the page cache: a
kill in that half second must not break it.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from engine.callflow.media_news import RecordingClosed
from engine.callflow.record import (
    AgentSpan,
    BlacklistHit,
    CallbackEntry,
    Cdr,
    Message,
    Segment,
    SurveyAnswer,
)
from engine.records.journal import Journal
from engine.records.rows import Record, RecordedCall, Row, ToUtc, row_of
from engine.records.store import FindRecording, Store, no_recording

log = logging.getLogger("agner.records")

ROWS_A_ROUND = 1000


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the thread waits, in seconds, and how many records may wait in memory."""

    batch_s: float = 0.2  # gather records for one transaction
    every_s: float = 0.5  # from one transaction to the next, which costs as much as a dozen rows
    retry_s: float = 0.2  # after a failure, doubled with each further one
    retry_most_s: float = 5.0
    stuck_s: float = 5.0  # a database silent for longer is not healthy
    max_waiting: int = 10_000


class Records:
    """Takes records from the engine's thread. `to_utc` (monotonic seconds -> UTC) is called on this room's threads."""

    def __init__(
        self,
        url: str,
        to_utc: ToUtc,
        folder: Path = Path("var"),
        pace: Pace = Pace(),
        find_recording: FindRecording = no_recording,
    ) -> None:
        """`folder` gets the journal; `find_recording` is asked for calls that a crash of the last run cut off.

        Raises StorageError for a storage that cannot work; being away is no error.
        """
        self._inbox: SimpleQueue[tuple[int, Record] | None] = SimpleQueue()
        self._to_utc = to_utc
        self._pace = pace
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(folder / "records.jsonl")
        self._n_inherited = len(self._journal)
        self._store = Store(url, self._journal, folder / "records-refused.jsonl", find_recording)
        self._n_in = self._n_unfit = 0
        self._in_hand: list[Row] = []
        self._busy_since: float | None = None
        self._gathered_at = float("-inf")
        self._was_stuck = False
        self._closing = Event()
        self._crowded = Event()
        self._give_up_at = float("inf")
        self._thread = Thread(target=self._run, name="records", daemon=True)
        self._thread.start()
        self._spill_thread = Thread(target=self._spill_when_crowded, name="records-spill", daemon=True)
        self._spill_thread.start()

    # ---- the engine's side: never blocks

    def open_cdr(self, cdr: Cdr) -> None:
        self._put(cdr)

    def write_cdr(self, cdr: Cdr) -> None:
        self._put(cdr)

    def write_segment(self, segment: Segment) -> None:
        self._put(segment)

    def write_span(self, span: AgentSpan) -> None:
        self._put(span)

    def write_recording(self, call: str, closed: RecordingClosed) -> None:
        self._put(RecordedCall(call, closed))

    def write_survey(self, answer: SurveyAnswer) -> None:
        self._put(answer)

    def count_blacklist_hit(self, hit: BlacklistHit) -> None:
        self._put(hit)

    def write_callback(self, entry: CallbackEntry) -> None:
        self._put_promise(entry)

    def write_message(self, message: Message) -> None:
        self._put_promise(message)

    def wait_until_stored(self, timeout_s: float) -> bool:
        """For the start, before what an earlier run wrote is read. False if the database took not everything."""
        until = time.monotonic() + timeout_s
        while self.pending():
            if time.monotonic() >= until or not self.is_healthy():
                return False
            time.sleep(0.005)
        return True

    def pending(self) -> int:
        """Records that are not in the database yet, those of the journal included."""
        return self._n_inherited + self._n_in - self._n_unfit - self._store.n_done - self._journal.n_unreadable

    def is_healthy(self) -> bool:
        """Whether the database takes rows now."""
        return self._store.is_healthy and not self._is_stuck()

    def close(self, timeout_s: float = 10.0) -> bool:
        """Store everything within that time. False if some of it waits in the journal for the next start."""
        self._give_up_at = time.monotonic() + timeout_s
        self._closing.set()
        self._crowded.set()
        self._inbox.put(None)
        self._thread.join(timeout_s + 1)
        self._spill_thread.join(1)
        if self._thread.is_alive():  # it hangs in the database: what it has in hand may be stored or not, twice is once
            self._journal.append([*self._in_hand, *self._drain(self._inbox.qsize())])
        n_lost = self._store.close()
        if n_lost:
            log.critical("%d records are lost: neither the database nor the disk took them", n_lost)
        return self.pending() == 0

    def _is_stuck(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > self._pace.stuck_s

    def _put(self, record: Record) -> None:
        if self._is_stuck() is not self._was_stuck:
            self._was_stuck = not self._was_stuck
            if self._was_stuck:
                log.error("storage has not answered for %g s: records are kept until it does", self._pace.stuck_s)
            else:
                log.warning("storage answers again")
        self._n_in += 1
        self._inbox.put((self._n_in, record))
        if self._inbox.qsize() > self._pace.max_waiting:
            self._crowded.set()

    def _put_promise(self, record: CallbackEntry | Message) -> None:
        try:
            self._journal.append([row_of(record, self._n_in + 1, self._to_utc)])
        except OSError as error:
            log.error("journal of records: %s; the promise is in memory until the database has it", error)
            self._put(record)
        else:
            self._n_in += 1
            self._inbox.put(None)

    # ---- the threads

    def _run(self) -> None:
        retry_s, retry_at = self._pace.retry_s, 0.0
        while True:
            self._in_hand = self._gather(until=retry_at if self._store.is_behind else None)
            self._busy_since = time.monotonic()
            self._store.take(self._in_hand)
            self._in_hand = []
            if self._store.is_behind and time.monotonic() >= min(retry_at, self._give_up_at):
                retry_s = self._pace.retry_s if self._store.catch_up() else min(retry_s * 2, self._pace.retry_most_s)
                retry_at = time.monotonic() + (0 if self._store.is_healthy else retry_s)
            self._busy_since = None
            is_done = not self._store.is_behind or time.monotonic() >= self._give_up_at
            if self._closing.is_set() and self._inbox.empty() and is_done:
                return

    def _gather(self, until: float | None) -> list[Row]:
        """Wait for a record, or until then; a little longer for its company; take them all."""
        closing = self._closing.is_set()
        wait_s = None if until is None else max(0.0, until - time.monotonic())
        if closing:
            wait_s = min(wait_s or 0.0, max(0.0, self._give_up_at - time.monotonic()))
        try:
            first = self._inbox.get(timeout=wait_s) if wait_s is None or wait_s > 0 else self._inbox.get_nowait()
        except Empty:
            return []
        self._closing.wait(max(self._pace.batch_s, self._gathered_at + self._pace.every_s - time.monotonic()))
        self._gathered_at = time.monotonic()
        return [*self._rows(first), *self._drain(ROWS_A_ROUND)]

    def _drain(self, most: int) -> list[Row]:
        rows: list[Row] = []
        while len(rows) < most:
            try:
                rows.extend(self._rows(self._inbox.get_nowait()))
            except Empty:
                break
        return rows

    def _rows(self, item: tuple[int, Record] | None) -> list[Row]:
        if item is None:  # a look at the journal, or the end
            return []
        try:
            return [row_of(item[1], item[0], self._to_utc)]
        except Exception:  # a record that is no row must not end the thread that writes all others
            log.exception("not a record: %r", item[1])
            self._n_unfit += 1
            return []

    def _spill_when_crowded(self) -> None:
        while True:
            self._crowded.wait()
            if self._closing.is_set():
                return
            self._crowded.clear()
            rows = self._drain(self._inbox.qsize())
            while rows:
                try:
                    self._journal.append(rows)
                    rows = []
                except OSError as error:
                    log.error("journal of records: %s; %d rows are held in memory", error, len(rows))
                    if self._closing.wait(1.0):
                        log.critical("%d records are lost: neither the database nor the disk took them", len(rows))
                        return
