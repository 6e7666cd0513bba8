"""The daemon's own beginning and end: mistakes told at start, the drain, a crash, and what is on disk afterwards."""

import os
import signal
import socket
import stat
import time

import pytest
import soundfile

from engine.records.search import Wanted
from tests.live.ear import AGENT, CALLER, Sound
from tests.live.floor import HOST, Daemon, until
from tests.sip.peers import got, request


def talk(floor):
    """A caller and an agent in talk, for a second."""
    agent = floor.agent()
    caller = floor.call("6401", "100")
    floor.talk_for(1.0)
    return caller, agent


def assert_complete(daemon):
    """Every CDR is written, and every recording has its row and is a whole file."""
    rows = daemon.archive().calls(Wanted()).rows
    assert all(row["disposition"] for row in rows)
    recordings = daemon.archive().recordings(Wanted()).rows
    assert {row["recording"] for row in rows if row["recording"]} == {row["path"] for row in recordings}
    for row in recordings:
        info = soundfile.info(daemon.folder / "var/recordings" / row["path"])
        assert info.duration == pytest.approx(row["seconds"], abs=0.001)
    return rows


# ---- SIGTERM


def test_drain_lets_talks_finish(start, make_floor):
    daemon = start(limits={"drain": "20s"})
    floor = make_floor(daemon)
    caller, agent = talk(floor)
    daemon.signal(signal.SIGTERM)
    until("draining", lambda: daemon.ask("status")["draining"])
    floor.sipp_calls("100", "6402", got(100, True), got(503, check="Retry-After: 10"), request("ACK")).wait()
    assert daemon.ask("calls")[0]["state"] == "TALKING" and daemon.is_alive()
    agent.hang_up()
    assert daemon.exit_code() == 0
    caller.wait_for("CALL_CLOSED")
    dispositions = {row["ani"]: (row["disposition"], row["ended_by"]) for row in assert_complete(daemon)}
    assert dispositions == {"6401": ("answered", "agent"), "6402": ("turned_away", "switch")}
    assert not daemon.socket.exists()


def test_drain_ends_what_is_left_at_its_limit(start, make_floor):
    daemon = start(limits={"drain": "1s"}, recording={"format": "flac"})
    floor = make_floor(daemon)
    caller, agent = talk(floor)
    waiting = floor.call("6403", "103")
    daemon.until_state("QUEUED")
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    for phone in (caller, agent, waiting):
        phone.wait_for("CALL_CLOSED")
    assert 0.9 < time.monotonic() - began < 3.0
    assert daemon.exit_code() == 0
    ends = {row["ani"]: (row["disposition"], row["ended_by"]) for row in assert_complete(daemon)}
    assert ends == {"6401": ("answered", "shutdown"), "6403": ("hung_up", "shutdown")}
    left, right = daemon.recording(daemon.cdr("6401"))
    assert (left.tones(), right.tones()) == ({CALLER}, {AGENT}), "FLAC"


def test_second_signal_ends_the_drain(start, make_floor):
    daemon = start(limits={"drain": "60s"})
    talk(make_floor(daemon))
    daemon.signal(signal.SIGTERM)
    until("draining", lambda: daemon.ask("status")["draining"])
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code(within_s=8) == 0
    assert_complete(daemon)


# ---- kill -9


def crashed_in_mid_call(daemon, floor):
    """kill -9 after three seconds of talk: the recording plays up to the last second, whatever its format."""
    talk(floor)
    floor.talk_for(3.0)
    (call,) = daemon.ask("calls")
    daemon.signal(signal.SIGKILL)
    assert daemon.exit_code() == -signal.SIGKILL
    floor.close()
    (path,) = (path for path in (daemon.folder / "var/recordings").rglob("*.*") if path.is_file())
    left, right = Sound.read(path, 0), Sound.read(path, 1)
    assert left.seconds > call["age_s"] - 1.0
    assert left.tones() == {CALLER} and right.tones() == {AGENT}
    assert left.span(CALLER)[1] > left.seconds - 0.1 and right.span(AGENT)[1] > right.seconds - 0.1
    return path


def test_crash_in_mid_call(start, make_floor):
    """The next run closes the CDR, which finds the recording, and the one after it leaves it alone."""
    daemon = start()
    path = crashed_in_mid_call(daemon, make_floor(daemon))
    for _ in range(2):
        daemon.start()
        cdr = daemon.cdr("6401")
        assert (cdr["disposition"], cdr["ended_by"]) == ("crashed", "switch")
        assert path == daemon.folder / "var/recordings" / cdr["recording"]
        daemon.signal(signal.SIGTERM)
        assert daemon.exit_code() == 0
    assert daemon.log().count("marked as crashed") == 1


def test_crash_in_mid_call_with_flac(start, make_floor):
    daemon = start(recording={"format": "flac"})
    assert crashed_in_mid_call(daemon, make_floor(daemon)).suffix == ".flac"


# ---- start


def test_every_mistake_is_told_at_once(tmp_path):
    """A port taken by another, a folder that cannot be written, a prompt that is missing, more calls than PJSIP holds:
    one run, exit code 2."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        daemon = Daemon(
            tmp_path / "daemon", port, 30000,
            sip={"rtp ports": "1024-65535"},
            limits={"max calls": 15_000},
            recording={"folder": "in-the-way/recordings"},
        )  # fmt: skip
        (daemon.folder / "in-the-way").write_text("a file, not a folder")
        (daemon.folder / "prompts/en/sorry.wav").unlink()
        daemon.launch()
        assert daemon.exit_code() == 2
    told = daemon.log()
    assert f"{HOST}:{port} cannot be opened" in told
    assert "in-the-way/recordings: not a folder that can be written" in told
    assert "prompts/en/sorry.wav is missing" in told
    assert "PJSUA_MAX_CALLS" in told
    assert "Traceback" not in told


def test_second_daemon_in_the_same_folder(shared_daemon):
    second = Daemon(shared_daemon.folder, shared_daemon.port + 400, 31000)
    second.launch()
    assert second.exit_code() == 2
    assert "another daemon is running here" in shared_daemon.log()
    assert shared_daemon.ask("status")["n_calls"] == 0, "the first is unharmed"


def test_control_socket_is_the_users_alone(shared_daemon):
    assert stat.S_IMODE(os.stat(shared_daemon.socket).st_mode) == 0o600
