# cython: language_level=3
"""pjsua's on_rejected_incoming_call as a Python callable; and the account that calls in belong to. The contract is turned_away.pyi."""

import logging
import time

cdef extern from "<string.h>" nogil:
    void *memmem(const void *, size_t, const void *, size_t)
    char *strchr(const char *, int)

cdef extern from "<pjsua-lib/pjsua.h>" nogil:
    ctypedef struct pkt_info_t "struct { char src_name[46]; int src_port; }":
        char src_name[46]
        int src_port
    ctypedef struct pj_str_t:
        char *ptr
        ssize_t slen
    ctypedef struct pjsip_via_hdr:
        pj_str_t branch_param
    ctypedef struct pjsip_cid_hdr:
        pj_str_t id
    ctypedef struct msg_info_t "struct { char *msg_buf; int len; }":
        char *msg_buf
        int len
        pjsip_via_hdr *via
        pjsip_cid_hdr *cid
    ctypedef struct pjsip_rx_data:
        pkt_info_t pkt_info
        msg_info_t msg_info
    ctypedef struct pjsua_on_rejected_incoming_call_param:
        int st_code
        pjsip_rx_data *rdata
    ctypedef void (*pjsua_on_rejected_incoming_call_cb)(const pjsua_on_rejected_incoming_call_param *) noexcept
    ctypedef int pjsua_acc_id
    ctypedef void (*pjsua_on_acc_find_for_incoming_cb)(const pjsip_rx_data *, pjsua_acc_id *) noexcept
    ctypedef struct pjsua_callback:
        pjsua_on_rejected_incoming_call_cb on_rejected_incoming_call
        pjsua_on_acc_find_for_incoming_cb on_acc_find_for_incoming
    ctypedef struct pjsua_config:
        pjsua_callback cb

cdef extern from "<pjsua-lib/pjsua_internal.h>" nogil:
    struct pjsua_data:
        pjsua_config ua_cfg
        pjsua_acc_id default_acc
    pjsua_data pjsua_var

DEF MOST = 65536
DEF REPEATED_S = 32.0  # timer B of the caller's transaction (RFC 3261 section 17.1.1.2)

cdef object told = None
cdef dict refused = {}  # Call-ID and branch of an INVITE -> when it came first, the oldest first
cdef pjsua_acc_id other_account = -1  # of the family of addresses that is not the default account's
cdef bint other_is_v6 = False


cdef void on_rejected(const pjsua_on_rejected_incoming_call_param *param) noexcept with gil:
    if told is None or param.rdata == NULL:
        return
    try:
        if is_repeated(param.rdata):
            return
        host = (<bytes>param.rdata.pkt_info.src_name).decode()
        source = f"[{host}]:{param.rdata.pkt_info.src_port}" if ":" in host else f"{host}:{param.rdata.pkt_info.src_port}"
        message = param.rdata.msg_info.msg_buf[:param.rdata.msg_info.len].decode(errors="replace")
        told(source, message, param.st_code)
    except Exception:
        logging.getLogger(__name__).exception("an INVITE that PJSIP refused")


cdef bint is_repeated(pjsip_rx_data *rdata):
    """PJSIP answers without a transaction, so whoever does not hear the answer in time brings the same INVITE again."""
    cdef pj_str_t call_id = rdata.msg_info.cid.id, branch = rdata.msg_info.via.branch_param
    cdef double now = time.monotonic()
    cdef tuple key = (call_id.ptr[:call_id.slen], branch.ptr[:branch.slen])
    while refused and (len(refused) >= MOST or next(iter(refused.values())) < now - REPEATED_S):
        del refused[next(iter(refused))]
    return refused.setdefault(key, now) != now


cdef bint has(const pjsip_rx_data *rdata, const char *line, size_t n) noexcept nogil:
    return memmem(rdata.msg_info.msg_buf, rdata.msg_info.len, line, n) != NULL


cdef bint wants_v6(const pjsip_rx_data *rdata) noexcept nogil:
    """Its audio, by the SDP; without one, as its signalling."""
    if has(rdata, b"\nc=IN IP4", 9):
        return False
    return has(rdata, b"\nc=IN IP6", 9) or strchr(rdata.pkt_info.src_name, c":") != NULL


cdef void take_default(const pjsip_rx_data *rdata, pjsua_acc_id *account) noexcept nogil:
    cdef bint is_other = other_account >= 0 and wants_v6(rdata) == other_is_v6
    account[0] = other_account if is_other else pjsua_var.default_acc


def listen(heard):
    global told, other_account
    told, other_account = heard, -1
    pjsua_var.ua_cfg.cb.on_rejected_incoming_call = &on_rejected
    pjsua_var.ua_cfg.cb.on_acc_find_for_incoming = &take_default


def take_by(pjsua_acc_id account, bint is_v6):
    global other_account, other_is_v6
    other_account, other_is_v6 = account, is_v6


def forget():
    global told, other_account
    told, other_account = None, -1
    refused.clear()
