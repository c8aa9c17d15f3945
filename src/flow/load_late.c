/* Steps whose type or name is a template: `type: "{{ loop.task.type }}"`.
 *
 * Which keys such a step may have, and what they mean, is known when it starts. At load its templates are checked for
 * their form, and the keys that every step has are read; when the type is known (and recorded), the rest is read here
 * by the same code as at load, into the arena of the frame. What is wrong then fails the step, with its place.
 *
 * Its name in paths and in results is the text around the holes; what the template comes to is a second name by which
 * later steps read the result. */
#include "base/panic.h"
#include "flow/compose.h"
#include "flow/frame.h"
#include "flow/load_int.h"

static const struct step_key no_keys[] = {{0}};

static void never(struct frame *f)
{
    PANIC("%.*s was entered before its type was known", STR_ARG(f->path));
}

static void never_done(struct frame *f, struct frame *c)
{
    (void)c;
    never(f);
}

const struct step_type step_late = {.name = "(known when it starts)",
                                    .doc = "A step whose type is a template.",
                                    .makes_files = true, /* perhaps */
                                    .keys = no_keys,
                                    .result_doc = "*",
                                    .enter = never,
                                    .child_done = never_done};

struct str late_plain_name(struct arena *a, struct str name)
{
    char *z = arena_alloc(a, name.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < name.n && n < LOAD_NAME_MAX; i++) {
        char c = name.p[i];
        bool good = ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '-';
        if (good || (n && z[n - 1] != '_'))
            z[n++] = good ? c : '_';
    }
    while (n && z[n - 1] == '_')
        n--;
    return n ? str_n(z, n) : STR("step");
}

bool late_matches(const struct loader *l, struct str name)
{
    for (size_t i = 0; i < l->nlate; i++) {
        struct str t = l->late[i]->late_name_text;
        size_t from = str_find(t, STR("{{")), to = from;
        for (size_t at; (at = str_find(str_from(t, to), STR("}}"))) != SIZE_MAX;)
            to += at + 2;
        struct str tail = str_from(t, to);
        if (name.n > from + tail.n && str_starts(name, str_n(t.p, from)) && str_ends(name, tail))
            return true;
    }
    return false;
}

static const struct tmpl *late_template(struct loader *l, const struct val *v)
{
    struct val placed = places_content(&l->places, l->a, v);
    const struct tmpl *t = NULL;
    struct err err;
    if (tmpl_parse(l->a, placed.s, placed.line, placed.col, &t, &err) != RC_OK)
        load_bad_err(l, &placed, &err);
    return t;
}

void load_late_type(struct loader *l, struct step_def *s, const struct val *v)
{
    s->type = &step_late;
    l->names_open = true;
    s->late_type = late_template(l, v);
}

void load_late_name(struct loader *l, struct step_def *s, const struct val *v)
{
    s->late_name = late_template(l, v);
    s->late_name_text = v->s;
    if (l->nlate == l->late_cap) {
        size_t cap = l->late_cap ? 2 * l->late_cap : 8;
        const struct step_def **more = arena_calloc(l->a, cap, sizeof *more);
        if (l->nlate)
            memcpy(more, l->late, l->nlate * sizeof *more);
        l->late = more;
        l->late_cap = cap;
    }
    l->late[l->nlate++] = s;
}

/* Keys that the step may have: those of no type are checked when there is one. Lists of steps inside are left alone,
 * for the names in them are not of this place. */
void load_late_keys(struct loader *l, struct step_def *s)
{
    static const char *const inner[] = {"steps",    "cases",          "default", "branches",
                                        "pipeline", "parallel_tasks", "tasks",   "conversation"};
    struct val_map m = val_map_new(l->a);
    for (size_t i = 0; i < s->source->obj.n; i++) {
        const struct member *k = &s->source->obj.m[i];
        bool skip = key_find(step_common_keys, k->key) != NULL;
        for (size_t n = 0; n < sizeof inner / sizeof *inner; n++)
            skip |= str_is(k->key, inner[n]);
        if (!skip)
            val_map_add(&m, k->key, k->val, k->line, k->col);
    }
    struct val config = val_map_done(&m);
    config.line = s->line;
    config.col = s->col;
    s->config = load_tree(l, &config);
    s->data = &val_empty_object;
}

static enum rc first_problem(const struct workflow *w, const struct problems *ps, struct err *err)
{
    for (size_t i = 0; i < ps->n; i++) {
        uint32_t line = ps->v[i].line;
        if (ps->v[i].warning)
            continue;
        struct str file = workflow_place(w, &line);
        return err_set(err, RC_INVALID, "%.*s:%u:%u: %.*s", STR_ARG(file), line, ps->v[i].col, STR_ARG(ps->v[i].text));
    }
    return err_set(err, RC_INVALID, "the step cannot be read");
}

static struct val with_type(struct arena *a, const struct val *source, struct str type)
{
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < source->obj.n; i++) {
        const struct member *k = &source->obj.m[i];
        struct val v = k->val;
        if (str_is(k->key, "type"))
            v.s = type;
        val_map_add(&m, k->key, v, k->line, k->col);
    }
    struct val v = val_map_done(&m);
    v.line = source->line;
    v.col = source->col;
    return v;
}

static unsigned depth_of(const struct step_def *s)
{
    unsigned n = 0;
    for (; s; s = s->list->owner)
        n++;
    return n;
}

enum rc load_late(const struct workflow *w, const struct step_def *s, struct str type, struct arena *a,
                  const struct step_def **ret, struct err *err)
{
    struct problems ps = {.a = a};
    struct loader l = {.w = (struct workflow *)w, .a = a, .ps = &ps, .step_usd = -1, .advice = 100000};
    l.retry = w->default_retry;
    l.timeout_ms = w->default_timeout_ms;
    l.continue_on_error = w->default_continue;
    l.places = *w->places;
    l.in_run = true;
    struct step_def *d = ARENA_NEW(a, struct step_def);
    struct val *source = ARENA_NEW(a, struct val);
    *d = *s;
    d->type = step_type_of(type, s->source);
    if (!d->type)
        return err_set(err, RC_INVALID, "the type of this step comes to `%s`, which is no step type", clip(type).z);
    *source = with_type(a, s->source, type);
    d->source = source;
    d->type_name = arena_str(a, type);
    d->late_type = NULL;
    d->config = NULL;
    load_late_type_keys(&l, d, depth_of(s));
    map_done(&l.by_name);
    map_done(&l.noticed);
    map_done(&l.assigned);
    map_done(&l.timers);
    load_wanted_done(&l);
    if (ps.errors)
        return first_problem(w, &ps, err);
    *ret = d;
    return RC_OK;
}
