"""Nobody who waits is forgotten by a kill, and nobody is promised twice.

A real child process takes calls and is killed (SIGKILL) at any point, also while it recovers, several times over one
folder; what it said it would do and had done is the account that the database is held against. A full disk is played
in this process.
"""

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine.callflow.record import CallbackEntry
from engine.records import lines
from engine.records.promises import Promises
from engine.records.writer import Records
from tests.records import made

ROOT = Path(__file__).parents[2]

CHILD = """
import os, random, sys, time
from pathlib import Path
from engine.records.promises import Promises
from engine.records.writer import Records
from tests.records import made

folder, name, seed, fault = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
choose, waiting = random.Random(seed), []
records = Records(f"sqlite:///{folder}/a.db", made.to_utc, folder)

def say(*words):
    os.write(1, (" ".join(words) + "\\n").encode())

def owe(entry):
    records.write_callback(entry)
    time.sleep(choose.choice([0, 0, 0.002]))

promises = Promises(folder / "promises.log", owe)
if fault == "no lines":
    promises._append = lambda line: None
say("started")
for n in range(2000):
    verb = choose.choice(["begin", "begin", "begin", "end", "timeout"])
    if verb != "begin" and not waiting:
        continue
    call = f"{name}-{n}" if verb == "begin" else waiting.pop(choose.randrange(len(waiting)))
    say("will", verb, call)
    if verb == "begin":
        waiting.append(call)
        promises.begin(call, "+" + call, "support", made.to_utc(float(n)))
    elif verb == "timeout":
        records.write_callback(made.callback(call, "+" + call, float(n)))
        promises.end(call)
    else:
        promises.end(call)
    say("done", verb, call)
    time.sleep(choose.choice([0, 0, 0, 0.001]))
time.sleep(60)
"""


def run_and_kill(folder, name, choose, fault):
    """What the child said until it died."""
    arguments = [sys.executable, "-c", CHILD, str(folder), name, str(choose.randrange(2**32)), fault]
    n_lines = choose.choice([0, 0, 1, 5, 50, 500, 1500])
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = []
        if n_lines == 0:
            time.sleep(choose.uniform(0.3, 0.9))
        for _ in range(n_lines):
            said.append(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        said += child.stdout.readlines()
        assert child.wait() == -signal.SIGKILL
    return [line.split() for line in said]


def whole_story(folder, seed, n_kills, fault=""):
    """The rows at the end, by number, and what each call's story was: the words said of it."""
    choose = random.Random(seed)
    stories: dict[str, list[tuple[str, str]]] = {}
    for n in range(n_kills):
        for words in run_and_kill(folder, f"{n}", choose, fault):
            if len(words) == 3:
                stories.setdefault(words[2], []).append((words[0], words[1]))
    records = Records(f"sqlite:///{folder}/a.db", made.to_utc, folder)
    Promises(folder / "promises.log", records.write_callback).close()
    assert records.wait_until_stored(30) and records.close()
    rows: dict[str, list[dict]] = {}
    for row in made.stored(folder / "a.db", "callbacks"):
        rows.setdefault(row["number"], []).append(row)
    return stories, rows


def check(stories, rows):
    n_promised = 0
    for call, story in stories.items():
        found = rows.pop("+" + call, [])
        assert len(found) <= 1, (call, found)
        match story[-1]:
            case ("done", "begin"):
                assert found and found[0]["reason"] == "crash", (call, story)
                n_promised += 1
            case (_, "timeout"):
                assert found and (found[0]["reason"] == "timeout" or story[-1][0] == "will"), (call, story)
            case ("done", "end"):
                assert not found, (call, story)
    assert rows == {}
    return n_promised


def test_everyone_waiting_at_a_kill_is_promised_once(tmp_path):
    stories, rows = whole_story(tmp_path, seed=1, n_kills=6)
    n_promised = check(stories, rows)
    assert len(stories) > 100 and n_promised > 50
    print(f"{len(stories)} calls, {n_promised} waiting when one of 6 kills came")


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(10, 30))
def test_everyone_is_promised_once_over_many_kills(tmp_path, seed):
    check(*whole_story(tmp_path, seed, n_kills=15))


def test_control_without_the_lines_it_fails(tmp_path):
    with pytest.raises(AssertionError):
        check(*whole_story(tmp_path, seed=1, n_kills=3, fault="no lines"))


class Killed(Exception):
    pass


def recover_between_kills(folder, id_of):
    """Five wait when the kill comes; then every recovery but the last is killed after one entry more."""
    waiting = Promises(folder / "promises.log", lambda entry: None)
    for n in range(5):
        waiting.begin(f"c{n}", f"+86138{n:08}", "support", made.to_utc(float(n)))
    for n_owed in (0, 1, 3, 5, 6):
        records = Records(f"sqlite:///{folder}/a.db", made.to_utc, folder)
        owed: list[CallbackEntry] = []

        def owe(entry, records=records, owed=owed, n_owed=n_owed):
            if len(owed) == n_owed:
                raise Killed
            owed.append(entry)
            records.write_callback(replace(entry, id=id_of(entry.id, n_owed)))

        with suppress(Killed):
            Promises(folder / "promises.log", owe)
        assert records.close()
    rows = made.stored(folder / "a.db", "callbacks")
    assert sorted((row["id"], row["state"]) for row in rows) == [(f"c{n}", "open") for n in range(5)]
    assert (folder / "promises.log").stat().st_size == 0


