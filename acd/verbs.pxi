# What happens on the floor: every verb of the contract, and the timers. A verb looks, refuses or changes facts, settles
# the agents it touched, and ends in settle_floor(). An agent's state is derived in one place, state_of().
#
# An offer that ends by the phone's own word (taken, refused, busy) leaves a free phone behind. One that is cancelled,
# or whose ring time is over, may not: our CANCEL is on its way, and may cross the phone's 200. Its number then stays
# with the agent, who is not free until the engine says that the leg is over (cleared), or CLEAR_S have passed: so no
# report that fails to come can hold an agent. A CANCEL or BYE that is lost goes again after 0.5 s, and after another
# 1 s (RFC 3261 section 17.1.2.2): CLEAR_S has room for both.


cdef double CLEAR_S = 2.0


# --- agents ----------------------------------------------------------------------------------------------------------

cdef int state_of(Agent* a, int32_t* reason) noexcept nogil:
    reason[0] = 0
    if a.call:
        return STATE_TALKING
    if a.ring_call:
        return STATE_RESERVED
    if a.intent == STATE_LOGGED_OUT:
        return STATE_LOGGED_OUT
    if a.in_wrap:
        return STATE_ACW
    if a.intent == STATE_NOT_READY:
        reason[0] = a.reason
    elif a.paused:
        reason[0] = a.pause_reason
    elif not a.phone:
        reason[0] = WHY_PHONE_GONE
    elif a.n_outside > 0:
        reason[0] = WHY_OUTSIDE_CALL
    else:
        return STATE_RESERVED if a.offer else STATE_READY
    return STATE_NOT_READY


cdef inline double agent_due_at(Agent* agent, int state) noexcept nogil:
    """When time alone next changes something for the agent; infinity: never."""
    if is_clearing(agent):
        return lesser(agent.clear_by, agent.until if agent.paused else INFINITY)
    return agent.until if state == STATE_RESERVED or state == STATE_ACW or agent.paused else INFINITY


cdef void settle(Core* k, int32_t a) noexcept nogil:
    """Derive the state after facts changed; tell, count, and queue up what follows for settle_floor()."""
    cdef Agent* agent = &k.agents[a]
    cdef int32_t reason = 0, old = agent.told, state = state_of(agent, &reason)
    timer_set(k, -a, agent_due_at(agent, state))
    if state == old and reason == agent.told_reason:
        return
    account(k, a)
    agent.told, agent.told_reason = state, reason
    if (old == STATE_LOGGED_OUT) != (state == STATE_LOGGED_OUT):
        agent.n_calls = 0
        agent.busy_us = 0
        agent.logged_at_us = us(k.now)
    count_members(k, a, old, state)
    if (state == STATE_READY and old != STATE_RESERVED) or (state == STATE_RESERVED and old != STATE_READY):
        k.last_idle += 1
        agent.idle_seq = k.last_idle
    if state == STATE_READY:
        try_agent(k, a)
    elif agent.free:
        free_out(k, a)
    if state == STATE_LOGGED_OUT or (state == STATE_NOT_READY and reason != WHY_OUTSIDE_CALL):
        release_holds(k, a, 0)
    tell(k, OUT_AGENT_STATE, k.calls[agent.call + agent.ring_call].handle, agent.handle, state, reason)


cdef void account(Core* k, int32_t a) noexcept nogil:
    """The time in the state told last, up to now."""
    cdef Agent* agent = &k.agents[a]
    cdef us_t spent = us(k.now) - us(agent.since)
    agent.state_us[agent.told] += spent
    if agent.told >= STATE_RESERVED:
        agent.busy_us += spent
    if agent.told == STATE_ACW:
        k.queues[agent.wrap_queue].wrap_us += spent
    agent.since = k.now


cdef void count_members(Core* k, int32_t a, int old, int state) noexcept nogil:
    cdef int logged = (state != STATE_LOGGED_OUT) - (old != STATE_LOGGED_OUT)
    cdef int working = works(state) - works(old)
    cdef int32_t m = k.agents[a].serving
    if logged == 0 and working == 0:
        return
    while m:
        count_able(k, m)
        k.queues[k.serving[m].queue].n_working += working
        k.queues[k.serving[m].queue].n_logged += logged
        if working < 0:
            retry_declined(k, k.serving[m].queue)
        if logged < 0:
            mark_dirty(k, k.serving[m].queue)
        m = k.serving[m].next


