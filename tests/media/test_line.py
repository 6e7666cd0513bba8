"""A leg sends by its line, a second socket on its port: the far side sees no difference, and nobody goes unheard.
Counterpart: engine/media/rtp_line.c."""

import itertools
import select
import socket
from pathlib import Path

import pytest

from engine.media import ports
from tests.media.conftest import account_at
from tests.media.raw_phone import HOST, RawPhone

LEG = 7
GROUP = "0100FCE9"  # 233.252.0.1, as the kernel prints it
SILENT_S = 5.2  # then another address is followed


def has_line(phone: RawPhone) -> bool:
    sockets = [line.split()[1] for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return f"{GROUP}:{phone.far[1]:04X}" in sockets


def n_sent(phone: RawPhone) -> int:
    counts = ports.rtp_counts(phone.line.getId())
    assert counts
    return counts[1]


def is_whole(packets: list) -> bool:
    return all((b.sequence - a.sequence) & 0xFFFF == 1 for a, b in itertools.pairwise(packets))


@pytest.fixture
def phone(floor, media):
    """It hears music, and has said one word."""
    phone = RawPhone(floor)
    media.attach(LEG, phone.line.slot, phone.line.getId())
    media.start_music(LEG, "tone")
    phone.say(bytes(160))
    yield phone
    phone.hang_up()
    media.detach(LEG)
    assert not has_line(phone)


@pytest.fixture
def address(floor, request):
    """Of the floor's RTP."""
    floor.account.modify(account_at(*request.param))
    yield
    floor.account.modify(account_at(HOST))


@pytest.mark.parametrize(
    ("address", "is_to_have"),
    [((HOST,), True), (("", HOST), True), (("127.0.0.3",), False)],
    ids=["its own", "any", "not the one that the route prefers"],
    indirect=["address"],
)
def test_packets_come_from_the_address_in_the_sdp_whatever_sends_them(floor, address, phone, is_to_have):
    heard: list = []
    assert floor.until(lambda: heard.extend(phone.heard()) or len(heard) > 120)  # type: ignore[func-returns-value]
    assert is_whole(heard) and has_line(phone) is is_to_have


def test_a_short_call_has_none(floor, phone):
    heard: list = []
    assert floor.until(lambda: heard.extend(phone.heard()) or len(heard) > 20)  # type: ignore[func-returns-value]
    assert not has_line(phone) or len(heard + phone.heard()) > 50


def test_a_port_that_a_leg_has_is_not_to_be_had(floor, phone):
    """PJSIP finds a free port by trying."""
    assert floor.until(lambda: has_line(phone))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(phone.far)


def test_a_phone_whose_nat_gave_it_another_port_is_followed(floor, phone):
    assert floor.until(lambda: has_line(phone))
    floor.run(SILENT_S)
    phone.rtp.close()
    phone.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    phone.rtp.bind((HOST, 0))
    phone.say(bytes(160))
    heard: list = []
    assert floor.until(lambda: heard.extend(phone.heard()) or len(heard) > 100)  # type: ignore[func-returns-value]
    assert is_whole(heard) and has_line(phone)


def test_a_phone_that_was_away_for_a_moment_hears_the_very_next_packet(floor, phone):
    """A connected socket that is told of a refusal does not send its next packet. A line is not told."""
    assert floor.until(lambda: has_line(phone))
    phone.heard()
    assert floor.until(lambda: select.select([phone.rtp], [], [], 0)[0])
    first, at = phone.heard()[-1].sequence - n_sent(phone), phone.rtp.getsockname()
    phone.rtp.close()
    floor.run(0.3)
    phone.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    phone.rtp.bind(at)
    n_before = n_sent(phone)
    floor.run(0.2)
    heard = phone.heard()
    assert is_whole(heard) and (heard[0].sequence - first - n_before) & 0xFFFF <= 1
