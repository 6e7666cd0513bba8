"""The contract by example: what each verb does, refuses and tells. Both builds run it."""

import math
import random

import numpy as np
import pytest

import acd_core
from acd_core import AgentState, CallState, Cancelled, Failure, Out, Policy, Reason, Refusal, Strategy, Verdict


class Desk:
    """One queue and some agents who serve it, logged in and ready, at 0 s."""

    def __init__(self, core, n_agents=1, **settings):
        self.acd = core.Acd(n_calls=8, n_agents=8, n_queues=4, n_serving=32)
        self.queue = self.acd.add_queue(0.0, **settings)
        self.agents = [self.hire() for _ in range(n_agents)]
        self.acd.drain()

    def hire(self, skills=None, **terms):
        agent = self.acd.add_agent(0.0)
        self.acd.set_skills(agent, skills or {}, 0.0)
        self.acd.serve(agent, self.queue, 0.0, **terms)
        self.acd.log_in(agent, 0.0)
        self.acd.ready(agent, 0.0)
        return agent

    def state(self, agent):
        return AgentState(self.acd.agent_state(agent)[0])

    def offers(self):
        return [(call, agent) for kind, _, call, agent, _, _ in self.acd.drain() if kind == Out.OFFER]

    def answer(self, agent, now):
        self.acd.accept(self.acd.offer_of(agent), now)

    def talk(self, now):
        """A call that is answered at once."""
        call = self.acd.enqueue(self.queue, now)
        (agent,) = self.acd.agents_of(call)
        self.answer(agent, now)
        return call, agent


def test_a_call_goes_the_whole_way(core):
    desk = Desk(core, wrap_up_s=5.0)
    acd, (agent,) = desk.acd, desk.agents
    call = acd.enqueue(desk.queue, 1.0)
    offer = acd.offer_of(agent)
    assert acd.call_state(call) == CallState.OFFERED and acd.call_of(agent) == call
    acd.accept(offer, 3.0)
    acd.release(call, 60.0)
    assert acd.deadline() == 65.0
    acd.advance(64.999)
    assert desk.state(agent) == AgentState.ACW
    acd.advance(65.0)
    assert acd.drain() == [
        (Out.AGENT_STATE, 1.0, call, agent, AgentState.RESERVED, 0),
        (Out.OFFER, 1.0, call, agent, offer, 0),
        (Out.AGENT_STATE, 3.0, call, agent, AgentState.TALKING, 0),
        (Out.AGENT_STATE, 60.0, 0, agent, AgentState.ACW, 0),
        (Out.AGENT_STATE, 65.0, 0, agent, AgentState.READY, 0),
    ]
    (row,) = acd.snapshot("queues", 70.0)
    assert (row["offered"], row["answered"], row["wait_us"], row["talk_us"], row["wrap_us"]) == (1, 1, 2e6, 57e6, 5e6)


@pytest.mark.parametrize(
    ("verb", "sentence"),
    [("ready", "agent 1: LOGGED_OUT -> ready"), ("end_wrap_up", "agent 1: LOGGED_OUT -> end_wrap_up"),
     ("outside_ended", "agent 1: LOGGED_OUT -> outside_ended")],
)  # fmt: skip
def test_an_illegal_move_raises_a_sentence_and_changes_nothing(core, verb, sentence):
    desk = Desk(core)
    desk.acd.log_out(1, 1.0)
    before = (desk.acd.snapshot("agents", 2.0).tolist(), desk.acd.drain())
    with pytest.raises(core.IllegalMove, match=sentence):
        getattr(desk.acd, verb)(1, 2.0)
    assert (desk.acd.snapshot("agents", 2.0).tolist(), desk.acd.drain()) == (before[0], [])


def test_a_call_in_talk_cannot_abandon(core):
    desk = Desk(core)
    call, _ = desk.talk(1.0)
    with pytest.raises(core.IllegalMove, match=f"call {call}: CONNECTED -> abandon"):
        desk.acd.abandon(call, 2.0)


def test_handles_are_never_given_out_again(core):
    desk = Desk(core, n_agents=0)
    seen = set()
    for i in range(100):
        call = desk.acd.enqueue(desk.queue, float(i))
        assert call not in seen
        seen.add(call)
        desk.acd.abandon(call, float(i))
        for old in seen:
            with pytest.raises(core.UnknownHandle, match=f"no call {old}"):
                desk.acd.abandon(old, float(i))


def test_news_of_an_old_offer_is_refused(core):
    desk = Desk(core)
    call = desk.acd.enqueue(desk.queue, 1.0)
    old = desk.acd.offer_of(1)
    desk.acd.abandon(call, 2.0)
    desk.acd.enqueue(desk.queue, 3.0)
    for verb in ("accept", "refuse", "no_answer", "busy", "unreachable", "take_back"):
        with pytest.raises(core.StaleOffer, match=f"offer {old} is over"):
            getattr(desk.acd, verb)(old, 4.0)
    assert desk.acd.offer_of(1) > old and desk.state(1) == AgentState.RESERVED


