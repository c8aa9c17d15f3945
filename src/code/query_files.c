/* find_files, find_related: by names, places and contents; nothing here needs a grammar.
 *
 * A test belongs to a file by its name: both are about the same subject (user.ex and user_test.exs). Where several
 * files have that name, those in like-named directories come first. */
#include "code/query.h"

#include <stdio.h>

enum { CONTENT_MAX = 4 << 20 };

/* A file as answers show it: {path, name, …}. */
static struct val file_val(struct code *c, const struct code_file *f)
{
    struct val_map m = val_map_new(c->arena);
    VAL_MAP_SET(&m, "path", val_str(f->path));
    VAL_MAP_SET(&m, "name", val_str(path_name(f->path)));
    VAL_MAP_SET(&m, "type", val_str(str_c(file_type_names[f->type])));
    VAL_MAP_SET(&m, "language", f->lang ? val_str(str_c(lang_name(f->lang))) : val_null);
    VAL_MAP_SET(&m, "size", val_int(f->size));
    VAL_MAP_SET(&m, "modified", val_int(f->mtime_ms / 1000));
    return val_map_done(&m);
}

/* ---- what belongs together ---- */

/* Directories that both paths have in common, those that only say "test" or "source" aside. */
static unsigned nearness(struct str a, struct str b)
{
    static const char *const plain[] = {"test", "tests", "spec", "src",       "lib",
                                        "app",  "main",  "java", "__tests__", "unit"};
    unsigned n = 0;
    for (struct str da = path_dir(a); da.n;) {
        size_t cut = str_find(da, STR("/"));
        struct str part = str_n(da.p, cut < da.n ? cut : da.n);
        bool is_plain = false;
        for (size_t i = 0; i < sizeof plain / sizeof *plain && !is_plain; i++)
            is_plain = str_is(part, plain[i]);
        for (struct str db = is_plain ? STR("") : path_dir(b); db.n;) {
            size_t cut_b = str_find(db, STR("/"));
            n += str_eq(part, str_n(db.p, cut_b < db.n ? cut_b : db.n));
            db = cut_b < db.n ? str_from(db, cut_b + 1) : STR("");
        }
        da = cut < da.n ? str_from(da, cut + 1) : STR("");
    }
    return n;
}

bool files_same_subject(const struct code_file *a, const struct code_file *b)
{
    if (!a->lang || !b->lang || a == b)
        return false;
    struct arena scratch = {0};
    struct str sa = path_subject(&scratch, a->path), sb = path_subject(&scratch, b->path);
    bool same = str_eq(sa, sb);
    /* __init__.py, index.js, mod.rs are about their directory */
    static const char *const of_directory[] = {"__init__", "index", "mod", "main"};
    for (size_t i = 0; i < sizeof of_directory / sizeof *of_directory && !same; i++)
        same = (str_is(sa, of_directory[i]) && str_eq(path_subject(&scratch, path_dir(a->path)), sb)) ||
               (str_is(sb, of_directory[i]) && str_eq(path_subject(&scratch, path_dir(b->path)), sa));
    arena_done(&scratch);
    return same;
}

/* 0: unrelated. */
static double relation(const struct code_file *f, const struct code_file *to, const char **how)
{
    if (f == to)
        return 0;
    if (files_same_subject(f, to)) {
        bool test = (f->type == FILE_TEST) != (to->type == FILE_TEST);
        *how = !test ? "similar" : f->type == FILE_TEST ? "test" : "source";
        unsigned near = nearness(f->path, to->path);
        return (test ? 0.9 : 0.8) + (near > 4 ? 4 : near) * 0.02;
    }
    if (f->lang && f->lang == to->lang && str_eq(path_dir(f->path), path_dir(to->path))) {
        *how = "directory";
        return 0.5;
    }
    return 0;
}

/* ---- find_files ---- */

static bool type_fits(const struct code_file *f, struct strs types)
{
    if (!types.n)
        return true;
    for (size_t i = 0; i < types.n; i++)
        if (str_is(types.v[i], file_type_names[f->type]) || (str_is(types.v[i], "main") && f->main))
            return true;
    return false;
}

static enum rc check_types(struct strs types, struct err *err)
{
    for (size_t i = 0; i < types.n; i++) {
        bool known = str_is(types.v[i], "main");
        for (int t = 0; t <= FILE_OTHER && !known; t++)
            known = str_is(types.v[i], file_type_names[t]);
        if (!known)
            return err_set(err, RC_INVALID,
                           "`type` `%.*s` is not known; expected main, source, test, config, doc or "
                           "other",
                           STR_ARG(types.v[i]));
    }
    return RC_OK;
}

static bool ending_fits(const struct code_file *f, struct strs endings)
{
    for (size_t i = 0; i < endings.n; i++) {
        struct str e = endings.v[i];
        if (e.n && str_ends(f->path, e) &&
            (e.p[0] == '.' || (f->path.n > e.n && f->path.p[f->path.n - e.n - 1] == '.')))
            return true;
    }
    return endings.n == 0;
}

static bool has_content(struct code *c, struct code_file *f, struct str wanted)
{
    struct arena scratch = {0};
    struct str text;
    struct err err;
    bool has = !wanted.n || (files_read(&c->root, f->path, CONTENT_MAX, &scratch, &text, &err) == RC_OK &&
                             str_find(text, wanted) != SIZE_MAX);
    arena_done(&scratch);
    return has;
}

