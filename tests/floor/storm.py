"""A small world around one call, where every message takes its own time: the model that test_storm.py drives.

Phones (storm_phones.py), the ACD (storm_acd.py), the plan (storm_plan.py), media, people and timers act by chance, and
each is simple enough to be obviously right. Messages between them and the call travel, and so cross: CANCEL and 200,
BYE and BYE, an agent reserved as the caller hangs up, an exit key and an answer, an errand and its deadline, a customer
who picks up as the agent hangs up. In the real engine the ACD is asked and answers at once, so that fewer messages
cross than in this world.

What must hold is checked where it happens and raises Fault with the kind of wrong in front:

    leg         a leg was not told to end, or had to be dropped although it listens
    agent       an agent stayed reserved or talking, was handed over or settled twice
    impossible  the table ruled out an event of this world
    bridge      two talks, a talk on a leg that is not up, an answer that had to wait for a prompt
    sound       two things play at once, or something plays for somebody who is not there
    record      a CDR, segment, recording or message too many, too few, left open or with a hole
    order       a command that makes no sense where it stands
    timer       TimeUp where no timer belongs
    endless     the call goes round and round
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
from engine.callflow.chapters.talking import GREETING_S
from engine.callflow.errors import BusyError, ImpossibleEvent, MediaError
from engine.callflow.table import State
from tests.floor.playbook import brief
from tests.floor.storm_acd import Acd, Fault
from tests.floor.storm_phones import Phones
from tests.floor.storm_plan import QUEUE, QUIET_QUEUE, Plan

HOURS_S = 3600.0  # time enough for every leg that ends at all
RULES = [
    Rules(max_talk_s=12, ending_s=HOURS_S, record_from="answered", recording="storm.wav", early_media=True),
    Rules(max_talk_s=60, ending_s=HOURS_S, record_from="talked", recording="storm.wav"),
    # drops legs that would still have ended
    Rules(max_talk_s=12, ending_s=1, record_from="none", recording="storm.wav", early_media=True),
]
CALLER = plan.Caller(ani="13800138000", dnis="4008001234", trunk="carrier")
AGENT = plan.Caller(ani="104", dnis="103", trunk="", name="Li", agent="104")
GREETING = ("you_asked_for_a_call",)
ENDLESS = 20_000  # things that happen; the longest schedules have some hundred
ALONE = (State.ROUTING, State.TONE, State.MESSAGE, State.QUEUED, State.REACHING, State.CLOSING)
WITHOUT_TIMER = (State.NEW, State.TONE, State.OFFERING, State.ENDED)


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
        self.is_callback = rng.random() < 0.25
        self.is_customer_first = self.is_callback and rng.random() < 0.5
        self.phones: Phones = Phones(self, self.is_callback)
        self.acd: Acd = Acd(self)
        self.plan: Plan = Plan(self)
        self.n_offers = 0
        # what is heard and recorded at the caller's leg
        self.play = 0
        self.has_music = False
        self.greeting: int | None = None  # the offer whose agent is greeted
        self.bridged: int | None = None
        self.is_recorded = False
        self.is_refused = False  # the caller refused to be recorded
        self.is_message_open = False
        # what is written
        self.n_done: Counter[type[do.Command]] = Counter()
        self.talked: set[int] = set()  # offers
        self.segments: list[Any] = []
        self.cdr: Any = None
        self.are_legs_gone = False

    # ---- time and messages

    def later(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        self.n_coming += 1
        heappush(self.coming, (self.now + delay_s, self.n_coming, act, args))

    def travel_s(self) -> float:
        return self.rng.random() * 2 * self.hurry

    def tell(self, event: ev.Event) -> None:
        self.story.append((self.now, ">>", event))
        was, is_over = self.call.state, self.cdr is not None
        try:
            commands = self.call.handle(event, self.now)
        except ImpossibleEvent as error:
            raise Fault(f"impossible: {error}") from None
        except Fault:
            raise
        except Exception as error:
            raise Fault(f"crash: {type(error).__name__}: {error}") from error
        for command in commands:
            if is_over and not isinstance(command, (do.GiveBackAgent, do.HangUpCalled, do.HangUpCaller)):
                raise Fault(f"order: {command} after the CDR")
            self.story.append((self.now, "<<", command))
            self.n_done[type(command)] += 1
            _DO[type(command)](self, command)
        self.check_step(was, event, commands)
        self.count_legs()

    def count_legs(self) -> None:
        """The conductor says that the last leg is gone when the call is ending, and only then."""
        is_closing = self.call.state in (State.CLOSING, State.ENDED)
        if is_closing and not self.are_legs_gone and all(leg.heard == "ended" for leg in self.phones.all()):
            self.are_legs_gone = True
            self.tell(ev.LegsGone())

    def run(self) -> "Storm":
        self.begin()
        while self.coming or self.call.deadline is not None:
            deadline = self.call.deadline
            if deadline is not None and (not self.coming or deadline <= self.coming[0][0]):
                self.now = max(self.now, deadline)
                self.time_up()
                continue
            self.now, _, act, args = heappop(self.coming)
            act(*args)
            if self.n_coming > ENDLESS:
                raise Fault("endless: nobody comes to an end of it")
        self.check_end()
        return self

    def time_up(self) -> None:
        call = self.call
        is_idle = call.state is State.ROUTING and not (call.dialog or call.errand)
        if call.state in WITHOUT_TIMER or is_idle:
            raise Fault(f"timer: TimeUp in state {call.state}")
        self.tell(ev.TimeUp())

    def begin(self) -> None:
        """A call or a callback; perhaps an operator who ends it, perhaps a room that fails."""
        chance = self.rng.random
        for trouble in (ev.HangUpOrdered("wang"), ev.CallFailed(MediaError("no slot"))):
            if chance() < 0.08:
                self.later(self.rng.choice((10, 60)) * chance(), self.tell, trouble)
        if self.is_callback:
            step = self.rng.choice((QUEUE, QUIET_QUEUE))
            greeting = self.rng.choice(((), GREETING))
            self.plan.begin(step)
            self.tell(ev.CallbackBegan(CALLER, step, self.is_customer_first, ring_for_s=8, greeting=greeting))
        else:
            self.phones.arrive()
            is_full = chance() < 0.01
            caller = AGENT if self.phones.dials else CALLER
            self.tell(ev.CallTurnedAway(caller, 1, BusyError("full")) if is_full else ev.CallArrived(caller, 1))

    def reserved(self, offer: int, agent: str) -> ev.AgentReserved | ev.CallbackTurn:
        """Of a callback, customer first, the conductor says that its turn has come."""
        is_turn = self.is_customer_first and not self.n_done[do.DialCustomer]
        return ev.CallbackTurn(offer) if is_turn else ev.AgentReserved(offer, agent)

    # ---- what is heard

    def play_prompts(self, command: do.PlayPrompts) -> None:
        phones = self.phones
        if not (phones.is_answered or phones.is_heard) or not phones.has_caller or self.bridged is not None:
            raise Fault("sound: prompts for a caller who is not there, or talks")
        if self.play or self.greeting or self.is_message_open:
            raise Fault("sound: prompts over prompts, a greeting or a message")
        self.play = command.play
        self.later(self.rng.random() * 6, self.play_ends, command.play)

    def play_ends(self, play: int) -> None:
        if self.play == play:
            self.play = 0
            self.later(3 * self.travel_s(), self.tell, ev.PlayFinished(play))  # media is polled

    def stop_prompts(self, command: do.StopPrompts) -> None:
        self.play, self.greeting = 0, None

    def start_music(self, command: do.StartMusic) -> None:
        if not self.phones.has_caller:
            raise Fault("sound: music for a caller who is not there")
        self.has_music = True

    def stop_music(self, command: do.StopMusic) -> None:
        self.has_music = False

    def greet(self, command: do.Greet) -> None:
        """Whisper and greeting end together, at once if there is neither; or the media room never says so."""
        if self.play or self.has_music:
            raise Fault("sound: a greeting over prompts or music")
        if self.phones.called[command.offer].heard != "up":
            raise Fault("bridge: a greeting on a leg that is not up")
        self.greeting = command.offer
        if self.phones.has_caller:
            self.talked.add(command.offer)
        self.later(GREETING_S + 6 * self.hurry + 1, self.must_have_met, command.offer)
        if not command.whisper:
            self.greeting_ends(command.offer)
        elif self.rng.random() < 0.9:
            self.later(3 * self.rng.random(), self.greeting_ends, command.offer)

    def must_have_met(self, offer: int) -> None:
        if self.call.state is State.GREETING and self.call.talk == offer:
            raise Fault("bridge: agent and caller wait for a greeting that does not end")

    def cut_greeting(self, command: do.CutGreeting) -> None:
        if self.greeting is not None:
            self.greeting_ends(self.greeting)

    def greeting_ends(self, offer: int) -> None:
        if self.greeting == offer:
            self.greeting = None
            self.later(self.travel_s() * self.rng.choice((0, 3)), self.tell_greeted, offer)

    def tell_greeted(self, offer: int) -> None:
        is_fetching = self.is_callback and not self.n_done[do.DialCustomer]
        self.tell(ev.GreetedAgent(offer) if is_fetching else ev.Greeted(offer))

    def bridge(self, command: do.Bridge) -> None:
        caller, phone = self.phones.caller, self.phones.called[command.offer]
        is_caller_up = caller.heard == "up" or (caller.heard == "nothing" and self.phones.is_answered)  # the 200 is out
        if self.bridged is not None or not is_caller_up or phone.heard != "up" or phone.told:
            raise Fault("bridge: a second talk, or a leg that is not up")
        if self.play or self.has_music or self.greeting is not None or self.is_message_open:
            raise Fault("bridge: the caller still hears something else")
        self.bridged = command.offer
        if command.offer in self.phones.targets or self.was_fetched():
            self.talked.add(command.offer)

    def part(self, command: do.Part) -> None:
        if self.bridged != command.offer:
            raise Fault("bridge: two are parted who do not talk")
        self.bridged = None

    def was_fetched(self) -> bool:
        return self.is_callback and not self.is_customer_first

    def talk_ends(self) -> None:
        self.bridged = None

    # ---- recordings and messages

    def start_recording(self, command: do.StartRecording) -> None:
        if self.is_recorded or self.is_refused or not self.phones.is_answered or not self.phones.has_caller:
            raise Fault("record: recorded twice, against the caller's will, or a leg that is not up")
        self.is_recorded = True

    def stop_recording(self, command: do.StopRecording) -> None:
        if not self.is_recorded and not (command.discard and self.n_done[do.StartRecording]):
            raise Fault("record: a recording ends that had not begun")
        self.is_recorded = False

    def start_message(self, command: do.StartMessage) -> None:
        if self.is_message_open or self.play or self.bridged is not None or not self.phones.has_caller:
            raise Fault("record: a message over something else, or of nobody")
        self.is_message_open = True

    def stop_message(self, command: do.StopMessage) -> None:
        if not self.is_message_open:
            raise Fault("record: a message ends that had not begun")
        self.is_message_open = False

    # ---- records

    def drop_legs(self, command: do.DropLegs) -> None:
        standing = [leg for leg in self.phones.all() if leg.heard != "ended"]
        if self.rules.ending_s == HOURS_S and not all(leg.is_deaf for leg in standing):
            raise Fault("leg: dropped although it would have ended, had it been told to")
        for leg in standing:
            leg.phase = "ended"
            self.later(max(0, leg.heard_at - self.now), self.forgotten, leg)  # what was on its way still arrives

    def forgotten(self, leg: Any) -> None:
        if leg.heard != "ended":
            leg.heard = "ended"
            self.count_legs()

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

    # ---- what must hold

    def check_step(self, was: State, event: ev.Event, commands: list[do.Command]) -> None:
        call = self.call
        is_answer = was is State.OFFERING and call.state is State.GREETING
        if is_answer and not any(isinstance(command, do.Greet) for command in commands):
            raise Fault("bridge: the answer waits for something")
        if was in (State.GREETING, State.FETCHING) and call.state is State.TALKING and self.bridged is None:
            raise Fault("bridge: agent and caller wait for each other")
        told = [command.status for command in commands if isinstance(command, do.ReportTransfer)]
        is_sent = was is State.SENDING and call.state in (State.TALKING, State.TRANSFERRED)
        if is_sent and max(told, default=0) < 200:
            raise Fault("order: the agent's phone is not told what became of its transfer")
        if call.state in (State.TALKING, State.TRANSFERRED) and self.bridged != call.talk:
            raise Fault("bridge: the parties of a talk do not hear each other")
        if isinstance(event, ev.TalkEnded) and not call.late:
            self.talk_ends()
        if isinstance(event, ev.AgentLost):
            self.talked.discard(event.offer)
        if call.offers and call.state in ALONE:
            raise Fault(f"leg: offers are open in {call.state}")
        if self.is_message_open and call.state is not State.MESSAGE:
            raise Fault(f"record: a message is left open in {call.state}")
        self.phones.check()

    def check_end(self) -> None:
        call = self.call
        if call.state is not State.ENDED:
            raise Fault(f"leg: nothing is left to happen and the call is {call.state}")
        if any(phone.heard != "ended" for phone in self.phones.all()):
            raise Fault("leg: alive after the end")
        if self.acd.held or self.acd.talks:
            raise Fault(f"agent: still held after the end: {self.acd.held}")
        self.check_records()

    def check_records(self) -> None:
        cdr, n_done = self.cdr, self.n_done
        if n_done[do.WriteCdr] != 1 or None in (cdr.disposition, cdr.ended_at, cdr.ended_by, cdr.status):
            raise Fault(f"record: not one whole CDR: {cdr}")
        kinds = Counter(segment.kind for segment in self.segments)
        offers = sorted((s.agent, s.began_at) for s in self.segments if s.kind == "offer")
        if offers != sorted(self.phones.rung):
            raise Fault("record: not one segment for each offer")
        expected = {"queue": n_done[do.Enqueue], "talk": len(self.talked), "customer": n_done[do.DialCustomer]}
        if any(kinds[kind] != n for kind, n in expected.items()):
            raise Fault(f"record: segments {dict(kinds)}, but {expected}")
        if (cdr.connected_at is None) is bool(self.talked) or (cdr.agent is not None and not self.talked):
            raise Fault("record: the CDR and the talk disagree")
        if (cdr.kind == "callback") is not self.is_callback:
            raise Fault("record: a call is no callback")
        if (cdr.kind in ("internal", "outbound")) is not self.phones.dials:
            raise Fault("record: who dialled is not told")
        is_out = any(s.kind == "offer" and s.agent.startswith(steps.TRUNK) for s in self.segments)
        if self.phones.dials and (cdr.kind == "outbound") is not is_out:
            raise Fault("record: the direction is not told")
        if (cdr.recording is not None) is not (n_done[do.StartRecording] > 0 and not self.is_refused):
            raise Fault("record: the CDR and the recording disagree")


def _ask(name: str, *, with_agent: bool = False, with_heard: bool = False) -> Callable[[Storm, Any], None]:
    """A command for the ACD travels there."""

    def send(storm: Storm, command: Any) -> None:
        acd = storm.acd
        args: list[Any] = [command.offer] if hasattr(command, "offer") else []
        if with_agent:
            args.append(storm.phones.called[command.offer].party)
        if with_heard:
            args.append(frozenset(acd.heard))
        acd.settle(name, command)
        acd.ask(getattr(acd, name), *args)

    return send


_DO: dict[type[do.Command], Callable[[Storm, Any], None]] = {
    do.Part: Storm.part,
    do.FollowRedirect: lambda storm, command: storm.plan.follow_redirect(command),
    do.ReportTransfer: lambda storm, command: storm.phones.report_transfer(command),
    do.FollowAgent: lambda storm, command: storm.plan.follow(command),
    do.RingCaller: lambda storm, command: storm.phones.ring_caller(command),
    do.SendProgress: lambda storm, command: storm.phones.progress(command),
    do.AnswerCaller: lambda storm, command: storm.phones.answer_caller(command),
    do.RejectCaller: lambda storm, command: storm.phones.end_caller(command),
    do.HangUpCaller: lambda storm, command: storm.phones.end_caller(command),
    do.DialCustomer: lambda storm, command: storm.phones.dial_customer(command),
    do.RingAgent: lambda storm, command: storm.phones.ring_agent(command),
    do.DialOut: lambda storm, command: storm.phones.dial_out(command),
    do.HangUpCalled: lambda storm, command: storm.phones.hang_up_called(command),
    do.TakeStep: lambda storm, command: storm.plan.take_step(command),
    do.Remember: lambda storm, command: storm.plan.remember(command),
    do.WriteSurvey: lambda storm, command: storm.plan.write_survey(command),
    do.RunErrand: lambda storm, command: storm.plan.run_errand(command),
    do.OpenMailbox: lambda storm, command: storm.plan.open_mailbox(command),
    do.MarkHeard: lambda storm, command: storm.plan.tend(command),
    do.DeleteMessage: lambda storm, command: storm.plan.tend(command),
    do.AnswerMessage: lambda storm, command: storm.plan.tend(command),
    do.Enqueue: lambda storm, command: storm.acd.ask(storm.acd.enqueue, command.step),
    do.LeaveQueue: _ask("leave", with_heard=True),
    do.TakeOffer: _ask("take", with_agent=True, with_heard=True),
    do.DeclineOffer: _ask("decline"),
    do.GiveBackAgent: _ask("give_back"),
    do.ReleaseAgent: _ask("release"),
    do.PlayPrompts: Storm.play_prompts,
    do.StopPrompts: Storm.stop_prompts,
    do.StartMusic: Storm.start_music,
    do.StopMusic: Storm.stop_music,
    do.Greet: Storm.greet,
    do.CutGreeting: Storm.cut_greeting,
    do.Bridge: Storm.bridge,
    do.StartRecording: Storm.start_recording,
    do.StopRecording: Storm.stop_recording,
    do.StartMessage: Storm.start_message,
    do.StopMessage: Storm.stop_message,
    do.DropLegs: Storm.drop_legs,
    do.OpenCdr: Storm.open_cdr,
    do.WriteSegment: Storm.write_segment,
    do.WriteCdr: Storm.write_cdr,
}


def ladder(storm: Storm) -> str:
    return "\n".join(f"{now:9.3f} {arrow} {brief(what)}" for now, arrow, what in storm.story)
