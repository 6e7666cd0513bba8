"""Transfers that an agent's phone asks for: to a number that the agent may dial, or to the other party of a call that
the agent has dialled. Counterparts: callflow/chapters/sending.py; engine/sip/referrals.py, which brings the request.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import steps
from engine.callflow.errors import BusyError, CallError, PlanError
from engine.callflow.table import State
from engine.switch import planning
from engine.switch.live import CALLER, Live, Sent

if TYPE_CHECKING:
    from engine.switch.conductor import Switch

log = logging.getLogger(__name__)

FORBIDDEN, UNAVAILABLE, PENDING = 403, 480, 491


def refers(switch: Switch, news: ev.LegRefers) -> None:
    """Of an agent who talks to a caller of a queue. Nobody else sends anybody anywhere."""
    live = switch.calls.get(switch.leg_calls.get(news.leg, ""))
    if live is None:
        return
    machine = live.machine
    if machine.talk is None or live.legs.get(machine.talk) != news.leg or machine.transfer is not None:
        switch.sip.report_transfer(news.leg, FORBIDDEN)
        return
    agent = machine.partner
    try:
        if machine.state is not State.TALKING:
            raise BusyError("another transfer is under way, or the talk has not begun", status=PENDING)
        other = None if news.replaced is None else _consulted(switch, news.replaced, agent)
        if other and other.machine.state is State.TRANSFERRED:
            _put_through(switch, live, other)
        else:
            _send(switch, live, agent, news.number)
    except CallError as refusal:
        log.warning("call %s: agent %s sends it to %r: %s", machine.id, agent, news.number, refusal)
        switch.sip.report_transfer(news.leg, refusal.status)


def _consulted(switch: Switch, leg: int, agent: str) -> Live:
    """The agent's own call. Raises PlanError: it is somebody else's, or not one that can be taken apart."""
    other = switch.calls.get(switch.leg_calls.get(leg, ""))
    if other is None or other.caller.agent != agent or other.machine.state not in (State.TRANSFERRED, State.DIALLING):
        raise PlanError("Replaces names no such call of the agent's", status=FORBIDDEN)
    return other


def _send(switch: Switch, live: Live, agent: str, number: str) -> None:
    """Where the plan of the number leads. Raises PlanError and BusyError."""
    name = live.book.dialling.plan_for(number)
    switch.dialling.check_rate(switch, agent)
    live.sent = Sent(name, number)
    now = planning.situation(switch, live, number)
    stop = live.book.enter(name, now)
    if isinstance(stop.step, steps.Transfer):
        live.sent = Sent(name, number, stop.index)
        step = planning.resolved(stop.step, now)
        switch.then(live, ev.SentTo(step, next(switch.transfers)))
    else:
        switch.then(live, ev.SentIntoPlan())


def _put_through(switch: Switch, live: Live, other: Live) -> None:
    """The party's leg moves from the agent's call to the caller's. Raises BusyError: it has just ended."""
    taken, step = other.machine.talk, other.machine.transfer
    assert taken is not None and step
    leg = other.legs.get(taken)
    if leg is None or switch.is_dead(leg):
        raise BusyError("who was to take it has hung up", status=UNAVAILABLE)
    offer = next(switch.transfers)
    if CALLER in other.legs:
        switch.media.unbridge(other.legs[CALLER], leg)
    del other.legs[taken]
    live.legs[offer] = leg
    switch.leg_calls[leg] = live.machine.id
    switch.sip.give(leg, live.machine.id, offer)
    switch.then(other, ev.CalledTaken(taken))
    switch.then(live, ev.PutThrough(step, offer))


# ---- what the machine asks for


def part(switch: Switch, live: Live, command: do.Part) -> None:
    switch.media.unbridge(live.legs[CALLER], live.legs[command.offer])


def report_transfer(switch: Switch, live: Live, command: do.ReportTransfer) -> None:
    if (leg := live.legs.get(command.offer)) is not None:
        switch.sip.report_transfer(leg, command.status)


def follow_agent(switch: Switch, live: Live, command: do.FollowAgent) -> None:
    assert live.sent
    live.entry, live.step = live.sent, live.sent.step
