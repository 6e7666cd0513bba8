"""Phones that log in to the real daemon: baresip over UDP and TCP, and SIPp with its own digest; called, gone, back,
and found again by a daemon that was killed.
"""

import itertools
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.demo.phones import Baresip
from tests.live.conftest import DAEMON_PORTS
from tests.live.floor import AGNER, HOST, Daemon, until
from tests.live.phones import BARESIP_RTP

PHONE_PORTS = itertools.count(15501, 2)
PASSWORD = "right-horse-battery"  # baresip 1.0 gives up where SHA-256 is offered


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    how = {"keep alive": "5s", "gone after": 1, "algorithms": ["MD5"]}
    daemon = Daemon(tmp_path / "daemon", next(DAEMON_PORTS), 30000, registrar=how)
    staff = daemon.folder / "config" / "staff.yaml"
    written = yaml.safe_load(staff.read_text())
    written["agents"][1001]["phone"] = "registered"
    staff.write_text(yaml.safe_dump(written, allow_unicode=True))
    agner(daemon, "phones", "password", "1001", "--stdin", says=PASSWORD + "\n")
    daemon.start()
    yield daemon
    daemon.close()


def agner(daemon: Daemon, *words: str, says: str = "") -> str:
    command = [str(AGNER), "--config", "config", *words]
    done = subprocess.run(command, cwd=daemon.folder, input=says, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def phone(daemon: Daemon, folder: Path, password: str = PASSWORD, **how: Any) -> Baresip:
    at = f"{HOST}:{daemon.port}"
    return Baresip(folder, "1001", next(PHONE_PORTS), rtp_ports=BARESIP_RTP, registrar=at, password=password, **how)


def row(daemon: Daemon) -> dict[str, Any]:
    (found,) = daemon.ask("phones")
    return dict(found)


def is_there(daemon: Daemon) -> bool:
    return bool(row(daemon)["state"] == "there")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_baresip_logs_in_is_called_goes_and_comes_back(daemon: Daemon, make_floor, tmp_path: Path, transport: str):
    daemon.seat("1001")
    assert daemon.agent("1001")["reason"] == "phone_gone"
    with phone(daemon, tmp_path / "a", transport=transport):
        until("logged in", lambda: is_there(daemon))
        found = row(daemon)
        assert "baresip" in found["user_agent"] and found["source"].endswith(f"/{transport}")
        assert "1001" in agner(daemon, "phones") and "baresip" in agner(daemon, "phones", "--json")
        until("ready", lambda: daemon.agent("1001")["state"] == "READY")
        floor = make_floor(daemon)
        caller = floor.call("4711", "101")
        daemon.until_state("TALKING")
        caller.hang_up()
        assert daemon.cdr("4711")["agent"] == "1001"
        floor.close()
        until("a round trip", lambda: row(daemon).get("rtt_ms"))
    until("it has logged out", lambda: row(daemon)["state"] in ("missing", "gone"))
    until("no calls", lambda: daemon.agent("1001")["reason"] == "phone_gone")


def test_a_killed_daemon_finds_the_phone_again(daemon: Daemon, make_floor, tmp_path: Path):
    with phone(daemon, tmp_path / "a"):
        until("logged in", lambda: is_there(daemon))
        contact = row(daemon)["contact"]
        daemon.signal(signal.SIGKILL)
        daemon.exit_code()
        daemon.start()
        assert row(daemon)["contact"] == contact and is_there(daemon)
        daemon.seat("1001")
        until("ready", lambda: daemon.agent("1001")["state"] == "READY")
        floor = make_floor(daemon)
        floor.call("4712", "101")
        daemon.until_state("TALKING")
        floor.close()


def test_a_phone_that_is_killed_gets_no_calls(daemon: Daemon, tmp_path: Path):
    daemon.seat("1001")
    one = phone(daemon, tmp_path / "a")
    until("ready", lambda: daemon.agent("1001")["state"] == "READY")
    one._process.kill()
    until("gone", lambda: row(daemon)["state"] == "gone", 15.0)
    assert daemon.agent("1001")["reason"] == "phone_gone"
    one.close()


def test_a_wrong_password_and_a_new_one(daemon: Daemon, tmp_path: Path):
    with phone(daemon, tmp_path / "a", password="not-this-one-at-all"):
        until("refused", lambda: "wrong password" in daemon.log())
        assert row(daemon)["state"] == "missing"
    told = agner(daemon, "phones", "password", "1001", "--generate")
    with phone(daemon, tmp_path / "b", password=told.rpartition(" ")[2].strip()):
        until("logged in", lambda: is_there(daemon))


REGISTER = """<send><![CDATA[

REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:1001@[remote_ip]>;tag=[call_number]
To: <sip:1001@[remote_ip]>
Call-ID: [call_id]
CSeq: {cseq} REGISTER
Contact: <sip:1001@[local_ip]:[local_port]>
Expires: 300
Max-Forwards: 70
User-Agent: SIPp
{more}Content-Length: 0

]]></send>
"""


def test_sipp_with_its_own_digest(daemon: Daemon, tmp_path: Path):
    scenario = tmp_path / "register.xml"
    steps = [
        REGISTER.format(cseq=1, more=""),
        '<recv response="401" auth="true"/>',
        REGISTER.format(cseq=2, more=f"[authentication username=1001 password={PASSWORD}]\n"),
        '<recv response="200"/>',
    ]
    scenario.write_text('<?xml version="1.0"?><scenario name="r">' + "".join(steps) + "</scenario>")
    port = str(next(PHONE_PORTS))
    command = ["sipp", f"{HOST}:{daemon.port}", "-sf", str(scenario), "-i", HOST, "-p", port, "-m", "1", "-nostdin"]
    done = subprocess.run([*command, "-timeout", "10"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout[-2000:]
    assert row(daemon)["user_agent"] == "SIPp"


def test_what_the_command_refuses(daemon: Daemon):
    for words, says in ((("1002", "--stdin"), PASSWORD), (("1001", "--stdin"), "short"), (("4711", "--generate"), "")):
        command = [str(AGNER), "--config", "config", "phones", "password", *words]
        done = subprocess.run(command, cwd=daemon.folder, input=says + "\n", capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and "agner:" in done.stderr
