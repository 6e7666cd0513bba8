"""The commands that look at the floor, over a real control socket."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from cli.top import board
from tests.cli.conftest import AGENTS, CALLS, QUEUES, ROOT, STATUS


def row_with(text, word):
    (line,) = (line for line in text.splitlines() if word in line)
    return line.split()


def test_queues(agner, floor):
    shown = agner("queues")
    assert shown.exit_code == 0
    assert "longest wait (s)" in shown.stdout and "SL (%)" in shown.stdout
    numbers = ["20", "41.3", "2", "1", "0", "0", "0", "1", "9", "5", "2", "1", "62.5", "80/20", "7.8"]
    assert row_with(shown.stdout, "support") == ["support", *numbers]
    assert row_with(shown.stdout, "sales")[-1] == "80/20"


def test_a_narrow_terminal_gets_what_matters_most():
    written = io.StringIO()
    screen = Console(width=80, file=written)
    screen.print(board({"status": STATUS, "queues": QUEUES, "agents": AGENTS, "calls": CALLS}, screen.width))
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("support" in line and line.split()[:3] == ["support", "20", "41.3"] for line in lines)
    assert any(line.split() == ["amy", "Amy", "Ding", "ready", "12.3", "support"] for line in lines)


def test_agents(agner, floor):
    shown = agner("agents")
    assert row_with(shown.stdout, "Amy") == "amy Amy Ding ready 12.3 support billing:3 sip:amy@127.0.0.1:6001".split()
    assert "Bob [red]Li" in shown.stdout and "not ready" in shown.stdout and "support sales" in shown.stdout


@pytest.mark.parametrize(
    ("words", "verb", "arguments"),
    [
        (("login", "amy"), "agent_login", {"id": "amy"}),
        (("logout", "amy"), "agent_logout", {"id": "amy"}),
        (("ready", "amy"), "agent_ready", {"id": "amy"}),
        (("not-ready", "amy", "--reason", "lunch"), "agent_not_ready", {"id": "amy", "reason": "lunch"}),
    ],
)
def test_agents_are_told(agner, floor, words, verb, arguments):
    done = agner("agents", *words)
    assert done.exit_code == 0 and floor.told == [(verb, arguments)]
    assert done.stdout.startswith("amy: NOT READY")


def test_several_agents_at_once(agner, floor):
    done = agner("agents", "login", "amy", "bob", "--json")
    assert [row["agent"] for row in json.loads(done.stdout)] == ["amy", "bob"]
    assert [told[1]["id"] for told in floor.told] == ["amy", "bob"]


def test_calls(agner, floor):
    shown = agner("calls")
    assert row_with(shown.stdout, "c7 ")[:6] == ["c7", "carrier", "+861380007", "4001", "queued", "8.5"]
    assert "\x1b" not in shown.stdout and "[bold]evil" in shown.stdout


def test_one_call(agner, floor):
    shown = agner("calls", "show", "c1")
    assert row_with(shown.stdout, "answered") == ["answered", "(s)", "2.2"]
    assert row_with(shown.stdout, "legs") == ["legs", "leg", "4", "offer", "0"]
    assert json.loads(agner("calls", "show", "c1", "--json").stdout)["plan"] == "main"


def test_hangup_is_done_in_somebody_s_name(agner, floor):
    assert agner("calls", "hangup", "c1", "--by", "night shift").exit_code == 0
    assert floor.told == [("hangup", {"id": "c1", "by": "night shift"})]


@pytest.mark.parametrize(("words", "rows"), [(("queues",), QUEUES), (("agents",), AGENTS), (("calls",), CALLS)])
def test_json_is_one_document_with_all_that_the_daemon_said(agner, floor, words, rows):
    assert json.loads(agner(*words, "--json").stdout) == rows


@pytest.mark.parametrize(
    "words", [("calls", "show", "nobody"), ("calls", "hangup", "nobody"), ("agents", "ready", "zoe")]
)
def test_a_refusal_is_exit_code_1_with_the_reason(agner, floor, words):
    refused = agner(*words)
    assert refused.exit_code == 1 and "here" in refused.stderr and not refused.stdout


@pytest.mark.parametrize("words", [("queues",), ("agents",), ("calls",), ("top", "--once"), ("agents", "login", "amy")])
def test_no_daemon_is_exit_code_3(agner, words):
    refused = agner(*words)
    assert refused.exit_code == 3 and "no daemon" in refused.stderr and "agner run" in refused.stderr


def test_a_socket_left_by_a_killed_daemon_is_no_daemon(agner, folder):
    import socket

    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "var" / "agner.sock"))
    assert agner("queues").exit_code == 3


def test_a_bad_configuration_is_exit_code_2(agner, folder):
    (folder / "config").unlink()
    (folder / "config").mkdir()
    assert agner("queues").exit_code == 2


def test_top_shows_one_frame(agner, floor):
    frame = agner("top", "--once")
    assert frame.exit_code == 0
    assert "up 1:01:01" in frame.stdout and "3.5 calls/s" in frame.stdout and "Waiting: 20" in frame.stdout
    assert [line.split()[1] for line in frame.stdout.splitlines() if "+86138" in line][:3] == ["1", "2", "3"]
    assert "... 5 more" in frame.stdout and "Other calls: 1" in frame.stdout
    assert "storage does not" not in frame.stdout
    floor.status.update(storage_ok=False, recordings_ok=False, draining=True, trace_dropped=7)
    frame = agner("top", "--once")
    assert "recordings lose audio" in frame.stdout
    assert "storage does not take records" in frame.stdout and "draining" in frame.stdout and "7 lines" in frame.stdout


def test_top_prints_frames_where_there_is_no_terminal(agner, floor, folder):
    program = [sys.executable, "-m", "cli.main", "top", "--every", "0.1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    watched = subprocess.Popen(
        program, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # ignored in what a shell has put into the background, these tests too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    n_frames, end = 0, time.monotonic() + 20
    try:
        while n_frames < 3 and time.monotonic() < end:
            assert watched.stdout
            n_frames += b"calls/s" in watched.stdout.readline()
    finally:
        watched.send_signal(signal.SIGINT)
        _, error = watched.communicate(timeout=60)
    assert n_frames == 3 and watched.returncode == 0, error


def test_the_shell_completes_ids_from_the_daemon(folder, floor):
    def complete(*words):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_AGNER_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        code = "from cli.main import main; main(prog_name='agner')"
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("agner", "agents", "login", "a") == ["amy"]
    assert complete("agner", "calls", "hangup", "c9") == ["c9", "c99"]
