/* Looping music with prompts over it. See queue_audio_port.h.
 *
 * The engine writes commands as atomics: the wanted music, a ring of prompts with a mark up to which they are
 * cancelled, and mute. get_frame runs on a conference thread and reads them once a frame. Gains move by a step a
 * sample, so nothing clicks.
 */
#include "queue_audio_port.h"

#include <pj/assert.h>
#include <pj/pool.h>
#include <pj/string.h>
#include <pjmedia/errno.h>

#define SIGNATURE PJMEDIA_SIG_CLASS_PORT_AUD('A', 'q')
#define MAX_PROMPTS 256u /* a power of two: opening hours of two days that differ are some 60 parts */
#define UNITY 32768
#define DUCKED 4096 /* music under a prompt: -18 dB */
#define CUT_MS 5
#define DUCK_MS 50
#define RAISE_MS 300

struct prompt {
    const struct agner_sound *sound;
    pj_int64_t play;
    pj_bool_t last;
};

struct queue_audio_port {
    pjmedia_port base;
    pj_pool_t *pool;
    struct agner_news_ring *news;
    int leg;
    unsigned number;
    int cut_step, duck_step, raise_step; /* change of a gain per sample */

    /* written by the engine */
    struct prompt prompts[MAX_PROMPTS];
    atomic_uint head;      /* prompts queued since creation */
    atomic_uint cancel_to; /* those numbered below are cancelled */
    _Atomic(const struct agner_sound *) wanted_music;
    atomic_bool muted;

    atomic_flag is_rendering;

    /* written by get_frame */
    atomic_uint tail; /* prompts done since creation */
    const struct agner_sound *music;
    unsigned music_at, prompt_at;
    int music_gain, prompt_gain;
};

static pj_status_t queue_audio_get_frame(pjmedia_port *this_port, pjmedia_frame *frame);
static pj_status_t queue_audio_on_destroy(pjmedia_port *this_port);

pj_status_t agner_queue_audio_create(pj_pool_factory *factory, unsigned clock_rate, unsigned samples_per_frame, int leg,
                                     unsigned number, struct agner_news_ring *news, pjmedia_port **p_port)
{
    const pj_str_t name = pj_str("queue-audio");
    struct queue_audio_port *port;
    pj_pool_t *pool;
    pj_status_t status;

    PJ_ASSERT_RETURN(factory && news && p_port, PJ_EINVAL);

    pool = pj_pool_create(factory, name.ptr, sizeof(struct queue_audio_port) + 512, 512, NULL);
    if (!pool)
        return PJ_ENOMEM;
    port = PJ_POOL_ZALLOC_T(pool, struct queue_audio_port);
    port->pool = pool;
    port->news = news;
    port->leg = leg;
    port->number = number;
    port->cut_step = UNITY * 1000 / (int)(clock_rate * CUT_MS) + 1;
    port->duck_step = UNITY * 1000 / (int)(clock_rate * DUCK_MS) + 1;
    port->raise_step = UNITY * 1000 / (int)(clock_rate * RAISE_MS) + 1;
    port->prompt_gain = UNITY;

    pjmedia_port_info_init(&port->base.info, &name, SIGNATURE, clock_rate, 1, 16, samples_per_frame);
    port->base.get_frame = &queue_audio_get_frame;
    port->base.on_destroy = &queue_audio_on_destroy;
    status = pjmedia_port_init_grp_lock(&port->base, pool, NULL);
    if (status != PJ_SUCCESS) {
        pj_pool_release(pool);
        return status;
    }
    *p_port = &port->base;
    return PJ_SUCCESS;
}

void agner_queue_audio_set_music(pjmedia_port *this_port, const struct agner_sound *music)
{
    struct queue_audio_port *port = (struct queue_audio_port *)this_port;

    atomic_store_explicit(&port->wanted_music, music, memory_order_release);
}

unsigned agner_queue_audio_room(pjmedia_port *this_port)
{
    struct queue_audio_port *port = (struct queue_audio_port *)this_port;

    return MAX_PROMPTS - (atomic_load_explicit(&port->head, memory_order_relaxed) -
                          atomic_load_explicit(&port->tail, memory_order_acquire));
}

pj_status_t agner_queue_audio_push(pjmedia_port *this_port, const struct agner_sound *prompt, pj_int64_t play,
                                   pj_bool_t last)
{
    struct queue_audio_port *port = (struct queue_audio_port *)this_port;
    unsigned head = atomic_load_explicit(&port->head, memory_order_relaxed);

    if (agner_queue_audio_room(this_port) == 0)
        return PJ_ETOOMANY;
    port->prompts[head % MAX_PROMPTS] = (struct prompt){prompt, play, last};
    atomic_store_explicit(&port->head, head + 1, memory_order_release);
    return PJ_SUCCESS;
}

void agner_queue_audio_cancel(pjmedia_port *this_port)
{
    struct queue_audio_port *port = (struct queue_audio_port *)this_port;

    atomic_store_explicit(&port->cancel_to, atomic_load_explicit(&port->head, memory_order_relaxed),
                          memory_order_release);
}

void agner_queue_audio_mute(pjmedia_port *this_port)
{
    struct queue_audio_port *port = (struct queue_audio_port *)this_port;

    atomic_store_explicit(&port->muted, true, memory_order_release);
}

static int toward(int gain, int target, int step)
{
    if (gain < target)
        return gain + step < target ? gain + step : target;
    return gain - step > target ? gain - step : target;
}

