"""The grammar of spoken English: which parts say a value, and in what order. Counterpart: say.py, which gives the
values; say_zh.py is the same for Chinese.

Parts are named by digits or by their words. The choices, in one place: American numbers (one hundred one), the
twelve-hour clock with a m and p m, noon and midnight by name, November twenty-second, and Chinese money: twelve yuan
and fifty fen.
"""

from collections.abc import Sequence

_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen""".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
fifteenth sixteenth seventeenth eighteenth nineteenth""".split()
_MONTHS = "January February March April May June July August September October November December".split()
_WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_THINGS = "caller call message new_message order".split()
_UNITS = [*_THINGS, *"day hour minute second".split()]
_POWERS = {"million": 10**6, "thousand": 10**3}
_THEMSELVES = "hundred thousand million yuan fen plus star pound oh noon midnight to and no about".split()

WORDS = {
    **{str(n): word for n, word in enumerate(_ONES)},
    **{str(n): word for n, word in zip(range(20, 100, 10), _TENS, strict=True)},
    **{f"{n}th": word for n, word in enumerate(_ORDINALS, 1)},
    **{f"{n}th": f"{word[:-1]}ieth" for n, word in zip(range(20, 100, 10), _TENS, strict=True)},
    **{f"{word}th": f"{word}th" for word in ("hundred", "thousand", "million")},
    **{word.lower(): word for word in (*_MONTHS, *_WEEKDAYS)},
    **{word: word for word in _THEMSELVES},
    **{unit: unit.replace("_", " ") for unit in _UNITS},
    **{f"{unit}s": f"{unit.replace('_', ' ')}s" for unit in _UNITS},
    "am": "a m",
    "pm": "p m",
    "every_day": "every day",
    "all_day": "all day",
    "there_is": "there is",
    "there_are": "there are",
    "ahead": "ahead of you",
    "next": "you are next in line",
    "expected_wait": "the expected wait is",
    "less_than": "less than",
    "more_than": "more than",
    "pause": ",",
}
SPACE = " "

Parts = tuple[str, ...]

_DIGIT_BY_DIGIT = {**{digit: digit for digit in "0123456789"}, "+": "plus", "*": "star", "#": "pound"}


def number(n: int) -> Parts:
    """One hundred one; one million two thousand three."""
    parts: Parts = ()
    for name, size in _POWERS.items():
        if n >= size:
            parts += (*number(n // size), name)
            n %= size
    if n >= 100:
        parts += (str(n // 100), "hundred")
        n %= 100
    if n >= 20:
        parts += (str(n - n % 10),)
        n %= 10
    return parts + (str(n),) if n or not parts else parts


def ordinal(n: int) -> Parts:
    """The last word of the number changes: one hundred first, twentieth."""
    parts = number(n)
    return *parts[:-1], f"{parts[-1]}th"


def digits(text: str) -> Parts:
    return tuple(_DIGIT_BY_DIGIT[character] for character in text)


def money(fen: int) -> Parts:
    yuan, fen = divmod(fen, 100)
    parts: Parts = (*number(yuan), "yuan") if yuan or not fen else ()
    if fen:
        parts += (*(("and",) if parts else ()), *number(fen), "fen")
    return parts


def time(minute: int) -> Parts:
    """Nine a m, two oh five p m, noon; midnight is 00:00 and 24:00."""
    if minute % 1440 == 0:
        return ("midnight",)
    if minute == 720:
        return ("noon",)
    hour, past = divmod(minute, 60)
    parts = number(hour % 12 or 12)
    if past:
        parts += (*(("oh",) if past < 10 else ()), *number(past))
    return *parts, "am" if hour < 12 else "pm"


def day(month: int, day: int) -> Parts:
    return _MONTHS[month - 1].lower(), *ordinal(day)


def year(year: int) -> Parts:
    """Nineteen ninety-nine, nineteen oh five, nineteen hundred, two thousand five, twenty twenty-six."""
    century, rest = divmod(year, 100)
    if 2000 <= year < 2010:
        return number(year)
    if not rest:
        return *number(century), "hundred"
    return *number(century), *(("oh",) if rest < 10 else ()), *number(rest)


def dated(year: Parts, day: Parts) -> Parts:
    return day + year


def weekday(weekday: int) -> Parts:
    return (_WEEKDAYS[weekday].lower(),)


def count(n: int, unit: str) -> Parts:
    """One caller, two callers, no messages; zero minutes."""
    amount = ("no",) if n == 0 and unit in _THINGS else number(n)
    return *amount, unit if n == 1 else f"{unit}s"


def position(n: int) -> Parts:
    """There are two callers ahead of you."""
    if n == 1:
        return ("next",)
    return "there_is" if n == 2 else "there_are", *count(n - 1, "caller"), "ahead"


def duration(counts: Sequence[tuple[int, str]]) -> Parts:
    """One hour five minutes and two seconds."""
    parts: Parts = ()
    for at, (n, unit) in enumerate(counts, 1):
        parts += (*(("and",) if parts and at == len(counts) else ()), *count(n, unit))
    return parts


def wait(bound: str, n: int, unit: str) -> Parts:
    return "expected_wait", {"less": "less_than", "about": "about", "more": "more_than"}[bound], *count(n, unit)


def hours(days: tuple[int, ...], stretches: tuple[tuple[int, int], ...]) -> Parts:
    """Monday to Friday, nine a m to noon and one p m to six p m."""
    parts = _days(days)
    for at, (begin, end) in enumerate(stretches):
        parts += ("and",) if at else ("pause",)
        parts += ("all_day",) if (begin, end) == (0, 1440) else (*time(begin), "to", *time(end))
    return parts


def _days(days: tuple[int, ...]) -> Parts:
    if len(days) == 7:
        return ("every_day",)
    first, last = weekday(days[0]), weekday(days[-1])
    if len(days) == 1:
        return first
    return (*first, "and" if len(days) == 2 else "to", *last)
