/* The gate: a PJSIP module in front of all others. Every request passes it first, in this order: shape of the message,
 * ban, source, rate; only then the transaction and UA layers see it. What is refused leaves no trace in them: no
 * transaction, no dialog, no leg.
 *
 * Known are the networks of the configuration (trunks, phones) and the far side of each of our dialogs, inside that
 * dialog. All others are strangers: refused, and banned when they do not stop. A known source is never banned.
 *
 * Phones log in from anywhere. So a REGISTER passes at a stranger's rate, and is counted apart: what bans a source from
 * logging in is failed attempts, which nobody can make in another's name (digest.py), and no other request does.
 * Where a phone is that has logged in, its calls come through, to be authenticated too (requests_module.h).
 * Counterparts: gate.pyx, its Python face; sources.h, the table of strangers. Engine thread only.
 */
#ifndef AGNER_GATE_H
#define AGNER_GATE_H

#include <pjsip.h>

#include "refusals.h"
#include "shape.h"
#include "sources.h"

typedef struct agner_network {
    unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned n_bits;           /* of the 128 */
    int group;                 /* a trunk's number, or AGNER_PHONES */
} agner_network;

enum { AGNER_STRANGER = -1, AGNER_PHONES = 1 << 20 };

typedef struct agner_gate_rules {
    agner_source_rules source;
    unsigned n_sources;
    agner_shape shape;
    int tells_strangers;   /* 403; else silence */
    double strangers_per_s; /* answers to all strangers together */
    /* Whether a phone that logged in sends from there, over udp, tcp or tls: it is no stranger then, but for a REGISTER.
     * NULL: none has. */
    int (*is_phone)(const char *source, int port, const char *transport);
} agner_gate_rules;

enum agner_gate_count {
    AGNER_PASSED,
    AGNER_GARBAGE,      /* not SIP at all; told by the transport */
    AGNER_ABSURD,       /* too many headers, media, crypto lines or parts */
    AGNER_UNKNOWN,      /* of a stranger */
    AGNER_BANNED,       /* dropped under a ban */
    AGNER_BANS,         /* bans put on */
    AGNER_FOREIGN,      /* inside a dialog, of somebody else's address */
    AGNER_TOO_FAST,     /* new calls above a trunk's calls per second: 503 */
    AGNER_OVERLOADED,   /* new calls above what the engine takes: 503 */
    AGNER_N_COUNTS
};

pj_status_t agner_gate_open(pjsip_endpoint *, const agner_gate_rules *, uint64_t secret);
void agner_gate_close(void);
void agner_gate_set_rules(const agner_gate_rules *);
/* Copied. The first network that matches counts. PJ_ENOMEM. */
pj_status_t agner_gate_set_networks(const agner_network *, unsigned n);
/* New calls of this group per second; 0: as many as come. */
void agner_gate_set_rate(int group, double calls_per_s);
/* New calls above that rate, of all groups together, get 503 and Retry-After from now on; 0 s: no more. */
void agner_gate_set_overload(unsigned retry_after_s, double calls_per_s);
/* Whether REGISTER is for somebody here; else it is a request like any other. */
void agner_gate_take_registers(pj_bool_t);
/* A REGISTER from there had a wrong password, or a right one. */
void agner_gate_login_failed(agner_source_key, const char *source);
void agner_gate_login_succeeded(agner_source_key);
/* PJ_TRUE if there was news; the ring holds the newest few. */
pj_bool_t agner_gate_take_news(agner_refused *);
const pj_uint64_t *agner_gate_counts(void);
agner_sources *agner_gate_strangers(void);
agner_sources *agner_gate_logins(void);
double agner_gate_now(void);

#endif
