"""Numbers, hours and the walk: what the interpreter does with a plan, and a model of the longest match."""

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.callflow.conditions import CallerListed, Hours, NumberList, WithinHours
from engine.callflow.errors import PlanError
from engine.callflow.plan import Caller, Dialling, Place, PlanBook, Situation, Visit
from engine.callflow.staff import Agent, Serves, Staff, able, meets
from engine.callflow.staff import Queue as StaffQueue
from engine.callflow.steps import Answer, HangUp, Queue, Relax, needs_text

HERE = Place("plans/x.yaml", 1, 1)
OFFICE = Hours(
    "office", (((540, 720), (780, 1080)),) * 5 + ((), ()), {date(2026, 10, 1): (), date(2026, 10, 10): ((0, 1440),)}
)
BLACK = NumberList("black", frozenset({"138"}), ("0551",))
BOOK = PlanBook(
    steps=(
        CallerListed(HERE, {"yes": 4, "no": 1}, BLACK),
        WithinHours(HERE, {"yes": 2, "no": 4}, OFFICE),
        Answer(HERE, {"done": 3}),
        Queue(HERE, {"timeout": 0}, "sales", max_wait_s=30.0),
        HangUp(HERE, {}, "busy"),
    ),
    entries={"sales": 0},
    numbers={"4001": "sales", "40*": "forty", "400*": "four hundred"},
)
OPEN = datetime(2026, 11, 18, 10, 0)


def test_a_walk_decides_conditions_and_stops_at_the_first_step_to_carry_out() -> None:
    stop = BOOK.enter("sales", Situation(Caller("139", "4001", "t"), OPEN))
    assert isinstance(stop.step, Answer)
    assert stop.trail == (Visit(0, "no"), Visit(1, "yes"), Visit(2, None))
    assert BOOK.after(2, "done", Situation(Caller("139", "4001", "t"), OPEN)).trail == (Visit(3, None),)


def test_a_condition_is_decided_when_the_walk_comes_by() -> None:
    """The queue's time-out leads back to the conditions; by then the office is closed."""
    stop = BOOK.after(3, "timeout", Situation(Caller("139", "4001", "t"), OPEN.replace(hour=18)))
    assert stop.trail == (Visit(0, "no"), Visit(1, "no"), Visit(4, None))


@pytest.mark.parametrize(
    ("ani", "listed"), [("138", True), ("1380", False), ("05511", True), ("0551", True), ("055", False), ("", False)]
)
def test_number_lists(ani: str, listed: bool) -> None:
    assert (ani in BLACK) is listed
    assert ("" in NumberList("all", frozenset(), ("",))) is False


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-18 09:00", True),
        ("2026-11-18 08:59", False),
        ("2026-11-18 12:00", False),
        ("2026-11-18 17:59", True),
        ("2026-11-18 18:00", False),
        ("2026-11-21 10:00", False),  # Saturday
        ("2026-10-01 10:00", False),  # a holiday beats the week
        ("2026-10-10 23:59", True),  # a Saturday worked in exchange, to midnight
    ],
)
def test_hours(at: str, is_open: bool) -> None:
    assert OFFICE.is_open(datetime.fromisoformat(at)) is is_open


def test_the_longest_number_wins_and_an_unknown_one_is_404() -> None:
    assert [BOOK.plan_for(dnis) for dnis in ("4001", "4002", "400", "401")] == ["sales", *["four hundred"] * 2, "forty"]
    with pytest.raises(PlanError) as caught:
        BOOK.plan_for("555")
    assert (caught.value.status, caught.value.disposition) == (404, "unknown_number")


PATTERN = st.builds(str.__add__, st.text("12", max_size=4), st.sampled_from(["", "*"])).filter(bool)
PATTERNS = st.dictionaries(PATTERN, st.sampled_from("abc"), max_size=8)


@given(numbers=PATTERNS, dnis=st.text("12", min_size=1, max_size=5))
def test_plan_for_is_the_longest_match(numbers: dict[str, str], dnis: str) -> None:
    def matches(pattern: str) -> bool:
        return dnis.startswith(pattern[:-1]) if pattern.endswith("*") else dnis == pattern

    fitting = [pattern for pattern in numbers if matches(pattern)]
    book = PlanBook((), {}, numbers)
    if not fitting:
        with pytest.raises(PlanError):
            book.plan_for(dnis)
    else:
        best = max(fitting, key=lambda pattern: (not pattern.endswith("*"), len(pattern)))
        assert book.plan_for(dnis) == numbers[best]


@given(
    numbers=st.dictionaries(PATTERN.map(lambda text: text.replace("2", "0")), st.sampled_from("abc"), max_size=8),
    number=st.text("10", min_size=1, max_size=5),
)
def test_no_international_number_is_dialled_unless_a_pattern_says_so(numbers: dict[str, str], number: str) -> None:
    dialling = Dialling(numbers, ("00", "0011"))
    abroad = "0011" if number.startswith("0011") else "00" if number.startswith("00") else ""
    fits = [p for p in numbers if (number.startswith(p[:-1]) if p.endswith("*") else number == p)]
    allowed = [p for p in fits if p.startswith(abroad)]
    if allowed:
        best = max(allowed, key=lambda pattern: (not pattern.endswith("*"), len(pattern)))
        assert dialling.plan_for(number) == numbers[best]
    else:
        with pytest.raises(PlanError) as caught:
            dialling.plan_for(number)
        assert caught.value.status == (403 if fits else 404)


@pytest.mark.parametrize("number", ["", "1002;phone-context=x", "1002@elsewhere", "abc", "1" * 33, "\u0661"])
def test_only_digits_are_dialled(number: str) -> None:
    """The number goes on into requests of ours."""
    with pytest.raises(PlanError):
        Dialling({"*": "any"}).plan_for(number)


def test_steps_describe_themselves_for_traces() -> None:
    needs = ((("english", 80), ("mandarin", 20)), (("english", 100),))
    assert needs_text(needs) == "english>=80 and mandarin>=20 or english>=100"
    step = Queue(HERE, {}, "sales", needs, 600.0, 90.0, (Relax(20.0, ((("english", 40),),), None),))
    told = f"queue sales, {needs_text(needs)}, head start 600 s, after 20 s english>=40, at most 90 s"
    assert step.describe() == told
    assert Queue(HERE, {}, "sales", head_start_s=float("inf")).describe() == "queue sales, strict priority"
    assert BOOK.steps[4].describe() == "hang up (busy, 486 if not answered)"


def test_who_may_take_a_call_by_skill() -> None:
    def agent(ident: str, level: int, *serves: Serves) -> Agent:
        return Agent(ident, ident, "", {"english": level}, serves)

    agents = [agent("late", 90, Serves("s", 2)), agent("weak", 10, Serves("s")), agent("good", 50, Serves("s"))]
    agents.append(agent("elsewhere", 100, Serves("other")))
    staff = Staff(("english",), {"s": StaffQueue("s", needs=((("english", 20),),))}, {one.id: one for one in agents})
    assert [one.id for one in able(staff, "s", ())] == ["good", "late"]
    assert [one.id for one in able(staff, "s", ((("english", 60),),))] == ["late"]
    assert meets({}, ()) and not meets({}, ((("english", 1),),))
