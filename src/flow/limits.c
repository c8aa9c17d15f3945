/* What a run may use up, in all of its lives: memory, frames, time, journal, output.
 *
 * Each is a number that the run keeps anyway, or that the fold of its journal gives back, so that a resumed run goes on
 * counting where the last one was. They are compared after each turn of a frame and each outcome of an effect, wherever
 * in a step that was; memory before a frame is entered or goes on, since within a turn a value stands there twice. What
 * is over ends the whole run, for no step can go on then. What crosses a limit is
 * still recorded: a reply that was paid for is not thrown away for its size. So a run goes over by what was in flight.
 *
 * Output is the exception: a command can print without end before anything of it comes back. It is told how much is
 * left when it starts, and whoever carries it out stops it there.
 *
 * `wall` counts the time in which the run is carried on. What passes between two lives does not count, nor while
 * nothing but an answer from outside can move it: a run in a service has left memory then, and one before a terminal
 * must not be worse off. Nor does it while all that it could do is to write where other runs have the turn: how many
 * of them there are, and how slow, is none of its doing.
 *
 * INVARIANT: memory is that of the values, by accounts of arenas; what is asked of the system is more, by a factor. */
#include "flow/limits.h"

#include "base/fault.h"
#include "flow/run_int.h"
#include "flow/units.h"

/* The members of struct run_limits that an operator may set too. */
static const struct limit {
    const char *name;
    size_t at;
    enum { COUNT, BYTES, TIME } unit;
    const char *does, *what; /* "the run DOES NUMBER WHAT" */
} all[] = {
    {"memory", offsetof(struct run_limits, memory), BYTES, "takes more than", " of memory for its values"},
    {"frames", offsetof(struct run_limits, frames), COUNT, "has more than", " frames"},
    {"journal", offsetof(struct run_limits, journal), BYTES, "has written more than", " of journal"},
    {"output", offsetof(struct run_limits, output), BYTES, "has made more than", " of output"},
    {"wall", offsetof(struct run_limits, wall_ms), TIME, "took longer than", ""},
};
enum { NLIMITS = sizeof all / sizeof *all };

static int64_t *value(struct run_limits *l, size_t i)
{
    return limits_at(l, all[i].at);
}

/* ---- as text ---- */

static enum rc read_value(size_t i, struct str text, int64_t *ret, struct err *err)
{
    const struct val v = val_str(text);
    int64_t n = 0;
    enum rc rc = RC_OK;
    if (str_to_i64(text, &n) && all[i].unit != TIME)
        *ret = n;
    else if (all[i].unit == BYTES)
        rc = units_size(&v, ret, err);
    else if (all[i].unit == TIME)
        rc = str_to_i64(text, &n) ? units_duration(&(struct val){.type = VAL_INT, .i = n}, ret, err)
                                  : units_duration(&v, ret, err);
    else
        rc = err_set(err, RC_USAGE, "`%.*s` is no number", STR_ARG(text));
    if (rc == RC_OK && *ret <= 0)
        rc = err_set(err, RC_USAGE, "expected more than nothing");
    return rc;
}

enum rc limits_parse(struct run_limits *l, struct str text, struct err *err)
{
    size_t eq = str_find(text, STR("="));
    for (size_t i = 0; eq != SIZE_MAX && i < NLIMITS; i++) {
        if (!str_is(str_n(text.p, eq), all[i].name))
            continue;
        struct str v = str_from(text, eq + 1);
        if (str_is(v, "none"))
            *value(l, i) = 0;
        else if (read_value(i, v, value(l, i), err) != RC_OK)
            break;
        return RC_OK;
    }
    return err_set(err, RC_USAGE,
                   "limit `%.*s`: expected memory=SIZE, journal=SIZE, output=SIZE, frames=NUMBER or wall=DURATION, as "
                   "in memory=512MB; or NAME=none",
                   (int)(text.n < 60 ? text.n : 60), text.p);
}

struct str limits_text(const struct run_limits *l, struct arena *a)
{
    struct str s = STR("");
    for (size_t i = 0; i < NLIMITS; i++) {
        long long n = *value((struct run_limits *)l, i);
        if (n)
            s = arena_printf(a, "%.*s%s%s=%lld%s", STR_ARG(s), s.n ? " " : "", all[i].name, n,
                             all[i].unit == TIME ? "ms" : "");
    }
    return s;
}

