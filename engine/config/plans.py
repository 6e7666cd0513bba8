"""plans/*.yaml -> PlanBook. A plan is written as a tree of steps; here it becomes the table of steps with their ways.

Reading goes in two rounds, because a plan may lead on to one that is written later: first every step becomes a
Draft with its branches and its number, then the ways are drawn. After a branch that does not end, the walk goes on
behind the step that has it.

Counterparts: engine/callflow/plan.py, which has the types and walks; steps.py, which reads a step; paths.py, which
proves that every call comes to an end.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from engine.callflow.conditions import NumberList
from engine.callflow.plan import Dialling, Place, PlanBook
from engine.callflow.settings import SoundFiles, Trunk, WebLookUp
from engine.callflow.staff import Staff
from engine.config import paths, scalars
from engine.config.calendar import read_air, read_hours
from engine.config.drafts import HOLE, Draft, Names
from engine.config.needs import known
from engine.config.steps import read_steps
from engine.config.yaml_nodes import Report, Section, Value, guess, read_text, read_yaml


def read_plans(
    folder: Path,
    staff: Staff | None,
    sounds: SoundFiles | None,
    report: Report,
    look_ups: Mapping[str, WebLookUp] | None = None,
    trunks: Collection[Trunk] | None = None,
) -> PlanBook:
    """One book of all the plan files; their lists, hours and plans may be used from any of them."""
    paths_found = sorted(folder.glob("*.yaml"))
    if not paths_found:
        report.add(Place(str(folder), 1, 1), "no plan is described here (plans/*.yaml)")
    files = [read_yaml(path, report, "no plan is described here") for path in paths_found]
    tops = [value.section() for value in files if value is not None]
    lists = {key.text(): _number_list(key, value) for key, value in _gather(tops, "lists")}
    hours = {key.text(): read_hours(key, value) for key, value in _gather(tops, "hours")}
    airs = {key.text(): read_air(key, value) for key, value in _gather(tops, "air")}
    plans = _gather(tops, "plans")
    names = Names(staff, sounds, lists, hours, airs, look_ups or {}, frozenset(key.text() for key, _ in plans), trunks)
    languages = {top.value.file: _language(top, sounds) for top in tops}
    drafts = {scalars.name(key): read_steps(value, names, languages[value.file]) for key, value in plans}
    numbers, dialling = _numbers(_gather(tops, "numbers"), names), _dialling(tops, names)
    timezone = _timezone(tops)
    for top in tops:
        top.close()
    if tops and not numbers:
        tops[0].value.complain("no number leads to a plan, so no call could be taken")
    numbered, entries = _link(drafts, names)
    if not names.holes:
        written = {key.text(): key for key, _ in plans}
        callers, agents = set(numbers.values()), set(dialling.numbers.values())
        paths.check(numbered, entries, callers, agents, names.led_to, written, staff)
    steps = tuple(draft.step for draft in numbered if draft.step)
    return PlanBook(steps, entries, numbers, timezone, hours, airs, dialling)


def _gather(tops: list[Section], name: str) -> list[tuple[Value, Value]]:
    """The pairs of a section in all files; a name may be given only once."""
    pairs: dict[str, tuple[Value, Value]] = {}
    for top in tops:
        for key, value in listed.pairs() if (listed := top.get(name)) else ():
            if key.text() in pairs:
                key.complain(f"{key.text()!r} is already described at {pairs[key.text()][0].place}")
            else:
                pairs[key.text()] = key, value
    return list(pairs.values())


def _numbers(pairs: Iterable[tuple[Value, Value]], names: Names) -> Mapping[str, str]:
    return {scalars.number(key): known(value, names.plans, "plan", "plans/") for key, value in pairs}


def _dialling(tops: list[Section], names: Names) -> Dialling:
    """`agents dial`: one for the whole book; without it agents dial nothing."""
    found = [value for top in tops if (value := top.get("agents dial"))]
    for again in found[1:]:
        again.complain(f"agents dial is already described at {found[0].place}")
    read: dict[str, Any] = {}
    if found:
        with found[0].section() as section:
            if item := section.need("numbers"):
                read["numbers"] = _numbers(item.pairs(), names)
            if item := section.get("international"):
                read["international"] = tuple(_prefix(one) for one in item.items())
            if item := section.get("max calls"):
                read["max_calls"] = scalars.count(item, 1, 100)
            if item := section.get("max calls per minute"):
                read["max_calls_per_minute"] = scalars.count(item, 1, 1000)
            if item := section.get("max talk"):
                read["max_talk_s"] = scalars.duration(item, 1.0)
    return Dialling(**read)


def _prefix(value: Value) -> str:
    """How an international number begins: `+`, `00`, `011`."""
    text = value.text()
    if text and not re.fullmatch(r"\+|\+?[0-9*#]{1,8}", text):
        value.complain(f"international: {text!r} is not how a number begins (+, 00, 011)")
    return text


def _language(top: Section, sounds: SoundFiles | None) -> str:
    value = top.get("language")
    spoken = {language for prompt in sounds.prompts.values() for language in prompt} if sounds else set()
    if value is None:
        return "zh"
    return scalars.one_of(value, sorted(spoken)) if spoken else value.text()


def _timezone(tops: list[Section]) -> str:
    """One zone for the whole book: a call's path may lead through several files."""
    given: Value | None = None
    for top in tops:
        value = top.get("timezone")
        if value is None:
            continue
        if given is not None and given.text() != value.text():
            value.complain(f"timezone is {given.text()} at {given.place}, and one holds for all plans")
        given = given or value
        try:
            ZoneInfo(value.text() or "UTC")
        except (LookupError, ValueError, OSError):
            value.complain(f"timezone {value.text()!r} is not known here{guess(value.text(), available_timezones())}")
    return given.text() if given else "UTC"


