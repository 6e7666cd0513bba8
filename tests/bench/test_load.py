"""`make bench` as its user meets it: the last line, the exit code, Ctrl-C; short runs, one with the real daemon."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def start(results: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.load", "--results", str(results), *arguments]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def last_line(output: str) -> dict[str, Any]:
    return json.loads(output.splitlines()[-1])


def test_the_last_line_is_the_result_and_is_kept(tmp_path: Path) -> None:
    results = tmp_path / "deep" / "results.jsonl"
    bench = start(results, "--direct", "--conversations", "10", "--rate", "10", "--seconds", "2")
    output, errors = bench.communicate(timeout=60)
    result = last_line(output)
    assert bench.returncode == (0 if result["verdict"]["passed"] else 1), errors
    assert json.loads(results.read_text()) == result
    steady = result["steady"]
    assert steady["n_calls"] == steady["n_talks"] == 50 and steady["failed"] == {}
    assert steady["rtp"]["lost"] == steady["rtp"]["wire_lost"] == 0
    assert steady["rtp"]["heard"] > 50 * 2 * 40
    assert {"commit", "cpu", "n_cpus", "python"} <= result["machine"].keys()


def test_ctrl_c_prints_what_is_known(tmp_path: Path) -> None:
    bench = start(tmp_path / "results.jsonl", "--direct", "--conversations", "20", "--rate", "10", "--seconds", "60")
    time.sleep(6)
    bench.send_signal(signal.SIGINT)
    output, errors = bench.communicate(timeout=30)
    result = last_line(output)
    assert bench.returncode == 1 and result["interrupted"], errors
    assert result["steady"]["n_talks"] >= 10


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    first = start(tmp_path / "results.jsonl", "--direct", "--conversations", "5", "--rate", "5", "--seconds", "3")
    time.sleep(2)
    second = start(tmp_path / "results.jsonl", "--direct")
    _, errors = second.communicate(timeout=30)
    first.communicate(timeout=60)
    assert second.returncode == 2
    assert "RTP port 127.0.0.10:40000: Address already in use" in errors


@pytest.mark.live
def test_the_daemon_under_a_light_load(tmp_path: Path) -> None:
    arguments = "--conversations 10 --rate 5 --seconds 3 --surplus-agents 4 --surplus-seconds 3".split()
    bench = start(tmp_path / "results.jsonl", *arguments)
    output, errors = bench.communicate(timeout=110)
    assert bench.returncode in (0, 1), errors
    result = last_line(output)
    for name in ("steady", "surplus"):
        seen = result[name]
        # A machine that stands still makes audio late; the run says so itself, and then judges nothing but the calls.
        assert seen["failed"] == {} or result["verdict"]["doubts"]
        assert seen["left_behind"] == {}
        assert seen["n_talks"] == seen["n_calls"] > 10
    assert result["surplus"]["agent_free_to_invite_ms"]["n"] > 0
    assert result["surplus"]["n_served_later_first"] == 0
    n_calls = result["steady"]["n_calls"] + result["surplus"]["n_calls"]
    assert result["records"]["dispositions"] == {"answered": n_calls}
    assert result["recordings"]["files"] == n_calls
    assert [result["recordings"][fault] for fault in ("missing", "unreadable", "not_stereo")] == [0, 0, 0]
