/* A leg as PJMEDIA sees it: its UDP transport, whose packets are read and written here. See rtp_leg.h. */
#define _GNU_SOURCE
#include <pj/assert.h>
#include <pj/log.h>
#include <pj/os.h>
#include <pj/pool.h>
#include <pj/sock.h>
#include <pjmedia/transport_srtp.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

#include "rtp_leg.h"

#define THIS_FILE "rtp_transport"

static const pjmedia_transport_op *udp_op;
static pjmedia_transport *(*next_on_create)(pjsua_call_id, unsigned, pjmedia_transport *, unsigned);

/* Read once there is somebody to read for: what comes before waits in the socket. Under both locks. */
static void look(struct agner_rtp_leg *leg)
{
    bool is_wanted = leg->has_started && leg->user && !leg->is_dead;

    if (is_wanted && !leg->is_read)
        agner_loop_read(leg);
    else if (!is_wanted && leg->is_read)
        agner_loop_leave(leg);
    if (!is_wanted)
        agner_line_close(leg);
    leg->is_read = is_wanted;
}

static pj_status_t attach(pjmedia_transport *transport, void *user, const pj_sockaddr_t *rtp, const pj_sockaddr_t *rtcp,
                          void (*on_rtp)(void *, void *, pj_ssize_t), void (*on_rtp2)(pjmedia_tp_cb_param *),
                          void (*on_rtcp)(void *, void *, pj_ssize_t))
{
    struct agner_rtp_leg *leg = agner_leg_of(transport);
    pj_sockaddr own, sdp, sdp_rtcp;
    int n_own = sizeof(own);

    PJ_ASSERT_RETURN(rtp, PJ_EINVAL);
    pj_sock_getsockname(leg->rtp_socket, &own, &n_own);
    if (pj_sockaddr_synthesize(own.addr.sa_family, &sdp, rtp) != PJ_SUCCESS)
        pj_sockaddr_cp(&sdp, rtp);
    if (!rtcp || !pj_sockaddr_has_addr(rtcp) ||
        pj_sockaddr_synthesize(own.addr.sa_family, &sdp_rtcp, rtcp) != PJ_SUCCESS) {
        pj_sockaddr_cp(&sdp_rtcp, &sdp);
        pj_sockaddr_set_port(&sdp_rtcp, (pj_uint16_t)(pj_sockaddr_get_port(&sdp) + 1));
    }
    agner_leg_lock(leg);
    leg->user = user;
    leg->on_rtp = on_rtp;
    leg->on_rtp2 = on_rtp2;
    leg->on_rtcp = on_rtcp;
    leg->has_rtcp_mux = pj_sockaddr_has_addr(&sdp) && rtcp && pj_sockaddr_cmp(rtp, rtcp) == 0;
    if (!leg->has_heard_remote || pj_sockaddr_cmp(&leg->sdp, &sdp) != 0) {
        pj_sockaddr_cp(&leg->sdp, &sdp);
        pj_sockaddr_cp(&leg->sdp_rtcp, &sdp_rtcp);
        agner_line_close(leg);
        pj_sockaddr_cp(&leg->remote, &sdp);
        pj_sockaddr_cp(&leg->remote_rtcp, &sdp_rtcp);
        leg->has_heard_remote = false;
    }
    look(leg);
    agner_leg_unlock(leg);
    return PJ_SUCCESS;
}

/* DTLS asks where a client's first message comes from, and would follow it anywhere. So it hears of the far side's own
 * address alone (SDP), and of nothing else; one that is not told is ignored. It may ask under its lock, so none here. */
static pj_status_t leg_get_info(pjmedia_transport *transport, pjmedia_transport_info *info)
{
    struct agner_rtp_leg *leg = agner_leg_of(transport);
    pj_status_t status = udp_op->get_info(transport, info);

    if (atomic_load(&leg->is_from_sdp))
        pj_sockaddr_cp(&info->src_rtp_name, &leg->sdp);
    if (atomic_load(&leg->rtcp_is_from_sdp))
        pj_sockaddr_cp(&info->src_rtcp_name, &leg->sdp_rtcp);
    return status;
}

static pj_status_t leg_attach(pjmedia_transport *transport, void *user, const pj_sockaddr_t *rtp, const pj_sockaddr_t *rtcp,
                              unsigned length, void (*on_rtp)(void *, void *, pj_ssize_t),
                              void (*on_rtcp)(void *, void *, pj_ssize_t))
{
    (void)length;
    return attach(transport, user, rtp, rtcp, on_rtp, NULL, on_rtcp);
}

