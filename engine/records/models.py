"""The tables.

Counterpart: engine/callflow/record.py, whose fields the columns carry, with monotonic seconds turned into UTC. Numbers
are stored in the form of callflow/numbers.py.

There are no foreign keys: rows of one call arrive in any order after a database was away, and each must be taken as
it comes. A change here needs a migration (schema.py says how); a test holds the two together.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Index, String, Text, text
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
    kind: Mapped[str] = mapped_column(server_default="inbound")  # or callback, outbound, internal

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


# ---- promises to callers

IS_ACTIVE = text("state IN ('open', 'dialling')")


class Callback(Base):
    """A call that is owed a number. The unique index is the law: at most one per number is open or being dialled."""

    __tablename__ = "callbacks"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str]
    queue: Mapped[str]
    reason: Mapped[str]
    arrived_at: Mapped[datetime]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    state: Mapped[str]
    n_attempts: Mapped[int]
    result: Mapped[str | None]
    agent: Mapped[str | None]
    call: Mapped[str | None]
    dnis: Mapped[str | None]
    language: Mapped[str | None]
    needs: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("ux_callbacks_active", "number", unique=True, sqlite_where=IS_ACTIVE, postgresql_where=IS_ACTIVE),
        Index("ix_callbacks_number", "number", "created_at"),
        Index("ix_callbacks_state", "state", "created_at"),
        Index("ix_callbacks_queue", "queue", "created_at"),
        Index("ix_callbacks_created_at", "created_at"),
    )


class Message(Base):
    """A voicemail. `path` is below the recordings folder."""

    __tablename__ = "messages"

    id: Mapped[str] = mapped_column(primary_key=True)
    box: Mapped[str]
    number: Mapped[str]
    call: Mapped[str]
    at: Mapped[datetime]
    seconds: Mapped[float]
    path: Mapped[str]
    heard_at: Mapped[datetime | None]
    heard_by: Mapped[str | None]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_messages_box", "box", "at"),)


class MailboxPin(Base):
    """Who may listen by phone: the salted hash of a box's PIN, and the wrong ones since the last right one."""

    __tablename__ = "mailbox_pins"

    box: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[str]
    n_failures: Mapped[int]
    locked_until: Mapped[datetime | None]


class Survey(Base):
    """An answer to a question after a talk."""

    __tablename__ = "surveys"

    call: Mapped[str] = mapped_column(primary_key=True)
    question: Mapped[str] = mapped_column(primary_key=True)
    digit: Mapped[str]
    label: Mapped[str]
    at: Mapped[datetime]
    queue: Mapped[str | None]
    agent: Mapped[str | None]

    __table_args__ = (
        Index("ix_surveys_at", "at"),
        Index("ix_surveys_agent", "agent", "at"),
        Index("ix_surveys_queue", "queue", "at"),
    )


# ---- about callers


class Customer(Base):
    """What routing knows of a number: one row by its primary key is all that a call asks for."""

    __tablename__ = "customers"

    number: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    level: Mapped[str]
    region: Mapped[str]
    last_order_agent: Mapped[str | None]
    notes: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime]


class Order(Base):
    """An order, as deep as routing needs it: the newest one names the customer's agent."""

    __tablename__ = "orders"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str]
    agent: Mapped[str]
    product: Mapped[str]  # or business type
    amount_cents: Mapped[int] = mapped_column(BigInteger)  # hundredths of the currency
    at: Mapped[datetime]

    __table_args__ = (Index("ix_orders_number", "number", "at"),)


class BlacklistEntry(Base):
    """A number, or a prefix with `*`, that is not let in."""

    __tablename__ = "blacklist"

    pattern: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class BlacklistHit(Base):
    """A call that an entry turned away. Counting rows instead of adding one survives a journal that is read twice."""

    __tablename__ = "blacklist_hits"

    call: Mapped[str] = mapped_column(primary_key=True)
    pattern: Mapped[str]
    at: Mapped[datetime]

    __table_args__ = (Index("ix_blacklist_hits_pattern", "pattern", "at"),)
