"""Rows that are written more than once: a callback through its attempts, a message until it is heard and deleted.

Putting any version twice, or an old one after a newer, changes nothing. Versions come in the order they were made
(the journal is first in, first out); a crash may only repeat the last stretch of them.
"""

from typing import Any

from sqlalchemy import Connection, Table, insert, select, update

from engine.callflow.record import ACTIVE

Values = dict[str, Any]


def put_callback(connection: Connection, table: Table, values: Values) -> None:
    """The later version of an entry stands. Of two active entries for a number the newer request stands, with the
    earlier arrival; the other is closed as `merged`."""
    stored = connection.execute(select(table).where(table.c.id == values["id"])).mappings().first()
    if stored and stored["updated_at"] >= values["updated_at"]:
        return
    values = dict(values)
    if stored:
        values["arrived_at"] = min(values["arrived_at"], stored["arrived_at"])
    if values["state"] in ACTIVE:
        _merge(connection, table, values)
    if stored:
        connection.execute(update(table).where(table.c.id == values["id"]).values(values))
    else:
        connection.execute(insert(table), values)


def _merge(connection: Connection, table: Table, values: Values) -> None:
    """With the other active entry of the number, if there is one; `values` may come out closed."""
    others = table.c.number == values["number"], table.c.state.in_(ACTIVE), table.c.id != values["id"]
    other = connection.execute(select(table).where(*others)).mappings().first()
    if other is None:
        return
    closed = {"state": "cancelled", "result": "merged"}
    arrived_at = min(values["arrived_at"], other["arrived_at"])
    change: Values
    if (values["created_at"], values["id"]) >= (other["created_at"], other["id"]):
        values["arrived_at"] = arrived_at
        change = closed | {"updated_at": max(values["updated_at"], other["updated_at"])}
    else:
        values.update(closed)
        change = {"arrived_at": arrived_at}
    connection.execute(update(table).where(table.c.id == other["id"]).values(change))


def put_message(connection: Connection, table: Table, values: Values) -> None:
    """What happened to a message stays: heard once, deleted once."""
    stored = connection.execute(select(table).where(table.c.id == values["id"])).mappings().first()
    if stored is None:
        connection.execute(insert(table), values)
        return
    lasting = {name: stored[name] or values[name] for name in ("heard_at", "heard_by", "deleted_at")}
    if any(stored[name] != value for name, value in lasting.items()):
        connection.execute(update(table).where(table.c.id == values["id"]).values(lasting))
