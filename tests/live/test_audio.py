"""Who hears whom, by frequency: callers, agents, music and prompts each have a tone of their own."""

import pytest

from tests.live.ear import AGENT, CALLER, EDGE_S, HOP_S, MUSIC, WELCOME
from tests.live.floor import until
from tests.live.phones import heard


@pytest.mark.parametrize(
    ("ani", "caller", "agent"),
    [
        ("6001", {"codecs": "PCMA"}, {"codecs": "PCMA"}),
        ("6002", {"codecs": "PCMU"}, {"codecs": "G722"}),
        ("6003", {"codecs": "opus", "transport": "tcp"}, {"codecs": "PCMU"}),
        ("6004", {"codecs": "G722"}, {"codecs": "opus", "agent": "1004", "transport": "tcp"}),
    ],
    ids=["A-law to A-law", "u-law to G.722", "Opus over TCP to u-law", "G.722 to Opus over TCP"],
)
def test_prompt_and_talk_in_every_codec(floor, ani, caller, agent):
    agent_phone = floor.agent(**agent)
    calling = floor.call(ani, "101", **caller)
    agent_phone.wait_for("CALL_ESTABLISHED")
    floor.talk_for(1.0)
    agent_phone.hang_up()
    calling.wait_for("CALL_CLOSED")
    cdr = floor.daemon.cdr(ani)
    left, right = floor.daemon.recording(cdr)

    assert (cdr["disposition"], cdr["ended_by"], cdr["queue"]) == ("answered", "agent", "support")
    assert heard(calling).tones() == {WELCOME, AGENT}, "an agent was free: no music"
    assert heard(agent_phone).tones() == {CALLER}
    assert left.tones() == {CALLER}
    assert right.tones() == {WELCOME, AGENT}
    assert right.edges(WELCOME)[1] < right.edges(AGENT)[0] + EDGE_S


def test_music_stops_at_the_bridge(floor):
    calling = floor.call("6010", "101")
    floor.talk_for(0.7, "QUEUED")
    agent_phone = floor.agent()
    agent_phone.wait_for("CALL_ESTABLISHED")
    floor.talk_for(1.0)
    calling.hang_up()
    agent_phone.wait_for("CALL_CLOSED")
    cdr = floor.daemon.cdr("6010")
    left, right = floor.daemon.recording(cdr)

    for sound in (heard(calling), right):
        assert sound.tones() == {WELCOME, MUSIC, AGENT}
        assert sound.edges(WELCOME)[1] < sound.edges(MUSIC)[0] + EDGE_S
        assert sound.edges(MUSIC)[1] < sound.edges(AGENT)[0] + EDGE_S, "music under the agent's voice"
    assert heard(agent_phone).tones() == left.tones() == {CALLER}, "the agent hears no music"
    assert cdr["ended_by"] == "caller"


@pytest.mark.parametrize(("ani", "by"), [("6020", "caller"), ("6021", "agent")])
def test_hold_by_reinvite(floor, ani, by):
    """Who puts the other on hold hears silence; the recording goes on, silent on that side, and keeps its time."""
    agent_phone = floor.agent()
    calling = floor.call(ani, "100")
    agent_phone.wait_for("CALL_ESTABLISHED")
    floor.talk_for(0.8)
    holder = calling if by == "caller" else agent_phone
    holder.hold()
    floor.talk_for(1.8)
    holder.resume()
    floor.talk_for(2.8)
    agent_phone.hang_up()
    calling.wait_for("CALL_CLOSED")
    cdr = floor.daemon.cdr(ani)
    left, right = floor.daemon.recording(cdr)

    assert left.tones() == {CALLER} and right.tones() == {AGENT}
    answered_s = (cdr["ended_at"] - cdr["answered_at"]).total_seconds()
    assert left.seconds == right.seconds == pytest.approx(answered_s, abs=0.1)
    gaps = {}
    for sound, tone in ((left, CALLER), (right, AGENT)):
        begin, end = sound.span(tone)
        assert end > answered_s - 0.4, "heard again after the hold"
        has = sound.between(begin, end).has(tone)
        gaps[tone] = (len(has) - has.sum()) * HOP_S
    held, other = (CALLER, AGENT) if by == "caller" else (AGENT, CALLER)
    assert gaps[held] == pytest.approx(1.0, abs=0.4) and gaps[other] < 0.4, "a busy machine drops some"


def test_digits_of_the_caller(floor):
    """RFC 4733, from the caller's phone to the trace."""
    calling = floor.call("6030", "100")
    (call,) = floor.daemon.until_state("QUEUED")
    calling.press("19*0#")

    def digits():
        return "".join(
            row["args"]["digit"] for row in floor.daemon.trace(call["call"]) if row["event"] == "CallerDigit"
        )

    until("five digits", lambda: len(digits()) == 5)
    calling.hang_up()
    assert digits() == "19*0#"
