# What the core remembers, as C structs in arrays taken at the start. An index is an int32 into its array; 0 is none.
# Counterpart of every other part; here only layout, constants, and the way from a handle to an index.

cdef enum:
    N_SKILLS = 256
    MAX_TERMS = 16  # of one OR
    MAX_PAIRS = 16  # of one AND
    MAX_STEPS = 8  # of one ladder, the start included
    MAX_DECLINED = 12  # per call; a thirteenth makes it forget the first
    MAX_MARKS = 32  # different waits a queue's agents begin at
    SL_SAMPLE = 16  # calls before a service level counts for reserves
    N_SLOTS = 32  # kinds of needs of a queue whose agents are counted apart, for estimates
    N_GROUPS = 4  # of a queue's agents by the wait they begin at; the last takes all further ones
    N_QUARTERS = 16384  # lists of timers: a lap of 68 minutes
    N_WALKS = 64  # calls due in one quarter whose ways in the trees are walked ahead, so many nodes of each
    N_LEVELS = 8
    N_HEADS = 4  # kinds of head start told apart, for estimates

cdef enum:  # verdicts of a verb
    DONE = 0
    NO_CALL = -100
    NO_AGENT_SUCH = -101
    NO_QUEUE = -102
    OFFER_OVER = -103
    ILLEGAL = -104
    FULL_UP = -105
    BACKWARDS = -106
    NOT_A_VERB = -107
    NO_NEEDS = -108
    NO_RELAXATION = -109
    BAD_VALUE = -110

cdef enum:  # outcomes of a call in its queue, in the order of Queue.n_out
    ANSWERED
    ABANDONED
    TIMED_OUT
    OVERFLOWED
    CALLED_BACK
    WITHDRAWN
    FAILED
    N_OUTCOMES

ctypedef int64_t us_t  # whole microseconds: sums are exact whatever their order

cdef struct Place:  # in an order: smaller first
    double key
    uint64_t seq
    int32_t tier  # before the key
    int32_t n_declined  # no part of the order: by how many agents the call was declined

cdef struct Node:  # of an ordered tree. One cache line; what is below is known by side, so that no other child is read
    Place place
    double since  # of a call: its enqueue
    double low_left  # smallest `since` on that side; infinity: nobody
    double low_right
    int32_t left
    int32_t right
    int32_t up
    int32_t n_left  # how many on that side

cdef struct Line:  # the calls of one queue that wait with the same needs; kept as long as the queue. One cache line
    Place place  # of its first call, copied so that a scan need not touch the call
    int32_t first
    int32_t root
    int32_t n_waiting
    int32_t n_able  # working agents who may take its calls, sooner or later: the sum of Flow.n_able
    int32_t queue
    int32_t needs  # -1: those held for a preferred agent
    int32_t next  # of the queue's lines where somebody waits
    int32_t prev
    int32_t sibling  # of the queue, all of them
    int8_t slot  # bit in Serving.able; -1: none left, or held
    int8_t n_judged  # estimates, the first of them

cdef struct Flow:  # beside its Line: who takes its calls, and what that costs them lately; see estimate.pxi
    int32_t n_able[N_GROUPS]
    double at
    double work
    double moved
    double moved_work
    double tune_median
    double tune_p80
    int32_t shared[N_SLOTS]  # of the able, those who can take the queue's line with that slot as well

cdef struct Due:  # when time alone next does something to its call or agent
    double at  # infinity: never
    int32_t slot  # in the heap; ~slot: the list it hangs on; 0: neither
    int32_t next  # on the list
    int32_t prev
    int32_t spare

