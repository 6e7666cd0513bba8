/* The limits and switches PJSIP is compiled with: a softswitch's, not a soft phone's.
 *
 * Part of the cache key, so an edit here makes the next `make` build PJSIP again. The recipe copies it beside the headers
 * as pj/config_site.h; engine start reads the limits there and refuses a configuration above them. "Default" below is
 * what PJSIP 2.17 would take by itself.
 */

/* Calls: every leg is a call, so 4096 legs are 2048 two-party conversations. Tables are allocated for what the daemon
 * asks for at run time; the compiled figure is only the ceiling, above which PJSIP would clamp without a word. */
#define PJSUA_MAX_CALLS                 4096    /* default 4 */
#define PJSUA_MAX_ACC                   256     /* default 8; one per trunk and one for the phones */
#define PJSUA_MAX_CONF_PORTS            10240   /* default 254; a leg, a queue port per waiting caller, room to monitor */
#define PJSUA_MAX_PLAYERS               256     /* default 32 */
#define PJSUA_MAX_RECORDERS             256     /* default 32 */
#define PJMEDIA_MAX_SDP_MEDIA           8       /* default 16; m= lines in an offer, an array of them in every call slot */

/* Sockets: two per leg (RTP, RTCP) and one per SIP connection. epoll, because select() ends at descriptor 1024. */
#define PJ_IOQUEUE_MAX_HANDLES          16384   /* default 64 */
/* One thread polls each ioqueue, so nobody needs EPOLLEXCLUSIVE, which costs two epoll_ctl() calls a packet. */
#define PJ_IOQUEUE_DEFAULT_EPOLL_FLAGS  0       /* default PJ_IOQUEUE_EPOLL_AUTO */
#define PJSIP_UDP_SO_RCVBUF_SIZE        (4*1024*1024)   /* default: the kernel's; a burst of INVITEs waits in here. */
#define PJSIP_UDP_SO_SNDBUF_SIZE        (4*1024*1024)   /* PJSIP settles for what net.core.rmem_max allows */
#define PJMEDIA_TRANSPORT_SO_RCVBUF_SIZE (64*1024)      /* default: the kernel's; 64 kB hold > 1 s of G.711 at 20 ms */
#define PJMEDIA_TRANSPORT_SO_SNDBUF_SIZE (64*1024)

/* Signalling. A finished transaction lives on for 32 s (RFC 3261 timers H, J), so 200 calls/s with four transactions
 * each keep 25,600 of them. Sizes of hash tables: 2^n - 1. */
#define PJSIP_MAX_TSX_COUNT             65535   /* default 1023 */
#define PJSIP_MAX_DIALOG_COUNT          16383   /* default 511 */
#define PJSIP_TPMGR_HTABLE_SIZE         1023    /* default 31; TCP connections of phones */
/* Connections that wait to be accepted. Above it the kernel drops handshakes, and whoever connects tries again after 1, 3, 7
 * s: a floor of phones that comes back after a power cut, or 200 half-open connections of one stranger before a phone. */
#define PJSIP_TCP_TRANSPORT_BACKLOG     1024    /* default 5; net.core.somaxconn may be less */
#define PJSIP_TLS_TRANSPORT_BACKLOG     1024
/* An INVITE with four codecs is near the 1,300 bytes from which PJSIP would try TCP first (RFC 3261 section 18.1.1). A phone
 * whose contact says UDP often has no TCP at all, and a firewall that drops the SYN would cost the caller seconds. */
#define PJSIP_DONT_SWITCH_TO_TCP        1
#define PJSIP_MAX_TIMED_OUT_ENTRIES     64      /* default 10 timers per turn of the loop */
#define PJ_HAS_IPV6                     1       /* default 0 */
#define PJSIP_MAX_PKT_LEN               16384   /* default 4000; an offer of a WebRTC gateway is longer */
/* Most messages take somewhat more than the 4000 that their pool begins with; a stream 12,500. */
#define PJSIP_POOL_INC_TDATA            1000    /* default 4000 */
#define PJMEDIA_STREAM_INC              1000    /* default 4000 */
/* A TCP or TLS connection that has brought no whole message by then is closed (s): half-open ones cost a socket each. */
#define PJSIP_TRANSPORT_SERVER_IDLE_TIME_FIRST 10   /* default 0: never */

/* Mixing. More than 1 selects the parallel bridge; how many threads share the work is then the daemon's to say at run
 * time (MediaConfig.confThreads). Two: on one thread the bridge, which also encodes and sends every leg's RTP, ends at
 * one core. The second has a share only where there is much to mix (conference-idle.patch). */
#define PJMEDIA_CONF_THREADS            2

/* A stream follows RTP that comes from a new address after this many packets. The default 10 lets a burst of 12 spoofed
 * packets take a caller's audio away; 250 is five seconds of 20 ms packets without a single one from the true sender. */
#define PJMEDIA_RTP_NAT_PROBATION_CNT   250
#define PJMEDIA_RTCP_NAT_PROBATION_CNT  10      /* default 3 */

/* Not a soft phone. Assertions are compiled out by -DNDEBUG in build.py: in a daemon that strangers send packets to, each
 * is a way to stop it. PJ_ASSERT_RETURN still returns its error. */
#define PJMEDIA_HAS_VIDEO               0
#define PJMEDIA_HAS_SRTP                1
#define PJMEDIA_SRTP_HAS_DTLS           1       /* default 0 */
#define PJMEDIA_SRTP_DTLS_CHECK_HELLO_ADDR 1    /* default 0; a ClientHello from a third address takes no call over */
#define PJ_HAS_SSL_SOCK                 1
#define PJSUA_MAX_BUDDIES               8       /* default 256; presence is not used */