cdef void retry_declined(Core* k, int32_t q) noexcept nogil:
    """Somebody untried may be gone: those who declined may be asked again."""
    cdef int32_t c = k.queues[q].declined
    while c:
        if k.calls[c].state == CALL_WAITING and k.calls[c].line:
            try_call(k, c)
        c = k.wishes[c].decl_next


cdef void after_call(Core* k, int32_t a) noexcept nogil:
    """Talk, offer and wrap-up are behind: what the agent meant to do next."""
    cdef Agent* agent = &k.agents[a]
    agent.in_wrap = False
    if agent.next >= 0 and LAW(AFTER_CALL):
        agent.intent, agent.reason = agent.next, agent.next_reason
    agent.next = -1


cdef int do_log_in(Core* k, int32_t a) noexcept nogil:
    cdef Agent* agent = &k.agents[a]
    if agent.intent == STATE_LOGGED_OUT:
        agent.intent, agent.reason = STATE_NOT_READY, 0
        settle(k, a)
    elif agent.next == STATE_LOGGED_OUT:
        agent.next = -1
    return DONE


cdef int do_log_out(Core* k, int32_t a) noexcept nogil:
    cdef Agent* agent = &k.agents[a]
    if agent.call:
        agent.next, agent.next_reason = STATE_LOGGED_OUT, 0
        return DONE
    agent.intent, agent.reason, agent.next = STATE_LOGGED_OUT, 0, -1
    agent.in_wrap = agent.paused = False
    drop_offer(k, a, GONE_AGENT_LEFT)
    settle(k, a)
    return DONE


cdef int do_ready(Core* k, int32_t a) noexcept nogil:
    cdef Agent* agent = &k.agents[a]
    if agent.intent == STATE_LOGGED_OUT:
        return ILLEGAL
    agent.next = -1
    agent.intent, agent.reason = STATE_READY, 0
    agent.in_wrap = agent.paused = False
    settle(k, a)
    return DONE


cdef int do_not_ready(Core* k, int32_t a, int32_t reason, bint after) noexcept nogil:
    cdef Agent* agent = &k.agents[a]
    if agent.intent == STATE_LOGGED_OUT:
        return ILLEGAL
    if reason < 0:
        return BAD_VALUE
    if agent.call or (after and (agent.ring_call or agent.in_wrap)):
        if agent.next != STATE_LOGGED_OUT:
            agent.next, agent.next_reason = STATE_NOT_READY, reason
        return DONE
    agent.intent, agent.reason, agent.next = STATE_NOT_READY, reason, -1
    agent.in_wrap = agent.paused = False
    drop_offer(k, a, GONE_AGENT_LEFT)
    settle(k, a)
    return DONE


cdef int do_extend_wrap_up(Core* k, int32_t a, double seconds) noexcept nogil:
    if k.agents[a].told != STATE_ACW:
        return ILLEGAL
    if not seconds >= 0:
        return BAD_VALUE
    k.agents[a].until += seconds
    settle(k, a)
    return DONE


cdef int do_end_wrap_up(Core* k, int32_t a) noexcept nogil:
    if k.agents[a].told != STATE_ACW:
        return ILLEGAL
    after_call(k, a)
    settle(k, a)
    return DONE


cdef int do_phone(Core* k, int32_t a, bint there) noexcept nogil:
    k.agents[a].phone = there
    if not there:
        end_offer(k, a)
    if LAW(DERIVED_STATE):
        settle(k, a)
    return DONE


cdef int do_outside(Core* k, int32_t a, int change, bint dialled) noexcept nogil:
    if k.agents[a].n_outside + change < 0:
        return ILLEGAL
    k.agents[a].n_outside += change
    if dialled:
        end_offer(k, a)
    settle(k, a)
    return DONE


# --- offers ----------------------------------------------------------------------------------------------------------

