"""A world for the conductor without PJSIP: callers, agents who dial, phones, prompts and operators on a virtual clock,
and the real ACD core.

Everything the world does is legal SIP seen from our side of the door; what is random is when. After each round it
checks that the call machines, the ACD core and the legs tell the same story, and at the end that nothing is left: no
leg, no sound, no agent, and no promise that is neither kept, open nor given up with a reason.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from acd_core import AgentState, IllegalMove
from engine.acd import Acd, rows
from engine.callflow import events as ev
from engine.callflow import media_news, plan, steps
from engine.callflow.events import Refusal
from engine.callflow.record import AgentSpan, BlacklistHit, CallbackEntry, Cdr, Message, Segment, SurveyAnswer
from engine.callflow.settings import Destination, Limits, Recording, Settings, Sip, Trunk
from engine.callflow.staff import Agent, Callbacks, Policy, Queue, Serves, Staff
from engine.callflow.table import State
from engine.switch import CALLER, Rooms, Setup, Switch, hearing

EPOCH = datetime(2026, 11, 21, tzinfo=UTC)
READY_AGAIN = Policy("pause", 3.0)
CLEAR_S = 2.0  # after so long a phone is rung again, even if nothing is heard of its last leg


def _place(line: int) -> plan.Place:
    return plan.Place("plan.yaml", line, 1)


BOOK = plan.PlanBook(
    steps=(
        steps.EarlyMedia(_place(1), {"done": 1}),
        steps.Answer(_place(2), {"done": 2}),
        steps.LookUp(_place(3), {"found": 3, "unknown": 3, "failed": 3}, within_s=0.5),
        steps.Ask(
            _place(4), {"1": 4, "2": 8, "no_input": 4, "invalid": 4}, ("welcome",), "zh", ("1", "2"), first_s=2.0,
            tries=1,
        ),
        steps.Queue(
            _place(5),
            # a queue that could be full came with a reload
            {"timeout": 5, "no_agents": 5, "9": 7, "0": 8, "served": 6},
            "sales",
            preferred=steps.Preferred("$customer.agent", head_start_s=60.0),
            max_wait_s=25.0,
            keep_place=True,
            leave_without_agents=True,
            music="hold",
            announces=(steps.Announce((steps.Say("position", "$position"), "wait"), 5.0, 10.0),),
            keys=("9", "0"),
            whisper=("vip", steps.Say("number", "$waited")),
            greeting=("agent", steps.Say("digits", "$agent")),
        ),
        steps.Callback(_place(6), {"done": 9, "no_number": 10}, "$queue"),
        steps.Ask(
            _place(7), {"1": 9, "2": 9, "no_input": 9, "invalid": 9}, ("rate",), "zh", ("1", "2"), survey="service",
            labels=("good", "bad"), tries=1,
        ),
        steps.Callback(_place(8), {"done": 4, "no_number": 4}, "sales", reason="asked"),
        steps.Voicemail(_place(9), {"done": 9, "too_short": 9}, "queue:$queue", max_s=20.0),
        steps.Webhook(_place(10), {"done": 11}, "http://127.0.0.1/", {"who": "$ani"}),
        steps.Transfer(_place(11), {"busy": 9, "no_answer": 9, "failed": 9}, "sip:desk@127.0.0.1", 6.0),
        steps.HangUp(_place(12), {}),
        *(
            steps.Transfer(
                _place(13 + n), dict.fromkeys(("busy", "no_answer", "failed"), 11), uri, 6.0, follows_redirect=n != 1
            )
            for n, uri in enumerate(("agent:a0", "agent:a1", "agent:a2", "trunk:carrier/$dnis"))
        ),
    ),
    entries={"main": 0, "to-a0": 12, "to-a1": 13, "to-a2": 14, "out": 15},
    numbers={"100": "main"},
    dialling=plan.Dialling(
        {"100": "main", "200": "to-a0", "201": "to-a1", "202": "to-a2", "0*": "out"}, max_calls_per_minute=4
    ),
)  # fmt: skip


# The same without all that a caller chooses.
PLAIN_BOOK = plan.PlanBook(
    steps=(
        steps.Answer(_place(1), {"done": 1}),
        steps.Play(_place(2), {"done": 2}, ("welcome",), "zh"),
        steps.Queue(
            _place(3),
            {"timeout": 3, "full": 3, "no_agents": 3},
            "sales",
            max_wait_s=25.0,
            leave_without_agents=True,
            music="hold",
            announces=(steps.Announce(("wait",), 5.0, 10.0),),
        ),
        steps.Transfer(_place(4), {"busy": 4, "no_answer": 4, "failed": 4}, "sip:desk@127.0.0.1", 6.0),
        steps.HangUp(_place(5), {}),
    ),
    entries={"main": 0},
    numbers={"100": "main"},
)


def staff(n_agents: int, ring_for_s: float = 8.0, customer_first: bool = False, wrap_up_s: float = 2.0) -> Staff:
    queue = Queue(
        "sales",
        ring_for_s=ring_for_s,
        wrap_up_s=wrap_up_s,
        max_length=4,
        music="hold",
        on_no_answer=READY_AGAIN,
        on_rejected=READY_AGAIN,
        on_busy=READY_AGAIN,
        on_unreachable=READY_AGAIN,
        callbacks=Callbacks(
            "carrier",
            2.0,
            customer_first,
            windows=((0, 1440),),
            retries={"busy": (30.0, 60.0), "no_answer": (45.0,), "failed": (20.0,)},
            share_percent=50.0,
            ring_for_s=10.0,
            prompts=("sorry",),
        ),
    )
    agents = [Agent(f"a{n}", "", f"sip:a{n}@127.0.0.1", {}, (Serves("sales"),), "ready") for n in range(n_agents)]
    return Staff((), {"sales": queue}, {agent.id: agent for agent in agents})


@dataclass(slots=True)
class Leg:
    call: str
    offer: int
    is_answered: bool = False
    agent: str = ""  # whose phone is at its far end, if the ACD has no part in it
    rung: str = ""  # the agent to whom the ACD offers it


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
    callbacks: dict[str, CallbackEntry] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    surveys: list[SurveyAnswer] = field(default_factory=list)
    hits: list[BlacklistHit] = field(default_factory=list)

    def write_callback(self, entry: CallbackEntry) -> None:
        before = self.callbacks.get(entry.id)
        assert before is None or before.updated_at < entry.updated_at
        self.callbacks[entry.id] = entry

    def write_message(self, message: Message) -> None:
        self.messages.append(message)

    def write_survey(self, answer: SurveyAnswer) -> None:
        self.surveys.append(answer)

    def count_blacklist_hit(self, hit: BlacklistHit) -> None:
        self.hits.append(hit)

    def open_cdr(self, cdr: Cdr) -> None:
        self.opened.append(cdr)

    def write_cdr(self, cdr: Cdr) -> None:
        self.cdrs.append(cdr)

    def write_segment(self, segment: Segment) -> None:
        self.segments.append(segment)

    def write_span(self, span: AgentSpan) -> None:
        self.spans.append(span)

    def write_recording(self, call: str, closed: media_news.RecordingClosed) -> None:
        self.recordings.append(call)


class Promises:
    """Who waits: what a kill would leave."""

    def __init__(self) -> None:
        self.waiting: dict[str, str] = {}  # call -> number

    def begin(self, call: str, number: str, queue: str, arrived_at: datetime, dnis: str | None = None,
              language: str | None = None, needs: str | None = None) -> None:  # fmt: skip
        self.waiting[call] = number

    def end(self, call: str) -> None:
        self.waiting.pop(call, None)


class Errands:
    """Look-ups that answer at once, late, or never."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.told: list[Mapping[str, str]] = []
        self._done: list[Callable[[], None]] = []

    def look_up(self, source: str, number: str, within_s: float, take: Callable[..., None]) -> None:
        random = self.world.random
        result = random.choice(("found", "found", "unknown", "failed"))
        found = {"name": "王小姐", "agent": random.choice(("a0", "a9"))} if result == "found" else {}
        answer = partial(self._done.append, lambda: take(result, found))
        if random.random() < 0.9:
            self.world.later(random.choice((0.0, 0.01, 0.5, 3.0)), answer)

    def ask(self, question: Callable[[Any], Any], take: Callable[[Any], None]) -> None:
        self._done.append(lambda: take(OSError("no database")))

    def tell(self, url: str, values: Mapping[str, str]) -> None:
        self.told.append(values)

    def poll(self) -> None:
        done, self._done = self._done, []
        for hand_out in done:
            hand_out()


