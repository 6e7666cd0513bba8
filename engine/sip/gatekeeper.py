"""The gate as this switch sets it: whom the configuration knows, what strangers may do, and what the log is told.

Counterparts: gate.pyi, the native gate; settings.Gate, its figures.
"""

import logging
from collections import Counter
from collections.abc import Sequence

from engine.callflow import settings
from engine.sip import gate

log = logging.getLogger(__name__)

TELL_EVERY_S = 1.0
TOLD_AT_ONCE = 5  # lines a second; a flood must not fill the disk with its own log

WHY = {
    "garbage": "does not parse: 400",
    "absurd": "too many headers, media or parts: refused",
    "unknown": "from an address that no trunk has",
    "bans": "banned",
    "foreign": "inside a dialog of somebody else",
    "too_fast": "more calls a second than the trunk may bring: 503",
    "overloaded": "the switch has its hands full: 503",
}


class Gatekeeper:
    """Between libInit and libDestroy. Engine thread only."""

    def __init__(self, rules: settings.Gate, trunks: Sequence[settings.Trunk]) -> None:
        """Raises SipError."""
        gate.open(
            burst=rules.burst,
            per_s=rules.per_s,
            ban_after=rules.ban_after,
            window_s=rules.ban_window_s,
            ban_s=rules.ban_s,
            n_sources=rules.n_sources,
            tells_strangers=rules.tells_strangers,
            strangers_per_s=rules.answers_per_s,
            max_headers=rules.max_headers,
            max_media=rules.max_media,
            max_crypto=rules.max_crypto,
            max_parts=rules.max_parts,
        )
        gate.set_networks([(str(network), n) for n, trunk in enumerate(trunks) for network in trunk.sources])
        for n, trunk in enumerate(trunks):
            gate.set_rate(n, trunk.max_calls_per_s or 0.0)
        self._tell_at = 0.0

    def tell(self, now: float) -> None:
        """Once a second, a few lines about what was refused."""
        if now < self._tell_at:
            return
        self._tell_at = now + TELL_EVERY_S
        refused = gate.take_news()
        for one in refused[:TOLD_AT_ONCE]:
            log.warning("%s %s from %s %s", one.method, one.user or "-", one.source, WHY[one.why])
        if more := Counter(one.why for one in refused[TOLD_AT_ONCE:]):
            log.warning("and %s", ", ".join(f"{n} {WHY[why]}" for why, n in more.items()))

    def counts(self) -> dict[str, int]:
        """Since the start; what each means stands in gate_module.h."""
        return gate.counts()

    def bans(self) -> list[gate.Ban]:
        return gate.bans()

    def lift(self, source: str) -> bool:
        """Whether there was a ban to lift. ValueError: not an address."""
        return gate.lift(source)

    def limit_calls(self, calls_per_s: float | None, retry_after_s: int) -> None:
        """New calls above that rate, whoever brings them, get 503; None: as many as come. Calls in progress go on."""
        gate.set_overload(0 if calls_per_s is None else retry_after_s, calls_per_s or 0.0)
