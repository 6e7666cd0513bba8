"""What one run left behind, for figures.py to make figures of."""

from dataclasses import dataclass, field

from benchmarks.generator.phones import Record
from benchmarks.machine import Cpus, Usage


@dataclass(slots=True)
class Sample:
    """The switch, the generator and the machine at one moment."""

    engine: Usage | None
    ours: Usage
    cpus: Cpus
    n_talking: int
    n_in: int  # callers answered and not over, those who wait included
    n_full: int = 0  # datagrams that a full socket dropped, whoever's, since boot


@dataclass(slots=True)
class Seen:
    callers: list[Record] = field(default_factory=list)
    agents: list[Record] = field(default_factory=list)  # whoever the switch called
    samples: list[Sample] = field(default_factory=list)  # each second of the run
    window: tuple[int, int] | None = None  # indices of the samples at the begin and the end of the measuring
    idle: Usage | None = None  # before the first call
    after: Usage | None = None  # after the last one
    n_rejected: int = 0  # INVITEs to an agent's phone that was busy
    n_retransmitted: int = 0
    left_behind: dict[str, int] = field(default_factory=dict)  # what the switch still held at the end

    @property
    def measured(self) -> tuple[Sample, Sample] | None:
        return (self.samples[self.window[0]], self.samples[self.window[1]]) if self.window else None
