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

N_SCHEDULES = 24_000
N_CONTROL = 12_000  # a control fails long before

# The conductor says that a callback's turn has come only while it waits for it; that crosses nothing but its end.
UNREACHED_MOVES = {
    *((state, ev.CallbackTurn) for state in set(State) - {State.NEW, State.QUEUED, State.REACHING}),
    # the conductor says of a talk alone that somebody is put through; that crosses nothing but its end
    *((state, ev.PutThrough) for state in set(State) - {State.NEW, State.TALKING, State.ROUTING, State.CLOSING}),
    (State.TRANSFERRED, ev.AgentReserved),  # an exit key, and a target who answers before the ACD's word arrives
    (State.SENDING, ev.AgentReserved),  # the same
} - {(State.CLOSING, ev.CallbackTurn), (State.ENDED, ev.CallbackTurn)}


class Watched(Call):
    """Notes which rows were used."""

    reached: set[tuple[State, type[ev.Event]]] = set()
    crossed: set[type[ev.Event]] = set()

    def handle(self, event, now):
        before = self.state
        commands = super().handle(event, now)
        self.reached.add((before, type(event)))
        if self.late:
            self.crossed.add(type(event))
        return commands


def prove(seeds: Iterable[int]) -> None:
    rng = Random()
    for seed in seeds:
        rng.seed(seed)
        storm = Storm(rng, Watched)
        try:
            storm.run()
        except Fault as fault:
            pytest.fail(f"seed {seed}: {fault}\n{ladder(storm)}", pytrace=False)


def test_no_schedule_breaks_a_call_and_every_move_and_crossing_is_reached():
    """A storm in which nothing happens would prove nothing."""
    Watched.reached.clear()
    Watched.crossed.clear()
    prove(range(N_SCHEDULES))
    moves = {(state, event) for state in State for event, row in TABLE[state].items() if isinstance(row, Move)}
    assert moves - Watched.reached == UNREACHED_MOVES
    can_be_late = {event for state in State for event, row in TABLE[state].items() if isinstance(row, Late)}
    # these the conductor says of a talk alone, as it stands: they cross nothing
    assert can_be_late - Watched.crossed == {ev.AgentLost, ev.TalkEnded, ev.CalledTaken}


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_no_schedule_of_a_million_breaks_a_call():
    prove(range(N_SCHEDULES, 1_000_000))


# ---- controls: a law removed must make the storm fail


class WithoutOfferNumbers(Call):
    """Law 4 removed: news carries no number, so it is taken for news of the newest offer."""

    def handle(self, event, now):
        if isinstance(event, ev.CalledEvent) and self.offers:
            event = replace(event, offer=max(self.offers))
        return super().handle(event, now)

    def _stale(self, event):
        return None if isinstance(event, ev.CalledEvent) else super()._stale(event)


class WithoutPlayNumbers(Call):
    """News of prompts carries no number: that of a prompt that was cut is taken for the one that plays."""

    def handle(self, event, now):
        if isinstance(event, ev.PlayFinished):
            event = replace(event, play=self.play)
        return super().handle(event, now)


class WithoutTickets(Call):
    """An errand's answer carries no number: one that came too late is taken for that of the next errand."""

    def handle(self, event, now):
        if isinstance(event, ev.ErrandDone):
            event = replace(event, ticket=self.ticket)
        return super().handle(event, now)


class WithKeptTimer(Call):
    """Law 5 removed: a timer outlives its state."""

    def _timer(self, now):
        due = super()._timer(now)
        return self.deadline if due is None and self.state is not State.ENDED else due


class Forgetful(Call):
    """Does not say `forgotten` after `event`."""

    event: type[ev.Event] | tuple[type[ev.Event], ...] = ev.Event
    forgotten: type[do.Command] | tuple[type[do.Command], ...] = ()
    only_late = False

    def handle(self, event, now):
        commands = super().handle(event, now)
        if not isinstance(event, self.event) or (self.only_late and not self.late):
            return commands
        return [command for command in commands if not isinstance(command, self.forgotten)]


class WithoutGivingBack(Forgetful):
    """Part of law 3 removed: an agent reserved too late is not given back."""

    forgotten = do.GiveBackAgent


class WithoutByeForLateAnswer(Forgetful):
    """Another: a 200 that crossed our CANCEL gets no BYE."""

    event, forgotten, only_late = ev.CalledAnswered, do.HangUpCalled, True


class WithoutByeForCustomer(Forgetful):
    """The same of a customer who is called back."""

    event, forgotten = ev.CustomerAnswered, do.HangUpCaller


class WithPhonesAfterExitKey(Forgetful):
    """The caller has left the queue by a key, and the phones ring on."""

    event, forgotten = ev.KeyChosen, do.HangUpCalled


class WithAgentAfterExitKey(Forgetful):
    """The same, and the ACD is not told."""

    event, forgotten = ev.KeyChosen, do.LeaveQueue


class WithAgentAfterTalk(Forgetful):
    """The caller goes on to the survey, and the agent never gets to the wrap-up."""

    event, forgotten = ev.TalkEnded, do.ReleaseAgent


