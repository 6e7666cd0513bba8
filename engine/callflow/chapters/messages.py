"""The caller leaves a message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.commands import Command

if TYPE_CHECKING:
    from engine.callflow.call import Call


def take_message(call: Call, event: ev.VoicemailPlanned, now: float) -> Iterator[Command]:
    call.voicemail, call.message_began_at = event.step, None
    yield call.start_play((event.step.tone,), event.step.language)


def open_message(call: Call, event: ev.PlayFinished, now: float) -> Iterator[Command]:
    """The tone has ended."""
    assert call.voicemail
    call.play = 0
    call.message_began_at = now
    call.due = now + call.voicemail.max_s
    yield do.StartMessage(call.voicemail.box)


def end_message(call: Call, event: ev.CallerDigit | ev.TimeUp, now: float) -> Iterator[Command]:
    """A key during the tone ends a message in which nothing was said."""
    if call.play:
        yield call.cut_play()
    is_kept = is_long_enough(call, now)
    yield from close_message(call, now)
    yield do.TakeStep("done" if is_kept else "too_short")


def listen(call: Call, event: ev.MessagesPlanned, now: float) -> Iterator[Command]:
    yield do.TakeStep("refused")


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
