"""What one configuration has that another has not: for `agner diff`, and for the log of a reload.

Both configurations were read and checked; places in the files do not matter, only what they mean. Counterparts:
__init__.py (Configuration); engine/reload.py, which puts the new one in the place of the old one while calls are up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from engine.callflow.conditions import OnAir, Stretches, WithinHours
from engine.callflow.plan import Place, PlanBook, Step
from engine.callflow.staff import Policy, Serves
from engine.callflow.steps import Announce, Queue, items_text, needs_text
from engine.config.scalars import WEEKDAYS

if TYPE_CHECKING:
    from engine.config import Configuration

# Of switch.yaml, what a running daemon is made of: sockets, files, threads, the conference bridge.
RESTART = ("sip", "registrar", "storage", "folder", "clock_rate", "trace_days")
# Of a trunk, what the gate and accounts with the carrier were made of.
TRUNK_RESTART = ("sources", "max_calls_per_s", "login", "challenge", "registration", "srtp")

_SHOWN = 10
_NOWHERE = Place("", 0, 0)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was added, removed or changed; `details` say how."""

    what: str  # queue, agent, skill, group, number, plan, hours, air time, trunk, look-up, prompt, music, setting
    name: str
    kind: str  # added, removed, changed
    details: tuple[str, ...] = ()
    needs_restart: bool = False

    def __str__(self) -> str:
        restart = " (holds after a restart)" if self.needs_restart else ""
        return f"{self.what} {self.name}: {self.kind}{restart}"


def difference(old: Configuration, new: Configuration) -> list[Change]:
    """In the order in which people think of a floor: staff, numbers and plans, then how the switch is set up."""
    return [
        *_staff(old, new),
        *_plans(old.book, new.book),
        *_settings(old, new),
        *_named("prompt", old.sounds.prompts, new.sounds.prompts),
        *_named("music", old.sounds.music, new.sounds.music),
    ]


# ---- staff.yaml


def _staff(old: Configuration, new: Configuration) -> Iterator[Change]:
    yield from _words("skill", old.staff.skills, new.staff.skills)
    yield from _words("group", old.staff.groups, new.staff.groups)
    yield from _named("queue", old.staff.queues, new.staff.queues)
    yield from _named("agent", old.staff.agents, new.staff.agents)


def _words(what: str, old: Iterable[str], new: Iterable[str]) -> Iterator[Change]:
    before, after = list(old), list(new)
    yield from (Change(what, name, "removed") for name in before if name not in after)
    yield from (Change(what, name, "added") for name in after if name not in before)


