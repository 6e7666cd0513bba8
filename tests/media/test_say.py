"""A spoken value as a caller hears it: the shipped parts through a real bridge, one sentence without a gap."""

from pathlib import Path

import numpy as np
import pytest

from engine.callflow.say import say
from engine.config.sounds import read_sounds
from engine.config.yaml_nodes import Report
from engine.media import sounds as shelf
from engine.media.sounds import Sounds
from tests.media.conftest import RATE

LEG = 5


@pytest.fixture(scope="module")
def sounds() -> Sounds:
    shipped = read_sounds(Path(__file__).parents[2] / "prompts", Report())
    assert shipped
    return shelf.load(shipped, RATE)


@pytest.mark.parametrize(
    ("language", "items"),
    [
        ("zh", ("agent_number", *say("digits", "1001", "zh"), "at_your_service")),
        ("zh", say("position", 3, "zh")),
        ("en", (*say("position", 3, "en"), *say("wait", 200, "en"))),
    ],
)
def test_parts_are_heard_as_one_sentence_sample_by_sample(floor, media, ear, sounds, language, items):
    sentence = np.concatenate([sounds.prompts[language, item] for item in items])
    media.attach(LEG, ear.slot, 0)
    media.play(LEG, items, 1, language)
    floor.run(len(sentence) / RATE + 0.3)
    media.detach(LEG)
    heard = ear.heard()
    start = np.flatnonzero(heard)[0] - np.flatnonzero(sentence)[0]
    assert start >= 0 and np.array_equal(heard[start : start + len(sentence)], sentence)
