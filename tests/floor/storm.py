"""A small world around one call, where every message takes its own time: the model that test_storm.py drives.

Phones, the ACD, the plan, media, people and timers act by chance, and each is simple enough to be obviously right.
Messages between them and the call travel, and so cross: CANCEL and 200, BYE and BYE, an agent reserved as the caller
hangs up, a refusal and the end of the ring time. News of one sender stays in its order, except 180, which may come late
(provisional answers are not reliable, RFC 3262 section 1). In the real engine the ACD is asked and answers at once, so
that fewer messages cross than in this world.

What must hold is checked where it happens and raises Fault with the kind of wrong in front:

    leg         a leg was not told to end, or had to be dropped although it listens
    agent       an agent stayed reserved or talking, or was handed over twice
    impossible  the table ruled out an event of this world
    bridge      two talks, or a talk on a leg that is not up
    record      a CDR, segment or recording too many, too few or with a hole
    order       a command that makes no sense where it stands
    timer       TimeUp where no timer belongs
"""

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.call import Call, Rules
from engine.callflow.errors import BusyError, ImpossibleEvent, MediaError
from engine.callflow.events import Refusal
from engine.callflow.table import State
from tests.floor.playbook import brief
from tests.floor.storm_acd import Acd, Fault

HOURS_S = 3600.0  # time enough for every leg that ends at all
RULES = [
    Rules(max_talk_s=12, ending_s=HOURS_S, record_from="answered", recording="storm.wav"),
    Rules(max_talk_s=60, ending_s=HOURS_S, record_from="talked", recording="storm.wav"),
    Rules(max_talk_s=12, ending_s=1, record_from="none", recording=""),  # drops legs that would still have ended
]
CALLER = plan.Caller(ani="13800138000", dnis="4008001234", trunk="carrier")
HERE = plan.Place("storm.yaml", 1, 1)

ANSWER = steps.Answer(HERE, {})
PLAY = steps.Play(HERE, {}, ("welcome",), "zh")
QUEUE = steps.Queue(
    HERE, {}, queue="support", music="moh", max_wait_s=9, announces=(steps.Announce(("wait",), 3, 4),)
)
QUIET_QUEUE = steps.Queue(HERE, {}, queue="support", max_wait_s=20)  # in silence
TRANSFER = steps.Transfer(HERE, {}, "sip:night@192.0.2.7", ring_for_s=12, ringback="ringback")
HANG_UPS = [steps.HangUp(HERE, {}, cause) for cause in ("normal", "busy")]
REFUSALS = [(Refusal.BUSY, 486), (Refusal.REJECTED, 603), (Refusal.NO_ANSWER, 408), (Refusal.UNREACHABLE, 503)]


class Phone:
    """The far end of a leg, and what the call has heard of it."""

    __slots__ = ("party", "phase", "heard", "told", "is_deaf", "heard_at")

    def __init__(self, party: str, is_deaf: bool) -> None:
        self.party = party
        self.phase = "dialled"  # then ringing, up, ended: what is true at the far end
        self.heard = "nothing"  # then up, ended: what the call knows
        self.told = ""  # cancel, bye: the last request to end that we sent
        self.is_deaf = is_deaf  # went dark: takes part in the call, but no request to end is ever answered
        self.heard_at = 0.0  # when its last news arrives: later news comes later


