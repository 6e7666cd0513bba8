# From free agents and waiting calls to offers.
#
# Waiting calls stand in lines, one per (queue, needs): an agent who fits the needs of a line fits all its calls, so a
# freed agent looks at the first of each line of its queues, not at calls; whether it fits is one bit. Free agents
# stand in one tree per queue they serve, by rank and the queue's strategy. rematch() is the one place where pairs are
# made after something changed; it takes the first call of the global order that anybody free may take, until there is
# none.


# --- free agents -----------------------------------------------------------------------------------------------------

cdef inline double free_key(Core* k, int32_t m) noexcept nogil:
    """The strategies whose key stands still while the agent is free; the others are weighed in pick()."""
    cdef int strategy = k.queues[k.serving[m].queue].strategy
    if strategy == BY_FEWEST_CALLS:
        return k.agents[k.serving[m].agent].n_calls
    if strategy == BY_ROUND_ROBIN:
        return <double>k.members[m].last_offer
    if strategy == BY_LEAST_SKILLED:
        return k.agents[k.serving[m].agent].total_level
    if strategy == BY_LINEAR:
        return <double>k.members[m].order
    return 0.0


cdef void free_in(Core* k, int32_t a) noexcept nogil:
    cdef int32_t m = k.agents[a].serving
    cdef Node* n
    k.agents[a].free = True
    while m:
        n = &k.serving_nodes[m]
        n.place.tier = k.members[m].rank
        n.place.key = free_key(k, m)
        n.place.seq = k.agents[a].idle_seq
        n.since = INFINITY
        tree_add(k.serving_nodes, &k.queues[k.serving[m].queue].free_root, m)
        m = k.serving[m].next


cdef void free_out(Core* k, int32_t a) noexcept nogil:
    cdef int32_t m = k.agents[a].serving
    k.agents[a].free = False
    while m:
        tree_drop(k.serving_nodes, &k.queues[k.serving[m].queue].free_root, m)
        m = k.serving[m].next


cdef double skill_in(Core* k, int32_t needs, int32_t a) noexcept nogil:
    """Best sum of levels over the terms the agent fits; over all skills when nothing is asked."""
    cdef int32_t t, i, total
    cdef double best = -1
    cdef Term* term
    cdef uint8_t* level = k.levels + <size_t>a * N_SKILLS
    if needs == 0:
        return k.agents[a].total_level
    for t in range(k.needs[needs].first, k.needs[needs].first + k.needs[needs].n_terms):
        term = &k.terms[t]
        total = 0
        for i in range(term.n):
            if level[term.skill[i]] < term.level[i]:
                break
            total += level[term.skill[i]]
        else:
            if total > best:
                best = total
    return best


cdef double occupancy(Core* k, int32_t a) noexcept nogil:
    cdef us_t logged = us(k.now) - k.agents[a].logged_at_us
    return <double>k.agents[a].busy_us / <double>logged if logged > 0 else 0.0


cdef inline bint pickable(Core* k, int32_t m, int32_t c, int32_t line, int32_t also) noexcept nogil:
    return fits_line(k, m, line) and (also == line or fits_line(k, m, also)) and admits(k, m, c) and not (
        barred(k, c, k.serving[m].agent)
    )


cdef int32_t pick(Core* k, int32_t c, int32_t also) noexcept nogil:
    """The free agent to ring first, by rank and strategy, among those who may take the call and fit the line `also`
    too."""
    cdef Queue* q = &k.queues[k.calls[c].queue]
    cdef Node* p = k.serving_nodes
    cdef int32_t m = tree_first(p, q.free_root), best = 0, line = line_now(k, c), rank = 0, n = 0
    cdef int64_t total = 0, draw
    cdef double key, best_key = 0
    cdef int strategy = q.strategy
    while m:
        if best and p[m].place.tier != rank:
            break
        if pickable(k, m, c, line, also):
            rank = p[m].place.tier
            n += 1
            if strategy == BY_LEAST_OCCUPIED:
                key = occupancy(k, k.serving[m].agent)
            elif strategy == BY_MOST_SKILLED:
                key = -skill_in(k, k.lines[line].needs, k.serving[m].agent)
            elif strategy == BY_RANDOM:
                key = 0
                total += 1
            elif strategy == BY_WEIGHTED:
                key = 0
                total += k.members[m].weight
            else:
                return k.serving[m].agent
            if best == 0 or key < best_key:
                best, best_key = m, key
        m = tree_next(p, m)
    if n < 2 or total == 0:  # no draw where there is no choice
        return k.serving[best].agent
    draw = <int64_t>(next_random(k) % <uint64_t>total)
    m = best
    while m:
        if pickable(k, m, c, line, also):
            draw -= k.members[m].weight if strategy == BY_WEIGHTED else 1
            if draw < 0:
                return k.serving[m].agent
        m = tree_next(p, m)
    return 0


