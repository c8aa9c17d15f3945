/* Holes that are no holes: a prompt that explains templates to a model has some in its code blocks.
 *
 * In a fenced block (``` or ~~~) of a prompt's text, a hole with a dotted name such as {{ first.output }} stays as it
 * is, with a warning, where the workflow has nothing that is called `first`, nor anything nearly so. Everywhere else,
 * and for names that look like slips, an unknown name is the error that it always is. What a workflow has is known when
 * all of it is loaded; the texts concerned wait for that here, and are then escaped and parsed anew. */
#include "flow/load_int.h"

enum { HOLE_MAX = 200 };

static bool name_char(char c)
{
    return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* a.b, a.b.c: the first name, or empty. */
static struct str dotted(struct str in)
{
    size_t dots = 0, first = 0;
    in = str_trim(in);
    for (size_t i = 0; i < in.n; i++) {
        bool dot = in.p[i] == '.';
        if (!dot && !name_char(in.p[i]))
            return STR("");
        if (dot && (i == 0 || i + 1 == in.n || in.p[i - 1] == '.'))
            return STR("");
        if (dot && !dots++)
            first = i;
    }
    return dots && !(in.p[0] >= '0' && in.p[0] <= '9') ? str_n(in.p, first) : STR("");
}

/* A line that opens or closes a block: its mark, '`' or '~'; else 0. */
static char fence(struct str line)
{
    size_t i = 0;
    while (i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'))
        i++;
    struct str rest = str_from(line, i);
    return str_starts(rest, STR("```")) ? '`' : str_starts(rest, STR("~~~")) ? '~' : 0;
}

/* The next such hole from `*at` on: where it begins, and its first name; false: there is none. */
struct walk {
    struct str text;
    size_t at; /* bytes looked at, up to the end of a hole or a line */
    char open; /* of the block that we are in */
    size_t hole;
    struct str name;
};

static bool hole_at(struct walk *w, size_t i)
{
    struct str rest = str_from(w->text, i + 2);
    size_t n = str_find(rest, STR("}}"));
    w->hole = i;
    w->name = n < HOLE_MAX ? dotted(str_n(rest.p, n)) : STR("");
    return w->name.n > 0;
}

static bool next_hole(struct walk *w)
{
    while (w->at < w->text.n) {
        bool begins = w->at == 0 || w->text.p[w->at - 1] == '\n';
        size_t n = str_find(str_from(w->text, w->at), STR("\n")), end = n == SIZE_MAX ? w->text.n : w->at + n + 1;
        char mark = begins ? fence(str_n(w->text.p + w->at, end - w->at)) : 0;
        if (mark && (!w->open || mark == w->open)) {
            w->open = w->open ? 0 : mark;
            w->at = end;
            continue;
        }
        for (size_t i = w->at; w->open && i + 1 < end; i++) {
            if (w->text.p[i] != '{' || w->text.p[i + 1] != '{')
                continue;
            bool escaped = i + 3 < w->text.n && w->text.p[i + 2] == '{' && w->text.p[i + 3] == '{';
            w->at = i + (escaped ? 4 : 2);
            if (!escaped && hole_at(w, i))
                return true;
            i = w->at - 1;
        }
        w->at = end;
    }
    return false;
}

static bool any_hole(const struct val *v)
{
    struct walk w = {.text = v->s};
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX && next_hole(&w);
}

void load_examples(struct loader *l, const struct step_def *s, const struct val *config)
{
    const struct val *prompt = VAL_GET(config, "prompt");
    bool any = val_is(prompt, VAL_STR) && any_hole(prompt);
    for (size_t i = 0; val_is(prompt, VAL_ARRAY) && i < prompt->arr.n && !any; i++)
        any = VAL_GET(&prompt->arr.v[i], "content") && any_hole(VAL_GET(&prompt->arr.v[i], "content"));
    if (!any)
        return;
    struct val *kept = ARENA_NEW(l->a, struct val);
    *kept = *config;
    load_later(l, &(struct later){.kind = LATER_EXAMPLE, .step = s, .config = kept});
}

/* ---- once everything is known ---- */

static void tell(struct loader *l, const struct val *v, const struct walk *w)
{
    struct val placed = places_content(&l->places, l->a, v);
    uint32_t line = placed.line, col = placed.col;
    for (size_t i = 0; i < w->hole; i++) {
        col = w->text.p[i] == '\n' ? 1 : col + (((unsigned char)w->text.p[i] & 0xc0) != 0x80);
        line += w->text.p[i] == '\n';
    }
    places_fix(&l->places, &line, &col);
    problem_add(l->ps, true, line, col,
                "nothing is called `%s`, so this stays in the code block as it is; expected {{{{ where a literal {{ is "
                "meant, or `raw: true` on the part of the prompt",
                clip(w->name).z);
}

/* The text with its examples escaped; *any is set if it has some. */
static struct val escaped(const struct reader *r, const struct val *v, bool *any)
{
    struct loader *l = r->l;
    struct val out = *v;
    struct walk w = {.text = v->s};
    struct str done = STR("");
    size_t from = 0;
    while (next_hole(&w)) {
        if (!check_unheard(r, w.name))
            continue;
        tell(l, v, &w);
        done = arena_printf(l->a, "%.*s%.*s{{{{", STR_ARG(done), (int)(w.hole - from), w.text.p + from);
        from = w.hole + 2;
        *any = true;
    }
    if (from)
        out.s = arena_printf(l->a, "%.*s%.*s", STR_ARG(done), STR_ARG(str_from(w.text, from)));
    return out;
}

static struct val with(struct arena *a, const struct val *object, const char *key, struct val v)
{
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < object->obj.n; i++) {
        const struct member *k = &object->obj.m[i];
        val_map_add(&m, k->key, str_is(k->key, key) ? v : k->val, k->line, k->col);
    }
    struct val out = val_map_done(&m);
    out.line = object->line;
    out.col = object->col;
    return out;
}

void load_examples_settle(struct loader *l, struct step_def *s, const struct val *config)
{
    struct reader r = {l, s, WHERE_STEP, s->line, s->col, false};
    const struct val *prompt = VAL_GET(config, "prompt");
    struct val_list parts = val_list_new(l->a);
    bool any = false;
    if (prompt->type == VAL_STR) {
        struct val text = escaped(&r, prompt, &any), v = with(l->a, config, "prompt", text);
        if (any)
            s->config = load_tree(l, &v);
        return;
    }
    for (size_t i = 0; i < prompt->arr.n; i++) {
        const struct val *part = &prompt->arr.v[i], *content = VAL_GET(part, "content");
        val_list_push(&parts,
                      val_is(content, VAL_STR) ? with(l->a, part, "content", escaped(&r, content, &any)) : *part);
    }
    struct val list = val_list_done(&parts);
    list.line = prompt->line;
    list.col = prompt->col;
    struct val v = with(l->a, config, "prompt", list);
    if (any)
        s->config = load_tree(l, &v);
}
