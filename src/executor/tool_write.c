/* Write and Edit: change one file, in two phases, so that a crash in between can be told apart afterwards.
 *
 *   prepare   works out what the file is now and what it will be (two hashes), and changes nothing
 *   apply     works it out again; only if the file is still what prepare saw, swaps the new content in atomically
 *   settle    after a crash: is the file as it would be, as it was, or neither?
 *
 * The plan names the file without links (what prepare's path led to), so a link that is redirected in between makes
 * apply fail, not write elsewhere. Any doubt is an answer to the model ("has changed, read it again"), never a write.
 * Inside of `.git` nothing is written: a hook there would be run by people outside of any boundary. */
#include "executor/tools.h"

#include "base/buf.h"
#include "base/panic.h"
#include "executor/files.h"

enum { MAX_FILE = 16 << 20, NEW_MODE = 0644 };

struct change {
    struct place place;
    bool had; /* there was a file */
    struct sha256 before, after;
    struct str content; /* the new one */
    mode_t mode;
};

/* ---- what will be ---- */

static bool in_git(struct str path)
{
    while (path.n) {
        size_t slash = str_find(path, STR("/"));
        struct str part = slash == SIZE_MAX ? path : str_n(path.p, slash);
        if (str_is(part, ".git"))
            return true;
        path = str_from(path, part.n + 1);
    }
    return false;
}

static bool hash_is(const struct val *v, bool have, const struct sha256 *h)
{
    if (!have)
        return !v || v->type == VAL_NULL;
    struct sha256_hex hex = sha256_hex(h);
    return val_is(v, VAL_STR) && str_is(v->s, hex.z);
}

static struct val changed(struct tool_call *c, struct str path)
{
    return tool_result(c, true, "%.*s has changed since it was looked at. Read it again before you change it.",
                       STR_ARG(path));
}

/* Finds the file (by plan if there is one) and reads it. */
static bool look(struct tool_call *c, struct str path, struct change *ch, struct str *text, struct val *bad)
{
    struct err err;
    struct str rel = val_get_str(c->plan, STR("path"), str_n("", 0));
    if (!rel.n && beneath_relative(c->root, c->arena, c->cwd, path, &rel, &err)) {
        *bad = tool_error(c, &err);
        return false;
    }
    ch->place.dir = -1;
    enum rc rc = beneath_locate(c->root, c->arena, rel, false, &ch->place, &err);
    if (rc) {
        *bad = tool_error(c, &err);
        return false;
    }
    if (in_git(ch->place.path)) {
        *bad = tool_result(c, true, "%.*s: files inside .git are not changed by this tool.", STR_ARG(path));
        return false;
    }
    ch->had = ch->place.exists;
    ch->mode = ch->had ? ch->place.st.st_mode & 07777 : NEW_MODE;
    *text = str_n("", 0);
    if (ch->had && place_read(&ch->place, MAX_FILE, c->arena, text, &err)) {
        *bad = tool_error(c, &err);
        return false;
    }
    ch->before = sha256_of(*text);
    if (!c->plan || hash_is(VAL_GET(c->plan, "before"), ch->had, &ch->before))
        return true;
    *bad = changed(c, ch->place.path);
    return false;
}

static bool compute_write(struct tool_call *c, struct change *ch, struct val *bad)
{
    struct str path, content, now;
    if (!tool_arg_str(c, "file_path", true, &path, bad) || !tool_arg_str(c, "content", true, &content, bad))
        return false;
    if (content.n > MAX_FILE) {
        *bad = tool_result(c, true, "The content is larger than %d bytes.", MAX_FILE);
        return false;
    }
    if (!look(c, path, ch, &now, bad))
        return false;
    ch->content = content;
    return true;
}

static size_t count_matches(struct str text, struct str what)
{
    size_t n = 0, at;
    while ((at = str_find(text, what)) != SIZE_MAX) {
        n++;
        text = str_from(text, at + what.n);
    }
    return n;
}

static bool replace(struct tool_call *c, struct str text, struct str old, struct str new, struct str *ret)
{
    struct buf b;
    size_t at;
    buf_init(&b, MAX_FILE);
    while ((at = str_find(text, old)) != SIZE_MAX) {
        buf_add(&b, str_n(text.p, at));
        buf_add(&b, new);
        text = str_from(text, at + old.n);
    }
    buf_add(&b, text);
    bool ok = !b.overflow;
    if (ok)
        *ret = arena_str(c->arena, buf_str(&b));
    buf_done(&b);
    return ok;
}

static bool edit_text(struct tool_call *c, struct change *ch, struct str text, struct str old, struct str new, bool all,
                      struct val *bad)
{
    struct str path = ch->place.path;
    if (old.n == 0) {
        ch->content = new;
        if (text.n == 0)
            return true;
        *bad =
            tool_result(c, true, "old_string is empty, but %.*s has content. Give the text to replace.", STR_ARG(path));
        return false;
    }
    if (!ch->had) {
        struct err err;
        err_set(&err, RC_NOT_FOUND, "%.*s does not exist", STR_ARG(path));
        *bad = tool_error_at(c, path, &err);
        return false;
    }
    size_t n = count_matches(text, old);
    if (n == 0)
        *bad = tool_result(c, true,
                           "old_string was not found in %.*s. It must match exactly, including white space and line "
                           "ends%s. Read the file again.",
                           STR_ARG(path), memchr(text.p, '\r', text.n) ? " (this file has carriage returns)" : "");
    else if (n > 1 && !all)
        *bad = tool_result(c, true,
                           "old_string occurs %zu times in %.*s. Add surrounding lines to make it unique, or set "
                           "replace_all to change every one.",
                           n, STR_ARG(path));
    else if (replace(c, text, old, new, &ch->content))
        return true;
    else
        *bad = tool_result(c, true, "The file would become larger than %d bytes.", MAX_FILE);
    return false;
}

