/* Sending: each stream of a phase gets its stamp, and a batch goes out in one system call. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "rtp_internal.h"

#define FRAME_US 20000

/* RFC 4733 section 2.5: one RTP timestamp for the whole event, a duration that grows, the last packet three times with E set. */
static struct iovec prepare_key(struct stream *stream)
{
    int n_gone = KEY_PACKETS - stream->key_packets--, n_long = KEY_PACKETS - KEY_END_PACKETS + 1;
    int is_over = n_gone + 1 >= n_long;
    uint16_t duration = htons((uint16_t)(STAMP_FRAME * (is_over ? n_long : n_gone + 1)));

    if (!n_gone)
        stream->key_timestamp = stream->timestamp;
    uint32_t timestamp = htonl(stream->key_timestamp);
    memcpy(stream->key, stream->packet, RTP_HEADER);
    stream->key[1] = (uint8_t)((n_gone ? 0 : 0x80) | stream->key_payload); /* marker: the event begins */
    memcpy(stream->key + 4, &timestamp, 4);
    stream->key[RTP_HEADER] = (uint8_t)stream->key_event;
    stream->key[RTP_HEADER + 1] = (uint8_t)((is_over ? 0x80 : 0) | 10); /* 10 dB below full scale */
    memcpy(stream->key + RTP_HEADER + 2, &duration, 2);
    return (struct iovec){stream->key, sizeof stream->key};
}

static void follow_pace(struct stream *stream, int64_t at_ns)
{
    if (stream->sent_ns) {
        double off_us = (double)(at_ns - stream->sent_ns) / 1000 - FRAME_US;
        stream->sent_jitter += ((off_us < 0 ? -off_us : off_us) - stream->sent_jitter) / 16;
    }
    stream->sent_ns = at_ns;
}

static struct iovec prepare_packet(struct stream *stream, int64_t at_ns)
{
    struct stamp stamp = {
        .sender = stream->result.id, .time_us = (uint32_t)(at_ns / 1000), .number = (uint16_t)stream->result.n_sent};
    struct iovec packet = {stream->packet, RTP_PACKET};
    uint16_t sequence = htons(stamp.number);
    uint32_t timestamp = htonl(stream->timestamp);

    memcpy(stream->packet + 2, &sequence, 2);
    memcpy(stream->packet + 4, &timestamp, 4);
    stream->packet[1] = (uint8_t)((stream->result.n_sent ? 0 : 0x80) | stream->law); /* marker: first of the talk */
    if (stream->key_packets)
        packet = prepare_key(stream);
    else
        stamp_write(stream->packet + RTP_HEADER, stream->law, &stamp);
    follow_pace(stream, at_ns);
    stream->timestamp += STAMP_FRAME;
    stream->result.last_sent = stamp.number;
    stream->result.n_sent++;
    return packet;
}

static void send_batch(struct rtp_source *source, int socket, struct stream **streams, int n)
{
    struct mmsghdr messages[RTP_BATCH];
    struct iovec parts[RTP_BATCH];
    int64_t at_ns = real_time_ns();

    memset(messages, 0, sizeof messages[0] * (size_t)n);
    for (int i = 0; i < n; i++) {
        parts[i] = prepare_packet(streams[i], at_ns);
        messages[i].msg_hdr.msg_name = &streams[i]->to;
        messages[i].msg_hdr.msg_namelen = sizeof streams[i]->to;
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (int done = 0; done < n;) {
        int sent = sendmmsg(socket, messages + done, (unsigned)(n - done), 0);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0) {
            source->totals.n_send_errors++;
            sent = 1;
        } else {
            source->totals.n_sent += (uint64_t)sent;
        }
        done += sent;
    }
}

void rtp_send_phase(struct rtp_source *source, int phase)
{
    for (int s = 0; s < source->n_sockets; s++) {
        struct list *list = &source->sockets[s].phases[phase];
        for (int i = 0; i < list->n; i += RTP_BATCH)
            send_batch(source, source->sockets[s].rtp, list->at + i, list->n - i < RTP_BATCH ? list->n - i : RTP_BATCH);
    }
}
