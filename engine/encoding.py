"""Frozen dataclasses as JSON values and back, so that a trace can say which staff and which steps a day was run with.

Counterparts: engine/acd writes the staff into the trace's first line, engine/replay.py builds it again from there.
"""

import base64
import dataclasses
import hashlib
import json
import types
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from engine.callflow.plan import Place, PlanBook
from engine.callflow.staff import Staff

_NOWHERE = Place("", 0, 0)

P = ParamSpec("P")
T = TypeVar("T")


def _once(function: Callable[P, T]) -> Callable[P, T]:
    """Keeps the last answer for the very same arguments: large ones, which a reload asks for in its own thread, so that
    the engine finds the answer there."""
    last: tuple[tuple[Any, ...], Any] = ((), None)

    def answer(*arguments: P.args, **named: P.kwargs) -> T:
        nonlocal last
        known, value = last
        if len(known) != len(arguments) or any(a is not b for a, b in zip(known, arguments, strict=True)):
            value = function(*arguments, **named)
            last = arguments, value
        found: T = value
        return found

    return answer


def encode(value: Any) -> Any:
    """Mappings keep their order, sets are sorted. To be read only: it may be kept for the next who asks."""
    if isinstance(value, Staff):
        return _encode_staff(value)
    if dataclasses.is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


@_once
def _encode_staff(staff: Staff) -> Any:
    return {field.name: encode(getattr(staff, field.name)) for field in dataclasses.fields(staff)}


def decode(kind: Any, value: Any) -> Any:
    """The value of type `kind` that encode() made `value` of. Raises TypeError or KeyError for what is none."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: decode(hints[name], item) for name, item in value.items()})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else decode(_one_of(arguments, value), value)
    if origin is tuple:
        kinds = arguments[:1] * len(value) if arguments[1:] == (...,) else arguments
        return tuple(decode(one, item) for one, item in zip(kinds, value, strict=True))
    if origin is Mapping:
        return {key: decode(arguments[1], item) for key, item in value.items()}
    return value


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    """Of the kinds that a value may have: a dataclass where there are fields."""
    return next(
        one for one in kinds if one is not type(None) and dataclasses.is_dataclass(one) == isinstance(value, Mapping)
    )


def pack(value: bytes) -> str:
    """Bytes as text that JSON can hold."""
    return base64.b64encode(zlib.compress(value, 1)).decode()


def unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@_once
def digest(staff: Staff, book: PlanBook) -> str:
    """What tells two configurations apart, as far as calls meet them: comments and line numbers do not."""
    steps = tuple(dataclasses.replace(step, place=_NOWHERE) for step in book.steps)
    text = json.dumps(encode((staff, dataclasses.replace(book, steps=steps))), default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
