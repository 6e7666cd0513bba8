"""The grammar of spoken Chinese: which parts say a value, and in what order. Counterpart: say.py, which gives the
values; say_en.py is the same for English.

Parts are named by their pinyin, digits by themselves. The choices a call centre makes, in one place:
* 两, not 二, before a measure word, and before 千, 万 and 亿 that open a number; 二 elsewhere and before 百 and 十.
* 幺 for 1 in numbers said digit by digit: telephone numbers, agents' numbers (工号), codes.
* Times by the twelve-hour clock with the part of the day. 下午 reaches up to 18:59: 上午九点至下午六点.
* Money in 元, 角 and 分.
"""

from collections.abc import Sequence

_TABLE = """
0 零  1 一  2 二  3 三  4 四  5 五  6 六  7 七  8 八  9 九  10 十  bai 百  qian 千  wan 万  yi 亿
liang 两  yao 幺  di 第  jia 加  xing 星  jing 井  yuan 元  jiao 角  fen 分
lingchen 凌晨  shangwu 上午  zhongwu 中午  xiawu 下午  wanshang 晚上  dian 点  ban 半  nian 年  yue 月  ri 日
zhou1 周一  zhou2 周二  zhou3 周三  zhou4 周四  zhou5 周五  zhou6 周六  zhou7 周日
meitian 每天  quantian 全天  zhi 至  he 和  wei 位  ge 个  tiao 条  meiyou 没有
kehu 客户  dianhua 电话  liuyan 留言  xinliuyan 新留言  dingdan 订单  tian 天  xiaoshi 小时  fenzhong 分钟  miao 秒
qianmian 您前面还有  xiayiwei 您是下一位  yuji 预计等待时间  dayue 大约  budao 不到  chaoguo 超过
pause ,
""".split()
WORDS = dict(zip(_TABLE[::2], _TABLE[1::2], strict=True))
SPACE = ""

Parts = tuple[str, ...]

_DIGIT_BY_DIGIT = {**{digit: digit for digit in "0123456789"}, "1": "yao", "+": "jia", "*": "xing", "#": "jing"}
_MEASURED = {
    "caller": ("wei", "kehu"),
    "call": ("ge", "dianhua"),
    "message": ("tiao", "liuyan"),
    "new_message": ("tiao", "xinliuyan"),
    "order": ("ge", "dingdan"),
}
_TIMED = {"day": "tian", "hour": "xiaoshi", "minute": "fenzhong", "second": "miao"}
_DAY_PARTS = ((6, "lingchen"), (12, "shangwu"), (13, "zhongwu"), (19, "xiawu"), (25, "wanshang"))  # until that hour


def number(n: int) -> Parts:
    """一百零一, 一千零一十, 一万, 十五. Numbers are said in groups of four digits: 亿, 万, ones."""
    parts: Parts = ()
    skipped = False
    for size, name in ((10**8, "yi"), (10**4, "wan"), (1, "")):
        group, n = divmod(n, size)
        if group and parts and (skipped or group < 1000):
            parts += ("0",)
        skipped = bool(parts) and not group
        if group:
            opens = "liang" if group == 2 and name and not parts else ""
            parts += ((opens,) if opens else _below_wan(group, opens=not parts)) + ((name,) if name else ())
    return parts or ("0",)


def _below_wan(n: int, opens: bool) -> Parts:
    """1 to 9999. `opens`: nothing is said before it, so that 10 to 19 begin with 十."""
    parts: Parts = ()
    skipped = False
    for size, name in ((1000, "qian"), (100, "bai"), (10, "10"), (1, "")):
        digit, n = divmod(n, size)
        if not digit:
            skipped = bool(parts)
            continue
        parts += ("0",) if skipped else ()
        skipped = False
        if opens and not parts and size == 10 and digit == 1:
            parts = ("10",)
        else:
            is_liang = opens and not parts and size == 1000 and digit == 2
            parts += ("liang" if is_liang else str(digit), *((name,) if name else ()))
    return parts


