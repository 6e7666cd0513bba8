"""PJSIP gives the slot of an ended call to the next one at once: endpoint.py's law, and its control."""

import time
from collections.abc import Callable

import pytest

from engine.callflow import events as e
from engine.callflow import settings
from engine.sip.endpoint import Endpoint
from engine.sip.legs import Leg
from tests.sip.peers import Ear, RawCaller, Sipp, got, invite, pause, request, sdp

N_SLOTS = 31  # SIPp holds 30 calls at a time


def run_calls(ear: Ear, sipp: Callable[..., Sipp], monkeypatch: pytest.MonkeyPatch, n: int) -> int:
    """Calls through a table that is full nearly all the time; how many legs were lost."""
    monkeypatch.setattr(settings, "SPARE_LEGS", N_SLOTS)
    ear.start(settings.Limits(max_calls=0))
    ear.on_post = lambda call, event: ear.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None
    steps = invite(), got(100, True), got(200), request("ACK"), pause(100), request("BYE", 2), got(200)
    caller = sipp(*steps, n=n, rate=300)
    ear.until(lambda: len(ear.all(e.CallArrived)) == n or caller.done(), 20)
    deadline = time.monotonic() + 2
    ear.until(lambda: not ear.endpoint.n_legs() or time.monotonic() > deadline)
    lost = ear.endpoint.n_legs()
    ear.endpoint.close()
    return lost


def test_a_full_table_loses_no_leg(sipp, monkeypatch):
    ear = Ear()
    assert run_calls(ear, sipp, monkeypatch, 400) == 0
    assert len(ear.all(e.CallerAnswered)) == len(ear.all(e.CallerGone)) == len(ear.all(e.LegEnded)) == 400


def test_control_a_leg_let_go_too_late_hangs_up_another(sipp, monkeypatch):
    kept: list[tuple[float, Leg]] = []
    forget, poll = Endpoint.forget, Endpoint.poll

    def forget_late(self: Endpoint, leg: Leg) -> None:
        kept.append((time.monotonic() + 0.02, leg))
        forget(self, leg)

    def poll_and_release(self: Endpoint, timeout_s: float) -> None:
        poll(self, timeout_s)
        while kept and kept[0][0] < time.monotonic():
            kept.pop(0)

    monkeypatch.setattr(Endpoint, "forget", forget_late)
    monkeypatch.setattr(Endpoint, "poll", poll_and_release)
    assert run_calls(Ear(), sipp, monkeypatch, 150) > 0


def test_who_finds_no_room_is_one_call_however_often_he_says_so(monkeypatch):
    """PJSIP answers 486 without a transaction, so an INVITE that is sent again is new to it."""
    monkeypatch.setattr(settings, "SPARE_LEGS", 1)
    ear = Ear()
    ear.start(settings.Limits(max_calls=0))
    callers = [inside := RawCaller(sdp())]
    ear.until(lambda: ear.all(e.CallArrived))
    for n in (1, 2):
        callers.append(one := RawCaller(sdp()))
        for _ in range(3):
            one.final_status = 0
            ear.until(lambda: one.final() == 486)
            one.send_invite()
        ear.until(lambda: one.methods())
        assert len(ear.all(e.CallTurnedAway)) == n
    ear.endpoint.reject(ear.next(e.CallArrived).leg, 480)
    ear.until(lambda: inside.final() == 480)
    ear.endpoint.close()
    for one in callers:
        one.close()