def test_capacity_and_time_are_refused_by_name(core):
    desk = Desk(core, n_agents=0)
    for i in range(8):
        desk.acd.enqueue(desk.queue, float(i))
    with pytest.raises(core.CapacityReached, match="no room for more than 8 calls"):
        desk.acd.enqueue(desk.queue, 9.0)
    with pytest.raises(core.TimeWentBack):
        desk.acd.advance(8.0)
    with pytest.raises(core.TimeWentBack):
        desk.acd.advance(math.nan)
    with pytest.raises(core.CapacityReached, match="8 agents"):
        for _ in range(9):
            desk.acd.add_agent(9.0)


def test_each_kind_of_room_is_refused_by_name_and_nothing_changes(core):
    acd = core.Acd(n_calls=4, n_agents=2, n_queues=2, n_serving=1)
    queues = [acd.add_queue(0.0), acd.add_queue(0.0)]
    agent = acd.add_agent(0.0)
    acd.serve(agent, queues[0], 0.0)
    before = acd.save()
    refused = {
        "no room for more than 2 queues": lambda: acd.add_queue(0.0),
        "no room for more than 1 pairs of agent and queue": lambda: acd.serve(agent, queues[1], 0.0),
        "at most 16 terms of 16 skills": lambda: acd.needs([{skill: 1} for skill in range(17)]),
        "at most 7 steps": lambda: acd.add_relaxation([(float(i), 0, False, 0.0) for i in range(8)], 0.0),
    }
    for sentence, verb in refused.items():
        with pytest.raises(core.CapacityReached, match=sentence):
            verb()
    assert acd.save() == before


def test_handles_that_were_never_given_out_are_named(core):
    desk = Desk(core)
    unknown = {
        "enqueue: no queue 9": lambda: desk.acd.enqueue(9, 1.0),
        "enqueue: no needs 7": lambda: desk.acd.enqueue(desk.queue, 1.0, needs=7),
        "no relaxation 8": lambda: desk.acd.enqueue(desk.queue, 1.0, relaxation=8),
        "enqueue: no agent 6": lambda: desk.acd.enqueue(desk.queue, 1.0, preferred=6),
        "serve: no agent 5": lambda: desk.acd.serve(5, desk.queue, 1.0),
        "ready: no agent 5": lambda: desk.acd.ready(5, 1.0),
        "set_queue: no needs 7": lambda: desk.acd.set_queue(desk.queue, 1.0, needs=7),
        "no relaxation 8$": lambda: desk.acd.set_queue(desk.queue, 1.0, relaxation=8),
        "set_relaxation: no relaxation 3": lambda: desk.acd.set_relaxation(3, [], 1.0),
        "remove_queue: no queue 9": lambda: desk.acd.remove_queue(9, 1.0),
    }
    for sentence, verb in unknown.items():
        with pytest.raises(core.UnknownHandle, match=sentence):
            verb()
    (row,) = desk.acd.snapshot("queues", 1.0)
    assert row["offered"] == 0 and desk.state(1) == AgentState.READY


def test_wrap_up_follows_the_queue_of_each_call_whatever_came_before(core):
    """Calls of two queues in turn: ready on the millisecond, and offered a call at once."""
    desk = Desk(core, wrap_up_s=5.0)
    acd, (agent,) = desk.acd, desk.agents
    other = acd.add_queue(0.0, wrap_up_s=2.5)
    acd.serve(agent, other, 0.0)
    now = 1.0
    for queue, wrap_up_s in ((desk.queue, 5.0), (other, 2.5), (other, 2.5), (desk.queue, 5.0)):
        call = acd.enqueue(queue, now)
        desk.answer(agent, now)
        waiting = acd.enqueue(other, now + 1.0)
        acd.release(call, now + 10.0)
        acd.advance(now + 10.0 + wrap_up_s - 0.001)
        assert desk.state(agent) == AgentState.ACW
        acd.drain()
        acd.advance(now + 10.0 + wrap_up_s)
        assert desk.offers() == [(waiting, agent)]
        acd.abandon(waiting, now + 20.0)
        now += 30.0


@pytest.mark.prove
def test_40_000_queues_and_100_000_agents_work(core):
    """Each agent serves five queues; a call to any of them finds an agent."""
    acd = core.Acd(n_calls=1_000, n_agents=100_000, n_queues=40_000, n_serving=500_000)
    queues = [acd.add_queue(0.0) for _ in range(40_000)]
    for i in range(100_000):
        agent = acd.add_agent(0.0)
        for j in range(5):
            acd.serve(agent, queues[(7 * i + 8_000 * j) % 40_000], 0.0)
        acd.log_in(agent, 0.0)
        acd.ready(agent, 0.0)
    for i in range(0, 40_000, 41):
        call = acd.enqueue(queues[i], 1.0)
        (agent,) = acd.agents_of(call)
        acd.accept(acd.offer_of(agent), 1.0)
        acd.release(call, 1.0)
    assert acd.snapshot("queues", 2.0)["answered"].sum() == len(range(0, 40_000, 41))


