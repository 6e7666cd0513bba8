"""When the engine is overloaded: by its own CPU time, with a step back before calls are taken again."""

from engine.load import Load


def looks(load: Load, shares: list[float]) -> list[bool]:
    """`is_over` after each second in which the thread ran for this share of it."""
    cpu_s, seen = 0.0, []
    load.look(0.0, cpu_s)
    for second, share in enumerate(shares, 1):
        cpu_s += share
        load.look(float(second), cpu_s)
        seen.append(load.is_over)
    return seen


def test_over_above_the_limit_and_eased_only_well_below_it() -> None:
    assert looks(Load(0.9), [0.5, 0.89, 0.91, 0.8, 0.77, 0.76, 0.3, 0.89]) == [0, 0, 1, 1, 1, 0, 0, 0]


def test_a_stall_by_others_is_no_overload() -> None:
    """The machine stood still for three seconds: the clock ran, the thread did not."""
    load = Load(0.9)
    load.look(0.0, 0.0)
    load.look(4.0, 0.9)
    assert not load.is_over and load.load == 0.225


def test_changes_are_told_once() -> None:
    load = Load(0.9)
    told = [load.look(float(second), cpu_s) for second, cpu_s in enumerate([0.0, 0.95, 1.9, 2.0, 2.1])]
    assert told == [False, True, False, True, False]


def test_the_slowest_round_is_that_of_the_last_five_seconds() -> None:
    load = Load(0.9)
    for at, seconds in ((0.0, 0.2), (1.0, 0.01), (4.0, 0.05), (5.1, 0.001)):
        load.note_round(at, seconds)
    assert load.slowest_round_s() == 0.05
