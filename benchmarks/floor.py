"""All phones of a run, and the RTP of all of them: callers on the trunk, agents, and the carriers that calls go out to.

Counterpart: play.py, which says who calls when.
"""

import asyncio
import os
import random
import time

from benchmarks.generator.counts import StreamResult, Totals
from benchmarks.generator.phones import Agents, Callers, Leg, Record, Voice
from benchmarks.generator.sdp import LAWS
from benchmarks.generator.sip import Address
from benchmarks.generator.source import RtpSource
from benchmarks.layout import Layout, Switch, agent_users
from benchmarks.machine import Cpus, Usage, full_sockets
from benchmarks.scenario import ENTRANCES, Kind, Scenario, Stretch
from benchmarks.seen import Sample

RTP_SOCKETS = 4  # of each side
ENDING_S = 40.0  # a little longer than SIP's own time-outs
LONGEST_TALK_S = 3600.0


class Floor:
    """`switch` None: callers dial the agents themselves."""

    def __init__(self, layout: Layout, scenario: Scenario, switch: Switch | None) -> None:
        law = LAWS[scenario.codec]
        self.layout, self.scenario, self.switch = layout, scenario, switch
        self.source = RtpSource(max_streams=4 * scenario.max_calls + 1024)
        callers = Voice.on(self.source, layout.callers[0], layout.caller_rtp, RTP_SOCKETS, 0)
        agents = Voice.on(self.source, layout.agents[0], layout.agent_rtp, RTP_SOCKETS, 1)
        self.callers = Callers(layout.callers, callers, law)
        self.agents = Agents(layout.agents, agents, law)
        self.carriers = [Agents(at, agents, law, has_lines=True) for at in layout.carriers]
        self.results: dict[int, StreamResult] = {}
        self.stopping = asyncio.Event()
        self.n_dialled = 0
        self._chance = random.Random(1)  # the same callers in each run
        self._users = agent_users(scenario)
        self._people(scenario)
        self.source.start()

    def _people(self, scenario: Scenario) -> None:
        for phones in (self.agents, *self.carriers):
            phones.rings_s = lambda user: self._within(scenario.answer_after_s)
            if scenario.hang_up == "agent":
                phones.talk_s = lambda user: self._within(scenario.talk_s)
        self.agents.declines = lambda user: self._chance.random() < scenario.refuses
        if scenario.ignores:
            self.agents.rings_s = lambda user: (
                None if self._chance.random() < scenario.ignores else self._within(scenario.answer_after_s)
            )

    def _within(self, stretch: Stretch) -> float:
        return self._chance.uniform(*stretch)

    @property
    def phones(self) -> tuple[Callers | Agents, ...]:
        return (self.callers, self.agents, *self.carriers)

    @property
    def called(self) -> list[Record]:
        """The legs of all who are called by the switch."""
        return [record for phones in (self.agents, *self.carriers) for record in phones.records]

    @property
    def n_talking(self) -> int:
        return sum(bool(leg.record.answered_ns) for leg in self.agents.busy.values())

    @property
    def n_in(self) -> int:
        """Callers who were answered and have not ended."""
        return sum(bool(leg.ack) and not leg.ended for leg in self.callers.legs.values())

    def dial(self) -> Leg:
        """The next caller."""
        scenario, self.n_dialled = self.scenario, self.n_dialled + 1
        (kind,) = self._chance.choices(scenario.kinds, [kind.share for kind in scenario.kinds])
        to: Address = self.layout.switch
        number = ENTRANCES[kind.dials]
        if self.switch is None:  # straight to the next agent's phone
            to, number = self.layout.agents, self._users[self.n_dialled % len(self._users)]
        hangs_up = scenario.hang_up == "caller" and kind.ends == "talk"
        leg = self.callers.dial(
            number,
            to,
            f"49{self.n_dialled:09d}",
            self._within(scenario.talk_s) if hangs_up else None,
            scenario.patience_s if kind.ends == "talk" and not hangs_up else LONGEST_TALK_S,
        )
        leg.record.wants = kind.ends
        self._plan(leg, kind)
        return leg

    def _plan(self, leg: Leg, kind: Kind) -> None:
        loop = asyncio.get_running_loop()
        if kind.keys:
            leg.on_answer = lambda: loop.call_later(kind.keys_after_s, leg.press, kind.keys)
        if kind.ends == "gives up":
            loop.call_later(self._within(kind.gives_up_s or self.scenario.talk_s), self.callers.give_up, leg)

    def collect(self) -> None:
        for result in self.source.collect():
            self.results[result["id"]] = result

    def sample(self) -> Sample:
        engine = self.switch.usage() if self.switch else None
        ours = Usage.of(os.getpid(), time.time())
        return Sample(engine, ours, Cpus.now(), self.n_talking, self.n_in, full_sockets())

    async def pause(self, seconds: float) -> None:
        """Sleep, shorter if the user wants to stop."""
        try:
            await asyncio.wait_for(self.stopping.wait(), max(seconds, 0))
        except TimeoutError:
            return

    async def until_quiet(self) -> None:
        """Every leg over, as the phones see it, and the switch without calls."""
        for leg in list(self.callers.legs.values()) if self.stopping.is_set() else ():
            self.callers.give_up(leg)  # nobody's failure
        until = time.monotonic() + ENDING_S + self.scenario.patience_s
        while time.monotonic() < until:
            self.collect()
            is_over = not any(not leg.ended for phones in self.phones for leg in phones.legs.values())
            if is_over and not (self.switch and self.switch.held()):
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.05)
        self.collect()

    def close(self) -> Totals:
        totals = self.source.totals()
        for phones in self.phones:
            phones.transport.close()
        self.source.stop()
        return totals
