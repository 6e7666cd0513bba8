/* What was answered, by transaction. See repeats.h. The engine's thread alone comes here. */
#include "repeats.h"

#include "gate_module.h"
#include "shape.h"

#include <pj/string.h>
#include <pjlib.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>
#include <stdlib.h>
#include <string.h>

#define MOST 32768 /* 512 calls a second; of a BYE beyond, PJSIP keeps the transaction; of an INVITE, nobody does */
#define MOST_KEY_CHARS 512
#define MOST_ANSWER_CHARS 4096
#define KEEP_S 32 /* 64 * T1 */

typedef struct done {
    struct done *next; /* of the same bucket */
    double until_s;
    pj_sockaddr to; /* the answer's; without one nothing is said */
    int n_to;
    unsigned hash, n_key, n_answer;
    char bytes[]; /* the key, then the answer */
} done;

static struct {
    pjsip_endpoint *endpoint;
    void (*next)(pjsua_call_id, pjsip_transaction *, pjsip_event *);
    done *buckets[MOST];
    done *ring[MOST]; /* the oldest at `first` */
    unsigned first, n;
} repeats;

/* What makes two requests one transaction (RFC 3261 section 17.2.3), and the dialog's Call-ID. 0: there is none, or it is
 * too long. */
static unsigned key_of(char key[MOST_KEY_CHARS], const pjsip_via_hdr *via, const pjsip_cid_hdr *call_id,
                       const pjsip_cseq_hdr *cseq)
{
    int n;
    if (!via || !call_id || !cseq || !via->branch_param.slen)
        return 0;
    n = pj_ansi_snprintf(key, MOST_KEY_CHARS, "%.*s\n%.*s:%d\n%.*s\n%d %d", (int)via->branch_param.slen,
                         via->branch_param.ptr, (int)via->sent_by.host.slen, via->sent_by.host.ptr, via->sent_by.port,
                         (int)call_id->id.slen, call_id->id.ptr, (int)cseq->cseq, (int)cseq->method.id);
    return n > 0 && n < MOST_KEY_CHARS ? (unsigned)n : 0;
}

static done **place_of(const char *key, unsigned n_key, unsigned hash)
{
    done **place = &repeats.buckets[hash % MOST];
    while (*place && ((*place)->hash != hash || (*place)->n_key != n_key || memcmp((*place)->bytes, key, n_key)))
        place = &(*place)->next;
    return place;
}

static void forget_oldest(void)
{
    done *oldest = repeats.ring[repeats.first], **place = place_of(oldest->bytes, oldest->n_key, oldest->hash);
    *place = oldest->next;
    repeats.first = (repeats.first + 1) % MOST;
    repeats.n -= 1;
    free(oldest);
}

/* PJ_TRUE: kept, with the first n_answer bytes of what the transaction sent last. */
static pj_bool_t keep(const pjsip_transaction *tsx, unsigned n_answer)
{
    const pjsip_msg *sent = tsx->last_tx->msg;
    double now_s = agner_gate_now();
    char key[MOST_KEY_CHARS];
    unsigned n_key = key_of(key, pjsip_msg_find_hdr(sent, PJSIP_H_VIA, NULL),
                            pjsip_msg_find_hdr(sent, PJSIP_H_CALL_ID, NULL),
                            pjsip_msg_find_hdr(sent, PJSIP_H_CSEQ, NULL));
    unsigned hash = pj_hash_calc(0, key, n_key);
    done *one, **place;
    while (repeats.n && repeats.ring[repeats.first]->until_s < now_s)
        forget_oldest();
    if (!n_key || repeats.n == MOST || *(place = place_of(key, n_key, hash)) ||
        !(one = malloc(sizeof *one + n_key + n_answer)))
        return PJ_FALSE;
    *one = (done){.until_s = now_s + KEEP_S, .hash = hash, .n_key = n_key, .n_answer = n_answer, .n_to = tsx->addr_len};
    pj_sockaddr_cp(&one->to, &tsx->addr);
    memcpy(one->bytes, key, n_key);
    memcpy(one->bytes + n_key, tsx->last_tx->buf.start, n_answer);
    *place = one;
    repeats.ring[(repeats.first + repeats.n++) % MOST] = one;
    return PJ_TRUE;
}

static void on_answered(pjsip_transaction *tsx)
{
    pj_size_t n = tsx->last_tx->buf.cur - tsx->last_tx->buf.start;
    if (tsx->method.id == PJSIP_INVITE_METHOD && tsx->status_code / 100 == 2)
        keep(tsx, 0);
    else if (tsx->method.id == PJSIP_BYE_METHOD && !tsx->is_reliable && tsx->addr_len && n <= MOST_ANSWER_CHARS &&
             keep(tsx, (unsigned)n))
        pjsip_tsx_terminate_async(tsx, tsx->status_code);
}

static void on_transaction(pjsua_call_id call, pjsip_transaction *tsx, pjsip_event *event)
{
    if (tsx->role == PJSIP_ROLE_UAS && tsx->state == PJSIP_TSX_STATE_COMPLETED && tsx->last_tx)
        on_answered(tsx);
    if (repeats.next)
        repeats.next(call, tsx, event);
}

/* ---- from outside */

void agner_repeats_open(pjsip_endpoint *endpoint)
{
    repeats.endpoint = endpoint;
    repeats.next = pjsua_var.ua_cfg.cb.on_call_tsx_state;
    pjsua_var.ua_cfg.cb.on_call_tsx_state = &on_transaction;
}

void agner_repeats_close(void)
{
    while (repeats.n)
        forget_oldest();
}

pj_bool_t agner_take_repeat(pjsip_rx_data *rdata)
{
    pjsip_method_e method = rdata->msg_info.msg->line.req.method.id;
    pjsip_tpselector transport = {.type = PJSIP_TPSELECTOR_TRANSPORT, .u.transport = rdata->tp_info.transport};
    char key[MOST_KEY_CHARS];
    unsigned n_key;
    const done *one;
    if (!repeats.n || (method != PJSIP_BYE_METHOD && method != PJSIP_INVITE_METHOD))
        return PJ_FALSE;
    n_key = key_of(key, rdata->msg_info.via, rdata->msg_info.cid, rdata->msg_info.cseq);
    one = n_key ? *place_of(key, n_key, pj_hash_calc(0, key, n_key)) : NULL;
    if (!one || agner_is_repeated(rdata)) /* PJSIP still has the transaction, and says what is to be said */
        return PJ_FALSE;
    if (one->n_answer)
        pjsip_endpt_send_raw(repeats.endpoint, rdata->tp_info.transport->key.type, &transport, one->bytes + one->n_key,
                             one->n_answer, &one->to, one->n_to, NULL, NULL);
    return PJ_TRUE;
}
