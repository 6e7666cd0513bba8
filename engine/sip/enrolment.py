"""Our registration with a carrier: when the next REGISTER is due, and what is shown of it. Pure: time is passed in.

PJSIP refreshes a registration that stands. One that was refused or not answered is tried again after FIRST_S, then each
time after twice as long, up to LONGEST_S; so that a thousand switches do not come back at once after a carrier's
outage, each wait is shortened by up to a quarter, by dice. Counterpart: carriers.py, which sends.
"""

from dataclasses import dataclass

FIRST_S, LONGEST_S = 2.0, 300.0


@dataclass(slots=True)
class Enrolment:
    next_at: float  # of our own tries; infinite while PJSIP is at it
    n_failed: int = 0
    registered_until: float | None = None
    why: str = ""  # the last try failed

    def sent(self) -> None:
        self.next_at = float("inf")

    def granted(self, expires_s: float, now: float) -> None:
        self.registered_until, self.n_failed, self.why, self.next_at = now + expires_s, 0, "", float("inf")

    def refused(self, why: str, retry_after_s: float, now: float, dice: float) -> None:
        """Also of a refresh: the old registration then counts until its end."""
        wait_s = min(LONGEST_S, FIRST_S * 2 ** min(self.n_failed, 16)) * (1 - dice / 4)
        self.n_failed, self.why = self.n_failed + 1, why
        self.next_at = now + max(wait_s, min(retry_after_s, 2 * LONGEST_S))

    def state(self, now: float) -> str:
        if self.registered_until is not None and now < self.registered_until:
            return "registered"
        return "failed" if self.why else "registering"
