"""What the plan and the limits make of a call: refusals with their status, branches, order in the queue, transfers."""

import pytest

from tests.live.ear import AGENT, CLOSED, ENGAGED, MUSIC, SORRY
from tests.live.phones import ANSWERED, ANSWERS, STAYS, heard
from tests.sip.peers import bye_from_phone, got, invite, pause, reply, request, sdp

RECEPTION_PORT = 15120  # where plan `elsewhere` transfers to


def refused_with(floor, number, ani, status, *more, header=""):
    """A caller who is turned away: ACKs and is done."""
    caller = floor.sipp_calls(number, ani, *more, got(100, True), got(status, check=header), request("ACK"))
    caller.wait(5)
    return caller


# ---- turned away


def test_unknown_number(floor):
    refused_with(floor, "999", "6301", 404)
    cdr = floor.daemon.cdr("6301")
    assert (cdr["disposition"], cdr["status"], cdr["plan"]) == ("unknown_number", 404, None)
    assert floor.daemon.log().count("'6301'") == 1, "one log line"
    assert "number '999' leads to no plan" in floor.daemon.log()


def test_no_codec_in_common(floor):
    """PJSIP refuses it by itself, and it is on record all the same."""
    refused_with(floor, "100", "6302", 488, invite(sdp("3 101")))
    cdr = floor.daemon.cdr("6302")
    assert (cdr["disposition"], cdr["status"], cdr["dnis"]) == ("sip_error", 488, "100")
    assert "(carrier): 488 by PJSIP" in floor.daemon.log()
    assert floor.daemon.ask("calls") == []


def test_unknown_source(floor):
    """127.0.0.2 is no trunk's address: it hears nothing, and nothing happens."""
    caller = floor.sipp_calls("100", "6303", pause(1200), address="127.0.0.2")
    caller.wait(5)
    assert "INVITE 100 from 127.0.0.2" in floor.daemon.log()
    assert floor.daemon.ask("calls") == []
    assert floor.daemon.ask("bans")["counts"]["unknown"] >= 1


def test_plan_refuses_before_the_answer(floor):
    refused_with(floor, "107", "6304", 486)
    cdr = floor.daemon.cdr("6304")
    assert (cdr["disposition"], cdr["status"], cdr["answered_at"], cdr["recording"]) == (
        "ended_by_plan",
        486,
        None,
        None,
    )


def test_calls_beyond_the_limit(start, make_floor):
    daemon = start(limits={"max calls": 2, "retry after": "7s"})
    floor = make_floor(daemon)
    two = floor.sipp_calls("100", "6305", *ANSWERED, pause(1500), request("BYE", 2), got(200), calls=2, rate=20)
    daemon.until_state("QUEUED", 2)
    refused_with(floor, "100", "6306", 503, header="Retry-After: 7")
    assert (daemon.cdr("6306")["disposition"], daemon.cdr("6306")["status"]) == ("turned_away", 503)
    two.wait()
    floor.sipp_calls("105", "6307", *STAYS).wait()  # and there is room again
    daemon.until_clean()


# ---- waiting


def test_nobody_comes_in_time(floor):
    calling = floor.call("6311", "102")
    calling.wait_for("CALL_CLOSED")
    cdr = floor.daemon.cdr("6311")
    assert (cdr["disposition"], cdr["ended_by"]) == ("timed_out", "plan")
    (queue,) = [one for one in cdr["segments"] if one["kind"] == "queue"]
    assert (queue["ended_at"] - queue["began_at"]).total_seconds() == pytest.approx(1.0, abs=0.1)
    sound = heard(calling)
    assert sound.tones() == {MUSIC, SORRY}
    assert sound.span(MUSIC)[1] < sound.span(SORRY)[0] + 0.05


def test_queue_is_full(floor):
    first = floor.call("6312", "103")
    floor.daemon.until_state("QUEUED")
    second = floor.call("6313", "103")
    second.wait_for("CALL_CLOSED")
    assert heard(second).tones() == {SORRY}
    assert floor.daemon.cdr("6313")["disposition"] == "overflowed"
    assert [row["ani"] for row in floor.daemon.ask("calls")] == ["6312"]
    first.hang_up()
    assert floor.daemon.cdr("6312")["disposition"] == "abandoned"


def served_in_order(floor, *anis):
    """The agents who come serve who waits; who was served, in turn."""
    phone = floor.sipp_phone(15101, *ANSWERS, pause(100), bye_from_phone(), got(200), calls=len(anis))
    floor.daemon.seat("1001")
    phone.wait(15)
    cdrs = [floor.daemon.cdr(ani) for ani in anis]
    return [cdr["ani"] for cdr in sorted(cdrs, key=lambda cdr: cdr["connected_at"])]


def test_callers_in_order_of_arrival_and_vips_by_their_head_start(floor):
    for n, ani in enumerate(("6321", "6322", "7001"), 1):
        floor.sipp_calls("106", ani, *STAYS)
        floor.daemon.until_state("QUEUED", n)
    positions = {row["ani"]: row["position"] for row in floor.daemon.ask("calls")}
    assert positions == {"7001": 1, "6321": 2, "6322": 3}
    assert served_in_order(floor, "6321", "6322", "7001") == ["7001", "6321", "6322"]


def test_outside_hours(floor):
    calling = floor.call("6331", "105")
    calling.wait_for("CALL_CLOSED")
    assert heard(calling).tones() == {CLOSED}
    assert floor.daemon.cdr("6331")["disposition"] == "ended_by_plan"


# ---- transfer


def test_transfer_that_is_answered(floor):
    reception = floor.phone("reception", RECEPTION_PORT)
    calling = floor.call("6341", "104")
    reception.wait_for("CALL_ESTABLISHED")
    floor.talk_for(0.5, "TRANSFERRED")
    reception.hang_up()
    calling.wait_for("CALL_CLOSED")
    cdr = floor.daemon.cdr("6341")
    assert (cdr["disposition"], cdr["ended_by"], cdr["agent"]) == ("transferred", "called", None)
    assert AGENT in heard(calling).tones() <= {MUSIC, AGENT}


@pytest.mark.parametrize(
    ("ani", "does", "hears"),
    [
        ("6342", (got("INVITE"), reply(486), got("ACK")), {ENGAGED}),
        (
            "6343",
            (got("INVITE"), reply(180), got("CANCEL"), reply(200), reply(487, to_invite=True), got("ACK")),
            {MUSIC, SORRY},
        ),
        ("6344", (got("INVITE"), reply(404), got("ACK")), set()),
    ],
    ids=["busy", "no answer", "failed"],
)
def test_transfer_that_is_not(floor, ani, does, hears):
    """The plan goes on with a branch of its own for each."""
    reception = floor.sipp_phone(RECEPTION_PORT, *does)
    calling = floor.call(ani, "104")
    reception.wait()
    calling.wait_for("CALL_CLOSED")
    assert heard(calling).tones() == hears
    assert floor.daemon.cdr(ani)["disposition"] == "ended_by_plan"
