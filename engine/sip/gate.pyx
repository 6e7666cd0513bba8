# cython: language_level=3
"""The Python face of gate_module.c and sources.c. Its contract is gate.pyi."""

import os
import socket
from collections import namedtuple
from ipaddress import IPv6Network, ip_network

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from engine.callflow.errors import SipError

cdef extern from "sources.h" nogil:
    ctypedef struct agner_source_key:
        uint64_t high, low
    ctypedef struct agner_source_rules:
        double per_s, burst, window_s, ban_s
        unsigned ban_after
    ctypedef struct agner_source:
        agner_source_key key
        unsigned n_dropped
        double banned_until_s
    ctypedef struct agner_sources:
        pass
    agner_sources *agner_sources_create(unsigned, const agner_source_rules *, uint64_t)
    void agner_sources_destroy(agner_sources *)
    int agner_sources_refuse(agner_sources *, agner_source_key, double)
    int agner_sources_admit(agner_sources *, agner_source_key, double)
    unsigned agner_sources_bans(const agner_sources *, double, agner_source *, unsigned)
    int agner_sources_lift(agner_sources *, agner_source_key, double)
    int agner_sources_is_banned(agner_sources *, agner_source_key, double)
    unsigned agner_sources_size(const agner_sources *)

cdef extern from "shape.h" nogil:
    ctypedef struct agner_shape:
        unsigned max_headers, max_media, max_crypto, max_parts

cdef extern from "addresses.h" nogil:
    int agner_parse_key(const char *, agner_source_key *)

cdef extern from "gate_module.h" nogil:
    int AGNER_PHONES, AGNER_N_COUNTS
    ctypedef struct pjsip_endpoint:
        pass
    ctypedef struct agner_network:
        unsigned char address[16]
        unsigned n_bits
        int group
    ctypedef struct agner_gate_rules:
        agner_source_rules source
        unsigned n_sources
        agner_shape shape
        int tells_strangers
        double strangers_per_s
        int (*is_phone)(const char *, int, const char *) noexcept
    ctypedef struct agner_refused:
        int why
        char source[64]
        char method[16]
        char user[32]
    int agner_gate_open(pjsip_endpoint *, const agner_gate_rules *, uint64_t)
    void agner_gate_close()
    int agner_gate_set_networks(const agner_network *, unsigned)
    void agner_gate_set_rate(int, double)
    void agner_gate_set_overload(unsigned, double)
    int agner_gate_take_news(agner_refused *)
    const unsigned long long *agner_gate_counts()
    agner_sources *agner_gate_strangers()
    agner_sources *agner_gate_logins()
    void agner_gate_take_registers(int)
    void agner_gate_login_failed(agner_source_key, const char *)
    void agner_gate_login_succeeded(agner_source_key)
    double agner_gate_now()

cdef extern from "<pjsua-lib/pjsua.h>" nogil:
    pjsip_endpoint *pjsua_get_pjsip_endpt()

COUNTS = (
    "passed", "garbage", "absurd", "unknown", "banned", "bans", "foreign", "too_fast", "overloaded"
)
PHONES = AGNER_PHONES
Refused = namedtuple("Refused", "why source method user")
Ban = namedtuple("Ban", "source left_s n_dropped")
cdef object known_flows = ()
_VERDICTS = ("answer", "silence", "banned")
DEF MOST_BANS = 65536


def open(*, burst, per_s, ban_after, window_s, ban_s, n_sources, tells_strangers, strangers_per_s, max_headers,
         max_media, max_crypto, max_parts):
    assert len(COUNTS) == AGNER_N_COUNTS
    cdef agner_gate_rules rules
    rules.source = _rules(burst, per_s, ban_after, window_s, ban_s)
    rules.n_sources, rules.tells_strangers, rules.strangers_per_s = n_sources, tells_strangers, strangers_per_s
    rules.is_phone = is_phone
    rules.shape.max_headers, rules.shape.max_media = max_headers, max_media
    rules.shape.max_crypto, rules.shape.max_parts = max_crypto, max_parts
    cdef int status = agner_gate_open(pjsua_get_pjsip_endpt(), &rules, _secret())
    if status:
        raise SipError(f"the gate cannot be put in front of PJSIP (status {status})")


def close():
    global known_flows
    agner_gate_close()
    known_flows = ()


