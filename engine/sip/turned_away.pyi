"""INVITEs that PJSIP refuses before anybody hears of them: no codec in common, a broken SDP, no room for another call.

pjsua2 has a callback for them, but only in a subclass of its Endpoint, which would have the bridge's threads enter
Python at every change of a link. So this sets pjsua's own. It also gives every call that comes in to the default
account, which has no credentials; by itself PJSIP looks for an account of the address dialled, and would answer a
caller's challenge with a trunk's password.
"""

from collections.abc import Callable

def listen(heard: Callable[[str, str, int], None]) -> None:
    """From now on, `heard(source address, the INVITE, status)` for each, once however often it is repeated; on the
    engine's thread, after the answer. It must not raise. After the pjsua library is initialised; its end forgets it."""

def take_by(account: int, is_v6: bool) -> None:
    """Calls in whose audio comes over this family of addresses belong to this account; others to the default one."""

def forget() -> None:
    """Tell nobody any more."""
