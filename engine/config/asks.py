"""The steps that ask the caller for keys, or for words: menu, collect, survey, consent, voicemail, messages.

Counterparts: steps.py, which knows every step by its word; engine/callflow/steps.py, the types and the defaults.
"""

import re
from collections.abc import Mapping
from typing import Any

from engine.callflow.conditions import Equals
from engine.callflow.steps import Ask, Consent, Item, Messages, Voicemail
from engine.config import scalars
from engine.config.drafts import Draft, Here
from engine.config.needs import known
from engine.config.yaml_nodes import Value

_KEYS = re.compile(r"[0-9*#]{1,8}", re.ASCII)
_MOST_DIGITS = 32
_BOX = re.compile(r"(queue|agent):(.+)")


def menu(here: Here) -> Draft:
    """`menu: PROMPTS` with `keys: {1: [steps], 2: [steps]}`."""
    language = here.language()
    items = here.items(here.main("menu"), language)
    branches: dict[str, list[Draft]] = {}
    if (keys := here.step.need("keys")) is not None:
        branches = _branches(here, keys)
        if not branches and keys.is_mapping:
            keys.complain("a menu has at least one key")
    asked = _asked(here, language, tuple(branches))
    lengths = [len(key) for key in branches] or [1]
    return _ask(here, items, language, {**asked, "n_min": min(lengths), "n_max": max(lengths)}, branches)


def collect(here: Here) -> Draft:
    """`collect: PROMPTS` with `digits: 4` or `4-6`, `into: NAME`."""
    language = here.language()
    items = here.items(here.main("collect"), language)
    digits, end_key = here.step.need("digits"), here.get("end key")
    n_min, n_max = scalars.count_range(digits, 1, _MOST_DIGITS) if digits else (1, 1)
    asked = _asked(here, language, ())
    if end_key:
        asked["end_key"] = scalars.one_of(end_key, ("#", "*", "none")).replace("none", "")
    return _ask(here, items, language, {**asked, "n_min": n_min, "n_max": n_max}, {"done": []})


def survey(here: Here) -> Draft:
    """`survey: NAME` with `question: PROMPTS` and `answers: {1: satisfied, 2: dissatisfied}`.

    Left out after talks of the queues that say `survey: no`; then it is a fork with the question on one of its ways.
    """
    language = here.language()
    name = scalars.name(here.main("survey"))
    question, answers = here.step.need("question"), here.step.need("answers")
    items = here.items(question, language)
    labels = {_key(key): value.text() for key, value in (answers.pairs() if answers else ())}
    asked = _asked(here, language, tuple(labels))
    keys = here.get("keys")
    branches = _branches(here, keys) if keys else {}
    for key in branches:
        if key not in labels and keys:
            keys.complain(f"key {key} is none of the answers")
    lengths = [len(key) for key in labels] or [1]
    asked |= {"n_min": min(lengths), "n_max": max(lengths), "survey": name, "labels": tuple(labels.values())}
    draft = _ask(here, items, language, asked, {key: branches.get(key, []) for key in labels})
    queues = here.names.staff.queues.values() if here.names.staff else ()
    place, texts = here.place, tuple(sorted(queue.name for queue in queues if not queue.survey))
    if not texts:
        return draft
    return Draft(
        here.step.value,
        lambda ways: Equals(place, ways, "queue", texts),
        {"yes": [], "no": [draft]},
        frozenset(("yes", "no")),
    )


def consent(here: Here) -> Draft:
    """`consent: PROMPTS`: the call is recorded unless the caller presses `refuse key`."""
    language, place = here.language(), here.place
    items = here.items(here.main("consent"), language)
    read: dict[str, Any] = {}
    if value := here.get("refuse key"):
        read["refuse_key"] = scalars.one_of(value, tuple("0123456789*#"), "refuse key")
    if value := here.get("within"):
        read["within_s"] = scalars.duration(value, 0.0, 30.0)
    ways = {"given": [], **here.on(["refused"])}
    return here.draft(lambda drawn: Consent(place, drawn, items, language, **read), ways)


