"""Single sentences about the conductor: what rooms are asked when one call meets one step. The ACD core is the real
one, the other rooms write down what they are asked.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acd_core import AgentState
from engine.acd import Acd, rows
from engine.callflow import events as ev
from engine.callflow import media_news, plan, steps
from engine.callflow.blacklist import Blacklist
from engine.callflow.conditions import CallerBlacklisted
from engine.callflow.errors import SipError
from engine.callflow.record import BlacklistEntry, Message
from engine.callflow.settings import Destination, Limits, Recording, Settings, Sip, Trunk
from engine.callflow.staff import Agent, Queue, Serves, Staff
from engine.switch import Live, Rooms, Setup, Switch
from engine.trace import plain

EPOCH = datetime(2026, 11, 21, tzinfo=UTC)
ANI = "+8613800138000"
END = 99  # in ways: the last step, which hangs up


class Tape:
    """A room that does nothing but write down."""

    def __init__(self, **answers: Callable[..., Any]) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def note(*arguments: Any, **named: Any) -> Any:
            self.asked.append((name, *arguments, *named.values()))
            return self._answers[name](*arguments, **named) if name in self._answers else None

        return note

    def all(self, name: str) -> list[tuple[Any, ...]]:
        return [asked[1:] for asked in self.asked if asked[0] == name]

    def one(self, name: str) -> tuple[Any, ...]:
        (found,) = self.all(name)
        return found


class Floor:
    """One caller on leg 1, agent 1001 whose phone gets leg 100, and a plan of the steps given."""

    def __init__(
        self, *given: plan.Step, queue: Queue | None = None, early_media: bool = False, ani: str = ANI
    ) -> None:
        self.now = 1000.0
        last = len(given)
        ways = [{way: last if to == END else to for way, to in step.ways.items()} for step in given]
        table = [replace(step, ways=theirs) for step, theirs in zip(given, ways, strict=True)]
        book = plan.PlanBook((*table, steps.HangUp(place(last), {})), {"main": 0}, {"100": "main"})
        agent = Agent("1001", "小李", "sip:1001@127.0.0.1", {}, (Serves("sales"),), "ready")
        people = Staff((), {"sales": queue or Queue("sales", music="hold")}, {"1001": agent})
        self.sip, self.records, self.promises, self.errands = Tape(dial=lambda *_: 100), Tape(), Tape(), Tape()
        self.news: list[Any] = []
        self.media = Tape(poll=lambda: [self.news.pop() for _ in list(self.news)])
        self.acd = Acd(people, book, 16, self.now)
        trunk = Trunk("carrier", (), early_media=early_media, destinations=(Destination("127.0.0.1"),))
        settings = Settings(Sip(), (trunk,), Limits(), Recording(calls="none"))
        self.trace = Tape()
        made: Any = Rooms(
            self.acd, self.sip, self.media, self.records, self.promises, self.errands, self.trace,  # type: ignore[arg-type]
            lambda queue: rows.n_logged_in(self.acd.core, self.acd.floor, queue),
            lambda now: EPOCH + timedelta(seconds=now),
        )  # fmt: skip
        self.switch = Switch(Setup(settings, people, book), made)
        self.acd.begin_day(self.now)
        self.post(ev.CallArrived(plan.Caller(ani, "100", "carrier"), 1))

    def post(self, *events: ev.Event | ev.LegEnded | ev.LegCleared) -> None:
        for event in events:
            self.switch.post("c1", event)
        self.round()

    def round(self, later_s: float = 0.0) -> None:
        self.now += later_s
        self.switch.round(self.now)

    @property
    def live(self) -> Live:
        return self.switch.calls["c1"]

    def heard(self, leg: int) -> list[Any]:
        """The items of all plays on a leg."""
        return [item for played in self.media.all("play") if played[0] == leg for item in played[1]]

    def end_play(self, leg: int) -> None:
        play = next(played[2] for played in reversed(self.media.all("play")) if played[0] == leg)
        self.news.append(media_news.LegPlayed(leg, play))
        self.round()

    def talk(self) -> None:
        """The agent has picked up and everything is said."""
        self.post(ev.CalledAnswered(1))
        for leg in list(self.live.greeting):
            self.end_play(leg)


def place(line: int) -> plan.Place:
    return plan.Place("plan.yaml", line + 1, 1)


def look_up(to: int, **how: Any) -> steps.LookUp:
    return steps.LookUp(place(0), {"found": to, "unknown": to, "failed": to}, **how)


def queue(line: int, ways: Mapping[str, int] = {}, **how: Any) -> steps.Queue:
    ends = dict.fromkeys(("timeout", "full", "no_agents", "no_skill", "too_long"), END)
    return steps.Queue(place(line), {**ends, **ways}, "sales", **how)


def play(line: int, *items: steps.Item) -> steps.Play:
    return steps.Play(place(line), {"done": line + 1}, items, "zh")


# ---- what is heard


def test_both_hear_their_greeting_whole_before_they_hear_each_other() -> None:
    floor = Floor(queue(0, whisper=("vip",), greeting=("agent_number", steps.Say("digits", "$agent"))))
    floor.post(ev.CalledAnswered(1))
    assert floor.heard(100) == ["vip"]
    assert floor.heard(1)[0] == "agent_number" and len(floor.heard(1)) == 5
    floor.end_play(100)
    assert floor.media.all("bridge") == []
    floor.end_play(1)
    assert floor.media.one("bridge") == (1, 100)


def test_what_is_heard_at_pick_up_is_what_the_book_says() -> None:
    """config has put in what the queue says; a reload changes the queue, and not the call's book."""
    floor = Floor(queue(0, whisper=("plan",)), queue=Queue("sales", whisper=("queue",), greeting=("hello",)))
    floor.post(ev.CalledAnswered(1))
    assert (floor.heard(100), floor.heard(1)) == (["plan"], [])


