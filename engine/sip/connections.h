/* TCP and TLS connections of strangers. */
#ifndef AGNER_CONNECTIONS_H
#define AGNER_CONNECTIONS_H

#include <pjsip.h>

/* One that has brought a whole message, which was refused: PJSIP itself would leave it open for ever. It ends `now`, or when
 * nobody has used it for PJSIP_TRANSPORT_SERVER_IDLE_TIME. Nothing for UDP. */
void agner_end_connection(pjsip_transport *, pj_bool_t now);

#endif
