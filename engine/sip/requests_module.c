/* REGISTER, OPTIONS and connections. See requests_module.h. */
#include "requests_module.h"

#include "shape.h"
#include "transports.h"

#include <pj/ctype.h>
#include <pj/string.h>
#include <pjlib.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>
#include <stdlib.h>
#include <string.h>

#define MARK_CHARS 16

static pj_bool_t on_request(pjsip_rx_data *rdata);
static pj_bool_t on_response(pjsip_rx_data *rdata);

/* Behind the gate, in front of the transaction layer. */
static pjsip_module module = {
    .name = {"mod-agner-requests", 18},
    .id = -1,
    .priority = PJSIP_MOD_PRIORITY_TSX_LAYER - 2,
    .on_rx_request = &on_request,
    .on_rx_response = &on_response,
};

static struct {
    pjsip_endpoint *endpoint;
    agner_listeners tell;
    pjsip_tp_state_callback next; /* who listened to connections before us */
    char mark[MARK_CHARS + 1];    /* how our Call-IDs begin: nobody else can answer an OPTIONS */
} requests;

static agner_flow flow_of(const pjsip_rx_data *rdata)
{
    agner_flow flow = {rdata->pkt_info.src_name, rdata->pkt_info.src_port, agner_name_of(rdata->tp_info.transport)};
    return flow;
}

/* ---- what is read of a REGISTER */

static void take_name(pj_str_t *to, unsigned *n, const pj_str_t *name)
{
    if (*n < AGNER_MOST_LINES)
        to[(*n)++] = *name;
}

static void take_names(pj_str_t *to, unsigned *n, const pjsip_generic_array_hdr *header)
{
    for (unsigned at = 0; at < header->count; ++at)
        take_name(to, n, &header->values[at]);
}

static pj_str_t printed_uri(pj_pool_t *pool, const void *uri)
{
    pj_str_t text = {pj_pool_alloc(pool, PJSIP_MAX_URL_SIZE), 0};
    text.slen = pjsip_uri_print(PJSIP_URI_IN_CONTACT_HDR, pjsip_uri_get_uri(uri), text.ptr, PJSIP_MAX_URL_SIZE);
    if (text.slen < 0)
        text.slen = 0;
    return text;
}

static pj_str_t unquoted(pj_str_t text)
{
    if (text.slen >= 2 && text.ptr[0] == '"' && text.ptr[text.slen - 1] == '"') {
        text.ptr += 1;
        text.slen -= 2;
    }
    return text;
}

static void take_contact(agner_register *found, const pjsip_contact_hdr *header, pj_pool_t *pool)
{
    static const pj_str_t instance = {"+sip.instance", 13}, reg_id = {"reg-id", 6};
    agner_contact *contact = &found->contacts[found->n_contacts++];
    const pjsip_param *param;
    contact->uri = printed_uri(pool, header->uri);
    contact->q = header->q1000 > 0 ? header->q1000 : -1;
    contact->expires_s = header->expires == PJSIP_EXPIRES_NOT_SPECIFIED ? -1 : (int)(header->expires & 0x7fffffff);
    if ((param = pjsip_param_find(&header->other_param, &instance)))
        contact->instance = unquoted(param->value);
    if ((param = pjsip_param_find(&header->other_param, &reg_id)))
        contact->reg_id = (int)(pj_strtoul(&param->value) & 0x7fffffff);
}

/* PJ_FALSE: more of it than anybody needs. */
static pj_bool_t take_header(agner_register *found, pjsip_hdr *header, pj_pool_t *pool)
{
    static const pj_str_t path = {"Path", 4}, agent = {"User-Agent", 10}, digest = {"Digest", 6};
    switch (header->type) {
    case PJSIP_H_CONTACT:
        if (((pjsip_contact_hdr *)header)->star)
            found->is_star = PJ_TRUE;
        else if (found->n_contacts == AGNER_MOST_CONTACTS)
            return PJ_FALSE;
        else
            take_contact(found, (pjsip_contact_hdr *)header, pool);
        break;
    case PJSIP_H_EXPIRES:
        found->expires_s = (int)(((pjsip_expires_hdr *)header)->ivalue & 0x7fffffff);
        break;
    case PJSIP_H_REQUIRE:
        take_names(found->required, &found->n_required, (pjsip_generic_array_hdr *)header);
        break;
    case PJSIP_H_SUPPORTED:
        take_names(found->supported, &found->n_supported, (pjsip_generic_array_hdr *)header);
        break;
    case PJSIP_H_AUTHORIZATION:
        if (!pj_stricmp(&((pjsip_authorization_hdr *)header)->scheme, &digest) && found->n_answers < AGNER_MOST_LINES)
            found->answers[found->n_answers++] = &((pjsip_authorization_hdr *)header)->credential.digest;
        break;
    default:
        if (!pj_stricmp(&header->name, &path)) {
            if (found->n_paths == AGNER_MOST_LINES)
                return PJ_FALSE;
            take_name(found->paths, &found->n_paths, &((pjsip_generic_string_hdr *)header)->hvalue);
        } else if (!pj_stricmp(&header->name, &agent)) {
            found->user_agent = ((pjsip_generic_string_hdr *)header)->hvalue;
        }
    }
    return PJ_TRUE;
}

