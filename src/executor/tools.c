/* The table of file tools, and how they read their parameters.
 *
 * Models get types wrong in a few ordinary ways (a number in quotes, a whole number with ".0"); those are accepted.
 * Everything else is answered with a sentence that says which parameter and what was expected. */
#include "executor/tools.h"

#include "base/clock.h"
#include "executor/capture.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const struct {
    const char *name;
    struct val (*run)(struct tool_call *c);
    bool phases; /* has prepare and settle */
} tools[] = {
    {"Read", tool_read, false}, {"Write", tool_write, true}, {"Edit", tool_edit, true},
    {"Glob", tool_glob, false}, {"Grep", tool_grep, false},
};

bool tool_run(struct str name, struct tool_call *c, struct val *ret)
{
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        if (!str_is(name, tools[i].name))
            continue;
        if (!val_is(c->input, VAL_OBJECT))
            *ret = tool_result(c, true, "The input of %s must be an object.", tools[i].name);
        else if (c->phase != TOOL_APPLY && !tools[i].phases)
            *ret = tool_result(c, true, "%s changes nothing and needs no preparation.", tools[i].name);
        else
            *ret = tools[i].run(c);
        return true;
    }
    return false;
}

static struct val make_result(struct tool_call *c, bool is_error, struct str text)
{
    struct val_map m = val_map_new(c->arena);
    VAL_MAP_SET(&m, "text", val_str(text_clean(c->arena, text)));
    VAL_MAP_SET(&m, "is_error", val_bool(is_error));
    return val_map_done(&m);
}

struct val tool_result(struct tool_call *c, bool is_error, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return make_result(c, is_error, arena_str(c->arena, str_c(text)));
}

struct val tool_error(struct tool_call *c, const struct err *err)
{
    return tool_result(c, true, "%s", err->msg);
}

static void nearest_name(int dir, struct str name, char best[256])
{
    enum { MAX_ENTRIES = 5000, MAX_DISTANCE = 3 };
    unsigned least = MAX_DISTANCE + 1;
    DIR *d = fdopendir(dir);
    struct dirent *de;
    if (!d)
        close(dir);
    for (int i = 0; d && i < MAX_ENTRIES && (de = readdir(d)); i++) {
        unsigned distance = str_distance(str_c(de->d_name), name, MAX_DISTANCE);
        if (distance < least && de->d_name[0] != '.') {
            least = distance;
            snprintf(best, 256, "%s", de->d_name);
        }
    }
    if (d)
        closedir(d);
}

struct val tool_error_at(struct tool_call *c, struct str rel, const struct err *err)
{
    struct err ignored;
    char best[256] = "";
    size_t slash = rel.n;
    int dir;
    while (slash && rel.p[slash - 1] != '/')
        slash--;
    if (err->rc == RC_NOT_FOUND &&
        beneath_open(c->root, slash ? str_n(rel.p, slash) : STR("."), O_RDONLY | O_DIRECTORY, &dir, &ignored) == RC_OK)
        nearest_name(dir, str_from(rel, slash), best);
    if (best[0])
        return tool_result(c, true, "%s. Did you mean %.*s%s?", err->msg, (int)slash, rel.p, best);
    return tool_error(c, err);
}

struct val tool_text(struct tool_call *c, struct str text)
{
    return make_result(c, false, text);
}

bool tool_arg_str(struct tool_call *c, const char *name, bool required, struct str *ret, struct val *bad)
{
    const struct val *v = val_get(c->input, str_c(name));
    *ret = str_n("", 0);
    if (val_is(v, VAL_STR)) {
        *ret = v->s;
        return true;
    }
    if ((!v || v->type == VAL_NULL) && !required)
        return true;
    if (!v || v->type == VAL_NULL)
        *bad = tool_result(c, true, "The required parameter %s is missing.", name);
    else
        *bad = tool_result(c, true, "The parameter %s must be a string, not %s.", name, val_type_name(v));
    return false;
}

bool tool_arg_int(struct tool_call *c, const char *name, int64_t min, int64_t max, int64_t fallback, int64_t *ret,
                  struct val *bad)
{
    const struct val *v = val_get(c->input, str_c(name));
    *ret = fallback;
    if (!v || v->type == VAL_NULL)
        return true;
    bool ok = false;
    if (v->type == VAL_INT)
        *ret = v->i, ok = true;
    else if (v->type == VAL_DOUBLE && v->d == floor(v->d) && fabs(v->d) < 1e15)
        *ret = (int64_t)v->d, ok = true;
    else if (v->type == VAL_STR)
        ok = str_to_i64(str_trim(v->s), ret);
    if (ok && *ret >= min) {
        *ret = *ret < max ? *ret : max;
        return true;
    }
    *bad = tool_result(c, true, "The parameter %s must be a whole number, at least %lld.", name, (long long)min);
    return false;
}

bool tool_arg_bool(struct tool_call *c, const char *name, bool *ret, struct val *bad)
{
    const struct val *v = val_get(c->input, str_c(name));
    *ret = false;
    if (!v || v->type == VAL_NULL)
        return true;
    if (v->type == VAL_BOOL) {
        *ret = v->b;
        return true;
    }
    if (v->type == VAL_STR && (str_is(v->s, "true") || str_is(v->s, "false"))) {
        *ret = str_is(v->s, "true");
        return true;
    }
    *bad = tool_result(c, true, "The parameter %s must be true or false.", name);
    return false;
}

bool tool_over(const struct tool_call *c)
{
    return atomic_load_explicit(c->cancel, memory_order_relaxed) || clock_mono_ms() >= c->deadline_ms;
}

const char *tool_over_reason(const struct tool_call *c)
{
    if (atomic_load_explicit(c->cancel, memory_order_relaxed))
        return "it was cancelled";
    return clock_mono_ms() >= c->deadline_ms ? "the time allowed was used up" : NULL;
}
