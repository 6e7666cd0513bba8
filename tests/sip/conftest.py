"""Fixtures of the SIP room's tests: one endpoint, an ear for its events, SIPp on the far side."""

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sip.peers import Ear, Rtp, Sipp


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
    running.until(lambda: running.endpoint.n_closing() == 0)


@pytest.fixture
def sipp(tmp_path: Path) -> Iterator[Callable[..., Sipp]]:
    started: list[Sipp] = []

    def start(*steps: str, port: int = 0, **how: Any) -> Sipp:
        started.append(Sipp(tmp_path, port or free_port(), *steps, **how))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def rtp() -> Iterator[Rtp]:
    rtp = Rtp()
    yield rtp
    rtp.close()


_ports = itertools.cycle(range(18100, 18390, 8))  # SIPp binds media ports up to 5 above its own


def free_port() -> int:
    """One of this suite's own."""
    for port in _ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")