def test_the_caller_who_hangs_up_while_it_rings_frees_the_agent_as_before(core):
    desk = Desk(core, n_agents=2)
    first, second = desk.agents
    call = desk.acd.enqueue(desk.queue, 5.0)
    desk.acd.abandon(call, 6.0)
    desk.acd.cleared(1, 6.5)
    assert desk.acd.drain()[-2:] == [
        (Out.OFFER_CANCELLED, 6.0, call, first, 1, Cancelled.CALL_LEFT),
        (Out.AGENT_STATE, 6.5, 0, first, AgentState.READY, 0),
    ]
    desk.acd.enqueue(desk.queue, 7.0)
    assert desk.offers() == [(2, first)], "its idle time went on, so it is still the longest idle"


# ---- an offer that is given up: the phone may still be in that call


def test_nothing_is_offered_to_a_phone_that_is_being_cleared(core):
    """The callers keep their places: who comes meanwhile is served first by others, and first when it is cleared."""
    desk = Desk(core, n_agents=2)
    first, second = desk.agents
    desk.acd.abandon(desk.acd.enqueue(desk.queue, 1.0), 2.0)
    calls = [desk.acd.enqueue(desk.queue, 2.0) for _ in range(3)]
    assert desk.offers() == [(1, first), (calls[0], second)]
    assert (desk.state(first), desk.acd.call_of(first), desk.acd.offer_of(first)) == (AgentState.RESERVED, 0, 0)
    why = {agent: (verdict, until) for agent, verdict, until in desk.acd.why_call(calls[1], 2.0)["agents"]}
    assert why[first] == (Verdict.CLEARING, 4.0) and why[second][0] == Verdict.RESERVED
    with pytest.raises(core.IllegalMove):
        desk.acd.dispatch(calls[2], first, 2.0)
    desk.acd.cleared(1, 2.1)
    assert desk.offers() == [(calls[1], first)]


def test_a_phone_of_which_nothing_is_heard_is_held_for_2_s(core):
    desk = Desk(core)
    desk.acd.abandon(desk.acd.enqueue(desk.queue, 1.0), 2.0)
    waiting = desk.acd.enqueue(desk.queue, 2.5)
    assert desk.acd.deadline() == 4.0
    desk.acd.advance(3.999)
    assert desk.acd.call_state(waiting) == CallState.WAITING
    desk.acd.advance(4.0)
    assert desk.acd.call_of(1) == waiting
    with pytest.raises(core.StaleOffer, match="cleared: offer 1 is over"):
        desk.acd.cleared(1, 4.1)


GIVEN_UP = {
    "abandon": lambda acd, call: acd.abandon(call, 1.9),
    "overflow": lambda acd, call: acd.overflow(call, 1.9),
    "call_back": lambda acd, call: acd.call_back(call, 1.9),
    "withdraw": lambda acd, call: acd.withdraw(call, 1.9),
    "fail": lambda acd, call: acd.fail(call, 1.9),
    "another agent won": lambda acd, call: acd.accept(acd.offer_of(2), 1.9),
    "the ring time is over": lambda acd, call: acd.advance(2.0),
    "a break": lambda acd, call: (acd.not_ready(1, 1.9), acd.ready(1, 1.9)),
    "a log-out": lambda acd, call: (acd.log_out(1, 1.9), acd.log_in(1, 1.9), acd.ready(1, 1.9)),
    "the phone went": lambda acd, call: (acd.phone_gone(1, 1.9), acd.phone_back(1, 1.9)),
    "the phone dials": lambda acd, call: (acd.outside_dialled(1, 1.9), acd.outside_ended(1, 1.9)),
    "another queue": lambda acd, call: acd.cease(1, 1, 1.9),
}
PHONES_WORD = {
    "refuse": lambda acd, call: acd.refuse(acd.offer_of(1), 1.9),
    "no_answer": lambda acd, call: acd.no_answer(acd.offer_of(1), 1.9),
    "busy": lambda acd, call: acd.busy(acd.offer_of(1), 1.9),
    "unreachable": lambda acd, call: acd.unreachable(acd.offer_of(1), 1.9),
    "take_back": lambda acd, call: acd.take_back(acd.offer_of(1), 1.9),
    "a talk": lambda acd, call: (acd.accept(acd.offer_of(1), 1.5), acd.release(call, 1.9)),
}


@pytest.mark.parametrize("how", [*GIVEN_UP, *PHONES_WORD])
def test_only_the_phones_own_word_leaves_it_free(core, how):
    """Whatever else ends an offer, the engine hears of it; and when that is cleared, the agent is free."""
    desk = Desk(core, n_agents=1 + (how == "another agent won"), n_ring=2, ring_s=1.0)
    acd = desk.acd
    for failure in Failure:
        acd.set_policy(desk.queue, failure, 0.0, Policy.STAY_READY)
    call = acd.enqueue(desk.queue, 1.0)
    offer = acd.offer_of(1)
    acd.drain()
    (GIVEN_UP | PHONES_WORD)[how](acd, call)
    told = {kind for kind, _, _, _, number, _ in acd.drain() if number == offer and kind != Out.AGENT_STATE}
    if how in GIVEN_UP:
        assert told in ({Out.OFFER_CANCELLED}, {Out.OFFER_EXPIRED})
        assert (desk.state(1), acd.offer_of(1)) == (AgentState.RESERVED, 0)
        with pytest.raises(core.StaleOffer):
            acd.accept(offer, 2.0)
        acd.cleared(offer, 2.0)
    else:
        assert told == set()
        with pytest.raises(core.StaleOffer):
            acd.cleared(offer, 1.9)
    assert desk.state(1) == AgentState.READY or acd.offer_of(1) > offer


