#define _GNU_SOURCE
#include "rtp_source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "stamp.h"

#define HEADER 12                      /* RFC 3550 section 5.1 */
#define PACKET (HEADER + STAMP_FRAME)
#define N_PHASES 20                    /* one a millisecond */
#define SAMPLE_US 125
#define TICK_NS 1000000
#define LATE_TICKS 5
#define EARLY_FRAMES 50
#define BATCH 64
#define RECEIVE_SIZE 512
#define RECEIVE_BUFFER (16 << 20)
#define N_SSRC_CHAINS 8192
#define RTCP_EVERY_TICKS 100

struct stream {
    uint8_t packet[PACKET];
    struct sockaddr_in to;
    enum stamp_law law;
    int socket, phase, place;          /* where it stands in its phase's list */
    uint32_t remote_ssrc, heard_ssrc;
    uint32_t timestamp, heard_timestamp; /* ours, and the far end's first one */
    uint32_t n_unstamped_run;
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
    enum { OPEN, CLOSE } what;
    int slot;
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

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- sending ---- */

static void prepare_packet(struct stream *stream, int64_t at_ns)
{
    struct stamp stamp = {
        .sender = stream->result.id, .time_us = (uint32_t)(at_ns / 1000), .number = (uint16_t)stream->result.n_sent};
    uint16_t sequence = htons(stamp.number);
    uint32_t timestamp = htonl(stream->timestamp);

    memcpy(stream->packet + 2, &sequence, 2);
    memcpy(stream->packet + 4, &timestamp, 4);
    stream->packet[1] = (uint8_t)((stream->result.n_sent ? 0 : 0x80) | stream->law); /* marker: first of the talk */
    stamp_write(stream->packet + HEADER, stream->law, &stamp);
    stream->timestamp += STAMP_FRAME;
    stream->result.last_sent = stamp.number;
    stream->result.n_sent++;
}

static void send_batch(struct rtp_source *source, int socket, struct stream **streams, int n)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    int64_t at_ns = now_ns();

