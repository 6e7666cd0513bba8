/* The pure parts of the relay (rtp_rewrite.h, rtp_report.h, rtp_track.h) as functions for ctypes. */
#include <stdlib.h>

#include "rtp_report.h"
#include "rtp_rewrite.h"
#include "rtp_track.h"

struct agner_rtp_out *out_new(uint32_t ssrc)
{
    struct agner_rtp_out *out = calloc(1, sizeof(*out));

    out->ssrc = ssrc;
    out->rate = 8000;
    return out;
}

void out_rewrite(struct agner_rtp_out *out, uint64_t source, uint32_t ssrc, uint16_t *sequence, uint32_t *timestamp,
                 int *marker, uint32_t length, uint32_t n_octets, int64_t now_ns)
{
    struct agner_rtp_head head = {*sequence, *timestamp, ssrc, *marker};

    agner_rtp_rewrite(out, source, &head, length, n_octets, now_ns);
    *sequence = head.sequence;
    *timestamp = head.timestamp;
    *marker = head.marker;
}

void out_skip(struct agner_rtp_out *out, uint64_t source)
{
    agner_rtp_skip(out, source);
}

struct agner_rtp_in *in_new(void)
{
    struct agner_rtp_in *in = calloc(1, sizeof(*in));

    in->rate = 8000;
    return in;
}

void in_received(struct agner_rtp_in *in, uint32_t ssrc, uint16_t sequence, uint32_t timestamp, int64_t now_ns)
{
    struct agner_rtp_head head = {sequence, timestamp, ssrc, false};

    agner_rtp_received(in, &head, now_ns);
}

void in_block(struct agner_rtp_in *in, uint8_t *block, int64_t now_ns)
{
    agner_rtcp_block(in, block, now_ns);
}

uint32_t compose(struct agner_rtp_in *in, struct agner_rtp_out *out, uint8_t *to, int64_t now_ns, int64_t utc_ns)
{
    return agner_rtcp_compose(in, out, "a@agner", 7, to, now_ns, utc_ns);
}

struct agner_track *track_new(void)
{
    struct agner_track *track = aligned_alloc(AGNER_CACHE_LINE, sizeof(*track));

    memset(track, 0, sizeof(*track));
    agner_track_open(track);
    return track;
}

void track_put(struct agner_track *track, uint32_t timestamp, uint32_t ssrc, const uint8_t *payload, uint32_t n,
               int64_t now_ns)
{
    agner_track_put(track, timestamp, ssrc, payload, n, false, now_ns);
}

/* The codes themselves, so that 0 is silence. Returns whether the queue ran full. */
int track_take(struct agner_track *track, int64_t now_ns, int16_t *out, uint32_t n)
{
    static int16_t codes[256];

    for (int i = 0; i < 256; ++i)
        codes[i] = (int16_t)i;
    agner_track_take(track, codes, codes, now_ns, out, n);
    return agner_track_overran(track);
}
