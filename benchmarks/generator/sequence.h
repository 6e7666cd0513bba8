/* A 16-bit sequence as it arrives: what is lost, comes twice, or out of order. Used for RTP numbers and for stamps alike. */
#ifndef AGNER_SEQUENCE_H
#define AGNER_SEQUENCE_H

#include <stdint.h>

struct sequence {
    uint64_t seen;     /* bit n: highest - n has arrived */
    uint32_t span;     /* from the first number to the highest */
    uint16_t highest;
    uint16_t started;
    uint32_t n_lost;   /* missing by now; one that comes late is taken off again */
    uint32_t n_duplicate;
    uint32_t n_out_of_order;
};

/* Returns 0 for a duplicate. A number that comes more than 64 places late is taken for one: its loss stands. */
static inline int sequence_put(struct sequence *s, uint16_t number)
{
    if (!s->started) {
        s->started = 1;
        s->highest = number;
        s->seen = 1;
        return 1;
    }
    int ahead = (int16_t)(number - s->highest);
    if (ahead > 0) {
        s->n_lost += (uint32_t)ahead - 1;
        s->seen = ahead < 64 ? s->seen << ahead | 1 : 1;
        s->span += (uint32_t)ahead;
        s->highest = number;
        return 1;
    }
    unsigned back = (unsigned)-ahead;
    if (back > s->span) { /* older than the first one heard: nobody missed it */
        s->n_out_of_order++;
        return 1;
    }
    if (back >= 64 || s->seen >> back & 1) {
        s->n_duplicate++;
        return 0;
    }
    s->seen |= (uint64_t)1 << back;
    s->n_lost--;
    s->n_out_of_order++;
    return 1;
}

#endif
