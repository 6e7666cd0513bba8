"""IPv6 beside IPv4: callers and agents' phones of either, and each with the other."""

import functools
from pathlib import Path

import pytest
import yaml

from tests.live.conftest import DAEMON_PORTS, RTP_PORTS
from tests.live.ear import AGENT, CALLER
from tests.live.floor import HOST, Daemon, until
from tests.live.phones import AGENT_PORTS, Floor
from tests.live.voice import Voice
from tests.sip.peers import got, in_dialog_ok, invite, reply, request, sdp

V6 = "::1"
V6_AGENT, V6_PHONE = "1006", 15106


@pytest.fixture(scope="module")
def dual(tmp_path_factory):
    """A daemon at both, whose agent 1006 has a phone at ::1."""
    folder: Path = tmp_path_factory.mktemp("dual")
    sip = {"address": [HOST, V6], "rtp timeout": "5s"}
    daemon = Daemon(folder, next(DAEMON_PORTS), next(RTP_PORTS), sip=sip, trunks={"carrier": {"from": [HOST, V6]}})
    staff = yaml.safe_load((folder / "config/staff.yaml").read_text())
    phone = {"phone": f"sip:{V6_AGENT}@[{V6}]:{V6_PHONE}", "skills": {"english": 90}, "queues": ["support"]}
    staff["agents"][int(V6_AGENT)] = phone
    (folder / "config/staff.yaml").write_text(yaml.safe_dump(staff))
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture
def floor(dual, tmp_path):
    floor = Floor(dual, tmp_path)
    yield floor
    floor.close()
    for row in dual.ask("agents"):
        dual.ask("agent_logout", id=row["agent"])
    dual.until_clean()


def body(address: str, port: int) -> str:
    """An SDP with its audio there."""
    kind = "IP6" if ":" in address else "IP4"
    text = sdp(port=str(port)).replace("[media_ip]", address).replace("[local_ip]", address)
    return text.replace("IN IP4", f"IN {kind}")


def both_sdps(log: Path) -> str:
    text = log.read_text()
    return text if text.count("m=audio") >= 2 else ""


def far(address: str) -> str:
    return f"[{address}]" if ":" in address else address


ALL = [(a, b) for a in (HOST, V6) for b in (HOST, V6)]


@pytest.mark.parametrize(("caller", "agent"), ALL, ids=[f"{a} calls {b}" for a, b in ALL])
def test_they_hear_each_other(floor, caller, agent):
    daemon, ani = floor.daemon, f"67{ALL.index((caller, agent)):02}"
    who, port = (V6_AGENT, V6_PHONE) if agent == V6 else ("1001", AGENT_PORTS["1001"])
    with Voice(CALLER, caller) as calling, Voice(AGENT, agent) as answering:
        answers = (got("INVITE"), reply(180), reply(200, body(agent, answering.port)), got("ACK"))
        phone = floor.sipp_phone(port, *answers, got("BYE"), in_dialog_ok(), address=agent)
        daemon.seat(who)
        steps = (got(100, True), got(180, True), got(200), request("ACK"), got("BYE"), in_dialog_ok())
        to = f"{far(caller)}:{daemon.port}"
        out = floor.sipp_calls("100", ani, invite(body(caller, calling.port)), *steps, address=caller, to=to)
        daemon.until_state("TALKING")
        for voice, address, party in ((calling, caller, out), (answering, agent, phone)):
            log = party.folder / "messages.log"
            voice.speak_to(address, until("both SDPs", functools.partial(both_sdps, log)))
        floor.talk_for(2.0)
        (row,) = daemon.ask("calls")
        daemon.ask("hangup", id=row["call"])
        cdr = daemon.cdr(ani)
        out.wait(), phone.wait()
    assert (cdr["disposition"], cdr["agent"], cdr["trunk"]) == ("answered", who, "carrier")
    assert AGENT in calling.heard().tones() and CALLER in answering.heard().tones()
    left, right = daemon.recording(cdr)
    assert left.tones() == {CALLER} and AGENT in right.tones()
    for party, address in ((out, caller), (phone, agent)):
        told = (party.folder / "messages.log").read_text()
        assert f"c=IN {'IP6' if ':' in address else 'IP4'} {address}" in told
        assert f"Contact: <sip:agner@{far(address)}:{daemon.port}" in told


def test_audio_may_come_over_the_other_family_than_signalling(floor):
    """A proxy on IPv6 in front of gateways on IPv4, as the SDP says."""
    with Voice(CALLER, HOST) as calling:
        steps = (got(100, True), got(180, True), got(200), request("ACK"), got("BYE"), in_dialog_ok())
        to = f"[{V6}]:{floor.daemon.port}"
        floor.sipp_calls("101", "6710", invite(body(HOST, calling.port)), *steps, address=V6, to=to)
        floor.talk_for(1.0, "QUEUED")
        (row,) = floor.daemon.ask("calls")
        floor.daemon.ask("hangup", id=row["call"])
        floor.daemon.cdr("6710")
    assert calling.heard().tones(), "the prompt"
