/* The thread and its timer, streams opened and closed between ticks, and the face that rtp_source.h promises. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "rtp_internal.h"

#define TICK_NS 1000000
#define LATE_TICKS 5
#define RTCP_EVERY_TICKS 100
#define RECEIVE_BUFFER (16 << 20)
#define COMMANDS_A_STREAM 3 /* that may wait for the thread: open, close, and one for keys */

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
    stream->result.sent_jitter_us = (uint32_t)stream->sent_jitter;
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
        if (source->taken[i].what == PRESS) {
            stream->key_event = source->taken[i].event;
            stream->key_payload = source->taken[i].payload;
            stream->key_packets = KEY_PACKETS;
            continue;
        }
        end_stream(source, stream);
        pthread_mutex_lock(&source->lock);
        source->results[source->n_results++] = stream->result;
        source->free_slots[source->n_free++] = source->taken[i].slot;
        pthread_mutex_unlock(&source->lock);
    }
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
            rtp_send_phase(source, (int)(tick % N_PHASES));
        source->totals.n_ticks = tick;
        for (int s = 0; s < source->n_sockets; s++)
            rtp_drain(source, &source->sockets[s]);
        if (tick % RTCP_EVERY_TICKS == 0) {
            rtp_drain_rtcp(source);
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
    source->commands = calloc(COMMANDS_A_STREAM * (size_t)max_streams, sizeof *source->commands);
    source->taken = calloc(COMMANDS_A_STREAM * (size_t)max_streams, sizeof *source->taken);
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
    stamp_fill_tone(stream->packet + RTP_HEADER, stream->law, id);

    pthread_mutex_lock(&source->lock);
    source->commands[source->n_commands++] = (struct command){.what = OPEN, .slot = slot};
    pthread_mutex_unlock(&source->lock);
    return slot;
}

void rtp_close(struct rtp_source *source, int slot)
{
    pthread_mutex_lock(&source->lock);
    source->commands[source->n_commands++] = (struct command){.what = CLOSE, .slot = slot};
    pthread_mutex_unlock(&source->lock);
}

int rtp_press(struct rtp_source *source, int slot, int event, int payload)
{
    pthread_mutex_lock(&source->lock);
    int has_room = source->n_commands < (int)source->max_streams; /* the rest is for opening and closing */
    if (has_room)
        source->commands[source->n_commands++] = (struct command){PRESS, slot, event, payload};
    pthread_mutex_unlock(&source->lock);
    return has_room ? 0 : -ENOBUFS;
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