def set_networks(networks):
    cdef agner_network *copies = <agner_network *>calloc(len(networks) or 1, sizeof(agner_network))
    cdef unsigned n = 0
    if copies == NULL:
        raise MemoryError
    try:
        for text, group in networks:
            network = ip_network(text, strict=False)
            packed = network.network_address.packed
            if not isinstance(network, IPv6Network):
                packed = b"\0" * 10 + b"\xff\xff" + packed
            memcpy(copies[n].address, <const char *>packed, 16)
            copies[n].n_bits = network.prefixlen + 128 - network.max_prefixlen
            copies[n].group = group
            n += 1
        if agner_gate_set_networks(copies, n):
            raise SipError("no memory for the known networks")
    finally:
        free(copies)


def set_rate(int group, double calls_per_s):
    agner_gate_set_rate(group, calls_per_s)


def set_overload(unsigned retry_after_s, double calls_per_s):
    agner_gate_set_overload(retry_after_s, calls_per_s)


def take_registers(takes):
    agner_gate_take_registers(takes)


def know_phones(flows):
    global known_flows
    known_flows = flows


cdef int is_phone(const char *source, int port, const char *transport) noexcept with gil:
    return bool(known_flows) and (source.decode(), port, transport.decode()) in known_flows


def login_failed(source):
    text = source.encode()
    agner_gate_login_failed(_key(source), text)


def is_banned_from_logins(source):
    return bool(agner_sources_is_banned(agner_gate_logins(), _key(source), agner_gate_now()))


def login_succeeded(source):
    agner_gate_login_succeeded(_key(source))


def counts():
    cdef const unsigned long long *now = agner_gate_counts()
    return {name: now[n] for n, name in enumerate(COUNTS)}


def take_news():
    cdef agner_refused news
    found = []
    while agner_gate_take_news(&news):
        found.append(Refused(COUNTS[news.why], news.source.decode(), news.method.decode(), news.user.decode()))
    return found


def bans():
    now = agner_gate_now()
    return _bans(agner_gate_strangers(), now) + _bans(agner_gate_logins(), now)


def lift(source):
    cdef agner_source_key key = _key(source)
    now = agner_gate_now()
    n_lifted = agner_sources_lift(agner_gate_strangers(), key, now) + agner_sources_lift(agner_gate_logins(), key, now)
    return n_lifted > 0


cdef class Sources:
    cdef agner_sources *table

    def __cinit__(self, unsigned n_sources, *, burst, per_s, ban_after, window_s, ban_s):
        cdef agner_source_rules rules = _rules(burst, per_s, ban_after, window_s, ban_s)
        self.table = agner_sources_create(n_sources, &rules, _secret())
        if self.table == NULL:
            raise MemoryError

    def __dealloc__(self):
        agner_sources_destroy(self.table)

    @property
    def size(self):
        return agner_sources_size(self.table)

    def refuse(self, source, double now):
        return _VERDICTS[agner_sources_refuse(self.table, _key(source), now)]

    def admit(self, source, double now):
        return bool(agner_sources_admit(self.table, _key(source), now))

    def bans(self, double now):
        return _bans(self.table, now)

    def lift(self, source, double now):
        return bool(agner_sources_lift(self.table, _key(source), now))


cdef agner_source_rules _rules(burst, per_s, ban_after, window_s, ban_s):
    cdef agner_source_rules rules
    rules.burst, rules.per_s = burst, per_s
    rules.ban_after, rules.window_s, rules.ban_s = ban_after, window_s, ban_s
    return rules


cdef uint64_t _secret():
    return int.from_bytes(os.urandom(8), "little")


cdef agner_source_key _key(source) except *:
    cdef agner_source_key key
    text = source.partition("/")[0].encode()
    if not agner_parse_key(text, &key):
        raise ValueError(f"{source!r} is not an IP address")
    return key


cdef list _bans(agner_sources *table, double now):
    cdef agner_source *found = <agner_source *>calloc(MOST_BANS, sizeof(agner_source))
    if found == NULL:
        raise MemoryError
    try:
        n = agner_sources_bans(table, now, found, MOST_BANS)
        return [Ban(_text(found[i].key), found[i].banned_until_s - now, found[i].n_dropped) for i in range(n)]
    finally:
        free(found)


cdef _text(agner_source_key key):
    if not key.high and key.low:  # else it is ::/64
        return socket.inet_ntop(socket.AF_INET, int(key.low & 0xffffffff).to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, int(key.high).to_bytes(8, "big") + bytes(8)) + "/64"
