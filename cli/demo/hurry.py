"""The configuration in a hurry: the same plans, queues and agents with shorter times, so that half a minute shows what
takes minutes on a call floor. Text is changed in place, so lines keep their numbers.
"""

import re
from collections.abc import Callable

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
    text, n = re.subn(pattern, by, text)
    if not n:
        raise NotThere(f"no setting {name!r} is there")
    return text


def _shorter(found: re.Match[str], by: float) -> str:
    return f"{1000 * float(found[1]) * _SECONDS[found[2]] / by:.0f}ms"
