"""The migrations make exactly the tables of models.py."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from engine.records.models import Base
from engine.records.schema import _config, upgrade


def test_models_are_the_head_of_the_migrations(tmp_path):
    with create_engine(f"sqlite:///{tmp_path}/a.db").begin() as connection:
        upgrade(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_comparison_sees_a_difference(tmp_path):
    with create_engine(f"sqlite:///{tmp_path}/a.db").begin() as connection:
        upgrade(connection)
        connection.exec_driver_sql("DROP INDEX ix_calls_ani")
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) != []


def test_a_database_of_the_first_version_keeps_its_calls(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.begin() as connection:
        command.upgrade(_config(connection), "0001")
        values = "'c1', 'carrier', '1', '2', '2026-11-22 00:00:00.000000'"
        connection.exec_driver_sql(f"INSERT INTO calls (call, trunk, ani, dnis, arrived_at) VALUES ({values})")
        upgrade(connection)
        assert connection.exec_driver_sql("SELECT call, kind FROM calls").all() == [("c1", "inbound")]
        command.downgrade(_config(connection), "0001")
        assert connection.exec_driver_sql("SELECT count(*) FROM calls").scalar() == 1


def test_upgrading_twice_changes_nothing(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    for _ in range(2):
        with engine.begin() as connection:
            upgrade(connection)
    assert set(inspect(engine).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
