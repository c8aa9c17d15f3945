/* A file is known by the directory of whoever names it and by that name; its text is pinned by hash. */
#include "role/called.h"

#include "base/keyprint.h"
#include "base/sha256.h"
#include "executor/executor.h"

struct str called_directory(struct str path)
{
    while (path.n && path.p[path.n - 1] != '/')
        path.n--;
    return str_n(path.p, path.n > 1 ? path.n - 1 : path.n);
}

enum rc called_find(const struct called_files *f, struct str from, struct str name, bool stored,
                    struct workflow_text *ret, struct err *err)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct called_file *c = &f->v[i];
        if (c->stored == stored && str_eq(c->name, name) && (stored || str_eq(c->from, from))) {
            *ret = c->t;
            return RC_OK;
        }
    }
    return err_set(err, RC_CORRUPT, "the journal does not hold the workflow `%.*s`", STR_ARG(name));
}

void called_keep(struct called_files *f, const struct called_file *c)
{
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 8;
        struct called_file *v = arena_calloc(f->a, cap, sizeof *v);
        if (f->n)
            memcpy(v, f->v, f->n * sizeof *v);
        f->v = v;
        f->cap = cap;
    }
    f->v[f->n++] = *c;
}

static enum rc keyless(struct str file, struct str text, struct err *err)
{
    size_t at, line = 1, begin = 0;
    const char *name;
    if (!keyprints_find(text, &at, &name))
        return RC_OK;
    for (size_t i = 0; i < at; i++)
        if (text.p[i] == '\n')
            line++, begin = i + 1;
    return err_set(
        err, RC_INVALID,
        "%.*s:%zu:%zu: the value of %s stands here, and would be kept with the run; take it out: model steps "
        "use it without being told, and commands get other secrets by `secrets`",
        (int)(file.n < 200 ? file.n : 200), file.p, line, at - begin + 1, name);
}

enum rc called_keyless(const struct called_files *f, struct str file, struct str text, struct err *err)
{
    enum rc rc = keyless(file, text, err);
    for (size_t i = 0; rc == RC_OK && i < f->n; i++)
        rc = keyless(f->v[i].t.file, f->v[i].t.text, err);
    return rc;
}

const struct str *called_secrets(const struct workflow *w, struct arena *a, size_t *n)
{
    size_t nall, room = 0;
    const struct workflow *const *all = workflow_all(w, a, &nall);
    for (size_t k = 0; k < nall; k++)
        room += all[k]->nsecrets;
    struct str *v = arena_calloc(a, room ? room : 1, sizeof *v);
    *n = 0;
    for (size_t k = 0; k < nall; k++)
        for (size_t i = 0; i < all[k]->nsecrets; i++)
            v[(*n)++] = all[k]->secrets[i];
    return v;
}

static bool offered_to(const struct workflow *w, struct str offered, struct arena *a,
                       void (*problems)(void *ctx, const struct workflow_text *t, const struct problems *ps), void *ctx)
{
    struct problems ps = {.a = a, .sources = w->sources, .nsources = w->nsources};
    const struct val *written = VAL_GET(w->source, "secrets");
    for (size_t i = 0; i < w->nsecrets; i++) {
        struct str name = w->secrets[i];
        const struct val *at = val_is(written, VAL_ARRAY) ? val_at(written, i) : written;
        if (!str_has_word(offered, ' ', name))
            problem_add(&ps, false, at ? at->line : 0, at ? at->col : 0, EXECUTOR_NOT_OFFERED, STR_ARG(name),
                        STR_ARG(name));
    }
    bool good = !ps.n;
    if (!good)
        problems(ctx, &(struct workflow_text){.file = w->file}, &ps);
    return good;
}

bool called_offered(const struct workflow *w, struct str offered, struct arena *a,
                    void (*problems)(void *ctx, const struct workflow_text *t, const struct problems *ps), void *ctx)
{
    size_t n;
    const struct workflow *const *all = workflow_all(w, a, &n);
    bool good = true;
    for (size_t i = 0; i < n; i++)
        good = offered_to(all[i], offered, a, problems, ctx) && good;
    return good;
}

/* ---- in a journal ---- */

static struct str hash(struct arena *a, struct str text)
{
    struct sha256 h = sha256_of(text);
    struct sha256_hex x = sha256_hex(&h);
    return arena_str(a, str_c(x.z));
}

struct val called_val(const struct called_files *f, struct arena *a)
{
    struct val_list l = val_list_new(a);
    for (size_t i = 0; i < f->n; i++) {
        const struct called_file *c = &f->v[i];
        struct val_map m = val_map_new(a);
        VAL_MAP_SET(&m, "from", val_str(c->from));
        VAL_MAP_SET(&m, "name", val_str(c->name));
        VAL_MAP_SET(&m, "stored", val_bool(c->stored));
        VAL_MAP_SET(&m, "path", val_str(c->t.path));
        VAL_MAP_SET(&m, "file", val_str(c->t.file));
        VAL_MAP_SET(&m, "dir", val_str(c->t.dir));
        VAL_MAP_SET(&m, "sha256", val_str(hash(a, c->t.text)));
        val_list_push(&l, val_map_done(&m));
    }
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "root", val_str(f->root_path));
    VAL_MAP_SET(&m, "files", val_list_done(&l));
    return val_map_done(&m);
}

void called_put(const struct called_files *f, struct store_batch *b)
{
    for (size_t i = 0; i < f->n; i++)
        store_batch_blob(b, f->v[i].t.text);
}

static struct str text_of(const struct val *v, const char *key)
{
    return val_get_str(v, str_c(key), STR(""));
}

enum rc called_from(struct called_files *f, const struct val *v, struct store *store, struct err *err)
{
    const struct val *list = VAL_GET(v, "files");
    f->n = 0;
    f->root_path = text_of(v, "root");
    f->pinned = true;
    for (size_t i = 0; val_at(list, i); i++) {
        const struct val *one = val_at(list, i);
        struct called_file c = {.from = text_of(one, "from"),
                                .name = text_of(one, "name"),
                                .stored = val_get_bool(one, STR("stored"), false)};
        c.t.path = text_of(one, "path");
        c.t.file = text_of(one, "file");
        c.t.dir = text_of(one, "dir");
        enum rc rc = store_blob(store, text_of(one, "sha256"), f->a, &c.t.text, err);
        if (rc != RC_OK)
            return rc;
        called_keep(f, &c);
    }
    return RC_OK;
}
