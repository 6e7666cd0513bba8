"""The call's table: each pair is decided, its drawing is the agreed one (tests/golden/), the laws hold."""

from dataclasses import replace
from inspect import isfunction, signature
from pathlib import Path
from textwrap import wrap
from types import ModuleType

import pytest

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import table
from engine.callflow.call import CHAPTERS, Call
from engine.callflow.errors import CallError, ImpossibleEvent
from engine.callflow.table import TABLE, Impossible, Late, Move, State
from tests.floor import steps
from tests.floor.playbook import Playbook

DRAWING = Path(__file__).parents[1] / "golden" / "call_table.txt"
PAIRS = [(state, event) for state in State for event in ev.CALL_EVENTS]

# One of each event. The numbers are of the offer and the prompt that the chapters of steps.py leave open.
EVENTS: dict[type[ev.Event], ev.Event] = {
    type(event): event
    for event in (
        ev.CallArrived(steps.CALLER, 1),
        ev.CallTurnedAway(steps.CALLER, 1, CallError("full")),
        steps.CALL_BACK,
        ev.CallerAnswered(),
        ev.CallerHears(),
        ev.KeyChosen("1"),
        ev.EarlyMediaPlanned(steps.EARLY),
        ev.AskPlanned(steps.MENU),
        ev.VoicemailPlanned(steps.VOICEMAIL),
        ev.MessagesPlanned(steps.MESSAGES),
        ev.ErrandPlanned(steps.LOOK_UP, 7),
        ev.ErrandDone(0, "found"),
        ev.MailboxOpened(0, ()),
        ev.MailboxRefused(0, False),
        ev.RecordPlanned(steps.RECORD_OFF),
        ev.CallbackTurn(13),
        ev.CustomerAnswered(),
        ev.CustomerRefused(ev.Refusal.BUSY, 486),
        ev.Greeted(1),
        ev.GreetedAgent(1),
        ev.TalkEnded(1),
        ev.AgentLost(1),
        ev.CallerDigit("5"),
        ev.CallerGone(200, "BYE"),
        ev.AnswerPlanned(steps.ANSWER),
        ev.PlayPlanned(steps.GREETING),
        ev.QueuePlanned(steps.SUPPORT),
        ev.TransferPlanned(steps.NIGHT_DESK, 11),
        steps.hang_up("normal"),
        ev.AgentReserved(12, "102"),
        ev.OfferExpired(1),
        ev.OfferWithdrawn(1),
        ev.OffersFailed(),
        ev.WaitEnded("timeout"),
        ev.CalledRinging(1),
        ev.CalledAnswered(1),
        ev.CalledRefused(1, ev.Refusal.BUSY, 486),
        ev.CalledGone(1),
        ev.PlayFinished(0),
        ev.HangUpOrdered("wang"),
        ev.CallFailed(CallError("no slot")),
        ev.TimeUp(),
        ev.LegsGone(),
        ev.SentTo(steps.COLLEAGUE, 14),
        ev.SentIntoPlan(),
        ev.PutThrough(steps.COLLEAGUE, 15),
        ev.CalledTaken(1),
    )
}

# What they carry lives: an agent, a caller, somebody on the line.
NEVER_LATE = (ev.PutThrough, ev.AgentReserved, ev.CallbackTurn, ev.CallArrived, ev.CallbackBegan, ev.CustomerAnswered)


def call_in(state: State) -> Call:
    match state:
        case State.NEW:
            return Playbook().call
        case State.ROUTING:
            return steps.answered(Playbook).call
        case State.TONE:
            return steps.hearing_tone(Playbook).call
        case State.MESSAGE:
            return steps.leaving_message(Playbook).call
        case State.QUEUED:
            return steps.queued(Playbook, steps.PATIENT).call
        case State.OFFERING:
            return steps.offering(Playbook).call
        case State.GREETING:
            return steps.greeting(Playbook).call
        case State.FETCHING:
            return steps.fetching(Playbook).call
        case State.REACHING:
            return steps.reaching(Playbook).call
        case State.TALKING:
            return steps.talking(Playbook).call
        case State.SENDING:
            return steps.sending(Playbook).call
        case State.DIALLING:
            return steps.dialling(Playbook).call
        case State.TRANSFERRED:
            return steps.transferred(Playbook).call
    call = steps.arrived(Playbook).call
    call.handle(ev.CallerGone(487, "CANCEL"), 0)
    if state is State.ENDED:
        call.handle(ev.LegsGone(), 0)
    return call


def routing_for(event: type[ev.Event]) -> Call:
    """One thing at a time stands in ROUTING: the one that this event concerns."""
    book = steps.answered(Playbook)
    match event:
        case ev.TimeUp:
            book >> ev.AskPlanned(steps.MENU) << do.PlayPrompts >> ev.PlayFinished(1)
        case ev.MailboxOpened | ev.MailboxRefused:
            book >> ev.MessagesPlanned(steps.MESSAGES) << do.PlayPrompts
    return book.call


def event_for(call: Call, event: type[ev.Event]) -> ev.Event:
    """An event of this type that concerns what the call has open now."""
    given = EVENTS[event]
    if isinstance(given, ev.CalledEvent) and call.offers:
        is_of_target = event in (ev.CalledRinging, ev.CalledAnswered, ev.CalledRefused)
        offer = next((offer for offer in call.offers if (offer != call.talk) is is_of_target), min(call.offers))
        return replace(given, offer=offer)
    return given


def memory(call: Call) -> dict[str, object]:
    return {name: repr(value) for name, value in vars(call).items() if name != "late"}


# ---- the table


