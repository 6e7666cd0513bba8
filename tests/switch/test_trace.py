"""The trace takes what it is given."""

from datetime import UTC, datetime
from pathlib import Path

from engine.callflow import events as ev
from engine.callflow.plan import Caller
from engine.trace import Trace, read


def test_a_text_that_is_no_utf8_does_not_end_it(tmp_path: Path) -> None:
    trace = Trace(tmp_path, 14)
    at = datetime(2026, 11, 21, tzinfo=UTC)
    for n, name in enumerate(("Jos\udce9", "José")):
        arrived = ev.CallArrived(Caller("1", "2", "carrier", name), 1)
        trace.write(float(n), at, f"c{n}", arrived, "NEW", "ROUTING", [], None)
    trace.close()
    names = [row["args"]["caller"]["name"] for row in read(tmp_path.glob("*.jsonl"))]
    assert names == ["Jos\udce9", "José"]
