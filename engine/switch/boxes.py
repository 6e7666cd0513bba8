"""Voicemail: messages that callers leave, the lamps on the phones of those who may listen, and listening by phone.

Who may listen: agents, with the PIN of their own box, to that one and to those of the queues they serve. Counterparts:
callflow/mailbox.py, the dialog; engine/records/mailboxes.py, which knows the PINs and locks out who guesses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import media_news, steps
from engine.callflow.plan import PlanBook
from engine.callflow.record import Message
from engine.callflow.staff import Agent
from engine.switch import planning
from engine.switch.live import CALLER, Live, recording_path

if TYPE_CHECKING:
    from engine.switch.conductor import Switch

SPOKEN_S = 0.3  # a message in which less was said is none


@dataclass(slots=True)
class Taking:
    """A message being recorded, until it is known what becomes of it and that it is on disk."""

    message: Message
    is_kept: bool | None = None
    closed: media_news.MessageClosed | None = None


@dataclass(slots=True)
class Boxes:
    taking: dict[str, Taking] = field(default_factory=dict)  # by the path on disk
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)  # box -> new and old messages
    opened: dict[str, dict[str, Message]] = field(default_factory=dict)  # call -> what it listens to


# ---- a message is left


def start_message(switch: Switch, live: Live, command: do.StartMessage) -> None:
    live.n_messages += 1
    call = live.machine.id
    id = call if live.n_messages == 1 else f"{call}-{live.n_messages}"
    path = f"messages/{recording_path(id, 'wav')}"
    box = _box_of(switch, live, command.box)
    message = Message(id, box, live.caller.ani, call, switch.utc(), 0.0, path)
    on_disk = str(Path(switch.setup.settings.recording.folder) / path)
    switch.boxes.taking[on_disk] = Taking(message)
    switch.media.record_message(live.legs[CALLER], on_disk)


def _box_of(switch: Switch, live: Live, box: str) -> str:
    """`agent:$customer.agent` of a caller who has none is the queue's."""
    kind, _, name = box.partition(":")
    name = planning.situation(switch, live).value(name)
    return f"{kind}:{name}" if name else f"queue:{live.machine.cdr.queue or ''}"


def stop_message(switch: Switch, live: Live, command: do.StopMessage) -> None:
    for path, taking in list(switch.boxes.taking.items()):
        if taking.message.call == live.machine.id and taking.is_kept is None:
            taking.is_kept = command.keep
            switch.media.stop_message(live.legs.get(CALLER, 0), not command.keep)
            _settle(switch, path)


def message_closed(switch: Switch, closed: media_news.MessageClosed) -> None:
    if taking := switch.boxes.taking.get(closed.path):
        taking.closed = closed
        _settle(switch, closed.path)


def _settle(switch: Switch, path: str) -> None:
    taking = switch.boxes.taking[path]
    if taking.is_kept is False:
        del switch.boxes.taking[path]
        switch.media.delete(path)
    elif taking.is_kept and taking.closed:
        del switch.boxes.taking[path]
        if taking.closed.speech_s < SPOKEN_S:
            switch.media.delete(path)
            return
        message = replace(taking.message, seconds=taking.closed.seconds)
        switch.records.write_message(message)
        _count(switch, message.box, 1, 0)


# ---- lamps


def _count(switch: Switch, box: str, new: int, old: int) -> None:
    n_new, n_old = switch.boxes.counts.get(box, (0, 0))
    switch.boxes.counts[box] = max(0, n_new + new), max(0, n_old + old)
    tell_phones(switch, box)


def recount(switch: Switch, box: str | None = None) -> None:
    """The database is asked how many messages there are; None: of every box, and every phone is told."""

    def take(counts: Any) -> None:
        if isinstance(counts, Exception):
            return
        switch.boxes.counts = dict(counts)
        for one in counts if box is None else (box,):
            tell_phones(switch, one)

    switch.errands.ask(lambda database: database.counts(), take)


