"""Hundreds of short calls at a rate, of every kind at once: nothing is lost, counted twice or left behind."""

from collections import Counter

import pytest

from engine.records.search import Wanted
from tests.live.floor import until
from tests.live.phones import ANSWERS, STAYS, hangs_up_after
from tests.sip.peers import bye_from_phone, got, in_dialog_ok, reply, request

DESK_PORT, REJECTING_PORT = 15131, 15132
AGENTS = ("3001", "3002", "3003", "3004", "3005", "3006", "3007", "3008")
N_STAY, N_LEAVE, N_UNKNOWN = 240, 80, 40
EVERYTHING = Wanted(ani="88*", limit=1000)

# Talks for 0.3 s; then, or before if the caller does, it hangs up.
TALKS_A_LITTLE = (
    *ANSWERS,
    '<recv request="BYE" timeout="300" ontimeout="1"/>',
    in_dialog_ok().replace("<send ", '<send next="2" '),
    '<label id="1"/>',
    bye_from_phone(),
    got(200),
    '<label id="2"/>',
)


@pytest.mark.timeout(100)
def test_every_call_is_accounted_for(floor):
    daemon = floor.daemon
    floor.sipp_phone(DESK_PORT, *TALKS_A_LITTLE, calls=None)
    floor.sipp_phone(REJECTING_PORT, got("INVITE"), reply(180), reply(603), got("ACK"), calls=None)
    daemon.seat(*AGENTS)
    callers = [
        floor.sipp_calls("109", "881[call_number]", *STAYS, calls=N_STAY, rate=20),
        floor.sipp_calls("109", "882[call_number]", *hangs_up_after(150), calls=N_LEAVE, rate=6.7),
        floor.sipp_calls(
            "999", "883[call_number]", got(100, True), got(404), request("ACK"), calls=N_UNKNOWN, rate=3.3
        ),
    ]
    for caller in callers:
        caller.wait(60)
    daemon.until_clean()

    n_all = N_STAY + N_LEAVE + N_UNKNOWN
    found = daemon.archive().calls(EVERYTHING)
    assert found.n_total == len({row["ani"] for row in found.rows}) == n_all, "one CDR each"
    became = daemon.archive().totals(EVERYTHING)
    print(became)
    assert became["unknown_number"] == N_UNKNOWN
    assert became["answered"] + became.get("abandoned", 0) == N_STAY + N_LEAVE == sum(became.values()) - N_UNKNOWN
    queue = daemon.queue("desk")
    assert (queue["waiting"], queue["timed_out"], queue["overflowed"]) == (0, 0, 0)
    assert (queue["offered"], queue["answered"]) == (N_STAY + N_LEAVE, became["answered"])
    assert queue["abandoned"] == became.get("abandoned", 0)

    calls = [daemon.archive().call(row["call"]) for row in found.rows]
    kinds = Counter(one["kind"] for call in calls for one in call["segments"])
    offers = Counter(one["outcome"] for call in calls for one in call["segments"] if one["kind"] == "offer")
    print(kinds, offers)
    assert kinds["talk"] == offers["answered"] == became["answered"]
    assert kinds["queue"] == N_STAY + N_LEAVE
    assert offers["rejected"] > 10, "the two who reject were asked again and again"
    until("the last recording is on record", lambda: len(_recorded(daemon)) == N_STAY + N_LEAVE)
    folder = daemon.folder / "var/recordings"
    assert all((folder / one["path"]).is_file() for call in _recorded(daemon) for one in call["recordings"])


def _recorded(daemon):
    """Their rows come after their CDRs, when the files are closed."""
    calls = [daemon.archive().call(row["call"]) for row in daemon.archive().calls(EVERYTHING).rows]
    return [call for call in calls if call["recordings"]]
