"""Keys that callers press: by RTP, by INFO, by both, and each counts once."""

import random

import pytest

from engine.callflow import events as e
from engine.sip.keys import COPY_WITHIN_S, Keys
from tests.sip.peers import got, info, invite, pause, request, sdp

RTP_WAY, INFO_WAY = 0, 1


def talk(*steps: str, port: int) -> tuple[str, ...]:
    last = len(steps) + 2
    return invite(sdp(port=str(port))), got(100, True), got(200), request("ACK"), *steps, request("BYE", last), got(200)


def keys_of(ear):
    return "".join(event.digit for event in ear.all(e.CallerDigit))


@pytest.fixture
def answering(ear):
    ear.on_post = lambda call, event: ear.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None
    return ear


def test_by_rfc4733(answering, sipp, rtp):
    ear = answering
    sipp(*talk(pause(1200), port=rtp.port))
    ear.next(e.CallerAnswered)
    ear.until(rtp.has_come)
    for key in "1#A11":
        rtp.press(key, ear.silence)
    ear.next(e.LegEnded)
    assert keys_of(ear) == "1#A11"


def test_by_info(answering, sipp, rtp):
    ear = answering
    keys = "5*#D55"
    caller = sipp(
        *talk(*[step for at, key in enumerate(keys) for step in (info(key, at + 2), got(200))], port=rtp.port)
    )
    ear.next(e.LegEnded)
    assert keys_of(ear) == keys
    ear.until(caller.done)
    assert caller.passed()


def test_an_info_with_another_key_is_nothing(answering, sipp, rtp):
    ear = answering
    caller = sipp(*talk(info("Q", 2), got(200), info("7", 3), got(200), port=rtp.port))
    ear.next(e.LegEnded)
    assert keys_of(ear) == "7"
    ear.until(caller.done)
    assert caller.passed()


def test_a_gateway_that_sends_both(answering, sipp, rtp):
    ear = answering
    steps = (pause(400), info("1", 2), got(200), info("1", 3), got(200), info("9", 4), got(200), pause(300))
    sipp(*talk(*steps, port=rtp.port))
    ear.next(e.CallerAnswered)
    ear.until(rtp.has_come)
    for key in "119":
        rtp.press(key, ear.silence)
    ear.next(e.LegEnded)
    assert keys_of(ear) == "119"


# ---- the law by itself


def pressed(seed: int, ways: tuple[int, ...]) -> tuple[str, str]:
    """(what somebody pressed, what we take for it), each key arriving by each of the ways within a second."""
    chance = random.Random(seed)
    news, wanted, at = [], "", 0.0
    late = dict.fromkeys(ways, 0.0)
    for _ in range(40):
        at += chance.choice((0.1, 0.3, 1.0, 4.0))
        key = chance.choice("1123#")
        wanted += key
        for way in ways:
            late[way] = max(late[way] + 0.001, at + chance.random())  # each way keeps its order
            news.append((late[way], way, key))
    time = [0.0]
    keys, taken = Keys(lambda: time[0]), ""
    for time[0], way, key in sorted(news):
        if keys.is_new(key, way):
            taken += key
    return wanted, taken


@pytest.mark.parametrize("ways", [(RTP_WAY,), (INFO_WAY,), (RTP_WAY, INFO_WAY)])
def test_every_key_once(ways):
    for seed in range(300):
        wanted, taken = pressed(seed, ways)
        assert sorted(wanted) == sorted(taken), seed
        if len(ways) == 1:
            assert wanted == taken


def test_control_without_the_law_keys_come_twice(monkeypatch):
    monkeypatch.setattr(Keys, "is_new", lambda self, key, way: True)
    wanted, taken = pressed(1, (RTP_WAY, INFO_WAY))
    assert len(taken) == 2 * len(wanted)


def test_who_changes_the_way_loses_nothing():
    time = [0.0]
    keys = Keys(lambda: time[0])
    assert keys.is_new("1", RTP_WAY)
    time[0] += COPY_WITHIN_S + 0.1
    assert keys.is_new("1", INFO_WAY) and keys.is_new("2", INFO_WAY) and keys.is_new("3", RTP_WAY)