class Storm:
    """One random schedule. run() returns when nothing is left to happen, or raises Fault."""

    def __init__(self, rng: Random, call_class: type[Call] = Call) -> None:
        self.rng = rng
        self.rules = rng.choice(RULES)
        self.call = call_class("storm", self.rules)
        self.now = 0.0
        self.story: list[tuple[float, str, object]] = []
        self.coming: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.n_coming = 0
        self.hurry = rng.choice((0.05, 0.5, 3.0))  # seconds a message takes, on average: from a LAN to a bad night
        self.caller = Phone("caller", is_deaf=rng.random() < 0.03)
        self.called: dict[int, Phone] = {}
        self.acd: Acd = Acd(self)
        self.n_offers = 0
        self.is_answered = False  # AnswerCaller was given
        self.is_step_out = False  # TakeStep was given and the plan has not spoken yet
        self.step: plan.Step | None = None
        self.n_steps = 0
        self.play = 0  # the prompts that play at the caller's leg
        self.has_music = False
        self.bridged: int | None = None
        self.n_targets = 0  # transfer targets that talked
        self.n_done: Counter[type[do.Command]] = Counter()
        self.segments: list[Any] = []
        self.rung: list[tuple[str, float]] = []
        self.cdr: Any = None
        self.are_legs_gone = False

    # ---- time and messages

    def later(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        self.n_coming += 1
        heappush(self.coming, (self.now + delay_s, self.n_coming, act, args))

    def travel_s(self) -> float:
        return self.rng.random() * 2 * self.hurry

    def news(self, phone: Phone, event: ev.Event, heard: str = "") -> None:
        """What a phone says reaches the call in the order in which it was said."""
        phone.heard_at = max(phone.heard_at, self.now + self.travel_s())
        self.later(phone.heard_at - self.now, self.hear, phone, event, heard)

    def hear(self, phone: Phone, event: ev.Event, heard: str) -> None:
        if phone.heard == "ended":
            return  # a 180 overtaken by the end: the SIP room reports nothing after the end of a leg
        phone.heard = heard or phone.heard
        self.tell(event)
        if heard == "ended":
            self.count_legs()

    def count_legs(self) -> None:
        legs = (self.caller, *self.called.values())
        if not self.are_legs_gone and all(leg.heard == "ended" for leg in legs):
            self.are_legs_gone = True
            self.tell(ev.LegsGone())

    def tell(self, event: ev.Event) -> None:
        self.story.append((self.now, ">>", event))
        try:
            commands = self.call.handle(event, self.now)
        except ImpossibleEvent as error:
            raise Fault(f"impossible: {error}") from None
        except Fault:
            raise
        except Exception as error:
            raise Fault(f"crash: {type(error).__name__}: {error}") from error
        is_over = self.cdr is not None
        for command in commands:
            if is_over and not isinstance(command, (do.GiveBackAgent, do.HangUpCalled)):
                raise Fault(f"order: {command} after the CDR")
            self.story.append((self.now, "<<", command))
            self.n_done[type(command)] += 1
            _DO[type(command)](self, command)
        self.check_step()

    def run(self) -> "Storm":
        self.arrive()
        while self.coming or self.call.deadline is not None:
            deadline = self.call.deadline
            if deadline is not None and (not self.coming or deadline <= self.coming[0][0]):
                self.now = max(self.now, deadline)
                self.time_up()
                continue
            self.now, _, act, args = heappop(self.coming)
            act(*args)
        self.check_end()
        return self

    def time_up(self) -> None:
        state = self.call.state
        if state in (State.NEW, State.OFFERING, State.GREETING, State.ENDED):
            raise Fault(f"timer: TimeUp in state {state}")
        self.tell(ev.TimeUp())

    # ---- the caller, an operator, a failing room

    def arrive(self) -> None:
        chance = self.rng.random
        patience_s = 60 * chance()
        if self.caller.is_deaf:
            self.later(patience_s, self.tell, ev.HangUpOrdered("wang"))  # nobody else would ever end it
        else:
            self.later(patience_s, self.caller_leaves)
        if chance() < 0.04:
            self.later(60 * chance(), self.tell, ev.HangUpOrdered("wang"))
        if chance() < 0.04:
            self.later(30 * chance(), self.tell, ev.CallFailed(MediaError("no slot")))
        if chance() < 0.1:
            self.later(30 * chance(), self.caller_dials)
        if chance() < 0.01:
            self.tell(ev.CallTurnedAway(CALLER, 1, BusyError("full", retry_after_s=10)))
        else:
            self.tell(ev.CallArrived(CALLER, 1))

    def caller_leaves(self) -> None:
        if self.caller.phase != "ended":
            self.caller.phase = "ended"
            is_up = self.is_answered
            self.news(self.caller, ev.CallerGone(200 if is_up else 487, "BYE" if is_up else "CANCEL"), "ended")

    def caller_dials(self) -> None:
        if self.caller.phase != "ended":
            self.news(self.caller, ev.CallerDigit("5"))

    def caller_is_answered(self) -> None:
        if self.caller.phase != "ended":
            self.caller.phase = "up"
            self.news(self.caller, ev.CallerAnswered(), "up")

    def caller_is_ended(self) -> None:
        if not self.caller.is_deaf:
            self.caller_leaves()

    # ---- called phones

    def ring(self, offer: int, party: str) -> None:
        if offer in self.called:
            raise Fault(f"order: offer {offer} rings twice")
        phone = self.called[offer] = Phone(party, is_deaf=self.rng.random() < 0.02)
        self.rung.append((party, self.now))
        self.later(self.travel_s(), self.invited, offer, phone)

    def invited(self, offer: int, phone: Phone) -> None:
        if phone.phase != "dialled":
            return
        if self.rng.random() < 0.15:
            return self.refuse(offer, phone)
        phone.phase = "ringing"
        self.later(self.travel_s(), self.hear, phone, ev.CalledRinging(offer), "")
        fate = self.rng.random()
        if fate < 0.6:
            self.later(10 * self.rng.random(), self.picked_up, offer, phone)
        elif fate < 0.8:
            self.later(10 * self.rng.random(), self.refuse, offer, phone)

    def refuse(self, offer: int, phone: Phone) -> None:
        if phone.phase in ("dialled", "ringing"):
            phone.phase = "ended"
            refusal, status = self.rng.choice(REFUSALS)
            self.news(phone, ev.CalledRefused(offer, refusal, status), "ended")

    def picked_up(self, offer: int, phone: Phone) -> None:
        if phone.phase == "ringing":
            phone.phase = "up"
            self.news(phone, ev.CalledAnswered(offer), "up")
            if self.rng.random() < 0.1:  # and puts it down at once
                self.later(self.travel_s(), self.called_leaves, offer, phone)

    def called_leaves(self, offer: int, phone: Phone) -> None:
        if phone.phase == "up":
            phone.phase = "ended"
            self.news(phone, ev.CalledGone(offer), "ended")

    def told_to_end(self, offer: int, phone: Phone, request: str) -> None:
        """A CANCEL that meets an answered phone does nothing (RFC 3261 section 9.2): its 200 is on the way to us."""
        if phone.is_deaf:
            return
        if request == "bye":
            self.called_leaves(offer, phone)
        elif phone.phase in ("dialled", "ringing"):
            phone.phase = "ended"
            self.news(phone, ev.CalledRefused(offer, Refusal.NO_ANSWER, 487), "ended")

    # ---- the plan

    def plan_speaks(self) -> None:
        self.is_step_out = False
        self.n_steps += 1
        chance = self.rng.random()
        if not self.is_answered:
            self.step = ANSWER if chance < 0.93 else self.rng.choice(HANG_UPS)
        elif self.n_steps > 8 or chance < 0.06:
            self.step = self.rng.choice(HANG_UPS)
        elif chance < 0.30:
            self.step = PLAY
        elif chance < 0.45:
            self.step = TRANSFER
        else:
            self.step = QUEUE if chance < 0.80 else QUIET_QUEUE
        if isinstance(self.step, steps.Transfer):
            self.n_offers += 1
            self.tell(ev.TransferPlanned(self.step, self.n_offers))
        else:
            self.tell(_PLANNED[type(self.step)](self.step))

    # ---- what the call asks for

    def answer_caller(self, command: do.AnswerCaller) -> None:
        if self.is_answered or self.caller.heard == "ended":
            raise Fault("order: 200 to a caller answered before, or gone")
        self.is_answered = True
        self.later(self.travel_s(), self.caller_is_answered)

    def end_caller(self, command: do.RejectCaller | do.HangUpCaller) -> None:
        if self.caller.heard == "ended" or self.caller.told:
            raise Fault("order: the caller's leg is gone or was told to end before")
        if isinstance(command, do.HangUpCaller) is not self.is_answered:
            raise Fault("order: BYE before the answer, or a refusal after it")
        self.caller.told = "bye"
        self.later(self.travel_s(), self.caller_is_ended)

    def take_step(self, command: do.TakeStep) -> None:
        if self.is_step_out:
            raise Fault("order: the plan is asked twice for one step")
        results = self.step.results if self.step else ("start",)
        if command.result not in results:
            raise Fault(f"order: {self.step} has no result {command.result}")
        self.is_step_out = True
        self.later(self.travel_s(), self.plan_speaks)

    def play_prompts(self, command: do.PlayPrompts) -> None:
        if not self.is_answered or self.caller.heard == "ended" or self.bridged is not None:
            raise Fault("order: prompts for a caller who is not there, or talks")
        self.play = command.play
        self.later(self.rng.random() * 6, self.play_ends, command.play)

    def play_ends(self, play: int) -> None:
        if self.play == play:
            self.play = 0
            self.later(3 * self.travel_s(), self.tell, ev.PlayFinished(play))  # media is polled

    def stop_prompts(self, command: do.StopPrompts) -> None:
        self.play = 0

    def start_music(self, command: do.StartMusic) -> None:
        self.has_music = True

    def stop_music(self, command: do.StopMusic) -> None:
        self.has_music = False

    def record(self, command: do.StartRecording) -> None:
        if self.n_done[do.StartRecording] > 1 or not self.is_answered or self.caller.heard == "ended":
            raise Fault("record: recording started twice, or of a leg that is not up")

    def ring_agent(self, command: do.RingAgent) -> None:
        self.ring(command.offer, command.agent)

    def dial_out(self, command: do.DialOut) -> None:
        self.ring(command.offer, command.uri)

    def hang_up_called(self, command: do.HangUpCalled) -> None:
        phone = self.called[command.offer]
        if phone.heard == "ended":
            raise Fault(f"order: leg of offer {command.offer} has ended before")
        phone.told = "bye" if phone.heard == "up" else "cancel"
        self.later(self.travel_s(), self.told_to_end, command.offer, phone, phone.told)

    def greet(self, command: do.Greet) -> None:
        if self.caller.heard != "up" or self.called[command.offer].heard != "up":
            raise Fault("order: a greeting on a leg that is not up")
        if self.play or self.has_music:
            raise Fault("order: a greeting over prompts or music")
        self.later(2 * self.travel_s() * self.rng.choice((0, 1)), self.tell, ev.Greeted(command.offer))
        self.later(self.rng.random() * 90, self.called_leaves, command.offer, self.called[command.offer])

    def bridge(self, command: do.Bridge) -> None:
        phone = self.called[command.offer]
        if self.bridged is not None or self.caller.heard != "up" or phone.heard != "up" or phone.told:
            raise Fault("bridge: a second talk, or a leg that is not up")
        if self.play or self.has_music:
            raise Fault("bridge: the caller still hears prompts or music")
        self.bridged = command.offer
        self.n_targets += phone.party == TRANSFER.uri
        self.later(self.rng.random() * 90, self.called_leaves, command.offer, phone)

    def drop_legs(self, command: do.DropLegs) -> None:
        legs = (self.caller, *self.called.values())
        standing = [leg for leg in legs if leg.heard != "ended"]
        if self.rules.ending_s == HOURS_S and not all(leg.is_deaf for leg in standing):
            raise Fault("leg: dropped although it would have ended, had it been told to")
        for leg in standing:
            leg.phase = "ended"
            self.later(max(0, leg.heard_at - self.now), self.forgotten, leg)  # what was on its way still arrives

    def open_cdr(self, command: do.OpenCdr) -> None:
        if self.n_done[do.OpenCdr] > 1:
            raise Fault("record: the CDR is opened twice")

    def write_segment(self, command: do.WriteSegment) -> None:
        if command.segment.began_at > command.segment.ended_at or self.cdr:
            raise Fault("record: a segment that ends before it begins, or after its call")
        self.segments.append(command.segment)

    def write_cdr(self, command: do.WriteCdr) -> None:
        if self.cdr:
            raise Fault("record: the CDR is written twice")
        self.cdr = command.cdr

    def forgotten(self, leg: Phone) -> None:
        if leg.heard != "ended":
            leg.heard = "ended"
            self.count_legs()

    # ---- what must hold

    def check_step(self) -> None:
        """After every event: each leg that the call does not want has been told so, in the words that reach it."""
        call = self.call
        for offer, phone in self.called.items():
            if phone.heard != "ended" and offer not in call.offers:
                if not phone.told:
                    raise Fault(f"leg: offer {offer} is over and its phone rings on")
                if phone.heard == "up" and phone.told != "bye":
                    raise Fault(f"leg: offer {offer} is over, was answered, and never got a BYE")
        if call.offers and call.state in (State.ROUTING, State.QUEUED, State.CLOSING, State.ENDED):
            raise Fault(f"leg: offers are open in {call.state}")
        if call.state is State.CLOSING and self.caller.heard != "ended" and not self.caller.told:
            raise Fault("leg: the call ends and the caller was not told")

    def check_end(self) -> None:
        call = self.call
        if call.state is not State.ENDED:
            raise Fault(f"leg: nothing is left to happen and the call is {call.state}")
        if any(phone.heard != "ended" for phone in (self.caller, *self.called.values())):
            raise Fault("leg: alive after the end")
        if self.acd.held:
            raise Fault(f"agent: still held after the end: {self.acd.held}")
        self.check_records()

    def check_records(self) -> None:
        cdr, n_done = self.cdr, self.n_done
        if n_done[do.WriteCdr] != 1 or None in (cdr.disposition, cdr.ended_at, cdr.ended_by, cdr.status):
            raise Fault(f"record: not one whole CDR: {cdr}")
        by_kind = {kind: [s for s in self.segments if s.kind == kind] for kind in ("offer", "queue", "talk")}
        if sorted((s.agent, s.began_at) for s in by_kind["offer"]) != sorted(self.rung):
            raise Fault("record: not one segment for each offer")
        n_talks = n_done[do.TakeOffer] + self.n_targets
        if len(by_kind["queue"]) != n_done[do.Enqueue] or len(by_kind["talk"]) != n_talks:
            raise Fault("record: not one segment for each wait and talk")
        if (cdr.connected_at is None) is bool(by_kind["talk"]):
            raise Fault("record: the CDR and the talk disagree")


def _ask(name: str, *, with_agent: bool = False, with_heard: bool = False) -> Callable[[Storm, Any], None]:
    """A command for the ACD travels there."""

    def send(storm: Storm, command: Any) -> None:
        acd = storm.acd
        args: list[Any] = [command.offer] if hasattr(command, "offer") else []
        if with_agent:
            args.append(storm.called[command.offer].party)
        if with_heard:
            args.append(frozenset(acd.heard))
        acd.ask(getattr(acd, name), *args)

    return send


_PLANNED: dict[type[plan.Step], Callable[[Any], ev.Event]] = {
    steps.Answer: ev.AnswerPlanned,
    steps.Play: ev.PlayPlanned,
    steps.Queue: ev.QueuePlanned,
    steps.HangUp: ev.HangUpPlanned,
}

_DO: dict[type[do.Command], Callable[[Storm, Any], None]] = {
    do.AnswerCaller: Storm.answer_caller,
    do.RejectCaller: Storm.end_caller,
    do.HangUpCaller: Storm.end_caller,
    do.TakeStep: Storm.take_step,
    do.PlayPrompts: Storm.play_prompts,
    do.StopPrompts: Storm.stop_prompts,
    do.StartMusic: Storm.start_music,
    do.StopMusic: Storm.stop_music,
    do.StartRecording: Storm.record,
    do.Enqueue: lambda storm, command: storm.acd.ask(storm.acd.enqueue, command.step),
    do.LeaveQueue: _ask("leave", with_heard=True),
    do.TakeOffer: _ask("take", with_agent=True, with_heard=True),
    do.DeclineOffer: _ask("decline"),
    do.GiveBackAgent: _ask("give_back"),
    do.ReleaseAgent: _ask("release"),
    do.RingAgent: Storm.ring_agent,
    do.DialOut: Storm.dial_out,
    do.HangUpCalled: Storm.hang_up_called,
    do.Greet: Storm.greet,
    do.Bridge: Storm.bridge,
    do.DropLegs: Storm.drop_legs,
    do.OpenCdr: Storm.open_cdr,
    do.WriteSegment: Storm.write_segment,
    do.WriteCdr: Storm.write_cdr,
}


def ladder(storm: Storm) -> str:
    return "\n".join(f"{now:9.3f} {arrow} {brief(what)}" for now, arrow, what in storm.story)
