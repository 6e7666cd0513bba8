"""What is said, as words: the grammar of numbers, money, times and counts in Chinese and in English."""

import itertools
import random
import re
from collections import Counter
from datetime import date, datetime, time
from decimal import Decimal

import cn2an  # type: ignore[import-untyped]
import pytest

from engine.callflow.say import GRAMMARS, KINDS, PAUSE, UNITS, CannotSay, recorded, say, text

LANGUAGES = tuple(GRAMMARS)
BIG = sorted({*(random.Random(4).randrange(10**n) for n in range(4, 10) for _ in range(300)), 10**8, 999_999_999})
OFFICE = (((540, 720), (780, 1080)),) * 5 + (((600, 960),), ())
ROUND_THE_CLOCK = (((0, 1440),),) * 7
TANGLED = (
    ((0, 1), (545, 570), (870, 1439)),
    (),
    ((360, 750),),
    ((360, 750),),
    ((1140, 1440),),
    ((30, 1080),),
    ((810, 1080),),
)


def spoken(kind: str, value: object, language: str, unit: str = "") -> str:
    return text(say(kind, value, language, unit), language)


# ---- numbers, against others who know them


def test_chinese_numbers_to_ten_thousand_and_samples_beyond():
    """cn2an is the authority; it writes 二 where 两 is said, and 一十 for 10 to 19 inside is left to it."""
    for n in (*range(10_001), *BIG):
        assert spoken("number", n, "zh").replace("两", "二") == cn2an.an2cn(str(n)), n


def test_chinese_two_is_liang_only_where_it_opens_a_thousand_or_more():
    for n in (*range(10_001), *BIG):
        words = spoken("number", n, "zh")
        assert re.fullmatch(r"(两(?=[千万亿]))?[^两]*", words), (n, words)
        assert not re.match(r"二[千万亿]", words), (n, words)


ENGLISH = {
    word: n
    for n, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
        " seventeen eighteen nineteen".split()
    )
} | {word: 10 * n for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}


def heard(words: str) -> int:
    """The number that English words mean. Each word must be of a lower order than the one before it in its group."""
    total = group = 0
    below = 10**9
    room = 1000
    for word in words.split():
        if word in ("million", "thousand"):
            size = 10**6 if word == "million" else 1000
            assert 0 < group < 1000 and size < below
            total, group, below, room = total + group * size, 0, size, 1000
        elif word == "hundred":
            assert 0 < group < 10
            group, room = group * 100, 100
        else:
            n = ENGLISH[word]
            assert n < room and (n or words == "zero")
            group, room = group + n, 10 if n >= 20 else 1 if room == 10 else 100 if room == 1000 and n < 10 else 1
    return total + group


def test_english_numbers_to_ten_thousand_and_samples_beyond():
    assert heard("one hundred one") == 101 and heard("nine hundred million two") == 900_000_002
    with pytest.raises(AssertionError):
        heard("twenty eleven")
    seen = set()
    for n in (*range(10_001), *BIG):
        words = spoken("number", n, "en")
        assert heard(words) == n, (n, words)
        seen.add(words)
    assert len(seen) == len({*range(10_001), *BIG})


def test_english_ordinals_end_as_the_number_does():
    irregular = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
    irregular |= {"twelve": "twelfth"}
    for n in range(1, 10_001):
        *before, last = spoken("number", n, "en").split()
        ending = irregular.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
        assert spoken("ordinal", n, "en").split() == [*before, ending]


@pytest.mark.parametrize(
    ("n", "zh", "en"),
    [
        (0, "零", "zero"),
        (10, "十", "ten"),
        (15, "十五", "fifteen"),
        (101, "一百零一", "one hundred one"),
        (110, "一百一十", "one hundred ten"),
        (115, "一百一十五", "one hundred fifteen"),
        (200, "二百", "two hundred"),
        (1010, "一千零一十", "one thousand ten"),
        (2000, "两千", "two thousand"),
        (2002, "两千零二", "two thousand two"),
        (10_000, "一万", "ten thousand"),
        (20_002, "两万零二", "twenty thousand two"),
        (22_000, "两万二千", "twenty two thousand"),
        (100_010, "十万零一十", "one hundred thousand ten"),
        (100_000_001, "一亿零一", "one hundred million one"),
    ],
)
def test_the_traps_of_numbers(n, zh, en):
    assert (spoken("number", n, "zh"), spoken("number", n, "en")) == (zh, en)
    assert spoken("number", str(n), "zh") == zh


