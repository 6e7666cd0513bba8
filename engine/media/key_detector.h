/* Keys of a telephone in audio (DTMF, ITU-T Q.23), for a caller whose phone or gateway cannot send them as events.
 *
 * Goertzel filters for the eight tones over blocks of 12.75 ms. A block has a key where the strongest tone of each group
 * is loud enough (-38 dBFS), neither of the two is 8 dB above the other, each is 8 dB above the rest of its group, and
 * together they hold two thirds of the block's energy, which speech does not. Two such blocks running are a key: 40 ms of
 * tone always are (ITU-T Q.24), 20 ms one time in six, 15 ms never. After two blocks without it, it can be pressed again.
 */
#ifndef AGNER_KEY_DETECTOR_H
#define AGNER_KEY_DETECTOR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

struct agner_key_detector {
    unsigned block, n; /* samples: of a block, of this one so far */
    float coefficient[8], last[8], last_but_one[8], energy;
    char before, pressed; /* of the block before; told and not yet let go; 0: none */
};

static inline void agner_keys_init(struct agner_key_detector *keys, unsigned rate)
{
    static const float hz[8] = {697, 770, 852, 941, 1209, 1336, 1477, 1633};

    memset(keys, 0, sizeof(*keys));
    keys->block = rate * 51 / 4000;
    for (int i = 0; i < 8; ++i)
        keys->coefficient[i] = 2 * cosf(2 * (float)M_PI * hz[i] / (float)rate);
}

static inline char agner_keys_of_block(const struct agner_key_detector *keys)
{
    const float n = (float)keys->block, least = 400.0f * n / 2, ratio = 6.3f;
    float power[8];
    int row = 0, column = 4;

    for (int i = 0; i < 8; ++i)
        power[i] = keys->last[i] * keys->last[i] + keys->last_but_one[i] * keys->last_but_one[i] -
                   keys->coefficient[i] * keys->last[i] * keys->last_but_one[i];
    for (int i = 1; i < 4; ++i) {
        row = power[i] > power[row] ? i : row;
        column = power[4 + i] > power[column] ? 4 + i : column;
    }
    if (power[row] < least * least || power[column] < least * least)
        return 0;
    if (power[row] > ratio * power[column] || power[column] > ratio * power[row])
        return 0;
    for (int i = 0; i < 8; ++i)
        if (i != row && i != column && power[i] * ratio > power[i < 4 ? row : column])
            return 0;
    if (power[row] + power[column] < 0.67f * keys->energy * n / 2)
        return 0;
    return "123A456B789C*0#D"[row * 4 + column - 4];
}

/* The key that begins to count in these samples, 0 if none does. They must be shorter than two blocks. */
static inline char agner_keys_hear(struct agner_key_detector *keys, const int16_t *samples, unsigned n_samples)
{
    char told = 0;

    for (unsigned at = 0; at < n_samples; ++at) {
        const float x = samples[at];

        for (int i = 0; i < 8; ++i) {
            const float next = x + keys->coefficient[i] * keys->last[i] - keys->last_but_one[i];

            keys->last_but_one[i] = keys->last[i];
            keys->last[i] = next;
        }
        keys->energy += x * x;
        if (++keys->n == keys->block) {
            const char key = agner_keys_of_block(keys);

            if (key && key == keys->before && key != keys->pressed)
                told = keys->pressed = key;
            if (!key && !keys->before)
                keys->pressed = 0;
            keys->before = key;
            keys->n = 0;
            keys->energy = 0;
            memset(keys->last, 0, sizeof(keys->last));
            memset(keys->last_but_one, 0, sizeof(keys->last_but_one));
        }
    }
    return told;
}

#endif
