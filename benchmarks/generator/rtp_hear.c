/* Hearing: what came in is told apart, its sequence and its stamps are followed, and what is wrong is counted. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "rtp_internal.h"

#define RECEIVE_SIZE 512
#define SAMPLE_US 125
#define EARLY_FRAMES 50

static struct stream *find_stream(struct rtp_source *source, const struct sockaddr_in *from, uint32_t ssrc)
{
    struct stream *stream = source->by_port[ntohs(from->sin_port)];
    if (stream && stream->to.sin_addr.s_addr == from->sin_addr.s_addr)
        return stream;
    for (stream = source->by_ssrc[ssrc % N_SSRC_CHAINS]; stream; stream = stream->next)
        if (stream->remote_ssrc == ssrc)
            return stream;
    return NULL;
}

static void follow_wire(struct stream *stream, uint32_t ssrc, uint16_t sequence, uint32_t timestamp, int64_t at_us)
{
    struct rtp_result *result = &stream->result;
    int is_new = !result->n_ssrc || ssrc != stream->heard_ssrc;

    if (is_new) { /* a new source counts anew */
        stream->heard_ssrc = ssrc;
        stream->heard_timestamp = timestamp;
        result->n_ssrc++;
        result->wire.started = 0;
        result->wire.span = 0;
    }
    int64_t transit = at_us - (int64_t)(int32_t)(timestamp - stream->heard_timestamp) * SAMPLE_US;
    if (is_new)
        stream->transit_min = stream->transit_last = transit;
    sequence_put(&result->wire, sequence);
    if (transit < stream->transit_min)
        stream->transit_min = transit;
    if (transit - stream->transit_min > RTP_LATE_US)
        result->n_wire_late++;
    int64_t change = transit - stream->transit_last;
    stream->transit_last = transit;
    stream->jitter += ((double)(change < 0 ? -change : change) - stream->jitter) / 16;
}

static void follow_stamp(struct rtp_source *source, struct stream *stream, const struct stamp *stamp, int64_t at_ns, int side)
{
    struct rtp_result *result = &stream->result;

    if (!result->n_stamped) {
        result->heard = stamp->sender;
        result->first_stamp_ns = at_ns;
    } else if (stamp->sender != result->heard) {
        result->n_crossed++;
        return;
    }
    result->n_hole += stream->n_unstamped_run;
    stream->n_unstamped_run = 0;
    int64_t latency_us = (int32_t)((uint32_t)(at_ns / 1000) - stamp->time_us);
    if (!result->n_stamped || latency_us < result->latency_min_us)
        result->latency_min_us = latency_us;
    if (!result->n_stamped || latency_us > result->latency_max_us)
        result->latency_max_us = latency_us;
    if (latency_us - result->latency_min_us > RTP_LATE_US)
        result->n_late++;
    result->n_stamped++;
    result->last_stamp_ns = at_ns;
    uint32_t n_lost = result->stamps.n_lost;
    sequence_put(&result->stamps, stamp->number);
    if (result->stamps.span <= EARLY_FRAMES)
        result->n_lost_early += result->stamps.n_lost - n_lost;
    result->last_heard = result->stamps.highest;
    int64_t bucket = latency_us < 0 ? 0 : latency_us / RTP_BUCKET_US;
    source->latencies[side][bucket < RTP_BUCKETS ? bucket : RTP_BUCKETS - 1]++;
}

/* A stamp ends once in each frame that continues the one before; it may begin there. Returns where it begins, or -1. */
static int find_stamp(struct stream *stream, const uint8_t *frame, uint16_t sequence, struct stamp *stamp)
{
    int from = STAMP_FRAME - STAMP_SAMPLES + 1, to = from + STAMP_FRAME;

    memcpy(stream->audio, stream->audio + STAMP_FRAME, STAMP_FRAME);
    memcpy(stream->audio + STAMP_FRAME, frame, STAMP_FRAME);
    if (sequence != (uint16_t)(stream->audio_number + 1))
        from = STAMP_FRAME;
    stream->audio_number = sequence;
    if (stream->stamp_at >= from && stamp_read(stream->audio + stream->stamp_at, stream->law, stamp))
        return stream->stamp_at;
    int at = stamp_find(stream->audio, from, to, stream->law, stamp);
    if (at >= 0) {
        stream->result.n_moved += stream->stamp_at != 0;
        stream->stamp_at = at;
    }
    return at;
}

static int is_silent(const uint8_t *frame)
{
    return memcmp(frame, frame + 1, STAMP_FRAME - 1) == 0;
}

static void take_packet(struct rtp_source *source, int side, const uint8_t *packet, size_t size, const struct sockaddr_in *from,
                        int64_t at_ns)
{
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    struct stamp stamp;

    source->totals.n_received++;
    if (size < RTP_HEADER || packet[0] >> 6 != 2) {
        source->totals.n_stray++;
        return;
    }
    memcpy(&sequence, packet + 2, 2);
    memcpy(&timestamp, packet + 4, 4);
    memcpy(&ssrc, packet + 8, 4);
    ssrc = ntohl(ssrc);
    struct stream *stream = find_stream(source, from, ssrc);
    if (!stream) {
        source->totals.n_stray++;
        return;
    }
    struct rtp_result *result = &stream->result;
    if (!result->n_received++)
        result->first_packet_ns = at_ns;
    follow_wire(stream, ssrc, ntohs(sequence), ntohl(timestamp), at_ns / 1000);
    if ((packet[0] & 0x3f) || size != RTP_PACKET || (packet[1] & 0x7f) != stream->law) {
        result->n_other++;
        return;
    }
    int at = find_stamp(stream, packet + RTP_HEADER, ntohs(sequence), &stamp);
    if (at >= 0) {
        follow_stamp(source, stream, &stamp, at_ns + (int64_t)(at - STAMP_FRAME) * SAMPLE_US * 1000, side);
        return;
    }
    result->n_silent += (uint32_t)is_silent(packet + RTP_HEADER);
    if (result->n_stamped)
        stream->n_unstamped_run++;
    else
        result->n_before++;
}

static int64_t arrival_ns(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
        }
    return real_time_ns();
}

void rtp_drain(struct rtp_source *source, const struct rtp_socket *from)
{
    static _Thread_local uint8_t packets[RTP_BATCH][RECEIVE_SIZE];
    static _Thread_local char controls[RTP_BATCH][CMSG_SPACE(sizeof(struct timespec))];
    static _Thread_local struct sockaddr_in names[RTP_BATCH];
    struct mmsghdr messages[RTP_BATCH];
    struct iovec parts[RTP_BATCH];
    int n;

    memset(messages, 0, sizeof messages);
    for (int i = 0; i < RTP_BATCH; i++) {
        parts[i] = (struct iovec){packets[i], RECEIVE_SIZE};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1, .msg_name = &names[i], .msg_control = controls[i]};
    }
    do {
        for (int i = 0; i < RTP_BATCH; i++) {
            messages[i].msg_hdr.msg_namelen = sizeof names[i];
            messages[i].msg_hdr.msg_controllen = sizeof controls[i];
        }
        n = recvmmsg(from->rtp, messages, RTP_BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            take_packet(source, from->side, packets[i], messages[i].msg_len, &names[i], arrival_ns(&messages[i].msg_hdr));
    } while (n == RTP_BATCH);
}

void rtp_drain_rtcp(struct rtp_source *source)
{
    uint8_t report[RECEIVE_SIZE];
    for (int s = 0; s < source->n_sockets; s++)
        while (recv(source->sockets[s].rtcp, report, sizeof report, MSG_DONTWAIT) >= 0)
            source->totals.n_rtcp++;
}
