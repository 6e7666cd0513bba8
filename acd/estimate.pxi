# How the line really moves, and the wait that follows from it.
#
# While calls wait, agents take them at a rate of n_working / work, where `work` is the agent-seconds one departure from
# the line has cost lately (ring + talk + wrap-up, and what these agents do for other queues: all of it is in the
# measure). Those ahead also give up, at `theta` per second waited each. The wait of the p-th in line is then a sum of p
# exponential times with rates s + j theta, j = 0 .. p-1 (Erlang A; Garnett, Mandelbaum, Reiman 2002), whose mean and
# variance we take in closed form (the sum as an integral) and turn into quantiles of a gamma distribution (Wilson and
# Hilferty 1931).
#
# All three measures forget: each departure weighs 0.98 of the next. The factors tune_* then follow the quantiles that
# callers really met (Robbins and Monro 1951), so that the share answered within the announced P80 tends to 80 %.
# Between events of the trace nothing here moves, so an estimate cannot rise without a cause.


cdef double FORGET = 0.98
cdef double FIRST_WORK_S = 180.0
cdef double TUNE = 0.04


cdef inline void line_tick(Core* k, Queue* q) noexcept nogil:
    if q.n_waiting > 0:
        q.line_work += (k.now - q.line_at) * q.n_working
    q.line_at = k.now


cdef inline void line_count(Core* k, int32_t q, int change) noexcept nogil:
    line_tick(k, &k.queues[q])
    k.queues[q].n_waiting += change


cdef inline void line_moved(Core* k, int32_t q) noexcept nogil:
    """The line sent its first call to an agent."""
    cdef Queue* queue = &k.queues[q]
    line_tick(k, queue)
    queue.moved = queue.moved * FORGET + 1
    queue.moved_work = queue.moved_work * FORGET + queue.line_work
    queue.line_work = 0


cdef inline void line_left(Queue* q, double waited_s, bint gave_up) noexcept nogil:
    q.gave_up = q.gave_up * FORGET + gave_up
    q.gave_up_s = q.gave_up_s * FORGET + waited_s


cdef inline double gamma_quantile(double mean, double var, double z) noexcept nogil:
    cdef double h = var / (9 * mean * mean)
    cdef double root = 1 - h + z * sqrt(h)
    return mean * root * root * root if root > 0 else 0.0


cdef void estimate_at(Queue* q, int32_t place, double* median, double* p80) noexcept nogil:
    """Of the call that has `place` - 1 others before it."""
    cdef double s, theta, mean, var, low, high
    if q.n_working <= 0 or q.moved_work <= 0:
        median[0] = p80[0] = INFINITY
        return
    s = q.n_working * q.moved / q.moved_work
    theta = fmin(q.gave_up / q.gave_up_s, s) if q.gave_up_s > 0 else 0.0
    if theta * place < 1e-6 * s:
        mean = place / s
        var = place / (s * s)
    else:
        low = s - theta / 2
        high = s + (place - 0.5) * theta
        mean = log(high / low) / theta
        var = (1 / low - 1 / high) / theta
    median[0] = q.tune_median * gamma_quantile(mean, var, 0.0)
    p80[0] = fmax(median[0], q.tune_p80 * gamma_quantile(mean, var, 0.8416212335729143))


cdef void learn_estimate(Queue* q, Call* c, double waited_s) noexcept nogil:
    """A call that was told an estimate was answered: was it within?"""
    if c.est_p80 <= 0 or c.est_p80 == INFINITY:
        return
    q.n_estimated += 1
    q.n_within_median += waited_s <= c.est_median
    q.n_within_p80 += waited_s <= c.est_p80
    q.tune_median = fmin(5.0, fmax(0.2, q.tune_median * exp(TUNE * (-0.5 if waited_s <= c.est_median else 0.5))))
    q.tune_p80 = fmin(5.0, fmax(0.2, q.tune_p80 * exp(TUNE * (-0.2 if waited_s <= c.est_p80 else 0.8))))


cdef int32_t place_of(Core* k, int32_t c) noexcept nogil:
    """1 for the first of its queue."""
    cdef Node* n = &k.call_nodes[c]
    cdef int32_t b = k.first_bucket[k.calls[c].queue], place = 1
    while b:
        place += tree_before(k.call_nodes, k.buckets[b].root, n.tier, n.key, n.seq)
        b = k.buckets[b].next
    return place


cdef void note_estimate(Core* k, int32_t c, int32_t place) noexcept nogil:
    """What a call that begins to wait is told, kept to be judged when it is answered."""
    cdef double median = 0, p80 = 0
    estimate_at(&k.queues[k.calls[c].queue], place, &median, &p80)
    k.calls[c].est_median, k.calls[c].est_p80 = <float>median, <float>p80
