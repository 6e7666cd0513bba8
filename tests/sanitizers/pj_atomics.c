/* PJLIB's atomics, the same but compiled for ThreadSanitizer: a program's symbols go before a library's. By them PJLIB
 * counts the references of its group locks; without them the sanitizer would not know that whoever frees what such a
 * lock guards does so after all others have let go, and call it a race. pj_atomic_t is one such word (os_core_unix.c). */
#include <stdatomic.h>

typedef _Atomic long pj_atomic_t;

void pj_atomic_set(pj_atomic_t *atomic, long value) { atomic_store(atomic, value); }
long pj_atomic_get(pj_atomic_t *atomic) { return atomic_load(atomic); }
long pj_atomic_inc_and_get(pj_atomic_t *atomic) { return atomic_fetch_add(atomic, 1) + 1; }
void pj_atomic_inc(pj_atomic_t *atomic) { atomic_fetch_add(atomic, 1); }
long pj_atomic_dec_and_get(pj_atomic_t *atomic) { return atomic_fetch_sub(atomic, 1) - 1; }
void pj_atomic_dec(pj_atomic_t *atomic) { atomic_fetch_sub(atomic, 1); }
long pj_atomic_add_and_get(pj_atomic_t *atomic, long value) { return atomic_fetch_add(atomic, value) + value; }
void pj_atomic_add(pj_atomic_t *atomic, long value) { atomic_fetch_add(atomic, value); }
