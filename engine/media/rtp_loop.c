/* The RTP thread: one for all legs. See rtp_leg.h.
 *
 * It wakes every 5 ms and takes what all sockets hold by then, so that one wake-up and one look at the (level-triggered)
 * epoll serve many packets; no descriptor is ever armed again. Audio from queue audios leaves in four groups, 5 ms apart.
 * A frame of 20 ms is a whole number of ticks, so a stream is delayed by up to 5 ms and by the same for long; one that
 * lands on a tick's edge, by none or all of it.
 * Where there is no leg, it sleeps until there is one.
 */
#define _GNU_SOURCE
#include "rtp_leg.h"

#include <errno.h>
#include <pj/log.h>
#include <pj/os.h>
#include <pjsua-lib/pjsua.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define THIS_FILE "rtp_loop"
#define TICK_NS 5000000
#define N_GROUPS 4 /* ticks in a frame of 20 ms */
#define N_EVENTS 256
#define N_ROUNDS 80 /* of each tick at most: 16,000 packets a second from one socket, and a flood gets no more */
#define MAX_BEHIND_NS 200000000

static struct {
    int epoll, bell;
    pj_pool_t *pool;
    pj_thread_t *thread;
    atomic_bool is_stopping;
    atomic_int n_legs;
    pthread_mutex_t lock; /* of `posted` */
    struct agner_rtp_leg *posted;
    struct agner_rtp_leg *fed[N_GROUPS];
    unsigned n_fed; /* since the start */
} loop = {.lock = PTHREAD_MUTEX_INITIALIZER, .epoll = -1, .bell = -1};

int64_t agner_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void take_posted(void);

static void ring_bell(void)
{
    uint64_t one = 1;

    if (write(loop.bell, &one, sizeof(one)) < 0)
        PJ_LOG(2, (THIS_FILE, "the RTP thread cannot be woken: %d", errno));
}

static void hush_bell(void)
{
    uint64_t n;

    if (read(loop.bell, &n, sizeof(n)) < 0 && errno != EAGAIN)
        PJ_LOG(2, (THIS_FILE, "the RTP thread's bell: %d", errno));
}

/* The low bit tells RTCP from RTP. */
static void watch(struct agner_rtp_leg *leg, int socket, bool is_rtcp)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = (uintptr_t)leg | is_rtcp}};

    if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, socket, &event) < 0 && errno != EEXIST)
        PJ_LOG(1, (THIS_FILE, "a leg's socket cannot be watched: %d", errno));
}

void agner_loop_read(struct agner_rtp_leg *leg)
{
    watch(leg, leg->rtp_socket, false);
    watch(leg, leg->rtcp_socket, true);
    if (atomic_fetch_add(&loop.n_legs, 1) == 0)
        ring_bell();
}

void agner_loop_leave(struct agner_rtp_leg *leg)
{
    struct epoll_event none;

    epoll_ctl(loop.epoll, EPOLL_CTL_DEL, leg->rtp_socket, &none);
    epoll_ctl(loop.epoll, EPOLL_CTL_DEL, leg->rtcp_socket, &none);
    atomic_fetch_sub(&loop.n_legs, 1);
}

void agner_loop_post(struct agner_rtp_leg *leg)
{
    if (atomic_exchange(&leg->is_posted, true))
        return;
    pj_grp_lock_add_ref(leg->transport->grp_lock);
    pthread_mutex_lock(&loop.lock);
    leg->next_posted = loop.posted;
    loop.posted = leg;
    pthread_mutex_unlock(&loop.lock);
    if (!loop.thread)
        take_posted(); /* the last legs, after the end */
    else if (atomic_load(&loop.n_legs) <= 0)
        ring_bell();
}

/* What the engine told us to look at. The lists of fed legs are the thread's own. */
static void take_posted(void)
{
    struct agner_rtp_leg *leg, *next;

    pthread_mutex_lock(&loop.lock);
    leg = loop.posted;
    loop.posted = NULL;
    pthread_mutex_unlock(&loop.lock);
    for (; leg; leg = next) {
        bool is_dead, is_to_feed;

        next = leg->next_posted;
        atomic_store(&leg->is_posted, false);
        pthread_mutex_lock(&leg->receiving);
        is_dead = leg->is_dead;
        is_to_feed = leg->source == AGNER_FROM_QUEUE_AUDIO;
        pthread_mutex_unlock(&leg->receiving);
        if (is_to_feed && !leg->is_fed) {
            struct agner_rtp_leg **group = &loop.fed[loop.n_fed++ % N_GROUPS];

            leg->is_fed = true;
            leg->next_fed = *group;
            *group = leg;
            pj_grp_lock_add_ref(leg->transport->grp_lock);
        }
        if (is_dead && !leg->is_released) {
            leg->is_released = true;
            pj_grp_lock_dec_ref(leg->transport->grp_lock); /* that of its birth: no event names it any more */
        }
        pj_grp_lock_dec_ref(leg->transport->grp_lock);
    }
}

