"""The daemon: builds the rooms, runs the one loop, owns the clock and the signals, and takes everything down again in
order.

One round of the loop: wait in PJSIP for the network (20 ms at most), let the switch carry out what happened, answer
the control socket. All Python of the call path runs in this thread.
"""

import gc
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar, cast

from engine import board, config
from engine.acd import Acd, Followed, rows
from engine.callflow.blacklist import Blacklist
from engine.callflow.errors import CallError
from engine.callflow.record import CallbackEntry
from engine.callflow.settings import Settings
from engine.callflow.staff import Staff, srtp_of_phones, who_registers
from engine.config.settings import read_settings
from engine.config.yaml_nodes import Report
from engine.control import ControlError, ControlServer
from engine.errands import Errands
from engine.load import Load
from engine.media import sounds
from engine.media.media import Media
from engine.records import passwords
from engine.records.bindings import Bindings
from engine.records.promises import Promises
from engine.records.questions import Questions
from engine.records.store import StorageError
from engine.records.writer import Records
from engine.reload import Reload
from engine.sip.endpoint import Endpoint
from engine.sip.phones import Phones
from engine.switch import Rooms, Setup, Switch, boxes, recording_path
from engine.trace import Trace

log = logging.getLogger("agner")

Room = TypeVar("Room")

WAIT_S = 0.020  # how long one round may wait for the network, and so what other threads have to tell: a frame of audio
GIL_SWITCH_S = 0.0005  # the records and trace threads give the engine its turn after this
LAST_WORDS_S = 5.0  # after a stop: for BYEs to be answered
STORED_WITHIN_S = 5.0  # what the last run left, before it is read
READ_AGAIN_S = 5.0  # a database that was away at the start