def test_an_agent_who_goes_is_told_so_at_once_while_the_phone_is_cleared(core):
    desk = Desk(core)
    desk.acd.abandon(desk.acd.enqueue(desk.queue, 1.0), 2.0)
    desk.acd.not_ready(1, 2.1, reason=3)
    assert desk.acd.agent_state(1)[:2] == (AgentState.NOT_READY, 3)
    desk.acd.ready(1, 2.2)
    assert desk.state(1) == AgentState.RESERVED
    desk.acd.log_out(1, 2.3)
    assert desk.state(1) == AgentState.LOGGED_OUT
    desk.acd.cleared(1, 2.4)
    assert desk.state(1) == AgentState.LOGGED_OUT and desk.acd.deadline() == math.inf


def test_a_pause_may_end_while_the_phone_is_cleared(core):
    desk = Desk(core, ring_s=10.0)
    desk.acd.set_policy(desk.queue, Failure.NO_ANSWER, 0.0, Policy.PAUSE, pause_s=0.5)
    desk.acd.enqueue(desk.queue, 1.0)
    states = []
    for now in (11.0, 11.4, 11.5, 12.9, 13.0):
        desk.acd.advance(now)
        states.append(desk.state(1))
    paused, held = AgentState.NOT_READY, AgentState.RESERVED
    assert states == [paused, paused, held, held, AgentState.RESERVED] and desk.acd.offer_of(1) == 2


def test_who_comes_back_from_a_break_while_the_phone_is_cleared_is_the_last_in_turn(core):
    desk = Desk(core, n_agents=2)
    desk.acd.abandon(desk.acd.enqueue(desk.queue, 1.0), 2.0)
    desk.acd.not_ready(1, 2.1)
    desk.acd.ready(1, 2.2)
    desk.acd.cleared(1, 2.3)
    call = desk.acd.enqueue(desk.queue, 3.0)
    assert desk.acd.agents_of(call) == [2]


def test_an_agent_is_removed_while_the_phone_is_cleared_and_leaves_nothing(core):
    desk = Desk(core)
    desk.acd.abandon(desk.acd.enqueue(desk.queue, 1.0), 2.0)
    desk.acd.log_out(1, 2.0)
    desk.acd.remove_agent(1, 2.0)
    with pytest.raises(core.StaleOffer):
        desk.acd.cleared(1, 2.1)
    assert desk.acd.deadline() == math.inf


@pytest.mark.parametrize(
    ("verb", "reason", "pause_s"),
    [("refuse", Reason.REFUSED, 5.0), ("busy", Reason.BUSY, 5.0), ("unreachable", Reason.UNREACHABLE, 10.0),
     ("no_answer", Reason.NO_ANSWER, None)],
)  # fmt: skip
def test_each_failure_has_its_own_consequence_and_the_next_agent_rings_at_once(core, verb, reason, pause_s):
    desk = Desk(core, n_agents=2)
    first, second = desk.agents
    call = desk.acd.enqueue(desk.queue, 1.0)
    getattr(desk.acd, verb)(desk.acd.offer_of(first), 2.0)
    assert desk.acd.agent_state(first)[:2] == (AgentState.NOT_READY, reason)
    assert desk.acd.agents_of(call) == [second]
    assert desk.acd.deadline() == (math.inf if pause_s is None else 2.0 + pause_s)
    if pause_s:
        desk.acd.advance(2.0 + pause_s)
        assert desk.state(first) == AgentState.READY


def test_a_policy_may_ask_for_several_in_a_row(core):
    desk = Desk(core)
    desk.acd.set_policy(desk.queue, Failure.NO_ANSWER, 0.0, Policy.GO_NOT_READY, in_a_row=2)
    desk.acd.enqueue(desk.queue, 1.0)
    desk.acd.no_answer(desk.acd.offer_of(1), 2.0)
    assert desk.state(1) == AgentState.RESERVED, "nobody else is untried: it rings there again"
    desk.acd.no_answer(desk.acd.offer_of(1), 3.0)
    assert desk.state(1) == AgentState.NOT_READY