static bool compute_edit(struct tool_call *c, struct change *ch, struct val *bad)
{
    struct str path, old, new, text;
    bool all;
    if (!tool_arg_str(c, "file_path", true, &path, bad) || !tool_arg_str(c, "old_string", true, &old, bad) ||
        !tool_arg_str(c, "new_string", true, &new, bad) || !tool_arg_bool(c, "replace_all", &all, bad))
        return false;
    if (str_eq(old, new)) {
        *bad = tool_result(c, true, "old_string and new_string are the same; there is nothing to change.");
        return false;
    }
    return look(c, path, ch, &text, bad) && edit_text(c, ch, text, old, new, all, bad);
}

/* ---- the phases ---- */

static struct val hash_val(struct tool_call *c, const struct sha256 *h)
{
    struct sha256_hex hex = sha256_hex(h);
    return val_str(arena_str(c->arena, str_c(hex.z)));
}

static struct val plan_of(struct tool_call *c, const struct change *ch)
{
    struct val_map plan = val_map_new(c->arena), m = val_map_new(c->arena);
    VAL_MAP_SET(&plan, "path", val_str(ch->place.path));
    VAL_MAP_SET(&plan, "before", ch->had ? hash_val(c, &ch->before) : val_null);
    VAL_MAP_SET(&plan, "after", hash_val(c, &ch->after));
    VAL_MAP_SET(&plan, "mode", val_int((int64_t)ch->mode));
    VAL_MAP_SET(&m, "plan", val_map_done(&plan));
    return val_map_done(&m);
}

static bool plan_is_sound(const struct val *plan)
{
    const struct val *before = VAL_GET(plan, "before");
    return val_get_str(plan, STR("path"), str_n("", 0)).n && val_is(VAL_GET(plan, "after"), VAL_STR) && before &&
           (before->type == VAL_NULL || before->type == VAL_STR) && val_is(VAL_GET(plan, "mode"), VAL_INT);
}

static struct val success(struct tool_call *c, bool existed, struct str path)
{
    return tool_result(c, false, existed ? "The file %.*s has been updated." : "The file %.*s has been created.",
                       STR_ARG(path));
}

static struct val apply(struct tool_call *c, struct change *ch)
{
    struct str path = ch->place.path;
    struct place place = {.dir = -1};
    struct err err;
    if (beneath_locate(c->root, c->arena, path, true, &place, &err))
        return tool_error(c, &err);
    enum rc rc = RC_EXISTS;
    if (str_eq(place.path, path) && place.exists == ch->had)
        rc = place_replace(&place, c->arena, ch->content, ch->mode, ch->had ? &ch->before : NULL, &err);
    place_done(&place);
    if (rc == RC_EXISTS)
        return changed(c, path);
    return rc ? tool_error(c, &err) : success(c, ch->had, path);
}

static struct val settle(struct tool_call *c)
{
    struct str path = val_get_str(c->plan, STR("path"), str_n("", 0)), text = {0}, outcome = STR("changed");
    struct place place = {.dir = -1};
    struct err err;
    bool had = VAL_GET(c->plan, "before")->type != VAL_NULL;
    struct val_map m = val_map_new(c->arena);
    if (beneath_locate(c->root, c->arena, path, false, &place, &err) == RC_OK && str_eq(place.path, path)) {
        struct sha256 now = {0};
        bool known = !place.exists || place_read(&place, MAX_FILE, c->arena, &text, &err) == RC_OK;
        if (place.exists && known)
            now = sha256_of(text);
        if (known && place.exists && hash_is(VAL_GET(c->plan, "after"), true, &now))
            outcome = STR("done");
        else if (known && hash_is(VAL_GET(c->plan, "before"), place.exists, &now))
            outcome = STR("again");
        place_sweep(&place, c->arena, VAL_GET(c->plan, "after")->s);
    }
    place_done(&place);
    VAL_MAP_SET(&m, "outcome", val_str(outcome));
    if (str_is(outcome, "done")) {
        struct val told = success(c, had, path);
        val_map_merge(&m, &told);
    }
    return val_map_done(&m);
}

static struct val run(struct tool_call *c, bool (*compute)(struct tool_call *, struct change *, struct val *))
{
    struct change ch = {.place.dir = -1};
    struct val ret;
    bool has_plan = c->plan && c->plan->type != VAL_NULL;
    if (!has_plan)
        c->plan = NULL;
    if ((has_plan && !plan_is_sound(c->plan)) || (!has_plan && c->phase == TOOL_SETTLE))
        return tool_result(c, true, "The plan of this change is damaged.");
    if (c->phase == TOOL_SETTLE)
        return settle(c);
    if (c->phase == TOOL_PREPARE)
        c->plan = NULL;
    if (compute(c, &ch, &ret)) {
        ch.after = sha256_of(ch.content);
        if (c->phase == TOOL_PREPARE)
            ret = plan_of(c, &ch);
        else if (c->plan && !hash_is(VAL_GET(c->plan, "after"), true, &ch.after))
            ret = changed(c, ch.place.path);
        else
            ret = apply(c, &ch);
    }
    place_done(&ch.place);
    return ret;
}

struct val tool_write(struct tool_call *c)
{
    return run(c, compute_write);
}

struct val tool_edit(struct tool_call *c)
{
    return run(c, compute_edit);
}
