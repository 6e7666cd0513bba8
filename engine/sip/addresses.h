/* Addresses as the gate counts them: 16 bytes, IPv4 as ::ffff:a.b.c.d. Counterparts: gate_module.c; sources.h, the key. */
#ifndef AGNER_ADDRESSES_H
#define AGNER_ADDRESSES_H

#include <pjlib.h>

#include "sources.h"

void agner_bytes_of(const pj_sockaddr *address, unsigned char bytes[16]);
agner_source_key agner_key_of(const unsigned char bytes[16]);
/* PJ_FALSE: not an IP address. */
pj_bool_t agner_parse_key(const char *address, agner_source_key *key);
pj_bool_t agner_lies_in(const unsigned char bytes[16], const unsigned char network[16], unsigned n_bits);
/* What a dialog remembers of its far side: its address, in the room of a pointer. Never NULL. */
void *agner_mark_of(const unsigned char bytes[16]);

#endif
