"""Routing plans: what happens when somebody dials. The book of all plans, and the interpreter that walks them.

A plan book is one numbered table of steps. Each step names, for each of its results, the step that comes next: a plan
is a graph, and a walk through it is `(step, result) -> next step`. Decisions are made on the way; a walk stops at the
first step that somebody has to carry out. Live calls and `agner explain` use the same walk.

Counterparts: steps.py and conditions.py, the steps there are; config, which builds a plan book from YAML and proves
that every branch ends. This file knows nothing of YAML.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

from engine.callflow.errors import PlanError

if TYPE_CHECKING:
    from engine.callflow.conditions import AirTime, Hours


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
    trunk: str  # empty: no trunk brought it
    name: str = ""  # display name
    agent: str = ""  # whose phone dialled; `ani` is then this number


def _on_no_list(name: str, number: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision may look at. The same situation gives the same decision."""

    caller: Caller
    at: datetime  # local time of the plan's time zone
    values: Mapping[str, str] = field(default_factory=dict)  # what the call has learnt: digits, customer.level ...
    is_listed: Callable[[str, str], bool] = _on_no_list  # (list kept in the database, number)
    dice: float = 0.0  # 0 <= dice < 1, thrown once for each call

    def value(self, text: str) -> str:
        """A text as it stands, or the value of a `$name`; empty where the call has not learnt it."""
        if not text.startswith("$"):
            return text
        name = text[1:]
        if name in ("ani", "dnis", "trunk", "name"):
            return str(getattr(self.caller, name))
        return self.values.get(name, "")


def dice_of(call: str) -> float:
    """0 <= dice < 1, the same for the same call however often it is asked, also in a replay."""
    return int.from_bytes(blake2b(call.encode(), digest_size=6).digest()) / (1 << 48)


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
class Condition(Step):
    """A fork in the plan, decided at once."""

    results: ClassVar[tuple[str, ...]] = ("yes", "no")

    def decide(self, situation: Situation) -> str:
        """The result that leads on."""
        return "yes" if self.holds(situation) else "no"

    def holds(self, situation: Situation) -> bool:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Set(Step):
    """Remember a value under a name; done at once."""

    name: str
    text: str  # as it stands, or `$name`

    def describe(self) -> str:
        return f"set {self.name} to {self.text}"


# ---- the book and the walk


@dataclass(frozen=True, slots=True)
class Visit:
    """One step passed on a walk: its number, and the result that led on (None where the walk stopped)."""

    index: int
    result: str | None


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a walk stopped: a step to carry out, the way there, ending with that step, and what the call knows now."""

    index: int
    step: Step
    trail: tuple[Visit, ...]
    values: Mapping[str, str]


def _longest(numbers: Mapping[str, str], dialled: str, least: str = "") -> str | None:
    """The plan of the longest pattern that fits and begins with `least`."""
    if dialled in numbers:
        return numbers[dialled]
    for length in range(len(dialled), len(least) - 1, -1):
        if (pattern := dialled[:length] + "*") in numbers:
            return numbers[pattern]
    return None


@dataclass(frozen=True, slots=True)
class Dialling:
    """What agents may dial from their phones: a white list, by default empty.

    International numbers are barred unless a pattern says one of their prefixes: `0*` does not let `0049...` out.
    """

    numbers: Mapping[str, str] = field(default_factory=dict)  # as those of the book
    international: tuple[str, ...] = ("+", "00")
    max_calls: int = 2  # of one agent at once: two are needed to consult somebody
    max_calls_per_minute: int = 20  # of one agent
    max_talk_s: float | None = None  # None: as for all calls

    def plan_for(self, number: str) -> str:
        """The plan of the longest pattern that may. Raises PlanError: 404, or 403 for a barred number."""
        abroad = max((one for one in self.international if number.startswith(one)), key=len, default="")
        if _DIALLED.fullmatch(number):
            if (plan := _longest(self.numbers, number, abroad)) is not None:
                return plan
            if _longest(self.numbers, number) is not None:
                raise PlanError(f"number {number!r} is international, which is barred", status=403)
        raise PlanError(f"number {number!r} is none that agents may dial")


_DIALLED = re.compile(r"\+?[0-9*#]{1,32}", re.ASCII)  # it goes on into requests of ours


@dataclass(frozen=True, slots=True)
class PlanBook:
    """All plans of a switch, and which number leads to which."""

    steps: tuple[Step, ...]
    entries: Mapping[str, int]  # plan name -> its first step
    numbers: Mapping[str, str]  # DNIS or prefix with a final `*` -> plan name
    timezone: str = "UTC"
    hours: Mapping[str, "Hours"] = field(default_factory=dict)
    airs: Mapping[str, "AirTime"] = field(default_factory=dict)
    dialling: Dialling = Dialling()

    def plan_for(self, dnis: str, agent: str = "") -> str:
        """The plan of the longest matching number, among those for agents where one dials. Raises PlanError (404) for
        an unknown one, and as Dialling.plan_for."""
        if agent:
            return self.dialling.plan_for(dnis)
        if (plan := _longest(self.numbers, dnis)) is None:
            raise PlanError(f"number {dnis!r} leads to no plan")
        return plan

    def enter(self, plan: str, situation: Situation) -> Stop:
        """Walk from the plan's first step."""
        return self.walk(self.entries[plan], situation)

    def after(self, index: int, result: str, situation: Situation) -> Stop:
        """Walk on from step `index`, which ended with `result`."""
        return self.walk(self.steps[index].ways[result], situation)

    def walk(self, index: int, situation: Situation) -> Stop:
        """Walk from step `index` to the next one that somebody has to carry out."""
        trail: list[Visit] = []
        while isinstance(step := self.steps[index], Condition | Set):
            if isinstance(step, Set):
                result = "done"
                values = {**situation.values, step.name: situation.value(step.text)}
                situation = replace(situation, values=values)
            else:
                result = step.decide(situation)
            trail.append(Visit(index, result))
            index = step.ways[result]
        trail.append(Visit(index, None))
        return Stop(index, step, tuple(trail), situation.values)
