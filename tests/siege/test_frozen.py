"""What the machine under the daemon does to it while calls come and go: a disk that stops in the middle of a write, a
database that is locked, a name server that is silent. Calls and audio are unharmed, somebody is told, and in the end
every record and every recording is there, with silence where the disk took nothing.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import soundfile

from engine.records.search import Wanted
from engine.switch import recording_path
from tests.live.floor import RECORDINGS, SUDO, Daemon, until
from tests.siege.conftest import one_cdr_each
from tests.siege.crowd import Crowd, Fared
from tests.siege.ground import besiege
from tests.sip.peers import got, invite, request, sdp

RATE, TALK_S = 20.0, 3.0
BEFORE_S, AFTER_S = 2.0, 4.0
LOST = 0.0005  # of the packets, where this machine has other things to do
LATE_S = 0.5  # the engine's clock is that of its rounds, which a busy machine holds up
NO_CPU_S = 1.5
SETTLED_S = 3.0  # after the disk goes on: what waited is written, what failed is tried again

Row = dict[str, Any]


async def through(
    daemon: Daemon, begin: Callable[[], object], end: Callable[[], object], trouble_s: float
) -> tuple[Fared, Row, Row]:
    """Calls before, in and after the trouble; and the status at its end, and after it."""
    async with Crowd(daemon.port) as crowd:
        await crowd.call(10, RATE, 0.3)  # warm
        n = round((BEFORE_S + trouble_s + AFTER_S) * RATE)
        calling = asyncio.create_task(crowd.call(n, RATE, TALK_S))
        await asyncio.sleep(BEFORE_S)
        await asyncio.to_thread(begin)
        try:
            await asyncio.sleep(trouble_s)
            in_it = await asyncio.to_thread(daemon.ask, "status")
        finally:
            await asyncio.to_thread(end)
        fared = await calling
        return fared, in_it, await asyncio.to_thread(daemon.ask, "status")


def is_unharmed(fared: Fared) -> bool:
    print(fared)
    return fared.n_good == fared.n and fared.n_lost <= LOST * sum(one["n_received"] for one in fared.streams)


# ---- the disk


class Fifos:
    """In place of the files of the next calls: the first of them that is opened holds the recorder, in the kernel."""

    error = "of call"  # the file that was a FIFO is told of by itself

    def __init__(self, daemon: Daemon) -> None:
        self._daemon, self._fifos, self._readers = daemon, list[Path](), list[int]()

    def freeze(self) -> None:
        n_calls, now = self._daemon.ask("status")["calls_total"], datetime.now(UTC)
        for second in range(3):
            at = now + timedelta(seconds=second)
            for number in range(n_calls, n_calls + 4 * int(RATE)):
                path = self._daemon.folder / RECORDINGS / recording_path(f"{at:%Y%m%d-%H%M%S}-{number:06d}", "wav")
                with contextlib.suppress(FileExistsError):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    os.mkfifo(path)
                    self._fifos.append(path)

    def thaw(self) -> None:
        for fifo in self._fifos:
            self._readers.append(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))  # who waits to write goes on
            fifo.unlink()

    def close(self) -> None:
        for reader in self._readers:
            os.close(reader)


class Mounted:
    """A file system of its own, for the recordings and the database, which the kernel freezes: whoever writes waits
    there and cannot even be killed. As root or by sudo."""

    error = "storage has not answered"

    def __init__(self, daemon: Daemon) -> None:
        self._at, database = daemon.folder / RECORDINGS, daemon.folder / "var/agner.db"
        self._at.mkdir(parents=True)
        image = daemon.folder / "image"
        with image.open("wb") as file:
            file.truncate(256 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-E", "root_owner", image], check=True)  # it is the user's
        subprocess.run([*SUDO, "mount", "-o", "loop", image, self._at], check=True)
        database.symlink_to(self._at / database.name)

    def freeze(self) -> None:
        subprocess.run([*SUDO, "fsfreeze", "--freeze", self._at], check=True)

    def thaw(self) -> None:
        subprocess.run([*SUDO, "fsfreeze", "--unfreeze", self._at], check=True)

    def close(self) -> None:
        subprocess.run([*SUDO, "umount", "--lazy", self._at], check=True)  # the records may still be open here


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Daemon, Fifos | Mounted]]:
    daemon = besiege(tmp_path / "daemon")
    disk = request.param(daemon)
    try:
        daemon.start()
        yield daemon, disk
    finally:
        daemon.close()
        disk.close()


@pytest.mark.parametrize(
    ("disk", "trouble_s"),
    [(Fifos, 4.0), pytest.param(Mounted, 20.0, marks=pytest.mark.siege)],
    indirect=["disk"],
)
@pytest.mark.timeout(120)
def test_a_disk_that_stops(disk, trouble_s):
    daemon, disk = disk
    daemon.expected_errors += ["recordings: the disk has not answered", disk.error]
    span: list[datetime] = []

    def freeze() -> None:
        span.append(datetime.now(UTC))
        disk.freeze()

    def thaw() -> None:
        disk.thaw()
        span.append(datetime.now(UTC))

    fared, in_it, after = asyncio.run(through(daemon, freeze, thaw, trouble_s))
    assert is_unharmed(fared)
    assert not in_it["recordings_ok"] and "the disk has not answered" in daemon.log()
    assert after["recordings_ok"] and after["storage_ok"] and "the disk answers again" in daemon.log()
    daemon.until_clean()
    one_cdr_each(daemon)
    check_recordings(daemon, *span)


def check_recordings(daemon: Daemon, stopped_at: datetime, went_on_at: datetime) -> None:
    """One for each answered call, as long as the call; only those that the trouble met have lost audio."""
    calls = {row["call"]: row for row in daemon.archive().calls(Wanted(limit=10_000)).rows if row["recording"]}
    until("a row for each recording", lambda: len(recordings_of(daemon)) == len(calls))
    rows = recordings_of(daemon)
    for row in rows:
        call, info = calls[row["call"]], soundfile.info(daemon.folder / RECORDINGS / row["path"])
        assert info.duration == pytest.approx(row["seconds"], abs=0.001)
        assert info.duration == pytest.approx((call["ended_at"] - call["answered_at"]).total_seconds(), abs=LATE_S)
        if call["ended_at"] < stopped_at or call["answered_at"] > went_on_at + timedelta(seconds=SETTLED_S):
            assert row["lost_s"] == 0
    lost_s = [row["lost_s"] for row in rows if row["lost_s"]]
    print(f"{len(rows)} recordings, {len(lost_s)} with lost audio, at most {max(lost_s, default=0.0):.2f} s of a call")
    assert lost_s


def recordings_of(daemon: Daemon) -> list[Row]:
    return daemon.archive().recordings(Wanted(limit=10_000)).rows


# ---- the engine itself


def test_an_engine_without_cpu(own):
    """Audio of that time is lost, calls are not; recordings have it as silence, and the disk is not blamed for it."""
    daemon = own()
    pid, span = daemon.ask("status")["pid"], list[datetime]()

    def freeze() -> None:
        span.append(datetime.now(UTC))
        os.kill(pid, signal.SIGSTOP)
        time.sleep(NO_CPU_S)
        os.kill(pid, signal.SIGCONT)
        span.append(datetime.now(UTC))

    fared, _, after = asyncio.run(through(daemon, freeze, lambda: None, 0.0))
    assert fared.n_good == fared.n, fared
    assert after["recordings_ok"] and "the disk has not answered" not in daemon.log()
    daemon.until_clean()
    one_cdr_each(daemon)
    check_recordings(daemon, *span)
    stopped_s = (span[1] - span[0]).total_seconds()
    lost_s = [row["lost_s"] for row in recordings_of(daemon) if row["lost_s"]]
    # A relay's queues hold 320 ms of it; what came meanwhile comes at once, and the RTP thread takes a while over it.
    assert stopped_s - LATE_S < min(lost_s) and max(lost_s) < stopped_s + 2 * LATE_S


# ---- the database


@pytest.mark.parametrize("trouble_s", [3.0, pytest.param(30.0, marks=pytest.mark.siege)])
@pytest.mark.timeout(120)
def test_a_database_that_is_locked(own, trouble_s):
    daemon = own()
    daemon.expected_errors.append("storage does not take records")
    other = sqlite3.connect(daemon.folder / "var/agner.db", isolation_level=None, check_same_thread=False)
    with contextlib.closing(other):
        begin, end = (lambda: other.execute("begin exclusive")), (lambda: other.execute("rollback"))
        fared, in_it, _ = asyncio.run(through(daemon, begin, end, trouble_s))
    assert is_unharmed(fared)
    assert not in_it["storage_ok"] and in_it["records_pending"] > RATE and "does not take records" in daemon.log()
    until("the database takes records again", lambda: daemon.ask("status")["storage_ok"])
    daemon.until_clean()
    one_cdr_each(daemon)
    assert "storage takes records again" in daemon.log()


# ---- the name server

STALL_S = 3.0  # as stalled_names.c has it


@pytest.fixture
def stalled_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are looked up by nobody: the name server is silent, or a firewall keeps it away."""
    library = tmp_path / "stalled_names.so"
    source = Path(__file__).with_name("stalled_names.c")
    subprocess.run(["gcc", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    asks = f"import socket\ntry: socket.getaddrinfo('{socket.gethostname()}', 5060)\nexcept OSError: pass"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", asks], check=True)
    assert time.monotonic() - began >= STALL_S, "names are looked up in another way here: this test would see nothing"


@pytest.mark.usefixtures("stalled_names")
def test_a_name_server_that_is_silent(own, make_floor):
    """The daemon's own name at each call out, and names in what callers send."""
    daemon = own()
    floor = make_floor(daemon)
    nowhere = invite(sdp().replace("[media_ip]", "media.example"))  # a name is no address: it is not looked up
    refused = got(100, True), got(488), request("ACK")

    def ask_for_names() -> None:
        floor.sipp_calls("101", "6802", nowhere, *refused, calls=20, rate=10).wait(10)

    fared, _, after = asyncio.run(through(daemon, ask_for_names, lambda: None, 0.0))
    assert is_unharmed(fared)
    assert fared.set_up_ms(100) < 1000 * STALL_S / 2 and after["engine_delay_ms"] < 1000 * STALL_S / 2
    daemon.until_clean()
    one_cdr_each(daemon)