cdef int32_t choose(Core* k, int32_t c) noexcept nogil:
    """The free agent for the call: the preferred one, then who fits an earlier step, then anybody who fits."""
    cdef int32_t a = k.calls[c].preferred, line, last = 0
    cdef int step
    if a and k.agents[a].free and could_take(k, c, a):
        return a
    if k.calls[c].held or k.queues[k.calls[c].queue].free_root == 0:
        return 0
    for step in range(k.calls[c].step + 1):
        line = k.ladders[k.calls[c].ladder].steps[step].line
        if line != last:
            a = pick(k, c, line)
            if a:
                return a
        last = line
    return 0


# --- waiting calls ---------------------------------------------------------------------------------------------------

cdef inline void line_head(Core* k, Line* line, int32_t first) noexcept nogil:
    line.first = first
    line.place = k.call_nodes[first].place


cdef void line_open(Core* k, int32_t l) noexcept nogil:
    """Somebody begins to wait in it."""
    cdef Line* line = &k.lines[l]
    line.prev, line.next = 0, k.first_line[line.queue]
    if line.next:
        k.lines[line.next].prev = l
    k.first_line[line.queue] = l
    k.flows[l].at = k.now


cdef void line_close(Core* k, int32_t l) noexcept nogil:
    cdef Line* line = &k.lines[l]
    flow_tick(k, l)
    line.first = 0
    if line.next:
        k.lines[line.next].prev = line.prev
    if line.prev:
        k.lines[line.prev].next = line.next
    else:
        k.first_line[line.queue] = line.next


cdef inline void set_place(Core* k, int32_t c) noexcept nogil:
    """The place is the call's own: coming back later it is the same."""
    cdef Call* call = &k.calls[c]
    cdef Place* place = &k.call_nodes[c].place
    place.tier = 0 if call.head == INFINITY else 1
    place.key = call.arrival if call.head == INFINITY else call.arrival - call.head
    if not LAW(KEPT_PLACE):
        place.key = k.now
    place.seq = call.handle
    place.n_declined = call.n_declined
    k.call_nodes[c].since = call.enqueued


cdef void wait_in(Core* k, int32_t c) noexcept nogil:
    cdef Call* call = &k.calls[c]
    cdef int32_t l = k.queues[call.queue].held if call.held else line_now(k, c)
    cdef Line* line = &k.lines[l]
    set_place(k, c)
    tree_add(k.call_nodes, &line.root, c)
    if line.first == 0:
        line_open(k, l)
    if line.first == 0 or before(&k.call_nodes[c].place, &line.place):
        line_head(k, line, c)
    line.n_waiting += 1
    call.line = l


cdef void wait_out(Core* k, int32_t c) noexcept nogil:
    cdef int32_t l = k.calls[c].line
    cdef Line* line = &k.lines[l]
    line.n_waiting -= 1
    if line.n_waiting == 0:
        line_close(k, l)
    elif line.first == c:
        line_head(k, line, tree_next(k.call_nodes, c))
    tree_drop(k.call_nodes, &line.root, c)
    k.calls[c].line = 0


cdef inline bint ranks_before(Core* k, int32_t c, int32_t d) noexcept nogil:
    return d == 0 or before(&k.call_nodes[c].place, &k.call_nodes[d].place)


cdef int32_t first_for(Core* k, int32_t m, Line* line) noexcept nogil:
    """The first call of this line that the agent may take, who fits its needs."""
    cdef Serving* s = &k.serving[m]
    cdef int32_t c = line.first
    if s.from_s > 0:
        c = tree_first_waited(k.call_nodes, line.root, s.from_s, k.now)
    elif line.place.n_declined == 0:
        return c
    while c and (barred(k, c, s.agent) or not admits(k, m, c)):
        c = tree_next(k.call_nodes, c)
    return c


