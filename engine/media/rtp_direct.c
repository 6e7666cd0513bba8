/* Past the bridge and back, as the engine decides. See rtp_leg.h. Engine thread only. */
#define _GNU_SOURCE
#include <pj/os.h>
#include <pj/sock.h>
#include <pj/string.h>
#include <pjmedia/conference.h>
#include <pjmedia/transport_srtp.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

#include "rtp_leg.h"

static struct agner_rtp_leg *by_call[PJSUA_MAX_CALLS]; /* legs whose stream stands */
static atomic_ullong n_sources;

/* Whether it may be: keys can come after the stream (DTLS). */
static bool is_srtp(pjmedia_transport *transport)
{
    pjmedia_transport_info info;
    const pjmedia_srtp_info *srtp;

    pjmedia_transport_info_init(&info);
    pjmedia_transport_get_info(transport, &info);
    srtp = pjmedia_transport_info_get_spc_info(&info, PJMEDIA_TRANSPORT_TYPE_SRTP);
    return srtp && srtp->use != PJMEDIA_SRTP_DISABLED;
}

static char law_of(const pjmedia_stream_info *info)
{
    const pj_str_t a = pj_str("PCMA"), mu = pj_str("PCMU");

    if (info->dir != PJMEDIA_DIR_ENCODING_DECODING || info->fmt.clock_rate != 8000 || info->fmt.channel_cnt != 1)
        return 0;
    if (pj_stricmp(&info->fmt.encoding_name, &a) == 0)
        return 'A';
    return pj_stricmp(&info->fmt.encoding_name, &mu) == 0 ? 'U' : 0;
}

bool agner_rtp_stream_created(int call_id, pjmedia_stream *stream, struct agner_tracks *tracks)
{
    pjmedia_transport *transport = pjmedia_stream_get_transport(stream);
    struct agner_rtp_leg *leg = agner_leg_under(transport);
    pjmedia_stream_info info;
    bool hears_keys;

    if (pjmedia_stream_get_info(stream, &info) != PJ_SUCCESS)
        return tracks;
    hears_keys = tracks && (info.rx_event_pt <= 0 || info.tx_event_pt <= 0); /* in our SDP, and in theirs */
    if (!leg)
        return hears_keys;
    agner_leg_lock(leg);
    leg->call_id = call_id;
    leg->slot = -1;
    leg->stream = stream;
    leg->stream_number = atomic_fetch_add(&n_sources, 1) + 1;
    leg->tracks = tracks;
    leg->is_plain = !is_srtp(transport);
    leg->law = leg->is_plain && !hears_keys ? law_of(&info) : 0;
    leg->type_in = (int)info.rx_pt;
    leg->type_out = (int)info.tx_pt;
    leg->event_in = info.rx_event_pt;
    leg->event_out = info.tx_event_pt;
    if (!leg->out.has_begun)
        leg->out.ssrc = info.ssrc;
    leg->out.rate = leg->in.rate = 8000;
    leg->n_cname = (unsigned)PJ_MIN(info.cname.slen, (pj_ssize_t)sizeof(leg->cname));
    memcpy(leg->cname, info.cname.ptr, leg->n_cname);
    agner_direct_end(leg);
    agner_leg_unlock(leg);
    by_call[call_id] = leg;
    return hears_keys;
}

void agner_direct_forget(struct agner_rtp_leg *leg)
{
    if (leg->call_id >= 0 && by_call[leg->call_id] == leg)
        by_call[leg->call_id] = NULL;
}

static struct agner_rtp_leg *find(int call_id)
{
    return call_id >= 0 && call_id < PJSUA_MAX_CALLS ? by_call[call_id] : NULL;
}

void agner_direct_end(struct agner_rtp_leg *leg)
{
    leg->source = leg->sends_from = AGNER_FROM_BRIDGE;
    leg->to = NULL;
    leg->queue_audio = NULL;
    leg->sends = leg->stream_number;
    if (leg->tracks)
        atomic_store_explicit(&leg->tracks->is_direct, false, memory_order_release);
}

struct agner_rtp_leg *agner_direct_leave_partner(struct agner_rtp_leg *leg)
{
    struct agner_rtp_leg *other = leg->to;

    if (other) {
        agner_leg_lock(other);
        agner_direct_end(other);
        agner_leg_unlock(other);
    }
    return other;
}

