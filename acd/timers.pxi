# Timers: one for each call and agent at most, in the order of time; of one time agents before calls, each by handle.
# What is due in the present quarter of a second, or before, is in a heap of four branches; what is due later only
# hangs on the quarter's list: most rings and wrap-ups end early, and leave it at no cost. A list holds every
# N_QUARTERS-th quarter.


cdef inline Due* due_of(Core* k, int32_t who) noexcept nogil:
    return &k.calls[who].due if who > 0 else &k.agents[-who].due


cdef inline int64_t quarter_of(double at) noexcept nogil:
    cdef double x = 4 * greater(-FAR_S, lesser(FAR_S, at))
    cdef int64_t n = <int64_t>x
    return n - (x < n)


cdef bint goes_first(Core* k, int32_t who, int32_t other) noexcept nogil:
    if (who > 0) != (other > 0):
        return who < 0
    if who > 0:
        return k.calls[who].handle < k.calls[other].handle
    return k.agents[-who].handle < k.agents[-other].handle


cdef inline bint sooner(Core* k, Timer* a, Timer* b) noexcept nogil:
    return a.at < b.at or (a.at == b.at and goes_first(k, a.who, b.who))


cdef inline void timer_put(Core* k, int32_t slot, Timer t) noexcept nogil:
    k.timers[slot] = t
    due_of(k, t.who).slot = slot


cdef void timer_sift(Core* k, int32_t slot, Timer t) noexcept nogil:
    """Put t in at this free slot, and then where it belongs. Slots run from 3: the branches of i, 4i - 8 .. 4i - 5,
    share a cache line."""
    cdef int32_t child, first, least, end = k.n_timers + 3, above = slot // 4 + 2
    while slot > 3 and sooner(k, &t, &k.timers[above]):
        timer_put(k, slot, k.timers[above])
        slot = above
        above = slot // 4 + 2
    while True:
        first = 4 * slot - 8
        if first >= end:
            break
        least = first
        for child in range(first + 1, first + 4 if first + 4 < end else end):
            if sooner(k, &k.timers[child], &k.timers[least]):
                least = child
        if not sooner(k, &k.timers[least], &t):
            break
        timer_put(k, slot, k.timers[least])
        slot = least
    timer_put(k, slot, t)


cdef void heap_add(Core* k, int32_t who, double at) noexcept nogil:
    cdef Timer t
    t.at, t.who = at, who
    k.n_timers += 1
    timer_sift(k, k.n_timers + 2, t)


cdef void timer_drop(Core* k, int32_t who) noexcept nogil:
    cdef Due* due = due_of(k, who)
    cdef int32_t slot = due.slot
    cdef uint64_t i
    due.at = INFINITY
    due.slot = 0
    if slot > 0:
        k.n_timers -= 1
        if slot < k.n_timers + 3:
            timer_sift(k, slot, k.timers[k.n_timers + 3])
    elif slot < 0:
        k.n_later -= 1
        if due.next:
            due_of(k, due.next).prev = due.prev
        if due.prev:
            due_of(k, due.prev).next = due.next
        else:
            i = ~slot
            k.later[i] = due.next
            if due.next == 0:
                k.later_some[i >> 6] &= ~(<uint64_t>1 << (i & 63))


cdef void timer_set(Core* k, int32_t who, double at) noexcept nogil:
    """Infinity: none."""
    cdef Due* due = due_of(k, who)
    cdef int64_t quarter
    cdef int32_t i
    if due.at == at:
        return
    if due.slot:
        timer_drop(k, who)
    if at == INFINITY:
        return
    due.at = at
    quarter = quarter_of(at)
    if quarter <= k.quarter:
        heap_add(k, who, at)
        return
    i = <int32_t>(quarter & (N_QUARTERS - 1))
    due.slot, due.prev, due.next = ~i, 0, k.later[i]
    if due.next:
        due_of(k, due.next).prev = who
    k.later[i] = who
    k.later_some[i >> 6] |= <uint64_t>1 << (i & 63)
    k.n_later += 1