def test_who_declined_a_call_gets_the_next_one_while_another_is_untried(core):
    desk = Desk(core, n_agents=2)
    one, other = desk.agents
    desk.acd.set_policy(desk.queue, Failure.REFUSED, 0.0, Policy.STAY_READY)
    _, busy = desk.talk(0.5)
    assert busy == one
    call = desk.acd.enqueue(desk.queue, 1.0)
    later = desk.acd.enqueue(desk.queue, 2.0)
    desk.acd.refuse(desk.acd.offer_of(other), 3.0)
    assert desk.acd.call_of(other) == later
    offer = desk.acd.offer_of(other)
    assert {a: v for a, v, _ in desk.acd.why_call(call, 3.0)["agents"]}[one] == Verdict.TALKING
    desk.acd.abandon(later, 4.0)
    desk.acd.cleared(offer, 4.0)
    assert desk.state(other) == AgentState.READY, "the caller waits for the one who is untried"
    desk.acd.log_out(one, 5.0)
    assert desk.state(other) == AgentState.READY, "still in talk, so still to come"
    desk.acd.release(1, 6.0)
    assert desk.acd.call_of(other) == call, "nobody is untried any more"


def test_ring_time_is_guarded_by_the_core(core):
    desk = Desk(core, ring_s=20.0)
    call = desk.acd.enqueue(desk.queue, 1.0)
    assert desk.acd.deadline() == 21.0
    desk.acd.advance(21.0)
    kinds = [kind for kind, *_ in desk.acd.drain()]
    assert Out.OFFER_EXPIRED in kinds and Out.CALL_REQUEUED in kinds
    assert desk.acd.call_state(call) == CallState.WAITING


def test_an_offered_call_expires_only_when_the_offer_fails(core):
    desk = Desk(core)
    call = desk.acd.enqueue(desk.queue, 1.0, max_wait_s=10.0)
    desk.acd.advance(15.0)
    assert desk.acd.call_state(call) == CallState.OFFERED
    desk.acd.refuse(desk.acd.offer_of(1), 16.0)
    assert (Out.CALL_EXPIRED, 16.0, call, 0, 0, 0) in desk.acd.drain()
    with pytest.raises(core.UnknownHandle):
        desk.acd.call_state(call)


def test_several_phones_ring_and_exactly_one_wins(core):
    desk = Desk(core, n_agents=4, n_ring=3)
    call = desk.acd.enqueue(desk.queue, 1.0)
    ringing = desk.acd.agents_of(call)
    assert len(ringing) == 3
    offers = {agent: desk.acd.offer_of(agent) for agent in ringing}
    desk.acd.accept(offers[2], 2.0)
    for agent in ringing:
        if agent != 2:
            desk.acd.cleared(offers[agent], 2.0)
            assert desk.state(agent) == AgentState.READY and desk.acd.offer_of(agent) == 0
            with pytest.raises(core.StaleOffer):
                desk.acd.accept(offers[agent], 2.0)


def test_a_break_while_it_rings_cancels_that_phone_only(core):
    desk = Desk(core, n_agents=2, n_ring=0)
    call = desk.acd.enqueue(desk.queue, 1.0)
    desk.acd.not_ready(1, 2.0, reason=7)
    assert desk.acd.agents_of(call) == [2] and desk.acd.agent_state(1)[:2] == (AgentState.NOT_READY, 7)


@pytest.mark.parametrize("moment", ["talk", "wrap-up"])
def test_after_this_call_is_never_lost(core, moment):
    desk = Desk(core, wrap_up_s=5.0)
    call, _ = desk.talk(1.0)
    if moment == "talk":
        desk.acd.not_ready(1, 2.0, reason=3)
    desk.acd.release(call, 10.0)
    if moment == "wrap-up":
        desk.acd.not_ready(1, 11.0, reason=3, after_call=True)
    assert desk.state(1) == AgentState.ACW
    desk.acd.enqueue(desk.queue, 12.0)
    desk.acd.advance(15.0)
    assert desk.acd.agent_state(1) == (AgentState.NOT_READY, 3, 15.0)


def test_log_out_in_talk_waits_for_the_end_and_skips_wrap_up(core):
    desk = Desk(core, wrap_up_s=5.0)
    call, _ = desk.talk(1.0)
    desk.acd.log_out(1, 2.0)
    assert desk.state(1) == AgentState.TALKING
    desk.acd.release(call, 3.0)
    assert desk.state(1) == AgentState.LOGGED_OUT


def test_wrap_up_is_extended_manual_ended_early_and_the_agents_own(core):
    desk = Desk(core, wrap_up_s=5.0)
    desk.acd.release(desk.talk(1.0)[0], 2.0)
    desk.acd.extend_wrap_up(1, 7.5, 3.0)
    assert desk.acd.deadline() == 14.5
    desk.acd.end_wrap_up(1, 4.0)
    assert desk.state(1) == AgentState.READY
    desk.acd.set_wrap_up(1, math.inf, 4.0)
    desk.acd.release(desk.talk(5.0)[0], 6.0)
    assert desk.state(1) == AgentState.ACW and desk.acd.deadline() == math.inf
    desk.acd.ready(1, 7.0)
    assert desk.state(1) == AgentState.READY


def test_a_phone_that_is_gone_or_busy_gets_no_offers_and_comes_back_by_itself(core):
    desk = Desk(core)
    desk.acd.phone_gone(1, 1.0)
    desk.acd.outside_began(1, 1.0)
    call = desk.acd.enqueue(desk.queue, 2.0)
    assert desk.acd.agent_state(1)[:2] == (AgentState.NOT_READY, Reason.PHONE_GONE)
    desk.acd.phone_back(1, 3.0)
    assert desk.acd.agent_state(1)[:2] == (AgentState.NOT_READY, Reason.OUTSIDE_CALL)
    desk.acd.outside_ended(1, 4.0)
    assert desk.acd.call_of(1) == call


