/* The gate in front of the transaction layer. See gate_module.h. */
#include "gate_module.h"

#include "addresses.h"
#include "connections.h"
#include "methods.h"
#include "repeats.h"
#include "transports.h"

#include <pj/string.h>
#include <pjsip/sip_ua_layer.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_GROUPS 256

static pj_bool_t on_request(pjsip_rx_data *rdata);
static pj_status_t on_sent(pjsip_tx_data *tdata);

static pjsip_module module = {
    .name = {"mod-agner-gate", 14},
    .id = -1,
    .priority = PJSIP_MOD_PRIORITY_TRANSPORT_LAYER - 4,
    .on_rx_request = &on_request,
    .on_tx_request = &on_sent,
    .on_tx_response = &on_sent,
};

/* A bucket of new calls for a trunk, one for all while the engine is overloaded, one of answers for all strangers. */
struct bucket {
    double per_s, tokens, seen_s;
};

static struct {
    pjsip_endpoint *endpoint;
    agner_gate_rules rules;
    agner_sources *strangers, *logins;
    pj_bool_t takes_registers;
    agner_network *networks;
    unsigned n_networks;
    struct bucket calls[N_GROUPS], admitted, answers;
    unsigned overload_s;
    pj_uint64_t counts[AGNER_N_COUNTS];
    agner_refusals news;
} gate;

/* ---- who is known */

static int group_of(const unsigned char bytes[16])
{
    for (unsigned n = 0; n < gate.n_networks; ++n)
        if (agner_lies_in(bytes, gate.networks[n].address, gate.networks[n].n_bits))
            return gate.networks[n].group;
    return AGNER_STRANGER;
}

/* ---- time and rates */

double agner_gate_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* One of at most per_s a second, up to one second's worth at once. */
static pj_bool_t take(struct bucket *bucket, double now_s)
{
    double most = bucket->per_s > 1 ? bucket->per_s : 1;
    bucket->tokens += (now_s - bucket->seen_s) * bucket->per_s;
    if (bucket->tokens > most)
        bucket->tokens = most;
    bucket->seen_s = now_s;
    if (bucket->tokens < 1)
        return PJ_FALSE;
    bucket->tokens -= 1;
    return PJ_TRUE;
}

/* ---- what is told */

static void tell(enum agner_gate_count why, const pjsip_rx_data *rdata)
{
    agner_tell_refused(&gate.news, why, rdata);
}

pj_bool_t agner_gate_take_news(agner_refused *news)
{
    return agner_take_refused(&gate.news, news);
}

/* With one header more, or NULL. Nobody answers an ACK (RFC 3261 section 17.1.1.3). */
static void answer_with(pjsip_rx_data *rdata, int status, pjsip_hdr *header)
{
    pjsip_hdr list;
    if (rdata->msg_info.msg->line.req.method.id == PJSIP_ACK_METHOD)
        return;
    pj_list_init(&list);
    if (header)
        pj_list_push_back(&list, header);
    pjsip_endpt_respond_stateless(gate.endpoint, rdata, status, NULL, &list, NULL);
}

static void answer(pjsip_rx_data *rdata, int status)
{
    answer_with(rdata, status, NULL);
}

/* ---- the gate itself */

static void refuse_stranger(pjsip_rx_data *rdata, const unsigned char bytes[16], double now_s)
{
    enum agner_verdict verdict = agner_sources_refuse(gate.strangers, agner_key_of(bytes), now_s);
    agner_end_connection(rdata->tp_info.transport, verdict == AGNER_BANNED_NOW);
    switch (verdict) {
    case AGNER_BANNED_NOW:
        gate.counts[AGNER_BANS] += 1;
        tell(AGNER_BANS, rdata);
        return;
    case AGNER_SILENCE:
        gate.counts[AGNER_BANNED] += 1;
        return;
    case AGNER_ANSWER:
        gate.counts[AGNER_UNKNOWN] += 1;
        tell(AGNER_UNKNOWN, rdata);
        if (gate.rules.tells_strangers && take(&gate.answers, now_s))
            answer(rdata, PJSIP_SC_FORBIDDEN);
    }
}

