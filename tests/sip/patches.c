/* What each patch in pjsip/patches is for, against the library that we run with. One argument: the patch's name. Prints
 * what was found; test_patches.py says what that must be.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pjlib.h>
#include <pjmedia.h>
#include <pjmedia/transport_srtp.h>
#include <pjsip.h>

static pj_caching_pool pools;
static pj_pool_t *pool;

/* ---- array-header: a list header near the end of a packet buffer writes no byte behind it */

static int array_header(void)
{
    pjsip_supported_hdr *header = pjsip_supported_hdr_create(pool);
    unsigned char buffer[64];
    int n_behind = 0;

    header->count = 1;
    header->values[0] = pj_str("timer");
    for (int size = 1; size < 20; ++size) {
        memset(buffer, 0xaa, sizeof(buffer));
        pjsip_hdr_print_on(header, (char *)buffer, (pj_size_t)size);
        n_behind += buffer[size] != 0xaa || buffer[size + 1] != 0xaa;
    }
    printf("%d\n", n_behind);
    return 0;
}

/* ---- address-lookup: where an address is due, nobody is asked for a name's */

static int n_asked;

pj_status_t pj_getaddrinfo(int family, const pj_str_t *name, unsigned *count, pj_addrinfo found[])
{
    (void)family, (void)name, (void)count, (void)found;
    ++n_asked;
    return PJ_ERESOLVE;
}

static int address_lookup(void)
{
    const pj_str_t names[] = {pj_str("127.256.0.1"), pj_str("media.example"), pj_str("127.0.0.1"), pj_str("::1")};
    pj_sockaddr address;
    int n_taken = 0;

    n_asked = 0;
    for (unsigned i = 0; i < PJ_ARRAY_SIZE(names); ++i) {
        n_taken += pj_sockaddr_init(pj_AF_INET(), &address, &names[i], 4000) == PJ_SUCCESS;
        n_taken += pj_sockaddr_init(pj_AF_INET6(), &address, &names[i], 4000) == PJ_SUCCESS;
    }
    printf("%d %d\n", n_asked, n_taken);
    return 0;
}

/* ---- empty-multipart: a body without parts does not fit; its length is no error code */

static int empty_multipart(void)
{
    pjsip_msg_body *body = pjsip_multipart_create(pool, NULL, NULL);
    char buffer[64];

    printf("%d\n", body->print_body(body, buffer, sizeof(buffer)));
    return 0;
}

/* ---- clock-jump: ticks that are left out are in the timestamp of the next one; ticks that were late are all there */

static struct {
    pj_timestamp began;
    pj_uint64_t former; /* timestamp */
    long widest, behind_ms; /* the widest step, in ticks; behind the clock on the wall */
    atomic_uint n;
} ticks;
static atomic_uint stall_ms; /* of the clock's next sleep, as if there were no CPU */
static atomic_uint longest_sleep_ms;

pj_status_t pj_thread_sleep(unsigned msec)
{
    longest_sleep_ms = PJ_MAX(longest_sleep_ms, msec);
    usleep(1000 * (msec + atomic_exchange(&stall_ms, 0)));
    return PJ_SUCCESS;
}

static void on_tick(const pj_timestamp *at, void *data)
{
    pj_timestamp now;

    (void)data;
    pj_get_timestamp(&now);
    if (ticks.n == 0)
        ticks.began = now;
    ticks.widest = PJ_MAX(ticks.widest, (long)(at->u64 - ticks.former) / 160);
    ticks.behind_ms = (long)pj_elapsed_msec(&ticks.began, &now) - (long)at->u64 / 8;
    ticks.former = at->u64;
    ++ticks.n;
}

