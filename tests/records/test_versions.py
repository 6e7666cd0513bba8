"""Callbacks: at most one per number is active, whatever is written how often; the newest request stands, with the
earliest arrival.

Random requests and attempts are put, with crashes that read the last stretch of them again, against a model that
looks at the whole history at once. The controls take a law away, and must fail.
"""

from dataclasses import asdict, replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from engine.callflow.record import ACTIVE
from engine.records import versions
from engine.records.database import TABLES, Database
from engine.records.rows import put, row_of
from engine.records.store import StorageError
from engine.records.versions import put_callback
from tests.records import made

CALLBACKS = TABLES["callbacks"]
NUMBERS = ["+8613800138000", "+8613900139000"]
REQUEST = st.tuples(st.just("request"), st.sampled_from(NUMBERS), st.floats(0, 50))
STEP = st.tuples(
    st.just("step"), st.sampled_from(NUMBERS), st.sampled_from(["dialling", "open", "done", "failed", "cancelled"])
)
AGAIN = st.tuples(st.just("again"), st.integers(1, 8))


class Owner:
    """Writes as the daemon does: it has the active entries in memory, or has forgotten them (a database away)."""

    def __init__(self, connection):
        self.connection = connection
        self.written = []
        self.active = {}
        self.n = 0

    def write(self, entry):
        self.written.append(entry)
        put_callback(self.connection, CALLBACKS, asdict(entry))

    def request(self, number, before_s):
        self.n += 1
        at = made.to_utc(100.0 + self.n)
        entry = made.callback(f"c{self.n}", number, created_at=at, updated_at=at, due_at=at,
                              arrived_at=at - timedelta(seconds=before_s))  # fmt: skip
        if older := self.active.get(number):
            entry = entry.taking_over(older)
        self.active[number] = entry
        self.write(entry)

    def step(self, number, state):
        if entry := self.active.get(number):
            self.n += 1
            entry = replace(entry, state=state, updated_at=made.to_utc(100.0 + self.n))
            if not entry.is_active:
                del self.active[number]
            else:
                self.active[number] = entry
            self.write(entry)

    def again(self, most):
        for entry in self.written[-most:]:
            put_callback(self.connection, CALLBACKS, asdict(entry))

    def check(self):
        rows = [dict(row) for row in self.connection.execute(select(CALLBACKS)).mappings()]
        assert len(rows) == len({entry.id for entry in self.written})
        active = {row["number"]: row for row in rows if row["state"] in ACTIVE}
        assert len(active) == sum(row["state"] in ACTIVE for row in rows)
        assert active == {number: asdict(entry) for number, entry in self.active.items()}
        last = {entry.id: entry for entry in self.written}
        for row in rows:
            expected = last[row["id"]]
            if expected.is_active and row["id"] not in {entry.id for entry in self.active.values()}:
                assert (row["state"], row["result"]) == ("cancelled", "merged")
            else:
                assert row == asdict(expected)


@pytest.fixture
def run(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/a.db")

    def run_history(history):
        with database.begin() as connection:
            owner = Owner(connection)
            for what, *arguments in history:
                getattr(owner, what)(*arguments)
            owner.check()
            connection.rollback()

    yield run_history
    database.close()


def run_histories(run, phases=tuple(Phase)):
    @settings(max_examples=200, deadline=None, derandomize=True, database=None, phases=phases,
              report_multiple_bugs=False, suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.lists(st.one_of(REQUEST, STEP, STEP, AGAIN), max_size=30))
    def one_for_each_number(history):
        run(history)

    one_for_each_number()


def test_one_active_entry_for_each_number_whatever_is_read_twice(run):
    run_histories(run)


def test_control_without_the_merge_the_database_itself_refuses(run, monkeypatch):
    monkeypatch.setattr(versions, "_merge", lambda connection, table, values: None)
    with pytest.raises(StorageError, match="UNIQUE constraint failed: callbacks.number"):
        run_histories(run, phases=(Phase.generate,))


def test_control_without_versions_what_is_over_comes_back(run, monkeypatch):
    def put_blindly(connection, table, values):
        connection.execute(table.delete().where(table.c.id == values["id"]))
        versions._merge(connection, table, values := dict(values))
        connection.execute(insert(table), values)

    monkeypatch.setitem(globals(), "put_callback", put_blindly)
    with pytest.raises(AssertionError):
        run_histories(run, phases=(Phase.generate,))


def test_an_owner_who_forgot_merges_in_the_database(run, tmp_path):
    database = Database(f"sqlite:///{tmp_path}/b.db")
    with database.begin() as connection:
        for entry in (made.callback("c1", at=10.0), made.callback("c2", at=500.0, reason="asked")):
            put(connection, [row_of(entry, 1, made.to_utc)])
        old, new = connection.execute(select(CALLBACKS).order_by(CALLBACKS.c.id)).mappings()
        assert (old["state"], old["result"]) == ("cancelled", "merged")
        assert (new["state"], new["reason"], new["arrived_at"]) == ("open", "asked", made.to_utc(10.0))
        put(connection, [row_of(made.callback("c0", at=5.0), 1, made.to_utc)])  # an older one comes late
        late = connection.execute(select(CALLBACKS).where(CALLBACKS.c.id == "c0")).mappings().one()
        new = connection.execute(select(CALLBACKS).where(CALLBACKS.c.id == "c2")).mappings().one()
        assert (late["state"], new["state"], new["arrived_at"]) == ("cancelled", "open", made.to_utc(5.0))
    database.close()


def test_what_happened_to_a_message_stays(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/b.db")
    new = made.message("m1")
    heard = replace(new, heard_at=made.to_utc(20.0), heard_by="amy")
    deleted = replace(new, deleted_at=made.to_utc(30.0))
    for version in (new, heard, new, deleted, replace(heard, heard_by="bob"), new):
        with database.begin() as connection:
            put(connection, [row_of(version, 1, made.to_utc)])
    assert database.rows(select(TABLES["messages"])) == [asdict(replace(heard, deleted_at=deleted.deleted_at))]
    database.close()