    memset(messages, 0, sizeof messages[0] * (size_t)n);
    for (int i = 0; i < n; i++) {
        prepare_packet(streams[i], at_ns);
        parts[i] = (struct iovec){streams[i]->packet, PACKET};
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

static void send_phase(struct rtp_source *source, int phase)
{
    for (int s = 0; s < source->n_sockets; s++) {
        struct list *list = &source->sockets[s].phases[phase];
        for (int i = 0; i < list->n; i += BATCH)
            send_batch(source, source->sockets[s].rtp, list->at + i, list->n - i < BATCH ? list->n - i : BATCH);
    }
}

/* ---- hearing ---- */

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
    if (size < HEADER || packet[0] >> 6 != 2) {
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
    if ((packet[0] & 0x3f) || size != PACKET || (packet[1] & 0x7f) != stream->law) {
        result->n_other++;
        return;
    }
    int at = find_stamp(stream, packet + HEADER, ntohs(sequence), &stamp);
    if (at >= 0) {
        follow_stamp(source, stream, &stamp, at_ns + (int64_t)(at - STAMP_FRAME) * SAMPLE_US * 1000, side);
        return;
    }
    result->n_silent += (uint32_t)is_silent(packet + HEADER);
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
    return now_ns();
}

static void drain_rtp(struct rtp_source *source, const struct rtp_socket *from)
{
    static _Thread_local uint8_t packets[BATCH][RECEIVE_SIZE];
    static _Thread_local char controls[BATCH][CMSG_SPACE(sizeof(struct timespec))];
    static _Thread_local struct sockaddr_in names[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    int n;

    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){packets[i], RECEIVE_SIZE};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1, .msg_name = &names[i], .msg_control = controls[i]};
    }
    do {
        for (int i = 0; i < BATCH; i++) {
            messages[i].msg_hdr.msg_namelen = sizeof names[i];
            messages[i].msg_hdr.msg_controllen = sizeof controls[i];
        }
        n = recvmmsg(from->rtp, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            take_packet(source, from->side, packets[i], messages[i].msg_len, &names[i], arrival_ns(&messages[i].msg_hdr));
    } while (n == BATCH);
}

static void drain_rtcp(struct rtp_source *source)
{
    uint8_t report[RECEIVE_SIZE];
    for (int s = 0; s < source->n_sockets; s++)
        while (recv(source->sockets[s].rtcp, report, sizeof report, MSG_DONTWAIT) >= 0)
            source->totals.n_rtcp++;
}

static uint64_t kernel_drops(const struct rtp_source *source)
{
    uint64_t n = 0;
    for (int s = 0; s < source->n_sockets; s++) {
        uint32_t info[SK_MEMINFO_VARS] = {0};
        socklen_t size = sizeof info;
        if (getsockopt(source->sockets[s].rtp, SOL_SOCKET, SO_MEMINFO, info, &size) == 0)
            n += info[SK_MEMINFO_DROPS];
    }
    return n;
}

/* ---- opening and closing ---- */

static void start_stream(struct rtp_source *source, struct stream *stream)
{
    int phase = 0;
    for (int p = 1; p < N_PHASES; p++)
        if (source->phase_load[p] < source->phase_load[phase])
            phase = p;
    struct list *list = &source->sockets[stream->socket].phases[phase];
    source->phase_load[phase]++;
    stream->phase = phase;
    stream->place = list->n;
    list->at[list->n++] = stream;
    if (stream->remote_ssrc) {
        struct stream **chain = &source->by_ssrc[stream->remote_ssrc % N_SSRC_CHAINS];
        stream->next = *chain;
        *chain = stream;
    } else {
        source->by_port[ntohs(stream->to.sin_port)] = stream;
    }
    source->totals.n_open++;
}

static void end_stream(struct rtp_source *source, struct stream *stream)
{
    struct list *list = &source->sockets[stream->socket].phases[stream->phase];
    list->at[stream->place] = list->at[--list->n];
    list->at[stream->place]->place = stream->place;
    source->phase_load[stream->phase]--;
    if (stream->remote_ssrc) {
        struct stream **link = &source->by_ssrc[stream->remote_ssrc % N_SSRC_CHAINS];
        while (*link != stream)
            link = &(*link)->next;
        *link = stream->next;
    } else if (source->by_port[ntohs(stream->to.sin_port)] == stream) {
        source->by_port[ntohs(stream->to.sin_port)] = NULL;
    }
    stream->result.n_after = stream->n_unstamped_run;
    stream->result.jitter_us = (uint32_t)stream->jitter;
    source->totals.n_open--;
}

static void obey(struct rtp_source *source)
{
    pthread_mutex_lock(&source->lock);
    int n = source->n_commands;
    memcpy(source->taken, source->commands, sizeof *source->taken * (size_t)n);
    source->n_commands = 0;
    source->shown = source->totals;
    pthread_mutex_unlock(&source->lock);

    for (int i = 0; i < n; i++) {
        struct stream *stream = &source->streams[source->taken[i].slot];
        if (source->taken[i].what == OPEN) {
            start_stream(source, stream);
            continue;
        }
        end_stream(source, stream);
        pthread_mutex_lock(&source->lock);
        source->results[source->n_results++] = stream->result;
        source->free_slots[source->n_free++] = source->taken[i].slot;
        pthread_mutex_unlock(&source->lock);
    }
}

static void *run(void *arg)
{
    struct rtp_source *source = arg;
    uint64_t tick = 0;

    atomic_store(&source->thread_id, gettid());
    while (!atomic_load(&source->stopping)) {
        uint64_t n_due;
        if (read(source->timer, &n_due, sizeof n_due) != sizeof n_due)
            continue;
        obey(source);
        if (n_due > LATE_TICKS) {
            source->totals.n_late_ticks += n_due - LATE_TICKS;
            if (n_due > source->totals.longest_stall_ms)
                source->totals.longest_stall_ms = n_due;
        }
        for (; n_due; n_due--, tick++)
            send_phase(source, (int)(tick % N_PHASES));
        source->totals.n_ticks = tick;
        for (int s = 0; s < source->n_sockets; s++)
            drain_rtp(source, &source->sockets[s]);
        if (tick % RTCP_EVERY_TICKS == 0) {
            drain_rtcp(source);
            source->totals.n_dropped = kernel_drops(source);
        }
    }
    return NULL;
}

/* ---- the face ---- */

struct rtp_source *rtp_create(uint32_t max_streams)
{
    struct rtp_source *source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    pthread_mutex_init(&source->lock, NULL);
    source->timer = -1;
    source->max_streams = max_streams;
    source->streams = calloc(max_streams, sizeof *source->streams);
    source->commands = calloc(2 * (size_t)max_streams, sizeof *source->commands);
    source->taken = calloc(2 * (size_t)max_streams, sizeof *source->taken);
    source->free_slots = calloc(max_streams, sizeof *source->free_slots);
    source->results = calloc(max_streams, sizeof *source->results);
    if (!source->streams || !source->commands || !source->taken || !source->free_slots || !source->results) {
        rtp_destroy(source);
        return NULL;
    }
    for (uint32_t i = 0; i < max_streams; i++)
        source->free_slots[source->n_free++] = (int)(max_streams - 1 - i);
    return source;
}

static int bind_udp(struct in_addr address, uint16_t port)
{
    int size = RECEIVE_BUFFER, on = 1;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = address};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) /* needs CAP_NET_ADMIN */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int rtp_add_socket(struct rtp_source *source, struct in_addr address, uint16_t port, int side)
{
    if (source->n_sockets == RTP_MAX_SOCKETS || side < 0 || side >= RTP_SIDES || source->running)
        return -EINVAL;
    struct rtp_socket *s = &source->sockets[source->n_sockets];
    for (int p = 0; p < N_PHASES; p++)
        if (!s->phases[p].at && !(s->phases[p].at = calloc(source->max_streams, sizeof *s->phases[p].at)))
            return -ENOMEM;
    s->side = side;
    s->rtp = bind_udp(address, port);
    if (s->rtp < 0)
        return s->rtp;
    s->rtcp = bind_udp(address, (uint16_t)(port + 1));
    if (s->rtcp < 0) {
        close(s->rtp);
        return s->rtcp;
    }
    return source->n_sockets++;
}

