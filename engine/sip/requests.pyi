"""REGISTER, INVITE of phones, REFER, as plain values; OPTIONS out and their answers in; connections that close.
Counterpart: requests_module.c; phones.py, which is told.

After libInit; engine thread only. The callbacks run inside PJSIP's: they must return soon and call nothing of PJSIP.
"""

from collections.abc import Callable, Container, Sequence

from engine.sip.registrar import Answer, Flow, Register

def open(
    registered: Callable[[Register], Answer],
    invited: Callable[[Register], Answer | None],
    ponged: Callable[[int, int, str, int], None],
    closed: Callable[[Flow], None],
    flows: Container[Flow],
    dialling: Container[Flow],
) -> None:
    """`invited`: an INVITE that came from `dialling`, `user` being that of the Request-URI; None lets it pass. Those of
    others are not shown. `ponged`: the number of an OPTIONS that was answered, with which status, and by whom (address,
    port). `flows`: where phones are that logged in, read as it is at any time: what such a phone says of its own
    address is replaced by the address that it sends from. `dialling`: these, and where proxies of phones are. Raises
    SipError."""

def close() -> None:
    """After libDestroy."""

def take_refers(referred: Callable[[int, str, int], int]) -> None:
    """A REFER inside a dialog: pjsua's number of the call, the value of Refer-To, CSeq. The status that it is answered
    with; 0 leaves it to PJSIP. After open()."""

def slot_of(call_id: str, tag: str, other: str) -> int:
    """pjsua's number of the call whose dialog has these tags, in either order; -1: there is none."""

def ping(number: int, uri: str, own_uri: str, routes: Sequence[str]) -> bool:
    """One OPTIONS, once; the first of `routes` says where it goes. False: it cannot be sent."""

def notify(uri: str, own_uri: str, routes: Sequence[str], summary: str) -> bool:
    """A NOTIFY with this message summary (RFC 3842), sent until it is answered or time is up."""
