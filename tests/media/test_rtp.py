"""The relay's pure parts against plain models: one RTP stream out of many sources, what RTCP says of it, and the time
line of what is recorded past the bridge. Each model refuses what a broken relay would do."""

import ctypes
import itertools
import random
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
FRAME, FRAME_NS = 160, 20_000_000
OWN_SSRC = 0xA6_0E_12


@pytest.fixture(scope="module")
def pure(tmp_path_factory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("rtp") / "rtp_pure.so"
    command = ["gcc", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{ROOT}/engine/media"]
    subprocess.run([*command, str(ROOT / "tests/media/rtp_pure.c"), "-o", str(library)], check=True)
    pure = ctypes.CDLL(str(library))
    for name in ("out_new", "in_new", "track_new"):
        getattr(pure, name).restype = ctypes.c_void_p
    return pure


class Out:
    def __init__(self, pure: ctypes.CDLL) -> None:
        self._pure = pure
        self.out = ctypes.c_void_p(pure.out_new(OWN_SSRC))

    def __call__(
        self, source: int, ssrc: int, sequence: int, stamp: int, length: int, now_ns: int
    ) -> tuple[int, int, bool]:
        sequence_, stamp_, marker = ctypes.c_uint16(sequence), ctypes.c_uint32(stamp), ctypes.c_int(0)
        by = map(ctypes.byref, (sequence_, stamp_, marker))
        self._pure.out_rewrite(
            self.out, ctypes.c_uint64(source), ctypes.c_uint32(ssrc), *by, length, length, ctypes.c_int64(now_ns)
        )
        return sequence_.value, stamp_.value, bool(marker.value)

    def skip(self, source: int) -> None:
        self._pure.out_skip(self.out, ctypes.c_uint64(source))


Rewrite = Callable[[int, int, int, int, int, int], tuple[int, int, bool]]


def storm(rewrite: Rewrite, seed: int, skip: Callable[[int], None] = lambda source: None) -> None:
    """Sources take turns, lose packets, repeat and swap some, begin anew, and send telephone-events. The model counts
    without end: place and time of the newest packet that went out, and of each packet where its source says it is."""
    chance = random.Random(seed)
    now_ns, newest, time, sent_at_ns = 0, None, 0, 0
    for source in range(1, 40):
        ssrc, sequence, stamp = chance.getrandbits(32), chance.getrandbits(16), chance.getrandbits(32)
        base: tuple[int, int, int, int] | None = None  # of this source: in and out, number and time
        now_ns += chance.choice([0, 3_000_000, 20_000_000, 700_000_000, 90_000_000_000])
        first_out = None
        for turn in range(chance.randrange(1, 60)):
            step = 1 if base is None else chance.choice([1] * 20 + [2, 3, -1, 0])
            if turn and chance.random() < 0.02:
                skip(source)  # one that stays behind: the model sees no gap
                if base is not None:
                    base = (base[0] + 1, base[1], base[2], base[3])
                sequence += 1
                stamp += FRAME
            sequence += step
            stamp += step * FRAME
            now_ns += max(0, step) * FRAME_NS + chance.randrange(-2_000_000, 2_000_000)
            got = rewrite(source, ssrc, sequence & 0xFFFF, stamp & 0xFFFFFFFF, FRAME, now_ns)
            if base is None:
                if newest is None:
                    out = (sequence, stamp)
                else:
                    passed = max(1, round((now_ns - sent_at_ns) / FRAME_NS))
                    out = (newest + 1, time + passed * FRAME)
                    assert got[2], "a new source begins with the marker"
                    # A clock that rounds the half the other way is no error.
                    if abs(((now_ns - sent_at_ns) / FRAME_NS) % 1 - 0.5) < 0.01:
                        out = (out[0], time + ((got[1] - time) & 0xFFFFFFFF))
                base = (sequence, out[0], stamp, out[1])
                first_out = out
            else:
                out = (base[1] + sequence - base[0], base[3] + stamp - base[2])
            assert got[:2] == (out[0] & 0xFFFF, out[1] & 0xFFFFFFFF), (source, turn)
            if newest is None or out[0] > newest:
                newest, time, sent_at_ns = out[0], out[1], now_ns
        assert first_out is not None


@pytest.mark.parametrize("seed", range(100))
def test_many_sources_are_one_stream(pure, seed):
    out = Out(pure)
    storm(out, seed, out.skip)


@pytest.mark.parametrize("broken", ["as it came", "no time passes", "a number is left out"])
def test_the_model_sees_a_broken_relay(pure, broken):
    """The control."""
    out = Out(pure)
    seen: list[int] = []

    def rewrite(source: int, ssrc: int, sequence: int, stamp: int, length: int, now_ns: int) -> tuple[int, int, bool]:
        is_new = source not in seen
        seen.append(source)
        if broken == "as it came":
            return sequence, stamp, True
        if broken == "a number is left out" and is_new and len(set(seen)) > 5:
            out(source, ssrc ^ 1, sequence, stamp, length, now_ns)
        return out(source, ssrc, sequence, stamp, length, 0 if broken == "no time passes" else now_ns)

    with pytest.raises(AssertionError):
        storm(rewrite, 1, out.skip)


def test_a_key_has_one_time_stamp_and_what_follows_goes_on_with_time(pure):
    out = Out(pure)
    assert out(1, 7, 100, 1000, FRAME, 0) == (100, 1000, False)
    events = [out(1, 7, 101 + n, 1160, 0, FRAME_NS * (1 + n)) for n in range(6)]
    assert [event[:2] for event in events] == [(101 + n, 1160) for n in range(6)]
    assert out(2, 9, 5, 77, FRAME, FRAME_NS * 7) == (107, 1000 + 7 * FRAME, True)


def reported(pure, packets: list[tuple[int, int, int]]) -> dict[str, int]:
    """(sequence, time stamp, ns) -> a report block, RFC 3550 section 6.4.1."""
    received, block = ctypes.c_void_p(pure.in_new()), (ctypes.c_uint8 * 24)()
    for sequence, stamp, at_ns in packets:
        pure.in_received(received, 7, ctypes.c_uint16(sequence), ctypes.c_uint32(stamp), ctypes.c_int64(at_ns))
    pure.in_block(received, block, ctypes.c_int64(0))
    ssrc, lost, highest, jitter, _, _ = struct.unpack("!6I", bytes(block))
    assert ssrc == 7
    return {"fraction": lost >> 24, "lost": lost & 0xFFFFFF, "highest": highest, "jitter": jitter}


def test_reports_count_loss_and_cycles(pure):
    numbers = [n for n in range(65_500, 66_100) if n % 10]  # a tenth is lost, around the wrap
    block = reported(pure, [(n, n * FRAME, n * FRAME_NS) for n in numbers])
    assert block["highest"] == 1 << 16 | numbers[-1] - 65_536
    assert block["lost"] == numbers[-1] - numbers[0] + 1 - len(numbers) and block["jitter"] <= 1
    assert block["fraction"] == 256 * block["lost"] // (numbers[-1] - numbers[0] + 1)


def test_jitter_is_that_of_rfc_3550(pure):
    chance = random.Random(1)
    late = [chance.randrange(0, 30) * 1_000_000 for _ in range(400)]
    jitter, before = 0.0, late[0] / 125_000
    for one in late:
        jitter += (abs(one / 125_000 - before) - jitter) / 16
        before = one / 125_000
    block = reported(pure, [(n, n * FRAME, n * FRAME_NS + one) for n, one in enumerate(late)])
    assert block["jitter"] == pytest.approx(jitter, abs=2)


def test_a_sender_report_tells_both_clocks_and_the_counts(pure):
    out = Out(pure)
    for n in range(50):
        out(1, 7, n, n * FRAME, FRAME, n * FRAME_NS)
    packet = (ctypes.c_uint8 * 400)()
    now_ns, utc_ns = 49 * FRAME_NS + 10_000_000, 1_700_000_000_500_000_000
    size = pure.compose(ctypes.c_void_p(pure.in_new()), out.out, packet, ctypes.c_int64(now_ns), ctypes.c_int64(utc_ns))
    data = bytes(packet[:size])
    _, kind, words, ssrc, ntp, fraction, stamp, n_packets, n_octets = struct.unpack("!BBH6I", data[:28])
    assert (kind, words, ssrc) == (200, 6, OWN_SSRC) and (ntp, fraction) == (1_700_000_000 + 2_208_988_800, 1 << 31)
    assert (stamp, n_packets, n_octets) == (49 * FRAME + 80, 50, 50 * FRAME)
    assert data[28:].startswith(struct.pack("!BBHI", 0x81, 202, 4, OWN_SSRC) + b"\x01\x07a@agner\0") and size % 4 == 0


class Track:
    def __init__(self, pure: ctypes.CDLL) -> None:
        self._pure = pure
        self._track = ctypes.c_void_p(pure.track_new())
        self.n_overrun = 0

    def put(self, stamp: int, code: int, now_ns: int, ssrc: int = 7, n: int = FRAME) -> None:
        payload = bytes([code]) * n
        self._pure.track_put(self._track, ctypes.c_uint32(stamp), ssrc, payload, n, ctypes.c_int64(now_ns))

    def take(self, now_ns: int) -> np.ndarray:
        out = np.zeros(FRAME, np.int16)
        self.n_overrun += self._pure.track_take(
            self._track, ctypes.c_int64(now_ns), out.ctypes.data_as(ctypes.POINTER(ctypes.c_int16)), FRAME
        )
        return out


def runs(samples: np.ndarray) -> list[tuple[int, int]]:
    """(code, how often in a row), silence left out at both ends."""
    found = [(int(code), len(list(same))) for code, same in itertools.groupby(samples)]
    while found and found[0][0] == 0:
        found.pop(0)
    while found and found[-1][0] == 0:
        found.pop()
    return found


def arrivals(chance: random.Random, n: int, jitter_ms: int, lost: float) -> Iterator[tuple[int, int]]:
    """(number, ns), in the order of arrival."""
    kept = [number for number in range(n) if chance.random() >= lost]
    yield from sorted(
        ((number, number * FRAME_NS + chance.randrange(0, jitter_ms * 1_000_000 + 1)) for number in kept),
        key=lambda one: one[1],
    )


@pytest.mark.parametrize("seed", range(20))
def test_each_packet_lies_where_its_time_stamp_says(pure, seed):
    """Through loss, jitter up to 30 ms, swapped packets and a reader that comes late and then in a burst."""
    chance = random.Random(seed)
    track = Track(pure)
    taken: list[np.ndarray] = []
    pending = list(arrivals(chance, 500, 30, 0.05))
    heard = {number for number, _ in pending}
    clock_ns = 0
    while len(taken) < 520:
        stall = 5 if chance.random() < 0.02 else 1
        clock_ns += stall * FRAME_NS
        while pending and pending[0][1] <= clock_ns:
            number, at_ns = pending.pop(0)
            track.put(0xFFFFF000 + number * FRAME, number % 200 + 1, at_ns)
        taken.extend(track.take(clock_ns) for _ in range(stall))
    line = np.concatenate(taken)
    first = min(heard)
    begin = int(np.argmax(line == first % 200 + 1))
    for number in range(first, 495):
        got = line[begin + (number - first) * FRAME : begin + (number - first + 1) * FRAME]
        assert set(got) == {number % 200 + 1 if number in heard else 0}, number
    assert track.n_overrun == 0


def test_two_directions_that_begin_apart_are_aligned(pure):
    """What arrives at one moment stands at one place, within the 20 ms in which the reader looks."""
    left, right = Track(pure), Track(pure)
    lines: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for tick in range(100):
        clock_ns = tick * FRAME_NS
        left.put(tick * FRAME, 1 + tick % 250, clock_ns - 3_000_000)
        if tick >= 20:
            right.put(777 + tick * FRAME, 1 + tick % 250, clock_ns - 17_000_000)
        for track, line in zip((left, right), lines, strict=True):
            line.append(track.take(clock_ns))
    at = [int(np.argmax(np.concatenate(line) == 60)) for line in lines]
    assert at[0] - at[1] == 14 * 8  # as they came: 14 ms apart


@pytest.mark.parametrize("is_read_first", [True, False])
@pytest.mark.parametrize("n_missed", [30, 40, 75, 200])
def test_packets_of_a_time_without_cpu_stand_where_they_belong_or_nowhere(pure, n_missed, is_read_first):
    """They come at once at its end, and the reader makes up for it at once: before, or after. The queue holds some."""
    track, before, after = Track(pure), 50, 50
    line: list[np.ndarray] = []
    for number in range(before):
        track.put(number * FRAME, number % 200 + 1, number * FRAME_NS)
        line.append(track.take(number * FRAME_NS))
    now_ns = (before + n_missed) * FRAME_NS
    if not is_read_first:
        line += [track.take(now_ns) for _ in range(n_missed)]
    for number in range(before, before + n_missed):
        track.put(number * FRAME, number % 200 + 1, now_ns)
    if is_read_first:
        line += [track.take(now_ns) for _ in range(n_missed)]
    for number in range(before + n_missed, before + n_missed + after):
        track.put(number * FRAME, number % 200 + 1, number * FRAME_NS)
        line.append(track.take(number * FRAME_NS))
    samples = np.concatenate(line)
    begin = int(np.argmax(samples == 1))
    frames = samples[begin : begin + (len(samples) - begin) // FRAME * FRAME].reshape(-1, FRAME)
    heard = [number for number, frame in enumerate(frames) if set(frame) == {number % 200 + 1}]
    silent = [number for number, frame in enumerate(frames) if not np.any(frame)]
    assert sorted(heard + silent) == list(range(len(frames)))
    assert set(heard) >= {*range(before), *range(before + n_missed + 2, len(frames))}
    assert len(silent) <= n_missed + 2 - (16 if is_read_first else 0)
    assert track.n_overrun == 1


@pytest.mark.parametrize(("n_missed", "ticks_to_make_up"), [(5, 1), (5, 2), (10, 1), (10, 2), (15, 1)])
def test_a_reader_that_alone_stood_still_misses_nothing(pure, n_missed, ticks_to_make_up):
    """The bridge's clock had no CPU, the RTP thread had. It makes up for it at once, or nearly so."""
    track, line = Track(pure), []
    for number in range(200):
        track.put(number * FRAME, number % 200 + 1, number * FRAME_NS)
        if not 50 <= number < 50 + n_missed:
            line.append(track.take(number * FRAME_NS))
        made_up = number - 50 - n_missed
        if 0 <= made_up < ticks_to_make_up:
            for _ in range(n_missed * (made_up + 1) // ticks_to_make_up - n_missed * made_up // ticks_to_make_up):
                line.append(track.take(number * FRAME_NS))
    assert runs(np.concatenate(line)) == [(number + 1, FRAME) for number in range(len(line) - 3)]
    assert track.n_overrun == 0


@pytest.mark.parametrize("ppm", [-2000, 2000])
def test_a_clock_that_drifts_is_placed_anew(pure, ppm):
    track, n_silent, n_ticks = Track(pure), 0, 5000
    next_ns, number = 0.0, 0
    for tick in range(n_ticks):
        while next_ns <= tick * FRAME_NS:
            track.put(number * FRAME, 9, int(next_ns))
            number += 1
            next_ns += FRAME_NS * (1 + ppm / 1e6)
        n_silent += int(np.count_nonzero(track.take(tick * FRAME_NS) == 0))
    assert n_silent < n_ticks * FRAME * 0.02 and track.n_overrun == 0  # 2 per thousand of drift, and the anchors


def test_a_full_queue_is_told_once_and_the_time_line_stays(pure):
    track = Track(pure)
    for number in range(40):
        track.put(number * FRAME, number + 1, number * FRAME_NS)
    line = [track.take(40 * FRAME_NS) for _ in range(10)]
    assert track.n_overrun == 1
    for number in range(40, 80):
        track.put(number * FRAME, number + 1, number * FRAME_NS)
        line.append(track.take(number * FRAME_NS))
    told = runs(np.concatenate(line))
    assert [code for code, n in told if code and n == FRAME][-10:] == list(range(told[-1][0] - 9, told[-1][0] + 1))
    assert track.n_overrun == 1
