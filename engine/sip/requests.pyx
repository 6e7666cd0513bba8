# cython: language_level=3
"""The Python face of requests_module.c. Its contract is requests.pyi."""

import logging

from engine.callflow.errors import SipError
from engine.sip.digest import Authorization
from engine.sip.registrar import Contact, Register

cdef extern from "requests_module.h" nogil:
    ctypedef struct pj_str_t:
        char *ptr
        long slen
    ctypedef struct pj_pool_t:
        pass
    ctypedef struct pjsip_endpoint:
        pass
    ctypedef struct pjsip_digest_credential:
        pj_str_t realm, username, nonce, uri, response, algorithm, cnonce, qop, nc
    ctypedef struct agner_contact:
        pj_str_t uri, instance
        int expires_s, q, reg_id
    ctypedef struct agner_flow:
        const char *source
        int port
        const char *transport
    ctypedef struct agner_register:
        agner_flow flow
        pj_str_t user, sender, call_id, branch, user_agent
        long cseq
        int expires_s, is_star
        unsigned n_contacts, n_paths, n_required, n_supported, n_answers
        agner_contact *contacts
        pj_str_t *paths
        pj_str_t *required
        pj_str_t *supported
        const pjsip_digest_credential **answers
    ctypedef struct agner_reply:
        pj_pool_t *pool
        int status
        pj_str_t reason
    ctypedef struct agner_listeners:
        void (*on_register)(const agner_register *, agner_reply *) noexcept
        void (*on_pong)(unsigned long long, int, const agner_flow *) noexcept
        void (*on_closed)(const agner_flow *) noexcept
        int (*is_phone)(const agner_flow *) noexcept
        int (*may_dial)(const agner_flow *) noexcept
        int (*on_refer)(int, const pj_str_t *, long) noexcept
        void (*on_invite)(const agner_register *, agner_reply *) noexcept
    int agner_requests_open(pjsip_endpoint *, const agner_listeners *)
    void agner_requests_close()
    int agner_slot_of(const pj_str_t *, const pj_str_t *, const pj_str_t *)
    void agner_reply_add(agner_reply *, const char *, int, const char *, int)
    int agner_requests_notify(const pj_str_t *, const pj_str_t *, const pj_str_t *, unsigned, const pj_str_t *)
    int agner_requests_ping(unsigned long long, const pj_str_t *, const pj_str_t *, const pj_str_t *, unsigned)

cdef extern from "<pjsua-lib/pjsua.h>" nogil:
    pjsip_endpoint *pjsua_get_pjsip_endpt()
    pj_str_t *pj_strdup2(pj_pool_t *, pj_str_t *, const char *)

log = logging.getLogger(__name__)

DEF MOST_ROUTES = 9
cdef object told_refer = None, told_register = None, told_invite = None, told_pong = None, told_closed = None
cdef object own_flows = (), dialling_flows = ()


def open(registered, invited, ponged, closed, flows, dialling):
    global told_register, told_invite, told_pong, told_closed, own_flows, dialling_flows
    told_register, told_invite, told_pong, told_closed = registered, invited, ponged, closed
    own_flows, dialling_flows = flows, dialling
    cdef agner_listeners listeners
    listeners.on_register, listeners.on_pong, listeners.on_refer = on_register, on_pong, on_refer
    listeners.on_closed, listeners.on_invite = on_closed, on_invite
    listeners.is_phone, listeners.may_dial = is_phone, may_dial
    cdef int status = agner_requests_open(pjsua_get_pjsip_endpt(), &listeners)
    if status:
        raise SipError(f"PJSIP takes no module for REGISTER (status {status})")


def close():
    global told_refer, told_register, told_invite, told_pong, told_closed, own_flows, dialling_flows
    agner_requests_close()
    told_refer = told_register = told_invite = told_pong = told_closed = None
    own_flows = dialling_flows = ()


def take_refers(referred):
    global told_refer
    told_refer = referred


def slot_of(str call_id, str tag, str other):
    cdef pj_str_t strings[3]
    texts = [text.encode() for text in (call_id, tag, other)]
    _fill(strings, texts)
    return agner_slot_of(&strings[0], &strings[1], &strings[2])


