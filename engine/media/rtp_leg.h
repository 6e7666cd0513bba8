/* The RTP of one leg: PJMEDIA's UDP transport keeps its sockets and its SDP, and here its packets are read and written.
 *
 * What a leg's far side hears comes from one source at a time: its PJMEDIA stream (and so the conference bridge), the
 * leg it talks to (a relay: no jitter buffer, no decoding, no mixing, no encoding), or its queue audio. Towards the far
 * side it is one RTP stream through all changes (rtp_rewrite.h). Relay and queue audio are for legs of plain RTP with
 * G.711 both ways and telephone-event, or whose keys nobody hears; all others stay with the bridge.
 *
 * Packets are read by the RTP thread (rtp_loop.c). The engine thread changes sources; each change takes a leg's locks for
 * some instructions, and the RTP thread holds them for one packet.
 */
#ifndef AGNER_RTP_LEG_H
#define AGNER_RTP_LEG_H

#include <pjmedia/port.h>
#include <pjmedia/stream.h>
#include <pjmedia/transport.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rtp_report.h"
#include "rtp_rewrite.h"
#include "rtp_track.h"

enum agner_source { AGNER_FROM_BRIDGE, AGNER_FROM_LEG, AGNER_FROM_QUEUE_AUDIO };

struct agner_rtp_leg {
    pjmedia_transport_op op; /* the transport's own; first, so that its address is the leg's */
    pjmedia_transport *transport;
    pj_pool_t *pool;
    int rtp_socket, rtcp_socket;
    atomic_llong heard_ns; /* monotonic, of the last RTP or RTCP from the far side; 0: none yet */

    pthread_mutex_t receiving; /* recursive: a stream may detach in its callback */
    bool is_dead, has_started, is_read, has_rtcp_mux;
    void *user;
    void (*on_rtp)(void *, void *, pj_ssize_t);
    void (*on_rtp2)(pjmedia_tp_cb_param *);
    void (*on_rtcp)(void *, void *, pj_ssize_t);
    pj_sockaddr sdp, sdp_rtcp, remote, remote_rtcp; /* where the SDP says, and where it goes */
    atomic_bool is_from_sdp, rtcp_is_from_sdp;      /* the last packet; read without a lock */
    bool has_heard_remote;
    enum agner_source source;
    _Atomic(struct agner_rtp_leg *) to; /* the leg that hears this one directly; the RTP thread peeks without a lock */
    uint16_t n_hidden;                  /* packets that went past the stream, which is to see no gap */
    uint32_t n_foreign;                 /* packets from a third address */

    pthread_mutex_t sending;
    enum agner_source sends_from;
    int line;               /* see rtp_line.c; -1: there is none */
    unsigned n_before_line; /* packets to `remote`, until there may be one */
    uint64_t sends; /* number of the source: streams, relays and queue audios are counted together */
    struct agner_rtp_out out;
    struct agner_rtp_in in;
    pjmedia_port *queue_audio;
    uint16_t queue_sequence;
    uint32_t queue_timestamp;
    int64_t report_at_ns;
    char cname[64];
    unsigned n_cname;

    /* set when the stream stands, engine thread; read by the others only while that cannot change */
    pjmedia_stream *stream;
    uint64_t stream_number;
    int call_id, slot;
    bool is_plain; /* RTP without SRTP: the check of addresses is ours */
    char law;      /* 'A', 'U'; 0: the bridge only */
    int type_in, type_out;   /* payload types */
    int event_in, event_out; /* those of telephone-event; 0: none */
    struct agner_tracks *tracks; /* NULL: no tap */

    /* the RTP thread's own */
    struct agner_rtp_leg *next_posted, *next_fed;
    atomic_bool is_posted;
    bool is_fed, is_released;
};

/* Take over the packets of every leg from now on; after pjsua is initialised, before the first call. */
pj_status_t agner_rtp_install(void);
/* After the last call. */
void agner_rtp_uninstall(void);

