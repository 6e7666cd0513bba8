"""`agner check` and `agner explain`, as a user runs them; the explanations of the shipped plans are golden."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import COMMANDS, main

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

CALLS = {
    "ordinary": ["--ani", "13700000000", "--dnis", "4008001001"],
    "vip": ["--ani", "13900000001", "--dnis", "4008001001"],
    "blacklisted": ["--ani", "055112345678", "--dnis", "4008001001"],
    "withheld": ["--dnis", "4008001001"],
    "english": ["--ani", "13700000000", "--dnis", "4008001002"],
    "english-timeout": ["--ani", "13700000000", "--dnis", "4008001002", "--on", "timeout"],
    "transfer-busy-timeout": ["--dnis", "4008001003", "--on", "busy", "--on", "timeout"],
    "open": ["--dnis", "4008001004", "--at", "2026-10-10 09:00"],
    "holiday": ["--dnis", "4008001004", "--at", "2026-10-01 10:00"],
    "lunch": ["--dnis", "4008001004", "--at", "2026-11-18T12:00"],
}


@pytest.fixture
def agner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """In a folder with the shipped configuration and without a database."""
    shutil.copytree(ROOT / "config", tmp_path / "here/config")
    (tmp_path / "here/prompts").symlink_to(ROOT / "prompts")
    monkeypatch.chdir(tmp_path / "here")
    return lambda *words: CliRunner().invoke(main, words)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "broken")
    plan = tmp_path / "broken/plans/main.yaml"
    plan.write_text(plan.read_text(encoding="utf-8").replace("queue: support", "queue: suport"), encoding="utf-8")
    return tmp_path / "broken"


@pytest.mark.parametrize("call", CALLS)
def test_explain(call: str, agner: Callable[..., Result], golden: Callable[[Path, str], None]) -> None:
    at = [] if "--at" in CALLS[call] else ["--at", "2026-11-21 20:15"]
    result = agner("explain", *CALLS[call], *at)
    assert result.exit_code == 0, result.output
    golden(HERE / "golden" / f"{call}.txt", result.output)


def test_explain_as_json_has_the_same_steps(agner: Callable[..., Result]) -> None:
    told = json.loads(agner("explain", *CALLS["transfer-busy-timeout"], "--json").output)
    assert (told["plan"], told["timezone"]) == ("headquarters", "Asia/Shanghai")
    assert [line["result"] for line in told["steps"]] == ["done", "busy", "timeout", "done", None]
    lines = agner("explain", *CALLS["transfer-busy-timeout"]).output
    assert all(line["place"] in lines and line["says"] in lines for line in told["steps"])


def test_explain_of_an_unknown_number_and_of_an_impossible_result(agner: Callable[..., Result]) -> None:
    result = agner("explain", "--dnis", "555")
    assert (result.exit_code, result.stderr) == (1, "agner: number '555' leads to no plan: the call gets 404\n")
    result = agner("explain", "--dnis", "4008001001", "--on", "busy")
    assert result.exit_code == 1 and "cannot end with 'busy'" in result.stderr


def test_check_of_the_shipped_configuration(agner: Callable[..., Result]) -> None:
    result = agner("check")
    assert result.exit_code == 0 and result.output.startswith("config: no mistake in 7 plans")
    assert json.loads(agner("check", "--json").output)["agents"] == 4


def test_check_tells_mistakes_on_stderr_with_exit_code_2(agner: Callable[..., Result], broken: Path) -> None:
    result = agner("--config", str(broken), "check")
    assert (result.exit_code, result.stdout) == (2, "")
    assert 'plans/main.yaml:62:14: queue "suport" is not in staff.yaml (support?)\n1 mistake in' in result.stderr
    told = json.loads(agner("--config", str(broken), "check", "--json").stdout)
    assert [one["line"] for one in told["complaints"]] == [62] and not told["ok"]
    assert agner("--config", str(broken), "explain", "--dnis", "4008001001").exit_code == 2


def test_the_folder_may_come_from_the_environment(
    agner: Callable[..., Result], broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNER_CONFIG", str(broken))
    assert agner("check").exit_code == 2


def test_a_misspelt_command_gets_a_guess(agner: Callable[..., Result]) -> None:
    result = agner("chek")
    assert result.exit_code == 2 and "no command is called 'chek' (check?)" in result.stderr


def test_help_reads_no_command_and_no_engine(agner: Callable[..., Result]) -> None:
    program = (
        "import sys\nfrom cli.main import main\ntry: main(['--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(command in done.stdout for command in COMMANDS)
    loaded = done.stderr.split()
    assert not [name for name in loaded if name.partition(".")[0] in ("engine", "yaml", "sqlalchemy", "numpy")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, agner: Callable[..., Result]) -> None:
    assert "_AGNER_COMPLETE" in agner("completion", shell).output


def test_completion_offers_commands(agner: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "agner ch")
    monkeypatch.setenv("COMP_CWORD", "1")
    result = CliRunner().invoke(main, env={"_AGNER_COMPLETE": "bash_complete"}, prog_name="agner")
    assert result.output == "plain,check\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_help_is_there(name: str, agner: Callable[..., Result]) -> None:
    assert agner(name, "--help").exit_code == 0