static pj_bool_t take_apart(agner_register *found, const pjsip_rx_data *rdata, const pjsip_uri *uri)
{
    const pjsip_msg *msg = rdata->msg_info.msg;
    const void *to = pjsip_uri_get_uri(uri), *from = pjsip_uri_get_uri(rdata->msg_info.from->uri);
    memset(found, 0, sizeof *found);
    if (!PJSIP_URI_SCHEME_IS_SIP(to) && !PJSIP_URI_SCHEME_IS_SIPS(to))
        return PJ_FALSE;
    found->flow = flow_of(rdata);
    found->user = ((const pjsip_sip_uri *)to)->user;
    if (PJSIP_URI_SCHEME_IS_SIP(from) || PJSIP_URI_SCHEME_IS_SIPS(from))
        found->sender = ((const pjsip_sip_uri *)from)->user;
    found->call_id = rdata->msg_info.cid->id;
    found->branch = rdata->msg_info.via->branch_param;
    found->cseq = rdata->msg_info.cseq->cseq;
    found->expires_s = -1;
    for (pjsip_hdr *header = msg->hdr.next; header != &msg->hdr; header = header->next)
        if (!take_header(found, header, rdata->tp_info.pool))
            return PJ_FALSE;
    return PJ_TRUE;
}

/* ---- requests */

void agner_reply_add(agner_reply *reply, const char *name, int n_name, const char *value, int n_value)
{
    pj_str_t texts[2] = {{(char *)name, n_name}, {(char *)value, n_value}};
    pj_list_push_back(&reply->headers, pjsip_generic_string_hdr_create(reply->pool, &texts[0], &texts[1]));
}

static void respond(pjsip_rx_data *rdata, agner_reply *reply)
{
    if (rdata->msg_info.via->rport_param < 0)
        rdata->msg_info.via->rport_param = rdata->pkt_info.src_port; /* a NAT lets nothing else through (RFC 3581) */
    pjsip_endpt_respond_stateless(requests.endpoint, rdata, reply->status, reply->reason.slen ? &reply->reason : NULL,
                                  &reply->headers, NULL);
}

static void answer_register(pjsip_rx_data *rdata)
{
    agner_register found;
    agner_reply reply = {.pool = rdata->tp_info.pool, .status = PJSIP_SC_BAD_REQUEST};
    pj_list_init(&reply.headers);
    if (take_apart(&found, rdata, rdata->msg_info.to->uri))
        requests.tell.on_register(&found, &reply);
    respond(rdata, &reply);
}

/* PJ_TRUE: it was refused. */
static pj_bool_t refuse_invite(pjsip_rx_data *rdata)
{
    agner_register found;
    agner_reply reply = {.pool = rdata->tp_info.pool, .status = PJSIP_SC_BAD_REQUEST};
    pj_list_init(&reply.headers);
    if (take_apart(&found, rdata, rdata->msg_info.msg->line.req.uri))
        requests.tell.on_invite(&found, &reply);
    if (reply.status)
        respond(rdata, &reply);
    return reply.status != 0;
}

static int slot_of(const pj_str_t *call_id, const pj_str_t *local, const pj_str_t *remote)
{
    pjsip_dialog *dialog = pjsip_ua_find_dialog(call_id, local, remote, PJ_FALSE);
    pjsip_inv_session *session = dialog ? pjsip_dlg_get_inv_session(dialog) : NULL;
    const pjsua_call *call = session ? session->mod_data[pjsua_var.mod.id] : NULL;
    return call ? (int)call->index : -1;
}

