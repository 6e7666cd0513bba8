"""Passwords of agents' phones: a file that only the daemon's user may read, and no password in it.

Kept is what digest authentication needs, HA1 = H(user:realm:password), for each algorithm (RFC 7616 section 3.4.2). Who
has an HA1 can log in as that phone, to this switch and no other, so it is kept like a password; the password itself
cannot be told from it but by guessing, which is why short ones are refused. Counterparts: engine/sip/digest.py,
cli/phones.py.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from engine.records.store import StorageError

ALGORITHMS = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
SHORTEST, LONGEST = 12, 128  # characters of a password
FILE = "phone-passwords.json"  # in the state folder

HA1s = dict[str, str]  # algorithm -> HA1 in hex


class BadPassword(ValueError):
    """This password will not do. The text is for the operator."""


class Unreadable(StorageError):
    """The file is not what we wrote, or others may read it. The text is for the operator."""


def load(folder: Path, realm: str) -> dict[str, HA1s]:
    """Agent -> HA1s, of those set in this realm. Raises Unreadable."""
    path = folder / FILE
    try:
        if (mode := path.stat().st_mode) & 0o077:
            raise Unreadable(f"{path}: others may read or write it (mode {mode & 0o777:o}); chmod 600 {path}")
        rows = json.loads(path.read_text("utf-8"))
        return {agent: dict(row["ha1"]) for agent, row in rows.items() if row["realm"] == realm}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unreadable(f"{path}: not a file of phones' passwords") from None


def set_password(folder: Path, realm: str, agent: str, password: str) -> None:
    """Raises BadPassword, Unreadable."""
    if problem := _problem(agent, password):
        raise BadPassword(problem)
    text = f"{agent}:{realm}:{password}".encode()
    _change(folder, agent, {"realm": realm, "ha1": {name: h(text).hexdigest() for name, h in ALGORITHMS.items()}})


def remove_password(folder: Path, agent: str) -> bool:
    """False if there was none. Raises Unreadable."""
    return _change(folder, agent, None)


def generate() -> str:
    """128 random bits, without characters that are mistaken for others."""
    return "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(26))


def _change(folder: Path, agent: str, row: Mapping[str, object] | None) -> bool:
    """All or nothing: the new file takes the place of the old one in one move."""
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        rows = json.loads(path.read_text("utf-8")) if path.exists() else {}
        was_there = rows.pop(agent, None) is not None
        if row is not None:
            rows[agent] = row
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(rows, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    except (ValueError, AttributeError):
        raise Unreadable(f"{path}: not a file of phones' passwords") from None
    return was_there


def _problem(agent: str, password: str) -> str | None:
    if not SHORTEST <= len(password) <= LONGEST:
        return f"a password has {SHORTEST} to {LONGEST} characters"
    if not (password.isascii() and password.isprintable()):
        return "a password has ASCII characters that can be typed into a phone"
    if len(set(password)) < 5 or agent in password and len(password) < SHORTEST + len(agent):
        return "this password is the first that anybody tries"
    return None
