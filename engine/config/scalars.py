"""Text to values, by what a field means: durations, levels, numbers, hours, SIP addresses.

Each function takes a Value and gives back the typed value, or after a complaint a stand-in of the same type.
Counterpart: the readers of the three kinds of file, which say which field is which. The spellings accepted here are
those of the shipped config/.
"""

import re
from collections.abc import Collection
from datetime import date, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from engine.config.yaml_nodes import Value, guess

ALWAYS = float("inf")
Network = IPv4Network | IPv6Network

_DURATION = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?", re.ASCII)
_MILLISECONDS = re.compile(r"(\d{1,9})ms", re.ASCII)
_NAME = re.compile(r"\w[\w.-]{0,63}")
NUMBER = re.compile(r"\+?[0-9]{1,32}\*?|\*", re.ASCII)
_USER, _HOST = r"[\w.!~*'()%&=+$,;?/-]+", r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)"
_SIP_URI = re.compile(rf"sip:{_USER}@{_HOST}(?::(\d+))?(?:;transport=(\w+))?", re.ASCII)
_WEB = re.compile(rf"https?://{_HOST}(:\d{{1,5}})?(/[^\s]*)?", re.ASCII)
_STRETCH = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", re.ASCII)
_YEARS_DAY = re.compile(r"\d\d-\d\d", re.ASCII)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST_S = 24 * 3600.0


def duration(value: Value, low_s: float = 0.0, high_s: float = _LONGEST_S) -> float:
    """Seconds of `30s`, `1h30m`, `250ms`."""
    text = value.text()
    if found := _MILLISECONDS.fullmatch(text):
        seconds = int(found[1]) / 1000
    elif text and (found := _DURATION.fullmatch(text)) and any(found.groups()):
        seconds = float(found[1] or 0) * 3600 + float(found[2] or 0) * 60 + float(found[3] or 0)
    else:
        if text:
            dense = text.replace(" ", "") + ("s" if text.isdecimal() else "")
            hint = f"{dense}?" if _DURATION.fullmatch(dense) else "write 30s, 2m, 1h30m"
            value.complain(f"{value.label}: {text!r} is not a duration ({hint})")
        return low_s
    if not low_s <= seconds <= high_s:
        value.complain(f"{value.label} must be from {low_s:g}s to {high_s:g}s, not {text}")
        return low_s
    return seconds


def head_start(value: Value) -> float:
    """A duration up to 30 days, or `always` for strict priority."""
    if value.is_scalar and value.node.value.strip() == "always":
        return ALWAYS
    return duration(value, 0.0, 30 * _LONGEST_S)


def count(value: Value, low: int, high: int, instead: int | None = None) -> int:
    """A whole number from `low` to `high`; `instead` stands in for a wrong one."""
    text = value.text()
    if text and not re.fullmatch(r"[0-9]{1,12}", text):
        value.complain(f"{value.label}: {text!r} is not a whole number")
    elif text and not low <= int(text) <= high:
        value.complain(f"{value.label} must be from {low} to {high}, not {text}")
    elif text:
        return int(text)
    return low if instead is None else instead


def count_range(value: Value, low: int, high: int) -> tuple[int, int]:
    """`4` or `4-6`."""
    text = value.text()
    found = re.fullmatch(r"([0-9]{1,4})(?:\s*-\s*([0-9]{1,4}))?", text)
    if found and low <= int(found[1]) <= int(found[2] or found[1]) <= high:
        return int(found[1]), int(found[2] or found[1])
    if text:
        value.complain(f"{value.label}: {text!r} is not a number or a range from {low} to {high} (4, 4-6)")
    return low, low


def percent(value: Value) -> float:
    """`30%`: from 0 to 100."""
    text = value.text()
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)%", text, re.ASCII)
    if found and float(found[1]) <= 100:
        return float(found[1])
    if text:
        value.complain(f"{value.label}: {text!r} is not a share from 0% to 100% (30%?)")
    return 0.0


def yes_no(value: Value) -> bool:
    return one_of(value, ("yes", "no")) == "yes"


