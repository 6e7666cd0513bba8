/* An hour of a leg's life in a second: the tap around a stream that loses frames, is put on hold, has listeners or none,
 * and is gone for a while; and of a bridge whose clock jumps where there was no CPU. Both channels carry the number of
 * their tick. Prints the greatest distance between them in ticks, the ticks that are in the ring, and those of them that
 * stand for a time without a stream, and for one without CPU.
 */
#include <stdio.h>

#include <pjlib.h>
#include <pjmedia.h>

#include "recording_tap_port.h"

#define N_SAMPLES 160
#define N_TICKS 180000 /* 20 ms each */

static int tick;

static pj_status_t stream_get(pjmedia_port *port, pjmedia_frame *frame)
{
    PJ_UNUSED_ARG(port);
    frame->type = PJMEDIA_FRAME_TYPE_NONE;
    if (pj_rand() % 10 == 0) /* lost */
        return pj_rand() % 2 ? PJ_SUCCESS : PJ_EINVALIDOP;
    frame->type = PJMEDIA_FRAME_TYPE_AUDIO;
    frame->size = N_SAMPLES * 2;
    for (int i = 0; i < N_SAMPLES; ++i)
        ((pj_int16_t *)frame->buf)[i] = (pj_int16_t)(tick % 30000 + 1);
    return PJ_SUCCESS;
}

static pj_status_t stream_put(pjmedia_port *port, pjmedia_frame *frame)
{
    PJ_UNUSED_ARG(port);
    PJ_UNUSED_ARG(frame);
    return PJ_SUCCESS;
}

static pjmedia_port *new_tap(pj_pool_factory *factory, pjmedia_port *stream)
{
    const pj_str_t name = pj_str("stream");
    pjmedia_port *tap;

    pj_bzero(stream, sizeof(*stream));
    pjmedia_port_info_init(&stream->info, &name, 1, 8000, 1, 16, N_SAMPLES);
    stream->get_frame = &stream_get;
    stream->put_frame = &stream_put;
    return agner_tap_create(factory, stream, 5, NULL, &tap) == PJ_SUCCESS ? tap : NULL;
}

int main(void)
{
    static uint32_t out[1 << 15];
    struct agner_recording_ring *ring = agner_ring_create(1 << 14);
    struct agner_chunk chunk;
    pj_caching_pool pools;
    pjmedia_port stream, *tap, *former = NULL;
    pj_int16_t heard[N_SAMPLES], said[N_SAMPLES];
    long n_written = 0, n_compared = 0, n_paused = 0, n_without = 0, n_lost = 0, n_missed = 0;
    int worst = 0, is_listened = 0, has_sound = 0, n_until_tap = 0;

    pj_log_set_level(0);
    pj_init();
    pj_caching_pool_init(&pools, NULL, 0);
    tap = new_tap(&pools.factory, &stream);
    agner_tap_record(5, AGNER_CALL, ring);
    for (tick = 0; tick < N_TICKS; ++tick) {
        pjmedia_frame frame = {0};

        if (pj_rand() % 50 == 0)
            is_listened = !is_listened;
        if (pj_rand() % 50 == 0)
            has_sound = !has_sound;
        if (tap && pj_rand() % 500 == 0) { /* a re-INVITE: another tap, and perhaps ticks without any */
            pjmedia_port_destroy(tap);
            tap = former = NULL;
            n_until_tap = tick && tick < N_TICKS - 100 ? pj_rand() % 5 : 0;
        }
        if (!tap && n_until_tap-- == 0)
            tap = new_tap(&pools.factory, &stream);
        if (!tap) {
            ++n_without;
            continue;
        }
        if (tap == former && pj_rand() % 2000 == 0 && tick < N_TICKS - 200) {
            int n = 13 + pj_rand() % 100; /* 260 ms and more */

            tick += n;
            n_missed += n;
        }
        former = tap;
        if (is_listened) {
            frame.buf = said;
            frame.size = sizeof(said);
            pjmedia_port_get_frame(tap, &frame);
        }
        for (int i = 0; i < N_SAMPLES; ++i)
            heard[i] = (pj_int16_t)(tick % 30000 + 1);
        frame.type = has_sound ? PJMEDIA_FRAME_TYPE_AUDIO : PJMEDIA_FRAME_TYPE_NONE;
        frame.buf = has_sound ? heard : NULL;
        frame.size = has_sound ? sizeof(heard) : 0;
        frame.timestamp.u64 = 1000000 + (pj_uint64_t)tick * N_SAMPLES;
        pjmedia_port_put_frame(tap, &frame);
        while (agner_ring_take(ring, false, out, PJ_ARRAY_SIZE(out), &chunk)) {
            n_paused += chunk.kind == AGNER_PAUSE ? chunk.n_samples : 0;
            n_lost += chunk.kind == AGNER_LOST ? chunk.n_samples : 0;
            for (uint32_t i = 0; chunk.kind == AGNER_AUDIO && i < chunk.n_samples; ++i) {
                int left = (int16_t)(out[i] & 0xffff), right = (int16_t)(out[i] >> 16);
                int apart = left && right ? abs(left - right) : 0;

                n_compared += left && right;
                worst = apart > worst ? apart : worst;
            }
            n_written += chunk.n_samples;
        }
    }
    agner_tap_record(5, AGNER_CALL, NULL);
    pjmedia_port_destroy(tap);
    printf("%d %ld %ld %ld %ld %ld %ld\n", worst, n_written / N_SAMPLES, n_compared / N_SAMPLES, n_paused / N_SAMPLES,
           n_without, n_lost / N_SAMPLES, n_missed);
    printf("%d %d %lu\n", agner_ring_is_done(ring), agner_tap_count(5), (unsigned long)pools.used_count);
    return 0;
}