static void leave_out(struct agner_rtp_leg **at)
{
    struct agner_rtp_leg *leg = *at;

    *at = leg->next_fed;
    leg->is_fed = false;
    pj_grp_lock_dec_ref(leg->transport->grp_lock);
}

static void feed(unsigned group, int64_t now_ns)
{
    struct agner_rtp_leg **at = &loop.fed[group];

    while (*at) {
        if (agner_leg_feed(*at, now_ns))
            at = &(*at)->next_fed;
        else
            leave_out(at);
    }
}

/* NULL: the bell. */
static struct agner_rtp_leg *leg_of(const struct epoll_event *event)
{
    return (struct agner_rtp_leg *)(uintptr_t)(event->data.u64 & ~(uint64_t)1);
}

/* In the 20 ms between two packets the caches forget a leg, so the memory of those whose turn comes is asked for early:
 * of the leg after the next one, and of the one that hears the next. */
static void fetch_ahead(const struct epoll_event *events, int i, int n)
{
    struct agner_rtp_leg *next = i + 1 < n ? leg_of(&events[i + 1]) : NULL;

    if (next)
        agner_leg_fetch(atomic_load_explicit(&next->to, memory_order_relaxed));
    if (i + 2 < n)
        agner_leg_fetch(leg_of(&events[i + 2]));
}

static void receive(int64_t now_ns)
{
    struct epoll_event events[N_EVENTS];
    int n;

    for (unsigned round = 0; round < N_ROUNDS; ++round) {
        n = epoll_wait(loop.epoll, events, N_EVENTS, 0);
        for (int i = 0; i < n; ++i) {
            struct agner_rtp_leg *leg = leg_of(&events[i]);

            fetch_ahead(events, i, n);
            if (leg)
                agner_leg_receive(leg, events[i].data.u64 & 1, now_ns);
            else
                hush_bell();
        }
        if (n <= 0)
            break;
    }
}

static void wait_for_leg(void)
{
    struct epoll_event event;

    epoll_wait(loop.epoll, &event, 1, 1000);
    hush_bell();
}

static int run(void *arg)
{
    int64_t tick_ns = agner_now_ns();
    unsigned group = 0;

    (void)arg;
    while (!atomic_load(&loop.is_stopping)) {
        struct timespec until;
        int64_t now_ns;

        take_posted();
        if (atomic_load(&loop.n_legs) <= 0) {
            wait_for_leg();
            tick_ns = agner_now_ns();
            continue;
        }
        tick_ns += TICK_NS;
        now_ns = agner_now_ns();
        if (now_ns - tick_ns > MAX_BEHIND_NS)
            tick_ns = now_ns; /* what was not sent by then is of no use any more */
        until = (struct timespec){tick_ns / 1000000000, tick_ns % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        now_ns = agner_now_ns();
        receive(now_ns);
        feed(group, now_ns);
        group = (group + 1) % N_GROUPS;
    }
    take_posted();
    for (group = 0; group < N_GROUPS; ++group)
        while (loop.fed[group])
            leave_out(&loop.fed[group]);
    return 0;
}

pj_status_t agner_loop_start(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = 0}};
    pj_status_t status;

    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    loop.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop.epoll < 0 || loop.bell < 0 || epoll_ctl(loop.epoll, EPOLL_CTL_ADD, loop.bell, &event) < 0)
        return pj_get_os_error();
    atomic_store(&loop.is_stopping, false);
    loop.pool = pjsua_pool_create("rtp-loop", 512, 512);
    if (!loop.pool)
        return PJ_ENOMEM;
    status = pj_thread_create(loop.pool, "rtp", &run, NULL, 0, 0, &loop.thread);
    if (status != PJ_SUCCESS)
        pj_pool_safe_release(&loop.pool);
    return status;
}

void agner_loop_stop(void)
{
    if (!loop.thread)
        return;
    atomic_store(&loop.is_stopping, true);
    ring_bell();
    pj_thread_join(loop.thread);
    pj_thread_destroy(loop.thread);
    loop.thread = NULL;
    pj_pool_safe_release(&loop.pool);
    close(loop.epoll);
    close(loop.bell);
    loop.epoll = loop.bell = -1;
}
