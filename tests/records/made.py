"""Records as the engine makes them, and what the database holds of them."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from engine.callflow.media_news import RecordingClosed
from engine.callflow.record import AgentSpan, BlacklistEntry, CallbackEntry, Cdr, Message, Segment

EPOCH = datetime(2026, 11, 22, tzinfo=UTC)


def to_utc(at: float) -> datetime:
    return EPOCH + timedelta(seconds=at)


def opened(call: str, at: float = 10.0) -> Cdr:
    return Cdr(call=call, trunk="carrier", ani="+8613800138000", dnis="4001", arrived_at=at)


def closed(call: str, at: float = 10.0) -> Cdr:
    return replace(
        opened(call, at),
        plan="main",
        queue="support",
        agent="amy",
        answered_at=at + 0.25,
        connected_at=at + 8.000001,
        ended_at=at + 60.5,
        disposition="talked",
        status=200,
        ended_by="caller",
        recording=f"2026-11-22/{call}.wav",
    )


def segment(call: str, kind: str = "queue", at: float = 11.0) -> Segment:
    return Segment(call, kind, at, at + 7, "connected", queue="support", agent="amy")


def span(agent: str = "amy", state: str = "READY", at: float = 5.0) -> AgentSpan:
    return AgentSpan(agent, state, at, at + 5)


def recording(call: str) -> RecordingClosed:
    return RecordingClosed(leg=1, path=f"2026-11-22/{call}.wav", seconds=60.25, n_overruns=0, lost_s=0.0)


def callback(id: str, number: str = "+8613800138000", at: float = 10.0, **changes) -> CallbackEntry:
    """Asked for at `at`, by a call that came then."""
    at_utc = to_utc(at)
    made = CallbackEntry(id, number, "support", "timeout", at_utc, at_utc, at_utc, at_utc)
    return replace(made, **changes)


def blacklisted(pattern: str, **changes) -> BlacklistEntry:
    return replace(BlacklistEntry(pattern, "rude", "ops", EPOCH), **changes)


def message(id: str, box: str = "queue:support", at: float = 10.0) -> Message:
    return Message(id, box, "+8613800138000", id, to_utc(at), 12.5, f"messages/{id}.wav")


def stored(path, table: str) -> list[dict]:
    """The rows of a table, read by another library than the one that wrote them."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
    finally:
        connection.close()
