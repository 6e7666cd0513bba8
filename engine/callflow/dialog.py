"""Questions to the caller, and the keys that answer them: what is said, what is taken, when time is up.

One mechanic for menus, numbers, surveys and consent; mailbox.py builds on it. Pure: a dialog is told what happened and
answers with a Turn; chapters/asking.py carries that out. Times are seconds of the engine's clock.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from engine.callflow import commands as do
from engine.callflow.commands import Command
from engine.callflow.steps import Ask, Consent, Item


@dataclass(frozen=True, slots=True)
class Turn:
    """What a dialog wants now. With a result it is over."""

    items: tuple[Item, ...] = ()  # to be played from here on
    is_cut: bool = False  # what plays is cut first
    commands: tuple[Command, ...] = ()  # what else is to be done
    result: str | None = None
    answer: str | None = None  # the keys, where the result is an answer
    unused: str = ""  # keys it did not need: the next question's


class Dialog(Protocol):
    language: str
    deadline: float | None  # when time_up() is due; never while something plays

    def begin(self, typed: str, now: float) -> Turn:
        """`typed` are keys that came before the question."""

    def key(self, key: str, now: float) -> Turn:
        """The caller pressed one of 0-9 * # A-D."""

    def played(self, now: float) -> Turn:
        """The items have ended by themselves."""

    def time_up(self, now: float) -> Turn: ...


class Question:
    """An Ask step. Keys that came before it, and keys while it speaks, count: unless barge_in is False.

    A menu takes the shortest keys that no longer choice begins with. A number is over at n_max digits, at its end key,
    or between_s after the last digit. A wrong answer drops what else was keyed ahead.
    """

    def __init__(self, ask: Ask) -> None:
        self.language = ask.language
        self.deadline: float | None = None
        self._ask = ask
        self._keyed = ""
        self._n_missed = 0
        self._is_speaking = False

    def begin(self, typed: str, now: float) -> Turn:
        for n, key in enumerate(typed if self._ask.barge_in else ""):
            turn = self.key(key, now)
            if turn.result is not None or not self._keyed:
                return replace(turn, unused="" if turn.answer is None else typed[n + 1 :])
        return Turn() if self._keyed else self._speak(self._ask.items, now)

    def key(self, key: str, now: float) -> Turn:
        if self._is_speaking and not self._ask.barge_in:
            return Turn()
        is_cut, self._is_speaking = self._is_speaking, False
        self.deadline = now + self._ask.between_s
        turn = self._take_choice(key, now) if self._ask.choices else self._take_digit(key, now)
        return replace(turn, is_cut=is_cut)

    def played(self, now: float) -> Turn:
        self._is_speaking = False
        self.deadline = now + self._ask.first_s
        return Turn()

    def time_up(self, now: float) -> Turn:
        if not self._keyed:
            return self._miss("no_input", now)
        return self._finish(now)

    def _take_choice(self, key: str, now: float) -> Turn:
        keyed = self._keyed + key
        if any(choice.startswith(keyed) for choice in self._ask.choices):
            self._keyed = keyed
            has_longer = any(choice.startswith(keyed) and choice != keyed for choice in self._ask.choices)
            return Turn() if has_longer else self._finish(now)
        if key == self._ask.end_key:
            return self._finish(now)
        return self._miss("invalid", now)

    def _take_digit(self, key: str, now: float) -> Turn:
        if key == self._ask.end_key:
            return self._finish(now)
        if not key.isdigit():
            return self._miss("invalid", now)
        self._keyed += key
        return self._finish(now) if len(self._keyed) == self._ask.n_max else Turn()

    def _finish(self, now: float) -> Turn:
        """Nothing more comes: what was keyed is the answer, or wrong."""
        if self._ask.choices:
            if self._keyed in self._ask.choices:
                return self._end(self._keyed, self._keyed)
        elif len(self._keyed) >= self._ask.n_min:
            return self._end("done", self._keyed)
        return self._miss("invalid", now)

    def _miss(self, why: str, now: float) -> Turn:
        self._keyed = ""
        self._n_missed += 1
        if self._n_missed >= self._ask.tries:
            return self._end(why)
        said = self._ask.invalid if why == "invalid" else self._ask.silent
        return self._speak(said + self._ask.items, now)

    def _speak(self, items: tuple[Item, ...], now: float) -> Turn:
        if not items:
            self.deadline = now + self._ask.first_s
            return Turn()
        self.deadline = None
        self._is_speaking = True
        return Turn(items)

    def _end(self, result: str, answer: str | None = None) -> Turn:
        self.deadline = None
        if answer is None:
            return Turn(result=result)
        commands: tuple[Command, ...] = (do.Remember(self._ask.into, answer),)
        if self._ask.survey:
            commands += (do.WriteSurvey(self._ask.survey, answer),)
        return Turn(commands=commands, result=result, answer=answer)


class Refusal:
    """A Consent step: the one key refuses, from the first word until within_s after the last. Others wait."""

    def __init__(self, consent: Consent) -> None:
        self.language = consent.language
        self.deadline: float | None = None
        self._consent = consent
        self._is_speaking = False

    def begin(self, typed: str, now: float) -> Turn:
        if not self._consent.items:
            self.deadline = now + self._consent.within_s
        self._is_speaking = bool(self._consent.items)
        return Turn(self._consent.items, unused=typed)

    def key(self, key: str, now: float) -> Turn:
        if key != self._consent.refuse_key:
            return Turn(unused=key)
        self.deadline = None
        return Turn(is_cut=self._is_speaking, result="refused")

    def played(self, now: float) -> Turn:
        self._is_speaking = False
        self.deadline = now + self._consent.within_s
        return Turn()

    def time_up(self, now: float) -> Turn:
        return Turn(result="given")
