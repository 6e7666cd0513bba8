/* One leg's packets, in and out. See rtp_leg.h; rtp_transport.c is PJMEDIA's side of it, rtp_direct.c the engine's. */
#define _GNU_SOURCE
#include "rtp_leg.h"

#include <pj/sock.h>
#include <pjmedia/alaw_ulaw.h>
#include <sys/socket.h>
#include <time.h>

#include "queue_audio_port.h"

#define MAX_PAYLOAD 1024
#define COMFORT_NOISE 13 /* payload type, RFC 3551 section 6 */
#define FRAME 160        /* samples of queue audio, and of silence: 20 ms at 8 kHz */
/* A far side that changes its address without a word (a NAT that forgot it) is followed when nothing came from the old
 * one for so long. Before, a third address is not heard. */
#define SILENT_NS 5000000000LL

static pj_uint8_t a_to_mu[256], mu_to_a[256];

void agner_leg_tables(void)
{
    for (unsigned i = 0; i < 256; ++i) {
        a_to_mu[i] = pjmedia_alaw2ulaw(i);
        mu_to_a[i] = pjmedia_ulaw2alaw(i);
    }
}

int64_t agner_utc_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* ---- sending; under `sending` */

/* A packet that the machine does not take at once is lost, as on any wire. */
void agner_rtp_put(int socket, const void *packet, size_t size, const pj_sockaddr *to)
{
    (void)!sendto(socket, packet, size, MSG_DONTWAIT, (const struct sockaddr *)to, pj_sockaddr_get_len(to));
}

/* Past the bridge nobody else reports. */
static void report_if_due(struct agner_rtp_leg *leg, int64_t now_ns)
{
    uint8_t packet[400];
    uint32_t size;

    if (leg->sends_from == AGNER_FROM_BRIDGE || now_ns < leg->report_at_ns)
        return;
    size = agner_rtcp_compose(&leg->in, &leg->out, leg->cname, leg->n_cname, packet, now_ns, agner_utc_ns());
    agner_rtp_put(leg->has_rtcp_mux ? leg->rtp_socket : leg->rtcp_socket, packet, size, &leg->remote_rtcp);
    leg->report_at_ns = now_ns + AGNER_REPORT_NS;
}

void agner_leg_send(struct agner_rtp_leg *leg, struct agner_rtp_head *head, uint8_t type, uint8_t *packet,
                    uint32_t n_payload, uint32_t length, int64_t now_ns)
{
    agner_rtp_rewrite(&leg->out, leg->sends, head, length, n_payload, now_ns);
    packet[0] = 0x80;
    packet[1] = (uint8_t)(type | (head->marker ? 0x80 : 0));
    packet[2] = (uint8_t)(head->sequence >> 8);
    packet[3] = (uint8_t)head->sequence;
    agner_write32(packet + 4, head->timestamp);
    agner_write32(packet + 8, head->ssrc);
    agner_line_send(leg, packet, AGNER_RTP_HEADER + n_payload);
    report_if_due(leg, now_ns);
    if (length && leg->tracks && atomic_load_explicit(&leg->tracks->is_recorded, memory_order_relaxed) &&
        leg->sends_from != AGNER_FROM_BRIDGE)
        agner_track_put(&leg->tracks->right, head->timestamp, head->ssrc, packet + AGNER_RTP_HEADER, n_payload,
                        leg->law == 'U', now_ns);
}

/* ---- receiving; under `receiving` */

static void go_to(struct agner_rtp_leg *leg, const pj_sockaddr *address)
{
    pthread_mutex_lock(&leg->sending);
    agner_line_close(leg);
    pj_sockaddr_cp(&leg->remote, address);
    pj_sockaddr_cp(&leg->remote_rtcp, address);
    if (!leg->has_rtcp_mux)
        pj_sockaddr_set_port(&leg->remote_rtcp, (pj_uint16_t)(pj_sockaddr_get_port(address) + 1));
    pthread_mutex_unlock(&leg->sending);
}

static void hear(struct agner_rtp_leg *leg, int64_t now_ns)
{
    atomic_store_explicit(&leg->heard_ns, now_ns, memory_order_relaxed);
}

/* Does it come from the far side? The address in its SDP is always right. Another is followed if none was heard before,
 * as behind a NAT, or if the one before is silent for long. */
