/* Sending: each stream of a phase gets its stamp, and a batch goes out in one system call. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "rtp_internal.h"

static void prepare_packet(struct stream *stream, int64_t at_ns)
{
    struct stamp stamp = {
        .sender = stream->result.id, .time_us = (uint32_t)(at_ns / 1000), .number = (uint16_t)stream->result.n_sent};
    uint16_t sequence = htons(stamp.number);
    uint32_t timestamp = htonl(stream->timestamp);

    memcpy(stream->packet + 2, &sequence, 2);
    memcpy(stream->packet + 4, &timestamp, 4);
    stream->packet[1] = (uint8_t)((stream->result.n_sent ? 0 : 0x80) | stream->law); /* marker: first of the talk */
    stamp_write(stream->packet + RTP_HEADER, stream->law, &stamp);
    stream->timestamp += STAMP_FRAME;
    stream->result.last_sent = stamp.number;
    stream->result.n_sent++;
}

static void send_batch(struct rtp_source *source, int socket, struct stream **streams, int n)
{
    struct mmsghdr messages[RTP_BATCH];
    struct iovec parts[RTP_BATCH];
    int64_t at_ns = real_time_ns();

    memset(messages, 0, sizeof messages[0] * (size_t)n);
    for (int i = 0; i < n; i++) {
        prepare_packet(streams[i], at_ns);
        parts[i] = (struct iovec){streams[i]->packet, RTP_PACKET};
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