static bool is_related(const struct code_file *f, struct code_file **to, size_t n)
{
    const char *how;
    for (size_t i = 0; i < n; i++)
        if (relation(f, to[i], &how) > 0)
            return true;
    return n == 0;
}

enum rc query_find_files(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct selection sel;
    struct code_file **related;
    size_t nrelated;
    struct strs types = crit_list(c, crit, "type"), endings = crit_list(c, crit, "extension");
    struct str contains = crit_text(crit, "contains");
    int64_t since = crit_int(crit, "modified_since", INT64_MIN), limit = crit_int(crit, "limit", INT64_MAX);
    int64_t min = crit_int(crit, "min_size", 0), max = crit_int(crit, "max_size", INT64_MAX);
    struct val_list l = val_list_new(c->arena);
    enum rc rc = check_types(types, err);
    if (rc == RC_OK)
        rc = select_read(c, crit, true, &sel, err);
    if (rc == RC_OK)
        rc = select_named(c, crit, "related_to", NULL, &related, &nrelated, err);
    for (size_t i = 0; rc == RC_OK && i < c->files.n && (int64_t)l.n < limit; i++) {
        struct code_file *f = &c->files.v[i];
        if (f->size < min || f->size > max || f->mtime_ms < since || !type_fits(f, types) || !ending_fits(f, endings) ||
            !select_has(&sel, f) || !is_related(f, related, nrelated) || !has_content(c, f, contains))
            continue;
        val_list_push(&l, file_val(c, f));
        rc = code_in_time(c, err);
    }
    *ret = val_list_done(&l);
    return rc;
}

/* ---- find_related ---- */

enum { RELATED_MAX = 1000 };
struct related {
    const struct code_file *file;
    const char *how;
    double confidence;
};

static void insert(struct related *l, size_t *n, const struct related *x)
{
    size_t at = *n < RELATED_MAX ? (*n)++ : RELATED_MAX - 1;
    if (at == RELATED_MAX - 1 && l[at].file && l[at].confidence >= x->confidence)
        return;
    while (at && l[at - 1].confidence < x->confidence) {
        l[at] = l[at - 1];
        at--;
    }
    l[at] = *x;
}

enum rc query_find_related(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct code_file **to;
    size_t nto, n = 0;
    struct strs types = crit_list(c, crit, "types");
    int64_t max = crit_int(crit, "max_results", 20);
    struct related *found = arena_calloc(c->arena, RELATED_MAX, sizeof *found);
    enum rc rc = select_named(c, crit, "file", "to_file", &to, &nto, err);
    if (rc == RC_OK && !nto)
        return err_set(err, RC_INVALID, "`file` is missing: related to what?");
    for (size_t i = 0; rc == RC_OK && i < c->files.n; i++) {
        struct related r = {.file = &c->files.v[i]};
        r.confidence = relation(r.file, to[0], &r.how);
        bool wanted = types.n == 0;
        for (size_t k = 0; k < types.n && !wanted && r.how; k++)
            wanted = str_is(types.v[k], r.how);
        if (r.confidence > 0 && wanted)
            insert(found, &n, &r);
    }
    struct val_list l = val_list_new(c->arena);
    for (size_t i = 0; i < n && (int64_t)i < max; i++) {
        struct val_map m = val_map_new(c->arena);
        VAL_MAP_SET(&m, "path", val_str(found[i].file->path));
        VAL_MAP_SET(&m, "relation", val_str(str_c(found[i].how)));
        VAL_MAP_SET(&m, "confidence", val_double(found[i].confidence));
        val_list_push(&l, val_map_done(&m));
    }
    *ret = val_list_done(&l);
    return rc;
}

enum rc query_get_structure(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    enum { SHOWN_MAX = 500 };
    (void)crit;
    enum rc rc = code_scan(c, err);
    struct val_list main = val_list_new(c->arena), test = main, config = main, dirs = main;
    struct map seen = {0};
    for (size_t i = 0; rc == RC_OK && i < c->files.n; i++) {
        const struct code_file *f = &c->files.v[i];
        struct str dir = path_dir(f->path);
        struct val_list *l = f->main ? &main : f->type == FILE_TEST ? &test : f->type == FILE_CONFIG ? &config : NULL;
        if (l && l->n < SHOWN_MAX)
            val_list_push(l, val_str(f->path));
        if (dir.n && dirs.n < SHOWN_MAX && !map_get(&seen, dir)) {
            map_put(&seen, dir, c);
            val_list_push(&dirs, val_str(dir));
        }
    }
    map_done(&seen);
    struct val_map m = val_map_new(c->arena);
    VAL_MAP_SET(&m, "main_files", val_list_done(&main));
    VAL_MAP_SET(&m, "test_files", val_list_done(&test));
    VAL_MAP_SET(&m, "config_files", val_list_done(&config));
    VAL_MAP_SET(&m, "directories", val_list_done(&dirs));
    VAL_MAP_SET(&m, "total_files", val_int((int64_t)c->files.n));
    *ret = val_map_done(&m);
    return rc;
}
