/* How a transport is called where a phone's REGISTER and its calls are compared. Counterpart: Flow in registrar.py. */
#ifndef AGNER_TRANSPORTS_H
#define AGNER_TRANSPORTS_H

#include <pjsip.h>

static inline const char *agner_name_of(const pjsip_transport *transport)
{
    if (transport->flag & PJSIP_TRANSPORT_SECURE)
        return "tls";
    return PJSIP_TRANSPORT_IS_RELIABLE(transport) ? "tcp" : "udp";
}

#endif