int agner_slot_of(const pj_str_t *call_id, const pj_str_t *tag, const pj_str_t *other)
{
    int slot = slot_of(call_id, tag, other);
    return slot >= 0 ? slot : slot_of(call_id, other, tag);
}

/* PJ_TRUE: it was answered, and PJSIP, which would dial, never sees it. */
static pj_bool_t answer_refer(pjsip_rx_data *rdata)
{
    static const pj_str_t name = {"Refer-To", 8}, compact = {"r", 1};
    const pjsip_generic_string_hdr *header =
        pjsip_msg_find_hdr_by_names(rdata->msg_info.msg, &name, &compact, NULL);
    agner_reply reply = {.pool = rdata->tp_info.pool};
    int slot = slot_of(&rdata->msg_info.cid->id, &rdata->msg_info.to->tag, &rdata->msg_info.from->tag);
    pj_list_init(&reply.headers);
    if (header && slot >= 0)
        reply.status = requests.tell.on_refer(slot, &header->hvalue, rdata->msg_info.cseq->cseq);
    if (reply.status)
        respond(rdata, &reply);
    return reply.status != 0;
}

/* What a phone behind a NAT says of itself leads nowhere; what it sent from does (RFC 5626 section 5.3). */
static void mend_contact(pjsip_rx_data *rdata)
{
    const pjsip_msg *msg = rdata->msg_info.msg;
    pjsip_contact_hdr *contact = pjsip_msg_find_hdr(msg, PJSIP_H_CONTACT, NULL);
    agner_flow flow = flow_of(rdata);
    pjsip_sip_uri *uri;
    if (!contact || contact->star || !contact->uri || !PJSIP_URI_SCHEME_IS_SIP(contact->uri))
        return;
    if (pjsip_msg_find_hdr(msg, PJSIP_H_RECORD_ROUTE, NULL) || !requests.tell.is_phone(&flow))
        return;
    uri = pjsip_uri_get_uri(contact->uri);
    pj_strdup2(rdata->tp_info.pool, &uri->host, flow.source);
    uri->port = flow.port;
    uri->maddr_param.slen = 0;
    pj_strset2(&uri->transport_param, PJSIP_TRANSPORT_IS_RELIABLE(rdata->tp_info.transport) ? (char *)flow.transport : "");
}

static pj_bool_t on_request(pjsip_rx_data *rdata)
{
    static const pjsip_method refer = {PJSIP_OTHER_METHOD, {"REFER", 5}};
    if (rdata->msg_info.msg->line.req.method.id == PJSIP_REGISTER_METHOD) {
        answer_register(rdata);
        return PJ_TRUE;
    }
    if (rdata->msg_info.to->tag.slen && !pjsip_method_cmp(&rdata->msg_info.msg->line.req.method, &refer) &&
        answer_refer(rdata))
        return PJ_TRUE;
    if (rdata->msg_info.msg->line.req.method.id == PJSIP_INVITE_METHOD && !rdata->msg_info.to->tag.slen) {
        agner_flow flow = flow_of(rdata);
        if (agner_is_repeated(rdata) || !requests.tell.may_dial(&flow))
            return PJ_FALSE;
        if (refuse_invite(rdata))
            return PJ_TRUE;
    }
    if (rdata->msg_info.msg->line.req.method.id == PJSIP_INVITE_METHOD || rdata->msg_info.to->tag.slen)
        mend_contact(rdata);
    return PJ_FALSE;
}

/* ---- OPTIONS */

static pj_bool_t on_response(pjsip_rx_data *rdata)
{
    const pj_str_t *id = &rdata->msg_info.cid->id;
    pj_str_t number = {id->ptr + MARK_CHARS, id->slen - MARK_CHARS};
    agner_flow flow = flow_of(rdata);
    if (id->slen <= MARK_CHARS || memcmp(id->ptr, requests.mark, MARK_CHARS)) {
        mend_contact(rdata);
        return PJ_FALSE;
    }
    if (rdata->msg_info.msg->line.status.code >= 200)
        requests.tell.on_pong(strtoull(number.ptr, NULL, 10), rdata->msg_info.msg->line.status.code, &flow);
    return PJ_TRUE;
}

