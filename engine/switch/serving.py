"""The queue, its agents and called legs: what the conductor does with what a call asks for from the first wait to the
bridge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import plan
from engine.callflow.errors import SipError
from engine.callflow.steps import AGENT
from engine.switch import planning
from engine.switch.live import CALLER, Live

if TYPE_CHECKING:
    from engine.switch.conductor import Switch

NOT_FOUND = 404

# ---- the queue


def enqueue(switch: Switch, live: Live, command: do.Enqueue) -> None:
    """A promised callback stands where its first call stood. The agent who has just hung up on a caller is not the
    preferred one again."""
    step, now, arrival = command.step, switch.now, command.since
    if step.preferred:
        agent = planning.situation(switch, live).value(step.preferred.agent)
        agent = "" if agent == live.machine.partner else agent
        step = replace(step, preferred=replace(step.preferred, agent=agent))
    if step.keep_place and live.place_at is not None and live.place_at < now:
        arrival = live.place_at
    if live.place_at is None:
        live.place_at = now
    switch.calling_back.waits(switch, live, step)
    switch.acd.enqueue(live.machine.id, step, now, arrival)


def leave_queue(switch: Switch, live: Live, command: do.LeaveQueue) -> None:
    switch.acd.leave(live.machine.id, command.outcome, switch.now)


# ---- agents


def ring_agent(switch: Switch, live: Live, command: do.RingAgent) -> None:
    """The phone shows whose call it is and what it is about."""
    machine, known = live.machine, planning.values(switch, live)
    queue = machine.queue.queue if machine.queue else machine.cdr.queue or ""
    customer = known.get("customer.name", "") or live.caller.name
    headers = {
        "X-Agner-Call": machine.id,
        "X-Agner-Queue": queue,
        "X-Agner-Business": known.get("business", ""),
        "X-Agner-Customer": customer,
        "X-Agner-Level": known.get("customer.level", ""),
        "X-Agner-Callback": "yes" if live.is_callback else "",
    }
    shown = (known.get("business", "") or queue, known.get("customer.level", ""), customer or live.caller.ani)
    phone = switch.agents[command.agent].phone
    given = {name: text for name, text in headers.items() if text}
    dial(switch, live, command.offer, phone, given, " · ".join(text for text in shown if text))


def take_offer(switch: Switch, live: Live, command: do.TakeOffer) -> None:
    switch.acd.take(command.offer, switch.now)


def decline_offer(switch: Switch, live: Live, command: do.DeclineOffer) -> None:
    switch.acd.decline(command.offer, command.refusal, switch.now)


def give_back_agent(switch: Switch, live: Live, command: do.GiveBackAgent) -> None:
    switch.acd.give_back(command.offer, switch.now)


def release_agent(switch: Switch, live: Live, command: do.ReleaseAgent) -> None:
    switch.acd.release(live.machine.id, switch.now)


def follow_phone(switch: Switch, call: str, news: ev.LegEnded | ev.LegCleared | ev.OfferGivenUp) -> None:
    match news:
        case ev.OfferGivenUp(offer):
            clear_phone(switch, call, offer)
        case ev.LegCleared(leg) | ev.LegEnded(leg, is_clear=True):
            phone_cleared(switch, leg)


def clear_phone(switch: Switch, call: str, offer: int) -> None:
    """The phone is free when it says so: a CANCEL that crosses its 200 is followed by BYE, and an INVITE before that
    would meet a busy phone. An offer that was never dialled has no leg."""
    live = switch.calls.get(call)
    leg = live.legs.get(offer) if live else None
    if leg is None:
        switch.acd.cleared(offer, switch.now)
    else:
        switch.clearing[leg] = offer


def phone_cleared(switch: Switch, leg: int) -> None:
    if offer := switch.clearing.pop(leg, None):
        switch.acd.cleared(offer, switch.now)


# ---- called legs


def dial_out(switch: Switch, live: Live, command: do.DialOut) -> None:
    headers = {"X-Agner-Call": live.machine.id}
    if not command.uri.startswith(AGENT):
        dial(switch, live, command.offer, command.uri, headers)
    elif agent := switch.setup.staff.agents.get(command.uri.removeprefix(AGENT)):
        switch.dialling.began(switch, dial(switch, live, command.offer, agent.phone, headers), agent.id)
    else:
        switch.then(live, ev.CalledRefused(command.offer, ev.Refusal.UNREACHABLE, NOT_FOUND))


def dial(switch: Switch, live: Live, offer: int, uri: str, headers: Mapping[str, str], display_name: str = "") -> int:
    """The leg."""
    leg = switch.sip.dial(live.machine.id, offer, uri, live.caller, headers, display_name)
    live.legs[offer] = leg
    switch.leg_calls[leg] = live.machine.id
    return leg


def dial_customer(switch: Switch, live: Live, command: do.DialCustomer) -> None:
    """Over the trunk of the queue's callbacks, from the number that the customer had dialled; the agent who waits on
    the line hears the queue's music."""
    machine = live.machine
    if not switch.calling_back.may_call(switch, live):
        return
    trunk = switch.setup.trunk(live.caller.trunk)
    if trunk is None or not trunk.destinations:
        raise SipError(f"trunk {live.caller.trunk!r} takes no calls of ours")
    uri = f"trunk:{trunk.name}/{live.caller.ani}"
    from_us = plan.Caller(live.caller.dnis, live.caller.ani, trunk.name)
    leg = switch.sip.dial_customer(machine.id, uri, from_us, {"X-Agner-Call": machine.id})
    live.legs[CALLER] = leg
    switch.leg_calls[leg] = machine.id
    queue = switch.setup.queue(machine.cdr.queue)
    if machine.talk is not None and queue and queue.music:
        switch.media.start_music(live.legs[machine.talk], queue.music)


def bridge(switch: Switch, live: Live, command: do.Bridge) -> None:
    switch.media.bridge(live.legs[CALLER], live.legs[command.offer])
    switch.calling_back.talks(switch, live)


def hang_up_called(switch: Switch, live: Live, command: do.HangUpCalled) -> None:
    if (leg := live.legs.get(command.offer)) is not None:
        switch.sip.hang_up(leg, command.elsewhere)
