"""Callbacks by command: through the daemon when one runs, in the database when none does."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine.config import load
from engine.records.callbacks import CallbackTable
from engine.records.database import Database
from tests.records import made


@pytest.fixture
def queue(folder):
    return next(iter(load(Path("config")).staff.queues))


@pytest.fixture
def owed(folder):
    database = Database("sqlite:///var/agner.db")
    table = CallbackTable(database)
    for entry in (
        made.callback("c1", "+8613800138001", 10.0),
        made.callback("c2", "+8613800138002", 20.0, queue="sales", reason="abandoned"),
        made.callback("c3", "+8613800138003", 30.0, state="dialling", n_attempts=2, result="busy", call="o9"),
        made.callback("c4", "+8613800138004", 40.0, state="done", result="answered", agent="amy"),
        made.callback("c5", "+8613800138005", 50.0, state="failed", result="no_answer"),
    ):
        table.put(entry)
    yield table
    database.close()


def listed(agner, *words):
    shown = agner("callbacks", *words, "--json")
    assert shown.exit_code == 0, shown.output
    return [entry["id"] for entry in json.loads(shown.stdout)["callbacks"]]


def test_lists(agner, owed):
    assert listed(agner) == listed(agner, "list") == ["c3", "c2", "c1"]
    assert listed(agner, "--state", "any") == ["c5", "c4", "c3", "c2", "c1"]
    assert listed(agner, "--state", "done") == ["c4"] and listed(agner, "--queue", "sales") == ["c2"]
    assert listed(agner, "--number", "013800138001") == ["c1"]
    assert listed(agner, "--limit", "1", "--offset", "1") == ["c2"]
    shown = agner("callbacks").stdout
    assert "+8613800138002" in shown and "abandoned" in shown and "3 of 3 callbacks" in shown


def test_changes_without_a_daemon(agner, owed):
    done = agner("callbacks", "cancel", "c1", "--by", "ops")
    assert done.stdout == "c1: +8613800138001 cancelled (cancelled_by ops)\n"
    assert agner("callbacks", "retry", "c5").stdout == "c5: +8613800138005 open\n"
    assert agner("callbacks", "done", "c2", "--by", "amy").stdout == "c2: +8613800138002 done (answered)\n"
    assert listed(agner) == ["c5", "c3"] and owed.get("c5").result is None and owed.get("c2").agent == "amy"


@pytest.mark.parametrize(("verb", "id"), [("cancel", "c4"), ("retry", "c4"), ("retry", "c3"), ("done", "c3"),
                                          ("done", "c4"), ("cancel", "c9")])  # fmt: skip
def test_changes_that_cannot_be(agner, owed, verb, id):
    before = owed.get(id)
    refused = agner("callbacks", verb, id)
    assert refused.exit_code == 1 and id in refused.stderr and owed.get(id) == before


def test_added_twice_is_one_with_the_earlier_arrival(agner, folder, queue):
    rest = ("--queue", queue, "--json")
    first = json.loads(agner("callbacks", "add", "13800138000", *rest).stdout)
    second = json.loads(agner("callbacks", "add", "+86 138 0013 8000", "--due", "2h", *rest).stdout)
    assert listed(agner) == [second["id"]] and second["arrived_at"] == first["arrived_at"]
    due_in = datetime.fromisoformat(second["due_at"]) - datetime.fromisoformat(second["created_at"])
    assert abs(due_in - timedelta(hours=2)) < timedelta(seconds=10)
    assert listed(agner, "--state", "cancelled") == [first["id"]]


def test_what_cannot_be_added(agner, folder, queue):
    assert "no queue 'nosuch'" in agner("callbacks", "add", "13800138000", "--queue", "nosuch").stderr
    assert agner("callbacks", "add", "abc", "--queue", queue).exit_code == 1
    assert listed(agner, "--state", "any") == []


def test_a_daemon_that_runs_is_asked_and_the_database_left_to_it(agner, owed, daemon, queue):
    row = {"id": "c1", "number": "+8613800138001", "state": "cancelled", "result": "cancelled_by ops"}
    daemon.answers = {"callback_cancel": row, "callback_retry": "no callback 'c1' is open", "callback_add": row}
    assert agner("callbacks", "cancel", "c1", "--by", "ops").stdout.startswith("c1: +8613800138001 cancelled")
    refused = agner("callbacks", "retry", "c1", "--by", "ops")
    assert refused.exit_code == 1 and "no callback 'c1' is open" in refused.stderr
    agner("callbacks", "add", "13800138000", "--queue", queue, "--by", "ops")
    cancel, retry, add = daemon.asked
    assert cancel == {"do": "callback_cancel", "id": "c1", "by": "ops"}
    assert retry == {"do": "callback_retry", "id": "c1", "by": "ops"}
    assert set(add) == {"do", "id", "number", "queue", "reason", "arrived_at", "due_at", "by"}
    assert (add["number"], add["queue"], add["reason"]) == ("+8613800138000", queue, "asked")
    assert datetime.fromisoformat(add["due_at"]).utcoffset() == timedelta(0)
    assert listed(agner) == ["c3", "c2", "c1"]
