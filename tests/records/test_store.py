"""Whatever the database and the disk do between, every row taken is in its table at the end, once.

The schedule: rows are taken while the database fails before, in and after its commits, the disk refuses the journal
in the middle of a write, the process is killed and started again. The controls remove the two laws this rests on, and
must fail.
"""

import shutil
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, insert

from engine.records import journal, rows, store
from engine.records.journal import Journal
from engine.records.models import Base
from engine.records.rows import Record, RecordedCall, row_of
from engine.records.schema import upgrade
from engine.records.store import StorageError, Store
from tests.records import made
from tests.records.flaky import flaky_sqlite

TAKE = st.tuples(
    st.just("take"), st.lists(st.sampled_from(["open", "final", "segment", "span", "recording"]), min_size=1)
)
FAULT = st.tuples(st.just("database"), st.sampled_from([None, "execute", "commit", "lost"]))
OTHERS = st.sampled_from([("disk", True), ("disk", False), ("catch_up", None), ("kill", None)])
SCHEDULES = st.lists(st.one_of(TAKE, TAKE, FAULT, OTHERS), min_size=1, max_size=25)


class Day:
    """A store through a schedule, beside the plain account of what must be there at the end."""

    def __init__(self, folder, empty_database):
        self.folder = folder
        shutil.copy(empty_database, folder / "a.db")
        self.calls: dict[str, str] = {}
        self.others: Counter[str] = Counter()
        self.disk_is_full = False
        self.n = 0
        self.start()

    def start(self):
        file = Journal(self.folder / "records.jsonl")
        self.store = Store(f"sqlite:///{self.folder}/a.db", file, self.folder / "refused.jsonl")

    def take(self, kinds):
        taken = [self.record(kind) for kind in kinds]
        self.store.take([row_of(record, n, made.to_utc) for n, record in taken])

    def record(self, kind):
        self.n += 1
        live = [call for call, disposition in self.calls.items() if disposition == "open"]
        if kind == "open" or (kind == "final" and not live):
            call = f"c{self.n}"
            self.calls[call] = "open" if kind == "open" else "talked"
            return self.n, made.opened(call) if kind == "open" else made.closed(call)
        if kind == "final":
            self.calls[live[0]] = "talked"
            return self.n, made.closed(live[0])
        table = {"segment": "segments", "span": "agent_spans", "recording": "recordings"}[kind]
        self.others[table] += 1
        if kind == "segment":
            return self.n, made.segment("c1")
        if kind == "span":
            return self.n, made.span()
        return self.n, RecordedCall("c1", made.recording(f"c{self.n}"))

    def kill(self):
        """Only with a disk that works: what neither database nor disk took dies with the process."""
        if not self.disk_is_full and not self.store._kept:
            self.calls = {call: "crashed" if now == "open" else now for call, now in self.calls.items()}
            self.start()

    def check(self):
        for _ in range(50):
            self.store.catch_up()
            if not self.store.is_behind:
                break
        assert not self.store.is_behind
        assert self.store.close() == 0
        assert not (self.folder / "refused.jsonl").exists()
        path = self.folder / "a.db"
        found = {row["call"]: row["disposition"] or "open" for row in made.stored(path, "calls")}
        assert found == self.calls
        assert len(made.stored(path, "calls")) == len(found)
        for table in ("segments", "agent_spans", "recordings"):
            assert len(made.stored(path, table)) == self.others[table], table
        assert (self.folder / "records.jsonl").stat().st_size == 0 if (self.folder / "records.jsonl").exists() else True


