"""Figures are made of records and counts alone: small floors with a known answer, each with one thing wrong."""

from typing import Any

import pytest

from benchmarks import figures
from benchmarks.generator.counts import StreamResult
from benchmarks.generator.phones import Record
from benchmarks.machine import Cpus, Usage
from benchmarks.seen import Sample, Seen

S = 1_000_000_000


def leg(id: int, user: str, invite_s: float, answered_s: float, ended_s: float, by: str, failure: str = "") -> Record:
    return Record(id, user, int(invite_s * S), int(answered_s * S), int(ended_s * S), by, failure)


def heard(id: int, whom: int, last_s: float, **counts: Any) -> StreamResult:
    result: dict[str, Any] = dict.fromkeys(StreamResult.__annotations__, 0)
    clean = {"lost": 0, "duplicate": 0, "out_of_order": 0}
    result |= {"id": id, "heard": whom, "n_stamped": 500, "wire": clean, "stamps": clean, "n_ssrc": 1}
    result |= {"first_stamp_ns": 1 * S, "last_stamp_ns": int(last_s * S)} | counts
    return result  # type: ignore[return-value]


def one_talk() -> tuple[Seen, dict[int, StreamResult]]:
    seen = Seen([leg(3, "491", 0.0, 0.01, 10.0, "us")], [leg(4, "2001", 0.02, 0.03, 10.005, "far end")])
    return seen, {3: heard(3, 4, 9.99), 4: heard(4, 3, 9.98)}


def causes(seen: Seen, results: dict[int, StreamResult], hang_up: str = "caller") -> dict[str, int]:
    return dict(figures.failures(seen, results, figures.pair(seen, results), hang_up))


def test_percentiles_are_by_nearest_rank() -> None:
    assert figures.percentiles(range(1, 101)) == {"p50": 50, "p95": 95, "p99": 99, "max": 100, "n": 100}
    assert figures.percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0, "max": 7.0, "n": 1}
    assert figures.percentiles([]) is None


def test_percentiles_of_a_histogram_are_upper_edges() -> None:
    buckets = [0] * 100
    buckets[3], buckets[40] = 99, 1
    found = figures.latency_of(buckets, 0.00025)
    assert found == {"p50": 1.0, "p95": 1.0, "p99": 1.0, "p99.9": 10.25}
    assert figures.latency_of([0] * 10, 0.00025) is None


def test_a_good_call_is_a_talk_and_no_failure() -> None:
    seen, results = one_talk()
    (talk,) = figures.pair(seen, results)
    assert (talk.begun_ns, talk.ended_ns) == (int(0.03 * S), 10 * S)
    assert causes(seen, results) == {}


@pytest.mark.parametrize(
    ("break_it", "cause"),
    [
        (lambda seen, results: setattr(seen.callers[0], "failure", "486 Busy Here"), "486 Busy Here"),
        (lambda seen, results: setattr(seen.callers[0], "ended_ns", 0), "never ended"),
        (lambda seen, results: setattr(seen.callers[0], "ended_by", "far end"), "ended by far end"),
        (lambda seen, results: setattr(seen.agents[0], "failure", "no ACK"), "agent: no ACK"),
        (lambda seen, results: results[3].update(heard=0, n_stamped=0), "no agent heard"),
        (lambda seen, results: results[3].update(heard=99), "audio one way or crossed"),
        (lambda seen, results: results[4].update(n_crossed=1), "another call's audio"),
        (lambda seen, results: results[4].update(last_stamp_ns=int(9.6 * S)), "audio stopped before the end"),
    ],
)  # fmt: skip
def test_each_fault_has_its_cause(break_it: Any, cause: str) -> None:
    seen, results = one_talk()
    break_it(seen, results)
    assert causes(seen, results) == {cause: 1}


def test_who_still_waits_when_it_is_over_has_not_failed() -> None:
    seen = Seen([leg(3, "491", 0.0, 0.01, 10.0, "us")])
    assert causes(seen, {}, hang_up="agent") == {}
    assert causes(seen, {}, hang_up="caller") == {"no agent heard": 1}


@pytest.mark.parametrize(
    ("wants", "by", "n_received", "cause"),
    [
        ("gives up", "us", 0, ""),
        ("gives up", "far end", 50, "ended by far end"),
        ("plan", "far end", 50, ""),
        ("plan", "far end", 0, "no audio from the switch"),
        ("plan", "us", 50, ""),
        ("talk", "us", 50, "no agent heard"),
    ],
)
def test_a_call_fails_by_what_its_caller_wanted(wants: str, by: str, n_received: int, cause: str) -> None:
    caller = leg(3, "491", 0.0, 0.01, 10.0, by)
    caller.wants = wants
    results = {3: heard(3, 0, 9.0, n_received=n_received, n_stamped=0)}
    assert causes(Seen([caller]), results) == ({cause: 1} if cause else {})


