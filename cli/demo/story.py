"""What happens in the demo: who calls when, what each does, how the agents' phones behave, and what must become of each
call.

What a call should end as is not written here: it is read from the plan, as `agner explain` reads it, together with what
the caller does. Counterparts: hurry.py makes the configuration, phones.py the calls; __init__.py shows the outcome.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console, RenderableType
from rich.live import Live

from cli.demo.hurry import Hurried
from cli.demo.phones import Baresip, Sipp
from cli.demo.scenarios import PHONE_REJECTS
from cli.top import board
from cli.walk import Call, Walk
from engine.callflow.blacklist import Blacklist
from engine.callflow.errors import PlanError
from engine.callflow.plan import Caller
from engine.callflow.record import BlacklistEntry
from engine.callflow.steps import Queue, Voicemail
from engine.config import Configuration
from engine.control import ControlError, ask
from engine.records.blacklist import BlacklistTable
from engine.records.customers import Customers
from engine.records.database import Database
from engine.records.lookup import LookUp
from engine.records.search import Archive, Found, Wanted

TALK_S, PICK_UP_S = 3.0, 4.0  # the second: whisper and greeting
LATEST_S = 60.0  # a demo that takes longer has gone wrong
RECORDS_S = 1.5  # a recording closes a little after its call, and rows are gathered for a fifth of a second
CALLERS_PORT, CUSTOMER_PORT = 5110, 5090
FRAME_S, FRAME_IN_A_PIPE_S = 0.5, 5.0
HANG_UP = "hang up"


class StoryError(Exception):
    """The demo cannot be played with this configuration."""


@dataclass(frozen=True, slots=True)
class Part:
    """One caller. `keys` are pressed, or HANG_UP done, so long after the call is up; `results` are what that makes of
    the plan's steps that may end in several ways, as `agner explain --on` takes them."""

    at_s: float
    ani: str
    dnis: str
    does: str
    keys: tuple[tuple[float, str], ...] = ()
    results: tuple[str, ...] = ()
    is_patient: bool = True  # does not hang up while waiting
    meets: str | None = None  # how one of the offers made for this call must have ended


GENERAL, SLIMMING, KITCHENWARE, NOBODY = "4008002000", "4008002001", "4008002003", "4008009999"
VIP, RETURNING, LISTED = "13900000001", "13700000002", "13800000000"
CALLED_BACK, UNREACHED = "13600000002", "13600000004"
HOLIDAY_AT_S = 11.0

PARTS = (
    Part(0.0, VIP, SLIMMING, "is a VIP", ((24.0, HANG_UP),)),
    Part(0.5, RETURNING, SLIMMING, "ordered from agent 1002", ((15.0, HANG_UP),)),
    Part(1.0, "13600000001", SLIMMING, "answers the survey", ((15.0, "1"),), ("served", "1")),
    Part(1.5, CALLED_BACK, SLIMMING, "asks for a callback", ((7.0, "1"), (9.5, "1")), ("1", "1")),
    Part(2.0, "13600000003", SLIMMING, "gives up soon", ((7.0, HANG_UP),), is_patient=False),
    Part(2.5, LISTED, SLIMMING, "is on the blacklist"),
    Part(3.0, UNREACHED, KITCHENWARE, "waits until the time is up", (), ("timeout",), meets="rejected"),
    Part(3.5, "13600000005", GENERAL, "will not be recorded", ((6.0, "9"), (19.0, HANG_UP)), ("refused",)),
    Part(4.0, "13600000006", NOBODY, "dials an unknown number"),
    Part(12.0, "13600000007", GENERAL, "leaves a message on a holiday", ((3.0, "1"), (22.0, HANG_UP)), ("1",)),
)
BACK = (
    Part(0.0, f"+86{CALLED_BACK}", SLIMMING, "is called back"),
    Part(0.0, f"+86{UNREACHED}", KITCHENWARE, "is called back, but away"),
)
SHOULD_BE_BACK = ("answered", "customer_failed")


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


def prepare(storage: str) -> None:
    """Whom the plan is to know."""
    now = datetime.now(UTC)
    database = Database(storage)
    try:
        vip = {"number": f"+86{VIP}", "name": "王芳", "level": "vip"}
        returning = {"number": f"+86{RETURNING}", "name": "张伟", "last_order_agent": "1002"}
        for customer in (vip, returning):
            Customers(database).put([customer], now)
        BlacklistTable(database).put([BlacklistEntry(f"+86{LISTED}", "abuse", "demo", now)])
    finally:
        database.close()


