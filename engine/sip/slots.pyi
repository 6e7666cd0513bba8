"""The places that pjsua has for calls, for what pjsua2 leaves out: to end a call without the far side's help; and how
many pools of memory there are."""

def call_id(slot: int) -> bytes:
    """Of the call in this slot; empty: it is free."""

def vacate(slot: int, whose: bytes) -> None:
    """End PJSIP's side of the call in this slot now, without a word to the far side: its callback, if still due, tells
    of the end before this returns, and the slot is free. Requests under way, such as a BYE, live on. Nothing if the
    call there is not the one with this Call-ID: the slot is given to the next call."""

def n_pools() -> int:
    """In use, by PJSIP and by our media ports: a handful each leg and transaction."""