static bool is_known(struct agner_rtp_leg *leg, const pj_sockaddr *from, int64_t now_ns)
{
    if (pj_sockaddr_cmp(from, &leg->remote) != 0) {
        bool is_silent = now_ns - atomic_load_explicit(&leg->heard_ns, memory_order_relaxed) > SILENT_NS;

        if (leg->has_heard_remote && !is_silent && pj_sockaddr_cmp(from, &leg->sdp) != 0) {
            ++leg->n_foreign;
            return false;
        }
        go_to(leg, from);
    }
    leg->has_heard_remote = true;
    hear(leg, now_ns);
    return true;
}

static void deliver(struct agner_rtp_leg *leg, uint8_t *packet, uint32_t size, pj_sockaddr *from)
{
    if (leg->on_rtp2) {
        pjmedia_tp_cb_param param = {.user_data = leg->user, .pkt = packet, .size = (pj_ssize_t)size, .src_addr = from};

        leg->on_rtp2(&param);
        if (param.rem_switch && !leg->is_plain)
            go_to(leg, from);
    } else if (leg->on_rtp) {
        leg->on_rtp(leg->user, packet, (pj_ssize_t)size);
    }
}

/* RFC 4733. */
static bool is_key(const struct agner_rtp_leg *leg, const struct agner_rtp_packet *rtp)
{
    return leg->event_in > 0 && rtp->type == leg->event_in;
}

/* What the other leg is to hear of it, in `out`, and under which type; 0: nothing. Comfort noise (RFC 3389) becomes a
 * frame of silence, as few phones know it. */
static uint32_t translate(const struct agner_rtp_leg *leg, const struct agner_rtp_leg *to,
                          const struct agner_rtp_packet *rtp, uint8_t *out, int *type)
{
    const pj_uint8_t *table = leg->law == to->law ? NULL : leg->law == 'A' ? a_to_mu : mu_to_a;

    *type = to->type_out;
    if (rtp->type == COMFORT_NOISE) {
        memset(out, to->law == 'A' ? pjmedia_linear2alaw(0) : pjmedia_linear2ulaw(0), FRAME);
        return FRAME;
    }
    if (rtp->n > MAX_PAYLOAD)
        return 0;
    if (is_key(leg, rtp)) {
        *type = to->event_out;
        memcpy(out, rtp->payload, rtp->n);
        return to->event_out > 0 ? rtp->n : 0;
    }
    if (rtp->type != leg->type_in)
        return 0;
    for (uint32_t i = 0; i < rtp->n; ++i)
        out[i] = table ? table[rtp->payload[i]] : rtp->payload[i];
    return rtp->n;
}

static void hand_on(struct agner_rtp_leg *leg, struct agner_rtp_leg *to, const struct agner_rtp_packet *rtp, int64_t now_ns)
{
    uint8_t packet[AGNER_RTP_HEADER + MAX_PAYLOAD];
    struct agner_rtp_head head = rtp->head;
    uint32_t n;
    int type;

    pthread_mutex_lock(&to->sending);
    if (to->sends_from == AGNER_FROM_LEG && to->has_started) {
        n = translate(leg, to, rtp, packet + AGNER_RTP_HEADER, &type);
        if (n)
            agner_leg_send(to, &head, (uint8_t)type, packet, n, type == to->type_out ? n : 0, now_ns);
        else
            agner_rtp_skip(&to->out, to->sends);
    }
    pthread_mutex_unlock(&to->sending);
}

/* A packet of the far side whose audio goes past the bridge. Keys are for the stream all the same. */
static void take_directly(struct agner_rtp_leg *leg, struct agner_rtp_packet *rtp, uint8_t *packet, uint32_t size,
                          int64_t now_ns)
{
    if (rtp->type == leg->type_in && leg->tracks &&
        atomic_load_explicit(&leg->tracks->is_recorded, memory_order_relaxed))
        agner_track_put(&leg->tracks->left, rtp->head.timestamp, rtp->head.ssrc, rtp->payload, rtp->n, leg->law == 'U',
                        now_ns);
    if (leg->to)
        hand_on(leg, leg->to, rtp, now_ns);
    if (is_key(leg, rtp))
        deliver(leg, packet, size, &leg->sdp);
    else
        ++leg->n_hidden;
}

