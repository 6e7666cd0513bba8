"""Messages: the caller leaves one, or listens to those of a mailbox as mailbox.py leads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.chapters import asking
from engine.callflow.commands import Command
from engine.callflow.mailbox import Mailbox

if TYPE_CHECKING:
    from engine.callflow.call import Call


def take_message(call: Call, event: ev.VoicemailPlanned, now: float) -> Iterator[Command]:
    call.voicemail, call.message_began_at = event.step, None
    yield call.start_play((event.step.tone,), event.step.language)


def open_message(call: Call, event: ev.PlayFinished, now: float) -> Iterator[Command]:
    """The tone has ended."""
    call.play = 0
    yield _begin(call, now)


def skip_tone(call: Call, event: ev.CallerDigit, now: float) -> Iterator[Command]:
    """Whoever knows the mailbox presses any key and speaks."""
    yield call.cut_play()
    yield _begin(call, now)


def _begin(call: Call, now: float) -> Command:
    assert call.voicemail
    call.message_began_at = now
    call.due = now + call.voicemail.max_s
    return do.StartMessage(call.voicemail.box)


def end_message(call: Call, event: ev.CallerDigit | ev.TimeUp, now: float) -> Iterator[Command]:
    is_kept = is_long_enough(call, now)
    yield from close_message(call, now)
    yield do.TakeStep("done" if is_kept else "too_short")


def close_message(call: Call, now: float) -> Iterator[Command]:
    """However it ends, what was said is kept."""
    is_kept = is_long_enough(call, now)
    has_begun, call.voicemail, call.message_began_at = call.message_began_at is not None, None, None
    if is_kept:
        call.verdict = "left_message"
    if has_begun:
        yield do.StopMessage(is_kept)


def is_long_enough(call: Call, now: float) -> bool:
    began_at = call.message_began_at
    return call.voicemail is not None and began_at is not None and now - began_at >= call.voicemail.min_s


# ---- listening


def open_mailbox(call: Call, event: ev.MessagesPlanned, now: float) -> Iterator[Command]:
    call.mailbox = Mailbox(event.step.language, call.mailbox_tickets)
    yield from asking.talk(call, call.mailbox, now)


def list_messages(call: Call, event: ev.MailboxOpened, now: float) -> Iterator[Command]:
    assert call.mailbox
    call.ticket = 0
    yield from asking.follow(call, call.mailbox.opened(event.messages))


def refuse_mailbox(call: Call, event: ev.MailboxRefused, now: float) -> Iterator[Command]:
    assert call.mailbox
    call.ticket = 0
    yield from asking.follow(call, call.mailbox.refused(event.is_locked, now))
