"""The daemon under siege: tests/live's, with a queue of its own for a crowd of calls, and what it costs meanwhile.

Everything here runs on 127.0.0.0/8. Who is who: 127.0.0.1 the trunk and phones of tests/live, 127.0.0.10 a trunk that
brings the crowd, 127.0.0.20 the crowd's agents, 127.0.0.30 a trunk with a limit to its calls a second; all others are
strangers. Counterparts: crowd.py calls, flood.py annoys.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.live.floor import Daemon

CALLERS, AGENTS = ("127.0.0.10", 16100), ("127.0.0.20", 16200)
LOUD, LOUD_PER_S = "127.0.0.30", 5
CROWD = "200"  # the number that leads to the crowd's queue
N_AGENTS = 300
PORTS, RTP_PORTS = itertools.count(16060, 2), itertools.cycle((34000, 35000))
LOOPBACK = {"carrier": ["127.0.0.1/32"], "crowd": [CALLERS[0]]}


def besiege(folder: Path, agents: tuple[str, int] = AGENTS, **changes: Any) -> Daemon:
    """A daemon that is ready to start."""
    trunks: dict[str, Any] = {name: {"from": sources} for name, sources in LOOPBACK.items()}
    trunks["loud"] = {"from": [LOUD], "max calls per second": LOUD_PER_S}
    settings = {"trunks": trunks, **changes}
    daemon = Daemon(folder, next(PORTS), next(RTP_PORTS), **settings)
    add_crowd(folder / "config", agents)
    return daemon


def add_crowd(config: Path, agents: tuple[str, int]) -> None:
    """Its queue, its agents and its number, beside those of the live suite."""
    staff = yaml.safe_load((config / "staff.yaml").read_text())
    staff["queues"]["crowd"] = {"ring for": "5s", "wrap up": "0s", "music": "hold"}
    staff["agents"] |= {
        user: {"phone": f"sip:{user}@{agents[0]}:{agents[1]}", "queues": ["crowd"], "at start": "ready"}
        for user in range(4001, 4001 + N_AGENTS)
    }
    (config / "staff.yaml").write_text(yaml.safe_dump(staff))
    plans = yaml.safe_load((config / "plans" / "main.yaml").read_text())
    plans["numbers"][int(CROWD)] = "crowd"
    plans["plans"]["crowd"] = ["answer", {"queue": "crowd"}]
    (config / "plans" / "main.yaml").write_text(yaml.safe_dump(plans, sort_keys=False))


def pid_of(daemon: Daemon) -> int:
    return int(daemon.ask("status")["pid"])


def rss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def n_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@dataclass
class Costs:
    """Memory, descriptors and PJSIP's pools over a count of things done. note() where the daemon is at rest, or always
    as busy."""

    daemon: Daemon
    done: list[int] = field(default_factory=list)
    noted: list[tuple[int, int, int]] = field(default_factory=list)  # RSS in kB, descriptors, pools

    def note(self, n_done: int) -> None:
        status = self.daemon.ask("status")
        self.done.append(n_done)
        self.noted.append((rss_kb(status["pid"]), n_descriptors(status["pid"]), status["n_pools"]))

    def slopes(self) -> tuple[float, float, float]:
        """kB, descriptors and pools a thing, by least squares over the second half of the run."""
        first = len(self.done) // 2
        kb, descriptors, pools = np.polyfit(self.done[first:], self.noted[first:], 1)[0]
        return float(kb), float(descriptors), float(pools)

    def __str__(self) -> str:
        (rss, descriptors, pools), (kb, more_descriptors, more_pools) = zip(*self.noted, strict=True), self.slopes()
        return (
            f"RSS {rss[0]} -> {rss[-1]} kB, {1024 * kb:+.1f} B each in the second half;"
            f" descriptors {descriptors[0]} -> {descriptors[-1]}, {more_descriptors:+.5f} each;"
            f" pools {pools[0]} -> {pools[-1]}, {more_pools:+.5f} each"
        )


def slices(n: int, size: int) -> Iterator[range]:
    for first in range(0, n, size):
        yield range(first, min(n, first + size))
