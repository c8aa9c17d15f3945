/* Linear probing at a load of at most 3/4.
 */
#include "base/map.h"

#include "base/hash.h"
#include "base/panic.h"

#include <stdlib.h>

void map_done(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

/* A deleted slot keeps a non-NULL key pointer, a free one has none. */
static struct map_entry *find(const struct map *m, struct str key, uint64_t hash, struct map_entry **ret_free)
{
    size_t mask = m->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *e = &m->slots[i];
        if (!e->value) {
            if (ret_free && !*ret_free)
                *ret_free = e;
            if (!e->key.p)
                return NULL;
        } else if (e->hash == hash && str_eq(e->key, key)) {
            return e;
        }
    }
}

void *map_get(const struct map *m, struct str key)
{
    if (!m->cap)
        return NULL;
    struct map_entry *e = find(m, key, hash_keyed(key), NULL);
    return e ? e->value : NULL;
}

static void grow(struct map *m)
{
    struct map old = *m;
    m->cap = old.n * 2 < 8 ? 16 : old.n * 4;
    while (m->cap & (m->cap - 1))
        m->cap += m->cap & -m->cap;
    m->slots = calloc(m->cap, sizeof *m->slots);
    if (!m->slots)
        PANIC("out of memory (map of %zu)", m->cap);
    m->n = m->used = 0;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&old, &i));)
        map_put(m, e->key, e->value);
    free(old.slots);
}

void *map_put(struct map *m, struct str key, void *value)
{
    CHECK(value);
    if ((m->used + 1) * 4 > m->cap * 3)
        grow(m);
    uint64_t hash = hash_keyed(key);
    struct map_entry *spot = NULL, *e = find(m, key, hash, &spot);
    if (e) {
        void *old = e->value;
        e->value = value;
        e->key = key;
        return old;
    }
    if (!spot->key.p)
        m->used++;
    m->n++;
    *spot = (struct map_entry){.key = {key.p ? key.p : "", key.n}, .value = value, .hash = hash};
    return NULL;
}

void *map_del(struct map *m, struct str key)
{
    if (!m->cap)
        return NULL;
    struct map_entry *e = find(m, key, hash_keyed(key), NULL);
    if (!e)
        return NULL;
    void *old = e->value;
    e->value = NULL;
    e->key = STR("deleted");
    m->n--;
    return old;
}

struct map_entry *map_next(const struct map *m, size_t *i)
{
    while (*i < m->cap) {
        struct map_entry *e = &m->slots[(*i)++];
        if (e->value)
            return e;
    }
    return NULL;
}
