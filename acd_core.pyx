# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: language = c
"""The ACD: agents, queues, skills, matching. No I/O, no clock, no strings, no callbacks. Contract: acd_core.pyi.

What it decides, and why it can be trusted
------------------------------------------
A waiting call has a *key*, arrival minus head start, and all waiting calls of all queues stand in one strict total order
by it (an infinite head start before every finite one; ties by handle). Between events no free agent and waiting call exist
that may be matched. An event (a verb, or all timers of one instant) changes facts about few agents and calls; then, while
somebody free may take a waiting call, the first such call in the order gets the agent its queue's strategy names. So:

* order: an agent is given to y while x waits before y only if that agent could not take x;
* the bound: y overtakes x only if it came less than the difference of their head starts later;
* work conservation and no head-of-line blocking: a call nobody free can take holds up nobody.

The proof that it is so: tests/core drives this file and a model without any index through the same random events.

How it is fast
--------------
An agent who becomes free looks at the first call of each (queue, needs) line of its own queues, not at calls. A call
that arrives looks at its queue's free agents in order. Timers wait on lists, and are put in order when their time is
near. So an event costs in the order of the agent's queues times the different needs waiting in them, plus logarithms;
nothing is allocated on the way (only the buffer of outputs grows, when nobody drains it). On a large floor the time is
that of memory: what goes together stands in one cache line, and what will be needed is sent for ahead (fetch).

Where things are
----------------
acd/structs.pxi     what is remembered, handles -> indices     acd/order.pxi      ordered trees
acd/timers.pxi      what is due when                           acd/eligible.pxi   who may take which call
acd/match.pxi       pairs: strategies, lines, rematch          acd/estimate.pxi   who is able, expected wait
acd/verbs.pxi       what happens: agents, offers, calls, time  acd/play.pxi       one verb in, by number
acd/snapshots.pxi   rows for boards and reports                acd/audit.pxi      the invariants, asserted the slow way
here                the class, configuration, `why`

An ACD_CHECKS=1 build audits itself after every verb (while small), ends at an index out of bounds, and can be told to
break one law at a time, so that the tests can show that each law is needed (LAW in the code; break_law()). In the
production build LAW(x) is 1.
"""

import json
from enum import IntEnum

import numpy as np

