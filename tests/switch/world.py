"""A world for the conductor without PJSIP: callers, phones, prompts and operators on a virtual clock, and the real ACD
core.

Everything the world does is legal SIP seen from our side of the door; what is random is when. After each round it
checks that the call machines, the ACD core and the legs tell the same story, and at the end that nothing is left.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from acd_core import AgentState, IllegalMove
from engine.acd import Acd
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.events import Refusal
from engine.callflow.record import AgentSpan, Cdr, Segment
from engine.callflow.settings import Limits, Recording, Settings, Sip, Trunk
from engine.callflow.staff import Agent, Policy, Queue, Serves, Staff
from engine.callflow.table import State
from engine.switch import CALLER, Switch

HERE = plan.Place("plan.yaml", 1, 1)
EPOCH = datetime(2026, 11, 21, tzinfo=UTC)
READY_AGAIN = Policy("pause", 3.0)

BOOK = plan.PlanBook(
    steps=(
        steps.Answer(HERE, {"done": 1}),
        steps.Play(HERE, {"done": 2}, ("welcome",), "zh"),
        steps.Queue(
            HERE,
            {"timeout": 3, "full": 3, "no_agents": 3},
            "sales",
            max_wait_s=25.0,
            leave_without_agents=True,
            music="hold",
            announces=(steps.Announce(("wait",), 5.0, 10.0),),
        ),
        steps.Transfer(HERE, {"busy": 4, "no_answer": 4, "failed": 4}, "sip:desk@127.0.0.1", 6.0),
        steps.HangUp(HERE, {}),
    ),
    entries={"main": 0},
    numbers={"100": "main"},
)


def staff(n_agents: int) -> Staff:
    queue = Queue(
        "sales",
        ring_for_s=8.0,
        wrap_up_s=2.0,
        max_length=4,
        on_no_answer=READY_AGAIN,
        on_rejected=READY_AGAIN,
        on_busy=READY_AGAIN,
        on_unreachable=READY_AGAIN,
    )
    agents = [Agent(f"a{n}", "", f"sip:a{n}@127.0.0.1", {}, (Serves("sales"),), "ready") for n in range(n_agents)]
    return Staff((), {"sales": queue}, {agent.id: agent for agent in agents})


@dataclass(slots=True)
class Leg:
    call: str
    offer: int
    is_answered: bool = False


class Trace:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, now: float, at: datetime, call: str, event: ev.Event, was: str, state: str, commands: Sequence[Any],
              note: str | None) -> None:  # fmt: skip
        names = ", ".join(type(command).__name__ for command in commands)
        self.lines.append(f"{now:8.3f} {call[-3:]} {was:>11} {event} -> {state}: {names} {note or ''}")

    def write_acd(
        self, now: float, at: datetime, verb: str, arguments: dict[str, Any], followed: Sequence[Any]
    ) -> None:
        pass


@dataclass
class Records:
    opened: list[Cdr] = field(default_factory=list)
    cdrs: list[Cdr] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    spans: list[AgentSpan] = field(default_factory=list)
    recordings: list[str] = field(default_factory=list)

    def open_cdr(self, cdr: Cdr) -> None:
        self.opened.append(cdr)

    def write_cdr(self, cdr: Cdr) -> None:
        self.cdrs.append(cdr)

    def write_segment(self, segment: Segment) -> None:
        self.segments.append(segment)

    def write_span(self, span: AgentSpan) -> None:
        self.spans.append(span)

    def write_recording(self, call: str, closed: ev.RecordingClosed) -> None:
        self.recordings.append(call)


class Phones:
    """The SIP room: every leg that lives, and what its far side will do."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.legs: dict[int, Leg] = {}
        self._numbers = itertools.count(1)

    def arrive(self, call: str, ani: str, dnis: str, patience_s: float) -> None:
        leg = next(self._numbers)
        self.legs[leg] = Leg(call, CALLER)
        self.world.switch.post(call, ev.CallArrived(plan.Caller(ani, dnis, "carrier"), leg))
        self.world.later(patience_s, lambda: self.leave(leg, ev.CallerGone(200, "")))

    def answer(self, leg: int) -> None:
        self.world.later(self.world.random.choice((0.0, 0.01, 0.3)), lambda: self._caller_answered(leg))

    def _caller_answered(self, leg: int) -> None:
        if leg in self.legs:
            self.legs[leg].is_answered = True
            self.world.switch.post(self.legs[leg].call, ev.CallerAnswered())

    def dial(self, call: str, offer: int, uri: str, caller: plan.Caller, headers: Mapping[str, str]) -> int:
        leg = next(self._numbers)
        self.legs[leg] = Leg(call, offer)
        random = self.world.random
        deed = random.choice(("answer", "answer", "answer", "ring", "busy", "reject", "dead", "gone"))
        delay = random.choice((0.0, 0.05, 2.0, 7.999, 8.0))
        if deed == "gone":
            self.leave(leg, ev.CalledRefused(offer, Refusal.UNREACHABLE, 503))
        elif deed == "dead":
            self.world.later(4.0, lambda: self.leave(leg, ev.CalledRefused(offer, Refusal.UNREACHABLE, 408)))
        else:
            self.world.later(0.01, lambda: self._tell(leg, ev.CalledRinging(offer)))
        if deed == "busy":
            self.world.later(delay, lambda: self.leave(leg, ev.CalledRefused(offer, Refusal.BUSY, 486)))
        if deed == "reject":
            self.world.later(delay, lambda: self.leave(leg, ev.CalledRefused(offer, Refusal.REJECTED, 603)))
        if deed == "answer":
            self.world.later(delay, lambda: self._called_answered(leg))
        return leg

    def _called_answered(self, leg: int) -> None:
        if leg in self.legs:
            offer = self.legs[leg].offer
            self.legs[leg].is_answered = True
            self._tell(leg, ev.CalledAnswered(offer))
            talk_s = self.world.random.choice((0.0, 0.5, 6.0, 40.0))
            self.world.later(talk_s, lambda: self.leave(leg, ev.CalledGone(offer)))

    def _tell(self, leg: int, event: ev.Event) -> None:
        if leg in self.legs:
            self.world.switch.post(self.legs[leg].call, event)

    def leave(self, leg: int, event: ev.Event) -> None:
        """The far side, or the network, ends the leg."""
        if leg in self.legs:
            self._tell(leg, event)
            self._end(leg)

    def _end(self, leg: int) -> None:
        if ended := self.legs.pop(leg, None):
            self.world.switch.post(ended.call, ev.LegEnded(leg))

    def reject(self, leg: int, status: int, retry_after_s: int | None = None) -> None:
        assert 400 <= status < 700
        self._end(leg)

    def hang_up(self, leg: int, elsewhere: bool = False) -> None:
        self._end(leg)

    drop = hang_up