/* A call's stream stands. `tracks`: of its tap, NULL if it has none. Returns whether its keys are to be heard in its audio,
 * as telephone-event is not negotiated both ways and there is a tap to hear them: such a leg is for the bridge. */
bool agner_rtp_stream_created(int call_id, pjmedia_stream *stream, struct agner_tracks *tracks);

/* Engine thread only. PJ_EINVALIDOP: one of the legs is for the bridge only. */
pj_status_t agner_rtp_relay(int call_id, int slot, int other_call_id, int other_slot);
pj_status_t agner_rtp_feed(int call_id, int slot, pjmedia_port *queue_audio);
/* Back to the bridge, with the leg it talked to. Twice is once. */
void agner_rtp_bridge(int call_id);

/* Counts of a leg, for tests. */
struct agner_rtp_counts {
    enum agner_source source;
    char law;
    uint32_t n_foreign, n_sent, n_received;
    int64_t heard_ns; /* monotonic, of the last RTP or RTCP from the far side; 0: none yet */
};
bool agner_rtp_count(int call_id, struct agner_rtp_counts *counts);

/* ---- between the files rtp_*.c */

#define AGNER_REPORT_NS 5000000000LL /* RFC 3550 section 6.2; the first comes after half of it */

static inline struct agner_rtp_leg *agner_leg_of(pjmedia_transport *transport)
{
    return (struct agner_rtp_leg *)transport->op;
}

static inline void agner_leg_lock(struct agner_rtp_leg *leg)
{
    pthread_mutex_lock(&leg->receiving);
    pthread_mutex_lock(&leg->sending);
}

static inline void agner_leg_unlock(struct agner_rtp_leg *leg)
{
    pthread_mutex_unlock(&leg->sending);
    pthread_mutex_unlock(&leg->receiving);
}

int64_t agner_now_ns(void);
int64_t agner_utc_ns(void);

/* rtp_loop.c */
pj_status_t agner_loop_start(void);
void agner_loop_stop(void);
/* The RTP thread is to read these sockets, or not any more. */
void agner_loop_read(struct agner_rtp_leg *leg);
void agner_loop_leave(struct agner_rtp_leg *leg);
/* The RTP thread is to look at the leg's source and at whether it is dead. */
void agner_loop_post(struct agner_rtp_leg *leg);

/* rtp_leg.c */
void agner_leg_tables(void);
/* Fetch what a packet touches of the leg into the caches. NULL: nothing. */
void agner_leg_fetch(const struct agner_rtp_leg *leg);
/* One packet of the socket, if there is one. */
void agner_leg_receive(struct agner_rtp_leg *leg, bool is_rtcp, int64_t now_ns);
/* The next frame of its queue audio. False: it has none any more. */
bool agner_leg_feed(struct agner_rtp_leg *leg, int64_t now_ns);
/* Under `sending`. The payload lies behind room for the header. `length`: of audio, in samples; 0: it is none. */
void agner_leg_send(struct agner_rtp_leg *leg, struct agner_rtp_head *head, uint8_t type, uint8_t *packet,
                    uint32_t n_payload, uint32_t length, int64_t now_ns);
void agner_rtp_put(int socket, const void *packet, size_t size, const pj_sockaddr *to);

/* rtp_line.c. Under `sending`: RTP to `remote`. */
void agner_line_send(struct agner_rtp_leg *leg, const void *packet, size_t size);
/* Under `sending`: `remote` changes, or nothing is sent any more. */
void agner_line_close(struct agner_rtp_leg *leg);

/* rtp_transport.c: the leg of this transport, or of the one under its SRTP; NULL: it is PJMEDIA's alone. */
struct agner_rtp_leg *agner_leg_under(pjmedia_transport *transport);

/* rtp_direct.c. Under both locks: from here on it is the bridge's, as far as its RTP is concerned. */
void agner_direct_end(struct agner_rtp_leg *leg);
/* The same for the leg that it is relayed to, under no lock; NULL: there is none. */
struct agner_rtp_leg *agner_direct_leave_partner(struct agner_rtp_leg *leg);
void agner_direct_forget(struct agner_rtp_leg *leg);

#endif
