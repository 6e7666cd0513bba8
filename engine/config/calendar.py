"""What plans know of time: opening hours and air times. Counterpart: engine/callflow/conditions.py (Hours, AirTime)."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import date
from typing import TypeVar

from engine.callflow.conditions import AirTime, Hours, Stretches
from engine.config import scalars
from engine.config.yaml_nodes import Value

Day = TypeVar("Day", bound=Hashable)

_LONGEST_SPOT_MIN = 24 * 60


def read_hours(key: Value, value: Value) -> Hours:
    """`mon-fri: 09:00-18:00` and, under `days`, dates that differ; a weekday without hours is closed.

    The narrower rule wins: a date over a date of every year, and this over the weekday; a date over a range of dates,
    a short range over a long one.
    """
    weekdays: list[tuple[Value, list[int], Stretches]] = []
    dates: list[tuple[Value, list[date], Stretches]] = []
    years_days: list[tuple[Value, list[tuple[int, int]], Stretches]] = []
    for day_key, item in value.pairs():
        if day_key.text() != "days":
            weekdays.append((day_key, scalars.weekdays(day_key), scalars.stretches(item)))
            continue
        for date_key, hours in item.pairs():
            if scalars.is_years_day(date_key):
                years_days.append((date_key, scalars.years_days(date_key), scalars.stretches(hours)))
            else:
                dates.append((date_key, scalars.dates(date_key), scalars.stretches(hours)))
    week = _narrowest(weekdays, lambda day: scalars.WEEKDAYS[day])
    return Hours(
        scalars.name(key),
        tuple(week.get(day, ()) for day in range(7)),
        _narrowest(dates, str),
        _narrowest(years_days, lambda day: f"{day[0]:02}-{day[1]:02}"),
    )


def _narrowest(
    rules: Iterable[tuple[Value, list[Day], Stretches]], written: Callable[[Day], str]
) -> Mapping[Day, Stretches]:
    """For each day the rule that covers the fewest days. Two rules of the same width for one day are a mistake."""
    widths: dict[Day, int] = {}
    found: dict[Day, Stretches] = {}
    for key, days, stretches in rules:
        for day in days:
            if widths.get(day) == len(days):
                key.complain(f"{written(day)} is described twice")
            if len(days) <= widths.get(day, len(days)):
                widths[day], found[day] = len(days), stretches
    return found


def read_air(key: Value, value: Value) -> AirTime:
    """`spots: [{on: mon-fri, at: 20:00, for: 30m}, {on: 2026-11-28, at: 21:30, for: 20m}]`, `surge after: 30s`."""
    weekly: list[tuple[tuple[int, ...], int, int]] = []
    single: list[tuple[date, int, int]] = []
    surge_after_s = AirTime("", ()).surge_after_s
    with value.section() as air:
        if after := air.get("surge after"):
            surge_after_s = scalars.duration(after, 0.0, 3600.0)
        for item in spots.items() if (spots := air.need("spots")) else ():
            with item.section() as spot:
                on, at, length = spot.need("on"), spot.need("at"), spot.need("for")
                if not (on and at and length):
                    continue
                begin, minutes = scalars.time_of_day(at), _minutes(length)
                if on.text()[:1].isdigit():
                    single += [(day, begin, minutes) for day in scalars.dates(on)]
                else:
                    weekly.append((tuple(scalars.weekdays(on)), begin, minutes))
    return AirTime(scalars.name(key), tuple(weekly), tuple(single), surge_after_s)


def _minutes(value: Value) -> int:
    seconds = scalars.duration(value, 60.0, _LONGEST_SPOT_MIN * 60.0)
    if seconds % 60:
        value.complain(f"{value.label}: spots last whole minutes")
    return int(seconds // 60)
