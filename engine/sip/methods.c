/* What is answered 405. See methods.h. */
#include "methods.h"

#include <pj/string.h>
#include <pjsip-simple/evsub.h>
#include <pjsip-simple/evsub_msg.h>

static pj_bool_t is_unused(const pj_str_t *method)
{
    static const pj_str_t unused[] = {{"SUBSCRIBE", 9}, {"NOTIFY", 6}, {"PUBLISH", 7}, {"MESSAGE", 7}};
    for (unsigned n = 0; n < PJ_ARRAY_SIZE(unused); ++n)
        if (!pj_strcmp(method, &unused[n]))
            return PJ_TRUE;
    return PJ_FALSE;
}

pj_bool_t agner_is_unused(const pjsip_rx_data *rdata)
{
    return is_unused(&rdata->msg_info.msg->line.req.method.name);
}

/* PJSIP's own header, copied into what it sends; it has no verb that takes a value back. */
void agner_disallow_unused(pjsip_endpoint *endpoint)
{
    pjsip_allow_hdr *allow = (pjsip_allow_hdr *)pjsip_endpt_get_capability(endpoint, PJSIP_H_ALLOW, NULL);
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

pjsip_hdr *agner_allow(pjsip_endpoint *endpoint, pj_pool_t *pool)
{
    const pjsip_hdr *allow = pjsip_endpt_get_capability(endpoint, PJSIP_H_ALLOW, NULL);
    return allow ? pjsip_hdr_clone(pool, allow) : NULL;
}
