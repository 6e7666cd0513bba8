"""Brings a database to the tables of models.py by the migrations beside it.

Run at every start; costs a look-up when up to date, and alembic is then not even read.

After a change in models.py: `python -m engine.records.schema "what changed"` writes the next migration; read it
before committing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaError(Exception):
    """The database has tables that this version does not know."""


def upgrade(connection: Connection) -> None:
    """Within the caller's transaction. Raises SchemaError for a database of a later version."""
    if _is_up_to_date(connection):
        return
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(_config(connection), "head")
    except CommandError as error:
        raise SchemaError(f"the tables are of a version that this one does not know: {error}") from None


def _is_up_to_date(connection: Connection) -> bool:
    """Its version is the number of the newest migration."""
    newest = max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    return (
        inspect(connection).has_table("alembic_version")
        and connection.scalar(text("SELECT version_num FROM alembic_version")) == newest
    )


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _write_migration(title: str) -> None:
    """Compare models.py with what the migrations make of an empty database."""
    from alembic import command

    n = len(list((MIGRATIONS / "versions").glob("[0-9]*.py"))) + 1
    with tempfile.TemporaryDirectory() as folder, create_engine(f"sqlite:///{folder}/a.db").begin() as connection:
        upgrade(connection)
        command.revision(_config(connection), title, autogenerate=True, rev_id=f"{n:04}")


if __name__ == "__main__":
    _write_migration(sys.argv[1])
