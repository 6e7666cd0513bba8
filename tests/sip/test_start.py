"""What cannot work is said before the first call, all of it at once."""

import socket

import pytest

from engine.callflow import settings
from engine.callflow.errors import SipError
from tests.sip.peers import HOST, PORT, Ear, n_descriptors


def test_everything_wrong_is_said_at_once() -> None:
    ear = Ear()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, PORT))
        with pytest.raises(SipError) as caught:
            ear.start(codecs=("PCMA", "G729"), rtp_from=18400, rtp_to=18501)
    text = str(caught.value).splitlines()
    assert len(text) == 3
    assert f"sip.udp {HOST}:{PORT} cannot be opened: Address already in use" in text[2]
    assert "sip.codecs: G729 is not in this PJSIP, which has PCMU/8000/1" in text[1]
    assert "has ports for 51 legs, but limits.max_calls 60 needs 184" in text[0]


def test_limits_above_the_compiled_ones_are_refused() -> None:
    from engine.sip.library import check_limits

    sip = settings.Sip(rtp_from=2000, rtp_to=60001)
    assert check_limits(sip, settings.Limits(max_calls=2000)) == []
    (problem,) = check_limits(sip, settings.Limits(max_calls=3000))
    assert problem.startswith("limits.max_calls 3000 needs 6064 legs, but PJSIP was compiled for 4096 (PJSUA_MAX_CALLS")


def test_no_transport_and_an_odd_rtp_port_are_refused() -> None:
    from engine.sip.library import check_limits

    problems = check_limits(settings.Sip(udp_port=None, tcp_port=None, rtp_from=20001), settings.Limits())
    assert [problem.partition(" ")[0] for problem in problems] == ["sip.rtp", "sip:"]


def test_starts_again_after_a_close_and_leaves_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    before = []
    for _ in range(3):
        ear = Ear()
        ear.start()
        ear.silence(0.05)
        ear.endpoint.close()
        before.append(n_descriptors())
    assert before[0] == before[-1]
    assert capfd.readouterr() == ("", ""), "PJSIP's log belongs into Python's"
