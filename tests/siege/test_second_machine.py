"""The load generator on a machine of its own: two network namespaces, joined by a pair of Ethernet devices. Root's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.test_elsewhere import measured
from tests.siege.wire import run

SWITCH, GENERATOR = "10.56.0.1", "10.56.0.2"


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    assert os.geteuid() == 0, "network namespaces are made by root: run this as root"
    names = (f"agner-switch-{os.getpid()}", f"agner-bench-{os.getpid()}")
    try:
        for name in names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for name, address in zip(names, (SWITCH, GENERATOR), strict=True):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        yield names
    finally:
        for name in names:
            run("ip", "netns", "del", name)


@pytest.mark.siege
def test_the_generator_measures_a_switch_on_another_machine(machines: tuple[str, str], tmp_path: Path) -> None:
    far, near = (["ip", "netns", "exec", name] for name in machines)
    measured(f"sip:{SWITCH}:5060", GENERATOR, tmp_path, far, near)