def duration_or_off(value: Value, low_s: float, high_s: float) -> float | None:
    if value.is_scalar and value.node.value.strip() == "off":
        return None
    return duration(value, low_s, high_s)


def port(value: Value) -> int | None:
    """A port, or `off`."""
    if value.is_scalar and value.node.value.strip() == "off":
        return None
    return count(value, 1, 65535)


def port_range(value: Value) -> tuple[int, int]:
    """`20000-29999`."""
    text = value.text()
    found = re.fullmatch(r"([0-9]{1,5})\s*-\s*([0-9]{1,5})", text)
    if found and 1024 <= int(found[1]) < int(found[2]) <= 65535:
        return int(found[1]), int(found[2])
    if text:
        value.complain(f"{value.label}: {text!r} is not a range of ports from 1024 to 65535 (20000-29999?)")
    return 20000, 29999


def service_level(value: Value) -> tuple[float, float]:
    """`80% in 20s`: percent and seconds."""
    text = value.text()
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)% in (\d{1,6})s", text, re.ASCII)
    if found and 0 < float(found[1]) <= 100 and int(found[2]) <= _LONGEST_S:
        return float(found[1]), float(found[2])
    if text:
        value.complain(f"{value.label}: {text!r} is not a service level (80% in 20s?)")
    return 80.0, 20.0


def name(value: Value) -> str:
    """A name of a queue, plan, list: letters, digits, `_`, `-`, `.`; at most 64."""
    text = value.text()
    if text and not _NAME.fullmatch(text):
        value.complain(f"{text!r} is not a name: use letters, digits, '_', '-', '.', at most 64")
    return text


def one_of(value: Value, known: Collection[str], what: str = "") -> str:
    """One of the words in `known`; what stands in is the first."""
    text = value.text()
    if text in known:
        return text
    if text:
        near = guess(text, known) or f" (one of: {', '.join(known)})"
        value.complain(f"{what or value.label}: {text!r} is not known here{near}")
    return next(iter(known))


def number(value: Value) -> str:
    """A telephone number, a prefix with a final `*`, or `*` for every number."""
    text = value.text()
    if text and not NUMBER.fullmatch(text):
        digits = re.sub(r"[\s().-]", "", text)
        hint = f"{digits}?" if NUMBER.fullmatch(digits) else "digits, '+' in front, '*' at the end"
        value.complain(f"{text!r} is not a number or a prefix ({hint})")
    return text


def sip_uri(value: Value) -> str:
    """`sip:user@host`, with a port and `;transport=udp` or `tcp` if wanted."""
    text = value.text()
    if not text:
        return ""
    found = _SIP_URI.fullmatch(text)
    if not found:
        hint = f"sip:{text}?" if _SIP_URI.fullmatch(f"sip:{text}") else "sip:user@host:port;transport=tcp"
        value.complain(f"{value.label}: {text!r} is not a SIP address ({hint})")
    elif found[2] and not 1 <= int(found[2][:6]) <= 65535:
        value.complain(f"{value.label}: port {found[2]} is not from 1 to 65535")
    elif found[3] and found[3].lower() not in ("udp", "tcp"):
        value.complain(f"{value.label}: transport {found[3]!r} is not known here (udp or tcp)")
    return text


def web_address(value: Value) -> str:
    """`http://host/path` or `https://`."""
    text = value.text()
    if text and not _WEB.fullmatch(text):
        value.complain(f"{value.label}: {text!r} is not a web address (http://host:port/path)")
    return text


def address(value: Value) -> str:
    """An IP address."""
    text = value.text()
    try:
        return str(ip_address(text))
    except ValueError:
        if text:
            value.complain(f"{value.label}: {text!r} is not an IP address")
        return "127.0.0.1"


def network(value: Value) -> Network | None:
    """An address or a CIDR block; None after a complaint."""
    text = value.text()
    try:
        return ip_network(text)
    except ValueError:
        try:
            hint = f" ({ip_network(text, strict=False)}? The bits behind the prefix must be zero)"
        except ValueError:
            hint = " (192.0.2.0/24?)"
        if text:
            value.complain(f"{text!r} is not an address or a CIDR block{hint}")
        return None


# ---- hours