class Phones:
    """The SIP room: every leg that lives, and what its far side will do."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.legs: dict[int, Leg] = {}
        self.lamps: dict[str, tuple[int, int]] = {}
        self.clearing: dict[int, tuple[str, float]] = {}  # legs that we gave up and that still ring -> agent, since
        self.asked: set[int] = set()  # legs whose phones wait to hear what became of their transfer
        self._numbers = itertools.count(1)

    def arrive(self, call: str, ani: str, dnis: str, patience_s: float) -> None:
        leg = next(self._numbers)
        self.legs[leg] = Leg(call, CALLER)
        self.world.switch.post(call, ev.CallArrived(plan.Caller(ani, dnis, "carrier"), leg))
        self.world.later(patience_s, lambda: self.leave(leg, ev.CallerGone(200, "")))
        for _ in range(self.world.random.choice((0, 0, 1, 3))):
            key = self.world.random.choice("1290#")
            self.world.later(self.world.random.uniform(0, 40), lambda key=key: self._tell(leg, ev.CallerDigit(key)))  # type: ignore[misc]

    def dial_in(self, call: str, agent: str, dnis: str, patience_s: float) -> None:
        """An agent's phone dials."""
        leg = next(self._numbers)
        self.legs[leg] = Leg(call, CALLER, agent=agent)
        self.world.switch.post(call, ev.CallArrived(plan.Caller(agent, dnis, "", agent=agent), leg))
        self.world.later(patience_s, lambda: self.leave(leg, ev.CallerGone(200, "")))

    def answer(self, leg: int) -> None:
        self.world.later(self.world.random.choice((0.0, 0.01, 0.3)), lambda: self._caller_answered(leg))

    def ring(self, leg: int) -> None:
        assert not self.legs[leg].is_answered

    def give(self, leg: int, call: str, offer: int) -> None:
        self.legs[leg].call, self.legs[leg].offer = call, offer

    def report_transfer(self, leg: int, status: int) -> None:
        assert self.legs[leg].is_answered
        if status >= 200:
            assert leg in self.asked
            self.asked.remove(leg)

    def progress(self, leg: int) -> None:
        self.world.later(self.world.random.choice((0.0, 0.1)), lambda: self._tell(leg, ev.CallerHears()))

    def dial_customer(self, call: str, uri: str, caller: plan.Caller, headers: Mapping[str, str]) -> int:
        number = uri.rpartition("/")[2]
        world = self.world
        assert number not in world.on_line(), f"{number} is on the line and is called"
        owed = [entry for entry in world.records.callbacks.values() if entry.number == number and entry.is_active]
        assert [entry.state for entry in owed] == ["dialling"], f"{number} is called and owed {owed}"
        leg = next(self._numbers)
        self.legs[leg] = Leg(call, CALLER)
        deed = world.random.choice(("answer", "answer", "answer", "ring", "busy", "dead"))
        delay = world.random.choice((0.0, 0.05, 2.0, 9.999, 10.0))
        if deed == "answer":
            world.later(delay, lambda: self._customer_answered(leg))
        elif deed != "ring":
            refusal = Refusal.BUSY if deed == "busy" else Refusal.UNREACHABLE
            world.later(delay, lambda: self.leave(leg, ev.CustomerRefused(refusal, 486)))
        return leg

    def _customer_answered(self, leg: int) -> None:
        if leg in self.legs:
            self.legs[leg].is_answered = True
            self._tell(leg, ev.CustomerAnswered())
            patience_s = self.world.random.choice((0.0, 3.0, 30.0, 60.0))
            self.world.later(patience_s, lambda: self.leave(leg, ev.CallerGone(200, "")))

    def lose(self, leg: int, loss: ev.Loss) -> None:
        if leg in self.legs:
            offer = self.legs[leg].offer
            self.leave(leg, ev.CallerGone(408, str(loss), loss) if offer == CALLER else ev.CalledGone(offer, loss))

    def take_key(self, leg: int, key: str) -> None:
        self._tell(leg, ev.CallerDigit(key))

    def n_calls_out(self, trunk: str) -> int:
        return 0

    def notify_mwi(self, uri: str, account: str, n_new: int, n_old: int) -> None:
        self.lamps[uri] = n_new, n_old

    def _caller_answered(self, leg: int) -> None:
        if leg in self.legs:
            self.legs[leg].is_answered = True
            self.world.switch.post(self.legs[leg].call, ev.CallerAnswered())

    def dial(self, call: str, offer: int, uri: str, caller: plan.Caller, headers: Mapping[str, str],
             display_name: str = "") -> int:  # fmt: skip
        leg = next(self._numbers)
        is_target = self.world.switch.calls[call].machine.state is State.DIALLING
        agent = uri[4:6] if uri.startswith("sip:a") else ""
        rung = agent if offer > 0 else ""
        assert rung not in self.unclear(CLEAR_S), f"{rung} is rung in a call that we gave up"
        self.legs[leg] = Leg(call, offer, agent=agent if is_target else "", rung=rung)
        random = self.world.random
        deed = random.choice(("answer", "answer", "answer", "ring", "busy", "reject", "dead", "gone"))
        delay = random.choice((0.0, 0.05, 2.0, 7.999, 8.0))
        moved_to = random.choice(("", "200", "201", "202", "0571", "0044", "999"))
        if deed == "gone":
            self.leave(leg, ev.CalledRefused(offer, Refusal.UNREACHABLE, 503))
        elif deed == "dead":
            self.world.later(4.0, lambda: self.leave(leg, ev.CalledRefused(offer, Refusal.UNREACHABLE, 408)))
        else:
            self.world.later(0.01, lambda: self._tell(leg, ev.CalledRinging(offer)))
        if deed == "busy":
            self.world.later(delay, lambda: self.leave(leg, ev.CalledRefused(offer, Refusal.BUSY, 486)))
        if deed == "reject":
            self.world.later(delay, lambda: self.leave(leg, ev.CalledRefused(offer, Refusal.REJECTED, 302, moved_to)))
        if deed == "answer":
            self.world.later(delay, lambda: self._called_answered(leg))
        return leg

    def unclear(self, within_s: float = float("inf")) -> set[str]:
        """Agents whose phones are in a call that we gave up not longer ago."""
        return {agent for agent, since in self.clearing.values() if since + within_s > self.world.now}

    def _called_answered(self, leg: int) -> None:
        if leg in self.legs:
            offer = self.legs[leg].offer
            self.legs[leg].is_answered = True
            self._tell(leg, ev.CalledAnswered(offer))
            talk_s = self.world.random.choice((0.0, 0.5, 6.0, 40.0))
            self.world.later(talk_s, lambda: self._called_leaves(leg))
            if offer > 0 and self.world.random.random() < 0.4:
                self.world.later(talk_s * self.world.random.random(), lambda: self._refer(leg))

    def _called_leaves(self, leg: int) -> None:
        if leg in self.legs:
            self.leave(leg, ev.CalledGone(self.legs[leg].offer))

    def _refer(self, leg: int) -> None:
        """The phone sends its call to a number, or to who is on the line in a call that some agent has dialled."""
        if leg not in self.legs:
            return
        random = self.world.random
        own = [one for one, other in self.legs.items() if other.offer == CALLER and other.agent]
        replaced = random.choice(own) if own and random.random() < 0.7 else None
        number = random.choice(("200", "201", "202", "057112345", "100", "0044", "999"))
        self.asked.add(leg)
        self.world.switch.post(self.legs[leg].call, ev.LegRefers(leg, number, replaced))

    def _tell(self, leg: int, event: ev.Event) -> None:
        if leg in self.legs:
            self.world.switch.post(self.legs[leg].call, event)

    def leave(self, leg: int, event: ev.Event) -> None:
        """The far side, or the network, ends the leg."""
        if leg in self.legs:
            self._tell(leg, event)
            self._end(leg)

    def _end(self, leg: int) -> None:
        self.asked.discard(leg)
        if ended := self.legs.pop(leg, None):
            self.world.switch.post(ended.call, ev.LegEnded(leg))

    def reject(self, leg: int, status: int, retry_after_s: int | None = None) -> None:
        assert 400 <= status < 700
        self._end(leg)

    def hang_up(self, leg: int, elsewhere: bool = False) -> None:
        """A phone that rings, or has just sent its 200, takes its time with our CANCEL."""
        one = self.legs.get(leg)
        if one is None or one.is_answered or not one.rung:
            self._end(leg)
            return
        del self.legs[leg]
        self.clearing[leg] = one.rung, self.world.now
        self.world.switch.post(one.call, ev.LegEnded(leg, is_clear=False))
        self.world.later(self.world.random.choice((0.0, 0.01, 0.3, 3.0)), lambda: self._cleared(leg, one.call))

    def _cleared(self, leg: int, call: str) -> None:
        del self.clearing[leg]
        self.world.switch.post(call, ev.LegCleared(leg))

    drop = hang_up


