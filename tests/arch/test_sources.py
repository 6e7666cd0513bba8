"""What no tracked file may hold: a path that exists on one machine only."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MACHINE_PATH = re.compile(rb"(?<![\w.~$}/-])/(?:work|root|tmp|home/\w+)/[\w.]")


def tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    return [ROOT / name.decode() for name in names.split(b"\0") if name]


def test_no_tracked_file_names_a_path_of_one_machine():
    texts = {file: file.read_bytes() for file in tracked() if file.is_file() and file != Path(__file__)}
    assert len(texts) > 50
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.decode(errors='replace').strip()}"
        for file, text in texts.items()
        if b"\0" not in text
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("line", [b'open("/tmp/main/x")', b"cd /tmp/x", b"log=/tmp/x.log", b"in /home/ann/agner"])
def test_such_a_path_is_seen(line):
    assert MACHINE_PATH.search(line)


@pytest.mark.parametrize("line", [b"GET /api/tmp/1", b"etc/tmp/x", b"${XDG_CACHE_HOME}/tmp/x", b"https://a.b/tmp/x"])
def test_a_part_of_another_path_is_not(line):
    assert not MACHINE_PATH.search(line)
