"""What must hold for every call that could walk the plans, whatever the caller, the hour and the agents do.

The drafts form a graph; conditions may go either way, and of the results of a step those count that the
configuration makes possible. Proved here: a number or another plan leads to every plan; a caller who is
played to has been answered or is in early media, one who is asked, queued or transferred to music has been answered,
and once; no caller chooses the number that a trunk is given;
nobody is queued or transferred after a talk; each `$name` may have been set before; no call goes round without
waiting. That every branch ends and every step is reached is seen when the ways are drawn, in plans.py.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from engine.callflow.plan import Step
from engine.callflow.staff import Staff
from engine.callflow.steps import (
    TRUNK,
    Answer,
    Ask,
    Callback,
    Consent,
    EarlyMedia,
    HangUp,
    Messages,
    Play,
    Queue,
    Record,
    Transfer,
    Voicemail,
)
from engine.config.drafts import Draft
from engine.config.errands import OWN_QUEUE, no_callbacks
from engine.config.values import ALWAYS, BUILT_IN, WAITED_IN
from engine.config.yaml_nodes import Value, guess


def check(
    drafts: list[Draft],
    entries: Mapping[str, int],
    dialled: Collection[str],
    by_agents: Collection[str],
    led_to: Collection[str],
    plans: Mapping[str, Value],
    staff: Staff | None,
) -> None:
    """`dialled`, `by_agents`: plans that numbers lead to, of callers and of agents. `led_to`: plans that plans lead to.
    `plans`: where each is written."""
    if not drafts:
        return
    _check_ways_out(drafts, {entries[name] for name in dialled if name in entries})
    dialled = {*dialled, *by_agents}
    starts = {entries[name] for name in dialled if name in entries}
    from_numbers = _reached(drafts, starts)
    for name, key in plans.items():
        if name not in dialled and (name not in led_to or entries[name] not in from_numbers):
            key.complain(f'no call comes here: no number leads to plan "{name}"')
    _check_heard(drafts, starts)
    _check_names(drafts, starts, staff)
    _check_rounds(drafts)


def _next(draft: Draft) -> Iterator[tuple[str, int]]:
    for result, index in (draft.step.ways if draft.step else {}).items():
        if result in draft.possible:
            yield result, index


def _reached(drafts: list[Draft], starts: Collection[int]) -> set[int]:
    reached: set[int] = set()
    todo = list(starts)
    while todo:
        index = todo.pop()
        if index not in reached:
            reached.add(index)
            todo.extend(follower for _, follower in _next(drafts[index]))
    return reached


def _check_ways_out(drafts: list[Draft], starts: Collection[int]) -> None:
    """Nobody who calls us chooses whom we call at our cost."""
    for index in sorted(_reached(drafts, starts)):
        step = drafts[index].step
        if isinstance(step, Transfer) and step.uri.startswith(TRUNK) and "$" in step.uri:
            drafts[index].value.complain(
                f"transfer: callers who come here would choose the number, {step.uri}; only `agents dial` may lead here"
            )


# ---- answered, heard, talked


class _State(NamedTuple):
    """`answered` and `talked` are None once something was told of them, so that it is not told again behind it."""

    answered: bool | None = False
    early: bool = False
    talked: bool | None = False


def _check_heard(drafts: list[Draft], starts: Collection[int]) -> None:
    seen: set[tuple[int, _State]] = set()
    todo = [(index, _State()) for index in starts]
    while todo:
        index, state = todo.pop()
        if (index, state) in seen:
            continue
        seen.add((index, state))
        state = _after(drafts[index], state)
        for result, follower in _next(drafts[index]):
            todo.append((follower, state._replace(talked=True) if result == "served" else state))


def _after(draft: Draft, state: _State) -> _State:
    """The state behind a step; complains of what it does not allow."""
    step, complain = draft.step, draft.value.complain
    if isinstance(step, Queue | Transfer) and state.talked:
        complain("an agent has talked to a caller who comes here (`after talk`), and a call has one talk")
        state = state._replace(talked=None)
    match step:
        case Answer():
            if state.answered:
                complain("answer again: a call that comes here may be answered already")
            return state._replace(answered=True if state.answered is False else None)
        case EarlyMedia():
            if state.answered or state.early:
                complain("early media is for a call not answered yet: one that comes here may hear us already")
            return state._replace(early=True)
        case Play():
            if state.answered is False and not state.early:
                complain("the caller would hear nothing: put `answer` before it")
                return state._replace(answered=None)
        case Transfer() if not step.ringback:
            pass  # who is not answered hears ringing, and is answered when the called party is
        case Ask() | Consent() | Voicemail() | Messages() | Queue() | Transfer() | Record():
            if state.answered is False:
                why = "early media carries no keys and ends" if state.early else "the caller would hear nothing"
                complain(f"{why}: put `answer` before it")
                return state._replace(answered=None)
    return state


# ---- what a call has learnt


def _check_names(drafts: list[Draft], starts: Collection[int], staff: Staff | None) -> None:
    """A name is fine where some way to it sets it: another way may leave it empty, which is a case of its own."""
    known: dict[int, frozenset[str]] = {}
    todo = [(index, frozenset(ALWAYS)) for index in starts]
    while todo:
        index, names = todo.pop()
        if index in known and names <= known[index]:
            continue
        known[index] = names = known.get(index, frozenset()) | names
        draft = drafts[index]
        todo += [(follower, names | draft.gives.get(result, frozenset())) for result, follower in _next(draft)]
    for index, names in known.items():
        step = drafts[index].step
        if isinstance(step, Callback) and step.queue == OWN_QUEUE and staff:
            _check_callbacks(drafts[index], names, staff)
        for use in drafts[index].uses:
            if use.name not in names | use.known:
                use.value.complain(_unknown_name(use.name, names | use.known))


def _check_callbacks(draft: Draft, names: Collection[str], staff: Staff) -> None:
    """Every queue that the call may have waited in calls back."""
    for name in sorted(name.removeprefix(WAITED_IN) for name in names if name.startswith(WAITED_IN)):
        if name in staff.queues and staff.queues[name].callbacks is None:
            draft.value.complain(no_callbacks(name))


def _unknown_name(name: str, known: Collection[str]) -> str:
    if name in BUILT_IN:
        return f'"${name}" ({BUILT_IN[name]}) is not known yet when a call comes here'
    return f'no step before this sets "${name}"{guess(name, [one for one in known if not one.startswith(WAITED_IN)])}'


# ---- rounds


def _check_rounds(drafts: list[Draft]) -> None:
    """A way back that nothing on the round makes the call wait for."""
    done: set[int] = set()
    for start in range(len(drafts)):
        path: list[int] = []
        stack = [(start, False)]
        while stack:
            index, leaving = stack.pop()
            if leaving:
                done.add(path.pop())
            elif index in path:
                back = drafts[path[-1]].value
                back.complain(f"the call would go round from here to {drafts[index].value.place} without waiting")
            elif index not in done:
                path.append(index)
                stack.append((index, True))
                stack.extend((follower, False) for follower in _at_once(drafts[index]))


def _at_once(draft: Draft) -> Iterator[int]:
    """The ways that a call may go without time passing."""
    for result, index in _next(draft):
        if not _waits(draft.step, result):
            yield index


def _waits(step: Step | None, result: str) -> bool:
    """Whether this result takes time: a prompt is heard, a key is pressed, a time runs out."""
    match step:
        case Play() | Ask() | Consent() | Voicemail() | Messages():
            return True
        case Queue():
            return (result == "timeout" and bool(step.max_wait_s)) or result in step.keys or result == "served"
        case Transfer():
            return result == "no_answer"
        case _:
            return isinstance(step, HangUp)