@pytest.fixture
def faults(monkeypatch, tmp_path_factory):
    """The injected faults, and a fresh day for every schedule."""
    empty = tmp_path_factory.mktemp("empty") / "a.db"
    engine = create_engine(f"sqlite:///{empty}")
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    write_all = journal._write_all
    with flaky_sqlite() as flaky:

        def run(schedule):
            flaky.fault = None
            day = Day(tmp_path_factory.mktemp("day"), empty)

            def write_until_full(file, data):
                if day.disk_is_full:
                    write_all(file, data[: len(data) // 2])
                    raise OSError(28, "injected: no space left on device")
                write_all(file, data)

            monkeypatch.setattr(journal, "_write_all", write_until_full)
            for what, value in schedule:
                match what:
                    case "take":
                        day.take(value)
                    case "database":
                        flaky.fault = value
                    case "disk":
                        day.disk_is_full = value
                    case "catch_up":
                        day.store.catch_up()
                    case "kill":
                        day.kill()
            flaky.fault = None
            day.disk_is_full = False
            day.check()

        yield run


def run_schedules(run, phases=tuple(Phase)):
    @settings(
        max_examples=100,
        deadline=None,
        derandomize=True,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(SCHEDULES)
    def every_row_once(schedule):
        run(schedule)

    every_row_once()


def test_every_row_once_whatever_fails(faults):
    run_schedules(faults)


def test_control_without_idempotent_rows_it_fails(faults, monkeypatch):
    def put_blindly(connection, these):
        for row in these:
            connection.execute(insert(Base.metadata.tables[row.table]), row.values)

    monkeypatch.setattr(store, "put", put_blindly)
    with pytest.raises(AssertionError):
        run_schedules(faults, phases=(Phase.generate,))


def test_control_without_a_journal_it_fails(faults, monkeypatch):
    monkeypatch.setattr(Journal, "append", lambda self, these: None)
    with pytest.raises(AssertionError):
        run_schedules(faults, phases=(Phase.generate,))


def test_a_row_the_database_never_takes_holds_up_nobody(tmp_path):
    cdr = made.closed("bad")
    bad = row_of(cdr, 1, made.to_utc)
    bad.values["status"] = 2**70
    good = [row_of(made.closed(f"c{n}"), n, made.to_utc) for n in range(3)]
    one = Store(f"sqlite:///{tmp_path}/a.db", Journal(tmp_path / "records.jsonl"), tmp_path / "refused.jsonl")
    one.catch_up()
    one.take([good[0], bad, *good[1:]])
    assert one.is_healthy and not one.is_behind and one.n_done == 4
    assert {row["call"] for row in made.stored(tmp_path / "a.db", "calls")} == {"c0", "c1", "c2"}
    assert '"call": "bad"' in (tmp_path / "refused.jsonl").read_text()


def test_putting_rows_never_reads_a_table_from_end_to_end(tmp_path):
    """What a row costs must not grow with the years."""
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.begin() as connection:
        upgrade(connection)
    plans: list[str] = []

    def explain(_connection, cursor, statement, parameters, _context, is_many):
        if statement.startswith(("SELECT", "UPDATE")):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters[0] if is_many else parameters)
            plans.extend(detail for *_, detail in cursor.fetchall())

    event.listen(engine, "before_cursor_execute", explain)
    records: list[Record] = [
        made.opened("c1"),
        made.closed("c2"),
        made.segment("c1"),
        made.segment("c2"),
        made.span(),
        made.span("bob"),
    ]
    records.append(RecordedCall("c1", made.recording("c1")))
    for _ in range(2):
        with engine.begin() as connection:
            rows.put(connection, [row_of(record, n, made.to_utc) for n, record in enumerate(records)])
    tables = tuple(Base.metadata.tables)
    assert [plan for plan in plans if plan.startswith(tuple(f"SEARCH {table}" for table in tables))]
    assert not [plan for plan in plans if plan.startswith(tuple(f"SCAN {table}" for table in tables))]


def test_a_journal_cut_off_in_a_line_loses_only_that_line(tmp_path):
    path = tmp_path / "records.jsonl"
    first, second, third = (row_of(made.closed(f"c{n}"), n, made.to_utc) for n in range(3))
    path.write_text(rows.to_line(first) + "\n" + rows.to_line(second)[:40])
    again = Journal(path)
    again.append([third])
    assert again.peek(10) == [first, third]
    again.advance(2)
    assert len(again) == 0 and again.n_unreadable == 1 and path.stat().st_size == 0


def test_a_journal_of_an_earlier_version_is_stored(tmp_path):
    row = row_of(made.closed("c1"), 1, made.to_utc)
    del row.values["kind"]
    (tmp_path / "records.jsonl").write_text(rows.to_line(row) + "\n")
    one = Store(f"sqlite:///{tmp_path}/a.db", Journal(tmp_path / "records.jsonl"), tmp_path / "refused.jsonl")
    one.catch_up()
    assert [found["kind"] for found in made.stored(tmp_path / "a.db", "calls")] == ["inbound"]
    assert one.close() == 0


def test_a_journal_that_was_removed_while_empty_is_made_anew(tmp_path):
    path, rows_ = tmp_path / "records.jsonl", [row_of(made.closed(f"c{n}"), n, made.to_utc) for n in range(2)]
    journal_ = Journal(path)
    for row in rows_:
        journal_.append([row])
        assert journal_.peek(5) == [row]
        journal_.advance(1)
        path.unlink()


@pytest.mark.parametrize("url", ["nonsense", "nosuch://x/y", "sqlite://", "sqlite:////proc/agner/a.db"])
def test_a_storage_that_cannot_work_is_said_at_once(url, tmp_path):
    with pytest.raises(StorageError, match=url.split(":")[0]):
        Store(url, Journal(tmp_path / "records.jsonl"), tmp_path / "refused.jsonl")


def test_a_file_that_is_no_database_is_said_at_once_and_left_alone(tmp_path):
    file = tmp_path / "a.db"
    file.write_text("minutes of the meeting\n" * 100)
    with pytest.raises(StorageError, match="not a database"):
        Store(f"sqlite:///{file}", Journal(tmp_path / "records.jsonl"), tmp_path / "refused.jsonl")
    assert file.read_text().startswith("minutes")


def test_opening_it_twice_leaves_no_lock_behind_that_another_process_breaks(tmp_path):
    """`agner customers add` beside a daemon, whose rooms open the database one by one: who closes last is not the last
    that has it open, and leaves the WAL."""
    url = f"sqlite:///{tmp_path}/agner.db"
    first = store.open_engine(url)
    with first.connect() as connection:
        connection.exec_driver_sql("create table t (n int)")
        connection.commit()
        store.open_engine(url).dispose()
        reads = f"with open_engine({url!r}).connect() as c: c.exec_driver_sql('select * from t').all()"
        subprocess.run([sys.executable, "-c", f"from engine.records.store import open_engine\n{reads}"], check=True)
        assert (tmp_path / "agner.db-wal").stat().st_size > 0
        assert (tmp_path / "agner.db-shm").exists()
        connection.exec_driver_sql("insert into t values (1)")
        connection.commit()
    with store.open_engine(url).connect() as other:
        assert other.exec_driver_sql("select n from t").scalars().all() == [1]
