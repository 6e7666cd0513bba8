/* Methods that PJSIP knows and nobody here has a use for: it would take presence, messages and news of message boxes from
 * everybody, answer 200, and keep subscriptions. */
#ifndef AGNER_METHODS_H
#define AGNER_METHODS_H

#include <pjsip.h>

pj_bool_t agner_is_unused(const pjsip_rx_data *);
/* From now on nobody is told that they are known. After libInit. */
void agner_disallow_unused(pjsip_endpoint *);
/* The Allow of a 405 (RFC 3261 section 21.4.6). */
pjsip_hdr *agner_allow(pjsip_endpoint *, pj_pool_t *);

#endif
