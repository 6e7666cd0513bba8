/* Faults for the control of tests/sanitizers/run: what is not reported here would not be reported elsewhere either. */
#include <pjlib.h>
#include <stdlib.h>

/* AddressSanitizer; n: 4. */
int overflow(int n)
{
    int *volatile words = calloc(4, sizeof(int)); /* volatile: its size is not to be known to the compiler */
    int word = words[n];

    free(words);
    return word;
}

/* UndefinedBehaviorSanitizer; n: 1. */
int undefined(int n)
{
    return 0x7fffffff + n;
}

/* ThreadSanitizer, through PJLIB: two threads hold a group lock and write what it guards. The last one frees that, which
 * is no race unless the other still writes after it has let go; n: whether it does. */
static struct {
    pj_grp_lock_t *lock;
    int *word;
    int is_late;
} guarded;

static void free_word(void *nothing)
{
    (void)nothing;
    free(guarded.word);
}

static int other_holder(void *nothing)
{
    (void)nothing;
    *guarded.word = 1;
    pj_grp_lock_dec_ref(guarded.lock);
    if (guarded.is_late)
        *guarded.word = 2;
    return 0;
}

int race(int n)
{
    pj_caching_pool factory;
    pj_pool_t *pool;
    pj_thread_t *other;

    pj_log_set_level(0);
    pj_init();
    pj_caching_pool_init(&factory, NULL, 0);
    pool = pj_pool_create(&factory.factory, "planted", 4000, 4000, NULL);
    guarded.word = calloc(1, sizeof(int));
    guarded.is_late = n;
    pj_grp_lock_create_w_handler(pool, NULL, NULL, free_word, &guarded.lock);
    pj_grp_lock_add_ref(guarded.lock);
    pj_grp_lock_add_ref(guarded.lock);
    pj_thread_create(pool, "other", other_holder, NULL, 0, 0, &other);
    pj_thread_sleep(200); /* no order that a sanitizer would know of */
    pj_grp_lock_dec_ref(guarded.lock);
    return pj_thread_join(other);
}
