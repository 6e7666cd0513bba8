"""Questions and mailboxes: a question beside a model that looks at all keys of a try as one text, and what a listener
of messages hears."""

import re
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.dialog import Question, Turn
from engine.callflow.record import Message
from engine.callflow.steps import Ask, Item, Recorded, Say
from engine.callflow.table import State
from tests.floor import steps
from tests.floor.playbook import Playbook, after, expire, state
from tests.floor.steps import HERE, NOWHERE, answered

# ---- a question and its model

SILENCE = "_"
WRONG, NOTHING = "invalid", "no_input"

TRIES = st.integers(1, 3)
MENUS = st.builds(
    lambda choices, tries: Ask(HERE, NOWHERE, ("q",), "zh", tuple(choices), tries=tries),
    st.lists(st.text("12#", min_size=1, max_size=2), min_size=1, max_size=4, unique=True), TRIES,
)  # fmt: skip
NUMBERS = st.builds(
    lambda low, more, end, tries: Ask(HERE, NOWHERE, ("q",), "zh", (), low, low + more, end, tries=tries),
    st.integers(1, 3), st.integers(0, 2), st.sampled_from(["#", ""]), TRIES,
)  # fmt: skip
KEYS = st.text("12*#" + SILENCE, max_size=12).map(lambda text: text + 3 * SILENCE)


def meaning(ask: Ask, keys: str) -> tuple[str, str | None] | None:
    """What the keys of one try mean: a result and an answer; None: more may come."""
    if ask.choices:
        menu = "|".join(re.escape(choice) for choice in sorted(ask.choices, key=len, reverse=True))
        more = any(choice.startswith(keys) and choice != keys for choice in ask.choices)
        known = re.fullmatch(f"({menu})", keys) if not more else None
        known = known or (None if more else re.fullmatch(f"({menu})[#{SILENCE}]", keys))
        return (known[1], known[1]) if known else (None if more else (WRONG, None))
    ends = f"[{ask.end_key}{SILENCE}]"
    known = re.fullmatch(rf"(\d{{{ask.n_max}}}|\d{{{ask.n_min},{ask.n_max}}}(?={ends}.?$)){ends}?", keys)
    if known:
        return "done", known[1]
    return None if re.fullmatch(rf"\d{{0,{ask.n_max - 1}}}", keys) else (WRONG, None)


def model(ask: Ask, text: str) -> tuple[str, str | None]:
    keys, n_missed = "", 0
    for key in text:
        keys += key
        found = (NOTHING, None) if keys == SILENCE else meaning(ask, keys)
        if found is None:
            continue
        n_missed += found[1] is None
        if found[1] is not None or n_missed == ask.tries:
            return found
        keys = ""
    raise AssertionError("three silences end every question")


def played_through(question: Question, text: str) -> tuple[str, str | None]:
    turn = question.begin("", 0.0)
    for key in text:
        is_over, is_speaking = turn.result is not None, bool(turn.items)
        assert (question.deadline is None) is (is_over or is_speaking)
        if is_over:
            break
        if key == SILENCE:
            if question.deadline is None:
                question.played(1.0)
            turn = question.time_up(2.0)
        else:
            turn = question.key(key, 2.0)
            assert turn.is_cut is is_speaking
    assert turn.result is not None
    return turn.result, turn.answer


@given(ask=MENUS | NUMBERS, text=KEYS)
def test_a_question_means_what_its_model_says(ask: Ask, text: str) -> None:
    assert played_through(Question(ask), text) == model(ask, text)


class Hasty(Question):
    """Takes the first choice that fits, though a longer one begins like it."""

    def key(self, key: str, now: float) -> Turn:
        turn = super().key(key, now)
        return self._finish(now) if self._keyed in self._ask.choices and turn.result is None else turn


def test_control_a_question_that_does_not_wait_is_noticed() -> None:
    ask = Ask(HERE, NOWHERE, (), "zh", ("1", "12"))
    assert played_through(Hasty(ask), "12") != model(ask, "12") == played_through(Question(ask), "12")


@given(ask=MENUS | NUMBERS, text=st.text("12#", max_size=6))
def test_keys_ahead_answer_like_keys_that_come_later(ask: Ask, text: str) -> None:
    """And what is left over begins after the answer."""
    turn = Question(ask).begin(text, 0.0)
    if turn.answer is not None:
        used = text[: len(text) - len(turn.unused)]
        assert (turn.result, turn.answer) == played_through(Question(ask), used)
        assert not turn.items
    else:
        assert turn.unused == ""


@given(ask=MENUS | NUMBERS, text=st.text("12*#", max_size=6))
def test_without_barge_in_keys_count_only_after_the_items(ask: Ask, text: str) -> None:
    deaf = Ask(HERE, NOWHERE, ("q",), "zh", ask.choices, ask.n_min, ask.n_max, ask.end_key, barge_in=False)
    question = Question(deaf)
    assert question.begin(text, 0.0) == Turn(("q",))
    assert all(question.key(key, 0.0) == Turn() for key in text) and question.deadline is None
    assert question.played(1.0) == Turn() and question.deadline == 1.0 + deaf.first_s


# ---- a mailbox

CALLERS_NUMBER = Say("phone", "13800138000")


