/* list and validate: what is there, and whether it is as it should be. Nothing is changed. */
#include "data/convert.h"
#include "data/regex.h"
#include "executor/fileop_int.h"
#include "executor/files.h"
#include "executor/globmatch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- list ---- */

struct order {
    enum { BY_PATH, BY_NAME, BY_SIZE, BY_TIME } by;
    bool down;
};

static int compare_values(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_entries(const void *pa, const void *pb, void *ctx)
{
    const struct entry *a = pa, *b = pb;
    const struct order *o = ctx;
    struct str dir, x, y;
    int c = 0;
    if (o->by == BY_SIZE)
        c = compare_values(a->st.st_size, b->st.st_size);
    if (o->by == BY_TIME)
        c = compare_values(a->st.st_mtim.tv_sec, b->st.st_mtim.tv_sec);
    if (o->by == BY_TIME && !c)
        c = compare_values(a->st.st_mtim.tv_nsec, b->st.st_mtim.tv_nsec);
    if (o->by == BY_NAME) {
        path_split(a->path, &dir, &x);
        path_split(b->path, &dir, &y);
        c = str_cmp(x, y);
    }
    if (!c)
        return o->down && o->by == BY_PATH ? -str_cmp(a->path, b->path) : str_cmp(a->path, b->path);
    return o->down ? -c : c;
}

static enum rc read_order(const struct val *req, struct order *o, struct err *err)
{
    struct str by = val_get_str(req, STR("sort_by"), STR("path")), order = val_get_str(req, STR("order"), STR(""));
    static const char *const names[] = {"path", "name", "size", "modified"};
    unsigned i = 0;
    while (i < 4 && !str_is(by, names[i]))
        i++;
    if (i == 4)
        return err_set(err, RC_INVALID, "sort_by must be path, name, size or modified");
    o->by = i;
    o->down = order.n ? str_is(order, "desc") : i >= BY_SIZE; /* the largest, the newest first */
    return RC_OK;
}

static struct val time_val(struct arena *a, int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    char text[40];
    if (!gmtime_r(&t, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
        return val_null;
    return val_str(arena_str(a, str_c(text)));
}

static struct val entry_val(struct fileop *op, const struct entry *e)
{
    struct str dir, name;
    struct val_map m = val_map_new(op->arena);
    path_split(e->path, &dir, &name);
    VAL_MAP_SET(&m, "path", val_str(fileop_absolute(op, e->path)));
    VAL_MAP_SET(&m, "name", val_str(name));
    VAL_MAP_SET(&m, "size", val_int(S_ISREG(e->st.st_mode) ? e->st.st_size : 0));
    VAL_MAP_SET(&m, "type",
                S_ISDIR(e->st.st_mode)   ? VAL_LIT("directory")
                : S_ISREG(e->st.st_mode) ? VAL_LIT("file")
                                         : VAL_LIT("link"));
    VAL_MAP_SET(&m, "modified", time_val(op->arena, e->st.st_mtim.tv_sec));
    return val_map_done(&m);
}

/* A name or path that is not UTF-8 could not stand in a result. */
static bool nameable(const struct entry *e)
{
    return str_utf8_valid(e->path) == e->path.n;
}

static enum rc list_found(struct fileop *op, struct found *at, bool is_glob, struct str pattern, struct val *ret,
                          struct err *err)
{
    const struct val *req = op->request;
    bool details = val_get_bool(req, STR("details"), true);
    int64_t limit = val_get_int(req, STR("limit"), FILEOP_FILES_MAX);
    struct selection s = {.recursive = val_get_bool(req, STR("recursive"), false),
                          .hidden = val_get_bool(req, STR("include_hidden"), false)};
    struct entries l = {0};
    struct order o = {0};
    struct regex *regex = NULL;
    enum rc rc = read_order(req, &o, err);
    s.directories = !s.recursive && !is_glob;
    if (rc == RC_OK && is_glob) {
        bool deep = str_find(pattern, STR("**")) != SIZE_MAX, plain = str_find(pattern, STR("/")) == SIZE_MAX;
        if (s.recursive && plain) /* of names, at any depth */
            pattern = arena_printf(op->arena, "**/%.*s", STR_ARG(pattern));
        s.recursive |= deep || !plain;
        rc = glob_compile(op->arena, pattern, &s.glob, err);
    } else if (rc == RC_OK && pattern.n) {
        rc = regex_compile(pattern, false, &regex, err);
        s.regex = regex;
    }
    if (rc == RC_OK)
        rc = fileop_walk(op, at->path, &s, &l, err);
    if (regex)
        regex_free(regex);
    if (rc)
        return rc;
    if (l.n)
        qsort_r(l.v, l.n, sizeof *l.v, compare_entries, &o);
    struct val_list files = val_list_new(op->arena);
    for (size_t i = 0; i < l.n && (int64_t)files.n < limit; i++)
        if (nameable(&l.v[i]))
            val_list_push(&files, details ? entry_val(op, &l.v[i]) : val_str(fileop_absolute(op, l.v[i].path)));
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "operation", VAL_LIT("list"));
    VAL_MAP_SET(&m, "path", val_str(fileop_absolute(op, at->path)));
    VAL_MAP_SET(&m, "pattern", VAL_GET(req, "pattern") ? *VAL_GET(req, "pattern") : val_null);
    VAL_MAP_SET(&m, "count", val_int((int64_t)files.n));
    VAL_MAP_SET(&m, "files", val_list_done(&files));
    *ret = val_map_done(&m);
    return RC_OK;
}

enum rc fileop_missing(const struct fileop *op, struct str path, struct err *err)
{
    const struct str root = op->root->path;
    size_t from = root.n;
    while (from && root.p[from - 1] != '/')
        from--;
    struct str name = str_from(root, from), inner = str_starts(path, STR("./")) ? str_from(path, 2) : path;
    bool again = name.n && str_starts(inner, name) && inner.n > name.n + 1 && inner.p[name.n] == '/';
    if (again)
        return err_set(err, RC_NOT_FOUND, "%.*s does not exist; paths begin inside the workspace, expected %.*s",
                       STR_ARG(path), STR_ARG(str_from(inner, name.n + 1)));
    return err_set(err, RC_NOT_FOUND, "%.*s does not exist", STR_ARG(path));
}

enum rc fileop_list(struct fileop *op, struct val *ret, struct err *err)
{
    struct str path = val_get_str(op->request, STR("path"), STR("."));
    struct str pattern = val_get_str(op->request, STR("pattern"), STR(""));
    struct found at;
    enum rc rc = fileop_find(op, path, true, &at, err);
    if (rc)
        return rc;
    if (!at.exists)
        return fileop_missing(op, path, err);
    if (!S_ISDIR(at.st.st_mode))
        return err_set(err, RC_INVALID, "%.*s is not a directory", STR_ARG(path));
    if (fileop_is_guarded(at.path))
        return err_set(err, RC_INVALID, "%.*s belongs to version control and is left alone", STR_ARG(path));
    return list_found(op, &at, val_get_bool(op->request, STR("glob"), true) && pattern.n, pattern, ret, err);
}

/* ---- validate ---- */

enum { VALIDATE_MAX = FILEOP_CONVERT_MAX };

static enum rc read_all(struct fileop *op, const struct found *at, struct str *ret, struct err *err)
{
    struct stat st;
    int fd;
    enum rc rc = beneath_open_file(op->root, at->path, O_RDONLY, &fd, &st, err);
    if (rc)
        return rc;
    rc = file_slurp(fd, VALIDATE_MAX, op->arena, ret, err);
    close(fd);
    return rc;
}

static const char *contains_problem(struct fileop *op, const struct val *list, struct str text)
{
    struct val one;
    if (val_is(list, VAL_STR))
        one = (struct val){.type = VAL_ARRAY, .arr = {list, 1}}, list = &one;
    for (size_t i = 0; val_is(list, VAL_ARRAY) && i < list->arr.n; i++)
        if (val_is(&list->arr.v[i], VAL_STR) && str_find(text, list->arr.v[i].s) == SIZE_MAX)
            return arena_printf(op->arena, "does not contain \"%.*s\"",
                                (int)(list->arr.v[i].s.n < 100 ? list->arr.v[i].s.n : 100), list->arr.v[i].s.p)
                .p;
    return NULL;
}

static const char *content_problem(struct fileop *op, const struct val *f, const struct found *at)
{
    static const struct {
        const char *key;
        enum convert_format format;
    } formats[] = {{"validate_json", CONVERT_JSON},
                   {"validate_yaml", CONVERT_YAML},
                   {"validate_xml", CONVERT_XML},
                   {"validate_csv", CONVERT_CSV}};
    const struct val *contain = VAL_GET(f, "must_contain");
    struct str text = {0};
    struct err err;
    bool read = false;
    const char *problem = NULL;
    for (size_t i = 0; i < 5 && !problem; i++) {
        bool asked = i < 4 ? val_get_bool(f, str_c(formats[i].key), false) : contain && contain->type != VAL_NULL;
        if (!asked)
            continue;
        if (!read && read_all(op, at, &text, &err))
            return arena_printf(op->arena, "cannot be read: %s", err.msg).p;
        read = true;
        struct arena scratch = {0};
        struct val v;
        if (i == 4)
            problem = contains_problem(op, contain, text);
        else if (convert_read(formats[i].format, text, &(struct convert_options){0}, &scratch, &v, &err))
            problem = arena_printf(op->arena, "is no valid %s: %s", convert_format_name(formats[i].format), err.msg).p;
        arena_done(&scratch);
    }
    return problem;
}

static bool accessible(struct fileop *op, const struct found *at, int flags)
{
    struct err err;
    int fd;
    if (S_ISDIR(at->st.st_mode))
        flags = O_RDONLY | O_DIRECTORY;
    if (beneath_open(op->root, at->path, flags, &fd, &err))
        return false;
    close(fd);
    return true;
}

static const char *problem_of(struct fileop *op, const struct val *f, const struct found *at)
{
    int64_t least = val_get_int(f, STR("min_size"), 0), most = val_get_int(f, STR("max_size"), INT64_MAX);
    bool must = val_get_bool(f, STR("must_exist"), true), dir = at->exists && S_ISDIR(at->st.st_mode);
    if (!at->exists)
        return must ? "does not exist" : NULL;
    if (!must && val_is(VAL_GET(f, "must_not_exist"), VAL_BOOL) && VAL_GET(f, "must_not_exist")->b)
        return "exists";
    if (val_get_bool(f, STR("must_be_dir"), false) && !dir)
        return "is not a directory";
    if (val_get_bool(f, STR("must_be_file"), false) && !S_ISREG(at->st.st_mode))
        return "is not a file";
    if (!dir && at->st.st_size < least)
        return arena_printf(op->arena, "has %lld bytes; expected at least %lld", (long long)at->st.st_size,
                            (long long)least)
            .p;
    if (!dir && at->st.st_size > most)
        return arena_printf(op->arena, "has %lld bytes; expected at most %lld", (long long)at->st.st_size,
                            (long long)most)
            .p;
    if (val_get_bool(f, STR("must_be_readable"), false) && !accessible(op, at, O_RDONLY))
        return "cannot be read";
    if (val_get_bool(f, STR("must_be_writable"), false) && !accessible(op, at, O_WRONLY))
        return "cannot be written";
    return content_problem(op, f, at);
}

static void report(struct fileop *op, const struct val *f, const struct found *at, struct str path, const char *problem,
                   struct val_list *results)
{
    const struct val *criteria = VAL_GET(f, "criteria");
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "path", val_str(at->path.n ? fileop_absolute(op, at->path) : path));
    VAL_MAP_SET(&m, "status", problem ? VAL_LIT("invalid") : VAL_LIT("valid"));
    if (problem)
        VAL_MAP_SET(&m, "problem", val_str(str_c(problem)));
    VAL_MAP_SET(&m, "criteria", criteria ? *criteria : val_empty_object);
    val_list_push(results, val_map_done(&m));
}

static enum rc validate_one(struct fileop *op, const struct val *f, struct val_list *results, size_t *bad,
                            struct err *err)
{
    struct str path = val_get_str(f, STR("path"), STR("")), pattern = val_get_str(f, STR("pattern"), STR(""));
    struct found at = {0};
    struct err why;
    const char *problem;
    if (path.n && !fileop_is_pattern(path)) {
        problem =
            fileop_find(op, path, true, &at, &why) ? arena_str(op->arena, str_c(why.msg)).p : problem_of(op, f, &at);
        *bad += problem != NULL;
        report(op, f, &at, path, problem, results);
        return RC_OK;
    }
    struct val_list one = val_list_new(op->arena);
    struct val_map source = val_map_new(op->arena), request = val_map_new(op->arena);
    VAL_MAP_SET(&source, "path", val_str(path));
    VAL_MAP_SET(&source, "pattern", val_str(pattern));
    val_list_push(&one, val_map_done(&source));
    VAL_MAP_SET(&request, "sources", val_list_done(&one));
    struct val req = val_map_done(&request);
    struct fileop sub = *op;
    struct sources s = {0};
    sub.request = &req;
    enum rc rc = fileop_sources(&sub, true, false, &s, err);
    for (size_t i = 0; i < s.entries.n && rc == RC_OK; i++) {
        at = (struct found){s.entries.v[i].path, true, s.entries.v[i].st};
        problem = problem_of(op, f, &at);
        *bad += problem != NULL;
        report(op, f, &at, path, problem, results);
        rc = fileop_over(op, err);
    }
    if (rc == RC_OK && !s.entries.n && val_get_bool(f, STR("must_exist"), true)) {
        ++*bad;
        report(op, f, &(struct found){0}, path.n ? path : pattern, "matches no file", results);
    }
    return rc;
}

enum rc fileop_validate(struct fileop *op, struct val *ret, struct err *err)
{
    const struct val *files = VAL_GET(op->request, "files");
    struct val_list results = val_list_new(op->arena);
    size_t bad = 0;
    if (!val_is(files, VAL_ARRAY) || !files->arr.n)
        return err_set(err, RC_INVALID, "there is nothing to validate");
    for (size_t i = 0; i < files->arr.n; i++) {
        enum rc rc = validate_one(op, &files->arr.v[i], &results, &bad, err);
        if (rc)
            return rc;
    }
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "operation", VAL_LIT("validate"));
    VAL_MAP_SET(&m, "results", val_list_done(&results));
    VAL_MAP_SET(&m, "status", bad ? VAL_LIT("invalid") : VAL_LIT("all_valid"));
    *ret = val_map_done(&m);
    return RC_OK;
}
