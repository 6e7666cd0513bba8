"""Trunks as docs/sip.md describes them, and password files that others may read."""

import re
from pathlib import Path

import pytest

from engine.callflow.settings import Destination
from engine.config.settings import read_settings
from engine.config.yaml_nodes import Report

ROOT = Path(__file__).parents[2]


def example(folder: Path, mode: int) -> tuple[Path, Path]:
    """switch.yaml of the documentation, and the password file that it names."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/sip.md").read_text(encoding="utf-8"), re.S)
    password = folder / "carrier.password"
    password.write_text("s3cret\n")
    password.chmod(mode)
    path = folder / "switch.yaml"
    path.write_text(text.replace("/etc/agner/carrier.password", str(password)))
    return path, password


def test_the_documented_trunks_are_read(tmp_path: Path) -> None:
    report = Report()
    carrier, second, pbx = read_settings(example(tmp_path, 0o600)[0], report).trunks
    assert report.found == []
    assert carrier.destinations[2] == Destination("203.0.113.9", 5060, "tcp", 2, 1)
    assert [one.weight for one in carrier.destinations] == [70, 30, 1]
    assert carrier.registration and carrier.registration.user == "4930123456" and carrier.overflow == second.name
    assert carrier.numbers.caller_in.rewrite("030123456") == "+4930123456"
    assert carrier.numbers.called_out.rewrite("+33123456") == "0033123456"
    assert pbx.challenge and pbx.challenge.algorithms == ("MD5",) and not pbx.destinations
    assert "s3cret" not in repr((carrier, pbx))


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o602])
def test_a_password_that_others_can_read_is_told(tmp_path: Path, mode: int) -> None:
    report = Report()
    path, password = example(tmp_path, mode)
    read_settings(path, report)
    assert [one.text for one in report.found] == [
        f"password file: {str(password)!r} can be read or written by others (chmod 600 {password})"
    ]


def test_a_group_may_read_it(tmp_path: Path) -> None:
    report = Report()
    read_settings(example(tmp_path, 0o640)[0], report)
    assert report.found == []
