"""The ACD of the storm: it reserves agents by chance, and learns by messages that take their time. See storm.py."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Protocol

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import steps

AGENTS = ("101", "102", "103")
RING_S = 8.0
MAX_OFFERS = 6


class Fault(AssertionError):
    """The call broke a law; the first word of the text says which kind."""


class World(Protocol):
    """What the ACD needs of the storm around it."""

    rng: Random
    now: float
    n_offers: int
    n_done: Counter[type[do.Command]]

    def travel_s(self) -> float: ...
    def later(self, delay_s: float, act: Callable[..., None], *args: object) -> None: ...
    def tell(self, event: ev.Event) -> None: ...
    def reserved(self, offer: int, agent: str) -> ev.AgentReserved | ev.CallbackTurn: ...


class Acd:
    """The queue: it reserves agents, lets offers expire, and believes what the call says when the word arrives.

    An offer on its way to the call when the call leaves is the call's to give back (law 3): leaving frees only those
    that the call had heard of. An answer that crosses the end of its ring time counts as taken.
    """

    def __init__(self, storm: World) -> None:
        self.storm = storm
        self.held: dict[int, str] = {}  # offer -> agent
        self.talks: set[int] = set()
        self.is_waiting = False
        self.is_wait_over = False  # max_wait_s passed while a phone rang
        self.n_waits = 0
        self.heard: set[int] = set()  # offers that reached the call
        self.settled: set[int] = set()  # offers of which the call has said what becomes of them
        self.said_at = 0.0
        self.asked_at = 0.0
        self.n_reserved = 0
        self.is_eager = storm.rng.random() < 0.3  # rings several agents at once

    def say(self, event: ev.Event) -> None:
        storm = self.storm
        self.said_at = max(self.said_at, storm.now + storm.travel_s())
        storm.later(self.said_at - storm.now, self.reach, event, self.n_waits)

    def reach(self, event: ev.Event, wait: int) -> None:
        """The real ACD answers at once, so that news of a wait never reaches the call in its next wait."""
        is_old = wait != self.storm.n_done[do.Enqueue]
        if isinstance(event, ev.AgentReserved | ev.CallbackTurn):
            if is_old:
                self.held.pop(event.offer, None)
                return
            self.heard.add(event.offer)
        elif is_old and not isinstance(event, ev.CalledEvent):
            return
        self.storm.tell(event)

    def ask(self, act: Callable[..., None], *args: object) -> None:
        """A word of the call is on its way, with what the call had heard when it spoke."""
        storm = self.storm
        self.asked_at = max(self.asked_at, storm.now + storm.travel_s())
        storm.later(self.asked_at - storm.now, act, *args)

    def settle(self, name: str, command: object) -> None:
        """The call says what becomes of an offer, once."""
        if isinstance(command, do.TakeOffer | do.DeclineOffer | do.GiveBackAgent):
            if command.offer in self.settled:
                raise Fault(f"agent: offer {command.offer} is settled twice, by {name}")
            self.settled.add(command.offer)

    # ---- what it does by itself

    def match(self, wait: int) -> None:
        storm = self.storm
        if not self.is_waiting or wait != self.n_waits or self.n_reserved >= MAX_OFFERS:
            return
        storm.later(0.2 + 12 * storm.rng.random(), self.match, wait)
        free = [agent for agent in AGENTS if agent not in self.held.values()]
        if not free or (self.held and not self.is_eager):
            return
        storm.n_offers += 1
        self.n_reserved += 1
        offer = storm.n_offers
        self.held[offer] = storm.rng.choice(free)
        self.say(storm.reserved(offer, self.held[offer]))
        storm.later(RING_S, self.take_back, offer, ev.OfferExpired(offer))
        chance = storm.rng.random()
        if chance < 0.1:
            storm.later(RING_S * storm.rng.random(), self.take_back, offer, ev.OfferWithdrawn(offer))
        elif chance < 0.15:
            storm.later(RING_S * storm.rng.random(), self.all_agents_leave, self.n_waits)

    def take_back(self, offer: int, news: ev.Event) -> None:
        if self.is_waiting and offer in self.held:
            self.say(news)
            self.close(offer)

    def all_agents_leave(self, wait: int) -> None:
        if self.is_waiting and wait == self.n_waits:
            for offer in self.held:
                self.say(ev.OfferWithdrawn(offer))
            self.held.clear()
            self.end_wait("no_agents")

    def close(self, offer: int) -> None:
        del self.held[offer]
        if self.is_waiting and not self.held:
            self.say(ev.OffersFailed())
            if self.is_wait_over:
                self.end_wait("timeout")

    def wait_is_over(self, wait: int) -> None:
        if self.is_waiting and wait == self.n_waits:
            self.is_wait_over = True
            if not self.held:
                self.end_wait("timeout")

    def end_wait(self, outcome: str) -> None:
        self.is_waiting = False
        self.say(ev.WaitEnded(outcome))

    # ---- what the call asks of it

    def enqueue(self, step: steps.Queue) -> None:
        chance = self.storm.rng.random()
        self.is_waiting, self.is_wait_over = True, False
        self.n_waits += 1
        if chance < 0.08:
            return self.end_wait(self.storm.rng.choice(("full", "no_agents", "no_skill", "too_long")))
        self.storm.later(3 * self.storm.rng.random(), self.match, self.n_waits)
        if step.max_wait_s:
            self.storm.later(step.max_wait_s, self.wait_is_over, self.n_waits)

    def leave(self, heard: frozenset[int]) -> None:
        self.is_waiting = False
        self.held = {offer: agent for offer, agent in self.held.items() if offer not in heard}

    def take(self, offer: int, agent: str, heard: frozenset[int]) -> None:
        if self.talks:
            raise Fault("agent: a second one talks")
        self.leave(heard)
        self.held[offer] = agent
        self.talks.add(offer)

    def decline(self, offer: int) -> None:
        if offer in self.talks:
            raise Fault(f"agent: offer {offer} is declined in its talk")
        if offer in self.held:
            self.close(offer)

    def give_back(self, offer: int) -> None:
        if offer in self.talks:
            raise Fault(f"agent: offer {offer} is given back in its talk")
        if offer in self.held:
            self.close(offer)

    def release(self, offer: int) -> None:
        if offer not in self.talks:
            raise Fault(f"agent: offer {offer} is released and was no talk")
        self.talks.remove(offer)
        del self.held[offer]
