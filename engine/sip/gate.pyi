"""The gate in front of PJSIP's UA layer: who may come in, how fast, and who is kept out. Counterpart: gate_module.c.

After libInit and before libStart; engine thread only. Addresses are texts without a port.
"""

from collections.abc import Container, Sequence
from typing import NamedTuple

COUNTS: tuple[str, ...]

class Refused(NamedTuple):
    """A request that was refused. `source` is address:port; nothing in it can forge a line of a log."""

    why: str  # of COUNTS
    source: str
    method: str
    user: str  # of the request URI

class Ban(NamedTuple):
    source: str  # an IPv4 address, or an IPv6 network of 64 bits
    left_s: float
    n_dropped: int

def open(
    *,
    burst: float,
    per_s: float,
    ban_after: int,
    window_s: float,
    ban_s: float,
    n_sources: int,
    tells_strangers: bool,
    strangers_per_s: float,
    max_headers: int,
    max_media: int,
    max_crypto: int,
    max_parts: int,
) -> None:
    """A stranger may be answered `burst` times at once and `per_s` times a second; ban_after refusals within window_s
    put a ban of ban_s on the source. Raises SipError."""

def close() -> None:
    """After libDestroy. Twice is once."""

def set_networks(networks: Sequence[tuple[str, int]]) -> None:
    """(address or CIDR block, group): group is a trunk's number from 0, or PHONES. Raises SipError."""

PHONES: int

def set_rate(group: int, calls_per_s: float) -> None:
    """New calls of a trunk above this get 503 with Retry-After; 0: as many as come."""

def set_overload(retry_after_s: int, calls_per_s: float) -> None:
    """New calls above that rate, whoever brings them, get 503 from now on; 0 s: no more. Calls in progress and
    retransmissions go on."""

def take_registers(takes: bool) -> None:
    """Whether REGISTER is for somebody here. It passes at a stranger's rate from anywhere, to be authenticated."""

def know_phones(flows: Container[tuple[str, int, str]]) -> None:
    """Where phones are that logged in, and proxies in front of such: address, port, and udp, tcp or tls; read as it is
    at any time. What comes from there is no stranger's."""

def login_failed(source: str) -> None:
    """A REGISTER or INVITE from there had a wrong password: ban_after of them put a ban on logging in from there."""

def is_banned_from_logins(source: str) -> bool: ...
def login_succeeded(source: str) -> None: ...
def counts() -> dict[str, int]: ...
def take_news() -> list[Refused]:
    """The newest refusals, 64 at most since the last call."""

def bans() -> list[Ban]:
    """Of strangers, and of those who guessed passwords."""

def lift(source: str) -> bool:
    """Whether there was a ban to lift."""

class Sources:
    """The table of strangers by itself, for tests: the same code as the gate's, with a time that is passed in."""

    size: int

    def __init__(
        self, n_sources: int, *, burst: float, per_s: float, ban_after: int, window_s: float, ban_s: float
    ) -> None: ...
    def refuse(self, source: str, now: float) -> str:
        """answer, silence or banned."""

    def admit(self, source: str, now: float) -> bool: ...
    def bans(self, now: float) -> list[Ban]: ...
    def lift(self, source: str, now: float) -> bool: ...
