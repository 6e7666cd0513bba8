"""A scenario's YAML -> Scenario, or every mistake with file, line and column. Counterpart: scenario.py.

Read with the reader of the configuration, so durations (`1s-3s`, `250ms`) and complaints are the same.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.scenario import ARRIVALS, CODECS, ENTRANCES, LIMITS, RECORDINGS, SIDES, Kind, Scenario, Stretch
from engine.config import scalars
from engine.config.yaml_nodes import Complaints, Report, Section, Value, guess, read_yaml

FOLDER = Path(__file__).resolve().parent / "scenarios"
ENDS = ("talk", "plan", "gives up")
_KEYS = re.compile(r"[0-9*#]{1,20}")


def known() -> list[str]:
    """The names of the shipped scenarios."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def load(names: Iterable[str]) -> list[Scenario]:
    """The scenarios of these names, or files. Raises Complaints with everything that is wrong with any of them."""
    report, found = Report(), []
    for name in names:
        file = Path(name) if name.endswith(".yaml") else FOLDER / f"{name}.yaml"
        value = read_yaml(file, report, "a scenario is empty")
        if value:
            found.append(_scenario(value, file.stem))
    if report.found:
        raise Complaints(report.found)
    return found


def _scenario(value: Value, name: str) -> Scenario:
    read: dict[str, Any] = {"name": name, "says": ""}
    with value.section() as top:
        if item := top.need("says"):
            read["says"] = item.text()
        if item := top.get("callers"):
            with item.section() as callers:
                _callers(callers, read)
        if item := top.get("agents"):
            with item.section() as agents:
                _agents(agents, read)
        if item := top.get("switch"):
            with item.section() as switch:
                _switch(switch, read)
        if item := top.get("measure for"):
            read["duration_s"] = scalars.duration(item, 1.0)
        if item := top.get("warm up"):
            read["warm_up_s"] = scalars.duration(item)
        if item := top.get("limits"):
            read["limits"] = _limits(item)
        if item := top.get("short set"):
            read["in_short_set"] = scalars.yes_no(item)
    scenario = Scenario(**read)
    if scenario.arrivals == "refill" and not scenario.n_calls:
        value.complain("arrivals: refill needs `at once`, how many calls are always in")
    return scenario


def _callers(callers: Section, read: dict[str, Any]) -> None:
    if item := callers.get("arrivals"):
        read["arrivals"] = scalars.one_of(item, ARRIVALS)
    if item := callers.get("a second"):
        read["rate"] = _rate(item)
    if item := callers.get("at once"):
        read["n_calls"] = scalars.count(item, 1, 100_000)
    if item := callers.get("talk"):
        read["talk_s"] = _stretch(item)
    if item := callers.get("hang up"):
        read["hang_up"] = scalars.one_of(item, SIDES)
    if item := callers.get("patience"):
        read["patience_s"] = scalars.duration(item, 1.0)
    if item := callers.get("kinds"):
        kinds = tuple(_kind(key.text(), value) for key, value in item.pairs())
        if kinds and abs(sum(kind.share for kind in kinds) - 1) > 0.001:
            item.complain(f"the shares make {100 * sum(kind.share for kind in kinds):g}%, not 100%")
        read["kinds"] = kinds


def _kind(name: str, value: Value) -> Kind:
    read: dict[str, Any] = {"name": name, "share": 0.0}
    with value.section() as kind:
        if item := kind.need("share"):
            read["share"] = scalars.percent(item) / 100
        if item := kind.get("dials"):
            read["dials"] = scalars.one_of(item, tuple(ENTRANCES))
        if item := kind.get("ends"):
            read["ends"] = scalars.one_of(item, ENDS)
        if item := kind.get("keys"):
            read["keys"] = item.text()
            if read["keys"] and not _KEYS.fullmatch(read["keys"]):
                item.complain(f"keys: {read['keys']!r} is no row of keys (0-9, *, #)")
        if item := kind.get("keys after"):
            read["keys_after_s"] = scalars.duration(item)
        if item := kind.get("gives up after"):
            read["gives_up_s"] = _stretch(item)
    if "gives_up_s" in read and read.get("ends") != "gives up":
        value.complain("`gives up after` goes with `ends: gives up`")
    return Kind(**read)


def _agents(agents: Section, read: dict[str, Any]) -> None:
    if (item := agents.get("there")) and item.text() != "enough":
        read["n_agents"] = scalars.count(item, 0, 100_000)
    if item := agents.get("answer after"):
        read["answer_after_s"] = _stretch(item)
    if item := agents.get("decline"):
        read["refuses"] = scalars.percent(item) / 100
    if item := agents.get("do not answer"):
        read["ignores"] = scalars.percent(item) / 100


def _switch(switch: Section, read: dict[str, Any]) -> None:
    if item := switch.get("codec"):
        read["codec"] = scalars.one_of(item, CODECS)
    if item := switch.get("record"):
        read["record"] = scalars.one_of(item, RECORDINGS)
    if item := switch.get("announcements"):
        read["announce"] = scalars.yes_no(item)
    if item := switch.get("ring for"):
        read["ring_for_s"] = scalars.duration(item, 1.0)
    if item := switch.get("trunk fails"):
        read["trunk_fails"] = scalars.yes_no(item)


def _limits(value: Value) -> dict[str, float]:
    limits: dict[str, float] = {}
    for key, item in value.pairs():
        name = key.text()
        unit = LIMITS.get(name)
        if unit is None:
            key.complain(f"no limit is called {name!r}{guess(name, LIMITS) or ' (one of: ' + ', '.join(LIMITS) + ')'}")
        elif unit == "ms":
            limits[name] = 1000 * scalars.duration(item)
        elif unit == "%":
            limits[name] = scalars.percent(item)
        else:
            limits[name] = scalars.count(item, 0, 1_000_000)
    return limits


def _rate(value: Value) -> float:
    text = value.text()
    if re.fullmatch(r"\d{1,5}(\.\d{1,3})?", text) and float(text) >= 0.1:
        return float(text)
    if text:
        value.complain(f"{value.label}: {text!r} is not a number of calls a second from 0.1 on")
    return 1.0


def _stretch(value: Value) -> Stretch:
    """`2s` or `1s-3s`."""
    low, _, high = value.text().partition("-")
    least = scalars.duration(value.part(low))
    longest = scalars.duration(value.part(high)) if high else least
    if longest < least:
        value.complain(f"{value.label}: {high.strip()} is less than {low.strip()}")
    return least, longest
