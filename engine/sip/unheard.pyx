# cython: language_level=3
"""pjsua's callbacks without those that nobody hears. The contract is unheard.pyi."""

from libc.string cimport memset

cdef extern from "<pjsua-lib/pjsua.h>" nogil:
    ctypedef int pjsua_call_id
    ctypedef struct pjsip_transaction:
        pass
    ctypedef struct pjsip_event:
        pass
    ctypedef struct pjsua_call_setting:
        unsigned flag

ctypedef void (*on_call_state_cb)(pjsua_call_id, pjsip_event *) noexcept nogil
ctypedef void (*on_call_tsx_state_cb)(pjsua_call_id, pjsip_transaction *, pjsip_event *) noexcept nogil

cdef extern from "<pjsua-lib/pjsua.h>" nogil:
    ctypedef struct pjsua_callback:
        on_call_state_cb on_call_state
        on_call_tsx_state_cb on_call_tsx_state
        void *on_call_sdp_created
        void *on_stream_precreate
        void *on_stream_destroyed
        void *on_call_media_transport_state
        void *on_call_media_event
    ctypedef struct pjsua_config:
        pjsua_callback cb

cdef extern from "<pjsua-lib/pjsua_internal.h>" nogil:
    ctypedef struct pjsua_call:
        pjsua_call_setting opt
    struct pjsua_data:
        pjsua_config ua_cfg
        pjsua_call *calls
    pjsua_data pjsua_var

cdef extern from "<pjmedia/event.h>" nogil:
    ctypedef struct pjmedia_event_mgr:
        pass
    pjmedia_event_mgr *pjmedia_event_mgr_instance()
    void pjmedia_event_mgr_set_instance(pjmedia_event_mgr *)

HEARS_MESSAGES = 1 << 29
cdef unsigned hears_messages = HEARS_MESSAGES

cdef on_call_state_cb tell_state = NULL
cdef on_call_tsx_state_cb tell_transaction = NULL
cdef pjmedia_event_mgr *media_events = NULL


cdef bint hears(pjsua_call_id call) noexcept nogil:
    return (pjsua_var.calls[call].opt.flag & hears_messages) != 0


cdef void on_call_state(pjsua_call_id call, pjsip_event *event) noexcept nogil:
    cdef pjsip_event nothing
    memset(&nothing, 0, sizeof(nothing))
    tell_state(call, event if hears(call) else &nothing)


cdef void on_call_tsx_state(pjsua_call_id call, pjsip_transaction *transaction, pjsip_event *event) noexcept nogil:
    if hears(call):
        tell_transaction(call, transaction, event)


def leave_out():
    global tell_state, tell_transaction, media_events
    cdef pjsua_callback *told = &pjsua_var.ua_cfg.cb
    tell_state, tell_transaction = told.on_call_state, told.on_call_tsx_state
    told.on_call_state = &on_call_state
    told.on_call_tsx_state = &on_call_tsx_state
    told.on_call_sdp_created = NULL
    told.on_stream_precreate = NULL
    told.on_stream_destroyed = NULL
    told.on_call_media_transport_state = NULL
    told.on_call_media_event = NULL
    media_events = pjmedia_event_mgr_instance()
    pjmedia_event_mgr_set_instance(NULL)


def put_back():
    global media_events
    if media_events != NULL:
        pjmedia_event_mgr_set_instance(media_events)
    media_events = NULL