static int clock_jump(void)
{
    const unsigned stalls_ms[] = {250, 1500};
    const pjmedia_clock_param rate = {20000, 8000};
    pjmedia_clock *clock;

    pjmedia_clock_create2(pool, &rate, 0, &on_tick, NULL, &clock);
    pjmedia_clock_start(clock);
    for (unsigned i = 0; i < PJ_ARRAY_SIZE(stalls_ms); ++i) {
        unsigned n = ticks.n + 5;

        atomic_store(&stall_ms, stalls_ms[i]);
        while (atomic_load(&stall_ms) || ticks.n < n)
            usleep(1000);
        for (n = ticks.n + 1; ticks.n < n;)
            usleep(1000);
        printf("%d %d ", ticks.widest > 1, labs(ticks.behind_ms) < 300);
    }
    return 0;
}

/* ---- conference-removal: a port that is being removed cannot be connected any more */

static pjmedia_conf *conference;
static unsigned slot;
static pj_status_t connected = -1;

static void on_operation(const pjmedia_conf_op_info *info)
{
    if (info->op_type == PJMEDIA_CONF_OP_REMOVE_PORT)
        connected = pjmedia_conf_connect_port(conference, slot, 0, 0);
}

static int conference_removal(void)
{
    pjmedia_port *port;

    pjmedia_conf_create(pool, 8, 8000, 1, 160, 16, PJMEDIA_CONF_NO_DEVICE, &conference);
    pjmedia_conf_set_op_cb(conference, &on_operation);
    pjmedia_null_port_create(pool, 8000, 1, 160, 16, &port);
    pjmedia_conf_add_port(conference, pool, port, NULL, &slot);
    pjmedia_conf_remove_port(conference, slot); /* before any clock has taken it in */
    printf("%d\n", connected == PJ_SUCCESS);
    return 0;
}

/* ---- conference-listeners: a port takes memory for the listeners it has, not for all there could be */

static pj_size_t in_pools(void)
{
    pj_size_t n = 0;

    for (const pj_pool_t *one = (pj_pool_t *)pools.used_list.next; (void *)one != (void *)&pools.used_list; one = one->next)
        n += pj_pool_get_capacity((pj_pool_t *)one);
    return n;
}

static int conference_listeners(void)
{
    enum { N_LISTENERS = 40 };
    pj_int16_t samples[160];
    pjmedia_frame frame = {.buf = samples, .size = sizeof(samples)};
    unsigned slots[1 + N_LISTENERS], n_right = 0;
    pjmedia_conf_port_info info;
    pjmedia_port *port;
    pj_size_t before;

    pjmedia_conf_create(pool, 10000, 8000, 1, 160, 16, PJMEDIA_CONF_NO_DEVICE, &conference);
    before = in_pools();
    for (unsigned i = 0; i <= N_LISTENERS; ++i) {
        pjmedia_null_port_create(pool, 8000, 1, 160, 16, &port);
        pjmedia_conf_add_port(conference, pool, port, NULL, &slots[i]);
    }
    before = (in_pools() - before) / (1 + N_LISTENERS);
    for (unsigned i = 1; i <= N_LISTENERS; ++i)
        pjmedia_conf_connect_port(conference, slots[0], slots[i], 0);
    pjmedia_port_get_frame(pjmedia_conf_get_master_port(conference), &frame);
    pjmedia_conf_get_port_info(conference, slots[0], &info);
    for (unsigned i = 0; i < info.listener_cnt; ++i)
        n_right += info.listener_slots[i] == slots[1 + i];
    printf("%d %u\n", before < 20000, n_right);
    return 0;
}

/* ---- conference-idle: a disabled port is next to no work, is heard of no more and again; few sources need one thread */

enum { N_MANY = 4000, N_SOURCES = 40, N_TICKS = 50 };
static atomic_uint n_barriers, n_frames;

pj_int32_t pj_barrier_wait(pj_barrier_t *barrier, pj_uint32_t flags)
{
    pj_int32_t (*real)(pj_barrier_t *, pj_uint32_t);

    *(void **)&real = dlsym(RTLD_NEXT, "pj_barrier_wait");
    ++n_barriers;
    return real(barrier, flags);
}

static pj_status_t count_frame(pjmedia_port *port, pjmedia_frame *frame)
{
    (void)port;
    (void)frame;
    ++n_frames;
    return PJ_SUCCESS;
}

