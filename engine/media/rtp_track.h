/* From the RTP thread to the recording: what a leg says, or hears, where the packets go past the conference bridge.
 *
 * One writer (the RTP thread) queues the packets as they come; one reader (the tap's put_frame, whose calls are the
 * recording's clock) looks where each belongs by its RTP time stamp, and takes a frame at a time out of those whose time
 * it is. Both directions lie AGNER_TRACK_DELAY behind their arrival, so that what was said at one moment stands at one
 * place on both channels. A packet that comes later than that is silence, as one that never came; a direction whose clock
 * drifts away is placed anew by arrival. What lies too far ahead, after the reader's clock stood still, waits in the
 * queue. A queue that runs full is told as lost, as the ring behind it does.
 *
 * Hundreds of these do not fit into a CPU's cache. So a sample lies in its packet until it is taken, a packet of 20 ms is
 * three cache lines, and writer and reader each have their own.
 */
#ifndef AGNER_RTP_TRACK_H
#define AGNER_RTP_TRACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define AGNER_TRACK_RATE 8000
#define AGNER_TRACK_PACKETS 16u /* in the queue; a power of two: 320 ms of 20 ms packets */
#define AGNER_TRACK_BYTES 240u  /* of one; longer ones take several */
#define AGNER_TRACK_DELAY 480   /* samples: 60 ms */
#define AGNER_TRACK_WINDOW 1024 /* samples: what may lie ahead of the reader outside the queue, as many packets at most */
#define AGNER_TRACK_DRIFT 320   /* samples: further from its arrival than that, a direction is placed anew ... */
#define AGNER_TRACK_PATIENCE (AGNER_TRACK_PACKETS + 2) /* ... after so many packets in a row: a full queue may be late */
#define AGNER_TRACK_FRAME 160u  /* samples: what is best taken at once */
#define AGNER_TRACK_JUMP_S 10   /* a jump of the reader's clock that is longer is a beginning */
#define AGNER_CACHE_LINE 64

struct agner_track_packet {
    uint32_t at; /* when it came, in samples */
    uint32_t timestamp, ssrc;
    uint8_t n;
    bool is_mu_law;
    uint8_t payload[AGNER_TRACK_BYTES];
};

struct agner_track {
    _Alignas(AGNER_CACHE_LINE) struct agner_track_packet packets[2 * AGNER_TRACK_PACKETS];

    _Alignas(AGNER_CACHE_LINE) atomic_uint write;
    atomic_uint n_overruns; /* packets that found no room */

    _Alignas(AGNER_CACHE_LINE) atomic_uint seen; /* the reader has looked at those before: out of the queue */
    /* the reader's own */
    unsigned taken; /* those before lie behind it; at most AGNER_TRACK_PACKETS less than `seen` */
    bool is_placed;
    uint32_t ssrc, next; /* the time stamp of the next sample to take */
    unsigned n_astray, n_overruns_told;
    uint32_t waits_since; /* when a packet that lies too far ahead was last counted as astray */
    _Alignas(AGNER_CACHE_LINE) uint32_t starts[AGNER_TRACK_PACKETS]; /* time stamps of the packets from `taken` to `seen` */
};

static inline struct agner_track_packet *agner_track_packet(struct agner_track *track, unsigned at)
{
    return &track->packets[at % (2 * AGNER_TRACK_PACKETS)];
}

static inline uint32_t agner_track_time(int64_t ns)
{
    return (uint32_t)(ns / (1000000000 / AGNER_TRACK_RATE));
}

