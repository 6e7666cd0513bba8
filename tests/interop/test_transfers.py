"""Linphone sends a caller on to a colleague: blind, and after it has asked there. baresip does in tests/live."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.interop.house import PASSWORD, House, Phone, Way, heard, settle
from tests.interop.linphone import ESTABLISHED, Linphone
from tests.interop.talk import NUMBER
from tests.interop.test_colleagues import DIALS
from tests.live.ear import AGENT, CALLER, CALLER_2
from tests.live.floor import HOST, Daemon, until


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = settle(tmp_path_factory.mktemp("house") / "here", trunks={"carrier": {"from": [HOST]}})
    (daemon.folder / "config" / "plans" / "dialling.yaml").write_text(yaml.safe_dump(DIALS))
    daemon.start()
    yield daemon
    daemon.close()
    daemon.check_log()


def in_a_talk(house: House, ani: str, transport: str) -> tuple[Linphone, Phone, Phone, str]:
    """Agent 1001, who talks to a caller; the colleague, who is in no queue; and how to dial the colleague."""
    one = house.agent(Way("linphone", transport), "1001", CALLER_2)
    two = house.phone(Way("baresip"), "1002", AGENT, registrar=f"{HOST}:{house.daemon.port}", password=PASSWORD)
    until("1002 is there", lambda: house.row("1002")["state"] == "there")
    caller = house.call(Way("baresip"), ani, NUMBER, CALLER)
    house.talk_for(1.0)
    assert isinstance(one, Linphone)
    port = house.daemon.port + (transport == "tls")
    return one, two, caller, f"sip:1002@{HOST}:{port};transport={transport}"


def both_talked(house: House, ani: str, caller: Phone, two: Phone) -> dict[str, Any]:
    """The caller to the one and then to the other, in one call."""
    until("free", lambda: house.daemon.agent("1001")["state"] == "READY")
    house.talk_for(1.0, "TRANSFERRED")
    caller.hang_up()
    two.until_gone()
    cdr = house.daemon.cdr(ani)
    talks = [(one["agent"], one["outcome"]) for one in cdr["segments"] if one["kind"] == "talk"]
    assert talks == [("1001", "agent"), ("1002", "caller")]
    assert heard(caller) >= {CALLER_2, AGENT} and CALLER in heard(two)
    return dict(cdr)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_blind(house: House, transport: str):
    ani = {"udp": "5201", "tcp": "5202", "tls": "5203"}[transport]
    one, two, caller, colleague = in_a_talk(house, ani, transport)
    one.transfer(colleague)
    one.until_gone()
    cdr = both_talked(house, ani, caller, two)
    assert ("offer", "1002", "answered") in [(s["kind"], s["agent"], s["outcome"]) for s in cdr["segments"]]


def test_attended(house: House):
    one, two, caller, colleague = in_a_talk(house, "5210", "udp")
    one.hold()
    n = one.count(ESTABLISHED)
    one.dial(colleague)
    one.until(ESTABLISHED, n + 1)
    one.transfer_to_consulted()
    one.until_gone()
    both_talked(house, "5210", caller, two)
