"""The plans' queue steps as the ACD meets them: where each stands, what of it counts, which is which after a reload.

Counterpart: engine/callflow/steps.py, the type.
"""

from collections.abc import Mapping
from dataclasses import replace

from engine.callflow.plan import PlanBook, Step
from engine.callflow.steps import Queue as QueueStep


def queue_steps(book: PlanBook) -> dict[str, QueueStep]:
    return {place_of(step): step for step in book.steps if isinstance(step, QueueStep)}


def place_of(step: Step) -> str:
    """file:line:column: two steps may stand on one line."""
    return f"{step.place}:{step.place.column}"


def bare(step: QueueStep) -> QueueStep:
    """The part of a step that the ACD looks at."""
    return replace(step, ways={}, music="", announces=(), keys=(), whisper=(), greeting=(), language="")


def asks_the_same(step: QueueStep, known: QueueStep) -> bool:
    """But for what is heard, and for the name of the preferred agent."""
    return (
        step.queue == known.queue
        and step.needs == known.needs
        and step.relax == known.relax
        and step.turns == known.turns
        and step.head_start_s == known.head_start_s
        and step.max_wait_s == known.max_wait_s
        and _terms(step) == _terms(known)
    )


def _terms(step: QueueStep) -> tuple[float, float] | None:
    return (step.preferred.wait_s, step.preferred.head_start_s) if step.preferred else None


def moved_steps(old: Mapping[str, QueueStep], new: Mapping[str, QueueStep]) -> dict[str, str]:
    """Which step of the new plans is which of the old ones: the n-th of its file for its queue, where there are as many
    as before; else none."""
    mine, theirs = _by_file(old), _by_file(new)
    return {
        place: other
        for key, places in mine.items()
        if len(theirs.get(key, ())) == len(places)
        for place, other in zip(places, theirs[key], strict=True)
    }


def _by_file(steps: Mapping[str, QueueStep]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for place, step in sorted(steps.items(), key=lambda pair: (pair[1].place.line, pair[1].place.column)):
        found.setdefault((step.place.file, step.queue), []).append(place)
    return found
