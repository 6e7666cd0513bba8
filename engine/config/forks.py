"""The steps that are decided at once: when, split, set. Counterparts: steps.py, which knows every step by its word;
engine/callflow/conditions.py, the types.
"""

import re
from collections.abc import Callable, Mapping

from engine.callflow.conditions import (
    AirTime,
    CallerBlacklisted,
    CallerListed,
    Equals,
    Hours,
    NumberList,
    OnAir,
    Share,
    WithinHours,
)
from engine.callflow.plan import Set, Step
from engine.config import scalars
from engine.config.drafts import Draft, Here, hole
from engine.config.needs import known
from engine.config.values import ALWAYS, BUILT_IN
from engine.config.yaml_nodes import Value

Make = Callable[[Mapping[str, int]], Step]

_CLOSED_WEEK = ((),) * 7
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)%\s*(.*)", re.ASCII)
_DATABASE_LISTS = ("blacklist",)


def when(here: Here) -> Draft:
    """`when: {CONDITION}` with steps under `then`, under `else` or under both."""
    condition = here.main("when")
    then, other = here.branch("then"), here.branch("else")
    if then is None and other is None:
        here.step.value.complain("when needs `then`, `else` or both")
    ways = {"yes": then or [], "no": other or []}
    with condition.section() as asked:
        given = [(word, value) for word in CONDITIONS if (value := asked.get(word))]
        if len(given) > 1:
            condition.complain("one condition a step: put a second `when` under `then`")
        if not given and not condition.is_empty:
            condition.complain(f"when asks one of: {', '.join(f'`{word}`' for word in CONDITIONS)}")
    if len(given) != 1:
        return hole(here.step.value, here.names)
    word, value = given[0]
    make = CONDITIONS[word](here, value)
    if make is None:
        return hole(here.step.value, here.names)
    if word == "closed":
        ways = {"yes": ways["no"], "no": ways["yes"]}
    return here.draft(make, ways)


def _caller_on(here: Here, value: Value) -> Make:
    """`caller on: LIST` of the plans, or `caller on: {database: blacklist}`."""
    place = here.place
    if value.is_mapping:
        with value.section() as section:
            kept = section.need("database")
        name = scalars.one_of(kept, _DATABASE_LISTS, "database") if kept else ""
        return lambda ways: CallerBlacklisted(place, ways, name)
    nobody = NumberList("", frozenset())
    numbers = here.names.lists.get(known(value, here.names.lists, "list", "plans/"), nobody)
    return lambda ways: CallerListed(place, ways, numbers)


def _open(here: Here, value: Value) -> Make:
    place = here.place
    hours = here.names.hours.get(known(value, here.names.hours, "hours", "plans/"), Hours("", _CLOSED_WEEK, {}))
    return lambda ways: WithinHours(place, ways, hours)


def _on_air(here: Here, value: Value) -> Make:
    place = here.place
    air = here.names.airs.get(known(value, here.names.airs, "air time", "plans/"), AirTime("", ()))
    return lambda ways: OnAir(place, ways, air)


def _value(here: Here, value: Value) -> Make | None:
    """`value: {customer.level: [vip, gold]}`: the text that the call has learnt is one of these."""
    place, pairs = here.place, value.pairs()
    if len(pairs) != 1:
        if value.is_mapping:
            value.complain("value asks for one name: `value: { customer.level: [vip, gold] }`")
        return None
    key, wanted = pairs[0]
    name, texts = _learnt(here, key), tuple(item.text() for item in wanted.items())
    return lambda ways: Equals(place, ways, name, texts)


def _known(here: Here, value: Value) -> Make:
    """`known: customer.agent`: the call has learnt it, and it is not empty."""
    place, name = here.place, _learnt(here, value)
    return lambda ways: Equals(place, ways, name, ())


def _learnt(here: Here, value: Value) -> str:
    """A name without its `$`, which is forgiven."""
    name = value.text().removeprefix("$")
    here.use(value, name)
    return name


CONDITIONS: Mapping[str, Callable[[Here, Value], Make | None]] = {
    "caller on": _caller_on,
    "open": _open,
    "closed": _open,
    "on air": _on_air,
    "value": _value,
    "known": _known,
}


def split(here: Here) -> Draft:
    """`split: {60% old: [steps], 40% new: [steps]}`: together 100 percent; a call's dice is thrown once."""
    main, place = here.main("split"), here.place
    shares: list[tuple[str, float]] = []
    ways: dict[str, list[Draft]] = {}
    for key, value in main.pairs():
        found = _PERCENT.fullmatch(key.text())
        if not found:
            key.complain(f"{key.text()!r} is not a share (60%, or with a name: 60% old script)")
            return hole(here.step.value, here.names)
        label = found[2] or f"{found[1]}%"
        if label in ways:
            key.complain(f"share {label!r} stands here already")
        shares.append((label, float(found[1])))
        ways[label] = here.steps(value)
    if main.is_mapping and abs(sum(percent for _, percent in shares) - 100) > 1e-6:
        main.complain(f"the shares make {sum(percent for _, percent in shares):g}%, not 100%")
    if not shares:
        return hole(here.step.value, here.names)
    return here.draft(
        lambda drawn: Share(place, drawn, tuple(shares)), ways, possible=[label for label, percent in shares if percent]
    )


def set_values(here: Here) -> list[Draft]:
    """`set: {name: text}`: one step for each name."""
    main = here.main("set")
    drafts = []
    for key, value in main.pairs():
        name, text = scalars.name(key), here.text(value)
        if name in BUILT_IN:
            kind = "each call's own" if name in ALWAYS else "given by the switch"
            key.complain(f'"{name}" cannot be set: it is {kind}')
        drafts.append(_set(here, name, text))
    if not drafts and main.is_mapping:
        main.complain("set needs at least one name")
    return drafts or [hole(here.step.value, here.names)]


def _set(here: Here, name: str, text: str) -> Draft:
    place = here.place
    draft = here.draft(lambda ways: Set(place, ways, name, text), {"done": []}, {"done": frozenset((name,))})
    here.uses = []
    return draft