cdef void unring(Core* k, int32_t a, bint by_phone) noexcept nogil:
    """The agent's phone is no longer rung, by its own word or to be cleared; the call may still ring elsewhere."""
    cdef Agent* agent = &k.agents[a]
    if agent.ring_prev:
        k.agents[agent.ring_prev].ring_next = agent.ring_next
    else:
        k.calls[agent.ring_call].ringing = agent.ring_next
    if agent.ring_next:
        k.agents[agent.ring_next].ring_prev = agent.ring_prev
    agent.ring_call = 0
    if by_phone or not LAW(CLEAR_PHONE):
        clear(k, a)
    else:
        agent.clear_by = k.now + CLEAR_S


cdef inline void clear(Core* k, int32_t a) noexcept nogil:
    """Nothing is left of the agent's last offer; settle() is the caller's."""
    k.offers[k.agents[a].offer & k.offer_mask].offer = 0
    k.agents[a].offer = 0


cdef int do_cleared(Core* k, int32_t a) noexcept nogil:
    clear(k, a)
    settle(k, a)
    return DONE


cdef void cancel_offer(Core* k, int32_t a, int why) noexcept nogil:
    cdef Agent* agent = &k.agents[a]
    tell(k, OUT_OFFER_CANCELLED, k.calls[agent.ring_call].handle, agent.handle, <int64_t>agent.offer, why)
    agent.n_cancelled += 1
    unring(k, a, False)


cdef void cancel_all(Core* k, int32_t c, int why) noexcept nogil:
    """Every phone that rings for the call: once it is cleared the agents are as they were, their idle time goes on."""
    cdef int32_t a
    while k.calls[c].ringing:
        a = k.calls[c].ringing
        cancel_offer(k, a, why)
        if k.agents[a].next >= 0:
            after_call(k, a)
        settle(k, a)


cdef void drop_offer(Core* k, int32_t a, int why) noexcept nogil:
    """This agent's ringing offer, if any, without blame; settle() is the caller's."""
    cdef int32_t c = k.agents[a].ring_call
    if c:
        cancel_offer(k, a, why)
        if k.calls[c].ringing == 0 and LAW(GIVE_BACK):
            requeue(k, c)


cdef void end_offer(Core* k, int32_t a) noexcept nogil:
    """As drop_offer(); the agent's phone is not there for it, and what was to follow the offer follows."""
    if k.agents[a].ring_call:
        drop_offer(k, a, GONE_AGENT_LEFT)
        after_call(k, a)


cdef void remember_decline(Core* k, int32_t c, int32_t a) noexcept nogil:
    cdef Call* call = &k.calls[c]
    cdef Queue* q = &k.queues[call.queue]
    cdef int32_t* declined = declined_by(k, c)
    cdef int i
    if has_declined(k, c, a):
        return
    if call.n_declined == 0:
        k.wishes[c].decl_prev, k.wishes[c].decl_next = 0, q.declined
        if q.declined:
            k.wishes[q.declined].decl_prev = c
        q.declined = c
    if call.n_declined == MAX_DECLINED:
        for i in range(MAX_DECLINED - 1):
            declined[i] = declined[i + 1]
        call.n_declined -= 1
    declined[call.n_declined] = a
    call.n_declined += 1


cdef void forget_declines(Core* k, int32_t c) noexcept nogil:
    cdef Wish* wish = &k.wishes[c]
    if k.calls[c].n_declined == 0:
        return
    k.calls[c].n_declined = 0
    if wish.decl_next:
        k.wishes[wish.decl_next].decl_prev = wish.decl_prev
    if wish.decl_prev:
        k.wishes[wish.decl_prev].decl_next = wish.decl_next
    else:
        k.queues[k.calls[c].queue].declined = wish.decl_next


