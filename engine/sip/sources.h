/* Who knocks: a table of source addresses, bounded whatever comes, with a rate and a ban for each.
 *
 * It holds strangers only; those whom the configuration or a registration knows are let in before it is asked, so no
 * forged datagram can ban a customer. An IPv6 source counts by its /64: whoever has one address has 2^64.
 * Not locked: one thread.
 */
#ifndef AGNER_SOURCES_H
#define AGNER_SOURCES_H

#include <stdint.h>

/* IPv4: high 0, low 0xffff and the address. IPv6: high the /64, low 0. */
typedef struct agner_source_key {
    uint64_t high, low;
} agner_source_key;

typedef struct agner_source_rules {
    double per_s;       /* requests answered per second and source ... */
    double burst;       /* ... and so many at once */
    unsigned ban_after; /* refusals within window_s put a ban on; 0: never */
    double window_s;
    double ban_s;
} agner_source_rules;

typedef struct agner_source {
    agner_source_key key;
    double seen_s, tokens;
    double refused_since_s;
    unsigned n_refused; /* since refused_since_s */
    unsigned n_dropped; /* while banned */
    double banned_until_s; /* 0: not banned */
} agner_source;

typedef struct agner_sources agner_sources;

enum agner_verdict { AGNER_ANSWER, AGNER_SILENCE, AGNER_BANNED_NOW };

/* Room for about n_sources: the least recently seen makes place, a banned one last. NULL: no memory. */
agner_sources *agner_sources_create(unsigned n_sources, const agner_source_rules *rules, uint64_t secret);
void agner_sources_destroy(agner_sources *);
void agner_sources_set_rules(agner_sources *, const agner_source_rules *);

/* A request of this source is refused: whether it may be told so. */
enum agner_verdict agner_sources_refuse(agner_sources *, agner_source_key, double now_s);
/* A request of this source wants in, to be authenticated: 1 if its rate allows it and no ban is on it. */
int agner_sources_admit(agner_sources *, agner_source_key, double now_s);
/* It was let in, and was right: the requests that this took are not counted. */
void agner_sources_refund(agner_sources *, agner_source_key, double n_requests);
int agner_sources_is_banned(agner_sources *, agner_source_key, double now_s);

/* The bans on, at most n of them; gives how many were written. */
unsigned agner_sources_bans(const agner_sources *, double now_s, agner_source *out, unsigned n);
/* 1 if there was a ban to lift. */
int agner_sources_lift(agner_sources *, agner_source_key, double now_s);
unsigned agner_sources_size(const agner_sources *);

#endif
