# Who can take a line's calls, how fast they do, and the wait that follows from it.
#
# A line is the calls of one queue that wait with the same needs. Beside it stands how many working agents fit it, by
# the wait they begin at (count_able() keeps that as agents come and go, by one bit per line), and what one departure
# costs: `work`, agent-seconds of its able agents per call of this queue that they took while somebody waited in the
# line (ring, talk, wrap-up, and what they did for other queues: all of it is in the measure). The queue's mean
# handling time stands for the first such departure. Those before a call count by the share of their own able agents
# who are able for it too.
#
# Those ahead also give up, at `theta` per second waited each. The wait behind p others is then a sum of exponential
# times with rates s + j theta, j = 0 .. p-1, where s = n_able / work (Erlang A; Garnett, Mandelbaum, Reiman 2002),
# whose mean and variance we take in closed form (the sum as an integral) and turn into quantiles of a gamma
# distribution (Wilson and Hilferty 1931). Later calls with a greater head start will go before it: those of their
# measured rate that can still come early enough, as for the low class of a priority queue (Cobham 1954).
#
# Time alone can only help: at a later step of the relaxation, from a later wait on (from_s), after the hold. For each
# such moment the wait until then and the wait as if it began then is a bound, and the least of them is the estimate.
#
# All measures forget: each departure weighs 0.98 of the next. The factors tune_* then follow the quantiles that
# callers of the line really met (Robbins and Monro 1951), so that the share answered within the announced P80 tends to
# 80 %. Between events nothing here moves but the clock, and every term falls with it: an estimate cannot rise without
# a cause.
#
# Cost: in the order of the queue's lines and the logarithm of its calls, never of its agents.


cdef double FORGET = 0.98
cdef double FIRST_WORK_S = 180.0
cdef double TUNE = 0.04
cdef int TUNE_FROM = 10  # judged: the first has so many times the weight, the n-th an n-th of that
cdef double RATE_S = 600.0  # over so long the coming of calls with head starts is measured
cdef double[3] HEAD_EDGES
HEAD_EDGES[:] = [30.0, 120.0, 1800.0]
cdef double MAX_SPREAD = 1.5  # up to here the P80 of a gamma distribution grows with its spread
cdef double P80 = 0.8416212335729143  # of the normal distribution

cdef struct Ask:  # for whom an estimate is made
    int32_t queue
    int32_t ladder
    int32_t step
    int32_t call  # 0: the next to come
    bint is_last  # nobody of the queue stands behind it
    double begins  # its hold ends
    double enqueued
    double arrival
    double head
    double fade  # of the counts of overtakers, to a rate
    Place place


# --- who is able -----------------------------------------------------------------------------------------------------

cdef inline int32_t n_reached(Queue* q, Flow* f, double waited_s) noexcept nogil:
    cdef int32_t n = f.n_able[0]
    cdef int g
    for g in range(1, N_GROUPS):
        if q.group_s[g] <= waited_s:
            n += f.n_able[g]
    return n


cdef inline void flow_tick(Core* k, int32_t l) noexcept nogil:
    """The agent-seconds up to now; only while somebody waits."""
    cdef Line* line = &k.lines[l]
    cdef Flow* f = &k.flows[l]
    cdef double passed = k.now - f.at
    cdef double waited
    if line.first and passed > 0:
        waited = k.now - k.calls[line.first].enqueued if f.n_able[0] != line.n_able else 0.0
        f.work += passed * n_reached(&k.queues[line.queue], f, waited)
        f.at = k.now


cdef void able_change(Core* k, int32_t m, uint32_t lines, int change) noexcept nogil:
    """The agent counts, or counts no more, among those able for these of the queue's lines."""
    cdef Serving* s = &k.serving[m]
    cdef Queue* q = &k.queues[s.queue]
    cdef uint32_t left = lines, others
    cdef int32_t l
    while left:
        l = q.line_of[lowest_bit(left)]
        left &= left - 1
        flow_tick(k, l)
        k.lines[l].n_able += change
        k.flows[l].n_able[s.group] += change
        others = s.able
        while others:
            k.flows[l].shared[lowest_bit(others)] += change
            others &= others - 1


