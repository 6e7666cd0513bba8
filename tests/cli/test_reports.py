"""What became of calls, from a real database, and the ladder, from a real trace."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.errors import PlanError
from engine.callflow.plan import Caller
from engine.records.writer import Records
from engine.trace import Trace
from tests.records import made


@pytest.fixture
def day(folder):
    """An afternoon's calls: c0 to c9, a minute apart, the last one ten minutes ago."""
    begin = datetime.now(UTC) - timedelta(minutes=20)
    records = Records("sqlite:///var/agner.db", lambda at: begin + timedelta(seconds=at), Path("var"))
    for n in range(10):
        cdr = made.closed(f"c{n}", at=60.0 * n)
        if n % 2:
            cdr = replace(cdr, agent=None, disposition="abandoned", connected_at=None, recording=None)
        if n == 6:
            cdr = replace(cdr, kind="callback")
        records.write_cdr(cdr)
        records.write_segment(made.segment(cdr.call, "queue", 60.0 * n))
        if cdr.recording:
            records.write_recording(cdr.call, made.recording(cdr.call))
            file = Path("var/recordings") / cdr.recording
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    assert records.close()
    return begin


def calls(result):
    assert result.exit_code == 0, result.output
    return [row["call"] for row in json.loads(result.stdout)["calls"]]


def test_cdr_as_a_table(agner, day):
    shown = agner("cdr", "--limit", 3)
    assert shown.exit_code == 0
    assert "wait (s)" in shown.stdout and "talk (s)" in shown.stdout
    (line,) = (line for line in shown.stdout.splitlines() if " c8 " in line)
    assert line.split()[2:] == (
        "inbound +8613800138000 4001 support amy 7.0 52.5 60.5 talked 200 caller c8 2026-11-22/c8.wav".split()
    )
    assert f"{(day + timedelta(seconds=480)).astimezone():%Y-%m-%d %H:%M:%S}" in line
    assert "abandoned 5, talked 5" in shown.stdout and "calls 1 to 3 of 10; --offset 3 shows more" in shown.stdout


def test_cdr_searches(agner, day):
    assert calls(agner("cdr", "--json", "--limit", 4, "--offset", 8)) == ["c1", "c0"]
    assert calls(agner("cdr", "--json", "--disposition", "abandoned", "--limit", 2)) == ["c9", "c7"]
    assert calls(agner("cdr", "--json", "--agent", "amy", "--ani", "+86*", "--dnis", "4001")) == [
        "c8",
        "c6",
        "c4",
        "c2",
        "c0",
    ]
    assert calls(agner("cdr", "--json", "--queue", "sales")) == []
    assert calls(agner("cdr", "--json", "--since", (day + timedelta(seconds=470)).isoformat())) == ["c9", "c8"]
    assert calls(agner("cdr", "--json", "--until", "18m")) == ["c2", "c1", "c0"]
    assert calls(agner("cdr", "--json", "--since", "1h")) == [f"c{n}" for n in range(9, -1, -1)]
    assert calls(agner("cdr", "--json", "--text", "C3")) == ["c3"]
    assert calls(agner("cdr", "--json", "--kind", "callback")) == ["c6"]
    assert calls(agner("cdr", "--json", "--kind", "inbound", "--since", "15m", "--agent", "amy")) == ["c8"]


def test_cdr_of_one_call(agner, day):
    shown = agner("cdr", "c2")
    assert "disposition   talked" in shown.stdout and "queue" in shown.stdout and "7.000" in shown.stdout
    row = json.loads(agner("cdr", "c2", "--json").stdout)
    assert datetime.fromisoformat(row["arrived_at"]) == day + timedelta(seconds=120)
    assert row["segments"][0]["outcome"] == "connected"
    assert agner("cdr", "c77").exit_code == 1


def test_a_moment_that_is_none_is_exit_code_2(agner, day):
    refused = agner("cdr", "--since", "yesterdayish")
    assert refused.exit_code == 2 and "2026-11-21T20:15" in refused.stderr


def test_recordings_find_the_file_and_the_call(agner, day, folder):
    found = json.loads(agner("recordings", "--agent", "amy", "--limit", 2, "--json").stdout)
    assert found["total"] == 5 and [row["call"] for row in found["recordings"]] == ["c8", "c6"]
    assert found["recordings"][0]["file"] == "var/recordings/2026-11-22/c8.wav"
    assert "60.2" in agner("recordings").stdout
    path = agner("recordings", "path", "c8").stdout.strip()
    assert path == str(folder / "var/recordings/2026-11-22/c8.wav")
    for name in (path, "c8.wav", "2026-11-22/c8.wav"):
        assert agner("recordings", "call", name).stdout == "c8\n"
    assert agner("recordings", "call", "other.wav").exit_code == 1
    assert "not recorded" in agner("recordings", "path", "c1").stderr
    Path(path).unlink()
    gone = agner("recordings", "path", "c8")
    assert gone.exit_code == 1 and "no longer" in gone.stderr


