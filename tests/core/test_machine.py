"""Hypothesis drives the core and the model together; a mismatch prints a short program.

Each rule is one verb with drawn arguments; Pair compares everything that can be seen after it, and the audit of the six
invariants runs after every step. Every verb of the contract has a rule: test_every_verb_has_a_rule. The seeded storms
(test_storm.py) go further, this one shrinks.
"""

import inspect
import math
import re

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import acd_core
from tests.core.pair import FAILURES, N_SKILLS, VERBS_OF_CALLS, Pair

SKILLS = st.dictionaries(st.integers(0, N_SKILLS - 1), st.integers(1, 3), max_size=N_SKILLS)
TERMS = st.lists(st.dictionaries(st.integers(0, N_SKILLS - 1), st.integers(1, 3), min_size=1, max_size=2), max_size=2)
HEADS = st.sampled_from([0.0, 0.0, 5.0, 60.0, math.inf])
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 5.0, 20.0]), st.sampled_from([None, 0]), st.booleans(), HEADS), max_size=3
).map(lambda steps: sorted(steps, key=lambda step: step[0]))
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "strategy": st.integers(0, 8),
        "n_ring": st.sampled_from([1, 2, 0]),
        "ring_s": st.sampled_from([math.inf, 8.0]),
        "wrap_up_s": st.sampled_from([0.0, 3.0, math.inf]),
        "max_waiting": st.sampled_from([-1, 0, 2]),
        "needs_agent": st.booleans(),
        "needs_skill": st.booleans(),
        "max_ewt_s": st.sampled_from([math.inf, 200.0]),
        "reserve_on_s": st.sampled_from([math.inf, 10.0, 0.0]),
        "relaxation": st.sampled_from([0, 1]),
    },
)
index = st.integers(0, 7)


