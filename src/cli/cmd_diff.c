/* diff: what a run, or one of its steps, changed in its workspace.
 *
 * Contents come from what the run kept, not from the workspace, so it does not matter what has become of that since.
 * The form is git's, so that `git apply` and `patch -p1` take it; what a person sees on a terminal is freed of control
 * characters first. Everything is bounded: large files and those that are no text are named, not compared. */
#include "cli/changes.h"
#include "cli/commands.h"
#include "cli/explain.h"
#include "cli/human.h"
#include "cli/said.h"
#include "cli/seen_run.h"
#include "cli/session.h"
#include "data/json.h"
#include "data/textdiff.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMPARED_MAX = 1 << 20, DIFF_MAX = 8 << 20, ALL_MAX = 128 << 20, NEAR_MAX = 3 };

struct diff {
    struct arena arena;
    struct home_run run;
    struct digest *digest;
    struct run_changes changes;
    struct str step;
    bool color, terminal;
    bool snapshots; /* the journal speaks of some */
    size_t left;    /* of ALL_MAX */
    size_t lines_added, lines_removed;
    struct err *err;
    enum rc rc;
};

/* ---- one side of a change ---- */

enum content { CONTENT_NONE, CONTENT_TEXT, CONTENT_BINARY, CONTENT_LARGE, CONTENT_LOST };
struct side {
    const struct node *node;
    enum content content;
    struct str text;
    int64_t size;
};

static bool has_content(const struct node *n)
{
    return n->type == NODE_FILE || n->type == NODE_LINK;
}

static struct side side_read(struct diff *d, const struct node *n, struct arena *a)
{
    struct side s = {.node = n};
    struct err ignored;
    if (!has_content(n))
        return s;
    s.content = CONTENT_LOST;
    if (object_size(&d->changes.s.objects, &n->hash, &s.size, &ignored) != RC_OK)
        return s;
    s.content = CONTENT_LARGE;
    if (s.size <= COMPARED_MAX &&
        object_read(&d->changes.s.objects, &n->hash, COMPARED_MAX, a, &s.text, &ignored) == RC_OK)
        s.content = str_utf8_valid(s.text) == s.text.n && (!s.text.n || !memchr(s.text.p, 0, s.text.n))
                        ? CONTENT_TEXT
                        : CONTENT_BINARY;
    return s;
}

/* ---- one change ---- */

struct shown {
    const struct change *c;
    struct side before, after;
    struct textdiff lines;
    struct buf hunks;
    const char *omitted; /* why there are no hunks although the contents differ; or NULL */
};

static const char *what(const struct change *c)
{
    return c->before.type == NODE_NONE                                           ? "added"
           : c->after.type == NODE_NONE                                          ? "removed"
           : c->before.type != c->after.type                                     ? "replaced"
           : c->before.type == NODE_DIR                                          ? "mode"
           : memcmp(&c->before.hash, &c->after.hash, sizeof c->before.hash) == 0 ? "mode"
                                                                                 : "modified";
}

static const char *why_omitted(const struct side *s)
{
    static const char *const why[] = {
        [CONTENT_BINARY] = "binary", [CONTENT_LARGE] = "larger than 1 MB", [CONTENT_LOST] = "its content was not kept"};
    return s->content == CONTENT_NONE || s->content == CONTENT_TEXT ? NULL : why[s->content];
}

static void shown_make(struct diff *d, const struct change *c, struct arena *a, bool hunks, struct shown *ret)
{
    *ret = (struct shown){.c = c, .before = side_read(d, &c->before, a), .after = side_read(d, &c->after, a)};
    buf_init(&ret->hunks, DIFF_MAX);
    const char *why = why_omitted(&ret->before);
    ret->omitted = why ? why : why_omitted(&ret->after);
    if (ret->omitted || (has_content(&c->before) && has_content(&c->after) &&
                         memcmp(&c->before.hash, &c->after.hash, sizeof c->before.hash) == 0))
        return;
    textdiff(ret->before.text, ret->after.text, hunks ? &ret->hunks : NULL, &ret->lines);
    if (ret->hunks.overflow || ret->hunks.n > d->left)
        ret->omitted = "the difference is too long";
    else
        d->left -= ret->hunks.n;
    d->lines_added += ret->lines.added;
    d->lines_removed += ret->lines.removed;
}

