/* Connections of strangers, and of phones. See connections.h. */
#include "connections.h"

void agner_end_connection(pjsip_transport *transport, pj_bool_t now)
{
    if (!PJSIP_TRANSPORT_IS_RELIABLE(transport))
        return;
    if (now)
        pjsip_transport_shutdown(transport);
    pjsip_transport_add_ref(transport);
    pjsip_transport_dec_ref(transport); /* starts the timer */
}

void agner_pong(pjsip_transport *transport)
{
    pjsip_tpselector over = {.type = PJSIP_TPSELECTOR_TRANSPORT, .u.transport = transport};
    pjsip_tpmgr_send_raw(transport->tpmgr, transport->key.type, &over, NULL, "\r\n", 2, &transport->key.rem_addr,
                         transport->addr_len, NULL, NULL);
}
