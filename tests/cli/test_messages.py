"""Voicemail by command: for the daemon's user alone."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from engine.config import load
from engine.records.database import Database
from engine.records.mailboxes import Mailboxes, PinCheck
from tests.records import made

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def boxes(folder):
    database = Database("sqlite:///var/agner.db")
    yield Mailboxes(database)
    database.close()


@pytest.fixture
def queue(folder):
    return f"queue:{next(iter(load(Path('config')).staff.queues))}"


@pytest.fixture
def agent(folder):
    return f"agent:{next(iter(load(Path('config')).staff.agents))}"


@pytest.fixture
def left(boxes, queue, agent):
    """Three messages with their files."""
    root = Path(load(Path("config")).settings.recording.folder)
    for message in (made.message("m1", queue, 10.0), made.message("m2", queue, 20.0), made.message("m3", agent, 30.0)):
        boxes.put(message)
        file = root / message.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


def listed(agner, *words):
    shown = agner("messages", *words, "--json")
    assert shown.exit_code == 0, shown.output
    return [message["id"] for message in json.loads(shown.stdout)]


def test_lists(agner, left, queue, agent):
    assert listed(agner) == ["m3", "m2", "m1"] and listed(agner, "list", queue) == ["m2", "m1"]
    shown = agner("messages", "list", agent).stdout
    assert "+8613800138000" in shown and "12.5" in shown and " new " in shown
    assert "no agent 'nobody'" in agner("messages", "list", "agent:nobody").stderr
    assert "is no box" in agner("messages", "list", "amy").stderr


def test_listening_marks_as_heard_and_tells_the_daemon(agner, left, queue, daemon):
    file = str((left / "messages/m1.wav").absolute())
    assert agner("messages", "path", "m1", "--peek").stdout.strip() == file and daemon.asked == []
    for _ in range(2):
        assert agner("messages", "path", "m1", "--by", "ops").stdout.strip() == file
    assert daemon.asked == [{"do": "messages_changed", "box": queue}]
    assert "heard by ops" in agner("messages", "list", queue).stdout
    (left / "messages/m2.wav").unlink()
    gone = agner("messages", "path", "m2")
    assert gone.exit_code == 1 and "no longer" in gone.stderr and len(daemon.asked) == 1


def test_deleting_removes_the_file_too(agner, left, queue, daemon):
    assert agner("messages", "delete", "m1", "m2").stdout == "2 deleted\n"
    assert listed(agner) == ["m3"] and listed(agner, "list", "--deleted") == ["m3", "m2", "m1"]
    assert not (left / "messages/m1.wav").exists() and (left / "messages/m3.wav").exists()
    assert daemon.asked == [{"do": "messages_changed", "box": queue}] * 2
    assert "no message 'm1'" in agner("messages", "path", "m1").stderr
    assert agner("messages", "delete", "m3", "m9").exit_code == 1 and listed(agner) == ["m3"]


def test_only_the_user_of_the_daemon(agner, left, boxes, agent, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    for words in (["list"], ["path", "m1"], ["delete", "m1"], ["pin", agent], []):
        refused = agner("messages", *words)
        assert refused.exit_code == 1 and "only the daemon's user" in refused.stderr and not refused.stdout
    assert boxes.get("m1") == replace(made.message("m1"), box=boxes.get("m1").box)


def test_the_pin(agner, boxes, agent):
    def set_pin(digits, again):
        words = ["messages", "pin", agent]
        return CliRunner().invoke(main, words, input=f"{digits}\n{again}\n")

    assert boxes.check_pin(agent, "2580", NOW) is PinCheck.NONE
    done = set_pin("2580", "2580")
    assert done.exit_code == 0 and "2580" not in done.output
    assert boxes.check_pin(agent, "2580", NOW) is PinCheck.RIGHT
    refused = set_pin("1234", "1234")
    assert refused.exit_code == 1 and "digits in a row" in refused.stderr
    assert set_pin("1397", "1398").exit_code == 1
    assert boxes.check_pin(agent, "2580", NOW) is PinCheck.RIGHT
    assert "removed" in agner("messages", "pin", agent, "--remove").stdout
    assert boxes.check_pin(agent, "2580", NOW) is PinCheck.NONE
    assert agner("messages", "pin", "agent:nobody").exit_code == 1
