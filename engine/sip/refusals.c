/* The ring of refusals. See refusals.h. */
#include "refusals.h"

#include <pj/string.h>
#include <string.h>

/* As much as fits, and nothing that could forge a line of a log. */
static void copy(char *to, unsigned size, const pj_str_t *from)
{
    unsigned length = 0;
    for (pj_ssize_t n = 0; n < from->slen && length < size - 1; ++n)
        to[length++] = from->ptr[n] > 0x20 && from->ptr[n] < 0x7f ? from->ptr[n] : '?';
    to[length] = 0;
}

agner_refused *agner_new_refused(agner_refusals *refusals, int why)
{
    agner_refused *news = &refusals->ring[refusals->n_told++ % AGNER_N_REFUSALS];
    if (refusals->n_told - refusals->n_taken > AGNER_N_REFUSALS)
        refusals->n_taken = refusals->n_told - AGNER_N_REFUSALS;
    memset(news, 0, sizeof *news);
    news->why = why;
    return news;
}

void agner_tell_refused(agner_refusals *refusals, int why, const pjsip_rx_data *rdata)
{
    agner_refused *news = agner_new_refused(refusals, why);
    const pjsip_request_line *line = &rdata->msg_info.msg->line.req;
    pj_ansi_snprintf(news->source, sizeof news->source, "%s:%d", rdata->pkt_info.src_name, rdata->pkt_info.src_port);
    copy(news->method, sizeof news->method, &line->method.name);
    if (line->uri && (PJSIP_URI_SCHEME_IS_SIP(line->uri) || PJSIP_URI_SCHEME_IS_SIPS(line->uri)))
        copy(news->user, sizeof news->user, &((pjsip_sip_uri *)pjsip_uri_get_uri(line->uri))->user);
}

pj_bool_t agner_take_refused(agner_refusals *refusals, agner_refused *news)
{
    if (refusals->n_taken == refusals->n_told)
        return PJ_FALSE;
    *news = refusals->ring[refusals->n_taken++ % AGNER_N_REFUSALS];
    return PJ_TRUE;
}
