"""The plan of the storm, and the rooms that a plan asks: any step that a checked plan could take. See storm.py.

What config refuses never comes: a queue or a message before the answer, a second queue after the talk, more steps for a
callback whose customer is not on the line.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import plan, record, steps
from tests.floor.storm_acd import Fault

HERE = plan.Place("storm.yaml", 1, 1)

ANSWER = steps.Answer(HERE, {})
EARLY = steps.EarlyMedia(HERE, {})
PLAY = steps.Play(HERE, {}, ("welcome",), "zh")
MENU = steps.Ask(HERE, {}, ("menu",), "zh", ("1", "2", "20"), tries=2, invalid=("wrong",), silent=("again",))
NUMBER = steps.Ask(HERE, {}, ("order",), "zh", n_min=2, n_max=4, first_s=2, between_s=1, barge_in=False, into="order")
SURVEY = steps.Ask(HERE, {}, (), "zh", ("1", "2", "3"), tries=1, first_s=2, survey="service")
CONSENT = steps.Consent(HERE, {}, ("recorded",), "zh")
LOOK_UP = steps.LookUp(HERE, {})
WEBHOOK = steps.Webhook(HERE, {})
RECORD = [steps.Record(HERE, {}, is_on) for is_on in (True, False)]
VOICEMAIL = steps.Voicemail(HERE, {}, "queue:support", max_s=6)
MESSAGES = steps.Messages(HERE, {})
WAIT, LATER = steps.Announce(("wait",), 3, 4), steps.Announce(("later",), 4, float("inf"))
QUEUE = steps.Queue(
    HERE, {}, "support", music="moh", max_wait_s=9, announces=(WAIT, LATER), keys=("1",), whisper=("vip",)
)
QUIET_QUEUE = steps.Queue(HERE, {"served": 1}, "support", max_wait_s=20)  # in silence, and the plan goes on after it
TRANSFER = steps.Transfer(HERE, {}, "sip:night@192.0.2.7", ring_for_s=12, ringback="ringback")
# the caller need not be answered: the target's answer is the caller's
TARGETS = ("agent:103", "trunk:carrier/057112345", "sip:desk@192.0.2.7")
DIALLED = [steps.Transfer(HERE, {}, uri, ring_for_s=12, follows_redirect=n == 0) for n, uri in enumerate(TARGETS)]
HANG_UPS = [steps.HangUp(HERE, {}, cause) for cause in ("normal", "busy")]

SILENT = (LOOK_UP, WEBHOOK, *RECORD)
HEARD = (PLAY, MENU, MENU, NUMBER, SURVEY, CONSENT)

_PLANNED: dict[type[plan.Step], Callable[[Any], ev.Event]] = {
    steps.Answer: ev.AnswerPlanned,
    steps.EarlyMedia: ev.EarlyMediaPlanned,
    steps.Play: ev.PlayPlanned,
    steps.Ask: ev.AskPlanned,
    steps.Consent: ev.AskPlanned,
    steps.Record: ev.RecordPlanned,
    steps.Voicemail: ev.VoicemailPlanned,
    steps.Messages: ev.MessagesPlanned,
    steps.Queue: ev.QueuePlanned,
    steps.HangUp: ev.HangUpPlanned,
}


class World(Protocol):
    """What the plan needs of the storm around it."""

    rng: Any
    phones: Any
    n_offers: int
    is_refused: bool  # to be recorded

    def travel_s(self) -> float: ...
    def later(self, delay_s: float, act: Callable[..., None], *args: object) -> None: ...
    def tell(self, event: ev.Event) -> None: ...


class Plan:
    """Speaks one step at a time, and answers errands whenever it pleases: in time, too late, or never."""

    def __init__(self, storm: World) -> None:
        self.storm = storm
        self.step: plan.Step | None = None
        self.sent: plan.Step | None = None
        self.is_step_out = False  # TakeStep was given and the plan has not spoken yet
        self.is_served = False
        self.n_steps = 0
        self.n_tickets = 0
        self.remembered: list[str] = []  # since the step began
        self.boxes: dict[str, bool] = {}  # message -> deleted

    def begin(self, step: plan.Step) -> None:
        """A callback stands in its queue from the start."""
        self.step = step

    def take_step(self, command: do.TakeStep) -> None:
        step, result = self.step, command.result
        if self.is_step_out:
            raise Fault("order: the plan is asked twice for one step")
        results: tuple[str, ...] = ("start",) if step is None else step.results
        if isinstance(step, steps.Ask):
            results = (*step.choices, *(("done",) if not step.choices else ()), "no_input", "invalid")
            if (result in ("no_input", "invalid")) is bool(self.remembered):
                raise Fault(f"order: {result} of a question, and {self.remembered} is remembered")
        if isinstance(step, steps.Queue):
            results += step.keys
        if result not in results:
            raise Fault(f"order: {step} has no result {result}")
        self.is_served = self.is_served or result == "served"
        self.storm.is_refused = self.storm.is_refused or (step is CONSENT and result == "refused")
        self.is_step_out = True
        self.storm.later(self.storm.travel_s(), self.speaks, self.choose())

    def send(self, step: plan.Step | None) -> None:
        """The agent sends the caller to this step, or into another plan."""
        self.sent = step

    def follow(self, command: do.FollowAgent) -> None:
        self.step = self.sent

    def target(self) -> steps.Transfer:
        found: steps.Transfer = self.storm.rng.choice(DIALLED)
        return found

    def follow_redirect(self, command: do.FollowRedirect) -> None:
        if not isinstance(self.step, steps.Transfer) or not self.step.follows_redirect:
            raise Fault("order: a redirect is followed that the plan does not allow")
        self.take_step(do.TakeStep(command.result))

    def speaks(self, step: plan.Step) -> None:
        storm = self.storm
        self.is_step_out = False
        self.n_steps += 1
        self.remembered = []
        self.step = step
        if isinstance(step, steps.Transfer):
            storm.n_offers += 1
            storm.tell(ev.TransferPlanned(step, storm.n_offers))
        elif isinstance(step, steps.Errand):
            self.n_tickets += 1
            storm.tell(ev.ErrandPlanned(step, self.n_tickets))
        else:
            storm.tell(_PLANNED[type(step)](step))
            if isinstance(step, steps.Ask | steps.Consent | steps.Messages | steps.Voicemail | steps.Queue):
                storm.phones.keys(step)

    def choose(self) -> plan.Step:
        choice, chance, phones = self.storm.rng.choice, self.storm.rng.random(), self.storm.phones
        if phones.dials and self.n_steps == 0:
            return choice(DIALLED)
        if self.n_steps > 8 or not phones.has_caller:
            return choice(HANG_UPS)
        if not phones.is_answered:
            if chance < 0.7:
                return ANSWER
            if chance < 0.8:
                return EARLY
            if chance < 0.9:
                return choice(DIALLED)
            return choice((*HANG_UPS, *SILENT, *(HEARD if phones.is_heard else ())))
        if chance < 0.06:
            return choice(HANG_UPS)
        if chance < 0.15:
            return choice(SILENT)
        if chance < 0.35:
            return choice((*HEARD, ANSWER, EARLY))
        if chance < 0.45:
            return choice((VOICEMAIL, MESSAGES))
        if self.is_served:
            return choice((SURVEY, PLAY))
        return choice((TRANSFER, *DIALLED)) if chance < 0.55 else QUEUE if chance < 0.80 else QUIET_QUEUE

    # ---- what the call asks of other rooms

    def remember(self, command: do.Remember) -> None:
        self.remembered.append(command.text)

    def write_survey(self, command: do.WriteSurvey) -> None:
        if command.answer != self.remembered[-1] or self.step is not SURVEY:
            raise Fault("record: an answer that nobody gave")

    def run_errand(self, command: do.RunErrand) -> None:
        rng, storm = self.storm.rng, self.storm
        if rng.random() < 0.95:
            done = ev.ErrandDone(command.ticket, rng.choice(command.step.results))
            storm.later(rng.choice((0, 1, 3)) * rng.random(), storm.tell, done)

    def open_mailbox(self, command: do.OpenMailbox) -> None:
        rng, storm = self.storm.rng, self.storm
        messages = tuple(self.message(f"m{n}", n) for n in range(rng.randrange(4)))
        opened = ev.MailboxOpened(command.ticket, messages)
        refused = ev.MailboxRefused(command.ticket, rng.random() < 0.3)
        storm.later(7 * rng.random(), storm.tell, opened if rng.random() < 0.7 else refused)

    def message(self, id: str, n: int) -> record.Message:
        at = datetime(2026, 11, 22, tzinfo=UTC)
        return record.Message(id, "agent:101", "" if n == 1 else "13800138000", id, at, 3.0, f"{id}.wav")

    def tend(self, command: do.MarkHeard | do.DeleteMessage | do.AnswerMessage) -> None:
        if self.step is not MESSAGES:
            raise Fault("order: a message is dealt with, and nobody listens")
