"""The ACD's face: what a plan's queue step and staff.yaml say is what the core does, and a reload reaches who waits."""

import pytest

from acd_core import AgentState
from engine.acd import NoRoom, UnknownName
from engine.callflow import events as ev
from engine.callflow import steps
from engine.callflow.staff import Queue, Serves
from tests.acd.floor import EVERYBODY, Desk, agent, moved, staff, step

VIP_FIRST = step(turns=(steps.Turn(("vip",)), EVERYBODY))
VIP_THEN_LATER = step(turns=(steps.Turn(("vip",)), steps.Turn(("gold",), 5.0), steps.Turn((), 9.0)))


# ---- groups in turn


def test_the_first_group_is_asked_before_others_who_are_idle_longer() -> None:
    desk = Desk(staff([agent("other"), agent("friend", "vip")]), VIP_FIRST)
    assert list(desk.rung(desk.comes())) == ["friend"]
    assert list(desk.rung(desk.comes())) == ["other"], "all of the group is busy: others at once"


def test_others_come_with_the_turns_head_start() -> None:
    desk = Desk(staff([agent("one", "vip")]), VIP_FIRST, step(2))
    desk.talks(desk.comes())
    ordinary = desk.comes(desk.steps[1])
    desk.wait(300.0)
    vip = desk.comes()
    assert (desk.acd.position(vip), desk.acd.position(ordinary)) == (1, 2)


def test_later_groups_join_at_their_times_and_add_up() -> None:
    desk = Desk(staff([agent("all"), agent("golden", "gold"), agent("friend", "vip")]), VIP_THEN_LATER)
    calls = [desk.comes() for _ in range(3)]
    assert list(desk.rung(calls[0])) == ["friend"]
    assert calls[1] in desk.wait(5.0) and calls[2] not in desk.events()
    assert calls[2] in desk.wait(4.0)


def test_groups_say_nothing_about_skill() -> None:
    """Least skilled first: who is of a group is not better skilled for it."""
    those = [agent("expert", skills={"english": 51}), agent("plain", "vip", "gold", skills={"english": 50})]
    desk = Desk(staff(those, Queue("sales", strategy="least_skilled")), VIP_THEN_LATER, step(2))
    assert list(desk.rung(desk.comes(desk.steps[1]))) == ["plain"]


# ---- the preferred agent


def test_a_free_preferred_agent_gets_the_call_at_once() -> None:
    known = step(preferred=steps.Preferred("b"))
    desk = Desk(staff([agent("a"), agent("b")]), known)
    assert list(desk.rung(desk.comes())) == ["b"]


def test_a_busy_one_leaves_it_to_others_with_a_head_start_or_is_waited_for() -> None:
    known, waits = step(preferred=steps.Preferred("b", 0.0, 60.0)), step(2, preferred=steps.Preferred("b", 10.0))
    desk = Desk(staff([agent("a"), agent("b")]), known, waits)
    desk.talks(desk.comes())
    held = desk.comes(waits)
    assert held not in desk.wait(9.0), "held for b, though a is free"
    assert list(desk.rung(desk.comes())) == ["a"]
    desk.acd.release("c1", desk.now)
    assert list(desk.rung(held)) == ["b"]


@pytest.mark.parametrize("name", ["", "nobody"])
def test_a_preferred_agent_nobody_knows_is_nobody(name: str) -> None:
    desk = Desk(staff([agent("a")]), step(preferred=steps.Preferred(name, 10.0, 60.0)))
    assert list(desk.rung(desk.comes())) == ["a"]


# ---- order, phones, reserves, outcomes


def test_a_kept_place_and_a_callback_stand_where_they_stood() -> None:
    desk = Desk(staff([agent("a")]))
    desk.talks(desk.comes())
    later = desk.comes()
    desk.wait(50.0)
    kept = desk.comes(arrival=desk.now - 100.0)
    assert (desk.acd.position(kept), desk.acd.position(later)) == (1, 2)


def test_several_phones_ring_and_one_takes_the_call() -> None:
    desk = Desk(staff([agent(name) for name in "abc"], Queue("sales", n_ring=2)))
    offers = desk.rung(call := desk.comes())
    assert list(offers) == ["a", "b"]
    desk.acd.take(offers["b"], desk.now)
    assert desk.events()[call] == [ev.OfferGivenUp(offers["a"])]
    for _ in range(2):  # who is late with it is not told
        desk.acd.cleared(offers["a"], desk.now)
    assert [verb for verb, _, _ in desk.told].count("cleared") == 1
    states = {name: AgentState(desk.acd.core.agent_state(handle)[0]).name for name, handle in desk.acd.agents.items()}
    assert states == {"a": "READY", "b": "TALKING", "c": "READY"} and call in desk.acd._calls


def test_reserves_serve_while_somebody_has_waited_long() -> None:
    those = [agent("a"), agent("kept", serves={"reserve": True})]
    desk = Desk(staff(those, Queue("sales", reserve_on_s=20.0)))
    desk.talks(desk.comes())
    waiting = desk.comes()
    assert waiting not in desk.wait(19.0)
    assert waiting in desk.wait(1.0)
    assert [out for _, _, outs in desk.told for out in outs if out[0] == "RESERVE"][0][4] == "sales"


def test_an_own_wrap_up_beats_the_queues() -> None:
    desk = Desk(staff([agent("a", wrap_up_s=1.0), agent("b")], Queue("sales", wrap_up_s=30.0)))
    for name in ("a", "b"):
        assert desk.talks(desk.comes()) == name
    for call in ("c1", "c2"):
        desk.acd.release(call, desk.now)
    desk.wait(2.0)
    assert [desk.acd.core.agent_state(desk.acd.agents[name])[0] for name in "ab"] == [AgentState.READY, AgentState.ACW]


