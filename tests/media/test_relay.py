"""Two legs that hear only each other are relayed past the bridge: packet for packet, as one RTP stream to each,
whatever changes around them. The phones are made by hand (raw_phone.py), the bridge and the media room are real."""

import io
import itertools
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import soundfile

from engine.media import ports
from tests.media.conftest import AGENT_HZ, stall
from tests.media.raw_phone import HOST, KEYS, PCMA, PCMU, Packet, RawPhone

FRAME = 160
CALLER, AGENT = 11, 12
SWITCH_LOSES = 6  # frames that a change from relay to bridge, or back, may cost one direction
Phones = Callable[..., tuple[RawPhone, RawPhone]]


@pytest.fixture
def talk(floor, media) -> Iterator[Phones]:
    """Caller and agent, bridged."""
    phones: list[RawPhone] = []

    def start(caller_law: int = PCMA, agent_law: int = PCMA, keys: int = KEYS) -> tuple[RawPhone, RawPhone]:
        for law, keys_type in ((caller_law, KEYS), (agent_law, keys)):
            floor.set_codec("PCMA/8000/1" if law == PCMA else "PCMU/8000/1")
            phones.append(RawPhone(floor, law, keys_type))
        floor.set_codec("PCMA/8000/1")
        for leg, phone in zip((CALLER, AGENT), phones, strict=True):
            media.attach(leg, phone.line.slot, phone.line.getId())
        media.bridge(CALLER, AGENT)
        return phones[0], phones[1]

    yield start
    for leg, phone in zip((CALLER, AGENT), phones, strict=False):
        phone.hang_up()
        media.detach(leg)


def source(phone: RawPhone) -> str:
    counts = ports.rtp_counts(phone.line.getId())
    assert counts is not None
    return counts[0]


def exchange(floor, one: RawPhone, other: RawPhone, payloads: list[bytes], every_s: float = 0.005) -> list[Packet]:
    """What the other hears of them, and within 50 ms after the last."""
    packets: list[Packet] = []

    def has_all() -> bool:
        packets.extend(other.heard())
        return len(packets) >= len(payloads)

    for payload in payloads:
        one.say(payload)
        floor.run(every_s)
        has_all()
    floor.until(has_all, 1.0)
    floor.run(0.05)
    return packets + other.heard()


def assert_one_stream(packets: list[Packet], law: int) -> None:
    """RFC 3550 section 5.1: one SSRC, no number left out, time stamps that go on with each packet of audio."""
    assert {packet.ssrc for packet in packets} == {packets[0].ssrc}
    for one, other in itertools.pairwise(packets):
        assert (other.sequence - one.sequence) & 0xFFFF == 1
        step = (other.timestamp - one.timestamp) & 0xFFFFFFFF
        assert 0 <= step < 0x80000000 and (step > 0 or other.type != law)


def test_each_packet_arrives_as_it_left_and_the_numbers_wrap(floor, talk):
    caller, agent = talk()
    assert source(caller) == source(agent) == "leg"
    payloads = [random.Random(n).randbytes(FRAME) for n in range(60)]
    for one, other in ((caller, agent), (agent, caller)):
        packets = exchange(floor, one, other, payloads)
        assert [packet.payload for packet in packets] == payloads
        assert one.sequence < 0x100 and one.timestamp < 0x10000  # both have wrapped
        assert_one_stream(packets, PCMA)
        assert {packet.type for packet in packets} == {PCMA}
        assert {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(packets)} == {FRAME}


def levels(payload: bytes, law: str) -> np.ndarray:
    encoded = io.BytesIO(payload)
    return soundfile.read(encoded, samplerate=8000, channels=1, subtype=law, format="RAW", dtype="int16")[0].astype(int)


def recoded(payload: bytes, law: str, to: str) -> bytes:
    """By libsndfile."""
    with soundfile.SoundFile(out := io.BytesIO(), "w", 8000, 1, to, format="RAW") as file:
        file.write(levels(payload, law).astype(np.int16))
    return out.getvalue()


