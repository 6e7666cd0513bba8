"""What a queue of staff.yaml says to those it serves and promises to those it does not: whisper, greeting, survey,
callbacks. Counterparts: staff.py, which reads the rest of a queue; engine/callflow/staff.py (Callbacks), the types.
"""

import re
from collections.abc import Collection
from typing import Any

from engine.callflow.settings import SoundFiles, Trunk
from engine.callflow.staff import RETRIES, Callbacks
from engine.callflow.steps import Item
from engine.config import scalars
from engine.config.items import Named, read_items
from engine.config.needs import way_out
from engine.config.values import ALWAYS, CUSTOMER, QUEUED, TALKING
from engine.config.yaml_nodes import Section, Value, guess

_ABANDONED = re.compile(r"after (.+)")
_MOST_RETRIES = 20
_CUSTOMERS = frozenset(f"customer.{field}" for field in CUSTOMER)  # plans may have looked them up


def read_promises(
    queue: Section, sounds: SoundFiles | None, trunks: Collection[Trunk] | None
) -> dict[str, Any]:
    """Fields of staff.Queue. `trunks`: those of switch.yaml; None where it could not be read."""
    read: dict[str, Any] = {}
    for name in ("whisper", "greeting"):
        if value := queue.get(name):
            read[name] = _items(value, sounds, TALKING)
    if value := queue.get("survey"):
        read["survey"] = scalars.yes_no(value)
    if value := queue.get("callbacks"):
        read["callbacks"] = Callbacks() if value.is_empty else _callbacks(value, sounds, trunks)
    return read


def check_names(named: Named, names: Collection[str]) -> None:
    """staff.yaml belongs to no plan, so that it may use only what every plan knows, and customers."""
    for place, name in named:
        if name not in names:
            place.complain(f'"${name}" is not known for all calls of a queue{guess(name, names)}')


def _callbacks(value: Value, sounds: SoundFiles | None, trunks: Collection[Trunk] | None) -> Callbacks:
    read: dict[str, Any] = {}
    with value.section() as section:
        if item := section.get("trunk"):
            read["trunk"] = way_out(item, trunks)
        if item := section.get("abandoned"):
            read["abandoned_after_s"] = _abandoned(item)
        if item := section.get("first"):
            read["customer_first"] = scalars.one_of(item, ("agent", "customer")) == "customer"
        if item := section.get("between"):
            read["windows"] = scalars.stretches(item)
            if not read["windows"]:
                item.complain("nobody could be called back: between has no time")
        if item := section.get("retries"):
            read["retries"] = {_result(key): _pauses(pauses) for key, pauses in item.pairs()}
        if item := section.get("share"):
            read["share_percent"] = scalars.percent(item)
        if item := section.get("ring for"):
            read["ring_for_s"] = scalars.duration(item, 5.0, 180.0)
        if item := section.get("say"):
            read["prompts"] = _items(item, sounds, ())
            if not read.get("customer_first"):
                item.complain("say is heard by the customer who waits for an agent: it goes with `first: customer`")
        if item := section.get("whisper"):
            read["whisper"] = _items(item, sounds, TALKING)
        if item := section.get("language"):
            read["language"] = item.text()
    for prompt in (*read.get("prompts", ()), *read.get("whisper", ())):
        language = read.get("language", Callbacks().language)
        if isinstance(prompt, str) and sounds and language not in sounds.prompts.get(prompt, {language}):
            value.complain(f'prompt "{prompt}" has no words in language "{language}"')
    return Callbacks(**read)


def _abandoned(value: Value) -> float | None:
    """`after 5s`, or `no`."""
    text = value.text()
    if text == "no":
        return None
    if found := _ABANDONED.fullmatch(text):
        return scalars.duration(value.part(found[1]), 0.0, 3600.0)
    if text:
        value.complain(f"abandoned: {text!r} is neither `after 5s` nor `no`")
    return Callbacks().abandoned_after_s


def _result(key: Value) -> str:
    return scalars.one_of(key, [result.replace("_", " ") for result in RETRIES], "result").replace(" ", "_")


def _pauses(value: Value) -> tuple[float, ...]:
    """Growing pauses: a customer who was busy is called sooner than one who was busy three times."""
    pauses: list[float] = []
    for item in [] if value.is_list and not value.node.value else value.items():
        pause_s = scalars.duration(item, 5.0, 7 * 24 * 3600.0)
        if pauses and pause_s < pauses[-1]:
            item.complain("pauses grow: this one is shorter than the one before")
        pauses.append(pause_s)
    if len(pauses) > _MOST_RETRIES:
        value.complain(f"{len(pauses)} retries; {_MOST_RETRIES} at most")
    return tuple(pauses)


def _items(value: Value, sounds: SoundFiles | None, also: Collection[str]) -> tuple[Item, ...]:
    items, named = read_items(value, sounds, ())
    check_names(named, {*ALWAYS, *QUEUED, *_CUSTOMERS, *also})
    return items
