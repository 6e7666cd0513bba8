"""The plan steps, the caller and the first chapters of a call that the tests of the floor share."""

from collections.abc import Callable
from typing import Any

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import plan, steps
from tests.floor.playbook import Playbook, opened, segment

CALLER = plan.Caller(ani="13800138000", dnis="4008001234", trunk="carrier")
HERE = plan.Place("plans/main.yaml", 1, 1)
NOWHERE: dict[str, int] = {}

ANSWER = steps.Answer(HERE, NOWHERE)
GREETING = steps.Play(HERE, NOWHERE, items=("welcome",), language="zh")
SUPPORT = steps.Queue(HERE, NOWHERE, queue="support", music="moh")
PATIENT = steps.Queue(
    HERE, NOWHERE, queue="support", music="moh", announces=(steps.Announce(("please_wait",), first_s=15, every_s=30),)
)
EXTRAS = steps.Queue(
    HERE, NOWHERE, queue="support", music="moh", keys=("1", "2"), whisper=("vip",), greeting=("agent_number",)
)
NIGHT_DESK = steps.Transfer(HERE, NOWHERE, uri="sip:night@192.0.2.7", ring_for_s=20, ringback="ringback")
COLLEAGUE = steps.Transfer(HERE, NOWHERE, uri="agent:102", ring_for_s=20)

MENU = steps.Ask(
    HERE, NOWHERE, ("menu",), "zh", choices=("1", "2", "0"), tries=2, invalid=("wrong_key",), into="choice"
)
ORDER = steps.Ask(HERE, NOWHERE, items=("order_number",), language="zh", n_min=4, n_max=6, tries=2, into="order")
SURVEY = steps.Ask(HERE, NOWHERE, items=("rate_us",), language="zh", choices=("1", "2", "3"), tries=1, survey="service")
CONSENT = steps.Consent(HERE, NOWHERE, items=("recorded",), language="zh")
VOICEMAIL = steps.Voicemail(HERE, NOWHERE, box="queue:support")
MESSAGES = steps.Messages(HERE, NOWHERE)
LOOK_UP = steps.LookUp(HERE, NOWHERE)
EARLY = steps.EarlyMedia(HERE, NOWHERE)
RECORD_OFF = steps.Record(HERE, NOWHERE, is_on=False)
CALL_BACK = ev.CallbackBegan(CALLER, EXTRAS, customer_first=False)
CUSTOMER_FIRST = ev.CallbackBegan(CALLER, EXTRAS, customer_first=True, greeting=("you_asked_for_a_call",))


def hang_up(cause: str) -> ev.HangUpPlanned:
    return ev.HangUpPlanned(steps.HangUp(HERE, NOWHERE, cause=cause))


# ---- chapters: each leaves the call in the state it is named after


def arrived(play: Callable[..., Playbook], **options: Any) -> Playbook:
    return play(**options) >> ev.CallArrived(CALLER, leg=1) << do.OpenCdr << do.TakeStep("start")


def answered(play: Callable[..., Playbook], **options: Any) -> Playbook:
    return (
        arrived(play, **options)
        >> ev.AnswerPlanned(ANSWER) << do.AnswerCaller()
        >> ev.CallerAnswered() << do.StartRecording("c1.wav") << do.TakeStep("done")
    )


def queued(play: Callable[..., Playbook], step: steps.Queue = SUPPORT) -> Playbook:
    return answered(play) >> ev.QueuePlanned(step) << do.StartMusic("moh") << do.Enqueue(step)


def offering(play: Callable[..., Playbook], step: steps.Queue = SUPPORT) -> Playbook:
    """Offer 1 rings agent 101."""
    return queued(play, step) >> ev.AgentReserved(1, "101") << do.RingAgent(1, "101") >> ev.CalledRinging(1)


def greeting(play: Callable[..., Playbook], step: steps.Queue = SUPPORT) -> Playbook:
    """Agent 101 has picked up."""
    return (
        offering(play, step)
        >> ev.CalledAnswered(1) << do.TakeOffer(1)
        << segment("offer", "answered", agent="101", queue="support")
        << segment("queue", "answered", queue="support")
        << do.StopPrompts() << do.StopMusic() << do.Greet(1, step.whisper, step.greeting, step.language)
    )


def talking(play: Callable[..., Playbook], step: steps.Queue = SUPPORT) -> Playbook:
    return greeting(play, step) >> ev.Greeted(1) << do.Bridge(1)


def sending(play: Callable[..., Playbook]) -> Playbook:
    """The agent's phone has asked to send the caller to 102, whom offer 9 rings."""
    return (
        talking(play)
        >> ev.SentTo(COLLEAGUE, 9) << do.ReportTransfer(1, 100) << do.Part(1)
        << do.StartMusic("moh") << do.DialOut(9, "agent:102")
        >> ev.CalledRinging(9) << do.ReportTransfer(1, 180)
    )


def hearing_tone(play: Callable[..., Playbook]) -> Playbook:
    return answered(play) >> ev.VoicemailPlanned(VOICEMAIL) << do.PlayPrompts(1, ("beep",), "zh")


def leaving_message(play: Callable[..., Playbook]) -> Playbook:
    """The tone has ended."""
    return hearing_tone(play) >> ev.PlayFinished(1) << do.StartMessage("queue:support")


def calling_back(play: Callable[..., Playbook], began: ev.CallbackBegan = CALL_BACK) -> Playbook:
    """The callback waits for an agent or its turn."""
    return play() >> began << opened(kind="callback", ani=CALLER.ani) << do.Enqueue(began.step)


def fetching(play: Callable[..., Playbook]) -> Playbook:
    """Agent first: 101 is on the line, the customer's phone rings."""
    return (
        calling_back(play)
        >> ev.AgentReserved(1, "101") << do.RingAgent(1, "101")
        >> ev.CalledAnswered(1) << do.TakeOffer(1) << segment("offer", "answered") << segment("queue", "answered")
        << do.Greet(1, ("vip",), ("agent_number",), "zh")
        >> ev.GreetedAgent(1) << do.DialCustomer()
    )


def reaching(play: Callable[..., Playbook]) -> Playbook:
    """Customer first: the turn has come, the customer's phone rings."""
    return (
        calling_back(play, CUSTOMER_FIRST)
        >> ev.CallbackTurn(1) << do.LeaveQueue("called_back") << segment("queue", "called_back") << do.DialCustomer()
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
