"""A call that is not over, as the conductor knows it; the configuration and the rooms that it was given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from engine import doors
from engine.callflow import events as ev
from engine.callflow import plan
from engine.callflow.call import Call
from engine.callflow.events import Event
from engine.callflow.settings import Settings, Trunk
from engine.callflow.staff import Queue, Staff
from engine.trace import Trace

CALLER = 0  # the caller's leg among a call's legs; called legs are listed by their offer

News = Event | ev.LegMedia | ev.LegEnded | ev.LegCleared | ev.LegRefers | ev.OfferGivenUp


@dataclass(frozen=True, slots=True)
class Setup:
    """What is configured. A reload puts another one in its place; a call keeps the book it began with."""

    settings: Settings
    staff: Staff
    book: plan.PlanBook

    def queue(self, name: str | None) -> Queue | None:
        return self.staff.queues.get(name or "")

    def trunk(self, name: str) -> Trunk | None:
        return next((trunk for trunk in self.settings.trunks if trunk.name == name), None)


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the conductor is given. `n_agents`: logged in to a queue; `to_utc` turns engine time into UTC."""

    acd: doors.Acd
    sip: doors.Sip
    media: doors.Media
    records: doors.Records
    promises: doors.Promises
    errands: doors.Errands
    trace: Trace
    n_agents: Callable[[str], int]
    to_utc: Callable[[float], datetime]


@dataclass(frozen=True, slots=True)
class Sent:
    """Where an agent's phone has sent the caller: a plan, by this number."""

    plan: str
    number: str
    step: int | None = None  # which the plan stands at; None: at its beginning


@dataclass(slots=True)
class Live:
    """A call that is not over: its machine, its place in the plan, its legs, what it has learnt."""

    machine: Call
    caller: plan.Caller
    book: plan.PlanBook
    step: int | None = None  # number of the plan's step that stands
    sent: Sent | None = None  # by an agent, who may have the caller back
    entry: Sent | None = None  # the same, once the agent is gone, or a 302 that is followed: the plan goes on there
    n_redirects: int = 0  # followed
    values: dict[str, str] = field(default_factory=dict)
    legs: dict[int, int] = field(default_factory=dict)  # offer, or CALLER -> leg
    timer_set: float | None = None  # the machine's deadline that stands in the heap
    place_at: float | None = None  # when it came into its first queue
    waited_s: float = 0.0  # in the last queue
    greeted: Event | None = None  # to be told when nothing of `greeting` plays any more
    greeting: set[int] = field(default_factory=set)  # legs
    said_at: float = float("-inf")  # when the last prompt that was heard to its end had been sent
    hits: set[str] = field(default_factory=set)  # entries of the blacklist that are counted
    n_messages: int = 0
    box: str = ""  # open by phone: who listens
    is_on_line: bool = False  # counted among those who are not called back meanwhile
    is_end_told: bool = False  # LegsGone

    @property
    def dice(self) -> float:
        return plan.dice_of(self.machine.id)

    @property
    def is_callback(self) -> bool:
        return self.machine.callback is not None


def recording_path(call: str, form: str) -> str:
    """Below the recordings folder: by day, and the file names the call."""
    return f"{call[:4]}/{call[4:6]}/{call[6:8]}/{call}.{form}"
