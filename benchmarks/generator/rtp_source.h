/* RTP for some thousand streams from few sockets: one thread, one timer of 1 ms, batched system calls, no lock while it sends.
 *
 * A stream sends one stamped G.711 frame each 20 ms; the phases of the streams are spread over the 20 ms. What comes back is told
 * apart by its source address (a media server has a port per leg), or by a declared SSRC where two generators share ports. Arrival
 * times are the kernel's, so a generator that is late reading does not blame the server; that it is late sending shows in its
 * own counts. Times are CLOCK_REALTIME in ns, as the kernel's stamps are.
 */
#ifndef AGNER_RTP_SOURCE_H
#define AGNER_RTP_SOURCE_H

#include <netinet/in.h>
#include <stdint.h>

#include "sequence.h"

#define RTP_MAX_SOCKETS 32
#define RTP_BUCKETS 4000      /* latencies, 0.25 ms each; the last one holds all above */
#define RTP_BUCKET_US 250
#define RTP_LATE_US 40000     /* behind the stream's own quickest packet */
#define RTP_SIDES 2           /* callers and agents: latencies are kept by the side that hears */

struct rtp_result {
    uint32_t id;              /* the stream's, as opened */
    uint32_t n_sent;
    uint16_t last_sent;       /* number of the last stamp sent */
    uint16_t last_heard;      /* number of the newest stamp heard */
    uint32_t n_received;
    uint32_t n_stamped;       /* intact stamps, duplicates included */
    uint32_t n_before;        /* frames before the first stamp: music, prompts, silence */
    uint32_t n_hole;          /* frames without a stamp between two with one: silence, concealment, wrong audio */
    uint32_t n_after;         /* frames without a stamp after the last one with one */
    uint32_t n_silent;        /* frames of one repeated byte, wherever they stood */
    uint32_t n_other;         /* other payload types, other sizes */
    uint32_t n_crossed;       /* stamps of a third stream */
    uint32_t n_moved;         /* times the stamps came to lie at another sample: audio was cut out or put in */
    uint32_t n_lost_early;    /* of the lost stamps, those of the first second heard */
    uint32_t n_late;          /* stamped, more than RTP_LATE_US behind */
    uint32_t n_wire_late;     /* any, arriving that much later than its RTP timestamp promised */
    uint32_t n_ssrc;          /* how many SSRCs were heard */
    uint32_t heard;           /* whose stamps: the peer's id */
    int64_t first_packet_ns;
    int64_t first_stamp_ns;   /* arrival of the first stamped frame */
    int64_t last_stamp_ns;
    int64_t latency_min_us;
    int64_t latency_max_us;
    uint32_t jitter_us;       /* RFC 3550 section 6.4.1, of the packets as they came in */
    uint32_t sent_jitter_us;  /* the same of the packets that this stream sent, as they left here */
    struct sequence wire;     /* RTP sequence numbers: what the server sent */
    struct sequence stamps;   /* end to end */
};

struct rtp_totals {
    uint64_t n_sent;
    uint64_t n_received;
    uint64_t n_rtcp;
    uint64_t n_stray;         /* from nobody we talk to: before the answer, after the end */
    uint64_t n_send_errors;
    uint64_t n_dropped;       /* by the kernel, our receive buffers being full */
    uint64_t n_ticks;
    uint64_t n_late_ticks;    /* milliseconds of sending done 5 ms or more after they were due */
    uint64_t longest_stall_ms;
    uint32_t n_open;
};

struct rtp_source;

struct rtp_source *rtp_create(uint32_t max_streams);
/* Binds `port` for RTP and the next one for RTCP. Returns the socket's index or -errno. Only before rtp_start(). */
int rtp_add_socket(struct rtp_source *source, struct in_addr address, uint16_t port, int side);
int rtp_start(struct rtp_source *source); /* 0 or -errno */
void rtp_stop(struct rtp_source *source); /* for good: the ports are free, what was counted can still be read */
void rtp_destroy(struct rtp_source *source);

/* `remote_ssrc` not 0: the far end shares its port between streams, tell them apart by SSRC. Ours is always the id.
 * Returns the stream's slot, or -ENOBUFS when every one is in use. */
int rtp_open(struct rtp_source *source, uint32_t id, int socket, struct sockaddr_in to, int law, uint32_t remote_ssrc);
/* Stops sending and listening; the result comes with a later rtp_collect(), and the slot is free again. */
void rtp_close(struct rtp_source *source, int slot);
/* Press a key: `event` 0 to 15 of RFC 4733 in payload type `payload`, 100 ms in place of audio. One at a time: a key before the
 * last one is up replaces it. The slot must be open. Returns 0, or -ENOBUFS when more keys wait than streams are possible. */
int rtp_press(struct rtp_source *source, int slot, int event, int payload);
int rtp_collect(struct rtp_source *source, struct rtp_result *results, int n_max);

void rtp_read_totals(struct rtp_source *source, struct rtp_totals *totals);
void rtp_read_latencies(struct rtp_source *source, int side, uint64_t buckets[RTP_BUCKETS]);
int rtp_thread_id(const struct rtp_source *source); /* for /proc/self/task */

#endif