from libc.math cimport INFINITY, exp, isnan, log, sqrt
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #include <sys/mman.h>
    #define popcount64(x) __builtin_popcountll(x)
    #define lowest_bit(x) __builtin_ctz(x)
    #define lowest_bit64(x) __builtin_ctzll(x)
    #define FAR_S 1e14
    #define fetch(p) __builtin_prefetch(p)
    #define lesser(x, y) ((x) < (y) ? (x) : (y))
    #define greater(x, y) ((x) > (y) ? (x) : (y))

    /* Large arrays in huge pages, where the kernel grants them: far fewer misses of the address cache. */
    static void prefer_huge_pages(void *p, size_t bytes)
    {
    #ifdef MADV_HUGEPAGE
        const uintptr_t huge = (uintptr_t)2 << 20;
        const uintptr_t begin = ((uintptr_t)p + huge - 1) & ~(huge - 1), end = ((uintptr_t)p + bytes) & ~(huge - 1);
        if (begin < end)
            (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
    #endif
    }
    static int acd_broken_law = 0;
    #ifdef ACD_CHECKS
    #define LAW(x) (acd_broken_law != (x))
    #define ACD_IS_CHECKED 1

    /* Each array ends where a page begins that nobody may touch: an index beyond its end is a fault at once. */
    #define PAGE ((size_t)4096)
    static void *array_of(size_t alignment, size_t bytes)
    {
        const size_t pages = (bytes + PAGE - 1) / PAGE * PAGE, all = pages + 2 * PAGE;
        char *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        (void)alignment;
        if (p == MAP_FAILED)
            return NULL;
        *(size_t *)p = all;
        if (mprotect(p, PAGE, PROT_READ) != 0 || mprotect(p + PAGE + pages, PAGE, PROT_NONE) != 0)
            abort();
        return p + PAGE + pages - bytes;
    }
    static void free_array(void *array)
    {
        char *p = (char *)((uintptr_t)array / PAGE * PAGE - PAGE);
        if (array != NULL && munmap(p, *(size_t *)p) != 0)
            abort();
    }
    #else
    #define LAW(x) ((void)(x), 1)
    #define ACD_IS_CHECKED 0
    #define array_of aligned_alloc
    #define free_array free
    #endif
    """
    int popcount64(uint64_t x) noexcept nogil
    int lowest_bit(uint32_t x) noexcept nogil
    int lowest_bit64(uint64_t x) noexcept nogil
    const double FAR_S
    void fetch(void* p) noexcept nogil  # into the cache, for what comes soon
    double lesser(double x, double y) noexcept nogil
    double greater(double x, double y) noexcept nogil
    void* array_of(size_t alignment, size_t size) noexcept nogil
    void free_array(void* p) noexcept nogil
    void prefer_huge_pages(void* p, size_t bytes) noexcept nogil
    bint LAW(int x) noexcept nogil
    int acd_broken_law
    const bint ACD_IS_CHECKED

cdef enum:  # laws that a checked build can break
    RESERVATION = 1
    DERIVED_STATE
    ORDER
    KEPT_PLACE
    CONSERVATION
    ONE_WINNER
    WORK_CONSERVATION
    STALE_OFFER
    DECLINE_MEMORY
    AFTER_CALL
    GIVE_BACK
    CLEAR_PHONE

cdef enum:
    STATE_LOGGED_OUT
    STATE_NOT_READY
    STATE_READY
    STATE_RESERVED
    STATE_TALKING
    STATE_ACW

cdef enum:
    CALL_WAITING = 1
    CALL_OFFERED
    CALL_CONNECTED

cdef enum:
    WHY_OUTSIDE_CALL = -2
    WHY_PHONE_GONE = -1

cdef enum:
    WHY_REFUSED = -3  # less the failure

cdef enum:
    BY_LONGEST_IDLE
    BY_LEAST_OCCUPIED
    BY_FEWEST_CALLS
    BY_ROUND_ROBIN
    BY_MOST_SKILLED
    BY_LEAST_SKILLED
    BY_LINEAR
    BY_RANDOM
    BY_WEIGHTED

cdef enum:
    THEN_STAY
    THEN_PAUSE
    THEN_NOT_READY

cdef enum:
    OUT_OFFER = 1
    OUT_OFFER_CANCELLED
    OUT_OFFER_EXPIRED
    OUT_CALL_REQUEUED
    OUT_CALL_EXPIRED
    OUT_CALL_OVERFLOWED
    OUT_CALL_RELAXED
    OUT_AGENT_STATE
    OUT_RESERVE

cdef enum:
    GONE_CALL_LEFT = 1
    GONE_OTHER_WON
    GONE_AGENT_LEFT

AgentState = IntEnum("AgentState", "LOGGED_OUT NOT_READY READY RESERVED TALKING ACW", start=0)
CallState = IntEnum("CallState", "WAITING OFFERED CONNECTED")
Reason = IntEnum(
    "Reason",
    {"PHONE_GONE": -1, "OUTSIDE_CALL": -2, "REFUSED": -3, "NO_ANSWER": -4, "BUSY": -5, "UNREACHABLE": -6},
)
Refusal = IntEnum("Refusal", {"NO_AGENT": -1, "NO_SKILL": -2, "QUEUE_FULL": -3, "WAIT_TOO_LONG": -4})
Strategy = IntEnum(
    "Strategy",
    "LONGEST_IDLE LEAST_OCCUPIED FEWEST_CALLS ROUND_ROBIN MOST_SKILLED LEAST_SKILLED LINEAR RANDOM WEIGHTED",
    start=0,
)
Failure = IntEnum("Failure", "REFUSED NO_ANSWER BUSY UNREACHABLE", start=0)
Policy = IntEnum("Policy", "STAY_READY PAUSE GO_NOT_READY", start=0)
Out = IntEnum(
    "Out",
    "OFFER OFFER_CANCELLED OFFER_EXPIRED CALL_REQUEUED CALL_EXPIRED CALL_OVERFLOWED CALL_RELAXED AGENT_STATE RESERVE",
)
Cancelled = IntEnum("Cancelled", "CALL_LEFT OTHER_AGENT_WON AGENT_LEFT")
Verdict = IntEnum(
    "Verdict",
    "OK NOT_SERVING LOGGED_OUT NOT_READY RESERVED TALKING ACW RESERVE_OFF TOO_EARLY LACKS_SKILL HELD DECLINED "
    "NOT_WAITING CLEARING",
    start=0,
)
LAWS = {
    "reservation": RESERVATION, "derived state": DERIVED_STATE, "order": ORDER, "kept place": KEPT_PLACE,
    "conservation": CONSERVATION, "one winner": ONE_WINNER, "work conservation": WORK_CONSERVATION,
    "stale offer": STALE_OFFER, "decline memory": DECLINE_MEMORY, "after call": AFTER_CALL, "give back": GIVE_BACK,
    "clear phone": CLEAR_PHONE,
}


class AcdError(Exception):
    pass


class UnknownHandle(AcdError):
    pass


class StaleOffer(AcdError):
    pass


class IllegalMove(AcdError):
    pass


class CapacityReached(AcdError):
    pass


class TimeWentBack(AcdError):
    pass


class BrokenInvariant(AcdError):
    pass


include "acd/structs.pxi"
include "acd/order.pxi"
include "acd/timers.pxi"
include "acd/eligible.pxi"
include "acd/estimate.pxi"
include "acd/match.pxi"
include "acd/verbs.pxi"
include "acd/play.pxi"
include "acd/audit.pxi"
include "acd/snapshots.pxi"

cdef int[5] OUTCOME_OF
OUTCOME_OF[:] = [ABANDONED, OVERFLOWED, CALLED_BACK, WITHDRAWN, FAILED]

VERBS = {
    name: number
    for number, name in enumerate(
        "advance log_in log_out ready not_ready extend_wrap_up end_wrap_up phone_gone phone_back outside_began "
        "outside_dialled outside_ended accept refuse no_answer busy unreachable take_back cleared release abandon "
        "overflow call_back withdraw fail raise_head_start dispatch enqueue".split()
    )
}
COMMAND = np.dtype([
    ("verb", np.int32), ("needs", np.int32), ("relaxation", np.int32), ("after_call", np.int32), ("now", np.float64),
    ("a", np.int64), ("b", np.int64), ("x", np.float64), ("arrival", np.float64), ("max_wait_s", np.float64),
    ("preferred_wait_s", np.float64), ("preferred_head_start_s", np.float64),
])


def break_law(law):
    """Only in an ACD_CHECKS build: leave out one of LAWS from now on, in this process; None: none."""
    global acd_broken_law
    if not ACD_IS_CHECKED:
        raise AcdError("laws can only be broken in an ACD_CHECKS=1 build")
    acd_broken_law = LAWS[law] if law else 0


def is_checked():
    return bool(ACD_IS_CHECKED)


def service_levels(queues):
    names = "in_sl answered offered abandoned abandoned_in_sl short".split()
    n = {name: queues[name].astype(float) for name in names}
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "answered": n["in_sl"] / n["answered"],
            "offered": n["in_sl"] / n["offered"],
            "handled": n["in_sl"] / (n["answered"] + n["abandoned"]),
            "less_short": n["in_sl"] / (n["offered"] - n["short"]),
            "with_abandoned": (n["in_sl"] + n["abandoned_in_sl"]) / n["offered"],
        }


cdef uint64_t power_of_two(uint64_t n):
    cdef uint64_t size = 2
    while size < n:
        size *= 2
    return size


cdef void* room(uint64_t n, size_t size) except NULL:
    """Zeroed, on cache lines, and touched now, so that no page is first taken while matching."""
    cdef size_t bytes = n * size
    cdef size_t step = 16 if ACD_IS_CHECKED else 2 << 20 if bytes >= 1 << 20 else 64  # a huge page, or a cache line
    cdef size_t total = (bytes + step - 1) // step * step
    cdef void* p = array_of(step, total)
    if p == NULL:
        raise MemoryError
    if step > 64:
        prefer_huge_pages(p, total)
    memset(p, 0, total)
    return p


cdef class Acd:
    cdef Core k
    cdef dict interned  # terms -> needs
    cdef list terms_of  # needs -> terms
    cdef list steps_of  # relaxation -> steps

    # --- life --------------------------------------------------------------------------------------------------------

    def __cinit__(self, *, int n_calls=8192, int n_agents=1024, int n_queues=64, int n_serving=8192, seed=1):
        if min(n_calls, n_agents, n_queues, n_serving) < 1:
            raise ValueError("there must be room for at least one call, agent, queue and pair of them")
        cdef Core* k = &self.k
        cdef uint64_t slots = power_of_two(2 * n_calls), staff = power_of_two(n_agents), lines = power_of_two(n_queues)
        cdef int32_t i
        memset(k, 0, sizeof(Core))
        k.now = -INFINITY
        k.random = seed
        k.max_calls, k.max_agents, k.max_queues, k.max_serving = n_calls, n_agents, n_queues, n_serving
        k.call_mask, k.agent_mask, k.queue_mask = slots - 1, staff - 1, lines - 1
        k.offer_mask = 2 * staff - 1
        k.seats = <Seat*>room(slots, sizeof(Seat))
        k.calls = <Call*>room(n_calls + 1, sizeof(Call))
        k.call_nodes = <Node*>room(n_calls + 1, sizeof(Node))
        k.wishes = <Wish*>room(n_calls + 1, sizeof(Wish))
        k.free_places = <int32_t*>room(n_calls, sizeof(int32_t))
        for i in range(n_calls):
            k.free_places[i] = n_calls - i
        k.n_free_places = n_calls
        k.agents = <Agent*>room(staff + 1, sizeof(Agent))
        k.levels = <uint8_t*>room(staff + 1, N_SKILLS)
        k.queues = <Queue*>room(lines + 1, sizeof(Queue))
        k.first_line = <int32_t*>room(lines + 1, sizeof(int32_t))
        k.serving = <Serving*>room(n_serving + 1, sizeof(Serving))
        k.members = <Member*>room(n_serving + 1, sizeof(Member))
        k.serving_nodes = <Node*>room(n_serving + 1, sizeof(Node))
        k.timers = <Timer*>room(n_calls + n_agents + 4, sizeof(Timer))
        k.later = <int32_t*>room(N_QUARTERS, sizeof(int32_t))
        k.later_some = <uint64_t*>room(N_QUARTERS // 64, sizeof(uint64_t))
        k.quarter, k.next_quarter_at = quarter_of(-INFINITY), -INFINITY
        k.walks = <Walk*>room(N_WALKS, sizeof(Walk))
        k.offers = <OfferSlot*>room(2 * staff, sizeof(OfferSlot))
        k.freed = <int32_t*>room(staff + 1, sizeof(int32_t))
        k.best_of = <int32_t*>room(staff + 1, sizeof(int32_t))
        k.retry = <int32_t*>room(n_calls + 1, sizeof(int32_t))
        k.expiring = <int32_t*>room(n_calls + 1, sizeof(int32_t))
        k.dirty = <int32_t*>room(lines + 1, sizeof(int32_t))
        k.max_needs, k.max_terms, k.max_ladders, k.max_events = 64, 256, 64, 4096
        k.needs = <Needs*>room(k.max_needs, sizeof(Needs))
        k.terms = <Term*>room(k.max_terms, sizeof(Term))
        k.ladders = <Ladder*>room(k.max_ladders, sizeof(Ladder))
        k.max_lines = 2 * n_queues + 64
        k.lines = <Line*>room(k.max_lines, sizeof(Line))
        k.flows = <Flow*>room(k.max_lines, sizeof(Flow))
        k.ladder_mask = power_of_two(max(4096, 16 * n_queues)) - 1
        k.ladder_hash = <int32_t*>room(k.ladder_mask + 1, sizeof(int32_t))
        k.events = <Event*>realloc(NULL, k.max_events * sizeof(Event))
        if k.events == NULL:
            raise MemoryError
        k.n_needs = k.n_ladders = k.n_lines = 1
        for i in range(1, n_serving):
            k.serving[i].next = i + 1
        k.free_serving = 1
        self.interned = {(): 0}
        self.terms_of = [()]
        self.steps_of = [()]

    def __dealloc__(self):
        cdef Core* k = &self.k
        for p in (
            <size_t>k.seats, <size_t>k.calls, <size_t>k.call_nodes, <size_t>k.wishes, <size_t>k.free_places,
            <size_t>k.agents,
            <size_t>k.levels, <size_t>k.queues, <size_t>k.first_line, <size_t>k.serving, <size_t>k.members,
            <size_t>k.serving_nodes, <size_t>k.lines, <size_t>k.flows, <size_t>k.timers, <size_t>k.later,
            <size_t>k.later_some, <size_t>k.offers, <size_t>k.freed, <size_t>k.best_of, <size_t>k.retry,
            <size_t>k.expiring, <size_t>k.dirty, <size_t>k.needs, <size_t>k.terms, <size_t>k.ladders,
            <size_t>k.ladder_hash, <size_t>k.walks,
        ):
            free_array(<void*><size_t>p)
        free(k.events)

    cdef list arrays(self):
        """(address, bytes in use) of every array, but the outputs, which somebody drains before a save."""
        cdef Core* k = &self.k
        cdef size_t calls = k.max_calls + 1, staff = k.agent_mask + 2, lines = k.queue_mask + 2
        cdef size_t pairs = k.max_serving + 1
        return [
            (<size_t>k.seats, (k.call_mask + 1) * sizeof(Seat)),
            (<size_t>k.calls, calls * sizeof(Call)), (<size_t>k.call_nodes, calls * sizeof(Node)),
            (<size_t>k.wishes, calls * sizeof(Wish)), (<size_t>k.free_places, k.max_calls * sizeof(int32_t)),
            (<size_t>k.agents, staff * sizeof(Agent)), (<size_t>k.levels, staff * N_SKILLS),
            (<size_t>k.queues, lines * sizeof(Queue)), (<size_t>k.first_line, lines * sizeof(int32_t)),
            (<size_t>k.serving, pairs * sizeof(Serving)), (<size_t>k.serving_nodes, pairs * sizeof(Node)),
            (<size_t>k.members, pairs * sizeof(Member)), (<size_t>k.lines, k.n_lines * sizeof(Line)),
            (<size_t>k.flows, k.n_lines * sizeof(Flow)), (<size_t>k.timers, (k.max_calls + k.max_agents + 4) * sizeof(Timer)),
            (<size_t>k.later, N_QUARTERS * sizeof(int32_t)), (<size_t>k.later_some, N_QUARTERS // 8),
            (<size_t>k.offers, (k.offer_mask + 1) * sizeof(OfferSlot)),
            (<size_t>k.needs, k.n_needs * sizeof(Needs)), (<size_t>k.terms, k.n_terms * sizeof(Term)),
            (<size_t>k.ladders, k.n_ladders * sizeof(Ladder)),
            (<size_t>k.ladder_hash, (k.ladder_mask + 1) * sizeof(int32_t)),
        ]

    cdef list layout(self):
        """What two cores must have in common for the one to take up the other's state."""
        cdef Core* k = &self.k
        return [
            sizeof(Core), sizeof(Call), sizeof(Wish), sizeof(Node), sizeof(Agent), sizeof(Queue), sizeof(Serving),
            sizeof(Member), sizeof(Line), sizeof(Flow), sizeof(Timer), sizeof(Ladder),
            k.max_calls, k.max_agents, k.max_queues, k.max_serving,
        ]

    def save(self):
        cdef Core* k = &self.k
        if k.n_events:
            raise AcdError("save: outputs wait for drain()")
        head = {"layout": self.layout(), "terms": self.terms_of, "steps": self.steps_of}
        parts = [json.dumps(head).encode() + b"\n", (<char*>k)[:sizeof(Core)]]
        for address, size in self.arrays():
            parts.append((<char*><size_t>address)[:<size_t>size])
        return b"".join(parts)

    def load(self, bytes saved):
        cdef Core* k = &self.k
        cdef Core mine = k[0]
        cdef const char* raw = saved
        cdef size_t at = saved.index(b"\n") + 1, size
        head = json.loads(saved[:at])
        if head["layout"] != self.layout():
            raise AcdError("load: saved by a core of another build or size")
        memcpy(k, raw + at, sizeof(Core))
        at += sizeof(Core)
        k.seats, k.calls, k.call_nodes, k.wishes, k.free_places = (
            mine.seats, mine.calls, mine.call_nodes, mine.wishes, mine.free_places
        )
        k.agents, k.levels, k.queues = mine.agents, mine.levels, mine.queues
        k.first_line, k.serving, k.members = mine.first_line, mine.serving, mine.members
        k.serving_nodes = mine.serving_nodes
        k.timers, k.offers, k.later, k.later_some = mine.timers, mine.offers, mine.later, mine.later_some
        k.freed, k.best_of, k.retry, k.expiring, k.dirty = (
            mine.freed, mine.best_of, mine.retry, mine.expiring, mine.dirty
        )
        k.ladder_hash, k.events, k.max_events, k.walks = mine.ladder_hash, mine.events, mine.max_events, mine.walks
        k.needs, k.terms, k.ladders, k.lines, k.flows = mine.needs, mine.terms, mine.ladders, mine.lines, mine.flows
        k.needs = <Needs*>self.regrown(k.needs, k.max_needs * sizeof(Needs))
        k.terms = <Term*>self.regrown(k.terms, k.max_terms * sizeof(Term))
        k.ladders = <Ladder*>self.regrown(k.ladders, k.max_ladders * sizeof(Ladder))
        k.lines = <Line*>self.regrown(k.lines, k.max_lines * sizeof(Line))
        k.flows = <Flow*>self.regrown(k.flows, k.max_lines * sizeof(Flow))
        for address, length in self.arrays():
            size = length
            memcpy(<void*><size_t>address, raw + at, size)
            at += size
        self.terms_of = [tuple(tuple((skill, level) for skill, level in pairs) for pairs in terms)
                         for terms in head["terms"]]
        self.interned = {terms: number for number, terms in enumerate(self.terms_of)}
        self.steps_of = [tuple(tuple(step) for step in steps) for steps in head["steps"]]

    cdef void* regrown(self, void* old, size_t size) except NULL:
        cdef void* new = room(1, size)
        free_array(old)
        return new

    def memory(self):
        cdef Core* k = &self.k
        per_call = sizeof(Call) + sizeof(Wish) + sizeof(Node) + sizeof(Timer) + 2 * sizeof(Seat) + 3 * sizeof(int32_t)
        per_agent = sizeof(Agent) + N_SKILLS + 2 * sizeof(int32_t) + 2 * sizeof(OfferSlot) + sizeof(Timer)
        return {
            "per_call": per_call, "per_agent": per_agent, "per_queue": sizeof(Queue) + 2 * sizeof(int32_t),
            "per_serving": sizeof(Serving) + sizeof(Member) + sizeof(Node),
            "per_line": sizeof(Line) + sizeof(Flow) + sizeof(Ladder), "n_lines": k.n_lines - 1,
            "all": sum([size for _, size in self.arrays()]),
        }

    # --- refusing ----------------------------------------------------------------------------------------------------

    cdef int done(self, int64_t verdict, object handle, str verb) except -1:
        """Raise what a verb refused, in a sentence. In a checked build: audit."""
        if verdict <= NO_CALL:
            self.refuse_verb(<int>verdict, handle, verb)
        if ACD_IS_CHECKED:
            self.audit_small()
        return 0

    cdef refuse_verb(self, int verdict, object handle, str verb):
        cdef Core* k = &self.k
        cdef int32_t a, c
        if verdict == NO_CALL:
            raise UnknownHandle(f"{verb}: no call {handle}")
        if verdict == NO_AGENT_SUCH:
            raise UnknownHandle(f"{verb}: no agent {handle}")
        if verdict == NO_QUEUE:
            raise UnknownHandle(f"{verb}: no queue {handle}")
        if verdict == NO_NEEDS:
            raise UnknownHandle(f"{verb}: no needs {handle}")
        if verdict == NO_RELAXATION:
            raise UnknownHandle(f"{verb}: no relaxation {handle}")
        if verdict == OFFER_OVER:
            raise StaleOffer(f"{verb}: offer {handle} is over")
        if verdict == FULL_UP:
            raise CapacityReached(f"{verb}: no room for more than {k.max_calls} calls")
        if verdict == BACKWARDS:
            raise TimeWentBack(f"{verb}: now is before {k.now!r}")
        if verdict == BAD_VALUE:
            raise ValueError(f"{verb}: a value is out of range (negative, not a number, or an arrival still to come)")
        a = agent_ix(k, handle) if verb in AGENT_VERBS else 0
        if a:
            raise IllegalMove(f"agent {handle}: {AgentState(k.agents[a].told).name} -> {verb}")
        c = call_ix(k, handle)
        raise IllegalMove(f"call {handle}: {CallState(k.calls[c].state).name} -> {verb}")

    cdef int audit_small(self) except -1:
        if self.k.n_agents <= 64 and self.k.n_calls <= 128 and self.k.max_calls < 512 and not self.k.is_changing:
            self.check()
        return 0

    def check(self):
        cdef int bad = audit(&self.k)
        if bad:
            raise BrokenInvariant(AUDIT[bad])
        if self.k.broken:
            raise BrokenInvariant(f"internal check {self.k.broken}")

    cdef int32_t agent(self, object handle, str verb) except -1:
        cdef int32_t a = agent_ix(&self.k, handle)
        if a == 0:
            raise UnknownHandle(f"{verb}: no agent {handle}")
        return a

    cdef int32_t queue(self, object handle, str verb) except -1:
        cdef int32_t q = queue_ix(&self.k, handle)
        if q == 0:
            raise UnknownHandle(f"{verb}: no queue {handle}")
        return q

    cdef int32_t call(self, object handle, str verb) except -1:
        cdef int32_t c = call_ix(&self.k, handle)
        if c == 0:
            raise UnknownHandle(f"{verb}: no call {handle}")
        return c

    cdef int at(self, double now, str verb) except -1:
        return self.done(run_until(&self.k, now), None, verb)

    cdef int settled(self) except -1:
        settle_floor(&self.k)
        return self.done(DONE, None, "")

    def begin_changes(self, double now):
        self.at(now, "begin_changes")
        self.k.is_changing = True

    def end_changes(self, double now):
        self.at(now, "end_changes")
        self.k.is_changing = False
        self.settled()

    # --- needs and relaxations ---------------------------------------------------------------------------------------

    def needs(self, terms):
        kept = set()
        for term in terms:
            pairs = tuple(sorted((int(skill), int(level)) for skill, level in term.items()))
            if not pairs:
                return 0
            if any(not 0 <= skill < N_SKILLS or not 1 <= level <= 255 for skill, level in pairs):
                raise ValueError(f"needs: skills are 0 to {N_SKILLS - 1}, levels 1 to 255, not {dict(pairs)}")
            kept.add(pairs)
        return self.intern_needs(tuple(sorted(kept)))

    cdef int32_t intern_needs(self, tuple terms) except -1:
        cdef Core* k = &self.k
        cdef Term* term
        known = self.interned.get(terms)
        if known is not None:
            return known
        if len(terms) > MAX_TERMS or any(len(pairs) > MAX_PAIRS for pairs in terms):
            raise CapacityReached(f"needs: at most {MAX_TERMS} terms of {MAX_PAIRS} skills each")
        if k.n_needs == k.max_needs:
            k.needs = <Needs*>self.grown(k.needs, k.max_needs, sizeof(Needs))
            k.max_needs *= 2
        if k.n_terms + MAX_TERMS > k.max_terms:
            k.terms = <Term*>self.grown(k.terms, k.max_terms, sizeof(Term))
            k.max_terms *= 2
        k.needs[k.n_needs].first, k.needs[k.n_needs].n_terms = k.n_terms, len(terms)
        for pairs in terms:
            term = &k.terms[k.n_terms]
            memset(term, 0, sizeof(Term))
            for skill, level in pairs:
                term.mask[<int>skill >> 6] |= <uint64_t>1 << (<int>skill & 63)
                term.skill[term.n], term.level[term.n] = skill, level
                term.levels_matter |= level > 1
                term.n += 1
            k.n_terms += 1
        self.interned[terms] = k.n_needs
        self.terms_of.append(terms)
        k.n_needs += 1
        return k.n_needs - 1

    cdef void* grown(self, void* old, int32_t n, size_t size) except NULL:
        cdef void* new = room(2 * n, size)  # on cache lines again, as realloc() would not be
        memcpy(new, old, n * size)
        free_array(old)
        return new

    cdef int32_t both(self, int32_t a, int32_t b) except -1:
        """AND of two needs: every term of the one with every term of the other."""
        if a == 0 or b == 0 or a == b:
            return a or b
        terms = set()
        for one in self.terms_of[a]:
            for other in self.terms_of[b]:
                term = dict(one)
                for skill, level in other:
                    term[skill] = max(level, term.get(skill, 0))
                terms.add(tuple(sorted(term.items())))
        return self.intern_needs(tuple(sorted(terms)))

    def add_relaxation(self, steps, double now):
        self.at(now, "add_relaxation")
        self.steps_of.append(self.steps(steps))
        return len(self.steps_of) - 1

    def set_relaxation(self, int relaxation, steps, double now):
        cdef Core* k = &self.k
        cdef int32_t i
        if not 0 < relaxation < len(self.steps_of):
            raise UnknownHandle(f"set_relaxation: no relaxation {relaxation}")
        checked = self.steps(steps)
        theirs = [i for i in range(1, k.n_ladders) if k.ladders[i].queue and k.ladders[i].relaxation == relaxation]
        for number in theirs:  # what does not fit is refused before anything changes
            self.ladder_needs(number, checked)
        self.at(now, "set_relaxation")
        self.steps_of[relaxation] = checked
        for number in theirs:
            self.build_ladder(number, queue_ix(k, k.ladders[<int32_t>number].queue))
        for i in range(1, k.max_calls + 1):
            if k.calls[i].handle and k.ladders[k.calls[i].ladder].relaxation == relaxation:
                self.stand_anew(i, k.calls[i].ladder)
        self.settled()

    cdef tuple steps(self, steps):
        checked = tuple((float(after), None if needs is None else int(needs), bool(drops), float(head))
                        for after, needs, drops, head in steps)
        if len(checked) >= MAX_STEPS:
            raise CapacityReached(f"a relaxation has at most {MAX_STEPS - 1} steps")
        last = 0.0
        for after, needs, _, head in checked:
            if not (after >= last and head >= 0):
                raise ValueError("a relaxation's times must rise, and head starts not be negative")
            if needs is not None and not 0 <= needs < self.k.n_needs:
                raise UnknownHandle(f"relaxation: no needs {needs}")
            last = after
        return checked

    cdef int32_t ladder(self, int32_t q, int32_t own, int32_t queue_needs, int32_t relaxation) except -1:
        cdef Core* k = &self.k
        cdef int32_t i = find_ladder(k, q, own, queue_needs, relaxation)
        if i:
            return i
        if not 0 <= relaxation < len(self.steps_of):
            raise UnknownHandle(f"no relaxation {relaxation}")
        if k.free_ladder == 0:
            if k.n_ladders == k.max_ladders:
                k.ladders = <Ladder*>self.grown(k.ladders, k.max_ladders, sizeof(Ladder))
                k.max_ladders *= 2
            k.free_ladder = k.n_ladders
            k.ladders[k.free_ladder].chain = 0
            k.n_ladders += 1
        i = k.free_ladder
        k.ladders[i].queue = k.queues[q].handle
        k.ladders[i].own_needs, k.ladders[i].queue_needs, k.ladders[i].relaxation = own, queue_needs, relaxation
        self.build_ladder(i, q)
        k.free_ladder = k.ladders[i].chain
        if <uint64_t>k.n_ladders > 2 * k.ladder_mask:
            self.rehash_ladders()
        self.hash_ladder(i)
        return i

    cdef void hash_ladder(self, int32_t i):
        cdef Core* k = &self.k
        cdef Ladder* it = &k.ladders[i]
        cdef uint64_t slot = ladder_slot(k, it.queue, it.own_needs, it.queue_needs, it.relaxation)
        it.chain = k.ladder_hash[slot]
        k.ladder_hash[slot] = i

    cdef int rehash_ladders(self) except -1:
        """A larger table; those in it hash anew."""
        cdef Core* k = &self.k
        cdef int32_t* table = <int32_t*>room(4 * (k.ladder_mask + 1), sizeof(int32_t))
        cdef int32_t* old = k.ladder_hash
        cdef uint64_t slot, n_slots = k.ladder_mask + 1
        cdef int32_t i, chain
        k.ladder_hash, k.ladder_mask = table, 4 * n_slots - 1
        for slot in range(n_slots):
            i = old[slot]
            while i:
                chain = k.ladders[i].chain
                self.hash_ladder(i)
                i = chain
        free_array(old)
        return 0

    cdef list ladder_needs(self, int32_t i, tuple steps):
        """The needs in force at each step."""
        cdef int32_t own = self.k.ladders[i].own_needs, queue_needs = self.k.ladders[i].queue_needs
        needs = [self.both(own, queue_needs)]
        for _, step_needs, drops, _ in steps:
            queue_needs = queue_needs if step_needs is None else step_needs
            own = 0 if drops else own
            needs.append(self.both(own, queue_needs))
        return needs

    cdef int build_ladder(self, int32_t i, int32_t q) except -1:
        cdef Core* k = &self.k
        cdef tuple steps = self.steps_of[k.ladders[i].relaxation]
        cdef int n
        cdef int32_t line
        needs = self.ladder_needs(i, steps)
        for n in range(len(needs)):
            line = self.line(q, needs[n])
            k.ladders[i].steps[n].needs, k.ladders[i].steps[n].line = needs[n], line
        for n in range(len(steps)):
            k.ladders[i].steps[n].ends_s, k.ladders[i].steps[n + 1].head_s = steps[n][0], steps[n][3]
        k.ladders[i].steps[len(steps)].ends_s = INFINITY
        k.ladders[i].n_steps = len(needs)
        return 0

    cdef int32_t line(self, int32_t q, int32_t needs) except -1:
        """The queue's line for these needs; -1: of those held. Made at their first use."""
        cdef Core* k = &self.k
        cdef Queue* queue = &k.queues[q]
        cdef int32_t l = queue.lines, m
        while l and k.lines[l].needs != needs:
            l = k.lines[l].sibling
        if l:
            return l
        if k.free_line == 0:
            if k.n_lines == k.max_lines:
                k.lines = <Line*>self.grown(k.lines, k.max_lines, sizeof(Line))
                k.flows = <Flow*>self.grown(k.flows, k.max_lines, sizeof(Flow))
                k.max_lines *= 2
            k.free_line = k.n_lines
            k.lines[k.free_line].sibling = 0
            k.n_lines += 1
        l = k.free_line
        k.free_line = k.lines[l].sibling
        memset(&k.lines[l], 0, sizeof(Line))
        memset(&k.flows[l], 0, sizeof(Flow))
        k.lines[l].queue, k.lines[l].needs, k.lines[l].sibling, k.lines[l].slot = q, needs, queue.lines, -1
        k.flows[l].tune_median = k.flows[l].tune_p80 = 1
        queue.lines = l
        if needs >= 0 and queue.n_slots < N_SLOTS:
            k.lines[l].slot = queue.n_slots
            queue.line_of[queue.n_slots] = l
            queue.n_slots += 1
            m = queue.members
            while m:
                self.find_able(m)
                m = k.members[m].next
        return l

    cdef void find_able(self, int32_t m):
        """Which of its queue's lines the agent fits."""
        cdef Core* k = &self.k
        cdef Serving* s = &k.serving[m]
        cdef int32_t slot
        uncount_able(k, m)
        s.able = 0
        for slot in range(k.queues[s.queue].n_slots):
            if fits(k, k.lines[k.queues[s.queue].line_of[slot]].needs, s.agent):
                s.able |= <uint32_t>1 << slot
        count_able(k, m)

    cdef int stand_anew(self, int32_t c, int32_t ladder) except -1:
        """The call's ladder changed: the step its wait so far leads to. What head start it has, it keeps."""
        cdef Core* k = &self.k
        cdef Call* call = &k.calls[c]
        if call.line:
            wait_out(k, c)
        call.ladder, call.step = ladder, 0
        if call.line or call.state == CALL_WAITING:
            while not call.held and step_is_due(k, c):
                step_up(k, c)
            wait_in(k, c)
            arm(k, c)
            try_call(k, c)
        return 0

    # --- queues ------------------------------------------------------------------------------------------------------

    def add_queue(self, double now, **settings):
        cdef Core* k = &self.k
        cdef Queue* queue
        cdef int32_t q
        self.at(now, "add_queue")
        if k.n_queues == k.max_queues:
            raise CapacityReached(f"add_queue: no room for more than {k.max_queues} queues")
        k.last_queue += 1
        while k.queues[1 + (k.last_queue & k.queue_mask)].handle:
            k.last_queue += 1
        q = <int32_t>(1 + (k.last_queue & k.queue_mask))
        queue = &k.queues[q]
        memset(queue, 0, sizeof(Queue))
        queue.n_ring, queue.ring_s, queue.max_waiting, queue.max_ewt_s = 1, INFINITY, -1, INFINITY
        queue.sl_s, queue.short_s, queue.reserve_on_s = 20, 5, INFINITY
        queue.policy[:] = [THEN_PAUSE, THEN_NOT_READY, THEN_PAUSE, THEN_PAUSE]
        queue.pause_s[:] = [5.0, 0.0, 5.0, 10.0]
        queue.in_a_row[:] = [1, 1, 1, 1]
        queue.opened_at = k.now
        queue.group_s[:] = [0.0, INFINITY, INFINITY, INFINITY]
        queue.handle = k.last_queue
        k.n_queues += 1
        try:
            queue.held = self.line(q, -1)
            if not settings.get("needs"):
                queue.ladder = self.ladder(q, 0, 0, 0)
            if settings:
                self.set_queue(queue.handle, now, **settings)
        except BaseException:
            self.forget_queue(q)
            raise
        return queue.handle

    def set_queue(
        self, queue, double now, *, strategy=None, needs=None, relaxation=None, n_ring=None, ring_s=None,
        wrap_up_s=None, max_waiting=None, max_ewt_s=None, needs_agent=None, needs_skill=None, sl_s=None,
        short_s=None, reserve_on_s=None, reserve_off_s=None, reserve_on_sl=None, reserve_off_sl=None,
    ):
        cdef Core* k = &self.k
        cdef int32_t q = self.queue(queue, "set_queue"), c, m, a
        cdef Queue new = k.queues[q]
        if strategy is not None:
            new.strategy = Strategy(strategy)
        if needs is not None:
            if not 0 <= needs < k.n_needs:
                raise UnknownHandle(f"set_queue: no needs {needs}")
            new.needs = needs
        if relaxation is not None:
            new.relaxation = relaxation
        if n_ring is not None:
            new.n_ring = n_ring
        if max_waiting is not None:
            new.max_waiting = max_waiting
        if needs_agent is not None:
            new.needs_agent = needs_agent
        if needs_skill is not None:
            new.needs_skill = needs_skill
        new.ring_s = new.ring_s if ring_s is None else ring_s
        new.wrap_up_s = new.wrap_up_s if wrap_up_s is None else wrap_up_s
        new.max_ewt_s = new.max_ewt_s if max_ewt_s is None else max_ewt_s
        new.sl_s = new.sl_s if sl_s is None else sl_s
        new.short_s = new.short_s if short_s is None else short_s
        new.reserve_on_s = new.reserve_on_s if reserve_on_s is None else reserve_on_s
        new.reserve_off_s = new.reserve_off_s if reserve_off_s is None else reserve_off_s
        new.reserve_on_sl = new.reserve_on_sl if reserve_on_sl is None else reserve_on_sl
        new.reserve_off_sl = new.reserve_off_sl if reserve_off_sl is None else reserve_off_sl
        if new.n_ring < 0 or not (
            new.ring_s > 0 and new.wrap_up_s >= 0 and new.max_ewt_s >= 0 and new.sl_s >= 0 and new.short_s >= 0
            and new.reserve_on_s >= 0 and 0 <= new.reserve_off_s <= new.reserve_on_s
            and 0 <= new.reserve_on_sl <= 1 and 0 <= new.reserve_off_sl <= 1
        ):
            raise ValueError(
                "set_queue: times must not be negative, shares 0 to 1, ring_s > 0, reserve_off_s <= reserve_on_s"
            )
        new.ladder = self.ladder(q, 0, new.needs, new.relaxation)
        if k.queues[q].n_waiting + k.queues[q].n_offered:
            for c in range(1, k.max_calls + 1):  # what does not fit is refused before anything changes
                if k.calls[c].handle and k.calls[c].queue == q and k.calls[c].state != CALL_CONNECTED:
                    self.ladder_of(c, &new)
        self.at(now, "set_queue")
        if k.queues[q].n_reserves and new.reserve_on_s != k.queues[q].reserve_on_s:
            self.drop_mark(q, k.queues[q].reserve_on_s)
            self.add_mark(q, new.reserve_on_s)
        self.take_settings(&k.queues[q], &new)
        m = k.queues[q].members
        while m:
            a = k.serving[m].agent
            if k.agents[a].free:
                free_out(k, a)
                try_agent(k, a)
            m = k.members[m].next
        if k.queues[q].n_waiting + k.queues[q].n_offered:
            for c in range(1, k.max_calls + 1):
                if k.calls[c].handle and k.calls[c].queue == q and k.calls[c].state != CALL_CONNECTED:
                    self.stand_anew(c, self.ladder_of(c, &new))
        mark_dirty(k, q)
        self.settled()

    cdef int32_t ladder_of(self, int32_t c, Queue* new) except -1:
        cdef Call* call = &self.k.calls[c]
        return self.ladder(
            call.queue, call.own_needs, new.needs, new.relaxation if call.relaxation < 0 else call.relaxation
        )

    cdef void take_settings(self, Queue* queue, Queue* new):
        """Only the settings: counts may have moved since `new` was copied, when timers ran."""
        queue.strategy, queue.needs = new.strategy, new.needs
        queue.relaxation, queue.ladder = new.relaxation, new.ladder
        queue.n_ring, queue.max_waiting = new.n_ring, new.max_waiting
        queue.needs_agent, queue.needs_skill = new.needs_agent, new.needs_skill
        queue.ring_s, queue.wrap_up_s, queue.max_ewt_s = new.ring_s, new.wrap_up_s, new.max_ewt_s
        queue.sl_s, queue.short_s = new.sl_s, new.short_s
        queue.reserve_on_s, queue.reserve_off_s = new.reserve_on_s, new.reserve_off_s
        queue.reserve_on_sl, queue.reserve_off_sl = new.reserve_on_sl, new.reserve_off_sl

    def set_policy(self, queue, int failure, double now, int policy, double pause_s=0.0, int in_a_row=1):
        cdef int32_t q = self.queue(queue, "set_policy")
        Failure(failure), Policy(policy)
        if not pause_s >= 0 or not 1 <= in_a_row <= 100:
            raise ValueError("set_policy: pause_s must not be negative, in_a_row be 1 to 100")
        self.at(now, "set_policy")
        self.k.queues[q].policy[failure] = policy
        self.k.queues[q].pause_s[failure] = pause_s
        self.k.queues[q].in_a_row[failure] = in_a_row

    def remove_queue(self, queue, double now):
        cdef Core* k = &self.k
        cdef int32_t q, a
        self.at(now, "remove_queue")
        q = self.queue(queue, "remove_queue")
        if k.queues[q].n_waiting + k.queues[q].n_offered + k.queues[q].n_talking:
            raise IllegalMove(f"queue {queue}: remove_queue while calls are in it")
        while k.queues[q].members:
            self.drop_serving(k.queues[q].members)
        for a in range(1, <int32_t>k.agent_mask + 2):
            if k.agents[a].wrap_queue == q:
                k.agents[a].wrap_queue = 0
        self.forget_queue(q)
        self.settled()

    cdef int forget_queue(self, int32_t q) except -1:
        """Its ladders and lines go with it."""
        cdef Core* k = &self.k
        cdef int32_t i, l
        cdef int32_t* link
        cdef Ladder* it
        for i in range(1, k.n_ladders):
            it = &k.ladders[i]
            if it.queue == k.queues[q].handle:
                link = &k.ladder_hash[ladder_slot(k, it.queue, it.own_needs, it.queue_needs, it.relaxation)]
                while link[0] and link[0] != i:
                    link = &k.ladders[link[0]].chain
                if link[0]:
                    link[0] = it.chain
                    it.queue, it.chain = 0, k.free_ladder
                    k.free_ladder = i
        while k.queues[q].lines:
            l = k.queues[q].lines
            k.queues[q].lines = k.lines[l].sibling
            k.lines[l].sibling = k.free_line
            k.free_line = l
        k.queues[q].handle = 0
        k.n_queues -= 1
        return 0

    # The waits at which time alone lets somebody new take a call of the queue, in order, and how many begin at each.

    cdef int mark_at(self, int32_t q, double wait_s):
        cdef int i
        for i in range(self.k.queues[q].n_marks):
            if self.k.queues[q].marks[i] == wait_s:
                return i
        return -1

    cdef void add_mark(self, int32_t q, double wait_s):
        cdef Queue* queue = &self.k.queues[q]
        cdef int i = self.mark_at(q, wait_s)
        if not 0 < wait_s < INFINITY:
            return
        if i >= 0:
            queue.at_mark[i] += 1
            return
        i = queue.n_marks
        while i and queue.marks[i - 1] > wait_s:
            queue.marks[i], queue.at_mark[i] = queue.marks[i - 1], queue.at_mark[i - 1]
            i -= 1
        queue.marks[i], queue.at_mark[i] = wait_s, 1
        queue.n_marks += 1
        self.marks_changed(q)

    cdef void drop_mark(self, int32_t q, double wait_s):
        cdef Queue* queue = &self.k.queues[q]
        cdef int i = self.mark_at(q, wait_s)
        if i < 0:
            return
        queue.at_mark[i] -= 1
        if queue.at_mark[i]:
            return
        queue.n_marks -= 1
        while i < queue.n_marks:
            queue.marks[i], queue.at_mark[i] = queue.marks[i + 1], queue.at_mark[i + 1]
            i += 1
        self.marks_changed(q)

    cdef void marks_changed(self, int32_t q):
        """Agents are grouped anew, calls that wait are armed anew."""
        cdef Core* k = &self.k
        cdef Queue* queue = &k.queues[q]
        cdef int32_t m = queue.members, c
        cdef int g
        while m:
            uncount_able(k, m)
            m = k.members[m].next
        for g in range(1, N_GROUPS):
            queue.group_s[g] = queue.marks[g - 1] if g <= queue.n_marks else INFINITY
        if queue.n_marks >= N_GROUPS:
            queue.group_s[N_GROUPS - 1] = queue.marks[queue.n_marks - 1]
        m = queue.members
        while m:
            self.find_group(m)
            count_able(k, m)
            m = k.members[m].next
        if queue.n_waiting:
            for c in range(1, k.max_calls + 1):
                if k.calls[c].queue == q and k.calls[c].line:
                    arm(k, c)

    cdef void find_group(self, int32_t m):
        cdef Serving* s = &self.k.serving[m]
        s.group = 0
        while s.group < N_GROUPS - 1 and self.k.queues[s.queue].group_s[s.group] < s.from_s:
            s.group += 1

    cdef void count_reserves(self, int32_t q, int change):
        """The queue's need is looked at when a call has waited reserve_on_s, as long as there are reserves."""
        cdef Queue* queue = &self.k.queues[q]
        cdef bint had = queue.n_reserves > 0
        queue.n_reserves += change
        if had != (queue.n_reserves > 0):
            if had:
                self.drop_mark(q, queue.reserve_on_s)
            else:
                self.add_mark(q, queue.reserve_on_s)

    # --- staff -------------------------------------------------------------------------------------------------------

    def add_agent(self, double now):
        cdef Core* k = &self.k
        cdef Agent* agent
        self.at(now, "add_agent")
        if k.n_agents == k.max_agents:
            raise CapacityReached(f"add_agent: no room for more than {k.max_agents} agents")
        k.last_agent += 1
        while k.agents[1 + (k.last_agent & k.agent_mask)].handle:
            k.last_agent += 1
        agent = &k.agents[1 + (k.last_agent & k.agent_mask)]
        memset(agent, 0, sizeof(Agent))
        memset(k.levels + (1 + (k.last_agent & k.agent_mask)) * N_SKILLS, 0, N_SKILLS)
        agent.handle, agent.own_wrap, agent.next, agent.phone, agent.since = k.last_agent, -1, -1, True, now
        agent.due.at = INFINITY
        k.n_agents += 1
        return agent.handle

    def set_skills(self, agent, skills, double now, *, groups=()):
        cdef Core* k = &self.k
        cdef int32_t a = self.agent(agent, "set_skills"), m
        cdef uint8_t* level = k.levels + <size_t>a * N_SKILLS
        held = {**skills, **dict.fromkeys(groups, 1)}
        for skill, value in held.items():
            if not 0 <= skill < N_SKILLS or not 1 <= value <= 255:
                raise ValueError(f"set_skills: skills are 0 to {N_SKILLS - 1}, levels 1 to 255, not {skill}: {value}")
        self.at(now, "set_skills")
        if k.agents[a].free:
            free_out(k, a)
            try_agent(k, a)
        memset(level, 0, N_SKILLS)
        memset(k.agents[a].mask, 0, sizeof(k.agents[a].mask))
        k.agents[a].total_level = 0
        for skill, value in held.items():
            level[<int>skill] = value
            k.agents[a].mask[<int>skill >> 6] |= <uint64_t>1 << (<int>skill & 63)
            k.agents[a].total_level += 0 if skill in groups else <int>value
        m = k.agents[a].serving
        while m:
            self.find_able(m)
            retry_declined(k, k.serving[m].queue)
            m = k.serving[m].next
        release_holds(k, a, 0)
        self.settled()

    def set_wrap_up(self, agent, wrap_up_s, double now):
        cdef int32_t a = self.agent(agent, "set_wrap_up")
        cdef double own = -1.0 if wrap_up_s is None else wrap_up_s
        if wrap_up_s is not None and not own >= 0:
            raise ValueError("set_wrap_up: seconds must not be negative")
        self.at(now, "set_wrap_up")
        self.k.agents[a].own_wrap = own

    def remove_agent(self, agent, double now):
        cdef Core* k = &self.k
        cdef int32_t a, c
        cdef int i
        self.at(now, "remove_agent")
        a = self.agent(agent, "remove_agent")
        if k.agents[a].told != STATE_LOGGED_OUT:
            raise IllegalMove(f"agent {agent}: {AgentState(k.agents[a].told).name} -> remove_agent")
        while k.agents[a].serving:
            self.drop_serving(k.agents[a].serving)
        while k.agents[a].preferring:
            forget_preference(k, k.agents[a].preferring)
        for c in range(1, k.max_calls + 1):
            for i in range(k.calls[c].n_declined):
                if declined_by(k, c)[i] == a:
                    declined_by(k, c)[i] = -1
        timer_drop(k, -a)
        if k.agents[a].offer:
            clear(k, a)
        k.agents[a].handle = 0
        k.n_agents -= 1
        self.settled()

    def serve(self, agent, queue, double now, *, int rank=0, double from_s=0.0, int weight=1, bint reserve=False):
        cdef Core* k = &self.k
        cdef int32_t a = self.agent(agent, "serve"), q = self.queue(queue, "serve"), m
        if not from_s >= 0 or weight < 1:
            raise ValueError("serve: from_s must not be negative, weight be at least 1")
        self.at(now, "serve")
        m = serving_of(k, a, q)
        if from_s > 0 and k.queues[q].n_marks >= MAX_MARKS - 1 and self.mark_at(q, from_s) < 0:
            raise CapacityReached(f"serve: at most {MAX_MARKS - 1} different from_s per queue")
        if m == 0 and k.free_serving == 0:
            raise CapacityReached(f"serve: no room for more than {k.max_serving} pairs of agent and queue")
        if k.agents[a].free:
            free_out(k, a)
        if is_free(k, a):
            try_agent(k, a)
        if m == 0:
            m = self.new_serving(a, q)
        uncount_able(k, m)
        was_from_s = k.serving[m].from_s
        k.members[m].rank, k.serving[m].from_s, k.members[m].weight = rank, from_s, weight
        if reserve != k.serving[m].reserve:
            k.serving[m].reserve = reserve
            self.count_reserves(q, 1 if reserve else -1)
        if from_s != was_from_s:
            self.add_mark(q, from_s)
            self.drop_mark(q, was_from_s)
        self.find_group(m)
        self.find_able(m)
        retry_declined(k, q)
        mark_dirty(k, q)
        self.settled()

    cdef int32_t new_serving(self, int32_t a, int32_t q):
        cdef Core* k = &self.k
        cdef int32_t m = k.free_serving, last = k.agents[a].serving
        cdef Serving* s = &k.serving[m]
        k.free_serving = s.next
        memset(s, 0, sizeof(Serving))
        memset(&k.members[m], 0, sizeof(Member))
        k.last_serving += 1
        s.agent, s.queue, k.members[m].order = a, q, k.last_serving
        if last == 0:
            k.agents[a].serving = m
        else:
            while k.serving[last].next:
                last = k.serving[last].next
            k.serving[last].next = m
        if k.calls[k.agents[a].call + k.agents[a].ring_call].queue == q:
            k.agents[a].offered_as = m
        k.members[m].next = k.queues[q].members
        if k.members[m].next:
            k.members[k.members[m].next].prev = m
        k.queues[q].members = m
        k.queues[q].n_members += 1
        k.queues[q].n_logged += k.agents[a].told != STATE_LOGGED_OUT
        k.queues[q].n_working += works(k.agents[a].told)
        return m

    def cease(self, agent, queue, double now):
        cdef Core* k = &self.k
        cdef int32_t a = self.agent(agent, "cease"), q = self.queue(queue, "cease"), m
        self.at(now, "cease")
        m = serving_of(k, a, q)
        if m == 0:
            raise IllegalMove(f"agent {agent}: cease, but does not serve queue {queue}")
        self.drop_serving(m)
        self.settled()

    cdef void drop_serving(self, int32_t m):
        cdef Core* k = &self.k
        cdef Serving* s = &k.serving[m]
        cdef int32_t a = s.agent, q = s.queue
        cdef int32_t* link = &k.agents[a].serving
        if k.agents[a].free:
            free_out(k, a)
        if k.agents[a].ring_call and k.calls[k.agents[a].ring_call].queue == q:
            drop_offer(k, a, GONE_AGENT_LEFT)
            if k.agents[a].next >= 0:
                after_call(k, a)
        uncount_able(k, m)
        while link[0] != m:
            link = &k.serving[link[0]].next
        link[0] = s.next
        if k.members[m].next:
            k.members[k.members[m].next].prev = k.members[m].prev
        if k.members[m].prev:
            k.members[k.members[m].prev].next = k.members[m].next
        else:
            k.queues[q].members = k.members[m].next
        k.queues[q].n_members -= 1
        k.queues[q].n_logged -= k.agents[a].told != STATE_LOGGED_OUT
        k.queues[q].n_working -= works(k.agents[a].told)
        if k.agents[a].offered_as == m:
            k.agents[a].offered_as = 0
        s.next = k.free_serving
        k.free_serving = m
        self.drop_mark(q, s.from_s)
        if s.reserve:
            self.count_reserves(q, -1)
        settle(k, a)
        if is_free(k, a):
            try_agent(k, a)
        retry_declined(k, q)
        release_holds(k, a, q)
        mark_dirty(k, q)

    # --- agents ------------------------------------------------------------------------------------------------------

    def log_in(self, int64_t agent, double now):
        self.done(agent_verb(&self.k, V_LOG_IN, agent, 0, 0, 0, now), agent, "log_in")

    def log_out(self, int64_t agent, double now):
        self.done(agent_verb(&self.k, V_LOG_OUT, agent, 0, 0, 0, now), agent, "log_out")

    def ready(self, int64_t agent, double now):
        self.done(agent_verb(&self.k, V_READY, agent, 0, 0, 0, now), agent, "ready")

    def not_ready(self, int64_t agent, double now, int reason=0, bint after_call=False):
        self.done(agent_verb(&self.k, V_NOT_READY, agent, reason, after_call, 0, now), agent, "not_ready")

    def extend_wrap_up(self, int64_t agent, double seconds, double now):
        self.done(agent_verb(&self.k, V_EXTEND_WRAP_UP, agent, 0, 0, seconds, now), agent, "extend_wrap_up")

    def end_wrap_up(self, int64_t agent, double now):
        self.done(agent_verb(&self.k, V_END_WRAP_UP, agent, 0, 0, 0, now), agent, "end_wrap_up")

    def phone_gone(self, int64_t agent, double now):
        self.done(agent_verb(&self.k, V_PHONE_GONE, agent, 0, 0, 0, now), agent, "phone_gone")

    def phone_back(self, int64_t agent, double now):
        self.done(agent_verb(&self.k, V_PHONE_BACK, agent, 0, 0, 0, now), agent, "phone_back")

    def outside_began(self, int64_t agent, double now):
        self.done(agent_verb(&self.k, V_OUTSIDE_BEGAN, agent, 0, 0, 0, now), agent, "outside_began")

    def outside_dialled(self, int64_t agent, double now):
        self.done(agent_verb(&self.k, V_OUTSIDE_DIALLED, agent, 0, 0, 0, now), agent, "outside_dialled")

    def outside_ended(self, int64_t agent, double now):
        self.done(agent_verb(&self.k, V_OUTSIDE_ENDED, agent, 0, 0, 0, now), agent, "outside_ended")

    # --- calls and offers --------------------------------------------------------------------------------------------

    def enqueue(
        self, int64_t queue, double now, *, int needs=0, int relaxation=-1, arrival=None, double head_start_s=0.0,
        double max_wait_s=INFINITY, int64_t preferred=0, double preferred_wait_s=0.0, double preferred_head_start_s=0.0,
    ):
        cdef Command v
        cdef int64_t call
        v.a, v.now, v.needs, v.relaxation = queue, now, needs, relaxation
        v.arrival = now if arrival is None else arrival
        v.x, v.max_wait_s, v.b = head_start_s, max_wait_s, preferred
        v.preferred_wait_s, v.preferred_head_s = preferred_wait_s, preferred_head_start_s
        call = enqueue_verb(&self.k, &v)
        if call == NO_RELAXATION:  # or not worked out yet
            self.prepare_ladder(queue, needs, relaxation)
            call = enqueue_verb(&self.k, &v)
        if call <= NO_CALL or ACD_IS_CHECKED:
            self.done(call, preferred if call == NO_AGENT_SUCH else needs if call == NO_NEEDS else queue, "enqueue")
        return call

    def raise_head_start(self, int64_t call, double head_start_s, double now):
        self.done(call_verb(&self.k, V_RAISE_HEAD_START, call, head_start_s, now), call, "raise_head_start")

    def abandon(self, int64_t call, double now):
        self.done(call_verb(&self.k, V_ABANDON, call, 0, now), call, "abandon")

    def overflow(self, int64_t call, double now):
        self.done(call_verb(&self.k, V_OVERFLOW, call, 0, now), call, "overflow")

    def call_back(self, int64_t call, double now):
        self.done(call_verb(&self.k, V_CALL_BACK, call, 0, now), call, "call_back")

    def withdraw(self, int64_t call, double now):
        self.done(call_verb(&self.k, V_WITHDRAW, call, 0, now), call, "withdraw")

    def fail(self, int64_t call, double now):
        self.done(call_verb(&self.k, V_FAIL, call, 0, now), call, "fail")

    def release(self, int64_t call, double now):
        self.done(call_verb(&self.k, V_RELEASE, call, 0, now), call, "release")

    def dispatch(self, int64_t call, int64_t agent, double now):
        cdef int verdict = dispatch_verb(&self.k, call, agent, now)
        self.done(verdict, agent if verdict == NO_AGENT_SUCH else call, "dispatch")
        return self.k.agents[agent_ix(&self.k, agent)].offer

    def accept(self, int64_t offer, double now):
        self.done(offer_verb(&self.k, V_ACCEPT, offer, now), offer, "accept")

    def refuse(self, int64_t offer, double now):
        self.done(offer_verb(&self.k, V_REFUSE, offer, now), offer, "refuse")

    def no_answer(self, int64_t offer, double now):
        self.done(offer_verb(&self.k, V_NO_ANSWER, offer, now), offer, "no_answer")

    def busy(self, int64_t offer, double now):
        self.done(offer_verb(&self.k, V_BUSY, offer, now), offer, "busy")

    def unreachable(self, int64_t offer, double now):
        self.done(offer_verb(&self.k, V_UNREACHABLE, offer, now), offer, "unreachable")

    def take_back(self, int64_t offer, double now):
        self.done(offer_verb(&self.k, V_TAKE_BACK, offer, now), offer, "take_back")

    def cleared(self, int64_t offer, double now):
        self.done(offer_verb(&self.k, V_CLEARED, offer, now), offer, "cleared")

    # --- clock and outputs -------------------------------------------------------------------------------------------

    def advance(self, double now):
        self.done(run_until(&self.k, now), None, "advance")

    def deadline(self):
        return first_timer(&self.k)

    def drain(self):
        cdef int64_t i
        cdef Event* e
        cdef list out = []
        for i in range(self.k.n_events):
            e = &self.k.events[i]
            out.append((e.kind, e.at, e.call, e.agent, e.number, e.value))
        self.k.n_events = 0
        return out

    def feed(self, commands):
        cdef Core* k = &self.k
        rows = np.ascontiguousarray(commands, dtype=COMMAND)
        cdef int64_t n = len(rows), i = 0
        if n == 0:
            return 0
        coming = rows[rows["verb"] == V_ENQUEUE]
        for queue, needs, relaxation in {tuple(row) for row in coming[["a", "needs", "relaxation"]].tolist()}:
            self.prepare_ladder(queue, needs, relaxation)
        cdef const uint8_t[::1] raw = rows.view(np.uint8)
        cdef Command* v = <Command*>&raw[0]
        with nogil:
            while i < n and play(k, v + i) > NO_CALL:
                i += 1
        return i

    cdef int prepare_ladder(self, int64_t queue, int32_t needs, int32_t relaxation) except -1:
        """So that enqueue_verb() finds it; what is unknown it refuses itself."""
        cdef int32_t q = queue_ix(&self.k, queue)
        if q and 0 <= needs < self.k.n_needs:
            self.ladder(
                q, needs, self.k.queues[q].needs, self.k.queues[q].relaxation if relaxation < 0 else relaxation
            )
        return 0

    # --- looking -----------------------------------------------------------------------------------------------------

    def position(self, call):
        cdef int32_t c = self.call(call, "position")
        return place_of(&self.k, c) if self.k.calls[c].line else 0

    def estimate(self, call, double now):
        cdef double median = 0, p80 = 0
        cdef int32_t c
        cdef Ask ask
        self.at(now, "estimate")
        c = self.call(call, "estimate")
        if self.k.calls[c].line:
            ask_for_call(&self.k, &ask, c, False)
            estimate_for(&self.k, &ask, &median, &p80)
        return median, p80

    def call_state(self, call):
        return self.k.calls[self.call(call, "call_state")].state

    def agent_state(self, agent):
        cdef Agent* a = &self.k.agents[self.agent(agent, "agent_state")]
        return a.told, a.told_reason, a.since

    def offer_of(self, agent):
        cdef Agent* a = &self.k.agents[self.agent(agent, "offer_of")]
        return a.offer if a.ring_call else 0

    def call_of(self, agent):
        cdef Agent* a = &self.k.agents[self.agent(agent, "call_of")]
        return self.k.calls[a.call + a.ring_call].handle

    def agents_of(self, call):
        cdef Core* k = &self.k
        cdef int32_t c = self.call(call, "agents_of"), a = k.calls[c].ringing
        if k.calls[c].agent:
            return [k.agents[k.calls[c].agent].handle]
        ringing = []
        while a:
            ringing.append(k.agents[a].handle)
            a = k.agents[a].ring_next
        return ringing

    def why_call(self, call, double now):
        cdef Core* k = &self.k
        cdef int32_t c, m, b
        self.at(now, "why_call")
        c = self.call(call, "why_call")
        cdef Call* it = &k.calls[c]
        cdef int32_t* declined = declined_by(k, c)
        agents = []
        m = k.queues[it.queue].members
        while m:
            agents.append((k.agents[k.serving[m].agent].handle, Verdict(verdict(k, c, k.serving[m].agent)),
                           self.why_detail(c, m)))
            m = k.members[m].next
        agents.sort(key=lambda row: (row[1] != Verdict.OK, row[0]))
        return {
            "state": CallState(it.state), "queue": k.queues[it.queue].handle, "position": self.position(call),
            "key": -INFINITY if it.head == INFINITY else it.arrival - it.head, "head_start_s": it.head, "step": it.step,
            "waited_s": k.now - it.enqueued, "expires": it.expires,
            "held_until": it.moment if it.held else None, "preferred": k.agents[it.preferred].handle,
            "declined": [k.agents[declined[i]].handle for i in range(it.n_declined) if declined[i] > 0],
            "needs": [dict(term) for term in self.terms_of[needs_now(k, c)]],
            "before": self.calls_before(c), "agents": agents,
        }

    cdef object why_detail(self, int32_t c, int32_t m):
        """Beside the verdict: the moment it ends, as far as time alone ends it; else None."""
        cdef Agent* agent = &self.k.agents[self.k.serving[m].agent]
        cdef int why = verdict(&self.k, c, self.k.serving[m].agent)
        if why == 4:
            return agent.until
        if why == 6:
            return agent.until
        if why == 3:
            return agent.until if agent.paused else None
        if why == 8:
            return self.k.calls[c].enqueued + self.k.serving[m].from_s
        if why == 10:
            return self.k.calls[c].moment
        if why == 13:
            return agent.clear_by
        return None

    cdef list calls_before(self, int32_t c):
        """Calls of queues served by this call's agents that come before it in the global order, first first."""
        cdef Core* k = &self.k
        cdef int32_t m, n, b, d
        if k.calls[c].line == 0:
            return []
        queues, found = set(), []
        m = k.queues[k.calls[c].queue].members
        while m:
            n = k.agents[k.serving[m].agent].serving
            while n:
                queues.add(k.serving[n].queue)
                n = k.serving[n].next
            m = k.members[m].next
        for q in queues | {k.calls[c].queue}:
            b = k.first_line[<int32_t>q]
            while b:
                d = k.lines[b].first
                n = 0
                while d and before(&k.call_nodes[d].place, &k.call_nodes[c].place) and n < 100:
                    found.append((k.call_nodes[d].place.tier, k.call_nodes[d].place.key, k.calls[d].handle,
                                  k.queues[<int32_t>q].handle))
                    d = tree_next(k.call_nodes, d)
                    n += 1
                b = k.lines[b].next
        return [(call, queue) for _, _, call, queue in sorted(found)[:100]]

    def why_agent(self, agent, double now):
        cdef Core* k = &self.k
        cdef int32_t a, m, c
        self.at(now, "why_agent")
        a = self.agent(agent, "why_agent")
        queues = []
        m = k.agents[a].serving
        while m:
            c = first_of_queue(k, k.serving[m].queue)
            queues.append((k.queues[k.serving[m].queue].handle, k.calls[c].handle,
                           Verdict(verdict(k, c, a)) if c else None))
            m = k.serving[m].next
        state, reason, since = self.agent_state(agent)
        c = best_call(k, a)
        return {
            "state": AgentState(state), "reason": reason, "since": since, "call": self.call_of(agent),
            "next": k.calls[c].handle, "queues": queues,
        }

    def snapshot(self, what, double now):
        cdef Core* k = &self.k
        cdef int64_t n
        self.at(now, "snapshot")
        if what == "skills":
            return self.skills_snapshot(self.snapshot("needs", now))
        rooms = {"queues": k.n_queues, "agents": k.n_agents, "calls": k.n_calls, "needs": k.n_needs,
                 "serving": int(k.last_serving) if k.last_serving < <uint64_t>k.max_serving else k.max_serving}
        rows = np.zeros(rooms[what] + 1, dtype=DTYPES[what])
        cdef uint8_t[::1] raw = rows.view(np.uint8)
        if what == "queues":
            n = fill_queues(k, <QueueRow*>&raw[0])
        elif what == "agents":
            n = fill_agents(k, <AgentRow*>&raw[0])
        elif what == "calls":
            n = fill_calls(k, <CallRow*>&raw[0])
        elif what == "needs":
            n = fill_needs(k, <NeedsRow*>&raw[0])
        else:
            n = fill_serving(k, <ServingRow*>&raw[0])
        return rows[:n]

    cdef object skills_snapshot(self, needs):
        """What was asked for, skill by skill: a call counts for every skill that its first needs name."""
        rows = np.zeros(N_SKILLS, dtype=DTYPES["skills"])
        rows["skill"] = range(N_SKILLS)
        for row, terms in zip(needs, self.terms_of):
            for skill in {skill for term in terms for skill, _ in term}:
                for name in needs.dtype.names[1:]:
                    rows[skill][name] += row[name]
        return rows[rows["offered"] > 0]


AGENT_VERBS = frozenset(
    "log_in log_out ready not_ready extend_wrap_up end_wrap_up phone_gone phone_back outside_began "
    "outside_dialled outside_ended".split()
)
