/* What a frame of the generator carries: who sent it, its number and the time, as audio that survives G.711 both ways.
 *
 * A nibble of the stamp is one sample: sign and segment of the G.711 code, with the mantissa in the middle of the segment.
 * A decoder, a mixer with nothing else in it and an encoder leave it alone; a switch that cuts the audio into other frames
 * than it got only moves it, so it is looked for at any sample. The same law must be used on both legs. The rest of the
 * frame is a quiet tone, so that a recording is something to hear. With other audio mixed in, there is no stamp.
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

/* Is there an intact stamp at these STAMP_SAMPLES bytes? */
int stamp_read(const uint8_t *audio, enum stamp_law law, struct stamp *stamp);

/* Where in audio[from..to) an intact stamp begins; -1 if nowhere. Reads STAMP_SAMPLES - 1 bytes beyond `to`. */
int stamp_find(const uint8_t *audio, int from, int to, enum stamp_law law, struct stamp *stamp);

#endif
