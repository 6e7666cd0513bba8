"""The ring between a tap and the disk: what goes in comes out, and what found no room is silence of the same length."""

import random
from pathlib import Path

import numpy as np
import pytest

from engine.media import rings

FRAME = 160


def frame(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n-th frame of a recording: its samples say which they are, on both channels."""
    samples = (np.arange(n * FRAME, (n + 1) * FRAME) % 30000 + 1).astype(np.int16)
    return samples, (-samples).astype(np.int16)


def out_of(filled: rings.RingSet) -> tuple[list[np.ndarray], int]:
    """(what is to be written, silence as zeros; how many LOST chunks)."""
    parts, n_lost, more = [], 0, True
    while more:
        chunks, finished, more = filled.drain()
        assert not list(finished)
        for key, kind, rate, audio in chunks:
            assert (key, rate) == (7, 8000)
            n_lost += kind == rings.LOST
            if isinstance(audio, int):
                parts.append(np.zeros((audio, 2), np.int16))
            else:
                parts.append(np.frombuffer(audio, np.int16).reshape(-1, 2))
    return parts, n_lost


@pytest.mark.parametrize("seed", range(20))
def test_random_readers_keep_every_sample_in_its_place(seed):
    chance = random.Random(seed)
    ring, filled = rings.Ring(4096), rings.RingSet()
    filled.add(7, ring)
    parts, n_frames, n_lost = [], 0, 0
    for _ in range(200):
        for _ in range(chance.choice((1, 5, 20, 60))):  # 60 frames are more than the ring holds
            ring.write(*frame(n_frames), 8000)
            n_frames += 1
        if chance.random() < 0.7:
            taken, lost = out_of(filled)
            parts += taken
            n_lost += lost
    taken, lost = out_of(filled)
    ring.write(*frame(n_frames), 8000)  # brings out what was lost at the end
    parts += taken + out_of(filled)[0]
    written = np.concatenate(parts)
    expected = np.stack([np.concatenate(channel) for channel in zip(*map(frame, range(n_frames + 1)), strict=True)], 1)
    assert written.shape == expected.shape
    heard = written[:, 0] != 0
    assert np.array_equal(written[heard], expected[heard])
    assert not np.any(written[~heard])
    gaps = np.flatnonzero(~heard)
    assert len(gaps) % FRAME == 0 and (len(gaps) > 0) == (n_lost + lost > 0)


def test_an_overrun_is_one_gap_of_exactly_its_length():
    ring, filled = rings.Ring(1024), rings.RingSet()
    filled.add(7, ring)
    for n in range(20):
        ring.write(*frame(n), 8000)
    kept = out_of(filled)[0]
    n_kept = sum(map(len, kept)) // FRAME
    assert 0 < n_kept < 7
    ring.write(*frame(20), 8000)
    parts, n_lost = out_of(filled)
    assert n_lost == 1 and [len(part) for part in parts] == [(20 - n_kept) * FRAME, FRAME]
    assert np.array_equal(parts[1][:, 0], frame(20)[0])


def test_many_rings_in_one_go():
    filled = rings.RingSet()
    members = [rings.Ring(16384) for _ in range(200)]
    for key, ring in enumerate(members):
        filled.add(key, ring)
    for n in range(50):
        for ring in members:
            ring.write(*frame(n), 8000)
    n_samples = dict.fromkeys(range(200), 0)
    more, n_goes = True, 0
    while more:
        chunks, _, more = filled.drain()
        n_goes += 1
        for key, _, _, audio in chunks:
            assert isinstance(audio, bytes)
            n_samples[key] += len(audio) // 4
    assert set(n_samples.values()) == {50 * FRAME} and n_goes > 1  # 1.6 million samples, more than one go takes


def resident_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


@pytest.mark.parametrize(("drains", "least_kb", "most_kb"), [(True, 0, 20), (False, 60, 80)])
def test_a_ring_is_memory_only_as_far_as_its_reader_is_behind(drains, least_kb, most_kb):
    """A ring of 1.5 s takes 64 kB, its reader comes five times a second."""
    n_rings, filled = 200, rings.RingSet()
    made = [rings.Ring(12_000) for _ in range(n_rings)]
    for key, ring in enumerate(made):
        filled.add(key, ring)
    before_kb = resident_kb()
    for n in range(20):
        for ring in made:
            for _ in range(10):
                ring.write(*frame(n), 8000)
        if drains:
            while filled.drain()[2]:
                pass
    assert least_kb <= (resident_kb() - before_kb) / n_rings <= most_kb
