/* Events name steps and the effects below them by path; an effect belongs to the nearest active step above it.
 *
 * Iterations have no events of their own. But they begin in order, so the highest number seen tells how many have
 * begun, and those without an active step are over. (Between two steps of one iteration that is wrong for as long as a
 * commit takes, which nobody sees.) A loop that is resumed begins in the middle, and counts right at once. */
#include "cli/view_tree.h"

#include "agent/agent.h"
#include "base/buf.h"
#include "base/panic.h"
#include "cli/human.h"

#include <stdio.h>
#include <stdlib.h>

void view_tree_init(struct view_tree *t)
{
    *t = (struct view_tree){.top = {.total = -1}};
}

static void step_free(struct view_step *s)
{
    if (!s)
        return;
    free(s->path);
    free(s);
}

void view_tree_done(struct view_tree *t)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&t->steps, &i));)
        step_free(e->value);
    map_done(&t->steps);
    step_free(t->gone);
    t->gone = NULL;
}

/* Without "~2" and "again:2/": one step, however often it is tried or started. */
static void plain_path(struct buf *b, struct str path)
{
    struct arena a = {0};
    buf_add(b, agent_plain_path(&a, path));
    arena_done(&a);
}

/* The active step at the path or the nearest above it. */
static struct view_step *find(const struct view_tree *t, struct str path)
{
    while (path.n) {
        struct view_step *s = map_get(&t->steps, path);
        if (s)
            return s;
        while (path.n && path.p[path.n - 1] != '/')
            path.n--;
        if (path.n)
            path.n--;
    }
    return NULL;
}

static void copy(char *to, size_t size, struct str from)
{
    struct arena a = {0};
    struct str line = human_line(&a, from.n > size ? str_n(from.p, size) : from, 0);
    if (line.n >= size)
        line.n = str_utf8_valid(str_n(line.p, size - 1));
    memcpy(to, line.p, line.n);
    to[line.n] = 0;
    arena_done(&a);
}

static void link_below(struct view_step *parent, struct view_step *s)
{
    s->parent = parent;
    s->prev = parent->last;
    *(parent->last ? &parent->last->next : &parent->first) = s;
    parent->last = s;
    if (++parent->running > parent->peak)
        parent->peak = parent->running;
    size_t slash = str_find(s->name, STR("/"));
    int64_t index;
    if (slash != SIZE_MAX && str_to_i64(str_n(s->name.p, slash), &index) && index >= parent->next_index)
        parent->next_index = index + 1;
}

static struct view_step *begin(struct view_tree *t, struct str path, const struct event *e, int64_t now_ms)
{
    struct view_step *s = map_get(&t->steps, path);
    if (s) { /* another attempt */
        s->retry_ms = 0;
        s->trouble[0] = s->label[0] = 0;
        return s;
    }
    struct view_step *parent = find(t, path);
    s = calloc(1, sizeof *s);
    if (!s || !(s->path = strndup(path.p, path.n)))
        PANIC("out of memory");
    size_t skip = parent ? strlen(parent->path) + 1 : 0;
    s->name = str_from(str_c(s->path), skip);
    s->started_ms = now_ms;
    s->total = -1;
    copy(s->type, sizeof s->type, e->type);
    map_put(&t->steps, str_c(s->path), s);
    link_below(parent ? parent : &t->top, s);
    t->active++;
    return s;
}

static void end(struct view_tree *t, struct view_step *s)
{
    struct view_step *p = s->parent;
    while (s->first) /* what it gave up on the way told nobody */
        end(t, s->first);
    step_free(t->gone);
    p->calls += s->calls;
    p->running--;
    *(s->prev ? &s->prev->next : &p->first) = s->next;
    *(s->next ? &s->next->prev : &p->last) = s->prev;
    map_del(&t->steps, str_c(s->path));
    t->active--;
    t->gone = s;
}

