# cython: language_level=3
"""pjsua's slots of calls, and its pools of memory. The contract is slots.pyi."""

cdef extern from "<pjsua-lib/pjsua.h>" nogil:
    ctypedef struct pj_str_t:
        char *ptr
        Py_ssize_t slen
    ctypedef struct pjsip_cid_hdr:
        pj_str_t id
    ctypedef struct pjsip_dialog:
        pjsip_cid_hdr *call_id
    ctypedef struct pjsip_inv_session:
        pjsip_dialog *dlg
    ctypedef struct pj_caching_pool:
        size_t used_count
    int PJSUA_MAX_CALLS, PJ_TRUE, PJSIP_SC_REQUEST_TIMEOUT
    int pjsip_inv_terminate(pjsip_inv_session *, int, int)

cdef extern from "<pjsua-lib/pjsua_internal.h>" nogil:
    ctypedef struct pjsua_call:
        pjsip_inv_session *inv
    struct pjsua_data:
        pjsua_call *calls
        pj_caching_pool cp
    pjsua_data pjsua_var


cdef pjsip_inv_session *session_in(int slot):
    return pjsua_var.calls[slot].inv if 0 <= slot < PJSUA_MAX_CALLS else NULL


def call_id(int slot):
    cdef pjsip_inv_session *session = session_in(slot)
    return b"" if session == NULL else session.dlg.call_id.id.ptr[:session.dlg.call_id.id.slen]


def vacate(int slot, bytes whose):
    if whose and call_id(slot) == whose:
        pjsip_inv_terminate(session_in(slot), PJSIP_SC_REQUEST_TIMEOUT, PJ_TRUE)


def n_pools():
    return pjsua_var.cp.used_count