/* The shortest of some ticks, in nanoseconds. */
static unsigned tick_time(void)
{
    pj_int16_t samples[160];
    unsigned shortest = (unsigned)-1;

    for (int i = 0; i < N_TICKS; ++i) {
        pjmedia_frame frame = {.buf = samples, .size = sizeof(samples)};
        pj_timestamp before, after;

        pj_get_timestamp(&before);
        pjmedia_port_get_frame(pjmedia_conf_get_master_port(conference), &frame);
        pj_get_timestamp(&after);
        shortest = PJ_MIN(shortest, pj_elapsed_nanosec(&before, &after));
    }
    return shortest;
}

static int conference_idle(void)
{
    static unsigned slots[N_MANY];
    pjmedia_conf_param param;
    unsigned enabled_ns, disabled_ns;
    pjmedia_port *port;

    pjmedia_conf_param_default(&param);
    param.max_slots = N_MANY + 1;
    param.sampling_rate = 8000;
    param.channel_count = 1;
    param.samples_per_frame = 160;
    param.bits_per_sample = 16;
    param.options = PJMEDIA_CONF_NO_DEVICE;
    param.worker_threads = 1;
    pjmedia_conf_create2(pool, &param, &conference);
    for (unsigned i = 0; i < N_MANY; ++i) {
        pjmedia_null_port_create(pool, 8000, 1, 160, 16, &port);
        port->put_frame = &count_frame;
        pjmedia_conf_add_port(conference, pool, port, NULL, &slots[i]);
    }
    tick_time(); /* the first takes them in */
    enabled_ns = tick_time();
    for (unsigned i = 0; i < N_MANY; ++i)
        pjmedia_conf_configure_port(conference, slots[i], PJMEDIA_PORT_DISABLE, PJMEDIA_PORT_DISABLE);
    n_frames = n_barriers = 0;
    disabled_ns = tick_time();
    printf("%d %u %u ", disabled_ns * 10 < enabled_ns, n_frames, n_barriers);
    pjmedia_conf_configure_port(conference, slots[7], PJMEDIA_PORT_ENABLE, PJMEDIA_PORT_DISABLE);
    tick_time();
    printf("%u ", n_frames);
    for (unsigned i = 0; i < N_SOURCES; ++i) {
        pjmedia_conf_configure_port(conference, slots[i], PJMEDIA_PORT_ENABLE, PJMEDIA_PORT_ENABLE);
        pjmedia_conf_connect_port(conference, slots[i], slots[(i + 1) % N_SOURCES], 0);
    }
    tick_time();
    printf("%d\n", n_barriers > 0);
    return 0;
}

/* ---- deaf-stream: a packet that lies in the socket when the transport starts is heard, and so are those after it */

static volatile int n_heard;
static unsigned pause_after_read_ms;

/* The transport asks for its first packet. A pause here gives PJMEDIA's thread the time to take it at once. */
pj_status_t pj_ioqueue_recvfrom(pj_ioqueue_key_t *key, pj_ioqueue_op_key_t *op, void *buffer, pj_ssize_t *length,
                                pj_uint32_t flags, pj_sockaddr_t *from, int *from_length)
{
    pj_status_t (*real)(pj_ioqueue_key_t *, pj_ioqueue_op_key_t *, void *, pj_ssize_t *, pj_uint32_t, pj_sockaddr_t *,
                        int *);
    pj_status_t status;

    *(void **)&real = dlsym(RTLD_NEXT, "pj_ioqueue_recvfrom");
    status = real(key, op, buffer, length, flags, from, from_length);
    usleep(pause_after_read_ms * 1000);
    return status;
}

static void on_rtp(void *user_data, void *packet, pj_ssize_t size)
{
    PJ_UNUSED_ARG(user_data);
    PJ_UNUSED_ARG(packet);
    n_heard += size > 0;
}

static void on_rtcp(void *user_data, void *packet, pj_ssize_t size)
{
    PJ_UNUSED_ARG(user_data);
    PJ_UNUSED_ARG(packet);
    PJ_UNUSED_ARG(size);
}