def message(id: str, number: str = "13800138000", heard: bool = False) -> Message:
    at = datetime(2026, 11, 20, 9, 5, tzinfo=UTC)
    return Message(id, "agent:101", number, id, at, 12.0, f"{id}.wav", heard_at=at if heard else None)


def heard(id: str, who: Item = CALLERS_NUMBER) -> tuple[Item, ...]:
    when = (Say("date", "2026-11-20"), Say("time", "09:05"))
    return ("message_from", who, "received_at", *when, Recorded(f"{id}.wav"))


def press(book: Playbook, keys: str) -> Playbook:
    for key in keys:
        book = book >> ev.CallerDigit(key)
    return book


def opening(play) -> Playbook:
    """Number and PIN are keyed in."""
    book = answered(play) >> ev.MessagesPlanned(steps.MESSAGES) << do.PlayPrompts(1, ("enter_mailbox",), "zh")
    book = press(press(book, "1") << do.StopPrompts(), "01#") << do.PlayPrompts(2, ("enter_pin",), "zh")
    return press(press(book, "2") << do.StopPrompts(), "468#") << do.OpenMailbox(-1, "101", "2468")


def listening(play, *messages: Message) -> Playbook:
    n_new = Say("count", str(sum(message.heard_at is None for message in messages)), "new_message")
    said = ("you_have", n_new, *heard(messages[0].id))
    return opening(play) >> ev.MailboxOpened(-1, messages) << do.PlayPrompts(3, said, "zh")


def test_two_messages_are_listened_to(play):
    (
        listening(play, message("m1"), message("m2", ""))
        >> ev.PlayFinished(3) << do.MarkHeard("m1") << do.PlayPrompts(4, ("mailbox_keys",), "zh")
        >> ev.CallerDigit("2") << do.StopPrompts() << do.PlayPrompts(5, heard("m2", "number_withheld"), "zh")
        >> ev.PlayFinished(5) << do.MarkHeard("m2") << do.PlayPrompts(6, ("mailbox_keys",), "zh")
        >> ev.PlayFinished(6)
        >> expire() << do.PlayPrompts(7, ("end_of_messages",), "zh")
        >> ev.PlayFinished(7) << do.TakeStep("done")
    )


def test_a_message_is_heard_again_and_called_back(play):
    (
        listening(play, message("m1"))
        >> ev.CallerDigit("1") << do.StopPrompts() << do.PlayPrompts(4, heard("m1"), "zh")
        >> ev.CallerDigit("4") << do.StopPrompts() << do.MarkHeard("m1") << do.AnswerMessage("m1")
        << do.PlayPrompts(5, ("reply_noted", "end_of_messages"), "zh")
        >> ev.PlayFinished(5) << do.TakeStep("done")
    )


def test_a_message_is_deleted(play):
    (
        listening(play, message("m1"), message("m2", heard=True))
        >> ev.CallerDigit("3") << do.StopPrompts() << do.DeleteMessage("m1")
        << do.PlayPrompts(4, ("message_deleted", *heard("m2")), "zh")
        >> ev.PlayFinished(4) << do.PlayPrompts(5, ("mailbox_keys",), "zh")
    )


def test_a_withheld_number_cannot_be_called_back(play):
    book = opening(play) >> ev.MailboxOpened(-1, (message("m1", ""),)) << do.PlayPrompts
    book >> ev.CallerDigit("4") >> ev.CallerDigit("9") << state(State.ROUTING)


def test_an_empty_mailbox(play):
    (
        opening(play) >> ev.MailboxOpened(-1, ()) << do.PlayPrompts(3, ("no_messages",), "zh")
        >> ev.MailboxOpened(-1, ())
        >> ev.CallerDigit("2")
        >> ev.PlayFinished(3) << do.TakeStep("done")
    )


def test_the_pin_is_wrong_three_times(play):
    book = opening(play)
    for n in (-2, -3):
        book = book >> ev.MailboxRefused(n + 1, False) << do.PlayPrompts
        book = press(press(book, "1") << do.StopPrompts(), "#") << do.PlayPrompts
        book = press(press(book, "1") << do.StopPrompts(), "#") << do.OpenMailbox(n, "1", "1")
    book = book >> ev.MailboxRefused(-3, False) << do.PlayPrompts(7, ("wrong_pin",), "zh")
    book >> ev.PlayFinished(7) << do.TakeStep("refused")


def test_a_locked_mailbox(play):
    (
        opening(play) >> ev.MailboxRefused(-1, True) << do.PlayPrompts(3, ("mailbox_locked",), "zh")
        >> ev.MailboxRefused(-1, True)
        >> ev.PlayFinished(3) << do.TakeStep("refused")
    )


def test_a_mailbox_that_opens_too_late(play):
    (
        opening(play)
        >> expire() << do.TakeStep("refused")
        >> ev.MailboxOpened(-1, (message("m1"),)) << state(State.ROUTING)
    )


def test_nobody_keys_in_a_mailbox(play):
    book = answered(play) >> ev.MessagesPlanned(steps.MESSAGES) << do.PlayPrompts
    for n in (1, 2):
        book = book >> ev.PlayFinished(n) >> expire() << do.PlayPrompts
    book >> ev.PlayFinished(3) >> after(1) >> expire() << do.TakeStep("refused")
