"""Kamailio in front of the switch, in every dialog (Record-Route): callers come through it, phones log in and dial
through it (Path, RFC 3327), and calls go out through it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.interop.house import OUT, House, Way, heard, lead_out, settle
from tests.interop.kamailio import Kamailio
from tests.interop.linphone import Linphone
from tests.interop.talk import NUMBER, talk_with_a_hold
from tests.interop.test_colleagues import DIALS
from tests.live.ear import AGENT, CALLER, CALLER_2
from tests.live.floor import HOST, Daemon, until

PROXY = "127.0.0.40"
PROXY_PORT, CALLED_PORT = 15950, 15952
AT = f"{PROXY}:{PROXY_PORT}"
NO_TRUNK = f"127.0.0.41:{PROXY_PORT}"  # a proxy that has phones behind it and is no trunk
ANIS = itertools.count(5100)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    trunk = {"from": [PROXY], "destinations": [f"sip:{AT}"], "probe": {"every": "2s"}}
    trunks = {"carrier": trunk, "callers": {"from": [HOST]}}
    daemon = settle(tmp_path_factory.mktemp("house") / "here", trunks=trunks)
    lead_out(daemon, "carrier")
    (daemon.folder / "config" / "plans" / "dialling.yaml").write_text(yaml.safe_dump(DIALS))
    daemon.start()
    yield daemon
    daemon.close()
    daemon.check_log()


@pytest.fixture
def proxy(daemon: Daemon, tmp_path: Path) -> Iterator[Kamailio]:
    with Kamailio(tmp_path / "kamailio", AT, f"{HOST}:{daemon.port}", f"{HOST}:{CALLED_PORT}") as proxy:
        yield proxy


CASES = [
    (Way("baresip"), Way("linphone"), "caller"),
    (Way("linphone", "tcp"), Way("baresip", "tcp"), "agent"),  # over UDP between proxy and switch: two Record-Routes
]


@pytest.mark.parametrize(("caller", "agent", "holder"), CASES, ids=lambda one: str(one).replace(" ", "-"))
def test_a_talk_with_a_hold(house: House, proxy: Kamailio, caller: Way, agent: Way, holder: str):
    caller, agent = replace(caller, proxy=AT), replace(agent, proxy=AT)
    talk_with_a_hold(house, caller, agent, holder, str(next(ANIS)))
    assert proxy.n_passed("INVITE") >= 4, "two that set up, two of the hold"
    assert proxy.n_passed("BYE") == 2, "one a leg"


def test_a_phone_behind_the_proxy_is_known_by_its_path_and_missed_when_it_is_gone(house: House, proxy: Kamailio):
    """The proxy answers for a phone that does not: 408 and the like are no signs of life."""
    phone = house.agent(Way("baresip", proxy=AT))
    row = house.row()
    assert row["source"] == f"{AT}/udp" and AT in row["path"][0]
    until("a round trip", lambda: house.row().get("rtt_ms"))
    phone.kill()
    until("gone", lambda: house.row()["state"] == "gone", 20.0)
    until("no calls", lambda: house.daemon.agent("1001")["reason"] == "phone_gone")


@pytest.mark.parametrize("program", ["baresip", "linphone"])
def test_a_call_out_through_the_proxy(house: House, proxy: Kamailio, program: str):
    """The called party, behind it, puts the caller on hold and hangs up; everything goes by the proxy."""
    called = house.phone(Way(program), "4711", AGENT, port=CALLED_PORT)
    ani = str(next(ANIS))
    calling = house.call(Way("linphone", proxy=AT), ani, OUT)
    house.talk_for(0.8, "TRANSFERRED")
    called.hold()
    called.resume()
    house.talk_for(2.0, "TRANSFERRED")
    called.hang_up()
    calling.until_gone()
    cdr = house.daemon.cdr(ani)
    assert cdr["status"] == 200 and proxy.n_passed("BYE") == 2
    assert (heard(calling), heard(called)) == ({AGENT}, {CALLER})


@pytest.mark.parametrize("at", [AT, NO_TRUNK], ids=["trunk", "no trunk"])
@pytest.mark.parametrize(
    ("dials", "is_called"),
    [(Way("baresip"), Way("linphone", "tcp")), (Way("linphone", "tcp"), Way("baresip"))],
    ids=lambda way: str(way).replace(" ", "-"),
)
def test_agents_behind_the_proxy_call_each_other(house: House, tmp_path: Path, dials: Way, is_called: Way, at: str):
    """Each dials with the agent's password, from an address that the agent shares with everybody behind the proxy."""
    daemon = house.daemon
    with Kamailio(tmp_path / "kamailio", at, f"{HOST}:{daemon.port}", f"{HOST}:{CALLED_PORT}") as proxy:
        called = house.agent(replace(is_called, proxy=at), "1002", AGENT)
        calling = house.agent(replace(dials, proxy=at), "1001", CALLER)
        assert house.row("1001")["path"] and house.row("1002")["path"]
        calling.dial(f"sip:1002@{at};transport={dials.transport}")
        house.talk_for(0.8, "TRANSFERRED")
        (row,) = daemon.ask("calls")
        assert (row["ani"], row["trunk"] or "") == ("1001", "")
        calling.hold()
        calling.resume()
        house.talk_for(2.0, "TRANSFERRED")
        called.hang_up()
        calling.until_gone()
        assert proxy.n_passed("BYE") == 2
    assert (heard(calling), heard(called)) == ({AGENT}, {CALLER})


def test_an_agent_behind_the_proxy_sends_a_caller_on(house: House, tmp_path: Path):
    """REFER, and the news of what came of it, go by the proxy, too."""
    daemon, ani = house.daemon, str(next(ANIS))
    with Kamailio(tmp_path / "kamailio", NO_TRUNK, f"{HOST}:{daemon.port}", f"{HOST}:{CALLED_PORT}") as proxy:
        one = house.agent(Way("linphone", proxy=NO_TRUNK), "1001", CALLER_2)
        two = house.agent(Way("baresip", proxy=NO_TRUNK), "1002", AGENT)
        daemon.ask("agent_logout", id="1002")
        caller = house.call(Way("baresip"), ani, NUMBER, CALLER)
        house.talk_for(1.0)
        assert isinstance(one, Linphone)
        one.transfer(f"sip:1002@{NO_TRUNK}")
        one.until_gone()
        until("free", lambda: daemon.agent("1001")["state"] == "READY")
        house.talk_for(1.0, "TRANSFERRED")
        caller.hang_up()
        two.until_gone()
        cdr = daemon.cdr(ani)
        assert proxy.n_passed("REFER") == 1 and proxy.n_passed("NOTIFY") >= 2
    assert [one["agent"] for one in cdr["segments"] if one["kind"] == "talk"] == ["1001", "1002"]
    assert heard(caller) >= {CALLER_2, AGENT} and CALLER in heard(two)
