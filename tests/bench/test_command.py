"""`agner bench` as its user meets it: the last line, what is kept, exit codes, Ctrl-C; short runs, with the daemon."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import reading

CHECKOUT = Path(__file__).resolve().parents[2]
AGNER = Path(sys.executable).with_name("agner")


begun: list[subprocess.Popen[str]] = []


def start(output: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [str(AGNER), "bench", "--output", str(output), *arguments]
    begun.append(subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return begun[-1]


@pytest.fixture(autouse=True)
def none_is_left_behind() -> Iterator[None]:
    """A run that a failed test gave up would keep its ports, and its daemon, from the next one."""
    yield
    while begun:
        bench = begun.pop()
        if bench.poll() is None:
            bench.send_signal(signal.SIGINT)
            try:
                bench.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                bench.kill()
                bench.communicate()


def last_line(output: str) -> dict[str, Any]:
    return json.loads(output.splitlines()[-1])


def test_the_last_line_is_the_result_and_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "deep"
    bench = start(kept, "steady", "--switch", "none", "--rate", "10", "--talk", "1", "--duration", "2")
    output, errors = bench.communicate(timeout=60)
    whole = last_line(output)
    assert bench.returncode == (0 if whole["passed"] else 1), errors
    result = whole["scenarios"]["steady"]
    assert json.loads((kept / "results.jsonl").read_text()) == result
    assert result["n_calls"] == result["n_talks"] == 50 and result["failed"] == {}
    assert result["rtp"]["lost"] == result["rtp"]["wire_lost"] == 0
    assert result["rtp"]["heard"] > 50 * 2 * 40
    assert {"commit", "cpu", "n_cpus", "python"} <= result["machine"].keys()
    assert ElementTree.parse(kept / "steady.svg").getroot().tag.endswith("svg")
    assert "| steady | 50 | 0 | 0 |" in (kept / "summary.md").read_text()


def test_ctrl_c_prints_what_is_known(tmp_path: Path) -> None:
    arguments = "steady start --switch none --rate 10 --talk 1 --duration 60".split()
    bench = start(tmp_path, *arguments)
    assert bench.stderr
    for line in bench.stderr:  # one each 5 s says how far it is
        if (found := re.search(r"(\d+) calls", line)) and int(found[1]) > 30:
            break
    bench.send_signal(signal.SIGINT)
    output, errors = bench.communicate(timeout=30)
    whole = last_line(output)
    assert bench.returncode == 1 and whole["interrupted"], errors
    assert list(whole["scenarios"]) == ["steady"]  # and not the next one
    assert whole["scenarios"]["steady"]["n_talks"] >= 20


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    first = start(tmp_path / "1", *"steady --switch none --rate 5 --talk 1 --duration 3".split())
    assert first.stderr
    first.stderr.readline()  # it has begun
    second = start(tmp_path / "2", "steady", "--switch", "none")
    _, errors = second.communicate(timeout=30)
    first.communicate(timeout=60)
    assert second.returncode == 2
    assert "RTP port 127.0.0.10:40000: Address already in use" in errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["stedy"], "no scenario is called 'stedy'"),
        (["--against", "sip:switch.example"], "is no address like sip:192.0.2.1:5060"),
        (["--against", "sip:127.0.0.1:19060"], "--against needs --from"),
        (["--write-config", "there"], "go with --against"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], told: str, tmp_path: Path) -> None:
    bench = start(tmp_path, *arguments)
    _, errors = bench.communicate(timeout=30)
    assert bench.returncode == 2 and told in errors


def test_a_mistake_in_a_scenario_has_its_place(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("says: mine\ncallers: { a secnd: 20 }\n")
    bench = start(tmp_path, str(file))
    _, errors = bench.communicate(timeout=30)
    assert bench.returncode == 2
    assert f"{file}:2:12: unknown key 'a secnd' in callers (a second?)" in errors


@pytest.mark.live
def test_a_daemon_that_dies_is_told_and_nothing_is_measured(tmp_path: Path) -> None:
    bench = start(tmp_path, *"steady --rate 5 --talk 1 --duration 30".split())
    assert bench.stderr
    for line in bench.stderr:
        if (found := re.search(r"(\d+) calls", line)) and int(found[1]) > 5:
            break
    (daemon,) = [int(pid) for pid in children(bench.pid)]
    os.kill(daemon, signal.SIGKILL)
    _, errors = bench.communicate(timeout=60)
    assert bench.returncode == 2 and "the daemon died" in errors


@pytest.mark.live
def test_a_run_that_is_killed_leaves_no_daemon(tmp_path: Path) -> None:
    bench = start(tmp_path, *"steady --rate 5 --talk 1 --duration 30".split())
    assert bench.stderr
    bench.stderr.readline()  # calls come in
    (daemon,) = children(bench.pid)
    bench.kill()
    bench.communicate()
    until = time.monotonic() + 20
    while Path(f"/proc/{daemon}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{daemon}").exists()


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


# What each scenario is made smaller by, so that it still meets all that it is about.
SMALL = {
    "churn": "--rate 8 --talk 1 --duration 5 --agents 30",
    "fail-over": "--rate 5 --talk 1 --duration 5",
    "few-wait": "--duration 3",
    "full-house": "--calls 20 --rate 20 --talk 1 --agents 4 --duration 4",
    "long-talks": "--rate 5 --talk 2 --duration 2",
    "mixed-day": "--rate 6 --talk 1 --duration 4",
    "music": "--rate 5 --talk 2 --duration 2",
    "rush": "--calls 25 --rate 20 --agents 15 --duration 3",
    "short-calls": "--rate 20 --duration 2",
    "spot": "--rate 10 --talk 2 --duration 2 --agents 5",
    "start": "--rate 5 --duration 2",
    "steady": "--rate 5 --talk 2 --duration 3",
}


def test_every_scenario_is_run_here() -> None:
    assert sorted(SMALL) == reading.known()


@pytest.mark.live
@pytest.mark.parametrize("name", SMALL)
def test_a_scenario_on_the_daemon(name: str, tmp_path: Path) -> None:
    bench = start(tmp_path, name, *SMALL[name].split())
    output, errors = bench.communicate(timeout=110)
    assert bench.returncode in (0, 1), errors
    result = last_line(output)["scenarios"][name]
    # A machine that stands still makes audio late; the run says so itself, and then judges nothing but the calls.
    assert result["failed"] == {} or result["verdict"]["doubts"], result["failed"]
    assert result["left_behind"] == {} and result["wrong_assignments"] == []
    assert result["n_calls"] > 5
    records = result["records"]
    assert (records["missing"], records["surplus"], records["open"]) == (0, 0, 0)
    faults = ("missing", "unreadable", "not_stereo")
    assert "recordings" not in result or [result["recordings"][fault] for fault in faults] == [0, 0, 0]
    _see_what_it_is_about(name, result)


def _see_what_it_is_about(name: str, result: dict[str, Any]) -> None:
    """A scenario that runs well, but not into what it is for, tests nothing."""
    if name in ("few-wait", "full-house", "rush", "spot"):
        assert result["agent_free_to_invite_ms"]["n"] > 0 and result["n_served_later_first"] == 0
    elif name == "music":
        assert result["n_talks"] == 0 and result["cpu"]["waiting_s"] > 0
    elif name == "fail-over":  # after the first destination fell silent, a second passes before the next is tried
        assert result["invite_to_agent_invite_ms"]["max"] > 900
    elif name == "mixed-day":
        assert result["n_talks"] < result["n_calls"]  # some were served by the menu
    elif name == "churn":
        assert result["records"]["dispositions"].keys() > {"answered"}
    else:
        assert result["n_talks"] == result["n_calls"]
