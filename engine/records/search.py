"""The read side of the records, for the command line and reports: calls and recordings by time, number, agent, queue.

Counterpart: writer.py, which runs in the daemon while this reads beside it. Everything comes back as plain dicts with
aware UTC datetimes; seconds end in `_s`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, func, make_url, or_, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute, Session

from engine.records.models import Base, Call, Recording, Segment
from engine.records.store import StorageError, open_engine

Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for; None is anything. Texts may hold `*` for any run of characters."""

    since: datetime | None = None  # arrived then or later
    until: datetime | None = None  # arrived before
    ani: str | None = None
    dnis: str | None = None
    agent: str | None = None  # who talked in the call
    queue: str | None = None  # any queue it waited in
    disposition: str | None = None  # "open" for calls that live
    kind: str | None = None  # inbound, callback, outbound, internal
    text: str | None = None  # part of any id, number, name or path of the CDR
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Found]
    n_total: int  # of all pages


class Archive:
    """What a database holds. Raises StorageError for one that cannot be read."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise StorageError(f"{url}: {error}") from None
        if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
            raise StorageError(f"{parsed.database}: no records yet; the daemon makes them")
        self._engine = open_engine(url)

    def calls(self, wanted: Wanted) -> Page:
        """The latest calls first, each with its time in queues, of its talk and in all."""
        query = select(Call).where(*_conditions(wanted))
        with self._session() as session:
            n_total = _count(session, query)
            latest = query.order_by(Call.arrived_at.desc(), Call.call.desc()).limit(wanted.limit).offset(wanted.offset)
            rows = [_plain(call) for call in session.scalars(latest)]
            _add_times(session, rows)
            return Page(rows, n_total)

    def totals(self, wanted: Wanted) -> dict[str, int]:
        """How many of the calls have which disposition, the most frequent first."""
        query = select(Call.disposition, func.count()).where(*_conditions(wanted)).group_by(Call.disposition)
        with self._session() as session:
            counts = {disposition or "open": n for disposition, n in session.execute(query)}
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def call(self, call: str) -> Found | None:
        """One call with its segments and recordings."""
        with self._session() as session:
            found = session.get(Call, call)
            if found is None:
                return None
            row = _plain(found)
            _add_times(session, [row])
            segments = select(Segment).where(Segment.call == call).order_by(Segment.began_at, Segment.n)
            row["segments"] = [_plain(segment) for segment in session.scalars(segments)]
            recordings = select(Recording).where(Recording.call == call).order_by(Recording.path)
            row["recordings"] = [_plain(recording) for recording in session.scalars(recordings)]
            return row

    def recordings(self, wanted: Wanted) -> Page:
        """Recordings with what the CDR says of their calls, the latest calls first."""
        conditions = _conditions(wanted)
        query = select(Recording, Call).outerjoin(Call, Call.call == Recording.call).where(*conditions)
        with self._session() as session:
            n_total = _count(session, query)
            latest = query.order_by(Call.arrived_at.desc(), Recording.path).limit(wanted.limit).offset(wanted.offset)
            rows = []
            for recording, call in session.execute(latest):
                row = _plain(recording)
                for name in ("arrived_at", "ani", "dnis", "queue", "agent", "disposition"):
                    row[name] = getattr(call, name) if call else None
                rows.append(row)
            return Page(rows, n_total)

    def call_of(self, path: str) -> str | None:
        """The call of a recording by its path, or by its end from a folder or the file's name on."""
        ends = or_(Recording.path == path, Recording.path.endswith("/" + path, autoescape=True))
        with self._session() as session:
            return session.scalars(select(Recording.call).where(ends).limit(1)).first()

    def _session(self) -> "_ReadSession":
        return _ReadSession(self._engine)


class _ReadSession(Session):
    """Says what is wrong with the database in the room's own words."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        super().__exit__(kind, error, traceback)
        if isinstance(error, SQLAlchemyError):
            raise StorageError(str(error).partition("\n")[0]) from None


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        found.append(Call.arrived_at >= wanted.since)
    if wanted.until is not None:
        found.append(Call.arrived_at < wanted.until)
    if wanted.ani is not None:
        found.append(_matches(Call.ani, wanted.ani))
    if wanted.dnis is not None:
        found.append(_matches(Call.dnis, wanted.dnis))
    if wanted.agent is not None:
        talked = select(Segment.call).where(Segment.kind == "talk", _matches(Segment.agent, wanted.agent))
        found.append(or_(_matches(Call.agent, wanted.agent), Call.call.in_(talked)))
    if wanted.queue is not None:
        waited = select(Segment.call).where(Segment.kind == "queue", _matches(Segment.queue, wanted.queue))
        found.append(or_(_matches(Call.queue, wanted.queue), Call.call.in_(waited)))
    if wanted.disposition == "open":
        found.append(Call.disposition.is_(None))
    elif wanted.disposition is not None:
        found.append(_matches(Call.disposition, wanted.disposition))
    if wanted.kind is not None:
        found.append(Call.kind == wanted.kind)
    if wanted.text is not None:
        texts = (Call.call, Call.ani, Call.dnis, Call.trunk, Call.plan, Call.queue, Call.agent, Call.recording)
        found.append(or_(*(column.icontains(wanted.text, autoescape=True) for column in texts)))
    return found


def _matches(column: InstrumentedAttribute[Any], pattern: str) -> ColumnElement[bool]:
    if "*" not in pattern:
        return column == pattern
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return column.like(escaped, escape="\\")


def _count(session: Session, query: Select[*tuple[Any, ...]]) -> int:
    return session.scalar(query.with_only_columns(func.count(), maintain_column_froms=True)) or 0


def _plain(row: Base) -> Found:
    return {column.name: getattr(row, column.name) for column in row.__table__.columns}


def _add_times(session: Session, rows: Sequence[Found]) -> None:
    """`wait_s` in queues, `talk_s` from the bridge to the end, `duration_s` from INVITE to the end; None: not known."""
    waits: dict[str, float] = {}
    queued = select(Segment).where(Segment.kind == "queue", Segment.call.in_([row["call"] for row in rows]))
    for segment in session.scalars(queued):
        waits[segment.call] = waits.get(segment.call, 0.0) + (segment.ended_at - segment.began_at).total_seconds()
    for row in rows:
        row["wait_s"] = waits.get(row["call"])
        row["talk_s"] = _between(row["connected_at"], row["ended_at"])
        row["duration_s"] = _between(row["arrived_at"], row["ended_at"])


def _between(begin: datetime | None, end: datetime | None) -> float | None:
    return None if begin is None or end is None else (end - begin).total_seconds()
