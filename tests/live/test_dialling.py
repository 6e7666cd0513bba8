"""Agents' phones dial, with the real daemon: colleagues, queues, and outside over a trunk; what they may not; no offers
meanwhile. And they send callers on: blind by baresip, attended by a phone of a few lines.
"""

import itertools
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cli.demo.phones import Baresip, Sipp
from engine.records.search import Wanted
from engine.records.store import StorageError
from tests.live import ear
from tests.live.conftest import DAEMON_PORTS
from tests.live.floor import AGNER, HOST, Daemon, until
from tests.live.phones import BARESIP_RTP, Floor, heard
from tests.live.phones import messages as sipp_messages
from tests.sip.peers import got, pause, reply, sdp
from tests.sip.peers import in_dialog_ok as ok
from tests.sip.phones import Phone

PHONE_PORTS = itertools.count(15601, 2)
OUT_PORT = 15699
PASSWORD = "right-horse-battery"
AGENTS = {"1001": ear.AGENT, "1002": ear.CALLER}
OWN_NUMBER = "057188880000"


class Phones(Floor):
    """Agents whose phones have logged in."""

    def registered(self, agent: str, **how: Any) -> Baresip:
        at = f"{HOST}:{self.daemon.port}"
        phone = Baresip(
            self._folder, agent, next(PHONE_PORTS), says=how.pop("says", AGENTS[agent]), rtp_ports=BARESIP_RTP,
            registrar=at, password=PASSWORD, **how,
        )  # fmt: skip
        self._phones.enter_context(phone)
        until(f"{agent} logged in", lambda: self.is_there(agent))
        return phone

    def is_there(self, agent: str) -> bool:
        return any(row["agent"] == agent and row["state"] == "there" for row in self.daemon.ask("phones"))

    def until_agent(self, agent: str, state: str, reason: str = "") -> None:
        def is_so() -> bool:
            row = self.daemon.agent(agent)
            return bool(row["state"] == state and (not reason or row["reason"] == reason))

        until(f"{agent} {state} {reason}", is_so)

    def outside(self, *steps: str, calls: int = 1) -> Sipp:
        """The carrier that calls go out to."""
        return self.sipp_phone(OUT_PORT, *steps, calls=calls)

    def dial(self, phone: Baresip, number: str) -> None:
        phone.dial(f"sip:{number}@{HOST}:{self.daemon.port}")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    out = {
        "from": ["127.0.0.88/32"],
        "destinations": [f"sip:{HOST}:{OUT_PORT}"],
        "probe": "off",
        "own number": OWN_NUMBER,
    }
    carrier = {"from": ["127.0.0.1/32"]}
    trunks = {"carrier": carrier, "out": out}
    how = {"keep alive": "5s", "algorithms": ["MD5"]}
    daemon = Daemon(tmp_path_factory.mktemp("dialling"), next(DAEMON_PORTS), 31000, registrar=how, trunks=trunks)
    staff = daemon.folder / "config" / "staff.yaml"
    written = yaml.safe_load(staff.read_text())
    for agent in AGENTS:
        written["agents"][int(agent)]["phone"] = "registered"
    written["agents"][1002]["queues"].append("tiny")
    staff.write_text(yaml.safe_dump(written, allow_unicode=True))
    shutil.copy(Path(__file__).parent / "dialling.yaml", daemon.folder / "config/plans/dialling.yaml")
    for agent in AGENTS:
        command = [str(AGNER), "--config", "config", "phones", "password", agent, "--stdin"]
        subprocess.run(command, cwd=daemon.folder, input=PASSWORD + "\n", check=True, capture_output=True, text=True)
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture
def floor(daemon: Daemon, tmp_path: Path) -> Iterator[Phones]:
    floor = Phones(daemon, tmp_path)
    yield floor
    floor.close()
    daemon.until_clean(within_s=15.0)
    for agent in AGENTS:
        daemon.ask("agent_logout", id=agent)


def cdrs(daemon: Daemon, **wanted: Any) -> list[dict[str, Any]]:
    """Of agent 1001's phone, complete, the newest first."""
    try:
        rows = daemon.archive().calls(Wanted(ani="1001", **wanted)).rows
    except StorageError:
        return []
    return sorted((row for row in rows if row["disposition"]), key=lambda row: str(row["call"]), reverse=True)