def test_without_a_greeting_they_meet_at_once() -> None:
    floor = Floor(queue(0))
    floor.post(ev.CalledAnswered(1))
    assert floor.media.one("bridge") == (1, 100)


def test_a_greeting_whose_end_is_never_reported_is_cut() -> None:
    floor = Floor(queue(0, whisper=("vip",), greeting=("agent_number",)))
    floor.post(ev.CalledAnswered(1))
    floor.end_play(1)
    floor.round(31.0)
    assert floor.media.all("stop_play")[-1] == (100,)
    assert floor.media.one("bridge") == (1, 100)


def test_an_agent_who_hangs_up_on_the_greeting_leaves_the_caller_in_the_old_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And is not the preferred one again."""
    step = queue(0, whisper=("vip",), preferred=steps.Preferred("1001", wait_s=9.0), music="hold")
    floor = Floor(step, queue=Queue("sales", wrap_up_s=10.0))
    enqueued: list[Any] = []
    keep = floor.acd.enqueue

    def enqueue(*asked: Any) -> None:
        enqueued.append(asked)
        keep(*asked)

    monkeypatch.setattr(floor.acd, "enqueue", enqueue)
    floor.round(5.0)
    floor.post(ev.CalledAnswered(1))
    floor.round(2.0)
    floor.post(ev.CalledGone(1), ev.LegEnded(100))
    assert floor.live.machine.state == "QUEUED" and floor.media.all("start_music")[-1] == (1, "hold")
    (asked,) = enqueued
    assert asked[1].preferred.agent == "" and asked[3] == 1000.0
    assert floor.records.all("write_cdr") == [] and floor.media.all("bridge") == []


def test_an_agent_and_a_caller_who_both_hang_up_on_the_greeting() -> None:
    floor = Floor(queue(0, whisper=("vip",)))
    floor.post(ev.CalledAnswered(1))
    floor.switch.post("c1", ev.CalledGone(1))
    floor.post(ev.CallerGone(200, ""), ev.LegEnded(1))
    assert len(floor.sip.all("dial")) == 1 and floor.live.machine.state == "CLOSING"


def test_a_value_that_is_not_known_leaves_the_whole_play_out_and_takes_time() -> None:
    floor = Floor(play(0, "welcome", steps.Say("number", "$digits")), play(1, "sorry"))
    assert floor.heard(1) == []
    floor.round(1.0)
    assert floor.heard(1) == ["sorry"]


def test_a_step_that_nobody_hears_cannot_hold_the_engine() -> None:
    """A plan that goes round an unknown value goes round in time."""
    floor = Floor(steps.Play(place(0), {"done": 0}, (steps.Say("number", "$digits"),), "zh"))
    for _ in range(10):
        assert floor.now < floor.switch.deadline() < floor.now + 1.0
        floor.round(0.1)


def test_announcements_tell_the_place_in_the_queue() -> None:
    announce = steps.Announce((steps.Say("position", "$position"),), 1.0, 60.0)
    floor = Floor(queue(0, announces=(announce,)))
    floor.post(ev.CalledRefused(1, ev.Refusal.REJECTED, 603))
    floor.acd.not_ready("1001", "lunch", floor.now)
    floor.round()
    floor.round(2.0)
    assert floor.heard(1)


@pytest.mark.parametrize(("early_media", "verb"), [(True, "progress"), (False, "answer")])
def test_early_media_is_what_the_trunk_has(early_media: bool, verb: str) -> None:
    floor = Floor(steps.EarlyMedia(place(0), {"done": 1}), early_media=early_media)
    assert floor.sip.one(verb) == (1,)


# ---- look-ups


def answer_look_up(floor: Floor, result: str, **found: str) -> None:
    *_, take = floor.errands.one("look_up")
    take(result, found)
    floor.round()


def test_the_phone_shows_who_calls_and_what_about() -> None:
    floor = Floor(look_up(1), plan.Set(place(1), {"done": 2}, "business", "珠宝"), queue(2))
    answer_look_up(floor, "found", name="王小姐", level="vip")
    _call, _offer, uri, _caller, headers, shown = floor.sip.one("dial")
    assert (uri, shown) == ("sip:1001@127.0.0.1", "珠宝 · vip · 王小姐")
    wanted = {"X-Agner-Call": "c1", "X-Agner-Queue": "sales", "X-Agner-Business": "珠宝"}
    assert headers == {**wanted, "X-Agner-Customer": "王小姐", "X-Agner-Level": "vip"}


# ---- an offer that is given up


def given_up() -> Floor:
    """The first caller hangs up as the agent's phone rings; the second waits. The CANCEL is on its way."""
    floor = Floor(queue(0))
    floor.sip._answers["dial"] = lambda *_: 101
    floor.switch.post("c2", ev.CallArrived(plan.Caller("+8613800138001", "100", "carrier"), 2))
    floor.round()
    floor.post(ev.CallerGone(200, ""))
    assert [asked[0] for asked in floor.sip.all("hang_up")] == [100]
    floor.post(ev.LegEnded(100, is_clear=False))
    return floor


