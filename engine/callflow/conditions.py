"""Conditions of plans: the forks that are decided at once, and what they look at. Counterparts: plan.py, which walks
past them; engine/config, which reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import ClassVar

from engine.callflow.plan import Condition, Situation

Stretches = tuple[tuple[int, int], ...]  # minutes since midnight (from, to), `to` excluded; 1440 is midnight


# ---- who calls


@dataclass(frozen=True, slots=True)
class NumberList:
    """A named set of numbers: whole ones, and prefixes (written with a final `*`)."""

    name: str
    exact: frozenset[str]
    prefixes: tuple[str, ...] = ()

    def __contains__(self, number: str) -> bool:
        """A withheld number is on no list."""
        return bool(number) and (number in self.exact or number.startswith(self.prefixes))


@dataclass(frozen=True, slots=True)
class CallerListed(Condition):
    numbers: NumberList

    def holds(self, situation: Situation) -> bool:
        return situation.caller.ani in self.numbers

    def describe(self) -> str:
        return f"caller is on list {self.numbers.name}"


@dataclass(frozen=True, slots=True)
class CallerBlacklisted(Condition):
    """A list that operators keep in the database, with reasons and expiry: `agner blacklist`."""

    name: str

    def holds(self, situation: Situation) -> bool:
        return bool(situation.caller.ani) and situation.is_listed(self.name, situation.caller.ani)

    def describe(self) -> str:
        return f"caller is on the {self.name} of the database"


@dataclass(frozen=True, slots=True)
class Equals(Condition):
    """What the call has learnt, compared: any of the texts."""

    name: str
    texts: tuple[str, ...]  # empty: any value at all

    def holds(self, situation: Situation) -> bool:
        value = situation.value(f"${self.name}")
        return value in self.texts if self.texts else bool(value)

    def describe(self) -> str:
        return f"{self.name} is {' or '.join(self.texts)}" if self.texts else f"{self.name} is known"


@dataclass(frozen=True, slots=True)
class Share(Condition):
    """A split by percentages: the result is the label of the share that the call's dice falls into."""

    results: ClassVar[tuple[str, ...]] = ()  # the labels

    shares: tuple[tuple[str, float], ...]  # label, percent; together 100

    def decide(self, situation: Situation) -> str:
        edge = 0.0
        for label, percent in self.shares:
            edge += percent / 100
            if situation.dice < edge:
                return label
        return self.shares[-1][0]

    def describe(self) -> str:
        return "split " + ", ".join(f"{percent:g} % {label}" for label, percent in self.shares)


# ---- when


@dataclass(frozen=True, slots=True)
class Hours:
    """Opening hours. The narrower rule wins: a date, else a date of every year, else the weekday."""

    name: str
    week: tuple[Stretches, ...]  # seven days, Monday first
    days: Mapping[date, Stretches]  # a holiday is a day without stretches
    years_days: Mapping[tuple[int, int], Stretches] = field(default_factory=dict)  # (month, day) of every year

    def stretches(self, day: date) -> Stretches:
        if day in self.days:
            return self.days[day]
        return self.years_days.get((day.month, day.day), self.week[day.weekday()])

    def is_open(self, at: datetime) -> bool:
        minute = at.hour * 60 + at.minute
        return any(begin <= minute < end for begin, end in self.stretches(at.date()))


@dataclass(frozen=True, slots=True)
class WithinHours(Condition):
    hours: Hours

    def holds(self, situation: Situation) -> bool:
        return self.hours.is_open(situation.at)

    def describe(self) -> str:
        return f"open by hours {self.hours.name}"


@dataclass(frozen=True, slots=True)
class AirTime:
    """When spots for one product are on air. Callers of a spot come from `surge_after_s` after its beginning on."""

    name: str
    spots: tuple[tuple[tuple[int, ...], int, int], ...]  # weekdays, begin in minutes since midnight, length in minutes
    dates: tuple[tuple[date, int, int], ...] = ()  # single spots: date, begin, length
    surge_after_s: float = 30.0

    def _beginnings(self, day: date) -> list[tuple[int, int]]:
        weekly = [(begin, length) for weekdays, begin, length in self.spots if day.weekday() in weekdays]
        return weekly + [(begin, length) for when, begin, length in self.dates if when == day]

    def is_on(self, at: datetime) -> bool:
        """Spots may run over midnight."""
        for day, minute in ((at.date(), 0), (at.date() - timedelta(days=1), 1440)):
            now = minute + at.hour * 60 + at.minute
            if any(begin <= now < begin + length for begin, length in self._beginnings(day)):
                return True
        return False

    def next_surge(self, at: datetime) -> datetime | None:
        """When the callers of the next spot come; None: not within a week."""
        for days in range(8):
            day = at.date() + timedelta(days=days)
            midnight = datetime(day.year, day.month, day.day, tzinfo=at.tzinfo)
            for begin, _length in sorted(self._beginnings(day)):
                surge = midnight + timedelta(minutes=begin, seconds=self.surge_after_s)
                if surge >= at:
                    return surge
        return None


@dataclass(frozen=True, slots=True)
class OnAir(Condition):
    air: AirTime

    def holds(self, situation: Situation) -> bool:
        return self.air.is_on(situation.at)

    def describe(self) -> str:
        return f"{self.air.name} is on air"
