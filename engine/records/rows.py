"""From a record of the engine to a row of a table, and how rows are put in.

Counterpart: callflow/record.py and models.py.

Putting rows is idempotent and free of order, so that a batch may be tried again and a journal read twice: a row whose
key is there already is skipped, and of a call the final CDR always wins over the one written when it arrived. Callbacks
and messages have versions, see versions.py.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, DefaultClause, Insert, Select, Table, Update, bindparam, insert, select, update

from engine.callflow.media_news import RecordingClosed
from engine.callflow.record import (
    AgentSpan,
    BlacklistHit,
    CallbackEntry,
    Cdr,
    Message,
    Segment,
    SurveyAnswer,
)
from engine.records import models
from engine.records.versions import put_callback, put_message

ToUtc = Callable[[float], datetime]


class Row(NamedTuple):
    table: str
    values: dict[str, Any]


class RecordedCall(NamedTuple):
    """A closed recording with the call it belongs to."""

    call: str
    closed: RecordingClosed


Record = Cdr | Segment | AgentSpan | RecordedCall | CallbackEntry | Message | SurveyAnswer | BlacklistHit

_TABLE_OF: dict[type, Table] = {
    Cdr: models.Base.metadata.tables["calls"],
    Segment: models.Base.metadata.tables["segments"],
    AgentSpan: models.Base.metadata.tables["agent_spans"],
    RecordedCall: models.Base.metadata.tables["recordings"],
    CallbackEntry: models.Base.metadata.tables["callbacks"],
    Message: models.Base.metadata.tables["messages"],
    SurveyAnswer: models.Base.metadata.tables["surveys"],
    BlacklistHit: models.Base.metadata.tables["blacklist_hits"],
}
_PUT_VERSION = {"callbacks": put_callback, "messages": put_message}


def row_of(record: Record, n: int, to_utc: ToUtc) -> Row:
    """`n` numbers the records of this run. Times become UTC here, once: a later step of the clock changes no key."""
    table = _TABLE_OF[type(record)]
    source: Any = record.closed if isinstance(record, RecordedCall) else record
    values: dict[str, Any] = {}
    for column in table.columns:
        if column.name == "n":
            value: Any = n
        elif column.name == "call" and isinstance(record, RecordedCall):
            value = record.call
        else:
            value = getattr(source, column.name)
        if isinstance(column.type, models.UtcDateTime) and value is not None:
            value = (value if isinstance(value, datetime) else to_utc(value)).astimezone(UTC)
        elif isinstance(value, str):
            value = _fit(value, column.type.length)  # type: ignore[attr-defined]
        values[column.name] = value
    return Row(table.name, values)


def to_line(row: Row) -> str:
    """One JSON line without its line end."""
    values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.values.items()}
    return json.dumps({"table": row.table, "values": values})


def from_line(line: str) -> Row:
    """Raises ValueError or KeyError for a line that to_line() did not write. A journal may be of an earlier version,
    which did not know the columns that have defaults."""
    data = json.loads(line)
    table = models.Base.metadata.tables[data["table"]]
    values = data["values"]
    for column in table.columns:
        if isinstance(column.server_default, DefaultClause):
            values.setdefault(column.name, column.server_default.arg)
        if isinstance(column.type, models.UtcDateTime) and values[column.name] is not None:
            values[column.name] = datetime.fromisoformat(values[column.name])
    return Row(table.name, values)


def put(connection: Connection, rows: Iterable[Row]) -> None:
    """Put rows into their tables, each at most once however often it is put."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row.table, []).append(row.values)
    for name, group in groups.items():
        table = models.Base.metadata.tables[name]
        if put_version := _PUT_VERSION.get(name):
            for values in group:
                put_version(connection, table, values)
        else:
            _put_into(connection, table, group)


def _put_into(connection: Connection, table: Table, group: list[dict[str, Any]]) -> None:
    statements = _statements(table)
    fresh: dict[tuple[Any, ...], dict[str, Any]] = {}
    for values in group:
        at = tuple(values[name] for name in statements.key)
        if at not in fresh or _is_final(table, values):
            fresh[at] = values
    there = _keys_near(connection, statements, list(fresh))
    if missing := [values for at, values in fresh.items() if at not in there]:
        connection.execute(statements.insert, missing)
    if final := [values for at, values in fresh.items() if at in there and _is_final(table, values)]:
        connection.execute(_of_final(table), [{**values, "key": values["call"]} for values in final])


class _Statements(NamedTuple):
    """Of a table: made once, as that costs as much as carrying them out. `near`: see _keys_near()."""

    key: tuple[str, ...]
    near: Select[Any]
    insert: Insert


@cache
def _statements(table: Table) -> _Statements:
    first, *others = table.primary_key.columns
    near = select(first, *others).where(first.in_(bindparam("first", expanding=True)))
    for column in others:
        between = bindparam(f"{column.name}_from", type_=column.type), bindparam(f"{column.name}_to", type_=column.type)
        near = near.where(column.between(*between))
    return _Statements(tuple(column.name for column in table.primary_key.columns), near, insert(table))


@cache
def _of_final(table: Table) -> Update:
    others: dict[str, Any] = {c.name: bindparam(c.name) for c in table.columns if not c.primary_key}
    return update(table).where(table.c.call == bindparam("key")).values(others)


def _keys_near(
    connection: Connection, statements: _Statements, wanted: list[tuple[Any, ...]]
) -> set[tuple[Any, ...]]:
    """The keys among these that are there, and perhaps some beside them.

    Not by a list of whole keys: SQLite would read its index from end to end for that.
    """
    first, *others = zip(*wanted, strict=True)
    asked: dict[str, Any] = {"first": sorted(set(first))}
    for name, values in zip(statements.key[1:], others, strict=True):
        asked |= {f"{name}_from": min(values), f"{name}_to": max(values)}
    return set(map(tuple, connection.execute(statements.near, asked)))


def _is_final(table: Table, values: dict[str, Any]) -> bool:
    return table.name == "calls" and values["disposition"] is not None


def _fit(text: str, length: int | None) -> str:
    """Text of a caller's headers as any database takes it: no NUL, no lone surrogate, not longer than its column."""
    text = text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return text if length is None or len(text) <= length else text[: length - 1] + "…"
