"""A changed configuration while calls are up: read beside the engine, taken by it between two rounds, all or nothing.

A thread of its own reads and checks the files and makes the sounds, however long that takes. The engine then swaps in
one step what the rooms have of the configuration. New calls use it; calls that wait walk on in the plans they began
with, while queues, agents and what their steps ask for are the new ones (engine/acd: apply). A mistake anywhere leaves
everything as it is. What only a start can change is kept as it was and told.

Counterparts: engine/config, which reads; app, whose loop serves.
"""

import logging
import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from engine import config
from engine.acd import NoRoom
from engine.callflow.errors import CallError
from engine.callflow.settings import Settings
from engine.callflow.staff import srtp_of_phones, who_registers
from engine.config.difference import RESTART, TRUNK_RESTART, Change, difference
from engine.control import ControlError
from engine.encoding import digest
from engine.media import sounds
from engine.switch import Setup

if TYPE_CHECKING:
    from engine.app import Daemon

log = logging.getLogger("agner")


@dataclass(frozen=True, slots=True)
class Read:
    """What the thread brings back."""

    loaded: config.Configuration
    recorded: sounds.Sounds
    changes: list[Change]
    is_dry: bool
    answer: "Future[Any]"


class Reload:
    def __init__(self, daemon: "Daemon", folder: Path) -> None:
        self._daemon, self._folder = daemon, folder
        self._read: SimpleQueue[Read] = SimpleQueue()
        self._is_reading = threading.Lock()
        self._is_asked = False

    def ask(self) -> None:
        """By a signal: begun in the engine's next round, and its outcome is logged."""
        self._is_asked = True

    def begin(self, is_dry: bool = False) -> "Future[Any]":
        """The outcome: {"applied", "changes"}, each a difference.Change, or ControlError with all complaints. `is_dry`:
        only look."""
        answer: Future[Any] = Future()
        if not self._is_reading.acquire(blocking=False):
            raise ControlError("a configuration is being read already")
        thread = threading.Thread(target=self._load, args=(is_dry, answer), name="reload", daemon=True)
        thread.start()
        return answer

    def serve(self) -> None:
        """In each round of the engine; next to nothing when there is nothing."""
        if self._is_asked:
            self._is_asked = False
            try:
                self.begin().add_done_callback(_log_outcome)
            except ControlError as error:
                log.warning("SIGHUP: %s", error)
        if self._read.empty():
            return
        read = self._read.get_nowait()
        try:
            read.answer.set_result(self._apply(read))
        except ControlError as error:
            read.answer.set_exception(error)
        except Exception as error:  # a bug in it must not end the calls that are up
            log.exception("reload")
            read.answer.set_exception(ControlError(f"{type(error).__name__}: {error}"))
        finally:
            self._is_reading.release()

    def _load(self, is_dry: bool, answer: "Future[Any]") -> None:
        running = self._daemon.running
        try:
            loaded = config.load(self._folder)
            recorded = sounds.load(loaded.sounds, running.settings.clock_rate)
            changes = difference(running, loaded)
            digest(loaded.staff, loaded.book)  # and all that is costly about it, so that the engine need not
        except config.Complaints as complaints:
            answer.set_exception(ControlError("\n".join(str(complaint) for complaint in complaints.found)))
        except (CallError, OSError) as error:
            answer.set_exception(ControlError(str(error)))
        except Exception as error:  # whatever is wrong with it, the old one stands
            log.exception("reload")
            answer.set_exception(ControlError(f"{type(error).__name__}: {error}"))
        else:
            self._read.put(Read(loaded, recorded, changes, is_dry, answer))
            return
        self._is_reading.release()

    def _apply(self, read: Read) -> dict[str, Any]:
        daemon, loaded = self._daemon, read.loaded
        settings = merged(daemon.running.settings, loaded.settings)
        outcome = {"applied": not read.is_dry, "changes": [asdict(change) for change in read.changes]}
        if read.is_dry:
            return outcome
        try:
            daemon.acd.apply(loaded.staff, loaded.book, daemon.clock.now())
        except NoRoom as error:
            raise ControlError(f"{error}; a restart makes room") from None
        daemon.media.renew(read.recorded)
        daemon.errands.look_ups = settings.look_ups
        daemon.phones.configure(who_registers(loaded.staff))
        daemon.sip.renew(settings.trunks, srtp_of_phones(loaded.staff))
        daemon.switch.apply(Setup(settings, loaded.staff, loaded.book))
        daemon.running = replace(loaded, settings=settings)
        return outcome


def merged(old: Settings, new: Settings) -> Settings:
    """The new settings, as far as a daemon that runs can take them. Trunks change in limits and ways out; one that was
    removed stays until then: calls may be up on it."""
    changed = {trunk.name: trunk for trunk in new.trunks}
    trunks = tuple(
        replace(changed.get(trunk.name, trunk), **{part: getattr(trunk, part) for part in TRUNK_RESTART})
        for trunk in old.trunks
    )
    kept: dict[str, Any] = {name: getattr(old, name) for name in RESTART}
    limits = replace(new.limits, max_calls=min(new.limits.max_calls, old.limits.max_calls))
    return replace(new, trunks=trunks, limits=limits, **kept)


def _log_outcome(answer: "Future[Any]") -> None:
    if error := answer.exception():
        log.error("SIGHUP: the configuration stays as it is:\n%s", error)
    else:
        outcome = answer.result()
        changes = [Change(**change) for change in outcome["changes"]]
        log.info("SIGHUP: %d changes are taken up%s", len(changes), "".join(f"\n  {change}" for change in changes))