static pj_int16_t clip(int sample)
{
    return (pj_int16_t)(sample > 32767 ? 32767 : sample < -32768 ? -32768 : sample);
}

/* Write the next samples of the music, or silence. Returns false if all of it is silence. */
static bool render_music(struct queue_audio_port *port, bool speaking, pj_int16_t *out, unsigned n)
{
    const struct agner_sound *wanted = atomic_load_explicit(&port->wanted_music, memory_order_acquire);
    bool heard = false;

    if (wanted && port->music == wanted && !speaking && port->music_gain == UNITY &&
        n < wanted->n_samples - port->music_at) { /* nearly always */
        pjmedia_copy_samples(out, wanted->samples + port->music_at, n);
        port->music_at += n;
        return true;
    }
    for (unsigned i = 0; i < n; ++i) {
        if (port->music != wanted) {
            port->music_gain = toward(port->music_gain, 0, port->cut_step);
            if (port->music_gain == 0) {
                port->music = wanted;
                port->music_at = 0;
            }
        } else if (speaking) {
            port->music_gain = toward(port->music_gain, DUCKED, port->duck_step);
        } else {
            port->music_gain = toward(port->music_gain, UNITY, port->raise_step);
        }
        if (!port->music) {
            port->music_gain = 0;
            out[i] = 0;
            continue;
        }
        heard = true;
        out[i] = (pj_int16_t)((port->music->samples[port->music_at] * port->music_gain) >> 15);
        if (++port->music_at == port->music->n_samples)
            port->music_at = 0;
    }
    return heard;
}

/* The prompt at the tail is over: tell, if it ended a play, and go to the next. False if the news must wait. */
static bool end_prompt(struct queue_audio_port *port, unsigned tail, bool cancelled)
{
    const struct prompt *prompt = &port->prompts[tail % MAX_PROMPTS];
    struct agner_news news = {port->leg, port->number, prompt->play};

    if (prompt->last && !cancelled && !agner_news_put(port->news, news))
        return false;
    port->prompt_at = 0;
    atomic_store_explicit(&port->tail, tail + 1, memory_order_release);
    return true;
}

/* Add the next samples of the prompts to `out`. */
static void render_prompts(struct queue_audio_port *port, unsigned tail, unsigned head, unsigned cancel_to,
                           pj_int16_t *out, unsigned n)
{
    unsigned i = 0;

    while (tail != head) {
        const struct agner_sound *sound = port->prompts[tail % MAX_PROMPTS].sound;
        bool cancelled = (int)(cancel_to - tail) > 0;

        if (cancelled && port->prompt_at == 0)
            port->prompt_gain = 0; /* not begun: nothing to fade */
        for (; i < n && port->prompt_at < sound->n_samples; ++i, ++port->prompt_at) {
            if (cancelled)
                port->prompt_gain = toward(port->prompt_gain, 0, port->cut_step);
            if (port->prompt_gain == 0)
                break;
            out[i] = clip(out[i] + ((sound->samples[port->prompt_at] * port->prompt_gain) >> 15));
        }
        if (port->prompt_at < sound->n_samples && port->prompt_gain != 0)
            return; /* the frame is full */
        if (!end_prompt(port, tail, cancelled))
            return;
        port->prompt_gain = UNITY;
        ++tail;
    }
}

static bool render(struct queue_audio_port *port, pj_int16_t *out, unsigned n)
{
    unsigned cancel_to = atomic_load_explicit(&port->cancel_to, memory_order_acquire);
    unsigned head = atomic_load_explicit(&port->head, memory_order_acquire);
    unsigned tail = atomic_load_explicit(&port->tail, memory_order_relaxed);
    bool speaking = tail != head && (int)(cancel_to - head) < 0;

    if (atomic_load_explicit(&port->muted, memory_order_acquire))
        return false;
    if (!render_music(port, speaking, out, n) && tail == head)
        return false;
    render_prompts(port, tail, head, cancel_to, out, n);
    return true;
}

pj_bool_t agner_queue_audio_render(pjmedia_port *this_port, pj_int16_t *out, unsigned n)
{
    struct queue_audio_port *port = (struct queue_audio_port *)this_port;
    bool heard = false;

    if (!atomic_flag_test_and_set_explicit(&port->is_rendering, memory_order_acquire)) {
        heard = render(port, out, n);
        atomic_flag_clear_explicit(&port->is_rendering, memory_order_release);
    }
    if (!heard)
        pjmedia_zero_samples(out, n);
    return heard;
}

static pj_status_t queue_audio_get_frame(pjmedia_port *this_port, pjmedia_frame *frame)
{
    unsigned n = PJMEDIA_PIA_SPF(&this_port->info);
    pj_bool_t heard = agner_queue_audio_render(this_port, frame->buf, n);

    frame->type = heard ? PJMEDIA_FRAME_TYPE_AUDIO : PJMEDIA_FRAME_TYPE_NONE;
    frame->size = heard ? n * sizeof(pj_int16_t) : 0;
    return PJ_SUCCESS;
}

static pj_status_t queue_audio_on_destroy(pjmedia_port *this_port)
{
    struct queue_audio_port *port = (struct queue_audio_port *)this_port;
    struct agner_news news = {port->leg, port->number, AGNER_NO_PLAY};

    (void)agner_news_put(port->news, news); /* no room: the engine keeps the sounds, which is all that this says */
    pj_pool_safe_release(&port->pool);
    return PJ_SUCCESS;
}
