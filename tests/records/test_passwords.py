"""Passwords of phones and the bindings that survive a restart: what is on disk, and what is not."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from engine.records import passwords
from engine.records.bindings import Bindings

PASSWORD = "correct horse battery"


def test_kept_as_ha1_and_for_nobody_else(tmp_path: Path):
    passwords.set_password(tmp_path, "agner", "1001", PASSWORD)
    passwords.set_password(tmp_path, "elsewhere", "1002", PASSWORD)
    file = tmp_path / passwords.FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in file.read_text() and "horse" not in file.read_text()
    text = f"1001:agner:{PASSWORD}".encode()
    assert passwords.load(tmp_path, "agner") == {
        "1001": {"SHA-256": hashlib.sha256(text).hexdigest(), "MD5": hashlib.md5(text).hexdigest()}
    }
    assert list(tmp_path.iterdir()) == [file]


def test_changed_and_removed(tmp_path: Path):
    passwords.set_password(tmp_path, "agner", "1001", PASSWORD)
    before = passwords.load(tmp_path, "agner")
    passwords.set_password(tmp_path, "agner", "1001", PASSWORD + "2")
    assert passwords.load(tmp_path, "agner") != before
    assert passwords.remove_password(tmp_path, "1001")
    assert not passwords.remove_password(tmp_path, "1001")
    assert passwords.load(tmp_path, "agner") == {}


BAD = ["short", "x" * 40, "x" * 129, "umläut umläut umläut", "line\nline line line", "1001 1001 100"]


@pytest.mark.parametrize("bad", BAD)
def test_passwords_that_will_not_do(tmp_path: Path, bad: str):
    with pytest.raises(passwords.BadPassword):
        passwords.set_password(tmp_path, "agner", "1001", bad)
    assert passwords.load(tmp_path, "agner") == {}


def test_generated_ones_will_do(tmp_path: Path):
    made = {passwords.generate() for _ in range(100)}
    assert len(made) == 100
    for one in made:
        passwords.set_password(tmp_path, "agner", "1001", one)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path):
    passwords.set_password(tmp_path, "agner", "1001", PASSWORD)
    os.chmod(tmp_path / passwords.FILE, 0o640)
    with pytest.raises(passwords.Unreadable, match="chmod 600"):
        passwords.load(tmp_path, "agner")


@pytest.mark.parametrize("text", ["", "[]", '{"1001": 7}', '{"1001": {"realm": "agner"}}', "\xff"])
def test_a_file_that_is_none(tmp_path: Path, text: str):
    file = tmp_path / passwords.FILE
    file.write_text(text, "latin-1")
    file.chmod(0o600)
    with pytest.raises(passwords.Unreadable, match="not a file"):
        passwords.load(tmp_path, "agner")


def test_bindings_survive(tmp_path: Path):
    """Also a kill: nothing is closed here."""
    path = tmp_path / "phones.jsonl"
    first = Bindings(path)
    for n in range(5000):
        first.put(f"{n % 50}", {"n": n})
    first.end("7")
    second = Bindings(path)
    assert sorted(row["n"] for row in second.found) == sorted(n for n in range(4950, 5000) if n % 50 != 7)
    second.end("8")
    assert len(Bindings(path).found) == 48
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text().splitlines()[0])["key"] == "0"
