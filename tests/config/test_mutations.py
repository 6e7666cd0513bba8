"""Slips of the editor in the shipped configuration: it loads, or Complaints tell why; and what loads can be walked."""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.callflow.plan import Caller, PlanBook, Situation, Stop
from engine.callflow.staff import Staff
from engine.callflow.steps import Ask
from engine.callflow.steps import Queue as QueueStep
from engine.config import Complaints, load

SHIPPED = Path(__file__).parents[2] / "config"
FILES = ("switch.yaml", "staff.yaml", "plans/tv-shopping.yaml")
TEXTS = {name: (SHIPPED / name).read_text(encoding="utf-8") for name in FILES}
WORDS = sorted({word for text in TEXTS.values() for word in text.replace(",", " ").split()})
STRANGE = [
    "",
    "{}",
    "[]",
    "~",
    "no",
    "*x",
    "&x",
    "!!int 1",
    "<<",
    '"\\0"',
    '"\\ud800"',
    "9" * 5000,
    "\t",
    "- -",
    "? :",
    "|",
    "%",
    "---",
]
CALLERS = [Caller("", "1", "t"), Caller("13800000000", "1", "t"), Caller("13900000001", "1", "t")]
TIMES = [datetime(2026, 10, 1, 10), datetime(2026, 11, 18, 10), datetime(2026, 11, 22, 23, 59)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "config"
        shutil.copytree(SHIPPED, copy)
        yield copy


@st.composite
def slips(draw: st.DrawFn, text: str) -> str:
    """The text after one slip: a word, a stretch of characters or a line taken, put or moved."""
    kind = draw(st.sampled_from(["word", "word", "characters", "line", "indent"]))
    if kind == "word":
        at = draw(st.integers(0, len(words := text.split(" ")) - 1))
        words[at] = draw(st.sampled_from(WORDS + STRANGE * 3))
        return " ".join(words)
    if kind == "characters":
        at = draw(st.integers(0, len(text)))
        return text[:at] + draw(st.text(max_size=3)) + text[at + draw(st.integers(0, 12)) :]
    lines = text.split("\n")
    at = draw(st.integers(0, len(lines) - 1))
    if kind == "line":
        lines.insert(draw(st.integers(0, len(lines))), lines[at] if draw(st.booleans()) else lines.pop(at))
    else:
        lines[at] = "  " + lines[at] if draw(st.booleans()) else lines[at].removeprefix("  ")
    return "\n".join(lines)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_slip_is_told_or_harmless(folder: Path, monkeypatch_module: None, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(FILES + ("plans/tv-shopping.yaml",)))
    text = TEXTS[name]
    for _ in range(data.draw(st.integers(1, 3))):
        text = data.draw(slips(text))
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = load(folder)
    except Complaints as complaints:
        assert complaints.found and all(one.line >= 1 and one.column >= 1 for one in complaints.found)
        assert list(complaints.found) == sorted(set(complaints.found))
    else:
        for plan in found.book.entries:
            assert_every_call_ends(found.book, plan, found.staff)
    finally:
        (folder / name).write_text(TEXTS[name], encoding="utf-8")


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[None]:
    """Prompts are named from the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(SHIPPED.parent)
        yield


def assert_every_call_ends(book: PlanBook, plan: str, staff: Staff) -> None:
    """Every result that can come about has its way, for every caller and hour."""
    for caller in CALLERS:
        for at in TIMES:
            seen: set[int] = set()
            todo = [book.enter(plan, Situation(caller, at))]
            while todo:
                stop = todo.pop()
                if stop.index not in seen:
                    seen.add(stop.index)
                    todo += [book.after(stop.index, result, Situation(caller, at)) for result in results(stop, staff)]


def results(stop: Stop, staff: Staff) -> list[str]:
    """All that the call's machine may come back with. `served` comes only where the step has a way for it."""
    step = stop.step
    if isinstance(step, Ask):
        answers = step.choices or ("done",)
        return [*answers, "no_input", "invalid"]
    if not isinstance(step, QueueStep):
        return list(step.results)
    queue = staff.queues[step.queue]
    ends = ["full"] * (queue.max_length is not None) + ["timeout"] * (step.max_wait_s is not None)
    ends += ["no_agents"] * step.leave_without_agents + ["no_skill"] * step.leave_without_skill
    ends += ["too_long"] * (queue.max_ewt_s is not None) + ["served"] * ("served" in step.ways)
    return ends + list(step.keys)
