"""Failures that know their SIP status and their disposition in the CDR, so that nobody maps codes twice."""


class CallError(Exception):
    """A call cannot go on. `status` is what the caller's side is told (RFC 3261 section 21), `disposition` what the
    CDR says."""

    status = 500
    disposition = "failed"

    def __init__(self, text: str, *, status: int | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        if status is not None:
            self.status = status
        self.retry_after_s = retry_after_s


class SipError(CallError):
    """The SIP room could not do what it was asked: no transport, no such leg, a refused message."""

    disposition = "sip_error"


class PlanError(CallError):
    """The routing plan has no answer for this call, for example a number that nobody configured."""

    status = 404
    disposition = "unknown_number"


class BusyError(CallError):
    """The switch takes no more calls now: a limit is reached, or it is draining before a stop."""

    status = 503
    disposition = "turned_away"


class MediaError(CallError):
    """The media room could not do what it was asked: no slot, no such prompt, a file that cannot be written."""

    disposition = "media_error"


class ImpossibleEvent(CallError):
    """An event that the call's table rules out. That one call ends, traced; the others live on."""

    disposition = "impossible_event"
