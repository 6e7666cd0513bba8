"""What the news of a room means to a call, where that depends on more than the call's machine knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.callflow import events as ev
from engine.callflow import steps
from engine.callflow.events import Event
from engine.callflow.table import State
from engine.switch.live import CALLER, Live

if TYPE_CHECKING:
    from engine.switch.conductor import Switch


def meant(switch: Switch, live: Live, event: Event) -> Event:
    machine = live.machine
    match event:
        case ev.CallerDigit(digit) if machine.queue and digit in machine.queue.keys:
            return ev.KeyChosen(digit)
        case ev.CalledGone(offer, loss) if offer == machine.talk and _is_caller_there(switch, live):
            if machine.state is State.GREETING:
                return ev.AgentLost(offer, loss)
            return ev.TalkEnded(offer, loss) if machine.state is State.TALKING and _goes_on(live) else event
        case ev.AgentReserved(offer) if (began := machine.callback) and began.customer_first:
            is_reached = machine.is_caller_up or machine.state is not State.QUEUED
            return event if is_reached else ev.CallbackTurn(offer)
    return event


def _is_caller_there(switch: Switch, live: Live) -> bool:
    """Not who has hung up too, which is the next news."""
    return live.machine.is_caller_up and not switch.is_dead(live.legs.get(CALLER, -1))


def _goes_on(live: Live) -> bool:
    """After the talk."""
    step = None if live.step is None or live.is_callback else live.book.steps[live.step]
    return isinstance(step, steps.Queue) and "served" in step.ways