static void take_rtp(struct agner_rtp_leg *leg, uint8_t *packet, uint32_t size, pj_sockaddr *from, int64_t now_ns)
{
    struct agner_rtp_packet rtp;
    uint16_t sequence;

    if (!leg->is_plain || !agner_rtp_parse(packet, size, &rtp)) {
        if (!leg->is_plain) {
            atomic_store(&leg->is_from_sdp, pj_sockaddr_cmp(from, &leg->sdp) == 0);
            hear(leg, now_ns);
        }
        deliver(leg, packet, size, from);
        return;
    }
    if (!is_known(leg, from, now_ns))
        return;
    if (!leg->law || (rtp.type >= 64 && rtp.type <= 95)) { /* RTCP beside RTP, RFC 5761 */
        deliver(leg, packet, size, &leg->sdp);
        return;
    }
    pthread_mutex_lock(&leg->sending);
    agner_rtp_received(&leg->in, &rtp.head, now_ns);
    report_if_due(leg, now_ns);
    pthread_mutex_unlock(&leg->sending);
    sequence = (uint16_t)(rtp.head.sequence - leg->n_hidden);
    packet[2] = (uint8_t)(sequence >> 8);
    packet[3] = (uint8_t)sequence;
    if (leg->source == AGNER_FROM_BRIDGE)
        deliver(leg, packet, size, &leg->sdp);
    else
        take_directly(leg, &rtp, packet, size, now_ns);
}

static bool is_host_of(const pj_sockaddr *one, const pj_sockaddr *other)
{
    return one->addr.sa_family == other->addr.sa_family &&
           memcmp(pj_sockaddr_get_addr(one), pj_sockaddr_get_addr(other), pj_sockaddr_get_addr_len(one)) == 0;
}

static void take_rtcp(struct agner_rtp_leg *leg, uint8_t *packet, uint32_t size, const pj_sockaddr *from, int64_t now_ns)
{
    if (leg->is_plain && !is_host_of(from, &leg->remote) && !is_host_of(from, &leg->remote_rtcp)) {
        ++leg->n_foreign;
        return;
    }
    hear(leg, now_ns);
    if (!leg->is_plain)
        atomic_store(&leg->rtcp_is_from_sdp, pj_sockaddr_cmp(from, &leg->sdp_rtcp) == 0);
    if (leg->is_plain && pj_sockaddr_cmp(from, &leg->remote_rtcp) != 0) {
        pthread_mutex_lock(&leg->sending);
        pj_sockaddr_cp(&leg->remote_rtcp, from);
        pthread_mutex_unlock(&leg->sending);
    }
    pthread_mutex_lock(&leg->sending);
    agner_rtcp_received(&leg->in, packet, size, now_ns);
    pthread_mutex_unlock(&leg->sending);
    if (leg->on_rtcp)
        leg->on_rtcp(leg->user, packet, (pj_ssize_t)size);
}

void agner_leg_fetch(const struct agner_rtp_leg *leg)
{
    const char *at = leg ? (const char *)&leg->receiving : NULL;

    for (; at && at < (const char *)(leg + 1); at += AGNER_CACHE_LINE)
        __builtin_prefetch(at);
}

void agner_leg_receive(struct agner_rtp_leg *leg, bool is_rtcp, int64_t now_ns)
{
    _Alignas(8) uint8_t packet[PJMEDIA_MAX_MTU];
    pj_sockaddr from;
    socklen_t n_from = sizeof(from);
    ssize_t size;

    pthread_mutex_lock(&leg->receiving);
    if (leg->is_read) {
        size = recvfrom(is_rtcp ? leg->rtcp_socket : leg->rtp_socket, packet, sizeof(packet), MSG_DONTWAIT,
                        (struct sockaddr *)&from, &n_from);
        if (size > 0 && is_rtcp)
            take_rtcp(leg, packet, (uint32_t)size, &from, now_ns);
        else if (size > 0)
            take_rtp(leg, packet, (uint32_t)size, &from, now_ns);
    }
    pthread_mutex_unlock(&leg->receiving);
}

/* ---- queue audio */

bool agner_leg_feed(struct agner_rtp_leg *leg, int64_t now_ns)
{
    uint8_t packet[AGNER_RTP_HEADER + FRAME];
    pj_int16_t samples[FRAME];
    bool is_fed;

    pthread_mutex_lock(&leg->sending);
    is_fed = leg->sends_from == AGNER_FROM_QUEUE_AUDIO;
    if (is_fed && leg->has_started) {
        struct agner_rtp_head head = {++leg->queue_sequence, leg->queue_timestamp += FRAME, 0, false};

        agner_queue_audio_render(leg->queue_audio, samples, FRAME);
        for (unsigned i = 0; i < FRAME; ++i)
            packet[AGNER_RTP_HEADER + i] =
                leg->law == 'A' ? pjmedia_linear2alaw(samples[i]) : pjmedia_linear2ulaw(samples[i]);
        agner_leg_send(leg, &head, (uint8_t)leg->type_out, packet, FRAME, FRAME, now_ns);
    }
    pthread_mutex_unlock(&leg->sending);
    return is_fed;
}