def test_a_phone_is_rung_again_when_it_is_out_of_its_last_call() -> None:
    floor = given_up()
    floor.round(1.9)
    assert len(floor.sip.all("dial")) == 1, "an INVITE to a phone that may still be in the call"
    floor.post(ev.LegCleared(100))
    assert [asked[0] for asked in floor.sip.all("dial")] == ["c1", "c2"]
    assert floor.switch.clearing == {}


def test_a_phone_that_says_nothing_any_more_is_rung_all_the_same() -> None:
    floor = given_up()
    floor.round(floor.switch.deadline() - floor.now)
    assert floor.now <= 1002.0 and len(floor.sip.all("dial")) == 2
    floor.post(ev.LegCleared(100))
    assert len(floor.sip.all("dial")) == 2 and floor.switch.clearing == {}


def test_a_phone_that_was_never_dialled_is_free_at_once() -> None:
    def fail(*_: object) -> int:
        raise SipError("no such account")

    floor = given_up()
    floor.sip._answers["dial"] = fail
    floor.switch.post("c3", ev.CallArrived(plan.Caller("+8613800138002", "100", "carrier"), 3))
    floor.post(ev.LegCleared(100))
    assert [asked[0] for asked in floor.sip.all("dial")] == ["c1", "c2", "c3"]


def test_who_cannot_even_be_dialled_is_refused_a_second_later() -> None:
    """PJSIP has no room for a leg. Told at once, that would be the next agent's turn, and in one round everybody's."""
    floor = Floor(look_up(1), queue(1))

    def fail(call: str, offer: int, *_: object) -> int:
        floor.switch.post(call, ev.CalledRefused(offer, ev.Refusal.UNREACHABLE, 503))
        return 100

    floor.sip._answers["dial"] = fail
    answer_look_up(floor, "found")
    states = []
    for later_s in (0.0, 0.9, 0.2):
        floor.round(later_s)
        states.append(AgentState(floor.acd.core.agent_state(floor.acd.agents["1001"])[0]))
    assert states == [AgentState.RESERVED, AgentState.RESERVED, AgentState.NOT_READY]


def test_the_agent_of_the_last_order_is_asked_for_by_name() -> None:
    floor = Floor(look_up(1), queue(1, preferred=steps.Preferred("$customer.agent")))
    answer_look_up(floor, "found", agent="1001")
    assert floor.sip.one("dial")[2] == "sip:1001@127.0.0.1"


