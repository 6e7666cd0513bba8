"""`agner replay` as it is typed: the shipped configuration, and a day traced with it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from engine import config
from engine.acd import Acd
from engine.callflow import events as ev
from engine.callflow.plan import Caller
from engine.callflow.steps import Queue
from engine.callflow.table import State
from tests.replay.days import EPOCH, lines, traced

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped configuration, and in trace/ a day of one caller whom agent 1001 answered after 6 s."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    (tmp_path / "prompts").symlink_to(ROOT / "prompts")
    monkeypatch.chdir(tmp_path)
    loaded = config.load(Path("config"))
    with traced(tmp_path / "trace") as (trace, tell, _):
        acd = Acd(loaded.staff, loaded.book, 100, 0.0, tell)
        acd.begin_day(0.0)
        caller = Caller("+8613700000001", "4008001001", "carrier")
        trace.write(10.0, EPOCH, "c1", ev.CallArrived(caller, 1), State.NEW, State.ROUTING, [], None)
        step = next(step for step in loaded.book.steps if isinstance(step, Queue) and step.queue == "sales")
        acd.enqueue("c1", step, 10.0)
        ((_, event),) = acd.take_events()
        assert isinstance(event, ev.AgentReserved)
        acd.take(event.offer, 16.0)
        acd.release("c1", 60.0)
        acd.stop(100.0)
    return tmp_path


def agner(*words: object):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_an_unchanged_day_is_identical(folder: Path) -> None:
    result = agner("replay", "trace")
    assert result.exit_code == 0, result.output
    assert "1 offers, identical; counters identical" in result.stdout
    assert "every assignment keeps the rules" in result.stdout


def test_the_same_configuration_is_no_what_if(folder: Path) -> None:
    result = agner("replay", "--json", "--config", "config", *(folder / "trace").glob("*.jsonl"))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["ok"] and found["runs"][0]["n_offers"] == 1 and found["runs"][0]["counters_agree"]


def test_a_tampered_day_is_told_with_both_sides(folder: Path) -> None:
    (file,) = (folder / "trace").glob("*.jsonl")
    file.write_text(file.read_text().replace('["OFFER", 10.0, "c1", "1001"', '["OFFER", 10.0, "c1", "1002"'))
    result = agner("replay", file)
    assert result.exit_code == 1
    assert '"1002"' in result.stdout and '"1001"' in result.stdout and "difference at line" in result.stdout
    assert "1002 is offered call c1 and was not free" in result.stdout


def test_what_if_shows_recorded_beside_replayed(folder: Path) -> None:
    result = agner("replay", "trace", "--what-if", "--json")
    assert result.exit_code == 0, result.output
    sales = next(row for row in json.loads(result.stdout)["queues"] if row["queue"] == "sales")
    assert sales["recorded"]["answered"] == sales["replayed"]["answered"] == 1
    assert sales["recorded"]["asa_s"] == sales["replayed"]["asa_s"] == 6.0
    shown = agner("replay", "trace", "--what-if").stdout
    assert "ASA (s)" in shown and "recorded" in shown and "works all day" in shown


def test_a_changed_configuration_is_a_what_if(folder: Path) -> None:
    (folder / "other").mkdir()
    for file in (ROOT / "config").rglob("*.yaml"):
        to = folder / "other" / file.relative_to(ROOT / "config")
        to.parent.mkdir(exist_ok=True)
        text = file.read_text()
        to.write_text(text.replace("ring for: 8s", "ring for: 5s"))
    result = agner("replay", "trace", "--config", "other", "--json")
    assert result.exit_code == 0, result.output
    sales = next(row for row in json.loads(result.stdout)["queues"] if row["queue"] == "sales")
    assert sales["recorded"]["asa_s"] == 6.0
    assert sales["replayed"]["asa_s"] == 7.5, "1001 answers after 6 s, and the phone rings for 5; then the next agent"


def test_comments_do_not_change_a_configuration(folder: Path) -> None:
    (folder / "other").mkdir()
    for file in (ROOT / "config").rglob("*.yaml"):
        to = folder / "other" / file.relative_to(ROOT / "config")
        to.parent.mkdir(exist_ok=True)
        to.write_text("# one line more\n" + file.read_text())
    result = agner("replay", "trace", "--config", "other")
    assert "identical" in result.stdout, result.output


def test_a_trace_that_begins_in_the_middle_says_what_to_do(folder: Path) -> None:
    rows = lines(folder / "trace")
    (folder / "half.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))
    result = agner("replay", "half.jsonl")
    assert result.exit_code == 1 and "the file of the day before" in result.stderr


def test_a_run_over_midnight_is_one(folder: Path) -> None:
    (file,) = (folder / "trace").glob("*.jsonl")
    text = file.read_text().splitlines(keepends=True)
    file.write_text("".join(text[:7]))
    file.with_name("2026-11-22.jsonl").write_text("".join(text[7:]))
    result = agner("replay", "trace")
    assert result.exit_code == 0 and result.stdout.count("counters identical") == 1, result.output


def test_a_trace_of_another_version_is_refused_by_name(folder: Path) -> None:
    rows = lines(folder / "trace")
    rows[0]["args"] |= {"version": "9.9", "staff": {"shifts": []}}
    (folder / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = agner("replay", "new.jsonl")
    assert result.exit_code == 1 and "9.9 wrote it" in result.stderr


def test_a_file_that_is_not_there_is_a_mistake_on_the_command_line(folder: Path) -> None:
    assert agner("replay", "nothing.jsonl").exit_code == 2


def test_the_last_line_cut_off_by_a_crash_is_left_out(folder: Path) -> None:
    (file,) = (folder / "trace").glob("*.jsonl")
    file.write_text(file.read_text()[:-200])
    result = agner("replay", file)
    assert result.exit_code == 0 and "did not come to its end" in result.stdout