static int deaf_stream(void)
{
    const pj_str_t host = pj_str("127.0.0.1");
    const char packet[172] = {(char)0x80, 8};
    pjmedia_transport_info info;
    pjmedia_endpt *endpoint;
    pjmedia_transport *transport;
    pj_sock_t sender;
    int length = sizeof(pj_sockaddr_in);
    pj_ssize_t size;

    pjmedia_endpt_create2(&pools.factory, NULL, 1, &endpoint);
    for (int port = 18992; pjmedia_transport_udp_create2(endpoint, "rtp", &host, port, 0, &transport) != PJ_SUCCESS;)
        port += 2;
    pjmedia_transport_info_init(&info);
    pjmedia_transport_get_info(transport, &info);
    pj_sock_socket(pj_AF_INET(), pj_SOCK_DGRAM(), 0, &sender);
    size = sizeof(packet);
    pj_sock_sendto(sender, packet, &size, 0, &info.sock_info.rtp_addr_name, length); /* before its 200, so to say */
    pjmedia_transport_attach(transport, NULL, &info.sock_info.rtp_addr_name, NULL, length, &on_rtp, &on_rtcp);
    pause_after_read_ms = 100;
    pjmedia_transport_media_start(transport, pool, NULL, NULL, 0);
    pause_after_read_ms = 0;
    for (int i = 0; i < 4; ++i) {
        usleep(20000);
        size = sizeof(packet);
        pj_sock_sendto(sender, packet, &size, 0, &info.sock_info.rtp_addr_name, length);
    }
    usleep(200000);
    printf("%d\n", n_heard);
    return 0;
}

/* ---- crypto-lines: an offer with more of them than the stack array had room for is answered by the one we can do */

static pjmedia_sdp_session *session(const char *attributes)
{
    static char text[16384];
    pjmedia_sdp_session *sdp = NULL;

    snprintf(text, sizeof(text),
             "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 8\r\n%s",
             attributes);
    pjmedia_sdp_parse(pool, text, strlen(text), &sdp);
    return sdp;
}

static int crypto_lines(void)
{
    static char lines[8192];
    const char *key = "inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw";
    pjmedia_srtp_setting setting;
    pjmedia_endpt *endpoint;
    pjmedia_transport *rtp, *srtp;
    pjmedia_sdp_session *offer, *answer;
    int at = 0;

    for (int tag = 1; tag <= PJMEDIA_MAX_SDP_ATTR; ++tag) /* only the last is a suite that we know */
        at += snprintf(lines + at, sizeof(lines) - (size_t)at, "a=crypto:%d %s %s\r\n", 1000 + tag,
                       tag < PJMEDIA_MAX_SDP_ATTR ? "NO_SUCH_SUITE" : "AES_CM_128_HMAC_SHA1_80", key);
    offer = session(lines);
    answer = session("");
    pjmedia_endpt_create2(&pools.factory, NULL, 0, &endpoint);
    pjmedia_transport_loop_create(endpoint, &rtp);
    pjmedia_srtp_setting_default(&setting);
    setting.use = PJMEDIA_SRTP_MANDATORY;
    pjmedia_transport_srtp_create(endpoint, rtp, &setting, &srtp);
    pjmedia_transport_media_create(srtp, pool, 0, offer, 0);
    printf("%u ", offer->media[0]->attr_count);
    printf("%d ", pjmedia_transport_encode_sdp(srtp, pool, answer, offer, 0));
    printf("%.*s\n", 4, pjmedia_sdp_media_find_attr2(answer->media[0], "crypto", NULL)->value.ptr);
    return 0;
}

/* ---- sdp-newlines: a body of newlines, with more of them behind it, is no reason to jump anywhere */

static int sdp_newlines(void)
{
    char body[] = "\r\n\r\n\r\n";
    pjmedia_sdp_session *sdp = NULL;

    pjmedia_sdp_parse(pool, body, 2, &sdp);
    printf("%u\n", sdp ? sdp->media_count : 0);
    return 0;
}

/* ---- dtls-certificate: its key is made in no time, whichever numbers come up */

static int n_rsa_keys;