def test_each_pair_is_decided_once():
    assert set(EVENTS) == set(ev.CALL_EVENTS) == {e for e in vars(ev).values() if _is_call_event(e)}
    for state in State:
        decided = list(table._MOVES[state]) + list(table._RULED_OUT[state])
        assert sorted(e.__name__ for e in decided) == sorted(e.__name__ for e in ev.CALL_EVENTS), state


def test_a_pair_left_open_is_seen():
    """The control of the count above."""
    decided = [e for e in [*table._MOVES[State.QUEUED], *table._RULED_OUT[State.QUEUED]] if e is not ev.TimeUp]
    assert sorted(e.__name__ for e in decided) != sorted(e.__name__ for e in ev.CALL_EVENTS)


def test_every_handler_exists_and_is_used():
    named = {row.handler for rows in TABLE.values() for row in rows.values() if isinstance(row, Move)}
    written = [name for chapter in CHAPTERS for name, value in vars(chapter).items() if _is_handler(chapter, value)]
    assert named == set(written) and len(written) == len(set(written))


def test_every_late_row_gives_a_reason():
    reasons = [row.reason for rows in TABLE.values() for row in rows.values() if isinstance(row, Late)]
    assert reasons and all(reasons)


def test_what_carries_something_live_is_never_late():
    """Law 3. An answered leg of an offer that is over is hung up by law 4, before the table is asked."""
    for state in State:
        for event in NEVER_LATE:
            assert not isinstance(TABLE[state][event], Late), (state, event.__name__)


def test_every_state_is_reached_and_every_state_leads_to_the_end():
    ahead = {s: {row.state for row in TABLE[s].values() if isinstance(row, Move)} for s in State}
    assert _closure(State.NEW, ahead) == set(State)
    for state in State:
        assert State.ENDED in _closure(state, ahead), state


def test_the_drawing_is_the_agreed_one(golden):
    golden(DRAWING, draw())


# ---- the machine obeys the table


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_the_row_fixes_what_the_machine_does(state, event):
    """Laws 1 and 2, for each pair: a move ends in the row's state, late and impossible change nothing."""
    call = routing_for(event) if state is State.ROUTING else call_in(state)
    assert call.state is state
    given = event_for(call, event)
    is_stale = call._stale(given)
    before = memory(call)
    row = TABLE[state][event]
    if is_stale:
        commands = call.handle(given, call.since)
        is_answer = event is ev.CalledAnswered
        assert [type(c).__name__ for c in commands] == (["HangUpCalled"] if is_answer else [])
        assert call.late and memory(call) == before
    elif isinstance(row, Impossible):
        with pytest.raises(ImpossibleEvent, match=f"{event.__name__} in state {state}"):
            call.handle(given, call.since)
        assert memory(call) == before
    elif isinstance(row, Late):
        assert call.handle(given, call.since) == [] and call.late == row.reason
        assert memory(call) == before
    else:
        call.handle(given, call.since)
        assert call.state is row.state and call.late is None


@pytest.mark.parametrize("state", list(State))
def test_only_these_states_have_a_timer(state):
    """Law 5: TimeUp is a move exactly where a timer may run."""
    with_timer = {State.ROUTING, State.MESSAGE, State.QUEUED, State.GREETING, State.TALKING, State.DIALLING}
    with_timer |= {State.SENDING, State.TRANSFERRED, State.FETCHING, State.REACHING, State.CLOSING}
    assert isinstance(TABLE[state][ev.TimeUp], Move) is (state in with_timer)
    call = routing_for(ev.TimeUp) if state is State.ROUTING else call_in(state)
    assert (call.deadline is not None) is (state in with_timer)


# ---- helpers


def _is_call_event(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, ev.Event) and value not in (ev.Event, ev.CalledEvent)


def _is_handler(chapter: ModuleType, value: object) -> bool:
    if not isfunction(value) or value.__module__ != chapter.__name__:
        return False
    return list(signature(value).parameters) == ["call", "event", "now"]


def _closure(start: State, ahead: dict[State, set[State]]) -> set[State]:
    seen, todo = {start}, [start]
    while todo:
        todo += (new := ahead[todo.pop()] - seen)
        seen |= new
    return seen


def draw() -> str:
    """The table as a page: a grid of where each event leads, then the handlers and the reasons of each state."""
    name = max(len(event.__name__) for event in ev.CALL_EVENTS) + 1
    cells = {s: {event: _cell(s, TABLE[s][event]) for event in ev.CALL_EVENTS} for s in State}
    width = {s: max(len(s), *map(len, cells[s].values())) + 1 for s in State}
    grid = [f"{'':<{name}}" + "".join(f"{s:<{width[s]}}" for s in State)]
    for event in ev.CALL_EVENTS:
        grid.append(f"{event.__name__:<{name}}" + "".join(f"{cells[s][event]:<{width[s]}}" for s in State))
    pages = ["= stays   late: means nothing any more   . impossible", "", *grid]
    for s in State:
        pages += ["", s]
        for event in ev.CALL_EVENTS:
            match TABLE[s][event]:
                case Move(to, handler):
                    pages.append(f"    {event.__name__:<{name}}{'-> ' + to if to is not s else '=':<15} {handler}")
        for reason, events in _late(s).items():
            pages.append(f"    late, {reason}: {', '.join(events)}")
    return "\n".join(line.rstrip() for page in pages for line in _wrap(page)) + "\n"


def _late(state: State) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for event in ev.CALL_EVENTS:
        if isinstance(row := TABLE[state][event], Late):
            reasons.setdefault(row.reason, []).append(event.__name__)
    return reasons


def _wrap(line: str) -> list[str]:
    return [line] if "late, " not in line else wrap(line, 118, subsequent_indent=" " * 10)


def _cell(state: State, row: table.Row) -> str:
    match row:
        case Move(to):
            return "=" if to is state else to
        case Late():
            return "late"
    return "."
