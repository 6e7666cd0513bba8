/* A port around the caller's stream port. See recording_tap_port.h.
 *
 * The conference calls put_frame once per frame whatever happens: with what the caller hears, or with an empty
 * heart-beat. That is the clock of the recording. Where a re-INVITE leaves a gap between two taps, its length is taken
 * from the bridge's timestamps, not from a clock on the wall: a bridge that stood still catches up by frames, which
 * come on top of the time that was waited for them, or its timestamps jump (clock-jump.patch). The conference calls
 * get_frame only while somebody listens to the caller. When nobody does, the tap itself takes the frame: so the caller
 * is always recorded, and the jitter buffer does not fill with old audio that the agent would hear later.
 *
 * Frames of the caller wait for their put_frame in a short queue: get and put may come in pairs where frame lengths differ.
 */
#include "recording_tap_port.h"

#include <pj/log.h>
#include <pj/pool.h>
#include <pj/string.h>
#include <pjmedia/alaw_ulaw.h>
#include <pjmedia/errno.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

#include "key_detector.h"
#include "rtp_leg.h"
#include "tap_order.h"

#define THIS_FILE "recording_tap"
#define SIGNATURE PJMEDIA_SIG_CLASS_PORT_AUD('A', 't')
#define MAX_QUEUED 4

/* What the engine wants recorded, by pjsua's number of the call. Taps come and go with re-INVITEs; a line stays. */
static struct line {
    atomic_flag lock; /* held for a few instructions, while a ring changes hands */
    struct agner_recording_ring *rings[AGNER_N_RECORDINGS];
    atomic_uint generation; /* of the newest tap: an older one writes no more */
    atomic_uint change;     /* counts the changes of `rings` and `generation`, for a cheap look */
    atomic_uint rate;       /* of the newest tap, Hz */
    atomic_int n_taps;
} lines[PJSUA_MAX_CALLS];

/* Of the same calls: what goes past the bridge. Memory that no recording has used is not there. */
static struct agner_tracks all_tracks[PJSUA_MAX_CALLS];

static void (*next_on_stream_created2)(pjsua_call_id, pjsua_on_stream_created_param *);
static struct agner_news_ring *all_keys;

struct recording_tap_port {
    pjmedia_port base;
    pj_pool_t *pool;
    pjmedia_port *stream;
    struct line *line;
    struct agner_tracks *tracks; /* NULL: a tap without a call */
    pj_bool_t was_direct;
    pj_uint64_t next_at; /* the bridge's time after the last frame, while was_direct */
    unsigned generation, seen_change;
    struct agner_recording_ring *rings[AGNER_N_RECORDINGS]; /* held: counted in their n_taps */
    pj_bool_t is_first[AGNER_N_RECORDINGS];                 /* no frame put since the ring was taken */
    pj_bool_t is_recording;                                 /* any of the rings is there */

    unsigned rate, n_channels, n_samples; /* samples a frame and channel */
    unsigned n_gets;                      /* frames got and not yet matched by a put */
    pj_int16_t *queue[MAX_QUEUED];
    unsigned n_queued;
    pj_int16_t *spare; /* a frame the tap itself takes, and the mixed-down right channel */

    int call_id;
    struct agner_news_ring *keys; /* NULL: not listened for */
    struct agner_key_detector detector;
    char key; /* not told yet; 0: none */
};

static pj_status_t tap_get_frame(pjmedia_port *this_port, pjmedia_frame *frame);
static pj_status_t tap_put_frame(pjmedia_port *this_port, pjmedia_frame *frame);
static pj_status_t tap_on_destroy(pjmedia_port *this_port);

static void lock(struct line *line)
{
    while (atomic_flag_test_and_set_explicit(&line->lock, memory_order_acquire))
        ;
}

static void unlock(struct line *line)
{
    atomic_flag_clear_explicit(&line->lock, memory_order_release);
}

