"""The plan's part of the conductor: what a call knows, which step comes next, errands. Counterpart: callflow/plan.py,
the walk; engine/config/values.py, the names there are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.errors import PlanError
from engine.callflow.events import Event
from engine.callflow.record import BlacklistHit, SurveyAnswer
from engine.switch.live import Live, Sent

if TYPE_CHECKING:
    from engine.switch.conductor import Switch

log = logging.getLogger(__name__)

_PLANNED: Mapping[type[plan.Step], Callable[..., Event]] = {
    steps.Answer: ev.AnswerPlanned,
    steps.EarlyMedia: ev.EarlyMediaPlanned,
    steps.Play: ev.PlayPlanned,
    steps.Ask: ev.AskPlanned,
    steps.Consent: ev.AskPlanned,
    steps.Voicemail: ev.VoicemailPlanned,
    steps.Messages: ev.MessagesPlanned,
    steps.Record: ev.RecordPlanned,
    steps.Queue: ev.QueuePlanned,
    steps.HangUp: ev.HangUpPlanned,
}

BUFFERED_S = 0.2  # phones hold audio back against jitter: a BYE right behind a prompt would cut its last word
_UNSERVED = ("timeout", "no_agents", "full", "too_long", "no_skill")
_NOWHERE = plan.Place("", 0, 0)
MOST_REDIRECTS = 5  # of one call: two phones may redirect to each other

# ---- what a call knows


def situation(switch: Switch, live: Live, number: str = "") -> plan.Situation:
    """`number`: that an agent dials for the caller, in place of the caller's own."""
    at = switch.utc().astimezone(ZoneInfo(live.book.timezone))
    is_listed = partial(_is_listed, switch, live)
    dialled = number or (live.entry.number if live.entry else live.caller.dnis)
    caller = replace(live.caller, dnis=dialled)
    return plan.Situation(caller, at, values(switch, live), is_listed, live.dice)


def values(switch: Switch, live: Live) -> dict[str, str]:
    """What the call has learnt, and what the switch knows of it now."""
    machine = live.machine
    known = {**live.values, "call": machine.id}
    if not hasattr(machine, "cdr"):
        return known
    if machine.cdr.queue:
        known["queue"] = machine.cdr.queue
        known["waited"] = f"{switch.now - machine.waits_since if machine.queue else live.waited_s:.0f}"
    if machine.queue and (position := switch.acd.position(machine.id)):
        known["position"] = str(position)
        waits = zip(("ewt", "ewt.late"), switch.acd.estimate(machine.id, switch.now), strict=True)
        known |= {name: f"{seconds:.0f}" for name, seconds in waits if seconds < float("inf")}
    if agent := switch.agents.get(machine.cdr.agent or (machine.partner if machine.talk is not None else "")):
        known |= {"agent": agent.id, "agent.name": agent.name}
    return known


def _is_listed(switch: Switch, live: Live, name: str, number: str) -> bool:
    """There is one list. A hit is counted once for each call, without a word to the database."""
    entry = switch.blacklist.find(number, switch.utc())
    if entry and entry.pattern not in live.hits:
        live.hits.add(entry.pattern)
        switch.records.count_blacklist_hit(BlacklistHit(live.machine.id, entry.pattern, switch.now))
    return entry is not None


def remember(switch: Switch, live: Live, command: do.Remember) -> None:
    live.values[command.name] = command.text


# ---- the next step


def take_step(switch: Switch, live: Live, command: do.TakeStep) -> None:
    if live.is_callback and not live.entry:  # there is no plan for one whose wait ended without an agent
        switch.then(live, ev.HangUpPlanned(steps.HangUp(_NOWHERE, {})))
        return
    now = situation(switch, live)
    _stand_at(switch, live, _next(switch, live, command.result, now), now)


def follow_redirect(switch: Switch, live: Live, command: do.FollowRedirect) -> None:
    """A 302 of a called party (RFC 3261 section 21.3.3). The number stands on the white list of agents, or it is a
    refusal like any other; and so is one too many."""
    live.n_redirects += 1
    try:
        if live.n_redirects > MOST_REDIRECTS:
            raise PlanError(f"redirected more than {MOST_REDIRECTS} times")
        name = live.book.dialling.plan_for(command.number)
    except PlanError as refusal:
        log.warning("call %s: 302 to %r is not followed: %s", live.machine.id, command.number, refusal)
        take_step(switch, live, do.TakeStep(command.result))
        return
    live.entry = Sent(name, command.number)
    now = situation(switch, live)
    _stand_at(switch, live, live.book.enter(name, now), now)