int RSA_generate_key_ex(void *key, int n_bits, void *exponent, void *callback);
int RSA_generate_key_ex(void *key, int n_bits, void *exponent, void *callback)
{
    (void)key, (void)n_bits, (void)exponent, (void)callback;
    ++n_rsa_keys;
    return 0;
}

static int dtls_certificate(void)
{
    pjmedia_endpt *endpoint;
    pj_status_t status;

    pjmedia_endpt_create2(&pools.factory, NULL, 0, &endpoint);
    status = pjmedia_srtp_init_lib(endpoint);
    printf("%d %d\n", status, n_rsa_keys);
    return 0;
}

/* ---- dtls-clock: who reads the last packet of a handshake waits for no thread; who ends a call, for 50 ms at most */

static int n_joined, n_keyed;

pj_status_t pj_thread_join(pj_thread_t *thread)
{
    pj_status_t (*real)(pj_thread_t *);

    *(void **)&real = dlsym(RTLD_NEXT, "pj_thread_join");
    n_joined += thread != pj_thread_this();
    return real(thread);
}

static void on_keys(pjmedia_transport *transport, pj_status_t status)
{
    PJ_UNUSED_ARG(transport);
    n_keyed += status == PJ_SUCCESS;
}

static int dtls_clock(void)
{
    const pj_str_t host = pj_str("127.0.0.1");
    pj_time_val soon = {0, 10};
    pjmedia_srtp_setting setting;
    pjmedia_srtp_dtls_nego_param far[2];
    pjmedia_transport_info info;
    pjmedia_endpt *endpoint;
    pjmedia_transport *rtp[2], *srtp[2];
    char fingerprint[128];
    pj_size_t length = sizeof(fingerprint);
    int port = 18992;

    pjmedia_endpt_create2(&pools.factory, NULL, 0, &endpoint);
    pjmedia_srtp_setting_default(&setting);
    setting.use = PJMEDIA_SRTP_MANDATORY;
    setting.keying_count = 1;
    setting.keying[0] = PJMEDIA_SRTP_KEYING_DTLS_SRTP;
    setting.cb.on_srtp_nego_complete = &on_keys;
    for (int i = 0; i < 2; ++i) {
        while (pjmedia_transport_udp_create2(endpoint, "rtp", &host, port, 0, &rtp[i]) != PJ_SUCCESS)
            port += 2;
        pjmedia_transport_srtp_create(endpoint, rtp[i], &setting, &srtp[i]);
        pjmedia_transport_info_init(&info);
        pjmedia_transport_get_info(rtp[i], &info);
        far[!i] = (pjmedia_srtp_dtls_nego_param){.is_role_active = i};
        far[!i].rem_addr = info.sock_info.rtp_addr_name;
        far[!i].rem_rtcp = info.sock_info.rtcp_addr_name;
    }
    pjmedia_transport_srtp_dtls_get_fingerprint(srtp[0], "SHA-256", fingerprint, &length);
    for (int i = 0; i < 2; ++i) {
        far[i].rem_fingerprint = pj_str(fingerprint);
        pjmedia_transport_media_start(rtp[i], pool, NULL, NULL, 0);
        pjmedia_transport_srtp_dtls_start_nego(srtp[i], &far[i]);
    }
    for (int n = 0; n < 1000 && n_keyed < 2; ++n)
        pj_ioqueue_poll(pjmedia_endpt_get_ioqueue(endpoint), &soon);
    for (int n = 0; n < 50; ++n) /* RTCP's, and whatever else comes */
        pj_ioqueue_poll(pjmedia_endpt_get_ioqueue(endpoint), &soon);
    printf("%d %d ", n_keyed, n_joined);
    pjmedia_transport_close(srtp[0]);
    pjmedia_transport_close(srtp[1]);
    printf("%d %d\n", n_joined, longest_sleep_ms <= 50);
    return 0;
}

/* ---- message-buffers: what is kept of a message that was sent is as long as the message, also where it grows */

