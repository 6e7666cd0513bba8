"""An agent's phone that does not take the call: the caller keeps the place, the next agent rings at once, and records
and agent states tell the four ways apart.

What is measured: from the failure as the phone sees it (its 486 or 603 sent, our CANCEL received) to the INVITE at the
next phone, by SIPp's time stamps on both; for a phone that is not there, from the switch's own verdict in the trace to
the next phone's INVITE in the same clock.
"""

import pytest

from tests.live.phones import AGENT_PORTS, ANSWERS, STAYS, when
from tests.sip.peers import bye_from_phone, got, in_dialog_ok, pause, reply, sdp

NEXT_WITHIN_S = 0.2

BUSY = (got("INVITE"), reply(486), got("ACK"))
REJECTS = (got("INVITE"), reply(180), reply(603), got("ACK"))
RINGS_ON = (got("INVITE"), reply(180), got("CANCEL"), reply(200), reply(487, to_invite=True), got("ACK"))
TAKES = (*ANSWERS, pause(300), bye_from_phone(), got(200))


def offers(cdr):
    return [(one["agent"], one["outcome"], one["status"]) for one in cdr["segments"] if one["kind"] == "offer"]


def queue_segments(cdr):
    return [(one["queue"], one["outcome"]) for one in cdr["segments"] if one["kind"] == "queue"]


@pytest.mark.parametrize(
    ("ani", "does", "way", "message", "outcome", "status", "reason"),
    [
        ("6101", BUSY, "sent", "SIP/2.0 486", "busy", 486, "busy"),
        ("6102", REJECTS, "sent", "SIP/2.0 603", "rejected", 603, "refused"),
        ("6103", RINGS_ON, "received", "CANCEL", "no_answer", None, "no_answer"),
    ],
    ids=["busy", "rejecting", "not answering"],
)
def test_next_agent_rings(floor, ani, does, way, message, outcome, status, reason):
    first = floor.sipp_phone(AGENT_PORTS["1001"], *does)
    second = floor.sipp_phone(AGENT_PORTS["1002"], *TAKES)
    floor.daemon.seat("1001", "1002")
    caller = floor.sipp_calls("100", ani, *STAYS)
    for party in (first, second, caller):
        party.wait(10)
    cdr = floor.daemon.cdr(ani)

    assert (cdr["disposition"], cdr["agent"]) == ("answered", "1002")
    assert offers(cdr) == [("1001", outcome, status), ("1002", "answered", None)]
    assert queue_segments(cdr) == [("support", "answered")], "one wait, never left"
    state = floor.daemon.agent("1001")
    assert (state["state"], state["reason"]) == ("NOT_READY", reason)
    took = when(second, "received", "INVITE") - when(first, way, message)
    print(f"next INVITE after {1000 * took:.1f} ms")
    assert took < NEXT_WITHIN_S


SILENT_TOO_LONG = (got("INVITE"), pause(900), *RINGS_ON[1:])  # and finds its voice when nobody wants it any more


@pytest.mark.parametrize(
    ("ani", "agent", "does", "seconds"),
    [("6111", "1003", SILENT_TOO_LONG, 0.5), ("6112", "1004", None, 0.0)],
    ids=["silent", "TCP refused"],
)
def test_next_agent_rings_after_one_who_cannot_be_reached(floor, ani, agent, does, seconds):
    """Silence is told from a phone by `ringing within`; a refused connection at once. A phone that is not there at all:
    test_gone.py."""
    silent = floor.sipp_phone(AGENT_PORTS[agent], *does) if does else None
    second = floor.sipp_phone(AGENT_PORTS["1002"], *TAKES)
    floor.daemon.seat(agent, "1002")
    floor.sipp_calls("100", ani, *STAYS).wait(12)
    second.wait()
    if silent:
        silent.wait()
    cdr = floor.daemon.cdr(ani)

    (party, outcome, _), answered = offers(cdr)
    assert (party, outcome, answered) == (agent, "unreachable", ("1002", "answered", None))
    assert queue_segments(cdr) == [("support", "answered")]
    assert floor.daemon.agent(agent)["reason"] == "unreachable"
    story = floor.daemon.story(cdr["call"])
    invited = [row["t"] for row in story if row["event"] == "AgentReserved"]
    refused = next(row["t"] for row in story if row["event"] == "CalledRefused")
    assert refused - invited[0] == pytest.approx(seconds, abs=0.3)
    print(f"next INVITE after {1000 * (invited[1] - refused):.1f} ms")
    assert invited[1] - refused < NEXT_WITHIN_S


def test_caller_keeps_the_place_before_later_callers(floor):
    """The first caller's agent rejects while a second caller waits: the next free agent gets the first caller."""
    first = floor.sipp_phone(AGENT_PORTS["1001"], got("INVITE"), reply(180), pause(600), reply(603), got("ACK"))
    early = floor.sipp_calls("100", "6121", *STAYS)
    floor.daemon.until_state("QUEUED")
    late = floor.sipp_calls("100", "6122", *STAYS)
    floor.daemon.until_state("QUEUED", 2)
    floor.daemon.seat("1001")
    floor.daemon.until_state("OFFERING")
    first.wait()
    second = floor.sipp_phone(AGENT_PORTS["1002"], *TAKES, calls=2)
    floor.daemon.seat("1002")
    for party in (second, early, late):
        party.wait(10)
    cdrs = [floor.daemon.cdr(ani) for ani in ("6121", "6122")]
    assert [cdr["agent"] for cdr in cdrs] == ["1002", "1002"]
    assert cdrs[0]["connected_at"] < cdrs[1]["connected_at"]


def test_answer_that_crosses_our_cancel_is_hung_up(floor):
    """The phone answers as its ring time ends: 200 to the INVITE after our CANCEL. It gets ACK and BYE."""
    crossing = (
        got("INVITE"),
        reply(180),
        got("CANCEL"),
        reply(200),
        reply(200, sdp(), to_invite=True),
        got("ACK"),
        got("BYE"),
    )
    phone = floor.sipp_phone(AGENT_PORTS["1001"], *crossing, in_dialog_ok())
    floor.daemon.seat("1001")
    caller = floor.call("6131", "100")
    floor.daemon.until_state("OFFERING")
    phone.wait(5)
    assert floor.daemon.until_state("QUEUED")[0]["ani"] == "6131"
    assert floor.daemon.agent("1001")["state"] == "NOT_READY"
    caller.hang_up()
    assert floor.daemon.cdr("6131")["disposition"] == "abandoned"