# ---- every other kind


@pytest.mark.parametrize(
    ("kind", "value", "zh", "en"),
    [
        ("ordinal", 1, "第一", "first"),
        ("ordinal", 2, "第二", "second"),
        ("ordinal", 2000, "第二千", "two thousandth"),
        ("ordinal", 21, "第二十一", "twenty first"),
        ("position", 1, "您是下一位", "you are next in line"),
        ("position", 2, "您前面还有一位客户", "there is one caller ahead of you"),
        ("position", "3", "您前面还有两位客户", "there are two callers ahead of you"),
        ("position", 23, "您前面还有二十二位客户", "there are twenty two callers ahead of you"),
        ("digits", "1001", "幺零零幺", "one zero zero one"),
        ("digits", 8, "八", "eight"),
        ("digits", "*2#", "星二井", "star two pound"),
        ("phone", "4008001001", "四零零,八零零,幺零零幺", "four zero zero, eight zero zero, one zero zero one"),
        ("phone", "138-0013 8000", "幺三八,零零幺三,八零零零", None),
        ("phone", "+8613800138000", "幺三八,零零幺三,八零零零", None),
        ("phone", "+865718765432", "零五七幺,八七六,五四三二", None),
        ("phone", "+861062345678", "零幺零,六二三四,五六七八", None),
        ("phone", "400-800-1001", "四零零,八零零,幺零零幺", None),
        ("phone", "+864008001001", "四零零,八零零,幺零零幺", None),
        ("phone", "10086", "幺零零八六", None),
        ("phone", "62345678", "六二三四,五六七八", None),
        ("phone", "+14155550100", None, "plus one four one, five five five five, zero one zero zero"),
        ("money", 0, "零元", "zero yuan"),
        ("money", 2, "两元", "two yuan"),
        ("money", "12", "十二元", "twelve yuan"),
        ("money", "12.5", "十二元五角", "twelve yuan and fifty fen"),
        ("money", Decimal("10.05"), "十元零五分", "ten yuan and five fen"),
        ("money", 0.2, "两角", "twenty fen"),
        ("money", "2.22", "两元两角两分", "two yuan and twenty two fen"),
        ("money", "2.02", "两元零二分", "two yuan and two fen"),
        ("money", "1998", "一千九百九十八元", "one thousand nine hundred ninety eight yuan"),
        ("time", "00:00", "凌晨零点", "midnight"),
        ("time", "02:02", "凌晨两点零二分", "two oh two a m"),
        ("time", "09:00", "上午九点", "nine a m"),
        ("time", time(11, 59), "上午十一点五十九分", "eleven fifty nine a m"),
        ("time", "12:00", "中午十二点", "noon"),
        ("time", "12:30", "中午十二点半", "twelve thirty p m"),
        ("time", "14:00", "下午两点", "two p m"),
        ("time", datetime(2026, 11, 22, 15, 5, 59), "下午三点零五分", "three oh five p m"),
        ("time", "18:30", "下午六点半", "six thirty p m"),
        ("time", "19:00:00", "晚上七点", "seven p m"),
        ("time", "24:00", "晚上十二点", "midnight"),
        ("date", "2026-02-02", "二月二日", "February second"),
        ("date", date(2026, 11, 22), "十一月二十二日", "November twenty second"),
        ("date", "2026-12-31T23:59:59+08:00", "十二月三十一日", "December thirty first"),
        ("full_date", "2026-10-01", "二零二六年十月一日", "October first twenty twenty six"),
        ("full_date", "2005-10-01", "二零零五年十月一日", "October first two thousand five"),
        ("full_date", "2000-01-01", "二零零零年一月一日", "January first two thousand"),
        ("full_date", "1999-01-01", "一九九九年一月一日", "January first nineteen ninety nine"),
        ("full_date", "1905-01-01", "一九零五年一月一日", "January first nineteen oh five"),
        ("full_date", "1900-01-01", "一九零零年一月一日", "January first nineteen hundred"),
        ("weekday", "2026-11-22", "周日", "Sunday"),
        ("weekday", date(2026, 11, 23), "周一", "Monday"),
        ("duration", 0, "零秒", "zero seconds"),
        ("duration", 2, "两秒", "two seconds"),
        ("duration", "59.6", "一分钟", "one minute"),
        ("duration", 122, "两分零二秒", "two minutes and two seconds"),
        ("duration", 200, "三分二十秒", "three minutes and twenty seconds"),
        ("duration", 3605, "一小时零五秒", "one hour and five seconds"),
        ("duration", 7320, "两小时零二分钟", "two hours and two minutes"),
        ("duration", 3665, "一小时一分零五秒", "one hour one minute and five seconds"),
        ("wait", 0, "预计等待时间不到一分钟", "the expected wait is less than one minute"),
        ("wait", 60.5, "预计等待时间大约两分钟", "the expected wait is about two minutes"),
        ("wait", "180", "预计等待时间大约三分钟", "the expected wait is about three minutes"),
        ("wait", 600, "预计等待时间大约十分钟", "the expected wait is about ten minutes"),
        ("wait", 601, "预计等待时间大约十五分钟", "the expected wait is about fifteen minutes"),
        ("wait", 3600, "预计等待时间大约一小时", "the expected wait is about one hour"),
        ("wait", 3601, "预计等待时间超过一小时", "the expected wait is more than one hour"),
        ("hours", ROUND_THE_CLOCK, "每天,全天", "every day, all day"),
        (
            "hours",
            OFFICE,
            "周一至周五,上午九点至中午十二点,下午一点至六点,周六,上午十点至下午四点",
            "Monday to Friday, nine a m to noon and one p m to six p m, Saturday, ten a m to four p m",
        ),
        (
            "hours",
            (((540, 660),), ((540, 660),), (), (), (), ((1200, 1440),), ((1200, 1440),)),
            "周一和周二,上午九点至十一点,周六和周日,晚上八点至十二点",
            "Monday and Tuesday, nine a m to eleven a m, Saturday and Sunday, eight p m to midnight",
        ),
    ],
)
def test_words(kind, value, zh, en):
    for language, words in (("zh", zh), ("en", en)):
        assert words is None or spoken(kind, value, language) == words


