/* Which legs are silent. See silence.h. */
#include "silence.h"

#include <pjmedia/stream.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>
#include <time.h>

#include "rtp_leg.h"

#define LOOK_EVERY_S 1.0
#define STALLED_S 3.0 /* nobody looked for so long: the process, not the far side, was silent */

static struct ear {
    pj_time_val answered_at; /* which call this is about; 0: none that is answered */
    unsigned n_heard;
    double heard_at_s;
} ears[PJSUA_MAX_CALLS];

static double silent_limit_s, held_limit_s, shortest_s, looked_at_s;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static pjmedia_stream *stream_of(const pjsua_call *call)
{
    return call->audio_idx >= 0 && (unsigned)call->audio_idx < call->med_cnt ? call->media[call->audio_idx].strm.a.stream
                                                                             : NULL;
}

static unsigned n_heard(const pjsua_call *call)
{
    pjmedia_stream *stream = stream_of(call);
    struct agner_rtp_counts past_stream;
    pjmedia_rtcp_stat stat;
    unsigned n = 0;

    if (agner_rtp_count(call->index, &past_stream))
        n += past_stream.n_received;
    if (stream && pjmedia_stream_get_stat(stream, &stat) == PJ_SUCCESS)
        n += stat.rx.pkt + stat.tx.update_cnt; /* RTP, and reports about what we send (RFC 3550 section 6.4) */
    return n;
}

static pj_bool_t is_expected_to_send(const pjsua_call *call)
{
    pjmedia_stream *stream = stream_of(call);
    pjmedia_stream_info info;

    return stream && pjmedia_stream_get_info(stream, &info) == PJ_SUCCESS && info.dir == PJMEDIA_DIR_ENCODING_DECODING &&
           pj_sockaddr_has_addr(&info.rem_addr);
}

void agner_silence_allow(double silent_s, double held_s)
{
    silent_limit_s = silent_s;
    held_limit_s = held_s;
    shortest_s = silent_s <= 0 ? held_s : held_s <= 0 ? silent_s : PJ_MIN(silent_s, held_s);
}

static pj_bool_t is_silent(struct ear *ear, const pjsua_call *call, double now)
{
    unsigned n;
    double limit_s;

    if (!call->inv || call->inv->state != PJSIP_INV_STATE_CONFIRMED) {
        ear->answered_at = (pj_time_val){0, 0};
        return PJ_FALSE;
    }
    n = n_heard(call);
    if (!PJ_TIME_VAL_EQ(ear->answered_at, call->conn_time) || ear->n_heard != n) {
        *ear = (struct ear){call->conn_time, n, now};
        return PJ_FALSE;
    }
    if (now - ear->heard_at_s < shortest_s)
        return PJ_FALSE;
    limit_s = is_expected_to_send(call) ? silent_limit_s : held_limit_s;
    if (limit_s <= 0 || now - ear->heard_at_s < limit_s)
        return PJ_FALSE;
    ear->heard_at_s = now;
    return PJ_TRUE;
}

unsigned agner_silence_look(int *call_ids, unsigned n)
{
    double now = now_s(), passed_s = now - looked_at_s;
    unsigned n_silent = 0;

    if (passed_s < LOOK_EVERY_S || shortest_s <= 0)
        return 0;
    looked_at_s = now;
    for (unsigned id = 0; id < pjsua_var.ua_cfg.max_calls && n_silent < n; ++id) {
        if (passed_s > STALLED_S)
            ears[id].heard_at_s += passed_s;
        if (is_silent(&ears[id], &pjsua_var.calls[id], now))
            call_ids[n_silent++] = (int)id;
    }
    return n_silent;
}