cdef struct Call:  # two cache lines: a scan reads the first; waiting, ringing and talk add the second
    uint64_t handle
    double arrival
    double enqueued
    double expires
    double head  # head start, s
    int32_t queue
    int32_t line  # where it waits; 0: does not wait
    int32_t ladder
    int32_t ringing  # first of the agents it rings at
    int8_t state
    int8_t step
    int8_t held
    int8_t listed  # among the calls to be tried again
    int8_t n_declined
    Due due
    double moment  # while it is held: when that ends; in talk: when that began
    float est_median
    float est_p80
    int32_t est_line
    int32_t counted_needs  # what it asked for when it came
    int32_t preferred
    int32_t agent  # in talk
    int32_t own_needs
    int32_t relaxation  # -1: the queue's

cdef struct Wish:  # beside its Call: what few calls have
    double preferred_head
    int32_t declined[MAX_DECLINED]  # agents, the first Call.n_declined of them; -1: one that is gone
    int32_t pref_next  # others that prefer the same agent
    int32_t pref_prev
    int32_t decl_next  # others of the queue that were declined
    int32_t decl_prev

cdef struct Agent:  # of its five cache lines matching reads the first; a call, from ringing to wrap-up, the first three
    uint64_t handle
    uint64_t offer  # that rings; without a ring_call: that rang, and whose leg is being cleared
    uint64_t idle_seq  # place in the order of becoming idle
    double since  # of the state told last
    int32_t serving  # first of its queues
    int32_t ring_call
    int32_t call
    int32_t preferring  # first of the calls that prefer it
    int8_t told
    int8_t free  # stands in the trees of its queues
    int8_t freed  # among the agents to be matched
    int8_t intent
    int8_t next  # after the call; -1: nothing
    int8_t in_wrap
    int8_t paused
    int8_t phone
    int32_t told_reason
    int32_t n_calls  # since login
    Due due
    double until  # of the ringing, the wrap-up or the pause
    double own_wrap  # < 0: the queue's
    us_t busy_us  # ring + talk + wrap-up since login
    int32_t wrap_queue  # of the call it wraps up
    int32_t offered_as  # serving_of() the queue of the call it rings for or talks to; 0: it serves it no more
    int32_t n_outside
    int8_t row[4]  # failures of a kind, one after the other
    us_t state_us[6]
    int32_t n_offers
    int32_t n_answered
    int32_t ring_next
    int32_t ring_prev  # 0: it is the first
    us_t logged_at_us
    int32_t reason  # of NOT_READY by intent
    int32_t next_reason
    int32_t pause_reason
    int32_t total_level
    int64_t n_failed[4]
    int64_t n_cancelled
    uint64_t mask[4]
    double clear_by  # while its phone is being cleared: then it counts as free

cdef struct Serving:  # an agent in a queue: what matching reads, two to a cache line
    double from_s
    uint32_t able  # bit per Line.slot of the queue: the agent fits its needs
    int32_t agent
    int32_t queue
    int32_t next  # of the agent
    int8_t reserve
    int8_t group  # by from_s: 0 at once, then the queue's group_s
    int8_t counted  # among those able
    int8_t spare[5]  # to 32 bytes

cdef struct Member:  # the rest of it; its Node is the place among the queue's free agents. One cache line
    uint64_t last_offer
    uint64_t order
    int32_t next  # of the queue
    int32_t prev
    int32_t rank
    int32_t weight
    int64_t n_offers
    int64_t n_answered
    us_t talk_us
    int64_t spare