static void shown_done(struct shown *s)
{
    buf_done(&s->hunks);
}

/* ---- for people, and for patch ---- */

static unsigned git_mode(const struct node *n)
{
    return (n->type == NODE_LINK ? 0120000u : n->type == NODE_DIR ? 040000u : 0100000u) | (n->mode & 0777u);
}

/* A path as the terminal may see it; elsewhere as it is. */
static struct str seen(struct diff *d, struct arena *a, struct str s)
{
    return d->terminal ? human_line(a, s, 0) : s;
}

static void print_lines(struct diff *d, struct arena *a, struct str text)
{
    if (!d->terminal) {
        fwrite(text.p, 1, text.n, stdout);
        return;
    }
    while (text.n) {
        const char *end = memchr(text.p, '\n', text.n);
        struct str line = str_n(text.p, end ? (size_t)(end - text.p) : text.n);
        text = str_from(text, line.n + 1);
        const char *color = !d->color || !line.n ? ""
                            : line.p[0] == '+'   ? "\033[32m"
                            : line.p[0] == '-'   ? "\033[31m"
                            : line.p[0] == '@'   ? "\033[36m"
                                                 : "";
        struct str clean = human_line(a, line, 0);
        printf("%s%.*s%s\n", color, STR_ARG(clean), *color ? "\033[0m" : "");
    }
}

static bool has_below(const struct undo_net *net, size_t i)
{
    struct str own = net->changes.v[i].path;
    for (size_t k = i + 1; k < net->changes.n && str_starts(net->changes.v[k].path, own); k++)
        if (net->changes.v[k].path.n > own.n && net->changes.v[k].path.p[own.n] == '/')
            return true;
    return false;
}

/* Directories have no place in a patch: patch makes and removes them with the files in them. The lines here are
 * comments to it. */
static void print_directory(struct diff *d, struct arena *a, const struct change *c)
{
    struct str path = seen(d, a, c->path);
    if (c->before.type == NODE_DIR && c->after.type == NODE_DIR)
        printf("directory %.*s/: mode %04o, before %04o\n", STR_ARG(path), c->after.mode, c->before.mode);
    else
        printf("directory %.*s/ %s\n", STR_ARG(path), c->after.type == NODE_DIR ? "made" : "removed");
}

/* git says what became a thing of another type in two patches: away with the one, here is the other. */
static void print_patch(struct diff *d, const struct change *c)
{
    struct arena a = {0};
    struct shown s;
    shown_make(d, c, &a, true, &s);
    struct str path = seen(d, &a, c->path);
    printf("diff --git a/%.*s b/%.*s\n", STR_ARG(path), STR_ARG(path));
    bool new = c->before.type == NODE_NONE, gone = c->after.type == NODE_NONE;
    if (new)
        printf("new file mode %06o\n", git_mode(&c->after));
    else if (gone)
        printf("deleted file mode %06o\n", git_mode(&c->before));
    else if (c->before.mode != c->after.mode)
        printf("old mode %06o\nnew mode %06o\n", git_mode(&c->before), git_mode(&c->after));
    if (s.omitted && strcmp(s.omitted, "binary") == 0)
        printf("Binary files %s%.*s and %s%.*s differ\n", new ? "/dev/null" : "a/", new ? 0 : (int)path.n, path.p,
               gone ? "/dev/null" : "b/", gone ? 0 : (int)path.n, path.p);
    else if (s.omitted)
        printf("Files a/%.*s and b/%.*s differ (not shown: %s)\n", STR_ARG(path), STR_ARG(path), s.omitted);
    if (!s.omitted && s.hunks.n) {
        printf("--- %s%.*s\n", new ? "/dev/null" : "a/", new ? 0 : (int)path.n, path.p);
        printf("+++ %s%.*s\n", gone ? "/dev/null" : "b/", gone ? 0 : (int)path.n, path.p);
        print_lines(d, &a, buf_str(&s.hunks));
    }
    shown_done(&s);
    arena_done(&a);
}