/* The writer. */
static inline void agner_track_put(struct agner_track *track, uint32_t timestamp, uint32_t ssrc, const uint8_t *payload,
                                   uint32_t n, bool is_mu_law, int64_t now_ns)
{
    unsigned write = atomic_load_explicit(&track->write, memory_order_relaxed);

    while (n) {
        uint32_t n_now = n < AGNER_TRACK_BYTES ? n : AGNER_TRACK_BYTES;
        struct agner_track_packet *packet = agner_track_packet(track, write);

        if (write - atomic_load_explicit(&track->seen, memory_order_acquire) == AGNER_TRACK_PACKETS) {
            atomic_fetch_add_explicit(&track->n_overruns, 1, memory_order_relaxed);
            return;
        }
        packet->at = agner_track_time(now_ns);
        packet->timestamp = timestamp;
        packet->ssrc = ssrc;
        packet->n = (uint8_t)n_now;
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
    track->taken = atomic_load_explicit(&track->write, memory_order_acquire);
    atomic_store_explicit(&track->seen, track->taken, memory_order_release);
    track->is_placed = false;
    track->n_overruns_told = atomic_load_explicit(&track->n_overruns, memory_order_relaxed);
}

static inline int32_t agner_track_age(const struct agner_track_packet *packet, uint32_t now)
{
    int32_t age = (int32_t)(now - packet->at);

    return age < 0 ? 0 : age > AGNER_TRACK_RATE ? AGNER_TRACK_RATE : age;
}

static inline void agner_track_place(struct agner_track *track, const struct agner_track_packet *packet, int32_t age)
{
    track->is_placed = true;
    track->n_astray = 0;
    track->ssrc = packet->ssrc;
    track->next = packet->timestamp - (uint32_t)(AGNER_TRACK_DELAY - (age < AGNER_TRACK_DELAY ? age : AGNER_TRACK_DELAY));
}

/* How many samples packet number `at` lies ahead of the reader, after placing the direction anew if it must be. */
static inline int32_t agner_track_ahead(struct agner_track *track, unsigned at, uint32_t now)
{
    const struct agner_track_packet *packet = agner_track_packet(track, at);
    int32_t age = agner_track_age(packet, now), ahead = (int32_t)(packet->timestamp - track->next);
    bool is_astray = ahead < 0 || ahead + age - AGNER_TRACK_DELAY > AGNER_TRACK_DRIFT;

    /* Late once is the network, or what waited while nobody had CPU; astray for long is a clock that drifts, and a second
     * ahead is a source that begins anew. */
    track->n_astray = is_astray ? track->n_astray + 1 : 0;
    if (!track->is_placed || packet->ssrc != track->ssrc || ahead > AGNER_TRACK_RATE ||
        track->n_astray == AGNER_TRACK_PATIENCE) {
        agner_track_place(track, packet, age);
        track->taken = at; /* what came before has no place any more */
        ahead = (int32_t)(packet->timestamp - track->next);
    }
    return ahead;
}

/* What of the packet lies in the n samples from `next` on. */
static inline void agner_track_decode(const struct agner_track *track, const struct agner_track_packet *packet,
                                      const int16_t *table, int16_t *out, uint32_t n)
{
    int32_t begin = (int32_t)(packet->timestamp - track->next), end = begin + packet->n;
    int32_t from = begin < 0 ? 0 : begin, to = end < (int32_t)n ? end : (int32_t)n;

    for (int32_t i = from; i < to; ++i)
        out[i] = table[packet->payload[i - begin]];
}

/* The reader: the next n samples of this direction. The laws' tables decode. */
static inline void agner_track_take(struct agner_track *track, const int16_t *a_law, const int16_t *mu_law, int64_t now_ns,
                                    int16_t *out, uint32_t n)
{
    unsigned seen = atomic_load_explicit(&track->seen, memory_order_relaxed);
    unsigned write = atomic_load_explicit(&track->write, memory_order_acquire);
    uint32_t now = agner_track_time(now_ns);

    for (; seen != write && seen - track->taken != AGNER_TRACK_PACKETS; ++seen) {
        const struct agner_track_packet *packet = agner_track_packet(track, seen);
        unsigned n_astray = track->n_astray;

        if (agner_track_ahead(track, seen, now) + packet->n > AGNER_TRACK_WINDOW) {
            if (now - track->waits_since < n)
                track->n_astray = n_astray; /* a reader that makes up for lost time looks at it again and again */
            else
                track->waits_since = now;
            break;
        }
        track->starts[seen % AGNER_TRACK_PACKETS] = packet->timestamp;
    }
    atomic_store_explicit(&track->seen, seen, memory_order_release);
    memset(out, 0, n * sizeof(*out));
    for (unsigned at = track->taken; at != seen; ++at) {
        const struct agner_track_packet *packet = agner_track_packet(track, at);

        if ((int32_t)(track->starts[at % AGNER_TRACK_PACKETS] - track->next) >= (int32_t)n)
            continue; /* not yet, and so its lines are not touched */
        agner_track_decode(track, packet, packet->is_mu_law ? mu_law : a_law, out, n);
        if (at == track->taken && (int32_t)(packet->timestamp + packet->n - track->next) <= (int32_t)n)
            ++track->taken;
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
