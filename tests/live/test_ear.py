"""The ear itself: what the other tests trust it to tell."""

import numpy as np
import pytest

from tests.live.ear import AGENT, EDGE_S, LEVEL, MUSIC, TONES, WELCOME, Sound

RATE, BEGAN_S, CHANGED_S, ENDED_S = 8000, 0.3, 1.0, 1.8


def one_after_the_other(first: int, second: int, overlap_s: float) -> Sound:
    at = np.arange(int(2.2 * RATE)) / RATE
    samples = np.where((at >= BEGAN_S) & (at < CHANGED_S + overlap_s), np.sin(2 * np.pi * first * at), 0.0)
    samples += np.where((at >= CHANGED_S) & (at < ENDED_S), np.sin(2 * np.pi * second * at), 0.0)
    return Sound(LEVEL * samples, RATE)


@pytest.mark.parametrize("first", TONES)
@pytest.mark.parametrize("second", [MUSIC, AGENT])
def test_edges_are_exact_where_another_tone_follows_at_once(first, second):
    if first == second:
        return
    sound = one_after_the_other(first, second, 0.0)
    assert sound.edges(first) == pytest.approx((BEGAN_S, CHANGED_S), abs=EDGE_S / 2)
    assert sound.edges(second) == pytest.approx((CHANGED_S, ENDED_S), abs=EDGE_S / 2)


def test_one_frame_of_overlap_is_heard():
    sound = one_after_the_other(WELCOME, AGENT, 0.020)
    assert sound.edges(WELCOME)[1] > sound.edges(AGENT)[0] + EDGE_S