static void print_change(struct diff *d, size_t i)
{
    static const struct node none;
    struct arena a = {0};
    const struct change *c = &d->changes.net.changes.v[i];
    struct change half = *c;
    bool replaced = c->before.type != c->after.type && c->before.type != NODE_NONE && c->after.type != NODE_NONE;
    if ((c->before.type == NODE_DIR || c->after.type == NODE_DIR) &&
        (replaced || (c->before.type == NODE_DIR && c->after.type == NODE_DIR) || !has_below(&d->changes.net, i)))
        print_directory(d, &a, c);
    if (replaced && has_content(&c->before)) {
        half.after = none;
        print_patch(d, &half);
    }
    half = *c;
    if (replaced)
        half.before = none;
    if ((has_content(&c->after) && (replaced || c->before.type != NODE_DIR)) || (!replaced && has_content(&c->before)))
        print_patch(d, &half);
    arena_done(&a);
}

static void print_stat(struct diff *d, const struct change *c, bool counts)
{
    struct arena a = {0};
    struct shown s;
    struct str path = seen(d, &a, c->path);
    const char *dir =
        c->after.type == NODE_DIR || (c->after.type == NODE_NONE && c->before.type == NODE_DIR) ? "/" : "";
    printf("%-9s %.*s%s", what(c), STR_ARG(path), dir);
    if (counts) {
        shown_make(d, c, &a, false, &s);
        if (s.omitted)
            printf("  (%s)", s.omitted);
        else if (s.lines.added || s.lines.removed)
            printf("  +%zu -%zu", s.lines.added, s.lines.removed);
        if (c->before.type == c->after.type && c->before.mode != c->after.mode)
            printf("  mode %04o, before %04o", c->after.mode, c->before.mode);
        shown_done(&s);
    }
    printf("\n");
    arena_done(&a);
}

/* ---- for programs ---- */

static struct val text_val(struct arena *a, struct str s)
{
    if (str_utf8_valid(s) == s.n)
        return val_str(arena_str(a, s));
    return val_str(human_line(a, s, 0));
}

static struct val side_val(struct arena *a, const struct side *s)
{
    static const char *const types[] = {"none", "file", "link", "directory", "other"};
    struct val_map m = val_map_new(a);
    if (s->node->type == NODE_NONE)
        return val_null;
    VAL_MAP_SET(&m, "type", val_str(str_c(types[s->node->type])));
    if (s->node->type != NODE_LINK)
        VAL_MAP_SET(&m, "mode", val_str(arena_printf(a, "%04o", s->node->mode)));
    if (s->node->type == NODE_FILE) {
        struct sha256_hex x = sha256_hex(&s->node->hash);
        VAL_MAP_SET(&m, "sha256", val_str(arena_str(a, str_c(x.z))));
        VAL_MAP_SET(&m, "size", s->content == CONTENT_LOST ? val_null : val_int(s->size));
    }
    if (s->node->type == NODE_LINK)
        VAL_MAP_SET(&m, "target", text_val(a, s->text));
    return val_map_done(&m);
}

static struct val change_val(struct diff *d, const struct change *c, bool hunks)
{
    struct arena *a = &d->arena;
    struct val_map m = val_map_new(a);
    struct arena scratch = {0};
    struct shown s;
    shown_make(d, c, &scratch, hunks, &s);
    VAL_MAP_SET(&m, "path", text_val(a, c->path));
    VAL_MAP_SET(&m, "change", val_str(str_c(what(c))));
    VAL_MAP_SET(&m, "before", side_val(a, &s.before));
    VAL_MAP_SET(&m, "after", side_val(a, &s.after));
    VAL_MAP_SET(&m, "lines_added", val_int((int64_t)s.lines.added));
    VAL_MAP_SET(&m, "lines_removed", val_int((int64_t)s.lines.removed));
    if (s.omitted)
        VAL_MAP_SET(&m, "omitted", val_str(str_c(s.omitted)));
    else if (hunks && s.hunks.n)
        VAL_MAP_SET(&m, "diff", text_val(a, buf_str(&s.hunks)));
    shown_done(&s);
    arena_done(&scratch);
    return val_map_done(&m);
}

