"""What pjsua tells of calls and nobody here hears.

pjsua2 makes strings of whole messages for each of its callbacks, and enters Python; a call of two legs has some 60 of
them, and we want a dozen. After the pjsua library is initialised, which sets them all.
"""

HEARS_MESSAGES: int
"""Among pjsua's flags of a call, where PJSIP has none: its messages are told, by onCallState and onCallTsxState."""

def leave_out() -> None:
    """From now on there is no onCallTsxState, and onCallState has no event, but of calls with HEARS_MESSAGES; and
    nobody has onCallSdpCreated, onStreamPreCreate, onStreamDestroyed, onCallMediaTransportState, onCallMediaEvent. For
    the last, PJMEDIA keeps a list of all streams and walks it at the beginning and end of each: that is gone too."""

def put_back() -> None:
    """Before the pjsua library is destroyed. Twice is once."""