def test_an_agent_who_dials_is_no_longer_rung_and_not_blamed(core):
    """The call keeps its place, and is the next agent's at once."""
    desk = Desk(core, n_agents=2)
    call = desk.acd.enqueue(desk.queue, 1.0)
    later = [desk.acd.enqueue(desk.queue, 1.0 + n) for n in range(2)]
    rung, other = desk.acd.agents_of(call)[0], desk.acd.agents_of(later[0])[0]
    desk.acd.drain()
    desk.acd.outside_began(rung, 3.0)
    assert desk.acd.drain() == [] and desk.state(rung) == AgentState.RESERVED, "who is called is rung on"
    desk.acd.outside_dialled(rung, 4.0)
    assert desk.acd.agent_state(rung)[:2] == (AgentState.NOT_READY, Reason.OUTSIDE_CALL)
    cancelled = (Out.OFFER_CANCELLED, 4.0, call, rung, Cancelled.AGENT_LEFT)
    assert cancelled in [(*row[:4], row[5]) for row in desk.acd.drain()]
    assert desk.acd.position(call) == 1 and desk.acd.position(later[1]) == 2
    desk.acd.refuse(desk.acd.offer_of(other), 5.0)
    desk.acd.outside_ended(rung, 6.0)
    assert desk.state(rung) == AgentState.NOT_READY
    desk.acd.outside_ended(rung, 7.0)
    assert desk.acd.call_of(rung) == call, "not blamed, and asked again"


def test_groups_in_turn_vip_first_then_all_at_once_with_a_head_start(core):
    desk = Desk(core, n_agents=0)
    vip, general = desk.hire({9: 1}), desk.hire()
    group = desk.acd.needs([{9: 1}])
    turn = desk.acd.add_relaxation([(0.0, 0, True, 300.0)], 0.0)
    desk.acd.drain()
    first = desk.acd.enqueue(desk.queue, 1.0, needs=group, relaxation=turn)
    assert desk.offers() == [(first, vip)]
    second = desk.acd.enqueue(desk.queue, 2.0, needs=group, relaxation=turn)
    assert (Out.CALL_RELAXED, 2.0, second, 0, 1, 0) in desk.acd.drain()
    assert desk.acd.agents_of(second) == [general]
    ordinary = desk.acd.enqueue(desk.queue, 3.0)
    third = desk.acd.enqueue(desk.queue, 4.0, needs=group, relaxation=turn)
    assert (desk.acd.position(third), desk.acd.position(ordinary)) == (1, 2)


@pytest.mark.parametrize(("then", "when"), [("hold ends", 12.0), ("break", 5.0)])
def test_a_preferred_agent_is_waited_for_only_so_long(core, then, when):
    desk = Desk(core, n_agents=2)
    _, preferred = desk.talk(1.0)
    other = 3 - preferred
    call = desk.acd.enqueue(desk.queue, 2.0, preferred=preferred, preferred_wait_s=10.0, preferred_head_start_s=60.0)
    assert desk.acd.call_state(call) == CallState.WAITING
    assert {a: v for a, v, _ in desk.acd.why_call(call, 2.0)["agents"]}[other] == Verdict.HELD
    if then == "break":
        desk.acd.log_out(preferred, 4.0)
        desk.acd.release(1, 5.0)
    desk.acd.advance(when)
    assert desk.acd.call_of(other) == call


def test_secondary_agents_and_relaxed_needs_come_in_time(core):
    desk = Desk(core, n_agents=0)
    secondary = desk.hire({1: 2}, from_s=15.0)
    strict = desk.acd.needs([{1: 4}])
    relax = desk.acd.add_relaxation([(20.0, None, True, 0.0)], 0.0)
    easy = desk.acd.enqueue(desk.queue, 0.0)
    desk.acd.advance(14.999)
    assert desk.acd.call_state(easy) == CallState.WAITING
    desk.acd.advance(15.0)
    assert desk.acd.call_of(secondary) == easy
    desk.acd.abandon(easy, 15.0)
    hard = desk.acd.enqueue(desk.queue, 16.0, needs=strict, relaxation=relax)
    desk.acd.set_relaxation(relax, [(30.0, None, True, 0.0)], 20.0)  # an edit reaches callers already waiting
    assert desk.acd.deadline() == 31.0, "the secondary agent's wait comes first, and finds the needs unmet"
    desk.acd.advance(45.9)
    assert desk.acd.call_state(hard) == CallState.WAITING
    desk.acd.advance(46.0)
    assert desk.acd.call_of(secondary) == hard


