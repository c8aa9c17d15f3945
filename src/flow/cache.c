/* The key is what the author says the result depends on, or, of a step that asks a model and says none, all that the
 * model would be asked. With it go the step's name and type, the workflow's name and, unless `scope: workflow`, the
 * workspace, since a result is of no use elsewhere. The hash of all that is the entry's name.
 *
 * What was decided is recorded before anything follows from it: variables that the key or the conditions read may have
 * other values when the run is resumed. The search is an effect, so its answer is in the journal too. Keeping a result
 * is worth nothing to the step itself; where that fails, the step has ended well all the same. */
#include "flow/cache.h"

#include "base/sha256.h"
#include "data/json.h"
#include "flow/run_int.h"
#include "flow/units.h"

enum { TAG_FIND = CACHE_TAG, TAG_KEEP };

static const int64_t TTL_DEFAULT_MS = 3600 * 1000;

/* ---- the decision ---- */

static bool conditions(struct frame *f, const struct cache_def *d, bool *ret)
{
    *ret = true;
    for (size_t i = 0; i < d->nconditions && *ret; i++)
        if (!frame_cond(f, d->conditions[i], ret))
            return false;
    return true;
}

static bool read_ttl(struct frame *f, const struct val *values, int64_t *ret)
{
    const struct cache_def *d = f->def->cache;
    if (!frame_duration(f, values, "ttl", d->ttl_ms ? d->ttl_ms : TTL_DEFAULT_MS, ret))
        return false;
    if (*ret > 0)
        return true;
    step_failf(f, RC_INVALID, "`cache.ttl` leaves no time; expected more than 0");
    return false;
}

/* `key`: any value. */
static struct str entry_of(struct frame *f, const struct val *key)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "workflow", val_str(frame_workflow(f)));
    VAL_MAP_SET(&m, "step", val_str(f->def->name));
    VAL_MAP_SET(&m, "type", val_str(str_c(f->def->type->name)));
    if (f->def->cache->by_workspace)
        VAL_MAP_SET(&m, "workspace", val_str(frame_workspace_path(f, a)));
    VAL_MAP_SET(&m, "key", *key);
    struct val v = val_map_done(&m);
    struct sha256 h = sha256_of(json_canonical(a, &v));
    struct sha256_hex x = sha256_hex(&h);
    return arena_str(a, str_c(x.z));
}

static bool record(struct frame *f, const struct cache_use *c)
{
    struct val_map m = val_map_new(&f->run->scratch);
    if (c->entry.n) {
        VAL_MAP_SET(&m, "entry", val_str(c->entry));
        VAL_MAP_SET(&m, "ttl_ms", val_int(c->ttl_ms));
    }
    struct val v = val_map_done(&m);
    return frame_record(f, "cache:key", &v);
}

static bool recall(struct frame *f, struct cache_use *c)
{
    const struct val *v = frame_recorded(f, "cache:key");
    if (!v)
        return false;
    c->entry = arena_str(&f->arena, val_get_str(v, STR("entry"), STR("")));
    c->ttl_ms = val_get_int(v, STR("ttl_ms"), TTL_DEFAULT_MS);
    return true;
}

static void request_head(struct frame *f, const struct cache_use *c, const char *op, struct val_map *m)
{
    VAL_MAP_SET(m, "op", val_str(str_c(op)));
    VAL_MAP_SET(m, "workflow", val_str(frame_workflow(f)));
    VAL_MAP_SET(m, "entry", val_str(c->entry));
    VAL_MAP_SET(m, "ttl_ms", val_int(c->ttl_ms));
}

static void search(struct frame *f, struct cache_use *c)
{
    struct val_map m = val_map_new(&f->arena);
    struct val *request = ARENA_NEW(&f->arena, struct val);
    request_head(f, c, "find", &m);
    *request = val_map_done(&m);
    frame_effect(f, "cache:find", TAG_FIND,
                 &(struct effect_plan){.kind = EFFECT_CACHE,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = "look in the cache"});
}

static void look(struct frame *f, struct cache_use *c)
{
    const struct past *p = past_below(f, "cache:find");
    if (!c->entry.n)
        c->go_on(f);
    else if (flight_join(f, p && (p->intent || p->result)))
        search(f, c);
}

void cache_turn(struct frame *f)
{
    search(f, frame_cache_use(f));
}

void cache_begin(struct frame *f, void (*go_on)(struct frame *f))
{
    struct cache_use *c = frame_cache_use(f);
    const struct cache_def *d = f->def->cache;
    struct arena *a = &f->run->scratch;
    *c = (struct cache_use){.go_on = go_on};
    if (recall(f, c)) {
        look(f, c);
        return;
    }
    struct expr_scope scope = frame_scope(f, false);
    struct val values = val_empty_object;
    struct err err;
    bool wanted;
    if (!conditions(f, d, &wanted))
        return;
    if (d->values && tmpl_tree_eval(d->values, &scope, a, &values, &err) != RC_OK) {
        frame_fail(f, &err);
        return;
    }
    if (!read_ttl(f, &values, &c->ttl_ms))
        return;
    const struct val *key = VAL_GET(&values, "key");
    c->asks = wanted && !d->has_key;
    if (wanted && d->has_key)
        c->entry = entry_of(f, key ? key : &val_null);
    if (c->asks)
        go_on(f); /* the type comes back with what it asks */
    else if (record(f, c))
        look(f, c);
}

