"""Calls out by DTLS: to agents' phones, and over a trunk. Who knows SDES alone is not connected."""

from collections.abc import Iterator

import pytest

from tests.interop.house import OUT, House, Way, heard, lead_out, settle
from tests.interop.talk import DTLS_S, NUMBER, talk_with_a_hold
from tests.live.ear import AGENT, CALLER
from tests.live.floor import HOST, Daemon, until

WAY = "required by dtls"
PORT = 15970  # of baresip, which takes the calls over the trunk
CASES = [
    (Way("baresip", "tls", "sdes"), Way("baresip", "tls", "dtls"), "caller"),
    (Way("linphone", "tls", "dtls"), Way("baresip", "tls", "dtls"), "agent"),
    (Way("baresip", "tls", "sdes"), Way("linphone", "tls", "dtls"), "caller"),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    out = {"from": ["127.0.0.90"], "destinations": [f"sip:{HOST}:{PORT}"], "probe": "off", "srtp": WAY}
    trunks = {"carrier": {"from": [HOST], "srtp": "required"}, "out": out}
    daemon = settle(tmp_path_factory.mktemp("house") / "here", sip={"srtp": WAY}, trunks=trunks)
    lead_out(daemon, "out")
    daemon.start()
    yield daemon
    daemon.close()
    daemon.check_log()


@pytest.mark.parametrize(("caller", "agent", "holder"), CASES, ids=lambda one: str(one).replace(" ", "-"))
def test_an_agent_is_called(house: House, caller: Way, agent: Way, holder: str):
    talk_with_a_hold(house, caller, agent, holder, f"52{CASES.index((caller, agent, holder)):02d}")


def test_a_call_over_a_trunk(house: House):
    called = house.phone(Way("baresip", "udp", "dtls"), "4711", AGENT, port=PORT)
    calling = house.call(Way("baresip", "udp", "sdes"), "5210", OUT, CALLER)
    house.talk_for(DTLS_S, "TRANSFERRED")
    called.hang_up()
    calling.until_gone()
    assert (heard(calling), heard(called)) == ({AGENT}, {CALLER})


def test_a_phone_that_knows_sdes_alone_is_not_connected(house: House):
    house.agent(Way("baresip", "tls", "sdes"))
    calling = house.call(Way("baresip", "tls", "sdes"), "5220", NUMBER)
    until("the agent is passed over", lambda: house.daemon.agent("1001")["state"] == "NOT_READY")
    house.daemon.until_state("QUEUED")
    calling.hang_up()
    assert house.daemon.cdr("5220")["disposition"] == "abandoned"
