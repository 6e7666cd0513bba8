"""What pjsua tells of calls and nobody here hears.

pjsua2 makes strings of whole messages for each of its callbacks, and enters Python; a call of two legs has some 60 of
them, and we want a dozen. After the pjsua library is initialised, which sets them all.
"""

HEARS_MESSAGES: int
"""Among pjsua's flags of a call, where PJSIP has none: its messages are told, by onCallState and onCallTsxState."""

def leave_out() -> None:
    """From now on there is no onCallTsxState, and onCallState has no event, but of calls with HEARS_MESSAGES; and
    nobody has onCallSdpCreated, onStreamPreCreate, onStreamDestroyed, onCallMediaTransportState, onCallMediaEvent."""