cdef int32_t best_call(Core* k, int32_t a) noexcept nogil:
    """The first call of the global order that this agent may take when READY."""
    cdef int32_t m = k.agents[a].serving, l, c, best = 0
    cdef Line* line
    cdef Place* top = NULL  # of the best
    while m:
        l = k.first_line[k.serving[m].queue]
        if l and (not k.serving[m].reserve or k.queues[k.serving[m].queue].reserve_on):
            while l:
                line = &k.lines[l]
                if line.needs >= 0 and (best == 0 or not LAW(ORDER) or not before(top, &line.place)) and (
                    fits_line(k, m, l)
                ):
                    c = first_for(k, m, line)
                    if c == line.first:
                        best, top = c, &line.place
                        fetch(&k.call_nodes[c])
                        fetch(&k.calls[c])
                        fetch(&k.calls[c].due)
                        fetch(&k.members[m])
                    elif c and (ranks_before(k, c, best) or not LAW(ORDER)):
                        best, top = c, &k.call_nodes[c].place
                l = line.next
        m = k.serving[m].next
    c = k.agents[a].preferring
    while c:
        if k.calls[c].state == CALL_WAITING and k.calls[c].line and ranks_before(k, c, best) and could_take(k, c, a):
            best = c
        c = k.wishes[c].pref_next
    return best


cdef int32_t first_of_queue(Core* k, int32_t q) noexcept nogil:
    cdef int32_t l = k.first_line[q], best = 0
    while l:
        if ranks_before(k, k.lines[l].first, best):
            best = k.lines[l].first
        l = k.lines[l].next
    return best


cdef double oldest_enqueue(Core* k, int32_t q) noexcept nogil:
    cdef int32_t l = k.first_line[q]
    cdef double low = INFINITY
    while l:
        low = lesser(low, tree_low(&k.call_nodes[k.lines[l].root]))
        l = k.lines[l].next
    return low


# --- pairs -----------------------------------------------------------------------------------------------------------

cdef void offer(Core* k, int32_t c, int32_t a) noexcept nogil:
    cdef Call* call = &k.calls[c]
    cdef Agent* agent = &k.agents[a]
    cdef Queue* q = &k.queues[call.queue]
    cdef int32_t m = serving_of(k, a, call.queue)
    if call.line:
        fetch(&k.call_nodes[k.call_nodes[c].up])
        fetch(&k.call_nodes[k.call_nodes[c].right])
    if call.n_declined and has_declined(k, c, a):
        forget_declines(k, c)  # everybody was tried: a new round
    k.last_offer += 1
    while k.offers[k.last_offer & k.offer_mask].offer:  # its slot is taken: a number is skipped
        k.last_offer += 1
    k.offers[k.last_offer & k.offer_mask].offer = k.last_offer
    k.offers[k.last_offer & k.offer_mask].agent = a
    agent.offer = k.last_offer
    agent.offered_as = m
    agent.ring_call = c
    agent.until = k.now + q.ring_s
    agent.ring_prev = 0
    agent.ring_next = call.ringing
    if call.ringing:
        k.agents[call.ringing].ring_prev = a
    call.ringing = a
    agent.n_offers += 1
    if m:
        k.members[m].n_offers += 1
        k.members[m].last_offer = k.last_offer
    if call.state == CALL_WAITING:
        if call.line:
            if m:
                flow_moved(k, m)
            wait_out(k, c)
            q.n_waiting -= 1
            mark_dirty(k, call.queue)
        timer_set(k, c, INFINITY)
        q.n_offered += 1
        call.state = CALL_OFFERED
        call.held = False
    settle(k, a)
    tell(k, OUT_OFFER, call.handle, agent.handle, <int64_t>agent.offer, 0)


