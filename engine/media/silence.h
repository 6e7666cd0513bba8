/* Legs of which nothing is heard any more. Nothing here runs per packet: PJMEDIA counts what each stream receives, RTP and
 * RTCP, and rtp_leg.h what goes past the streams; once a second the engine thread looks whether the counts moved.
 *
 * Heard is what was taken for the far side's: not what comes from a third address, nor what fails SRTP's check.
 * Comfort noise and RTCP count, so silence suppression ends no call. A leg that is not expected to send (its SDP or ours
 * says sendonly, recvonly, inactive or c=0.0.0.0, RFC 3264 section 8.4) has a limit of its own: many phones on hold send
 * neither.
 */
#ifndef AGNER_SILENCE_H
#define AGNER_SILENCE_H

/* Seconds without a packet after which a leg is told; 0: never. `held_s`: of one that is not expected to send. */
void agner_silence_allow(double silent_s, double held_s);

/* The calls that are silent for too long, each told once a limit; at most n. Looks once a second, and else gives 0 at
 * once. Engine thread only. */
unsigned agner_silence_look(int *call_ids, unsigned n);

#endif