cdef int64_t next_list(Core* k, int64_t quarter) noexcept nogil:
    """The first quarter after this one whose list is not empty; there is one."""
    cdef uint64_t i = <uint64_t>(quarter + 1) & (N_QUARTERS - 1), at = i >> 6
    cdef uint64_t word = k.later_some[at] & (~<uint64_t>0 << (i & 63))
    while word == 0:
        at = (at + 1) & (N_QUARTERS // 64 - 1)
        word = k.later_some[at]
    return quarter + 1 + <int64_t>(((at << 6) + <uint64_t>lowest_bit64(word) - i) & (N_QUARTERS - 1))


cdef inline void scout(Core* k) noexcept nogil:
    """With every verb one step along the list of the next quarter, so that its timers find what they need in the cache.
    What left the list meanwhile was looked at in vain, no more."""
    cdef int32_t who = k.scout
    if who > 0:
        fetch(&k.calls[who])
        fetch(&k.call_nodes[who])
        k.scout = k.calls[who].due.next
    elif who < 0:
        fetch(&k.agents[-who])
        k.scout = k.agents[-who].due.next
    fetch(due_of(k, k.scout))


cdef inline void approach(Core* k, int32_t who) noexcept nogil:
    """It is due within the quarter: what stands beside its call or agent comes into the cache too."""
    cdef Node* n
    cdef Ladder* ladder
    cdef Walk* walk
    cdef int32_t m
    cdef int next
    if who > 0:
        n = &k.call_nodes[who]
        fetch(&k.call_nodes[n.up])
        fetch(&k.call_nodes[n.left])
        fetch(&k.call_nodes[n.right])
        if k.n_walks < N_WALKS:
            walk = &k.walks[k.n_walks]
            k.n_walks += 1
            walk.up, walk.down, walk.place = n.up, 0, n.place
            ladder, next = &k.ladders[k.calls[who].ladder], k.calls[who].step + 1
            if next < ladder.n_steps:
                walk.down = k.lines[ladder.steps[next].line].root
                fetch(&k.call_nodes[walk.down])
                if ladder.steps[next].head_s > k.calls[who].head:
                    walk.place.key = k.calls[who].arrival - ladder.steps[next].head_s
    else:
        m = k.agents[-who].serving
        fetch(&k.serving[m])  # mostly its queues stand side by side, two to a cache line
        fetch(&k.serving[m + 2])
        fetch(&k.serving[m + 4])
        fetch(&k.agents[-who].state_us)


cdef void walk_ahead(Core* k) noexcept nogil:
    """The nodes on all the ways into the cache, a level of all the trees and then the next: one wait for memory serves
    all of them. Who has come to an end stays at node 0."""
    cdef Node* p = k.call_nodes
    cdef Walk* walk
    cdef int32_t i
    cdef int level
    for level in range(N_LEVELS):
        for i in range(k.n_walks):
            walk = &k.walks[i]
            walk.up = p[walk.up].up
            walk.down = p[walk.down].left if before(&walk.place, &p[walk.down].place) else p[walk.down].right
            fetch(&p[walk.up])
            fetch(&p[walk.down])
    k.n_walks = 0


cdef void come_to(Core* k, double now) noexcept nogil:
    """The timers up to this quarter of a second into the heap."""
    cdef int64_t last = quarter_of(now), quarter = k.quarter
    cdef int32_t who, next
    cdef double at
    while k.n_later and quarter < last:
        quarter = next_list(k, quarter)
        if quarter > last:
            break
        k.quarter = quarter
        who = k.later[quarter & (N_QUARTERS - 1)]
        while who:
            next, at = due_of(k, who).next, due_of(k, who).at
            if quarter_of(at) <= quarter:
                timer_drop(k, who)
                timer_set(k, who, at)
                approach(k, who)
            who = next
    walk_ahead(k)
    k.quarter = last
    k.scout = k.later[(last + 1) & (N_QUARTERS - 1)]
    fetch(due_of(k, k.scout))
    k.next_quarter_at = 0.25 * (last + 1)


cdef double first_timer(Core* k) noexcept nogil:
    """When the next is due; infinity: none."""
    cdef int64_t quarter = k.quarter, end = k.quarter + N_QUARTERS
    cdef int32_t i = 0, who
    cdef double first = INFINITY
    if k.n_timers:
        return k.timers[3].at
    while k.n_later and first == INFINITY and quarter < end:
        quarter = next_list(k, quarter)
        who = k.later[quarter & (N_QUARTERS - 1)]
        while who:
            if quarter_of(due_of(k, who).at) <= quarter:
                first = lesser(first, due_of(k, who).at)
            who = due_of(k, who).next
    if k.n_later and first == INFINITY:  # all are further off than the lists go round
        for i in range(N_QUARTERS):
            who = k.later[i]
            while who:
                first = lesser(first, due_of(k, who).at)
                who = due_of(k, who).next
    return first