def stretches(value: Value) -> tuple[tuple[int, int], ...]:
    """Minutes since midnight of `09:00-12:00, 13:00-18:00`, of a list of such, of `closed` and of `all day`."""
    found: list[tuple[int, int]] = []
    for item in value.items():
        text = item.text()
        if text == "closed":
            continue
        if text == "all day":
            found.append((0, 1440))
            continue
        for part in text.split(",") if text else ():
            if (stretch := _stretch(item, part.strip())) is not None:
                if any(stretch[0] < end and begin < stretch[1] for begin, end in found):
                    item.complain(f"{part.strip()} overlaps another stretch of {value.label}")
                found.append(stretch)
    return tuple(sorted(found))


def _stretch(value: Value, text: str) -> tuple[int, int] | None:
    found = _STRETCH.fullmatch(text)
    if not found:
        value.complain(f"{text!r} is not a stretch of time (09:00-18:00, closed, all day)")
        return None
    h1, m1, h2, m2 = map(int, found.groups())
    begin, end = h1 * 60 + m1, h2 * 60 + m2
    if m1 > 59 or m2 > 59 or begin > 1439 or end > 1440:
        value.complain(f"{text!r}: a day runs from 00:00 to 24:00")
        return None
    if begin >= end:
        night = f"{h1:02}:{m1:02}-24:00 and, on the day after, 00:00-{h2:02}:{m2:02}"
        value.complain(f"{text!r} ends before it begins (past midnight, write {night})")
        return None
    return begin, end


def weekdays(key: Value) -> list[int]:
    """Days of `mon`, `mon-fri`, `sat, sun`, `daily`; Monday is 0."""
    days: list[int] = []
    for part in key.text().lower().split(","):
        first, _, last = part.strip().partition("-")
        if part.strip() == "daily":
            days += range(7)
        elif first.strip() in WEEKDAYS and (last.strip() or first.strip()) in WEEKDAYS:
            begin, end = WEEKDAYS.index(first.strip()), WEEKDAYS.index(last.strip() or first.strip())
            days += [(begin + n) % 7 for n in range((end - begin) % 7 + 1)]
        else:
            key.complain(f"{part.strip()!r} is not a weekday (mon, mon-fri, daily), nor 'days'")
    return days


def time_of_day(value: Value) -> int:
    """Minutes since midnight of `20:00`."""
    text = value.text()
    found = re.fullmatch(r"(\d{1,2}):([0-5]\d)", text, re.ASCII)
    if found and int(found[1]) < 24:
        return int(found[1]) * 60 + int(found[2])
    if text:
        value.complain(f"{value.label}: {text!r} is not a time of day (20:00)")
    return 0


def is_years_day(key: Value) -> bool:
    """`10-01`, `12-31..01-02`: a date without a year."""
    return _YEARS_DAY.fullmatch(key.text().partition("..")[0].strip()) is not None


def years_days(key: Value) -> list[tuple[int, int]]:
    """(month, day) of one date of every year, `10-01`, or of several, `12-31..01-02`."""
    first, _, last = key.text().partition("..")
    try:  # in a leap year, so that 02-29 is a date
        begin = date.fromisoformat(f"2024-{first.strip()}")
        end = date.fromisoformat(f"2024-{(last or first).strip()}")
    except ValueError:
        key.complain(f"{key.text()!r} is not a date of every year (10-01, 12-31..01-02)")
        return []
    n_days = (end - begin).days % 366 + 1
    days = [begin + timedelta(days=n) for n in range(n_days)]
    return [(day.month, day.day) for day in days]


def dates(key: Value) -> list[date]:
    """One date, `2026-10-01`, or several, `2026-10-01..2026-10-07`."""
    first, _, last = key.text().partition("..")
    try:
        begin = date.fromisoformat(first.strip())
        end = date.fromisoformat((last or first).strip())
    except ValueError:
        key.complain(f"{key.text()!r} is not a date (2026-10-01, 2026-10-01..2026-10-07, 10-01 for every year)")
        return []
    if not timedelta(0) <= end - begin <= timedelta(days=366):
        key.complain(f"{key.text()!r} must run forward, for a year at most")
        return []
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]