cdef struct Queue:  # in the order of use: matching, limits, counting, the rest
    uint64_t handle
    int32_t free_root
    int32_t n_waiting
    int32_t n_offered
    int32_t n_talking
    int32_t members
    int32_t declined  # first of its calls that were declined
    int32_t ladder  # of a call without needs of its own
    int32_t strategy
    int32_t n_ring
    int32_t max_waiting
    int32_t n_marks
    int32_t n_reserves
    int32_t held  # the line of those held for a preferred agent
    int8_t needs_agent
    int8_t needs_skill
    int8_t reserve_on
    int8_t dirty
    double ring_s
    double wrap_up_s
    double max_ewt_s
    double sl_s
    double short_s
    uint64_t recent  # bit per call, 1 within the service level, the newest lowest
    int32_t n_recent
    int32_t n_logged
    int32_t n_working  # READY, RESERVED, TALKING or ACW
    int32_t n_members
    int64_t n_came
    int64_t n_out[N_OUTCOMES]
    int64_t n_in_sl
    int64_t n_released
    us_t wait_us
    us_t max_wait_us
    us_t lost_wait_us  # waited by those who were not answered
    us_t talk_us
    us_t wrap_us
    int64_t n_estimated
    int64_t n_within_median
    int64_t n_within_p80
    double gave_up  # these three: see estimate.pxi
    double gave_up_s
    double overtakers[N_HEADS]
    double overtakers_head_s[N_HEADS]
    double overtakers_at
    double opened_at
    int64_t n_abandoned_in_sl
    int64_t n_short
    int64_t n_refused[5]
    int32_t needs
    int32_t relaxation
    int32_t lines  # first of all its lines
    int32_t n_slots
    int32_t line_of[N_SLOTS]
    double group_s[N_GROUPS]
    double marks[MAX_MARKS]
    int32_t at_mark[MAX_MARKS]  # how many of its agents begin at that wait
    int32_t policy[4]
    int32_t in_a_row[4]
    double pause_s[4]
    double reserve_on_s
    double reserve_off_s
    double reserve_on_sl
    double reserve_off_sl

cdef struct Term:
    uint64_t mask[4]
    int32_t n
    bint levels_matter
    uint8_t skill[MAX_PAIRS]
    uint8_t level[MAX_PAIRS]

cdef struct Needs:
    int32_t first
    int32_t n_terms
    int64_t n_came
    int64_t n_answered
    int64_t n_in_sl
    int64_t n_abandoned
    us_t wait_us

cdef struct Step:
    int32_t line
    int32_t needs
    double head_s
    double ends_s  # of waiting; infinity: it is the last

cdef struct Ladder:  # a relaxation worked out for a queue and a call's own needs; its first line holds the first step
    uint64_t queue  # handle
    int32_t own_needs
    int32_t queue_needs
    int32_t relaxation
    int32_t chain  # of the hash
    int32_t n_steps
    int32_t spare
    Step steps[MAX_STEPS]
    int32_t more_spare[8]  # to 256 bytes

cdef struct Timer:  # four to a cache line
    double at
    int32_t who  # > 0 a call, < 0 an agent
    int32_t spare

cdef struct Seat:  # where a handle's call is; and who talks to it, so that both can be sent for at once
    int32_t call
    int32_t agent

cdef struct Walk:  # of a call that is due soon: up from where it stands, and down to where it will stand
    int32_t up
    int32_t down
    Place place

cdef struct OfferSlot:
    uint64_t offer
    int32_t agent

cdef struct Event:
    double at
    uint64_t call
    uint64_t agent
    int64_t number
    int32_t kind
    int32_t value