class Story:
    def __init__(self, loaded: Configuration, hurried: Hurried, socket: Path, folder: Path) -> None:
        self._settings, self._staff, self._book = loaded.settings, loaded.staff, loaded.book
        self._hurried, self._socket, self._folder = hurried, socket, folder.resolve()
        self._switch = f"{self._settings.sip.address}:{self._settings.sip.udp_port}"
        for agent in ("1001", "1002", "1003", "1004", "1005"):
            if agent not in self._staff.agents:
                raise StoryError(f"the demo needs agent {agent} in staff.yaml, as the shipped configuration has it")

    def play(self, screen: Console) -> list[Outcome]:
        began_at = datetime.now(UTC)
        with ExitStack() as phones, self._shown(screen):
            self._seat_agents(phones)
            should_be = [self._planned(part) for part in PARTS[:-1]]
            callers = self._call(phones, PARTS[:-1], time.monotonic())
            self._begin_holiday()
            should_be.append(self._planned(PARTS[-1]))
            callers += self._call(phones, PARTS[-1:], time.monotonic() - PARTS[-1].at_s)
            until = time.monotonic() + LATEST_S
            while not self._is_over(callers) and time.monotonic() < until:
                time.sleep(0.1)
        return self._outcomes(began_at, [*should_be, *SHOULD_BE_BACK])

    def _is_over(self, callers: list[Baresip]) -> bool:
        if not all(caller.count("CALL_CLOSED") for caller in callers) or ask(self._socket, "status")["n_calls"]:
            return False
        return all(row["n_attempts"] for row in ask(self._socket, "callbacks"))

    # ---- the agents and the customer who is called back

    def _seat_agents(self, phones: ExitStack) -> None:
        """1003 rejects; 1001 hangs up first, after a while, as does everybody in a callback."""
        for agent in ("1001", "1002", "1004", "1005"):
            says = Path(self._settings.prompts) / "zh" / "comfort_thanks.wav"
            phones.enter_context(
                Baresip(self._folder, agent, self._port(agent), says=says, on_event=self._behave)
            )
        phones.enter_context(Sipp(self._folder, "1003", PHONE_REJECTS, self._port("1003")))
        customer = f"+86{CALLED_BACK}"
        phones.enter_context(Baresip(self._folder, customer, CUSTOMER_PORT, says=600, on_event=self._behave))
        ask(self._socket, "agent_login", id="1005")
        ask(self._socket, "agent_ready", id="1005")

    def _port(self, agent: str) -> int:
        return int(self._staff.agents[agent].phone.rpartition(":")[2].partition(";")[0])

    def _behave(self, phone: Baresip, event: dict[str, Any]) -> None:
        if event.get("type") == "CALL_ESTABLISHED" and phone.user in ("1001", f"+86{CALLED_BACK}"):
            self._later(PICK_UP_S + TALK_S, phone)

    def _later(self, seconds: float, phone: Baresip, key: str = HANG_UP) -> None:
        timer = threading.Timer(seconds, phone.hang_up if key == HANG_UP else lambda: phone.press(key))
        timer.daemon = True
        timer.start()

    # ---- the callers

    def _call(self, phones: ExitStack, parts: tuple[Part, ...], began: float) -> list[Baresip]:
        callers = []
        says = Path(self._settings.prompts) / "zh" / "please_wait.wav"
        for part in parts:
            time.sleep(max(0.0, began + part.at_s - time.monotonic()))
            port = CALLERS_PORT + 4 * PARTS.index(part)
            caller = Baresip(self._folder, part.ani, port, says=says, on_event=self._act(part))
            callers.append(phones.enter_context(caller))
            caller.dial(f"sip:{part.dnis}@{self._switch}")
        time.sleep(max(0.0, began + HOLIDAY_AT_S - time.monotonic()))
        return callers

    def _act(self, part: Part) -> Callable[[Baresip, dict[str, Any]], None]:
        def act(phone: Baresip, event: dict[str, Any]) -> None:
            if event.get("type") == "CALL_ESTABLISHED":
                for after_s, key in part.keys:
                    self._later(after_s, phone, key)

        return act

    def _begin_holiday(self) -> None:
        """Calls that are up walk on in the plan they began with."""
        now = self._now()
        self._hurried.close(f"{now:%Y-%m-%d}..{now + timedelta(days=1):%Y-%m-%d}")
        ask(self._socket, "reload")
        self._book = self._hurried.load().book

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

    def _planned(self, part: Part) -> str:
        """What the plan and the caller's own doing make of the call."""
        caller = Caller(part.ani, part.dnis, self._settings.trunks[0].name)
        try:
            plan = self._book.plan_for(part.dnis)
        except PlanError as error:
            return error.disposition
        database = LookUp(self._settings.storage)
        try:
            listed = Blacklist(database.blacklist())
            now = datetime.now(UTC)
            call = Call(
                caller, self._now(), {}, lambda _, number: listed.find(number, now) is not None, database.customer
            )
            lines = Walk(self._book, self._staff, self._settings, call).explain(plan, list(part.results))
        finally:
            database.close()
        steps = {(str(step.place), step.describe()): step for step in self._book.steps}
        met = [(steps[line.place, line.says], line.result) for line in lines]
        if isinstance(met[-1][0], Voicemail):
            return "left_message"
        waits = [result for step, result in met if isinstance(step, Queue)]
        if not waits:
            return "ended_by_plan"
        if waits[-1] in (None, "served"):
            return "answered" if part.is_patient else "abandoned"
        return "timed_out" if waits[-1] == "timeout" else "left_queue"

    def _outcomes(self, since: datetime, should_be: list[str]) -> list[Outcome]:
        time.sleep(RECORDS_S)
        archive = Archive(self._settings.storage)
        outcomes = []
        for part, wanted in zip((*PARTS, *BACK), should_be, strict=True):
            outcome = Outcome(part.ani, part.dnis, part.does, wanted)
            found = [row for row in archive.calls(Wanted(since=since, ani=part.ani)).rows if row["ani"] == part.ani]
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
    is_recorded = bool(call["recordings"]) == (call["answered_at"] is not None and "refused" not in part.results)
    outcome.is_as_planned = outcome.was == outcome.should_be and has_met and is_recorded


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
