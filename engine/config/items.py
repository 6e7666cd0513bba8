"""What callers and agents hear, as plans and staff.yaml write it: prompts, spoken values, music, announcements.

    play: [welcome, { number: $digits }, { count: 3, of: caller }, { hours: office }]

Counterparts: engine/callflow/steps.py (Item, Say, Announce); engine/callflow/say.py, which knows the kinds of values.
"""

import re
from collections.abc import Collection, Iterable

from engine.callflow.say import GRAMMARS, KINDS, UNITS, CannotSay, say
from engine.callflow.settings import SoundFiles
from engine.callflow.steps import Announce, Item, Say
from engine.config import scalars
from engine.config.needs import known
from engine.config.yaml_nodes import Value, guess

_NAME = re.compile(r"\$(\w[\w.-]*)")
_KINDS = {kind.replace("_", " "): kind for kind in KINDS}
ONCE = float("inf")

Named = list[tuple[Value, str]]  # each `$name`, and where it stands


def name_in(value: Value) -> str:
    """The name in a text that is `$name`; empty in a text that is none."""
    text = value.text()
    if found := _NAME.fullmatch(text):
        return found[1]
    if "$" in text:
        value.complain(f"{text!r}: a `$name` stands alone, it is not put into a text")
    return ""


def read_items(
    value: Value, sounds: SoundFiles | None, languages: Iterable[str], hours: Collection[str] | None = None
) -> tuple[tuple[Item, ...], Named]:
    """One item or a list of them, each known in all of `languages`; and the `$name`s in it.

    `hours`: the opening hours that may be spoken; None: none may be, here.
    """
    items: list[Item] = []
    named: Named = []
    for item in value.items():
        if item.is_mapping:
            items.append(_spoken(item, list(languages), hours, named))
        else:
            items.append(_prompt(item, sounds, languages))
    if not items and value.is_list:
        value.complain(f"{value.label} is empty")
    return tuple(items), named


def _prompt(item: Value, sounds: SoundFiles | None, languages: Iterable[str]) -> str:
    name = known(item, None if sounds is None else sounds.prompts, "prompt", "prompts/manifest.yaml")
    for language in languages:
        if sounds and language not in sounds.prompts.get(name, {language}):
            item.complain(f'prompt "{name}" has no words in language "{language}"')
    return name


def _spoken(item: Value, languages: list[str], hours: Collection[str] | None, named: Named) -> Say:
    """`{number: $digits}`, `{count: $position, of: caller}`, `{hours: office}`."""
    pairs = {key.text(): (key, value) for key, value in item.pairs()}
    unit = pairs.pop("of", None)
    if len(pairs) != 1 or next(iter(pairs)) not in _KINDS:
        word = next((word for word in pairs if word not in _KINDS), "")
        item.complain(f"a spoken value is one of: {', '.join(_KINDS)}{guess(word, _KINDS) if word else ''}")
        return Say("number", "0")
    word, (_key, value) = next(iter(pairs.items()))
    text = value.text()
    spoken = Say(_KINDS[word], text, _unit(item, word, unit[1] if unit else None))
    for language in languages:
        if language not in GRAMMARS:
            item.complain(f'nothing can be spoken in language "{language}" (one of: {", ".join(GRAMMARS)})')
            return spoken
    if spoken.kind == "hours":
        known(value, [] if hours is None else hours, "hours", "plans/" if hours is not None else "staff.yaml")
    elif name := name_in(value):
        named.append((value, name))
    elif text and "$" not in text:
        _try(value, spoken)
    return spoken


def _unit(item: Value, word: str, unit: Value | None) -> str:
    if unit is not None and word != "count":
        unit.complain(f"{word} is not counted: `of` goes with `count`")
    elif unit is not None:
        return scalars.one_of(unit, UNITS, "of")
    elif word == "count":
        item.complain(f"count lacks 'of' (one of: {', '.join(UNITS)})")
    return UNITS[0] if word == "count" else ""


def _try(value: Value, spoken: Say) -> None:
    try:
        say(spoken.kind, spoken.value, "zh", spoken.unit)
    except CannotSay as error:
        value.complain(str(error))


def read_music(value: Value, sounds: SoundFiles | None) -> str:
    return known(value, None if sounds is None else sounds.music, "music", "prompts/manifest.yaml")


def read_announces(
    value: Value, sounds: SoundFiles | None, languages: Iterable[str]
) -> tuple[tuple[Announce, ...], Named]:
    """`{play: please_wait, first: 20s, every: 30s}`, or a list of such; without `every` it is heard once."""
    announces: list[Announce] = []
    named: Named = []
    for item in value.items():
        with item.section() as section:
            play, first, every = section.need("play"), section.get("first"), section.get("every")
            items, used = read_items(play, sounds, languages) if play else ((), [])
            named += used
            announces.append(
                Announce(
                    items,
                    scalars.duration(first) if first else 0.0,
                    scalars.duration(every, 5.0) if every else ONCE,
                )
            )
        if first is None and every is None:
            item.complain("announce needs `first`, `every` or both")
    return tuple(announces), named