def _stand_at(switch: Switch, live: Live, stop: plan.Stop, now: plan.Situation) -> None:
    live.values |= {name: text for name, text in stop.values.items() if now.values.get(name) != text}
    live.step = stop.index
    event, buffered_until = _planned(switch, stop.step, now), live.said_at + BUFFERED_S
    if isinstance(event, ev.HangUpPlanned) and buffered_until > switch.now:
        switch.soon(buffered_until - switch.now, live, event)
    else:
        switch.then(live, event)


def _next(switch: Switch, live: Live, result: str, now: plan.Situation) -> plan.Stop:
    """A wait may end in a way that its book knows nothing of, because a reload has given the queue a limit, or taken
    the queue away. Then the call goes the way of another wait without an agent; where there is none, it begins again
    in the book that holds now, which has all of them."""
    if live.step is None:
        name = live.entry.plan if live.entry else live.machine.plan
        assert name
        return live.book.enter(name, now)
    step = live.book.steps[live.step]
    if not isinstance(step, steps.Queue) or result in step.ways:
        return live.book.after(live.step, result, now)
    for other in _UNSERVED:
        if other in step.ways:
            return live.book.after(live.step, other, now)
    live.book = switch.setup.book
    caller, sent = live.caller, live.entry
    name = live.book.dialling.plan_for(sent.number) if sent else live.book.plan_for(caller.dnis, caller.agent)
    return live.book.enter(name, now)


def _planned(switch: Switch, step: plan.Step, now: plan.Situation) -> Event:
    if isinstance(step, steps.Transfer):
        return ev.TransferPlanned(resolved(step, now), next(switch.transfers))
    if isinstance(step, steps.Errand):
        return ev.ErrandPlanned(step, next(switch.tickets))
    return _PLANNED[type(step)](step)


def resolved(step: steps.Transfer, now: plan.Situation) -> steps.Transfer:
    """With what the call knows in place of a `$name`."""
    way, dollar, name = step.uri.partition("$")
    return replace(step, uri=way + now.value(dollar + name))


# ---- errands and answers


def run_errand(switch: Switch, live: Live, command: do.RunErrand) -> None:
    step, now = command.step, situation(switch, live)
    result = "done"
    match step:
        case steps.LookUp():
            number = now.value(step.number)
            if number:
                take = _taker(switch, live.machine.id, command.ticket, step.into)
                switch.errands.look_up(step.source, number, step.within_s, take)
                return
            result = "unknown"
        case steps.Webhook():
            given = {key: now.value(text) for key, text in (step.values or {}).items()}
            caller = {"call": live.machine.id, "ani": live.caller.ani, "dnis": live.caller.dnis}
            switch.errands.tell(step.url, {**caller, **given})
        case steps.Callback():
            number, queue = now.value(step.number), now.value(step.queue)
            is_promised = switch.calling_back.promise(switch, live, number, queue, step.reason)
            result = "done" if is_promised else "no_number"
    switch.then(live, ev.ErrandDone(command.ticket, result))


def _taker(switch: Switch, call: str, ticket: int, into: str) -> Callable[[str, Mapping[str, str]], None]:
    """What a look-up found is for the step that asked, and for no later one."""

    def take(result: str, found: Mapping[str, str]) -> None:
        live = switch.calls.get(call)
        if live is None:
            return
        learnt = {f"{into}.{name}": text for name, text in found.items()} if live.machine.ticket == ticket else {}
        live.values |= learnt
        switch.then(live, ev.ErrandDone(ticket, result, learnt))

    return take


def write_survey(switch: Switch, live: Live, command: do.WriteSurvey) -> None:
    step = None if live.step is None else live.book.steps[live.step]
    labels = dict(zip(step.choices, step.labels, strict=False)) if isinstance(step, steps.Ask) else {}
    cdr, digit = live.machine.cdr, command.answer
    answer = SurveyAnswer(
        cdr.call, command.question, digit, labels.get(digit, ""), switch.now, queue=cdr.queue, agent=cdr.agent
    )
    switch.records.write_survey(answer)
