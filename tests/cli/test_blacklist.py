"""The blacklist by command: kept in the database, told to the daemon that runs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.callflow.record import BlacklistHit
from engine.records.writer import Records


def entries(agner):
    return {entry["pattern"]: entry for entry in json.loads(agner("blacklist", "--json").stdout)}


def test_added_changed_removed(agner):
    assert agner("blacklist", "add", "13800138000", "0571*", "--reason", "骚扰", "--by", "ops").exit_code == 0
    found = entries(agner)
    assert set(found) == {"+8613800138000", "+86571*"} and found["+86571*"]["reason"] == "骚扰"
    changed = agner("blacklist", "add", "013800138000", "--reason", "fraud", "--expires", "30d")
    assert changed.stdout == "0 new, 1 updated, 0 unchanged\n"
    entry = entries(agner)["+8613800138000"]
    left = datetime.fromisoformat(entry["expires_at"]) - datetime.now(UTC)
    assert entry["reason"] == "fraud" and timedelta(days=29) < left <= timedelta(days=30)
    gone = agner("blacklist", "remove", "13800138000", "13900139000")
    assert gone.exit_code == 1 and gone.stdout == "1 removed\n" and "+8613900139000" in gone.stderr
    assert set(entries(agner)) == {"+86571*"}


def test_hits_are_counted_once_however_often_they_are_written(agner):
    agner("blacklist", "add", "13800138000", "--reason", "x")
    begin = datetime.now(UTC)
    for _ in range(2):
        records = Records("sqlite:///var/agner.db", lambda at: begin + timedelta(seconds=at), Path("var"))
        for n in range(3):
            records.count_blacklist_hit(BlacklistHit(f"c{n}", "+8613800138000", 10.0 * n))
        assert records.close()
    entry = entries(agner)["+8613800138000"]
    assert entry["n_hits"] == 3 and datetime.fromisoformat(entry["last_hit_at"]) == begin + timedelta(seconds=20)
    (line,) = (line for line in agner("blacklist", "list").stdout.splitlines() if "+8613800138000" in line)
    assert " 3 " in line


def test_the_daemon_is_told_what_changed_and_only_that(agner, daemon):
    agner("blacklist", "add", "13800138000", "--reason", "x")
    agner("blacklist")
    agner("blacklist", "remove", "13900139000")
    agner("blacklist", "remove", "13800138000")
    assert daemon.asked == [{"do": "blacklist_changed"}] * 2


def test_a_daemon_that_refuses_does_not_undo_the_change(agner, daemon):
    daemon.answers["blacklist_changed"] = "busy"
    told = agner("blacklist", "add", "13800138000", "--reason", "x")
    assert told.exit_code == 1 and "it is stored" in told.stderr and "busy" in told.stderr
    assert set(entries(agner)) == {"+8613800138000"}


def test_from_a_file(agner, daemon):
    Path("a.csv").write_text("号码,原因,到期\n13800138000,骚扰,2027-01-01\n0571*,,\n1*3,x,\n138,x,soonish\n")
    done = agner("blacklist", "import", "a.csv", "--json")
    assert done.exit_code == 1
    outcome = json.loads(done.stdout)
    assert (outcome["new"], outcome["bad"]) == (2, 2)
    assert [(bad["line"], bad["column"]) for bad in outcome["bad_lines"]] == [(4, "号码"), (5, "到期")]
    assert agner("blacklist", "import", "a.csv").stdout == "0 new, 0 updated, 2 unchanged, 2 bad\n"
    assert daemon.asked == [{"do": "blacklist_changed"}]
    assert agner("blacklist", "import", "a.csv", "--dry-run").exit_code == 1 and len(daemon.asked) == 1


def test_what_is_no_number_or_time(agner):
    assert agner("blacklist", "add", "*").exit_code == 1
    assert agner("blacklist", "add", "138*", "--expires", "soonish").exit_code == 2
    assert entries(agner) == {}
