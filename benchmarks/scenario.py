"""The scenarios: who calls when, and what is sampled meanwhile. Counterpart: figures.py, which makes figures of it.

steady   callers arrive at an even rate and hang up after their talk time; an agent is always free
surplus  more callers than agents, always: each agent who hangs up has the next caller waiting
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.daemon import STEADY, SURPLUS, Daemon, Layout
from benchmarks.generator.counts import StreamResult, Totals
from benchmarks.generator.phones import Agents, Callers, Leg, Record, Voice
from benchmarks.generator.sdp import LAWS
from benchmarks.generator.sip import Address
from benchmarks.generator.source import RtpSource
from benchmarks.machine import Cpus, Usage

RTP_SOCKETS = 4  # of each side
ENDING_S = 40.0  # a little longer than SIP's own time-outs
PATIENCE_S = 60.0
SETTLE_S = 2.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Load:
    """What to put on the switch."""

    rate: float = 20.0  # new calls a second
    talk_s: float = 10.0
    seconds: float = 30.0  # of measuring, after the warm-up
    n_agents: int = 40  # surplus: agents
    n_waiting: int = 60  # surplus: callers more than agents
    short_talk_s: tuple[float, float] = (1.0, 3.0)  # surplus: least and longest talk
    surplus_s: float = 20.0  # surplus: of measuring; 0: leave it out

    @property
    def warm_up_s(self) -> float:
        return self.talk_s + SETTLE_S


@dataclass(slots=True)
class Sample:
    """The switch and the machine at one moment."""

    engine: Usage | None
    ours: Usage
    cpus: Cpus
    n_talking: int


@dataclass(slots=True)
class Seen:
    """What one scenario left behind."""

    callers: list[Record] = field(default_factory=list)
    agents: list[Record] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)  # window's begin and end
    idle: Usage | None = None  # before the first call
    after: Usage | None = None  # after the last one
    n_rejected: int = 0  # INVITEs to an agent's phone that was busy
    n_retransmitted: int = 0
    left_behind: dict = field(default_factory=dict)  # what the switch still held at the end


class Floor:
    """The phones, and the RTP of all of them."""

    def __init__(self, layout: Layout, daemon: Daemon | None) -> None:
        law = LAWS[layout.codec]
        self.layout, self.daemon = layout, daemon
        self.source = RtpSource(max_streams=4 * layout.max_calls + 1024)
        caller_voice = Voice.on(self.source, layout.callers[0], layout.caller_rtp, RTP_SOCKETS, 0)
        agent_voice = Voice.on(self.source, layout.agents[0], layout.agent_rtp, RTP_SOCKETS, 1)
        self.callers = Callers(layout.callers, caller_voice, law)
        self.agents = Agents(layout.agents, agent_voice, law)
        self.results: dict[int, StreamResult] = {}
        self.stopping = asyncio.Event()
        self.n_dialled = 0
        self._next_user = 0
        self.source.start()

    def close(self) -> Totals:
        totals = self.source.totals()
        self.callers.transport.close()
        self.agents.transport.close()
        self.source.stop()
        return totals

    def dial(self, number: str, talk_s: float | None) -> Leg:
        to: Address = self.layout.switch
        if self.daemon is None:  # straight to the next agent's phone
            to, number = self.layout.agents, str(200000 + self._next_user % self.layout.n_steady)
            self._next_user += 1
        self.n_dialled += 1
        return self.callers.dial(number, to, f"49{self.n_dialled:09d}", talk_s, PATIENCE_S)

    def collect(self) -> None:
        for result in self.source.collect():
            self.results[result["id"]] = result

    def sample(self) -> Sample:
        engine = self.daemon.usage() if self.daemon else None
        return Sample(engine, Usage.of(os.getpid(), time.time()), Cpus.now(), len(self.agents.busy))

    async def pause(self, seconds: float) -> None:
        """Sleep, shorter if the user wants to stop."""
        try:
            await asyncio.wait_for(self.stopping.wait(), max(seconds, 0))
        except TimeoutError:
            return

    async def until_quiet(self) -> None:
        """Every leg over, as the phones see it, and the switch without calls."""
        for leg in list(self.callers.legs.values()) if self.stopping.is_set() else ():
            if not leg.ended:
                self.callers.give_up(leg)  # nobody's failure
        until = time.monotonic() + ENDING_S
        while time.monotonic() < until:
            self.collect()
            open_legs = [leg for phone in (self.callers, self.agents) for leg in phone.legs.values() if not leg.ended]
            if not open_legs and (self.daemon is None or not self.daemon.ask("status")["n_calls"]):
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.05)
        self.collect()


async def steady(floor: Floor, load: Load, progress: Progress) -> Seen:
    seen = _begin(floor)
    loop = asyncio.get_running_loop()
    begun, n_calls = loop.time(), 0
    window, end = begun + load.warm_up_s, begun + load.warm_up_s + load.seconds
    while (now := loop.time()) < end and not floor.stopping.is_set():
        if not seen.samples and now >= window:
            seen.samples.append(floor.sample())
        floor.dial(STEADY, load.talk_s)
        n_calls += 1
        if n_calls % max(round(load.rate), 1) == 0:
            floor.collect()
            phase = "warm-up" if now < window else "measuring"
            progress(f"steady, {phase}: {_line(floor)}, {end - now:3.0f} s to go")
        await floor.pause(begun + n_calls / load.rate - loop.time())
    if seen.samples:
        seen.samples.append(floor.sample())
    progress(f"steady, ending: {_line(floor)}")
    await floor.until_quiet()
    return _end(floor, seen)


async def surplus(floor: Floor, load: Load, progress: Progress) -> Seen:
    seen = _begin(floor)
    chance = random.Random(1)
    floor.agents.talk_s = lambda user: chance.uniform(*load.short_talk_s)
    refill = True

    def redial(leg: Leg) -> None:
        if refill and not floor.stopping.is_set():
            loop.call_later(0.001, floor.dial, SURPLUS, None)

    loop = asyncio.get_running_loop()
    floor.callers.on_end = redial
    for _ in range(load.n_agents + load.n_waiting):
        floor.dial(SURPLUS, None)
        await floor.pause(1 / load.rate)
    await floor.pause(SETTLE_S)
    seen.samples.append(floor.sample())
    end = loop.time() + load.surplus_s
    while loop.time() < end and not floor.stopping.is_set():
        progress(f"surplus, measuring: {_line(floor)}, {end - loop.time():3.0f} s to go")
        floor.collect()
        await floor.pause(1.0)
    seen.samples.append(floor.sample())
    refill = False
    progress(f"surplus, ending: {_line(floor)}")
    await floor.until_quiet()
    floor.callers.on_end = lambda leg: None
    floor.agents.talk_s = lambda user: None
    return _end(floor, seen)


def _begin(floor: Floor) -> Seen:
    floor.callers.records, floor.agents.records = [], []
    floor.agents.n_rejected = 0
    return Seen(idle=floor.daemon.usage() if floor.daemon else None)


def _end(floor: Floor, seen: Seen) -> Seen:
    seen.callers, seen.agents = floor.callers.records, floor.agents.records
    seen.n_rejected = floor.agents.n_rejected
    seen.n_retransmitted = floor.callers.transport.n_retransmitted + floor.agents.transport.n_retransmitted
    if floor.daemon:
        seen.after = floor.daemon.usage()
        status = floor.daemon.ask("status")
        seen.left_behind = {name: n for name in ("n_calls", "n_legs") if (n := status.get(name))}
    return seen


def _line(floor: Floor) -> str:
    n_failed = sum(bool(record.failure) for record in floor.callers.records)
    totals = floor.source.totals()
    rtp = f"{totals['n_sent']:,} RTP out, {totals['n_received']:,} in"
    return f"{floor.n_dialled} calls, {len(floor.agents.busy)} talking, {n_failed} failed, {rtp}"
