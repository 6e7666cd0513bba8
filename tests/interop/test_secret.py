"""Audio that must be encrypted, signalling over TLS: baresip and Linphone call by SDES and by DTLS, and are called by
SDES. Whoever does not encrypt is refused, so what is heard was encrypted.
"""

import time

import pytest

from tests.interop.house import RTP_FROM, House, Phone, Way, heard
from tests.interop.talk import NUMBER, talk_with_a_hold
from tests.live.ear import AGENT, CALLER
from tests.live.floor import HOST, until
from tests.siege.test_media import S9A, S9B, Stranger, rtp_ports

TIMEOUT_S, LATE_S = 4, 3.0  # as in tests/live/test_silence.py
CASES = [
    (Way("baresip", "tls", "sdes"), Way("linphone", "tls", "sdes"), "caller"),
    (Way("linphone", "tls", "sdes"), Way("baresip", "tls", "sdes"), "agent"),
    (Way("linphone", "tls", "dtls"), Way("baresip", "tls", "sdes"), "agent"),
    (Way("baresip", "tls", "dtls"), Way("linphone", "tls", "sdes"), "caller"),
]


@pytest.fixture(scope="module")
def daemon(settled):
    sip = {"srtp": "required", "rtp timeout": f"{TIMEOUT_S}s"}
    return settled(sip=sip, trunks={"carrier": {"from": [f"{HOST}/32"], "srtp": "required"}})


@pytest.mark.parametrize(("caller", "agent", "holder"), CASES, ids=lambda one: str(one).replace(" ", "-"))
def test_a_talk_with_a_hold(house: House, caller: Way, agent: Way, holder: str):
    talk_with_a_hold(house, caller, agent, holder, f"48{CASES.index((caller, agent, holder)):02d}")


@pytest.mark.parametrize("program", ["baresip", "linphone"])
def test_a_caller_in_the_clear_is_refused(house: House, program: str):
    ani = f"49{len(program)}"
    house.call(Way(program, "tls"), ani, NUMBER).until_gone()
    assert house.daemon.cdr(ani)["status"] == 488


def test_an_agents_phone_in_the_clear_is_not_connected(house: House):
    """It refuses what it does not understand, and the caller waits on."""
    house.agent(Way("baresip", "tls"))
    calling = house.call(Way("baresip", "tls", "sdes"), "5000", NUMBER)
    until("the agent is passed over", lambda: house.daemon.agent("1001")["state"] == "NOT_READY")
    house.daemon.until_state("QUEUED")
    calling.hang_up()
    cdr = house.daemon.cdr("5000")
    assert cdr["disposition"] == "abandoned" and not cdr["agent"]


# ---- strangers, security.md S9


def talk(house: House, ani: str) -> tuple[Phone, Phone, Stranger]:
    """A caller and an agent who talk, and somebody who knows the ports of both legs."""
    agent = house.agent(Way("baresip", "tls", "sdes"))
    calling = house.call(Way("baresip", "tls", "sdes"), ani, NUMBER)
    house.talk_for(0.8)
    ports = rtp_ports(house.daemon, range(RTP_FROM, RTP_FROM + 1000))
    assert len(ports) == 2, "one a leg"
    return calling, agent, Stranger(ports)


@pytest.mark.parametrize(("ani", "n", "per_s", "times"), [("5101", *S9A), ("5102", *S9B)], ids=["burst", "continuous"])
def test_a_third_address_neither_enters_nor_takes_away(house: House, ani: str, n: int, per_s: float | None, times: int):
    calling, agent, stranger = talk(house, ani)
    for _ in range(times):
        stranger.say(n, per_s)
        time.sleep(0.1)
    n_taken = stranger.n_heard()
    calling.hang_up()
    agent.until_gone()
    left, right = house.daemon.recording(house.daemon.cdr(ani))
    assert n_taken == 0, "its audio went to the stranger"
    assert (left.tones(), right.tones()) == ({CALLER}, {AGENT})
    assert (heard(agent), heard(calling)) == ({CALLER}, {AGENT})


def test_a_stranger_does_not_keep_up_a_call_whose_caller_is_gone(house: House):
    """What nobody can decrypt is no sign of life."""
    calling, agent, stranger = talk(house, "5103")
    calling.kill()
    began, call = time.monotonic(), house.daemon.ask("calls")[0]["call"]
    while any(row["call"] == call for row in house.daemon.ask("calls")):
        stranger.say(5, 50.0)
        assert time.monotonic() < began + TIMEOUT_S + LATE_S
    agent.until_gone()
    cdr = house.daemon.cdr("5103")
    assert (cdr["disposition"], cdr["ended_by"]) == ("answered", "no_audio")
