"""Phones that log in over IPv6: they are rung, they talk, they dial; with each other and with those of IPv4."""

from collections.abc import Iterator

import pytest
import yaml

from tests.interop.house import House, Way, heard, settle
from tests.interop.talk import talk_with_a_hold
from tests.interop.test_colleagues import DIALS
from tests.live.ear import AGENT, CALLER
from tests.live.floor import HOST, Daemon, until

V6 = "::1"
TRUNKS = {"carrier": {"from": [HOST, V6]}}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = settle(tmp_path_factory.mktemp("house") / "here", sip={"address": [HOST, V6]}, trunks=TRUNKS)
    (daemon.folder / "config" / "plans" / "dialling.yaml").write_text(yaml.safe_dump(DIALS))
    daemon.start()
    yield daemon
    daemon.close()
    daemon.check_log()


# baresip 1.0 answers no OPTIONS over IPv6, so its phones are `gone` there, though they can be called.
CASES = [
    (Way("baresip"), Way("linphone", address=V6), "caller"),
    (Way("linphone", "tcp", address=V6), Way("baresip"), "agent"),
    (Way("baresip", address=V6), Way("linphone", "tcp", address=V6), "agent"),
]


@pytest.mark.parametrize(("caller", "agent", "holder"), CASES, ids=lambda one: str(one).replace(" ", "-"))
def test_a_talk_with_a_hold(house: House, caller: Way, agent: Way, holder: str):
    talk_with_a_hold(house, caller, agent, holder, f"53{CASES.index((caller, agent, holder)):02d}")


@pytest.mark.parametrize(
    ("dials", "is_called"),
    [
        (Way("linphone", address=V6), Way("linphone", "tcp", address=V6)),
        (Way("linphone", "tcp", address=V6), Way("baresip")),
        (Way("baresip", "tcp"), Way("linphone", address=V6)),
    ],
    ids=lambda way: str(way).replace(" ", "-"),
)
def test_an_agent_calls_a_colleague(house: House, dials: Way, is_called: Way):
    called = house.agent(is_called, "1002", AGENT)
    calling = house.agent(dials, "1001", CALLER)
    agent = "1001" if dials.address == V6 else "1002"
    assert house.row(agent)["source"].startswith("[::1]:")
    until("a round trip", lambda: house.row(agent).get("rtt_ms"))
    host = "[::1]" if dials.address == V6 else HOST
    calling.dial(f"sip:1002@{host}:{house.daemon.port};transport={dials.transport}")
    house.talk_for(1.0, "TRANSFERRED")
    called.hang_up()
    calling.until_gone()
    assert (heard(calling), heard(called)) == ({AGENT}, {CALLER})
