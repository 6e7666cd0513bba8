"""Random schedules of everything that can cross. With a law of the call machine removed they fail: see the controls.

The world and what must hold in it are in storm.py. A failure prints its seed and its ladder, and the same seed gives
the same story: `Storm(Random(SEED)).run()`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.call import Call
from engine.callflow.table import TABLE, Late, Move, State
from tests.floor.storm import Storm, ladder
from tests.floor.storm_acd import Fault

N_SCHEDULES = 40_000
N_CONTROL = 3_000

# The ACD of the storm, like the real one, offers nothing after it ended a wait: then no agent is on the way any more.
UNREACHED_MOVES = {
    (State.ROUTING, ev.AgentReserved),
    (State.DIALLING, ev.AgentReserved),
    (State.TRANSFERRED, ev.AgentReserved),
}


NEW_EVENTS = {ev.CallbackBegan, ev.CallerHears, ev.KeyChosen, ev.EarlyMediaPlanned, ev.AskPlanned, ev.VoicemailPlanned,
              ev.MessagesPlanned, ev.MailboxOpened, ev.MailboxRefused, ev.ErrandPlanned, ev.ErrandDone, ev.RecordPlanned, ev.CallbackTurn, ev.TalkEnded,
              ev.GreetedAgent, ev.CustomerAnswered, ev.CustomerRefused, ev.TimeUp, ev.AgentReserved}  # fmt: skip


def prove(seeds: Iterable[int], call_class: type[Call] = Call) -> None:
    rng = Random()
    for seed in seeds:
        rng.seed(seed)
        storm = Storm(rng, call_class)
        try:
            storm.run()
        except Fault as fault:
            pytest.fail(f"seed {seed}: {fault}\n{ladder(storm)}", pytrace=False)


def count_faults(call_class: type[Call]) -> Counter[str]:
    """Faults by kind."""
    rng = Random()
    faults: Counter[str] = Counter()
    for seed in range(N_CONTROL):
        rng.seed(seed)
        try:
            Storm(rng, call_class).run()
        except Fault as fault:
            faults[str(fault).partition(":")[0]] += 1
    print(f"{call_class.__name__}: {faults.total()} of {N_CONTROL} schedules fail: {dict(faults)}")
    return faults


def test_no_schedule_breaks_a_call():
    prove(range(N_SCHEDULES))


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_no_schedule_of_a_million_breaks_a_call():
    prove(range(N_SCHEDULES, 1_000_000))


def test_the_storm_reaches_every_move_and_every_crossing():
    """A storm in which nothing happens would prove nothing."""
    reached: set[tuple[State, type[ev.Event]]] = set()
    crossed: set[type[ev.Event]] = set()

    class Watched(Call):
        def handle(self, event, now):
            before = self.state
            commands = super().handle(event, now)
            reached.add((before, type(event)))
            if self.late:
                crossed.add(type(event))
            return commands

    prove(range(N_CONTROL), Watched)
    old = set(State) - {State.MESSAGE, State.GREETING, State.FETCHING, State.REACHING}
    moves = {(state, event) for state in old for event, row in TABLE[state].items() if isinstance(row, Move)}
    assert {move for move in moves - reached if move[1] not in NEW_EVENTS} == UNREACHED_MOVES
    can_be_late = {event for state in State for event, row in TABLE[state].items() if isinstance(row, Late)}
    assert can_be_late - crossed - NEW_EVENTS == set()


# ---- controls: a law removed must make the storm fail


class WithoutOfferNumbers(Call):
    """Law 4 removed: news carries no number, so it is taken for news of the newest offer."""

    def handle(self, event, now):
        if isinstance(event, ev.CalledEvent) and self.offers:
            event = replace(event, offer=max(self.offers))
        return super().handle(event, now)

    def _stale(self, event):
        return None if isinstance(event, ev.CalledEvent) else super()._stale(event)


class WithoutGivingBack(Call):
    """Half of law 3 removed: an agent reserved too late is not given back."""

    def handle(self, event, now):
        return [command for command in super().handle(event, now) if not isinstance(command, do.GiveBackAgent)]


class WithoutByeForLateAnswer(Call):
    """The other half: a 200 that crossed our CANCEL gets no BYE."""

    def handle(self, event, now):
        commands = super().handle(event, now)
        return [] if self.late and isinstance(event, ev.CalledAnswered) else commands


class WithKeptTimer(Call):
    """Law 5 removed: a timer outlives its state."""

    def _timer(self, now):
        due = super()._timer(now)
        return self.deadline if due is None and self.state is not State.ENDED else due


class WithoutPlayNumbers(Call):
    """News of prompts carries no number: that of a prompt that was cut is taken for the one that plays."""

    def handle(self, event, now):
        if isinstance(event, ev.PlayFinished):
            event = replace(event, play=self.play)
        return super().handle(event, now)


@pytest.mark.parametrize(
    ("call_class", "kind"),
    [
        (WithoutOfferNumbers, "leg"),
        (WithoutGivingBack, "agent"),
        (WithoutByeForLateAnswer, "leg"),
        (WithKeptTimer, "timer"),
        (WithoutPlayNumbers, "order"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_without_this_law_the_storm_fails(call_class, kind):
    assert count_faults(call_class)[kind] > 0


def test_one_seed_is_one_story():
    assert ladder(Storm(Random(7)).run()) == ladder(Storm(Random(7)).run())
