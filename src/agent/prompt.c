/* Prompt parts are joined in order, one empty line between them.
 *
 *   static             its text (templates were filled when the step's configuration was evaluated)
 *   file               the file's text, read once and journaled: a resumed run sees what the first one saw
 *   previous_response  the result of an earlier step, or the part of it that `extract` names
 *
 * A part whose `condition` is false is left out. Files are read one after another: they are few, and local. */
#include "agent/prompt.h"

#include "base/buf.h"
#include "data/json.h"

#include <stdio.h>

enum { MAX_PARTS = 1000 };

struct prompt {
    const struct val *parts; /* NULL: `whole` is all */
    struct str whole;
    struct str *text; /* by part */
    bool *left_out;
    size_t next;
};

static bool fail_part(struct frame *f, size_t i, const char *what)
{
    step_failf(f, RC_INVALID, "prompt part %zu: %s", i + 1, what);
    return false;
}

struct prompt *prompt_new(struct frame *f, const struct val *config)
{
    struct prompt *p = ARENA_NEW(&f->arena, struct prompt);
    const struct val *v = step_config_get(config, "prompt");
    if (val_is(v, VAL_ARRAY)) {
        if (v->arr.n > MAX_PARTS) {
            step_failf(f, RC_LIMIT, "the prompt has %zu parts; expected at most %d", v->arr.n, MAX_PARTS);
            return NULL;
        }
        p->parts = v;
        p->text = arena_calloc(&f->arena, v->arr.n + 1, sizeof *p->text);
        p->left_out = arena_calloc(&f->arena, v->arr.n + 1, sizeof *p->left_out);
    } else if (!frame_text(f, config, "prompt", STR(""), &p->whole)) {
        return NULL;
    } else if (!str_trim(p->whole).n) {
        step_failf(f, RC_INVALID, "the prompt is empty; expected some text for the model");
        return NULL;
    }
    return p;
}

static bool part_condition(struct frame *f, const struct val *part, size_t i, bool *ret)
{
    const struct val *v = VAL_GET(part, "condition");
    const struct cond *c;
    struct err err;
    *ret = true;
    if (!v)
        return true;
    if (cond_parse(&f->arena, v, &c, &err) != RC_OK)
        return fail_part(f, i, err.msg);
    return frame_cond(f, c, ret);
}

static struct str as_text(struct frame *f, const struct val *v)
{
    const struct val *text = VAL_GET(v, "text");
    if (val_is(text, VAL_STR))
        v = text;
    if (v->type == VAL_STR)
        return arena_str(&f->arena, v->s);
    if (v->type == VAL_NULL)
        return str_n("", 0);
    struct buf b;
    buf_init(&b, (size_t)64 << 20);
    json_write(&b, v, JSON_PRETTY);
    struct str s = arena_str(&f->arena, buf_str(&b));
    buf_done(&b);
    return s;
}

static size_t name_length(struct str s)
{
    size_t n = 0;
    while (n < s.n &&
           (s.p[n] == '_' || ((s.p[n] | 32) >= 'a' && (s.p[n] | 32) <= 'z') || (s.p[n] >= '0' && s.p[n] <= '9')))
        n++;
    return n;
}

/* "[3]", "[-1]" or "[\"a key\"]"; 0 when it is neither. */
static size_t index_length(struct str s)
{
    size_t n = 1;
    if (n < s.n && s.p[n] == '"') {
        for (n++; n < s.n && s.p[n] != '"' && s.p[n] != '\\' && s.p[n] != '\n';)
            n++;
        n++;
    } else {
        n += n < s.n && s.p[n] == '-';
        while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
            n++;
    }
    return n > 1 && n < s.n && s.p[n] == ']' ? n + 1 : 0;
}

/* Both may come out of templates, so what stands there must be a path and no other expression: a.b[0]["c d"]. */
static bool is_path(struct str s)
{
    size_t n = name_length(s);
    while (n && s.n > n) {
        s = str_from(s, n);
        if (s.p[0] == '[') {
            n = index_length(s);
        } else {
            n = s.p[0] == '.' ? name_length(str_from(s, 1)) : 0;
            n += n != 0;
        }
    }
    return n != 0;
}

