import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sip.peers import Ear, Sipp


@pytest.fixture(scope="module")
def running() -> Iterator[Ear]:
    """PJSIP is one per process, so a file of tests shares it."""
    ear = Ear()
    ear.start()
    yield ear
    ear.endpoint.close()
    assert ear.endpoint.n_legs() == 0


@pytest.fixture
def ear(running: Ear) -> Iterator[Ear]:
    """Every test ends without a leg, on our side or on PJSIP's."""
    running.heard.clear()
    yield running
    running.on_post = lambda call, event: None
    assert running.endpoint.n_legs() == 0
    running.until(lambda: running.endpoint.n_closing() <= running.n_lingering)


@pytest.fixture
def sipp(tmp_path: Path) -> Iterator[Callable[..., Sipp]]:
    started: list[Sipp] = []

    def start(*steps: str, **how: object) -> Sipp:
        started.append(Sipp(tmp_path, free_port(), *steps, **how))
        return started[-1]

    yield start
    for each in started:
        each.stop()


_next_port = 18100


def free_port() -> int:
    """One of this suite's own; SIPp takes RTP ports above it as well."""
    global _next_port
    while True:
        _next_port = 18100 + (_next_port + 4 - 18100) % 96
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", _next_port))
                return _next_port
            except OSError:
                continue
