"""`floor`: the real daemon at rest, and phones to call it with. However a test ends, its phones are taken away, its
agents logged out, and then nothing may be left in the daemon.
"""

import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.records.search import Wanted
from tests.live.floor import Daemon
from tests.live.phones import AGENT_PORTS, ANSWERS, Floor, hangs_up_after
from tests.sip.peers import got
from tests.sip.peers import in_dialog_ok as ok

DAEMON_PORTS = itertools.count(14000, 2)  # each start takes the next; phones have 15100 on
RTP_PORTS = itertools.cycle((30000, 31000))

Start = Callable[..., Daemon]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)


def _start(folder: Path, **changes: Any) -> Daemon:
    daemon = Daemon(folder, next(DAEMON_PORTS), next(RTP_PORTS), **changes)
    daemon.start()
    return daemon


def _warm_up(daemon: Daemon, folder: Path) -> None:
    """One call all the way, so that everything is open that opens with the first."""
    floor = Floor(daemon, folder)
    daemon.seat("1001")
    floor.sipp_phone(AGENT_PORTS["1001"], *ANSWERS, got("BYE"), ok())
    floor.sipp_calls("101", "warm", *hangs_up_after(1200)).wait()
    daemon.cdr("warm")
    floor.close()
    daemon.ask("agent_logout", id="1001")
    daemon.until_clean()
    daemon.note_descriptors()


@pytest.fixture(scope="session")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = _start(tmp_path_factory.mktemp("daemon"))
    try:
        _warm_up(daemon, tmp_path_factory.mktemp("warm-up"))
        yield daemon
        n_calls = daemon.ask("status")["calls_total"]
        daemon.signal(signal.SIGTERM)
        assert daemon.exit_code() == 0
        rows = daemon.archive().calls(Wanted(limit=10_000)).rows
        assert len(rows) == n_calls and all(row["disposition"] for row in rows), "one CDR each, whatever happened"
        daemon.check_log()
    finally:
        daemon.close()


@pytest.fixture
def floor(shared_daemon: Daemon, tmp_path: Path) -> Iterator[Floor]:
    """Every test but those that start a daemon of their own."""
    floor = Floor(shared_daemon, tmp_path)
    try:
        yield floor
    finally:
        floor.close()
        for row in shared_daemon.ask("agents"):
            shared_daemon.ask("agent_logout", id=row["agent"])
    try:
        shared_daemon.until_clean()
    except AssertionError:
        for row in shared_daemon.ask("calls"):  # so that the tests after it tell of themselves
            shared_daemon.ask("hangup", id=row["call"])
        raise


@pytest.fixture
def make_floor(tmp_path: Path) -> Iterator[Callable[[Daemon], Floor]]:
    """Phones for a daemon that the test started."""
    floors: list[Floor] = []

    def make(daemon: Daemon) -> Floor:
        floors.append(Floor(daemon, tmp_path))
        return floors[-1]

    yield make
    for floor in floors:
        floor.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(**changes of switch.yaml): a daemon for this test alone."""
    daemons: list[Daemon] = []

    def start_one(**changes: Any) -> Daemon:
        daemons.append(_start(tmp_path / f"daemon-{len(daemons)}", **changes))
        return daemons[-1]

    yield start_one
    for daemon in daemons:
        daemon.close()
        daemon.check_log()
