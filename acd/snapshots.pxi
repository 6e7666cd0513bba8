# What boards and reports see: one structured array per kind, copied in one pass. The struct is the list of columns; all
# counts and `_us` run from the start of the core, so an interval is the difference of two snapshots.

cdef struct QueueRow:
    int64_t queue
    int64_t offered  # = answered + ... + failed + waiting, at every instant
    int64_t answered
    int64_t abandoned
    int64_t timed_out
    int64_t overflowed
    int64_t called_back
    int64_t withdrawn
    int64_t failed
    int64_t waiting  # those with a phone ringing for them included
    int64_t ringing
    int64_t talking
    int64_t released
    int64_t in_sl  # answered within sl_s
    int64_t abandoned_in_sl
    int64_t short  # abandoned before short_s
    int64_t wait_us  # of the answered: ASA = wait_us / answered
    int64_t max_wait_us
    int64_t lost_wait_us
    int64_t talk_us  # of the released: AHT = (talk_us + wrap_us) / released
    int64_t wrap_us
    int64_t refused_no_agent
    int64_t refused_no_skill
    int64_t refused_full
    int64_t refused_wait
    int64_t estimated  # answered after an estimate was made for them ...
    int64_t within_median  # ... of those, within the median
    int64_t within_p80
    int64_t members
    int64_t logged_in
    int64_t working
    int64_t reserve_on
    int64_t recent  # bit per call of the last 64, 1 within the service level, the newest lowest
    int64_t n_recent
    double oldest_wait_s
    double ewt_median_s  # of the next to come
    double ewt_p80_s

cdef struct AgentRow:
    int64_t agent
    int64_t state
    int64_t reason
    int64_t offer  # that rings, or that the phone is being cleared of
    int64_t call
    int64_t offers
    int64_t answered
    int64_t refused
    int64_t no_answer
    int64_t busy
    int64_t unreachable
    int64_t cancelled
    int64_t logged_out_us
    int64_t not_ready_us
    int64_t ready_us
    int64_t reserved_us
    int64_t talking_us
    int64_t acw_us
    double since
    double clear_by  # inf: the phone is not being cleared
    double occupancy  # (reserved + talking + wrap-up) / logged-in time, since the last login

cdef struct CallRow:
    int64_t call
    int64_t queue
    int64_t state
    int64_t step
    int64_t agent  # in talk
    int64_t preferred
    double arrival
    double enqueued
    double head_start_s
    double expires
    double held_until  # inf: not held for its preferred agent
    double preferred_head_s
    int64_t declined  # so many agents declined it

cdef struct NeedsRow:
    int64_t needs
    int64_t offered
    int64_t answered
    int64_t in_sl
    int64_t abandoned
    int64_t wait_us

cdef struct ServingRow:
    int64_t agent
    int64_t queue
    int64_t rank
    int64_t offers
    int64_t answered
    int64_t talk_us

COLUMNS = {
    "queues": "queue offered answered abandoned timed_out overflowed called_back withdrawn failed waiting ringing talking "
              "released in_sl abandoned_in_sl short wait_us max_wait_us lost_wait_us talk_us wrap_us refused_no_agent "
              "refused_no_skill refused_full refused_wait estimated within_median within_p80 members logged_in working "
              "reserve_on recent n_recent oldest_wait_s: ewt_median_s: ewt_p80_s:",
    "agents": "agent state reason offer call offers answered refused no_answer busy unreachable cancelled logged_out_us "
              "not_ready_us ready_us reserved_us talking_us acw_us since: clear_by: occupancy:",
    "calls": "call queue state step agent preferred arrival: enqueued: head_start_s: expires: held_until: "
             "preferred_head_s: declined",
    "needs": "needs offered answered in_sl abandoned wait_us",
    "skills": "skill offered answered in_sl abandoned wait_us",
    "serving": "agent queue rank offers answered talk_us",
}
DTYPES = {
    what: np.dtype([(name.rstrip(":"), np.float64 if name.endswith(":") else np.int64) for name in columns.split()])
    for what, columns in COLUMNS.items()
}


cdef bint somebody_free(Core* k, int32_t q) noexcept nogil:
    """For a call without wishes of its own that comes now."""
    cdef int32_t m = tree_first(k.serving_nodes, k.queues[q].free_root)
    while m:
        if fits_line(k, m, k.ladders[k.queues[q].ladder].steps[0].line) and k.serving[m].from_s <= 0 and (
            not k.serving[m].reserve or k.queues[q].reserve_on
        ):
            return True
        m = tree_next(k.serving_nodes, m)
    return False