static pj_status_t leg_attach2(pjmedia_transport *transport, pjmedia_transport_attach_param *param)
{
    return attach(transport, param->user_data, &param->rem_addr, &param->rem_rtcp, param->rtp_cb, param->rtp_cb2,
                  param->rtcp_cb);
}

static void leg_detach(pjmedia_transport *transport, void *user)
{
    struct agner_rtp_leg *leg = agner_leg_of(transport);

    (void)user;
    agner_direct_leave_partner(leg);
    agner_leg_lock(leg);
    agner_direct_end(leg);
    leg->user = NULL;
    leg->on_rtp = NULL;
    leg->on_rtp2 = NULL;
    leg->on_rtcp = NULL;
    leg->has_started = leg->is_plain = false;
    leg->law = 0;
    leg->stream = NULL;
    leg->tracks = NULL;
    leg->slot = -1;
    agner_direct_forget(leg);
    look(leg);
    agner_leg_unlock(leg);
}

static pj_status_t leg_send_rtp(pjmedia_transport *transport, const void *packet, pj_size_t size)
{
    struct agner_rtp_leg *leg = agner_leg_of(transport);
    uint8_t copy[PJMEDIA_MAX_MTU];
    struct agner_rtp_packet rtp;

    PJ_ASSERT_RETURN(size <= PJMEDIA_MAX_MTU, PJ_ETOOBIG);
    pthread_mutex_lock(&leg->sending);
    if (leg->has_started && leg->sends_from == AGNER_FROM_BRIDGE) {
        if (!leg->law) {
            agner_rtp_put(leg->rtp_socket, packet, size, &leg->remote);
        } else {
            memcpy(copy, packet, size);
            if (agner_rtp_parse(copy, (uint32_t)size, &rtp))
                agner_leg_send(leg, &rtp.head, rtp.type, copy, rtp.n, rtp.type == leg->type_out ? rtp.n : 0, agner_now_ns());
        }
    }
    pthread_mutex_unlock(&leg->sending);
    return PJ_SUCCESS;
}

static pj_status_t leg_send_rtcp2(pjmedia_transport *transport, const pj_sockaddr_t *to, unsigned length, const void *packet,
                                  pj_size_t size)
{
    struct agner_rtp_leg *leg = agner_leg_of(transport);
    uint8_t copy[PJMEDIA_MAX_MTU];

    (void)length;
    PJ_ASSERT_RETURN(size <= PJMEDIA_MAX_MTU, PJ_ETOOBIG);
    pthread_mutex_lock(&leg->sending);
    if (leg->has_started) {
        memcpy(copy, packet, size);
        if (leg->law)
            agner_rtcp_correct(&leg->in, &leg->out, copy, (uint32_t)size, agner_now_ns(), agner_utc_ns());
        agner_rtp_put(leg->has_rtcp_mux ? leg->rtp_socket : leg->rtcp_socket, copy, size, to ? to : &leg->remote_rtcp);
    }
    pthread_mutex_unlock(&leg->sending);
    return PJ_SUCCESS;
}

static pj_status_t leg_send_rtcp(pjmedia_transport *transport, const void *packet, pj_size_t size)
{
    return leg_send_rtcp2(transport, NULL, 0, packet, size);
}

static pj_status_t set_started(pjmedia_transport *transport, bool has_started)
{
    struct agner_rtp_leg *leg = agner_leg_of(transport);

    agner_leg_lock(leg);
    leg->has_started = has_started;
    look(leg);
    agner_leg_unlock(leg);
    return PJ_SUCCESS;
}

static pj_status_t leg_media_start(pjmedia_transport *transport, pj_pool_t *pool, const pjmedia_sdp_session *local,
                                   const pjmedia_sdp_session *remote, unsigned index)
{
    (void)pool;
    (void)local;
    (void)remote;
    (void)index;
    return set_started(transport, true);
}

static pj_status_t leg_media_stop(pjmedia_transport *transport)
{
    return set_started(transport, false);
}

static pj_status_t leg_destroy(pjmedia_transport *transport)
{
    struct agner_rtp_leg *leg = agner_leg_of(transport);

    leg_detach(transport, leg->user);
    agner_leg_lock(leg);
    leg->is_dead = true;
    agner_leg_unlock(leg);
    /* PJMEDIA closes the sockets now; the rest goes when the RTP thread has let go of it. Until then transport->op stays
     * this leg's: a thread of the bridge may just have read it, to send. */
    agner_loop_post(leg);
    return udp_op->destroy(transport);
}

