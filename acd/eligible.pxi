# Who may take which call. The model in tests/core/model.py states the same rules without any index.
#
# An agent may take a waiting call if the agent is READY; serves the call's queue, as a reserve only while the queue is
# in need, and from the agreed wait on; holds the skills of the step the call stands on; and is not barred: who declined
# the call gets it again only when no other working agent who could take it is untried. A call held for its preferred
# agent may be taken by that one only.


cdef inline bint fits(Core* k, int32_t needs, int32_t a) noexcept nogil:
    cdef int32_t t, i
    cdef Term* term
    cdef uint64_t* mask = k.agents[a].mask
    cdef uint8_t* level = k.levels + <size_t>a * N_SKILLS
    if needs == 0:
        return True
    for t in range(k.needs[needs].first, k.needs[needs].first + k.needs[needs].n_terms):
        term = &k.terms[t]
        if (term.mask[0] & ~mask[0]) or (term.mask[1] & ~mask[1]) or (term.mask[2] & ~mask[2]) or (
            term.mask[3] & ~mask[3]
        ):
            continue
        if not term.levels_matter:
            return True
        for i in range(term.n):
            if level[term.skill[i]] < term.level[i]:
                break
        else:
            return True
    return False


cdef inline bint fits_line(Core* k, int32_t m, int32_t l) noexcept nogil:
    """Does this agent of the queue fit the needs of this line of the queue? One bit, worked out before."""
    if k.lines[l].slot >= 0:
        return (k.serving[m].able >> k.lines[l].slot) & 1
    return fits(k, k.lines[l].needs, k.serving[m].agent)


cdef inline int32_t serving_of(Core* k, int32_t a, int32_t q) noexcept nogil:
    cdef int32_t m = k.agents[a].serving
    while m and k.serving[m].queue != q:
        m = k.serving[m].next
    return m


cdef inline bint admits(Core* k, int32_t m, int32_t c) noexcept nogil:
    """Does the queue let this agent take the call, from this wait on?"""
    cdef Serving* s = &k.serving[m]
    if s.reserve and not k.queues[s.queue].reserve_on:
        return False
    return s.from_s <= 0 or k.calls[c].preferred == s.agent or k.calls[c].enqueued + s.from_s <= k.now


cdef inline int32_t needs_now(Core* k, int32_t c) noexcept nogil:
    return k.ladders[k.calls[c].ladder].steps[k.calls[c].step].needs


cdef inline int32_t line_now(Core* k, int32_t c) noexcept nogil:
    return k.ladders[k.calls[c].ladder].steps[k.calls[c].step].line


cdef inline bint works(int state) noexcept nogil:
    return state >= STATE_READY


cdef inline int32_t* declined_by(Core* k, int32_t c) noexcept nogil:
    """The first n_declined of these, the earliest first."""
    return k.wishes[c].declined


cdef inline bint has_declined(Core* k, int32_t c, int32_t a) noexcept nogil:
    cdef int i
    for i in range(k.calls[c].n_declined):
        if declined_by(k, c)[i] == a:
            return True
    return False


cdef bint someone_untried(Core* k, int32_t c) noexcept nogil:
    """Works an agent who could take the call when free and has not declined it? Only asked for calls once declined."""
    cdef int32_t m = k.queues[k.calls[c].queue].members, line = line_now(k, c), a
    while m:
        a = k.serving[m].agent
        if works(k.agents[a].told) and admits(k, m, c) and not has_declined(k, c, a) and fits_line(k, m, line):
            return True
        m = k.members[m].next
    return False


cdef inline bint barred(Core* k, int32_t c, int32_t a) noexcept nogil:
    return k.calls[c].n_declined and LAW(DECLINE_MEMORY) and has_declined(k, c, a) and someone_untried(k, c)


cdef inline bint could_take(Core* k, int32_t c, int32_t a) noexcept nogil:
    """All but READY and the hold."""
    cdef int32_t m = serving_of(k, a, k.calls[c].queue)
    return m and admits(k, m, c) and fits_line(k, m, line_now(k, c)) and not barred(k, c, a)


cdef int verdict(Core* k, int32_t c, int32_t a) noexcept nogil:
    """The first reason why not, for `why`; 0 when a may take c now."""
    cdef int32_t m = serving_of(k, a, k.calls[c].queue)
    if m == 0:
        return 1
    if k.agents[a].told == STATE_RESERVED and is_clearing(&k.agents[a]):
        return 13
    if k.agents[a].told != STATE_READY:
        return k.agents[a].told + (2 if k.agents[a].told < STATE_READY else 1)
    if k.serving[m].reserve and not k.queues[k.calls[c].queue].reserve_on:
        return 7
    if not admits(k, m, c):
        return 8
    if not fits(k, needs_now(k, c), a):
        return 9
    if k.calls[c].held and k.calls[c].preferred != a:
        return 10
    if barred(k, c, a):
        return 11
    return 0 if k.calls[c].state == CALL_WAITING else 12
