"""What changed between two configurations, as people are told: a whole edit is golden; no setting is passed over."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from engine.callflow.conditions import AirTime, Hours
from engine.callflow.rewrite import table
from engine.callflow.settings import Destination, Identity, Login, Numbers, Registration, Tls
from engine.callflow.staff import Policy
from engine.callflow.steps import Announce
from engine.config import Configuration, load
from engine.config.difference import TRUNK_RESTART, Change, difference

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent

EDITS = {
    "plans/tv-shopping.yaml": [
        ("max wait: 3m", "max wait: 4m"),
        ("sat-sun: 09:00-23:30", "sat-sun: 10:00-23:30"),
        ("01-01: closed", "05-01: closed"),
        ("    - play: [closed_hours, { hours: floor }]\n", "    - play: closed\n"),
        ("within: 300ms", "within: 500ms"),
        ("4008002003: kitchenware", "4008002003: jewellery\n  4008002004: kitchenware"),
        ("{ on: daily, at: 21:00, for: 20m }", "{ on: daily, at: 21:30, for: 20m }"),
        ("answers: { 1: 满意, 2: 基本满意, 3: 不满意 }", "answers: { 1: 满意, 2: 一般, 3: 不满意 }"),
        ("      on no number: # nothing could be promised\n        - play: system_busy\n        - hang up\n", ""),
    ],
    "staff.yaml": [
        ("ring for: 8s", "ring for: 15s"),
        ("on rejected: pause 5s", "on rejected: ready"),
        ("share: 30%", "share: 20%"),
        ("between: 09:00-12:00, 13:00-21:00", "between: 09:00-20:00"),
        ("skills: { mandarin: 95 }", "skills: { mandarin: 91, english: 5 }"),
        ("1006:", "1007:"),
    ],
    "switch.yaml": [
        ("max calls: 1000", "max calls: 1200"),
        ("drain: 30s", "drain: 40s"),
        ("udp port: 5060", "udp port: 5062"),
        ("early media: yes", "early media: no"),
    ],
}


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> Configuration:
    monkeypatch.chdir(ROOT)
    return load("config")


def test_a_configuration_does_not_differ_from_itself(shipped: Configuration, tmp_path: Path) -> None:
    """Not even where its lines have moved."""
    shutil.copytree("config", tmp_path / "moved")
    for path in (tmp_path / "moved").rglob("*.yaml"):
        path.write_text("# moved\n\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert difference(shipped, load(tmp_path / "moved")) == []


def test_an_edit_is_told(shipped: Configuration, tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    shutil.copytree("config", tmp_path / "edited")
    for name, edits in EDITS.items():
        text = (tmp_path / "edited" / name).read_text(encoding="utf-8")
        for old, new in edits:
            assert old in text, old
            text = text.replace(old, new, 1)
        (tmp_path / "edited" / name).write_text(text, encoding="utf-8")
    edited = load(tmp_path / "edited")
    golden(HERE / "difference.txt", told(difference(shipped, edited)))
    back = difference(edited, shipped)
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    assert {(one.what, one.name, turned[one.kind]) for one in back if one.what != "setting"} == {
        (one.what, one.name, one.kind) for one in difference(shipped, edited) if one.what != "setting"
    }


def told(changes: list[Change]) -> str:
    return "".join(f"{change}\n" + "".join(f"    {detail}\n" for detail in change.details) for change in changes)


def other(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case tuple() if value and isinstance(value[0], str):
            return (*value, "x")
        case Policy():
            return replace(value, then=value.then + "x")
    return None


SPECIAL: dict[str, Any] = {
    "udp_port": 1,
    "sources": (ip_network("192.0.2.0/24"),),
    "needs": ((("english", 7),),),
    "announces": (Announce(("closed",), 1.0, 2.0),),
    "windows": ((0, 60),),
    "retries": {"busy": (7.0,)},
    "skills": {"english": 7},
    "queues": (),
    "max_calls": 7,
    "max_length": 7,
    "reserve_on_s": 7.0,
    "max_ewt_s": 7.0,
    "wrap_up_s": 7.0,
    "whisper": ("closed",),
    "greeting": ("closed",),
    "prompts": ("closed",),
    "groups": ("other",),
    "callbacks": None,
    "public_address": "192.0.2.1",
    "second_address": "2001:db8::1",
    "second_public_address": "2001:db8::2",
    "tls": Tls(5061, "certificate", "key"),
    "max_calls_per_s": 7.0,
    "max_calls_per_s_out": 7.0,
    "max_calls_in": 7,
    "max_calls_out": 7,
    "destinations": (Destination("sbc.example"),),
    "probing": None,
    "login": Login("agner", "carrier.example", "password"),
    "challenge": Login("carrier", "agner", "password"),
    "registration": Registration("agner", Destination("sbc.example")),
    "numbers": Numbers(called_in=table([("0*", "+86*")])),
    "identity": Identity(own_number="+8657188880000"),
}


def changed(thing: Any) -> Iterator[tuple[str, Any]]:
    """The thing with one field changed, for each of its fields."""
    for field in fields(thing):
        value = SPECIAL[field.name] if field.name in SPECIAL else other(getattr(thing, field.name))
        assert value != getattr(thing, field.name), field.name
        yield field.name, replace(thing, **{field.name: value})


def test_no_setting_is_passed_over(shipped: Configuration) -> None:
    settings, staff, book = shipped.settings, shipped.staff, shipped.book
    for name, part in changed(settings.sip):
        assert_one(shipped, replace(settings, sip=part), name, restart=True)
    for name, part in changed(settings.limits):
        assert_one(shipped, replace(settings, limits=part), name)
    for name, part in changed(settings.recording):
        assert_one(shipped, replace(settings, recording=part), name)
    for name, part in changed(settings.trunks[0]):
        if name != "name":
            assert_one(shipped, replace(settings, trunks=(part,)), name, restart=name in TRUNK_RESTART)
    for name in ("storage", "folder", "prompts", "clock_rate", "trace_days"):
        assert_one(shipped, replace(settings, **{name: other(getattr(settings, name))}), name, name != "prompts")
    for name, queue in changed(staff.queues["slimming"]):
        if name != "name":
            assert_one(shipped, replace(staff, queues={**staff.queues, "slimming": queue}), name)
    for name, agent in changed(staff.agents["1001"]):
        if name != "id":
            assert_one(shipped, replace(staff, agents={**staff.agents, "1001": agent}), name)
    floor, air = book.hours["floor"], book.airs["slimming"]
    for hours in (replace(floor, week=((),) * 7), replace(floor, days={}), replace(floor, years_days={})):
        assert isinstance(hours, Hours)
        assert_one(shipped, replace(book, hours={**book.hours, "floor": hours}), "")
    for times in (replace(air, spots=()), replace(air, surge_after_s=1.0)):
        assert isinstance(times, AirTime)
        assert_one(shipped, replace(book, airs={**book.airs, "slimming": times}), "")
    step: Any
    for n, step in enumerate(book.steps):
        if hasattr(step, "language"):
            steps = (*book.steps[:n], replace(step, language="fr"), *book.steps[n + 1 :])
            assert_one(shipped, replace(book, steps=steps), "")


def assert_one(shipped: Configuration, part: Any, name: str, restart: bool = False) -> None:
    """Exactly one change, and its text names the field."""
    parts = {type(shipped.settings): "settings", type(shipped.staff): "staff", type(shipped.book): "book"}
    found = difference(shipped, replace(shipped, **{parts[type(part)]: part}))
    assert len(found) == 1 and found[0].kind == "changed", (name, found)
    assert found[0].needs_restart == restart, found
    assert name.removesuffix("_s").replace("_", " ") in told(found)
    assert found[0].details
