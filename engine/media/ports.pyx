# cython: language_level=3
"""The Cython face of the C ports and of PJSUA's conference bridge. Its contract is ports.pyi.

Everything is called by the engine thread. PJMEDIA's threads run C only and never wait for the GIL, so holding it while
PJMEDIA's own short locks are taken cannot deadlock.
"""

from collections import deque

from libc.stdint cimport int16_t, int64_t
from libc.string cimport strncmp

from engine.callflow.errors import MediaError
from engine.media.rings cimport Ring, agner_recording_ring

cdef extern from "<pjsua-lib/pjsua.h>" nogil:
    ctypedef int pj_status_t
    ctypedef int pj_bool_t
    int PJ_EINVAL
    ctypedef struct pj_pool_factory:
        pass
    ctypedef struct pj_pool_t:
        pj_pool_t *next
        char obj_name[32]
    ctypedef struct pj_list:
        void *next
    ctypedef struct pj_lock_t:
        pass
    ctypedef struct pj_caching_pool:
        pj_pool_factory factory
        pj_list used_list
        pj_lock_t *lock
    ctypedef struct pj_str_t:
        char *ptr
        ssize_t slen
    ctypedef struct pjmedia_conf:
        pass
    ctypedef struct pjmedia_port_info:
        pass
    ctypedef struct pjmedia_port:
        pjmedia_port_info info
    unsigned PJMEDIA_PIA_SRATE(const pjmedia_port_info *)
    unsigned PJMEDIA_PIA_SPF(const pjmedia_port_info *)
    pj_pool_t *pj_pool_create(pj_pool_factory *, const char *, size_t, size_t, void *)
    void pj_pool_release(pj_pool_t *)
    size_t pj_pool_get_used_size(pj_pool_t *)
    int pj_lock_acquire(pj_lock_t *)
    int pj_lock_release(pj_lock_t *)
    pj_str_t pj_strerror(pj_status_t, char *, size_t)
    pjmedia_port *pjmedia_conf_get_master_port(pjmedia_conf *)
    unsigned pjmedia_conf_get_port_count(pjmedia_conf *)
    pj_status_t pjmedia_port_destroy(pjmedia_port *)
    pj_status_t pjsua_conf_add_port(pj_pool_t *, pjmedia_port *, int *)
    pj_status_t pjsua_conf_remove_port(int)
    pj_status_t pjsua_conf_connect(int, int)
    pj_status_t pjsua_conf_disconnect(int, int)

cdef extern from "<pjsua-lib/pjsua_internal.h>" nogil:
    struct pjsua_data:
        pj_caching_pool cp
        pjmedia_conf *mconf
    pjsua_data pjsua_var

cdef extern from "news_ring.h" nogil:
    int64_t AGNER_NO_PLAY
    struct agner_news:
        int leg
        unsigned port
        int64_t play
    struct agner_news_ring:
        pass
    void agner_news_init(agner_news_ring *)
    bint agner_news_take(agner_news_ring *, agner_news *)

cdef extern from "queue_audio_port.h" nogil:
    struct agner_sound:
        const int16_t *samples
        unsigned n_samples
    pj_status_t agner_queue_audio_create(pj_pool_factory *, unsigned, unsigned, int, unsigned, agner_news_ring *,
                                         pjmedia_port **)
    void agner_queue_audio_set_music(pjmedia_port *, const agner_sound *)
    pj_status_t agner_queue_audio_push(pjmedia_port *, const agner_sound *, int64_t, pj_bool_t)
    unsigned agner_queue_audio_room(pjmedia_port *)
    void agner_queue_audio_cancel(pjmedia_port *)
    void agner_queue_audio_mute(pjmedia_port *)

cdef extern from "key_detector.h" nogil:
    struct agner_key_detector:
        pass
    void agner_keys_init(agner_key_detector *, unsigned)
    char agner_keys_hear(agner_key_detector *, const int16_t *, unsigned)

cdef extern from "recording_tap_port.h" nogil:
    unsigned AGNER_RECORDABLE
    enum agner_recording:
        AGNER_CALL
        AGNER_MESSAGE
    pj_status_t agner_tap_install(agner_news_ring *)
    void agner_tap_uninstall()
    void agner_tap_record(int, agner_recording, agner_recording_ring *)
    int agner_tap_count(int)
    unsigned agner_tap_rate(int)

