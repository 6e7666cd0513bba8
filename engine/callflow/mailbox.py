"""Listening to a mailbox by phone: its number and PIN, then message after message.

A dialog like those of dialog.py, and pure like them. Keys: 1 again, 2 next, 3 delete, 4 call back. A message counts as
heard when it has been played to its end, or when its listener goes on to the next.
"""

from collections.abc import Iterator
from dataclasses import replace

from engine.callflow import commands as do
from engine.callflow.commands import Command
from engine.callflow.dialog import Question, Turn
from engine.callflow.plan import Place
from engine.callflow.record import Message
from engine.callflow.steps import Ask, Item, Recorded, Say

TRIES = 3  # wrong numbers or PINs in one call
OPEN_WITHIN_S = 5.0  # for the database, and a PIN's hash that is slow on purpose
KEY_WITHIN_S = 8.0  # from the end of the choice of keys; then comes the next message

_NOWHERE = Place("", 0, 0)


class Mailbox:
    """One caller who listens. Results: done, or refused. `tickets` numbers the attempts to open a box."""

    def __init__(self, language: str, tickets: Iterator[int]) -> None:
        self.language = language
        self.deadline: float | None = None
        self._tickets = tickets
        self._question: Question | None = None  # for the number or the PIN
        self._number: str | None = None
        self._n_refused = 0
        self._messages: tuple[Message, ...] = ()  # still to come; the first is listened to
        self._has_keys = False  # the message has ended, its keys are said or waited for
        self._last_words = ""  # the result after what plays now

    def begin(self, typed: str, now: float) -> Turn:
        return self._ask("enter_mailbox", typed, now)

    def key(self, key: str, now: float) -> Turn:
        if self._question:
            return self._go_on(self._question.key(key, now), now)
        if self._last_words or not self._messages:
            return Turn()
        message = self._messages[0]
        heard = () if self._has_keys else self._mark_heard()
        match key:
            case "1":
                return self._play((), is_cut=self.deadline is None)
            case "2":
                return self._next((), heard)
            case "3":
                return self._next(("message_deleted",), (do.DeleteMessage(message.id),))
            case "4" if message.number:
                return self._next(("reply_noted",), (*heard, do.AnswerMessage(message.id)))
        return Turn()

    def played(self, now: float) -> Turn:
        if self._question:
            return self._go_on(self._question.played(now), now)
        if self._last_words:
            return Turn(result=self._last_words)
        if self._has_keys:
            self.deadline = now + KEY_WITHIN_S
            return Turn()
        self._has_keys = True
        return Turn(("mailbox_keys",), commands=self._mark_heard())

    def time_up(self, now: float) -> Turn:
        if self._question:
            return self._go_on(self._question.time_up(now), now)
        if self._messages:
            return self._next((), ())
        return Turn(result="refused")  # the box did not open in time

    def opened(self, messages: tuple[Message, ...]) -> Turn:
        n_new = sum(message.heard_at is None for message in messages)
        said: tuple[Item, ...] = ("you_have", Say("count", str(n_new), "new_message")) if n_new else ("no_messages",)
        self.deadline, self._messages = None, messages
        return self._play(said) if messages else self._leave(said, "done")

    def refused(self, is_locked: bool, now: float) -> Turn:
        self._n_refused += 1
        self.deadline = None
        if is_locked or self._n_refused == TRIES:
            return self._leave(("mailbox_locked" if is_locked else "wrong_pin",), "refused")
        return self._ask("enter_mailbox", "", now, before=("wrong_pin",))

    # ---- number and PIN

    def _ask(self, prompt: str, typed: str, now: float, before: tuple[Item, ...] = ()) -> Turn:
        self._question = Question(Ask(_NOWHERE, {}, (*before, prompt), self.language, n_max=16, between_s=5.0))
        return self._go_on(self._question.begin(typed, now), now)

    def _go_on(self, turn: Turn, now: float) -> Turn:
        """What comes of the question. Its answers are nobody else's: they are not remembered."""
        assert self._question
        self.deadline = self._question.deadline
        if turn.result is None:
            return turn
        self._question = None
        if turn.answer is None:
            return Turn(is_cut=turn.is_cut, result="refused")
        if self._number is None:
            self._number = turn.answer
            return replace(self._ask("enter_pin", turn.unused, now), is_cut=turn.is_cut)
        number, self._number = self._number, None
        self.deadline = now + OPEN_WITHIN_S
        return Turn(is_cut=turn.is_cut, commands=(do.OpenMailbox(next(self._tickets), number, turn.answer),))

    # ---- message after message

    def _play(self, before: tuple[Item, ...], commands: tuple[Command, ...] = (), is_cut: bool = False) -> Turn:
        message = self._messages[0]
        self.deadline, self._has_keys = None, False
        who: Item = Say("phone", message.number) if message.number else "number_withheld"
        when: tuple[Item, ...] = (Say("date", f"{message.at:%Y-%m-%d}"), Say("time", f"{message.at:%H:%M}"))
        items = (*before, "message_from", who, "received_at", *when, Recorded(message.path))
        return Turn(items, is_cut, commands)

    def _next(self, said: tuple[Item, ...], commands: tuple[Command, ...]) -> Turn:
        is_cut, self._messages = self.deadline is None, self._messages[1:]
        if self._messages:
            return self._play(said, commands, is_cut)
        return replace(self._leave((*said, "end_of_messages"), "done"), is_cut=is_cut, commands=commands)

    def _mark_heard(self) -> tuple[Command, ...]:
        message = self._messages[0]
        return () if message.heard_at else (do.MarkHeard(message.id),)

    def _leave(self, said: tuple[Item, ...], result: str) -> Turn:
        self.deadline, self._last_words, self._messages = None, result, ()
        return Turn(said)