cdef int do_accept(Core* k, int32_t a) noexcept nogil:
    cdef int32_t c = k.agents[a].ring_call, m, needs = k.calls[c].counted_needs
    cdef Call* call = &k.calls[c]
    cdef Agent* agent = &k.agents[a]
    cdef Queue* q = &k.queues[call.queue]
    cdef us_t waited = us(k.now) - us(call.enqueued)
    cdef bint within = call.enqueued + q.sl_s >= k.now
    unring(k, a, True)
    agent.call = c
    agent.n_answered += 1
    agent.n_calls += 1
    agent.row[0] = agent.row[1] = agent.row[2] = agent.row[3] = 0
    m = agent.offered_as
    if m:
        k.members[m].n_answered += 1
    if LAW(ONE_WINNER):
        cancel_all(k, c, GONE_OTHER_WON)
    call.state, call.agent = CALL_CONNECTED, a
    k.seats[call.handle & k.call_mask].agent = a
    forget_declines(k, c)
    forget_preference(k, c)
    q.n_offered -= 1
    q.n_talking += 1
    q.n_out[ANSWERED] += 1
    q.n_in_sl += within
    q.wait_us += waited
    if waited > q.max_wait_us:
        q.max_wait_us = waited
    k.needs[needs].n_answered += 1
    k.needs[needs].n_in_sl += within
    k.needs[needs].wait_us += waited
    line_left(q, k.now - call.enqueued, False)
    learn_estimate(k, call, k.now - call.enqueued)
    remember_level(k, call.queue, within)
    call.moment = k.now
    settle(k, a)
    return DONE


cdef void remember_level(Core* k, int32_t q, bint within) noexcept nogil:
    cdef Queue* queue = &k.queues[q]
    queue.recent = (queue.recent << 1) | within
    if queue.n_recent < 64:
        queue.n_recent += 1
    mark_dirty(k, q)


cdef int do_fail_offer(Core* k, int32_t a, int failure, bint blame, bint by_phone) noexcept nogil:
    """The offer came to nothing through the agent (or, without blame, through the engine)."""
    cdef int32_t c = k.agents[a].ring_call
    cdef Agent* agent = &k.agents[a]
    cdef Queue* q = &k.queues[k.calls[c].queue]
    cdef int then = THEN_STAY
    remember_decline(k, c, a)
    unring(k, a, by_phone)
    if blame:
        agent.n_failed[failure] += 1
        agent.row[failure] += agent.row[failure] < 127
        if agent.row[failure] >= q.in_a_row[failure]:
            then = q.policy[failure]
            agent.row[failure] = 0
        k.last_idle += 1
        agent.idle_seq = k.last_idle
    if agent.next >= 0:
        after_call(k, a)
    elif then == THEN_PAUSE and q.pause_s[failure] > 0:
        agent.paused, agent.pause_reason, agent.until = True, WHY_REFUSED - failure, k.now + q.pause_s[failure]
    elif then == THEN_NOT_READY:
        agent.intent, agent.reason = STATE_NOT_READY, WHY_REFUSED - failure
    settle(k, a)
    if k.calls[c].ringing == 0 and LAW(GIVE_BACK):
        requeue(k, c)
    return DONE


# --- calls -----------------------------------------------------------------------------------------------------------

cdef struct Spec:
    int32_t queue
    int32_t needs
    int32_t relaxation
    int32_t ladder
    int32_t preferred
    double arrival
    double head
    double max_wait
    double preferred_wait
    double preferred_head


cdef inline void raise_head(Call* call, double head) noexcept nogil:
    if head > call.head:
        call.head = head


cdef bint step_is_due(Core* k, int32_t c) noexcept nogil:
    return k.calls[c].enqueued + k.ladders[k.calls[c].ladder].steps[k.calls[c].step].ends_s <= k.now


cdef void step_up(Core* k, int32_t c) noexcept nogil:
    """One step of the ladder; the caller sees to its place in line."""
    cdef Call* call = &k.calls[c]
    call.step += 1
    raise_head(call, k.ladders[call.ladder].steps[call.step].head_s)
    tell(k, OUT_CALL_RELAXED, call.handle, 0, call.step, 0)


cdef void arm(Core* k, int32_t c) noexcept nogil:
    """The next moment at which time alone changes something for this waiting call."""
    cdef Call* call = &k.calls[c]
    cdef Queue* q = &k.queues[call.queue]
    cdef double at = call.expires
    cdef int i
    if call.held:
        at = lesser(at, call.moment)
    else:
        at = lesser(at, call.enqueued + k.ladders[call.ladder].steps[call.step].ends_s)
    for i in range(q.n_marks):
        if call.enqueued + q.marks[i] > k.now:
            at = lesser(at, call.enqueued + q.marks[i])
            break
    timer_set(k, c, at)