static pj_status_t add_routes(pjsip_tx_data *tdata, const pj_str_t *routes, unsigned n_routes)
{
    static const pj_str_t name = {"Route", 5};
    for (unsigned n = 0; n < n_routes; ++n) {
        pj_str_t copy;
        pjsip_hdr *header;
        pj_strdup_with_null(tdata->pool, &copy, &routes[n]);
        header = pjsip_parse_hdr(tdata->pool, &name, copy.ptr, copy.slen, NULL);
        if (!header)
            return PJSIP_EINVALIDHDR;
        pj_list_insert_nodes_before(&tdata->msg->hdr, header);
    }
    return PJ_SUCCESS;
}

static void add_header(pjsip_tx_data *tdata, const char *name, const char *value)
{
    pj_str_t texts[2] = {pj_str((char *)name), pj_str((char *)value)};
    pjsip_msg_add_hdr(tdata->msg, (pjsip_hdr *)pjsip_generic_string_hdr_create(tdata->pool, &texts[0], &texts[1]));
}

static pj_status_t make(const pjsip_method *method, const pj_str_t *uri, const pj_str_t *own_uri,
                        const pj_str_t *routes, unsigned n_routes, const pj_str_t *call_id, pjsip_tx_data **tdata)
{
    pj_status_t status = pjsip_endpt_create_request(requests.endpoint, method, uri, own_uri, uri, own_uri, call_id, 1,
                                                    NULL, tdata);
    if (status == PJ_SUCCESS && (status = add_routes(*tdata, routes, n_routes)) != PJ_SUCCESS)
        pjsip_tx_data_dec_ref(*tdata);
    return status;
}

pj_status_t agner_requests_ping(unsigned long long number, const pj_str_t *uri, const pj_str_t *own_uri,
                                const pj_str_t *routes, unsigned n_routes)
{
    char text[MARK_CHARS + 24];
    pj_str_t call_id = {text, pj_ansi_snprintf(text, sizeof text, "%s%llu", requests.mark, number)};
    pjsip_tx_data *tdata;
    pj_status_t status = make(&pjsip_options_method, uri, own_uri, routes, n_routes, &call_id, &tdata);
    if (status != PJ_SUCCESS)
        return status;
    add_header(tdata, "Accept", "application/sdp");
    return pjsip_endpt_send_request_stateless(requests.endpoint, tdata, NULL, NULL);
}

pj_status_t agner_requests_notify(const pj_str_t *uri, const pj_str_t *own_uri, const pj_str_t *routes,
                                  unsigned n_routes, const pj_str_t *summary)
{
    static const pjsip_method notify = {PJSIP_OTHER_METHOD, {"NOTIFY", 6}};
    static const pj_str_t type = {"application", 11}, subtype = {"simple-message-summary", 22};
    pjsip_tx_data *tdata;
    pj_status_t status = make(&notify, uri, own_uri, routes, n_routes, NULL, &tdata);
    if (status != PJ_SUCCESS)
        return status;
    add_header(tdata, "Event", "message-summary");
    add_header(tdata, "Subscription-State", "terminated");
    tdata->msg->body = pjsip_msg_body_create(tdata->pool, &type, &subtype, summary);
    return pjsip_endpt_send_request(requests.endpoint, tdata, -1, NULL, NULL);
}

/* ---- connections */

static void on_transport(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info)
{
    if (state != PJSIP_TP_STATE_CONNECTED && PJSIP_TRANSPORT_IS_RELIABLE(transport) && requests.tell.on_closed) {
        char address[PJ_INET6_ADDRSTRLEN];
        agner_flow flow = {pj_sockaddr_print(&transport->key.rem_addr, address, sizeof address, 0),
                           pj_sockaddr_get_port(&transport->key.rem_addr), agner_name_of(transport)};
        if (flow.source)
            requests.tell.on_closed(&flow);
    }
    if (requests.next)
        requests.next(transport, state, info);
}

/* ---- from outside */

pj_status_t agner_requests_open(pjsip_endpoint *endpoint, const agner_listeners *listeners)
{
    pjsip_tpmgr *manager = pjsip_endpt_get_tpmgr(endpoint);
    requests.endpoint = endpoint;
    requests.tell = *listeners;
    requests.next = pjsip_tpmgr_get_state_cb(manager);
    pj_create_random_string(requests.mark, MARK_CHARS);
    requests.mark[MARK_CHARS] = 0;
    pjsip_tpmgr_set_state_cb(manager, &on_transport);
    return pjsip_endpt_register_module(endpoint, &module);
}

/* PJSIP destroys its modules with the endpoint; connections may still close until then. */
void agner_requests_close(void)
{
    requests.tell.on_closed = NULL;
    module.id = -1;
}