cdef inline void count_able(Core* k, int32_t m) noexcept nogil:
    """After the agent's state, or the queue's need of reserves, changed."""
    cdef Serving* s = &k.serving[m]
    cdef bint able = works(k.agents[s.agent].told) and (not s.reserve or k.queues[s.queue].reserve_on)
    if able != s.counted:
        s.counted = able
        able_change(k, m, s.able, 1 if able else -1)


cdef inline void uncount_able(Core* k, int32_t m) noexcept nogil:
    """Before its skills, or the wait it begins at, change, or it ceases to serve."""
    if k.serving[m].counted:
        k.serving[m].counted = False
        able_change(k, m, k.serving[m].able, -1)


cdef void flow_moved(Core* k, int32_t m) noexcept nogil:
    """This agent of the queue takes one of its calls: a departure for every line the agent is able for."""
    cdef Serving* s = &k.serving[m]
    cdef uint32_t left = s.able
    cdef int32_t l
    cdef Flow* f
    while left:
        l = k.queues[s.queue].line_of[lowest_bit(left)]
        left &= left - 1
        if k.lines[l].first:
            flow_tick(k, l)
            f = &k.flows[l]
            f.moved = f.moved * FORGET + 1
            f.moved_work = f.moved_work * FORGET + f.work
            f.work = 0


cdef inline void line_left(Queue* q, double waited_s, bint gave_up) noexcept nogil:
    q.gave_up = q.gave_up * FORGET + gave_up
    q.gave_up_s = q.gave_up_s * FORGET + waited_s


cdef void note_overtaker(Core* k, Queue* q, double head) noexcept nogil:
    """A call with a head start comes to wait."""
    cdef double fade = exp((q.overtakers_at - k.now) / RATE_S)
    cdef int kind = 0, i
    while kind < N_HEADS - 1 and head > HEAD_EDGES[kind]:
        kind += 1
    for i in range(N_HEADS):
        q.overtakers[i] *= fade
        q.overtakers_head_s[i] *= fade
    q.overtakers[kind] += 1
    q.overtakers_head_s[kind] += head
    q.overtakers_at = k.now


# --- the wait --------------------------------------------------------------------------------------------------------

cdef inline double gamma_quantile(double mean, double spread, double z) noexcept nogil:
    """spread: variance / mean squared."""
    cdef double root = 1 - spread / 9 + z * sqrt(spread / 9)
    return mean * root * root * root if root > 0 else 0.0


cdef inline double mean_wait(double place, double s, double theta) noexcept nogil:
    if theta * place < 1e-6 * s:
        return place / s
    return log((s + (place - 0.5) * theta) / (s - theta / 2)) / theta


cdef double with_overtakers(Core* k, Ask* ask, double place, double s, double share) noexcept nogil:
    """The place with those counted in who will come later and go before: each kind at its rate, for as long as its gap
    lasts. Rates and gaps only fall as time passes."""
    cdef Queue* q = &k.queues[ask.queue]
    cdef double gap, wait, most = 0.0, back = greater(0.0, k.now - ask.arrival) + ask.head
    cdef double[N_HEADS] rate
    cdef int i
    for i in range(N_HEADS):
        rate[i] = q.overtakers[i] * ask.fade * share if q.overtakers_head_s[i] > back * q.overtakers[i] else 0.0
        most += rate[i]
    for i in range(N_HEADS):  # the gaps rise: who comes with a longer one may go before for longer
        if rate[i] > 0:
            wait = place / (s - most) if most < s else INFINITY
            gap = q.overtakers_head_s[i] / q.overtakers[i] - back
            if gap >= wait:
                break
            place += rate[i] * gap
            most -= rate[i]
    return place * s / (s - lesser(most, 0.9 * s))


