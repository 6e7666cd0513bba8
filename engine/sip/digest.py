"""Digest authentication of a request (RFC 7616, RFC 8760): challenges, and whether an answer to one is right.

Nothing is kept of a challenge. A nonce says when and to which address it was given, under a key that only this process
has, so nobody can make one up or use somebody else's. Kept is how far each nonce was counted that a right answer came
with (`nc`); the table is bounded, and what falls out of it is stale, never fresh again.

Only a wrong response to a nonce of ours, fresh and given to that very address, is a failed attempt: a forged datagram
cannot make one. Whether a nonce is stale is said without a look at the response, so it tells nothing about a guess.
Counterpart: registrar.py. Pure: time is passed in.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

HASHES: Mapping[str, Callable[..., "hashlib._Hash"]] = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
NC_DIGITS = 8
_MAC_CHARS = 32

Credentials = Mapping[str, Mapping[str, str]]  # user -> algorithm -> HA1 in hex (RFC 7616 section 3.4.2)


class Authorization(NamedTuple):
    """An Authorization header of scheme Digest, its parameters without quotes; empty: not there."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str
    cnonce: str
    qop: str
    nc: str


class Verdict(StrEnum):
    RIGHT = "right"
    NONE = "none"  # no answer to a challenge of this realm
    STALE = "stale"  # the nonce is old, not ours, somebody else's, or counted so far already
    WRONG = "wrong"  # a failed attempt


class Digest:
    """The challenges of one realm. `secret` must be random, at least 16 bytes."""

    def __init__(
        self,
        realm: str,
        secret: bytes,
        credentials: Credentials,
        nonce_s: float = 300.0,
        n_nonces: int = 32768,
        algorithms: tuple[str, ...] = ("SHA-256", "MD5"),
    ) -> None:
        """`nonce_s`: a nonce is answered with for so long. `algorithms`: offered, the preferred one first."""
        self.credentials = credentials
        self._realm, self._secret, self._algorithms = realm, secret, algorithms
        self._nonce_s, self._n_nonces = nonce_s, n_nonces
        self._n_given = 0
        self._counts: dict[str, int] = {}  # nonce -> its nc, in the order of first use
        self._floor_ms = -1  # nonces given at or before it are stale, having no place in the table any more
        # An unknown user costs the same work as a known one: a comparison that nobody can pass.
        self._nobody = {name: self._mac(f"nobody {name}") for name in HASHES}

    # ---- challenges

    def challenges(self, source: str, now: float, stale: bool = False) -> list[str]:
        """Values of WWW-Authenticate, one for each algorithm (RFC 8760 section 2.4), with a nonce of their own."""
        nonce, tail = self._nonce(source, now), ", stale=true" if stale else ""
        return [
            f'Digest realm="{self._realm}", nonce="{nonce}", algorithm={name}, qop="auth"{tail}'
            for name in self._algorithms
        ]

    def _nonce(self, source: str, now: float) -> str:
        self._n_given += 1
        head = f"{int(now * 1000):012x}{self._n_given & 0xFFFFFFFF:08x}"
        return head + self._mac(f"{head} {source}")

    def _mac(self, text: str) -> str:
        return hmac.digest(self._secret, text.encode(), "sha256").hex()[:_MAC_CHARS]

    # ---- answers

    def check(self, method: str, answers: list[Authorization], source: str, now: float) -> tuple[Verdict, str]:
        """The verdict, and the user if it is RIGHT. `answers`: the request's Authorization headers."""
        answer = self._relevant(answers)
        if answer is None:
            return Verdict.NONE, ""
        given_ms, nc = self._given_ms(answer.nonce, source), _count_of(answer.nc)
        if given_ms is None or nc is None or given_ms <= self._floor_ms or self._is_old(given_ms, now):
            return Verdict.STALE, ""
        if not self._is_right(method, answer):
            return Verdict.WRONG, ""
        if nc <= self._counts.get(answer.nonce, 0):
            return Verdict.STALE, ""
        self._count(answer.nonce, nc, now)
        return Verdict.RIGHT, answer.username

    def _relevant(self, answers: list[Authorization]) -> Authorization | None:
        """One of our realm by an algorithm that was offered, the strongest."""
        for name in self._algorithms:
            for answer in answers:
                if answer.realm == self._realm and (answer.algorithm or "MD5").upper() == name and answer.qop == "auth":
                    return answer
        return None

    def _given_ms(self, nonce: str, source: str) -> int | None:
        """None: it is not ours, or was given to another address."""
        head, mac = nonce[:20], nonce[20:]
        if not nonce.isascii() or not hmac.compare_digest(mac, self._mac(f"{head} {source}")):
            return None
        return int(head[:12], 16)

    def _is_old(self, given_ms: int, now: float) -> bool:
        return now * 1000 >= given_ms + self._nonce_s * 1000

    def _is_right(self, method: str, answer: Authorization) -> bool:
        name = (answer.algorithm or "MD5").upper()
        h = HASHES[name]
        ha1 = self.credentials.get(answer.username, self._nobody).get(name, self._nobody[name])
        ha2 = h(f"{method}:{answer.uri}".encode()).hexdigest()
        text = f"{ha1}:{answer.nonce}:{answer.nc}:{answer.cnonce}:{answer.qop}:{ha2}"
        is_equal = hmac.compare_digest(h(text.encode()).hexdigest().encode(), answer.response.lower().encode())
        return is_equal and answer.username in self.credentials

    def _count(self, nonce: str, nc: int, now: float) -> None:
        self._counts[nonce] = nc
        while self._counts:
            oldest = next(iter(self._counts))
            given_ms = int(oldest[:12], 16)
            if len(self._counts) > self._n_nonces:
                self._floor_ms = max(self._floor_ms, given_ms)
            elif not self._is_old(given_ms, now):
                return
            del self._counts[oldest]


def _count_of(nc: str) -> int | None:
    try:
        return int(nc, 16) if len(nc) == NC_DIGITS and nc.isalnum() else None
    except ValueError:
        return None
