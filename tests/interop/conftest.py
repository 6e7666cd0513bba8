"""`house`: phones of one test at the daemon of its module, which the module's fixture `daemon` sets up and starts.
After the test nothing may be left in the daemon.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.house import AGENTS, House, settle
from tests.live.floor import Daemon


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Daemon]]:
    """settled(**changes of switch.yaml): the module's daemon."""
    daemons: list[Daemon] = []

    def make(**changes: Any) -> Daemon:
        daemons.append(settle(tmp_path_factory.mktemp("house") / "here", **changes))
        daemons[-1].start()
        return daemons[-1]

    yield make
    for daemon in daemons:
        daemon.close()
        daemon.check_log()


@pytest.fixture
def house(daemon: Daemon, tmp_path: Path) -> Iterator[House]:
    house = House(daemon, tmp_path)
    try:
        yield house
    finally:
        house.close()
        for agent in AGENTS:
            daemon.ask("agent_logout", id=str(agent))
    daemon.until_clean()