def cdr_after(daemon: Daemon, n: int, **wanted: Any) -> dict[str, Any]:
    """The newest, once there are more than n."""
    rows = until(f"more than {n} CDRs", lambda: len(rows := cdrs(daemon, **wanted)) > n and rows)

    def whole() -> Any:
        found = daemon.archive().call(rows[0]["call"])
        return found if found and (found["recordings"] or not found["recording"]) else None

    return dict(until("its recording", whole))


def test_a_colleague_and_no_offers_for_either_meanwhile(daemon: Daemon, floor: Phones):
    one, two = floor.registered("1001"), floor.registered("1002")
    daemon.seat("1001", "1002")
    n = len(cdrs(daemon))
    floor.dial(one, "1002")
    one.wait_for("CALL_ESTABLISHED")
    for agent in AGENTS:
        floor.until_agent(agent, "NOT_READY", "outside_call")
    floor.talk_for(1.0, "TRANSFERRED")
    one.hang_up()
    for agent in AGENTS:
        floor.until_agent(agent, "READY")
    assert {ear.CALLER} == heard(one).tones() and {ear.AGENT} == heard(two).tones()
    cdr = cdr_after(daemon, n)
    assert (cdr["kind"], cdr["agent"]) == ("internal", "1001")
    assert (cdr["disposition"], cdr["ended_by"]) == ("answered", "caller")
    assert [(s["kind"], s["agent"]) for s in cdr["segments"]] == [("offer", "1002"), ("talk", "1002")]


def test_outside_over_a_trunk_recorded_with_our_own_number(daemon: Daemon, floor: Phones):
    """The agent who talks outside is offered nothing until it is over; then the caller who waits."""
    answers = got("INVITE", check=f"From:.*sip:{OWN_NUMBER}@"), reply(180), pause(300), reply(200, sdp()), got("ACK")
    carrier = floor.outside(*answers, got("BYE"), ok())
    one = floor.registered("1001")
    daemon.seat("1001")
    n = len(cdrs(daemon))
    floor.dial(one, "057112345")
    one.wait_for("CALL_ESTABLISHED")
    caller = floor.call("4801", "100")
    daemon.until_state("QUEUED")
    floor.talk_for(1.0, "TRANSFERRED")
    assert daemon.agent("1001")["reason"] == "outside_call" and one.count("CALL_ESTABLISHED") == 1
    one.hang_up()
    one.wait_for("CALL_ESTABLISHED", 2)
    daemon.until_state("TALKING")
    caller.hang_up()
    carrier.wait()
    cdr = cdr_after(daemon, n)
    assert (cdr["kind"], cdr["trunk"], cdr["disposition"]) == ("outbound", "out", "answered")
    assert (cdr["agent"], cdr["dnis"], cdr["status"]) == ("1001", "057112345", 200)
    assert cdr["segments"][-1]["agent"] == "trunk:out/057112345"
    assert ear.AGENT in daemon.recording(cdr)[0].tones()
    assert any("180" in line for _, way, line in sipp_messages(carrier) if way == "sent")


@pytest.mark.parametrize(
    ("number", "status"),
    [("0044891234", 403), ("4711", 404), ("0049892", 200), ("1004", 404), ("1009", 404)],
    ids=["barred", "not listed", "abroad, listed", "a dead phone", "no such agent"],
)
def test_what_may_be_dialled(daemon: Daemon, floor: Phones, number: str, status: int):
    carrier = floor.outside(got("INVITE"), reply(200, sdp()), got("ACK"), got("BYE"), ok()) if status == 200 else None
    one = floor.registered("1001")
    n = len(cdrs(daemon))
    floor.dial(one, number)
    if carrier:
        one.wait_for("CALL_ESTABLISHED")
        one.hang_up()
        carrier.wait()
    one.wait_for("CALL_CLOSED")
    assert cdr_after(daemon, n)["status"] == status