def _amount(n: int) -> Parts:
    """A number before a measure word."""
    return ("liang",) if n == 2 else number(n)


def ordinal(n: int) -> Parts:
    return "di", *_plain(n)


def _plain(n: int) -> Parts:
    """Behind 第 nothing opens a number as an amount does: 第二千, as read in a row."""
    return tuple("2" if part == "liang" else part for part in number(n))


def digits(text: str) -> Parts:
    return tuple(_DIGIT_BY_DIGIT[character] for character in text)


def money(fen: int) -> Parts:
    """十二元五角, 十元零五分, 两角."""
    yuan, jiao, fen = fen // 100, fen // 10 % 10, fen % 10
    parts: Parts = (*_amount(yuan), "yuan") if yuan or not (jiao or fen) else ()
    if jiao:
        parts += (*_amount(jiao), "jiao")
    if fen:
        gap = yuan and not jiao
        parts += ("0", str(fen), "fen") if gap else (*_amount(fen), "fen")
    return parts


def time(minute: int) -> Parts:
    """上午九点, 下午两点零五分, 下午六点半, 凌晨零点, 晚上十二点 at the end of a day."""
    return _day_part(minute), *_clock(minute)


def _day_part(minute: int) -> str:
    return next(name for until, name in _DAY_PARTS if minute < until * 60)


def _clock(minute: int) -> Parts:
    hour, past = divmod(minute, 60)
    parts = (*_amount(hour if hour <= 12 else hour - 12), "dian")
    if past == 30:
        return *parts, "ban"
    if past:
        return *parts, *(("0",) if past < 10 else ()), *number(past), "fen"
    return parts


def day(month: int, day: int) -> Parts:
    return *number(month), "yue", *number(day), "ri"


def year(year: int) -> Parts:
    """Digit by digit, with 一: 二零二一年."""
    return *str(year), "nian"


def dated(year: Parts, day: Parts) -> Parts:
    return year + day


def weekday(weekday: int) -> Parts:
    return (f"zhou{weekday + 1}",)


def count(n: int, unit: str) -> Parts:
    """两位客户, 十二分钟, 没有留言."""
    if unit in _TIMED:
        return *_amount(n), _TIMED[unit]
    measure, noun = _MEASURED[unit]
    return (*_amount(n), measure, noun) if n else ("meiyou", noun)


def position(n: int) -> Parts:
    """您前面还有两位客户; the next one hears 您是下一位."""
    return ("qianmian", *count(n - 1, "caller")) if n > 1 else ("xiayiwei",)


def duration(counts: Sequence[tuple[int, str]]) -> Parts:
    """三分钟, 三分二十秒, 一小时零五分钟: 分钟 is 分 before seconds, and a last amount below ten has 零 before it."""
    *before, (n, unit) = counts
    parts: Parts = ()
    for amount, larger in before:
        parts += (*_amount(amount), "fen" if larger == "minute" else _TIMED[larger])
    return *parts, *(("0", *number(n)) if parts and n < 10 else _amount(n)), _TIMED[unit]


def wait(bound: str, n: int, unit: str) -> Parts:
    return "yuji", {"less": "budao", "about": "dayue", "more": "chaoguo"}[bound], *count(n, unit)


def hours(days: tuple[int, ...], stretches: tuple[tuple[int, int], ...]) -> Parts:
    """周一至周五,上午九点至中午十二点,下午一点至六点: the part of the day once where it stays."""
    parts = _days(days)
    for begin, end in stretches:
        parts += ("pause",)
        if (begin, end) == (0, 1440):
            parts += ("quantian",)
        else:
            to = _clock(end) if _day_part(begin) == _day_part(end) else time(end)
            parts += (*time(begin), "zhi", *to)
    return parts


def _days(days: tuple[int, ...]) -> Parts:
    if len(days) == 7:
        return ("meitian",)
    first, last = weekday(days[0]), weekday(days[-1])
    if len(days) == 1:
        return first
    return (*first, "he" if len(days) == 2 else "zhi", *last)