def _number_list(key: Value, value: Value) -> NumberList:
    """A list of numbers and prefixes, or `{file: vip.txt}` with one a line, `#` before a remark."""
    exact: set[str] = set()
    prefixes: set[str] = set()
    numbers: list[str] = []
    if value.is_mapping:
        with value.section() as section:
            if file := section.need("file"):
                numbers = _numbers_of_file(file)
    elif not value.is_empty:
        numbers = [scalars.number(item) for item in value.items()]
    for number in numbers:
        if number.endswith("*"):
            prefixes.add(number[:-1])
        else:
            exact.add(number)
    return NumberList(scalars.name(key), frozenset(exact), tuple(sorted(prefixes)))


def _numbers_of_file(file: Value) -> list[str]:
    path = Path(file.file).parent / file.text()
    numbers: list[str] = []
    if not file.text() or (text := read_text(path, file.report)) is None:
        return numbers
    for n_line, line in enumerate(text.splitlines(), 1):
        number = line.partition("#")[0].strip()
        if scalars.NUMBER.fullmatch(number):
            numbers.append(number)
        elif number:
            file.report.add(Place(str(path), n_line, 1), f"{number!r} is not a number or a prefix")
    return numbers


# ---- from drafts to steps


def _link(drafts: Mapping[str, list[Draft]], names: Names) -> tuple[list[Draft], dict[str, int]]:
    """Number the steps as they are written, then draw their ways. Gives all drafts, and where each plan begins."""
    numbered: list[Draft] = []
    for plan in drafts.values():
        _number(plan, numbered)
    for draft in numbered:
        if draft.queue in names.left:
            draft.possible |= {"no_agents"}
        if draft.queue in names.skillless:
            draft.possible |= {"no_skill"}
    entries = {name: _entry(name, drafts) for name in drafts}
    for plan in drafts.values():
        _draw(plan, None, entries)
    return numbered, entries


def _number(drafts: list[Draft], numbered: list[Draft]) -> None:
    for draft in drafts:
        if draft.goes_to is None:
            draft.index = len(numbered)
            numbered.append(draft)
        for branch in draft.branches.values():
            _number(branch, numbered)


def _entry(name: str, drafts: Mapping[str, list[Draft]]) -> int:
    """The first real step of a plan; 0 where there is none, which is complained of."""
    passed: list[str] = []
    while name not in passed:
        if not drafts.get(name):
            return 0
        passed.append(name)
        first = drafts[name][0]
        if first.goes_to is None:
            return first.index
        name = first.goes_to
    drafts[name][0].value.complain(f'plan "{name}" leads back to itself before its first step')
    return 0


def _draw(drafts: list[Draft], behind: int | None, entries: Mapping[str, int]) -> bool:
    """Give each step its ways; `behind` is the step that follows the whole list. Whether a call can come there."""
    alive = True
    for n, draft in enumerate(drafts):
        rest = drafts[n + 1 :]
        leads_on = _draw_one(draft, _first(rest, behind, entries), entries)
        if alive and rest and not leads_on:
            rest[0].value.complain(f"no call comes here: {draft.why_last()}")
        alive = alive and leads_on
    return alive


def _draw_one(draft: Draft, follower: int | None, entries: Mapping[str, int]) -> bool:
    """Whether a call can come to the step that follows."""
    if draft.goes_to is not None:
        return draft.goes_to == HOLE
    targets = {result: _first(branch, follower, entries) for result, branch in draft.ways.items()}
    if missing := [result for result, target in targets.items() if target is None and result in draft.possible]:
        draft.complain_of_no_end(missing)
    falls_through = {key: _draw(branch, follower, entries) for key, branch in draft.branches.items()}
    draft.step = draft.make({result: target for result, target in targets.items() if target is not None})
    return any(falls_through.get(id(draft.ways[result]), True) for result in draft.possible)


def _first(drafts: list[Draft], behind: int | None, entries: Mapping[str, int]) -> int | None:
    """Where a walk into this list arrives."""
    if not drafts:
        return behind
    return drafts[0].index if drafts[0].goes_to is None else entries.get(drafts[0].goes_to, 0)
