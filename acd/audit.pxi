# The invariants, asserted the slow way: check() for tests, and after every verb in an ACD_CHECKS build.

AUDIT = {
    1: "INV-1 reservation: an agent rings for a call that does not know it",
    2: "INV-1 reservation: a call rings at an agent that does not know it",
    3: "INV-1 reservation: an agent talks to a call that does not know it",
    4: "INV-1 reservation: an offer outlived its deadline",
    5: "INV-2 derived state: what was told is not what follows from the facts",
    6: "INV-3 work conservation: a free agent may take a waiting call",
    7: "INV-5 conservation: offered is not the sum of the outcomes and those waiting",
    8: "INV-6 quiescence: an offered call rings nowhere, or a talk has no agent",
    9: "a queue's counts of waiting, offered or talking calls are wrong",
    10: "a queue's counts of agents are wrong",
    11: "a waiting call stands in the wrong place",
    12: "a free agent is missing from the trees, or a busy one is in them",
    13: "a timer is out of order",
    14: "the agents able for a line are miscounted",
    15: "an agent is not known by its place in the queue of its call",
    16: "an agent whose phone is being cleared is not known by that offer, has a call, or is held too long",
}


cdef int audit(Core* k) noexcept nogil:
    cdef int bad = audit_agents(k)
    if bad == 0:
        bad = audit_calls(k)
    if bad == 0:
        bad = audit_queues(k)
    if bad == 0:
        bad = audit_pairs(k)
    return bad


cdef int audit_agents(Core* k) noexcept nogil:
    cdef int32_t a, c, reason = 0, other
    cdef Agent* agent
    for a in range(1, <int32_t>k.agent_mask + 2):
        agent = &k.agents[a]
        if agent.handle == 0:
            continue
        c = agent.ring_call
        if c:
            if k.calls[c].state != CALL_OFFERED or offer_agent(k, agent.offer) != a:
                return 1
            other = k.calls[c].ringing
            while other and other != a:
                other = k.agents[other].ring_next
            if other != a:
                return 1
            if agent.until < k.now:
                return 4
        if is_clearing(agent) and (offer_cleared(k, agent.offer) != a or agent.call or agent.in_wrap or (
            agent.clear_by < k.now
        )):
            return 16
        if agent.call and (k.calls[agent.call].agent != a or k.calls[agent.call].state != CALL_CONNECTED):
            return 3
        if agent.call + agent.ring_call and agent.offered_as != serving_of(
            k, a, k.calls[agent.call + agent.ring_call].queue
        ):
            return 15
        if state_of(agent, &reason) != agent.told or reason != agent.told_reason:
            return 5
        if agent.free != (agent.told == STATE_READY):
            return 12
    return 0


cdef int audit_calls(Core* k) noexcept nogil:
    cdef int32_t c, a, i
    cdef Call* call
    for c in range(1, k.max_calls + 1):
        call = &k.calls[c]
        if call.state == CALL_OFFERED:
            if call.ringing == 0:
                return 8
            a = call.ringing
            while a:
                if k.agents[a].ring_call != c:
                    return 2
                a = k.agents[a].ring_next
        elif call.state == CALL_CONNECTED and k.agents[call.agent].call != c:
            return 8
        elif call.state == CALL_WAITING and (call.line == 0 or k.lines[call.line].queue != call.queue or (
            k.lines[call.line].needs != (-1 if call.held else needs_now(k, c)) or call.expires < k.now
            or (k.lines[call.line].first == c and k.lines[call.line].place.n_declined != call.n_declined)
        )):
            return 11
    for i in range(3, k.n_timers + 3):
        if due_of(k, k.timers[i].who).slot != i or due_of(k, k.timers[i].who).at != k.timers[i].at or (
            i > 3 and sooner(k, &k.timers[i], &k.timers[i // 4 + 2])
        ):
            return 13
    return 0


cdef int audit_queues(Core* k) noexcept nogil:
    cdef int32_t q, c, m, n_waiting, n_offered, n_talking, n_logged, n_working, i
    cdef int64_t total
    cdef Queue* queue
    for q in range(1, <int32_t>k.queue_mask + 2):
        queue = &k.queues[q]
        if queue.handle == 0:
            continue
        n_waiting = n_offered = n_talking = n_logged = n_working = 0
        for c in range(1, k.max_calls + 1):
            if k.calls[c].queue == q:
                n_waiting += k.calls[c].state == CALL_WAITING
                n_offered += k.calls[c].state == CALL_OFFERED
                n_talking += k.calls[c].state == CALL_CONNECTED
        total = n_waiting + n_offered
        for i in range(N_OUTCOMES):
            total += queue.n_out[i]
        if total != queue.n_came:
            return 7
        if queue.n_waiting != n_waiting or queue.n_offered != n_offered or queue.n_talking != n_talking:
            return 9
        m = queue.members
        while m:
            n_logged += k.agents[k.serving[m].agent].told != STATE_LOGGED_OUT
            n_working += works(k.agents[k.serving[m].agent].told)
            m = k.members[m].next
        if queue.n_logged != n_logged or queue.n_working != n_working:
            return 10
        if audit_able(k, q):
            return 14
    return 0


cdef int audit_able(Core* k, int32_t q) noexcept nogil:
    """Line by line: who is able, and for which others too; and that the bits say what fits() says."""
    cdef int32_t i, j, m, l, n, both
    for i in range(k.queues[q].n_slots):
        l = k.queues[q].line_of[i]
        for j in range(k.queues[q].n_slots):
            n = both = 0
            m = k.queues[q].members
            while m:
                if works(k.agents[k.serving[m].agent].told) and (
                    not k.serving[m].reserve or k.queues[q].reserve_on
                ) and fits(k, k.lines[l].needs, k.serving[m].agent):
                    n += 1
                    both += fits(k, k.lines[k.queues[q].line_of[j]].needs, k.serving[m].agent)
                m = k.members[m].next
            if k.lines[l].n_able != n or k.flows[l].shared[j] != both:
                return 1
        n = 0
        for j in range(N_GROUPS):
            n += k.flows[l].n_able[j]
        if n != k.lines[l].n_able:
            return 1
    return 0


cdef int audit_pairs(Core* k) noexcept nogil:
    cdef int32_t a, c
    for a in range(1, <int32_t>k.agent_mask + 2):
        if k.agents[a].handle and k.agents[a].told == STATE_READY:
            for c in range(1, k.max_calls + 1):
                if k.calls[c].state == CALL_WAITING and verdict(k, c, a) == 0:
                    return 6
    return 0
