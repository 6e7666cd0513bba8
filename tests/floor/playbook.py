"""The language in which tests of a call are written: what happens (`>>`), and what the call asks for then (`<<`).

    play() >> CallArrived(CALLER, leg=1) << OpenCdr << TakeStep("start") >> after(5) >> CallerGone(487, "CANCEL") << ...

`>>` takes an event, `at(now)`, `after(seconds)` or `expire()`, which jumps to the call's deadline and sends TimeUp. It
fails if commands of the event before were not named. `<<` takes the next command: a whole one, its bare class, or
`cdr(...)`, `segment(...)` and `like(...)`, which compare the fields they state and no others. `state(...)` after `<<`
names where the call stands. The fixture `play` (conftest.py) closes every playbook when its test ends. A failure prints
what the test expects beside what the call did.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from engine.callflow import events as ev
from engine.callflow.call import Call, Rules
from engine.callflow.commands import Command, OpenCdr, WriteCdr, WriteSegment
from engine.callflow.events import Event
from engine.callflow.plan import Step
from engine.callflow.table import State

RULES = Rules(max_talk_s=3600, ending_s=35, record_from="answered", recording="c1.wav")
WIDTH = 66


@dataclass(frozen=True)
class Clock:
    """Where time goes next: `to` a moment, `by` some seconds, or to the call's deadline, with TimeUp."""

    to: float | None = None
    by: float = 0.0
    is_time_up: bool = False

    def __str__(self) -> str:
        if self.is_time_up:
            return "expire()"
        return f"at({self.to:g})" if self.to is not None else f"after({self.by:g})"


def at(now: float) -> Clock:
    return Clock(to=now)


def after(seconds: float) -> Clock:
    return Clock(by=seconds)


def expire() -> Clock:
    return Clock(is_time_up=True)


@dataclass(frozen=True)
class Like:
    """A command of this kind, whose stated fields (or those of the record `inside` it) have these values."""

    kind: type[Command]
    inside: str | None
    fields: dict[str, Any] = field(default_factory=dict)

    def matches(self, command: Command) -> bool:
        if type(command) is not self.kind:
            return False
        record = getattr(command, self.inside) if self.inside else command
        return all(getattr(record, name) == value for name, value in self.fields.items())

    def __str__(self) -> str:
        stated = ", ".join(f"{name}={value!r}" for name, value in self.fields.items())
        return f"{self.kind.__name__}(... {stated})" if stated else self.kind.__name__


def like(kind: type[Command], **fields: Any) -> Like:
    return Like(kind, None, fields)


def cdr(**fields: Any) -> Like:
    """The final record of the call."""
    return Like(WriteCdr, "cdr", fields)


def opened(**fields: Any) -> Like:
    return Like(OpenCdr, "cdr", fields)


def segment(kind: str, outcome: str, **fields: Any) -> Like:
    return Like(WriteSegment, "segment", {"kind": kind, "outcome": outcome, **fields})


@dataclass(frozen=True)
class Standing:
    """The call's state once all its commands were named."""

    state: State

    def __str__(self) -> str:
        return f"state({self.state})"


def state(name: State) -> Standing:
    return Standing(name)


class Mismatch(AssertionError):
    """The call did something else than the test says."""


class Playbook:
    """One call and its story so far. Both `>>` and `<<` check at once, so that a failure points at its own line."""

    def __init__(self, rules: Rules = RULES, call: Call | None = None) -> None:
        self.call = call or Call("c1", rules)
        self.now = 0.0
        self._asked: list[Command] = []  # by the last event, not yet named
        self._ladder: list[tuple[str, str]] = []  # expected, happened
        self._is_broken = False

    def __rshift__(self, given: Event | Clock) -> "Playbook":
        self._expect_no_more(given)
        if isinstance(given, Clock):
            self._move_clock(given)
        else:
            self._send(given)
        return self

    def __lshift__(self, expected: Command | type[Command] | Like | Standing) -> "Playbook":
        if isinstance(expected, Standing):
            self._expect_no_more(expected)
            self._compare(expected, f"state({self.call.state})", self.call.state is expected.state)
            return self
        command = self._asked.pop(0) if self._asked else None
        is_same = command is not None and _fits(expected, command)
        self._compare(expected, brief(command) if command else "(nothing)", is_same)
        return self

    def close(self) -> None:
        """The end of the test: every command must have been named. Says nothing more where the story broke before."""
        if not self._is_broken:
            self._expect_no_more(None)

    def ladder(self) -> str:
        rows = [f"{'the test expects':<{WIDTH}} | the call did"]
        for left, right in self._ladder:
            rows.append(f"{left:<{WIDTH}} | {right}" if left != right else f"{left:<{WIDTH}} | same")
        return "\n".join(rows)

    # ---- helpers

    def _move_clock(self, clock: Clock) -> None:
        deadline = self.call.deadline
        if clock.is_time_up:
            if deadline is None:
                self._break(str(clock), "(no timer runs)")
            else:
                self.now = deadline
                self._send(ev.TimeUp())
            return
        self.now = clock.to if clock.to is not None else self.now + clock.by
        self._ladder.append((f"-- {self.now:g} s", f"-- {self.now:g} s"))
        if deadline is not None and self.now > deadline:
            self._break(f">> {clock}", f"(a timer is due before, at {deadline:g} s: say expire())")

    def _send(self, event: Event) -> None:
        text = f">> {brief(event)}"
        self._ladder.append((text, text))
        try:
            self._asked = self.call.handle(event, self.now)
        except Exception as error:
            self._is_broken = True
            error.add_note("\n" + self.ladder())
            raise

    def _compare(self, expected: object, happened: object, is_same: bool) -> None:
        name = expected.__name__ if isinstance(expected, type) else brief(expected)
        if not is_same:
            self._break(f"<< {name}", f"<< {happened}   <-- HERE")
        self._ladder.append((f"<< {name}", f"<< {happened}"))

    def _expect_no_more(self, upcoming: object) -> None:
        if self._asked:
            left = f">> {brief(upcoming)}" if upcoming else "(the end)"
            self._break(left, f"<< {brief(self._asked.pop(0))}   <-- HERE, not named")

    def _break(self, left: str, right: str) -> None:
        self._is_broken = True
        self._ladder.append((left, right))
        self._ladder += [("", f"<< {brief(command)}") for command in self._asked]
        raise Mismatch("\n" + self.ladder())


def brief(value: object) -> str:
    """One line of a ladder: fields with nothing to tell are left out."""
    if isinstance(value, Step):
        return f"<{value.describe()}>"
    if isinstance(value, Like | Clock | Standing):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if not is_dataclass(value):
        return repr(value)
    told = [(f.name, getattr(value, f.name)) for f in fields(value) if getattr(value, f.name) not in (None, "", ())]
    return f"{type(value).__name__}({', '.join(f'{name}={brief(what)}' for name, what in told)})"


def _fits(expected: Command | type[Command] | Like, command: Command) -> bool:
    if isinstance(expected, Like):
        return expected.matches(command)
    if isinstance(expected, type):
        return type(command) is expected
    return expected == command
