"""A checkpoint of the trace and the auditor's floor: begin at the one, or compare the other with it."""

from collections import Counter
from collections.abc import Iterator
from math import inf

from engine.audit.floor import N_RECENT, Call, Floor, Row, Rung


def opened(args: Row) -> tuple[Floor, dict[int, tuple[Call, str]], Counter[str]]:
    """The floor of a checkpoint, its open offers, and how many offers and talks each agent has."""
    saved = args["floor"]
    floor = Floor(saved["staff"], saved["steps"])
    named = [tuple(names) for names, _ in saved["groups"]]
    floor.group_sets |= set(named)
    floor.leaving = {agent: frozenset(named[:n]) for agent, n in saved["leaving"].items()}
    floor.closing = set(saved["closing"])
    widenings = {one["relaxation"]: (place, one["rungs"]) for place, one in saved["widenings"].items()}
    for row in args["calls"]:
        relaxation, start = row["asked"]
        place, later = widenings[relaxation]
        call = _call(row, [start, *later], None if place.startswith("=") else place)
        (floor.talks if row["state"] == "CONNECTED" else floor.calls)[call.name] = call
    offers: dict[int, tuple[Call, str]] = {}
    held: Counter[str] = Counter()
    for row in args["agents"]:
        floor.change(row["agent"], row["state"], row["reason"])
        held[row["agent"]] = int(row["call"] is not None)
        if row["clear_by"] < inf:
            floor.clearing[row["offer"]] = row["agent"], row["clear_by"]
        elif row["offer"]:
            offers[row["offer"]] = (floor.calls[row["call"]], row["agent"])
    for row in args["calls"]:
        if row["call"] in floor.calls and row["held_until"] < inf:  # agents' states were given above
            floor.calls[row["call"]].held_until = row["held_until"]
    for row in args["queues"]:
        floor.reserve_on[row["queue"]] = bool(row["reserve_on"])
        floor.recent[row["queue"]] = _levels(row)
    return floor, offers, held


def _call(row: Row, told: list[Row], place: str | None) -> Call:
    rungs = [Rung(one["after_s"], one["needs"], tuple(one["groups"]), one["head_start_s"]) for one in told]
    return Call(
        row["call"],
        row["handle"],
        row["queue"],
        row["arrival"],
        row["enqueued"],
        row["expires"],
        rungs,
        place,
        row["head_start_s"],
        row["preferred"] or "",
        row["preferred_head_s"],
        step=row["step"],
        state=row["state"],
        agent=row["agent"] or "",
        declined=row["declined"],
    )


def _levels(row: Row) -> list[bool]:
    """The oldest first."""
    return [bool(row["recent"] >> n & 1) for n in reversed(range(min(N_RECENT, row["n_recent"])))]


def compare(floor: Floor, args: Row) -> Iterator[str]:
    """Where a checkpoint in the middle of a run disagrees with the lines before it."""
    there, offers, _ = opened(args)
    for agent in floor.state.keys() | there.state.keys():
        if floor.state.get(agent) != there.state.get(agent):
            yield f"agent {agent} is {there.state.get(agent)} in the checkpoint, {floor.state.get(agent)} by the lines"
    if floor.clearing != there.clearing:
        yield f"phones are being cleared in the checkpoint as {there.clearing}, by the lines as {floor.clearing}"
    for mine, theirs in ((floor.calls, there.calls), (floor.talks, there.talks)):
        for name in mine.keys() ^ theirs.keys():
            yield f"call {name} is {'not ' if name in mine else ''}in the checkpoint, by the lines it is otherwise"
    for name in floor.calls.keys() & there.calls.keys():
        left, right = _standing(floor.calls[name]), _standing(there.calls[name])
        if left != right:
            yield f"call {name} stands as {right} in the checkpoint, as {left} by the lines"
    for queue in floor.queues:
        if floor.has_reserves(queue) and floor.reserve_on.get(queue, False) != there.reserve_on[queue]:
            yield f"the reserves of queue {queue} are otherwise in the checkpoint"
        if floor.recent.get(queue, []) != there.recent[queue]:
            yield f"the service level of queue {queue} is another in the checkpoint"


def _standing(call: Call) -> Row:
    declined = [agent for agent in call.declined if not agent.endswith(" gone")]
    asks = (call.ladder, call.step_place, call.state, call.step, call.preferred, declined, call.held_until)
    return {"place": (*call.place()[:2],), "expires": call.expires, "asks": asks}
