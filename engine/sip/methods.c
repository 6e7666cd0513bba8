/* What is answered 405, 501 or 416. See methods.h. */
#include "methods.h"

#include <pj/string.h>
#include <pjsip-simple/evsub.h>
#include <pjsip-simple/evsub_msg.h>

static pj_bool_t on_leftover(pjsip_rx_data *rdata);

/* Behind everybody else: PJSIP leaves a request that no module took without an answer. */
static pjsip_module leftovers = {
    .name = {"mod-agner-leftovers", 19},
    .id = -1,
    .priority = PJSIP_MOD_PRIORITY_APPLICATION + 32,
    .on_rx_request = &on_leftover,
};

static pjsip_endpoint *endpoint;

static pj_bool_t is_unused(const pj_str_t *method)
{
    static const pj_str_t unused[] = {{"SUBSCRIBE", 9}, {"NOTIFY", 6}, {"PUBLISH", 7}, {"MESSAGE", 7}};
    for (unsigned n = 0; n < PJ_ARRAY_SIZE(unused); ++n)
        if (!pj_strcmp(method, &unused[n]))
            return PJ_TRUE;
    return PJ_FALSE;
}

static pjsip_allow_hdr *allowed(void)
{
    return (pjsip_allow_hdr *)pjsip_endpt_get_capability(endpoint, PJSIP_H_ALLOW, NULL);
}

/* PJSIP's own headers, copied into what it sends; it has no verb that takes a value back. */
static void disallow_unused(void)
{
    pjsip_allow_hdr *allow = allowed();
    pjsip_allow_events_hdr *events = (pjsip_allow_events_hdr *)pjsip_evsub_get_allow_events_hdr(NULL);
    unsigned n_kept = 0;
    for (unsigned n = 0; allow && n < allow->count; ++n)
        if (!is_unused(&allow->values[n]))
            allow->values[n_kept++] = allow->values[n];
    if (allow)
        allow->count = n_kept;
    if (events) { /* of a REFER, the only subscription there is (RFC 3515) */
        events->values[0] = pj_str("refer");
        events->count = 1;
    }
}

/* Nobody answers an ACK (RFC 3261 section 17.1.1.3). */
static void answer(pjsip_rx_data *rdata, int status)
{
    pjsip_allow_hdr *allow = allowed();
    pjsip_hdr list;
    pj_list_init(&list);
    if (allow && status == PJSIP_SC_METHOD_NOT_ALLOWED)
        pj_list_push_back(&list, pjsip_hdr_clone(rdata->tp_info.pool, allow)); /* RFC 3261 section 21.4.6 */
    if (rdata->msg_info.msg->line.req.method.id != PJSIP_ACK_METHOD)
        pjsip_endpt_respond_stateless(endpoint, rdata, status, NULL, &list, NULL);
}

static pj_bool_t on_leftover(pjsip_rx_data *rdata)
{
    const pjsip_request_line *line = &rdata->msg_info.msg->line.req;
    if (!PJSIP_URI_SCHEME_IS_SIP(line->uri) && !PJSIP_URI_SCHEME_IS_SIPS(line->uri) && !PJSIP_URI_SCHEME_IS_TEL(line->uri))
        answer(rdata, PJSIP_SC_UNSUPPORTED_URI_SCHEME); /* RFC 3261 section 8.2.2.1 */
    else if (line->method.id == PJSIP_OTHER_METHOD)
        answer(rdata, PJSIP_SC_NOT_IMPLEMENTED);
    else
        answer(rdata, PJSIP_SC_METHOD_NOT_ALLOWED);
    return PJ_TRUE;
}

/* ---- from outside */

pj_status_t agner_methods_open(pjsip_endpoint *of)
{
    endpoint = of;
    disallow_unused();
    return pjsip_endpt_register_module(of, &leftovers);
}

void agner_methods_close(void)
{
    leftovers.id = -1;
}

pj_bool_t agner_refuse_unused(pjsip_rx_data *rdata)
{
    if (!is_unused(&rdata->msg_info.msg->line.req.method.name))
        return PJ_FALSE;
    answer(rdata, PJSIP_SC_METHOD_NOT_ALLOWED);
    return PJ_TRUE;
}
