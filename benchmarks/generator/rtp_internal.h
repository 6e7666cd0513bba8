/* What the files of the RTP source share: its structs, and the two halves of a tick. The face is rtp_source.h. */
#ifndef AGNER_RTP_INTERNAL_H
#define AGNER_RTP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "rtp_source.h"
#include "stamp.h"

#define RTP_HEADER 12                  /* RFC 3550 section 5.1 */
#define RTP_PACKET (RTP_HEADER + STAMP_FRAME)
#define KEY_PACKETS 7                  /* of a pressed key, 20 ms apart: 100 ms, */
#define KEY_END_PACKETS 3              /* and the last one three times */
#define RTP_BATCH 64                   /* packets a system call */
#define N_PHASES 20                    /* one a millisecond */
#define N_SSRC_CHAINS 8192

struct stream {
    uint8_t packet[RTP_PACKET];
    struct sockaddr_in to;
    enum stamp_law law;
    int socket, phase, place;          /* where it stands in its phase's list */
    uint32_t remote_ssrc, heard_ssrc;
    uint32_t timestamp, heard_timestamp; /* ours, and the far end's first one */
    uint32_t n_unstamped_run;
    int64_t sent_ns;                   /* when the last packet left */
    double sent_jitter;
    int key_event, key_payload;        /* the key that is down, */
    int key_packets;                   /* packets of it to go, */
    uint8_t key[RTP_HEADER + 4];       /* the one of them that is sent next, */
    uint32_t key_timestamp;            /* and when it went down: RFC 4733 section 2.5.1.1 */
    uint8_t audio[2 * STAMP_FRAME];    /* the frame before and this one */
    uint16_t audio_number;             /* RTP sequence of the newer one */
    int stamp_at;                      /* where in it the stamps lie */
    int64_t transit_min, transit_last; /* arrival minus what the RTP timestamp says, us */
    double jitter;
    struct stream *next;               /* in its SSRC's chain */
    struct rtp_result result;
};

struct list {
    struct stream **at;
    int n;
};

struct command {
    enum { OPEN, CLOSE, PRESS } what;
    int slot;
    int event, payload; /* PRESS */
};

struct rtp_socket {
    int rtp, rtcp, side;
    struct list phases[N_PHASES];
};

struct rtp_source {
    /* the thread's own */
    struct rtp_socket sockets[RTP_MAX_SOCKETS];
    struct stream *by_port[65536];
    struct stream *by_ssrc[N_SSRC_CHAINS];
    uint64_t latencies[RTP_SIDES][RTP_BUCKETS];
    struct rtp_totals totals;
    int phase_load[N_PHASES];
    int n_sockets, timer;
    uint32_t max_streams;
    struct command *taken;

    struct stream *streams;
    pthread_t thread;
    int running;
    atomic_int stopping, thread_id;

    pthread_mutex_t lock;              /* for what follows: held for moves of memory only, never over a system call */
    struct command *commands;
    int n_commands;
    int *free_slots;
    int n_free;
    struct rtp_result *results;
    int n_results;
    struct rtp_totals shown;
};

static inline int64_t real_time_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void rtp_send_phase(struct rtp_source *source, int phase);
void rtp_drain(struct rtp_source *source, const struct rtp_socket *from);
void rtp_drain_rtcp(struct rtp_source *source);

#endif
