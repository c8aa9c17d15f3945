/* What is worth a line: on a terminal the steps of the workflow and what failed, the rest is drawn while it is active;
 * elsewhere also every call and retry, for a log is all there is. The journal has everything.
 *
 * Steps below others that did nothing outside (a variable set in every iteration) get no line, and a loop gets a
 * limited number of them. Everything that others wrote is cleaned first (human.h). */
#include "cli/view.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/panic.h"
#include "cli/human.h"
#include "cli/view_live.h"
#include "flow/wait.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOLD_MAX = 30, NAME_COLUMNS = 28, KEPT_SIZE = 1 << 16 };

struct view {
    struct view_options o;
    struct view_tree tree;
    struct view_live *live; /* NULL: plain lines */
    int64_t started_ms;
    bool told_held;          /* a plain line has said why the run waits */
    struct buf prompt, kept; /* plain lines: what is asked at the moment, and what is said once it is answered */
};

struct view *view_new(const struct view_options *o)
{
    struct view *v = calloc(1, sizeof *v);
    if (!v)
        PANIC("out of memory");
    v->o = *o;
    v->started_ms = clock_mono_ms();
    view_tree_init(&v->tree);
    buf_init(&v->prompt, KEPT_SIZE);
    buf_init(&v->kept, KEPT_SIZE);
    view_say(v, false, "run %.*s: workflow %.*s", STR_ARG(o->run_id), STR_ARG(o->workflow));
    if (!o->quiet)
        v->live = view_live_new(o, &v->tree, v->started_ms);
    return v;
}

static void put_out_kept(struct view *v)
{
    fwrite(v->kept.n ? v->kept.p : "", 1, v->kept.n, stderr);
    buf_clear(&v->kept);
}

/* Nothing comes between a question and what is typed, unless there is too much of it to keep. */
static void plain_line(struct view *v, struct str text)
{
    if (!v->prompt.n) {
        fprintf(stderr, "%.*s\n", STR_ARG(text));
        return;
    }
    if (v->kept.n + text.n + 1 > KEPT_SIZE) {
        fputc('\n', stderr);
        put_out_kept(v);
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&v->prompt)));
    }
    buf_add(&v->kept, text.n < KEPT_SIZE ? text : str_n(text.p, KEPT_SIZE - 1));
    buf_addc(&v->kept, '\n');
}

static void line(struct view *v, struct str text)
{
    if (v->live)
        view_live_line(v->live, text);
    else
        plain_line(v, text);
}

void view_say(struct view *v, bool always, const char *fmt, ...)
{
    if (v->o.quiet && !always)
        return;
    char msg[2048];
    struct arena a = {0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    line(v, human_line(&a, str_c(msg), 0));
    arena_done(&a);
}

void view_lines(struct view *v, struct str clean)
{
    while (clean.n) {
        size_t n = str_find(clean, STR("\n"));
        line(v, str_n(clean.p, n < clean.n ? n : clean.n));
        clean = str_from(clean, n < clean.n ? n + 1 : clean.n);
    }
}

void view_prompt(struct view *v, struct str prompt)
{
    if (v->live) {
        view_live_prompt(v->live, prompt);
        return;
    }
    buf_clear(&v->prompt);
    if (str_is(prompt, "\n")) { /* behind the question */
        fputc('\n', stderr);
        prompt.n = 0;
    }
    put_out_kept(v);
    fprintf(stderr, "%.*s", STR_ARG(prompt));
    buf_add(&v->prompt, prompt);
}

/* A note about an error says which. */
static struct str note_text(struct arena *a, const struct event *e)
{
    struct str why = val_get_str(e->data, STR("message"), STR(""));
    return e->kind == EVENT_NOTE && why.n ? arena_printf(a, "%.*s: %.*s", STR_ARG(e->detail), STR_ARG(why)) : e->detail;
}

/* ---- plain lines ---- */

static void plain_event(struct view *v, const struct event *e, const struct view_fact *f)
{
    static const char *const words[] = {[EVENT_STARTED] = "start", [EVENT_FINISHED] = "done", [EVENT_FAILED] = "FAILED",
                                        [EVENT_SKIPPED] = "skip",  [EVENT_RETRY] = "retry",   [EVENT_CALL] = "call",
                                        [EVENT_HELD] = "HELD",     [EVENT_NOTE] = "note",     [EVENT_WAIT] = "wait"};
    bool quiet = e->kind == EVENT_STARTED || (e->kind == EVENT_NOTE && !e->detail.n) ||
                 (!f->top && (e->kind == EVENT_SKIPPED || (e->kind == EVENT_FINISHED && f->step && !f->step->calls)));
    if (quiet)
        return;
    char usage[96] = "", took[48] = "";
    if (f->took_ms >= 0)
        snprintf(took, sizeof took, "%s", human_duration(f->took_ms).z);
    struct str used = view_usage(e->kind == EVENT_FINISHED ? e->data : NULL, usage, sizeof usage);
    struct arena a = {0};
    struct str parts[] = {e->path, str_c(took), used, note_text(&a, e)};
    struct str text =
        arena_printf(&a, "%7.2fs  %-6s", (double)(clock_mono_ms() - v->started_ms) / 1000, words[e->kind]);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].n)
            text = arena_printf(&a, "%.*s%s%.*s", STR_ARG(text), i ? "  " : " ", STR_ARG(parts[i]));
    line(v, human_line(&a, text, 0));
    arena_done(&a);
    v->told_held |= e->kind == EVENT_HELD;
}

