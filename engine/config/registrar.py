"""`registrar:` of switch.yaml -> Registrar: how agents' phones log in.

Counterpart: engine/callflow/settings.py, which has the type and the defaults.
"""

import re
from math import inf
from typing import Any

from engine.callflow.settings import Registrar
from engine.config import scalars
from engine.config.yaml_nodes import Value

_REALM = re.compile(r"[\w.@-]{1,64}", re.ASCII)
_EXPIRES = re.compile(r"(\S+?)\s*-\s*(\S+)")


def read_registrar(value: Value | None) -> Registrar:
    read: dict[str, Any] = {}
    if value is None:
        return Registrar()
    with value.section() as registrar:
        if item := registrar.get("realm"):
            read["realm"] = _realm(item)
        if item := registrar.get("expires"):
            read["min_expires_s"], read["max_expires_s"] = _expires(item)
        if item := registrar.get("phones"):
            read["n_contacts"] = scalars.count(item, 1, 10)
        if item := registrar.get("keep alive"):
            read["keep_alive_s"] = _keep_alive(item)
        if item := registrar.get("gone after"):
            read["n_unanswered"] = scalars.count(item, 1, 20)
        if item := registrar.get("challenge for"):
            read["nonce_s"] = scalars.duration(item, 10.0, 3600.0)
        if item := registrar.get("algorithms"):
            read["algorithms"] = _algorithms(item)
    return Registrar(**read)


def _realm(value: Value) -> str:
    text = value.text()
    if text and not _REALM.fullmatch(text):
        value.complain(f"realm: {text!r} must be letters, digits, '.', '-', '_', '@', at most 64")
        return Registrar().realm
    return text


def _expires(value: Value) -> tuple[int, int]:
    """`60s-1h`: the shortest and the longest time that a phone is logged in for."""
    text = value.text()
    if not (found := _EXPIRES.fullmatch(text)):
        if text:
            value.complain(f"expires: {text!r} is not a range of durations (60s-1h?)")
        return Registrar().min_expires_s, Registrar().max_expires_s
    shortest, longest = (round(scalars.duration(value.part(part), 10.0, 86400.0)) for part in found.groups())
    if shortest > longest:
        value.complain(f"expires: {text!r} ends before it begins ({found[2]}-{found[1]}?)")
    return shortest, max(shortest, longest)


def _algorithms(value: Value) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(scalars.one_of(item, Registrar().algorithms, "algorithm") for item in value.items()))
    if not found:
        value.complain("algorithms is empty, so no phone could log in ([SHA-256, MD5]?)")
    return found or Registrar().algorithms


def _keep_alive(value: Value) -> float:
    if value.is_scalar and value.node.value.strip() == "off":
        return inf
    return scalars.duration(value, 5.0, 3600.0)