class Sound:
    """The media room: what each leg hears."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.music: dict[int, str] = {}
        self.plays: dict[int, int] = {}
        self.bridges: dict[int, int] = {}
        self.recorded: set[int] = set()
        self.news: list[Any] = []
        self.wrongs: list[str] = []

    def attach(self, leg: int, slot: int, stream: int) -> None:
        pass

    def detach(self, leg: int) -> None:
        self.music.pop(leg, None)
        self.plays.pop(leg, None)
        self.bridges = {a: b for a, b in self.bridges.items() if leg not in (a, b)}
        if leg in self.recorded:
            self.recorded.remove(leg)
            self.news.append(ev.RecordingClosed(leg, "path", 1.0, 0, 0.0))

    def play(self, leg: int, prompts: Sequence[str], play: int, language: str) -> None:
        self._must_live(leg)
        self.plays[leg] = play
        self.world.later(3.0, lambda: self._played(leg, play))

    def _played(self, leg: int, play: int) -> None:
        if self.plays.get(leg) == play:
            del self.plays[leg]
            self.news.append(ev.LegPlayed(leg, play))

    def stop_play(self, leg: int) -> None:
        self.plays.pop(leg, None)

    def start_music(self, leg: int, music: str) -> None:
        self._must_live(leg)
        self.music[leg] = music

    def stop_music(self, leg: int) -> None:
        self.music.pop(leg, None)

    def bridge(self, leg: int, other: int) -> None:
        self._must_live(leg)
        self._must_live(other)
        if leg in self.music or leg in self.plays:
            self.wrongs.append(f"music or a prompt under the talk of leg {leg}")
        self.bridges[leg] = other

    def record(self, leg: int, path: str) -> None:
        self._must_live(leg)
        if leg in self.recorded:
            self.wrongs.append(f"leg {leg} is recorded twice")
        self.recorded.add(leg)

    def poll(self) -> list[Any]:
        news, self.news = self.news, []
        return news

    def _must_live(self, leg: int) -> None:
        """PJSIP may have ended the leg since; its LegEnded is on the way then, and the media room must not mind."""
        if leg not in self.world.phones.legs and leg not in self.world.ended_but_not_told():
            self.wrongs.append(f"leg {leg} is long gone")


class World:
    """One seeded day. run() plays it to the end and checks it. `trace` is its own, or a real one that writes files."""

    def __init__(self, seed: int, make_switch: Callable[..., Switch] = Switch, trace: Any = None) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.n_calls = 0
        self.phones, self.sound, self.records = Phones(self), Sound(self), Records()
        self.trace = trace or Trace()
        limits = Limits(max_calls=6, max_talk_s=30.0)
        settings = Settings(Sip(), (Trunk("carrier", (), max_calls=None),), limits, Recording())
        people = staff(self.random.randint(1, 3))
        self.acd = Acd(people, BOOK, 64, self.now, self._tell_trace)
        self.switch = make_switch(
            settings, people, BOOK, self.acd, self.phones, self.sound, self.records, self.trace,
            lambda now: EPOCH + timedelta(seconds=now),
        )  # fmt: skip
        self.acd.begin_day(self.now)

    def _tell_trace(self, now: float, verb: str, arguments: dict[str, Any], followed: Sequence[Any]) -> None:
        self.trace.write_acd(now, EPOCH + timedelta(seconds=now), verb, arguments, followed)

    def later(self, seconds: float, deed: Callable[[], None]) -> None:
        heapq.heappush(self._later, (self.now + seconds, next(self._order), deed))

    def ended_but_not_told(self) -> set[int]:
        return {news.leg for _, news in self.switch._inbox if isinstance(news, ev.LegEnded)}

    def run(self) -> None:
        for _ in range(self.random.randint(1, 9)):
            self.later(self.random.uniform(0, 20), self._call)
        for _ in range(self.random.randint(0, 3)):
            self.later(self.random.uniform(0, 40), self._meddle)
        while self._later or self.switch.calls:
            due = self.switch.deadline()
            if self._later:
                due = min(due, self._later[0][0])
            assert due < self.now + 100_000, "calls live on, and nothing will ever happen to them"
            self.now = max(self.now, due)
            while self._later and self._later[0][0] <= self.now:
                heapq.heappop(self._later)[2]()
            self.switch.round(self.now)
            self._check_agreement()
        self._let_time_pass(100.0)
        self._check_end()

    def _let_time_pass(self, seconds: float) -> None:
        """Wrap-ups and pauses end."""
        until = self.now + seconds
        while (due := self.acd.deadline()) <= until:
            self.now = max(self.now, due)
            self.switch.round(self.now)
        self.now = until
        self.switch.round(until)

    def _call(self) -> None:
        self.n_calls += 1
        dnis = self.random.choice(("100",) * 9 + ("999",))
        patience_s = self.random.choice((0.0, 0.01, 2.0, 3.0, 8.0, 12.0, 30.0, 60.0))
        self.phones.arrive(self.switch.new_call(), f"+{self.n_calls}", dnis, patience_s)

    def _meddle(self) -> None:
        """An operator, at any moment."""
        agent = self.random.choice(list(self.acd.agents))
        match self.random.randrange(4):
            case 0:
                self.acd.log_out(agent, self.now)
                self.later(5.0, lambda: self._back(agent))
            case 1:
                with suppress(IllegalMove):  # logged out; the operator is told
                    self.acd.not_ready(agent, "lunch", self.now)
                self.later(5.0, lambda: self._back(agent))
            case 2 if self.switch.calls:
                self.switch.hang_up(self.random.choice(list(self.switch.calls)), "operator", self.now)
            case 3:
                self.switch.is_draining = not self.switch.is_draining

    def _back(self, agent: str) -> None:
        self.acd.log_in(agent, self.now)
        self.acd.ready(agent, self.now)

    # ---- what must hold

    def _check_agreement(self) -> None:
        """Between rounds: the machines' open offers are the core's, legs are known once, states fit."""
        self.acd.core.check()
        assert not self.sound.wrongs, self.sound.wrongs
        closing = [live for live in self.switch.calls.values() if live.machine.state is State.CLOSING]
        assert not closing, "a call is over and a leg of it was not told"
        held = {
            self.acd.core.offer_of(handle) or -self.acd.core.call_of(handle): name
            for name, handle in self.acd.agents.items()
            if self.acd.core.agent_state(handle)[0] in (AgentState.RESERVED, AgentState.TALKING)
        }
        machines = [live.machine for live in self.switch.calls.values()]
        wanted = {
            offer if machine.talk is None else -self.acd._calls[machine.id]: attempt.party
            for machine in machines
            for offer, attempt in machine.offers.items()
            if offer > 0
        }
        assert held == wanted, f"the core holds {held}, the calls {wanted}"
        known = sorted(leg for live in self.switch.calls.values() for leg in live.legs.values())
        assert known == sorted(self.phones.legs), f"the switch knows legs {known}, alive are {sorted(self.phones.legs)}"

    def _check_end(self) -> None:
        assert not self.phones.legs and not self.sound.music and not self.sound.plays and not self.sound.bridges
        assert not self.sound.recorded
        states = {name: AgentState(self.acd.core.agent_state(handle)[0]) for name, handle in self.acd.agents.items()}
        assert all(state is AgentState.READY for state in states.values()), states
        cdrs = Counter(cdr.call for cdr in self.records.cdrs)
        assert len(cdrs) == self.n_calls and set(cdrs.values()) <= {1}, cdrs
        assert {cdr.call for cdr in self.records.opened} <= set(cdrs)
        assert all(cdr.disposition and cdr.ended_at is not None for cdr in self.records.cdrs)
        recorded = Counter(cdr.call for cdr in self.records.cdrs if cdr.recording)
        assert Counter(self.records.recordings) == recorded
        talks = Counter(segment.call for segment in self.records.segments if segment.kind == "talk")
        assert talks == Counter(cdr.call for cdr in self.records.cdrs if cdr.connected_at is not None)
        row = self.acd.queue_rows(self.now)[0]
        answered = sum(cdr.agent is not None for cdr in self.records.cdrs)
        abandoned = sum(cdr.disposition == "abandoned" for cdr in self.records.cdrs)
        assert (row["answered"], row["abandoned"]) == (answered, abandoned)


def ladder(world: World) -> str:
    return "\n".join(world.trace.lines[-60:])