@pytest.mark.parametrize(
    ("n", "unit", "zh", "en"),
    [
        (0, "caller", "没有客户", "no callers"),
        (1, "caller", "一位客户", "one caller"),
        (2, "caller", "两位客户", "two callers"),
        (12, "caller", "十二位客户", "twelve callers"),
        (102, "caller", "一百零二位客户", "one hundred two callers"),
        (2, "call", "两个电话", "two calls"),
        (0, "message", "没有留言", "no messages"),
        (2, "message", "两条留言", "two messages"),
        (1, "new_message", "一条新留言", "one new message"),
        (3, "new_message", "三条新留言", "three new messages"),
        (2, "order", "两个订单", "two orders"),
        (0, "minute", "零分钟", "zero minutes"),
        (2, "minute", "两分钟", "two minutes"),
        (1, "hour", "一小时", "one hour"),
        (2, "day", "两天", "two days"),
        ("22", "second", "二十二秒", "twenty two seconds"),
    ],
)
def test_counts(n, unit, zh, en):
    assert (spoken("count", n, "zh", unit), spoken("count", n, "en", unit)) == (zh, en)


def test_a_count_of_two_is_liang_and_of_no_other_number_unless_it_opens_thousands():
    for n, unit in itertools.product(range(10_001), ("caller", "minute")):
        words = spoken("count", n, "zh", unit)
        assert words.startswith("两") == (n == 2 or n // 1000 == 2), words
        assert "两" not in words[1:], words


# ---- the expected wait


def test_a_wait_is_never_zero_nor_shorter_than_the_estimate():
    for seconds in range(3601):
        words = spoken("wait", seconds, "en").removeprefix("the expected wait is ")
        if words == "less than one minute":
            assert seconds <= 60
            continue
        about, *amount, unit = words.split()
        assert about == "about" and unit in ("minutes", "hour")
        said = heard(" ".join(amount)) * (3600 if unit == "hour" else 60)
        assert 0 <= said - seconds < (60 if seconds <= 600 else 300), (seconds, words)


# ---- parts


def samples():
    """Values of every kind, wide enough that every part is said."""
    for n in (*range(3000), *BIG):
        yield "number", n, ""
        yield "ordinal", n or 1, ""
    for n, unit in itertools.product(range(4), UNITS):
        yield "count", n, unit
    for n in range(1, 4):
        yield "position", n, ""
    for value in ("0123456789*#",):
        yield "digits", value, ""
    for value in ("+14155550100", "13800138000"):
        yield "phone", value, ""
    for fen in range(1100):
        yield "money", Decimal(fen) / 100, ""
    for minute in range(1440):
        yield "time", time(minute // 60, minute % 60), ""
    for days in range(366):
        yield "date", date.fromordinal(739_000 + days), ""
        yield "weekday", date.fromordinal(739_000 + days), ""
    for year in range(1900, 2100):
        yield "full_date", date(year, 2, 28), ""
    for seconds in range(0, 86401, 7):
        yield "duration", seconds, ""
        yield "wait", seconds, ""
    for week in (OFFICE, ROUND_THE_CLOCK, TANGLED, (*OFFICE[:5], OFFICE[5], OFFICE[5])):
        yield "hours", week, ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_part_is_said_by_some_grammar_and_no_other(language):
    said = {part for kind, value, unit in samples() for part in say(kind, value, language, unit)}
    assert {kind for kind, _, _ in samples()} == set(KINDS)
    assert said == {f"say.{part}" for part in (*recorded(language), PAUSE)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_parts_have_words_of_their_language_and_names_that_any_file_system_takes(language):
    words = GRAMMARS[language].WORDS
    assert all(re.fullmatch(r"[a-z0-9_]+", part) for part in words)
    twice = [word for word, n in Counter(words.values()).items() if n > 1]
    assert twice == ([] if language == "zh" else ["second"]), "two parts of the same words"
    for part in recorded(language):
        assert re.fullmatch("[\u4e00-\u9fff]+" if language == "zh" else "[A-Za-z ]+", words[part]), part


def test_a_week_fits_into_one_play_list_unless_every_day_differs():
    """The media room takes 64 sounds at once."""
    for language in LANGUAGES:
        assert len(say("hours", OFFICE, language)) <= 40


# ---- what cannot be said


@pytest.mark.parametrize(
    ("kind", "value", "unit", "complaint"),
    [
        ("number", -1, "", "-1 is not a whole number from 0 to 999999999"),
        ("number", 10**9, "", "whole number"),
        ("number", True, "", "whole number"),
        ("number", "1e3", "", "whole number"),
        ("number", "", "", "whole number"),
        ("number", "٣", "", "whole number"),
        ("ordinal", 0, "", "from 1 to"),
        ("position", 0, "", "from 1 to"),
        ("count", -1, "caller", "whole number"),
        ("count", 1, "", "'' is no unit (one of: caller, call"),
        ("count", 1, "sheep", "'sheep' is no unit"),
        ("number", 1, "minute", "number has no unit"),
        ("digits", "", "", "1 to 32"),
        ("digits", "1" * 33, "", "1 to 32"),
        ("digits", "12a", "", "'12a' is not"),
        ("phone", "anonymous", "", "'anonymous' is not"),
        ("phone", "1+2", "", "not a telephone number"),
        ("phone", "+", "", "not a telephone number"),
        ("money", "-0.01", "", "is not a sum"),
        ("money", "0.001", "", "is not a sum"),
        ("money", "1000000000", "", "is not a sum"),
        ("money", "NaN", "", "is not a sum"),
        ("money", "Infinity", "", "is not a sum"),
        ("money", None, "", "is not a sum"),
        ("time", "25:00", "", "is not a time of day"),
        ("time", "9", "", "is not a time of day"),
        ("time", 540, "", "is not a time of day"),
        ("date", "2026-02-30", "", "is not a date"),
        ("date", "", "", "is not a date"),
        ("full_date", "2100-01-01", "", "is not a date"),
        ("weekday", 3, "", "is not a date"),
        ("duration", -1, "", "is not a duration"),
        ("duration", "nan", "", "is not a duration"),
        ("duration", None, "", "is not a duration"),
        ("wait", float("inf"), "", "is not a duration"),
        ("wait", "soon", "", "is not a duration"),
        ("hours", ((),) * 7, "", "not a day of the week is open"),
        ("poem", 1, "", "'poem' is no kind of value"),
    ],
)
def test_what_has_no_words_is_refused(kind, value, unit, complaint):
    for language in LANGUAGES:
        with pytest.raises(CannotSay, match=re.escape(complaint)):
            say(kind, value, language, unit)


def test_an_unknown_language_is_refused():
    with pytest.raises(CannotSay, match="no grammar of language 'fr' \\(one of: zh, en\\)"):
        say("number", 1, "fr")
