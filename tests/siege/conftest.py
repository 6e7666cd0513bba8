"""`ground`: the daemon under siege, one for all tests that leave it as it was; and the marks that all of them have."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.records.search import Wanted
from tests.live.floor import Daemon
from tests.live.phones import Floor
from tests.siege.ground import besiege

UNANSWERED_S = 75.0  # no ACK for 32 s, then no answer to our BYE for 32 s (RFC 3261 sections 13.3.1.4, 17.1.2.2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = besiege(tmp_path_factory.mktemp("ground"))
    try:
        daemon.start()
        yield daemon
        assert daemon.is_alive(), daemon.log()[-3000:]
    finally:
        daemon.close()


@pytest.fixture
def ground(besieged: Daemon, tmp_path: Path) -> Iterator[Floor]:
    """The daemon with phones of one test; after it nothing may be left in the daemon."""
    floor = Floor(besieged, tmp_path)
    try:
        yield floor
    finally:
        floor.close()
        for agent in ("1001", "1002", "1003"):
            besieged.ask("agent_logout", id=agent)
    besieged.until_clean(within_s=UNANSWERED_S)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """own(**changes of switch.yaml): a daemon for this test alone, started; at its end it has one CDR a call."""
    daemons: list[Daemon] = []

    def start(**changes: Any) -> Daemon:
        daemons.append(besiege(tmp_path / f"daemon-{len(daemons)}", **changes))
        daemons[-1].start()
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.close()


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


def one_cdr_each(daemon: Daemon) -> None:
    """As many CDRs as there were calls, each complete, none twice. No call may be in progress."""
    n_calls = daemon.ask("status")["calls_total"]
    rows = daemon.archive().calls(Wanted(limit=1_000_000)).rows
    assert len(rows) == len({row["call"] for row in rows}) == n_calls
    assert all(row["disposition"] for row in rows)
