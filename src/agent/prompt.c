/* Prompt parts are made text one after another, in the order written, then joined with an empty line between them.
 *
 *   condition ─▶ fetch: a file, a session; or evaluate ─▶ transform, extract, cut ─▶ summary: a call ─▶ text
 *                  │ a component: its parts come next, before the others
 *
 * What is fetched is journaled, so a resumed run asks with what the first one saw. Only once all texts are there are
 * the places of prompt files filled: `{NAME}` may stand for a later part (`inject_as`), which is then left out where it
 * stands itself. What was filled in is not looked at again, and a text that goes into another has only its own
 * `variables` filled, so nothing can go round. Files are fetched one after another: they are few, and local. */
#include "agent/prompt.h"

#include "agent/fill.h"
#include "agent/part.h"
#include "base/buf.h"
#include "flow/keys.h"
#include "flow/range.h"
#include "flow/talk.h"

#include <stdio.h>

enum { MAX_PARTS = 1000, MAX_DEPTH = 4 };
enum stage { FETCHED, SUMMARISED, STAGES };

struct piece {
    struct piece *next;
    const struct val *part, *variables; /* variables: of the component around and its own; or NULL */
    const char *label;                  /* "2"; of the first part of a component that is part 2: "2.1" */
    size_t id, number;                  /* number: from 1, in the list that it stands in */
    unsigned depth;                     /* components around it */
    struct val raw;                     /* as fetched */
    struct str text;
    bool left_out, fetched, summarised, done;
    bool fill; /* places in it are still to be filled */
};

struct prompt {
    const struct agent_options *o;
    struct str whole; /* a prompt without parts */
    struct piece *first, *next;
    struct piece **by_id;
    size_t n;
    struct val_list replies;
};

static struct str type_of(const struct piece *x)
{
    return val_get_str(x->part, STR("type"), STR("static"));
}

static struct str inject_name(const struct piece *x)
{
    return val_get_str(x->part, STR("inject_as"), STR(""));
}

/* ---- the pieces ---- */

static bool part_fits(const struct step_key *row, const struct val *v)
{
    struct err err;
    double x;
    switch (row->kind) {
    case KEY_BOOL:
        return v->type == VAL_BOOL;
    case KEY_INT:
        return key_number(str_c(row->name), row, v, &x, &err) == RC_OK;
    case KEY_OBJECT:
        return v->type == VAL_OBJECT;
    case KEY_STRINGS:
        return v->type == VAL_STR || v->type == VAL_ARRAY;
    case KEY_STRING:
    case KEY_ENUM:
        return v->type == VAL_STR;
    default: /* text, or what a template made of it */
        return true;
    }
}

/* Holes may have given anything, and a component's parts come from a file. */
static bool check_part(struct frame *f, const struct val *part, const char *label)
{
    for (size_t i = 0; i < part->obj.n; i++) {
        const struct member *m = &part->obj.m[i];
        const struct step_key *row = key_find(prompt_part_keys, m->key);
        int shown = (int)str_utf8_valid(str_n(m->key.p, m->key.n < 60 ? m->key.n : 60));
        if (!row) {
            step_failf(f, RC_INVALID, "prompt part %s: unknown key `%.*s`", label, shown, m->key.p);
            return false;
        }
        if (m->val.type != VAL_NULL && !part_fits(row, &m->val)) {
            step_failf(f, RC_INVALID, "prompt part %s: `%s` is %s; expected %s", label, row->name,
                       val_type_name(&m->val),
                       row->kind == KEY_BOOL     ? "true or false"
                       : row->kind == KEY_INT    ? "an integer from 1 on"
                       : row->kind == KEY_OBJECT ? "a map"
                                                 : "text");
            return false;
        }
    }
    return true;
}

