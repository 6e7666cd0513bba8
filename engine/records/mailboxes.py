"""Voicemail boxes: what is in them, who may listen by phone.

For a thread that may block: a PIN costs a hash that is slow on purpose. Counterpart: lookup.py, which counts for the
message waiting indication.
"""

import hashlib
import hmac
import os
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, insert, or_, select, update

from engine.callflow.record import Message
from engine.records.database import TABLES, Database
from engine.records.versions import put_message

_MESSAGES, _PINS = TABLES["messages"], TABLES["mailbox_pins"]

PIN_DIGITS = (4, 12)
WRONG_PINS = 5  # then the box is locked
LOCKED = timedelta(minutes=15)  # doubled with each wrong PIN after a lock has ended
LOCKED_AT_MOST = timedelta(days=1)
_COST = {"n": 1 << 12, "r": 8, "p": 1}  # scrypt (RFC 7914): 4 MiB, some 15 ms a try


class PinCheck(StrEnum):
    """What came of a PIN. Only RIGHT opens the box; a locked box does not say whether the PIN was right."""

    RIGHT = "right"
    WRONG = "wrong"
    LOCKED = "locked"
    NONE = "none"  # the box has no PIN: it cannot be listened to by phone


class BadPin(ValueError):
    """This PIN will not do. The text is for the operator."""


class Mailboxes:
    """Raises StorageError when the database does not do it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def messages(self, box: str | None = None, deleted: bool = False) -> list[Message]:
        """The latest first."""
        query = select(_MESSAGES).order_by(_MESSAGES.c.at.desc(), _MESSAGES.c.id)
        if box is not None:
            query = query.where(_MESSAGES.c.box == box)
        if not deleted:
            query = query.where(_MESSAGES.c.deleted_at.is_(None))
        return [Message(**row) for row in self._database.rows(query)]

    def get(self, id: str) -> Message | None:
        rows = self._database.rows(select(_MESSAGES).where(_MESSAGES.c.id == id))
        return Message(**rows[0]) if rows else None

    def put(self, message: Message) -> None:
        """New, heard or deleted."""
        with self._database.begin() as connection:
            put_message(connection, _MESSAGES, asdict(message))

    # ---- the PIN

    def set_pin(self, box: str, pin: str) -> None:
        """Also unlocks the box. Raises BadPin."""
        if problem := _problem(pin):
            raise BadPin(problem)
        salt = os.urandom(16)
        hashed = f"scrypt:{salt.hex()}:{_hash(pin, salt).hex()}"
        with self._database.begin() as connection:
            connection.execute(delete(_PINS).where(_PINS.c.box == box))
            connection.execute(insert(_PINS), {"box": box, "hash": hashed, "n_failures": 0, "locked_until": None})

    def remove_pin(self, box: str) -> bool:
        with self._database.begin() as connection:
            return connection.execute(delete(_PINS).where(_PINS.c.box == box)).rowcount > 0

    def check_pin(self, box: str, pin: str, now: datetime) -> PinCheck:
        """A try is counted before it is looked at, so that many at once are not more than one after the other."""
        is_free = or_(_PINS.c.locked_until.is_(None), _PINS.c.locked_until <= now)
        count = update(_PINS).where(_PINS.c.box == box, is_free).values(n_failures=_PINS.c.n_failures + 1)
        with self._database.begin() as connection:
            is_counted = connection.execute(count).rowcount > 0
            row = connection.execute(select(_PINS).where(_PINS.c.box == box)).mappings().first()
            if row is None:
                return PinCheck.NONE
            if not is_counted:
                return PinCheck.LOCKED
            n = row["n_failures"]
            locked_until = now + min(LOCKED * 2 ** min(n - WRONG_PINS, 10), LOCKED_AT_MOST) if n >= WRONG_PINS else None
            connection.execute(update(_PINS).where(_PINS.c.box == box).values(locked_until=locked_until))
        _, salt, hashed = row["hash"].split(":")
        if not hmac.compare_digest(_hash(pin, bytes.fromhex(salt)), bytes.fromhex(hashed)):
            return PinCheck.WRONG
        clean = update(_PINS).where(_PINS.c.box == box, _PINS.c.hash == row["hash"])
        with self._database.begin() as connection:
            connection.execute(clean.values(n_failures=0, locked_until=None))
        return PinCheck.RIGHT


def _hash(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, dklen=32, **_COST)


def _problem(pin: str) -> str | None:
    least, most = PIN_DIGITS
    if not (pin.isascii() and pin.isdecimal() and least <= len(pin) <= most):
        return f"a PIN has {least} to {most} digits"
    steps = {(int(after) - int(before)) % 10 for before, after in zip(pin, pin[1:], strict=False)}
    if len(steps) == 1 and steps <= {0, 1, 9}:
        return "a PIN of one digit, or of digits in a row, is the first that anybody tries"
    return None