class StartError(Exception):
    """The daemon cannot start. One line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Clock:
    """Monotonic seconds for everything that is decided, UTC for everything that is written."""

    def __init__(self) -> None:
        self._utc = datetime.now(UTC) - timedelta(seconds=time.monotonic())

    def now(self) -> float:
        return time.monotonic()

    def to_utc(self, now: float) -> datetime:
        return self._utc + timedelta(seconds=now)


class Daemon:
    """All rooms, built, and the loop that runs them."""

    def __init__(self, folder: Path) -> None:
        """Raises StartError with everything that stands in the way, all at once."""
        self.clock = Clock()
        self.started_at = self.clock.now()
        try:
            loaded = config.load(folder)
        except config.Complaints as complaints:
            told = [str(complaint) for complaint in complaints.found]
            raise StartError(told + self._besides(folder)) from None
        self.running = loaded  # a reload puts another one in its place
        settings = loaded.settings
        state = Path(settings.folder)
        with _Attempts() as attempts:
            attempts.problems += _check_folders(settings)
            recorded = attempts.make(lambda: sounds.load(loaded.sounds, settings.clock_rate))
            self.control = attempts.make(lambda: ControlServer(state / "agner.sock"))
            if self.control:  # else the open calls in the records are those of another daemon, not of a crash
                self.records = attempts.make(
                    lambda: Records(settings.storage, self.clock.to_utc, state, find_recording=self._find_recording)
                )
            self.phones = attempts.make(lambda: self._phones(loaded, state))
            self.sip = attempts.make(lambda: self._endpoint(settings, self.phones, loaded.staff))
            if not attempts.problems:
                self.media = attempts.make(lambda: self._media(settings, recorded))
        self.trace = Trace(state / "trace", settings.trace_days)
        self.acd = Acd(
            loaded.staff,
            loaded.book,
            2 * settings.limits.max_calls,
            self.started_at,
            self._tell_trace,
            begins_file=lambda now: self.trace.begins_file(self.clock.to_utc(now)),
        )
        self.promises = self._recover(state / "waiting.jsonl")
        self.errands = Errands(settings.look_ups, Questions(settings.storage))
        rooms = Rooms(
            self.acd,
            self.sip,
            self.media,
            self.records,
            self.promises,
            self.errands,
            self.trace,
            lambda queue: rows.n_logged_in(self.acd.core, self.acd.floor, queue),
            self.clock.to_utc,
        )
        self.switch = Switch(Setup(settings, loaded.staff, loaded.book), rooms)
        self.reload = Reload(self, folder)
        self._read_at = self.clock.now()
        self.board = board.Board(self)
        self.load = Load(settings.limits.max_load)
        self._drain_until: float | None = None
        self._stop_now = False

    def _besides(self, folder: Path) -> list[str]:
        """What stands in the way besides mistakes in the configuration, as far as switch.yaml is without any."""
        report = Report()
        settings = read_settings(folder / "switch.yaml", report)
        if report.found:
            return []
        problems = _check_folders(settings)
        try:
            self._endpoint(settings).close()
        except CallError as error:
            problems += str(error).splitlines()
        return problems

    def _phones(self, loaded: config.Configuration, state: Path) -> Phones:
        how = loaded.settings.registrar
        known, kept = passwords.load(state, how.realm), Bindings(state / "phones.jsonl")
        return Phones(how, who_registers(loaded.staff), known, kept, self.clock.now, self.clock.to_utc)

    def _endpoint(self, settings: Settings, phones: Phones | None = None, staff: Staff | None = None) -> Endpoint:
        return Endpoint(
            settings.sip,
            settings.trunks,
            settings.limits,
            settings.clock_rate,
            lambda call, news: self.switch.post(call, news),
            lambda: self.switch.new_call(),
            self.clock.now,
            phones,
            srtp_of_phones(staff) if staff else None,
        )

    def _media(self, settings: Settings, recorded: sounds.Sounds) -> Media:
        return Media(
            recorded, settings.recording.rate, settings.sip.rtp_timeout_s, settings.sip.rtp_timeout_on_hold_s
        )

    def _tell_trace(self, now: float, verb: str, arguments: dict[str, Any], followed: Followed) -> None:
        self.trace.write_acd(now, self.clock.to_utc(now), verb, arguments, followed)

    def _find_recording(self, call: str) -> str | None:
        """What stands on disk of a call that a crash cut off."""
        recording = self.running.settings.recording
        path = recording_path(call, recording.format)
        return path if (Path(recording.folder) / path).is_file() else None

    def _recover(self, path: Path) -> Promises:
        """Whoever waited when the last run was killed is owed a callback."""
        promises = Promises(path, self.records.write_callback)
        if not self.records.wait_until_stored(STORED_WITHIN_S):
            log.warning("the database does not take what the last run left; it is read when it does")
        return promises

    def _read_database(self) -> None:
        """What routing needs of it, at the start, or as soon as it answers."""
        self._read_at = float("inf")
        if not self.records.is_healthy():
            self._read_at = self.clock.now() + READ_AGAIN_S
            return
        self.errands.ask(lambda database: (database.blacklist(), database.active_callbacks()), self._take_database)
        boxes.recount(self.switch)

    def _take_database(self, read: tuple[list[Any], list[CallbackEntry]] | Exception) -> None:
        if isinstance(read, Exception):
            log.error("database: %s; no callback is made and nobody is refused until it answers", read)
            self._read_at = self.clock.now() + READ_AGAIN_S
            return
        entries, owed = read
        self.switch.blacklist = Blacklist(entries)
        self.switch.calling_back.load(self.switch, owed)

    # ---- the loop

    def run(self) -> None:
        """Until SIGTERM or SIGINT and the drain after it. A second signal cuts the drain short."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, lambda *_: self.reload.ask())
        sys.setswitchinterval(GIL_SWITCH_S)
        self.acd.begin_day(self.clock.now())
        gc.collect()
        gc.freeze()
        while not self._is_over():
            self._round()
        self._take_down()

    def _round(self) -> None:
        wait_s = min(WAIT_S, max(0.0, self.switch.deadline() - self.clock.now()))
        is_idle = self.sip.poll(wait_s)
        began = self.clock.now()
        self._take_phones(began)
        self.switch.round(began)
        self.control.serve(self.board.answer)
        self.reload.serve()
        if began >= self._read_at:
            self._read_database()
        self._note_load(began, self.clock.now(), is_idle)

    def read_passwords(self) -> int:
        """Of phones: somebody changed them. How many there are; raises ControlError."""
        settings = self.running.settings
        try:
            known = passwords.load(Path(settings.folder), settings.registrar.realm)
        except passwords.Unreadable as error:
            raise ControlError(str(error)) from None
        self.phones.set_credentials(known)
        return len(known)

    def _take_phones(self, now: float) -> None:
        """An agent whose last phone is gone gets no calls until one is back."""
        for agent, is_there in self.phones.take_changes():
            if agent in self.running.staff.agents:
                (self.acd.phone_back if is_there else self.acd.phone_gone)(agent, now)

    def _note_load(self, began: float, ended: float, is_idle: bool) -> None:
        self.load.note_round(began, ended - began)
        was = self.load.calls_per_s
        if not self.load.look(ended, time.thread_time(), self.switch.n_calls_total, is_idle):
            return
        taken_per_s = self.load.calls_per_s
        self.sip.gatekeeper.limit_calls(taken_per_s, self.running.settings.limits.retry_after_s)
        if was is None or taken_per_s is None:
            then = "all calls are taken again" if taken_per_s is None else "new calls that it does not bear get 503"
            log.warning("the engine's load is %.0f %% of a core: %s", 100 * self.load.load, then)

    # ---- the end

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_now = self.switch.is_draining
        self.switch.is_draining = True

    def _is_over(self) -> bool:
        if not self.switch.is_draining:
            return False
        now = self.clock.now()
        if self._drain_until is None:
            drain_s = self.running.settings.limits.drain_s
            self._drain_until = now + drain_s
            log.info("stopping: no new calls; %d have up to %g s", len(self.switch.calls), drain_s)
        return not self.switch.calls or self._stop_now or now >= self._drain_until

    def _take_down(self) -> None:
        """End what is left, then close the rooms: each after those that still have something to tell it."""
        for call in list(self.switch.calls):
            self.switch.hang_up(call, "shutdown", self.clock.now())
        until = self.clock.now() + LAST_WORDS_S
        while self.switch.calls and self.clock.now() < until:
            self._round()
        self.media.close()
        self.switch.round(self.clock.now())
        self.acd.stop(self.clock.now())
        self.acd.close_spans(self.clock.now())
        self.switch.round(self.clock.now())
        self.errands.close()
        self.control.close()
        self.sip.close()
        self.trace.close()
        self.promises.close()
        if not self.records.close():
            log.error("the database took not every record; the rest is written at the next start")


class _Attempts:
    """Makes rooms one after the other; at the end, everything that failed is one StartError, and what stands is
    closed."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._made: list[Any] = []

    def __enter__(self) -> "_Attempts":
        return self

    def make(self, room: Callable[[], Room]) -> Room:
        """With a failure before, later rooms are still tried, so that their complaints come in the same run."""
        try:
            made = room()
        except (CallError, ControlError, StorageError) as error:
            self.problems += str(error).splitlines()
            return cast(Room, None)
        self._made.append(made)
        return made

    def __exit__(self, *raised: object) -> None:
        if self.problems:
            for room in reversed(self._made):
                if hasattr(room, "close"):
                    room.close()
            raise StartError(self.problems)


def _check_folders(settings: Settings) -> list[str]:
    problems = []
    for name in (settings.folder, settings.recording.folder):
        try:
            Path(name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=name):
                pass
        except OSError as error:
            problems.append(f"{name}: not a folder that can be written ({error.strerror})")
    return problems