static void begin_direct(struct agner_rtp_leg *leg, int slot, enum agner_source source, struct agner_rtp_leg *to,
                         pjmedia_port *queue_audio)
{
    /* Where there is a tap, the bridge goes on calling it, once a frame: that is the clock of the recording. */
    pjmedia_conf_configure_port(pjsua_var.mconf, (unsigned)slot, leg->tracks ? PJMEDIA_PORT_ENABLE : PJMEDIA_PORT_DISABLE,
                                PJMEDIA_PORT_DISABLE);
    agner_leg_lock(leg);
    leg->slot = slot;
    leg->source = leg->sends_from = source;
    leg->to = to;
    leg->queue_audio = queue_audio;
    leg->sends = atomic_fetch_add(&n_sources, 1) + 1;
    leg->report_at_ns = agner_now_ns() + AGNER_REPORT_NS / 2;
    if (leg->tracks)
        atomic_store_explicit(&leg->tracks->is_direct, true, memory_order_release);
    agner_leg_unlock(leg);
}

pj_status_t agner_rtp_relay(int call_id, int slot, int other_call_id, int other_slot)
{
    struct agner_rtp_leg *leg = find(call_id), *other = find(other_call_id);

    if (!leg || !other || leg == other || !leg->law || !other->law)
        return PJ_EINVALIDOP;
    begin_direct(leg, slot, AGNER_FROM_LEG, other, NULL);
    begin_direct(other, other_slot, AGNER_FROM_LEG, leg, NULL);
    return PJ_SUCCESS;
}

pj_status_t agner_rtp_feed(int call_id, int slot, pjmedia_port *queue_audio)
{
    struct agner_rtp_leg *leg = find(call_id);

    if (!leg || !leg->law || PJMEDIA_PIA_SRATE(&queue_audio->info) != 8000)
        return PJ_EINVALIDOP;
    begin_direct(leg, slot, AGNER_FROM_QUEUE_AUDIO, NULL, queue_audio);
    agner_loop_post(leg);
    return PJ_SUCCESS;
}

/* What the jitter buffer still holds is of the time before. */
static void empty_jitter_buffer(pjmedia_stream *stream)
{
    pj_int16_t samples[4096];
    pjmedia_jb_state state;
    pjmedia_port *port;

    if (pjmedia_stream_get_port(stream, &port) != PJ_SUCCESS ||
        PJMEDIA_PIA_SPF(&port->info) > PJ_ARRAY_SIZE(samples))
        return;
    for (unsigned i = 0; i < 128; ++i) {
        pjmedia_frame frame = {.buf = samples, .size = PJMEDIA_PIA_SPF(&port->info) * sizeof(pj_int16_t)};

        if (pjmedia_stream_get_stat_jbuf(stream, &state) != PJ_SUCCESS || state.size == 0)
            return;
        pjmedia_port_get_frame(port, &frame);
    }
}

static void to_bridge(struct agner_rtp_leg *leg)
{
    int slot = leg->slot;

    pthread_mutex_lock(&leg->receiving); /* nothing comes into the buffer meanwhile */
    if (slot >= 0 && leg->stream)
        empty_jitter_buffer(leg->stream); /* may send a report, and that takes the other lock */
    pthread_mutex_lock(&leg->sending);
    agner_direct_end(leg);
    leg->slot = -1;
    agner_leg_unlock(leg);
    if (slot >= 0)
        pjmedia_conf_configure_port(pjsua_var.mconf, (unsigned)slot, PJMEDIA_PORT_ENABLE, PJMEDIA_PORT_ENABLE);
}

void agner_rtp_bridge(int call_id)
{
    struct agner_rtp_leg *leg = find(call_id), *other;

    if (!leg)
        return;
    other = agner_direct_leave_partner(leg);
    to_bridge(leg);
    if (other)
        to_bridge(other);
}

bool agner_rtp_count(int call_id, struct agner_rtp_counts *counts)
{
    struct agner_rtp_leg *leg = find(call_id);

    if (!leg)
        return false;
    agner_leg_lock(leg);
    *counts = (struct agner_rtp_counts){leg->source, leg->law, leg->n_foreign, leg->out.n_packets, leg->in.n_received,
                                        atomic_load(&leg->heard_ns)};
    agner_leg_unlock(leg);
    return true;
}
