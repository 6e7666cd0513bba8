/* What the media threads have to tell the engine: a bounded queue, many writers, one reader, no locks.
 *
 * Each cell carries a sequence number that says whose turn it is (Dmitry Vyukov's bounded queue). PJMEDIA may run
 * several conference threads, so two ports can write at once; only the engine thread reads. A full ring refuses, and
 * the port tries again with its next frame, so no news is ever lost.
 */
#ifndef AGNER_NEWS_RING_H
#define AGNER_NEWS_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define AGNER_NEWS_CELLS 1024u /* a power of two */

#define AGNER_NO_PLAY INT64_MIN

struct agner_news {
    int leg;       /* of a key: pjsua's number of the call, and `play` is the key */
    unsigned port; /* the number of the port, from 1 up, never used again; 0: a key was pressed */
    int64_t play;  /* the play whose last sample was taken; AGNER_NO_PLAY: the port is gone and reads no sound any more */
};

struct agner_news_ring {
    struct {
        atomic_uint turn;
        struct agner_news news;
    } cells[AGNER_NEWS_CELLS];
    atomic_uint write;
    unsigned read;
};

static inline void agner_news_init(struct agner_news_ring *ring)
{
    for (unsigned i = 0; i < AGNER_NEWS_CELLS; ++i)
        atomic_init(&ring->cells[i].turn, i);
    atomic_init(&ring->write, 0);
    ring->read = 0;
}

static inline bool agner_news_put(struct agner_news_ring *ring, struct agner_news news)
{
    unsigned at = atomic_load_explicit(&ring->write, memory_order_relaxed);

    for (;;) {
        unsigned turn = atomic_load_explicit(&ring->cells[at % AGNER_NEWS_CELLS].turn, memory_order_acquire);

        if (turn == at) {
            if (atomic_compare_exchange_weak_explicit(&ring->write, &at, at + 1, memory_order_relaxed,
                                                      memory_order_relaxed))
                break;
        } else if ((int)(turn - at) < 0) {
            return false;
        } else {
            at = atomic_load_explicit(&ring->write, memory_order_relaxed);
        }
    }
    ring->cells[at % AGNER_NEWS_CELLS].news = news;
    atomic_store_explicit(&ring->cells[at % AGNER_NEWS_CELLS].turn, at + 1, memory_order_release);
    return true;
}

/* Two loads when there is nothing, which is what the engine finds nearly always. */
static inline bool agner_news_take(struct agner_news_ring *ring, struct agner_news *news)
{
    unsigned cell = ring->read % AGNER_NEWS_CELLS;

    if (atomic_load_explicit(&ring->cells[cell].turn, memory_order_acquire) != ring->read + 1)
        return false;
    *news = ring->cells[cell].news;
    atomic_store_explicit(&ring->cells[cell].turn, ring->read + AGNER_NEWS_CELLS, memory_order_release);
    ++ring->read;
    return true;
}

#endif