def _named(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Things by name: those gone, those that came, and what differs in the others."""
    yield from _words(what, old, new)
    for name, after in new.items():
        if name in old and old[name] != after:
            yield Change(what, name, "changed", tuple(_fields(old[name], after)))


def _fields(old: Any, new: Any, above: str = "") -> Iterator[str]:
    """`ring for: 8 s -> 15 s`, also of dataclasses within."""
    if not (is_dataclass(old) and type(old) is type(new)):
        yield f"{above or 'value'}: {_told(above, old)} -> {_told(above, new)}"
        return
    for one in fields(old):
        before, after = getattr(old, one.name), getattr(new, one.name)
        if before == after:
            continue
        name = one.name.removesuffix("_s").replace("_", " ")
        name = f"{above} {name}" if above else name
        if isinstance(before, frozenset):
            yield f"{name}: {_members(before, after)}"
        elif one.name in _DAYS:
            yield from _days(*(_DAYS[one.name](days) for days in (before, after)))
        elif is_dataclass(before) and type(before) is type(after) and not isinstance(before, Policy):
            yield from _fields(before, after, name)
        else:
            unit = " s" if one.name.endswith("_s") else ""
            yield f"{name}: {_told(one.name, before, unit)} -> {_told(one.name, after, unit)}"


def _members(old: frozenset[str], new: frozenset[str]) -> str:
    """Of a list that may be long, what came and went."""
    moved = [f"{one} added" for one in sorted(new - old)] + [f"{one} removed" for one in sorted(old - new)]
    more = f" and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
    return ", ".join(moved[:_SHOWN]) + more


def _told(name: str, value: Any, unit: str = "") -> str:
    """A value for people."""
    if name in _CALENDAR:
        return _CALENDAR[name](value) or "none"
    if value is None or value == () or value == "" or value == {}:
        return "none"
    match value:
        case bool():
            return "yes" if value else "no"
        case float() | int():
            return f"{value:g}{unit}"
        case Policy():
            pause = f" {value.pause_s:g} s" if value.then == "pause" else ""
            return value.then.replace("_", " ") + pause + (f" after {value.after_n} in a row" * (value.after_n > 1))
        case Serves():
            extra = [f"rank {value.rank}"] * (value.rank != 1) + [f"from {value.from_s:g} s"] * bool(value.from_s)
            return value.queue + (f" ({', '.join(extra)})" if extra else "")
        case Announce():
            return f"{items_text(value.items)} at {value.first_s:g} s, every {value.every_s:g} s"
        case Mapping():
            return ", ".join(f"{key} {_told(name, one, unit)}" for key, one in value.items())
        case tuple() if name == "needs":
            return needs_text(value)
        case tuple() | frozenset():
            return ", ".join(_told(name, one, unit) for one in value)
        case _ if is_dataclass(value):
            return "as described"
        case _:
            return str(value)


def _stretches(stretches: Stretches) -> str:
    return ", ".join(f"{_clock(begin)}-{_clock(end)}" for begin, end in stretches) or "closed"


def _days(old: Mapping[str, Stretches], new: Mapping[str, Stretches]) -> Iterator[str]:
    """Of opening hours, the days that differ."""
    for day in [*old, *(day for day in new if day not in old)]:
        before, after = (_stretches(days[day]) if day in days else "like the others" for days in (old, new))
        if before != after:
            yield f"{day}: {before} -> {after}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _spots(spots: Iterable[tuple[Any, int, int]]) -> str:
    def days(on: Any) -> str:
        return " ".join(WEEKDAYS[day] for day in on) if isinstance(on, tuple) else str(on)

    return ", ".join(f"{days(on)} {_clock(begin)} for {length} m" for on, begin, length in spots)


_CALENDAR: Mapping[str, Callable[[Any], str]] = {
    "windows": _stretches,
    "spots": _spots,
    "dates": _spots,
}
_DAYS: Mapping[str, Callable[[Any], Mapping[str, Stretches]]] = {
    "week": lambda week: dict(zip(WEEKDAYS, week, strict=True)),
    "days": lambda days: {str(day): one for day, one in sorted(days.items())},
    "years_days": lambda days: {f"{month:02}-{day:02}": one for (month, day), one in sorted(days.items())},
}


# ---- switch.yaml


def _settings(old: Configuration, new: Configuration) -> Iterator[Change]:
    before, after = old.settings, new.settings
    for part in fields(before):
        one, other = getattr(before, part.name), getattr(after, part.name)
        if one == other or part.name in ("trunks", "look_ups"):
            continue
        for line in _fields(one, other, part.name.replace("_", " ")):
            name, _, change = line.partition(": ")
            restart = part.name in RESTART or (name == "limits max calls" and other.max_calls > one.max_calls)
            yield Change("setting", name, "changed", (change,), restart)
    trunks, others = ({trunk.name: trunk for trunk in settings.trunks} for settings in (before, after))
    for trunk in _named("trunk", trunks, others):
        name = trunk.name
        kept = trunk.kind == "changed" and all(
            getattr(trunks[name], part) == getattr(others[name], part) for part in TRUNK_RESTART
        )
        yield replace(trunk, needs_restart=not kept)
    yield from _named("look-up", before.look_ups, after.look_ups)


# ---- plans/


def _plans(old: PlanBook, new: PlanBook) -> Iterator[Change]:
    if old.timezone != new.timezone:
        yield Change("setting", "timezone", "changed", (f"{old.timezone} -> {new.timezone}",))
    yield from _numbers("number", old.numbers, new.numbers)
    yield from _numbers("number that agents dial", old.dialling.numbers, new.dialling.numbers)
    before, after = (replace(book.dialling, numbers={}) for book in (old, new))
    if before != after:
        yield Change("setting", "agents dial", "changed", tuple(_fields(before, after)))
    yield from _named("hours", old.hours, new.hours)
    yield from _named("air time", old.airs, new.airs)
    yield from _words("plan", old.entries, new.entries)
    for name in new.entries:
        if name in old.entries and (details := tuple(_steps(_lines(old, name), _lines(new, name)))):
            yield Change("plan", name, "changed", details)


def _numbers(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    yield from _words(what, old, new)
    for number, plan in new.items():
        if number in old and old[number] != plan:
            yield Change(what, number, "changed", (f"plan {old[number]} -> plan {plan}",))


@dataclass(frozen=True, slots=True)
class _Line:
    """A step as it is met from the beginning of its plan."""

    text: str
    step: Step | None = field(hash=False)  # without place and ways; None: the walk goes on in a step told elsewhere


def _lines(book: PlanBook, name: str) -> list[_Line]:
    """The steps of one plan in the order of reading; each once, other plans by their names."""
    begins = {index: plan for plan, index in book.entries.items()}
    seen: set[int] = set()
    lines: list[_Line] = []
    todo = [(book.entries[name], 0, "")]
    while todo:
        index, depth, way = todo.pop()
        indent = "  " * depth + (f"on {way.replace('_', ' ')}: " if way else "")
        if index in begins and begins[index] != name and (seen or index != book.entries[name]):
            lines.append(_Line(f"{indent}plan {begins[index]}", None))
        elif index in seen:
            lines.append(_Line(f"{indent}as above", None))
        else:
            seen.add(index)
            step = book.steps[index]
            lines.append(_Line(indent + step.describe(), _bare(step)))
            targets: dict[int, list[str]] = {}
            for result, target in step.ways.items():
                if _happens(step, result):
                    targets.setdefault(target, []).append(result)
            forks = len(targets) > 1
            todo += [
                (target, depth + forks, ", ".join(results) if forks else "")
                for target, results in reversed(targets.items())
            ]
    return lines


def _bare(step: Step) -> Step | None:
    """What of a step counts: neither its place nor its ways, nor hours and air times, which are told by themselves."""
    return None if isinstance(step, WithinHours | OnAir) else replace(step, place=_NOWHERE, ways={})


def _happens(step: Step, result: str) -> bool:
    flags = {"no_agents": "leave_without_agents", "no_skill": "leave_without_skill"}
    return result not in flags or not isinstance(step, Queue) or getattr(step, flags[result])


def _steps(old: list[_Line], new: list[_Line]) -> Iterator[str]:
    """`- step` that went, `+ step` that came, `~ step` that reads the same but for some of its settings."""
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        gone, came = old[a:b], new[c:d]
        if [line.text for line in gone] == [line.text for line in came]:
            for before, after in zip(gone, came, strict=True):
                yield f"~ {after.text}: {'; '.join(_fields(before.step, after.step))}"
            continue
        yield from (f"- {line.text}" for line in gone)
        yield from (f"+ {line.text}" for line in came)
