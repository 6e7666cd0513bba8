"""Values as sequences of spoken parts: numbers, money, times, counts, in the grammar of the language.

A part is a recording of one word or turn of phrase; the play list of `say("number", 21, "en")` is say.20, say.1. Which
parts there are, and how they follow each other, is the grammar of one language: say_zh.py and say_en.py. This file
reads and rounds the values, which is the same in every language. Counterparts: prompts/, which holds a recording of
every part; engine/media/sounds.py, which loads them under the names given here.

Standard library only; no clock. Durations are seconds, times of day minutes since midnight, money is CNY.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Any, Protocol

from engine.callflow import say_en, say_zh
from engine.callflow.numbers import COUNTRY

Parts = tuple[str, ...]
Stretches = tuple[tuple[int, int], ...]  # minutes since midnight (from, to); 1440 is midnight

PREFIX = "say."  # keeps parts and prompts apart in one play list
PAUSE = "pause"  # a part of silence, without a recording
PAUSE_S = 0.25

MAX_NUMBER = 999_999_999
MAX_DIGITS = 32
DAY_MIN = 24 * 60
YEARS = range(1900, 2100)
UNITS = ("caller", "call", "message", "new_message", "order", "day", "hour", "minute", "second")  # what can be counted


class CannotSay(ValueError):
    """The value is not one of its kind, or out of the range that has words."""


class Grammar(Protocol):
    """What a language has to know; the names of its parts are its own."""

    @property
    def WORDS(self) -> Mapping[str, str]:
        """Part -> what is spoken."""
        ...

    @property
    def SPACE(self) -> str:
        """Between words."""
        ...

    def number(self, n: int) -> Parts: ...
    def ordinal(self, n: int) -> Parts: ...
    def digits(self, text: str) -> Parts: ...
    def money(self, fen: int) -> Parts: ...
    def time(self, minute: int) -> Parts: ...
    def day(self, month: int, day: int) -> Parts: ...
    def year(self, year: int) -> Parts: ...
    def dated(self, year: Parts, day: Parts) -> Parts: ...
    def weekday(self, weekday: int) -> Parts: ...
    def count(self, n: int, unit: str) -> Parts: ...
    def position(self, n: int) -> Parts: ...
    def duration(self, counts: Sequence[tuple[int, str]]) -> Parts: ...
    def wait(self, bound: str, n: int, unit: str) -> Parts: ...
    def hours(self, days: tuple[int, ...], stretches: Stretches) -> Parts: ...


GRAMMARS: Mapping[str, Grammar] = {"zh": say_zh, "en": say_en}


def say(kind: str, value: Any, language: str, unit: str = "") -> Parts:
    """The play list that speaks `value`. Values may come as the text that a plan or a look-up holds.

    number     0 to 999,999,999
    ordinal    1 to 999,999,999: third
    count      0 to 999,999,999 of a `unit` of UNITS: two callers
    position   place in a queue, 1 is next: a whole sentence
    digits     0-9 * # one by one, at most 32: agents, codes
    phone      a telephone number, in groups; +86 is left out
    money      yuan, to the fen, below a billion
    duration   seconds, up to 24 h, rounded to whole ones
    wait       seconds of expected wait, up to 24 h, rounded as _wait says: a whole sentence
    time       09:00, or a time: of day, to the minute
    date       2026-11-22, or a date: month and day
    full_date  the same with the year, 1900 to 2099
    weekday    of a date
    hours      a week: seven tuples of stretches, Monday first

    CannotSay: an unknown kind, language or unit, a value that is not one of its kind or has no words.
    """
    if language not in GRAMMARS:
        raise CannotSay(f"there is no grammar of language {language!r} (one of: {', '.join(GRAMMARS)})")
    if kind not in KINDS:
        raise CannotSay(f"{kind!r} is no kind of value (one of: {', '.join(KINDS)})")
    if kind == "count" and unit not in UNITS:
        raise CannotSay(f"count: {unit!r} is no unit (one of: {', '.join(UNITS)})")
    if kind != "count" and unit:
        raise CannotSay(f"{kind} has no unit, but {unit!r} is given")
    grammar = GRAMMARS[language]
    parts = grammar.count(_whole(value, 0), unit) if kind == "count" else _SPOKEN[kind](grammar, value)
    return tuple(PREFIX + part for part in parts)


def text(parts: Iterable[str], language: str) -> str:
    """What a play list of parts says, in words."""
    grammar = GRAMMARS[language]
    words = [grammar.WORDS[part.removeprefix(PREFIX)] for part in parts]
    return grammar.SPACE.join(words).replace(f"{grammar.SPACE}{grammar.WORDS[PAUSE]}", grammar.WORDS[PAUSE])


def recorded(language: str) -> frozenset[str]:
    """The parts of a language that need a recording, without PREFIX."""
    return frozenset(GRAMMARS[language].WORDS) - {PAUSE}


# ---- reading values


def _whole(value: Any, low: int, high: int = MAX_NUMBER) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise CannotSay(f"{value!r} is not a whole number from {low} to {high}")
    return value


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= DAY_MIN * 60:  # nan is refused too
        raise CannotSay(f"{value!r} is not a duration from 0 s to 24 h")
    return seconds


def _fen(value: Any) -> int:
    try:
        fen = Decimal(str(value)) * 100
    except InvalidOperation:
        fen = Decimal(-1)
    if not (fen.is_finite() and 0 <= fen <= MAX_NUMBER * 100 + 99 and fen == fen.to_integral_value()):
        raise CannotSay(f"{value!r} is not a sum from 0 to {MAX_NUMBER}.99 yuan")
    return int(fen)


def _minute(value: Any) -> int:
    """Of 09:00, 09:00:59 and times. 24:00 is the end of a day."""
    if value == "24:00":
        return DAY_MIN
    if isinstance(value, str):
        with suppress(ValueError):
            value = time.fromisoformat(value if re.fullmatch(r"\d\d:\d\d(:\d\d)?", value, re.ASCII) else "")
    if not isinstance(value, time | datetime):
        raise CannotSay(f"{value!r} is not a time of day (09:00)")
    return value.hour * 60 + value.minute


def _date(value: Any) -> date:
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, date) or value.year not in YEARS:
        raise CannotSay(f"{value!r} is not a date from {YEARS[0]} to {YEARS[-1]} (2026-11-22)")
    return value


def _characters(value: Any, allowed: str) -> str:
    found = str(value)
    if not re.fullmatch(f"{allowed}{{1,{MAX_DIGITS}}}", found, re.ASCII):
        raise CannotSay(f"{found!r} is not {allowed}, 1 to {MAX_DIGITS} of them")
    return found


# ---- kinds that need more than a look at the value


def _full_date(grammar: Grammar, value: Any) -> Parts:
    day = _date(value)
    return grammar.dated(grammar.year(day.year), grammar.day(day.month, day.day))


def _day(grammar: Grammar, value: Any) -> Parts:
    day = _date(value)
    return grammar.day(day.month, day.day)


def _phone(grammar: Grammar, value: Any) -> Parts:
    """In groups as people say them. A number of the own country without its code: 138 0013 8000, 0571 8765 4321."""
    number = _characters(re.sub(r"[\s().-]", "", str(value)), r"[0-9+]")
    if "+" in number[1:] or number == "+":
        raise CannotSay(f"{value!r} is not a telephone number")
    if number.startswith(f"+{COUNTRY}"):
        national = number.removeprefix(f"+{COUNTRY}")
        number = national if _WITHOUT_AREA.fullmatch(national) else f"0{national}"
    parts: Parts = grammar.digits("+") if number.startswith("+") else ()
    for at, group in enumerate(_groups(number.removeprefix("+"))):
        parts += ((PAUSE,) if at else ()) + grammar.digits(group)
    return parts


_WITHOUT_AREA = re.compile(r"1[0-9]{10}|[48]00[0-9]{7}|[0-9]{0,6}")  # mobile, 400 and 800, short codes
_AREA = re.compile(r"(0[12][0-9]|0[3-9][0-9]{2})([0-9]{7,8})")  # of China: 010 and 02x, else four digits


def _groups(digits: str) -> list[str]:
    """The area code; then fours from the right, 3-3-4 for ten digits, threes for nine; up to five stay together."""
    n = len(digits)
    if found := _AREA.fullmatch(digits):
        return [found[1], *_groups(found[2])]
    if n <= 5:
        return [digits]
    if n in (9, 10):
        return [digits[:3], digits[3:6], digits[6:]]
    first = n % 4 + 4 if n % 4 in (0, 1) else n % 4
    return [digits[:first], *(digits[at : at + 4] for at in range(first, n, 4))]


def _duration(grammar: Grammar, value: Any) -> Parts:
    """Hours, minutes and seconds; what is 0 is left out."""
    left = round(_seconds(value))
    counts = [(left // 3600, "hour"), (left // 60 % 60, "minute"), (left % 60, "second")]
    return grammar.duration([count for count in counts if count[0]] or [(0, "second")])


def _wait(grammar: Grammar, value: Any) -> Parts:
    """Never shorter than the estimate, never 0 minutes: up to a minute "less than"; then whole minutes, upwards; beyond
    ten by fives; beyond an hour "more than"."""
    seconds = _seconds(value)
    if seconds <= 60:
        return grammar.wait("less", 1, "minute")
    if seconds > 3600:
        return grammar.wait("more", 1, "hour")
    step = 1 if seconds <= 600 else 5
    minutes = ceil(seconds / (60 * step)) * step
    return grammar.wait("about", 1, "hour") if minutes == 60 else grammar.wait("about", minutes, "minute")


def _hours(grammar: Grammar, value: Any) -> Parts:
    """Neighbouring days of the same hours are said together; closed days are not said."""
    runs: list[tuple[tuple[int, ...], Stretches]] = []
    for weekday, stretches in enumerate(value):
        if runs and runs[-1][1] == tuple(stretches):
            runs[-1] = (runs[-1][0] + (weekday,), runs[-1][1])
        else:
            runs.append(((weekday,), tuple(stretches)))
    spoken = [grammar.hours(days, stretches) for days, stretches in runs if stretches]
    if not spoken:
        raise CannotSay("hours: not a day of the week is open")
    return sum(((PAUSE, *parts) for parts in spoken[1:]), spoken[0])


_SPOKEN: Mapping[str, Callable[[Grammar, Any], Parts]] = {
    "number": lambda grammar, value: grammar.number(_whole(value, 0)),
    "ordinal": lambda grammar, value: grammar.ordinal(_whole(value, 1)),
    "position": lambda grammar, value: grammar.position(_whole(value, 1)),
    "digits": lambda grammar, value: grammar.digits(_characters(value, "[0-9*#]")),
    "phone": _phone,
    "money": lambda grammar, value: grammar.money(_fen(value)),
    "duration": _duration,
    "wait": _wait,
    "time": lambda grammar, value: grammar.time(_minute(value)),
    "date": _day,
    "full_date": _full_date,
    "weekday": lambda grammar, value: grammar.weekday(_date(value).weekday()),
    "hours": _hours,
}
KINDS = (*_SPOKEN, "count")