cdef void join_line(Core* k, int32_t c) noexcept nogil:
    wait_in(k, c)
    k.queues[k.calls[c].queue].n_waiting += 1
    arm(k, c)
    if k.queues[k.calls[c].queue].n_reserves or k.queues[k.calls[c].queue].needs_agent:
        mark_dirty(k, k.calls[c].queue)


cdef void move_in_line(Core* k, int32_t c, bint climb) noexcept nogil:
    """Its needs, head start or hold changed: a new place, and another try."""
    wait_out(k, c)
    while climb and not k.calls[c].held and step_is_due(k, c):
        step_up(k, c)
    wait_in(k, c)
    arm(k, c)
    try_call(k, c)


cdef void unhold(Core* k, int32_t c) noexcept nogil:
    k.calls[c].held = False
    raise_head(&k.calls[c], k.wishes[c].preferred_head)
    move_in_line(k, c, True)


cdef void release_holds(Core* k, int32_t a, int32_t q) noexcept nogil:
    """Calls held for an agent who will not take them; of queue q, or of all (0)."""
    cdef int32_t c = k.agents[a].preferring
    while c:
        if k.calls[c].held and k.calls[c].line and (q == 0 or k.calls[c].queue == q):
            unhold(k, c)
        c = k.wishes[c].pref_next


cdef void forget_preference(Core* k, int32_t c) noexcept nogil:
    cdef Wish* wish = &k.wishes[c]
    if k.calls[c].preferred:
        if wish.pref_next:
            k.wishes[wish.pref_next].pref_prev = wish.pref_prev
        if wish.pref_prev:
            k.wishes[wish.pref_prev].pref_next = wish.pref_next
        else:
            k.agents[k.calls[c].preferred].preferring = wish.pref_next
    k.calls[c].preferred = 0


cdef void requeue(Core* k, int32_t c) noexcept nogil:
    """No phone rings for it any more: back to its place, unless its time ran out meanwhile."""
    cdef Call* call = &k.calls[c]
    call.state = CALL_WAITING
    k.queues[call.queue].n_offered -= 1
    if call.expires <= k.now:
        tell(k, OUT_CALL_EXPIRED, call.handle, 0, 0, 0)
        leave(k, c, TIMED_OUT)
        return
    if call.preferred:
        raise_head(call, k.wishes[c].preferred_head)
    tell(k, OUT_CALL_REQUEUED, call.handle, 0, 0, 0)
    while step_is_due(k, c):
        step_up(k, c)
    join_line(k, c)
    try_call(k, c)


cdef void leave(Core* k, int32_t c, int outcome) noexcept nogil:
    """Out of the queue, unanswered."""
    cdef Call* call = &k.calls[c]
    cdef Queue* q = &k.queues[call.queue]
    cdef us_t waited = us(k.now) - us(call.enqueued)
    cdef bint within = call.enqueued + q.sl_s >= k.now
    cdef bint offered = call.state == CALL_OFFERED
    if offered:
        q.n_offered -= 1
        if LAW(RESERVATION):
            cancel_all(k, c, GONE_CALL_LEFT)
        call.ringing = 0
    elif call.line:
        wait_out(k, c)
        q.n_waiting -= 1
    if LAW(CONSERVATION) or not offered:
        q.n_out[outcome] += 1
    q.lost_wait_us += waited
    if waited > q.max_wait_us:
        q.max_wait_us = waited
    if outcome == ABANDONED:
        k.needs[call.counted_needs].n_abandoned += 1
        if call.enqueued + q.short_s > k.now:
            q.n_short += 1
        q.n_abandoned_in_sl += within
    line_left(q, k.now - call.enqueued, outcome == ABANDONED)
    if outcome == TIMED_OUT or outcome == ABANDONED and not call.enqueued + q.short_s > k.now:
        remember_level(k, call.queue, False)
    mark_dirty(k, call.queue)
    free_call(k, c)


cdef void free_call(Core* k, int32_t c) noexcept nogil:
    forget_declines(k, c)
    forget_preference(k, c)
    timer_drop(k, c)
    k.seats[k.calls[c].handle & k.call_mask].call = k.seats[k.calls[c].handle & k.call_mask].agent = 0
    k.calls[c].handle = 0
    k.calls[c].state = 0
    k.calls[c].line = 0
    k.n_calls -= 1
    if not k.calls[c].listed:
        leave_place(k, c)


