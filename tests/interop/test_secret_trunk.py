"""Calls out over a trunk by TLS with SRTP (SDES): to baresip that shows the right certificate, and to nobody else.
Linphone's console takes no TLS connections.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.house import OUT, House, Way, heard, lead_out, settle
from tests.live.ear import AGENT, CALLER
from tests.live.floor import HOST, Daemon
from tests.sip.peers import certificate

PORT = 15960  # of baresip, which takes TLS at the next one
SECRET = Way("baresip", "tls", "sdes")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    to = f"sip:{HOST}:{PORT + 1};transport=tls"
    out = {"from": ["127.0.0.90"], "destinations": [to], "probe": "off", "srtp": "required"}
    trunks = {"carrier": {"from": [HOST]}, "out": out}
    daemon = settle(tmp_path_factory.mktemp("house") / "here", trunks=trunks)
    lead_out(daemon, "out")
    daemon.start()
    yield daemon
    daemon.close()
    daemon.check_log()


def test_a_call_out(house: House):
    """Encrypted on the far leg alone; the called party holds and hangs up over the connection that is ours."""
    called = house.phone(SECRET, "4711", AGENT, port=PORT)
    calling = house.call(Way("baresip"), "5410", OUT, CALLER)
    house.talk_for(1.0, "TRANSFERRED")
    called.hold()
    called.resume()
    house.talk_for(2.5, "TRANSFERRED")
    called.hang_up()
    calling.until_gone()
    assert house.daemon.cdr("5410")["status"] == 200
    assert (heard(calling), heard(called)) == ({AGENT}, {CALLER})


def test_whoever_shows_another_certificate_is_not_called(house: House, tmp_path: Path):
    both = tmp_path / "both.pem"
    both.write_text("".join(Path(file).read_text() for file in certificate(tmp_path, HOST)))
    called = house.phone(SECRET, "4711", AGENT, port=PORT, certificate=both)
    calling = house.call(Way("baresip"), "5420", OUT, CALLER)
    calling.until_gone()
    cdr = house.daemon.cdr("5420")
    assert [one["outcome"] for one in cdr["segments"] if one["kind"] == "offer"] == ["unreachable"]
    assert called.count("CALL_INCOMING") == 0
