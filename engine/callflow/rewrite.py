"""Number normalisation as data: how a carrier writes a number, how this switch does, and back. Standard library only.

A rule is a pattern and what the number becomes. A pattern is a prefix, then `*` for any rest (also none), or one `?`
for each digit of the rest, or nothing: then it is one whole number. In the outcome a `*` stands for that rest; the
prefix goes, unless the outcome says it again. So `00*: +*` makes 00495... +495..., `1??????????: +861*` a mobile number
international, `????????: +86571*` a local one. Of the rules that match, the longest prefix wins; of two with the same,
the one that says more (nothing before `?`, `?` before `*`). A number that no rule matches stays as it is; so does what
is no number, such as a name.

Counterpart: settings.Numbers, four such tables of a trunk.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_PATTERN = re.compile(r"(\+?[0-9#]{0,20})(\*|\?{1,20})?")
_OUTCOME = re.compile(r"\+?[0-9#]{0,20}\*?")
_NUMBER = re.compile(r"\+?[0-9*#]{1,64}")


@dataclass(frozen=True, slots=True)
class Rule:
    prefix: str
    n_more: int | None  # digits behind the prefix; None: any number of them
    outcome: str

    def rest_of(self, number: str) -> str | None:
        """What is behind the prefix; None if the rule is not for this number."""
        if not number.startswith(self.prefix):
            return None
        rest = number[len(self.prefix) :]
        if self.n_more is None:
            return rest
        return rest if len(rest) == self.n_more and (not rest or rest.isdecimal()) else None

    @property
    def weight(self) -> tuple[int, int]:
        return len(self.prefix), -1 if self.n_more is None else 0 if self.n_more else 1


def rule(pattern: str, outcome: str) -> Rule:
    """Raises ValueError, with a text for whoever wrote it."""
    found = _PATTERN.fullmatch(pattern)
    if not found or not pattern:
        raise ValueError(f"{pattern!r} is not digits with one * or some ? at the end")
    if not outcome or not _OUTCOME.fullmatch(outcome):
        raise ValueError(f"{outcome!r} is not digits with one * at the end, where the rest goes")
    wild = found[2] or ""
    if wild and "*" not in outcome and len(outcome.lstrip("+")) == 0:
        raise ValueError(f"{outcome!r} leaves nothing of the number")
    if not wild and "*" in outcome:
        raise ValueError(f"{outcome!r} has a * for the rest, but {pattern!r} leaves none")
    return Rule(found[1], None if wild == "*" else len(wild), outcome)


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A table of rules, in no order."""

    rules: tuple[Rule, ...] = ()
    _by_weight: tuple[Rule, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_weight", tuple(sorted(self.rules, key=lambda one: one.weight, reverse=True)))

    def rewrite(self, number: str) -> str:
        if not _NUMBER.fullmatch(number):
            return number
        for one in self._by_weight:
            if (rest := one.rest_of(number)) is not None:
                return one.outcome.replace("*", rest) or number
        return number


def table(rules: Iterable[tuple[str, str]]) -> Rewriting:
    """Rewriting of (pattern, outcome)s. Raises ValueError."""
    return Rewriting(tuple(rule(pattern, outcome) for pattern, outcome in rules))
