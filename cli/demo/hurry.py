"""The configuration in a hurry: the same plans, queues and agents with shorter times, so that half a minute shows what
takes minutes on a call floor. Text is changed in place, so lines keep their numbers.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from engine.config import Configuration, load

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)\b")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class NotThere(Exception):
    """The configuration has no such setting."""


def setting(text: str, name: str, value: str) -> str:
    """Every `name: ...` of a YAML text gets this value. Raises NotThere."""
    pattern = rf"(?<!\w)(?<!\w ){re.escape(name)}: (?:\{{[^}}]*\}}|\[[^\]]*\]|[^,#}}\n]*[^,#}}\s])"
    return _replaced(text, pattern, lambda _: f"{name}: {value}", name)


def sooner(text: str, name: str, by: float) -> str:
    """Every duration of `name: ...` is divided. Raises NotThere."""
    pattern = rf"(?<!\w)(?<!\w ){re.escape(name)}: (?:after )?\d[\w.]*"
    return _replaced(text, pattern, lambda found: _DURATION.sub(lambda one: _shorter(one, by), found[0]), name)


def _replaced(text: str, pattern: str, by: Callable[[re.Match[str]], str], name: str) -> str:
    text, n = re.subn(pattern, by, text, flags=re.MULTILINE)
    if not n:
        raise NotThere(f"no setting {name!r} is there")
    return text


def _with(value: str, found: re.Match[str]) -> str:
    return f"{found[1]}{value} "


def _shorter(found: re.Match[str], by: float) -> str:
    return f"{1000 * float(found[1]) * _SECONDS[found[2]] / by:.0f}ms"


def hours(text: str, name: str, lines: Sequence[str]) -> str:
    """The opening hours of this name are these. Raises NotThere."""
    block = "".join(f"    {line}\n" for line in lines)
    return _replaced(text, rf"^  {re.escape(name)}:\n(?:    .*\n)+", lambda _: f"  {name}:\n{block}", name)


class Hurried:
    """A copy of a configuration folder, and of what the daemon keeps: nothing of it touches the real floor's."""

    def __init__(self, source: Path, target: Path) -> None:
        self.folder, self._source, self._state = target / "config", source, target
        shutil.copytree(source, self.folder)
        self._write("switch.yaml", self._switch)
        self._write("staff.yaml", self._staff)
        self.open()

    def open(self) -> None:
        self._write_plan(["daily: all day"])

    def close(self, dates: str) -> None:
        """These days are a holiday."""
        self._write_plan(["daily: 09:00-21:00", "days:", f"  {dates}: closed"])

    def load(self) -> Configuration:
        return load(self.folder)

    def _write(self, name: str, change: Callable[[str], str]) -> None:
        (self.folder / name).write_text(change((self._source / name).read_text()))

    def _switch(self, text: str) -> str:
        for line, value in {
            r"^storage: ": f"sqlite:///{self._state}/agner.db",
            r"^folder: ": str(self._state),
            r"(?<=^recording:\n)(?:  .*\n)*?  folder: ": f"{self._state}/recordings",
        }.items():
            text = _replaced(text, rf"({line})[^#\n]*", partial(_with, value), line)
        return text

    def _staff(self, text: str) -> str:
        text = setting(sooner(text, "first", 4), "wrap up", "2s")
        return _replaced(text, r"(?<= )between: [^#\n]*", lambda _: "between: 00:00-24:00 ", "between")

    def _write_plan(self, lines: Sequence[str]) -> None:
        """Without the late spot on the slimming number: the demo's callers mean what they dial, at any hour."""

        def change(text: str) -> str:
            never = "jewellery-on-slimming-number:\n    spots: [{ on: 2000-01-01, at: 00:00, for: 1m }]"
            text = _replaced(text, r"jewellery-on-slimming-number:\n    spots: .*", lambda _: never, "the late spot")
            return sooner(hours(text, "floor", lines), "max wait", 18)

        self._write("plans/tv-shopping.yaml", change)