void frame_cache(struct frame *f, const struct val *asked, void (*go_on)(struct frame *f))
{
    struct cache_use *c = frame_cache_use(f);
    if (!f->def->cache || !c->asks) {
        go_on(f);
        return;
    }
    c->asks = false;
    c->go_on = go_on;
    if (asked)
        c->entry = entry_of(f, asked);
    if (record(f, c))
        look(f, c);
}

/* ---- what was found ---- */

static struct val no_usage(struct arena *a, const struct val *usage)
{
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < usage->obj.n; i++)
        val_map_set(&m, usage->obj.m[i].key, val_int(0));
    return val_map_done(&m);
}

/* The result says that it is an old one, and that it has cost nothing this time. */
static struct val as_hit(struct arena *a, const struct val *result)
{
    const struct val *usage = VAL_GET(result, "usage");
    if (result->type != VAL_OBJECT)
        return *result;
    struct val_map m = val_map_new(a);
    val_map_merge(&m, result);
    if (val_is(usage, VAL_OBJECT))
        VAL_MAP_SET(&m, "usage", no_usage(a, usage));
    if (VAL_GET(result, "cost_usd"))
        VAL_MAP_SET(&m, "cost_usd", val_double(0));
    VAL_MAP_SET(&m, "cached", val_true);
    return val_map_done(&m);
}

void cache_found(struct frame *f, struct frame *child)
{
    struct cache_use *c = frame_cache_use(f);
    struct failure why = child_ok(child) ? (struct failure){0} : child_failure(child);
    const struct val *result = child_ok(child) ? VAL_GET(child_result(child), "result") : NULL;
    if (why.rc == RC_CANCELLED || why.rc == RC_INTERRUPTED) {
        step_fail(f, &why);
    } else if (why.rc) {
        frame_event(f, EVENT_NOTE, arena_printf(&f->arena, "the cache is not used: %.*s", STR_ARG(why.message)).p,
                    NULL);
        flight_leave(f);
        c->entry = STR("");
        c->go_on(f);
    } else if (!result) {
        c->go_on(f);
    } else {
        struct val v = as_hit(&f->arena, result);
        c->hit = c->kept = true;
        step_ok(f, &v);
    }
}

/* ---- keeping ---- */

/* An answer that was made up, or is itself an old one, is no result to be kept. */
static bool worth_keeping(const struct val *result)
{
    static const char *const marks[] = {"degraded", "skipped", "cached_response", "cached"};
    if (result->type != VAL_OBJECT)
        return true;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (val_get_bool(result, str_c(marks[i]), false))
            return false;
    return val_get_bool(result, STR("success"), true);
}

/* Of the workflow, by its own word, or else by that of whoever carries the run on; 0: nobody says. */
static int64_t most_kept(const struct frame *f)
{
    enum { MB = 1 << 20, MB_MAX = 1 << 20 };
    int64_t said = f->instance->workflow->cache.max_bytes;
    double mb = said ? 0 : run_bound(f->run, "PIPELINE_CACHE_SIZE");
    return mb > 0 && mb <= MB_MAX ? (int64_t)(mb * MB) : said;
}

void cache_take(struct frame *f, const struct val *result)
{
    struct cache_use *c = frame_cache_use(f);
    c->request = NULL;
    if (!cache_keeps(c) || f->leave || !worth_keeping(result))
        return;
    struct val_map m = val_map_new(&f->arena);
    request_head(f, c, "keep", &m);
    VAL_MAP_SET(&m, "step", val_str(f->path));
    VAL_MAP_SET(&m, "run", val_str(frame_run(f)));
    if (most_kept(f))
        VAL_MAP_SET(&m, "max_bytes", val_int(most_kept(f)));
    VAL_MAP_SET(&m, "result", val_copy(&f->arena, result));
    struct val *request = ARENA_NEW(&f->arena, struct val);
    *request = val_map_done(&m);
    c->request = request;
}

void cache_keep(struct frame *f)
{
    frame_effect(f, "cache:keep", TAG_KEEP,
                 &(struct effect_plan){.kind = EFFECT_CACHE,
                                       .request = frame_cache_use(f)->request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = "keep the result"});
}

bool cache_kept(struct frame *f, struct frame *child)
{
    if (child_ok(child)) {
        frame_cache_use(f)->kept = true;
        return true;
    }
    struct failure why = child_failure(child);
    if (why.rc == RC_CANCELLED || why.rc == RC_INTERRUPTED) {
        step_fail(f, &why);
        return false;
    }
    frame_event(f, EVENT_NOTE, arena_printf(&f->arena, "the result is not kept: %.*s", STR_ARG(why.message)).p, NULL);
    return true;
}