pj_status_t agner_tap_create(pj_pool_factory *factory, pjmedia_port *stream, int call_id, struct agner_news_ring *keys,
                             pjmedia_port **p_port)
{
    struct recording_tap_port *port;
    unsigned spf = PJMEDIA_PIA_SPF(&stream->info);
    pj_pool_t *pool;
    pj_status_t status;

    if (!factory || !stream || !p_port || call_id < 0 || call_id >= PJSUA_MAX_CALLS)
        return PJ_EINVAL;

    pool = pj_pool_create(factory, "recording-tap", 1024 + (MAX_QUEUED + 1) * spf * sizeof(pj_int16_t), 512, NULL);
    if (!pool)
        return PJ_ENOMEM;
    port = PJ_POOL_ZALLOC_T(pool, struct recording_tap_port);
    port->pool = pool;
    port->stream = stream;
    port->base.info = stream->info;
    port->base.info.signature = SIGNATURE;
    port->base.get_frame = &tap_get_frame;
    port->base.put_frame = &tap_put_frame;
    port->base.on_destroy = &tap_on_destroy;
    port->rate = PJMEDIA_PIA_SRATE(&stream->info);
    port->n_channels = PJMEDIA_PIA_CCNT(&stream->info);
    port->n_samples = spf / port->n_channels;
    for (unsigned i = 0; i < MAX_QUEUED; ++i)
        port->queue[i] = pj_pool_alloc(pool, spf * sizeof(pj_int16_t));
    port->spare = pj_pool_alloc(pool, spf * sizeof(pj_int16_t));
    port->call_id = call_id;
    port->keys = port->n_channels == 1 ? keys : NULL;
    agner_keys_init(&port->detector, port->rate);

    status = pjmedia_port_init_grp_lock(&port->base, pool, NULL);
    if (status != PJ_SUCCESS) {
        pj_pool_release(pool);
        return status;
    }
    /* pjsua destroys the stream while the conference may still be in one of our frames. */
    if (stream->grp_lock)
        pj_grp_lock_add_ref(stream->grp_lock);

    port->line = &lines[call_id];
    lock(port->line);
    port->generation = atomic_fetch_add_explicit(&port->line->generation, 1, memory_order_relaxed) + 1;
    atomic_fetch_add_explicit(&port->line->change, 1, memory_order_release);
    atomic_store_explicit(&port->line->rate, port->rate, memory_order_relaxed);
    atomic_fetch_add_explicit(&port->line->n_taps, 1, memory_order_relaxed);
    unlock(port->line);
    *p_port = &port->base;
    return PJ_SUCCESS;
}

static void on_stream_created2(pjsua_call_id call_id, pjsua_on_stream_created_param *param)
{
    const pjsua_call *call = &pjsua_var.calls[call_id];
    pj_bool_t is_tapped, hears_keys;
    pjmedia_port *tap;
    pj_status_t status;

    if (next_on_stream_created2)
        next_on_stream_created2(call_id, param);
    is_tapped = call->inv && (call->inv->role == PJSIP_ROLE_UAS || (call->opt.flag & AGNER_RECORDABLE));
    hears_keys = agner_rtp_stream_created(call_id, param->stream, is_tapped ? &all_tracks[call_id] : NULL);
    if (!is_tapped)
        return;
    status = agner_tap_create(&pjsua_var.cp.factory, param->port, call_id, hears_keys ? all_keys : NULL, &tap);
    if (status != PJ_SUCCESS) {
        PJ_PERROR(1, (THIS_FILE, status, "call %d cannot be recorded", call_id));
        return;
    }
    ((struct recording_tap_port *)tap)->tracks = &all_tracks[call_id];
    param->port = tap;
    param->destroy_port = PJ_TRUE;
}

pj_status_t agner_tap_install(struct agner_news_ring *news)
{
    all_keys = news;
    if (pjsua_var.ua_cfg.cb.on_stream_created2 == &on_stream_created2)
        return PJ_SUCCESS;
    next_on_stream_created2 = pjsua_var.ua_cfg.cb.on_stream_created2;
    pjsua_var.ua_cfg.cb.on_stream_created2 = &on_stream_created2;
    return agner_rtp_install();
}

void agner_tap_uninstall(void)
{
    agner_rtp_uninstall();
    if (pjsua_var.ua_cfg.cb.on_stream_created2 == &on_stream_created2)
        pjsua_var.ua_cfg.cb.on_stream_created2 = next_on_stream_created2;
}

int agner_tap_count(int call_id)
{
    return call_id >= 0 && call_id < PJSUA_MAX_CALLS ? atomic_load(&lines[call_id].n_taps) : 0;
}

unsigned agner_tap_rate(int call_id)
{
    return agner_tap_count(call_id) ? atomic_load(&lines[call_id].rate) : 0;
}

void agner_tap_record(int call_id, enum agner_recording which, struct agner_recording_ring *ring)
{
    struct line *line = &lines[call_id];
    struct agner_recording_ring *former;

    lock(line);
    former = line->rings[which];
    line->rings[which] = ring;
    atomic_fetch_add_explicit(&line->change, 1, memory_order_release);
    unlock(line);
    if (former)
        atomic_store_explicit(&former->closing, true, memory_order_release);
}

