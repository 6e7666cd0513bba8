"""Audio that must be encrypted, signalling over TLS: baresip and Linphone call by SDES and by DTLS, and are called by
SDES; by DTLS in test_secret_dtls.py. Whoever does not encrypt is refused, so what is heard was encrypted.
"""

import pytest

from tests.interop.house import House, Way
from tests.interop.talk import NUMBER, talk_with_a_hold
from tests.live.floor import HOST, until

CASES = [
    (Way("baresip", "tls", "sdes"), Way("linphone", "tls", "sdes"), "caller"),
    (Way("linphone", "tls", "sdes"), Way("baresip", "tls", "sdes"), "agent"),
    (Way("linphone", "tls", "dtls"), Way("baresip", "tls", "sdes"), "agent"),
    (Way("baresip", "tls", "dtls"), Way("linphone", "tls", "sdes"), "caller"),
]


@pytest.fixture(scope="module")
def daemon(settled):
    return settled(sip={"srtp": "required"}, trunks={"carrier": {"from": [f"{HOST}/32"], "srtp": "required"}})


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