class CoreBesideModel(RuleBasedStateMachine):
    @initialize(queues=st.lists(SETTINGS, min_size=1, max_size=3), steps=STEPS, seed=st.integers(1, 9))
    def open(self, queues, steps, seed):
        self.pair = Pair(acd_core, n_calls=6, n_agents=4, seed=seed)
        self.pair.do("add_relaxation", steps, 0.0)
        self.queues = [self.pair.do("add_queue", 0.0, **settings) for settings in queues]

    def agent(self, i):
        agents = list(self.pair.model.agents)
        return agents[i % len(agents)] if agents else 99

    def call(self, i):
        calls = list(self.pair.model.calls)
        return calls[i % len(calls)] if calls else 99

    def offer(self, i):
        offers = [agent.offer for agent in self.pair.model.agents.values() if agent.offer]
        return offers[i % len(offers)] if offers else 0

    @rule(seconds=st.sampled_from([0.0, 0.001, 1.0, 5.0, 10.0]), to_deadline=st.booleans())
    def wait(self, seconds, to_deadline):
        deadline = self.pair.model.deadline()
        self.pair.now = max(self.pair.now, deadline) if to_deadline and deadline < math.inf else self.pair.now + seconds
        self.pair.do("advance", self.pair.now)

    @precondition(lambda self: len(self.pair.model.agents) < 4)
    @rule(skills=SKILLS, ranks=st.lists(st.integers(0, 1), min_size=3, max_size=3), from_s=st.sampled_from([0.0, 5.0]))
    def hire(self, skills, ranks, from_s):
        pair = self.pair
        agent = pair.do("add_agent", pair.now)
        pair.do("set_skills", agent, skills, pair.now)
        for queue, rank in zip(self.queues, ranks, strict=False):
            pair.do("serve", agent, queue, pair.now, rank=rank, from_s=from_s if rank else 0.0)
        pair.do("log_in", agent, pair.now)
        pair.do("ready", agent, pair.now)

    @rule(
        i=index, terms=TERMS, head=HEADS, max_wait=st.sampled_from([math.inf, 20.0, 0.0]),
        back=st.sampled_from([0.0, 30.0]), prefers=st.booleans(), hold=st.sampled_from([0.0, 10.0]),
        relaxation=st.sampled_from([-1, 0, 1]),
    )  # fmt: skip
    def arrive(self, i, terms, head, max_wait, back, prefers, hold, relaxation):
        pair = self.pair
        known = len(pair.model.terms)
        core, model = pair.do("needs", terms)
        if core < known and model == known:
            pair.model.terms.pop()
        preferred = self.agent(i) if prefers and pair.model.agents else 0
        pair.do(
            "enqueue", self.queues[i % len(self.queues)], pair.now, needs=core, relaxation=relaxation,
            arrival=pair.now - back, head_start_s=head, max_wait_s=max_wait, preferred=preferred, preferred_wait_s=hold,
            preferred_head_start_s=30.0,
        )  # fmt: skip

    @rule(i=index)
    def accept(self, i):
        self.pair.do("accept", self.offer(i), self.pair.now)

    @rule(i=index, how=st.sampled_from(FAILURES))
    def offer_fails(self, i, how):
        self.pair.do(how, self.offer(i), self.pair.now)

    @rule(i=index)
    def cleared(self, i):
        offers = [agent.clearing for agent in self.pair.model.agents.values() if agent.clearing]
        self.pair.do("cleared", offers[i % len(offers)] if offers else self.offer(i), self.pair.now)

    @rule(i=index)
    def release(self, i):
        self.pair.do("release", self.call(i), self.pair.now)

    @rule(i=index, how=st.sampled_from(VERBS_OF_CALLS))
    def call_leaves(self, i, how):
        self.pair.do(how, self.call(i), self.pair.now)

    @rule(i=index, head=HEADS)
    def raise_head_start(self, i, head):
        self.pair.do("raise_head_start", self.call(i), head, self.pair.now)

    @rule(
        i=index,
        verb=st.sampled_from(
            "log_in log_out ready ready end_wrap_up phone_gone phone_back "
            "outside_began outside_dialled outside_ended outside_ended".split()
        ),
    )
    def agent_acts(self, i, verb):
        self.pair.do(verb, self.agent(i), self.pair.now)

    @rule(i=index, seconds=st.sampled_from([0.0, 2.0, math.inf]))
    def extend_wrap_up(self, i, seconds):
        self.pair.do("extend_wrap_up", self.agent(i), seconds, self.pair.now)

    @rule(i=index, reason=st.integers(0, 2), after_call=st.booleans())
    def not_ready(self, i, reason, after_call):
        self.pair.do("not_ready", self.agent(i), self.pair.now, reason=reason, after_call=after_call)

    @rule(i=index, j=index)
    def dispatch(self, i, j):
        self.pair.do("dispatch", self.call(i), self.agent(j), self.pair.now)

    @rule(i=index, settings=SETTINGS)
    def reload_queue(self, i, settings):
        self.pair.do("set_queue", self.queues[i % len(self.queues)], self.pair.now, **settings)

    @rule(steps=STEPS)
    def reload_relaxation(self, steps):
        self.pair.do("set_relaxation", 1, steps, self.pair.now)

    @precondition(lambda self: self.pair.model.agents)
    @rule(i=index, skills=SKILLS)
    def retrain(self, i, skills):
        self.pair.do("set_skills", self.agent(i), skills, self.pair.now)

    @precondition(lambda self: self.pair.model.agents)
    @rule(i=index, wrap_up_s=st.sampled_from([None, 0.0, 4.0]))
    def own_wrap_up(self, i, wrap_up_s):
        self.pair.do("set_wrap_up", self.agent(i), wrap_up_s, self.pair.now)

    @rule(i=index, failure=st.integers(0, 3), policy=st.integers(0, 2), in_a_row=st.integers(1, 2))
    def change_policy(self, i, failure, policy, in_a_row):
        queue = self.queues[i % len(self.queues)]
        self.pair.do("set_policy", queue, failure, self.pair.now, policy, pause_s=6.0, in_a_row=in_a_row)

    @precondition(lambda self: self.pair.model.agents)
    @rule(i=index, j=index, rank=st.integers(0, 1), from_s=st.sampled_from([0.0, 5.0, 20.0]), reserve=st.booleans())
    def serve(self, i, j, rank, from_s, reserve):
        queue = self.queues[j % len(self.queues)]
        self.pair.do("serve", self.agent(i), queue, self.pair.now, rank=rank, from_s=from_s, reserve=reserve)

    @precondition(lambda self: self.pair.model.agents)
    @rule(i=index, j=index)
    def cease(self, i, j):
        self.pair.do("cease", self.agent(i), self.queues[j % len(self.queues)], self.pair.now)

    @rule(i=index)
    def dismiss(self, i):
        self.pair.do("remove_agent", self.agent(i), self.pair.now)

    @precondition(lambda self: len(self.queues) < 4)
    @rule(settings=SETTINGS)
    def open_queue(self, settings):
        self.queues.append(self.pair.do("add_queue", self.pair.now, **settings))

    @precondition(lambda self: len(self.queues) > 1)
    @rule(i=index)
    def close_queue(self, i):
        queue = self.queues[i % len(self.queues)]
        if self.pair.do("remove_queue", queue, self.pair.now) is None:
            self.queues.remove(queue)

    @rule(i=index, settings=SETTINGS, steps=STEPS)
    def reload_at_once(self, i, settings, steps):
        self.pair.do("begin_changes", self.pair.now)
        self.pair.do("set_relaxation", 1, steps, self.pair.now)
        self.pair.do("set_queue", self.queues[i % len(self.queues)], self.pair.now, **settings)
        self.pair.do("end_changes", self.pair.now)

    @rule()
    def move(self):
        self.pair.move()

    @invariant()
    def six_laws_hold(self):
        if hasattr(self, "pair"):
            self.pair.core.check()
            self.pair.compare_counts()
            self.pair.compare_why()
            calls = [call.handle for call in self.pair.model.line()]
            assert all(0 <= median <= p80 for median, p80 in (self.pair.core.estimate(c, self.pair.now) for c in calls))


CoreBesideModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCoreBesideModel = CoreBesideModel.TestCase


def test_every_verb_has_a_rule():
    """What the contract can do is driven here, or named with the place that drives it."""
    text = inspect.getsource(CoreBesideModel) + " ".join([*FAILURES, *VERBS_OF_CALLS])
    elsewhere = {
        "feed": "test_verbs", "needs": "arrive()", "check": "six_laws_hold", "memory": "benchmarks",
        "save": "Pair.move", "load": "Pair.move",
        **dict.fromkeys("drain deadline call_state agent_state offer_of position agents_of".split(), "Pair.compare"),
        **dict.fromkeys("snapshot why_call why_agent".split(), "Pair.compare_counts and compare_why"),
        "call_of": "test_verbs",
    }  # fmt: skip
    verbs = {name for name in dir(acd_core.Acd) if not name.startswith("_")}
    assert {verb for verb in verbs - set(elsewhere) if not re.search(rf"\b{verb}\b", text)} == set()
