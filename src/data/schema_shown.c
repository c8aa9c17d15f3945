/* Places and values as messages show them: short, and on one line whatever the value is. */
#include "data/json.h"
#include "data/schema_int.h"

#include <math.h>
#include <stdio.h>

enum { PLACE_MAX = 300, SPOTS_MAX = 64 };

static struct str clipped(struct str s)
{
    if (s.n <= SCHEMA_SHOWN)
        return s;
    size_t n = SCHEMA_SHOWN;
    while (n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return str_n(s.p, n);
}

static void put_quoted(struct buf *b, struct str s)
{
    struct str part = clipped(s);
    json_write_str(b, part);
    if (part.n < s.n)
        buf_addz(b, "…");
}

/* A key as a JSON Pointer writes it; a control character would break the line. */
static void put_key(struct buf *b, struct str key)
{
    struct str part = clipped(key);
    for (size_t i = 0; i < part.n; i++) {
        char c = part.p[i];
        if (c == '~' || c == '/')
            buf_addz(b, c == '~' ? "~0" : "~1");
        else
            buf_addc(b, (unsigned char)c < ' ' || c == 0x7f ? '?' : c);
    }
    if (part.n < key.n)
        buf_addz(b, "…");
}

static void put_spot(struct buf *b, const struct spot *spot)
{
    if (spot->kind == SPOT_TEXT) {
        buf_add(b, clipped(spot->key));
        return;
    }
    if (spot->kind == SPOT_NAME) {
        buf_addz(b, b->n ? " the name " : "/ the name ");
        put_quoted(b, spot->key);
        return;
    }
    buf_addc(b, '/');
    if (spot->kind == SPOT_INDEX)
        buf_printf(b, "%zu", spot->index);
    else
        put_key(b, spot->key);
}

struct str spot_text(struct arena *a, const struct spot *spot)
{
    const struct spot *way[SPOTS_MAX];
    size_t n = 0, in_all = 0;
    for (const struct spot *s = spot; s; s = s->up, in_all++)
        if (n < SPOTS_MAX) /* of a longer way the end is kept */
            way[n++] = s;
    if (!n)
        return STR("/");
    struct buf b;
    buf_init(&b, PLACE_MAX * 16);
    if (n < in_all)
        buf_addz(&b, "…");
    while (n > 0)
        put_spot(&b, way[--n]);
    struct str text = buf_str(&b);
    if (text.n > PLACE_MAX) { /* as above */
        size_t from = text.n - PLACE_MAX;
        while (from < text.n && ((unsigned char)text.p[from] & 0xc0) == 0x80)
            from++;
        text = arena_printf(a, "…%.*s", STR_ARG(str_from(text, from)));
    } else {
        text = text.n ? arena_str(a, text) : STR("/");
    }
    buf_done(&b);
    return text;
}

static struct str plural(struct arena *a, size_t n, const char *one, const char *many)
{
    return arena_printf(a, "%zu %s", n, n == 1 ? one : many);
}

struct str schema_shown(struct arena *a, const struct val *v)
{
    struct str text = STR("null");
    struct buf b;
    switch ((enum val_type)v->type) {
    case VAL_NULL:
        return text;
    case VAL_STR:
        buf_init(&b, SCHEMA_SHOWN * 8);
        put_quoted(&b, v->s);
        text = arena_printf(a, "%.*s (string)", STR_ARG(buf_str(&b)));
        buf_done(&b);
        return text;
    case VAL_ARRAY:
        return arena_printf(a, "%.*s (array)", STR_ARG(plural(a, v->arr.n, "item", "items")));
    case VAL_OBJECT:
        return arena_printf(a, "%.*s (object)", STR_ARG(plural(a, v->obj.n, "member", "members")));
    case VAL_BIGINT:
        text = clipped(v->s);
        return arena_printf(a, "%.*s%s (integer)", STR_ARG(text), text.n < v->s.n ? "…" : "");
    case VAL_DOUBLE:
        if (!isfinite(v->d)) /* what only arithmetic makes; JSON would say null */
            return STR("not a finite number");
        break;
    case VAL_BOOL:
    case VAL_INT:
        break;
    }
    return arena_printf(a, "%.*s (%s)", STR_ARG(json_text(a, v)), val_type_name(v));
}
