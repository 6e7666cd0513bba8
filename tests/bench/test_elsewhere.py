"""`agner bench --against`: the generator apart from the switch, which runs on the configuration that it asks for.

On this machine's loopback; as root, `make siege` has it between two network namespaces.
"""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks.layout import CHECKOUT
from engine.control import ControlError, ask

AGNER = Path(sys.executable).with_name("agner")
SMALL = "steady --rate 5 --talk 2 --duration 3".split()


@contextlib.contextmanager
def daemon(config: Path, folder: Path, inside: Sequence[str] = ()) -> Iterator[None]:
    """`inside`: what the command line begins with, such as `ip netns exec ...`."""
    switch = config / "switch.yaml"  # its state into a folder of ours, not into this checkout's var
    switch.write_text(switch.read_text().replace("var/bench-floor", str(folder)))
    with (config / "log").open("w") as log:
        process = subprocess.Popen([*inside, AGNER, "--config", config, "run"], cwd=CHECKOUT, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(ControlError):
                ask(folder / "var" / "agner.sock", "status")
                break
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert process.returncode == 0, (config / "log").read_text()


def bench(*arguments: str, inside: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [*inside, str(AGNER), "bench", *SMALL, *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=100)


def measured(switch: str, here: str, tmp_path: Path, far: Sequence[str] = (), near: Sequence[str] = ()) -> None:
    against = ["--against", switch, "--from", here, "--output", str(tmp_path)]
    written = bench(*against, "--write-config", str(tmp_path / "config"))
    assert written.returncode == 0, written.stderr
    assert f"calls from {here}" in written.stderr and "agents   sip:200000@" in written.stderr
    with daemon(tmp_path / "config", tmp_path / "floor", far):
        done = bench(*against, inside=near)
    assert done.returncode in (0, 1), done.stderr
    result = json.loads(done.stdout.splitlines()[-1])["scenarios"]["steady"]
    assert result["switch"] == "elsewhere" and result["failed"] == {}
    assert result["n_talks"] == result["n_calls"] > 10
    assert result["rtp"]["dropped_at_switch"] is None and "engine_cores" not in result["cpu"]


@pytest.mark.live
def test_a_switch_elsewhere_is_measured_by_what_the_phones_see(tmp_path: Path) -> None:
    measured("sip:127.0.0.1:19060", "127.0.0.40", tmp_path)
