"""The soak: calls of every kind, on and on: callers who talk, give up, cancel or dial wrongly, phones that answer,
reject or only ring, every answered call recorded. Meanwhile another thread of the daemon collects garbage as fast as it
can. At the end nobody was cut off, all is accounted for, nothing is left and nothing has grown.

The daemon has the RTP ports that its limit of calls needs, and not one more. `make soak RATE=40` takes it easier.
"""

import asyncio
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from benchmarks.generator.phones import Agents, Leg
from engine.callflow.settings import Limits
from engine.records.search import Wanted
from tests.live.floor import RECORDINGS, Daemon, until
from tests.siege.conftest import one_cdr_each
from tests.siege.crowd import Crowd
from tests.siege.ground import AGENTS, Costs, besiege, slices

RATE = float(os.environ.get("RATE") or 100)  # new calls a second
SHORT, LONG = 2_000, 100_000
TALK_S, SHORT_S = 1.0, 0.03
NOWHERE = "999"
KINDS = ("talks",) * 11 + ("leaves",) * 4 + ("cancels",) * 2 + ("wrong",) * 2 + ("waits",)
LAST_S = 30.0  # no caller is in it for longer
RTP_FROM, LIMITS = 34000, Limits(max_calls=400)
SPARE = 2  # descriptors: of files that open when they are first needed
LEAK_B, LEAK_DESCRIPTORS = 64.0, 0.0005  # a call, in the second half of the long run
SPARE_POOLS = 20  # of PJSIP, made when they are first needed; a call that it keeps has five
FORGOTTEN_S = 40.0  # after the last call: its transactions last for 32 s, 64 * T1

# Read by the daemon's Python before all else. What it finds, it finalises on its own thread, which is not PJSIP's.
STORM = """
import gc, pathlib, threading, time
def collect():
    n = 0
    while True:
        time.sleep(0.02)
        gc.collect()
        n += 1
        pathlib.Path("collections").write_text(str(n))
threading.Thread(target=collect, daemon=True).start()
"""


class Moody(Agents):
    """Of ten phones one rejects and one only rings; the others answer, and hang up if the caller does not."""

    def _pick_up(self, leg: Leg, tag: str, source: tuple[str, int]) -> None:
        match int(leg.record.user) % 10:
            case 0:
                self._refuse(leg, 603, "Decline", "", source)
            case 1:
                pass  # until it is cancelled
            case _:
                super()._pick_up(leg, tag, source)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """Its crowd rings for a second, and nobody is punished for not answering. Load is not judged: it would turn calls
    away where this machine is slow."""
    (tmp_path / "storm").mkdir()
    (tmp_path / "storm/sitecustomize.py").write_text(STORM)
    path = os.pathsep.join(filter(None, (str(tmp_path / "storm"), os.environ.get("PYTHONPATH"))))
    ports = f"{RTP_FROM}-{RTP_FROM + 2 * LIMITS.n_legs - 1}"
    limits = {"max calls": LIMITS.max_calls, "max load": "100%"}
    daemon = besiege(tmp_path / "daemon", limits=limits, sip={"rtp ports": ports})
    file = daemon.folder / "config/staff.yaml"
    staff = yaml.safe_load(file.read_text())
    failures = ("on rejected", "on no answer", "on busy", "on unreachable")
    staff["queues"]["crowd"] |= {"ring for": "1s", **dict.fromkeys(failures, "ready")}
    file.write_text(yaml.safe_dump(staff))
    monkeypatch.setenv("PYTHONPATH", path)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.close()


@dataclass
class Fared:
    """What became of calls, as their callers and the phones saw it."""

    dialled: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    cut_off: Counter[str] = field(default_factory=Counter)  # by the far side, though the caller is the one to hang up
    n_rejected: int = 0  # by phones
    n_files: int = 0

    def take(self, legs: list[tuple[str, Leg]]) -> None:
        self.dialled.update(kind for kind, _ in legs)
        self.failures.update((kind, leg.record.failure) for kind, leg in legs if leg.record.failure)
        ended = (kind for kind, leg in legs if leg.record.ended_by == "far end")
        self.cut_off.update(kind for kind in ended if kind not in ("wrong", "waits"))