static void let_go(struct recording_tap_port *port, unsigned which)
{
    if (!port->rings[which])
        return;
    atomic_store_explicit(&port->rings[which]->left_ns, agner_now_ns(), memory_order_relaxed);
    atomic_fetch_sub_explicit(&port->rings[which]->n_taps, 1, memory_order_release);
    port->rings[which] = NULL;
}

/* Take up the rings that the engine wants, or let the old ones go. */
static void follow(struct recording_tap_port *port)
{
    struct line *line = port->line;

    lock(line);
    port->seen_change = atomic_load_explicit(&line->change, memory_order_relaxed);
    port->is_recording = PJ_FALSE;
    for (unsigned i = 0; i < AGNER_N_RECORDINGS; ++i) {
        pj_bool_t is_newest = port->generation == atomic_load_explicit(&line->generation, memory_order_relaxed);
        struct agner_recording_ring *wanted = is_newest ? line->rings[i] : NULL;

        if (wanted != port->rings[i]) {
            let_go(port, i);
            if (wanted) {
                atomic_fetch_add_explicit(&wanted->n_taps, 1, memory_order_acquire);
                wanted->written_ns = agner_now_ns();
            }
            port->rings[i] = wanted;
            port->is_first[i] = PJ_TRUE;
        }
        port->is_recording |= wanted != NULL;
    }
    unlock(line);
    if (port->tracks)
        atomic_store_explicit(&port->tracks->is_recorded, port->is_recording, memory_order_relaxed);
    if (!port->is_recording)
        port->n_queued = 0;
}

/* Stereo streams are recorded as the middle of both. */
static void to_mono(const struct recording_tap_port *port, const pj_int16_t *from, pj_int16_t *to)
{
    if (port->n_channels == 1) {
        pjmedia_copy_samples(to, from, port->n_samples);
        return;
    }
    for (unsigned i = 0; i < port->n_samples; ++i)
        to[i] = (pj_int16_t)((from[i * port->n_channels] + from[i * port->n_channels + 1]) / 2);
}

static void drop_oldest(struct recording_tap_port *port)
{
    pj_int16_t *oldest = port->queue[0];

    --port->n_queued;
    memmove(port->queue, port->queue + 1, port->n_queued * sizeof(oldest));
    port->queue[port->n_queued] = oldest;
}

static void enqueue(struct recording_tap_port *port, const pjmedia_frame *frame)
{
    if (port->n_queued == MAX_QUEUED) /* nobody puts: keep the newest */
        drop_oldest(port);
    if (frame->type == PJMEDIA_FRAME_TYPE_AUDIO && frame->buf && frame->size)
        to_mono(port, frame->buf, port->queue[port->n_queued]);
    else
        pjmedia_zero_samples(port->queue[port->n_queued], port->n_samples);
    ++port->n_queued;
}

/* What the caller sends, each frame once. */
static void hear(struct recording_tap_port *port, const pjmedia_frame *frame)
{
    if (port->is_recording)
        enqueue(port, frame);
    if (!port->keys)
        return;
    if (frame->type == PJMEDIA_FRAME_TYPE_AUDIO && frame->buf && frame->size) {
        char key = agner_keys_hear(&port->detector, frame->buf, port->n_samples);

        port->key = key ? key : port->key;
    }
    if (port->key && agner_news_put(port->keys, (struct agner_news){port->call_id, 0, port->key}))
        port->key = 0;
}

static pj_status_t tap_get_frame(pjmedia_port *this_port, pjmedia_frame *frame)
{
    struct recording_tap_port *port = (struct recording_tap_port *)this_port;
    pj_status_t status = pjmedia_port_get_frame(port->stream, frame);

    if (status != PJ_SUCCESS)
        frame->type = PJMEDIA_FRAME_TYPE_NONE;
    if (port->n_gets < MAX_QUEUED)
        ++port->n_gets;
    hear(port, frame);
    return status;
}

/* Nobody listened to the caller since the last frame. */
static void pull(struct recording_tap_port *port)
{
    pjmedia_frame frame = {.buf = port->spare, .size = port->n_samples * port->n_channels * sizeof(pj_int16_t)};

    if (pjmedia_port_get_frame(port->stream, &frame) != PJ_SUCCESS)
        frame.type = PJMEDIA_FRAME_TYPE_NONE;
    hear(port, &frame);
}