static struct piece *add_piece(struct frame *f, struct prompt *p, const struct val *part, const struct piece *in,
                               size_t number)
{
    if (p->n == MAX_PARTS) {
        step_failf(f, RC_LIMIT, "the prompt has more than %d parts; expected fewer", MAX_PARTS);
        return NULL;
    }
    struct piece *x = ARENA_NEW(&f->arena, struct piece);
    x->part = part;
    x->id = p->n;
    x->number = number;
    x->variables = VAL_GET(part, "variables");
    x->depth = in ? in->depth + 1 : 0;
    x->label = in ? arena_printf(&f->arena, "%s.%zu", in->label, number).p : arena_printf(&f->arena, "%zu", number).p;
    if (in && in->variables) {
        struct val *all = ARENA_NEW(&f->arena, struct val);
        struct val_map m = val_map_new(&f->arena);
        val_map_merge(&m, in->variables);
        if (val_is(x->variables, VAL_OBJECT))
            val_map_merge(&m, x->variables);
        *all = val_map_done(&m);
        x->variables = all;
    }
    p->by_id[p->n++] = x;
    return check_part(f, part, x->label) ? x : NULL;
}

struct prompt *prompt_new(struct frame *f, const struct val *config, const struct agent_options *o)
{
    struct prompt *p = ARENA_NEW(&f->arena, struct prompt);
    const struct val *v = step_config_get(config, "prompt");
    struct piece **end = &p->first;
    p->o = o;
    p->replies = val_list_new(&f->arena);
    if (val_is(v, VAL_ARRAY)) {
        p->by_id = arena_calloc(&f->arena, MAX_PARTS, sizeof(struct piece *));
        for (size_t i = 0; i < v->arr.n; i++, end = &(*end)->next)
            if (!(*end = add_piece(f, p, &v->arr.v[i], NULL, i + 1)))
                return NULL;
        p->next = p->first;
    } else if (!frame_text(f, config, "prompt", STR(""), &p->whole)) {
        return NULL;
    } else if (!str_trim(p->whole).n) {
        step_failf(f, RC_INVALID, "the prompt is empty; expected some text for the model");
        return NULL;
    }
    return p;
}

static bool fail_piece(struct frame *f, const struct piece *x, const char *what)
{
    step_failf(f, RC_INVALID, "prompt part %s: %s", x->label, what);
    return false;
}

static bool part_condition(struct frame *f, const struct piece *x, bool *ret)
{
    const struct val *v = VAL_GET(x->part, "condition");
    const struct cond *c;
    struct err err;
    *ret = true;
    if (!v)
        return true;
    if (cond_parse(&f->arena, v, &c, &err) != RC_OK)
        return fail_piece(f, x, err.msg);
    return frame_cond(f, c, ret);
}

/* ---- sessions ---- */

void prompt_read_session(struct frame *f, const char *segment, size_t tag, struct str name)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    struct val *request = ARENA_NEW(a, struct val);
    VAL_MAP_SET(&m, "op", VAL_LIT("read"));
    VAL_MAP_SET(&m, "name", val_str(name));
    VAL_MAP_SET(&m, "own", VAL_LIT("first"));
    *request = val_map_done(&m);
    frame_effect(f, segment, tag,
                 &(struct effect_plan){.kind = EFFECT_SESSION,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .apart = "messages",
                                       .label = arena_printf(a, "session %.*s", STR_ARG(name)).p});
}

bool prompt_newest_session(struct frame *f, struct str *ret)
{
    for (const struct step_def *s = step_talk_before(f->def, NULL); s; s = step_talk_before(f->def, s)) {
        struct val v;
        if (!step_talks(s)) /* steps inside it do: those that have spoken since the steps further back */
            break;
        if (!frame_expr(f, arena_printf(&f->arena, "steps[\"%.*s\"] || null", STR_ARG(s->name)), &v))
            return false;
        *ret = val_get_str(&v, STR("session_id"), STR(""));
        if (ret->n)
            return true;
    }
    *ret = frame_newest_session(f);
    if (ret->n)
        return true;
    step_failf(f, RC_INVALID,
               "there is no session to go on with: no step before this one has begun any; expected a claude_session "
               "step that has run, or session_id");
    return false;
}

