/* The table of sources. See sources.h.
 *
 * Sets of WAYS places; a key lives in one set. So a look-up costs the same whatever the table has seen, and a flood of
 * forged addresses pushes out other strangers only, at most one for each datagram. The set is chosen by a keyed hash:
 * nobody outside can aim at one.
 */
#include "sources.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 4

struct agner_sources {
    agner_source_rules rules;
    uint64_t secret;
    unsigned n_sets; /* a power of two */
    agner_source places[];
};

agner_sources *agner_sources_create(unsigned n_sources, const agner_source_rules *rules, uint64_t secret)
{
    unsigned n_sets = 1;
    agner_sources *table;
    while (n_sets * WAYS < n_sources)
        n_sets *= 2;
    table = calloc(1, sizeof *table + (size_t)n_sets * WAYS * sizeof(agner_source));
    if (table) {
        table->rules = *rules;
        table->secret = secret | 1;
        table->n_sets = n_sets;
    }
    return table;
}

void agner_sources_destroy(agner_sources *table)
{
    free(table);
}

void agner_sources_set_rules(agner_sources *table, const agner_source_rules *rules)
{
    table->rules = *rules;
}

static int is_used(const agner_source *source)
{
    return source->key.high || source->key.low;
}

static agner_source *set_of(agner_sources *table, agner_source_key key)
{
    uint64_t hash = (key.high ^ table->secret) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ (hash >> 32) ^ key.low) * (table->secret ^ UINT64_C(0xd6e8feb86659fd93));
    hash ^= hash >> 29;
    return table->places + (size_t)(hash & (table->n_sets - 1)) * WAYS;
}

static agner_source *find(agner_sources *table, agner_source_key key)
{
    agner_source *set = set_of(table, key);
    for (unsigned n = 0; n < WAYS; ++n)
        if (set[n].key.high == key.high && set[n].key.low == key.low)
            return &set[n];
    return NULL;
}

/* Who makes place: nobody, else the least recently seen that is not banned, else whose ban ends first. */
static agner_source *victim_of(agner_source *set, double now_s)
{
    agner_source *victim = NULL, *banned = set;
    for (unsigned n = 0; n < WAYS; ++n) {
        if (!is_used(&set[n]))
            return &set[n];
        if (set[n].banned_until_s > now_s) {
            if (set[n].banned_until_s < banned->banned_until_s || banned->banned_until_s <= now_s)
                banned = &set[n];
        } else if (!victim || set[n].seen_s < victim->seen_s) {
            victim = &set[n];
        }
    }
    return victim ? victim : banned;
}

static agner_source *find_or_make(agner_sources *table, agner_source_key key, double now_s)
{
    agner_source *source = find(table, key);
    if (!source) {
        source = victim_of(set_of(table, key), now_s);
        memset(source, 0, sizeof *source);
        source->key = key;
        source->tokens = table->rules.burst;
        source->seen_s = source->refused_since_s = now_s;
    }
    return source;
}

static void refill(const agner_source_rules *rules, agner_source *source, double now_s)
{
    source->tokens += (now_s - source->seen_s) * rules->per_s;
    if (source->tokens > rules->burst)
        source->tokens = rules->burst;
    source->seen_s = now_s;
}

static int take(agner_source *source)
{
    if (source->tokens < 1)
        return 0;
    source->tokens -= 1;
    return 1;
}

static int is_banned(agner_source *source, double now_s)
{
    if (source->banned_until_s <= now_s)
        return 0;
    source->n_dropped += 1;
    return 1;
}

enum agner_verdict agner_sources_refuse(agner_sources *table, agner_source_key key, double now_s)
{
    const agner_source_rules *rules = &table->rules;
    agner_source *source = find_or_make(table, key, now_s);
    int may_answer;
    refill(rules, source, now_s);
    if (is_banned(source, now_s))
        return AGNER_SILENCE;
    may_answer = take(source);
    if (now_s - source->refused_since_s > rules->window_s) {
        source->refused_since_s = now_s;
        source->n_refused = 0;
    }
    source->n_refused += 1;
    if (rules->ban_after && source->n_refused >= rules->ban_after) {
        source->banned_until_s = now_s + rules->ban_s;
        source->n_dropped = 0;
        source->n_refused = 0;
        return AGNER_BANNED_NOW;
    }
    return may_answer ? AGNER_ANSWER : AGNER_SILENCE;
}

int agner_sources_admit(agner_sources *table, agner_source_key key, double now_s)
{
    agner_source *source = find_or_make(table, key, now_s);
    refill(&table->rules, source, now_s);
    return !is_banned(source, now_s) && take(source);
}

void agner_sources_refund(agner_sources *table, agner_source_key key, double n_requests)
{
    agner_source *source = find(table, key);
    if (source)
        source->tokens += n_requests; /* the next refill cuts what is too much */
}

int agner_sources_is_banned(agner_sources *table, agner_source_key key, double now_s)
{
    agner_source *source = find(table, key);
    return source && is_banned(source, now_s);
}

unsigned agner_sources_bans(const agner_sources *table, double now_s, agner_source *out, unsigned n)
{
    unsigned found = 0;
    for (size_t place = 0; place < (size_t)table->n_sets * WAYS && found < n; ++place)
        if (table->places[place].banned_until_s > now_s)
            out[found++] = table->places[place];
    return found;
}

int agner_sources_lift(agner_sources *table, agner_source_key key, double now_s)
{
    agner_source *source = find(table, key);
    if (!source || source->banned_until_s <= now_s)
        return 0;
    source->banned_until_s = 0;
    source->n_refused = 0;
    source->refused_since_s = now_s;
    return 1;
}

unsigned agner_sources_size(const agner_sources *table)
{
    return table->n_sets * WAYS;
}
