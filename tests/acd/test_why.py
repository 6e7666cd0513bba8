"""`agner why` in words: groups whose turn it is, the preferred agent, what changes, what reserves wait for."""

from cli.why import VERDICTS, _sentence, _who_and_when
from engine import why
from engine.callflow import steps
from engine.callflow.staff import Queue
from tests.acd.floor import Desk, agent, staff, step


def said(desk: Desk, call: str) -> str:
    row = why.call(desk.acd, call, desk.now)
    agents = [f"{one['agent']}: {VERDICTS[one['verdict']]} {one['in_s']}" for one in row["agents"]]
    return "\n".join([_sentence(row), *_who_and_when(row), *agents])


def test_groups_their_turns_and_what_comes_later() -> None:
    turns = (steps.Turn(("vip", "gold")), steps.Turn((), 30.0, 600.0))
    desk = Desk(staff([agent("a"), agent("b", "gold")]), step(needs=((("english", 20),),), turns=turns))
    text = said(desk, desk.comes())
    assert "needs english>=20" in text and "Its turn: group gold or vip" in text
    assert "In 30 s: everybody, needs english>=20, head start 600 s" in text
    assert "a: not of the group whose turn it is None" in text and "b: lacks a skill it needs None" in text
    desk.wait(30.0)
    text = said(desk, "c1")
    assert "Its turn" not in text and "head start 600 s" in text and "a: lacks a skill" in text


def test_the_preferred_agent_and_how_long_the_call_is_held() -> None:
    desk = Desk(staff([agent("a"), agent("b")]), step(preferred=steps.Preferred("b", 20.0)))
    desk.talks(desk.comes())
    call = desk.comes()
    desk.wait(5.0)
    text = said(desk, call)
    assert "First: agent b, alone for 15 s yet" in text and "a: the call waits for its preferred agent 15.0" in text
    desk.wait(15.0)
    assert "First: agent b" in said(desk, call) or call in desk.events()


def test_a_phone_that_is_being_cleared() -> None:
    desk = Desk(staff([agent("a")]))
    desk.acd.leave(desk.comes(), "abandoned", desk.now)
    call = desk.comes()
    desk.wait(0.5)
    assert "a: a call was taken back there, and the phone has not confirmed it yet 1.5" in said(desk, call)


def test_reserves_and_what_they_wait_for() -> None:
    those = [agent("a"), agent("kept", serves={"reserve": True})]
    queue = Queue("sales", reserve_on_s=30.0, reserve_off_s=10.0, reserve_on_sl=70.0, reserve_off_sl=80.0)
    desk = Desk(staff(those, queue))
    desk.talks(desk.comes())
    text = said(desk, desk.comes())
    assert "Reserves of the queue: stand by, from a wait of 30 s or a service level of 70 % on" in text
    assert "kept: kept in reserve, and the queue is not in need" in text
    desk.acd.not_ready("kept", "lunch", desk.now)
    desk.wait(30.0)
    assert "serve it now, until a wait of 10 s and a service level of 80 %" in said(desk, "c2")
