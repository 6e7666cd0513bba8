"""What cannot work is said before the first call, all of it at once."""

import socket
import time

import pytest

from engine.callflow import settings
from engine.callflow.errors import SipError
from tests.sip.peers import CALLER, HOST, PORT, Ear, n_descriptors


def test_everything_wrong_is_said_at_once() -> None:
    ear = Ear()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, PORT))
        with pytest.raises(SipError) as caught:
            ear.start(codecs=("PCMA", "G729"), rtp_from=18401, rtp_to=18800)
    text = str(caught.value).splitlines()
    assert len(text) == 3
    assert f"sip.udp {HOST}:{PORT} cannot be opened: Address already in use" in text[2]
    assert "sip.codecs: G729 is not in this PJSIP, which has PCMU/8000/1" in text[1]
    assert "sip.rtp 18401-18800 must begin with an even port" in text[0]


def test_limits_above_the_compiled_ones_are_refused() -> None:
    from engine.sip.library import check_limits

    sip = settings.Sip(rtp_from=2000, rtp_to=60001)
    assert check_limits(sip, settings.Limits(max_calls=2000)) == []
    legs, ports = check_limits(sip, settings.Limits(max_calls=3000))
    assert legs.startswith("limits.max_calls 3000 needs 6064 legs, but PJSIP was compiled for 4096 (PJSUA_MAX_CALLS in")
    assert ports.startswith("limits.max_calls 3000 needs 12128 conference ports, but")


def test_no_transport_and_an_odd_rtp_port_are_refused() -> None:
    from engine.sip.library import check_limits

    problems = check_limits(settings.Sip(udp_port=None, tcp_port=None, rtp_from=20001), settings.Limits())
    assert [problem.partition(" ")[0] for problem in problems] == ["sip.rtp", "sip:"]


def test_all_addresses_of_both_families() -> None:
    """One port at 0.0.0.0 and at :: takes two sockets, neither of which takes the other's."""
    ear = Ear()
    ear.start(address="0.0.0.0", second_address="::")
    for far, family in ((HOST, socket.AF_INET), ("::1", socket.AF_INET6)):
        with socket.create_connection((far, PORT), timeout=2) as line:
            assert line.family == family
    ear.endpoint.close()


def test_a_process_without_room_for_its_sockets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    from engine.sip.library import raise_descriptors

    told: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda which, both: told.append(both))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    (problem,) = raise_descriptors(settings.Limits(max_calls=1000))
    assert problem.startswith("limits.max_calls 1000 needs 9280 file descriptors, and this process may have 4096")
    assert raise_descriptors(settings.Limits(max_calls=100)) == [] and told == [(4096, 4096)]


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


def test_a_name_that_nobody_resolves_stops_nothing(tmp_path, monkeypatch) -> None:
    from engine.callflow.events import CalledRefused, LegEnded, Refusal
    from engine.sip import library

    monkeypatch.setattr(library, "RESOLV_CONF", tmp_path / "resolv.conf")
    library.RESOLV_CONF.write_text("search example.org\nnameserver 127.0.0.77\nnameserver ::1\nnameserver\n")
    assert library.name_servers() == ["127.0.0.77"]
    ear = Ear()
    ear.start(ringing_within_s=0.5)
    started = time.monotonic()
    ear.endpoint.dial("c", 1, "sip:phone@switch.invalid", CALLER, {})
    assert time.monotonic() - started < 0.05
    ear.next(LegEnded)
    assert ear.next(CalledRefused).refusal is Refusal.UNREACHABLE
    ear.endpoint.close()