bool prompt_session(struct frame *f, struct prompt *p, struct str *ret)
{
    bool wanted;
    *ret = STR("");
    for (const struct piece *x = p->first; x; x = x->next) {
        if (!str_is(type_of(x), "claude_continue"))
            continue;
        if (!part_condition(f, x, &wanted))
            return false;
        *ret = val_get_str(x->part, STR("session_id"), STR(""));
        if (wanted && !ret->n && !prompt_newest_session(f, ret))
            return false;
        if (wanted)
            return true;
        *ret = STR("");
    }
    return true;
}

/* ---- fetching ---- */

static size_t tag_of(const struct piece *x, enum stage stage)
{
    return PROMPT_TAG + x->id * STAGES + stage;
}

/* Has the author written every `${…}` of the path so that no step can choose it: an input, or a variable of the
 * environment that the workflow lists? */
static bool dollars_trusted(const struct frame *f, struct str path)
{
    for (size_t at; (at = str_find(path, STR("${"))) != SIZE_MAX;) {
        path = str_from(path, at + 2);
        bool input = str_starts(path, STR("inputs.")) && !frame_inputs_found(f);
        if (input)
            path = str_from(path, STR("inputs.").n);
        struct str name = str_n(path.p, fill_name_length(path)), rest = str_from(path, name.n);
        bool ends = str_starts(rest, STR("}")) || str_starts(rest, STR(":-"));
        if (!ends || (!input && !workflow_env_listed(f->def->workflow, name)))
            return false;
    }
    return true;
}

static void read_file(struct frame *f, const struct piece *x)
{
    struct arena *a = &f->arena;
    char segment[64];
    snprintf(segment, sizeof segment, "file:%s", x->label);
    struct val_map m = val_map_new(a);
    struct str path = val_get_str(x->part, STR("path"), STR("")),
               encoding = val_get_str(x->part, STR("encoding"), STR(""));
    VAL_MAP_SET(&m, "path", val_str(path));
    if (encoding.n)
        VAL_MAP_SET(&m, "encoding", val_str(encoding));
    if (frame_dir(f).n)
        VAL_MAP_SET(&m, "dir", val_str(frame_dir(f)));
    const struct val *source = VAL_GET(val_at(VAL_GET(f->def->source, "prompt"), x->number - 1), "path");
    if (val_is(source, VAL_STR) && !dollars_trusted(f, source->s))
        source = NULL;
    /* A component is no author: what it names must lie where files are to be. */
    if (x->depth || frame_path_found(f, source, path))
        VAL_MAP_SET(&m, "beneath", val_true);
    struct val *request = ARENA_NEW(a, struct val);
    *request = val_map_done(&m);
    frame_effect(f, segment, tag_of(x, FETCHED),
                 &(struct effect_plan){.kind = EFFECT_READ,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = arena_printf(a, "read %.*s", STR_ARG(path)).p});
}

