"""When the engine is overloaded: by its own CPU time, and how many calls it then takes."""

import pytest

from engine.load import BEHIND_S, LEAST_PER_S, Load

MAX_LOAD = 0.9


class Engine:
    """A thread of one core, a second at a time: a call costs `call_s`, and what is refused nothing."""

    def __init__(self, load: Load, call_s: float) -> None:
        self.load, self.call_s = load, call_s
        self.now = self.cpu_s = 0.0
        self.n_calls = 0
        load.look(0.0, 0.0, 0, True)

    def second(self, offered: float) -> float:
        """Calls taken in it."""
        taken = min(offered, self.load.calls_per_s or offered, 1.0 / self.call_s)
        self.now += 1.0
        self.cpu_s += taken * self.call_s
        self.n_calls += round(taken)
        self.load.look(self.now, self.cpu_s, self.n_calls, True)
        return taken


def test_below_the_limit_all_calls_are_taken() -> None:
    engine = Engine(Load(MAX_LOAD), call_s=0.004)
    assert [engine.second(200.0) for _ in range(5)] == [200.0] * 5


@pytest.mark.parametrize("offered", [230.0, 450.0, 2000.0])
def test_above_it_as_many_as_the_engine_bears(offered: float) -> None:
    engine = Engine(Load(MAX_LOAD), call_s=0.004)
    taken = [engine.second(offered) for _ in range(10)]
    assert taken[3:] == pytest.approx([MAX_LOAD / 0.004] * 7, rel=0.02), taken


def test_all_again_as_soon_as_the_rate_holds_nobody_back() -> None:
    load = Load(MAX_LOAD)
    engine = Engine(load, call_s=0.004)
    for offered in (450.0, 450.0, 450.0):
        engine.second(offered)
    assert load.calls_per_s
    engine.second(100.0)
    assert load.calls_per_s is None


def test_work_without_a_pause_is_overload_though_the_load_is_low() -> None:
    """Other programs leave the thread a third of the core: it never catches up, and is never at its limit."""
    load = Load(MAX_LOAD)
    load.look(0.0, 0.0, 0, True)
    told = [load.look(n / 10, n / 30, 10 * n, False) for n in range(1, 8)]
    assert told == [False] * 6 + [True] and load.load < 0.4
    assert load.calls_per_s == pytest.approx(50.0), "half of what was taken"
    assert load.look(0.7 + 2 * BEHIND_S, 1.0, 70, False), "and again, if that is still too much"
    assert load.calls_per_s == LEAST_PER_S


def test_a_stall_by_others_is_no_overload() -> None:
    """The machine stood still for three seconds: the clock ran, the thread did not."""
    load = Load(MAX_LOAD)
    load.look(0.0, 0.0, 0, True)
    load.look(4.0, 0.9, 100, True)
    assert load.calls_per_s is None and load.load == 0.225


def test_at_a_limit_of_a_whole_core_nobody_is_refused() -> None:
    load = Load(1.0)
    load.look(0.0, 0.0, 0, True)
    load.look(1.0, 1.0, 500, False)
    assert load.load == 1.0 and load.calls_per_s is None


def test_the_slowest_round_is_that_of_the_last_five_seconds() -> None:
    load = Load(MAX_LOAD)
    for at, seconds in ((0.0, 0.2), (1.0, 0.01), (4.0, 0.05), (5.1, 0.001)):
        load.note_round(at, seconds)
    assert load.slowest_round_s() == 0.05
