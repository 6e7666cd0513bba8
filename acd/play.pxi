# One verb in, by number: the way in for the class and for feed(). Handles become indices here and nowhere else.
# What a verb names is sent for (fetch) before the timers run, so that it comes into the cache meanwhile.

cdef enum Verb:
    V_ADVANCE
    V_LOG_IN
    V_LOG_OUT
    V_READY
    V_NOT_READY
    V_EXTEND_WRAP_UP
    V_END_WRAP_UP
    V_PHONE_GONE
    V_PHONE_BACK
    V_OUTSIDE_BEGAN
    V_OUTSIDE_DIALLED
    V_OUTSIDE_ENDED
    V_ACCEPT
    V_REFUSE
    V_NO_ANSWER
    V_BUSY
    V_UNREACHABLE
    V_TAKE_BACK
    V_CLEARED
    V_RELEASE
    V_ABANDON
    V_OVERFLOW
    V_CALL_BACK
    V_WITHDRAW
    V_FAIL
    V_RAISE_HEAD_START
    V_DISPATCH
    V_ENQUEUE

cdef struct Command:
    int32_t verb
    int32_t needs
    int32_t relaxation
    int32_t after_call
    double now
    int64_t a  # agent, offer, call or queue
    int64_t b  # reason, agent of dispatch, preferred agent
    double x  # seconds, head start
    double arrival
    double max_wait_s
    double preferred_wait_s
    double preferred_head_s


cdef inline void fetch_agent(Core* k, int32_t a) noexcept nogil:
    fetch(&k.agents[a])
    fetch(&k.agents[a].due)
    fetch(&k.agents[a].state_us)


cdef int agent_verb(
    Core* k, int verb, uint64_t handle, int32_t reason, bint after, double x, double now
) noexcept nogil:
    cdef int32_t a = <int32_t>(1 + (handle & k.agent_mask))
    cdef int done
    fetch_agent(k, a)
    done = run_until(k, now)
    if done:
        return done
    a = agent_ix(k, handle)
    if a == 0:
        return NO_AGENT_SUCH
    if verb == V_LOG_IN:
        done = do_log_in(k, a)
    elif verb == V_LOG_OUT:
        done = do_log_out(k, a)
    elif verb == V_READY:
        done = do_ready(k, a)
    elif verb == V_NOT_READY:
        done = do_not_ready(k, a, reason, after)
    elif verb == V_EXTEND_WRAP_UP:
        done = do_extend_wrap_up(k, a, x)
    elif verb == V_END_WRAP_UP:
        done = do_end_wrap_up(k, a)
    elif verb == V_PHONE_GONE or verb == V_PHONE_BACK:
        done = do_phone(k, a, verb == V_PHONE_BACK)
    else:
        done = do_outside(k, a, -1 if verb == V_OUTSIDE_ENDED else 1, verb == V_OUTSIDE_DIALLED)
    settle_floor(k)
    return done


cdef int offer_verb(Core* k, int verb, uint64_t number, double now) noexcept nogil:
    cdef int32_t a
    cdef int done = run_until(k, now)
    if done:
        return done
    a = offer_cleared(k, number) if verb == V_CLEARED else offer_agent(k, number)
    if a == 0:
        return OFFER_OVER
    if verb == V_ACCEPT:
        done = do_accept(k, a)
    elif verb == V_CLEARED:
        done = do_cleared(k, a)
    elif verb == V_TAKE_BACK:
        done = do_fail_offer(k, a, 0, False, True)
    else:
        done = do_fail_offer(k, a, verb - V_REFUSE, True, True)
    settle_floor(k)
    return done


cdef int call_verb(Core* k, int verb, uint64_t handle, double x, double now) noexcept nogil:
    cdef Seat* seat = &k.seats[handle & k.call_mask]
    cdef int32_t c
    cdef int done
    fetch(&k.calls[seat.call])
    fetch(&k.calls[seat.call].due)
    if seat.agent:
        fetch_agent(k, seat.agent)
    else:
        fetch(&k.call_nodes[seat.call])
    done = run_until(k, now)
    if done:
        return done
    c = call_ix(k, handle)
    if c == 0:
        return NO_CALL
    if verb == V_RELEASE:
        done = do_release(k, c)
    elif verb == V_RAISE_HEAD_START:
        done = do_raise_head_start(k, c, x)
    else:
        done = do_leave(k, c, OUTCOME_OF[verb - V_ABANDON])
    settle_floor(k)
    return done


