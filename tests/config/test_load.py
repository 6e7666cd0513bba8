"""The shipped configuration, what its values become, and how long a large one takes to read."""

import shutil
import time
from datetime import datetime
from math import inf
from pathlib import Path

import pytest

from engine.callflow import steps
from engine.callflow.conditions import CallerListed, WithinHours
from engine.callflow.plan import Caller, PlanBook, Situation, Stop
from engine.callflow.staff import Policy, Serves, who_registers
from engine.callflow.steps import Answer, HangUp, Play
from engine.config import Configuration, load

ROOT = Path(__file__).parents[2]
WORKDAY = datetime(2026, 11, 18, 12)
KINDS: dict[str, dict[str, str]] = {"vip": {"customer.level": "vip"}, "old": {"customer.agent": "1002"}, "new": {}}


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> Configuration:
    monkeypatch.chdir(ROOT)
    return load("config")


def test_values_become_what_they_mean(shipped: Configuration) -> None:
    assert shipped.settings.sip.udp_port == 5060
    assert str(shipped.settings.trunks[0].sources[0]) == "127.0.0.0/8"
    assert shipped.settings.limits.max_talk_s == 10800
    sales = shipped.staff.queues["sales"]
    assert (sales.needs, sales.ring_for_s, sales.max_length) == (((("mandarin", 50),),), 8.0, 50)
    assert (sales.on_no_answer, sales.on_busy) == (Policy("not_ready"), Policy("pause", 10.0))
    served = (Serves("support"), Serves("kitchenware"), Serves("sales", rank=2, from_s=10.0))
    assert shipped.staff.agents["1003"].queues == served
    assert shipped.book.timezone == "Asia/Shanghai"


def test_defaults_in_the_shipped_files_are_those_of_the_types(shipped: Configuration) -> None:
    given = shipped.settings
    bare = type(given)(type(given.sip)(), given.trunks, type(given.limits)(), type(given.recording)())
    assert given == bare


def test_steps_are_numbered_as_written_and_hold_their_places(shipped: Configuration) -> None:
    table = [step for step in shipped.book.steps if step.place.file == "config/plans/main.yaml"]
    lines = [step.place.line for step in table]
    assert lines == sorted(lines)
    text = (ROOT / "config/plans/main.yaml").read_text(encoding="utf-8").splitlines()
    words = {Answer: "answer", Play: "play", steps.Queue: "queue", HangUp: "hang up", steps.Transfer: "transfer"}
    words |= {CallerListed: "when", WithinHours: "when"}
    for step in table:
        assert text[step.place.line - 1][step.place.column - 1 :].startswith(words[type(step)])


def step_at(book: PlanBook, plan: str, values: dict[str, str], at: datetime = WORKDAY) -> Stop:
    """The first step of a plan that somebody carries out."""
    return book.enter(plan, Situation(Caller("1370", "1", "t"), at, values))


def test_the_three_kinds_of_callers_are_asked_for_in_their_own_way(shipped: Configuration) -> None:
    book = shipped.book
    for spot in ("slimming", "jewellery", "kitchenware"):
        told = {}
        for kind, values in KINDS.items():
            greeted = step_at(book, f"{spot}-callers", values)
            assert isinstance(greeted.step, Play) and str(greeted.step.items[0]).startswith("welcome_")
            told[kind] = book.after(greeted.index, "done", Situation(Caller("1370", "1", "t"), WORKDAY, values)).step
        vip, old, new = told["vip"], told["old"], told["new"]
        assert isinstance(vip, steps.Queue) and isinstance(old, steps.Queue) and isinstance(new, steps.Queue)
        assert vip.turns == (steps.Turn(("vip-desk",)), steps.Turn((), 0.0, 600.0)) and vip.preferred is None
        assert old.preferred == steps.Preferred("$customer.agent", 0.0, 300.0) and old.turns == ()
        assert new.preferred is None and new.turns == () and new.head_start_s == 0
        for queue in (vip, old, new):
            assert (queue.queue, queue.max_wait_s, queue.keys) == (spot, 180.0, ("1", "2"))
            assert queue.ways["timeout"] == queue.ways["full"] == queue.ways["no_agents"] == book.entries["apology"]
            assert queue.ways["served"] == book.entries["survey"]
            assert queue.ways["1"] == book.entries["call-me-back"]
            assert queue.greeting == ("agent_number", steps.Say("digits", "$agent"), "at_your_service")


