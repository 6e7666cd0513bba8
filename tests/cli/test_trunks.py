"""`agner trunks`, with the rows as the SIP room makes them."""

import json

import pytest

from engine.callflow.settings import Destination, Login, Registration, Sip, Trunk
from engine.sip.carriers import Carriers
from engine.sip.trunks import IN, OUT, Hop, Server


@pytest.fixture
def rows(tmp_path):
    """Two trunks; of the first one server is up, one is gone, and one name is not known yet."""
    (tmp_path / "password").write_text("s3cret\n")
    login = Login("agner", "carrier.example", str(tmp_path / "password"))
    known, unknown = Destination("192.0.2.1"), Destination("sbc.example", weight=3)
    carrier = Trunk(
        "carrier", (), destinations=(known, unknown), login=login, max_calls=30, max_calls_out=10,
        max_calls_per_s_out=2.5, registration=Registration("4930", Destination("192.0.2.9")),
    )  # fmt: skip
    carriers = Carriers(Sip(), [carrier, Trunk("pbx", ())], lambda: 100.0)
    ways = carriers.ways["carrier"]
    one, other = Hop("192.0.2.1", 5060, "udp"), Hop("192.0.2.2", 5060, "tcp")
    ways.found(known, [Server(one), Server(other)], 100.0)
    ways.probes_due(99.9)
    ways.probes_due(100.0)
    ways.probe_ended(one, 200, 100.0123)
    for _ in range(3):
        ways.lost(other, 100.0)
    for direction in (IN, OUT, OUT):
        ways.began(direction)
    return carriers.rows()


def test_trunks_are_shown(agner, daemon, rows):
    rows[0]["registration"] = {
        "user": "4930", "registrar": "sip:192.0.2.9", "state": "failed", "left_s": None,
        "why": "403 Forbidden [red]", "again_in_s": 4.2,
    }  # fmt: skip
    daemon.answers["trunks"] = rows
    shown = agner("trunks")
    assert shown.exit_code == 0, shown.output
    flat = " ".join(shown.stdout.split())
    assert "30, 10 out, 2.5/s out" in flat and "failed, again in 4 s: 403 Forbidden [red]" in flat
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert any(line[:6] == ["carrier", "sip:192.0.2.1", "192.0.2.1:5060", "udp", "up", "1"] for line in lines), lines
    assert any(line[3:5] == ["tcp", "gone"] for line in lines)
    assert any(line[:2] == ["carrier", "sip:sbc.example"] for line in lines)
    assert "12.3" in flat and "s3cret" not in flat


def test_as_json(agner, daemon, rows):
    daemon.answers["trunks"] = rows
    found = json.loads(agner("trunks", "--json").stdout)
    assert found == rows and found[0]["unknown"] == ["sip:sbc.example"]
    assert (found[0]["n_in"], found[0]["n_out"], found[1]["destinations"]) == (1, 2, [])
