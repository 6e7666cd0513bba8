/* Requests that were answered, for whoever sends them again within 32 s (RFC 3261 timers J and H): a BYE by UDP gets the
 * answer of before, an INVITE that became a call is no second one. PJSIP keeps a transaction for that, and with it its whole
 * dialog, 25 kB and more; the answer alone is half a kB. pjsip/patches/invite-end.patch lets PJSIP forget its INVITEs. */
#ifndef AGNER_REPEATS_H
#define AGNER_REPEATS_H

#include <pjsip.h>

/* After libInit and unheard.leave_out(): pjsua's on_call_tsx_state has then one more listener. */
void agner_repeats_open(pjsip_endpoint *);
void agner_repeats_close(void);
/* PJ_TRUE: it is one of them, and needs nothing more. */
pj_bool_t agner_take_repeat(pjsip_rx_data *);

#endif
