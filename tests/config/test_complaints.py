"""Every mistake in bad/ is told, at its place, in one run. A case holds the files it changes in good/."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.config import Complaints, load

HERE = Path(__file__).parent
CASES = sorted(folder.name for folder in (HERE / "bad").iterdir())


@pytest.fixture
def floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The good configuration, in the current directory."""
    shutil.copytree(HERE / "good", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(folder: str = "config") -> str:
    with pytest.raises(Complaints) as caught:
        load(folder)
    return str(caught.value) + "\n"


def test_the_good_configuration_is_good(floor: Path) -> None:
    assert load("config").book.numbers == {"4008001001": "sales"}


@pytest.mark.parametrize("case", CASES)
def test_bad(case: str, floor: Path, golden: Callable[[Path, str], None]) -> None:
    shutil.copytree(HERE / "bad" / case, floor, dirs_exist_ok=True)
    golden(HERE / "bad" / case / "complaints.txt", told())


def test_no_folder_at_all(floor: Path) -> None:
    lines = told("nowhere").splitlines()
    assert "nowhere/plans:1:1: no plan is described here (plans/*.yaml)" in lines
    assert "nowhere/staff.yaml:1:1: cannot be read: No such file or directory" in lines
    assert "nowhere/switch.yaml:1:1: cannot be read: No such file or directory" in lines