static bool previous_response(struct frame *f, struct prompt *p, size_t i, const struct val *part)
{
    struct str step = val_get_str(part, STR("step"), STR("")), extract = val_get_str(part, STR("extract"), STR(""));
    struct str text = extract.n ? arena_printf(&f->arena, "steps[\"%.*s\"].%.*s", STR_ARG(step), STR_ARG(extract))
                                : arena_printf(&f->arena, "steps[\"%.*s\"]", STR_ARG(step));
    struct val v;
    if (str_find(step, STR("\"")) != SIZE_MAX || str_find(step, STR("\\")) != SIZE_MAX)
        return fail_part(f, i, "`step` is no name of a step");
    if (extract.n && !is_path(extract))
        return fail_part(f, i, "`extract` is no path; expected names and indices, as in items[0].name");
    if (!frame_expr(f, text, &v))
        return false;
    struct str s = as_text(f, &v);
    int64_t max = val_get_int(part, STR("max_length"), INT64_MAX);
    if (max >= 0 && (uint64_t)max < s.n)
        s.n = str_utf8_valid(str_n(s.p, (size_t)max));
    p->text[i] = s;
    return true;
}

static void read_file(struct frame *f, size_t i, const struct val *part)
{
    struct arena *a = &f->arena;
    char segment[32];
    snprintf(segment, sizeof segment, "file:%zu", i + 1);
    struct val_map m = val_map_new(a);
    struct str path = val_get_str(part, STR("path"), STR(""));
    VAL_MAP_SET(&m, "path", val_str(path));
    if (frame_dir(f).n)
        VAL_MAP_SET(&m, "dir", val_str(frame_dir(f)));
    const struct val *source = val_at(VAL_GET(f->def->source, "prompt"), i);
    if (frame_path_found(f, VAL_GET(source, "path"), path))
        VAL_MAP_SET(&m, "beneath", val_true);
    struct val *request = ARENA_NEW(a, struct val);
    *request = val_map_done(&m);
    frame_effect(f, segment, PROMPT_TAG + i,
                 &(struct effect_plan){.kind = EFFECT_READ,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = arena_printf(a, "read %.*s", STR_ARG(path)).p});
}

bool prompt_advance(struct frame *f, struct prompt *p)
{
    while (p->parts && p->next < p->parts->arr.n) {
        size_t i = p->next; /* goes on when the part has been evaluated: what it reads may have to be fetched first */
        const struct val *part = &p->parts->arr.v[i];
        struct str type = val_get_str(part, STR("type"), STR("static"));
        bool wanted;
        if (!part_condition(f, part, i, &wanted))
            return false;
        p->left_out[i] = !wanted;
        if (!wanted) {
            p->next++;
            continue;
        }
        if (str_is(type, "file")) {
            p->next++;
            read_file(f, i, part);
            return false;
        }
        if (str_is(type, "previous_response")) {
            if (!previous_response(f, p, i, part))
                return false;
        } else {
            p->text[i] = as_text(f, VAL_GET(part, "content") ? VAL_GET(part, "content") : &val_null);
        }
        p->next++;
    }
    return true;
}

bool prompt_child(struct frame *f, struct prompt *p, struct frame *child)
{
    size_t i = child->tag - PROMPT_TAG;
    if (!child_ok(child)) {
        struct failure why = child_failure(child);
        step_fail(f, &why);
        return false;
    }
    p->text[i] = arena_str(&f->arena, val_get_str(child_result(child), STR("text"), STR("")));
    return true;
}

struct str prompt_text(struct frame *f, struct prompt *p)
{
    if (!p->parts)
        return p->whole;
    struct buf b;
    buf_init(&b, (size_t)64 << 20);
    for (size_t i = 0; i < p->parts->arr.n; i++) {
        if (p->left_out[i] || !p->text[i].n)
            continue;
        if (b.n)
            buf_addz(&b, "\n\n");
        buf_add(&b, p->text[i]);
    }
    struct str s = arena_str(&f->arena, buf_str(&b));
    if (b.overflow)
        step_failf(f, RC_LIMIT, "the prompt is larger than 64 MB");
    else if (!str_trim(s).n)
        step_failf(f, RC_INVALID, "the prompt is empty; expected some text for the model");
    buf_done(&b);
    return s;
}
