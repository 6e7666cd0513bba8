/* What the gate refused, for the log: a ring of the newest few. Counterpart: gate_module.c. Engine thread only. */
#ifndef AGNER_REFUSALS_H
#define AGNER_REFUSALS_H

#include <pjsip.h>

#define AGNER_N_REFUSALS 64

typedef struct agner_refused {
    int why; /* enum agner_gate_count */
    char source[64];
    char method[16];
    char user[32]; /* of the request URI; printable characters only */
} agner_refused;

typedef struct agner_refusals {
    agner_refused ring[AGNER_N_REFUSALS];
    unsigned n_told, n_taken;
} agner_refusals;

/* Room for one more; the oldest that nobody took makes place. */
agner_refused *agner_new_refused(agner_refusals *, int why);
void agner_tell_refused(agner_refusals *, int why, const pjsip_rx_data *);
/* PJ_FALSE: there is none. */
pj_bool_t agner_take_refused(agner_refusals *, agner_refused *);

#endif
