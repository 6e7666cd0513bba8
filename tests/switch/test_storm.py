"""The conductor in random weather: seeded days with crossing messages, and controls that show the days would tell."""

import logging
from collections.abc import Callable

import pytest

from engine.acd import Acd
from engine.callbacks import Callbacks
from engine.callflow import commands as do
from engine.callflow import plan
from engine.switch import Live, News, Switch, conductor, planning, serving
from engine.switch.calling_back import CallingBack
from tests.switch.world import World, ladder

N_DAYS = 450


def play(seeds: range) -> int:
    """How many calls there were."""
    n_calls = 0
    for seed in seeds:
        world = World(seed)
        try:
            world.run()
            lost = [line for line in world.trace.lines if "CallFailed(" in line]
            assert not lost, f"nobody did anything wrong, and these are lost: {lost}"
        except Exception as error:
            pytest.fail(f"seed {seed}: {error!r}\n{ladder(world)}")
        n_calls += len(world.records.cdrs)
    return n_calls


class Bounded(Switch):
    """Without one of its deeds an offer can be given back for ever."""

    n_steps = 0

    def round(self, now: float) -> None:
        self.n_steps += 1
        assert self.n_steps < 10_000, "the day does not end"
        super().round(now)

    def _step(self, call: str, news: News) -> None:
        self.n_steps += 1
        assert self.n_steps < 10_000, "the day does not end"
        super()._step(call, news)


def n_bad_days(n_days: int, kind: type[Switch] = Switch) -> int:
    n = 0
    for seed in range(n_days):
        try:
            World(seed, kind).run()
        except (AssertionError, LookupError):
            n += 1
    return n


@pytest.mark.parametrize("block", range(3))
def test_nothing_is_left_after_any_day(block: int) -> None:
    play(range(block * N_DAYS // 3, (block + 1) * N_DAYS // 3))


@pytest.mark.prove
@pytest.mark.parametrize("block", range(20))
def test_nothing_is_left_after_any_of_100_000_days(block: int, caplog: pytest.LogCaptureFixture) -> None:
    """5,000 days a block, some two minutes each. Without the log: pytest keeps what is told until the test ends, and
    with it the worlds it is told of."""
    caplog.set_level(logging.CRITICAL)
    seeds = range(1_000_000 + 5_000 * block, 1_005_000 + 5_000 * block)
    print(f"seeds {seeds.start} to {seeds.stop - 1}: {play(seeds):,} calls")


# ---- controls: each removes one thing the conductor does, and the same days must then fail


@pytest.mark.parametrize(
    "forgotten",
    [do.HangUpCalled, do.ReleaseAgent, do.LeaveQueue, do.StopMusic, do.DeclineOffer, do.ReportTransfer, do.FollowAgent],
)
def test_control_a_forgotten_command_is_noticed(forgotten: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conductor._CARRY_OUT, forgotten, lambda *_: None)
    assert n_bad_days(60, Bounded) > 0


def test_control_a_call_lost_by_a_new_limit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_the_book(switch: Switch, live: Live, result: str, now: plan.Situation) -> plan.Stop:
        return live.book.enter("main", now) if live.step is None else live.book.after(live.step, result, now)

    monkeypatch.setattr(planning, "_next", by_the_book)
    with pytest.raises(pytest.fail.Exception, match="these are lost"):
        play(range(150))


@pytest.mark.parametrize("forgotten", ["outside_began", "outside_dialled", "outside_ended"])
def test_control_an_agent_who_is_offered_calls_while_on_the_phone_is_noticed(
    forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Acd, forgotten, lambda *_: None)
    assert n_bad_days(30, Bounded) > 0


def rung_too_soon(switch: Switch, call: str, offer: int) -> None:
    """As if every phone were free as soon as we give up its call."""
    switch.acd.cleared(offer, switch.now)


def never_rung(switch: Switch, leg: int) -> None:
    """As if no phone ever confirmed it."""


@pytest.mark.parametrize(("deed", "instead"), [("clear_phone", rung_too_soon), ("phone_cleared", never_rung)])
def test_control_phones_that_are_rung_too_soon_or_held_too_long_are_noticed(
    deed: str, instead: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, deed, instead)
    assert n_bad_days(60, Bounded) > 0


class ConsequencesLast(Bounded):
    """What followed in the ACD waits behind what the world posted meanwhile."""

    def _gather(self) -> None:
        self._inbox.extend(self.acd.take_events())
        self.acd.take_spans()


@pytest.mark.parametrize("forgotten", ["talks", "over", "promise"])
def test_control_a_forgotten_promise_is_noticed(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CallingBack, forgotten, lambda *_: None)
    assert n_bad_days(60) > 0


def test_control_a_caller_who_is_called_meanwhile_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("arrives", "leaves"):
        monkeypatch.setattr(Callbacks, verb, lambda *_: None)
    assert n_bad_days(150) > 0


def test_control_consequences_behind_the_inbox_are_noticed() -> None:
    assert n_bad_days(100, ConsequencesLast) > 0


# ---- a bug in one room


def test_a_room_that_raises_ends_one_call_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(3)
    n_plays = 0

    def fail_once(leg: int, items: object, play: int, language: str) -> None:
        nonlocal n_plays
        n_plays += 1
        if n_plays == 1:
            raise RuntimeError("a bug in the media room")
        type(world.sound).play(world.sound, leg, ("welcome",), play, language)

    monkeypatch.setattr(world.sound, "play", fail_once)
    world.run()
    assert [cdr.disposition for cdr in world.records.cdrs].count("failed") == 1
    assert n_plays > 1