def test_the_two_laws_are_exchanged_code_by_code(floor, talk):
    """Each code becomes the one of the other law whose level is nearest, or as near as libsndfile finds one."""
    caller, agent = talk(PCMA, PCMU)
    assert source(caller) == source(agent) == "leg"
    codes = [bytes(range(128)), bytes(range(128, 256))]
    for one, other, law, to in ((caller, agent, "ALAW", "ULAW"), (agent, caller, "ULAW", "ALAW")):
        packets = exchange(floor, one, other, codes)
        assert [packet.type for packet in packets] == [other.law] * 2
        for heard, sent in zip(packets, codes, strict=True):
            off, theirs = (
                np.abs(levels(codes, to) - levels(sent, law)) for codes in (heard.payload, recoded(sent, law, to))
            )
            assert np.all(off <= theirs) and len(set(heard.payload)) > 100


def test_keys_reach_the_leg_and_the_far_side_under_its_own_type(floor, talk, media):
    caller, agent = talk(keys=97)
    keys: list[str] = []
    caller.line.onDtmfDigit = lambda prm: keys.append(prm.digit)
    audio = exchange(floor, caller, agent, [bytes([5]) * FRAME] * 5)
    at = caller.timestamp
    for n in range(6):  # RFC 4733: one time stamp, the duration grows, the end three times
        caller.say(struct.pack("!BBH", 7, 0x8A if n > 2 else 0x0A, FRAME * min(n + 1, 4)), KEYS, n == 0, n_samples=0)
    caller.timestamp = at + 4 * FRAME
    packets = audio + exchange(floor, caller, agent, [bytes([6]) * FRAME] * 5)
    assert_one_stream(packets, PCMA)
    events = [packet for packet in packets if packet.type == 97]
    assert len(events) == 6 and len({event.timestamp for event in events}) == 1 and events[0].marker
    assert (events[0].timestamp - audio[-1].timestamp) & 0xFFFFFFFF == FRAME
    assert floor.until(lambda: keys == ["7"], 1.0), keys


def test_comfort_noise_is_a_frame_of_silence(floor, talk):
    """RFC 3389: a packet at its beginning, then none until there is speech again."""
    caller, agent = talk(PCMA, PCMU)
    audio = exchange(floor, caller, agent, [bytes([5]) * FRAME] * 3)
    caller.say(b"\x40", 13, n_samples=10 * FRAME)
    packets = audio + exchange(floor, caller, agent, [bytes([5]) * FRAME] * 3)
    assert_one_stream(packets, PCMU)
    assert packets[3].payload == b"\xff" * FRAME and packets[3].type == PCMU
    assert (packets[4].timestamp - packets[3].timestamp) & 0xFFFFFFFF == 10 * FRAME