class WithAgentAfterCustomer(Forgetful):
    """The customer could not be reached, and the agent is left on the line."""

    event, forgotten = ev.CustomerRefused, (do.ReleaseAgent, do.HangUpCalled)


class WithMusicUnderGreeting(Forgetful):
    """An answer does not cut what plays."""

    event, forgotten = ev.CalledAnswered, (do.StopMusic, do.StopPrompts)


class WithWaitingAgent(Forgetful):
    """An answer is not followed at once by what brings agent and caller together."""

    event, forgotten = ev.CalledAnswered, do.Greet


class WithEndlessGreeting(Forgetful):
    """The media room does not say that the greeting has ended, and nobody minds."""

    event, forgotten = ev.TimeUp, do.CutGreeting


class WithAgentAfterGreeting(Forgetful):
    """An agent hangs up before the talk, and never gets to the wrap-up."""

    event, forgotten = ev.AgentLost, do.ReleaseAgent


class WithCallerInSilence(Forgetful):
    """The same, and the caller waits in no queue."""

    event, forgotten = ev.AgentLost, do.Enqueue


class WithoutReport(Forgetful):
    """The agent's phone asked for a transfer and never hears what became of it."""

    event, forgotten = ev.CalledRefused, do.ReportTransfer


class WithoutAgentAgain(Forgetful):
    """Nobody takes the transfer, and the caller is left with the music."""

    event, forgotten = (ev.CalledRefused, ev.TimeUp), (do.Bridge, do.StopMusic)


class WithAgentAfterTransfer(Forgetful):
    """The caller talks to somebody else, and the agent never gets to the wrap-up."""

    event, forgotten = ev.CalledAnswered, do.ReleaseAgent


class WithoutByeForParty(Forgetful):
    """Law 3: somebody is put through to a call that is over, and stays on the line."""

    event, forgotten = ev.PutThrough, do.HangUpCalled


class WithoutRinging(Forgetful):
    """A caller who is not answered does not hear that the target rings."""

    event, forgotten = ev.CalledRinging, do.RingCaller


class WithoutAnswerForCaller(Forgetful):
    """The target picks up, and the caller, who was not answered, is not answered now."""

    event, forgotten = ev.CalledAnswered, do.AnswerCaller


class WithOpenMessage(Forgetful):
    """Who hangs up has left a message; it is never closed."""

    event, forgotten = ev.CallerGone, do.StopMessage


class WithLateExitKey(Call):
    """A key that crossed the agent's answer is obeyed."""

    def handle(self, event, now):
        commands = super().handle(event, now)
        is_late = isinstance(event, ev.KeyChosen) and self.late and self.state in (State.GREETING, State.TALKING)
        return [do.TakeStep(event.key)] if is_late else commands


class WithLateErrand(Call):
    """An errand whose time has passed leaves its ticket open."""

    def handle(self, event, now):
        ticket = self.ticket
        commands = super().handle(event, now)
        if isinstance(event, ev.TimeUp) and ticket > 0:
            self.ticket = ticket
        return commands


class WithoutConsent(Call):
    """The caller's refusal is forgotten."""

    def start_recording(self):
        self.may_record = True
        return super().start_recording()


@pytest.mark.parametrize(
    ("call_class", "kind"),
    [
        (WithoutOfferNumbers, "leg"),
        (WithoutPlayNumbers, "order"),
        (WithoutTickets, "order"),
        (WithLateErrand, "order"),
        (WithKeptTimer, "timer"),
        (WithoutGivingBack, "agent"),
        (WithoutByeForLateAnswer, "leg"),
        (WithoutByeForCustomer, "leg"),
        (WithPhonesAfterExitKey, "leg"),
        (WithAgentAfterExitKey, "agent"),
        (WithLateExitKey, "impossible"),
        (WithAgentAfterTalk, "agent"),
        (WithAgentAfterCustomer, "leg"),
        (WithMusicUnderGreeting, "sound"),
        (WithWaitingAgent, "bridge"),
        (WithEndlessGreeting, "bridge"),
        (WithAgentAfterGreeting, "agent"),
        (WithCallerInSilence, "record"),
        (WithoutReport, "order"),
        (WithoutAgentAgain, "bridge"),
        (WithAgentAfterTransfer, "agent"),
        (WithoutByeForParty, "leg"),
        (WithoutRinging, "sound"),
        (WithoutAnswerForCaller, "bridge"),
        (WithOpenMessage, "record"),
        (WithoutConsent, "record"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_without_this_law_the_storm_fails(call_class, kind):
    rng = Random()
    faults: Counter[str] = Counter()
    for seed in range(N_CONTROL):
        rng.seed(seed)
        try:
            Storm(rng, call_class).run()
        except Fault as fault:
            faults[str(fault).partition(":")[0]] += 1
            if faults[kind] == 3:
                break
    print(f"{call_class.__name__}: {dict(faults)} in {seed + 1} schedules")
    assert faults[kind] == 3


def test_one_seed_is_one_story():
    assert ladder(Storm(Random(7)).run()) == ladder(Storm(Random(7)).run())