/* n samples of both directions, NULL is silence; or, where `is_lost`, some that should have been. */
static void write_down(struct recording_tap_port *port, pj_uint64_t at, pj_int64_t now_ns, const pj_int16_t *left,
                       const pj_int16_t *right, unsigned n, pj_bool_t is_lost)
{
    for (unsigned i = 0; i < AGNER_N_RECORDINGS; ++i) {
        if (!port->rings[i])
            continue;
        agner_ring_frame(port->rings[i], at, now_ns, port->is_first[i], left, i == AGNER_CALL ? right : NULL, n, port->rate,
                         is_lost);
        port->is_first[i] = PJ_FALSE;
    }
}

static void record(struct recording_tap_port *port, const pjmedia_frame *frame, pj_int64_t now_ns)
{
    const pj_int16_t *left = port->n_queued ? port->queue[0] : NULL, *right = NULL;

    if (frame->type == PJMEDIA_FRAME_TYPE_AUDIO && frame->buf && frame->size) {
        to_mono(port, frame->buf, port->spare);
        right = port->spare;
    }
    write_down(port, frame->timestamp.u64, now_ns, left, right, port->n_samples, PJ_FALSE);
    if (port->n_queued)
        drop_oldest(port);
}

/* A frame that the RTP thread has left in the tracks, or what it has left of one that the bridge did not ask for. */
static void record_track(struct recording_tap_port *port, pj_uint64_t at, pj_int64_t now_ns, pj_bool_t is_missed)
{
    pj_int16_t left[AGNER_TRACK_FRAME], right[AGNER_TRACK_FRAME]; /* every tap's, and so in the CPU's cache */

    for (unsigned done = 0; done < port->n_samples; done += AGNER_TRACK_FRAME) {
        unsigned n = PJ_MIN(port->n_samples - done, AGNER_TRACK_FRAME);
        pj_bool_t is_lost = agner_tracks_take(port->tracks, pjmedia_alaw2linear_tab, pjmedia_ulaw2linear_tab, now_ns, left,
                                              right, n);

        write_down(port, at + done, now_ns, left, right, n, is_lost || (is_missed && agner_is_silence(left, right, n)));
    }
}

/* record() where the audio goes past the bridge. After a jump of the bridge's clock the tracks are as far behind. */
static void record_direct(struct recording_tap_port *port, pj_uint64_t at, pj_int64_t now_ns)
{
    agner_take_turn(all_tracks, port->call_id, port, port->rings[AGNER_CALL], port->n_samples);
    if (!port->was_direct || at > port->next_at + AGNER_TRACK_JUMP_S * port->rate) {
        agner_tracks_open(port->tracks);
        port->next_at = at;
    }
    if (agner_has_jumped(port->next_at, at, port->rate))
        for (; port->next_at < at; port->next_at += port->n_samples)
            record_track(port, port->next_at, now_ns, PJ_TRUE);
    record_track(port, at, now_ns, PJ_FALSE);
    port->next_at = at + port->n_samples;
}

static pj_status_t tap_put_frame(pjmedia_port *this_port, pjmedia_frame *frame)
{
    struct recording_tap_port *port = (struct recording_tap_port *)this_port;

    if (atomic_load_explicit(&port->line->change, memory_order_acquire) != port->seen_change)
        follow(port);
    if (port->tracks && atomic_load_explicit(&port->tracks->is_direct, memory_order_acquire)) { /* not by the stream */
        port->n_gets = port->n_queued = 0;
        if (port->is_recording)
            record_direct(port, frame->timestamp.u64, agner_now_ns());
        port->was_direct = port->is_recording;
        return PJ_SUCCESS;
    }
    port->was_direct = PJ_FALSE;
    if (port->n_gets)
        --port->n_gets;
    else
        pull(port);
    if (port->is_recording)
        record(port, frame, agner_now_ns());
    return pjmedia_port_put_frame(port->stream, frame);
}

static pj_status_t tap_on_destroy(pjmedia_port *this_port)
{
    struct recording_tap_port *port = (struct recording_tap_port *)this_port;

    for (unsigned i = 0; i < AGNER_N_RECORDINGS; ++i)
        let_go(port, i);
    atomic_fetch_sub_explicit(&port->line->n_taps, 1, memory_order_release);
    if (port->stream->grp_lock)
        pj_grp_lock_dec_ref(port->stream->grp_lock);
    pj_pool_safe_release(&port->pool);
    return PJ_SUCCESS;
}