/* A call of its own, and not one of the conversation's. */
static bool summarise(struct frame *f, struct prompt *p, struct piece *x)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a), block = val_map_new(a), said = val_map_new(a);
    struct val_list blocks = val_list_new(a), messages = val_list_new(a);
    int64_t max;
    char segment[64];
    snprintf(segment, sizeof segment, "summary:%s", x->label);
    if (!frame_past_begun(f, segment) && !frame_budget(f))
        return false;
    VAL_MAP_SET(&block, "type", VAL_LIT("text"));
    VAL_MAP_SET(&block, "text", val_str(part_summary_prompt(f, x->part, x->text, &max)));
    val_list_push(&blocks, val_map_done(&block));
    VAL_MAP_SET(&said, "role", VAL_LIT("user"));
    VAL_MAP_SET(&said, "content", val_list_done(&blocks));
    val_list_push(&messages, val_map_done(&said));
    VAL_MAP_SET(&m, "provider", val_str(p->o->provider));
    VAL_MAP_SET(&m, "model", val_str(p->o->model));
    VAL_MAP_SET(&m, "messages", val_list_done(&messages));
    VAL_MAP_SET(&m, "step", val_str(arena_printf(a, "%.*s/%s", STR_ARG(agent_plain_path(a, f->path)), segment)));
    VAL_MAP_SET(&m, "turn", val_int(1));
    struct val *request = ARENA_NEW(a, struct val);
    *request = val_map_done(&m);
    frame_effect(f, segment, tag_of(x, SUMMARISED),
                 &(struct effect_plan){.kind = EFFECT_MODEL,
                                       .request = request,
                                       .retry = p->o->retry ? p->o->retry : &retry_default_model,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .timeout_ms = p->o->call_timeout_ms,
                                       .label = arena_printf(a, "summary of part %s", x->label).p});
    return false;
}

bool prompt_child(struct frame *f, struct prompt *p, struct frame *child)
{
    struct piece *x = p->by_id[(child->tag - PROMPT_TAG) / STAGES];
    enum stage stage = (child->tag - PROMPT_TAG) % STAGES;
    if (!child_ok(child)) {
        step_fail_as(f, child);
        return false;
    }
    if (x->done || (stage == FETCHED && x->fetched) || x->summarised)
        return true; /* we are told again, because an evaluation had to wait */
    const struct val *r = child_result(child);
    if (stage == SUMMARISED) {
        int64_t max;
        x->summarised = true;
        (void)part_summary_prompt(f, x->part, STR(""), &max);
        x->text = part_cut(arena_str(&f->arena, str_trim(val_get_str(r, STR("text"), STR("")))), max);
        val_list_push(&p->replies, val_copy(&f->arena, r));
        return true;
    }
    x->fetched = true;
    if (str_is(type_of(x), "session_context"))
        x->raw = val_str(part_session_text(f, x->part, VAL_GET(r, "messages")));
    else
        x->raw = val_str(arena_str(&f->arena, val_get_str(r, STR("text"), STR(""))));
    return true;
}

/* ---- components ---- */

static bool component_part(struct frame *f, const struct piece *in, const struct val *part)
{
    static const char *const types[] = {"static",          "dynamic", "file", "previous_response",
                                        "session_context", "variable"};
    struct str type = val_get_str(part, STR("type"), STR(""));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_is(type, types[i])) {
            if (VAL_GET(part, "condition"))
                return fail_piece(f, in,
                                  "a part of its component has a `condition`; expected it on the part that names the "
                                  "component");
            return true;
        }
    return fail_piece(
        f, in,
        "its component holds something else than prompt parts; expected {type: static, content: \"…\"}, or "
        "file, previous_response, session_context or variable");
}

/* The component's parts stand where the part that names it stood. */
static bool open_component(struct frame *f, struct prompt *p, struct piece *x)
{
    const struct val *c;
    struct piece *last = x, *after = x->next;
    if (x->depth >= MAX_DEPTH)
        return fail_piece(f, x, "components inside components go too deep; expected fewer");
    if (!part_component(f, x->label, val_get_str(x->part, STR("path"), STR("")), x->raw.s,
                        val_get_str(x->part, STR("component"), STR("")), &c))
        return false;
    x->left_out = true;
    x->next = after;
    for (size_t i = 0; i < (c->type == VAL_ARRAY ? c->arr.n : 1); i++) {
        const struct val *part = c->type == VAL_ARRAY ? &c->arr.v[i] : c;
        if (part->type == VAL_STR) {
            struct val_map m = val_map_new(&f->arena);
            struct val *made = ARENA_NEW(&f->arena, struct val);
            VAL_MAP_SET(&m, "type", VAL_LIT("static"));
            VAL_MAP_SET(&m, "content", *part);
            *made = val_map_done(&m);
            part = made;
        }
        struct piece *one = component_part(f, x, part) ? add_piece(f, p, part, x, i + 1) : NULL;
        if (!one)
            return false;
        one->next = after;
        last->next = one;
        last = one;
    }
    return true;
}

