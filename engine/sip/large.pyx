# cython: language_level=3
"""Which servers take large requests by TCP. The contract is large.pyi."""

import socket

from libc.string cimport memcmp, memcpy

cdef extern from "<pjsip.h>" nogil:
    ctypedef int pj_bool_t
    ctypedef union pj_sockaddr:
        pass

cdef extern from "addresses.h" nogil:
    void agner_bytes_of(const pj_sockaddr *, unsigned char *)

cdef extern from "<pjsip/sip_util.h>" nogil:
    pj_bool_t (*pjsip_takes_tcp)(const pj_sockaddr *) noexcept

DEF MOST = 1024
cdef unsigned char servers[MOST][16]
cdef unsigned n_servers = 0


cdef pj_bool_t takes_tcp(const pj_sockaddr *address) noexcept nogil:
    cdef unsigned char wanted[16]
    cdef unsigned n
    agner_bytes_of(address, wanted)
    for n in range(n_servers):
        if not memcmp(servers[n], wanted, 16):
            return 1
    return 0


def go_by_tcp(addresses):
    global n_servers, pjsip_takes_tcp
    cdef bytes packed
    n_servers = 0
    for address in list(addresses)[:MOST]:
        if ":" in address:
            packed = socket.inet_pton(socket.AF_INET6, address)
        else:
            packed = bytes(10) + b"\xff\xff" + socket.inet_aton(address)
        memcpy(servers[n_servers], <const unsigned char *>packed, 16)
        n_servers += 1
    pjsip_takes_tcp = &takes_tcp
