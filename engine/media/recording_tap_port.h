/* A tap in the stream of each caller's and customer's leg: what goes through it both ways can be recorded, and what
 * comes from there once more, as a message; and keys are heard in it where the far side has no other way to send them.
 * No slot, no thread. */
#ifndef AGNER_RECORDING_TAP_PORT_H
#define AGNER_RECORDING_TAP_PORT_H

#include <pjmedia/port.h>

#include "news_ring.h"
#include "recording_ring.h"

/* Among pjsua's flags of a call, where PJSIP has none: a call that we make is to be tapped as if it had come in. The SIP
 * room sets it (RECORDABLE in engine/sip/endpoint.py). */
#define AGNER_RECORDABLE (1u << 30)

enum agner_recording {
    AGNER_CALL,
    AGNER_MESSAGE,
    AGNER_N_RECORDINGS,
};

/* Where the leg's audio goes past the bridge (rtp_leg.h), the tap takes it from tracks that the RTP thread fills. */

/* Put a tap into the audio stream of every call that comes in (UAS) or is flagged, from now on. After pjsua is
 * initialised; and take over the RTP of all calls. Where telephone-event is not negotiated (RFC 4733), keys in the audio are put into `news`. */
pj_status_t agner_tap_install(struct agner_news_ring *news);
void agner_tap_uninstall(void);

/* Let the taps of this call write into the ring, also those that a re-INVITE will make; NULL: stop. Engine thread only.
 * The former ring of the same kind, if any, is closing afterwards. */
void agner_tap_record(int call_id, enum agner_recording which, struct agner_recording_ring *ring);

/* Taps that the call has now, at most one but for the moment of a re-INVITE. */
int agner_tap_count(int call_id);

/* The sample rate of the call's stream in Hz; 0 if it has no tap. */
unsigned agner_tap_rate(int call_id);

/* A tap around any port, for a call's number. The port is kept alive as long as the tap. `keys`: where to tell of keys in
 * its audio; NULL: they are not listened for. */
pj_status_t agner_tap_create(pj_pool_factory *factory, pjmedia_port *stream, int call_id, struct agner_news_ring *keys,
                             pjmedia_port **p_port);

#endif
