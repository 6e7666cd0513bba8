"""What a queue step asks of an agent as the call waits: groups in turn and relaxations, made one ladder of rungs.

Counterparts: steps.py, where a plan says both; engine/acd, which gives the ladder to the core; engine/config, which
sees to its limits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from engine.callflow.steps import Need, Needs, Queue, Relax, Turn

MOST_RUNGS = 8  # the start included; of the core
MOST_TERMS = 16  # alternatives of needs; of the core
MOST_SKILLS = 256  # numbers that skills and sets of groups share in the core


@dataclass(frozen=True, slots=True)
class Rung:
    """From `after_s` of waiting on: skills as the plan asks for them (the queue's own needs come on top), and somebody
    of these groups; no group: everybody who serves the queue. The head start is at least this."""

    after_s: float
    needs: Needs
    groups: tuple[str, ...]
    head_start_s: float


def ladder(step: Queue) -> tuple[Rung, ...]:
    """The start, and every later rung in order of time; of one moment, turns before relaxations. Groups add up."""
    first = step.turns[0] if step.turns else None
    groups = tuple(sorted(first.groups)) if first else ()
    needs = step.needs
    rungs = [Rung(0.0, needs, groups, max(step.head_start_s, (first and first.head_start_s) or 0.0))]
    changes: list[Turn | Relax] = [*step.turns[1:], *step.relax]
    for change in sorted(changes, key=lambda change: change.after_s):
        if isinstance(change, Turn):
            groups = tuple(sorted({*groups, *change.groups})) if groups and change.groups else ()
        elif change.needs is not None:
            needs = change.needs
        rungs.append(Rung(change.after_s, needs, groups, change.head_start_s or 0.0))
    return tuple(rungs)


def both(left: Needs, right: Needs) -> Needs:
    """Needs that hold only where both hold: the AND of two ORs of terms."""
    if not left or not right or left == right:
        return left or right
    return tuple(dict.fromkeys(_merge(a, b) for a, b in product(left, right)))


def _merge(a: Iterable[Need], b: Iterable[Need]) -> tuple[Need, ...]:
    levels: dict[str, int] = {}
    for skill, level in (*a, *b):
        levels[skill] = max(level, levels.get(skill, 0))
    return tuple(sorted(levels.items()))