cdef int32_t new_call(Core* k, Spec* s) noexcept nogil:
    cdef int32_t c
    cdef Call* call
    cdef Wish* wish
    k.last_call += 1
    while k.seats[k.last_call & k.call_mask].call:
        k.last_call += 1
    k.n_free_places -= 1
    c = k.free_places[k.n_free_places]
    k.seats[k.last_call & k.call_mask].call = c
    call = &k.calls[c]
    memset(call, 0, sizeof(Call))
    call.due.at = INFINITY
    call.handle, call.state = k.last_call, CALL_WAITING
    call.queue, call.ladder, call.own_needs, call.relaxation = s.queue, s.ladder, s.needs, s.relaxation
    call.counted_needs = k.ladders[s.ladder].steps[0].needs
    call.arrival, call.enqueued, call.expires = s.arrival, k.now, k.now + s.max_wait
    call.head = s.head
    call.preferred = s.preferred
    if s.preferred:
        wish = &k.wishes[c]
        wish.preferred_head = s.preferred_head
        wish.pref_prev, wish.pref_next = 0, k.agents[s.preferred].preferring
        if wish.pref_next:
            k.wishes[wish.pref_next].pref_prev = c
        k.agents[s.preferred].preferring = c
    k.n_calls += 1
    return c


cdef bint prefers_busy(Core* k, int32_t c) noexcept nogil:
    """Its preferred agent could take it, but is on a call or wrapping up."""
    cdef Agent* a = &k.agents[k.calls[c].preferred]
    return (a.told > STATE_READY or (a.told == STATE_NOT_READY and a.told_reason == WHY_OUTSIDE_CALL)) and (
        could_take(k, c, k.calls[c].preferred)
    )


cdef bint someone_skilled(Core* k, int32_t c) noexcept nogil:
    cdef Ladder* ladder = &k.ladders[k.calls[c].ladder]
    cdef int32_t m = k.queues[k.calls[c].queue].members, a
    cdef int i
    while m:
        a = k.serving[m].agent
        if k.agents[a].told != STATE_LOGGED_OUT:
            for i in range(ladder.n_steps):
                if fits(k, ladder.steps[i].needs, a):
                    return True
        m = k.members[m].next
    return False


cdef int refusal(Core* k, int32_t c) noexcept nogil:
    """A call that found nobody free: may it wait?"""
    cdef Queue* q = &k.queues[k.calls[c].queue]
    cdef Call* call = &k.calls[c]
    if q.needs_agent and q.n_logged == 0:
        return -1
    if q.needs_skill and not someone_skilled(k, c):
        return -2
    if q.max_waiting >= 0 and q.n_waiting >= q.max_waiting:
        return -3
    note_estimate(k, c)
    if call.est_median > q.max_ewt_s:
        return -4
    return 0


cdef int64_t do_enqueue(Core* k, Spec* s) noexcept nogil:
    cdef int32_t c
    cdef int why
    cdef Queue* q = &k.queues[s.queue]
    if k.n_calls >= k.max_calls:
        return FULL_UP
    if not (s.arrival <= k.now and s.head >= 0 and s.max_wait >= 0 and s.preferred_wait >= 0 and s.preferred_head >= 0):
        return BAD_VALUE
    c = new_call(k, s)
    q.n_came += 1
    k.needs[k.calls[c].counted_needs].n_came += 1
    if s.preferred and not (k.agents[s.preferred].free and could_take(k, c, s.preferred)):
        if s.preferred_wait > 0 and prefers_busy(k, c):
            k.calls[c].held = True
            k.calls[c].moment = k.now + s.preferred_wait
        else:
            raise_head(&k.calls[c], s.preferred_head)
    while not k.calls[c].held:
        if match_call(k, c):
            return <int64_t>k.calls[c].handle
        if not step_is_due(k, c):
            break
        step_up(k, c)
    why = refusal(k, c)
    if why:
        q.n_refused[-why] += 1
        q.n_out[OVERFLOWED] += 1
        free_call(k, c)
        return why
    join_line(k, c)
    if k.calls[c].head > 0:
        note_overtaker(k, q, k.calls[c].head)
    return <int64_t>k.calls[c].handle


