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
    "tv-anybody": ["--ani", "13700000000", "--dnis", "4008002001", "--on", "unknown"],
    "tv-withheld-timeout": ["--dnis", "4008002003", "--on", "timeout"],
    "tv-blacklisted": ["--ani", "13700000000", "--dnis", "4008002001", "--listed"],
    "tv-vip": ["--ani", "1370", "--dnis", "4008002002", "--with", "customer.level=vip", "--on", "timeout"],
    "tv-returning-key-1": ["--ani", "1370", "--dnis", "4008002001", "--with", "customer.agent=1002", "--on", "1"]
    + ["--on", "2", "--on", "done", "--on", "1", "--on", "done", "--with", "wanted=13712345678"],
    "tv-message": ["--ani", "1370", "--dnis", "4008002003", "--on", "failed", "--on", "2", "--on", "too short"],
    "tv-survey": ["--dnis", "4008002001", "--with", "customer.level=vip", "--on", "served", "--on", "3"],
    "tv-recording-refused": ["--dnis", "4008002000", "--on", "refused", "--on", "no agents"],
    "tv-late-film": ["--dnis", "4008002001", "--at", "2026-11-21 22:40", "--on", "full"],
    "tv-night": ["--dnis", "4008002002", "--at", "2026-11-22 23:40"],
    "tv-holiday": ["--dnis", "4008002002", "--at", "2026-10-04 12:00", "--on", "1", "--on", "done"],
    "tv-desk-in-the-holidays": ["--dnis", "4008002000", "--at", "2026-10-05 15:59", "--on", "given", "--on", "timeout"],
    "tv-sunday-worked": ["--dnis", "4008002000", "--at", "2026-09-20 08:00", "--on", "given", "--on", "timeout"],
    "agent-to-agent": ["--from-agent", "1001", "--dnis", "1002"],
    "agent-to-nobody": ["--from-agent", "1001", "--dnis", "1009", "--on", "failed"],
    "agent-outside": ["--from-agent", "1001", "--dnis", "057188880000", "--on", "busy"],
    "tv-mailbox": ["--dnis", "4008002009", "--on", "refused"],
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


def test_customers_and_the_blacklist_are_looked_up_in_the_database(agner: Callable[..., Result]) -> None:
    Path("var").mkdir()
    added = agner("customers", "add", "13700000000", "--level", "vip", "--name", "王小姐", "--agent", "1002")
    assert added.exit_code == 0, added.output
    call = ["--ani", "013700000000", "--dnis", "4008002001", "--at", "2026-11-21 20:15"]
    told = agner("explain", *call, "--on", "timeout").output
    assert "found\n" in told and "customer.name 王小姐, customer.level vip, customer.agent 1002" in told
    assert "customer.level is vip: yes" in told
    assert "at most 0.3 s: unknown" in agner("explain", *call[2:], "--ani", "1", "--on", "timeout").output
    assert agner("blacklist", "add", "0137*", "--reason", "rude").exit_code == 0
    assert "blacklist of the database: yes" in agner("explain", *call).output


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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--from-agent", "1001", "--dnis", "0044123"], "is international, which is barred: the call gets 403"),
        (["--from-agent", "1001", "--dnis", "911"], "'911' is none that agents may dial: the call gets 404"),
        (["--from-agent", "1001", "--ani", "1370", "--dnis", "1002"], "--ani and --trunk do not go with it"),
        (["--from-agent", "4711", "--dnis", "1002"], "agent 4711 is not in staff.yaml"),
    ],
)
def test_explain_of_what_an_agent_may_not_dial(agner: Callable[..., Result], words: list[str], told: str) -> None:
    result = agner("explain", *words)
    assert result.exit_code == 1 and told in result.output


def test_check_of_the_shipped_configuration(agner: Callable[..., Result]) -> None:
    result = agner("check")
    assert result.exit_code == 0 and result.output.startswith("config: no mistake in 28 plans")
    assert json.loads(agner("check", "--json").output)["agents"] == 6


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