static pjsip_dialog *dialog_of(const pjsip_rx_data *rdata)
{
    return pjsip_ua_find_dialog(&rdata->msg_info.cid->id, &rdata->msg_info.to->tag, &rdata->msg_info.from->tag,
                                PJ_FALSE);
}

static pj_bool_t is_new_call(const pjsip_rx_data *rdata)
{
    return rdata->msg_info.msg->line.req.method.id == PJSIP_INVITE_METHOD && !rdata->msg_info.to->tag.slen;
}

/* Where passwords were guessed, nobody makes calls either. */
static pj_bool_t is_phone(const pjsip_rx_data *rdata, const unsigned char bytes[16], double now_s)
{
    return gate.rules.is_phone &&
           !(is_new_call(rdata) && agner_sources_is_banned(gate.logins, agner_key_of(bytes), now_s)) &&
           gate.rules.is_phone(rdata->pkt_info.src_name, rdata->pkt_info.src_port,
                               agner_name_of(rdata->tp_info.transport));
}

/* PJ_TRUE: taken, nobody else sees it. */
static pj_bool_t refuse_call(pjsip_rx_data *rdata, int group, double now_s)
{
    enum agner_gate_count why;
    unsigned retry_after_s = 1;
    if (group >= 0 && group < N_GROUPS && gate.calls[group].per_s > 0 && !agner_is_repeated(rdata) &&
        !take(&gate.calls[group], now_s)) {
        why = AGNER_TOO_FAST;
    } else if (gate.overload_s && !agner_is_repeated(rdata) && !take(&gate.admitted, now_s)) {
        why = AGNER_OVERLOADED;
        retry_after_s = gate.overload_s;
    } else {
        return PJ_FALSE;
    }
    gate.counts[why] += 1;
    tell(why, rdata);
    answer_with(rdata, PJSIP_SC_SERVICE_UNAVAILABLE,
                (pjsip_hdr *)pjsip_retry_after_hdr_create(rdata->tp_info.pool, (int)retry_after_s));
    return PJ_TRUE;
}

/* To be authenticated. PJ_TRUE: taken, nobody else sees it. */
static pj_bool_t refuse_register(pjsip_rx_data *rdata, const unsigned char bytes[16], int group, double now_s)
{
    pj_bool_t is_admitted = group == AGNER_STRANGER ? agner_sources_admit(gate.logins, agner_key_of(bytes), now_s)
                                                    : !agner_sources_is_banned(gate.logins, agner_key_of(bytes), now_s);
    if (!is_admitted) {
        gate.counts[AGNER_BANNED] += 1;
        return PJ_TRUE;
    }
    if (agner_is_inconsistent(rdata)) {
        gate.counts[AGNER_GARBAGE] += 1;
        answer(rdata, PJSIP_SC_BAD_REQUEST);
        return PJ_TRUE;
    }
    gate.counts[AGNER_PASSED] += 1;
    return PJ_FALSE;
}

static pj_bool_t pass(pjsip_rx_data *rdata)
{
    if (agner_refuse_unused(rdata))
        return PJ_TRUE;
    gate.counts[AGNER_PASSED] += 1;
    return PJ_FALSE;
}

