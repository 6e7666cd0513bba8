"""The plan steps, the caller and the first chapters of a call that the tests of the floor share."""

from collections.abc import Callable
from typing import Any

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import plan, steps
from tests.floor.playbook import Playbook, segment

CALLER = plan.Caller(ani="13800138000", dnis="4008001234", trunk="carrier")
HERE = plan.Place("plans/main.yaml", 1, 1)
NOWHERE: dict[str, int] = {}

ANSWER = steps.Answer(HERE, NOWHERE)
GREETING = steps.Play(HERE, NOWHERE, items=("welcome",), language="zh")
SUPPORT = steps.Queue(HERE, NOWHERE, queue="support", music="moh")
PATIENT = steps.Queue(
    HERE, NOWHERE, queue="support", music="moh", announces=(steps.Announce(("please_wait",), first_s=15, every_s=30),)
)
NIGHT_DESK = steps.Transfer(HERE, NOWHERE, uri="sip:night@192.0.2.7", ring_for_s=20, ringback="ringback")


def hang_up(cause: str) -> ev.HangUpPlanned:
    return ev.HangUpPlanned(steps.HangUp(HERE, NOWHERE, cause=cause))


# ---- chapters: each leaves the call in the state it is named after


def arrived(play: Callable[..., Playbook], **options: Any) -> Playbook:
    return play(**options) >> ev.CallArrived(CALLER, leg=1) << do.OpenCdr << do.TakeStep("start")


def answered(play: Callable[..., Playbook], **options: Any) -> Playbook:
    return (
        arrived(play, **options)
        >> ev.AnswerPlanned(ANSWER) << do.AnswerCaller()
        >> ev.CallerAnswered() << do.StartRecording() << do.TakeStep("done")
    )


def queued(play: Callable[..., Playbook], step: steps.Queue = SUPPORT) -> Playbook:
    return answered(play) >> ev.QueuePlanned(step) << do.StartMusic("moh") << do.Enqueue(step)


def offering(play: Callable[..., Playbook], step: steps.Queue = SUPPORT) -> Playbook:
    """Offer 1 rings agent 101."""
    return queued(play, step) >> ev.AgentReserved(1, "101") << do.RingAgent(1, "101") >> ev.CalledRinging(1)


def talking(play: Callable[..., Playbook]) -> Playbook:
    return (
        offering(play)
        >> ev.CalledAnswered(1) << do.TakeOffer(1)
        << segment("offer", "answered", agent="101", queue="support")
        << segment("queue", "answered", queue="support")
        << do.StopPrompts() << do.StopMusic() << do.Bridge(1)
    )


def dialling(play: Callable[..., Playbook]) -> Playbook:
    """Offer 9 rings the night desk."""
    return (
        answered(play)
        >> ev.TransferPlanned(NIGHT_DESK, offer=9)
        << do.StartMusic("ringback") << do.DialOut(9, NIGHT_DESK.uri)
        >> ev.CalledRinging(9)
    )


def transferred(play: Callable[..., Playbook]) -> Playbook:
    return (
        dialling(play)
        >> ev.CalledAnswered(9) << segment("offer", "answered", agent=NIGHT_DESK.uri)
        << do.StopPrompts() << do.StopMusic() << do.Bridge(9)
    )
