"""Phones that are not encrypted as all are: 1001 must be, 1002 may not, and each calls the other. baresip that insists
on SDES takes RTP/SAVP alone, and one without it RTP/AVP alone.
"""

from collections.abc import Iterator

import pytest
import yaml

from engine.records.search import Wanted
from tests.interop.house import House, Phone, Way, heard, settle
from tests.interop.test_colleagues import DIALS
from tests.live.ear import AGENT, CALLER
from tests.live.floor import HOST, Daemon, until

CLEAR, SECRET = Way("baresip"), Way("baresip", "tls", "sdes")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """It starts with phones in the clear; that 1001 must be encrypted is taken up while it runs."""
    daemon = settle(tmp_path_factory.mktemp("house") / "here", trunks={"carrier": {"from": ["127.0.0.88"]}})
    (daemon.folder / "config" / "plans" / "dialling.yaml").write_text(yaml.safe_dump(DIALS))
    daemon.start()
    staff = daemon.folder / "config" / "staff.yaml"
    written = yaml.safe_load(staff.read_text())
    written["agents"][1001]["srtp"] = "required"
    staff.write_text(yaml.safe_dump(written, allow_unicode=True))
    assert daemon.ask("reload")["changes"][0]["details"] == ["srtp: none -> required"]
    yield daemon
    daemon.close()
    daemon.check_log()


def dial(house: House, agent: str, way: Way, number: str) -> Phone:
    calling = house.agent(way, agent, CALLER)
    calling.dial(f"sip:{number}@{HOST}:{house.daemon.port + (way.transport == 'tls')};transport={way.transport}")
    return calling


@pytest.mark.parametrize(("one", "other"), [("1001", "1002"), ("1002", "1001")])
def test_each_calls_the_other(house: House, one: str, other: str):
    ways = {"1001": SECRET, "1002": CLEAR}
    called = house.agent(ways[other], other, AGENT)
    calling = dial(house, one, ways[one], other)
    house.talk_for(1.0, "TRANSFERRED")
    called.hang_up()
    calling.until_gone()
    assert (heard(calling), heard(called)) == ({AGENT}, {CALLER})


@pytest.mark.parametrize(("agent", "way"), [("1001", Way("baresip", "tls")), ("1002", SECRET)])
def test_who_calls_in_another_way_is_refused(house: House, agent: str, way: Way):
    dial(house, agent, way, "1009").until_gone()
    [row] = until("its record", lambda: house.daemon.archive().calls(Wanted(ani=agent, dnis="1009")).rows)
    assert row["status"] == 488
