# cython: language_level=3
"""pjsua's TLS transport with SO_REUSEADDR, by which it can be opened again. The contract is tls.pyi."""

from cpython.bytes cimport PyBytes_AS_STRING

cdef extern from "<pjsua-lib/pjsua.h>" nogil:
    ctypedef int pj_status_t
    ctypedef struct pj_str_t:
        char *ptr
        Py_ssize_t slen
    ctypedef struct pjsip_tls_setting:
        pj_str_t ca_list_file
        pj_str_t cert_file
        pj_str_t privkey_file
        unsigned proto
        int verify_server
        int verify_client
        int require_client_cert
        int reuse_addr
    ctypedef struct pjsua_transport_config:
        unsigned port
        pj_str_t public_addr
        pj_str_t bound_addr
        pjsip_tls_setting tls_setting
    int PJ_SSL_SOCK_PROTO_TLS1_2
    int PJ_SSL_SOCK_PROTO_TLS1_3
    int PJSIP_TRANSPORT_TLS
    int PJSIP_TRANSPORT_TLS6
    void pjsua_transport_config_default(pjsua_transport_config *config)
    pj_status_t pjsua_transport_create(int type, const pjsua_transport_config *config, int *id)
    pj_status_t pjsua_transport_lis_restart(int id, const pjsua_transport_config *config)
    pj_str_t pj_strerror(pj_status_t status, char *buffer, size_t size)

cdef pjsua_transport_config configs[2]  # one for each family of addresses
cdef int transports[2]
cdef int n_open = 0
cdef list kept = []  # the strings that configs point into


cdef pj_str_t held(str text):
    cdef pj_str_t string
    value = text.encode()
    kept.append(value)
    string.ptr, string.slen = PyBytes_AS_STRING(value), len(value)
    return string


cdef object check(pj_status_t status):
    cdef char buffer[128]
    if status:
        reason = pj_strerror(status, buffer, sizeof(buffer))
        raise OSError((<bytes>reason.ptr[:reason.slen]).decode(errors="replace"))


def listen(address, port, public_address, certificate, key, authorities, verifies_clients, verifies_servers):
    global n_open
    cdef pjsua_transport_config *config = &configs[n_open]
    pjsua_transport_config_default(config)
    config.port = port
    if address not in ("0.0.0.0", "::"):
        config.bound_addr = held(address)
    if public_address:
        config.public_addr = held(public_address)
    config.tls_setting.cert_file, config.tls_setting.privkey_file = held(certificate), held(key)
    if authorities:
        config.tls_setting.ca_list_file = held(authorities)
    config.tls_setting.proto = PJ_SSL_SOCK_PROTO_TLS1_2 | PJ_SSL_SOCK_PROTO_TLS1_3
    config.tls_setting.verify_client = config.tls_setting.require_client_cert = verifies_clients
    config.tls_setting.verify_server = verifies_servers
    config.tls_setting.reuse_addr = True
    kind = PJSIP_TRANSPORT_TLS6 if ":" in address else PJSIP_TRANSPORT_TLS
    check(pjsua_transport_create(kind, config, &transports[n_open]))
    n_open += 1


def reload():
    for n in range(n_open):
        check(pjsua_transport_lis_restart(transports[n], &configs[n]))


def forget():
    global n_open
    n_open = 0
    kept.clear()
