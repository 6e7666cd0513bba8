"""Brings a database to the tables of models.py by the migrations beside it.

Run at every start; costs a look-up when up to date.

After a change in models.py: `python -m engine.records.schema "what changed"` writes the next migration; read it
before committing.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaError(Exception):
    """The database has tables that this version does not know."""


def upgrade(connection: Connection) -> None:
    """Within the caller's transaction. Raises SchemaError for a database of a later version."""
    config = _config(connection)
    now = MigrationContext.configure(connection).get_current_revision()
    if now == ScriptDirectory.from_config(config).get_current_head():
        return
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(f"the tables are of a version that this one does not know: {error}") from None


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _write_migration(text: str) -> None:
    """Compare models.py with what the migrations make of an empty database."""
    n = len(list((MIGRATIONS / "versions").glob("[0-9]*.py"))) + 1
    with tempfile.TemporaryDirectory() as folder, create_engine(f"sqlite:///{folder}/a.db").begin() as connection:
        upgrade(connection)
        command.revision(_config(connection), text, autogenerate=True, rev_id=f"{n:04}")


if __name__ == "__main__":
    _write_migration(sys.argv[1])
