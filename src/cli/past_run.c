/* From the journal's account of a run to a session that goes on with it. */
#include "cli/past_run.h"

#include "base/buf.h"
#include "base/sha256.h"
#include "data/json.h"
#include "flow/step.h"
#include "role/history.h"

#include <stdlib.h>

static void read_session(struct session *s, const struct val *note)
{
    struct str mode = val_get_str(note, STR("mode"), STR("live"));
    s->mode = str_is(mode, "mock") ? SESSION_MOCK : str_is(mode, "replay") ? SESSION_REPLAY : SESSION_LIVE;
    s->fixtures = val_get_str(note, STR("fixtures"), STR(""));
    struct str replay = val_get_str(note, STR("replay"), STR(""));
    s->replay_file = replay.n ? replay.p : NULL;
}

enum rc past_run_load(struct past_run *past, struct session *s, struct err *err)
{
    struct history h;
    enum rc rc = history_read(s->store, str_c(s->home.id), &s->arena, &h, err);
    if (rc != RC_OK)
        return rc;
    if (h.session)
        read_session(s, h.session);
    s->was_live = h.was_live || !h.session;
    past->file = h.file;
    past->path = h.path;
    past->workflow_sha256 = s->workflow_sha256 = h.workflow_sha256;
    past->status = h.status;
    past->records = h.records;
    past->ended_well = str_is(h.status, "succeeded");
    s->inputs = h.inputs;
    s->workspace = h.workspace;
    s->output_dir = h.output_dir;
    s->workflow_dir = h.workflow_dir;
    s->created_ms = h.created_ms;
    past->files = h.files;
    s->files.a = &s->arena;
    rc = called_from(&s->files, h.files, s->store, err);
    if (rc != RC_OK)
        return rc;
    return store_blob(s->store, past->workflow_sha256, &s->arena, &past->workflow_text, err);
}

enum { CALL_DEPTH_MAX = 60 };

static void add_calls(struct buf *b, const struct list_def *l, const struct workflow *in, unsigned depth);

/* The texts of all workflows that the step calls, wherever in it. */
static void add_step_calls(struct buf *b, const struct step_def *d, const struct workflow *in, unsigned depth)
{
    size_t slot = 0;
    for (const struct step_key *k = d->type->keys; d->lists && k->name; k++)
        if (k->kind == KEY_STEPS && !k->alias_of)
            add_calls(b, d->lists[slot++], in, depth);
    for (size_t i = 0; i < d->nbranches; i++)
        add_calls(b, d->branches[i].list, in, depth);
    add_calls(b, d->handler, in, depth);
    if (!d->child || d->child == in)
        return;
    buf_printf(b, "\n%.*s\n", STR_ARG(d->child->path));
    buf_add(b, d->child->text);
    add_calls(b, d->child->root, d->child->text.n ? d->child : in, depth + 1);
}

static void add_calls(struct buf *b, const struct list_def *l, const struct workflow *in, unsigned depth)
{
    for (size_t i = 0; l && depth < CALL_DEPTH_MAX && i < l->n; i++)
        add_step_calls(b, l->steps[i], in, depth);
}

static bool same_calls(const struct step_def *a, const struct step_def *b)
{
    struct buf x, y;
    buf_init(&x, (size_t)1 << 30);
    buf_init(&y, (size_t)1 << 30);
    add_step_calls(&x, a, NULL, 0);
    add_step_calls(&y, b, NULL, 0);
    bool equal = !x.overflow && !y.overflow && str_eq(buf_str(&x), buf_str(&y));
    buf_done(&x);
    buf_done(&y);
    return equal;
}

bool past_run_same_step(const struct step_def *a, const struct step_def *b)
{
    struct arena scratch = {0};
    bool equal = str_eq(json_canonical(&scratch, a->source), json_canonical(&scratch, b->source));
    arena_done(&scratch);
    return equal && same_calls(a, b);
}

static void void_from(struct session *s, const struct list_def *l, size_t from)
{
    struct str *paths = arena_calloc(&s->arena, l->n + 1, sizeof *paths);
    size_t n = 0;
    for (size_t i = from; i < l->n; i++)
        paths[n++] = arena_str(&s->arena, l->steps[i]->name);
    s->voids = paths;
    s->nvoids = n;
}

void past_run_differences(struct session *s, const struct workflow *old, const struct workflow *new)
{
    struct sha256 h = sha256_of(new->text);
    struct sha256_hex x = sha256_hex(&h);
    s->workflow_sha256 = arena_str(&s->arena, str_c(x.z));
    s->new_workflow = !str_eq(old->text, new->text);
    size_t i = 0;
    while (i < old->root->n && i < new->root->n &&past_run_same_step(old->root->steps[i], new->root->steps[i]))
        i++;
    void_from(s, old->root, i);
    if (!s->nvoids && i < new->root->n) /* only steps were added: the run has an end that no longer counts */
        void_from(s, new->root, i);
}

enum rc past_run_void_from(struct session *s, const struct workflow *w, struct str step, struct err *err)
{
    const struct step_def *d = list_find(w->root, step);
    if (!d) {
        struct str names = {0};
        for (size_t i = 0; i < w->root->n && names.n < 300; i++)
            names =
                arena_printf(&s->arena, "%.*s%s%.*s", STR_ARG(names), i ? ", " : "", STR_ARG(w->root->steps[i]->name));
        return err_set(err, RC_NOT_FOUND, "the workflow's own list has no step `%.*s`; expected one of: %.*s",
                       STR_ARG(step), STR_ARG(names));
    }
    void_from(s, w->root, d->index);
    return RC_OK;
}