cdef bint match_call(Core* k, int32_t c) noexcept nogil:
    """Offer a waiting call to as many free agents as its queue rings at once. False: nobody."""
    cdef int32_t a = choose(k, c), left = k.queues[k.calls[c].queue].n_ring
    if a == 0:
        return False
    cdef bint alone = k.calls[c].held or a == k.calls[c].preferred
    while a:
        offer(k, c, a)
        left -= 1
        a = 0 if left == 0 or alone else choose(k, c)
    return True


cdef inline void try_agent(Core* k, int32_t a) noexcept nogil:
    if not k.agents[a].freed:
        k.agents[a].freed = True
        k.freed[k.n_freed] = a
        k.n_freed += 1


cdef inline void try_call(Core* k, int32_t c) noexcept nogil:
    if not k.calls[c].listed:
        k.calls[c].listed = True
        k.retry[k.n_retry] = c
        k.n_retry += 1


cdef inline void leave_place(Core* k, int32_t c) noexcept nogil:
    k.free_places[k.n_free_places] = c
    k.n_free_places += 1


cdef inline void unlist(Core* k, int32_t c) noexcept nogil:
    """Off the list of calls to be tried again; the place of one that is gone meanwhile can be taken now."""
    k.calls[c].listed = False
    if k.calls[c].handle == 0:
        leave_place(k, c)


cdef inline void mark_dirty(Core* k, int32_t q) noexcept nogil:
    """The queue's reserves, or its being left without agents, are to be looked at when the pairs are made."""
    cdef Queue* queue = &k.queues[q]
    if not queue.dirty and (queue.n_reserves or (queue.needs_agent and queue.n_logged == 0)):
        queue.dirty = True
        k.dirty[k.n_dirty] = q
        k.n_dirty += 1


cdef inline bint is_free(Core* k, int32_t a) noexcept nogil:
    return k.agents[a].told == STATE_READY


cdef void rematch(Core* k) noexcept nogil:
    """Make every pair that the freed agents and the calls to be tried again allow, in the global order of calls."""
    cdef int32_t a, c, y
    if k.n_freed == 1 and k.n_retry == 0:  # the common case: nobody else free may take what this agent may
        a = k.freed[0]
        k.n_freed = 0
        k.agents[a].freed = False
        if is_free(k, a):
            if k.agents[a].free:
                free_out(k, a)
            c = best_call(k, a)
            if c:
                offer(k, c, a)
            else:
                free_in(k, a)
        return
    free_all_in(k)
    retry_sort(k)
    while k.n_freed or k.n_retry:
        y = best_of_freed(k)
        c = k.retry[0] if k.n_retry else 0
        if c and (k.calls[c].state != CALL_WAITING or k.calls[c].line == 0):
            retry_pop(k)
        elif c and ranks_before(k, c, y):
            retry_pop(k)
            match_call(k, c)
        elif y and not match_call(k, y):
            k.broken = -2  # cannot be: it was a free agent's best call
            return


cdef void free_all_in(Core* k) noexcept nogil:
    """All freed agents into the trees, each with the first call it may take."""
    cdef int32_t i, a
    for i in range(k.n_freed):
        a = k.freed[i]
        k.best_of[i] = 0
        if is_free(k, a):
            if not k.agents[a].free:
                free_in(k, a)
            k.best_of[i] = best_call(k, a)


cdef int32_t best_of_freed(Core* k) noexcept nogil:
    """The first call that a freed agent may take; agents who were given one, or may take none, are dropped from the
    list."""
    cdef int32_t i = 0, a, best = 0
    while i < k.n_freed:
        a = k.freed[i]
        if k.best_of[i] and is_free(k, a) and k.calls[k.best_of[i]].state != CALL_WAITING:
            k.best_of[i] = best_call(k, a)
        if k.best_of[i] == 0 or not is_free(k, a):
            k.agents[a].freed = False
            k.n_freed -= 1
            k.freed[i], k.best_of[i] = k.freed[k.n_freed], k.best_of[k.n_freed]
            continue
        if ranks_before(k, k.best_of[i], best):
            best = k.best_of[i]
        i += 1
    return best


# The calls to be tried again, as a heap by the global order: many when a relaxation is edited, or a surge relaxes at
# once.

cdef inline bint tried_before(Core* k, int32_t c, int32_t d) noexcept nogil:
    """Those that left the line meanwhile first: they are only to be dropped."""
    if k.calls[c].line == 0 or k.calls[d].line == 0:
        return k.calls[c].line == 0 and k.calls[d].line != 0
    return before(&k.call_nodes[c].place, &k.call_nodes[d].place)


