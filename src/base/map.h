#pragma once
/* A hash map from text to a pointer, open addressing, seeded.
 *
 * Keys are borrowed: they must live as long as the entry. Values are the caller's. Iterate with map_next(); the order
 * is unspecified, so nothing that must be reproducible may depend on it. */
#include "base/str.h"

struct map_entry {
    struct str key;
    void *value; /* NULL marks a free or deleted slot */
    uint64_t hash;
};
struct map {
    struct map_entry *slots;
    size_t cap, n, used; /* used counts deleted slots too */
};

void map_done(struct map *m);
/* NULL when absent. */
void *map_get(const struct map *m, struct str key);
/* Returns the value that was replaced, or NULL. `value` must not be NULL. */
void *map_put(struct map *m, struct str key, void *value);
/* Returns the value that was removed, or NULL. */
void *map_del(struct map *m, struct str key);
/* `for (size_t i = 0; (e = map_next(&m, &i)); )` */
struct map_entry *map_next(const struct map *m, size_t *i);