int rtp_start(struct rtp_source *source)
{
    struct itimerspec each_ms = {{0, TICK_NS}, {0, TICK_NS}};
    source->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (source->timer < 0 || timerfd_settime(source->timer, 0, &each_ms, NULL) < 0)
        return -errno;
    int error = pthread_create(&source->thread, NULL, run, source);
    source->running = !error;
    return -error;
}

void rtp_stop(struct rtp_source *source)
{
    if (source->running) {
        atomic_store(&source->stopping, 1);
        pthread_join(source->thread, NULL);
        source->running = 0;
    }
    while (source->n_sockets) {
        struct rtp_socket *s = &source->sockets[--source->n_sockets];
        close(s->rtp);
        close(s->rtcp);
    }
    if (source->timer >= 0)
        close(source->timer);
    source->timer = -1;
}

void rtp_destroy(struct rtp_source *source)
{
    rtp_stop(source);
    for (int s = 0; s < RTP_MAX_SOCKETS; s++)
        for (int p = 0; p < N_PHASES; p++)
            free(source->sockets[s].phases[p].at);
    pthread_mutex_destroy(&source->lock);
    free(source->streams);
    free(source->commands);
    free(source->taken);
    free(source->free_slots);
    free(source->results);
    free(source);
}

int rtp_open(struct rtp_source *source, uint32_t id, int socket, struct sockaddr_in to, int law, uint32_t remote_ssrc)
{
    if (socket < 0 || socket >= source->n_sockets || (law != STAMP_PCMA && law != STAMP_PCMU))
        return -EINVAL;
    pthread_mutex_lock(&source->lock);
    /* a slot is only given while its result has room */
    int slot = source->n_free && source->n_free > source->n_results ? source->free_slots[--source->n_free] : -ENOBUFS;
    pthread_mutex_unlock(&source->lock);
    if (slot < 0)
        return slot;

    struct stream *stream = &source->streams[slot];
    uint32_t ssrc = htonl(id);
    memset(stream, 0, sizeof *stream);
    stream->to = to;
    stream->law = law == STAMP_PCMA ? STAMP_PCMA : STAMP_PCMU;
    stream->socket = socket;
    stream->remote_ssrc = remote_ssrc;
    stream->result.id = id;
    stream->timestamp = id * 2654435761u; /* RFC 3550 section 5.1: a start that nobody guesses; here only unlike the others' */
    stream->packet[0] = 0x80;
    memcpy(stream->packet + 8, &ssrc, 4);
    stamp_fill_tone(stream->packet + HEADER, stream->law, id);

    pthread_mutex_lock(&source->lock);
    source->commands[source->n_commands++] = (struct command){OPEN, slot};
    pthread_mutex_unlock(&source->lock);
    return slot;
}

void rtp_close(struct rtp_source *source, int slot)
{
    pthread_mutex_lock(&source->lock);
    source->commands[source->n_commands++] = (struct command){CLOSE, slot};
    pthread_mutex_unlock(&source->lock);
}

int rtp_collect(struct rtp_source *source, struct rtp_result *results, int n_max)
{
    pthread_mutex_lock(&source->lock);
    int n = source->n_results < n_max ? source->n_results : n_max;
    memcpy(results, source->results, sizeof *results * (size_t)n);
    source->n_results -= n;
    memmove(source->results, source->results + n, sizeof *results * (size_t)source->n_results);
    pthread_mutex_unlock(&source->lock);
    return n;
}

void rtp_read_totals(struct rtp_source *source, struct rtp_totals *totals)
{
    pthread_mutex_lock(&source->lock);
    *totals = source->shown;
    pthread_mutex_unlock(&source->lock);
}

void rtp_read_latencies(struct rtp_source *source, int side, uint64_t buckets[RTP_BUCKETS])
{
    memcpy(buckets, source->latencies[side], sizeof source->latencies[side]); /* counts only grow: a torn read is an old one */
}

int rtp_thread_id(const struct rtp_source *source)
{
    return atomic_load(&source->thread_id);
}