def test_a_third_address_neither_enters_nor_redirects(floor, talk):
    caller, agent = talk()
    heard = exchange(floor, caller, agent, [bytes([1]) * FRAME] * 5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((HOST, 0))
        stranger.setblocking(False)
        for n in range(300):
            head = struct.pack("!BBHII", 0x80, PCMA, n, n * FRAME, 666)
            stranger.sendto(head + bytes([2]) * FRAME, caller.far)
            if n % 10 == 0:
                heard += exchange(floor, caller, agent, [bytes([1]) * FRAME])
                agent.say(bytes([3]) * FRAME)
                floor.run(0.01)
        assert_one_stream(heard, PCMA)
        assert {packet.payload[0] for packet in heard} == {1} and len(heard) == 35
        assert {packet.payload[0] for packet in caller.heard()} == {3}
        with pytest.raises(BlockingIOError):
            stranger.recv(2048)
    assert floor.until(lambda: (ports.rtp_counts(caller.line.getId()) or (0,) * 4)[3] == 300, 1.0)


def test_reports_count_what_went_past_the_bridge(floor, talk):
    """RFC 3550 section 6.4."""
    caller, agent = talk()
    audio = [bytes([1]) * FRAME] * 130
    reports: list[bytes] = []
    heard = exchange(floor, caller, agent, audio[:50])
    for n, frame in enumerate(audio):
        if n % 10:  # a tenth is lost
            caller.say(frame)
        else:
            caller.sequence = caller.sequence + 1 & 0xFFFF
        floor.run(0.02)
        heard += agent.heard()

    def has_come(phone: RawPhone) -> bool:
        reports.extend(phone.reports())
        return bool(reports)

    assert floor.until(lambda: has_come(caller), 1.0)
    to_caller = reports.pop()
    assert floor.until(lambda: has_come(agent), 1.0)
    to_agent = reports.pop()
    kind, ssrc, expected_lost, highest = to_caller[1], *struct.unpack("!III", to_caller[8:20])
    assert (kind, ssrc) == (201, caller.ssrc)  # RR: nothing was sent to it
    assert 0 < expected_lost & 0xFFFFFF <= 13 and highest & 0xFFFF <= caller.sequence and highest >> 16 == 1
    kind, ssrc, n_packets, n_octets = (
        to_agent[1],
        *struct.unpack("!I", to_agent[4:8]),
        *struct.unpack("!II", to_agent[20:28]),
    )
    assert (kind, ssrc) == (200, heard[0].ssrc)
    assert 50 < n_packets <= len(heard) and n_octets == n_packets * FRAME


def test_a_held_leg_goes_to_the_bridge_and_comes_back(floor, talk, media):
    caller, agent = talk()
    before = exchange(floor, caller, agent, [bytes([1]) * FRAME] * 10)
    for direction, wanted in (("sendonly", "bridge"), ("sendrecv", "leg")):
        agent.invite(direction)
        media.attach(AGENT, agent.line.slot, agent.line.getId())
        assert source(caller) == source(agent) == wanted
    after = exchange(floor, caller, agent, [bytes([4]) * FRAME] * 10)
    assert [packet.payload[0] for packet in after if packet.payload[0] == 4] == [4] * 10
    assert_one_stream(before + after, PCMA)


def test_a_listener_brings_the_bridge_in_and_back_without_a_gap_in_the_numbers(floor, talk, media, voice):
    """Each frame carries its number as a code that decoding, mixing with silence and encoding leave alone."""
    codes = [code ^ 0x55 for code in range(0x90, 0xF0)]
    caller, agent = talk()
    listener = voice(AGENT_HZ)
    heard: list[Packet] = []
    n_sent = itertools.count()

    began = time.monotonic()

    def speak(seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            n = next(n_sent)
            caller.say(bytes([codes[n % len(codes)]]) * FRAME)
            floor.run(began + (n + 1) * 0.02 - time.monotonic())
            heard.extend(agent.heard())

    speak(0.3)
    n_changes = 6
    for n in range(n_changes):
        if n % 2 == 0:
            media._mixer.place("supervisor", listener)
            media._mixer.join("supervisor", CALLER)  # the caller hears somebody more
        else:
            media._mixer.remove("supervisor")
        assert source(caller) == source(agent) == ("bridge" if n % 2 == 0 else "leg")
        speak(0.5)
    assert_one_stream(heard, PCMA)
    # The bridge may begin a frame anywhere in a packet, so the frames are told by their samples.
    said = itertools.groupby(b"".join(packet.payload for packet in heard))
    frames = [(codes.index(code), len(list(same))) for code, same in said if code in codes]
    places = [place for place, n in frames if n > FRAME // 2]
    steps = [(b - a) % len(codes) for a, b in itertools.pairwise(places)]
    n_lost = sum(step - 1 for step in steps if 1 < step <= len(codes) // 2)
    assert max(n for _, n in frames) <= 1.5 * FRAME and all(0 < step <= len(codes) // 2 for step in steps), frames
    assert n_lost <= n_changes * SWITCH_LOSES, steps
    assert len(places) >= next(n_sent) - n_changes * SWITCH_LOSES


def test_a_recording_goes_on_through_relay_and_bridge(floor, talk, media, ear, tmp_path):
    """Both parties say the same codes at the same moments: each is on its channel, in its order, at the same place."""
    codes = [code ^ 0x55 for code in range(0x90, 0xF0)]
    value = {int(levels(bytes([code]), "ALAW")[0]): place for place, code in enumerate(codes)}
    caller, agent = talk()
    path = tmp_path / "both.wav"
    media.record(CALLER, str(path))
    began, n_said, n_changes = time.monotonic(), 200, 4
    for n in range(n_said):
        if n and n % 40 == 0:
            if n % 80:
                media._mixer.place("ear", ear.slot)
                media._mixer.join(CALLER, "ear")
            else:
                media._mixer.remove("ear")
            assert source(caller) == ("bridge" if n % 80 else "leg")
        for phone in (caller, agent):
            phone.say(bytes([codes[n % len(codes)]]) * FRAME)
        floor.run(began + (n + 1) * 0.02 - time.monotonic())
    floor.run(0.2)
    seconds = time.monotonic() - began
    media.stop_record(CALLER)
    (closed,) = floor.news(media)
    assert closed.seconds == pytest.approx(seconds, abs=0.15) and closed.n_overruns == 0
    places: list[dict[int, int]] = []
    for channel in soundfile.read(path, dtype="int16")[0].T:
        at, found, last = 0, {}, -1
        for level, same in itertools.groupby(channel.tolist()):
            n = len(list(same))
            if level in value and n > FRAME // 2:
                step = (value[level] - last) % len(codes)
                last += step
                assert 0 < step < len(codes) // 2, "the order"
                found[last] = at
                last_place = last
            at += n
        assert last_place == n_said - 1 and len(found) >= n_said - n_changes * SWITCH_LOSES
        places.append(found)
    apart = [abs(places[0][n] - places[1][n]) for n in places[0].keys() & places[1].keys()]
    assert max(apart) <= 0.02 * 8000 + 8, apart


def test_time_without_cpu_is_in_the_recording_of_a_relay(floor, talk, media, tmp_path):
    """Its time is silence on both channels, and what was said before and after stands at the same place on both."""
    code = 0x55 ^ 0x90
    level = int(levels(bytes([code]), "ALAW")[0])
    caller, agent = talk()
    path = tmp_path / "both.wav"
    media.record(CALLER, str(path))
    began = time.monotonic()

    def speak(n_frames: int) -> None:
        start = time.monotonic()
        for n in range(n_frames):
            for phone in (caller, agent):
                phone.say(bytes([code]) * FRAME)
            floor.run(start + (n + 1) * 0.02 - time.monotonic())

    speak(30)
    stalled_s = stall(1.5)
    for phone in (caller, agent):
        phone.timestamp += int(stalled_s * 8000)  # the phones' clocks did not stand still
    speak(30)
    media.stop_record(CALLER)
    seconds = time.monotonic() - began
    (closed,) = floor.news(media)
    assert closed.seconds == pytest.approx(seconds, abs=0.1) and closed.n_overruns >= 1
    assert 1.35 < closed.lost_s < stalled_s + 0.15
    said = [np.flatnonzero(channel == level) for channel in soundfile.read(path, dtype="int16")[0].T]
    gaps = [int(np.argmax(np.diff(places))) for places in said]
    for places, gap in zip(said, gaps, strict=True):
        assert (places[gap + 1] - places[gap]) / 8000 == pytest.approx(stalled_s, abs=0.1)
        assert len(places) >= 50 * FRAME
    for offset in (0, 1):
        assert abs(int(said[0][gaps[0] + offset]) - int(said[1][gaps[1] + offset])) <= FRAME


def test_what_was_in_the_jitter_buffer_before_the_relay_is_not_heard_after_it(floor, talk, media, ear):
    old, new = 0x2A, 0x55 ^ 0x90
    caller, agent = talk()
    media.unbridge(CALLER, AGENT)
    for _ in range(10):  # nobody takes it
        caller.say(bytes([old]) * FRAME)
    floor.run(0.1)
    media.bridge(CALLER, AGENT)
    relayed = exchange(floor, caller, agent, [bytes([new]) * FRAME] * 20, 0.02)
    assert [packet.payload[0] for packet in relayed].count(new) == 20
    media._mixer.place("ear", ear.slot)
    media._mixer.join(CALLER, "ear")
    assert source(caller) == "bridge"
    heard = exchange(floor, caller, agent, [bytes([new]) * FRAME] * 20, 0.02)
    media._mixer.remove("ear")
    codes = {packet.payload[80] for packet in heard}
    assert new in codes and old not in codes