def test_reserves_help_while_the_wait_is_long_and_then_no_more(core):
    desk = Desk(core, n_agents=0, reserve_on_s=30.0, reserve_off_s=10.0)
    reserve = desk.hire(reserve=True)
    first, second = desk.acd.enqueue(desk.queue, 0.0), desk.acd.enqueue(desk.queue, 25.0)
    desk.acd.advance(30.0)
    assert desk.acd.call_of(reserve) == first
    desk.answer(reserve, 31.0)
    desk.acd.release(first, 33.0)
    assert desk.state(reserve) == AgentState.READY, "the oldest now waits 8 s: below 10 s"
    assert (Out.RESERVE, 30.0, 0, 0, desk.queue, 0) in desk.acd.drain()
    assert desk.acd.why_call(second, 33.0)["agents"] == [(reserve, Verdict.RESERVE_OFF, None)]


@pytest.mark.parametrize(
    ("settings", "more", "refusal"),
    [({"needs_agent": True}, {"out": True}, Refusal.NO_AGENT), ({"needs_skill": True}, {"skill": 5}, Refusal.NO_SKILL),
     ({"max_waiting": 0}, {}, Refusal.QUEUE_FULL), ({"max_ewt_s": 1.0}, {}, Refusal.WAIT_TOO_LONG)],
)  # fmt: skip
def test_each_limit_has_its_own_outcome(core, settings, more, refusal):
    desk = Desk(core, **settings)
    assert desk.acd.enqueue(desk.queue, 0.0) > 0, "a free agent is taken whatever the limits"
    if more.get("out"):
        desk.acd.log_out(1, 1.0)
    needs = desk.acd.needs([{more["skill"]: 1}]) if "skill" in more else 0
    assert desk.acd.enqueue(desk.queue, 2.0, needs=needs) == refusal
    (row,) = desk.acd.snapshot("queues", 3.0)
    assert row["offered"] == row["answered"] + row["overflowed"] + row["waiting"]


def test_callers_overflow_when_the_last_agent_leaves(core):
    desk = Desk(core, needs_agent=True)
    desk.talk(0.5)
    call = desk.acd.enqueue(desk.queue, 1.0)
    desk.acd.log_out(1, 2.0)
    desk.acd.release(1, 3.0)
    assert (Out.CALL_OVERFLOWED, 3.0, call, 0, 0, Refusal.NO_AGENT) in desk.acd.drain()