def test_agent_free_counts_from_the_agents_own_bye_while_somebody_waits() -> None:
    agents = [
        leg(4, "2001", 0.0, 0.0, 1.0, "us"),  # before the window
        leg(6, "2001", 1.5, 1.5, 3.0, "us"),
        leg(8, "2001", 3.004, 3.0, 5.0, "far end"),  # not the agent's BYE
        leg(10, "2001", 5.9, 6.0, 9.0, "us"),  # nobody waits any more
        leg(12, "2002", 2.0, 2.0, 4.0, "us"),
        leg(14, "2002", 4.002, 4.1, 4.5, "far end"),
        leg(16, "2001", 12.0, 12.0, 13.0, "us"),
    ]
    waiting = [leg(3, "491", 0.9, 1.0, 6.0, "us")]
    found = figures.agent_free(Seen(waiting, agents), [], 2 * S)
    assert found == {"p50": 2.0, "p95": 4.0, "p99": 4.0, "max": 4.0, "n": 2}
    assert figures.agent_free(Seen([], agents), [], 2 * S) is None


def test_a_caller_served_after_a_later_one_is_told() -> None:
    seen = Seen(
        [leg(3, "491", 0.0, 0.1, 9.0, "us"), leg(5, "492", 1.0, 1.1, 9.0, "us"), leg(7, "493", 2.0, 2.1, 9.0, "us")],
        [leg(4, "1", 5.0, 5.0, 9.0, "us"), leg(6, "2", 3.0, 3.0, 9.0, "us"), leg(8, "3", 6.0, 6.0, 9.0, "us")],
    )
    results = {id: heard(id, id + 1 if id % 2 else id - 1, 9.0) for id in range(3, 9)}
    assert figures.served_later_first(figures.pair(seen, results)) == 1


def sample(at_s: float, engine_s: float, ours_s: float, busy_s: float, **more: Any) -> Sample:
    engine = Usage(at_s, engine_s, {"clock 7": engine_s}, 300 << 20, 50)
    return Sample(engine, Usage(at_s, ours_s), Cpus(2 * at_s, busy_s, 0.0), **{"n_talking": 1, "n_in": 1} | more)


def test_cpu_is_divided_by_the_seconds_of_the_window_that_calls_talked_and_waited() -> None:
    seen, results = one_talk()
    seen.callers.append(leg(5, "492", 1.0, 7.0, 8.0, "us"))  # waits for a second
    seen.samples = [sample(5.0, 1.0, 0.5, 2.0), sample(15.0, 1.03, 0.6, 3.0)]
    seen.window = 0, 1
    found = figures.cpu(seen, figures.pair(seen, results))
    assert (found["talk_s"], found["waiting_s"]) == (5.0, 1.0)  # of 10 s of talk, those inside
    assert found["engine_cpu_s_per_1000_call_s"] == pytest.approx(5.0)
    assert (found["engine_cores"], found["generator_cores"], found["others_cores"]) == (0.003, 0.01, 0.09)
    assert found["engine_by_thread"] == {"clock": {"cores": 0.003, "cpu_s_per_1000_call_s": 5.0}}


def test_memory_is_what_a_leg_adds_to_the_waiting_daemon() -> None:
    seen = Seen(idle=Usage(0, 0, {}, 100 << 20, 10), after=Usage(9, 0, {}, 110 << 20, 10))
    loaded = Sample(Usage(5, 0, {}, 150 << 20, 510), Usage(5, 0), Cpus(0, 0, 0), 100, 100)
    seen.samples, seen.window = [loaded, loaded], (0, 1)
    found = figures.memory(seen)
    assert found["rss_per_conversation_kb"] == 512.0 and found["rss_per_leg_kb"] == 256.0
    assert found["descriptors_per_leg"] == 2.5


def test_jitter_added_is_what_came_in_beyond_what_went_out() -> None:
    seen, results = one_talk()
    results[3] |= {"jitter_us": 700, "sent_jitter_us": 50}  # the caller's
    results[4] |= {"jitter_us": 40, "sent_jitter_us": 100}  # the agent's: smoother than the caller had sent
    found = figures.rtp(figures.pair(seen, results))
    assert found["jitter_added_ms"] == {"p50": 0.0, "p95": 0.6, "p99": 0.6, "max": 0.6, "n": 2}


def test_what_full_sockets_dropped_is_the_switchs_but_for_our_own() -> None:
    seen = Seen(idle=Usage(0, 0), samples=[sample(1.0, 0, 0, 0, n_full=7), sample(2.0, 0, 0, 0, n_full=19)])
    assert figures.dropped(seen, 5) == 7
    assert figures.dropped(Seen(samples=seen.samples), 5) is None  # on another machine