static pj_bool_t on_request(pjsip_rx_data *rdata)
{
    double now_s = agner_gate_now();
    unsigned char bytes[16];
    pjsip_unsupported_hdr *unknown;
    int group;
    agner_bytes_of(&rdata->pkt_info.src_addr, bytes);
    group = group_of(bytes);
    if (agner_is_absurd(rdata, &gate.rules.shape)) {
        gate.counts[AGNER_ABSURD] += 1;
        tell(AGNER_ABSURD, rdata);
        if (group != AGNER_STRANGER)
            answer(rdata, PJSIP_SC_BAD_REQUEST);
        else
            agner_sources_refuse(gate.strangers, agner_key_of(bytes), now_s);
        return PJ_TRUE;
    }
    if (agner_take_repeat(rdata))
        return PJ_TRUE;
    if (rdata->msg_info.to->tag.slen) {
        pjsip_dialog *dialog = dialog_of(rdata);
        void *mark = dialog ? dialog->mod_data[module.id] : NULL;
        if (mark && mark != agner_mark_of(bytes) && group == AGNER_STRANGER) {
            gate.counts[AGNER_FOREIGN] += 1;
            tell(AGNER_FOREIGN, rdata);
            return PJ_TRUE;
        }
        if (mark)
            return pass(rdata);
    }
    if (gate.takes_registers && rdata->msg_info.msg->line.req.method.id == PJSIP_REGISTER_METHOD)
        return refuse_register(rdata, bytes, group, now_s);
    if (group == AGNER_STRANGER && is_phone(rdata, bytes, now_s))
        group = AGNER_PHONES;
    if (group == AGNER_STRANGER) {
        refuse_stranger(rdata, bytes, now_s);
        return PJ_TRUE;
    }
    if (agner_is_inconsistent(rdata)) {
        gate.counts[AGNER_GARBAGE] += 1;
        tell(AGNER_GARBAGE, rdata);
        answer(rdata, PJSIP_SC_BAD_REQUEST);
        return PJ_TRUE;
    }
    if (agner_needs_unknown(gate.endpoint, rdata, &unknown)) {
        answer_with(rdata, PJSIP_SC_BAD_EXTENSION, (pjsip_hdr *)unknown);
        return PJ_TRUE;
    }
    if (is_new_call(rdata) && refuse_call(rdata, group, now_s))
        return PJ_TRUE;
    return pass(rdata);
}

/* Whom we talk to in a dialog is known in that dialog: a phone that no network names, a proxy on the way. */
static pj_status_t on_sent(pjsip_tx_data *tdata)
{
    pjsip_dialog *dialog = pjsip_tdata_get_dlg(tdata);
    unsigned char bytes[16];
    if (dialog && tdata->tp_info.dst_addr_len) {
        agner_bytes_of(&tdata->tp_info.dst_addr, bytes);
        dialog->mod_data[module.id] = agner_mark_of(bytes);
    }
    return PJ_SUCCESS;
}