cdef void wait_behind(
    Core* k, Ask* ask, int32_t l, double place, double n, double begins, double* median, double* p80
) noexcept nogil:
    """The wait as if it began then, behind place - 1 others, with n agents; kept if less than what is known."""
    cdef Queue* q = &k.queues[ask.queue]
    cdef Flow* f = &k.flows[l]
    cdef double handling, s, theta, mean, spread, in_all = place
    if n <= 0 or begins >= p80[0]:
        return
    handling = (q.talk_us + q.wrap_us) / (1e6 * q.n_released) if q.n_released > 0 else FIRST_WORK_S
    s = n * (f.moved + 1) / greater(f.moved_work + handling, 1e-3)
    theta = lesser(q.gave_up / q.gave_up_s, s) if q.gave_up_s > 0 else 0.0
    if q.overtakers_at > 0 and ask.head < INFINITY:
        in_all = with_overtakers(k, ask, place, s, lesser(1.0, n / greater(1.0, q.n_working)))
    mean = mean_wait(place, s, theta)
    spread = 1 / place
    if theta * place >= 1e-6 * s:
        spread = (1 / (s - theta / 2) - 1 / (s + (place - 0.5) * theta)) / theta / (mean * mean)
    median[0] = lesser(median[0], begins + f.tune_median * gamma_quantile(mean_wait(in_all, s, theta), spread, 0.0))
    if in_all > place:  # longer, and wider as a busy period is, by s / (s - rate of those overtaking)
        mean = mean_wait(in_all, s, theta)
        spread = lesser(greater(spread, MAX_SPREAD), spread * (2 * in_all / place - 1))
    p80[0] = lesser(p80[0], begins + f.tune_p80 * gamma_quantile(mean, spread, P80))


cdef double share_of(Core* k, int32_t l, int32_t other) noexcept nogil:
    """Of a call in the other line: how likely it goes to an agent who is able for this one."""
    if l == other or k.lines[l].slot < 0 or k.lines[other].slot < 0:
        return 1.0
    if k.lines[other].n_able <= 0:
        return 0.0
    return <double>k.flows[l].shared[k.lines[other].slot] / k.lines[other].n_able


cdef void count_before(Core* k, Ask* ask, double* places) noexcept nogil:
    """For each step of the ladder: 1 and those before, by their share."""
    cdef Ladder* ladder = &k.ladders[ask.ladder]
    cdef int32_t other = k.first_line[ask.queue], n, step
    for step in range(k.queues[ask.queue].n_slots):
        fetch(&k.lines[k.queues[ask.queue].line_of[step]])
    for step in range(ask.step, ladder.n_steps):
        fetch(&k.flows[ladder.steps[step].line])
        fetch(&k.flows[ladder.steps[step].line].shared)
    for step in range(ask.step, ladder.n_steps):
        places[step] = 1.0
    while other:
        n = k.lines[other].n_waiting
        if not ask.is_last:
            n = tree_before(k.call_nodes, k.lines[other].root, &ask.place)
        if n:
            for step in range(ask.step, ladder.n_steps):
                places[step] += n * share_of(k, ladder.steps[step].line, other)
        other = k.lines[other].next


cdef bint counts_from(Core* k, int32_t a, int32_t q, int32_t l, double* from_s) noexcept nogil:
    """Is the agent among those able for the line, and from what wait on?"""
    cdef int32_t m = serving_of(k, a, q)
    if m == 0 or not k.serving[m].counted or not fits_line(k, m, l):
        return False
    from_s[0] = k.queues[q].group_s[k.serving[m].group]
    return True


cdef int32_t n_not_asked(Core* k, Ask* ask, int32_t l, double waited_s) noexcept nogil:
    """Agents counted as able at that wait who declined this call, less a preferred one who is not counted yet."""
    cdef Call* call = &k.calls[ask.call]
    cdef double from_s = 0
    cdef int32_t i, n = 0
    cdef int32_t* declined = declined_by(k, ask.call)
    cdef bint is_preferred = call.preferred and not has_declined(k, ask.call, call.preferred)
    for i in range(call.n_declined):
        if declined[i] > 0 and counts_from(k, declined[i], ask.queue, l, &from_s) and from_s <= waited_s:
            n += 1
    if is_preferred and counts_from(k, call.preferred, ask.queue, l, &from_s) and from_s > waited_s:
        n -= 1
    return n


