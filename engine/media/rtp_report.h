/* What RTCP says of the RTP that a leg receives and sends (RFC 3550 section 6.4, appendices A.1, A.3, A.8). Pure. */
#ifndef AGNER_RTP_REPORT_H
#define AGNER_RTP_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "rtp_rewrite.h"

#define AGNER_RTCP_SR 200
#define AGNER_RTCP_RR 201
#define AGNER_RTCP_SDES 202
#define AGNER_RTCP_BLOCK 24 /* octets of a report block */
#define AGNER_RTCP_SENDER 20
#define AGNER_UNIX_IN_NTP 2208988800u /* 1970 in seconds since 1900 */

struct agner_rtp_in {
    bool has_begun;
    uint32_t ssrc, rate;
    uint32_t base, highest; /* sequence numbers, extended by the count of their cycles */
    uint32_t n_received, expected_prior, received_prior;
    uint32_t transit, jitter; /* jitter in 1/16 of a time stamp */
    uint32_t last_sr;         /* the middle of its NTP time stamp */
    int64_t last_sr_ns;
};

static inline void agner_rtp_received(struct agner_rtp_in *in, const struct agner_rtp_head *head, int64_t now_ns)
{
    uint32_t transit = (uint32_t)((uint64_t)now_ns / 1000 * in->rate / 1000000) - head->timestamp;
    int16_t step = (int16_t)(head->sequence - (uint16_t)in->highest);

    if (!in->has_begun || head->ssrc != in->ssrc || step > AGNER_RTP_MAX_DROPOUT || step < -AGNER_RTP_MAX_MISORDER) {
        uint32_t rate = in->rate;

        *in = (struct agner_rtp_in){.has_begun = true, .ssrc = head->ssrc, .rate = rate, .transit = transit};
        in->base = in->highest = head->sequence;
    } else if (step > 0) {
        in->highest += (uint32_t)step;
    }
    ++in->n_received;
    int32_t change = (int32_t)(transit - in->transit);
    in->transit = transit;
    if (change < 0)
        change = -change;
    if ((uint32_t)change < in->rate) /* a source that began its time stamps anew is not jitter */
        in->jitter += (uint32_t)change - ((in->jitter + 8) >> 4);
}

static inline void agner_rtcp_received(struct agner_rtp_in *in, const uint8_t *packet, uint32_t size, int64_t now_ns)
{
    if (size >= 28 && packet[0] >> 6 == 2 && packet[1] == AGNER_RTCP_SR) {
        in->last_sr = agner_read32(packet + 10);
        in->last_sr_ns = now_ns;
    }
}

static inline void agner_rtcp_block(struct agner_rtp_in *in, uint8_t *to, int64_t now_ns)
{
    uint32_t expected = in->highest - in->base + 1;
    int32_t lost = (int32_t)(expected - in->n_received);
    uint32_t expected_now = expected - in->expected_prior;
    int32_t lost_now = (int32_t)(expected_now - (in->n_received - in->received_prior));
    uint32_t fraction = expected_now && lost_now > 0 ? ((uint32_t)lost_now << 8) / expected_now : 0;

    in->expected_prior = expected;
    in->received_prior = in->n_received;
    lost = lost > 0x7fffff ? 0x7fffff : lost < -0x800000 ? -0x800000 : lost;
    agner_write32(to, in->ssrc);
    agner_write32(to + 4, (fraction > 255 ? 255 : fraction) << 24 | ((uint32_t)lost & 0xffffff));
    agner_write32(to + 8, in->highest);
    agner_write32(to + 12, in->jitter >> 4);
    agner_write32(to + 16, in->last_sr);
    agner_write32(to + 20, in->last_sr ? (uint32_t)((uint64_t)(now_ns - in->last_sr_ns) / 1000 * 65536 / 1000000) : 0);
}

/* The sender's part of a report: when, on both clocks, and how much. */
static inline void agner_rtcp_sender(const struct agner_rtp_out *out, uint8_t *to, int64_t now_ns, int64_t utc_ns)
{
    uint64_t since_us = now_ns > out->at_ns ? (uint64_t)(now_ns - out->at_ns) / 1000 : 0;

    agner_write32(to, (uint32_t)(utc_ns / 1000000000) + AGNER_UNIX_IN_NTP);
    agner_write32(to + 4, (uint32_t)(((uint64_t)(utc_ns % 1000000000) << 32) / 1000000000));
    agner_write32(to + 8, out->timestamp + (uint32_t)(since_us * out->rate / 1000000));
    agner_write32(to + 12, out->n_packets);
    agner_write32(to + 16, out->n_octets);
}

/* Put the truth into a report that the PJMEDIA stream made: it has not seen what went past it. */
static inline void agner_rtcp_correct(struct agner_rtp_in *in, const struct agner_rtp_out *out, uint8_t *packet, uint32_t size,
                                      int64_t now_ns, int64_t utc_ns)
{
    uint32_t at = 8;

    if (size < 8 || (packet[1] != AGNER_RTCP_SR && packet[1] != AGNER_RTCP_RR))
        return;
    if (packet[1] == AGNER_RTCP_SR) {
        if (size < at + AGNER_RTCP_SENDER)
            return;
        agner_rtcp_sender(out, packet + at, now_ns, utc_ns);
        at += AGNER_RTCP_SENDER;
    }
    if ((packet[0] & 0x1f) == 1 && size >= at + AGNER_RTCP_BLOCK && in->has_begun)
        agner_rtcp_block(in, packet + at, now_ns);
}

/* SR or RR with one block, and SDES with the CNAME. Returns its size; `to` has room for 340 octets. */
static inline uint32_t agner_rtcp_compose(struct agner_rtp_in *in, const struct agner_rtp_out *out, const char *cname,
                                          uint32_t n_cname, uint8_t *to, int64_t now_ns, int64_t utc_ns)
{
    uint32_t at = 8, sdes;

    to[1] = out->n_packets ? AGNER_RTCP_SR : AGNER_RTCP_RR;
    agner_write32(to + 4, out->ssrc);
    if (out->n_packets) {
        agner_rtcp_sender(out, to + at, now_ns, utc_ns);
        at += AGNER_RTCP_SENDER;
    }
    to[0] = 0x80;
    if (in->has_begun) {
        to[0] |= 1;
        agner_rtcp_block(in, to + at, now_ns);
        at += AGNER_RTCP_BLOCK;
    }
    to[2] = 0;
    to[3] = (uint8_t)(at / 4 - 1);
    sdes = at;
    n_cname = n_cname > 255 ? 255 : n_cname;
    to[at++] = 0x81;
    to[at++] = AGNER_RTCP_SDES;
    at += 2;
    agner_write32(to + at, out->ssrc);
    at += 4;
    to[at++] = 1; /* CNAME */
    to[at++] = (uint8_t)n_cname;
    memcpy(to + at, cname, n_cname);
    at += n_cname;
    do
        to[at++] = 0;
    while (at % 4);
    to[sdes + 2] = 0;
    to[sdes + 3] = (uint8_t)((at - sdes) / 4 - 1);
    return at;
}

#endif
