/* From the RTP thread to the recording: what a leg says, or hears, where the packets go past the conference bridge.
 *
 * One writer (the RTP thread) queues the packets as they come; one reader (the tap's put_frame, whose calls are the
 * recording's clock) places them on its time line by their RTP time stamps and takes a frame at a time. Both directions
 * lie AGNER_TRACK_DELAY behind their arrival, so that what was said at one moment stands at one place on both channels.
 * A packet that comes later than that is silence, as one that never came; a direction whose clock drifts away is placed
 * anew by arrival. What lies too far ahead, after the reader's clock stood still, waits in the queue. A queue that runs
 * full is told as lost, as the ring behind it does.
 */
#ifndef AGNER_RTP_TRACK_H
#define AGNER_RTP_TRACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define AGNER_TRACK_RATE 8000
#define AGNER_TRACK_PACKETS 16u /* a power of two: 320 ms of 20 ms packets */
#define AGNER_TRACK_BYTES 240u  /* of one; longer ones take several */
#define AGNER_TRACK_DELAY 480   /* samples: 60 ms */
#define AGNER_TRACK_WINDOW 1024 /* samples, a power of two: what may lie ahead of the reader */
#define AGNER_TRACK_DRIFT 320   /* samples: further from its arrival than that, a direction is placed anew ... */
#define AGNER_TRACK_PATIENCE (AGNER_TRACK_PACKETS + 1) /* ... after so many packets in a row: a full queue may be late */
#define AGNER_TRACK_JUMP_S 10   /* a jump of the reader's clock that is longer is a beginning */

struct agner_track_packet {
    int64_t at_ns;
    uint32_t timestamp, ssrc;
    uint16_t n;
    bool is_mu_law;
    uint8_t payload[AGNER_TRACK_BYTES];
};

struct agner_track {
    struct agner_track_packet packets[AGNER_TRACK_PACKETS];
    atomic_uint write, read;
    atomic_uint n_overruns; /* packets that found no room */

    /* the reader's own */
    bool is_placed;
    uint32_t ssrc, next; /* the time stamp of the next sample to take */
    unsigned n_astray, n_overruns_told;
    int16_t line[AGNER_TRACK_WINDOW]; /* by time stamp modulo its length; silence where nothing came */
};

/* The writer. */
static inline void agner_track_put(struct agner_track *track, uint32_t timestamp, uint32_t ssrc, const uint8_t *payload,
                                   uint32_t n, bool is_mu_law, int64_t now_ns)
{
    unsigned write = atomic_load_explicit(&track->write, memory_order_relaxed);

    while (n) {
        uint32_t n_now = n < AGNER_TRACK_BYTES ? n : AGNER_TRACK_BYTES;
        struct agner_track_packet *packet = &track->packets[write % AGNER_TRACK_PACKETS];

        if (write - atomic_load_explicit(&track->read, memory_order_acquire) == AGNER_TRACK_PACKETS) {
            atomic_fetch_add_explicit(&track->n_overruns, 1, memory_order_relaxed);
            return;
        }
        packet->at_ns = now_ns;
        packet->timestamp = timestamp;
        packet->ssrc = ssrc;
        packet->n = (uint16_t)n_now;
        packet->is_mu_law = is_mu_law;
        memcpy(packet->payload, payload, n_now);
        atomic_store_explicit(&track->write, ++write, memory_order_release);
        timestamp += n_now;
        payload += n_now;
        n -= n_now;
    }
}

/* The reader begins: what lies there is of another time. */
static inline void agner_track_open(struct agner_track *track)
{
    atomic_store_explicit(&track->read, atomic_load_explicit(&track->write, memory_order_acquire), memory_order_release);
    track->is_placed = false;
    track->n_overruns_told = atomic_load_explicit(&track->n_overruns, memory_order_relaxed);
    memset(track->line, 0, sizeof(track->line));
}

static inline int32_t agner_track_age(const struct agner_track_packet *packet, int64_t now_ns)
{
    int64_t age = (now_ns - packet->at_ns) / 1000 * AGNER_TRACK_RATE / 1000000;

    return (int32_t)(age < 0 ? 0 : age > AGNER_TRACK_RATE ? AGNER_TRACK_RATE : age);
}