def test_no_database_yet(agner):
    refused = agner("cdr")
    assert refused.exit_code == 1 and "no records yet" in refused.stderr
    assert not Path("var/agner.db").exists()


# ---- the ladder


@pytest.fixture
def traced(folder):
    """A call that is offered, talks, and goes over midnight; another one between its lines."""
    trace = Trace(folder / "var" / "trace", 14)
    caller = Caller("+8613800138000", "4001", "carrier")
    begin = datetime(2026, 11, 21, 23, 59, 50, tzinfo=UTC)

    def write(at_s, event, was, state, commands=(), note=None, call="c1"):
        trace.write(100.0 + at_s, begin + timedelta(seconds=at_s), call, event, was, state, list(commands), note)

    cdr = made.closed("c1")
    write(0.0, ev.CallArrived(caller, 1), "NEW", "ROUTING", [do.OpenCdr(made.opened("c1")), do.TakeStep("start")])
    write(0.004, ev.CallTurnedAway(caller, 9, PlanError("unknown number")), "NEW", "CLOSING", call="c2")
    write(0.05, ev.CallerAnswered(), "ROUTING", "ROUTING", [do.PlayPrompts(1, ("welcome",), "zh")])
    write(2.0, ev.AgentReserved(7, "amy"), "QUEUED", "OFFERING", [do.RingAgent(7, "amy")])
    write(2.2, ev.CalledRinging(7), "OFFERING", "OFFERING")
    write(4.0, ev.CalledAnswered(7), "OFFERING", "TALKING", [do.TakeOffer(7), do.StopMusic(), do.Bridge(7)])
    write(4.1, ev.OffersFailed(), "TALKING", "TALKING", note="late: the talk has begun")
    write(64.0, ev.CallerGone(200, "BYE"), "TALKING", "CLOSING", [do.HangUpCalled(7), do.WriteCdr(cdr)])
    trace.close()
    return folder


LADDER = """\
call c1, 2026-11-21T23:59:50.000+00:00
   seconds  +8613800138000            Agner                     agent / called
     0.000  |-- INVITE 4001 --------->|                         |  NEW -> ROUTING
     0.000  |                         o OpenCdr                 |
     0.000  |                         o TakeStep                |  result=start
     0.050  |-- ACK ----------------->|                         |
     0.050  |<~ welcome ~~~~~~~~~~~~~~|                         |
     2.000  |                         o AgentReserved           |  QUEUED -> OFFERING  offer=7 agent=amy
     2.000  |                         |-- INVITE amy #7 ------->|
     2.200  |                         |<- ringing #7 -----------|
     4.000  |                         |<- 200 OK #7 ------------|  OFFERING -> TALKING
     4.000  |                         o TakeOffer               |  offer=7
     4.000  |<~ music stops ~~~~~~~~~~|                         |
     4.000  |<=================== bridge #7 ===================>|
     4.100  |                         o OffersFailed            |  (late: the talk has begun)
    64.000  |-- gone 200 BYE -------->|                         |  TALKING -> CLOSING
    64.000  |                         |-- CANCEL or BYE #7 ---->|
    64.000  |                         o WriteCdr                |  disposition=talked status=200 ended_by=caller recording=2026-11-22/c1.wav
"""  # noqa: E501


def test_the_ladder_of_a_call(agner, traced):
    drawn = agner("ladder", "c1")
    assert drawn.exit_code == 0, drawn.output
    assert drawn.stdout == LADDER


def test_the_ladder_as_json_is_the_trace_of_that_call(agner, traced):
    lines = json.loads(agner("ladder", "c1", "--json").stdout)
    assert [line["event"] for line in lines][:2] == ["CallArrived", "CallerAnswered"]
    assert {line["call"] for line in lines} == {"c1"} and len(lines) == 7


def test_a_trace_that_is_being_written_can_be_read(agner, traced):
    with (traced / "var/trace/2026-11-22.jsonl").open("a") as file:
        file.write('{"t": 170.0, "call": "c1", "ev')
    assert agner("ladder", "c1").stdout == LADDER


def test_a_call_without_a_trace(agner, traced):
    refused = agner("ladder", "c9")
    assert refused.exit_code == 1 and "kept for 14 days" in refused.stderr