/* ---- lines above the drawing ---- */

static void live_line(struct view *v, enum view_color color, const char *mark, struct str name, struct str rest)
{
    struct arena a = {0};
    size_t columns = view_live_columns(v->live);
    name = human_line(&a, name, columns > 60 ? columns - 30 : columns - 2);
    size_t w = human_columns(name), most = columns < 2 * NAME_COLUMNS ? columns / 2 : NAME_COLUMNS;
    size_t pad = w < most && rest.n ? most - w : 0;
    rest = human_line(&a, rest, columns > w + pad + 6 ? columns - w - pad - 4 : 1);
    line(v, arena_printf(&a, "%s%s%s %.*s%*s%s%.*s", view_live_color(v->live, color), mark,
                         view_live_color(v->live, COLOR_NONE), STR_ARG(name), (int)pad, "", rest.n ? "  " : "",
                         STR_ARG(rest)));
    arena_done(&a);
}

/* Whether one more line may be said about what is below the step of the workflow that `s` belongs to. Of iterations
 * that run side by side the drawing tells enough, unless they fail. */
static bool may_tell(struct view_step *s, bool failed)
{
    if (!failed && s && s->parent && s->parent->next_index && s->parent->peak > 1)
        return false;
    while (s && s->parent && s->parent->parent)
        s = s->parent;
    return s && s->told++ < TOLD_MAX;
}

static void live_event(struct view *v, const struct event *e, const struct view_fact *f)
{
    struct arena a = {0};
    char usage[96];
    struct str took = f->took_ms >= 0 ? arena_str(&a, str_c(human_duration(f->took_ms).z)) : str_n("", 0), rest;
    switch (e->kind) {
    case EVENT_FINISHED:
        if (!f->top && !(f->step && f->step->calls && may_tell(f->step, false)))
            break;
        rest = view_usage(e->data, usage, sizeof usage);
        rest = arena_printf(&a, "%7.*s%s%.*s%s%.*s", STR_ARG(took), rest.n ? "  " : "", STR_ARG(rest),
                            e->detail.n ? "  " : "", STR_ARG(e->detail));
        live_line(v, e->detail.n ? COLOR_WARN : COLOR_GOOD, e->detail.n ? "!" : "✓", e->path, rest);
        break;
    case EVENT_FAILED:
        if (f->top || may_tell(f->step, true))
            live_line(v, COLOR_BAD, "✗", e->path, arena_printf(&a, "%7.*s  %.*s", STR_ARG(took), STR_ARG(e->detail)));
        break;
    case EVENT_SKIPPED:
        if (f->top)
            live_line(v, COLOR_DIM, "-", e->path, arena_printf(&a, " skipped  %.*s", STR_ARG(e->detail)));
        break;
    case EVENT_WAIT:
        if (f->top || may_tell(f->step, true))
            live_line(v, COLOR_WARN, "?", e->path, e->detail);
        break;
    case EVENT_HELD:
        live_line(v, COLOR_WARN, "?", e->path, e->detail);
        break;
    case EVENT_NOTE:
        if (e->detail.n && (f->top || may_tell(f->step, true))) {
            rest = val_get_str(e->data, STR("message"), e->detail); /* the line of its end says that it goes on */
            live_line(v, COLOR_WARN, "!", e->path, rest);
        }
        break;
    default:
        break;
    }
    view_live_dirty(v->live);
    arena_done(&a);
}

