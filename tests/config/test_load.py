"""The shipped configuration, what its values become, and how long a large one takes to read."""

import time
from pathlib import Path

import pytest

from engine.callflow import steps
from engine.callflow.conditions import CallerListed, WithinHours
from engine.callflow.staff import Policy, Serves
from engine.callflow.steps import Answer, HangUp, Play
from engine.config import Configuration, load

ROOT = Path(__file__).parents[2]


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