class Sound:
    """The media room: what each leg hears."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.music: dict[int, str] = {}
        self.plays: dict[int, int] = {}
        self.messages: dict[int, str] = {}
        self.deleted: list[str] = []
        self.bridges: dict[int, int] = {}
        self.recorded: dict[int, str] = {}
        self.news: list[Any] = []
        self.wrongs: list[str] = []

    def attach(self, leg: int, slot: int, stream: int) -> None:
        pass

    def detach(self, leg: int) -> None:
        self.music.pop(leg, None)
        self.plays.pop(leg, None)
        self.bridges = {a: b for a, b in self.bridges.items() if leg not in (a, b)}
        self.stop_record(leg)
        self.stop_message(leg)

    def play(self, leg: int, items: Sequence[str | Path], play: int, language: str) -> None:
        self._must_live(leg)
        assert items
        self.plays[leg] = play
        if play != hearing.GREETING or self.world.random.random() < 0.9:  # else nobody reports the end
            self.world.later(3.0, lambda: self._played(leg, play))

    def _played(self, leg: int, play: int) -> None:
        if self.plays.get(leg) == play:
            del self.plays[leg]
            self.news.append(media_news.LegPlayed(leg, play))

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

    def unbridge(self, leg: int, other: int) -> None:
        del self.bridges[leg]

    def record(self, leg: int, path: str) -> None:
        self._must_live(leg)
        if leg in self.recorded:
            self.wrongs.append(f"leg {leg} is recorded twice")
        self.recorded[leg] = path

    def stop_record(self, leg: int, discard: bool = False) -> None:
        if (path := self.recorded.pop(leg, None)) and not discard:
            self.news.append(media_news.RecordingClosed(leg, path, 1.0, 0, 0.0))

    def record_message(self, leg: int, path: str) -> None:
        self._must_live(leg)
        self.messages[leg] = path

    def stop_message(self, leg: int, discard: bool = False) -> None:
        if (path := self.messages.pop(leg, None)) and not discard:
            speech_s = self.world.random.choice((0.0, 3.0, 3.0))
            self.news.append(media_news.MessageClosed(leg, path, 5.0, speech_s))

    def delete(self, path: str) -> None:
        self.deleted.append(path)

    def poll(self) -> list[Any]:
        news, self.news = self.news, []
        return news

    def _must_live(self, leg: int) -> None:
        """PJSIP may have ended the leg since; its LegEnded is on the way then, and the media room must not mind."""
        if leg not in self.world.phones.legs and leg not in self.world.ended_but_not_told():
            self.wrongs.append(f"leg {leg} is long gone")


class World:
    """One seeded day. run() plays it to the end and checks it. `trace` is its own, or a real one that writes files.

    `is_plain`: callers wait or hang up, nobody is called back, and nothing is reloaded.
    """

    def __init__(
        self, seed: int, make_switch: Callable[..., Switch] = Switch, trace: Any = None, is_plain: bool = False
    ) -> None:
        self.is_plain = is_plain
        self.book = PLAIN_BOOK if is_plain else BOOK
        self.random = random.Random(seed)
        self.now = 1000.0
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.n_calls = self.n_dialled = 0
        self.phones, self.sound, self.records = Phones(self), Sound(self), Records()
        told: Any = Trace() if trace is None else trace
        self.trace = told
        limits = Limits(max_calls=8, max_talk_s=30.0)
        early = self.random.random() < 0.5
        trunk = Trunk("carrier", (), early_media=early, destinations=(Destination("127.0.0.1"),))
        settings = Settings(Sip(), (trunk,), limits, Recording())
        self.customer_first = self.random.random() < 0.5
        self.n_agents = self.random.randint(1, 3)
        people = staff(self.n_agents, customer_first=self.customer_first)
        if is_plain:
            people = replace(people, queues={"sales": replace(people.queues["sales"], callbacks=None)})
        else:
            people = self._limited(people)
        self.acd = Acd(people, self.book, 64, self.now, self._tell_trace)
        self.promises, self.errands = Promises(), Errands(self)
        rooms = Rooms(
            self.acd, self.phones, self.sound, self.records, self.promises, self.errands, self.trace,
            lambda queue: rows.n_logged_in(self.acd.core, self.acd.floor, queue),
            lambda now: EPOCH + timedelta(seconds=now),
        )  # fmt: skip
        self.switch = make_switch(Setup(settings, people, self.book), rooms)
        self.acd.begin_day(self.now)

    def on_line(self) -> set[str]:
        """Callers whose calls are up and admitted."""
        return {live.caller.ani for live in self.switch.calls.values() if live.is_on_line}

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
        for _ in range(0 if self.is_plain else self.random.randint(0, 4)):
            self.later(self.random.uniform(0, 30), self._dial)
        end_at = self.now + 600.0
        while self._later or self.switch.calls or (len(self.switch.calling_back.registry) and self.now < end_at):
            due = self.switch.deadline()
            if self._later:
                due = min(due, self._later[0][0])
            assert due < self.now + 100_000, "calls live on, and nothing will ever happen to them"
            self.now = max(self.now, due)
            self._do_what_is_due()
        self._close_shop()
        self._check_end()

    def _do_what_is_due(self) -> None:
        while self._later and self._later[0][0] <= self.now:
            heapq.heappop(self._later)[2]()
        self.switch.round(self.now)
        self._check_agreement()

    def _close_shop(self) -> None:
        """Nobody is called back any more; wrap-ups and pauses end."""
        self.switch.is_draining = True
        until = self.now + 100.0
        while self.switch.calls or self._later or self.acd.deadline() <= until:
            due = min(self.acd.deadline(), self.switch.deadline(), self._later[0][0] if self._later else until + 1)
            self.now = max(self.now, due)
            self._do_what_is_due()
        self.now = max(self.now, until)
        self.switch.round(self.now)

    def _call(self) -> None:
        self.n_calls += 1
        dnis = self.random.choice(("100",) * 9 + ("999",))
        patience_s = self.random.choice((0.0, 0.01, 2.0, 3.0, 8.0, 12.0, 30.0, 60.0))
        number = self.random.choice(("", *(f"+8613800138{n:03}" for n in range(4))))
        self.phones.arrive(self.switch.new_call(), number, dnis, patience_s)

    def _dial(self) -> None:
        """An agent, whatever the agent does besides."""
        self.n_dialled += 1
        agent = self.random.choice(list(self.acd.agents))
        dnis = self.random.choice(("100", "200", "200", "201", "202", "057112345", "0044", "999"))
        self.phones.dial_in(self.switch.new_call(), agent, dnis, self.random.choice((0.0, 0.01, 3.0, 30.0)))

    def _meddle(self) -> None:
        """An operator, or the network, at any moment."""
        agent = self.random.choice(list(self.acd.agents))
        match self.random.randrange(7):
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
                self.switch.calling_back.wake()
            case 4 if not self.is_plain:
                self._reload()
            case 5:
                if answered := [leg for leg, one in self.phones.legs.items() if one.is_answered]:
                    self.sound.news.append(media_news.LegSilent(self.random.choice(answered)))
            case 6:
                if owed := self.switch.calling_back.registry.entries():
                    entry = self.random.choice(owed)
                    if call := self.switch.calling_back.registry.cancel(entry.number, "somebody", self.switch.utc()):
                        self.switch.hang_up(call, "somebody", self.now)

    def _reload(self) -> None:
        """Other times and limits, another order of who rings first, a plan that asks for more: for calls that wait
        too."""
        people = staff(self.n_agents, self.random.choice((4.0, 8.0)), self.random.random() < 0.5, 1.0)
        people = self._limited(people)
        relax = self.random.choice(((), (steps.Relax(3.0, head_start_s=30.0),)))
        changed = tuple(replace(s, relax=relax) if isinstance(s, steps.Queue) else s for s in BOOK.steps)
        book = replace(BOOK, steps=changed)
        self.acd.apply(people, book, self.now)
        self.switch.apply(Setup(self.switch.setup.settings, people, book))

    def _limited(self, people: Staff) -> Staff:
        queue = replace(people.queues["sales"], max_length=self.random.choice((1, 2, 4)))
        return replace(people, queues={"sales": queue})

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
            (self.acd.core.offer_of(handle) or -self.acd.core.call_of(handle), name)
            for name, handle in self.acd.agents.items()
            if self.acd.core.agent_state(handle)[0] in (AgentState.RESERVED, AgentState.TALKING)
        }
        machines = [live.machine for live in self.switch.calls.values()]
        unclear = {(what, name) for what, name in held if what == 0}
        free = {name for _, name in unclear} - self.phones.unclear()
        assert not free, f"{free} are held, and their phones are free"
        wanted = {
            (offer if machine.talk is None else -self.acd._calls[machine.id], attempt.party)
            for machine in machines
            for offer, attempt in machine.offers.items()
            if offer > 0
        }
        assert held - unclear == wanted, f"the core holds {held}, the calls {wanted}"
        for leg in self.phones.legs.values():
            state = self.acd.core.agent_state(self.acd.agents[leg.agent])[0] if leg.agent else None
            assert state != AgentState.READY, f"{leg.agent} is on the phone and would be offered calls"
            rings = state == AgentState.RESERVED and leg.offer == CALLER
            assert not rings, f"{leg.agent} dials and is offered a call"
        sending = {
            live.legs.get(live.machine.talk or 0)
            for live in self.switch.calls.values()
            if live.machine.state is State.SENDING
        }
        assert self.phones.asked <= sending, "a phone waits for the outcome of a transfer that is not under way"
        known = sorted(leg for live in self.switch.calls.values() for leg in live.legs.values())
        assert known == sorted(self.phones.legs), f"the switch knows legs {known}, alive are {sorted(self.phones.legs)}"

    def _check_end(self) -> None:
        assert not self.phones.legs and not self.phones.clearing and not self.switch.clearing
        assert not self.sound.music and not self.sound.plays and not self.sound.bridges
        assert not self.sound.recorded and not self.sound.messages
        assert not self.switch.boxes.taking and not self.switch.recordings and not self.switch.boxes.opened
        states = {name: AgentState(self.acd.core.agent_state(handle)[0]) for name, handle in self.acd.agents.items()}
        assert all(state is AgentState.READY for state in states.values()), states
        cdrs = Counter(cdr.call for cdr in self.records.cdrs)
        inbound = [cdr for cdr in self.records.cdrs if cdr.kind == "inbound"]
        dialled = [cdr for cdr in self.records.cdrs if cdr.kind in ("outbound", "internal")]
        assert len(inbound) == self.n_calls and len(dialled) == self.n_dialled and set(cdrs.values()) <= {1}, cdrs
        assert {cdr.call for cdr in self.records.opened} <= set(cdrs)
        assert all(cdr.disposition and cdr.ended_at is not None for cdr in self.records.cdrs)
        recorded = Counter(cdr.call for cdr in self.records.cdrs if cdr.recording)
        assert Counter(self.records.recordings) == recorded
        talks = Counter(segment.call for segment in self.records.segments if segment.kind == "talk")
        assert set(talks) == {cdr.call for cdr in self.records.cdrs if cdr.connected_at is not None}
        row = self.acd.queue_rows(self.now)[0]
        waits = Counter(segment.outcome for segment in self.records.segments if segment.kind == "queue")
        assert (row["answered"], row["abandoned"]) == (waits["answered"], waits["abandoned"])
        self._check_promises(inbound)

    def _check_promises(self, inbound: list[Cdr]) -> None:
        """Nobody is forgotten, nobody is owed two calls, and what is over says why."""
        assert not self.promises.waiting
        entries = self.records.callbacks.values()
        owed = [entry for entry in entries if entry.is_active]
        assert {entry.id for entry in owed} == {entry.id for entry in self.switch.calling_back.registry.entries()}
        assert len({entry.number for entry in owed}) == len(owed) and {entry.state for entry in owed} <= {"open"}
        assert all(entry.result for entry in entries if not entry.is_active)
        for cdr in inbound:
            waited = [s for s in self.records.segments if s.call == cdr.call and s.kind == "queue"]
            was_abandoned = cdr.disposition == "abandoned" and waited[-1].ended_at - waited[-1].began_at >= 2.0
            if cdr.ani and not self.is_plain and (was_abandoned or cdr.disposition == "timed_out"):
                assert cdr.call in self.records.callbacks, f"{cdr.call} is forgotten"
        talked = {cdr.call for cdr in self.records.cdrs if cdr.kind == "callback" and cdr.connected_at is not None}
        kept = {entry.call for entry in entries if entry.state == "done"}
        assert talked == kept, "a talk that kept no promise, or a promise kept without a talk"


def ladder(world: World) -> str:
    return "\n".join(world.trace.lines[-60:])