def test_every_end_of_a_wait_has_its_own_name() -> None:
    queues = [Queue("sales", max_length=1), Queue("quick", max_ewt_s=1.0), Queue("empty"), Queue("spoken")]
    those = [agent("a", queues=("sales", "quick", "spoken")), agent("away", queues=("empty",))]
    desk = Desk(
        staff(those, *queues), step(max_wait_s=5.0), step(2, "quick"), step(3, "empty", leave_without_agents=True),
        step(4, "spoken", needs=((("english", 80),),), leave_without_skill=True),
    )  # fmt: skip
    desk.acd.log_out("away", desk.now)
    desk.talks(desk.comes())
    waits = desk.comes()
    assert desk.ended(desk.comes()) == "full"
    assert desk.ended(desk.comes(desk.steps[1])) == "too_long"
    assert desk.ended(desk.comes(desk.steps[2])) == "no_agents"
    assert desk.ended(desk.comes(desk.steps[3])) == "no_skill"
    assert desk.wait(5.0)[waits][0].outcome == "timeout"


def test_a_call_that_leaves_for_a_callback_is_counted_so() -> None:
    desk = Desk(staff([agent("a")]))
    desk.talks(desk.comes())
    desk.acd.leave(desk.comes(), "called_back", desk.now)
    assert desk.acd.core.snapshot("queues", desk.now)["called_back"][0] == 1


def test_an_estimate_by_name() -> None:
    desk = Desk(staff([agent("a")]))
    assert desk.acd.estimate("nobody", desk.now) == (0.0, 0.0)
    desk.talks(desk.comes())
    median, p80 = desk.acd.estimate(desk.comes(), desk.now)
    assert 0 < median <= p80


# ---- a changed configuration


def test_a_reload_relaxes_a_call_that_waits_though_its_step_has_moved() -> None:
    asking = step(needs=((("english", 80),),), relax=(steps.Relax(100.0, ()),))
    desk = Desk(staff([agent("a", skills={"mandarin": 10})]), asking)
    call = desk.comes()
    desk.wait(30.0)
    desk.apply(desk.acd.staff, moved(step(needs=asking.needs, relax=(steps.Relax(20.0, ()),)), 7))
    assert list(desk.rung(call)) == ["a"]


def test_a_reload_gives_skills_groups_and_queues_to_those_who_work() -> None:
    desk = Desk(staff([agent("a")]), step(turns=(steps.Turn(("vip",)),)))
    call = desk.comes()
    assert desk.rung(call) == {}
    desk.apply(staff([agent("a", "vip")]))
    assert list(desk.rung(call)) == ["a"]


def test_an_agent_who_is_gone_leaves_after_the_talk_and_a_new_one_starts() -> None:
    desk = Desk(staff([agent("a")]))
    desk.talks(desk.comes())
    desk.apply(staff([agent("b", at_start="ready")]))
    assert set(desk.acd.agents) == {"a", "b"} and set(desk.acd.staff.agents) == {"a", "b"}
    with pytest.raises(UnknownName):
        desk.acd.ready("a", desk.now)
    assert list(desk.rung(desk.comes())) == ["b"]
    desk.wait(5.0)
    desk.acd.release("c1", desk.now)
    assert set(desk.acd.agents) == set(desk.acd.staff.agents) == {"b"}
    assert [span.state for span in desk.acd.take_spans() if span.agent == "a"][-1] == "TALKING"


def test_an_agent_who_comes_back_while_still_talking_stays() -> None:
    those = staff([agent("a")])
    desk = Desk(those)
    desk.talks(desk.comes())
    desk.apply(staff([agent("b")]))
    desk.apply(those)
    desk.acd.release("c1", desk.now)
    assert desk.acd.core.agent_state(desk.acd.agents["a"])[0] == AgentState.READY


def test_a_queue_that_is_gone_serves_who_waits_and_closes_when_it_is_empty() -> None:
    both = staff([agent("a", queues=("sales", "old"))], Queue("sales"), Queue("old"))
    old = step(2, "old")
    desk = Desk(both, step(), old)
    desk.talks(desk.comes())
    waiting = desk.comes(old)
    desk.apply(staff([agent("a")]), step())
    assert "old" in desk.acd.queues
    desk.acd.release("c1", desk.now)
    desk.talks(waiting)
    desk.acd.release(waiting, desk.now)
    assert "old" not in desk.acd.queues and desk.acd.staff.agents["a"].queues == (Serves("sales"),)
    assert desk.ended(desk.comes(old)) == "no_agents"


def test_a_reload_lets_go_no_call_that_waits_for_its_agent() -> None:
    waits = step(preferred=steps.Preferred("b", 100.0))
    those = staff([agent("a"), agent("b")])
    desk = Desk(those, waits)
    desk.talks(desk.comes())
    held = desk.comes()
    desk.apply(those)
    assert held not in desk.events() and desk.acd.position(held) == 1


def test_a_reload_that_is_too_large_changes_nothing() -> None:
    desk = Desk(staff([agent("a")]))
    many = staff([agent(f"x{n}") for n in range(300)])
    with pytest.raises(NoRoom, match="301 agents, those of before counted: 256 at most"):
        desk.apply(many)
    assert set(desk.acd.agents) == {"a"} and list(desk.rung(desk.comes())) == ["a"]
