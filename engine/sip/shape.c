/* What a message must look like before anybody else sees it. See shape.h. */
#define _GNU_SOURCE /* memmem */
#include "shape.h"

#include <pj/string.h>
#include <string.h>

/* Lines of a body that begin so. Multipart or not, this sees what the parsers would take apart. */
static unsigned count_lines(const char *text, const char *end, const char *start)
{
    size_t length = strlen(start);
    unsigned n = 0;
    while (text && text < end) {
        if ((size_t)(end - text) >= length && !pj_ansi_strnicmp(text, start, length))
            ++n;
        text = memchr(text, '\n', end - text);
        text = text ? text + 1 : NULL;
    }
    return n;
}

pj_bool_t agner_is_absurd(const pjsip_rx_data *rdata, const agner_shape *most)
{
    const pjsip_msg *msg = rdata->msg_info.msg;
    const char *text = rdata->msg_info.msg_buf, *end = text + rdata->msg_info.len;
    unsigned n_headers = 0;
    for (const pjsip_hdr *header = msg->hdr.next; header != &msg->hdr; header = header->next)
        if (++n_headers > most->max_headers)
            return PJ_TRUE;
    if (!msg->body)
        return PJ_FALSE;
    return count_lines(text, end, "m=") > most->max_media ||
           count_lines(text, end, "a=crypto:") > most->max_crypto ||
           count_lines(text, end, "--") > most->max_parts;
}

pj_bool_t agner_is_answerable(const pjsip_rx_data *rdata)
{
    return rdata->msg_info.msg && rdata->msg_info.msg->type == PJSIP_REQUEST_MSG && rdata->msg_info.via &&
           rdata->msg_info.from && rdata->msg_info.to && rdata->msg_info.cid && rdata->msg_info.cseq;
}

static int body_length(const pjsip_rx_data *rdata)
{
    const char *text = rdata->msg_info.msg_buf, *end = text + rdata->msg_info.len;
    const char *blank = memmem(text, end - text, "\r\n\r\n", 4);
    return blank ? (int)(end - blank - 4) : 0;
}

/* What PJSIP's parser lets pass and RFC 3261 does not: a header twice that may stand once (section 7.3.1), a CSeq of
 * another method (8.1.1.5), a datagram shorter than its Content-Length (18.3). */
pj_bool_t agner_is_inconsistent(const pjsip_rx_data *rdata)
{
    const pjsip_msg *msg = rdata->msg_info.msg;
    unsigned seen = 0;
    for (const pjsip_hdr *header = msg->hdr.next; header != &msg->hdr; header = header->next) {
        unsigned bit;
        switch (header->type) {
        case PJSIP_H_CALL_ID:
        case PJSIP_H_CSEQ:
        case PJSIP_H_FROM:
        case PJSIP_H_TO:
        case PJSIP_H_MAX_FORWARDS:
        case PJSIP_H_CONTENT_LENGTH:
        case PJSIP_H_CONTENT_TYPE:
            bit = 1u << (header->type % 32);
            if (seen & bit)
                return PJ_TRUE;
            seen |= bit;
            break;
        default:
            break;
        }
    }
    if (pjsip_method_cmp(&msg->line.req.method, &rdata->msg_info.cseq->method))
        return PJ_TRUE;
    return rdata->msg_info.clen && (rdata->tp_info.transport->flag & PJSIP_TRANSPORT_DATAGRAM) &&
           rdata->msg_info.clen->len > body_length(rdata);
}

/* Extensions that a request needs and nobody here has (section 8.2.2.3); INVITE is looked at by PJSIP itself. */
pj_bool_t agner_needs_unknown(pjsip_endpoint *endpoint, pjsip_rx_data *rdata, pjsip_unsupported_hdr **unknown)
{
    const pjsip_require_hdr *require = rdata->msg_info.require;
    pjsip_method_e method = rdata->msg_info.msg->line.req.method.id;
    *unknown = NULL;
    if (!require || method == PJSIP_INVITE_METHOD || method == PJSIP_ACK_METHOD || method == PJSIP_CANCEL_METHOD)
        return PJ_FALSE;
    for (unsigned n = 0; n < require->count; ++n) {
        if (pjsip_endpt_has_capability(endpoint, PJSIP_H_SUPPORTED, NULL, &require->values[n]))
            continue;
        if (!*unknown)
            *unknown = pjsip_unsupported_hdr_create(rdata->tp_info.pool);
        (*unknown)->values[(*unknown)->count++] = require->values[n];
    }
    return *unknown != NULL;
}

pj_bool_t agner_is_repeated(pjsip_rx_data *rdata)
{
    pj_str_t key;
    if (pjsip_tsx_create_key(rdata->tp_info.pool, &key, PJSIP_ROLE_UAS, &rdata->msg_info.cseq->method, rdata) !=
        PJ_SUCCESS)
        return PJ_FALSE;
    return pjsip_tsx_layer_find_tsx(&key, PJ_FALSE) != NULL;
}