def tell_phones(switch: Switch, box: str) -> None:
    """Each agent's lamp tells of all boxes that the agent may listen to (RFC 3842)."""
    for agent in switch.setup.staff.agents.values():
        if box in boxes_of(agent):
            counts = [switch.boxes.counts.get(one, (0, 0)) for one in boxes_of(agent)]
            n_new, n_old = (sum(column) for column in zip(*counts, strict=True))
            switch.sip.notify_mwi(agent.phone, _account(switch, agent), n_new, n_old)


def boxes_of(agent: Agent) -> tuple[str, ...]:
    return (f"agent:{agent.id}", *(f"queue:{serves.queue}" for serves in agent.queues))


def _account(switch: Switch, agent: Agent) -> str:
    """The address that the phone calls to listen: a number of the plans that leads there."""
    sip = switch.setup.settings.sip
    number = next(_listening_numbers(switch.setup.book), agent.id)
    return f"sip:{number}@{sip.public_address or sip.address}:{sip.udp_port or sip.tcp_port}"


def _listening_numbers(book: PlanBook) -> Iterator[str]:
    for number, name in book.numbers.items():
        if not number.endswith("*") and _listens(book, book.entries[name]):
            yield number


def _listens(book: PlanBook, first: int) -> bool:
    to_see, seen = [first], set[int]()
    while to_see:
        index = to_see.pop()
        if index not in seen:
            seen.add(index)
            to_see += book.steps[index].ways.values()
    return any(isinstance(book.steps[index], steps.Messages) for index in seen)


# ---- listening by phone


def open_mailbox(switch: Switch, live: Live, command: do.OpenMailbox) -> None:
    agent, call = switch.setup.staff.agents.get(command.number), live.machine.id
    if agent is None:
        switch.then(live, ev.MailboxRefused(command.ticket, False))
        return
    utc, zone = switch.utc(), ZoneInfo(live.book.timezone)

    def question(database: Any) -> list[Message] | str:
        check = str(database.check_pin(f"agent:{agent.id}", command.pin, utc))
        if check != "right":
            return check
        found = [message for box in boxes_of(agent) for message in database.messages(box)]
        return sorted(found, key=lambda message: (message.heard_at is not None, message.at))

    def take(found: list[Message] | str | Exception) -> None:
        if (live := switch.calls.get(call)) is None:
            return
        if not isinstance(found, list):
            switch.then(live, ev.MailboxRefused(command.ticket, found == "locked"))
            return
        live.box = agent.id
        switch.boxes.opened[call] = {message.id: message for message in found}
        local = tuple(replace(message, at=message.at.astimezone(zone)) for message in found)
        switch.then(live, ev.MailboxOpened(command.ticket, local))

    switch.errands.ask(question, take)


def mark_heard(switch: Switch, live: Live, command: do.MarkHeard) -> None:
    message = switch.boxes.opened[live.machine.id][command.message]
    if message.heard_at is None:
        _keep(switch, live, replace(message, heard_at=switch.utc(), heard_by=live.box))
        _count(switch, message.box, -1, 1)


def delete_message(switch: Switch, live: Live, command: do.DeleteMessage) -> None:
    message = switch.boxes.opened[live.machine.id][command.message]
    if message.deleted_at is None:
        _keep(switch, live, replace(message, deleted_at=switch.utc()))
        _count(switch, message.box, *((0, -1) if message.heard_at else (-1, 0)))


def answer_message(switch: Switch, live: Live, command: do.AnswerMessage) -> None:
    """The reply is a callback, in the queue that the message was left for, else in the first that the agent serves."""
    message = switch.boxes.opened[live.machine.id][command.message]
    kind, _, name = message.box.partition(":")
    serves = switch.agents[live.box].queues
    queue = name if kind == "queue" else serves[0].queue if serves else ""
    switch.calling_back.reply(switch, message, queue)


def _keep(switch: Switch, live: Live, message: Message) -> None:
    switch.boxes.opened[live.machine.id][message.id] = message
    switch.records.write_message(message)
