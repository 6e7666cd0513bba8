"""docs/plans.md has every step, and each of its examples is good against the shipped staff."""

import re
import shutil
from pathlib import Path

import pytest

from engine.config import Complaints, load
from engine.config.forks import CONDITIONS
from engine.config.steps import READERS
from engine.config.values import BUILT_IN, CUSTOMER

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/plans.md").read_text(encoding="utf-8")
TOP, *STEPS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
EXAMPLE = "\nplans:\n  example: [hang up]\n"


def test_every_step_and_condition_is_there() -> None:
    headings = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)
    assert sorted(headings) == sorted(READERS)
    assert all(f"{word}:" in TEXT or f"or: {word}" in TEXT for word in CONDITIONS)
    assert all(f"`{name}`" in TEXT for name in BUILT_IN)
    assert all(f".{field}`" in TEXT for field in CUSTOMER)
    assert len(STEPS) == len(READERS)


@pytest.mark.parametrize("n", range(len(STEPS)))
def test_an_example_is_good(n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans/top.yaml").write_text(TOP + EXAMPLE)
    shutil.copy("config/switch.yaml", tmp_path)
    staff = Path("config/staff.yaml").read_text(encoding="utf-8")
    (tmp_path / "staff.yaml").write_text(staff.replace("max length:", "max expected wait: 9m\n    max length:", 1))
    is_heard = STEPS[n].startswith(("- answer", "- early media"))
    steps = ([] if is_heard else ["- answer"]) + STEPS[n].splitlines()
    plan, told = tmp_path / "plans/step.yaml", ""
    for end in ([], ["- hang up"]):
        lines = "".join(f"    {line}\n" for line in [*steps, *end])
        plan.write_text(f"numbers: {{ 999: step }}\nplans:\n  step:\n{lines}", encoding="utf-8")
        try:
            load(tmp_path)
            return
        except Complaints as complaints:
            told += f"{complaints}\n"
    pytest.fail(told)