def test_the_hours_of_the_floor(shipped: Configuration) -> None:
    """A date beats a range of dates, which beats the weekday."""
    floor = shipped.book.hours["floor"]
    opens = {
        "2026-11-18 08:00": True,  # a Wednesday
        "2026-11-21 08:59": False,  # a Saturday
        "2026-11-21 09:00": True,
        "2026-11-21 23:30": False,
        "2026-10-01 12:00": False,  # National Day
        "2026-10-05 12:00": True,  # the desk within it
        "2026-10-05 16:00": False,
        "2026-10-10 08:30": True,  # a Saturday worked
        "2027-01-01 12:00": False,  # of every year
    }
    assert {at: floor.is_open(datetime.fromisoformat(at)) for at in opens} == opens


def test_the_same_number_is_another_spot_at_another_hour(shipped: Configuration) -> None:
    air = shipped.book.airs["jewellery-on-slimming-number"]
    noon, late = datetime(2026, 11, 18, 12), datetime(2026, 11, 18, 22, 30)
    assert not air.is_on(noon) and air.is_on(late) and not air.is_on(datetime(2026, 11, 18, 23, 15))
    assert air.next_surge(noon) == datetime(2026, 11, 18, 22, 30, 30)
    assert step_at(shipped.book, "slimming", {}, noon).values["spot"] == "slimming"
    assert step_at(shipped.book, "slimming", {}, late).values["spot"] == "jewellery"


def test_how_a_queue_calls_back(shipped: Configuration) -> None:
    slimming, general = (shipped.staff.queues[name].callbacks for name in ("slimming", "general"))
    assert slimming and general
    assert (slimming.trunk, slimming.abandoned_after_s, slimming.customer_first) == ("demo-carrier", 5.0, False)
    assert slimming.windows == ((540, 720), (780, 1260)) and slimming.share_percent == 30.0
    assert slimming.retries == {"busy": (300, 900, 3600), "no_answer": (1800, 7200), "failed": (900, 3600)}
    assert general.customer_first and general.prompts == ("callback_greeting",) and general.windows == slimming.windows


def test_a_missing_branch_follows_timeout_or_goes_on_behind_the_step(shipped: Configuration) -> None:
    table = shipped.book.steps
    vip, plain = [step for step in table if isinstance(step, steps.Queue) and step.queue == "sales"][:2]
    assert vip.ways["full"] == vip.ways["timeout"] == shipped.book.entries["all-busy"]
    assert plain.ways["no_agents"] == shipped.book.entries["all-busy"]
    assert table[vip.ways["no_agents"]] is plain and vip.leave_without_agents and plain.leave_without_agents


def test_a_step_without_music_has_what_staff_yaml_says_of_its_queue(shipped: Configuration) -> None:
    for step in shipped.book.steps:
        if isinstance(step, steps.Queue):
            queue = shipped.staff.queues[step.queue]
            assert step.music == queue.music == "hold"
            assert step.announces == queue.announces or step.queue == "support", "the plan's own comes first"
    assert any(isinstance(step, steps.Queue) and step.announces for step in shipped.book.steps)


def test_a_thousand_agents_are_read_in_under_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lines = ["skills: [mandarin, english]", "queues:"]
    lines += [f"  q{n}: {{ needs: {{ mandarin: 10 }}, max length: 50 }}" for n in range(40)]
    lines.append("agents:")
    for n in range(1000):
        lines += [f"  {1000 + n}:", f"    phone: sip:{1000 + n}@127.0.0.1", "    at start: ready"]
        lines += ["    skills: { mandarin: 60, english: 20 }", f"    queues: [q{n % 40}, q{(n + 1) % 40}]"]
    (tmp_path / "staff.yaml").write_text("\n".join(lines))
    (tmp_path / "switch.yaml").write_text("trunks: { carrier: { from: 127.0.0.0/8 } }")
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans/main.yaml").write_text(
        "numbers: { '*': sales }\nplans:\n  sales:\n    - answer\n    - queue: q1\n    - hang up\n"
    )
    started = time.process_time()
    found = load(tmp_path)
    assert len(found.staff.agents) == 1000
    assert time.process_time() - started < 1.0


def test_phones_that_log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "tests/config/good", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    staff = Path("config/staff.yaml")
    staff.write_text(staff.read_text().replace("phone: sip:1001@127.0.0.1", "phone: registered"))
    switch = Path("config/switch.yaml")
    switch.write_text(switch.read_text() + "registrar: { realm: floor-2, expires: 2m-30m, keep alive: off }\n")
    loaded = load("config")
    assert loaded.staff.agents["1001"].phone == "registered:1001"
    assert who_registers(loaded.staff) == {"1001"}
    registrar = loaded.settings.registrar
    assert (registrar.realm, registrar.min_expires_s, registrar.max_expires_s) == ("floor-2", 120, 1800)
    assert registrar.keep_alive_s == inf and registrar.n_contacts == 5