static int message_buffers(void)
{
    const pj_str_t uri = pj_str("sip:a@127.0.0.1"), name = pj_str("X-Long");
    char long_text[9000];
    const pj_str_t value = {long_text, sizeof(long_text)};
    pjsip_method options = {PJSIP_OPTIONS_METHOD, {"OPTIONS", 7}};
    pjsip_endpoint *endpoint;
    pjsip_tx_data *message;
    long spare[2], lengths[2];

    memset(long_text, 'x', sizeof(long_text));
    pjsip_endpt_create(&pools.factory, "patches", &endpoint);
    pjsip_endpt_create_request(endpoint, &options, &uri, &uri, &uri, NULL, NULL, 1, NULL, &message);
    for (int i = 0; i < 2; ++i) {
        if (i)
            pjsip_msg_add_hdr(message->msg, (pjsip_hdr *)pjsip_generic_string_hdr_create(message->pool, &name, &value));
        pjsip_tx_data_invalidate_msg(message);
        if (pjsip_tx_data_encode(message) != PJ_SUCCESS)
            return 1;
        lengths[i] = message->buf.cur - message->buf.start;
        spare[i] = message->buf.end - message->buf.cur;
        if (message->buf.start[lengths[i]] != '\0' || (size_t)lengths[i] != strlen(message->buf.start))
            return 1;
    }
    printf("%ld %ld %ld\n", spare[0], spare[1], lengths[1] - lengths[0]);
    return 0;
}

/* ---- rtp-buffers: a leg's RTP transport takes what it needs to be there */

static int rtp_buffers(void)
{
    const pj_str_t host = pj_str("127.0.0.1");
    pjmedia_endpt *endpoint;
    pjmedia_transport *transport;
    pj_size_t before;
    int port = 18992;

    pjmedia_endpt_create2(&pools.factory, NULL, 1, &endpoint);
    do {
        before = in_pools();
        port += 2;
    } while (pjmedia_transport_udp_create2(endpoint, "rtp", &host, port, 0, &transport) != PJ_SUCCESS);
    printf("%d\n", in_pools() - before < 10000);
    return 0;
}

/* ---- media-poll: PJMEDIA's thread looks for packets that are not there ten times a second */

static atomic_uint n_polls;

int pj_ioqueue_poll(pj_ioqueue_t *ioqueue, const pj_time_val *timeout)
{
    int (*real)(pj_ioqueue_t *, const pj_time_val *);

    *(void **)&real = dlsym(RTLD_NEXT, "pj_ioqueue_poll");
    ++n_polls;
    return real(ioqueue, timeout);
}

static int media_poll(void)
{
    pjmedia_endpt *endpoint;

    pjmedia_endpt_create2(&pools.factory, NULL, 1, &endpoint);
    usleep(500000);
    printf("%d\n", n_polls >= 1 && n_polls < 10);
    pjmedia_endpt_destroy2(endpoint);
    return 0;
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        int (*run)(void);
    } all[] = {{"address-lookup", &address_lookup},
               {"array-header", &array_header},
               {"clock-jump", &clock_jump},
               {"empty-multipart", &empty_multipart},
               {"conference-idle", &conference_idle},
               {"conference-listeners", &conference_listeners},
               {"conference-removal", &conference_removal},
               {"deaf-stream", &deaf_stream},
               {"dtls-certificate", &dtls_certificate},
               {"dtls-clock", &dtls_clock},
               {"media-poll", &media_poll},
               {"message-buffers", &message_buffers},
               {"crypto-lines", &crypto_lines},
               {"rtp-buffers", &rtp_buffers},
               {"sdp-newlines", &sdp_newlines}};

    pj_log_set_level(0);
    pj_init();
    pj_caching_pool_init(&pools, NULL, 0);
    pool = pj_pool_create(&pools.factory, "patches", 65536, 65536, NULL);
    for (unsigned i = 0; argc == 2 && i < PJ_ARRAY_SIZE(all); ++i)
        if (strcmp(argv[1], all[i].name) == 0) {
            int result = all[i].run();

            fflush(stdout);
            _exit(result); /* threads of PJMEDIA are still there */
        }
    return 2;
}
