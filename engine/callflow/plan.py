"""Routing plans: what happens when somebody dials. The types, and the interpreter that walks them.

A plan book is one numbered table of steps. Each step names, for each of its results, the step that comes next: a plan
is a graph, and a walk through it is `(step, result) -> next step`. Conditions are decided on the way; a walk stops at
the first step that somebody has to carry out. Live calls and `agner explain` use the same walk.

Counterpart: config.py, which builds a plan book from YAML and proves that every branch ends. This file knows nothing
of YAML.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar

from engine.callflow.errors import PlanError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands in the configuration, both counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Caller:
    """What is known of a call when it arrives."""

    ani: str  # the caller's number; empty when withheld
    dnis: str  # the number dialled
    trunk: str
    name: str = ""  # display name


# ---- numbers and hours


@dataclass(frozen=True, slots=True)
class NumberList:
    """A named set of numbers: whole ones, and prefixes (written with a final `*`)."""

    name: str
    exact: frozenset[str]
    prefixes: tuple[str, ...] = ()

    def __contains__(self, number: str) -> bool:
        """A withheld number is on no list."""
        return bool(number) and (number in self.exact or number.startswith(self.prefixes))


@dataclass(frozen=True, slots=True)
class Hours:
    """Opening hours: stretches of minutes since midnight by weekday (Monday is 0), and days that differ."""

    name: str
    week: tuple[tuple[tuple[int, int], ...], ...]  # seven days of (from, to), to excluded, 1440 is midnight
    days: Mapping[date, tuple[tuple[int, int], ...]]  # a holiday is a day without stretches; a day beats the week

    def is_open(self, at: datetime) -> bool:
        minute = at.hour * 60 + at.minute
        stretches = self.days.get(at.date(), self.week[at.weekday()])
        return any(begin <= minute < end for begin, end in stretches)


# ---- what a queue step asks for

Need = tuple[str, int]  # skill and its lowest level, 1 to 100
Needs = tuple[tuple[Need, ...], ...]  # any of these, each being all of those; () asks for nothing


def needs_text(needs: Needs) -> str:
    return " or ".join(" and ".join(f"{skill}>={level}" for skill, level in term) for term in needs) or "no skill"


@dataclass(frozen=True, slots=True)
class Relax:
    """From `after_s` of waiting on, other needs or a larger head start hold. None leaves what was."""

    after_s: float
    needs: Needs | None = None
    head_start_s: float | None = None


@dataclass(frozen=True, slots=True)
class Announce:
    """Prompts over the music, `first_s` after entering the queue and then every `every_s`."""

    prompts: tuple[str, ...]
    first_s: float
    every_s: float


# ---- steps


@dataclass(frozen=True, slots=True)
class Step:
    """Base of all steps. `ways` gives, for each result of the step, the number of the next one."""

    results: ClassVar[tuple[str, ...]] = ("done",)

    place: Place
    ways: Mapping[str, int]

    def describe(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Answer(Step):
    def describe(self) -> str:
        return "answer"


@dataclass(frozen=True, slots=True)
class Play(Step):
    prompts: tuple[str, ...]
    language: str

    def describe(self) -> str:
        return f"play {', '.join(self.prompts)} ({self.language})"


@dataclass(frozen=True, slots=True)
class Queue(Step):
    """Wait for an agent. Being served has no way out: the call ends with the talk."""

    results: ClassVar[tuple[str, ...]] = ("timeout", "full", "no_agents")

    queue: str
    needs: Needs = ()
    head_start_s: float = 0.0  # infinite: strict priority
    max_wait_s: float | None = None
    relax: tuple[Relax, ...] = ()
    leave_without_agents: bool = False  # give up when nobody is logged in to the queue
    music: str = ""
    announce: Announce | None = None
    language: str = "zh"

    def describe(self) -> str:
        parts = [f"queue {self.queue}"] + ([needs_text(self.needs)] if self.needs else [])
        if self.head_start_s == float("inf"):
            parts.append("strict priority")
        elif self.head_start_s:
            parts.append(f"head start {self.head_start_s:g} s")
        for relax in self.relax:
            change = [] if relax.needs is None else [needs_text(relax.needs)]
            change += [] if relax.head_start_s is None else [f"head start {relax.head_start_s:g} s"]
            parts.append(f"after {relax.after_s:g} s {', '.join(change)}")
        if self.max_wait_s is not None:
            parts.append(f"at most {self.max_wait_s:g} s")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Transfer(Step):
    """Call a SIP address and connect the caller to it. Being connected has no way out."""

    results: ClassVar[tuple[str, ...]] = ("busy", "no_answer", "failed")

    uri: str
    ring_for_s: float
    ringback: str = ""

    def describe(self) -> str:
        return f"transfer to {self.uri}, ringing for {self.ring_for_s:g} s"


@dataclass(frozen=True, slots=True)
class HangUp(Step):
    results: ClassVar[tuple[str, ...]] = ()

    cause: str = "normal"

    def describe(self) -> str:
        return f"hang up ({self.cause}, {CAUSES[self.cause]} if not answered)"


# Causes a plan may give, and the SIP status of each for a call not yet answered (RFC 3398 section 7.2.4.1 gives the
# ISUP side).
CAUSES: Mapping[str, int] = {
    "normal": 480,
    "unavailable": 480,
    "busy": 486,
    "rejected": 603,
    "forbidden": 403,
    "not_found": 404,
    "congestion": 503,
}


@dataclass(frozen=True, slots=True)
class Condition(Step):
    """A fork in the plan, decided at once."""

    results: ClassVar[tuple[str, ...]] = ("yes", "no")

    def holds(self, caller: Caller, at: datetime) -> bool:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CallerListed(Condition):
    numbers: NumberList

    def holds(self, caller: Caller, at: datetime) -> bool:
        return caller.ani in self.numbers

    def describe(self) -> str:
        return f"caller is on list {self.numbers.name}"


@dataclass(frozen=True, slots=True)
class WithinHours(Condition):
    hours: Hours

    def holds(self, caller: Caller, at: datetime) -> bool:
        return self.hours.is_open(at)

    def describe(self) -> str:
        return f"open by hours {self.hours.name}"


# ---- the book and the walk


@dataclass(frozen=True, slots=True)
class Visit:
    """One step passed on a walk: its number, and the result that led on (None where the walk stopped)."""

    index: int
    result: str | None


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a walk stopped: a step to carry out, and the way there, ending with that step."""

    index: int
    step: Step
    trail: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class PlanBook:
    """All plans of a switch, and which number leads to which."""

    steps: tuple[Step, ...]
    entries: Mapping[str, int]  # plan name -> its first step
    numbers: Mapping[str, str]  # DNIS or prefix with a final `*` -> plan name
    timezone: str = "UTC"

    def plan_for(self, dnis: str) -> str:
        """The plan of the longest matching number. Raises PlanError (404) for an unknown one."""
        if dnis in self.numbers:
            return self.numbers[dnis]
        for length in range(len(dnis), -1, -1):
            if (pattern := dnis[:length] + "*") in self.numbers:
                return self.numbers[pattern]
        raise PlanError(f"number {dnis!r} leads to no plan")

    def enter(self, plan: str, caller: Caller, at: datetime) -> Stop:
        """Walk from the plan's first step. `at` is local time of the plan's time zone."""
        return self._walk(self.entries[plan], caller, at)

    def after(self, index: int, result: str, caller: Caller, at: datetime) -> Stop:
        """Walk on from step `index`, which ended with `result`."""
        return self._walk(self.steps[index].ways[result], caller, at)

    def _walk(self, index: int, caller: Caller, at: datetime) -> Stop:
        trail: list[Visit] = []
        while isinstance(step := self.steps[index], Condition):
            result = "yes" if step.holds(caller, at) else "no"
            trail.append(Visit(index, result))
            index = step.ways[result]
        trail.append(Visit(index, None))
        return Stop(index, step, tuple(trail))
