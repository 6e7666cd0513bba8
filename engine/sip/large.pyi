"""Requests above 1,300 bytes, which RFC 3261 section 18.1.1 wants sent over TCP although the address says UDP."""

from collections.abc import Iterable

def go_by_tcp(addresses: Iterable[str]) -> None:
    """To these servers alone, 1024 at most; where one refuses the connection, such a request goes by UDP after all."""