cdef int do_leave(Core* k, int32_t c, int outcome) noexcept nogil:
    if k.calls[c].state == CALL_CONNECTED:
        return ILLEGAL
    leave(k, c, outcome)
    return DONE


cdef int do_raise_head_start(Core* k, int32_t c, double head) noexcept nogil:
    if k.calls[c].state == CALL_CONNECTED:
        return ILLEGAL
    if not head >= 0:
        return BAD_VALUE
    if head > k.calls[c].head:
        k.calls[c].head = head
        if k.calls[c].line:
            move_in_line(k, c, False)
    return DONE


cdef int do_dispatch(Core* k, int32_t c, int32_t a) noexcept nogil:
    if k.calls[c].state != CALL_WAITING or k.agents[a].told != STATE_READY:
        return ILLEGAL
    offer(k, c, a)
    return DONE


cdef int do_release(Core* k, int32_t c) noexcept nogil:
    cdef Call* call = &k.calls[c]
    cdef int32_t a = call.agent, m = k.agents[a].offered_as
    cdef Agent* agent = &k.agents[a]
    cdef Queue* q = &k.queues[call.queue]
    cdef double wrap = agent.own_wrap if agent.own_wrap >= 0 else q.wrap_up_s
    cdef us_t talked = us(k.now) - us(call.moment)
    if call.state != CALL_CONNECTED:
        return ILLEGAL
    fetch(&k.members[m])
    q.n_talking -= 1
    q.n_released += 1
    q.talk_us += talked
    agent.call = 0
    agent.wrap_queue = call.queue
    free_call(k, c)
    if wrap > 0 and agent.next != STATE_LOGGED_OUT:
        agent.in_wrap = True
        agent.until = k.now + wrap
    else:
        after_call(k, a)
    settle(k, a)
    if m:
        k.members[m].talk_us += talked
    return DONE


# --- time ------------------------------------------------------------------------------------------------------------

cdef void agent_due(Core* k, int32_t a) noexcept nogil:
    cdef Agent* agent = &k.agents[a]
    if agent.ring_call:
        tell(k, OUT_OFFER_EXPIRED, k.calls[agent.ring_call].handle, agent.handle, <int64_t>agent.offer, 0)
        do_fail_offer(k, a, 1, True, False)
    elif agent.told == STATE_ACW:
        after_call(k, a)
        settle(k, a)
    else:
        if is_clearing(agent) and agent.clear_by <= k.now:
            clear(k, a)
        if agent.paused and agent.until <= k.now:
            agent.paused = False
        settle(k, a)


cdef void call_due(Core* k, int32_t c) noexcept nogil:
    """Steps and holds; a call whose patience ends is noted, so that this instant may still find it an agent."""
    if k.calls[c].held and k.calls[c].moment <= k.now:
        unhold(k, c)
    else:
        move_in_line(k, c, True)
    mark_dirty(k, k.calls[c].queue)
    if k.calls[c].expires <= k.now:
        timer_set(k, c, INFINITY)
        k.expiring[k.n_expiring] = c
        k.n_expiring += 1


cdef void expire_calls(Core* k) noexcept nogil:
    cdef int32_t i, c
    for i in range(k.n_expiring):
        c = k.expiring[i]
        if k.calls[c].state == CALL_WAITING and k.calls[c].expires <= k.now:
            tell(k, OUT_CALL_EXPIRED, k.calls[c].handle, 0, 0, 0)
            leave(k, c, TIMED_OUT)
    k.n_expiring = 0


cdef int run_until(Core* k, double now) noexcept nogil:
    """Every timer that is due, at its own time. All of one instant take effect before pairs are made."""
    cdef int32_t who
    if not now >= k.now:
        return BACKWARDS
    if now >= k.next_quarter_at:
        come_to(k, now)
    elif k.scout:
        scout(k)
    while k.n_timers and k.timers[3].at <= now:
        k.now = greater(k.now, k.timers[3].at)
        while k.n_timers and k.timers[3].at <= k.now:
            who = k.timers[3].who
            timer_drop(k, who)
            if who > 0:
                call_due(k, who)
            else:
                agent_due(k, -who)
        settle_floor(k)
        if k.n_expiring:
            expire_calls(k)
            settle_floor(k)
    k.now = now
    return DONE
