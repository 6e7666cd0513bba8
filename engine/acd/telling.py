"""What an Acd tells of all that it is asked: enough to do it again. Counterparts: engine/trace.py, which writes it
down; engine/replay.py, which does it again.
"""

from collections.abc import Callable
from typing import Any

from acd_core import AgentState, Out

Row = dict[str, Any]

# (kind, time, call, agent, number, value). Of AGENT_STATE number and value are the state and the reason by name, of
# RESERVE the number is the queue's name.
Followed = list[tuple[str, float, str | None, str | None, int | str, int | str]]
Tell = Callable[[float, str, Row, Followed], None]  # now, the verb, its arguments by name, what followed in the core

KINDS = {int(kind): kind.name for kind in Out}
STATES = {int(state): state.name for state in AgentState}


def tell_nobody(now: float, verb: str, arguments: Row, followed: Followed) -> None:
    pass


def never(now: float) -> bool:
    return False
