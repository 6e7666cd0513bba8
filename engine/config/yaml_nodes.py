"""YAML nodes with their places, and the complaints about them. Here, and nowhere else, stands what knows YAML.

Nodes are read, never `safe_load`ed: YAML's own types lie to telephony (`+18005551234` becomes an int, `22:30`
becomes 1350, `0123` becomes 83, `no` becomes False, and of a key written twice the second silently wins). Every
scalar stays text; scalars.py converts it by what its field means. A mistake is noted and reading goes on with a
stand-in, so that one run reports them all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from engine.callflow.plan import Place

_DEEPEST = 50  # levels of nesting
_MERGE = "<<"
_MOST_NODES = 1_000_000  # with aliases written out


class _Untyped:
    """A scalar is text: no pattern decides that it is a number or a truth."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return ""


class _Loader(_Untyped, yaml.SafeLoader):
    """Words its errors well; tells them when libyaml has found one."""


class _FastLoader(_Untyped, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml, some ten times faster."""


@dataclass(frozen=True, slots=True, order=True)
class Complaint:
    """One mistake and where it stands."""

    file: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.text}"


class Complaints(Exception):
    """The configuration cannot be used. `found` is everything wrong with it, in order of place."""

    def __init__(self, found: Iterable[Complaint]) -> None:
        self.found = tuple(sorted(set(found)))
        super().__init__("\n".join(map(str, self.found)))


class Report:
    """Collects complaints while a configuration is read."""

    def __init__(self) -> None:
        self.found: list[Complaint] = []

    def add(self, place: Place, text: str) -> None:
        self.found.append(Complaint(place.file, place.line, place.column, text))


def guess(word: str, known: Iterable[str]) -> str:
    """` (support?)` if a known name is near, else nothing."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f" ({by_lower[near[0]]}?)" if near else ""


@dataclass(frozen=True, slots=True)
class Value:
    """A node of a file. `label` is what a complaint calls it, such as the key it stands behind."""

    node: yaml.Node
    file: str
    report: Report
    label: str

    @property
    def place(self) -> Place:
        return Place(self.file, self.node.start_mark.line + 1, self.node.start_mark.column + 1)

    def complain(self, text: str) -> None:
        self.report.add(self.place, text)

    @property
    def is_scalar(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_empty(self) -> bool:
        """`key:` with nothing behind it."""
        return self.is_scalar and self.node.value == "" and not getattr(self.node, "style", None)

    def text(self) -> str:
        """The scalar as written; empty after a complaint."""
        if not self.is_scalar:
            self.complain(f"{self.label} must be a single value, not a {'list' if self.is_list else 'mapping'}")
            return ""
        text: str = self.node.value
        if not text.strip():
            self.complain(f"{self.label} is empty")
        return text.strip()

    def part(self, text: str) -> Value:
        """A part of the scalar's text, at the place of the whole."""
        node = yaml.ScalarNode(self.node.tag, text, self.node.start_mark, self.node.end_mark)
        return Value(node, self.file, self.report, self.label)

    def items(self) -> list[Value]:
        """The items of a list; a single value counts as a list of one."""
        if self.is_list:
            return [Value(node, self.file, self.report, self.label) for node in self.node.value]
        if self.is_empty:
            self.complain(f"{self.label} is empty")
            return []
        return [self]

    def pairs(self) -> list[tuple[Value, Value]]:
        """Keys and values of a mapping, a repeated key left out. Those merged by `<<` come last, and give way."""
        if not self.is_mapping:
            self.complain(f"{self.label} {'is empty' if self.is_empty else 'must be a mapping of names to values'}")
            return []
        pairs: dict[str, tuple[Value, Value]] = {}
        merged: list[Value] = []
        for key_node, node in self.node.value:
            key = Value(key_node, self.file, self.report, f"a name in {self.label}")
            name = key.text()
            if name == _MERGE:
                merged.append(Value(node, self.file, self.report, name))
            elif name in pairs:
                key.complain(f"{name!r} stands here already, in line {pairs[name][0].place.line}")
            elif name:
                pairs[name] = key, Value(node, self.file, self.report, name)
        for pair in (pair for value in merged for pair in value.pairs()):
            pairs.setdefault(pair[0].text(), pair)
        return list(pairs.values())

    def section(self) -> Section:
        return Section(self, {key.text(): (key, value) for key, value in self.pairs()})


@dataclass(slots=True)
class Section:
    """A mapping whose keys are fixed: leaving it complains about every key that nobody asked for."""

    value: Value
    pairs: dict[str, tuple[Value, Value]]
    asked: dict[str, None] = field(default_factory=dict)

    def __enter__(self) -> Section:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None:
            self.close()

    def close(self) -> None:
        for name, (key, _value) in self.pairs.items():
            if name not in self.asked:
                key.complain(f"unknown key {name!r} in {self.value.label}{guess(name, self.asked)}")

    def get(self, name: str) -> Value | None:
        self.asked[name] = None
        return self.pairs[name][1] if name in self.pairs else None

    def need(self, name: str) -> Value | None:
        """get(), with a complaint if the key is missing."""
        if (value := self.get(name)) is None:
            self.value.complain(f"{self.value.label} lacks {name!r}")
        return value

    def __contains__(self, name: str) -> bool:
        return name in self.pairs

    def __iter__(self) -> Iterator[str]:
        return iter(self.pairs)


def read_text(path: Path, report: Report) -> str | None:
    """The file's text, or None after a complaint."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        report.add(Place(str(path), before.count(b"\n") + 1, column), "this is not UTF-8 text")
    except OSError as error:
        report.add(Place(str(path), 1, 1), f"cannot be read: {error.strerror}")
    except ValueError:
        report.add(Place(str(path), 1, 1), "cannot be read: no such name is possible")
    return None


def is_file(path: Path) -> bool:
    """False also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_yaml(path: Path, report: Report, empty: str) -> Value | None:
    """The file's only document; None after a complaint, which for an empty file is the text `empty`."""
    text = read_text(path, report)
    if text is None:
        return None
    try:
        node = _compose(text)
        if node is None:
            report.add(Place(str(path), 1, 1), empty)
            return None
        _refuse_tangles(node)
    except yaml.YAMLError as error:
        report.add(*_told(error, path, text))
        return None
    return Value(node, str(path), report, path.name)


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_FastLoader)
    except yaml.YAMLError:
        yaml.compose(text, Loader=_Loader)
        raise


def _told(error: yaml.YAMLError, path: Path, text: str) -> tuple[Place, str]:
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        place = Place(str(path), before.count("\n") + 1, error.position - before.rfind("\n"))
        code = error.character if isinstance(error.character, int) else ord(error.character)
        return place, f"character U+{code:04X} is not allowed in YAML"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = Place(str(path), mark.line + 1, mark.column + 1) if mark else Place(str(path), 1, 1)
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or str(error)
    return place, f"YAML: {problem}"


def _refuse_tangles(root: yaml.Node) -> None:
    """An alias may repeat a part, not contain itself or explode."""
    n_nodes = 0
    stack = [(root, 1)]
    while stack:
        node, depth = stack.pop()
        n_nodes += 1
        if depth > _DEEPEST or n_nodes > _MOST_NODES:
            raise yaml.MarkedYAMLError(
                problem="nested too deeply, or an alias that contains itself", problem_mark=node.start_mark
            )
        if isinstance(node, yaml.MappingNode):
            stack.extend((part, depth + 1) for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            stack.extend((part, depth + 1) for part in node.value)