cdef int dispatch_verb(Core* k, uint64_t call, uint64_t agent, double now) noexcept nogil:
    cdef int32_t c, a
    cdef int done = run_until(k, now)
    if done:
        return done
    c, a = call_ix(k, call), agent_ix(k, agent)
    if c == 0:
        return NO_CALL
    if a == 0:
        return NO_AGENT_SUCH
    done = do_dispatch(k, c, a)
    settle_floor(k)
    return done


cdef int32_t find_ladder(Core* k, int32_t q, int32_t own, int32_t queue_needs, int32_t relaxation) noexcept nogil:
    """0: not worked out yet."""
    cdef uint64_t queue = k.queues[q].handle
    cdef int32_t i = k.ladder_hash[ladder_slot(k, queue, own, queue_needs, relaxation)]
    while i and (k.ladders[i].own_needs != own or k.ladders[i].queue_needs != queue_needs
                 or k.ladders[i].relaxation != relaxation or k.ladders[i].queue != queue):
        i = k.ladders[i].chain
    return i


cdef inline uint64_t ladder_slot(
    Core* k, uint64_t queue, int32_t own, int32_t queue_needs, int32_t relaxation
) noexcept nogil:
    return ((((queue * 1000003 + <uint64_t>own) * 1000003 + <uint64_t>queue_needs) * 1000003
             + <uint64_t>(relaxation + 1)) * <uint64_t>0x9E3779B97F4A7C15 >> 24) & k.ladder_mask


cdef int64_t enqueue_verb(Core* k, Command* v) noexcept nogil:
    cdef Spec s
    cdef int64_t done
    cdef int32_t c
    s.queue = queue_ix(k, <uint64_t>v.a)
    s.needs, s.relaxation = v.needs, v.relaxation
    s.ladder = k.queues[s.queue].ladder
    if s.needs or s.relaxation >= 0:
        s.ladder = find_ladder(k, s.queue, s.needs, k.queues[s.queue].needs,
                               k.queues[s.queue].relaxation if s.relaxation < 0 else s.relaxation)
    c = k.free_places[k.n_free_places - 1] if k.n_free_places else 0
    fetch(&k.calls[c])
    fetch(&k.calls[c].due)
    fetch(&k.call_nodes[c])
    fetch(&k.call_nodes[k.lines[k.ladders[s.ladder].steps[0].line].root])
    done = run_until(k, v.now)
    if done:
        return done
    s.preferred = agent_ix(k, <uint64_t>v.b)
    if s.queue == 0:
        return NO_QUEUE
    if v.b and s.preferred == 0:
        return NO_AGENT_SUCH
    if not 0 <= s.needs < k.n_needs:
        return NO_NEEDS
    if s.ladder == 0:
        return NO_RELAXATION
    s.arrival = k.now if isnan(v.arrival) else v.arrival
    s.head, s.max_wait = v.x, v.max_wait_s
    s.preferred_wait, s.preferred_head = v.preferred_wait_s, v.preferred_head_s
    done = do_enqueue(k, &s)
    settle_floor(k)
    return done


cdef int64_t play(Core* k, Command* v) noexcept nogil:
    cdef int64_t done
    if v.verb == V_ENQUEUE:
        return enqueue_verb(k, v)
    if v.verb == V_DISPATCH:
        return dispatch_verb(k, <uint64_t>v.a, <uint64_t>v.b, v.now)
    if v.verb == V_ADVANCE:
        return run_until(k, v.now)
    if V_LOG_IN <= v.verb <= V_OUTSIDE_ENDED:
        return agent_verb(k, v.verb, <uint64_t>v.a, <int32_t>v.b, v.after_call, v.x, v.now)
    if V_ACCEPT <= v.verb <= V_CLEARED:
        return offer_verb(k, v.verb, <uint64_t>v.a, v.now)
    if V_RELEASE <= v.verb <= V_RAISE_HEAD_START:
        return call_verb(k, v.verb, <uint64_t>v.a, v.x, v.now)
    return NOT_A_VERB
