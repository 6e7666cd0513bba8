"""Agents call each other: phones that have logged in from addresses of no trunk, so that nothing but their passwords
lets them dial.
"""

from collections.abc import Iterator

import pytest
import yaml

from tests.interop.house import House, Way, heard, settle
from tests.live.ear import AGENT, CALLER
from tests.live.floor import HOST, Daemon

DIALS = {
    "agents dial": {"numbers": {"100*": "colleague"}},
    "plans": {"colleague": [{"transfer": "agent:$dnis", "ring for": "5s"}, "hang up"]},
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    trunks = {"carrier": {"from": ["127.0.0.88"]}}
    daemon = settle(tmp_path_factory.mktemp("house") / "here", trunks=trunks)
    (daemon.folder / "config" / "plans" / "dialling.yaml").write_text(yaml.safe_dump(DIALS))
    daemon.start()
    yield daemon
    daemon.close()
    daemon.check_log()


@pytest.mark.parametrize(
    ("dials", "is_called"),
    [
        (Way("linphone", "tls"), Way("baresip", "tcp")),
        (Way("baresip", "tls"), Way("linphone", "tcp")),
        (Way("linphone", "tcp"), Way("linphone")),
    ],
    ids=lambda way: str(way).replace(" ", "-"),
)
def test_an_agent_calls_a_colleague(house: House, dials: Way, is_called: Way):
    called = house.agent(is_called, "1002", AGENT)
    calling = house.agent(dials, "1001", CALLER)
    port = house.daemon.port + (dials.transport == "tls")
    calling.dial(f"sip:1002@{HOST}:{port};transport={dials.transport}")
    house.talk_for(1.0, "TRANSFERRED")
    called.hang_up()
    calling.until_gone()
    assert (heard(calling), heard(called)) == ({AGENT}, {CALLER})
