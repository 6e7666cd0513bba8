"""What every test may use: `golden`, which holds a text against a file that has been read and agreed to.

Hypothesis judges no test by its time: the machine may be busy with calls.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("agner", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agner")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite the golden files; review the diff")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """golden(file, text): the text must be what the file holds. With --golden the file is written instead."""

    def compare(file: Path, text: str) -> None:
        if request.config.getoption("--golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.is_file(), f"{file} is missing: `make golden` writes it"
        assert text == file.read_text(encoding="utf-8")

    return compare
