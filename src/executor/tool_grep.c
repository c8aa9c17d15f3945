/* Grep: lines that match a regular expression, in one file or a tree.
 *
 * Files are read whole (bounded), split into lines, and each line is searched by itself: a pattern cannot match across
 * lines, and its cost is bounded per line by the limits of data/regex. Binary files (a NUL in the first 8 KiB) and
 * very large ones are skipped and counted. Output stops at `head_limit` lines or at the byte limit of the call, and
 * says so. Lines that are not UTF-8 are searched in their cleaned form. */
#include "executor/tools.h"

#include "base/buf.h"
#include "base/keyprint.h"
#include "data/regex.h"
#include "executor/capture.h"
#include "executor/files.h"
#include "executor/globmatch.h"
#include "executor/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    MAX_FILE = 16 << 20,
    MAX_CONTEXT = 1000,
    MAX_LINE = 2000,
    DEFAULT_HEAD = 250,
    MAX_HEAD = 100000,
    BINARY_PROBE = 8192
};
static const uint64_t max_bytes = (uint64_t)1 << 30;

enum grep_mode { GREP_FILES, GREP_CONTENT, GREP_COUNT };

struct grep {
    struct tool_call *call;
    struct regex *regex;
    const struct glob *glob; /* or NULL */
    bool glob_base;          /* it has no slash: matched against the name alone */
    enum grep_mode mode;
    bool numbers;
    int64_t before, after, head;
    struct str prefix; /* in front of paths */
    struct buf out;
    int64_t lines; /* put out */
    uint64_t bytes, matches;
    unsigned files, large;
    bool full;
    struct err err; /* a failure that ends it: the pattern is too expensive */
};

/* ---- output ---- */

static void put_path(struct grep *g, struct str path)
{
    buf_add(&g->out, g->prefix);
    if (g->prefix.n && path.n && g->prefix.p[g->prefix.n - 1] != '/')
        buf_addc(&g->out, '/');
    buf_add(&g->out, path);
}

/* False when there is no room for another line. */
static bool line_fits(struct grep *g, size_t n)
{
    if (g->lines >= g->head || g->out.n + n + g->prefix.n + 64 > g->call->output_limit)
        g->full = true;
    else
        g->lines++;
    return !g->full;
}

static void put_line(struct grep *g, struct str path, int64_t number, struct str line, bool match)
{
    bool cut = line.n > MAX_LINE;
    if (cut)
        line = text_whole(str_n(line.p, MAX_LINE));
    if (!line_fits(g, path.n + line.n))
        return;
    char sep = match ? ':' : '-';
    if (g->prefix.n || path.n) {
        put_path(g, path);
        buf_addc(&g->out, sep);
    }
    if (g->numbers)
        buf_printf(&g->out, "%lld%c", (long long)number, sep);
    buf_add(&g->out, line);
    buf_addz(&g->out, cut ? " [... cut]\n" : "\n");
}

/* ---- one file ---- */

struct lines {
    struct str rest;
    int64_t number; /* of the line last given */
};

static bool next_line(struct lines *l, struct str *line)
{
    if (!l->rest.n)
        return false;
    const char *end = memchr(l->rest.p, '\n', l->rest.n);
    *line = end ? str_n(l->rest.p, (size_t)(end - l->rest.p)) : l->rest;
    l->rest = str_from(l->rest, line->n + 1);
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    l->number++;
    return true;
}

/* Lines around a match: `recent` remembers where the last `before` lines begin. */
struct context {
    struct lines recent; /* from the oldest remembered line on */
    int64_t shown;       /* number of the last line put out */
    int64_t until;       /* lines up to this number follow a match */
};

static void put_match(struct grep *g, struct str path, struct context *x, int64_t number, struct str line)
{
    struct str old;
    int64_t from = number - g->before;
    if (from <= x->shown)
        from = x->shown + 1;
    if (x->shown && from > x->shown + 1 && (g->before || g->after) && line_fits(g, 3))
        buf_addz(&g->out, "--\n");
    while (x->recent.number < number - 1 && next_line(&x->recent, &old))
        if (x->recent.number >= from && !g->full)
            put_line(g, path, x->recent.number, old, false);
    put_line(g, path, number, line, true);
    x->shown = number;
    x->until = number + g->after;
}

static void search_text(struct grep *g, struct str path, struct str text)
{
    struct lines l = {.rest = text};
    struct context x = {.recent = l};
    struct str line;
    uint64_t matches = 0;
    while (!g->full && next_line(&l, &line)) {
        struct regex_match m;
        if ((l.number & 1023) == 0 && tool_over(g->call))
            break;
        if (regex_search(g->regex, line, 0, &m, &g->err))
            return;
        if (m.found) {
            matches++;
            if (g->mode == GREP_FILES)
                break;
            if (g->mode == GREP_CONTENT)
                put_match(g, path, &x, l.number, line);
        } else if (g->mode == GREP_CONTENT && l.number <= x.until) {
            put_line(g, path, l.number, line, false);
            x.shown = l.number;
        }
        while (x.recent.number < l.number - g->before && next_line(&x.recent, &line)) {
        }
    }
    if (!matches)
        return;
    g->files++;
    g->matches += matches;
    if (g->mode != GREP_CONTENT && line_fits(g, path.n)) {
        put_path(g, path);
        if (g->mode == GREP_COUNT)
            buf_printf(&g->out, ":%llu", (unsigned long long)matches);
        buf_addc(&g->out, '\n');
    }
}