@pytest.mark.parametrize(
    "n",
    [
        pytest.param(SHORT, marks=pytest.mark.timeout(300)),
        pytest.param(LONG, marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
    ],
)
def test_nothing_is_lost_and_nothing_grows(daemon, n):
    costs, n_pools = Costs(daemon), daemon.ask("status")["n_pools"]
    fared = asyncio.run(soak(daemon, n, costs))
    print(costs)
    print(fared)
    print(f"{(daemon.folder / 'collections').read_text()} collections of garbage")
    assert fared.failures == {("wrong", "404 Not Found"): fared.dialled["wrong"]}
    assert not fared.cut_off
    assert fared.n_rejected > 10
    check_counts(daemon, fared)
    assert all(row["state"] == "READY" for row in daemon.ask("agents") if row["agent"].startswith("4"))
    n_descriptors = [descriptors for _, descriptors, _ in costs.noted]
    assert max(n_descriptors) <= n_descriptors[0] + SPARE
    if n == LONG:
        kb, descriptors, _ = costs.slopes()
        assert 1024 * kb < LEAK_B and descriptors < LEAK_DESCRIPTORS
        returned = lambda: daemon.ask("status")["n_pools"] <= n_pools + SPARE_POOLS  # noqa: E731
        until("PJSIP's pools are back", returned, FORGOTTEN_S)
    shutil.rmtree(daemon.folder / "var/trace")  # some 10 kB a call


async def soak(daemon: Daemon, n: int, costs: Costs) -> Fared:
    """In parts, so that what is at rest can be weighed, and recordings need no more room than those of one part."""
    fared = Fared()
    async with Crowd(daemon.port) as crowd:
        crowd.agents.transport.close()
        crowd.agents = Moody(AGENTS, crowd.agents.voice, crowd.agents.law)
        crowd.agents.talk_s = lambda user: 2 * TALK_S
        for part in slices(n, max(n // 50, 500)):
            fared.take(await calls(crowd, part))
            fared.n_rejected += sum(one.user.endswith("0") for one in crowd.agents.records)
            for phones in (crowd.callers, crowd.agents):
                phones.records.clear()
            crowd.source.collect()
            daemon.until_clean()
            costs.note(part.stop)
            fared.n_files += await asyncio.to_thread(take_recordings, daemon, fared.n_files)
            print(f"{part.stop} calls: RSS, descriptors, pools {costs.noted[-1]}", flush=True)
    return fared


async def calls(crowd: Crowd, numbers: range) -> list[tuple[str, Leg]]:
    legs, loop = [], asyncio.get_running_loop()
    began = loop.time()
    for number in numbers:
        await asyncio.sleep(began + (number - numbers.start) / RATE - loop.time())
        kind = KINDS[number * 7 % len(KINDS)]
        legs.append((kind, dial(crowd, kind)))
    end = loop.time() + LAST_S
    while not all(leg.ended for _, leg in legs):
        assert loop.time() < end, Counter(kind for kind, leg in legs if not leg.ended)
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)  # BYEs are answered
    return legs


def dial(crowd: Crowd, kind: str) -> Leg:
    match kind:
        case "talks":
            return crowd.dial(TALK_S)
        case "leaves":
            return crowd.dial(SHORT_S)
        case "wrong":
            return crowd.dial(TALK_S, NOWHERE)
        case "waits":
            return crowd.dial(None)
    leg = crowd.dial(TALK_S)
    crowd.callers.cancel(leg)
    return leg


def take_recordings(daemon: Daemon, n_before: int) -> int:
    """Delete them; how many there were. Each has its row by then."""
    files = list((daemon.folder / RECORDINGS).rglob("*.wav"))
    until("a row for each recording", lambda: n_recordings(daemon) == n_before + len(files))
    for file in files:
        file.unlink()
    return len(files)


def n_recordings(daemon: Daemon) -> int:
    return daemon.archive().recordings(Wanted(limit=1)).n_total


def check_counts(daemon: Daemon, fared: Fared) -> None:
    """What callers, phones and disk saw, the CDRs with their segments, and the queue's counts are the same."""
    one_cdr_each(daemon)
    assert daemon.ask("status")["calls_total"] == fared.dialled.total()
    became = daemon.archive().totals(Wanted())
    print(became)
    assert became["unknown_number"] == fared.dialled["wrong"]
    with sqlite3.connect(daemon.folder / "var/agner.db") as database:
        segments = dict(database.execute("select kind || ' ' || outcome, count(*) from segments group by 1"))
        n_recorded = dict(database.execute("select recording is not null, count(*) from calls group by 1"))[1]
    print(segments)
    queue = daemon.queue("crowd")
    assert queue["waiting"] == 0 and queue["abandoned"] > 10
    assert queue["offered"] == queue["answered"] + queue["abandoned"]
    assert queue["offered"] == sum(n for name, n in segments.items() if name.startswith("queue "))
    n_answered = sum(n for name, n in segments.items() if name.startswith("talk "))
    assert queue["answered"] == segments["offer answered"] == n_answered == became["answered"]
    assert n_recorded == n_recordings(daemon) == fared.n_files