static void on_gone(void *arg)
{
    struct agner_rtp_leg *leg = arg;

    pthread_mutex_destroy(&leg->receiving);
    pthread_mutex_destroy(&leg->sending);
    pj_pool_safe_release(&leg->pool);
}

static pj_status_t take_over(pjmedia_transport *transport)
{
    pthread_mutexattr_t recursive;
    pjmedia_transport_info info;
    struct agner_rtp_leg *leg;
    pj_pool_t *pool;

    pjmedia_transport_info_init(&info);
    pjmedia_transport_get_info(transport, &info);
    pool = pjsua_pool_create("rtp-leg", sizeof(*leg) + 256, 256);
    if (!pool)
        return PJ_ENOMEM;
    leg = PJ_POOL_ZALLOC_T(pool, struct agner_rtp_leg);
    leg->pool = pool;
    leg->transport = transport;
    leg->rtp_socket = (int)info.sock_info.rtp_sock;
    leg->rtcp_socket = (int)info.sock_info.rtcp_sock;
    leg->call_id = leg->slot = leg->line = -1;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&leg->receiving, &recursive);
    pthread_mutex_init(&leg->sending, NULL);
    pthread_mutexattr_destroy(&recursive);

    udp_op = transport->op;
    leg->op = *udp_op;
    leg->op.get_info = &leg_get_info;
    leg->op.attach = &leg_attach;
    leg->op.attach2 = &leg_attach2;
    leg->op.detach = &leg_detach;
    leg->op.send_rtp = &leg_send_rtp;
    leg->op.send_rtcp = &leg_send_rtcp;
    leg->op.send_rtcp2 = &leg_send_rtcp2;
    leg->op.media_start = &leg_media_start;
    leg->op.media_stop = &leg_media_stop;
    leg->op.destroy = &leg_destroy;
    pj_grp_lock_add_ref(transport->grp_lock);
    pj_grp_lock_add_handler(transport->grp_lock, NULL, leg, &on_gone);
    transport->op = &leg->op;
    return PJ_SUCCESS;
}

/* The UDP transport under PJSUA's SRTP adapter, which is always there, and says of itself that it is UDP. */
static pjmedia_transport *udp_under(pjmedia_transport *transport)
{
    pjmedia_transport_info info;

    pjmedia_transport_info_init(&info);
    if (transport && pjmedia_transport_get_info(transport, &info) == PJ_SUCCESS)
        for (unsigned i = 0; i < info.specific_info_cnt; ++i)
            if (info.spc_info[i].type == PJMEDIA_TRANSPORT_TYPE_SRTP)
                transport = pjmedia_transport_srtp_get_member(info.spc_info[i].tp);
    return transport && transport->type == PJMEDIA_TRANSPORT_TYPE_UDP ? transport : NULL;
}

struct agner_rtp_leg *agner_leg_under(pjmedia_transport *transport)
{
    pjmedia_transport *udp = udp_under(transport);

    return udp && udp->op->destroy == &leg_destroy ? agner_leg_of(udp) : NULL;
}

static pjmedia_transport *on_create(pjsua_call_id call_id, unsigned index, pjmedia_transport *transport, unsigned flags)
{
    pjmedia_transport *udp = udp_under(transport);
    pj_status_t status;

    if (udp && !agner_leg_under(udp)) {
        status = take_over(udp);
        if (status != PJ_SUCCESS)
            PJ_PERROR(1, (THIS_FILE, status, "call %d: its RTP stays PJMEDIA's", call_id));
    }
    return next_on_create ? next_on_create(call_id, index, transport, flags) : transport;
}

pj_status_t agner_rtp_install(void)
{
    pj_status_t status;

    if (pjsua_var.ua_cfg.cb.on_create_media_transport == &on_create)
        return PJ_SUCCESS;
    agner_leg_tables();
    status = agner_loop_start();
    if (status != PJ_SUCCESS)
        return status;
    next_on_create = pjsua_var.ua_cfg.cb.on_create_media_transport;
    pjsua_var.ua_cfg.cb.on_create_media_transport = &on_create;
    return PJ_SUCCESS;
}

void agner_rtp_uninstall(void)
{
    if (pjsua_var.ua_cfg.cb.on_create_media_transport != &on_create)
        return;
    pjsua_var.ua_cfg.cb.on_create_media_transport = next_on_create;
    agner_loop_stop();
}