enum rc limits_parse_all(struct run_limits *l, struct str text, struct err *err)
{
    enum rc rc = RC_OK;
    while (rc == RC_OK && text.n) {
        size_t end = str_find(text, STR(" "));
        rc = limits_parse(l, end == SIZE_MAX ? text : str_n(text.p, end), err);
        text = end == SIZE_MAX ? STR("") : str_from(text, end + 1);
    }
    return rc;
}

/* As people write it. */
static struct str shown(size_t i, int64_t n, struct arena *a)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } sizes[] = {{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}};
    if (all[i].unit == TIME)
        return arena_printf(a, "%g s", (double)n / 1000);
    for (size_t k = 0; all[i].unit == BYTES && k < 3; k++)
        if (n % sizes[k].bytes == 0)
            return arena_printf(a, "%lld %s", (long long)(n / sizes[k].bytes), sizes[k].name);
    return arena_printf(a, all[i].unit == BYTES ? "%lld bytes" : "%lld", (long long)n);
}

/* ---- while it is carried on ---- */

static void over(struct run *r, const char *name)
{
    size_t i = 0;
    while (strcmp(all[i].name, name) != 0)
        i++;
    struct arena *a = &r->scratch;
    int64_t own = *value(&r->own_limits, i), given = *value(&r->given_limits, i);
    struct str may = shown(i, *value(&r->limits, i), a);
    bool theirs = given && (!own || given < own);
    const char *variable = run_bounded_by(r, all[i].at);
    struct str remedy = theirs ? arena_printf(a, "the service's limit; `treadle serve --limit %s=…` sets another", name)
                        : variable ? arena_printf(a, "%s; set it higher", variable)
                                   : arena_printf(a, "limits.%s of the workflow; raise it there", name);
    r->over = true;
    run_over_limit(
        r, name, arena_printf(a, "the run %s %.*s%s (%.*s)", all[i].does, STR_ARG(may), all[i].what, STR_ARG(remedy)));
}

void limits_take(struct run *r)
{
    r->own_limits = r->limits;
    for (size_t i = 0; i < NLIMITS; i++) {
        int64_t *own = value(&r->limits, i), given = *value(&r->given_limits, i);
        if (given && (!*own || given < *own))
            *own = given;
    }
    r->own.max_memory = r->limits.memory;
}

void limits_hold(struct run *r)
{
    const struct run_limits *l = &r->limits;
    if (r->over || r->cancelling || r->stopping || fault_hit("limits.unheld")) /* a seeded bug */
        return;
    if (l->frames && r->totals.frames > l->frames)
        over(r, "frames");
    else if (l->journal && r->journal_bytes > l->journal)
        over(r, "journal");
    else if (l->output && r->output_bytes > l->output)
        over(r, "output");
}

void limits_memory(struct run *r)
{
    if (!r->over)
        over(r, "memory");
}

int64_t limits_output_left(const struct run *r)
{
    int64_t left = r->limits.output - r->output_bytes;
    return !r->limits.output ? INT64_MAX : left > 0 ? left : 0;
}

/* ---- time ---- */

static void wait_for(struct run *r, int64_t ms)
{
    r->wall_timer = ++r->next_id;
    r->io->timer(r->io_ctx, r->wall_timer, ms > 0 ? ms : 0);
}

/* Of what may be used, what is left. */
static int64_t wall_left(const struct run *r)
{
    int64_t now = run_now(r), rested = r->rested_ms + (r->resting_since ? now - r->resting_since : 0);
    return r->limits.wall_ms - r->worked_ms - (now - r->began_ms - rested);
}

void limits_begin(struct run *r)
{
    r->began_ms = run_now(r);
    if (r->limits.wall_ms)
        wait_for(r, wall_left(r));
}

void limits_wall(struct run *r)
{
    r->wall_timer = 0;
    int64_t left = wall_left(r);
    if (left <= 0 && !r->over)
        over(r, "wall");
    else if (!r->over)
        wait_for(r, left);
}

void limits_rest(struct run *r, bool rests)
{
    int64_t now = rests != (r->resting_since != 0) ? run_now(r) : 0;
    if (now && rests) {
        r->resting_since = now;
        r->wall_timer = 0; /* what it was set to is over too early */
    } else if (now) {
        r->rested_ms += now - r->resting_since;
        r->resting_since = 0;
        if (r->limits.wall_ms && !r->over)
            wait_for(r, wall_left(r));
    }
}