/* Newlines between messages: of a phone that keeps its connection up, and wants to know whether it is. */
static void on_newlines(pjsip_transport *transport, pj_size_t length)
{
    const pj_sockaddr *far = &transport->key.rem_addr;
    char address[PJ_INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    if (!PJSIP_TRANSPORT_IS_RELIABLE(transport) || length < AGNER_PING_CHARS)
        return;
    agner_bytes_of(far, bytes);
    if (group_of(bytes) != AGNER_STRANGER ||
        (gate.rules.is_phone && gate.rules.is_phone(pj_sockaddr_print(far, address, sizeof address, 0),
                                                    pj_sockaddr_get_port(far), agner_name_of(transport))))
        agner_pong(transport);
}

/* A message that does not parse: PJSIP drops it, and tells (pjsip/patches/dropped-message.patch). A known sender of a
 * request learns so, as RFC 3261 section 8.2 and RFC 4475 want; a stranger is refused as for any other request. */
static void on_garbage(pjsip_tp_dropped_data *dropped)
{
    pjsip_rx_data *rdata = dropped->rdata;
    unsigned char bytes[16];
    if (!rdata) {
        on_newlines(dropped->tp, dropped->len);
        return;
    }
    gate.counts[AGNER_GARBAGE] += 1;
    agner_bytes_of(&rdata->pkt_info.src_addr, bytes);
    if (group_of(bytes) == AGNER_STRANGER) {
        if (agner_sources_refuse(gate.strangers, agner_key_of(bytes), agner_gate_now()) == AGNER_BANNED_NOW)
            gate.counts[AGNER_BANS] += 1;
    } else if (agner_is_answerable(rdata)) {
        tell(AGNER_GARBAGE, rdata);
        pj_strdup2(rdata->tp_info.pool, &rdata->msg_info.via->recvd_param, rdata->pkt_info.src_name);
        if (rdata->msg_info.via->rport_param == 0)
            rdata->msg_info.via->rport_param = rdata->pkt_info.src_port;
        answer(rdata, PJSIP_SC_BAD_REQUEST);
    }
}

/* ---- from outside */

pj_status_t agner_gate_open(pjsip_endpoint *endpoint, const agner_gate_rules *rules, uint64_t secret)
{
    pj_status_t status;
    memset(&gate, 0, sizeof gate);
    gate.strangers = agner_sources_create(rules->n_sources, &rules->source, secret);
    gate.logins = agner_sources_create(rules->n_sources, &rules->source, secret);
    if (!gate.strangers || !gate.logins)
        return PJ_ENOMEM;
    gate.endpoint = endpoint;
    agner_gate_set_rules(rules);
    pjsip_tpmgr_set_drop_data_cb(pjsip_endpt_get_tpmgr(endpoint), &on_garbage);
    agner_repeats_open(endpoint);
    status = pjsip_endpt_register_module(endpoint, &module);
    return status == PJ_SUCCESS ? agner_methods_open(endpoint) : status;
}

/* PJSIP destroys its modules with the endpoint; this lets go of what is ours. */
void agner_gate_close(void)
{
    agner_sources_destroy(gate.strangers);
    agner_sources_destroy(gate.logins);
    free(gate.networks);
    memset(&gate, 0, sizeof gate);
    agner_methods_close();
    agner_repeats_close();
    module.id = -1;
}

void agner_gate_set_rules(const agner_gate_rules *rules)
{
    gate.rules = *rules;
    gate.answers.per_s = rules->strangers_per_s;
    agner_sources_set_rules(gate.strangers, &rules->source);
    agner_sources_set_rules(gate.logins, &rules->source);
}

pj_status_t agner_gate_set_networks(const agner_network *networks, unsigned n)
{
    agner_network *copy = malloc((n ? n : 1) * sizeof *copy);
    if (!copy)
        return PJ_ENOMEM;
    memcpy(copy, networks, n * sizeof *copy);
    free(gate.networks);
    gate.networks = copy;
    gate.n_networks = n;
    return PJ_SUCCESS;
}

void agner_gate_set_rate(int group, double calls_per_s)
{
    if (group >= 0 && group < N_GROUPS)
        gate.calls[group] = (struct bucket){calls_per_s, calls_per_s, agner_gate_now()};
}

void agner_gate_set_overload(unsigned retry_after_s, double calls_per_s)
{
    gate.admitted = (struct bucket){calls_per_s, 0, agner_gate_now()};
    gate.overload_s = retry_after_s;
}

void agner_gate_take_registers(pj_bool_t takes)
{
    gate.takes_registers = takes;
}

void agner_gate_login_failed(agner_source_key key, const char *source)
{
    agner_refused *news;
    if (agner_sources_refuse(gate.logins, key, agner_gate_now()) != AGNER_BANNED_NOW)
        return;
    gate.counts[AGNER_BANS] += 1;
    news = agner_new_refused(&gate.news, AGNER_BANS);
    pj_ansi_snprintf(news->source, sizeof news->source, "%s", source);
    strcpy(news->method, "REGISTER");
}

/* Two: the one without a password, and the one with it. */
void agner_gate_login_succeeded(agner_source_key key)
{
    agner_sources_refund(gate.logins, key, 2);
}

const pj_uint64_t *agner_gate_counts(void)
{
    return gate.counts;
}

agner_sources *agner_gate_strangers(void)
{
    return gate.strangers;
}

agner_sources *agner_gate_logins(void)
{
    return gate.logins;
}
