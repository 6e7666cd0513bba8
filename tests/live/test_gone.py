"""Callers who go, in every state of a call, and messages that are lost on the way: one CDR each, and nothing stays."""

import signal
import socket
import time

import pytest

from tests.live.ear import WELCOME
from tests.live.floor import HOST, until
from tests.live.phones import AGENT_PORTS, ANSWERED, ANSWERS, DESK_PORT, hangs_up_after
from tests.sip.peers import got, pause, reply
from tests.sip.peers import in_dialog_ok as ok

TIMER_H_S = 32  # RFC 3261 section 17: 64 * T1, the longest that a lost message can keep a leg


def outcomes(cdr, kind):
    return [one["outcome"] for one in cdr["segments"] if one["kind"] == kind]


def test_while_a_prompt_plays(floor):
    calling = floor.call("6201", "108")
    calling.wait_for("CALL_ESTABLISHED")
    floor.talk_for(1.0, "ROUTING")
    calling.hang_up()
    cdr = floor.daemon.cdr("6201")
    assert (cdr["disposition"], cdr["ended_by"], cdr["queue"]) == ("caller_left", "caller", None)
    assert floor.daemon.recording(cdr)[1].tones() == {WELCOME}


def test_while_waiting(floor):
    floor.sipp_calls("100", "6202", *hangs_up_after(300)).wait()
    cdr = floor.daemon.cdr("6202")
    assert (cdr["disposition"], cdr["ended_by"]) == ("abandoned", "caller")
    assert outcomes(cdr, "queue") == ["abandoned"] and outcomes(cdr, "offer") == []


def test_while_the_agents_phone_rings(floor):
    phone = floor.agent(answers=False)
    floor.sipp_calls("100", "6203", *hangs_up_after(500)).wait()
    phone.wait_for("CALL_CLOSED")
    cdr = floor.daemon.cdr("6203")
    assert cdr["disposition"] == "abandoned"
    assert outcomes(cdr, "queue") == outcomes(cdr, "offer") == ["abandoned"]
    assert floor.daemon.agent("1001")["state"] == "READY", "not the agent's fault"


def test_while_talking(floor):
    phone = floor.agent()
    floor.sipp_calls("100", "6204", *hangs_up_after(600)).wait()
    phone.wait_for("CALL_CLOSED")
    cdr = floor.daemon.cdr("6204")
    assert (cdr["disposition"], cdr["ended_by"], cdr["agent"]) == ("answered", "caller", "1001")
    assert outcomes(cdr, "talk") == ["caller"]


def test_cancel_right_behind_the_invite(floor):
    """Both are there when the daemon, stopped meanwhile, looks again: the call ends with 487 before it is answered."""
    head = "Via: SIP/2.0/UDP {at};branch=z9hG4bK6205\r\nFrom: <sip:6205@{at}>;tag=1\r\nTo: <sip:100@{to}>\r\n"
    head += "Call-ID: 6205\r\nCSeq: 1 {method}\r\nContact: <sip:6205@{at}>\r\nMax-Forwards: 70\r\n{rest}"
    body = f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\nm=audio 32700 RTP/AVP 8\r\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind((HOST, 0))
        line.settimeout(5)
        at, to = f"{HOST}:{line.getsockname()[1]}", f"{HOST}:{floor.daemon.port}"
        content = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        floor.daemon.signal(signal.SIGSTOP)
        for method, rest in (("INVITE", content), ("CANCEL", "Content-Length: 0\r\n\r\n")):
            text = f"{method} sip:100@{to} SIP/2.0\r\n" + head.format(at=at, to=to, method=method, rest=rest)
            line.sendto(text.encode(), (HOST, floor.daemon.port))
        floor.daemon.signal(signal.SIGCONT)
        while b"SIP/2.0 487" not in (answer := line.recv(4096)):
            assert not (answer.startswith(b"SIP/2.0 200") and b"INVITE" in answer), "answered after all"
        tag = next(row for row in answer.decode().split("\r\n") if row.startswith("To:"))
        ack = f"ACK sip:100@{to} SIP/2.0\r\n" + head.format(
            at=at, to=to, method="ACK", rest="Content-Length: 0\r\n\r\n"
        )
        line.sendto(ack.replace(f"To: <sip:100@{to}>", tag).encode(), (HOST, floor.daemon.port))
    cdr = floor.daemon.cdr("6205")
    assert (cdr["disposition"], cdr["ended_by"], cdr["status"], cdr["answered_at"]) == (
        "caller_left",
        "caller",
        487,
        None,
    )


@pytest.mark.timeout(90)
def test_lost_messages(floor):
    """All at once, as each costs SIP's 32 s: no ACK from the caller, no answer to our BYE by caller or phone, none to
    our CANCEL, and a phone that is not there at all."""
    daemon = floor.daemon
    floor.sipp_calls("107", "6211", got(100, True), got(486), pause(50_000))  # no ACK to the refusal
    floor.sipp_calls("105", "6212", *ANSWERED, pause(50_000))  # deaf to our BYE after the prompt
    floor.sipp_phone(AGENT_PORTS["1001"], *ANSWERS, pause(50_000))  # deaf to our BYE after the caller's
    daemon.seat("1001")
    floor.sipp_calls("100", "6213", *hangs_up_after(300)).wait()
    daemon.cdr("6213")
    daemon.ask("agent_logout", id="1001")
    floor.sipp_phone(AGENT_PORTS["1002"], got("INVITE"), reply(180), pause(50_000))  # deaf to our CANCEL
    daemon.seat("1003", "1002")  # nobody is at 1003's phone
    floor.sipp_calls("100", "6214", *hangs_up_after(1000)).wait()
    floor.sipp_calls("103", "6215", got(100, True), got(200), pause(50_000))  # no ACK; nobody serves the queue
    daemon.until_state("QUEUED")
    floor.sipp_phone(DESK_PORT, *ANSWERS, got("BYE"), ok())
    daemon.seat("3001")
    deaf = floor.deaf_caller("109")  # no ACK, and no answer to anything, to an agent who has picked up
    daemon.until_state("TALKING")

    began = time.monotonic()
    for ani, disposition in (("6211", "ended_by_plan"), ("6212", "ended_by_plan"), ("6214", "abandoned")):
        assert daemon.cdr(ani)["disposition"] == disposition, "its records do not wait for the far side"
    assert outcomes(daemon.cdr("6214"), "offer") == ["unreachable", "abandoned"]
    assert [daemon.agent(agent)["state"] for agent in ("1001", "1003")] == ["LOGGED_OUT", "NOT_READY"]
    until("a phone that is deaf to CANCEL is no longer waited for", lambda: daemon.agent("1002")["state"] == "READY", 3)
    assert {row["ani"] for row in daemon.ask("calls")} == {"6215", deaf}, "it may still be that the ACK comes"
    assert daemon.agent("3001")["state"] == "TALKING"
    for ani, disposition in (("6215", "abandoned"), (deaf, "answered")):
        cdr = daemon.cdr(ani, within_s=TIMER_H_S + 5)
        assert (cdr["disposition"], cdr["ended_by"]) == (disposition, "no_ack")
    until("the agent is free", lambda: daemon.agent("3001")["state"] == "READY")
    daemon.until_clean(within_s=TIMER_H_S + 10, to_the_last=True)
    assert time.monotonic() - began < TIMER_H_S + 10
