"""The tables.

Counterpart: engine/callflow/record.py, whose fields the columns carry, with monotonic seconds turned into UTC.

There are no foreign keys: rows of one call arrive in any order after a database was away, and each must be taken as
it comes. A change here needs a migration (schema.py says how); a test holds the two together.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Index, String
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC with microseconds, stored without its zone: the one form that every database keeps."""

    impl = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value}: a time without its zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    type_annotation_map = {datetime: UtcDateTime(), str: String(255)}


class Call(Base):
    """One call: its CDR. `disposition` is NULL while the call lives, "crashed" if the daemon died under it."""

    __tablename__ = "calls"

    call: Mapped[str] = mapped_column(primary_key=True)
    trunk: Mapped[str]
    ani: Mapped[str]
    dnis: Mapped[str]
    plan: Mapped[str | None]
    queue: Mapped[str | None]
    agent: Mapped[str | None]
    arrived_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    connected_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    disposition: Mapped[str | None]
    status: Mapped[int | None]
    ended_by: Mapped[str | None]
    recording: Mapped[str | None]  # path below the recordings folder

    __table_args__ = (
        Index("ix_calls_arrived_at", "arrived_at"),
        Index("ix_calls_ani", "ani", "arrived_at"),
        Index("ix_calls_dnis", "dnis", "arrived_at"),
        Index("ix_calls_agent", "agent", "arrived_at"),
        Index("ix_calls_queue", "queue", "arrived_at"),
        Index("ix_calls_disposition", "disposition", "arrived_at"),
    )


class Segment(Base):
    """A stretch of a call: queue, offer, talk, wrap_up. `n` rises through the call; only its order has a meaning."""

    __tablename__ = "segments"

    call: Mapped[str] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    outcome: Mapped[str]
    queue: Mapped[str | None]
    agent: Mapped[str | None]
    status: Mapped[int | None]

    __table_args__ = (
        Index("ix_segments_agent", "agent", "began_at"),
        Index("ix_segments_queue", "queue", "began_at"),
    )


class AgentSpan(Base):
    """An agent in one state. `n` tells spans of no length apart that began at the same moment."""

    __tablename__ = "agent_spans"

    agent: Mapped[str] = mapped_column(primary_key=True)
    began_at: Mapped[datetime] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    ended_at: Mapped[datetime]
    state: Mapped[str]
    reason: Mapped[str | None]
    call: Mapped[str | None]

    __table_args__ = (Index("ix_agent_spans_began_at", "began_at"),)


class Recording(Base):
    """A recording on disk. The CDR finds its file by `call`, the file its CDR by `path`."""

    __tablename__ = "recordings"

    path: Mapped[str] = mapped_column(primary_key=True)  # below the recordings folder
    call: Mapped[str] = mapped_column(index=True)
    leg: Mapped[int]
    seconds: Mapped[float]
    n_overruns: Mapped[int]
    lost_s: Mapped[float]