def test_a_look_up_that_comes_late_teaches_nothing() -> None:
    floor = Floor(look_up(1, within_s=1.0), play(1, "welcome"))
    floor.round(1.5)
    assert floor.heard(1) == ["welcome"]
    answer_look_up(floor, "found", name="王小姐")
    assert floor.live.values == {} and floor.heard(1) == ["welcome"]


def test_a_look_up_without_a_number_knows_nobody() -> None:
    floor = Floor(look_up(1), play(1, "welcome"), ani="")
    assert floor.errands.all("look_up") == [] and floor.heard(1) == ["welcome"]


# ---- the blacklist


def test_a_hit_is_counted_once_for_a_call() -> None:
    listed = [CallerBlacklisted(place(n), {"yes": n + 1, "no": n + 1}, "blacklist") for n in (1, 2)]
    floor = Floor(play(0, "welcome"), *listed)
    floor.switch.blacklist = Blacklist([BlacklistEntry("+86138*", "abuse", "me", EPOCH)])
    floor.end_play(1)
    assert [hit.pattern for (hit,) in floor.records.all("count_blacklist_hit")] == ["+86138*"]


# ---- after the talk


def survey(line: int) -> steps.Ask:
    ways = dict.fromkeys(("1", "2", "no_input", "invalid"), END)
    return steps.Ask(
        place(line), ways, ("rate",), "zh", ("1", "2"), survey="service", labels=("满意", "不满意"), tries=1
    )  # fmt: skip


def test_a_survey_is_stored_with_queue_and_agent() -> None:
    floor = Floor(queue(0, {"served": 1}), survey(1))
    floor.talk()
    floor.post(ev.CalledGone(1))
    assert floor.heard(1) == ["rate"]
    floor.post(ev.CallerDigit("2"))
    (answer,) = floor.records.one("write_survey")
    assert (answer.digit, answer.label, answer.queue, answer.agent) == ("2", "不满意", "sales", "1001")


def test_who_is_asked_is_what_the_book_says() -> None:
    """config has made a fork before the survey where a queue asks nobody."""
    floor = Floor(queue(0, {"served": 1}), survey(1), queue=Queue("sales", survey=False))
    floor.talk()
    floor.post(ev.CalledGone(1))
    assert floor.heard(1) == ["rate"]


def test_a_caller_who_hung_up_too_is_asked_nothing() -> None:
    floor = Floor(queue(0, {"served": 1}), survey(1))
    floor.talk()
    floor.switch.post("c1", ev.CalledGone(1))
    floor.post(ev.CallerGone(200, ""), ev.LegEnded(1))
    assert floor.heard(1) == []


# ---- a reload gives the queue limits that the book of the call knows nothing of


def reload(floor: Floor, book: plan.PlanBook, *queues: Queue) -> None:
    people = replace(floor.switch.setup.staff, queues={queue.name: queue for queue in queues})
    floor.acd.apply(people, book, floor.now)
    floor.switch.apply(Setup(floor.switch.setup.settings, people, book))


def closing(*, line: int, **ways: int) -> Floor:
    """The caller hears the prompt before the queue, and the queue closes meanwhile."""
    step = replace(queue(line), ways=ways)
    floor = Floor(play(0, "welcome"), step, play(2, "sorry"))
    reload(floor, plan.PlanBook((steps.HangUp(place(0), {}, "busy"),), {"other": 0}, {"100": "other"}), Queue("other"))
    floor.end_play(1)
    return floor


def test_a_wait_that_ends_in_a_new_way_goes_an_old_one() -> None:
    floor = closing(line=1, timeout=2, full=END)
    assert floor.heard(1)[-1] == "sorry" and floor.live.machine.verdict == "no_agents"


def test_a_wait_without_any_way_begins_again_in_the_book_that_holds() -> None:
    floor = closing(line=1)
    assert floor.live.book is floor.switch.setup.book
    floor.round(1.0)
    assert floor.live.machine.cdr.ended_by == "plan" and floor.live.machine.verdict == "no_agents"


# ---- the place in the queue, and exit keys


def test_an_exit_key_is_a_way_out_and_other_keys_are_not() -> None:
    floor = Floor(queue(0, {"9": 1}, keys=("9",)), play(1, "noted"))
    floor.post(ev.CallerDigit("8"))
    assert floor.heard(1) == []
    floor.post(ev.CallerDigit("9"))
    assert floor.heard(1) == ["noted"] and floor.sip.one("hang_up")[0] == 100


