"""Alembic runs this for every migration.

The connection is the caller's (schema.py): there is no second place for a URL.
"""

from typing import Any, Literal

from alembic import context

from engine.records.models import Base, UtcDateTime


def _render(kind: str, item: Any, _autogen: Any) -> str | Literal[False]:
    """Migrations define their own types (TIME as in 0001), so that old ones still run when models.py has moved on."""
    return "TIME" if kind == "type" and isinstance(item, UtcDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()
