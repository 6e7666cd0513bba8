"""The phones of the storm: the caller, or the customer of a callback, and whoever is called. See storm.py.

News of one phone stays in its order, except 180, which may come late (provisional answers are not reliable, RFC 3262
section 1). The conductor's part is played here too: it says TalkEnded, AgentLost or CalledGone, KeyChosen or
CallerDigit.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.call import Call
from engine.callflow.errors import MediaError
from engine.callflow.events import Refusal
from engine.callflow.table import State
from tests.floor.storm_acd import Fault

REFUSALS = [(Refusal.BUSY, 486), (Refusal.REJECTED, 603), (Refusal.NO_ANSWER, 408), (Refusal.UNREACHABLE, 503)]


class World(Protocol):
    """What the phones need of the storm around them."""

    rng: Random
    call: Call
    plan: Any
    n_offers: int
    now: float
    cdr: object

    def travel_s(self) -> float: ...
    def later(self, delay_s: float, act: Callable[..., None], *args: object) -> None: ...
    def tell(self, event: ev.Event) -> None: ...
    def count_legs(self) -> None: ...


class Phone:
    """The far end of a leg, and what the call has heard of it."""

    __slots__ = ("party", "phase", "heard", "rang", "told", "is_deaf", "heard_at")

    def __init__(self, party: str, is_deaf: bool) -> None:
        self.party = party
        self.phase = "dialled"  # then ringing, up, ended: what is true at the far end
        self.heard = "nothing"  # then up, ended: what the call knows
        self.rang = False  # the call knows that it rings
        self.told = ""  # cancel, bye: the last request to end that we sent
        self.is_deaf = is_deaf  # went dark: takes part in the call, but no request to end is ever answered
        self.heard_at = 0.0  # when its last news arrives: later news comes later


class Phones:
    def __init__(self, storm: World, is_callback: bool) -> None:
        self.storm = storm
        self.caller = Phone("caller", is_deaf=storm.rng.random() < 0.03)
        self.called: dict[int, Phone] = {}
        self.rung: list[tuple[str, float]] = []
        self.targets: set[int] = set()  # offers that are none of the ACD's
        self.dials = not is_callback and storm.rng.random() < 0.2  # the caller is an agent's phone
        self.is_customer = is_callback
        self.is_heard = False  # SendProgress was carried out
        self.is_rung = False  # RingCaller was
        self.is_answered = False  # AnswerCaller was given, or the customer's 200 came
        if is_callback:
            self.caller.heard = "ended"  # until the customer is called there is no leg

    @property
    def has_caller(self) -> bool:
        return self.caller.heard != "ended"

    def all(self) -> tuple[Phone, ...]:
        return (self.caller, *self.called.values())

    # ---- news

    def news(self, phone: Phone, event: ev.Event, heard: str = "") -> None:
        """What a phone says reaches the call in the order in which it was said."""
        storm = self.storm
        phone.heard_at = max(phone.heard_at, storm.now + storm.travel_s())
        storm.later(phone.heard_at - storm.now, self.hear, phone, event, heard)

    def hear(self, phone: Phone, event: ev.Event, heard: str) -> None:
        if phone.heard == "ended":
            return  # a 180 overtaken by the end: the SIP room reports nothing after the end of a leg
        phone.heard = heard or phone.heard
        phone.rang = phone.rang or isinstance(event, ev.CalledRinging)
        self.storm.tell(self.meant(event))
        self.storm.count_legs()

    def meant(self, event: ev.Event) -> ev.Event:
        """An agent who hangs up on a caller before the talk, and one after whose talk the plan goes on."""
        call = self.storm.call
        if not isinstance(event, ev.CalledGone):
            return event
        if event.offer == call.talk and call.state is State.GREETING and self.has_caller:
            return ev.AgentLost(event.offer)
        return ev.TalkEnded(event.offer) if self.goes_on(event.offer) else event

    def goes_on(self, offer: int) -> bool:
        """The agent of the talk hung up first, and the plan has more for the caller."""
        call = self.storm.call
        is_agent = call.talk == offer and offer not in self.targets
        return is_agent and call.state is State.TALKING and self.has_caller and offer % 2 == 0

    # ---- the caller

    def arrive(self) -> None:
        chance = self.storm.rng.random
        if self.caller.is_deaf:
            self.storm.later(60 * chance(), self.storm.tell, ev.HangUpOrdered("wang"))  # nobody else would ever end it
        else:
            self.storm.later(60 * chance(), self.caller_leaves)
        if chance() < 0.3:
            for _ in range(4):
                self.storm.later(30 * chance(), self.press, self.storm.rng.choice("12#"))

    def caller_leaves(self) -> None:
        phase = self.caller.phase
        if phase == "ended" or (self.is_customer and phase != "up"):
            return
        self.caller.phase = "ended"
        is_up = self.is_answered
        self.news(self.caller, ev.CallerGone(200 if is_up else 487, "BYE" if is_up else "CANCEL"), "ended")

    def caller_hears(self, event: ev.Event, heard: str) -> None:
        if self.caller.phase != "ended":
            self.caller.phase = "up" if heard else self.caller.phase
            self.news(self.caller, event, heard)

    def keys(self, step: plan.Step) -> None:
        """What somebody who is asked keys in: sense, nonsense or nothing."""
        rng = self.storm.rng
        text = "".join(rng.choice("1239#") for _ in range(rng.randrange(4)))
        if isinstance(step, steps.Messages) and rng.random() < 0.8:
            text = "12#34#" + "".join(rng.choice("1234") for _ in range(rng.randrange(8)))
        at = rng.random()
        if isinstance(step, steps.Queue):
            text, at = rng.choice(("", "", "1", "11", "2")), 12 * rng.random()
        for key in text:
            self.storm.later(at, self.press, key)
            at += rng.choice((0.3, 3)) * rng.random()

    def press(self, key: str) -> None:
        """An exit key is known as such when it reaches the conductor; the call learns it later."""
        call = self.storm.call
        if self.caller.phase == "ended" or not self.has_caller:
            return
        if call.queue and key in call.queue.keys and call.state in (State.QUEUED, State.OFFERING):
            self.storm.later(self.storm.travel_s(), self.choose_key, key, call.queued_at)
        else:
            self.news(self.caller, ev.CallerDigit(key))

    def choose_key(self, key: str, queued_at: float) -> None:
        call = self.storm.call
        if self.has_caller and not (call.queue and call.queued_at != queued_at):
            self.storm.tell(ev.KeyChosen(key))

    # ---- what the call asks for

    def progress(self, command: do.SendProgress) -> None:
        if self.is_heard or self.is_answered or not self.has_caller:
            raise Fault("order: 183 to a caller who hears us, or is gone")
        self.is_heard = True
        self.storm.later(self.storm.travel_s(), self.caller_hears, ev.CallerHears(), "")

    def answer_caller(self, command: do.AnswerCaller) -> None:
        if self.is_answered or not self.has_caller:
            raise Fault("order: 200 to a caller answered before, or gone")
        self.is_answered = True
        self.storm.later(self.storm.travel_s(), self.caller_hears, ev.CallerAnswered(), "up")

    def end_caller(self, command: do.RejectCaller | do.HangUpCaller) -> None:
        caller = self.caller
        is_bye = not self.is_customer or caller.heard == "up"
        if not self.has_caller or caller.told == "bye" or (caller.told and not is_bye):
            raise Fault("order: the caller's leg is gone or was told to end before")
        if isinstance(command, do.HangUpCaller) is not (self.is_customer or self.is_answered):
            raise Fault("order: BYE before the answer, or a refusal after it")
        caller.told = "bye" if is_bye else "cancel"
        self.storm.later(self.storm.travel_s(), self.caller_is_told, caller.told)

    def caller_is_told(self, request: str) -> None:
        if self.caller.is_deaf:
            return
        if request == "bye":
            self.caller_leaves()
        elif self.caller.phase in ("dialled", "ringing"):
            self.caller.phase = "ended"
            self.news(self.caller, ev.CustomerRefused(Refusal.NO_ANSWER, 487), "ended")

    def dial_customer(self, command: do.DialCustomer) -> None:
        rng, caller = self.storm.rng, self.caller
        if not self.is_customer or self.has_caller or caller.phase != "dialled":
            raise Fault("order: a customer is called twice, or is no customer")
        caller.heard = "nothing"
        fate = rng.random()
        if fate < 0.65:
            self.storm.later(10 * rng.random(), self.customer_picks_up)
        elif fate < 0.8:
            self.storm.later(10 * rng.random(), self.customer_refuses)

    def customer_picks_up(self) -> None:
        if self.caller.phase == "dialled":
            self.caller.phase = "up"
            self.is_answered = True
            self.news(self.caller, ev.CustomerAnswered(), "up")
            if not self.caller.is_deaf:
                self.storm.later(self.storm.rng.choice((1, 60)) * self.storm.rng.random(), self.caller_leaves)

    def customer_refuses(self) -> None:
        if self.caller.phase == "dialled":
            self.caller.phase = "ended"
            refusal, status = self.storm.rng.choice(REFUSALS)
            self.news(self.caller, ev.CustomerRefused(refusal, status), "ended")

    # ---- called phones

    def ring_agent(self, command: do.RingAgent) -> None:
        self.ring(command.offer, command.agent)

    def dial_out(self, command: do.DialOut) -> None:
        self.targets.add(command.offer)
        self.ring(command.offer, command.uri.removeprefix(steps.AGENT))

    def ring_caller(self, command: do.RingCaller) -> None:
        if self.is_heard or self.is_answered or not self.has_caller:
            raise Fault("order: ringing for a caller who hears us, or is not there")
        self.is_rung = True

    def ring(self, offer: int, party: str) -> None:
        if offer in self.called:
            raise Fault(f"order: offer {offer} rings twice")
        phone = self.called[offer] = Phone(party, is_deaf=self.storm.rng.random() < 0.02)
        self.rung.append((party, self.storm.now))
        self.storm.later(self.storm.travel_s(), self.invited, offer, phone)

    def invited(self, offer: int, phone: Phone) -> None:
        rng, later = self.storm.rng, self.storm.later
        if phone.phase != "dialled":
            return
        if rng.random() < 0.15:
            return self.refuse(offer, phone)
        phone.phase = "ringing"
        later(self.storm.travel_s(), self.hear, phone, ev.CalledRinging(offer), "")
        fate = rng.random()
        if fate < 0.6:
            later(10 * rng.random(), self.picked_up, offer, phone)
        elif fate < 0.8:
            later(10 * rng.random(), self.refuse, offer, phone)

    def refuse(self, offer: int, phone: Phone) -> None:
        if phone.phase in ("dialled", "ringing"):
            phone.phase = "ended"
            refusal, status = self.storm.rng.choice(REFUSALS)
            moved_to = "105" if refusal is Refusal.REJECTED and self.storm.rng.random() < 0.5 else ""
            self.news(phone, ev.CalledRefused(offer, refusal, status, moved_to), "ended")

    def picked_up(self, offer: int, phone: Phone) -> None:
        """Some put it down at once, nobody talks for ever."""
        if phone.phase == "ringing":
            phone.phase = "up"
            self.news(phone, ev.CalledAnswered(offer), "up")
            talk_s = self.storm.rng.random() * self.storm.rng.choice((2, 15, 90))
            self.storm.later(talk_s, self.called_leaves, offer, phone)
            if self.storm.rng.random() < 0.6:
                act = self.is_taken if self.dials else self.sends
                self.storm.later(talk_s * self.storm.rng.random(), act, offer, phone)

    # ---- the agent's phone sends the caller elsewhere

    def sends(self, offer: int, phone: Phone) -> None:
        if phone.phase == "up":
            self.storm.later(self.storm.travel_s(), self.asks_to_send, offer, phone)

    def asks_to_send(self, offer: int, phone: Phone) -> None:
        """The conductor knows whether it may; its word travels, too."""
        storm, call = self.storm, self.storm.call
        if phone.heard != "up" or call.talk != offer or call.state is not State.TALKING or offer in self.targets:
            return
        kind = storm.rng.randrange(3)
        storm.later(0 if storm.rng.random() < 0.5 else 3 * storm.travel_s(), self.send, kind, offer)

    def send(self, kind: int, offer: int) -> None:
        storm, call = self.storm, self.storm.call
        is_other_talk = call.talk != offer and call.state in (State.TALKING, State.SENDING)
        if is_other_talk or not self.has_caller:
            return
        if kind == 0:
            storm.plan.send(None)
            storm.tell(ev.SentIntoPlan())
            return
        step = storm.plan.target()
        storm.n_offers += 1
        if kind == 1:
            storm.plan.send(step)
            storm.tell(ev.SentTo(step, storm.n_offers))
            if storm.rng.random() < 0.05:
                storm.later(5 * storm.rng.random(), storm.tell, ev.CallFailed(MediaError("no slot")))
            return
        party = self.called[storm.n_offers] = Phone(step.uri, is_deaf=False)
        party.phase = party.heard = "up"
        self.targets.add(storm.n_offers)
        storm.later(20 * storm.rng.random(), self.called_leaves, storm.n_offers, party)
        storm.tell(ev.PutThrough(step, storm.n_offers))

    def is_taken(self, offer: int, phone: Phone) -> None:
        """This call is the agent's own, whose other party is put through to somebody else."""
        call = self.storm.call
        if phone.phase == phone.heard == "up" and call.state is State.TRANSFERRED and call.talk == offer:
            phone.phase = phone.heard = "ended"
            self.storm.tell(ev.CalledTaken(offer))
            self.storm.count_legs()

    def report_transfer(self, command: do.ReportTransfer) -> None:
        phone = self.called[command.offer]
        if phone.heard != "up" or phone.told or command.offer in self.targets:
            raise Fault("order: a report to a phone that is not in a talk")

    def called_leaves(self, offer: int, phone: Phone) -> None:
        if phone.phase == "up":
            phone.phase = "ended"
            self.news(phone, ev.CalledGone(offer), "ended")

    def hang_up_called(self, command: do.HangUpCalled) -> None:
        phone = self.called[command.offer]
        if phone.heard == "ended":
            raise Fault(f"order: leg of offer {command.offer} has ended before")
        phone.told = "bye" if phone.heard == "up" else "cancel"
        self.storm.later(self.storm.travel_s(), self.told_to_end, command.offer, phone, phone.told)

    def told_to_end(self, offer: int, phone: Phone, request: str) -> None:
        """A CANCEL that meets an answered phone does nothing (RFC 3261 section 9.2): its 200 is on the way to us."""
        if phone.is_deaf:
            return
        if request == "bye":
            self.called_leaves(offer, phone)
        elif phone.phase in ("dialled", "ringing"):
            phone.phase = "ended"
            self.news(phone, ev.CalledRefused(offer, Refusal.NO_ANSWER, 487), "ended")

    # ---- what must hold

    def rings_for_nobody(self) -> bool:
        is_ringing = any(offer in self.targets and self.called[offer].rang for offer in self.storm.call.offers)
        return is_ringing and not (self.is_rung or self.is_heard or self.is_answered)

    def check(self) -> None:
        """After every event: each leg that the call does not want has been told so, in the words that reach it; and a
        caller whose target rings hears that."""
        call, caller = self.storm.call, self.caller
        if self.rings_for_nobody():
            raise Fault("sound: the target rings, and the caller hears nothing")
        for offer, phone in self.called.items():
            if phone.heard != "ended" and offer not in call.offers:
                if not phone.told:
                    raise Fault(f"leg: offer {offer} is over and its phone rings on")
                if phone.heard == "up" and phone.told != "bye":
                    raise Fault(f"leg: offer {offer} is over, was answered, and never got a BYE")
        if call.state in (State.CLOSING, State.ENDED) and self.has_caller and self.storm.cdr is None:
            if not caller.told:
                raise Fault("leg: the call ends and the caller was not told")
            if caller.heard == "up" and caller.told != "bye":
                raise Fault("leg: the call ends and the customer who answered never got a BYE")