static int print_json(struct diff *d, bool hunks)
{
    struct arena *a = &d->arena;
    const struct changes *all = &d->changes.net.changes;
    struct val_map m = val_map_new(a);
    struct val_list changes = val_list_new(a), uncertain = val_list_new(a);
    for (size_t i = 0; i < all->n; i++)
        val_list_push(&changes, change_val(d, &all->v[i], hunks));
    for (size_t i = 0; i < d->changes.nuncertain; i++) {
        struct val_map u = val_map_new(a);
        VAL_MAP_SET(&u, "step", text_val(a, d->changes.uncertain[i].path));
        VAL_MAP_SET(&u, "why", text_val(a, d->changes.uncertain[i].why));
        VAL_MAP_SET(&u, "seen", val_bool(d->changes.uncertain[i].seen));
        val_list_push(&uncertain, val_map_done(&u));
    }
    VAL_MAP_SET(&m, "run_id", val_str(str_c(d->run.id)));
    if (d->step.n)
        VAL_MAP_SET(&m, "step", text_val(a, d->step));
    VAL_MAP_SET(&m, "workspace", val_str(d->digest->workspace));
    VAL_MAP_SET(&m, "changes", val_list_done(&changes));
    VAL_MAP_SET(&m, "uncertain", val_list_done(&uncertain));
    VAL_MAP_SET(&m, "lines_added", val_int((int64_t)d->lines_added));
    VAL_MAP_SET(&m, "lines_removed", val_int((int64_t)d->lines_removed));
    struct val v = val_map_done(&m);
    return said_json(&v, EXIT_OK);
}

/* ---- the command ---- */

static bool add(void *ctx, const struct record *r)
{
    struct diff *d = ctx;
    d->snapshots |= r->kind == RECORD_INTENT && str_find(r->data, STR("\"snapshot\":\"")) != SIZE_MAX;
    d->rc = digest_add(d->digest, r, d->err);
    return d->rc == RC_OK;
}

static enum rc read_journal(struct diff *d, struct err *err)
{
    struct store *store = NULL;
    d->err = err;
    enum rc rc = store_open(d->run.journal, STORE_READ, &store, err);
    if (rc == RC_OK)
        rc = store_each_record(store, str_c(d->run.id), 0, add, d, err);
    if (store)
        store_close(store);
    return rc ? rc : d->rc;
}

static enum rc check_step(struct diff *d, struct err *err)
{
    struct str nearest = STR("");
    unsigned best = NEAR_MAX + 1;
    if (!d->step.n || map_get(&d->digest->nodes, d->step))
        return RC_OK;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&d->digest->nodes, &i));) {
        unsigned near = str_distance(d->step, e->key, best);
        if (near < best || (near == best && nearest.n && str_cmp(e->key, nearest) < 0)) {
            best = near;
            nearest = e->key;
        }
    }
    bool found = nearest.n && best <= NEAR_MAX;
    return err_set(err, RC_NOT_FOUND,
                   "run %s has no step `%.*s`, or has not begun it%s%.*s%s; treadle show %s --all lists its steps",
                   d->run.id, STR_ARG(d->step), found ? "; did you mean `" : "", found ? (int)nearest.n : 0,
                   nearest.n ? nearest.p : "", found ? "`?" : "", d->run.id);
}

static void say_uncertain(struct diff *d)
{
    for (size_t i = 0; i < d->changes.nuncertain; i++) {
        const struct uncertain *u = &d->changes.uncertain[i];
        struct str path = human_line(&d->arena, u->path, 0), why = human_line(&d->arena, u->why, 300);
        fprintf(stderr, "note: %.*s: %.*s; %s\n", STR_ARG(path), STR_ARG(why),
                u->seen ? "shown is what was different when it had ended, whoever changed it"
                        : "what it changed is not known");
    }
}

