cdef extern from "recording_ring.h" nogil:
    struct agner_recording_ring:
        unsigned int n_words

cdef class Ring:
    cdef agner_recording_ring *ring
