"""Session timers (RFC 4028) run out, and are refreshed, in both roles: a minute, so not in each run of `make test`."""

import time

import pytest

from engine.callflow import events as e
from tests.sip.peers import CALLER, got, in_dialog_ok, invite, pause, reply, request, sdp
from tests.sip.test_protocol import answer_all, end_of, with_header

EXPIRES_S = 90  # the least that there is
REFRESHED_AFTER_S = EXPIRES_S / 2  # section 10
ENDED_AFTER_S = EXPIRES_S - EXPIRES_S / 3  # section 10: min(32 s, a third) before it expires
LATE_S = 4.0


def timer(refresher: str) -> str:
    return f"Session-Expires: {EXPIRES_S};refresher={refresher}"


def refreshed() -> tuple[str, ...]:
    """Our re-INVITE, and its answer."""
    told = f"{timer('uac')}\nContact: <sip:x@[local_ip]:[local_port]>\nContent-Type: application/sdp\n"
    answer = in_dialog_ok().replace("Content-Length: 0\n\n", f"{told}Content-Length: [len]\n\n{sdp()}")
    return got("INVITE", check=f"Session-Expires: *{EXPIRES_S};refresher=uac"), answer, got("ACK")


@pytest.mark.prove
@pytest.mark.timeout(150)
def test_who_should_refresh_and_does_not_is_gone_and_whom_we_refresh_stays(ear, sipp):
    """Four calls at once: a caller and a phone that promised to refresh and are silent; a caller and a phone that leave
    it to us, and live on. SIPp sends no Allow, so we refresh by re-INVITE."""
    answer_all(ear)
    offer = {who: with_header(with_header(invite(), timer(who)), "Supported: timer") for who in ("uac", "uas")}
    answer = {who: reply(200, sdp(), f"{timer(who)}\nRequire: timer\n") for who in ("uac", "uas")}
    answered = got(100, True), got(200), request("ACK")
    silent_caller = sipp(offer["uac"], *answered, got("BYE"), in_dialog_ok(), within_s=120)
    caller = sipp(offer["uas"], *answered, *refreshed(), pause(1000), request("BYE", 2), got(200), within_s=120)
    took = got("INVITE"), reply(180)
    silent_phone = sipp(*took, answer["uas"], got("ACK"), got("BYE"), in_dialog_ok(), within_s=120)
    phone = sipp(*took, answer["uac"], got("ACK"), *refreshed(), got("BYE"), in_dialog_ok(), within_s=120)
    ear.until(lambda: silent_phone.listening() and phone.listening())
    ear.endpoint.dial("silent", 7, f"sip:phone@127.0.0.1:{silent_phone.port}", CALLER, {})
    leg = ear.endpoint.dial("phone", 8, f"sip:phone@127.0.0.1:{phone.port}", CALLER, {})
    ear.next(e.CalledAnswered, 2)
    ear.next(e.CallerAnswered, 2)
    began, ended = time.monotonic(), {}

    def note(party: object) -> bool:
        if party.done() and party not in ended:  # type: ignore[attr-defined]
            ended[party] = time.monotonic() - began
        return party in ended

    ear.until(lambda: note(caller), REFRESHED_AFTER_S + LATE_S)
    assert ended[caller] > REFRESHED_AFTER_S - LATE_S
    ear.until(lambda: all([note(silent_caller), note(silent_phone)]), 30.0)
    for party in (silent_caller, silent_phone):
        assert abs(ended[party] - ENDED_AFTER_S) < LATE_S, ended
    assert not phone.done(), "it was refreshed in between"
    ear.endpoint.hang_up(leg)
    for party in (silent_caller, caller, silent_phone, phone):
        end_of(party, ear)
    ear.next(e.LegEnded, 4)
    assert [event.offer for event in ear.all(e.CalledGone)] == [7] and len(ear.all(e.CallerGone)) == 2
