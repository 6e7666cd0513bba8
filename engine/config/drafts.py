"""A step between YAML and the plan book: read, numbered, its ways not drawn yet; and what is at hand while it is read.

Counterparts: steps.py and its siblings make drafts, plans.py draws their ways, paths.py follows them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from engine.callflow.conditions import AirTime, Hours, NumberList
from engine.callflow.plan import Place, Step
from engine.callflow.settings import SoundFiles, Trunk, WebLookUp
from engine.callflow.staff import Staff
from engine.callflow.steps import HangUp, Item, Queue
from engine.config.items import name_in, read_items
from engine.config.yaml_nodes import Section, Value

HOLE = "?"  # the plan that an unreadable step leads to; no plan can have this name
GO_ON = "go on"  # a branch that is nothing but the way to the step behind


@dataclass(slots=True)
class Names:
    """What a step may name. The sets and the holes are found out while the steps are read.

    `left` and `skillless` are the queues given up when nobody is logged in, or nobody with the skills: a queue does so
    for all steps or for none.
    """

    staff: Staff | None  # None where it cannot be read
    sounds: SoundFiles | None
    lists: Mapping[str, NumberList]
    hours: Mapping[str, Hours]
    airs: Mapping[str, AirTime]
    look_ups: Mapping[str, WebLookUp]
    plans: frozenset[str]
    trunks: Collection[Trunk] | None = None  # None where switch.yaml cannot be read
    led_to: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    skillless: set[str] = field(default_factory=set)
    holes: list[Value] = field(default_factory=list)

    @property
    def queues(self) -> Collection[str] | None:
        return None if self.staff is None else self.staff.queues

    @property
    def skills(self) -> Collection[str] | None:
        return None if self.staff is None else self.staff.skills


@dataclass(frozen=True, slots=True)
class Use:
    """A `$name` in a step; `known` are the names that the step itself brings."""

    value: Value
    name: str
    known: frozenset[str]


@dataclass(slots=True)
class Draft:
    """A step whose ways are not drawn yet. `ways` has the branch of each result, empty where the next step follows."""

    value: Value
    make: Callable[[Mapping[str, int]], Step]
    ways: Mapping[str, list["Draft"]]
    possible: frozenset[str]  # the results that can come about with this configuration
    uses: list[Use] = field(default_factory=list)
    gives: Mapping[str, frozenset[str]] = field(default_factory=dict)  # result -> the names that are set by it
    queue: str = ""
    goes_to: str | None = None  # not a step of its own: the walk goes on in this plan
    index: int = -1
    step: Step | None = None

    @property
    def branches(self) -> dict[int, list["Draft"]]:
        """Each branch once, even if several results share it."""
        return {id(branch): branch for branch in self.ways.values() if branch}

    def complain_of_no_end(self, results: list[str]) -> None:
        words = {
            "done": "this step",
            "yes": "this when it holds",
            "no": "this when it does not hold",
            "given": "this step",
            "served": "`after talk`",
        }
        named = [words.get(result, _branch_word(result)) for result in results]
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


def _branch_word(result: str) -> str:
    return f"key {result}" if result[:1] in set("0123456789*#") else f"`on {result.replace('_', ' ')}`"


def hole(value: Value, names: Names) -> Draft:
    """Stands for what could not be read, so that reading goes on behind it."""
    names.holes.append(value)
    return Draft(value, lambda ways: HangUp(value.place, ways), {}, frozenset(), goes_to=HOLE)


@dataclass(slots=True)
class Here:
    """A step being read: its keys, what it may name, the language that holds; and the reading of its parts."""

    step: Section
    names: Names
    plan_language: str
    read_steps: Callable[[Value, Names, str], list[Draft]]
    uses: list[Use] = field(default_factory=list)

    @property
    def place(self) -> Place:
        return self.step.value.place

    def get(self, key: str) -> Value | None:
        return self.step.get(key)

    def main(self, verb: str) -> Value:
        value = self.step.get(verb)
        assert value is not None, verb  # the verb is how the reader was found
        return value

    def bare(self, verb: str) -> None:
        """A step without a value, as a word or as a key with settings behind it."""
        word = self.main(verb)
        if self.step.value.is_mapping and not word.is_empty:
            word.complain(f"{verb} takes no value: write `- {verb}`")

    def language(self) -> str:
        """The step's own `language`, else the plan's."""
        value = self.step.get("language")
        return self.plan_language if value is None else value.text()

    def branch(self, key: str) -> list[Draft] | None:
        """The steps under a key; None if it is not there."""
        value = self.step.get(key)
        return None if value is None else self.steps(value)

    def steps(self, value: Value) -> list[Draft]:
        """A branch: steps, or `go on`."""
        if value.is_scalar and value.node.value.strip() == GO_ON:
            return []
        return self.read_steps(value, self.names, self.plan_language)

    def on(self, results: Iterable[str]) -> dict[str, list[Draft]]:
        """The branch of each result, under `on ...`; empty where the next step follows."""
        return {result: self.branch("on " + result.replace("_", " ")) or [] for result in results}

    def items(self, value: Value | None, language: str, known: Iterable[str] = ()) -> tuple[Item, ...]:
        """What is to be heard. `known`: names that are known where it is heard, because of this step."""
        if value is None:
            return ()
        items, named = read_items(value, self.names.sounds, [language], self.names.hours)
        self.uses += [Use(place, name, frozenset(known)) for place, name in named]
        return items

    def text(self, value: Value) -> str:
        """A text, or a `$name`."""
        if name := name_in(value):
            self.use(value, name)
        return value.text()

    def use(self, value: Value, name: str) -> None:
        """This step looks at what the call knows by this name."""
        self.uses.append(Use(value, name, frozenset()))

    def draft(
        self,
        make: Callable[[Mapping[str, int]], Step],
        ways: Mapping[str, list[Draft]],
        gives: Mapping[str, frozenset[str]] | None = None,
        possible: Iterable[str] | None = None,
    ) -> Draft:
        happens = frozenset(ways if possible is None else possible)
        return Draft(self.step.value, make, ways, happens, self.uses, gives or {})