cdef struct Core:
    double now
    uint64_t random
    uint64_t last_call
    uint64_t last_agent
    uint64_t last_queue
    uint64_t last_offer
    uint64_t last_idle
    uint64_t last_serving
    int32_t n_calls
    int32_t max_calls
    int32_t n_agents
    int32_t max_agents
    int32_t n_queues
    int32_t max_queues
    int32_t max_serving
    uint64_t call_mask
    Seat* seats  # by handle & call_mask
    int32_t* free_places  # for calls; the one that was left last is taken first
    int32_t n_free_places
    uint64_t agent_mask
    uint64_t queue_mask
    uint64_t offer_mask
    Call* calls
    Node* call_nodes
    Wish* wishes  # beside each Call
    Agent* agents
    uint8_t* levels
    Queue* queues
    int32_t* first_line  # of each queue where somebody waits: the one thing of a queue that most scans need
    Serving* serving
    Member* members  # beside each Serving
    Node* serving_nodes
    int32_t free_serving
    Line* lines
    Flow* flows
    int32_t n_lines
    int32_t max_lines
    int32_t free_line
    Needs* needs
    int32_t n_needs
    int32_t max_needs
    Term* terms
    int32_t n_terms
    int32_t max_terms
    Ladder* ladders
    int32_t n_ladders
    int32_t max_ladders
    int32_t free_ladder
    int32_t* ladder_hash
    uint64_t ladder_mask
    Timer* timers
    int32_t n_timers
    int32_t n_later
    double next_quarter_at
    int64_t quarter  # of a second, up to which timers are in the heap
    int32_t scout  # on the list of the next quarter
    int32_t* later
    uint64_t* later_some  # bit per list: it is not empty
    Walk* walks
    int32_t n_walks
    OfferSlot* offers
    int32_t* freed
    int32_t n_freed
    int32_t* best_of  # beside `freed`, while they are matched
    int32_t* retry
    int32_t n_retry
    int32_t* expiring
    int32_t n_expiring
    int32_t* dirty
    int32_t n_dirty
    Event* events
    int64_t n_events
    int64_t max_events
    bint is_changing  # between begin_changes() and end_changes(): pairs are made at the end
    int32_t broken  # line of the first CHECK that failed


cdef inline us_t us(double t) noexcept nogil:
    """Rounded half up."""
    cdef double x = t * 1e6 + 0.5
    cdef us_t n = <us_t>x
    return n - (x < n)


cdef inline int32_t call_ix(Core* k, uint64_t handle) noexcept nogil:
    cdef int32_t i = k.seats[handle & k.call_mask].call
    return i if handle and k.calls[i].handle == handle else 0


cdef inline int32_t agent_ix(Core* k, uint64_t handle) noexcept nogil:
    cdef int32_t i = <int32_t>(1 + (handle & k.agent_mask))
    return i if handle and k.agents[i].handle == handle else 0


cdef inline int32_t queue_ix(Core* k, uint64_t handle) noexcept nogil:
    cdef int32_t i = <int32_t>(1 + (handle & k.queue_mask))
    return i if handle and k.queues[i].handle == handle else 0


cdef inline int32_t offer_agent(Core* k, uint64_t offer) noexcept nogil:
    """The agent whose ringing offer this is; 0 when it is over (news of an offer carries the offer's number)."""
    cdef OfferSlot* slot = &k.offers[offer & k.offer_mask]
    if LAW(STALE_OFFER) and (offer == 0 or slot.offer != offer or k.agents[slot.agent].ring_call == 0):
        return 0
    return slot.agent


cdef inline bint is_clearing(Agent* agent) noexcept nogil:
    """The leg of its last offer is not known to be over: the phone may still be in that call."""
    return agent.offer != 0 and agent.ring_call == 0


cdef inline int32_t offer_cleared(Core* k, uint64_t offer) noexcept nogil:
    """The agent whose phone is being cleared of this offer; 0: nobody's."""
    cdef OfferSlot* slot = &k.offers[offer & k.offer_mask]
    return slot.agent if offer and slot.offer == offer and is_clearing(&k.agents[slot.agent]) else 0


cdef void tell(Core* k, int kind, uint64_t call, uint64_t agent, int64_t number, int value) noexcept nogil:
    cdef Event* more
    if k.n_events == k.max_events:  # nobody drained for long: the one place that may allocate
        more = <Event*>realloc(k.events, 2 * k.max_events * sizeof(Event))
        if more == NULL:
            k.broken = -1
            return
        k.events = more
        k.max_events *= 2
    cdef Event* e = &k.events[k.n_events]
    e.kind, e.at, e.call, e.agent, e.number, e.value = kind, k.now, call, agent, number, value
    k.n_events += 1


cdef inline uint64_t next_random(Core* k) noexcept nogil:
    """splitmix64 (Steele, Lea, Flood 2014): small, seeded, the same on every machine."""
    k.random += <uint64_t>0x9E3779B97F4A7C15
    cdef uint64_t z = k.random
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)
