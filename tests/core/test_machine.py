"""Hypothesis drives the core and the model together; a mismatch prints a short program.

Each rule is one verb with drawn arguments; Pair compares everything that can be seen after it, and the audit of the six
invariants runs after every step. The seeded storms (test_storm.py) go further, this one shrinks.
"""

import math

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
            "log_in log_out ready ready end_wrap_up phone_gone phone_back outside_began outside_ended".split()
        ),
    )
    def agent_acts(self, i, verb):
        self.pair.do(verb, self.agent(i), self.pair.now)

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

    @invariant()
    def six_laws_hold(self):
        if hasattr(self, "pair"):
            self.pair.core.check()
            self.pair.compare_counts()


CoreBesideModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCoreBesideModel = CoreBesideModel.TestCase
