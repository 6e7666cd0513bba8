"""The core as a whole against queueing theory: a simulated floor must give what the formulas say.

Each figure is compared within the 99.9 % confidence interval of 30 batches (Student's t, 29 degrees of freedom:
3.659), with the number of calls stated at each case; seeds are fixed. `prove` repeats each with ten times the calls.
"""

import math
from collections.abc import Iterable

import numpy as np
import pytest

from engine.simulate import Floor, Result, Stream, Team, constant, exponential
from tests.core import theory

N_BATCHES, T_999 = 30, 3.659
SHORT = [pytest.param(1, id="short"), pytest.param(10, id="long", marks=pytest.mark.prove)]


def assert_within(samples: Iterable[float], expected: float) -> None:
    """The mean of the samples, in their order of time, agrees with `expected`, and is known to 20 % at least."""
    batches = np.array([batch.mean() for batch in np.array_split(np.asarray(samples, dtype=float), N_BATCHES)])
    half = T_999 * batches.std(ddof=1) / math.sqrt(N_BATCHES)
    assert abs(batches.mean() - expected) <= half, f"{batches.mean():.5g} +- {half:.2g}, theory {expected:.5g}"
    assert half <= 0.2 * expected + 0.005, f"too few calls to judge: {batches.mean():.5g} +- {half:.2g}"


def run(streams: list[Stream], teams: list[Team], n_calls: int, seed: int) -> Result:
    queues: dict[str, dict[str, float]] = {stream.queue: {} for stream in streams}
    return Floor(streams, teams, queues, seed=seed).run(n_calls=n_calls, n_warm_up=5_000)


@pytest.mark.parametrize("times", SHORT)
def test_erlang_c(times):
    """120,000 calls, 10 agents at 75 %: P(wait), mean wait, P(wait > 10 s)."""
    n, lam, mu = 10, 0.075, 0.01
    wait = run([Stream("q", lam, exponential(1 / mu))], [Team(n, {"q": 0})], 120_000 * times, 11).streams[0].wait()
    p_wait, mean, p_over = theory.mmn(n, lam, mu, 10.0)
    assert_within(wait > 0, p_wait)
    assert_within(wait, mean)
    assert_within(wait > 10.0, p_over)


@pytest.mark.parametrize("times", SHORT)
def test_erlang_a(times):
    """60,000 calls, 10 agents offered 110 %: P(wait), P(abandon), mean time in line."""
    n, lam, mu, theta = 10, 0.11, 0.01, 1 / 60
    stream = Stream("q", lam, exponential(1 / mu), exponential(1 / theta))
    seen = run([stream], [Team(n, {"q": 0})], 60_000 * times, 12).streams[0]
    p_wait, p_abandon, mean = theory.erlang_a(n, lam, mu, theta)
    assert_within(seen.wait() > 0, p_wait)
    assert_within(~seen.was_answered(), p_abandon)
    assert_within(seen.wait(), mean)


@pytest.mark.parametrize("times", SHORT)
def test_deterministic_patience(times):
    """80,000 calls, 8 agents at 95 %, everybody hangs up after 30 s: P(wait), P(abandon)."""
    n, lam, mu, tau = 8, 0.076, 0.01, 30.0
    stream = Stream("q", lam, exponential(1 / mu), constant(tau))
    seen = run([stream], [Team(n, {"q": 0})], 80_000 * times, 13).streams[0]
    p_wait, p_abandon = theory.deterministic_patience(n, lam, mu, tau)
    assert_within(seen.wait() > 0, p_wait)
    assert_within(~seen.was_answered(), p_abandon)
    assert seen.wait().max() <= tau + 1e-6


@pytest.mark.parametrize("times", SHORT)
def test_strict_priority_is_cobhams(times):
    """120,000 calls, 6 agents at 75 %, 40 % of the calls with an infinite head start; one queue, and two with shared
    agents."""
    n, lams, mu = 6, [0.018, 0.027], 0.01
    first, second = theory.cobham(n, lams, mu)
    for queues in (("q", "q"), ("vip", "normal")):
        streams = [
            Stream(queues[0], lams[0], exponential(1 / mu), head_start_s=math.inf),
            Stream(queues[1], lams[1], exponential(1 / mu)),
        ]
        seen = run(streams, [Team(n, dict.fromkeys(queues, 0))], 120_000 * times, 14).streams
        assert_within(seen[0].wait(), first)
        assert_within(seen[1].wait(), second)


@pytest.mark.parametrize("times", SHORT)
def test_skills_are_the_product_form(times):
    """120,000 calls, 3 agents, 2 languages, one agent with both: mean wait of each language by FCFS-ALIS."""
    lams = {"zh": 0.011, "en": 0.009}
    serves = {"ann": {"zh"}, "bo": {"en"}, "cy": {"zh", "en"}}
    waits, _ = theory.fcfs_alis(lams, serves, 0.01)
    skill = {"zh": 1, "en": 2}
    streams = [Stream("q", lam, exponential(100.0), needs=({skill[c]: 1},)) for c, lam in lams.items()]
    teams = [Team(1, {"q": 0}, {skill[c]: 1 for c in known}) for known in serves.values()]
    seen = run(streams, teams, 120_000 * times, 15).streams
    assert_within(seen[0].wait(), waits["zh"])
    assert_within(seen[1].wait(), waits["en"])


def test_the_product_form_is_erlang_c_when_all_can_do_all():
    """The judge judged: with equal skills the formula must be M/M/n."""
    waits, _ = theory.fcfs_alis({"a": 0.01, "b": 0.012}, {s: {"a", "b"} for s in "xyz"}, 0.01)
    assert waits["a"] == pytest.approx(theory.mmn(3, 0.022, 0.01, 0)[1])
    assert waits["a"] == pytest.approx(waits["b"])


def test_a_wrong_formula_is_seen():
    """The control: the same run does not pass for a load 5 % off."""
    n, lam, mu = 10, 0.075, 0.01
    wait = run([Stream("q", lam, exponential(1 / mu))], [Team(n, {"q": 0})], 120_000, 11).streams[0].wait()
    with pytest.raises(AssertionError, match="theory"):
        assert_within(wait, theory.mmn(n, 1.05 * lam, mu, 10.0)[1])