cdef extern from "rtp_leg.h" nogil:
    enum agner_source:
        AGNER_FROM_BRIDGE
        AGNER_FROM_LEG
        AGNER_FROM_QUEUE_AUDIO
    struct agner_rtp_counts:
        agner_source source
        char law
        unsigned n_foreign, n_sent, n_received
        int64_t heard_ns
    pj_status_t agner_rtp_relay(int, int, int, int)
    pj_status_t agner_rtp_feed(int, int, pjmedia_port *)
    void agner_rtp_bridge(int)
    bint agner_rtp_count(int, agner_rtp_counts *)

cdef extern from "silence.h" nogil:
    void agner_silence_allow(double, double)
    unsigned agner_silence_look(int *, unsigned)

RECORDABLE = AGNER_RECORDABLE
CALL = <int>AGNER_CALL
MESSAGE = <int>AGNER_MESSAGE

cdef agner_news_ring news_ring
agner_news_init(&news_ring)
cdef unsigned n_queue_audios = 0
cdef dict held = {}  # number of a port -> deque of (play, its sounds): what the port may yet read
cdef list keys_heard = []  # (stream, key), until take_keys()
cdef dict held_music = {}  # number of a port -> all music that it was given


cdef object failure(str what, pj_status_t status):
    cdef char text[128]
    cdef pj_str_t said = pj_strerror(status, text, sizeof(text))
    return MediaError(f"{what}: {said.ptr[:said.slen].decode(errors='replace')} ({status})")


# ---- the conference bridge


cdef pjmedia_port *bridge() except NULL:
    if pjsua_var.mconf == NULL:
        raise MediaError("there is no conference bridge: the pjsua library is not initialised")
    return pjmedia_conf_get_master_port(pjsua_var.mconf)


def clock_rate():
    return PJMEDIA_PIA_SRATE(&bridge().info)


def connect(int source, int listener):
    cdef pj_status_t status = pjsua_conf_connect(source, listener)
    if status != 0 and status != PJ_EINVAL:
        raise failure(f"slot {source} -> {listener}", status)


def disconnect(int source, int listener):
    pjsua_conf_disconnect(source, listener)


def n_slots():
    if pjsua_var.mconf == NULL:
        return 0
    return pjmedia_conf_get_port_count(pjsua_var.mconf) - 1


def pool_use(bytes named=b""):
    cdef void *pool
    cdef const char *prefix = named
    cdef size_t n_prefix = len(named), n_bytes = 0, n_pools = 0
    bridge()
    pj_lock_acquire(pjsua_var.cp.lock)
    pool = pjsua_var.cp.used_list.next
    while pool != &pjsua_var.cp.used_list:
        if strncmp((<pj_pool_t *>pool).obj_name, prefix, n_prefix) == 0:
            n_pools += 1
            n_bytes += pj_pool_get_used_size(<pj_pool_t *>pool)
        pool = (<pj_pool_t *>pool).next
    pj_lock_release(pjsua_var.cp.lock)
    return n_pools, n_bytes


# ---- past the bridge


def relay(int stream, int slot, int other, int other_slot):
    return agner_rtp_relay(stream, slot, other, other_slot) == 0


def bridge_again(int stream):
    agner_rtp_bridge(stream)


def rtp_counts(int stream):
    cdef agner_rtp_counts counts
    if not agner_rtp_count(stream, &counts):
        return None
    source = {AGNER_FROM_BRIDGE: "bridge", AGNER_FROM_LEG: "leg", AGNER_FROM_QUEUE_AUDIO: "queue audio"}[counts.source]
    return source, counts.n_sent, counts.n_received, counts.n_foreign


# ---- queue audio


cdef class Sound:
    cdef agner_sound sound
    cdef const int16_t[::1] samples

    def __init__(self, const int16_t[::1] samples not None):
        if samples.shape[0] == 0:
            raise ValueError("a sound of no length")
        self.samples = samples
        self.sound.samples = &samples[0]
        self.sound.n_samples = <unsigned>samples.shape[0]

    def __len__(self):
        return self.sound.n_samples


