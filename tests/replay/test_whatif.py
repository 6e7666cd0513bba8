"""A day through another configuration: unchanged it comes out as it was; more agents never make a simple day worse."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from engine.callflow import plan, steps
from engine.callflow.staff import Agent, Queue, Serves, Staff
from engine.day import Day, LinesMissing, Person, Ring, days
from engine.trace import read
from engine.whatif import Rerun, compare
from tests.replay.days import EPOCH, conductors_day, random_day
from tests.switch.world import PLAIN_BOOK

HERE = plan.Place("plan.yaml", 1, 1)
MOMENT_S = 1e-5


def test_unchanged_the_conductors_days_come_out_as_they_were(tmp_path: Path) -> None:
    """Abandoned, refused, not answered, timed out, transferred, meddled with: the simulation knows them all."""
    n_answered = 0
    for seed in range(120):
        (day,) = days(conductors_day(seed, tmp_path / str(seed), is_plain=True))
        rerun = Rerun(day, day.staff, PLAIN_BOOK)
        was, now = day.tallies.queues["sales"], rerun.queues["sales"]
        assert +was.counts == +now.counts, seed
        assert sorted(now.waits_s) == pytest.approx(sorted(was.waits_s), abs=MOMENT_S), seed
        n_answered += was.counts["answered"]
    assert n_answered > 100


def staff(n_agents: int, **settings: object) -> Staff:
    agents = [Agent(f"a{n}", "", "", {}, (Serves("sales"),), "ready") for n in range(n_agents)]
    return Staff((), {"sales": Queue("sales", **settings)}, {agent.id: agent for agent in agents})  # type: ignore[arg-type]


SALES, HANG_UP = steps.Queue(HERE, {}, "sales"), steps.HangUp(HERE, {})
BOOK_OF_ONE = plan.PlanBook((SALES, HANG_UP), {"main": 0}, {"1": "main"})


def simple_day(seed: int, n_agents: int, patience_s: float | None = None) -> Day:
    """One queue, first come first served; talks belong to the callers, every phone is answered after a second."""
    rng = random.Random(seed)
    start = {"t": 0.0, "at": EPOCH.isoformat(), "n": 1, "acd": "start", "args": {}}
    nobody: dict[str, object] = {"skills": [], "queues": {}, "agents": {}}
    start["args"] = {"digest": "", "n_calls": 500, "seed": 1, "staff": nobody, "steps": []}
    day, now = Day(start), 0.0
    day.staff = staff(n_agents)
    for agent in day.staff.agents:
        day.verbs += [(0.0, "log_in", {"agent": agent}), (0.0, "ready", {"agent": agent})]
        day.rings[agent] = [Ring(1.0)] * 1000
    for n in range(200):
        now += rng.expovariate(0.05)
        leaves = None if patience_s is None else now + rng.expovariate(1 / patience_s)
        caller = plan.Caller(str(n), "1", "carrier")
        day.people[f"c{n}"] = Person(caller, now, leaves, talk_s=rng.expovariate(1 / 50))
    return day


@pytest.mark.parametrize("seed", range(10))
def test_one_agent_more_lets_nobody_wait_longer(seed: int) -> None:
    day = simple_day(seed, 3)
    few = Rerun(day, staff(3), BOOK_OF_ONE).queues["sales"]
    more = Rerun(day, staff(4), BOOK_OF_ONE).queues["sales"]
    assert few.counts["answered"] == more.counts["answered"] == 200
    assert sum(few.waits_s) > sum(more.waits_s) + 1
    ordered = zip(sorted(few.waits_s), sorted(more.waits_s), strict=True)
    assert all(with_four <= with_three + MOMENT_S for with_three, with_four in ordered)


@pytest.mark.parametrize("seed", range(5))
def test_a_longer_wrap_up_makes_the_day_longer(seed: int) -> None:
    day = simple_day(seed, 3)
    waits = [sum(Rerun(day, staff(3, wrap_up_s=s), BOOK_OF_ONE).queues["sales"].waits_s) for s in (0.0, 10.0, 20.0)]
    assert waits == sorted(waits) and waits[0] < waits[2]


def test_the_impatient_leave_when_they_left_unless_served_before() -> None:
    day = simple_day(1, 1, patience_s=30.0)
    one, five = (Rerun(day, staff(n), BOOK_OF_ONE).queues["sales"].counts for n in (1, 5))
    assert one["abandoned"] > five["abandoned"]
    assert all(counts["answered"] + counts["abandoned"] == 200 for counts in (one, five))


def test_a_shorter_longest_wait_lets_calls_time_out() -> None:
    day = simple_day(1, 1)
    steps = (replace(SALES, max_wait_s=15.0, ways={"timeout": 1}), HANG_UP)
    counts = Rerun(day, staff(1), replace(BOOK_OF_ONE, steps=steps)).queues["sales"].counts
    assert counts["timed_out"] > 0 and counts["answered"] + counts["timed_out"] == 200


def test_a_new_prompt_takes_time_so_that_no_caller_goes_round_for_ever() -> None:
    day = simple_day(1, 1)
    full = replace(SALES, ways={"full": 1})
    again = plan.PlanBook((full, steps.Play(HERE, {"done": 0}, ("busy",), "en")), {"main": 0}, {"1": "main"})
    counts = Rerun(day, staff(1, max_length=1), again).queues["sales"].counts
    assert counts["answered"] == 200 and counts["offered"] == 200 + counts["overflowed"] > 200


def test_numbers_and_agents_that_are_gone_are_told() -> None:
    day = simple_day(1, 3)
    found = compare([day], staff(2), replace(BOOK_OF_ONE, numbers={}))
    assert found["n_turned_away"] == 200 and found["n_not_asked"] == 2


def test_figures_of_a_queue() -> None:
    tally = simple_day(1, 1).tallies.queues["sales"]
    tally.waits_s = [float(n) for n in range(1, 21)]
    tally.counts.update(offered=26, answered=20, abandoned=5, waiting=1)
    row = tally.row(within_s=10.0)
    assert (row["asa_s"], row["p50_s"], row["p95_s"], row["sl_percent"]) == (10.5, 10.0, 19.0, 40.0)


def test_a_day_whose_first_files_are_gone_is_played_from_its_checkpoint(tmp_path: Path) -> None:
    n_offered = 0
    for seed in range(12):
        random_day(seed, tmp_path / str(seed), pace=5000.0)
        for file in sorted((tmp_path / str(seed)).glob("*.jsonl"))[1:]:
            rows = list(read([file]))
            (day,) = days(rows)
            came = Counter(row["args"]["queue"] for row in rows if row["acd"] == "enqueue")
            assert {name: tally.counts["offered"] for name, tally in day.tallies.queues.items()} == came
            queues = Rerun(day, day.staff, plan.PlanBook((), {}, {})).queues
            known = {name: n for name, n in came.items() if name in day.staff.queues}
            assert {name: tally.counts["offered"] for name, tally in queues.items()} == known
            n_offered += sum(known.values())
    assert n_offered > 100


def test_a_day_with_lines_missing_is_not_guessed(tmp_path: Path) -> None:
    rows = conductors_day(5, tmp_path)
    with pytest.raises(LinesMissing, match="lines 4 to 4"):
        days(row for row in rows if row.get("n") != 4)