void view_event(struct view *v, const struct event *e)
{
    if (v->o.quiet)
        return;
    struct view_fact f = view_tree_event(&v->tree, e, clock_mono_ms());
    if (v->live)
        live_event(v, e, &f);
    else
        plain_event(v, e, &f);
}

/* ---- the end ---- */

static void say_totals(struct view *v, enum run_status status)
{
    struct run_totals t = run_totals(v->o.run);
    char used[400] = "";
    if (t.calls)
        snprintf(used, sizeof used, "; %lld model call%s, %s tokens in, %s out, %s%s", (long long)t.calls,
                 t.calls == 1 ? "" : "s", human_count(t.input_tokens + t.cache_read_tokens + t.cache_write_tokens).z,
                 human_count(t.output_tokens).z, human_spent(t.cost_usd, t.cost_unknown).z,
                 v->o.unpaid ? " (no model was asked: nothing is paid)" : "");
    view_say(v, false, "run %.*s %s after %s%s", STR_ARG(v->o.run_id), run_status_name(status),
             human_duration(clock_mono_ms() - v->started_ms).z, used);
}

struct waits_told {
    struct view *v;
    size_t n;
};

static void say_wait(void *ctx, const struct run_wait *w)
{
    enum { TOLD = 5 };
    struct waits_told *t = ctx;
    struct arena a = {0};
    struct str id = t->v->o.run_id, step = human_line(&a, w->step, 0), what = wait_text(w->wait, &a);
    if (t->n++ < TOLD && str_is(val_get_str(w->wait, STR("for"), STR("")), "approval"))
        view_say(t->v, true, "waiting at %.*s for an answer: %.*s; treadle approve %.*s %.*s%s", STR_ARG(step),
                 STR_ARG(human_line(&a, what, 200)), STR_ARG(id), STR_ARG(step), wait_choice_option(w->wait));
    else if (t->n <= TOLD)
        view_say(t->v, true, "waiting at %.*s for %.*s; treadle signal %.*s %.*s [JSON]", STR_ARG(step),
                 STR_ARG(human_line(&a, what, 200)), STR_ARG(id),
                 STR_ARG(human_line(&a, val_get_str(w->wait, STR("signal"), STR("")), 0)));
    arena_done(&a);
}

/* What is waited for, and the command that answers; how much there is. */
static size_t say_waits(struct view *v)
{
    struct waits_told t = {.v = v};
    run_each_wait(v->o.run, say_wait, &t);
    if (t.n > 5)
        view_say(v, true, "and %zu more", t.n - 5);
    return t.n;
}

void view_end(struct view *v, enum run_status status, const struct val *error)
{
    view_live_free(v->live);
    v->live = NULL;
    if (v->prompt.n)
        view_prompt(v, STR("\n"));
    say_totals(v, status);
    struct str id = v->o.run_id, at = val_get_str(error, STR("step"), STR("")),
               why = val_get_str(error, STR("message"), STR(""));
    size_t asked = 0;
    if (status == RUN_WAITING)
        asked = say_waits(v);
    if (asked && !run_totals(v->o.run).held)
        view_say(v, true, "then: treadle resume %.*s", STR_ARG(id));
    else if (error && status == RUN_WAITING && v->told_held && at.n)
        view_say(v, true, "waiting at %.*s", STR_ARG(at));
    else if (error)
        view_say(v, true, "%s%s%.*s: %.*s", status == RUN_WAITING ? "waiting" : "error", at.n ? " at " : "",
                 STR_ARG(at), STR_ARG(why));
    if (status == RUN_FAILED || status == RUN_INTERRUPTED)
        view_say(v, false, "treadle show %.*s tells more; treadle resume %.*s goes on", STR_ARG(id), STR_ARG(id));
    else if (status == RUN_WAITING)
        view_say(v, false, "treadle show %.*s tells what to do", STR_ARG(id));
    view_tree_done(&v->tree);
    buf_done(&v->prompt);
    buf_done(&v->kept);
    free(v);
}