cdef class QueueAudio:
    cdef pjmedia_port *port
    cdef int slot_or_none
    cdef unsigned number

    def __cinit__(self, int leg):
        global n_queue_audios
        cdef pjmedia_port *master = bridge()
        cdef pj_status_t status
        self.slot_or_none = -1
        n_queue_audios += 1
        self.number = n_queue_audios
        status = agner_queue_audio_create(&pjsua_var.cp.factory, PJMEDIA_PIA_SRATE(&master.info),
                                          PJMEDIA_PIA_SPF(&master.info), leg, self.number, &news_ring, &self.port)
        if status != 0:
            raise failure("queue audio", status)
        held[self.number] = deque()
        held_music[self.number] = set()

    @property
    def slot(self):
        cdef pj_pool_t *pool
        cdef pj_status_t status
        self.check()
        if self.slot_or_none < 0:
            # The conference takes only the factory from this pool.
            pool = pj_pool_create(&pjsua_var.cp.factory, "queue-audio-add", 512, 512, NULL)
            status = pjsua_conf_add_port(pool, self.port, &self.slot_or_none)
            pj_pool_release(pool)
            if status != 0:
                self.slot_or_none = -1
                raise failure("queue audio", status)
        return self.slot_or_none

    def feed(self, int stream, int slot):
        self.check()
        return agner_rtp_feed(stream, slot, self.port) == 0

    def __dealloc__(self):
        self.close()

    def set_music(self, Sound music):
        self.check()
        if music is not None:
            held_music[self.number].add(music)
        agner_queue_audio_set_music(self.port, &music.sound if music is not None else NULL)

    def play(self, sounds, int64_t play):
        cdef Sound sound
        cdef Py_ssize_t n_left = len(sounds)
        self.check()
        if n_left == 0 or n_left > agner_queue_audio_room(self.port):
            raise MediaError(f"{n_left} prompts at once; room is for 1 to {agner_queue_audio_room(self.port)}")
        held[self.number].append((play, list(sounds)))
        for sound in sounds:
            n_left -= 1
            agner_queue_audio_push(self.port, &sound.sound, play, n_left == 0)

    def cancel(self):
        self.check()
        agner_queue_audio_cancel(self.port)

    def mute(self):
        self.check()
        agner_queue_audio_mute(self.port)

    cpdef close(self):
        if self.port != NULL:
            agner_queue_audio_mute(self.port)
            if self.slot_or_none >= 0:
                pjsua_conf_remove_port(self.slot_or_none)
            pjmedia_port_destroy(self.port)
            self.port = NULL

    cdef check(self):
        if self.port == NULL:
            raise MediaError("this queue audio is closed")


def take_news():
    """[(leg, play)] of the plays that ended. Costs a look at one word when there is nothing."""
    cdef agner_news news
    if not agner_news_take(&news_ring, &news):
        return []
    ended = []
    while True:
        if news.port == 0:
            keys_heard.append((news.leg, chr(news.play)))
        elif news.play == AGNER_NO_PLAY:
            held.pop(news.port, None)
            held_music.pop(news.port, None)
        else:
            ended.append((news.leg, news.play))
            let_go(news.port, news.play)
        if not agner_news_take(&news_ring, &news):
            return ended


def take_keys():
    if not keys_heard:
        return []
    heard = list(keys_heard)
    keys_heard.clear()
    return heard


def keys_in(const int16_t[::1] samples not None, unsigned rate):
    """For tests: what a tap hears, frame by frame."""
    cdef agner_key_detector detector
    cdef unsigned frame = rate // 50, at
    cdef char key
    agner_keys_init(&detector, rate)
    heard = ""
    for at in range(0, samples.shape[0] - frame + 1, frame):
        key = agner_keys_hear(&detector, &samples[at], frame)
        if key:
            heard += chr(key)
    return heard


cdef let_go(unsigned port, int64_t play):
    """The port has read all sounds up to the end of this play."""
    plays = held.get(port)
    while plays and plays.popleft()[0] != play:
        pass


def n_held():
    return sum(len(sounds) for plays in held.values() for _, sounds in plays)


# ---- silence


def allow_silence(double silent_s, double held_s):
    agner_silence_allow(silent_s, held_s)


def take_silent():
    cdef int calls[64]
    cdef unsigned n = agner_silence_look(calls, 64)
    return [calls[i] for i in range(n)]


# ---- recording


def install_tap():
    bridge()
    cdef pj_status_t status = agner_tap_install(&news_ring)
    if status != 0:
        raise failure("the RTP thread", status)


def uninstall_tap():
    agner_tap_uninstall()


def n_taps(int stream):
    return agner_tap_count(stream)


def tap_rate(int stream):
    return agner_tap_rate(stream)


def record(int stream, int which, Ring ring):
    if not agner_tap_count(stream) and ring is not None:
        raise MediaError(f"call {stream} has no tap: only callers' and customers' legs are recorded")
    agner_tap_record(stream, <agner_recording>which, ring.ring if ring is not None else NULL)
