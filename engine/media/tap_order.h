/* What the next tap will need is asked for while this one is at work.
 *
 * Hundreds of taps, with all that belongs to them, do not fit into a CPU's cache, and each would wait for memory a dozen
 * times a frame. The bridge calls them in the same order at each tick. So each notes who came after it the last time and
 * where it will go on itself, and whoever comes before it asks for those lines of cache. A wrong guess costs nothing else:
 * such addresses are asked for, never followed.
 */
#ifndef AGNER_TAP_ORDER_H
#define AGNER_TAP_ORDER_H

#include <pjsua-lib/pjsua.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "recording_ring.h"
#include "rtp_track.h"

/* By number of the call. */
static struct agner_turn {
    atomic_int next;                         /* who came after it, its number + 1; 0: nobody yet */
    _Atomic(const void *) tap, ring, writes; /* the tap, its ring, and where in that the next frame goes */
} agner_turns[PJSUA_MAX_CALLS];

static inline void agner_ask(const void *from, unsigned n_lines)
{
    for (unsigned i = 0; from && i < n_lines; ++i)
        __builtin_prefetch((const char *)from + (size_t)i * AGNER_CACHE_LINE, 1);
}

static inline void agner_ask_for_track(struct agner_track *track)
{
    unsigned seen = atomic_load_explicit(&track->seen, memory_order_relaxed);

    agner_ask(agner_track_packet(track, seen), 1);     /* to look at */
    agner_ask(agner_track_packet(track, seen - 2), 3); /* 60 ms later, to take from */
    agner_ask(agner_track_packet(track, seen - 3), 3);
}

/* A frame of call `id` begins. `tracks` are by number of the call. */
static inline void agner_take_turn(struct agner_tracks *tracks, int id, const void *tap, struct agner_recording_ring *ring,
                                   uint32_t n_samples)
{
    static _Thread_local int former; /* its number + 1 */
    struct agner_turn *own = &agner_turns[id];
    int next = atomic_load_explicit(&own->next, memory_order_relaxed);

    if (former)
        atomic_store_explicit(&agner_turns[former - 1].next, id + 1, memory_order_relaxed);
    former = id + 1;
    if (ring) {
        uint32_t write = atomic_load_explicit(&ring->write, memory_order_relaxed) + n_samples + AGNER_CHUNK_HEADER;

        atomic_store_explicit(&own->tap, tap, memory_order_relaxed);
        atomic_store_explicit(&own->ring, ring, memory_order_relaxed);
        atomic_store_explicit(&own->writes, agner_ring_word(ring, write), memory_order_relaxed);
    }
    if (!next--)
        return;
    agner_ask_for_track(&tracks[next].left);
    agner_ask_for_track(&tracks[next].right);
    agner_ask(atomic_load_explicit(&agner_turns[next].tap, memory_order_relaxed), 7);
    agner_ask(atomic_load_explicit(&agner_turns[next].ring, memory_order_relaxed), 2);
    agner_ask(atomic_load_explicit(&agner_turns[next].writes, memory_order_relaxed), 11);
    next = atomic_load_explicit(&agner_turns[next].next, memory_order_relaxed);
    if (next--) { /* at the next turn it is known where its packets lie */
        agner_ask(&tracks[next].left.write, 3);
        agner_ask(&tracks[next].right.write, 3);
    }
}

#endif
