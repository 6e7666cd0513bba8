"""What callers and agents hear, and what is recorded. Counterparts: engine/media; callflow/say.py, which knows how
values are spoken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow.errors import MediaError
from engine.callflow.say import CannotSay, say
from engine.callflow.steps import Item, Recorded, Say
from engine.switch import planning
from engine.switch.live import CALLER, Live

if TYPE_CHECKING:
    from engine.switch.conductor import Switch

log = logging.getLogger(__name__)

GREETING = 1 << 30  # number of the plays at pick-up; those of the machine count from 1
UNSAID_S = 0.02  # a play of which nothing is heard ends after this, so that no plan can go round without time

# ---- prompts


def rendered(switch: Switch, live: Live, items: Iterable[Item], language: str) -> list[str | Path] | None:
    """What the media room is to play; None if a value among the items is not known or cannot be spoken."""
    now = planning.situation(switch, live)
    heard: list[str | Path] = []
    for item in items:
        match item:
            case str():
                heard.append(item)
            case Recorded(path):
                heard.append(Path(switch.setup.settings.recording.folder) / path)
            case Say("hours", name):
                heard += say("hours", live.book.hours[name].week, language)
            case Say(kind, text, unit):
                try:
                    heard += say(kind, now.value(text), language, unit)
                except CannotSay as error:
                    log.debug("call %s: %s is left out: %s", live.machine.id, item, error)
                    return None
    return heard


def play(switch: Switch, live: Live, command: do.PlayPrompts) -> None:
    heard = rendered(switch, live, command.items, command.language)
    if heard:
        switch.media.play(live.legs[CALLER], heard, command.play, command.language)
    else:
        switch.soon(UNSAID_S, live, ev.PlayFinished(command.play))


def stop_prompts(switch: Switch, live: Live, command: do.StopPrompts) -> None:
    switch.media.stop_play(live.legs[CALLER])


def start_music(switch: Switch, live: Live, command: do.StartMusic) -> None:
    switch.media.start_music(live.legs[CALLER], command.music)


def stop_music(switch: Switch, live: Live, command: do.StopMusic) -> None:
    switch.media.stop_music(live.legs[CALLER])


# ---- at pick-up


def greet(switch: Switch, live: Live, command: do.Greet) -> None:
    """Both hear their part at once, and neither is cut: they meet when the longer one has ended."""
    is_caller_there = live.machine.is_caller_up
    live.greeted = ev.Greeted(command.offer) if is_caller_there else ev.GreetedAgent(command.offer)
    parts = [(live.legs[command.offer], command.whisper)]
    if is_caller_there:
        parts.append((live.legs[CALLER], command.greeting))
    live.greeting = set()
    for leg, items in parts:
        if heard := rendered(switch, live, items, command.language):
            try:
                switch.media.play(leg, heard, GREETING, command.language)
            except MediaError as error:  # of no greeting is so much to be made that the two do not meet
                log.error("call %s: %s", live.machine.id, error)
            else:
                live.greeting.add(leg)
    end_greeting(switch, live)


def end_greeting(switch: Switch, live: Live, leg: int | None = None) -> None:
    live.greeting.discard(-1 if leg is None else leg)
    if live.greeted and not live.greeting:
        greeted, live.greeted = live.greeted, None
        switch.then(live, greeted)


def cut_greeting(switch: Switch, live: Live, command: do.CutGreeting) -> None:
    for leg in list(live.greeting):
        log.error("call %s: what leg %d hears at pick-up does not end; it is cut", live.machine.id, leg)
        switch.media.stop_play(leg)
        end_greeting(switch, live, leg)


def played(switch: Switch, live: Live, leg: int, play: int) -> None:
    if play == GREETING:
        end_greeting(switch, live, leg)
    else:
        live.said_at = switch.now
        switch.then(live, ev.PlayFinished(play))


# ---- recording


def start_recording(switch: Switch, live: Live, command: do.StartRecording) -> None:
    path = str(Path(switch.setup.settings.recording.folder) / command.path)
    switch.recordings[path] = (live.machine.id, command.path)
    switch.media.record(live.legs[CALLER], path)


def stop_recording(switch: Switch, live: Live, command: do.StopRecording) -> None:
    switch.media.stop_record(live.legs[CALLER], command.discard)
    if command.discard:
        mine = [path for path, (call, _) in switch.recordings.items() if call == live.machine.id]
        for path in mine:
            del switch.recordings[path]
            switch.media.delete(path)
