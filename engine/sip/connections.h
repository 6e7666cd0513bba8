/* TCP and TLS connections: how those of strangers end, and how those of phones are kept up. */
#ifndef AGNER_CONNECTIONS_H
#define AGNER_CONNECTIONS_H

#include <pjsip.h>

/* One that has brought a whole message, which was refused: PJSIP itself would leave it open for ever. It ends `now`, or when
 * nobody has used it for PJSIP_TRANSPORT_SERVER_IDLE_TIME. Nothing for UDP. */
void agner_end_connection(pjsip_transport *, pj_bool_t now);

/* RFC 5626 section 3.5.1: two newlines between messages ask whether the connection is up, one says so. */
enum { AGNER_PING_CHARS = 4 };
void agner_pong(pjsip_transport *);

#endif
