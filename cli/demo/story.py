"""What happens in the demo: who calls when, how each agent's phone behaves, and what must become of every call.

What a call should end as is not written here: it is read from the plan by the interpreter that runs live calls,
together with what the caller does. Counterparts: phones.py makes the calls, __init__.py shows the outcome.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import soundfile
import soxr
from rich.console import Console, RenderableType
from rich.live import Live

from cli.demo.phones import Baresip, Sipp
from cli.demo.scenarios import CALLER_LEAVES, CALLER_STAYS, CALLER_UNKNOWN, PHONE_REJECTS
from cli.top import board
from engine.callflow.errors import PlanError
from engine.callflow.plan import Caller, PlanBook, Situation
from engine.callflow.steps import HangUp, Queue
from engine.config import Configuration
from engine.control import ControlError, ask
from engine.records.search import Archive, Found, Wanted

TALK_S = 5.0
LATEST_S = 60.0  # a demo that takes longer has gone wrong
RECORDS_S = 1.5  # a recording closes a little after its call, and rows are gathered for a fifth of a second
CALLERS_PORT = 5100
FRAME_S, FRAME_IN_A_PIPE_S = 0.5, 5.0


class StoryError(Exception):
    """The demo cannot be played with this configuration."""


@dataclass(frozen=True, slots=True)
class Part:
    """One caller."""

    at_s: float
    ani: str
    dnis: str
    does: str
    leaves_after_s: float | None = None  # hangs up so long after the first sound of the switch
    meets: str | None = None  # how one of the offers made for this call must have ended


SALES, SUPPORT, NOBODY = "4008001001", "4008001002", "4008009999"

PARTS = (
    Part(0.0, "13600000001", SALES, "waits for an agent"),
    Part(0.5, "13600000002", SALES, "waits; a phone is not answered", meets="no_answer"),
    Part(1.0, "13600000003", SALES, "waits in the queue"),
    Part(1.5, "13600000004", SALES, "hangs up while waiting", leaves_after_s=11.0),
    Part(2.0, "13600000005", SALES, "waits in the queue"),
    Part(2.5, "13900000001", SALES, "waits; is a VIP"),
    Part(3.0, "02061230001", SUPPORT, "waits for an agent"),
    Part(3.5, "02061230002", SUPPORT, "waits; a phone rejects", meets="rejected"),
    Part(4.0, "13800000000", SALES, "is on the blacklist"),
    Part(4.5, "13600000006", NOBODY, "dials an unknown number"),
)


@dataclass(slots=True)
class Outcome:
    """A part beside its CDR."""

    ani: str
    dnis: str
    does: str
    should_be: str
    was: str = "no record"
    call: str = ""
    ended_by: str = ""
    waited: str = ""
    talked: str = ""
    offers: list[str] = field(default_factory=list)
    recording: str = ""
    recorded: str = ""
    is_as_planned: bool = False


class Story:
    def __init__(self, loaded: Configuration, socket: Path, folder: Path) -> None:
        self._settings, self._staff, self._book = loaded.settings, loaded.staff, loaded.book
        self._socket, self._folder = socket, folder.resolve()
        self._switch = f"{self._settings.sip.address}:{self._settings.sip.udp_port}"
        for agent in ("1001", "1002", "1003", "1004"):
            if agent not in self._staff.agents:
                raise StoryError(f"the demo needs agent {agent} in staff.yaml, as the shipped configuration has it")

    def play(self, screen: Console) -> list[Outcome]:
        began_at = datetime.now(ZoneInfo("UTC"))
        with ExitStack() as phones, self._shown(screen):
            self._seat_agents(phones)
            callers = self._call(phones)
            until = time.monotonic() + LATEST_S
            while not all(caller.is_done() for caller in callers) or ask(self._socket, "status")["n_calls"]:
                if time.monotonic() > until:
                    break
                time.sleep(0.1)
        return self._outcomes(began_at)

    # ---- the agents

    def _seat_agents(self, phones: ExitStack) -> None:
        """1001 and 1003 answer at once, 1002 lets the first call ring, 1004 rejects; who talks hangs up after a
        while."""
        for agent in ("1001", "1002", "1003"):
            language = "en" if agent == "1003" else "zh"
            phones.enter_context(
                Baresip(
                    self._folder,
                    agent,
                    self._port(agent),
                    says=Path(self._settings.prompts) / language / "welcome.wav",
                    answers=agent != "1002",
                    on_event=self._behave,
                )
            )
        phones.enter_context(Sipp(self._folder, "1004", PHONE_REJECTS, self._port("1004")))

    def _port(self, agent: str) -> int:
        return int(self._staff.agents[agent].phone.rpartition(":")[2].partition(";")[0])

    def _behave(self, phone: Baresip, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "CALL_INCOMING" if phone.user == "1002" and phone.count("CALL_INCOMING") > 1:
                self._later(0.5, phone.accept)
            case "CALL_ESTABLISHED":
                self._later(TALK_S, phone.hang_up)
            case "CALL_CLOSED" if phone.user == "1002" and phone.count("CALL_CLOSED") == 1:
                self._later(3.0, lambda: ask(self._socket, "agent_ready", id="1002"))

    def _later(self, seconds: float, what: Any) -> None:
        timer = threading.Timer(seconds, what)
        timer.daemon = True
        timer.start()

    # ---- the callers

    def _call(self, phones: ExitStack) -> list[Sipp]:
        speech = self._folder / "speech.al"
        _write_speech(Path(self._settings.prompts) / "zh" / "please_wait.wav", speech)
        began, callers = time.monotonic(), []
        for number, part in enumerate(PARTS):
            time.sleep(max(0.0, began + part.at_s - time.monotonic()))
            scenario = CALLER_STAYS if part.leaves_after_s is None else CALLER_LEAVES
            if _planned(self._book, part, self._now()) == "unknown_number":
                scenario = CALLER_UNKNOWN
            stay_ms = f"{1000 * (part.leaves_after_s or 0):.0f}"
            callers.append(
                phones.enter_context(
                    Sipp(
                        self._folder,
                        part.ani,
                        scenario.replace("SPEECH", str(speech)).replace("STAY_MS", stay_ms),
                        CALLERS_PORT + 2 * number,
                        to=self._switch,
                        calls=1,
                        options=(
                            "-s",
                            part.dnis,
                            "-mp",
                            str(CALLERS_PORT + 1000 + 10 * number),
                            "-key",
                            "ani",
                            part.ani,
                        ),
                    )
                )
            )
        return callers

    # ---- the board

    @contextmanager
    def _shown(self, screen: Console) -> Iterator[None]:
        """The floor, live, until the story is over."""
        over = threading.Event()

        def refresh(show: Callable[[RenderableType], None], every_s: float) -> None:
            while not over.wait(every_s):
                try:
                    show(board(ask(self._socket, "floor"), screen.width))
                except ControlError:
                    return

        with ExitStack() as stack:
            if screen.is_terminal and not screen.is_dumb_terminal:
                live = stack.enter_context(Live(console=screen, auto_refresh=False, transient=True))
                arguments = (lambda frame: live.update(frame, refresh=True), FRAME_S)
            else:
                arguments = (screen.print, FRAME_IN_A_PIPE_S)
            thread = threading.Thread(target=refresh, args=arguments, daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()

    # ---- the outcome

    def _now(self) -> datetime:
        return datetime.now(ZoneInfo(self._book.timezone))

    def _outcomes(self, since: datetime) -> list[Outcome]:
        time.sleep(RECORDS_S)
        archive = Archive(self._settings.storage)
        outcomes = []
        for part in PARTS:
            outcome = Outcome(part.ani, part.dnis, part.does, _planned(self._book, part, self._now()))
            found = archive.calls(Wanted(since=since, ani=part.ani)).rows
            if len(found) == 1 and (call := archive.call(found[0]["call"])):
                _fill(outcome, part, call)
            outcomes.append(outcome)
        return outcomes


def _fill(outcome: Outcome, part: Part, call: Found) -> None:
    outcome.call, outcome.was = call["call"], call["disposition"] or "open"
    outcome.ended_by = call["ended_by"] or ""
    outcome.waited, outcome.talked = _seconds(call["wait_s"]), _seconds(call["talk_s"])
    outcome.offers = [f"{one['agent']} {one['outcome']}" for one in call["segments"] if one["kind"] == "offer"]
    if call["recordings"]:
        recording = call["recordings"][0]
        outcome.recording, outcome.recorded = recording["path"], _seconds(recording["seconds"])
    has_met = part.meets is None or any(offer.endswith(part.meets) for offer in outcome.offers)
    is_recorded = bool(call["recordings"]) == (call["answered_at"] is not None)
    outcome.is_as_planned = outcome.was == outcome.should_be and has_met and is_recorded


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _planned(book: PlanBook, part: Part, at: datetime) -> str:
    """What the plan and the caller's own doing make of the call."""
    caller = Caller(part.ani, part.dnis, "demo")
    try:
        stop = book.enter(book.plan_for(part.dnis), Situation(caller, at))
    except PlanError as error:
        return error.disposition
    while not isinstance(stop.step, Queue | HangUp):
        stop = book.after(stop.index, "done", Situation(caller, at))
    if isinstance(stop.step, HangUp):
        return "ended_by_plan"
    return "answered" if part.leaves_after_s is None else "abandoned"


def _write_speech(source: Path, target: Path) -> None:
    """A-law bytes as SIPp streams them."""
    samples, rate = soundfile.read(source, dtype="float32")
    samples = soxr.resample(samples, rate, 8000)
    soundfile.write(target, np.tile(samples, 4), 8000, format="RAW", subtype="ALAW")
