"""What must hold for every call that could walk the plans, whatever the caller, the hour and the agents do.

The drafts form a graph; conditions may go either way, and of the results of a step those count that the
configuration makes possible. Proved here: a number or another plan leads to every plan; a caller who is
played to, queued or transferred has been answered before, and once; no call goes round without waiting. That every
branch ends and every step is reached is seen when the ways are drawn, in plans.py.
"""

from collections.abc import Collection, Iterator, Mapping

from engine.callflow.plan import Step
from engine.callflow.steps import Answer, HangUp, Play, Queue, Transfer
from engine.config.drafts import Draft
from engine.config.yaml_nodes import Value


def check(
    drafts: list[Draft],
    entries: Mapping[str, int],
    dialled: Collection[str],
    led_to: Collection[str],
    plans: Mapping[str, Value],
) -> None:
    """`dialled`: plans that numbers lead to. `led_to`: plans that plans lead to. `plans`: where each is written."""
    if not drafts:
        return
    starts = {entries[name] for name in dialled if name in entries}
    from_numbers = _reached(drafts, starts)
    for name, key in plans.items():
        if name not in dialled and (name not in led_to or entries[name] not in from_numbers):
            key.complain(f'no call comes here: no number leads to plan "{name}"')
    _check_answered(drafts, starts)
    _check_rounds(drafts)


def _next(draft: Draft) -> Iterator[int]:
    for result, index in _ways(draft).items():
        if result in draft.possible:
            yield index


def _ways(draft: Draft) -> Mapping[str, int]:
    return draft.step.ways if draft.step else {}


def _reached(drafts: list[Draft], starts: Collection[int]) -> set[int]:
    reached: set[int] = set()
    todo = list(starts)
    while todo:
        index = todo.pop()
        if index not in reached:
            reached.add(index)
            todo.extend(_next(drafts[index]))
    return reached


def _check_answered(drafts: list[Draft], starts: Collection[int]) -> None:
    """Follows (step, answered); answered is None once something was told, so that it is not told again behind it."""
    seen: set[tuple[int, bool | None]] = set()
    todo: list[tuple[int, bool | None]] = [(index, False) for index in starts]
    while todo:
        index, answered = state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        step = drafts[index].step
        if isinstance(step, Answer):
            if answered:
                drafts[index].value.complain("answer again: a call that comes here may be answered already")
            answered = None if answered is None else True
        elif isinstance(step, Play | Queue | Transfer) and answered is False:
            drafts[index].value.complain("the caller would hear nothing: put `answer` before it")
            answered = None
        todo.extend((follower, answered) for follower in _next(drafts[index]))


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
    step = draft.step
    for result, index in _ways(draft).items():
        if result in draft.possible and not _waits(step, result):
            yield index


def _waits(step: Step | None, result: str) -> bool:
    match step:
        case Play():
            return True
        case Queue():
            return result == "timeout" and bool(step.max_wait_s)
        case Transfer():
            return result == "no_answer"
        case _:
            return isinstance(step, HangUp)
