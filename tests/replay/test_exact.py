"""A traced day played again is the same day; and a day that was tampered with is not."""

import copy
import inspect
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from engine import acd
from engine.audit import runs
from engine.replay import _ASK, replay
from engine.trace import read
from tests.replay.days import RandomDay, conductors_day, lines, random_day


@pytest.mark.parametrize("make", [conductors_day, random_day])
def test_any_day_comes_out_the_same(make, tmp_path: Path) -> None:
    n_offers = 0
    for seed in range(60):
        (run,) = replay(make(seed, tmp_path / str(seed)))
        assert run.difference is None, f"seed {seed}: {run.difference}"
        assert run.counters_agree is True, seed
        n_offers += run.n_offers
    assert n_offers > 100


def test_every_file_of_a_trace_stands_alone(tmp_path: Path) -> None:
    """A run over several days, with calls that wait and agents in every state over midnight: each day by itself comes
    out the same, line by line, and keeps the rules."""
    over_midnight: Counter[str] = Counter()
    n_files = 0
    for seed in range(30):
        folder = tmp_path / str(seed)
        random_day(seed, folder, pace=5000.0)
        for file in sorted(folder.glob("*.jsonl")):
            rows = list(read([file]))
            (run,), (auditor,) = replay(rows), runs(rows)
            assert run.difference is None, f"{file}: {run.difference}"
            assert auditor.problems == [] and run.n == rows[-1]["n"] == rows[0]["n"] + len(rows) - 1, file
            assert rows[0]["acd"] in ("start", "checkpoint")
            if rows[0]["acd"] == "checkpoint":
                n_files += 1
                over_midnight.update(call["state"] for call in rows[0]["args"]["calls"])
                over_midnight.update(agent["state"] for agent in rows[0]["args"]["agents"])
    assert n_files > 60
    states = ("WAITING", "OFFERED", "CONNECTED", "READY", "NOT_READY", "RESERVED", "TALKING", "ACW")
    assert all(over_midnight[state] > 2 for state in states), over_midnight


def test_the_days_left_after_the_first_were_removed_come_out_the_same(tmp_path: Path) -> None:
    """`trace days` is 1: the file with the daemon's start is gone when the run ends."""
    random_day(4, tmp_path, pace=5000.0, keep_days=1)
    rows = lines(tmp_path)
    assert rows[0]["acd"] == "checkpoint" and rows[0]["n"] > 2 and len(list(tmp_path.glob("*.jsonl"))) == 2
    (run,), (auditor,) = replay(rows), runs(rows)
    assert run.difference is None and run.counters_agree is True and auditor.problems == []


def test_control_a_checkpoint_with_the_memory_of_another_moment_is_a_difference(tmp_path: Path) -> None:
    rows = random_day(4, tmp_path, pace=5000.0)
    one, two, *_ = (row for row in rows if row["acd"] == "checkpoint")
    two["args"]["core"] = one["args"]["core"]
    (run,) = replay(rows[rows.index(two) :])
    assert run.difference is not None


def test_a_run_with_lines_missing_goes_on_at_its_next_checkpoint(tmp_path: Path) -> None:
    rows = random_day(4, tmp_path, pace=5000.0)
    broken, whole = replay(rows[:5] + rows[7:])
    assert broken.difference and "lines 6 to 7" in broken.difference.recorded
    assert whole.difference is None and whole.counters_agree is True and whole.n_verbs > 10


def test_reloads_while_calls_wait_come_out_the_same(tmp_path: Path) -> None:
    n_reloads = n_waiting = 0
    for seed in range(100, 130):
        day = RandomDay(seed, tmp_path / str(seed))
        rows = lines(tmp_path / str(seed))
        (run,) = replay(rows)
        assert run.difference is None, f"seed {seed}: {run.difference}"
        n_reloads += day.n_reloads
        n_waiting += sum(1 for row in rows if row["acd"] == "apply" and row["out"])
    assert n_reloads > 30 and n_waiting > 10, "reloads that changed what somebody got"


def test_every_verb_that_is_told_can_be_asked_again() -> None:
    told = set(re.findall(r'_(?:tell\(now, |ask\(|settle_offer\()"(\w+)"', inspect.getsource(acd.Acd)))
    assert len(told) > 10
    assert told - {"start"} == set(_ASK)


def a_day(folder: Path, kind: str) -> tuple[list[dict], int]:
    """A random day in which such an output occurs, and the place of its line."""
    for seed in range(50):
        rows = random_day(seed, folder / str(seed))
        for at, row in enumerate(rows):
            if any(output[0] == kind for output in row["out"]):
                return rows, at
    raise AssertionError(kind)


def test_another_agent_in_an_offer_is_a_difference(tmp_path: Path) -> None:
    rows, at = a_day(tmp_path, "OFFER")
    (offer,) = [output for output in rows[at]["out"] if output[0] == "OFFER"][:1]
    offer[3] = "a0" if offer[3] != "a0" else "a1"
    (run,) = replay(rows)
    assert run.difference and run.difference.n == rows[at]["n"]
    assert run.difference.recorded == offer and run.difference.replayed != offer


@pytest.mark.parametrize("kind", ["OFFER", "OFFER_EXPIRED", "CALL_REQUEUED"])
def test_a_moment_a_microsecond_off_is_a_difference(kind: str, tmp_path: Path) -> None:
    rows, at = a_day(tmp_path, kind)
    for output in rows[at]["out"]:
        output[1] += 1e-6
    (run,) = replay(rows)
    assert run.difference and run.difference.n == rows[at]["n"]


def test_a_counter_off_by_one_is_a_difference(tmp_path: Path) -> None:
    rows = random_day(1, tmp_path)
    rows[-1]["args"]["queues"][0]["wait_us"] += 1
    (run,) = replay(rows)
    assert run.counters_agree is False and run.difference
    assert list(run.difference.recorded) == ["queues 1 wait_us"]


def test_a_missing_line_is_a_difference(tmp_path: Path) -> None:
    rows = random_day(1, tmp_path)
    (run,) = replay(rows[:20] + rows[23:])
    assert run.difference and "lines 21 to 23" in run.difference.recorded


def test_a_verb_the_core_refuses_is_a_difference(tmp_path: Path) -> None:
    rows = random_day(1, tmp_path)
    take = next(row for row in rows if row["acd"] == "take")
    take["args"]["offer"] += 100_000
    (run,) = replay(rows)
    assert run.difference and "StaleOffer" in run.difference.replayed["error"]


def test_a_run_cut_off_has_no_counters_and_two_runs_are_two(tmp_path: Path) -> None:
    rows = random_day(1, tmp_path)
    again = copy.deepcopy(rows)
    first, second = replay(rows[:-1] + again)
    assert first.difference is second.difference is None
    assert first.counters_agree is None and second.counters_agree is True


def test_times_are_exact_in_the_file(tmp_path: Path) -> None:
    conductors_day(3, tmp_path)
    text = "".join(file.read_text() for file in tmp_path.glob("*.jsonl"))
    times = [json.loads(line)["t"] for line in text.splitlines()]
    assert any(len(repr(t)) > 12 for t in times), "random moments have many digits"