STRATEGIES = {
    Strategy.LONGEST_IDLE: [1, 2, 3],
    Strategy.LINEAR: [1, 1, 1],
    Strategy.ROUND_ROBIN: [1, 2, 3],
    Strategy.FEWEST_CALLS: [1, 2, 3],
    Strategy.LEAST_OCCUPIED: [1, 2, 3],
    Strategy.MOST_SKILLED: [3, 3, 3],
    Strategy.LEAST_SKILLED: [2, 2, 2],
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_choose_as_named(core, strategy):
    desk = Desk(core, n_agents=0, strategy=strategy)
    for skills in ({1: 2}, {1: 1}, {1: 3}):
        desk.hire(skills)
    chosen = []
    for i in range(3):
        call, agent = desk.talk(10.0 * i)
        desk.acd.release(call, 10.0 * i + 5)
        chosen.append(agent)
    assert chosen == STRATEGIES[strategy]


@pytest.mark.parametrize(("strategy", "share"), [(Strategy.RANDOM, 0.5), (Strategy.WEIGHTED, 0.75)])
def test_random_strategies_keep_their_shares(core, strategy, share):
    desk = Desk(core, n_agents=0, strategy=strategy)
    desk.hire(weight=3), desk.hire(weight=1)
    n = 2000
    first = 0
    for i in range(n):
        call, agent = desk.talk(float(i))
        first += agent == 1
        desk.acd.release(call, float(i))
    assert abs(first / n - share) < 4 * math.sqrt(share * (1 - share) / n)


def test_a_lower_rank_comes_first_whoever_idles_longer(core):
    desk = Desk(core, n_agents=0)
    desk.hire(rank=1)
    near = desk.hire(rank=0)
    assert desk.acd.agents_of(desk.acd.enqueue(desk.queue, 1.0)) == [near]


def test_256_skills_and_either_or(core):
    desk = Desk(core, n_agents=0)
    agent = desk.hire({255: 7, 64: 1})
    either = desk.acd.needs([{0: 1}, {255: 7, 64: 1}])
    beyond = desk.acd.needs([{255: 8}])
    assert desk.acd.agents_of(desk.acd.enqueue(desk.queue, 1.0, needs=either)) == [agent]
    assert desk.acd.needs([{64: 1, 255: 7}, {0: 1}]) == either
    assert desk.acd.call_state(desk.acd.enqueue(desk.queue, 2.0, needs=beyond)) == CallState.WAITING
    with pytest.raises(ValueError, match="0 to 255"):
        desk.acd.needs([{256: 1}])


def test_dispatch_gives_a_call_out_of_order(core):
    desk = Desk(core, n_agents=0)
    agent = desk.hire({1: 1})
    hard = desk.acd.enqueue(desk.queue, 1.0, needs=desk.acd.needs([{2: 1}]))
    assert desk.acd.dispatch(hard, agent, 2.0) == desk.acd.offer_of(agent)
    with pytest.raises(core.IllegalMove):
        desk.acd.dispatch(hard, agent, 3.0)


def test_why_says_who_is_next_and_what_stands_before(core):
    desk = Desk(core, n_agents=0)
    agent = desk.hire({1: 1})
    desk.acd.not_ready(agent, 0.0, reason=2)
    first = desk.acd.enqueue(desk.queue, 1.0)
    second = desk.acd.enqueue(desk.queue, 2.0, needs=desk.acd.needs([{2: 1}]))
    why = desk.acd.why_call(second, 10.0)
    assert (why["position"], why["waited_s"], why["before"]) == (2, 8.0, [(first, desk.queue)])
    assert why["agents"] == [(agent, Verdict.NOT_READY, None)] and why["needs"] == [{2: 1}]
    assert desk.acd.why_agent(agent, 10.0)["next"] == first


def test_recorded_verbs_give_the_same_outputs_through_feed(core):
    one, two = Desk(core, n_agents=2, wrap_up_s=3.0), Desk(core, n_agents=2, wrap_up_s=3.0)
    call = one.acd.enqueue(one.queue, 1.0, head_start_s=5.0)
    offer = one.acd.offer_of(1)
    one.acd.accept(offer, 2.0)
    one.acd.release(call, 9.0)
    one.acd.advance(20.0)
    rows = np.zeros(4, dtype=acd_core.COMMAND)
    for row, (verb, a, now) in zip(
        rows, [("enqueue", one.queue, 1.0), ("accept", offer, 2.0), ("release", call, 9.0), ("advance", 0, 20.0)],
        strict=True,
    ):  # fmt: skip
        row["verb"], row["a"], row["now"] = acd_core.VERBS[verb], a, now
    rows["relaxation"], rows["arrival"], rows["max_wait_s"] = -1, np.nan, np.inf
    rows[0]["x"] = 5.0
    assert two.acd.feed(rows) == 4
    assert two.acd.drain() == one.acd.drain()
    assert two.acd.feed(rows[:1]) == 0, "time went back: nothing is played"


def test_counts_by_skill(core):
    desk = Desk(core, n_agents=0)
    desk.hire({1: 1, 2: 1})
    desk.acd.enqueue(desk.queue, 1.0, needs=desk.acd.needs([{1: 1, 2: 1}]))
    desk.answer(1, 3.0)
    desk.acd.abandon(desk.acd.enqueue(desk.queue, 4.0, needs=desk.acd.needs([{2: 1}])), 9.0)
    desk.acd.enqueue(desk.queue, 5.0 + 5.0)
    rows = desk.acd.snapshot("skills", 10.0)
    assert [tuple(row) for row in rows] == [(1, 1, 1, 1, 0, 2_000_000), (2, 2, 1, 1, 1, 2_000_000)]


def test_an_interval_is_the_difference_of_two_snapshots(core):
    """15 minutes of calls by the second, cut into minutes: each has its own calls, and of every agent's time all."""
    rng, desk = random.Random(5), Desk(core, n_agents=4, wrap_up_s=7.5)
    acd = desk.acd
    waiting: list[int] = []
    talking: list[int] = []
    seen = dict.fromkeys(("offered", "answered", "abandoned", "released"), 0)
    queue, agents = acd.snapshot("queues", 0.0)[0], acd.snapshot("agents", 0.0)
    states = [name for name in agents.dtype.names if name.endswith("_us")]
    for now in range(1, 901):
        if len(waiting) + len(talking) < 8 and rng.random() < 0.2:
            waiting.append(acd.enqueue(desk.queue, float(now)))
            seen["offered"] += 1
        if talking and rng.random() < 0.3:
            acd.release(talking.pop(0), float(now))
            seen["released"] += 1
        if waiting and rng.random() < 0.03:
            acd.abandon(waiting.pop(0), float(now))
            seen["abandoned"] += 1
        acd.advance(float(now))
        for call, agent in desk.offers():
            if acd.call_of(agent) == call:  # else the caller hung up first
                desk.answer(agent, float(now))
                waiting.remove(call)
                talking.append(call)
                seen["answered"] += 1
        if now % 60 == 0:
            earlier, queue = queue, acd.snapshot("queues", float(now))[0]
            before, agents = agents, acd.snapshot("agents", float(now))
            assert {name: queue[name] - earlier[name] for name in seen} == seen and seen["answered"] > 0
            assert all(sum(agents[name] - before[name] for name in states) == 60_000_000)
            seen = dict.fromkeys(seen, 0)


def test_service_level_formulas_side_by_side():
    row = np.zeros(2, dtype=[(n, int) for n in "in_sl answered offered abandoned abandoned_in_sl short".split()])
    row[0] = (60, 80, 100, 20, 10, 5)
    levels = acd_core.service_levels(row)
    assert {name: round(float(value[0]), 4) for name, value in levels.items()} == {
        "answered": 0.75, "offered": 0.6, "handled": 0.6, "less_short": 0.6316, "with_abandoned": 0.7,
    }  # fmt: skip
    assert all(np.isnan(value[1]) for value in levels.values())
