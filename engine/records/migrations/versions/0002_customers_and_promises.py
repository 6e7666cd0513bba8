"""Customers, orders, blacklist, callbacks, messages, surveys; calls have a kind."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TEXT = sa.String(length=255)
ACTIVE = sa.text("state IN ('open', 'dialling')")
HAS_PARTIAL_INDEXES = ("sqlite", "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("kind", TEXT, nullable=False, server_default="inbound"))
    _promises()
    _callers()


def _promises() -> None:
    op.create_table(
        "callbacks",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("number", TEXT, nullable=False),
        sa.Column("queue", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("arrived_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("n_attempts", sa.Integer(), nullable=False),
        sa.Column("result", TEXT, nullable=True),
        sa.Column("agent", TEXT, nullable=True),
        sa.Column("call", TEXT, nullable=True),
        sa.Column("dnis", TEXT, nullable=True),
        sa.Column("language", TEXT, nullable=True),
        sa.Column("needs", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    # Elsewhere a unique index would forbid a second callback for ever; there only rows.py keeps the law.
    is_unique = op.get_bind().dialect.name in HAS_PARTIAL_INDEXES
    op.create_index(
        "ux_callbacks_active", "callbacks", ["number"], unique=is_unique, sqlite_where=ACTIVE, postgresql_where=ACTIVE
    )
    for column in ("number", "state", "queue"):
        op.create_index(f"ix_callbacks_{column}", "callbacks", [column, "created_at"])
    op.create_index("ix_callbacks_created_at", "callbacks", ["created_at"])

    op.create_table(
        "messages",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("box", TEXT, nullable=False),
        sa.Column("number", TEXT, nullable=False),
        sa.Column("call", TEXT, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("heard_at", TIME, nullable=True),
        sa.Column("heard_by", TEXT, nullable=True),
        sa.Column("deleted_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_messages_box", "messages", ["box", "at"])

    op.create_table(
        "mailbox_pins",
        sa.Column("box", TEXT, nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.Column("n_failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", TIME, nullable=True),
        sa.PrimaryKeyConstraint("box"),
    )

    op.create_table(
        "surveys",
        sa.Column("call", TEXT, nullable=False),
        sa.Column("question", TEXT, nullable=False),
        sa.Column("digit", TEXT, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("queue", TEXT, nullable=True),
        sa.Column("agent", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("call", "question"),
    )
    op.create_index("ix_surveys_at", "surveys", ["at"])
    for column in ("agent", "queue"):
        op.create_index(f"ix_surveys_{column}", "surveys", [column, "at"])


def _callers() -> None:
    op.create_table(
        "customers",
        sa.Column("number", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("level", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("last_order_agent", TEXT, nullable=True),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )

    op.create_table(
        "orders",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("number", TEXT, nullable=False),
        sa.Column("agent", TEXT, nullable=False),
        sa.Column("product", TEXT, nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_orders_number", "orders", ["number", "at"])

    op.create_table(
        "blacklist",
        sa.Column("pattern", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("pattern"),
    )

    op.create_table(
        "blacklist_hits",
        sa.Column("call", TEXT, nullable=False),
        sa.Column("pattern", TEXT, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("call"),
    )
    op.create_index("ix_blacklist_hits_pattern", "blacklist_hits", ["pattern", "at"])


def downgrade() -> None:
    tables = "blacklist_hits blacklist orders customers surveys mailbox_pins messages callbacks"
    for table in tables.split():
        op.drop_table(table)
    with op.batch_alter_table("calls") as calls:
        calls.drop_column("kind")
