/* One outgoing RTP stream that several sources feed in turn: the leg's own PJMEDIA stream, the leg it talks to, its queue
 * audio. To the far side it is a single one (RFC 3550 section 5.1): one SSRC, sequence numbers without a gap, time stamps
 * that go on as time does. Within a source both are only shifted, so what was lost or came out of order before us is
 * still seen to be. Pure: no sockets, no clock.
 */
#ifndef AGNER_RTP_REWRITE_H
#define AGNER_RTP_REWRITE_H

#include <stdbool.h>
#include <stdint.h>

/* RFC 3550 appendix A.1: a source whose numbers jump further has begun anew. */
#define AGNER_RTP_MAX_DROPOUT 3000
#define AGNER_RTP_MAX_MISORDER 100

struct agner_rtp_head {
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    bool marker;
};

struct agner_rtp_out {
    uint32_t ssrc; /* the same for the stream's whole life */
    uint32_t rate; /* time stamps a second */
    bool has_begun;
    /* the newest packet that went out */
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t length; /* of the newest audio, in time stamps */
    int64_t at_ns;   /* when its time stamp first went out */
    /* the source now */
    uint64_t source;
    uint32_t source_ssrc;
    uint16_t source_sequence; /* its newest */
    uint16_t sequence_shift;
    uint32_t timestamp_shift;
    uint32_t n_packets, n_octets; /* as sender reports count them: modulo 2^32 */
};

static inline bool agner_rtp_is_other(const struct agner_rtp_out *out, uint64_t source, const struct agner_rtp_head *head)
{
    int16_t step = (int16_t)(head->sequence - out->source_sequence);

    return !out->has_begun || source != out->source || head->ssrc != out->source_ssrc ||
           step > AGNER_RTP_MAX_DROPOUT || step < -AGNER_RTP_MAX_MISORDER;
}

/* Where a new source goes on: the next number, and the time stamp that the time since the last packet gives, in whole
 * frames, one at least. */
static inline void agner_rtp_join(struct agner_rtp_out *out, uint64_t source, struct agner_rtp_head *head, int64_t now_ns)
{
    uint16_t sequence = head->sequence;
    uint32_t timestamp = head->timestamp;

    if (out->has_begun) {
        uint64_t frame = out->length ? out->length : 1;
        uint64_t passed = now_ns > out->at_ns ? (uint64_t)(now_ns - out->at_ns) / 1000 * out->rate / 1000000 : 0;
        uint64_t n_frames = (passed + frame / 2) / frame;

        sequence = (uint16_t)(out->sequence + 1);
        timestamp = out->timestamp + (uint32_t)((n_frames ? n_frames : 1) * frame);
        head->marker = true;
    }
    out->source = source;
    out->source_ssrc = head->ssrc;
    out->source_sequence = head->sequence;
    out->sequence_shift = (uint16_t)(sequence - head->sequence);
    out->timestamp_shift = timestamp - head->timestamp;
}

/* The head under which the source's packet goes out. `length`: of its audio in time stamps; 0: it is an event. */
static inline void agner_rtp_rewrite(struct agner_rtp_out *out, uint64_t source, struct agner_rtp_head *head,
                                     uint32_t length, uint32_t n_octets, int64_t now_ns)
{
    if (agner_rtp_is_other(out, source, head))
        agner_rtp_join(out, source, head, now_ns);
    else if ((int16_t)(head->sequence - out->source_sequence) > 0)
        out->source_sequence = head->sequence;
    head->sequence = (uint16_t)(head->sequence + out->sequence_shift);
    head->timestamp += out->timestamp_shift;
    head->ssrc = out->ssrc;
    if (!out->has_begun || (int16_t)(head->sequence - out->sequence) > 0) {
        if (!out->has_begun || head->timestamp != out->timestamp)
            out->at_ns = now_ns;
        out->sequence = head->sequence;
        out->timestamp = head->timestamp;
        if (length)
            out->length = length;
    }
    out->has_begun = true;
    ++out->n_packets;
    out->n_octets += n_octets;
}

/* A packet of this source stays behind: no gap for it. */
static inline void agner_rtp_skip(struct agner_rtp_out *out, uint64_t source)
{
    if (out->has_begun && source == out->source)
        --out->sequence_shift;
}

/* ---- a packet as it lies on the wire, RFC 3550 section 5.1 */

#define AGNER_RTP_HEADER 12

struct agner_rtp_packet {
    struct agner_rtp_head head;
    uint8_t type;
    uint8_t *payload;
    uint32_t n; /* octets of it */
};

static inline void agner_write32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 24);
    to[1] = (uint8_t)(value >> 16);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

static inline uint32_t agner_read32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* False: it is none. */
static inline bool agner_rtp_parse(uint8_t *packet, uint32_t size, struct agner_rtp_packet *to)
{
    uint32_t at = AGNER_RTP_HEADER, padding = 0;

    if (size < AGNER_RTP_HEADER || packet[0] >> 6 != 2)
        return false;
    at += 4u * (packet[0] & 0x0f);
    if (packet[0] & 0x10) {
        if (size < at + 4)
            return false;
        at += 4 + 4u * ((uint32_t)packet[at + 2] << 8 | packet[at + 3]);
    }
    if (packet[0] & 0x20)
        padding = packet[size - 1];
    if (at + padding > size)
        return false;
    to->head = (struct agner_rtp_head){(uint16_t)(packet[2] << 8 | packet[3]), agner_read32(packet + 4),
                                       agner_read32(packet + 8), packet[1] >> 7};
    to->type = packet[1] & 0x7f;
    to->payload = packet + at;
    to->n = size - at - padding;
    return true;
}

#endif