static inline void agner_track_place(struct agner_track *track, const struct agner_track_packet *packet, int32_t age)
{
    track->is_placed = true;
    track->n_astray = 0;
    track->ssrc = packet->ssrc;
    track->next = packet->timestamp - (uint32_t)(AGNER_TRACK_DELAY - (age < AGNER_TRACK_DELAY ? age : AGNER_TRACK_DELAY));
    memset(track->line, 0, sizeof(track->line));
}

/* How many samples of the packet lie ahead of the reader, after placing the direction anew if it must be. */
static inline int32_t agner_track_ahead(struct agner_track *track, const struct agner_track_packet *packet, int64_t now_ns)
{
    int32_t age = agner_track_age(packet, now_ns), ahead = (int32_t)(packet->timestamp - track->next);
    bool is_astray = ahead < 0 || ahead + age - AGNER_TRACK_DELAY > AGNER_TRACK_DRIFT;

    /* Late once is the network, or what waited while nobody had CPU; astray for long is a clock that drifts, and a second
     * ahead is a source that begins anew. */
    track->n_astray = is_astray ? track->n_astray + 1 : 0;
    if (!track->is_placed || packet->ssrc != track->ssrc || ahead > AGNER_TRACK_RATE ||
        track->n_astray == AGNER_TRACK_PATIENCE) {
        agner_track_place(track, packet, age);
        ahead = (int32_t)(packet->timestamp - track->next);
    }
    return ahead;
}

/* The reader: the next n samples of this direction. The laws' tables decode. */
static inline void agner_track_take(struct agner_track *track, const int16_t *a_law, const int16_t *mu_law, int64_t now_ns,
                                    int16_t *out, uint32_t n)
{
    unsigned read = atomic_load_explicit(&track->read, memory_order_relaxed);
    unsigned write = atomic_load_explicit(&track->write, memory_order_acquire);

    for (; read != write; ++read) {
        const struct agner_track_packet *packet = &track->packets[read % AGNER_TRACK_PACKETS];
        const int16_t *decode = packet->is_mu_law ? mu_law : a_law;
        int32_t ahead = agner_track_ahead(track, packet, now_ns);

        if (ahead + (int32_t)packet->n > AGNER_TRACK_WINDOW)
            break;
        for (int32_t i = ahead < 0 ? -ahead : 0; i < (int32_t)packet->n; ++i)
            track->line[(packet->timestamp + (uint32_t)i) % AGNER_TRACK_WINDOW] = decode[packet->payload[i]];
    }
    atomic_store_explicit(&track->read, read, memory_order_release);
    for (uint32_t i = 0; i < n; ++i) {
        int16_t *sample = &track->line[(track->next + i) % AGNER_TRACK_WINDOW];

        out[i] = *sample;
        *sample = 0;
    }
    track->next += n;
}

/* Did the queue run full since this was last asked? */
static inline bool agner_track_overran(struct agner_track *track)
{
    unsigned n = atomic_load_explicit(&track->n_overruns, memory_order_relaxed);
    bool did = n != track->n_overruns_told;

    track->n_overruns_told = n;
    return did;
}

/* ---- both directions of a leg; they belong to its tap, and outlive each stream */

struct agner_tracks {
    atomic_bool is_direct;          /* the leg's audio goes past the bridge */
    atomic_bool is_recorded;        /* and is wanted */
    struct agner_track left, right; /* what the leg says and hears */
};

static inline void agner_tracks_open(struct agner_tracks *tracks)
{
    agner_track_open(&tracks->left);
    agner_track_open(&tracks->right);
}

/* Returns whether a queue ran full since the last frame. */
static inline bool agner_tracks_take(struct agner_tracks *tracks, const int16_t *a_law, const int16_t *mu_law, int64_t now_ns,
                                     int16_t *left, int16_t *right, uint32_t n)
{
    agner_track_take(&tracks->left, a_law, mu_law, now_ns, left, n);
    agner_track_take(&tracks->right, a_law, mu_law, now_ns, right, n);
    return agner_track_overran(&tracks->left) | agner_track_overran(&tracks->right);
}

static inline bool agner_is_silence(const int16_t *left, const int16_t *right, uint32_t n)
{
    for (uint32_t i = 0; i < n; ++i)
        if (left[i] || right[i])
            return false;
    return true;
}

#endif
