/* From a recorded leg to the disk: one writer (the leg's tap), one reader (the writer thread), no locks, no waiting.
 *
 * The ring holds chunks: a header word with kind and length, a word with the sample rate, and for audio one word a
 * sample, the left channel in its low half. Lengths are samples per channel. What finds no room is counted, and told as
 * a LOST chunk of the same length before the next audio, so both channels and the clock stay where they were.
 *
 * A recording is as long as the time it recorded. Time without a stream is a PAUSE. Time that the bridge's clock jumped
 * over, because the engine got no CPU, is LOST: before a frame that clock tells it, at the end the clock on the wall.
 *
 * It has room for as long as the reader may stand still, and needs a tenth of that while it does not. So the writer goes
 * back to the front whenever all is taken, and the pages behind are memory only after a stall.
 *
 * A ring outlives the tap that fills it: a re-INVITE replaces the tap, and the reader is done only when the engine has
 * closed the ring and no tap holds it any more.
 */
#ifndef AGNER_RECORDING_RING_H
#define AGNER_RECORDING_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum agner_chunk_kind {
    AGNER_AUDIO,
    AGNER_PAUSE, /* the leg had no stream, as between two re-INVITEs: silence */
    AGNER_LOST,  /* the reader was too slow, or the bridge's clock jumped: silence, and counted */
};

struct agner_chunk {
    uint32_t kind, n_samples, rate;
};

struct agner_recording_ring {
    uint32_t n_words; /* a power of two */
    atomic_uint write, read;
    atomic_int n_taps;   /* taps that may write */
    atomic_bool closing; /* no tap takes it up any more */

    /* the writer's own; the reader looks at them only when nobody writes any more */
    uint64_t next_at;   /* the bridge's time after the last frame, in samples at next_rate; meaningless while that is 0 */
    uint32_t next_rate;
    int64_t written_ns;      /* when the last frame was, or a tap took the ring up; by agner_now_ns() */
    _Atomic int64_t left_ns; /* when a tap let go of it */
    uint32_t lost, lost_rate;
    uint32_t front; /* the count of words that words[0] stands for; changes only while all is taken, before `write` does */

    uint32_t words[];
};

/* More than frames of any length are uneven by on the bridge's clock, less than it ever jumps over (500 ms: PJMEDIA's
 * clock_thread.c). */
#define AGNER_JUMP_MS 250u

#define AGNER_CHUNK_HEADER 2u
#define AGNER_CHUNK_LENGTH(header) ((header) & 0x3fffffffu)

static inline struct agner_recording_ring *agner_ring_create(uint32_t min_words)
{
    struct agner_recording_ring *ring;
    uint32_t n_words = 1024;

    while (n_words < min_words)
        n_words *= 2;
    ring = mmap(NULL, sizeof(*ring) + n_words * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED)
        return NULL;
    ring->n_words = n_words;
    return ring;
}

static inline void agner_ring_free(struct agner_recording_ring *ring)
{
    munmap(ring, sizeof(*ring) + ring->n_words * sizeof(uint32_t));
}

static inline uint32_t agner_ring_place(const struct agner_recording_ring *ring, uint32_t at)
{
    return (at - ring->front) & (ring->n_words - 1);
}

static inline uint32_t *agner_ring_word(struct agner_recording_ring *ring, uint32_t at)
{
    return &ring->words[agner_ring_place(ring, at)];
}

/* Where the writer writes next. */
static inline uint32_t agner_ring_next(struct agner_recording_ring *ring)
{
    uint32_t write = atomic_load_explicit(&ring->write, memory_order_relaxed);

    if (atomic_load_explicit(&ring->read, memory_order_acquire) == write)
        ring->front = write;
    return write;
}

static inline uint32_t agner_ring_room(struct agner_recording_ring *ring, uint32_t write)
{
    return ring->n_words - (write - atomic_load_explicit(&ring->read, memory_order_acquire));
}

static inline void agner_ring_header(struct agner_recording_ring *ring, uint32_t at, struct agner_chunk chunk)
{
    *agner_ring_word(ring, at) = chunk.kind << 30 | AGNER_CHUNK_LENGTH(chunk.n_samples);
    *agner_ring_word(ring, at + 1) = chunk.rate;
}

static inline void agner_ring_lose(struct agner_recording_ring *ring, uint32_t n_samples, uint32_t rate)
{
    /* A leg that changed its rate while the reader stood still: count in the new one. */
    if (ring->lost && ring->lost_rate != rate)
        ring->lost = (uint32_t)((uint64_t)ring->lost * rate / ring->lost_rate);
    ring->lost += n_samples;
    ring->lost_rate = rate;
}

/* Silence of a known length. */
static inline void agner_ring_pause(struct agner_recording_ring *ring, uint32_t n_samples, uint32_t rate)
{
    uint32_t write = agner_ring_next(ring);

    if (ring->lost || agner_ring_room(ring, write) < AGNER_CHUNK_HEADER) {
        agner_ring_lose(ring, n_samples, rate);
        return;
    }
    agner_ring_header(ring, write, (struct agner_chunk){AGNER_PAUSE, n_samples, rate});
    atomic_store_explicit(&ring->write, write + AGNER_CHUNK_HEADER, memory_order_release);
}

/* Has the bridge's clock jumped from one time to the other? */
static inline bool agner_has_jumped(uint64_t from, uint64_t to, uint32_t rate)
{
    return to > from + rate / 1000 * AGNER_JUMP_MS;
}