def test_busy_unanswered_and_given_up(daemon: Daemon, floor: Phones):
    """The phone hears what became of it; the caller may hang up while it rings."""
    one = floor.registered("1001")
    n = len(cdrs(daemon))
    carrier = floor.outside(got("INVITE"), reply(180), reply(486), got("ACK"))
    floor.dial(one, "0571")
    one.wait_for("CALL_CLOSED")
    carrier.wait()
    cdr = cdr_after(daemon, n)
    assert (cdr["disposition"], cdr["status"], cdr["kind"]) == ("busy", 486, "outbound")
    two = floor.registered("1002", answers=False)
    floor.dial(one, "1002")
    two.wait_for("CALL_INCOMING")
    one.wait_for("CALL_CLOSED", 2)
    cdr = cdr_after(daemon, n + 1)
    assert (cdr["disposition"], cdr["status"]) == ("no_answer", 480)
    floor.dial(one, "1002")
    two.wait_for("CALL_INCOMING", 2)
    one.hang_up()
    two.wait_for("CALL_CLOSED", 2)
    cdr = cdr_after(daemon, n + 2)
    assert (cdr["disposition"], cdr["status"]) == ("caller_left", 487)


@pytest.mark.parametrize(("moved_to", "status"), [("1002", 200), ("0044891234", 503), ("4711", 503)])
def test_a_redirect_is_followed_to_what_may_be_dialled(daemon: Daemon, floor: Phones, moved_to: str, status: int):
    moved = re.sub(r"Contact: <sip:phone[^\n]*\n", "", reply(302, header=f"Contact: <sip:{moved_to}@127.0.0.66>\n"))
    carrier = floor.outside(got("INVITE"), moved, got("ACK"))
    one, two = floor.registered("1001"), floor.registered("1002")
    n = len(cdrs(daemon))
    floor.dial(one, "0571")
    carrier.wait()
    if status == 200:
        two.wait_for("CALL_ESTABLISHED")
        one.hang_up()
    one.wait_for("CALL_CLOSED")
    cdr = cdr_after(daemon, n)
    assert cdr["status"] == status and cdr["segments"][0]["status"] == 302
    assert [s["agent"] for s in cdr["segments"] if s["kind"] == "talk"] == (["1002"] if status == 200 else [])


def test_who_dials_is_not_rung_any_more(daemon: Daemon, floor: Phones):
    """The offer is taken back at once, long before its time is up, and is no failure of the agent's: the caller, still
    the first in line, is the next agent's, and the first agent ready when the own call is over."""
    one, _ = floor.registered("1001", answers=False), floor.registered("1002")
    carrier = floor.outside(got("INVITE"), reply(180), got("CANCEL"), ok(), reply(487, to_invite=True), got("ACK"))
    daemon.seat("1001")
    caller = floor.call("4920", "103")
    one.wait_for("CALL_INCOMING")
    daemon.until_state("OFFERING")
    later = floor.call("4921", "103")
    daemon.until_state("QUEUED")
    floor.dial(one, "0571")
    one.wait_for("CALL_CLOSED")
    floor.until_agent("1001", "NOT_READY", "outside_call")
    daemon.until_state("QUEUED", 2)
    daemon.seat("1002")
    floor.talk_for(0.3)
    caller.hang_up()
    later.hang_up()
    cdr = daemon.cdr("4920")
    offers = [one for one in segments(cdr) if one[0] == "offer"]
    assert offers == [("offer", "1001", "withdrawn"), ("offer", "1002", "answered")]
    at: dict[str, float] = {}
    for row in daemon.story(cdr["call"]):
        at.setdefault(row["event"], row["t"])
    assert at["OfferWithdrawn"] - at["AgentReserved"] < 15.0, "half of the queue's `ring for`"
    one.hang_up()
    carrier.wait()
    floor.until_agent("1001", "READY")


def test_a_queue_by_its_number(daemon: Daemon, floor: Phones):
    one, two = floor.registered("1001"), floor.registered("1002")
    daemon.seat("1002")
    n = len(cdrs(daemon))
    floor.dial(one, "100")
    two.wait_for("CALL_ESTABLISHED")
    floor.talk_for(0.5)
    two.hang_up()
    one.wait_for("CALL_CLOSED")
    cdr = cdr_after(daemon, n)
    assert (cdr["kind"], cdr["queue"], cdr["agent"], cdr["disposition"]) == ("internal", "support", "1002", "answered")


