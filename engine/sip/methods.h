/* Requests that nobody here has a use for. PJSIP knows some of them: it would take presence, messages and news of message
 * boxes from everybody, answer 200, and keep subscriptions. Others it would leave without an answer. */
#ifndef AGNER_METHODS_H
#define AGNER_METHODS_H

#include <pjsip.h>

/* After libInit: nobody is told any more that they are known. */
pj_status_t agner_methods_open(pjsip_endpoint *);
void agner_methods_close(void);
/* PJ_TRUE: it was one of them, and was answered. */
pj_bool_t agner_refuse_unused(pjsip_rx_data *);

#endif
