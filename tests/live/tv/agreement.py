"""`agner explain` beside the trace: what it says a call meets, given the results that the call's steps had, is what the
call met.
"""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cli.walk import Call, Line, Walk, possible
from engine.callflow.blacklist import Blacklist
from engine.callflow.plan import Caller, Condition, Set
from engine.config import Configuration
from engine.records.lookup import LookUp

AS_ABOVE = "from here on as above"
Row = dict[str, Any]
Met = tuple[str, str, str | None]  # place, what it does, result


def met(story: list[Row]) -> list[Met]:
    """The steps that a call carried out, by its trace."""
    steps: list[Met] = []
    for row in story:
        if row["event"].endswith("Planned"):
            steps.append((row["args"]["step"]["place"], row["args"]["step"]["step"], None))
        for command in row["commands"]:
            if command["do"] == "TakeStep" and steps:
                steps[-1] = (*steps[-1][:2], command["result"])
    return steps


def explained(found: Configuration, storage: Path, story: list[Row]) -> list[Met]:
    """The same steps, by `agner explain`, which is told the results one by one where it asks for them."""
    steps, results = met(story), list[str]()
    while True:
        lines = _carried_out(found, _walk(found, storage, story, results))
        is_open = lines[-1].ways or AS_ABOVE in lines[-1].notes
        to_come = _chances(found, steps[len(lines) - 1 :]) if is_open else []
        if not to_come:
            break
        results.append(to_come[0])
    lines = lines[: len(steps)]
    told: list[Met] = [(line.place, line.says, line.result) for line in lines]
    if steps and steps[-1][2] is None:  # the call ended in this step
        told[-1] = (*told[-1][:2], None)
    return told


def _chances(found: Configuration, steps: list[Met]) -> list[str]:
    """Results of steps that might have ended otherwise."""
    known = {(str(step.place), step.describe()): step for step in found.book.steps}
    return [result for *step, result in steps if result and len(possible(known[step[0], step[1]], found.staff)) > 1]


def _walk(found: Configuration, storage: Path, story: list[Row], results: list[str]) -> list[Line]:
    opening = story[0]["args"]["caller"]
    caller = Caller(opening["ani"], opening["dnis"], opening["trunk"], opening["name"])
    at = datetime.fromisoformat(story[0]["at"])
    database = LookUp(f"sqlite:///{storage}")
    listed = Blacklist(database.blacklist())
    local = at.astimezone(ZoneInfo(found.book.timezone))
    call = Call(
        caller, local, _keyed(story), lambda name, number: listed.find(number, at) is not None, database.customer
    )
    return Walk(found.book, found.staff, found.settings, call).explain(found.book.plan_for(caller.dnis), list(results))


def _keyed(story: list[Row]) -> dict[str, str]:
    """What the caller told: explain cannot know it."""
    commands = [command for row in story for command in row["commands"]]
    return {command["name"]: command["text"] for command in commands if command["do"] == "Remember"}


def _carried_out(found: Configuration, lines: list[Line]) -> list[Line]:
    """Without the decisions on the way, of which the trace shows only what followed."""
    decided = {(str(step.place), step.describe()) for step in found.book.steps if isinstance(step, Condition | Set)}
    return [line for line in lines if (line.place, line.says) not in decided]
