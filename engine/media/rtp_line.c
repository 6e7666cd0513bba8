/* A leg's line: a second socket on its RTP port, connected to its far side, for sending alone. See rtp_leg.h.
 *
 * A packet through the socket of PJMEDIA's transport costs 2.8 microseconds, through a line 2.3: the kernel need not look
 * for the route, nor tell the epoll that there is room again. The one socket cannot be both: connected, it would not hear
 * a phone behind a NAT whose port has changed. A line hears nothing, not even that a packet was refused, as its address is
 * that of a multicast group which nobody joins; all that comes goes to the other. It sends from the address that the route
 * prefers, so where that is not the leg's, there is no line. A line changes nothing but the price: without one, PJMEDIA's
 * socket sends.
 */
#define _GNU_SOURCE
#include "rtp_leg.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKETS_BEFORE 50           /* 1 s; a line costs what it saves in as many */
#define NOBODYS_GROUP "233.252.0.1" /* one of those for documentation, RFC 6676 */

static bool connect_to(int socket, const pj_sockaddr *far)
{
    return connect(socket, (const struct sockaddr *)far, pj_sockaddr_get_len(far)) == 0;
}

/* Would a socket without an address of its own send from the leg's? */
static bool is_preferred(const struct sockaddr_in *own, const pj_sockaddr *far)
{
    struct sockaddr_in preferred;
    socklen_t size = sizeof(preferred);
    int probe;
    bool is_it;

    if (own->sin_addr.s_addr == INADDR_ANY)
        return true;
    probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    is_it = connect_to(probe, far) && getsockname(probe, (struct sockaddr *)&preferred, &size) == 0 &&
            preferred.sin_addr.s_addr == own->sin_addr.s_addr;
    close(probe);
    return is_it;
}

static void share_port(int socket, int is_shared)
{
    setsockopt(socket, SOL_SOCKET, SO_REUSEPORT, &is_shared, sizeof(is_shared));
}

static int open_line(int rtp_socket, const pj_sockaddr *far)
{
    struct sockaddr_in own;
    socklen_t size = sizeof(own);
    int line;
    bool is_bound;

    if (far->addr.sa_family != AF_INET || getsockname(rtp_socket, (struct sockaddr *)&own, &size) < 0 ||
        !is_preferred(&own, far))
        return -1;
    line = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    own.sin_addr.s_addr = inet_addr(NOBODYS_GROUP);
    share_port(rtp_socket, 1); /* which may be that of any address; for this moment, so that nobody else comes in */
    share_port(line, 1);
    is_bound = bind(line, (struct sockaddr *)&own, sizeof(own)) == 0;
    share_port(rtp_socket, 0);
    share_port(line, 0);
    if (is_bound && connect_to(line, far))
        return line;
    close(line);
    return -1;
}

void agner_line_close(struct agner_rtp_leg *leg)
{
    if (leg->line >= 0)
        close(leg->line);
    leg->line = -1;
    leg->n_before_line = 0;
}

void agner_line_send(struct agner_rtp_leg *leg, const void *packet, size_t size)
{
    if (leg->n_before_line <= PACKETS_BEFORE && ++leg->n_before_line > PACKETS_BEFORE)
        leg->line = open_line(leg->rtp_socket, &leg->remote);
    if (leg->line >= 0)
        (void)!send(leg->line, packet, size, MSG_DONTWAIT);
    else
        agner_rtp_put(leg->rtp_socket, packet, size, &leg->remote);
}