cdef void retry_sink(Core* k, int32_t i) noexcept nogil:
    cdef int32_t child, c = k.retry[i]
    while 2 * i + 1 < k.n_retry:
        child = 2 * i + 1
        if child + 1 < k.n_retry and tried_before(k, k.retry[child + 1], k.retry[child]):
            child += 1
        if not tried_before(k, k.retry[child], c):
            break
        k.retry[i] = k.retry[child]
        i = child
    k.retry[i] = c


cdef void retry_sort(Core* k) noexcept nogil:
    cdef int32_t i = k.n_retry // 2
    while i > 0:
        i -= 1
        retry_sink(k, i)


cdef void retry_pop(Core* k) noexcept nogil:
    unlist(k, k.retry[0])
    k.n_retry -= 1
    if k.n_retry:
        k.retry[0] = k.retry[k.n_retry]
        retry_sink(k, 0)


cdef int32_t take_dirty(Core* k) noexcept nogil:
    """The oldest queue first, whatever the order of marking."""
    cdef int32_t i, at = 0, q
    for i in range(1, k.n_dirty):
        if k.queues[k.dirty[i]].handle < k.queues[k.dirty[at]].handle:
            at = i
    q = k.dirty[at]
    k.n_dirty -= 1
    k.dirty[at] = k.dirty[k.n_dirty]
    return q


cdef void settle_floor(Core* k) noexcept nogil:
    """After a verb: pairs, then the queues' own conditions, until nothing moves."""
    cdef int32_t q
    if k.is_changing:
        return
    while k.n_freed or k.n_retry or k.n_dirty:
        if k.n_freed or k.n_retry:
            if not LAW(WORK_CONSERVATION):
                drop_lists(k)
            rematch(k)
        else:
            q = take_dirty(k)
            k.queues[q].dirty = False
            evict_unattended(k, q)
            weigh_reserves(k, q)


cdef void drop_lists(Core* k) noexcept nogil:
    while k.n_freed:
        k.n_freed -= 1
        k.agents[k.freed[k.n_freed]].freed = False
        if is_free(k, k.freed[k.n_freed]) and not k.agents[k.freed[k.n_freed]].free:
            free_in(k, k.freed[k.n_freed])
    while k.n_retry:
        k.n_retry -= 1
        unlist(k, k.retry[k.n_retry])


cdef void weigh_reserves(Core* k, int32_t q) noexcept nogil:
    cdef Queue* queue = &k.queues[q]
    cdef double oldest = oldest_enqueue(k, q)
    cdef double share = 1.0
    cdef int32_t m
    if queue.n_reserves == 0:
        return
    if queue.n_recent >= SL_SAMPLE:
        share = <double>popcount64(queue.recent) / queue.n_recent
    if not queue.reserve_on and (oldest + queue.reserve_on_s <= k.now or share < queue.reserve_on_sl):
        queue.reserve_on = True
        m = queue.members
        while m:
            if k.serving[m].reserve:
                count_able(k, m)
                if is_free(k, k.serving[m].agent):
                    try_agent(k, k.serving[m].agent)
            m = k.members[m].next
    elif queue.reserve_on and oldest + queue.reserve_off_s > k.now and share >= queue.reserve_off_sl and (
        share >= queue.reserve_on_sl
    ):
        queue.reserve_on = False
        m = queue.members
        while m:
            if k.serving[m].reserve:
                count_able(k, m)
            m = k.members[m].next
        retry_declined(k, q)
    else:
        return
    tell(k, OUT_RESERVE, 0, 0, <int64_t>queue.handle, queue.reserve_on)


cdef void evict_unattended(Core* k, int32_t q) noexcept nogil:
    """The last agent left: whoever waits overflows, in order."""
    cdef int32_t c
    if not k.queues[q].needs_agent or k.queues[q].n_logged:
        return
    while True:
        c = first_of_queue(k, q)
        if c == 0:
            return
        tell(k, OUT_CALL_OVERFLOWED, k.calls[c].handle, 0, 0, -1)
        leave(k, c, OVERFLOWED)
