/* Addresses as the gate counts them. See addresses.h. */
#include "addresses.h"

#include <arpa/inet.h>
#include <string.h>

void agner_bytes_of(const pj_sockaddr *address, unsigned char bytes[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (address->addr.sa_family == pj_AF_INET6()) {
        memcpy(bytes, pj_sockaddr_get_addr(address), 16);
    } else {
        memcpy(bytes, mapped, 12);
        memcpy(bytes + 12, pj_sockaddr_get_addr(address), 4);
    }
}

static uint64_t word(const unsigned char *bytes)
{
    uint64_t all = 0;
    for (int n = 0; n < 8; ++n)
        all = all << 8 | bytes[n];
    return all;
}

agner_source_key agner_key_of(const unsigned char bytes[16])
{
    agner_source_key key = {word(bytes), word(bytes + 8)};
    if (key.high || key.low >> 32 != 0xffff)
        key.low = 0; /* IPv6 counts by /64 */
    return key;
}

pj_bool_t agner_parse_key(const char *address, agner_source_key *key)
{
    unsigned char bytes[16] = {[10] = 0xff, [11] = 0xff};
    pj_bool_t is_v6 = strchr(address, ':') != NULL;
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, address, is_v6 ? bytes : bytes + 12) != 1)
        return PJ_FALSE;
    *key = agner_key_of(bytes);
    return PJ_TRUE;
}

pj_bool_t agner_lies_in(const unsigned char bytes[16], const unsigned char network[16], unsigned n_bits)
{
    unsigned whole = n_bits / 8, rest = n_bits % 8;
    if (memcmp(bytes, network, whole))
        return PJ_FALSE;
    return !rest || !((bytes[whole] ^ network[whole]) >> (8 - rest));
}

void *agner_mark_of(const unsigned char bytes[16])
{
    return (void *)(uintptr_t)((word(bytes) * UINT64_C(0x9e3779b97f4a7c15) ^ word(bytes + 8)) | 1);
}