/* Before a frame that begins at `at` of the bridge's time: what is missing since the last one. `is_first` of its tap:
 * another one wrote before, and for a while there was none. */
static inline void agner_ring_reach(struct agner_recording_ring *ring, uint64_t at, int64_t now_ns, bool is_first,
                                    uint32_t n_samples, uint32_t rate)
{
    uint64_t due = ring->next_at;

    if (is_first)
        due = ring->next_rate ? ring->next_at * rate / ring->next_rate : at;
    if (is_first && at > due)
        agner_ring_pause(ring, (uint32_t)(at - due), rate);
    else if (agner_has_jumped(due, at, rate))
        agner_ring_lose(ring, (uint32_t)(at - due), rate);
    ring->next_at = at + n_samples;
    ring->next_rate = rate;
    ring->written_ns = now_ns;
}

/* One frame of both channels; NULL is silence. */
static inline void agner_ring_audio(struct agner_recording_ring *ring, const int16_t *left, const int16_t *right,
                                    uint32_t n_samples, uint32_t rate)
{
    uint32_t write = agner_ring_next(ring);

    if (agner_ring_room(ring, write) < n_samples + 2 * AGNER_CHUNK_HEADER) {
        agner_ring_lose(ring, n_samples, rate);
        return;
    }
    if (ring->lost) {
        agner_ring_header(ring, write, (struct agner_chunk){AGNER_LOST, ring->lost, ring->lost_rate});
        write += AGNER_CHUNK_HEADER;
        ring->lost = 0;
    }
    agner_ring_header(ring, write, (struct agner_chunk){AGNER_AUDIO, n_samples, rate});
    write += AGNER_CHUNK_HEADER;
    for (uint32_t i = 0; i < n_samples; ++i)
        *agner_ring_word(ring, write + i) =
            (uint32_t)(uint16_t)(left ? left[i] : 0) | (uint32_t)(uint16_t)(right ? right[i] : 0) << 16;
    atomic_store_explicit(&ring->write, write + n_samples, memory_order_release);
}

/* A frame at `at` of the bridge's time, after what is missing before it; `is_lost`: it is missing as well. */
static inline void agner_ring_frame(struct agner_recording_ring *ring, uint64_t at, int64_t now_ns, bool is_first,
                                    const int16_t *left, const int16_t *right, uint32_t n_samples, uint32_t rate,
                                    bool is_lost)
{
    agner_ring_reach(ring, at, now_ns, is_first, n_samples, rate);
    if (is_lost)
        agner_ring_lose(ring, n_samples, rate);
    else
        agner_ring_audio(ring, left, right, n_samples, rate);
}

static inline bool agner_ring_is_done(struct agner_recording_ring *ring)
{
    return atomic_load_explicit(&ring->closing, memory_order_acquire) &&
           atomic_load_explicit(&ring->n_taps, memory_order_acquire) == 0;
}

/* Nobody writes any more: the last tap went when the bridge's clock had not moved for long. */
static inline void agner_ring_lose_end(struct agner_recording_ring *ring)
{
    int64_t left_ns = atomic_load_explicit(&ring->left_ns, memory_order_relaxed);
    int64_t ms = (left_ns - ring->written_ns) / 1000000;

    if (ms > AGNER_JUMP_MS && ring->next_rate)
        agner_ring_lose(ring, (uint32_t)(ms * ring->next_rate / 1000), ring->next_rate);
    ring->written_ns = left_ns;
}

/* Take the next chunk: audio as far as one rate reaches, at most `room` samples, into `out` as words; or one silence.
 * `done` is what agner_ring_is_done() said before: then what was lost at the very end is told too. */
static inline bool agner_ring_take(struct agner_recording_ring *ring, bool done, uint32_t *out, uint32_t room,
                                   struct agner_chunk *chunk)
{
    uint32_t write = atomic_load_explicit(&ring->write, memory_order_acquire);
    uint32_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);

    *chunk = (struct agner_chunk){AGNER_AUDIO, 0, 0};
    while (read != write) {
        uint32_t header = *agner_ring_word(ring, read), rate = *agner_ring_word(ring, read + 1);
        uint32_t kind = header >> 30, n_samples = AGNER_CHUNK_LENGTH(header);

        if (chunk->n_samples && (kind != AGNER_AUDIO || rate != chunk->rate))
            break;
        if (kind == AGNER_AUDIO && chunk->n_samples + n_samples > room)
            break;
        read += AGNER_CHUNK_HEADER;
        if (kind == AGNER_AUDIO) {
            uint32_t to_end = ring->n_words - agner_ring_place(ring, read);
            uint32_t n_first = n_samples < to_end ? n_samples : to_end;

            memcpy(out + chunk->n_samples, agner_ring_word(ring, read), n_first * sizeof(uint32_t));
            memcpy(out + chunk->n_samples + n_first, ring->words, (n_samples - n_first) * sizeof(uint32_t));
            read += n_samples;
        }
        *chunk = (struct agner_chunk){kind, chunk->n_samples + n_samples, rate};
        if (kind != AGNER_AUDIO)
            break;
    }
    atomic_store_explicit(&ring->read, read, memory_order_release);
    if (chunk->n_samples == 0 && read == write && done)
        agner_ring_lose_end(ring);
    if (chunk->n_samples == 0 && read == write && done && ring->lost) {
        *chunk = (struct agner_chunk){AGNER_LOST, ring->lost, ring->lost_rate};
        ring->lost = 0;
    }
    return chunk->n_samples > 0;
}

#endif
