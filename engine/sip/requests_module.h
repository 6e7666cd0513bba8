/* REGISTER requests out of PJSIP as plain values and their answers back; OPTIONS out and their answers in; connections
 * that close. Both are stateless: neither a transaction nor a dialog is made, so 10,000 phones cost PJSIP nothing. So is
 * the challenge to a phone that calls; its INVITE goes on to PJSIP when it is answered.
 *
 * Counterpart: requests.pyx. Engine thread only.
 */
#ifndef AGNER_REQUESTS_H
#define AGNER_REQUESTS_H

#include <pjsip.h>

enum { AGNER_MOST_CONTACTS = 16, AGNER_MOST_LINES = 8 };

typedef struct agner_contact {
    pj_str_t uri, instance; /* instance: without quotes */
    int expires_s, q, reg_id; /* -1, -1, 0: not there */
} agner_contact;

/* Where a message came from. */
typedef struct agner_flow {
    const char *source;
    int port;
    const char *transport; /* udp, tcp, tls */
} agner_flow;

/* Valid during the callback. What is not there is empty. `user`: of To; of an INVITE, of the Request-URI. `sender`: the
 * user of From. */
typedef struct agner_register {
    agner_flow flow;
    pj_str_t user, sender, call_id, branch, user_agent;
    long cseq;
    int expires_s; /* -1: no header */
    pj_bool_t is_star;
    unsigned n_contacts, n_paths, n_required, n_supported, n_answers;
    agner_contact contacts[AGNER_MOST_CONTACTS];
    pj_str_t paths[AGNER_MOST_LINES], required[AGNER_MOST_LINES], supported[AGNER_MOST_LINES];
    const pjsip_digest_credential *answers[AGNER_MOST_LINES];
} agner_register;

typedef struct agner_reply {
    pj_pool_t *pool;
    int status;
    pj_str_t reason;
    pjsip_hdr headers;
} agner_reply;

typedef struct agner_listeners {
    void (*on_register)(const agner_register *, agner_reply *);
    void (*on_pong)(unsigned long long number, int status, const agner_flow *);
    void (*on_closed)(const agner_flow *);
    pj_bool_t (*is_phone)(const agner_flow *); /* a phone that logged in sends from here */
    pj_bool_t (*may_dial)(const agner_flow *); /* the same, or a phone that logged in is behind a proxy there */
    /* The call by pjsua's number, the value of Refer-To, CSeq. The status to answer with; 0: it may pass. */
    int (*on_refer)(int slot, const pj_str_t *refer_to, long cseq);
    void (*on_invite)(const agner_register *, agner_reply *); /* from where one may dial; status 0: it may pass */
} agner_listeners;

/* After libInit. */
pj_status_t agner_requests_open(pjsip_endpoint *, const agner_listeners *);
void agner_requests_close(void);
/* pjsua's number of the call whose dialog has these tags, in either order; -1: there is none. */
int agner_slot_of(const pj_str_t *call_id, const pj_str_t *tag, const pj_str_t *other);
void agner_reply_add(agner_reply *, const char *name, int n_name, const char *value, int n_value);
/* One OPTIONS; `routes` are values of Route, of which the first says where it goes. on_pong(number, status)
 * when it is answered, whatever the answer; a lost one is lost. */
pj_status_t agner_requests_ping(unsigned long long number, const pj_str_t *uri, const pj_str_t *own_uri,
                                const pj_str_t *routes, unsigned n_routes);
/* How many messages wait (RFC 3842), until it is answered or time is up. */
pj_status_t agner_requests_notify(const pj_str_t *uri, const pj_str_t *own_uri, const pj_str_t *routes,
                                  unsigned n_routes, const pj_str_t *summary);

#endif