cdef int64_t fill_queues(Core* k, QueueRow* row) noexcept nogil:
    cdef Ask ask
    cdef int32_t i
    cdef int64_t n = 0
    cdef Queue* q
    cdef int64_t* out
    for i in range(1, <int32_t>k.queue_mask + 2):
        q = &k.queues[i]
        if q.handle == 0:
            continue
        out = q.n_out
        row.queue, row.offered = <int64_t>q.handle, q.n_came
        row.answered, row.abandoned, row.timed_out, row.overflowed = out[0], out[1], out[2], out[3]
        row.called_back, row.withdrawn, row.failed = out[4], out[5], out[6]
        row.waiting, row.ringing, row.talking = q.n_waiting + q.n_offered, q.n_offered, q.n_talking
        row.released, row.in_sl = q.n_released, q.n_in_sl
        row.abandoned_in_sl, row.short = q.n_abandoned_in_sl, q.n_short
        row.wait_us, row.max_wait_us, row.lost_wait_us = q.wait_us, q.max_wait_us, q.lost_wait_us
        row.talk_us, row.wrap_us = q.talk_us, q.wrap_us
        row.refused_no_agent, row.refused_no_skill = q.n_refused[1], q.n_refused[2]
        row.refused_full, row.refused_wait = q.n_refused[3], q.n_refused[4]
        row.estimated, row.within_median, row.within_p80 = q.n_estimated, q.n_within_median, q.n_within_p80
        row.members, row.logged_in, row.working = q.n_members, q.n_logged, q.n_working
        row.reserve_on, row.recent, row.n_recent = q.reserve_on, <int64_t>q.recent, q.n_recent
        row.oldest_wait_s = greater(0.0, k.now - oldest_enqueue(k, i))
        ask_for_next(k, &ask, i)
        estimate_for(k, &ask, &row.ewt_median_s, &row.ewt_p80_s)
        if somebody_free(k, i):
            row.ewt_median_s = row.ewt_p80_s = 0
        row += 1
        n += 1
    return n


cdef int64_t fill_agents(Core* k, AgentRow* row) noexcept nogil:
    cdef int32_t i
    cdef int64_t n = 0
    cdef Agent* a
    cdef int64_t* spent
    for i in range(1, <int32_t>k.agent_mask + 2):
        a = &k.agents[i]
        if a.handle == 0:
            continue
        spent = &row.logged_out_us
        memcpy(spent, a.state_us, sizeof(a.state_us))
        spent[a.told] += us(k.now) - us(a.since)
        row.agent, row.state, row.reason, row.offer = <int64_t>a.handle, a.told, a.told_reason, <int64_t>a.offer
        row.call = <int64_t>k.calls[a.call + a.ring_call].handle
        row.offers, row.answered, row.cancelled = a.n_offers, a.n_answered, a.n_cancelled
        row.refused, row.no_answer = a.n_failed[0], a.n_failed[1]
        row.busy, row.unreachable = a.n_failed[2], a.n_failed[3]
        row.since = a.since
        row.clear_by = a.clear_by if is_clearing(a) else INFINITY
        row.occupancy = 0
        if a.told != STATE_LOGGED_OUT and us(k.now) > a.logged_at_us:
            row.occupancy = <double>(
                a.busy_us + (us(k.now) - us(a.since) if a.told >= STATE_RESERVED else 0)
            ) / <double>(us(k.now) - a.logged_at_us)
        row += 1
        n += 1
    return n


cdef int64_t fill_calls(Core* k, CallRow* row) noexcept nogil:
    cdef int32_t i
    cdef int64_t n = 0
    cdef Call* c
    for i in range(1, k.max_calls + 1):
        c = &k.calls[i]
        if c.handle == 0:
            continue
        row.call, row.queue, row.state = <int64_t>c.handle, <int64_t>k.queues[c.queue].handle, c.state
        row.step, row.agent = c.step, <int64_t>k.agents[c.agent].handle
        row.preferred = <int64_t>k.agents[c.preferred].handle
        row.arrival, row.enqueued, row.head_start_s, row.expires = c.arrival, c.enqueued, c.head, c.expires
        row.held_until = c.moment if c.held else INFINITY
        row.preferred_head_s = k.wishes[i].preferred_head if c.preferred else 0.0
        row.declined = c.n_declined
        row += 1
        n += 1
    return n


cdef int64_t fill_needs(Core* k, NeedsRow* row) noexcept nogil:
    cdef int32_t i
    cdef Needs* n
    for i in range(k.n_needs):
        n = &k.needs[i]
        row.needs, row.offered, row.answered, row.in_sl = i, n.n_came, n.n_answered, n.n_in_sl
        row.abandoned, row.wait_us = n.n_abandoned, n.wait_us
        row += 1
    return k.n_needs


cdef int64_t fill_serving(Core* k, ServingRow* row) noexcept nogil:
    cdef int32_t i, m
    cdef int64_t n = 0
    cdef Serving* s
    for i in range(1, <int32_t>k.queue_mask + 2):
        m = k.queues[i].members
        while m:
            s = &k.serving[m]
            row.agent, row.queue = <int64_t>k.agents[s.agent].handle, <int64_t>k.queues[i].handle
            row.rank, row.offers = k.members[m].rank, k.members[m].n_offers
            row.answered, row.talk_us = k.members[m].n_answered, k.members[m].talk_us
            row += 1
            n += 1
            m = k.members[m].next
    return n