/* Takes the descriptor. */
static void search_file(struct grep *g, struct str path, int fd)
{
    struct arena scratch = {0};
    struct err ignored;
    struct str text;
    enum rc rc = file_slurp(fd, MAX_FILE, &scratch, &text, &ignored);
    close(fd);
    if (rc == RC_LIMIT)
        g->large++;
    if (rc == RC_OK && !memchr(text.p, 0, text.n < BINARY_PROBE ? text.n : BINARY_PROBE)) {
        g->bytes += text.n;
        /* Without keys: a pattern must not find out by bits what they are. */
        search_text(g, path, text_clean(&scratch, keyprints_cover(&scratch, text)));
    }
    arena_done(&scratch);
}

static bool on_file(void *ctx, const struct walk_file *f)
{
    struct grep *g = ctx;
    if (g->glob && !glob_match(g->glob, g->glob_base ? str_c(f->name) : f->path))
        return true;
    int fd = openat(f->dir, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        search_file(g, f->path, fd);
    return !g->full && g->err.rc == RC_OK && g->bytes < max_bytes;
}

/* ---- the call ---- */

static bool read_mode(struct tool_call *c, enum grep_mode *mode, struct val *bad)
{
    static const char *const names[] = {"files_with_matches", "content", "count"};
    struct str s;
    if (!tool_arg_str(c, "output_mode", false, &s, bad))
        return false;
    *mode = GREP_FILES;
    for (int i = 0; s.n && i < 3; i++)
        if (str_is(s, names[i])) {
            *mode = (enum grep_mode)i;
            return true;
        }
    if (s.n)
        *bad = tool_result(c, true, "output_mode must be content, files_with_matches or count.");
    return s.n == 0;
}

static bool read_options(struct tool_call *c, struct grep *g, bool *ignore_case, struct val *bad)
{
    int64_t around;
    const struct val *numbers = VAL_GET(c->input, "-n");
    if (!read_mode(c, &g->mode, bad) || !tool_arg_bool(c, "-i", ignore_case, bad) ||
        !tool_arg_bool(c, "-n", &g->numbers, bad) || !tool_arg_int(c, "-C", 0, MAX_CONTEXT, 0, &around, bad) ||
        !tool_arg_int(c, "-B", 0, MAX_CONTEXT, around, &g->before, bad) ||
        !tool_arg_int(c, "-A", 0, MAX_CONTEXT, around, &g->after, bad) ||
        !tool_arg_int(c, "head_limit", 0, MAX_HEAD, DEFAULT_HEAD, &g->head, bad))
        return false;
    if (!numbers || numbers->type == VAL_NULL)
        g->numbers = true;
    if (g->head == 0)
        g->head = MAX_HEAD;
    return true;
}

static struct val present(struct grep *g, const char *cut)
{
    if (g->err.rc == RC_LIMIT)
        return tool_result(g->call, true, "The pattern takes too long to match; use a simpler one.");
    if (g->err.rc)
        return tool_error(g->call, &g->err);
    if (!g->matches)
        buf_addz(&g->out, g->mode == GREP_FILES ? "No files found\n" : "No matches found\n");
    else if (g->mode == GREP_COUNT)
        buf_printf(&g->out, "\n%llu matching lines in %u files.\n", (unsigned long long)g->matches, g->files);
    if (!cut)
        cut = g->full ? "the output limit was reached" : g->bytes >= max_bytes ? "there is too much to search" : NULL;
    if (!cut)
        cut = tool_over_reason(g->call);
    if (cut)
        buf_printf(&g->out, "(The search stopped early: %s.)\n", cut);
    if (g->large)
        buf_printf(&g->out, "(%u files larger than %d MiB were skipped.)\n", g->large, MAX_FILE >> 20);
    return tool_text(g->call, arena_str(g->call->arena, buf_str(&g->out)));
}

static struct val search(struct grep *g, struct str rel, struct str path)
{
    struct tool_call *c = g->call;
    struct err err;
    struct stat st;
    int fd;
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    g->prefix = str_is(path, ".") ? str_n("", 0) : path;
    if (beneath_open(c->root, rel, O_RDONLY | O_DIRECTORY, &fd, &err) == RC_OK) {
        struct walk w = {.call = c, .file = on_file, .ctx = g};
        walk_run(&w, fd);
        return present(g, w.cut);
    }
    if (beneath_open_file(c->root, rel, O_RDONLY, &fd, &st, &err))
        return tool_error_at(c, rel, &err);
    search_file(g, str_n("", 0), fd);
    if (g->large)
        return tool_result(c, true, "The file is larger than %d MiB.", MAX_FILE >> 20);
    return present(g, NULL);
}

struct val tool_grep(struct tool_call *c)
{
    struct val bad;
    struct str pattern, path, glob, rel;
    struct grep g = {.call = c};
    struct err err;
    bool ignore_case;
    if (!tool_arg_str(c, "pattern", true, &pattern, &bad) || !tool_arg_str(c, "path", false, &path, &bad) ||
        !tool_arg_str(c, "glob", false, &glob, &bad) || !read_options(c, &g, &ignore_case, &bad))
        return bad;
    if (glob.n && glob_compile(c->arena, glob, &g.glob, &err))
        return tool_error(c, &err);
    g.glob_base = str_find(glob, STR("/")) == SIZE_MAX;
    if (beneath_relative(c->root, c->arena, c->cwd, path, &rel, &err))
        return tool_error(c, &err);
    if (regex_compile(pattern, ignore_case, &g.regex, &err))
        return tool_error(c, &err);
    buf_init(&g.out, c->output_limit + 4096);
    struct val ret = search(&g, rel, path);
    buf_done(&g.out);
    regex_free(g.regex);
    return ret;
}
