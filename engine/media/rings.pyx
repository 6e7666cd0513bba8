# cython: language_level=3
"""The rings between the taps and the writer thread (recording_ring.h), seen from Python. Its contract is rings.pyi."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc, realloc

cdef extern from "recording_ring.h" nogil:
    int AGNER_AUDIO, AGNER_PAUSE, AGNER_LOST
    struct agner_chunk:
        uint32_t kind
        uint32_t n_samples
        uint32_t rate
    agner_recording_ring *agner_ring_create(uint32_t)
    void agner_ring_free(agner_recording_ring *)
    void agner_ring_audio(agner_recording_ring *, const int16_t *, const int16_t *, uint32_t, uint32_t)
    bint agner_ring_is_done(agner_recording_ring *)
    bint agner_ring_take(agner_recording_ring *, bint, uint32_t *, uint32_t, agner_chunk *)

AUDIO = AGNER_AUDIO
PAUSE = AGNER_PAUSE
LOST = AGNER_LOST


cdef class Ring:
    """Belongs to a RingSet once added, which frees it; without, it is never freed, as a tap may hold it."""

    def __cinit__(self, uint32_t n_samples):
        self.ring = agner_ring_create(n_samples)
        if self.ring == NULL:
            raise MemoryError

    @property
    def n_bytes(self):
        return self.ring.n_words * sizeof(uint32_t)

    def write(self, const int16_t[::1] left not None, const int16_t[::1] right not None, uint32_t rate):
        """For tests: what a tap does with a frame."""
        agner_ring_audio(self.ring, &left[0], &right[0], <uint32_t>left.shape[0], rate)


cdef struct Taken:
    int ring
    uint32_t at  # of its first sample on the stage
    agner_chunk chunk


cdef enum:
    N_STAGE = 1 << 17  # samples taken from all rings in one go: 512 kB
    N_TAKEN = 1 << 14
    MAX_FRAME = 1 << 13  # samples; no ring holds a longer frame


cdef class RingSet:
    cdef agner_recording_ring **rings
    cdef uint8_t *is_done
    cdef list keys
    cdef uint32_t *stage
    cdef Taken *taken

    def __cinit__(self):
        self.keys = []
        self.stage = <uint32_t *>malloc(N_STAGE * sizeof(uint32_t))
        self.taken = <Taken *>malloc(N_TAKEN * sizeof(Taken))
        if self.stage == NULL or self.taken == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.rings)
        free(self.is_done)
        free(self.stage)
        free(self.taken)

    def __len__(self):
        return len(self.keys)

    def add(self, key, Ring ring):
        cdef size_t n = len(self.keys) + 1
        cdef agner_recording_ring **rings = <agner_recording_ring **>realloc(self.rings, n * sizeof(void *))
        cdef uint8_t *is_done
        if rings == NULL:
            raise MemoryError
        self.rings = rings
        is_done = <uint8_t *>realloc(self.is_done, n)
        if is_done == NULL:
            raise MemoryError
        self.is_done = is_done
        self.rings[n - 1] = ring.ring
        self.keys.append(key)

    def drain(self):
        """([(key, kind, rate, samples or their number)], [keys whose ring is done and gone], is there more)."""
        cdef int n_rings = len(self.keys), n_taken, i
        cdef bint more = False
        with nogil:
            n_taken = self.take_all(n_rings, &more)
        chunks = [self.as_chunk(&self.taken[i]) for i in range(n_taken)]
        finished = []
        for i in range(n_rings - 1, -1, -1):
            if self.is_done[i]:
                finished.append(self.keys[i])
                agner_ring_free(self.rings[i])
                self.rings[i] = self.rings[len(self.keys) - 1]
                self.keys[i] = self.keys[len(self.keys) - 1]
                self.keys.pop()
        return chunks, finished, bool(more)

    cdef int take_all(self, int n_rings, bint *more) noexcept nogil:
        cdef uint32_t at = 0
        cdef int n_taken = 0, i
        cdef bint done
        cdef agner_chunk chunk
        for i in range(n_rings):
            done = agner_ring_is_done(self.rings[i])
            self.is_done[i] = False
            while True:
                if N_STAGE - at < MAX_FRAME or n_taken == N_TAKEN:
                    more[0] = True
                    break
                if not agner_ring_take(self.rings[i], done, self.stage + at, N_STAGE - at, &chunk):
                    self.is_done[i] = done
                    break
                self.taken[n_taken].ring = i
                self.taken[n_taken].at = at
                self.taken[n_taken].chunk = chunk
                n_taken += 1
                if chunk.kind == <uint32_t>AGNER_AUDIO:
                    at += chunk.n_samples
        return n_taken

    cdef object as_chunk(self, Taken *taken):
        cdef agner_chunk chunk = taken.chunk
        samples = chunk.n_samples
        if chunk.kind == <uint32_t>AGNER_AUDIO:
            samples = PyBytes_FromStringAndSize(<char *>(self.stage + taken.at), chunk.n_samples * sizeof(uint32_t))
        return self.keys[taken.ring], <int>chunk.kind, chunk.rate, samples