def test_so_many_calls_of_one_agent_and_no_more(daemon: Daemon, floor: Phones):
    one, two = floor.registered("1001"), floor.registered("1002")
    for k in (1, 2):
        floor.dial(one, "100")
        one.wait_for("CALL_ESTABLISHED", k)
    floor.dial(one, "1002")
    one.wait_for("CALL_CLOSED")
    cdr = cdr_after(daemon, 0, disposition="turned_away")
    assert cdr["status"] == 486 and two.count("CALL_ESTABLISHED") == 0
    for k in (2, 3):
        one.hang_up()
        one.wait_for("CALL_CLOSED", k)


def test_a_stranger_hears_nothing_whatever_is_dialled(daemon: Daemon, floor: Phones):
    """The phone is there, and somebody else calls in its name."""
    floor.registered("1001")
    n_calls = daemon.ask("status")["calls_total"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.9", 0))
        stranger.settimeout(0.3)
        for number in ("1002", "0571123", "00441234", "100"):
            lines = [
                f"INVITE sip:{number}@{HOST}:{daemon.port} SIP/2.0",
                f"Via: SIP/2.0/UDP 127.0.0.9:5060;rport;branch=z9hG4bK{number}",
                f"From: <sip:1001@{HOST}>;tag=1",
                f"To: <sip:{number}@{HOST}>",
                f"Call-ID: s{number}",
                "CSeq: 1 INVITE",
                "Contact: <sip:1001@127.0.0.9>",
                "Max-Forwards: 70",
                "Content-Length: 0",
            ]
            stranger.sendto("\r\n".join([*lines, "", ""]).encode(), (HOST, daemon.port))
            with pytest.raises(TimeoutError):
                stranger.recv(2048)
    assert daemon.ask("status")["calls_total"] == n_calls


# ---- transfers


def in_a_talk(floor: Phones, ani: str, number: str = "100") -> tuple[Baresip, Baresip]:
    """Agent 1001, who talks to a caller."""
    one = floor.registered("1001")
    floor.daemon.seat("1001")
    caller = floor.call(ani, number)
    floor.talk_for(0.3)
    return one, caller


def segments(cdr: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(s["kind"], s["agent"] or "", s["outcome"]) for s in cdr["segments"] if s["kind"] != "wrap_up"]


def send(floor: Phones, phone: Baresip, number: str) -> None:
    phone.ask("transfer", f"sip:{number}@{HOST}:{floor.daemon.port}")


def test_blind_to_a_colleague(daemon: Daemon, floor: Phones):
    two = floor.registered("1002", says=ear.AGENT)
    one, caller = in_a_talk(floor, "4901")
    send(floor, one, "1002")
    one.wait_for("CALL_CLOSED")
    floor.until_agent("1001", "READY")
    floor.talk_for(1.0, "TRANSFERRED")
    caller.hang_up()
    two.wait_for("CALL_CLOSED")
    cdr = daemon.cdr("4901")
    assert set(segments(cdr)) == {
        ("offer", "1001", "answered"),
        ("queue", "", "answered"),
        ("offer", "1002", "answered"),
        ("talk", "1001", "agent"),
        ("talk", "1002", "caller"),
    }
    assert (cdr["agent"], cdr["disposition"], len(cdr["recordings"])) == ("1002", "answered", 1)
    assert ear.CALLER in heard(two).tones() and ear.AGENT in heard(caller).tones()


def test_blind_to_a_queue_is_the_same_call(daemon: Daemon, floor: Phones):
    two = floor.registered("1002")
    one, caller = in_a_talk(floor, "4903")
    daemon.seat("1002")
    send(floor, one, "101")
    one.wait_for("CALL_CLOSED")
    two.wait_for("CALL_ESTABLISHED")
    floor.talk_for(0.3)
    caller.hang_up()
    two.wait_for("CALL_CLOSED")
    cdr = daemon.cdr("4903")
    assert [one[1] for one in segments(cdr) if one[0] == "talk"] == ["1001", "1002"]
    assert ear.WELCOME in heard(caller).tones()
    story = [row["event"] for row in daemon.story(cdr["call"])]
    assert "SentIntoPlan" in story


class Wire:
    """What a phone of a few lines waits by, where the room is another process."""

    endpoint = SimpleNamespace(poll=time.sleep)


@pytest.fixture
def plain(daemon: Daemon, floor: Phones) -> Iterator[Phone]:
    """Agent 1001's phone, ready. baresip 1.0 hangs up when a transfer has failed; this one does not."""
    room: Any = Wire()
    phone = Phone(room, "1001", HOST, password=PASSWORD, algorithm="MD5", to=daemon.port)
    assert phone.register()[0] == 200
    daemon.seat("1001")
    until("ready", lambda: heeding(phone, daemon.agent("1001")["state"] == "READY"))
    yield phone
    assert phone.register(0)[0] == 200
    phone.close()


def heeding(phone: Phone, is_so: bool) -> bool:
    """The phone answers what has come meanwhile."""
    phone.read()
    return is_so


@pytest.mark.parametrize(
    ("number", "told"), [("0571", "486 Busy Here"), ("0044891234", "403 Forbidden"), ("4711", "404 Not Found")]
)
def test_the_caller_is_back_where_nobody_takes_the_transfer(
    daemon: Daemon, floor: Phones, plain: Phone, number: str, told: str
):
    carrier = floor.outside(got("INVITE"), reply(180), pause(500), reply(486), got("ACK")) if number == "0571" else None
    ani = f"49{number}"
    caller = floor.call(ani, "100")
    until("picked up", lambda: heeding(plain, "ACK" in plain.methods()))
    daemon.until_state("TALKING")
    plain.refer(f"<sip:{number}@{HOST}>")
    assert plain.response("REFER")[0] == 202
    until("told", lambda: heeding(plain, f"SIP/2.0 {told}" in plain.got[-1]))
    if carrier:
        carrier.wait()
    daemon.until_state("TALKING")
    assert daemon.ask("status")["n_legs"] == 2 and daemon.agent("1001")["state"] == "TALKING"
    caller.hang_up()
    until("gone", lambda: heeding(plain, "BYE" in plain.methods()))
    cdr = daemon.cdr(ani)
    assert segments(cdr)[-1 if carrier is None else -2] == ("talk", "1001", "caller")
    assert carrier is None or ("offer", "trunk:out/0571", "busy") in segments(cdr)


def test_attended_to_a_colleague_consulted_before(daemon: Daemon, floor: Phones, plain: Phone):
    two = floor.registered("1002", says=ear.AGENT)
    one = plain
    n = len(cdrs(daemon))
    caller = floor.call("4910", "100")
    until("picked up", lambda: heeding(one, "ACK" in one.methods()))
    one.dial("1002")
    status, text = one.response("INVITE", 200)
    assert status == 401
    one.in_call("ACK", text)
    one.take_challenge(text)
    one.dial("1002", authorized=True)
    status, text = one.response("INVITE", 200)
    assert status == 200
    one.in_call("ACK", text)
    two.wait_for("CALL_ESTABLISHED")
    call_id = next(line for line in one.invite.split("\r\n") if line.startswith("Call-ID"))[9:]
    tag = next(line for line in text.split("\r\n") if line.startswith("To:")).partition(";tag=")[2]
    one.refer(f"<sip:1002@{HOST}?Replaces={call_id}%3Bto-tag%3D{tag}%3Bfrom-tag%3D{one.number}>")
    assert one.response("REFER")[0] == 202
    until("told and let go", lambda: heeding(one, one.methods().count("BYE") == 2))
    assert "SIP/2.0 200 OK" in one.last("NOTIFY")
    floor.talk_for(1.0, "TRANSFERRED")
    until("free", lambda: heeding(one, daemon.agent("1001")["state"] == "READY"))
    caller.hang_up()
    two.wait_for("CALL_CLOSED")
    cdr = daemon.cdr("4910")
    assert segments(cdr)[-2:] == [("talk", "1001", "agent"), ("talk", "1002", "caller")]
    assert ear.CALLER in heard(two).tones() and ear.AGENT in heard(caller).tones()
    own = cdr_after(daemon, n)
    assert (own["kind"], own["ended_by"], own["disposition"]) == ("internal", "agent", "answered")
