/* The shape of SIP messages: what PJSIP's parser takes and a switch should not. Counterparts: gate_module.c
 * and requests_module.c, which ask. */
#ifndef AGNER_SHAPE_H
#define AGNER_SHAPE_H

#include <pjsip.h>

/* More of these in one message is absurd. */
typedef struct agner_shape {
    unsigned max_headers, max_media, max_crypto, max_parts;
} agner_shape;

pj_bool_t agner_is_absurd(const pjsip_rx_data *, const agner_shape *most);
/* It contradicts itself: 400. */
pj_bool_t agner_is_inconsistent(const pjsip_rx_data *);
/* It requires an extension that is not there: 420, with the header to send back. */
pj_bool_t agner_needs_unknown(pjsip_endpoint *, pjsip_rx_data *, pjsip_unsupported_hdr **unknown);
/* Of what does not parse: enough of it did to answer it. */
pj_bool_t agner_is_answerable(const pjsip_rx_data *);
/* It was sent before: PJSIP's transaction layer knows it. */
pj_bool_t agner_is_repeated(pjsip_rx_data *);

#endif
