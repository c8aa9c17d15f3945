/* Over libyaml's emitter, which knows where a plain, a quoted or a block scalar may stand; what is decided here is
 * which plain scalars would be misread. Our own reader knows the core schema of YAML 1.2 only, but files are written
 * for other programs too, and many of those still read YAML 1.1, for which `no` is false, `1:30` is 90 and `2026-01-01`
 * a date. */
#include "data/yaml_write.h"

#include "base/panic.h"
#include "data/json.h"
#include "data/yaml_scalar.h"

#include <yaml.h>

static int on_write(void *ctx, unsigned char *p, size_t n)
{
    buf_add(ctx, str_n((const char *)p, n));
    return 1; /* an overflow stays marked in the buffer */
}

static void emit(yaml_emitter_t *e, yaml_event_t *event)
{
    if (!yaml_emitter_emit(e, event))
        PANIC("libyaml: %s", e->problem ? e->problem : "out of memory");
}

static bool is_old_boolean(struct str s)
{
    static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
    char low[8];
    if (s.n >= sizeof low)
        return false;
    for (size_t i = 0; i < s.n; i++)
        low[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(str_n(low, s.n), str_c(words[i])))
            return true;
    return false;
}

/* Could some reader take it for a number, a date or another special word? A text that begins like a number is quoted
 * when nothing but what numbers and dates are made of follows. */
static bool misread(struct str s)
{
    struct arena scratch = {0};
    struct val v = val_null;
    struct err err;
    bool core = yaml_scalar(&scratch, s, &v, &err) != RC_OK || v.type != VAL_STR;
    arena_done(&scratch);
    if (core || is_old_boolean(s) || str_is(s, "<<") || str_is(s, "="))
        return true;
    if (!memchr("0123456789+-.", s.p[0], 13))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!memchr("0123456789+-._:eExXoabcdfABCDFTZt ", s.p[i], 34))
            return false;
    return true;
}

static void scalar(yaml_emitter_t *e, struct str s, bool plain, yaml_scalar_style_t style)
{
    yaml_event_t event;
    /* libyaml measures the text with an int */
    CHECK(s.n < INT32_MAX);
    yaml_char_t none[1] = {0};
    const yaml_char_t *p = s.n ? (const yaml_char_t *)s.p : none;
    if (!yaml_scalar_event_initialize(&event, NULL, NULL, p, (int)s.n, plain, 1, style))
        PANIC("libyaml refused a text of %zu bytes", s.n);
    emit(e, &event);
}

/* A block keeps its text only if no line begins or ends with white space that the emitter or a reader could lose. */
static bool fits_block(struct str s)
{
    if (s.p[0] == ' ' || s.p[0] == '\n' || s.p[0] == '\t' || s.p[s.n - 1] == ' ')
        return false;
    for (size_t i = 0; i + 1 < s.n; i++)
        if ((s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\n') && s.p[i + 1] == '\n' && s.p[i] != '\n')
            return false;
        else if ((unsigned char)s.p[i] < 0x20 && s.p[i] != '\n' && s.p[i] != '\t')
            return false;
    return true;
}

static void text(yaml_emitter_t *e, struct str s, bool key)
{
    bool lines = s.n && memchr(s.p, '\n', s.n);
    if (!key && lines && fits_block(s))
        scalar(e, s, false, YAML_LITERAL_SCALAR_STYLE);
    else if (lines)
        scalar(e, s, false, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
    else
        scalar(e, s, s.n && !misread(s), YAML_ANY_SCALAR_STYLE);
}

static void value(yaml_emitter_t *e, const struct val *v)
{
    yaml_event_t event;
    struct buf b;
    switch (v->type) {
    case VAL_STR:
        text(e, v->s, false);
        return;
    case VAL_ARRAY:
        if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE))
            PANIC("out of memory");
        emit(e, &event);
        for (size_t i = 0; i < v->arr.n; i++)
            value(e, &v->arr.v[i]);
        yaml_sequence_end_event_initialize(&event);
        emit(e, &event);
        return;
    case VAL_OBJECT:
        if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE))
            PANIC("out of memory");
        emit(e, &event);
        for (size_t i = 0; i < v->obj.n; i++) {
            text(e, v->obj.m[i].key, true);
            value(e, &v->obj.m[i].val);
        }
        yaml_mapping_end_event_initialize(&event);
        emit(e, &event);
        return;
    default: /* the scalars of JSON are those of YAML */
        buf_init(&b, (size_t)1 << 30);
        json_write(&b, v, JSON_COMPACT);
        scalar(e, buf_str(&b), true, YAML_PLAIN_SCALAR_STYLE);
        buf_done(&b);
    }
}

void yaml_write(struct buf *out, const struct val *v)
{
    yaml_emitter_t e;
    yaml_event_t event;
    if (!yaml_emitter_initialize(&e))
        PANIC("out of memory");
    yaml_emitter_set_output(&e, on_write, out);
    yaml_emitter_set_unicode(&e, 1);
    yaml_emitter_set_width(&e, -1);
    if (!yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING))
        PANIC("out of memory");
    emit(&e, &event);
    if (!yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1))
        PANIC("out of memory");
    emit(&e, &event);
    value(&e, v);
    if (!yaml_document_end_event_initialize(&event, 1))
        PANIC("out of memory");
    emit(&e, &event);
    if (!yaml_stream_end_event_initialize(&event))
        PANIC("out of memory");
    emit(&e, &event);
    yaml_emitter_delete(&e);
}
