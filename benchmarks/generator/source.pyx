# cython: language_level=3
"""RtpSource: the Python face of rtp_source.h. Nothing here runs per packet; source.pyi is the contract."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

import ipaddress
import os

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)
    int AF_INET

cdef extern from "rtp_source.h" nogil:
    enum:
        RTP_BUCKETS
        RTP_BUCKET_US

    struct sequence:
        uint32_t lost "n_lost"
        uint32_t duplicate "n_duplicate"
        uint32_t out_of_order "n_out_of_order"

    struct rtp_result:
        uint32_t id, n_sent
        uint16_t last_sent, last_heard
        uint32_t n_received, n_stamped, n_before, n_hole, n_after, n_silent, n_other, n_crossed, n_moved, n_lost_early, n_late, n_wire_late, n_ssrc, heard
        int64_t first_packet_ns, first_stamp_ns, last_stamp_ns, latency_min_us, latency_max_us
        uint32_t jitter_us, sent_jitter_us
        sequence wire, stamps

    struct rtp_totals:
        uint64_t n_sent, n_received, n_rtcp, n_stray, n_send_errors, n_dropped, n_ticks, n_late_ticks, longest_stall_ms
        uint32_t n_open

    struct rtp_source:
        pass

    rtp_source *rtp_create(uint32_t max_streams)
    int rtp_add_socket(rtp_source *source, in_addr address, uint16_t port, int side)
    int rtp_start(rtp_source *source)
    void rtp_stop(rtp_source *source)
    void rtp_destroy(rtp_source *source)
    int rtp_open(rtp_source *source, uint32_t id, int socket, sockaddr_in to, int law, uint32_t remote_ssrc)
    void rtp_close(rtp_source *source, int slot)
    int rtp_press(rtp_source *source, int slot, int event, int payload)
    int rtp_collect(rtp_source *source, rtp_result *results, int n_max)
    void rtp_read_totals(rtp_source *source, rtp_totals *totals)
    void rtp_read_latencies(rtp_source *source, int side, uint64_t *buckets)
    int rtp_thread_id(const rtp_source *source)

BUCKET_S = RTP_BUCKET_US / 1e6
KEYS = "0123456789*#ABCD"  # RFC 4733 section 3.2: the place is the event


cdef uint32_t _address(str ip) except? 0:
    return htonl(int(ipaddress.IPv4Address(ip)))


cdef int _checked(int code, str what) except -1:
    if code < 0:
        raise OSError(-code, f"{what}: {os.strerror(-code)}")
    return code


cdef class RtpSource:
    cdef rtp_source *_source

    def __cinit__(self, uint32_t max_streams=8192):
        self._source = rtp_create(max_streams)
        if self._source is NULL:
            raise MemoryError

    def __dealloc__(self):
        if self._source is not NULL:
            rtp_destroy(self._source)

    def add_socket(self, str ip, uint16_t port, int side):
        cdef in_addr address
        address.s_addr = _address(ip)
        return _checked(rtp_add_socket(self._source, address, port, side), f"RTP port {ip}:{port}")

    def start(self):
        _checked(rtp_start(self._source), "RTP thread")

    def stop(self):
        with nogil:
            rtp_stop(self._source)

    def open(self, uint32_t id, int socket, str ip, uint16_t port, int law, uint32_t remote_ssrc=0):
        cdef sockaddr_in to
        memset(&to, 0, sizeof(to))
        to.sin_family = AF_INET
        to.sin_port = htons(port)
        to.sin_addr.s_addr = _address(ip)
        return _checked(rtp_open(self._source, id, socket, to, law, remote_ssrc), f"stream to {ip}:{port}")

    def close(self, int slot):
        rtp_close(self._source, slot)

    def press(self, int slot, str key, int payload):
        event = KEYS.find(key)
        if event < 0 or len(key) != 1:
            raise ValueError(f"no key of a telephone: {key!r}")
        _checked(rtp_press(self._source, slot, event, payload), f"key {key}")

    def collect(self):
        cdef rtp_result results[64]
        cdef int n = 64, i
        gathered = []
        while n == 64:
            n = rtp_collect(self._source, results, 64)
            for i in range(n):
                gathered.append(results[i])
        return gathered

    def totals(self):
        cdef rtp_totals totals
        rtp_read_totals(self._source, &totals)
        return totals

    def latencies(self, int side):
        cdef uint64_t buckets[RTP_BUCKETS]
        rtp_read_latencies(self._source, side, buckets)
        return [buckets[i] for i in range(RTP_BUCKETS)]

    def thread_id(self):
        return rtp_thread_id(self._source)
