/* Connections of strangers. See connections.h. */
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
