/* What a frame of the generator carries: who sent it, its number and the time, as audio that survives G.711 both ways.
 *
 * A nibble of the stamp is one sample: sign and segment of the G.711 code, with the mantissa in the middle of the segment, so
 * that a decoder, a mixer with nothing else in it and an encoder leave it alone. The same law must be used on both legs. The
 * rest of the frame is a quiet tone, so that a recording is something to hear. A frame with other audio mixed in fails the
 * check and counts as unstamped.
 */
#ifndef AGNER_STAMP_H
#define AGNER_STAMP_H

#include <stdint.h>

#define STAMP_FRAME 160   /* samples and bytes: 20 ms of G.711 */
#define STAMP_SAMPLES 28  /* 14 bytes, two samples each */

enum stamp_law { STAMP_PCMU = 0, STAMP_PCMA = 8 }; /* the RTP payload types of RFC 3551 */

struct stamp {
    uint32_t sender;   /* the stream's id */
    uint32_t time_us;  /* real time modulo 2^32 us */
    uint16_t number;   /* of the frame within the stream */
};

void stamp_fill_tone(uint8_t *frame, enum stamp_law law, uint32_t sender);
void stamp_write(uint8_t *frame, enum stamp_law law, const struct stamp *stamp);

/* Returns 0 if the frame carries no intact stamp. */
int stamp_read(const uint8_t *frame, enum stamp_law law, struct stamp *stamp);

#endif
