"""`agner diff` and `agner reload`: against another folder, and against a daemon's answers."""

import json
import shutil
from dataclasses import asdict

import pytest

from engine.config import load
from engine.config.difference import difference
from tests.cli.conftest import ROOT, listening


@pytest.fixture
def edited(folder):
    """The folder's configuration, with a few changes; the shipped one is `was`."""
    (folder / "config").unlink()
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copytree(ROOT / "config", folder / "was")
    for name, old, new in [
        ("staff.yaml", "name: 王强", "name: 王小强"),
        ("plans/tv-shopping.yaml", "    - play: survey_thanks\n", ""),
        ("switch.yaml", "udp port: 5060", "udp port: 5062"),
    ]:
        text = (folder / "config" / name).read_text(encoding="utf-8")
        assert old in text
        (folder / "config" / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


EXPECTED = """\
~ agent 1002: changed
    name: 王强 -> 王小强
~ plan survey: changed
    -   on 1, 2, 3: play survey_thanks (zh)
    -   hang up (normal, 480 if not answered)
    +   on 1, 2, 3: hang up (normal, 480 if not answered)
~ setting sip udp port: changed (holds after a restart)
    5060 -> 5062
"""


def test_two_folders_are_compared_without_a_daemon(agner, edited):
    assert agner("diff", "was").stdout == EXPECTED
    told = json.loads(agner("diff", "was", "--json").stdout)
    assert [(one["what"], one["name"], one["needs_restart"]) for one in told] == [
        ("agent", "1002", False),
        ("plan", "survey", False),
        ("setting", "sip udp port", True),
    ]
    assert agner("diff", "config").stdout == ""


def test_without_a_daemon_there_is_nothing_to_compare_with(agner, edited):
    assert agner("diff").exit_code == agner("reload").exit_code == 3


def test_a_daemon_is_asked(agner, edited):
    def answer(request):
        assert request["do"] in ("diff", "reload")
        changes = [asdict(change) for change in difference(load("was"), load("config"))]
        return {"applied": request["do"] == "reload", "changes": changes}

    with listening(edited, answer):
        assert agner("diff").stdout == EXPECTED
        assert agner("reload").stdout == EXPECTED + "taken up: 2 of 3 changes\n1 will hold after a restart\n"
        assert len(json.loads(agner("reload", "--json").stdout)) == 3
        shutil.rmtree("was")
        shutil.copytree("config", "was")
        assert agner("reload").stdout == "nothing has changed\n"


def test_a_mistake_is_told_before_the_daemon_is_asked(agner, edited):
    staff = edited / "config/staff.yaml"
    staff.write_text(staff.read_text(encoding="utf-8").replace("strategy: longest idle", "strategy: longst idle"))
    result = agner("reload")
    assert result.exit_code == 2 and "'longst idle' is not known here (longest idle?)" in result.stderr
