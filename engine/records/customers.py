"""Customers and their orders as the command line keeps them: one by one, or a million from a file.

Counterpart: lookup.py, which asks for one of them while a call waits. Numbers come in any form and are kept in that of
callflow/numbers.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from engine.callflow.numbers import canonical
from engine.callflow.record import Customer
from engine.records.database import TABLES, Database

_CUSTOMERS, _ORDERS = TABLES["customers"], TABLES["orders"]
_NO_CUSTOMER = asdict(Customer(""))

Values = dict[str, Any]


@dataclass(slots=True)
class Counts:
    """What an import did."""

    n_new: int = 0
    n_updated: int = 0
    n_unchanged: int = 0


@dataclass(frozen=True, slots=True)
class NewOrder:
    """`id` is the shop's number of the order; `amount_cents` in hundredths of the currency."""

    id: str
    number: str
    agent: str
    product: str
    amount_cents: int
    at: datetime


class Customers:
    """Raises StorageError when the database does not do it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, number: str) -> Values | None:
        """With the latest orders first."""
        found = self._database.rows(select(_CUSTOMERS).where(_CUSTOMERS.c.number == canonical(number)))
        if not found:
            return None
        query = select(_ORDERS).where(_ORDERS.c.number == canonical(number)).order_by(_ORDERS.c.at.desc()).limit(20)
        return found[0] | {"orders": self._database.rows(query)}

    def search(self, text: str, level: str | None, limit: int, offset: int) -> tuple[list[Values], int]:
        """Whose number, name, region, agent or notes hold the text; and how many there are in all."""
        columns = [_CUSTOMERS.c[name] for name in ("number", "name", "region", "last_order_agent", "notes")]
        query = select(_CUSTOMERS)
        if text:
            query = query.where(or_(*(column.icontains(text, autoescape=True) for column in columns)))
        if level is not None:
            query = query.where(_CUSTOMERS.c.level == level)
        total = self._database.rows(select(func.count().label("n")).select_from(query.subquery()))[0]["n"]
        return self._database.rows(query.order_by(_CUSTOMERS.c.number).limit(limit).offset(offset)), total

    def put(self, batch: Sequence[Values], now: datetime, dry_run: bool = False) -> Counts:
        """Make or change customers, in one transaction. Each has `number`, canonical and once in the batch, and the
        fields it sets; the others keep what they are."""
        with self._database.begin() as connection:
            return _put(connection, batch, now, dry_run)

    def remove(self, number: str) -> bool:
        """With the orders. False if there is none."""
        with self._database.begin() as connection:
            connection.execute(delete(_ORDERS).where(_ORDERS.c.number == canonical(number)))
            return connection.execute(delete(_CUSTOMERS).where(_CUSTOMERS.c.number == canonical(number))).rowcount > 0

    def add_order(self, order: NewOrder, now: datetime) -> bool:
        """The customer's agent becomes that of the newest order. False if this order is there already."""
        values = asdict(order) | {"number": canonical(order.number)}
        newest = select(_ORDERS.c.agent).where(_ORDERS.c.number == values["number"])
        with self._database.begin() as connection:
            if connection.scalar(select(_ORDERS.c.id).where(_ORDERS.c.id == order.id)) is not None:
                return False
            connection.execute(insert(_ORDERS), values)
            agent = connection.scalar(newest.order_by(_ORDERS.c.at.desc(), _ORDERS.c.id.desc()).limit(1))
            _put(connection, [{"number": values["number"], "last_order_agent": agent}], now)
        return True


def _put(connection: Connection, batch: Sequence[Values], now: datetime, dry_run: bool = False) -> Counts:
    stored = _stored(connection, [values["number"] for values in batch])
    new: list[Values] = []
    changed: dict[tuple[str, ...], list[Values]] = {}
    for values in batch:
        before = stored.get(values["number"])
        if before is None:
            new.append(_NO_CUSTOMER | values | {"updated_at": now})
        elif any(before[name] != value for name, value in values.items()):
            fields = tuple(name for name in values if name != "number")
            changed.setdefault(fields, []).append(values | {"updated_at": now, "key": values["number"]})
    n_updated = sum(map(len, changed.values()))
    if not dry_run:
        if new:
            connection.execute(insert(_CUSTOMERS), new)
        for fields, rows in changed.items():
            sets: Values = {name: bindparam(name) for name in (*fields, "updated_at")}
            connection.execute(update(_CUSTOMERS).where(_CUSTOMERS.c.number == bindparam("key")).values(sets), rows)
    return Counts(len(new), n_updated, len(batch) - len(new) - n_updated)


def _stored(connection: Connection, numbers: Iterable[str]) -> dict[str, Any]:
    query = select(_CUSTOMERS).where(_CUSTOMERS.c.number.in_(list(numbers)))
    return {row["number"]: row for row in connection.execute(query).mappings()}
