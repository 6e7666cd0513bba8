/* The audio of a caller who waits: looping music with prompts laid over it. One port a leg.
 *
 * Its frames are taken by the conference bridge or, past it, by the RTP thread; one of them at a time, but in the moment
 * of a change, when the second gets silence. All other functions are called by the engine thread, and take effect with the
 * next frame.
 */
#ifndef AGNER_QUEUE_AUDIO_PORT_H
#define AGNER_QUEUE_AUDIO_PORT_H

#include <pjmedia/port.h>

#include "news_ring.h"

/* Mono samples at the bridge's rate. Shared by all ports, never written, alive as long as a port may play them. */
struct agner_sound {
    const pj_int16_t *samples;
    unsigned n_samples;
};

/* `leg` and `number` come back with the news. */
pj_status_t agner_queue_audio_create(pj_pool_factory *factory, unsigned clock_rate, unsigned samples_per_frame, int leg,
                                     unsigned number, struct agner_news_ring *news, pjmedia_port **p_port);

/* Loop this music, from its beginning, or none (NULL). It fades out over 5 ms and in over 300 ms. */
void agner_queue_audio_set_music(pjmedia_port *port, const struct agner_sound *music);

/* Queue a prompt behind those that are queued. `last` marks the last prompt of a play: its end is told as news.
 * PJ_ETOOMANY if 256 prompts are waiting. */
pj_status_t agner_queue_audio_push(pjmedia_port *port, const struct agner_sound *prompt, pj_int64_t play,
                                   pj_bool_t last);

/* How many more prompts agner_queue_audio_push() would take now. */
unsigned agner_queue_audio_room(pjmedia_port *port);

/* Cancel the prompts queued so far. The one being spoken fades over 5 ms. No news. */
void agner_queue_audio_cancel(pjmedia_port *port);

/* The next n samples. False: all of it is silence. */
pj_bool_t agner_queue_audio_render(pjmedia_port *port, pj_int16_t *out, unsigned n);

/* For good: not a sample more from the next frame on. */
void agner_queue_audio_mute(pjmedia_port *port);

#endif
