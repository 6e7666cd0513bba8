"""A step between YAML and the plan book: read, numbered, its ways not drawn yet; and the names that steps may use.

Counterparts: steps.py makes drafts, plans.py draws their ways, paths.py follows them.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from engine.callflow.conditions import Hours, NumberList
from engine.callflow.plan import Step
from engine.callflow.settings import SoundFiles
from engine.callflow.staff import Staff
from engine.callflow.steps import HangUp, Queue
from engine.config.yaml_nodes import Value

HOLE = "?"  # the plan that an unreadable step leads to; no plan can have this name


@dataclass(slots=True)
class Names:
    """What a step may name. The sets and the holes are found out while the steps are read.

    `left` are the queues given up when nobody is logged in: a queue does so for all steps or for none.
    """

    staff: Staff | None  # None where it cannot be read
    sounds: SoundFiles | None
    lists: Mapping[str, NumberList]
    hours: Mapping[str, Hours]
    plans: frozenset[str]
    led_to: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    holes: list[Value] = field(default_factory=list)

    @property
    def queues(self) -> Collection[str] | None:
        return None if self.staff is None else self.staff.queues

    @property
    def skills(self) -> Collection[str] | None:
        return None if self.staff is None else self.staff.skills


@dataclass(slots=True)
class Draft:
    """A step whose ways are not drawn yet. `ways` has the branch of each result, empty where the next step follows."""

    value: Value
    make: Callable[[Mapping[str, int]], Step]
    ways: Mapping[str, list["Draft"]]
    possible: frozenset[str]  # the results that can come about with this configuration
    queue: str = ""
    goes_to: str | None = None  # not a step of its own: the walk goes on in this plan
    index: int = -1
    step: Step | None = None

    @property
    def branches(self) -> dict[int, list["Draft"]]:
        """Each branch once, even if several results share it."""
        return {id(branch): branch for branch in self.ways.values() if branch}

    def complain_of_no_end(self, results: list[str]) -> None:
        words = {"done": "this step", "yes": "this when it holds", "no": "this when it does not hold"}
        named = [words.get(result, f"`on {result.replace('_', ' ')}`") for result in results]
        self.value.complain(f"nothing follows {', '.join(named)}: the call must go on, or end with `hang up`")

    def why_last(self) -> str:
        """Why no call comes to the next step."""
        if self.goes_to is not None:
            return f'the step before goes on in plan "{self.goes_to}"'
        if isinstance(self.step, HangUp):
            return "the step before ends the call"
        if isinstance(self.step, Queue) and not self.possible:
            return f'queue "{self.step.queue}" before it has no max wait and no max length'
        return "all ways of the step before end elsewhere"