def ping(unsigned long long number, str uri, str own_uri, routes):
    cdef pj_str_t strings[MOST_ROUTES + 3]
    texts = [text.encode() for text in (uri, own_uri, *routes)]  # holds what the strings point to
    cdef int n = _fill(strings, texts)
    return n > 0 and agner_requests_ping(number, &strings[0], &strings[1], &strings[2], n - 2) == 0


def notify(str uri, str own_uri, routes, str summary):
    cdef pj_str_t strings[MOST_ROUTES + 3]
    texts = [text.encode() for text in (uri, own_uri, summary, *routes)]
    cdef int n = _fill(strings, texts)
    return n > 0 and agner_requests_notify(&strings[0], &strings[1], &strings[3], n - 3, &strings[2]) == 0


cdef int _fill(pj_str_t *strings, list texts) except -1:
    """How many; 0: too many."""
    cdef int n
    if len(texts) > MOST_ROUTES + 3:
        return 0
    for n in range(len(texts)):
        strings[n].ptr, strings[n].slen = <char *><const char *>texts[n], len(texts[n])
    return len(texts)


cdef void on_register(const agner_register *found, agner_reply *reply) noexcept with gil:
    _ask(told_register, found, reply)


cdef int on_refer(int slot, const pj_str_t *refer_to, long cseq) noexcept with gil:
    if told_refer is not None:
        try:
            return told_refer(slot, _text(refer_to[0]), cseq)
        except Exception:
            log.exception("REFER")
            return 500
    return 0


cdef void on_invite(const agner_register *found, agner_reply *reply) noexcept with gil:
    _ask(told_invite, found, reply)


cdef _ask(told, const agner_register *found, agner_reply *reply):
    reply.status = 500
    if told is None:
        return
    try:
        answer = told(_register(found))
        reply.status = answer.status if answer else 0
        reason = answer.reason.encode() if answer else b""
        pj_strdup2(reply.pool, &reply.reason, reason)
        for name, value in answer.headers if answer else ():
            _add(reply, name.encode(), value.encode())
    except Exception:
        log.exception("request from %s", _flow(&found.flow))


cdef void on_pong(unsigned long long number, int status, const agner_flow *flow) noexcept with gil:
    if told_pong is not None:
        try:
            told_pong(number, status, flow.source.decode(), flow.port)
        except Exception:
            log.exception("answer to an OPTIONS")


cdef void on_closed(const agner_flow *flow) noexcept with gil:
    if told_closed is not None:
        try:
            told_closed(_flow(flow))
        except Exception:
            log.exception("a connection that closed")


cdef int is_phone(const agner_flow *flow) noexcept with gil:
    return bool(own_flows) and _flow(flow) in own_flows


cdef int may_dial(const agner_flow *flow) noexcept with gil:
    return _flow(flow) in dialling_flows


cdef _flow(const agner_flow *flow):
    return flow.source.decode(), flow.port, flow.transport.decode()


cdef _register(const agner_register *found):
    source, port, transport = _flow(&found.flow)
    contacts = [_contact(&found.contacts[n]) for n in range(found.n_contacts)]
    answers = [_answer(found.answers[n]) for n in range(found.n_answers)]
    return Register(
        source, port, transport, _text(found.user), _text(found.sender), _text(found.call_id), found.cseq, _text(found.branch), contacts,
        bool(found.is_star), None if found.expires_s < 0 else found.expires_s,
        [_text(found.paths[n]) for n in range(found.n_paths)],
        [_text(found.required[n]) for n in range(found.n_required)],
        [_text(found.supported[n]) for n in range(found.n_supported)],
        _text(found.user_agent), answers,
    )


cdef _contact(const agner_contact *one):
    expires_s = None if one.expires_s < 0 else one.expires_s
    return Contact(_text(one.uri), expires_s, one.q, _text(one.instance), one.reg_id)


cdef _answer(const pjsip_digest_credential *one):
    return Authorization(
        _text(one.username), _text(one.realm), _text(one.nonce), _text(one.uri), _text(one.response),
        _text(one.algorithm), _text(one.cnonce), _text(one.qop), _text(one.nc),
    )


cdef _text(pj_str_t text):
    return text.ptr[:text.slen].decode("utf-8", "replace") if text.slen > 0 else ""


cdef _add(agner_reply *reply, bytes name, bytes value):
    agner_reply_add(reply, name, len(name), value, len(value))
