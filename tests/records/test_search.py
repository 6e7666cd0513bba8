"""What the writer wrote is found again: by time, number, agent, queue, disposition, text; in pages, with totals."""

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.records.search import Archive, Wanted
from engine.records.store import StorageError
from engine.records.writer import Records
from tests.records import made


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    records = Records(f"sqlite:///{folder}/a.db", made.to_utc, folder)
    for n in range(30):
        cdr = made.closed(f"c{n:02}", at=100.0 * n)
        if n % 3 == 1:
            cdr = replace(cdr, disposition="abandoned", agent=None, connected_at=None, recording=None)
        if n % 3 == 2:
            cdr = replace(cdr, ani=f"+49_{n}%", dnis="4002", queue="sales", agent="bob")
        records.write_cdr(cdr)
        records.write_segment(replace(made.segment(cdr.call, "queue", 100.0 * n), queue=cdr.queue))
        if cdr.recording:
            records.write_recording(cdr.call, made.recording(cdr.call))
    records.write_segment(replace(made.segment("c03", "talk", 310.0), agent="carol"))
    records.open_cdr(made.opened("live", at=9000.0))
    assert records.close()
    return Archive(f"sqlite:///{folder}/a.db")


def found(archive, **wanted):
    return [row["call"] for row in archive.calls(Wanted(**wanted)).rows]


def test_the_latest_come_first_in_pages(archive):
    first = archive.calls(Wanted(limit=10))
    assert first.n_total == 31 and [row["call"] for row in first.rows][:3] == ["live", "c29", "c28"]
    every = [call for offset in range(0, 40, 10) for call in found(archive, limit=10, offset=offset)]
    assert len(every) == len(set(every)) == 31


def test_times_of_a_call(archive):
    row = archive.call("c00")
    assert row["arrived_at"] == made.EPOCH
    assert (row["wait_s"], row["talk_s"], row["duration_s"]) == (7.0, 52.499999, 60.5)
    assert [one["kind"] for one in row["segments"]] == ["queue"]
    assert [one["path"] for one in row["recordings"]] == ["2026-11-22/c00.wav"]
    assert archive.call("nobody") is None


def test_by_time(archive):
    since, until = (made.EPOCH + timedelta(seconds=at) for at in (500, 700))
    assert found(archive, since=since, until=until) == ["c06", "c05"]


def test_by_number_agent_queue_disposition_and_text(archive):
    assert len(found(archive, dnis="4002")) == 10
    assert found(archive, ani="+49_2%") == ["c02"]
    assert len(found(archive, ani="+49_2*")) == 5  # 2, 20, 23, 26, 29
    assert len(found(archive, ani="*%")) == 10
    assert len(found(archive, agent="bob")) == 10
    assert found(archive, agent="carol") == ["c03"]
    assert len(found(archive, queue="sales")) == 10
    assert found(archive, disposition="open") == ["live"]
    assert found(archive, kind="callback") == [] and found(archive, kind="inbound", disposition="open") == ["live"]
    assert found(archive, text="C1", dnis="4002") == ["c17", "c14", "c11"]
    assert found(archive, text="%", queue="support") == []


def test_totals(archive):
    assert archive.totals(Wanted()) == {"talked": 20, "abandoned": 10, "open": 1}
    assert archive.totals(Wanted(dnis="4002")) == {"talked": 10}


def test_the_cdr_finds_the_file_and_the_file_names_the_call(archive):
    page = archive.recordings(Wanted(agent="bob", limit=3))
    assert page.n_total == 10 and page.rows[0]["path"] == "2026-11-22/c29.wav" and page.rows[0]["agent"] == "bob"
    assert archive.call_of("2026-11-22/c29.wav") == archive.call_of("c29.wav") == "c29"
    assert archive.call_of("9.wav") is None


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(StorageError, match="no records yet"):
        Archive(f"sqlite:///{tmp_path}/a.db")
    assert not (tmp_path / "a.db").exists()
    (tmp_path / "b.db").touch()
    with pytest.raises(StorageError, match="no such table"):
        Archive(f"sqlite:///{tmp_path}/b.db").calls(Wanted())
