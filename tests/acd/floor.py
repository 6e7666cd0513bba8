"""A small call floor behind the ACD's face, for tests that tell a story: names in, events out."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from engine.acd import Acd
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.staff import Agent, Queue, Serves, Staff

EVERYBODY = steps.Turn((), 0.0, 600.0)


def agent(name: str, *groups: str, **more: Any) -> Agent:
    serves = more.pop("serves", {})
    queues = more.pop("queues", ("sales",))
    places = tuple(Serves(queue, **serves) for queue in queues)
    return Agent(name, "", "", more.pop("skills", {}), places, groups=groups, **more)


def staff(agents: Iterable[Agent], *queues: Queue) -> Staff:
    skills = ("english", "mandarin")
    every = {queue.name: queue for queue in queues or (Queue("sales"),)}
    return Staff(skills, every, {one.id: one for one in agents}, ("vip", "gold"))


def step(line: int = 1, queue: str = "sales", **more: Any) -> steps.Queue:
    return steps.Queue(plan.Place("plan.yaml", line, 1), {}, queue, **more)


def book(*those: steps.Queue) -> plan.PlanBook:
    return plan.PlanBook(those, {}, {})


class Desk:
    """An Acd and its clock; everybody works from the start on."""

    def __init__(self, those: Staff, *those_steps: steps.Queue) -> None:
        self.told: list[tuple[str, dict[str, Any], list[Any]]] = []
        self.steps = those_steps or (step(),)
        self.acd = Acd(those, book(*self.steps), 100, 0.0, self._hear)
        self.now = 1.0
        self.n_calls = 0
        for name in those.agents:
            self.acd.log_in(name, self.now)
            self.acd.ready(name, self.now)

    def _hear(self, now: float, verb: str, arguments: dict[str, Any], followed: list[Any]) -> None:
        self.told.append((verb, arguments, followed))

    def wait(self, seconds: float) -> dict[str, list[Any]]:
        self.now += seconds
        self.acd.advance(self.now)
        return self.events()

    def comes(self, which: steps.Queue | None = None, **more: Any) -> str:
        self.n_calls += 1
        self.acd.enqueue(f"c{self.n_calls}", which or self.steps[0], self.now, **more)
        return f"c{self.n_calls}"

    def rung(self, call: str) -> dict[str, int]:
        """The agents at whom it rings now, with their offers."""
        return {
            event.agent: event.offer for event in self.events().get(call, []) if isinstance(event, ev.AgentReserved)
        }

    def talks(self, call: str) -> str:
        """The only agent rung takes it."""
        ((name, offer),) = self.rung(call).items()
        self.acd.take(offer, self.now)
        return name

    def ended(self, call: str) -> str | None:
        return next((e.outcome for e in self.events().get(call, []) if isinstance(e, ev.WaitEnded)), None)

    def events(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for call, event in self.acd.take_events():
            found.setdefault(call, []).append(event)
        return found

    def apply(self, those: Staff, *those_steps: steps.Queue) -> None:
        self.steps = those_steps or self.steps
        self.acd.apply(those, book(*self.steps), self.now)


def moved(which: steps.Queue, lines: int) -> steps.Queue:
    return replace(which, place=replace(which.place, line=which.place.line + lines))