def test_a_place_is_kept_from_queue_to_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor(queue(0, {"9": 1}, keys=("9",)), play(1, "noted"), queue(2, keep_place=True))
    enqueued: list[Any] = []
    monkeypatch.setattr(floor.acd, "enqueue", lambda *arguments: enqueued.append(arguments))
    floor.round(30.0)
    floor.post(ev.CallerDigit("9"))
    floor.end_play(1)
    assert enqueued[0][3] == 1000.0


def test_who_waits_is_remembered_until_somebody_talks_to_them() -> None:
    floor = Floor(queue(0))
    assert floor.promises.one("begin")[:3] == ("c1", ANI, "sales")
    assert floor.promises.all("end") == []
    floor.talk()
    assert floor.promises.one("end") == ("c1",)


# ---- messages


def leave_message(speech_s: float, talked_s: float = 5.0) -> Floor:
    floor = Floor(steps.Voicemail(place(0), {"done": END, "too_short": END}, "agent:1001"))
    floor.switch.boxes.counts["agent:1001"] = 1, 4
    floor.end_play(1)
    (leg, path) = floor.media.one("record_message")
    assert (leg, path) == (1, "var/recordings/messages/c1/c1.wav")
    floor.round(talked_s)
    floor.post(ev.CallerDigit("#"))
    floor.news.append(media_news.MessageClosed(1, path, talked_s, speech_s))
    floor.round()
    assert not floor.switch.boxes.taking
    return floor


def test_a_message_is_kept_and_the_phone_is_told() -> None:
    floor = leave_message(3.0)
    (message,) = floor.records.one("write_message")
    assert (message.box, message.number, message.seconds) == ("agent:1001", ANI, 5.0)
    assert floor.sip.one("notify_mwi")[::2] == ("sip:1001@127.0.0.1", 2)


@pytest.mark.parametrize(("speech_s", "talked_s"), [(0.0, 5.0), (1.0, 1.0)])
def test_a_message_in_which_nobody_spoke_or_a_short_one_is_deleted(speech_s: float, talked_s: float) -> None:
    floor = leave_message(speech_s, talked_s)
    assert floor.records.all("write_message") == [] and floor.sip.all("notify_mwi") == []
    assert set(floor.media.all("delete")) == {("var/recordings/messages/c1/c1.wav",)}


class Database:
    """One new message in the agent's box."""

    def check_pin(self, box: str, pin: str, now: datetime) -> str:
        assert box == "agent:1001"
        return "right" if pin == "1234" else "wrong"

    def messages(self, box: str) -> list[Message]:
        return [Message("m1", box, ANI, "m1", EPOCH, 5.0, "messages/m1.wav")] if box == "agent:1001" else []


def open_mailbox(pin: str) -> Floor:
    floor = Floor(steps.Messages(place(0), {"done": END, "refused": END}))
    floor.switch.boxes.counts["agent:1001"] = 1, 0
    for keys in ("1001#", f"{pin}#"):
        floor.post(*(ev.CallerDigit(key) for key in keys))
    question, take = floor.errands.one("ask")
    take(question(Database()))
    floor.round()
    return floor


def test_messages_are_heard_by_phone_with_the_right_pin() -> None:
    floor = open_mailbox("1234")
    assert Path("var/recordings/messages/m1.wav") in floor.heard(1)
    floor.end_play(1)
    (message,) = floor.records.one("write_message")
    assert (message.heard_by, message.heard_at) == ("1001", EPOCH + timedelta(seconds=floor.now))
    assert floor.switch.boxes.counts["agent:1001"] == (0, 1)


def test_a_pin_is_not_in_the_trace() -> None:
    floor = open_mailbox("1234")
    told = [plain(told) for line in floor.trace.all("write") for told in (line[3], *line[6])]
    assert {"digit": "?"} in told and "1234" not in str(told) and {"digit": "1"} not in told


def test_a_wrong_pin_opens_nothing() -> None:
    floor = open_mailbox("4321")
    assert Path("var/recordings/messages/m1.wav") not in floor.heard(1) and not floor.switch.boxes.opened


def test_the_reply_to_a_message_is_a_callback() -> None:
    floor = open_mailbox("1234")
    floor.post(ev.CallerDigit("4"))
    entry = next(entry for (entry,) in floor.records.all("write_callback"))
    assert (entry.number, entry.queue, entry.reason, entry.arrived_at) == (ANI, "sales", "voicemail", EPOCH)
