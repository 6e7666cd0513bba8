"""The architecture's check: which room may import which, and what may live in a room at all.

A room is a folder or a file of engine/, or cli/. Machines decide (callflow), rooms act (sip, media, records, acd,
config), one file conducts (switch) and is given its rooms; app builds them. A new arrow is a decision, made in ARROWS.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.arch.arrows import CYTHON_OWN, Arrow, arrows_of_cython, arrows_of_python, is_standard, module_name

ROOT = Path(__file__).parents[2]

# room -> the rooms of ours and the libraries it may import. The standard library is free, except for the clock (below).
ARROWS: dict[str, set[str]] = {
    "engine": set(),
    "engine.callflow": set(),
    "engine.doors": {"engine.callflow"},
    "engine.trace": {"engine.callflow", "engine.encoding"},
    "engine.control": set(),
    "engine.load": set(),
    "engine.encoding": {"engine.callflow"},
    "engine.acd": {"engine.callflow", "engine.encoding", "acd_core"},
    "engine.replay": {"engine.acd", "engine.callflow", "engine.encoding", "acd_core"},
    "engine.audit": {"engine.trace"},
    "engine.day": {"engine.callflow", "engine.encoding"},
    "engine.whatif": {"engine.acd", "engine.callflow", "engine.day", "acd_core"},
    "engine.why": {"engine.acd", "engine.callflow", "acd_core"},
    "engine.simulate": {"acd_core", "numpy"},
    "engine.callbacks": {"engine.callflow"},
    "engine.errands": {"engine.callflow", "httpcore"},
    "engine.sip": {"engine.callflow", "engine.doors", "pjsua2", "dns"},
    "engine.media": {"engine.callflow", "engine.doors", "numpy", "soundfile", "soxr"},
    "engine.records": {"engine.callflow", "engine.doors", "sqlalchemy", "alembic"},
    "engine.config": {"engine.callflow", "yaml"},
    "engine.switch": {"engine.callbacks", "engine.callflow", "engine.doors", "engine.trace"},
    "engine.reload": {
        "engine.acd",
        "engine.app",
        "engine.callflow",
        "engine.config",
        "engine.control",
        "engine.encoding",
        "engine.media",
        "engine.switch",
    },
    "engine.board": {
        "engine.acd",
        "engine.app",
        "engine.callbacks",
        "engine.callflow",
        "engine.control",
        "engine.switch",
        "engine.why",
        "acd_core",
    },
    "engine.app": {
        "engine.acd",
        "engine.board",
        "engine.callflow",
        "engine.config",
        "engine.control",
        "engine.errands",
        "engine.load",
        "engine.media",
        "engine.records",
        "engine.reload",
        "engine.sip",
        "engine.switch",
        "engine.trace",
    },
    "cli": {
        "engine.app",
        "engine.audit",
        "engine.callflow",
        "engine.config",
        "engine.control",
        "engine.day",
        "engine.encoding",
        "engine.replay",
        "engine.whatif",
        "engine.records",  # searching old calls and recordings; SQLAlchemy stays inside
        "engine.trace",
        "benchmarks",  # of the checkout; `agner bench` alone
        "click",
        "openpyxl",  # customers come in XLSX
        "rich",
        "numpy",  # the demonstration listens to its own recordings
        "soundfile",
        "soxr",
    },
    "acd_core": {"numpy"},
}

# C headers by folder: pjmedia's belong to the media ports alone.
HEADERS: dict[str, set[str]] = {
    "engine.media": {"pjlib.h", "pjmedia.h", "pjsua-lib", "pjsua.h"},
    "engine.sip": {"pjsua-lib", "pjsua.h"},
}
STANDARD_HEADERS = {"stdint.h", "stdlib.h", "string.h", "stdatomic.h", "math.h", "time.h", "pthread.h"}

# Arrows against the rules that wait to be removed. One that is gone must go from here too.
DEBTS: dict[tuple[str, str], str] = {}

CLOCK_OWNERS = ("engine.app", "cli")  # everybody else is told the time
CLOCK_READS = {("time", "time"), ("time", "time_ns"), ("time", "localtime"), ("time", "gmtime"), ("time", "ctime")} | {
    (name, verb) for name in ("datetime", "date") for verb in ("now", "utcnow", "today")
}

LINES_AT_MOST = 400
LONGER = {"engine/callflow/events.py": "every event of a call on one page"}  # file -> why it is one thought


# ---- what is checked


def python_files() -> list[Path]:
    return sorted(file for room in ("engine", "cli") for file in (ROOT / room).rglob("*.py"))


def cython_files() -> list[Path]:
    return sorted([*ROOT.glob("acd_core.pyx"), *ROOT.glob("acd/*.pxi"), *(ROOT / "engine").rglob("*.px[di]")]) + sorted(
        (ROOT / "engine").rglob("*.pyx")
    )


def all_arrows() -> Iterator[Arrow]:
    for file in python_files():
        yield from arrows_of_python(module_name(file, ROOT), file.read_text(encoding="utf-8"))
    for file in cython_files():
        name = module_name(file, ROOT)
        yield from arrows_of_cython("acd_core" if name.startswith("acd.") else name, file.read_text(encoding="utf-8"))


def room_of(name: str) -> str | None:
    """The longest room that `name` lies in."""
    inside = [room for room in ARROWS if name == room or (name.startswith(f"{room}.") and room != "engine")]
    return max(inside, key=len, default=None)


def complaint(arrow: Arrow) -> str | None:
    """What is wrong with this import, if anything."""
    room = room_of(arrow.module)
    if room is None:
        return f"{arrow.module} is in no room: say in ARROWS what it may import"
    if arrow.target.endswith(".h"):
        allowed = HEADERS.get(room, set())
        is_own = (ROOT / arrow.module.replace(".", "/")).parent.joinpath(arrow.target).is_file()
        is_free = is_own or arrow.target.split("/")[0] in allowed or arrow.target in STANDARD_HEADERS
        return None if is_free else f"{arrow}, which {room} may not"
    if is_standard(arrow.target) or arrow.target.split(".")[0] in CYTHON_OWN:
        return None
    target = room_of(arrow.target) or arrow.target.split(".")[0]
    if target == room or target in ARROWS[room] or (room, target) in DEBTS:
        return None
    return f"{arrow}, which {room} may not"


def clock_reads(module: str, text: str) -> list[str]:
    return [
        f"{module}:{node.lineno} reads the wall clock"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and (_last_name(node.value), node.attr) in CLOCK_READS
    ]


def printing(module: str, text: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [f"{module}:{c.lineno} prints" for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]


def _last_name(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)


# ---- arrows


def test_no_arrow_is_new():
    found = list(all_arrows())
    assert len(found) > 100  # the sources were read
    assert sorted({text for arrow in found if (text := complaint(arrow))}) == []


def test_every_debt_is_still_owed():
    owed = {(room_of(arrow.module), arrow.target.split(".")[0]) for arrow in all_arrows()}
    assert set(DEBTS) - owed == set()


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("engine.callflow.call", "import yaml"),
        ("engine.callflow.call", "from engine import switch"),
        ("engine.callflow.call", "def f():\n    from engine.media.mixer import Mixer"),
        ("engine.switch", "from engine.sip.endpoint import Endpoint"),
        ("engine.switch", "if TYPE_CHECKING:\n    from engine import records"),
        ("engine.sip.endpoint", "from engine.media import mixer"),
        ("engine.media.media", "import pjsua2 as pj"),
        ("engine.config.steps", "from sqlalchemy import select"),
        ("engine.control", "import click"),
        ("engine.trace", "from . import doors"),
        ("engine.newcomer", "import json"),
        ("cli.reports", "import sqlalchemy"),
        ("cli.reports", "from engine.sip import translate"),
        ("cli.reports", "from engine.switch import Switch"),
    ],
)
def test_a_bad_arrow_is_seen(module, text):
    (arrow,) = arrows_of_python(module, text)
    assert complaint(arrow)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("acd_core", "from engine.callflow cimport plan"),
        ("acd_core", 'cdef extern from "pjlib.h":'),
        ("engine.sip.edge", "cdef extern from <pjmedia.h>:"),
        ("engine.media.ports", "from engine.records import writer"),
        ("engine.media.ports", "    import sqlalchemy, os"),
    ],
)
def test_a_bad_arrow_of_a_cython_source_is_seen(module, text):
    assert any(complaint(arrow) for arrow in arrows_of_cython(module, text))


# ---- the clock, output, docstrings, size


@pytest.mark.parametrize(
    ("rule", "is_free"),
    [
        pytest.param(clock_reads, lambda module: room_of(module) in CLOCK_OWNERS, id="the wall clock is app's"),
        pytest.param(printing, lambda module: module.startswith("cli"), id="only the command line prints"),
    ],
)
def test_rules_of_the_rooms(rule: Callable[[str, str], list[str]], is_free: Callable[[str], bool]):
    modules = {module_name(file, ROOT): file.read_text(encoding="utf-8") for file in python_files()}
    assert [broken for module, text in modules.items() if not is_free(module) for broken in rule(module, text)] == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (clock_reads, "import time\nnow = time.time()"),
        (clock_reads, "import time\nclock = time.time"),
        (clock_reads, "from datetime import datetime\nnow = datetime.now(UTC)"),
        (clock_reads, "import datetime\nnow = datetime.date.today()"),
        (printing, "def f():\n    print(1)"),
    ],
)
def test_a_broken_rule_is_seen(rule, text):
    assert rule("engine.switch", text)


def test_every_module_says_what_it_is():
    files = [*python_files(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    texts = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}
    assert [name for name, text in texts.items() if text and not ast.get_docstring(ast.parse(text))] == []


def test_no_module_is_longer_than_one_reads():
    """The native core is not counted."""
    written = [f for f in (ROOT / "engine").rglob("*.[ch]") if not f.with_suffix(".pyx").exists()]
    sources = [*python_files(), *(ROOT / "engine").rglob("*.pyx"), *written]
    lengths = {f.relative_to(ROOT).as_posix(): len(f.read_text("utf-8").splitlines()) for f in sources}
    too_long = {name: n for name, n in lengths.items() if n > LINES_AT_MOST}
    assert set(too_long) == set(LONGER), too_long
