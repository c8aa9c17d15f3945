/* Most values hold no key, so they are looked at first, and copied only if one does. */
#include "data/val_cover.h"

#include "base/keyprint.h"
#include "data/json.h"

static bool text_holds(struct str s)
{
    size_t at;
    const char *name;
    return keyprints_find(s, &at, &name);
}

/* As deep as values are, which is bounded. */
static bool holds_key(const struct val *v)
{
    if (v->type == VAL_STR)
        return text_holds(v->s);
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n; i++)
        if (holds_key(&v->arr.v[i]))
            return true;
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n; i++)
        if (text_holds(v->obj.m[i].key) || holds_key(&v->obj.m[i].val))
            return true;
    return false;
}

static struct val cover(struct arena *a, const struct val *v)
{
    struct val copy = *v;
    if (v->type == VAL_STR) {
        copy.s = keyprints_cover(a, v->s);
    } else if (v->type == VAL_ARRAY && v->arr.n) {
        struct val *items = arena_calloc(a, v->arr.n, sizeof *items);
        for (size_t i = 0; i < v->arr.n; i++)
            items[i] = cover(a, &v->arr.v[i]);
        copy.arr.v = items;
    } else if (v->type == VAL_OBJECT && v->obj.n) {
        struct val_map m = val_map_new(a);
        for (size_t i = 0; i < v->obj.n; i++)
            val_map_set(&m, keyprints_cover(a, v->obj.m[i].key), cover(a, &v->obj.m[i].val));
        copy = val_map_done(&m);
    }
    return copy;
}

struct val val_covered(struct arena *a, const struct val *v)
{
    return keyprints_used() && holds_key(v) ? cover(a, v) : *v;
}

/* Not in the text itself: what looks like a key there may begin within an escape. */
struct str json_covered(struct arena *a, struct str json)
{
    struct val v;
    struct err err;
    if (!text_holds(json))
        return json;
    if (json_parse(a, json, &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        return keyprints_cover(a, json);
    v = cover(a, &v);
    return json_text(a, &v);
}