def voicemail(here: Here) -> Draft:
    """`voicemail: queue:NAME` or `agent:NUMBER`, the number perhaps a `$name`."""
    language, place = here.language(), here.place
    box = _box(here, here.main("voicemail"))
    tone, longest, shortest = here.get("tone"), here.get("longest"), here.get("shortest")
    sound = here.items(tone, language)
    if tone and (len(sound) != 1 or not isinstance(sound[0], str)):
        tone.complain("the tone is one prompt")
    read: dict[str, Any] = {"tone": str(sound[0])} if sound else {}
    if longest:
        read["max_s"] = scalars.duration(longest, 1.0, 600.0)
    if shortest:
        read["min_s"] = scalars.duration(shortest, 0.0, 60.0)
    if tone is None and here.names.sounds and Voicemail.__dataclass_fields__["tone"].default not in (
        here.names.sounds.prompts
    ):
        here.step.value.complain("voicemail needs a prompt named `beep` in prompts/manifest.yaml, or `tone`")
    ways = {"done": [], **here.on(["too_short"])}
    return here.draft(lambda drawn: Voicemail(place, drawn, box, language=language, **read), ways)


def messages(here: Here) -> Draft:
    """`messages`: whoever knows a box and its PIN listens to it."""
    language, place = here.language(), here.place
    here.bare("messages")
    ways = {"done": [], **here.on(["refused"])}
    return here.draft(lambda drawn: Messages(place, drawn, language), ways)


# ---- parts


def _asked(here: Here, language: str, choices: tuple[str, ...]) -> dict[str, Any]:
    """What all steps that ask for digits have in common."""
    read: dict[str, Any] = {"choices": choices}
    if value := here.get("tries"):
        read["tries"] = scalars.count(value, 1, 20)
    if value := here.get("first digit within"):
        read["first_s"] = scalars.duration(value, 0.5, 120.0)
    if value := here.get("between digits"):
        read["between_s"] = scalars.duration(value, 0.2, 30.0)
    if value := here.get("barge in"):
        read["barge_in"] = scalars.yes_no(value)
    if value := here.get("into"):
        read["into"] = scalars.name(value)
    read["invalid"] = here.items(here.get("say when invalid"), language)
    read["silent"] = here.items(here.get("say when silent"), language)
    if any("#" in choice for choice in choices):
        read["end_key"] = ""
    return read


def _ask(
    here: Here, items: tuple[Item, ...], language: str, asked: Mapping[str, Any], answers: Mapping[str, list[Draft]]
) -> Draft:
    place, given = here.place, dict(asked)
    ways = {**answers, **here.on(["no_input", "invalid"])}
    into = frozenset((given.get("into", Ask.__dataclass_fields__["into"].default),))
    return here.draft(lambda drawn: Ask(place, drawn, items, language, **given), ways, dict.fromkeys(answers, into))


def _branches(here: Here, keys: Value) -> dict[str, list[Draft]]:
    return {_key(key): here.steps(value) for key, value in keys.pairs()}


def _key(key: Value) -> str:
    text = key.text()
    if not _KEYS.fullmatch(text):
        key.complain(f"{text!r} is not what a caller can key in (0 to 9, * and #, at most 8 of them)")
    return text


def _box(here: Here, value: Value) -> str:
    found, staff = _BOX.fullmatch(value.text()), here.names.staff
    if not found:
        value.complain(f"{value.text()!r} is not a box (queue:NAME, agent:NUMBER, agent:$customer.agent)")
        return "queue:"
    kind, owner = found[1], value.part(found[2])
    if owner.text().startswith("$"):
        if kind == "queue" and owner.text() != "$queue":
            value.complain("the queue of a box is named, or it is `$queue`, in which the call has waited")
        here.text(owner)
    elif staff is not None:
        known(owner, staff.queues if kind == "queue" else staff.agents, kind, "staff.yaml")
    return value.text()
