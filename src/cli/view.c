/* One line for each step that starts, ends, is tried again or held; the journal has the rest. */
#include "cli/view.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct view {
    struct view_options o;
    int64_t started_ms;
};

struct view *view_new(const struct view_options *o)
{
    struct view *v = calloc(1, sizeof *v);
    if (!v)
        PANIC("out of memory");
    v->o = *o;
    v->started_ms = clock_mono_ms();
    view_say(v, false, "run %.*s: workflow %.*s", STR_ARG(o->run_id), STR_ARG(o->workflow));
    return v;
}

void view_say(struct view *v, bool always, const char *fmt, ...)
{
    if (v->o.quiet && !always)
        return;
    char msg[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    for (char *c = msg; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    fprintf(stderr, "%s\n", msg);
}

void view_event(struct view *v, const struct event *e)
{
    static const char *const words[] = {
        [EVENT_STARTED] = "start", [EVENT_FINISHED] = "done", [EVENT_FAILED] = "FAILED", [EVENT_SKIPPED] = "skip",
        [EVENT_RETRY] = "retry",   [EVENT_CALL] = "call",     [EVENT_HELD] = "HELD",     [EVENT_NOTE] = "note"};
    if (v->o.quiet)
        return;
    double t = (double)(clock_mono_ms() - v->started_ms) / 1000;
    view_say(v, false, "%7.2fs  %-6s %.*s%s%.*s", t, words[e->kind], STR_ARG(e->path), e->detail.n ? "  " : "",
             STR_ARG(e->detail));
}

void view_end(struct view *v, enum run_status status, const struct val *error)
{
    struct run_totals t = run_totals(v->o.run);
    double s = (double)(clock_mono_ms() - v->started_ms) / 1000;
    view_say(v, false, "run %.*s %s after %.2f s; %lld model calls, %lld tokens in, %lld out, $%.4f%s",
             STR_ARG(v->o.run_id), run_status_name(status), s, (long long)t.calls,
             (long long)(t.input_tokens + t.cache_read_tokens + t.cache_write_tokens), (long long)t.output_tokens,
             t.cost_usd, t.cost_unknown ? " and calls without a known price" : "");
    struct str id = v->o.run_id, at = val_get_str(error, STR("step"), STR("")),
               why = val_get_str(error, STR("message"), STR(""));
    if (error)
        view_say(v, true, "%s%s%.*s: %.*s", status == RUN_WAITING ? "waiting" : "error", at.n ? " at " : "",
                 STR_ARG(at), STR_ARG(why));
    if (status == RUN_FAILED || status == RUN_INTERRUPTED)
        view_say(v, false, "treadle show %.*s tells more; treadle resume %.*s goes on", STR_ARG(id), STR_ARG(id));
    free(v);
}