/* "message; next attempt in 0.2 s": the wait, in milliseconds. */
static int64_t wait_of(struct str detail)
{
    struct str mark = STR("; next attempt in ");
    size_t last = SIZE_MAX;
    for (size_t at = 0, found; (found = str_find(str_from(detail, at), mark)) != SIZE_MAX; at += found + 1)
        last = at + found;
    if (last == SIZE_MAX)
        return -1;
    char number[32] = "";
    struct str rest = str_from(detail, last + mark.n);
    copy(number, sizeof number, rest);
    double seconds = strtod(number, NULL);
    return seconds >= 0 && seconds < 1e6 ? (int64_t)(seconds * 1000) : -1;
}

static void will_retry(struct view_step *s, const struct event *e, int64_t now_ms)
{
    int64_t wait = wait_of(e->detail);
    copy(s->trouble, sizeof s->trouble, e->detail);
    char *mark = strstr(s->trouble, "; next attempt in ");
    if (mark)
        *mark = 0;
    s->retry_ms = now_ms + (wait > 0 ? wait : 0);
}

static struct view_fact take(struct view_tree *t, struct str path, const struct event *e, int64_t now_ms)
{
    struct view_fact f = {.took_ms = -1};
    struct view_step *exact = map_get(&t->steps, path);
    f.top = str_find(path, STR("/")) == SIZE_MAX;
    switch (e->kind) {
    case EVENT_STARTED:
        f.step = begin(t, path, e, now_ms);
        break;
    case EVENT_FINISHED:
    case EVENT_FAILED:
        if (!exact)
            break;
        f.step = exact;
        f.took_ms = now_ms - exact->started_ms;
        if (e->kind == EVENT_FAILED)
            exact->parent->failed++;
        end(t, exact);
        break;
    case EVENT_WAIT:
    case EVENT_CALL:
        f.step = find(t, path);
        if (f.step) {
            f.step->calls++;
            f.step->retry_ms = 0;
            copy(f.step->label, sizeof f.step->label, e->detail);
        }
        break;
    case EVENT_RETRY:
        f.step = find(t, path);
        if (f.step)
            will_retry(f.step, e, now_ms);
        break;
    case EVENT_NOTE:
        f.step = find(t, path);
        if (f.step && val_is(VAL_GET(e->data, "total_items"), VAL_INT))
            f.step->total = val_get_int(e->data, STR("total_items"), -1);
        break;
    case EVENT_HELD:
    case EVENT_SKIPPED:
        f.step = find(t, path);
        break;
    }
    return f;
}

struct view_fact view_tree_event(struct view_tree *t, const struct event *e, int64_t now_ms)
{
    struct buf path;
    buf_init(&path, e->path.n + 1);
    plain_path(&path, e->path);
    struct view_fact f = take(t, buf_str(&path), e, now_ms);
    buf_done(&path);
    return f;
}

struct view_step *view_tree_next(const struct view_step *s)
{
    if (s->first)
        return s->first;
    while (s->parent && !s->next)
        s = s->parent;
    return s->next;
}

unsigned view_tree_depth(const struct view_step *s)
{
    unsigned depth = 0;
    for (; s->parent && s->parent->parent; s = s->parent)
        depth++;
    return depth;
}

int64_t view_tree_items_done(const struct view_step *s)
{
    int64_t done = s->next_index - (int64_t)s->running;
    return done > 0 ? done : 0;
}

struct str view_usage(const struct val *result, char *out, size_t size)
{
    const struct val *u = VAL_GET(result, "usage"), *cost = VAL_GET(result, "cost_usd");
    out[0] = 0;
    if (!val_is(u, VAL_OBJECT))
        return str_c(out);
    int64_t in = val_get_int(u, STR("input_tokens"), 0) + val_get_int(u, STR("cache_read_tokens"), 0) +
                 val_get_int(u, STR("cache_write_tokens"), 0);
    snprintf(out, size, "%s in, %s out%s%s", human_count(in).z, human_count(val_get_int(u, STR("output_tokens"), 0)).z,
             val_is_number(cost) ? ", " : "", val_is_number(cost) ? human_cost(val_to_double(cost, 0)).z : "");
    return str_c(out);
}
