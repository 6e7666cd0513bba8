"""A crowd of good calls beside whatever else goes on: does each get through, how soon, and is its audio whole?

Callers of one trunk and agents' phones, all of benchmarks.generator, with RTP from one native thread. One event loop.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Self

import numpy as np

from benchmarks.generator.counts import StreamResult
from benchmarks.generator.phones import Agents, Callers, Leg, Record, Voice
from benchmarks.generator.source import RtpSource
from tests.siege.ground import AGENTS, CALLERS, CROWD

PCMA = 8
CALLER_RTP, AGENT_RTP, N_SOCKETS = 36000, 37000, 4
LATEST_S = 40.0  # a call that SIP's own time-outs end is over by then


@dataclass(frozen=True)
class Fared:
    """What became of some calls."""

    records: list[Record]
    streams: list[StreamResult]

    @property
    def n(self) -> int:
        return len(self.records)

    @property
    def n_good(self) -> int:
        """Answered, and spoke with an agent."""
        spoke = {stream["id"] for stream in self.streams if stream["n_stamped"]}
        return sum(bool(one.answered_ns) and not one.failure and one.id in spoke for one in self.records)

    @property
    def failures(self) -> list[str]:
        spoke = {stream["id"] for stream in self.streams if stream["n_stamped"]}
        return [one.failure or "heard no agent" for one in self.records if one.failure or one.id not in spoke]

    def set_up_ms(self, percent: float = 95) -> float:
        """From INVITE to 200."""
        return float(
            np.percentile([(one.answered_ns - one.invite_ns) / 1e6 for one in self.records if one.answered_ns], percent)
        )

    @property
    def n_lost(self) -> int:
        """Packets that the switch sent and the callers never saw."""
        return sum(stream["wire"]["lost"] for stream in self.streams)

    @property
    def jitter_ms(self) -> float:
        """95 of 100 callers had less; nan: nobody heard anything yet."""
        return float(np.percentile([stream["jitter_us"] / 1000 for stream in self.streams] or [np.nan], 95))

    def __str__(self) -> str:
        return (
            f"{self.n_good} of {self.n} calls good, set-up p50 {self.set_up_ms(50):.1f} p95 {self.set_up_ms():.1f} ms,"
            f" {self.n_lost} RTP packets lost, jitter p95 {self.jitter_ms:.2f} ms"
        )


class Crowd:
    """`async with Crowd(port) as crowd:`"""

    def __init__(
        self, port: int, switch: str = "127.0.0.1", callers: tuple[str, int] = CALLERS, agents: tuple[str, int] = AGENTS
    ) -> None:
        self._to = (switch, port)
        self.source = RtpSource(max_streams=4096)
        self.callers = Callers(callers, Voice.on(self.source, callers[0], CALLER_RTP, N_SOCKETS, 0), PCMA)
        self.agents = Agents(agents, Voice.on(self.source, agents[0], AGENT_RTP, N_SOCKETS, 1), PCMA)
        self._heard: dict[int, StreamResult] = {}  # of streams that are over, until somebody asks
        self._n_dialled = 0

    async def __aenter__(self) -> Self:
        self.source.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.callers.transport.close()
        self.agents.transport.close()
        self.source.stop()

    def dial(self, talk_s: float | None, number: str = CROWD) -> Leg:
        """`talk_s` from the answer on; None: until the far side hangs up."""
        self._n_dialled += 1
        return self.callers.dial(number, self._to, f"49{self._n_dialled:09d}", talk_s, LATEST_S)

    async def call(self, n: int, rate: float, talk_s: float) -> Fared:
        """n calls at an even rate, until the last one is over."""
        began, legs = time.monotonic(), []
        for number in range(n):
            await asyncio.sleep(began + number / rate - time.monotonic())
            legs.append(self.dial(talk_s))
            if number % 100 == 0:
                self._collect()
        return await self.ended(legs)

    def _collect(self) -> None:
        """So that the source has room for more: a stream takes its place there until it is asked about."""
        self._heard.update((one["id"], one) for one in self.source.collect())

    async def ended(self, legs: list[Leg], within_s: float = LATEST_S) -> Fared:
        end = time.monotonic() + within_s
        while not all(leg.ended for leg in legs) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        for leg in legs:
            if not leg.ended:
                leg.record.failure = leg.record.failure or "never ended"
        await asyncio.sleep(0.05)  # a stream needs a moment to be told
        self._collect()
        heard = (self._heard.pop(leg.record.id, None) for leg in legs)
        return Fared([leg.record for leg in legs], [one for one in heard if one])
