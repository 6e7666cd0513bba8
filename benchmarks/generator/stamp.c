#include "stamp.h"

#include <math.h>

#define TONE_AMPLITUDE 1600.0 /* of 32,767: about -26 dBFS */
#define MIDDLE 8u             /* of a segment's 16 steps */

/* G.711 turns every even bit (A-law) or every bit (u-law) round on the line. */
static uint8_t line_mask(enum stamp_law law)
{
    return law == STAMP_PCMA ? 0x55 : 0xff;
}

/* ITU-T G.711, from 16-bit linear; sign bit 1 is positive before the mask. */
static uint8_t encode(int sample, enum stamp_law law)
{
    unsigned sign = sample >= 0 ? 0x80 : 0;
    unsigned magnitude = (unsigned)(sample >= 0 ? sample : -sample);
    unsigned segment = 0;

    if (law == STAMP_PCMA) {
        while (segment < 7 && magnitude >= 256u << segment)
            segment++;
        unsigned step = segment > 1 ? magnitude >> (segment + 3) : magnitude >> 4;
        return (uint8_t)((sign | segment << 4 | (step & 15)) ^ line_mask(law));
    }
    magnitude += 132;
    while (segment < 7 && magnitude >= 256u << segment)
        segment++;
    return (uint8_t)(((sign ^ 0x80) | segment << 4 | (magnitude >> (segment + 3) & 15)) ^ line_mask(law));
}

static uint32_t check(const struct stamp *stamp)
{
    uint64_t x = ((uint64_t)stamp->sender << 32 | stamp->time_us) ^ (uint64_t)stamp->number * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(x >> 32);
}

void stamp_fill_tone(uint8_t *frame, enum stamp_law law, uint32_t sender)
{
    double frequency = 400.0 + 50.0 * (sender % 24); /* whole periods in 20 ms: no click between frames */
    for (int i = 0; i < STAMP_FRAME; i++)
        frame[i] = encode((int)lrint(TONE_AMPLITUDE * sin(2 * M_PI * frequency * i / 8000.0)), law);
}

static uint8_t *put_bits(uint8_t *at, uint32_t value, int n_nibbles, uint8_t mask)
{
    for (int i = n_nibbles - 1; i >= 0; i--)
        *at++ = (uint8_t)(((value >> 4 * i & 15) << 4 | MIDDLE) ^ mask);
    return at;
}

static const uint8_t *get_bits(const uint8_t *at, uint32_t *value, int n_nibbles, uint8_t mask)
{
    uint32_t v = 0;
    while (n_nibbles--)
        v = v << 4 | (uint32_t)((*at++ ^ mask) >> 4);
    *value = v;
    return at;
}

void stamp_write(uint8_t *frame, enum stamp_law law, const struct stamp *stamp)
{
    uint8_t mask = line_mask(law);
    frame = put_bits(frame, stamp->sender, 8, mask);
    frame = put_bits(frame, stamp->time_us, 8, mask);
    frame = put_bits(frame, stamp->number, 4, mask);
    put_bits(frame, check(stamp), 8, mask);
}

int stamp_read(const uint8_t *audio, enum stamp_law law, struct stamp *stamp)
{
    uint8_t mask = line_mask(law);
    uint32_t number, sum;
    audio = get_bits(audio, &stamp->sender, 8, mask);
    audio = get_bits(audio, &stamp->time_us, 8, mask);
    audio = get_bits(audio, &number, 4, mask);
    get_bits(audio, &sum, 8, mask);
    stamp->number = (uint16_t)number;
    return sum == check(stamp);
}

int stamp_find(const uint8_t *audio, int from, int to, enum stamp_law law, struct stamp *stamp)
{
    uint8_t middle = (line_mask(law) & 15) ^ MIDDLE;
    for (int at = from; at < to; at++) { /* few samples are in the middle of their segment, fewer four in a row */
        const uint8_t *a = audio + at;
        if (!(((a[0] ^ middle) | (a[1] ^ middle) | (a[2] ^ middle) | (a[3] ^ middle)) & 15) && stamp_read(a, law, stamp))
            return at;
    }
    return -1;
}
