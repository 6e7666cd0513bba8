"""Single sentences about calls that an agent's phone dials: limits, redirects that are followed, transfers refused."""

import pytest

from acd_core import AgentState
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.switch import Setup
from tests.switch.test_conductor import Floor, place

RESULTS = dict.fromkeys(("busy", "no_answer", "failed"), 1)
MOVED = ev.Refusal.REJECTED, 302


def desk(**rules: object) -> Floor:
    """Agent 1001's phone may dial 0..., where a redirect is followed, and 1..., where it is not."""
    floor = Floor(steps.Answer(place(0), {"done": 99}))
    book = plan.PlanBook(
        (
            steps.Transfer(place(0), RESULTS, "trunk:carrier/$dnis", 20.0, follows_redirect=True),
            steps.HangUp(place(1), {}, "busy"),
            steps.Transfer(place(2), RESULTS, "agent:$dnis", 20.0),
        ),
        {"out": 0, "colleague": 2},
        {},
        dialling=plan.Dialling({"0*": "out", "1*": "colleague"}, **rules),  # type: ignore[arg-type]
    )
    was = floor.switch.setup
    floor.switch.apply(Setup(was.settings, was.staff, book))
    return floor


def dial(floor: Floor, n: int, number: str) -> None:
    """Call cN on leg N."""
    caller = plan.Caller("1001", number, "", agent="1001")
    floor.switch.post(f"c{n}", ev.CallArrived(caller, n))
    floor.round()


def post(floor: Floor, call: str, *news: ev.Event | ev.LegEnded) -> None:
    for one in news:
        floor.switch.post(call, one)
    floor.round()


def state(floor: Floor) -> AgentState:
    return AgentState(floor.acd.core.agent_state(floor.acd.agents["1001"])[0])


def test_the_agent_is_offered_nothing_until_the_phone_is_free() -> None:
    floor = desk()
    dial(floor, 2, "0571")
    assert floor.sip.one("dial")[2] == "trunk:carrier/0571" and state(floor) is AgentState.NOT_READY
    post(floor, "c2", ev.CallerGone(487, "CANCEL"), ev.LegEnded(2))
    assert state(floor) is AgentState.READY


def test_a_phone_is_shown_by_the_agents_name() -> None:
    floor = desk()
    dial(floor, 2, "0571")
    assert floor.sip.one("dial")[3] == plan.Caller("1001", "0571", "", "小李", "1001")


def test_an_agent_who_does_not_work_here() -> None:
    floor = desk()
    dial(floor, 2, "1009")
    assert floor.sip.one("reject")[:2] == (2, 486) and floor.sip.all("dial") == []


def test_so_many_calls_at_once_and_in_a_minute() -> None:
    floor = desk(max_calls=1, max_calls_per_minute=2)
    dial(floor, 2, "0571")
    dial(floor, 3, "0571")
    assert floor.sip.one("reject")[:2] == (3, 486)
    post(floor, "c3", ev.LegEnded(3))
    post(floor, "c2", ev.CallerGone(487, "CANCEL"), ev.LegEnded(2), ev.LegEnded(100))
    floor.round(30.0)
    dial(floor, 4, "0571")
    post(floor, "c4", ev.CallerGone(487, "CANCEL"), ev.LegEnded(4), ev.LegEnded(100))
    dial(floor, 5, "0571")
    assert floor.sip.all("reject")[-1] == (5, 503, 31)
    post(floor, "c5", ev.LegEnded(5))
    floor.round(30.0)
    dial(floor, 6, "0571")
    assert len(floor.sip.all("reject")) == 2


@pytest.mark.parametrize(
    ("dialled", "moved_to", "then"),
    [
        ("0571", "0572", ["trunk:carrier/0571", "trunk:carrier/0572"]),
        ("0571", "1001", ["trunk:carrier/0571", "sip:1001@127.0.0.1"]),
        ("0571", "00441234", ["trunk:carrier/0571"]),  # barred
        ("0571", "911", ["trunk:carrier/0571"]),  # on no list
        ("1001", "0572", ["sip:1001@127.0.0.1"]),  # the plan does not allow it
    ],
)
def test_a_redirect_is_followed_where_plan_and_list_allow_it(dialled: str, moved_to: str, then: list[str]) -> None:
    floor = desk()
    dial(floor, 2, dialled)
    post(floor, "c2", ev.CalledRefused(-1, *MOVED, moved_to))
    assert [asked[2] for asked in floor.sip.all("dial")] == then
    assert len(floor.sip.all("reject")) == (len(then) == 1)


def test_redirects_that_go_round_end() -> None:
    floor = desk()
    dial(floor, 2, "0571")
    for n in range(1, 20):
        if "c2" in floor.switch.calls and not floor.sip.all("reject"):
            post(floor, "c2", ev.CalledRefused(-n, *MOVED, "0572"))
    assert len(floor.sip.all("dial")) == 6 and len(floor.sip.all("reject")) == 1


def test_a_caller_and_an_agent_who_dialled_send_nobody_anywhere() -> None:
    floor = desk()
    dial(floor, 2, "0571")
    post(floor, "c2", ev.CalledAnswered(-1))
    for leg, call in ((1, "c1"), (2, "c2"), (100, "c2")):
        floor.switch.post(call, ev.LegRefers(leg, "0572", None))
    floor.round()
    assert floor.sip.all("report_transfer") == [(1, 403), (2, 403), (100, 403)]
    assert len(floor.sip.all("dial")) == 1
