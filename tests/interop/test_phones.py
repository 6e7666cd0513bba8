"""baresip and Linphone as callers and as agents' phones, in the clear, encrypted and mixed: each hears the other,
before and after a hold.
"""

import pytest

from tests.interop.house import House, Way
from tests.interop.talk import talk_with_a_hold
from tests.live.floor import HOST

BARESIP, LINPHONE = "baresip", "linphone"
SDES, MAYBE, DTLS = "sdes", "may be", "dtls"


@pytest.fixture(scope="module")
def daemon(settled):
    """Speaks in the clear to whom does, and encrypted to whom does."""
    return settled(sip={"srtp": "offered"}, trunks={"carrier": {"from": [f"{HOST}/32"], "srtp": "offered"}})


CASES = [
    (Way(LINPHONE), Way(LINPHONE), "caller"),
    (Way(LINPHONE, "tcp"), Way(BARESIP, "tcp"), "caller"),
    (Way(BARESIP), Way(LINPHONE, "tcp"), "agent"),
    (Way(BARESIP, "tls", SDES), Way(LINPHONE), "caller"),
    (Way(LINPHONE), Way(BARESIP, "tls", MAYBE), "agent"),
    (Way(LINPHONE, "tls", DTLS), Way(BARESIP), "agent"),
]


@pytest.mark.parametrize(("caller", "agent", "holder"), CASES, ids=lambda one: str(one).replace(" ", "-"))
def test_a_talk_with_a_hold(house: House, caller: Way, agent: Way, holder: str):
    talk_with_a_hold(house, caller, agent, holder, f"47{CASES.index((caller, agent, holder)):02d}")
