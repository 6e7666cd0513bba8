"""Scenarios as data, the verdict, the search and the comparison: made results with a known answer, nothing runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import capacity, machine, peers, plot, reading, report, verdict
from benchmarks.scenario import Scenario
from engine.config import Complaints


def result(**changes: Any) -> dict[str, Any]:
    limits = {"failed": 0, "lost": 0, "set-up p99": 100.0, "agent free p99": 20.0, "start": 1000.0}
    percentiles = {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0, "n": 9}
    rtp: dict[str, Any] = dict.fromkeys(
        "heard lost lost_early late late_percent out_of_order duplicate without_stamp wire_lost wire_late"
        " wire_out_of_order dropped_at_switch".split(),
        0,
    )
    good = {
        "scenario": "made",
        "switch": "agner",
        "at": "2026-11-29T12:00:00Z",
        "machine": {"cpu": "a processor", "n_cpus": 2, "commit": "abc"},
        "parameters": {
            "limits": limits,
            "n_agents": 4,
            "n_calls": 5,
            "rate": 1.0,
            "talk_s": (1.0, 2.0),
            "codec": "PCMA",
        }
        | {"record": "wav", "arrivals": "even", "warm_up_s": 1.0, "duration_s": 2.0},
        "real_time": True,
        "interrupted": False,
        "n_calls": 9,
        "n_talks": 9,
        "n_failed": 0,
        "failed": {},
        "n_busy_phones_rung": 0,
        "left_behind": {},
        "invite_to_200_ms": percentiles,
        "agent_free_to_invite_ms": percentiles,
        "start_to_ready_s": 0.5,
        "rtp": rtp,
        "cpu": {},
        "memory": {},
        "generator": {"longest_stall_ms": 0, "n_dropped": 0, "n_sent": 1, "n_received": 1, "n_stray": 0},
        "course": {
            "at_s": [1.0, 2.0],
            "talking": [1, 2],
            "waiting": [0, 0],
            "engine": [0.1, 0.2],
            "generator": [0.1, 0.1],
        }
        | {"answered_at_s": [0.5, 1.5], "set_up_ms": [1.0, 3.0]},
    }
    return good | changes


# ---- scenarios


def test_every_shipped_scenario_can_be_read_and_has_limits() -> None:
    found = reading.load(reading.known())
    assert len(found) >= 9
    assert all(scenario.says and scenario.limits and "failed" in scenario.limits for scenario in found)
    assert sum(scenario.filling_s + scenario.duration_s for scenario in found if scenario.in_short_set) < 240


def test_all_mistakes_of_a_scenario_are_told_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "callers: {a secnd: 20, talk: 5s-2s, arrivals: refil, kinds: {a: {share: 50%, gives up after: 1s, keys: 1x}}}\n"
        "switch: {codec: G729, record: mp3}\n"
        "limits: {lsot: 1, start: 1}\n"
    )
    with pytest.raises(Complaints) as told:
        reading.load([str(file)])
    assert [str(complaint).removeprefix(f"{file}:") for complaint in told.value.found] == [
        "1:1: x.yaml lacks 'says'",
        "1:11: unknown key 'a secnd' in callers (a second?)",
        "1:30: talk: 2s is less than 5s",
        "1:47: arrivals: 'refil' is not known here (refill?)",
        "1:61: the shares make 50%, not 100%",
        "1:65: `gives up after` goes with `ends: gives up`",
        "1:104: keys: '1x' is no row of keys (0-9, *, #)",
        "2:17: codec: 'G729' is not known here (one of: PCMA, PCMU)",
        "2:31: record: 'mp3' is not known here (one of: wav, flac, none)",
        "3:10: no limit is called 'lsot' (lost?)",
        "3:26: start: '1' is not a duration (1s?)",
    ]


@pytest.mark.parametrize(
    ("changes", "rate", "talk_s", "at_once"),
    [
        ({"calls": 400}, 20.0, 20.0, 400),
        ({"calls": 400, "rate": 40.0}, 40.0, 10.0, 400),
        ({"calls": 400, "talk": 8.0}, 50.0, 8.0, 400),
        ({"rate": 5.0, "talk": 2.0}, 5.0, 2.0, 10),
    ],
)
def test_calls_rate_and_talk_hang_together(changes: Any, rate: float, talk_s: float, at_once: int) -> None:
    changed = Scenario("steady", "").changed(**changes)
    assert (changed.rate, changed.talk_s, changed.calls_at_once) == (rate, (talk_s, talk_s), at_once)
    assert changed.agents > at_once and changed.max_calls > at_once


# ---- the verdict


def test_a_good_run_passes() -> None:
    assert verdict.judge(result()) == {"passed": True, "missed": [], "doubts": []}


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"n_failed": 2}, "failed 2 > 0 calls"),
        ({"rtp": result()["rtp"] | {"wire_lost": 3}}, "lost 3 > 0 packets"),
        ({"invite_to_200_ms": {"p99": 101.0}}, "set-up p99 101 > 100 ms"),
        ({"agent_free_to_invite_ms": {"p99": 20.5}}, "agent free p99 20.5 > 20 ms"),
        ({"start_to_ready_s": 1.2}, "start 1200 > 1000 ms"),
        ({"n_busy_phones_rung": 1}, "offers to an agent who was talking: 1"),
        ({"left_behind": {"n_legs": 2}}, "left behind 2 n_legs"),
        ({"records": {"open": 1}}, "records: 1 open"),
        ({"recordings": {"missing": 4}}, "recordings: 4 missing"),
        ({"wrong_assignments": ["x"]}, "assignment: x"),
        ({"n_talks": 0}, "no conversation came about"),
    ],
)
def test_each_limit_that_is_missed_is_said(changes: dict[str, Any], missed: str) -> None:
    judged = verdict.judge(result(**changes))
    assert not judged["passed"] and judged["missed"] == [missed]


def test_what_the_generator_or_the_machine_did_is_doubted() -> None:
    generator = result()["generator"] | {"longest_stall_ms": 31, "n_dropped": 4}
    judged = verdict.judge(result(generator=generator, cpu={"stolen_percent": 3.0}))
    assert judged["passed"] and len(judged["doubts"]) == 3


# ---- the search


@pytest.mark.parametrize("kind", list(capacity.SEARCHES))
@pytest.mark.parametrize("carries", [1, 7, 90, 213, 640, 1900, 99_999])
def test_the_search_finds_what_is_carried_to_a_tenth(kind: str, carries: int) -> None:
    def trial(scenario: Scenario) -> dict[str, Any]:
        made = result(n_failed=0 if scenario.n_calls + (scenario.rate if kind == "rate" else 0) <= carries else 1)
        return made | {"verdict": verdict.judge(made)}

    found = capacity.search(kind, trial, Scenario("steady", ""))
    most = min(carries, capacity.SEARCHES[kind].at_most)
    assert most - max(1, capacity.GAP * most) <= found["best"] <= most
    assert len(found["tried"]) < 24


def test_one_stumble_does_not_end_a_search() -> None:
    failed: set[int] = set()

    def trial(scenario: Scenario) -> dict[str, Any]:
        made = result(n_failed=int(scenario.n_calls not in failed or scenario.n_calls > 400))
        failed.add(scenario.n_calls)
        return made | {"verdict": verdict.judge(made)}

    assert capacity.search("calls", trial, Scenario("steady", ""))["best"] == 400


def test_an_interrupted_search_keeps_what_it_had() -> None:
    def trial(scenario: Scenario) -> dict[str, Any]:
        made = result(interrupted=scenario.n_calls > 150)
        return made | {"verdict": verdict.judge(made)}

    found = capacity.search("calls", trial, Scenario("steady", ""))
    assert found["interrupted"] and found["best"] == 100


# ---- side by side


def test_the_ratio_is_held_against_the_goal() -> None:
    ours, theirs = result(cpu={"engine_cpu_s_per_1000_call_s": 0.9}), result(cpu={"engine_cpu_s_per_1000_call_s": 3.0})
    found = {
        "bridged": {"agner": [ours], "asterisk": [theirs]},
        "calls": {"agner": [{"best": 700}], "asterisk": [{"best": 200}]},
    }
    cpu, memory, calls = peers.compare(found)
    assert (cpu["ratio"], cpu["reached"], cpu["goal"]) == (0.3, True, "<= 0.33x")
    assert (memory["agner"], memory["reached"]) == (None, None)
    assert (calls["ratio"], calls["reached"], calls["goal"]) == (3.5, False, ">= 3.00x, >= 1000")


def test_of_several_rounds_the_median_counts() -> None:
    ours, theirs = (
        [result(cpu={"engine_cpu_s_per_1000_call_s": one}) for one in row] for row in ((0.7, 0.9, 0.8), (3.0, 2.4, 2.5))
    )
    (cpu, _memory) = peers.compare({"bridged": {"agner": ours, "asterisk": theirs}})
    assert (cpu["agner"], cpu["asterisk"], cpu["ratio"]) == (0.8, 2.5, 0.32)


def test_what_an_earlier_run_kept_counts_as_rounds(tmp_path: Path) -> None:
    kept = [("agner", False), ("asterisk", False), ("agner", True)]
    rows = [{"step": "bridged", "switch": one, "machine": machine.describe(), "interrupted": cut} for one, cut in kept]
    (tmp_path / "peers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = peers.earlier(tmp_path)
    assert {switch: len(results) for switch, results in found["bridged"].items()} == {"agner": 1, "asterisk": 1}
    assert list(peers._to_do(["bridged", "waiting"], 2, found)) == ["bridged", "waiting", "waiting"]


def test_a_peer_that_was_not_measured_decides_nothing() -> None:
    (line, _memory) = peers.compare({"bridged": {"agner": [result(cpu={"engine_cpu_s_per_1000_call_s": 0.9})]}})
    assert (line["ratio"], line["reached"]) == (None, None)


def test_a_peer_that_lost_its_calls_is_no_measure() -> None:
    ours = result(cpu={"engine_cpu_s_per_1000_call_s": 0.9})
    theirs = result(cpu={"engine_cpu_s_per_1000_call_s": 10.0}, n_calls=640, n_failed=430)
    (line, _memory) = peers.compare({"bridged": {"agner": [ours], "asterisk": [theirs]}})
    assert (line["asterisk"], line["ratio"], line["reached"]) == (10.0, None, None)


# ---- what is drawn and written


def test_the_plot_has_each_second_and_each_set_up() -> None:
    made = result()
    svg = plot.draw(made, report.title(made))
    assert svg.count("<polyline") == 4 and svg.count("h.01") == 2
    assert "made on agner" in svg


def test_the_summary_has_a_line_for_each_run() -> None:
    made = result() | {"verdict": verdict.judge(result())}
    failed = result(n_failed=1, scenario="other")
    text = report.markdown([made, failed | {"verdict": verdict.judge(failed)}])
    assert "| made | 9 | 0 | 0 | 3.0 ms |  | passed |" in text
    assert "| other | 9 | 1 | 0 | 3.0 ms |  | missed |" in text and "* missed: failed 1 > 0 calls" in text