static int show(struct diff *d, const struct args *args)
{
    const struct changes *all = &d->changes.net.changes;
    bool names = args_get(args, "names"), stat = args_get(args, "stat");
    if (args_get(args, "json"))
        return print_json(d, !names && !stat);
    say_uncertain(d);
    for (size_t i = 0; i < all->n; i++)
        if (names || stat)
            print_stat(d, &all->v[i], stat);
        else
            print_change(d, i);
    if (stat)
        printf("%zu path%s, +%zu -%zu lines\n", all->n, all->n == 1 ? "" : "s", d->lines_added, d->lines_removed);
    if (!all->n && !d->changes.nuncertain)
        fprintf(stderr, "%s%.*s changed nothing in %.*s\n", d->step.n ? "step " : "run ",
                d->step.n ? (int)d->step.n : (int)strlen(d->run.id), d->step.n ? d->step.p : d->run.id,
                STR_ARG(d->digest->workspace));
    return EXIT_OK;
}

static int diff(struct diff *d, const struct args *args)
{
    struct err err;
    if (seen_run_find(str_c(args->words[0]), &d->run, &err) != RC_OK)
        return fail(exit_of(err.rc), "%s", err.msg);
    if (read_journal(d, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "the journal of %s cannot be read: %s; treadle doctor tells what to do",
                    d->run.id, explain_problem(err.msg));
    if (args->nwords > 1)
        d->step = str_c(args->words[1]);
    if (check_step(d, &err) != RC_OK)
        return fail(exit_of(err.rc), "%s", err.msg);
    if (run_changes_read(&d->run, d->step, &d->arena, &d->changes, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "what run %s changed cannot be read: %s", d->run.id, err.msg);
    if (!d->changes.open && d->snapshots)
        return fail(EXIT_ENVIRONMENT,
                    "run %s wrote to %.*s, but the record of what it changed is gone (%s/snapshots is missing)",
                    d->run.id, STR_ARG(d->digest->workspace), d->run.dir);
    return show(d, args);
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct diff d = {.digest = digest_new(), .terminal = isatty(STDOUT_FILENO), .left = ALL_MAX};
    d.color = d.terminal && !(getenv("NO_COLOR") && *getenv("NO_COLOR"));
    int code = diff(&d, args);
    run_changes_done(&d.changes);
    digest_free(d.digest);
    arena_done(&d.arena);
    return code;
}

static const struct option options[] = {
    {"stat", 0, NULL, "Only the paths, with the number of lines added and removed.", false},
    {"names", 0, NULL, "Only the paths, and whether each was added, removed, modified or replaced.", false},
    {"json", 0, NULL, "One JSON object: the changes with both sides, and where it is unknown who made them.", false},
    OPTION_END};

const struct command command_diff = {
    .name = "diff",
    .usage = "RUN [STEP] [options]",
    .summary = "what a run, or one of its steps, changed in its workspace",
    .details =
        "RUN is a run's id, a unique beginning of it, or `last`; STEP a path as `treadle show --all` has it, such as\n"
        "`fix`, `review/3/fix` or `fix/turn:2/tool:1`. Shown is the difference between before the first and after the\n"
        "last of its changes, as a patch that `git apply` and `patch -p1` take. It comes from what the run kept: what\n"
        "has become of the workspace since does not matter. Attempts that were taken back are not shown; nor is what\n"
        "is inside of .git, .hg, .svn and .jj.\n\n"
        "A command that worked in the workspace itself (docs/workspaces.md) is shown with everything that\n"
        "was different when it had ended, which may include what others did meanwhile; a note says so.\n\n"
        "Examples:\n"
        "  treadle diff last\n"
        "  treadle diff last fix --stat\n"
        "  treadle diff last fix | git apply --reverse",
    .options = options,
    .min_words = 1,
    .max_words = 2,
    .run = run,
};
