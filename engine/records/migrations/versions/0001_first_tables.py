"""First tables: calls, their segments, agents' spans, recordings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TEXT = sa.String(length=255)


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("call", TEXT, nullable=False),
        sa.Column("trunk", TEXT, nullable=False),
        sa.Column("ani", TEXT, nullable=False),
        sa.Column("dnis", TEXT, nullable=False),
        sa.Column("plan", TEXT, nullable=True),
        sa.Column("queue", TEXT, nullable=True),
        sa.Column("agent", TEXT, nullable=True),
        sa.Column("arrived_at", TIME, nullable=False),
        sa.Column("answered_at", TIME, nullable=True),
        sa.Column("connected_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("disposition", TEXT, nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("ended_by", TEXT, nullable=True),
        sa.Column("recording", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("call"),
    )
    op.create_index("ix_calls_arrived_at", "calls", ["arrived_at"])
    for column in ("ani", "dnis", "agent", "queue", "disposition"):
        op.create_index(f"ix_calls_{column}", "calls", [column, "arrived_at"])

    op.create_table(
        "segments",
        sa.Column("call", TEXT, nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("began_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("queue", TEXT, nullable=True),
        sa.Column("agent", TEXT, nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("call", "n"),
    )
    op.create_index("ix_segments_agent", "segments", ["agent", "began_at"])
    op.create_index("ix_segments_queue", "segments", ["queue", "began_at"])

    op.create_table(
        "agent_spans",
        sa.Column("agent", TEXT, nullable=False),
        sa.Column("began_at", TIME, nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ended_at", TIME, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("call", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("agent", "began_at", "n"),
    )
    op.create_index("ix_agent_spans_began_at", "agent_spans", ["began_at"])

    op.create_table(
        "recordings",
        sa.Column("path", TEXT, nullable=False),
        sa.Column("call", TEXT, nullable=False),
        sa.Column("leg", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("n_overruns", sa.Integer(), nullable=False),
        sa.Column("lost_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
    )
    op.create_index("ix_recordings_call", "recordings", ["call"])


def downgrade() -> None:
    for table in ("recordings", "agent_spans", "segments", "calls"):
        op.drop_table(table)
