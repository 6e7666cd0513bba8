"""The call that all interoperation tests make: both are heard, a hold, both are heard again."""

from tests.interop.house import House, Phone, Way, heard
from tests.live.ear import AGENT, CALLER

NUMBER = "100"
HOLD_S = 1.0
DTLS_S = 2.2  # our first packet of the handshake comes before baresip listens, and is sent again after a second


def talk_with_a_hold(house: House, caller: Way, agent: Way, holder: str, ani: str) -> None:
    """`holder` puts the other on hold and takes them back; the other hangs up."""
    agent_phone = house.agent(agent)
    calling = house.call(caller, ani, NUMBER)
    began_s = DTLS_S if "dtls" in (caller.encryption, agent.encryption) else 0.8
    house.talk_for(began_s)
    holding, other = (calling, agent_phone) if holder == "caller" else (agent_phone, calling)
    holding.hold()
    house.talk_for(began_s + HOLD_S)
    holding.resume()
    house.talk_for(began_s + HOLD_S + 1.0)
    other.hang_up()
    holding.until_gone()
    both_were_heard(house, calling, agent_phone, ani, "agent" if holder == "caller" else "caller")


def both_were_heard(house: House, caller: Phone, agent: Phone, ani: str, ended_by: str) -> None:
    cdr = house.daemon.cdr(ani)
    left, right = house.daemon.recording(cdr)
    assert (cdr["disposition"], cdr["ended_by"], cdr["agent"]) == ("answered", ended_by, "1001")
    assert (left.tones(), right.tones()) == ({CALLER}, {AGENT})
    for sound, tone in ((left, CALLER), (right, AGENT)):
        assert sound.span(tone)[1] > sound.seconds - 0.5, "heard again after the hold"
    assert (heard(caller), heard(agent)) == ({AGENT}, {CALLER})