cdef void estimate_for(Core* k, Ask* ask, double* median, double* p80) noexcept nogil:
    cdef Ladder* ladder = &k.ladders[ask.ladder]
    cdef Queue* q = &k.queues[ask.queue]
    cdef double begins, at, waited = greater(0.0, k.now - ask.enqueued)
    cdef double[MAX_STEPS] places
    cdef int32_t l, n, g, step, fewer = 0
    median[0] = p80[0] = INFINITY
    count_before(k, ask, places)
    if q.overtakers_at > 0:
        ask.fade = exp((q.overtakers_at - k.now) / RATE_S) / (
            RATE_S * greater(0.01, 1 - exp((q.opened_at - k.now) / RATE_S))
        )
    for step in range(ask.step, ladder.n_steps):
        begins = ask.begins
        if step > ask.step:
            begins = greater(begins, ask.enqueued + ladder.steps[step - 1].ends_s - k.now)
        l = ladder.steps[step].line
        if k.lines[l].slot < 0:
            l = q.line_of[0]
        for g in range(N_GROUPS):
            if g and (k.flows[l].n_able[g] == 0 or q.group_s[g] <= waited + begins):
                continue  # nobody, or in the number already
            at = greater(begins, q.group_s[g] - waited) if g else begins
            n = n_reached(q, &k.flows[l], waited + at)
            if ask.call and (k.calls[ask.call].n_declined or k.calls[ask.call].preferred):
                fewer = n_not_asked(k, ask, l, waited + at)
            wait_behind(k, ask, l, places[step], n - fewer if n > fewer else n, at, median, p80)
    p80[0] = greater(median[0], p80[0])


cdef void ask_for_call(Core* k, Ask* ask, int32_t c, bint is_last) noexcept nogil:
    cdef Call* call = &k.calls[c]
    ask.queue, ask.ladder, ask.step, ask.call, ask.is_last = call.queue, call.ladder, call.step, c, is_last
    ask.enqueued, ask.arrival = call.enqueued, call.arrival
    ask.head = greater(call.head, k.wishes[c].preferred_head) if call.held else call.head
    ask.begins = greater(0.0, call.moment - k.now) if call.held else 0.0
    ask.place.tier = 0 if ask.head == INFINITY else 1
    ask.place.key = call.arrival if ask.head == INFINITY else call.arrival - ask.head
    ask.place.seq = call.handle


cdef void ask_for_next(Core* k, Ask* ask, int32_t q) noexcept nogil:
    """A call without wishes of its own that would come now."""
    ask.queue, ask.ladder, ask.step, ask.call, ask.is_last = q, k.queues[q].ladder, 0, 0, True
    ask.enqueued = ask.arrival = k.now
    ask.head = ask.begins = 0


cdef void note_estimate(Core* k, int32_t c) noexcept nogil:
    """What a call that begins to wait is told, kept to be judged when it is answered: one in four is enough, unless the
    queue refuses by it."""
    cdef Call* call = &k.calls[c]
    cdef Ask ask
    cdef double median = 0, p80 = 0
    if call.handle & 3 and k.queues[call.queue].max_ewt_s == INFINITY:
        return
    ask_for_call(k, &ask, c, call.head == 0 and call.arrival == k.now and not call.held)
    estimate_for(k, &ask, &median, &p80)
    call.est_median, call.est_p80, call.est_line = <float>median, <float>p80, line_now(k, c)


cdef inline double tuned(double factor, double by) noexcept nogil:
    return lesser(5.0, greater(0.2, factor * exp(by)))


cdef void learn_estimate(Core* k, Call* c, double waited_s) noexcept nogil:
    """A call that was told an estimate was answered: was it within?"""
    cdef Queue* q = &k.queues[c.queue]
    cdef Flow* f
    cdef double gain
    if c.est_p80 <= 0 or c.est_p80 == INFINITY:
        return
    f = &k.flows[c.est_line if k.lines[c.est_line].slot >= 0 else q.line_of[0]]
    q.n_estimated += 1
    k.lines[c.est_line].n_judged += k.lines[c.est_line].n_judged < TUNE_FROM
    gain = TUNE * TUNE_FROM / k.lines[c.est_line].n_judged
    q.n_within_median += waited_s <= c.est_median
    q.n_within_p80 += waited_s <= c.est_p80
    f.tune_median = tuned(f.tune_median, gain * (-0.5 if waited_s <= c.est_median else 0.5))
    f.tune_p80 = tuned(f.tune_p80, gain * (-0.2 if waited_s <= c.est_p80 else 0.8))


cdef int32_t place_of(Core* k, int32_t c) noexcept nogil:
    """1 for the first of its queue."""
    cdef int32_t l = k.first_line[k.calls[c].queue], place = 1
    while l:
        place += tree_before(k.call_nodes, k.lines[l].root, &k.call_nodes[c].place)
        l = k.lines[l].next
    return place