/* ---- texts ---- */

static struct fill_value *values_of(struct frame *f, const struct val *variables, size_t *n)
{
    *n = val_is(variables, VAL_OBJECT) ? variables->obj.n : 0;
    struct fill_value *v = arena_calloc(&f->arena, *n + 1, sizeof *v);
    for (size_t i = 0; i < *n; i++)
        v[i] =
            (struct fill_value){.name = variables->obj.m[i].key, .text = part_value_text(f, &variables->obj.m[i].val)};
    return v;
}

static bool fill_piece(struct frame *f, struct piece *x, struct fill_value *shared, size_t nshared)
{
    struct fill fill = {.shared = shared, .nshared = nshared, .closed = x->variables != NULL, .max = PART_TEXT_MAX};
    struct err err;
    fill.own = values_of(f, x->variables, &fill.nown);
    enum rc rc = fill_text(&f->arena, x->text, &fill, &x->text, &err);
    if (rc == RC_OK)
        return true;
    struct str path = val_get_str(x->part, STR("path"), STR("the component"));
    step_failf(f, rc, "prompt part %s: %.*s: %s", x->label, STR_ARG(path), err.msg);
    return false;
}

/* Is it a text that its author wrote with places in it? */
static bool has_places(const struct piece *x)
{
    return str_is(type_of(x), "file") || (x->depth && val_is(VAL_GET(x->part, "content"), VAL_STR));
}

/* False: it waits, or the step has failed. */
static bool get_value(struct frame *f, struct piece *x, struct val *ret)
{
    struct str type = type_of(x), name;
    *ret = x->raw;
    if (x->fetched)
        return true;
    if (str_is(type, "file")) {
        read_file(f, x);
        return false;
    }
    if (str_is(type, "session_context")) {
        name = val_get_str(x->part, STR("session_id"), STR(""));
        if (!name.n && !prompt_newest_session(f, &name))
            return false;
        prompt_read_session(f, arena_printf(&f->arena, "session:%s", x->label).p, tag_of(x, FETCHED), name);
        return false;
    }
    if (str_is(type, "previous_response"))
        return part_previous(f, x->part, x->label, ret);
    if (str_is(type, "variable")) {
        name = val_get_str(x->part, STR("name"), STR(""));
        return part_is_path(name) ? frame_expr(f, name, ret)
                                  : fail_piece(f, x, "`name` is no variable; expected a name such as topic, or a.b");
    }
    const struct val *content =
        str_is(type, "claude_continue") ? VAL_GET(x->part, "new_prompt") : VAL_GET(x->part, "content");
    *ret = content ? *content : val_null;
    return true;
}

/* Makes the piece's text. False: it waits, or the step has failed. */
static bool finish_piece(struct frame *f, struct prompt *p, struct piece *x)
{
    struct val v;
    bool wanted;
    if (x->summarised)
        return true;
    if (!x->fetched && !part_condition(f, x, &wanted))
        return false;
    if (!x->fetched && !wanted) {
        x->left_out = true;
        return true;
    }
    if (!get_value(f, x, &v))
        return false;
    if (VAL_GET(x->part, "component"))
        return open_component(f, p, x);
    x->fill = has_places(x);
    if (x->fill && (inject_name(x).n || VAL_GET(x->part, "summary") || VAL_GET(x->part, "transform"))) {
        x->fill = false; /* it becomes part of another text, or another text */
        x->text = part_value_text(f, &v);
        if (x->variables && !fill_piece(f, x, NULL, 0))
            return false;
        v = val_str(x->text);
    }
    if (!part_transform(f, x->part, x->label, &v, &x->text))
        return false;
    return part_wants_summary(x->part, x->text) ? summarise(f, p, x) : true;
}

