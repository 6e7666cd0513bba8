"""One step of a plan: YAML -> Draft. This file says which steps there are and finds the reader of each.

A step is a list item: a bare word (`- answer`) or a mapping whose first key is the step (`- queue: sales`), further
keys being its settings and its branches. A branch is a list of steps under `on timeout`, `then` and so on.
Counterparts: asks.py, errands.py, forks.py and queue_steps.py, which read what is not read here; plans.py, which draws
the ways; docs/plans.md, which explains each step to its users.
"""

import re
from collections.abc import Callable, Mapping

from engine.callflow.steps import AGENT, CAUSES, TRUNK, Answer, EarlyMedia, HangUp, Play, Record, Transfer
from engine.config import asks, errands, forks, queue_steps, scalars
from engine.config.drafts import GO_ON, Draft, Here, Names, hole
from engine.config.items import read_music
from engine.config.needs import known, way_out
from engine.config.yaml_nodes import Section, Value, guess

_RING_FOR_S = 30.0
_DIALLED = "$dnis"


def read_steps(value: Value, names: Names, language: str) -> list[Draft]:
    """The steps of a plan or branch, in order."""
    if value.is_empty or (value.is_list and not value.node.value):
        value.complain(f"{value.label} has no steps")
        names.holes.append(value)
        return []
    return [draft for item in value.items() for draft in _read_step(item, names, language)]


def _read_step(value: Value, names: Names, language: str) -> list[Draft]:
    pairs = value.section().pairs if value.is_mapping else {}
    if value.is_scalar and value.node.value in _BARE:
        pairs = {value.node.value: (value, value)}
    verbs = [key for key in pairs if key in READERS]
    if len(verbs) != 1:
        value.complain(_no_step(value, list(pairs), verbs))
        return [hole(value, names)]
    with Section(Value(value.node, value.file, value.report, f"step {verbs[0]!r}"), pairs) as step:
        read = READERS[verbs[0]](Here(step, names, language, read_steps))
    return read if isinstance(read, list) else [read]


def _no_step(value: Value, keys: list[str], verbs: list[str]) -> str:
    if verbs:
        return f"two steps in one, {' and '.join(verbs)}: give each its own dash"
    if value.is_list:
        return "a step is a word or a mapping, not a list"
    word = value.node.value if value.is_scalar else next(iter(keys), "")
    if word in READERS:
        return f"step {word!r} needs a value"
    if word == GO_ON:
        return "`go on` is a whole branch, not a step of one: `on timeout: go on`"
    return f"no step is called {word!r}{guess(word, READERS)}"


# ---- the steps that stand for themselves


def _answer(here: Here) -> Draft:
    here.bare("answer")
    place = here.place
    return here.draft(lambda ways: Answer(place, ways), {"done": []})


def _early_media(here: Here) -> Draft:
    here.bare("early media")
    place = here.place
    return here.draft(lambda ways: EarlyMedia(place, ways), {"done": []})


def _play(here: Here) -> Draft:
    language, place = here.language(), here.place
    items = here.items(here.main("play"), language)
    return here.draft(lambda ways: Play(place, ways, items, language), {"done": []})


def _record(here: Here) -> Draft:
    place, is_on = here.place, scalars.one_of(here.main("record"), ("on", "off")) == "on"
    return here.draft(lambda ways: Record(place, ways, is_on), {"done": []})


def _transfer(here: Here) -> Draft:
    place, uri = here.place, _target(here.main("transfer"), here)
    ring_for, ringback, redirect = here.get("ring for"), here.get("ringback"), here.get("follow redirect")
    follows = scalars.yes_no(redirect) if redirect else False
    ring_for_s = scalars.duration(ring_for, 1.0, 180.0) if ring_for else _RING_FOR_S
    music = read_music(ringback, here.names.sounds) if ringback else ""
    return here.draft(lambda ways: Transfer(place, ways, uri, ring_for_s, music, follows), here.on(Transfer.results))


def _target(value: Value, here: Here) -> str:
    """A SIP address; `trunk:carrier/+4930123`: a number over a trunk; `agent:1002`: an agent, by the number.

    A trunk's number may be `$dnis`, which a list let in, and no other name: a caller may have keyed that in.
    """
    text = value.node.value.strip() if value.is_scalar else ""
    if text.startswith(AGENT):
        who = value.part(text.removeprefix(AGENT))
        if who.text().startswith("$"):
            here.text(who)
        elif here.names.staff:
            known(who, here.names.staff.agents, "agent", "staff.yaml")
        return value.text()
    if not text.startswith(TRUNK):
        return scalars.sip_uri(value)
    name, slash, number = value.text().removeprefix(TRUNK).partition("/")
    way_out(value.part(name), here.names.trunks)
    if not slash or (number != _DIALLED and not re.fullmatch(r"\+?[0-9*#]{1,32}", number)):
        value.complain(f"transfer: {value.text()!r} has no number for the trunk (trunk:{name}/+4930123456)")
    return value.text()


def _hang_up(here: Here) -> Draft:
    place, value = here.place, here.main("hang up")
    cause = "normal"
    if here.step.value.is_mapping and not value.is_empty:
        cause = scalars.one_of(value, [name.replace("_", " ") for name in CAUSES], "cause").replace(" ", "_")
    return here.draft(lambda ways: HangUp(place, ways, cause), {})


def _plan(here: Here) -> Draft:
    value, place = here.main("plan"), here.place
    name = known(value, here.names.plans, "plan", "plans/")
    if name not in here.names.plans:
        return hole(value, here.names)
    here.names.led_to.add(name)
    return Draft(here.step.value, lambda ways: HangUp(place, ways), {}, frozenset(), goes_to=name)


READERS: Mapping[str, Callable[[Here], Draft | list[Draft]]] = {
    "answer": _answer,
    "early media": _early_media,
    "play": _play,
    "menu": asks.menu,
    "collect": asks.collect,
    "survey": asks.survey,
    "consent": asks.consent,
    "record": _record,
    "voicemail": asks.voicemail,
    "messages": asks.messages,
    "when": forks.when,
    "split": forks.split,
    "set": forks.set_values,
    "look up": errands.look_up,
    "webhook": errands.webhook,
    "callback": errands.callback,
    "queue": queue_steps.queue,
    "transfer": _transfer,
    "hang up": _hang_up,
    "plan": _plan,
}
_BARE = ("answer", "early media", "messages", "callback", "hang up")  # may stand alone