def test_a_kill_within_the_recovery_promises_nobody_twice(tmp_path):
    recover_between_kills(tmp_path, lambda id, _: id)


def test_control_without_the_calls_as_ids_it_fails(tmp_path):
    with pytest.raises(AssertionError):
        recover_between_kills(tmp_path, lambda id, run: f"{id}-{run}")


# ---- the file


@pytest.fixture
def owed():
    return []


def start(path, owed):
    return Promises(path, owed.append)


def test_an_entry_says_what_the_callback_needs(tmp_path, owed):
    one = start(tmp_path / "p.log", owed)
    one.begin("c1", "+8613800138000", "support", made.to_utc(5.0), dnis="4001", language="zh", needs="[]")
    one.begin("c2", "", "support", made.to_utc(5.0))  # withheld: nobody to call
    one.begin("c3", "+8613900139000", "support", made.to_utc(6.0))
    one.begin("c3", "+8613900139000", "sales", made.to_utc(6.0))
    one.end("c2")
    one.close()
    start(tmp_path / "p.log", owed)
    at = made.to_utc(5.0)
    expected = made.callback(
        "c1", reason="crash", arrived_at=at, created_at=at, due_at=at, updated_at=at, dnis="4001", language="zh",
        needs="[]",
    )  # fmt: skip
    assert owed[0] == expected and [(entry.id, entry.queue) for entry in owed[1:]] == [("c3", "sales")]


def test_half_a_line_loses_only_itself(tmp_path, owed):
    one = start(tmp_path / "p.log", owed)
    for n in range(3):
        one.begin(f"c{n}", f"+{n}", "support", made.to_utc(5.0))
    one.close()
    whole = (tmp_path / "p.log").read_bytes()
    (tmp_path / "p.log").write_bytes(whole[:-20])
    start(tmp_path / "p.log", owed)
    assert [entry.id for entry in owed] == ["c0", "c1"]


def test_the_file_stays_small_however_many_wait_one_after_the_other(tmp_path, owed):
    one = start(tmp_path / "p.log", owed)
    sizes = []
    for n in range(30_000):
        one.begin(f"c{n}", f"+{n}", "support", made.to_utc(5.0))
        if n >= 200:
            one.end(f"c{n - 200}")
        sizes.append(one._n_bytes)
    assert max(sizes) < lines.COMPACT_AT_BYTES + 1000 and len(one) == 200
    assert (tmp_path / "p.log").stat().st_size == one._n_bytes
    one.close()
    start(tmp_path / "p.log", owed)
    assert [entry.id for entry in owed] == [f"c{n}" for n in range(29_800, 30_000)]


def test_a_full_disk_is_told_and_made_good_later(tmp_path, owed, monkeypatch, caplog):
    one = start(tmp_path / "p.log", owed)
    write_all, is_full = lines._write_all, False

    def write(file, data):
        if is_full:
            write_all(file, data[: len(data) // 2])
            raise OSError(28, "injected: no space left on device")
        write_all(file, data)

    monkeypatch.setattr(lines, "_write_all", write)
    one.begin("c1", "+1", "support", made.to_utc(1.0))
    is_full = True
    one.begin("c2", "+2", "support", made.to_utc(2.0))
    one.begin("c3", "+3", "support", made.to_utc(3.0))
    one.end("c1")
    assert one.is_behind and caplog.text.count("no space left") == 1
    assert [waiting["call"] for waiting in lines.read(tmp_path / "p.log", "call")] == ["c1"]
    is_full = False
    one.begin("c4", "+4", "support", made.to_utc(4.0))
    assert not one.is_behind and "on disk again" in caplog.text
    one.close()
    start(tmp_path / "p.log", owed)
    assert [entry.id for entry in owed] == ["c2", "c3", "c4"]


def test_a_line_costs_microseconds(tmp_path, owed):
    one, took = start(tmp_path / "p.log", owed), []
    for n in range(5000):
        begun = time.perf_counter()
        one.begin(f"c{n}", f"+86138{n:08}", "support", made.to_utc(5.0), "4001", "zh")
        one.end(f"c{n - 1000}")
        took.append(time.perf_counter() - begun)
    median_us, p99_us = statistics.median(took) * 1e6, sorted(took)[len(took) * 99 // 100] * 1e6
    print(f"a caller's begin and end: median {median_us:.1f} us, p99 {p99_us:.1f} us, most {max(took) * 1e6:.0f} us")
    assert median_us < 200


def test_no_descriptor_is_left_open(tmp_path, owed):
    n_before = len(os.listdir("/proc/self/fd"))
    one = start(tmp_path / "p.log", owed)
    for n in range(10):
        one.begin(f"c{n}", "+1", "support", made.to_utc(5.0))
        one._write_anew()
    one.close()
    assert len(os.listdir("/proc/self/fd")) == n_before