bool prompt_advance(struct frame *f, struct prompt *p)
{
    for (; p->next; p->next = p->next->next) { /* goes on when the piece has been made */
        if (!finish_piece(f, p, p->next))
            return false;
        p->next->done = true;
    }
    return true;
}

/* ---- the whole ---- */

/* With what stands before it. */
static struct str piece_text(struct frame *f, const struct piece *x)
{
    const struct val *v = VAL_GET(x->part, "prefix");
    struct str prefix = v && x->text.n ? part_value_text(f, v) : STR("");
    if (x->left_out || !prefix.n)
        return x->left_out ? STR("") : x->text;
    char last = prefix.p[prefix.n - 1], *out = arena_alloc(&f->arena, prefix.n + 1 + x->text.n);
    memcpy(out, prefix.p, prefix.n);
    if (last != '\n' && last != ' ' && last != '\t')
        out[prefix.n++] = '\n';
    memcpy(out + prefix.n, x->text.p, x->text.n);
    return str_n(out, prefix.n + x->text.n);
}

/* Is there a part, not left out, with that name? */
static bool is_injected(const struct prompt *p, struct str name)
{
    for (const struct piece *x = p->first; x; x = x->next)
        if (!x->left_out && str_eq(inject_name(x), name))
            return true;
    return false;
}

/* Of parts with one name all but one must be left out. */
static bool names_differ(struct frame *f, const struct prompt *p)
{
    for (const struct piece *x = p->first; x; x = x->next)
        for (const struct piece *y = x->next; y && inject_name(x).n && !x->left_out; y = y->next)
            if (!y->left_out && str_eq(inject_name(x), inject_name(y)))
                return fail_piece(f, y,
                                  arena_printf(&f->arena, "`inject_as` is `%.*s`, as in part %s; expected another name",
                                               STR_ARG(inject_name(x)), x->label)
                                      .p);
    return true;
}

/* The texts that places stand for. A part that is left out is nothing in its place. */
static struct fill_value *injected(struct frame *f, const struct prompt *p, size_t *n)
{
    struct fill_value *v = arena_calloc(&f->arena, p->n + 1, sizeof *v);
    *n = 0;
    for (const struct piece *x = p->first; x; x = x->next)
        if (inject_name(x).n && !(x->left_out && is_injected(p, inject_name(x))))
            v[(*n)++] = (struct fill_value){.name = inject_name(x), .text = piece_text(f, x)};
    return v;
}

static bool is_used(const struct piece *x, const struct fill_value *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].used && str_eq(v[i].name, inject_name(x)))
            return true;
    return false;
}

struct str prompt_text(struct frame *f, struct prompt *p)
{
    size_t n;
    if (!p->first)
        return p->whole;
    if (!names_differ(f, p))
        return STR("");
    struct fill_value *shared = injected(f, p, &n);
    for (struct piece *x = p->first; x; x = x->next)
        if (x->fill && !x->left_out && (x->variables || n) && !fill_piece(f, x, shared, n))
            return STR("");
    struct buf b;
    buf_init(&b, PART_TEXT_MAX);
    for (const struct piece *x = p->first; x; x = x->next) {
        if (x->left_out || !x->text.n || (inject_name(x).n && is_used(x, shared, n)))
            continue;
        if (b.n)
            buf_addz(&b, "\n\n");
        buf_add(&b, piece_text(f, x));
    }
    struct str s = arena_str(&f->arena, buf_str(&b));
    if (b.overflow)
        step_failf(f, RC_LIMIT, "the prompt is larger than 64 MB");
    else if (!str_trim(s).n)
        step_failf(f, RC_INVALID, "the prompt is empty; expected some text for the model");
    buf_done(&b);
    return s;
}

struct val prompt_replies(const struct prompt *p)
{
    return (struct val){.type = VAL_ARRAY, .arr = {p->replies.v, p->replies.n}};
}
