/* The advice is one table by error class. A class without a row gets general advice, which is never wrong, only less
 * helpful. */
#include "cli/explain.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/human.h"
#include "flow/wait.h"

#include <string.h>

enum { HELD_SHOWN = 5, TEXT_MAX = 64 << 10 };

static const char *const advice[RC_COUNT] = {
    [RC_AUTH] = "Check the provider's key: `treadle doctor` tells which keys are set.",
    [RC_BILLING] = "The provider wants money: mend the account, then resume.",
    [RC_BUDGET] = "Raise `budget` in the workflow and resume with --workflow FILE.",
    [RC_RATE_LIMIT] =
        "The provider's rate limit held longer than the retries: resume later, or give the step a longer `retry`.",
    [RC_OVERLOADED] = "The provider was overloaded for longer than the retries: resume later.",
    [RC_NETWORK] =
        "The network failed for longer than the retries: check the connection (and *_BASE_URL), then resume.",
    [RC_SERVER] = "The provider failed for longer than the retries: resume later.",
    [RC_TIMEOUT] = "It took longer than its `timeout`: raise it and resume with --workflow FILE, or just resume.",
    [RC_CONTEXT] = "The prompt does not fit the model: shorten it, or choose a model with a larger context.",
    [RC_REFUSED] = "The model refused: change the prompt, then resume with --workflow FILE.",
    [RC_BAD_REPLY] = "The provider answered something that could not be understood: resume to ask again.",
    [RC_INVALID_REQUEST] = "The provider refused the request as such: check the model's name and the step's options.",
    [RC_SCHEMA] = "The answer does not fit `output_schema`: make one of them clearer and resume with --workflow FILE.",
    [RC_EXPRESSION] = "An expression or template is wrong: mend the workflow and resume with --workflow FILE.",
    [RC_INVALID] = "Something in the step's configuration is wrong: mend the workflow and resume with --workflow FILE.",
    [RC_COMMAND] = "The command failed: mend what it complains about (it runs in the workspace), then resume.",
    [RC_TOOL] = "A tool failed: look at the message, mend the workspace, then resume.",
    [RC_STEP] = "Mend what made the step fail, then resume.",
    [RC_LIMIT] = "A limit was reached: raise it in the workflow and resume with --workflow FILE.",
    [RC_NOT_FOUND] = "Something that the step needs is not there: put it there, then resume.",
    [RC_IO] = "A file could not be read or written: mend that, then resume.",
    [RC_EXISTS] = "Something is there already: remove it, then resume.",
    [RC_DISK_FULL] = "Make room on the disk, then resume.",
    [RC_WAITING] = "Answer it, then resume.",
    [RC_INTERRUPTED] = "It ran when Treadle stopped: look what it has done, then resume with --force to do it again.",
    [RC_CANCELLED] = "It was cancelled; resume goes on with it all the same.",
    [RC_REPLAY] = "The run differs from its recording: record it again, or resume with --live.",
    [RC_BUSY] = "Another process uses it: wait for that, then resume.",
    [RC_CORRUPT] = "The journal is damaged: restore a backup (treadle backup).",
    [RC_VERSION] = "The journal was written by a newer Treadle: use that one.",
    [RC_COMMIT_UNKNOWN] = "Check the disk, then resume: nothing that was reported is lost.",
    [RC_USAGE] = "Something was given wrongly: see the message.",
    [RC_INTERNAL] = "This is a fault of Treadle: please report it with the output of `treadle logs --json`.",
};

static const char *advice_for(struct str class)
{
    enum rc rc = rc_from_name(class);
    return rc < RC_COUNT && advice[rc] ? advice[rc] : "Look at the message, mend what it names, then resume.";
}

static void do_this(struct buf *b, const struct seen_run *r, const char *flag, const char *why)
{
    struct buf left;
    if (r->home.of_service && *flag && strcmp(flag, "--force") != 0) {
        buf_addz(b,
                 "  (a run of the service keeps what it began with: a corrected workflow is started as a new run)\n");
        return;
    }
    buf_init(&left, 256);
    buf_printf(&left, "treadle resume %s%s%s", r->home.id, *flag ? " " : "", flag);
    buf_printf(b, "  %-*.*s  %s\n", (int)(strlen(r->home.id) + 31), STR_ARG(buf_str(&left)), why);
    buf_done(&left);
}

static void message(struct buf *b, struct arena *a, struct str text)
{
    if (text.n > TEXT_MAX / 8)
        text.n = str_utf8_valid(str_n(text.p, TEXT_MAX / 8));
    buf_add(b, human_lines(a, text, 4));
    buf_addc(b, '\n');
}

/* The error of a run, brought down to what says most. */
struct reason {
    enum rc rc;
    struct str class, code, step, text;
    const char *what, *advice; /* NULL: as the class has it */
    const char *flag, *does;   /* of a second way to go on */
    uint32_t attempts;
};

static void find_reason(struct reason *e, const struct seen_run *r, const struct digest *d)
{
    *e = (struct reason){.class = val_get_str(d->error, STR("class"), STR("internal")),
                         .code = val_get_str(d->error, STR("code"), STR("")),
                         .step = val_get_str(d->error, STR("step"), STR("")),
                         .text = val_get_str(d->error, STR("message"), r->row.error),
                         .flag = "--workflow FILE",
                         .does = "goes on under a corrected workflow"};
    const struct digest_node *top = e->step.n ? map_get(&d->nodes, e->step) : NULL;
    const struct digest_node *n = top ? digest_find(top, NODE_FAILED) : NULL;
    if (n && n != top) { /* the loop says "iteration 3: …"; what failed in it is more to the point */
        e->step = n->path;
        e->class = n->error_class.n ? n->error_class : e->class;
        e->code = n->error_code;
        e->text = n->message.n ? n->message : e->text;
    }
    e->attempts = n ? n->attempts : 0;
    e->rc = rc_from_name(e->class);
    if (!e->step.n && str_is(e->code, "output")) {
        e->what = "the workflow's `output` has an error; all steps are done";
        e->advice = "Mend `output` and resume with --workflow FILE: no step is done again.";
    } else if (str_is(d->mode, "mock") && str_find(e->text, STR("no fixture matches ")) != SIZE_MAX) {
        e->what = "the fixtures have no answer for a call";
        e->advice = "Add a fixture that fits (or change `default: fail`), then resume with --mock FILE.";
        e->flag = "--mock FILE";
        e->does = "goes on with mended fixtures";
    }
}

static void failed(struct buf *b, const struct seen_run *r, const struct digest *d, struct arena *a)
{
    struct reason e;
    find_reason(&e, r, d);
    buf_printf(b, "Why it failed: %s", e.what ? e.what : e.rc == RC_COUNT ? "" : rc_text(e.rc));
    if (e.step.n)
        buf_printf(b, ", at %.*s", STR_ARG(human_line(a, e.step, 0)));
    buf_printf(b, " (%.*s%s%.*s)\n", STR_ARG(e.class), e.code.n && !str_eq(e.code, e.class) ? ", " : "",
               str_eq(e.code, e.class) ? 0 : (int)e.code.n, e.code.p ? e.code.p : "");
    message(b, a, e.text);
    if (e.attempts > 1)
        buf_printf(b, "    (after %u attempts)\n", e.attempts);
    buf_printf(b, "\nWhat to do: %s\n", e.advice ? e.advice : advice_for(e.class));
    do_this(b, r, "", "tries what failed again; finished steps keep their results");
    do_this(b, r, e.flag, e.does);
}

/* Whether resume holds for a person because of this: a command was begun, nobody knows how it ended, and neither the
 * workflow says that it may simply run again, nor is that the default of such a command. */
static bool will_hold(const struct digest_node *n, const struct workflow *w)
{
    if (n->status != NODE_OPEN || !n->effect ||
        !(str_starts(n->name, STR("exec:")) || str_starts(n->label, STR("Bash"))))
        return false;
    const struct digest_node *step = n->parent;
    while (step->parent && step->effect)
        step = step->parent;
    while (step->parent && str_starts(step->name, STR("turn:")))
        step = step->parent;
    for (const struct digest_node *up = step; up->parent; up = up->parent)
        if (up->status != NODE_OPEN)
            return false; /* a timeout or an error ended it; that is settled */
    for (size_t i = 0; w && i < w->nall; i++)
        if (str_eq(w->all[i]->name, step->name) && w->all[i]->on_interrupt != ON_INTERRUPT_DEFAULT)
            return w->all[i]->on_interrupt == ON_INTERRUPT_HOLD;
    return !n->restorable;
}

static void go_on(struct buf *b, const struct seen_run *r, const struct digest *d, const struct workflow *w,
                  struct arena *a, const char *otherwise)
{
    size_t held = 0;
    for (const struct digest_node *n = d->root; (n = digest_next(n, d->root));) {
        if (!will_hold(n, w) || held++ >= HELD_SHOWN)
            continue;
        buf_printf(b, "  %.*s%s%.*s%s was running and may have done part of its work\n",
                   STR_ARG(human_line(a, n->path, 0)), n->label.n ? " (" : "", STR_ARG(human_line(a, n->label, 80)),
                   n->label.n ? ")" : "");
    }
    if (held) {
        buf_addz(b, "  Look what it has done. Without --force resume waits there.\n");
        do_this(b, r, "--force", "runs it again, and goes on");
    }
    do_this(b, r, "", held ? "goes on with the rest, then waits" : otherwise);
}

/* "deploy" of "deploy/wait:1". */
static struct str step_of_wait(const struct digest_node *n, struct arena *a)
{
    return human_line(a, n->parent->path, 0);
}

/* Everything that somebody could answer, with the command that does; how many there are. */
static size_t answerable(struct buf *b, const struct seen_run *r, const struct digest *d, struct arena *a, int64_t now)
{
    size_t n = 0;
    for (const struct digest_node *at = d->root; (at = digest_next(at, d->root));) {
        bool approval = at->wait && str_is(val_get_str(at->wait, STR("for"), STR("")), "approval");
        int64_t until = val_get_int(at->wait, STR("until_ms"), 0);
        if (!at->wait || !digest_waits(at) || str_is(val_get_str(at->wait, STR("for"), STR("")), "time"))
            continue;
        if (n++ >= HELD_SHOWN)
            continue;
        struct str step = step_of_wait(at, a);
        buf_printf(b, "  %.*s, for %s: %.*s\n", STR_ARG(step), human_duration(now - at->started_ms).z,
                   STR_ARG(human_line(a, at->label, 120)));
        if (until)
            buf_printf(b, "    until %s%s\n", human_time(until).z, until < now ? ", which is over" : "");
        if (approval && *wait_choice_option(at->wait))
            buf_printf(b, "    treadle approve %s %.*s%s\n", r->home.id, STR_ARG(step), wait_choice_option(at->wait));
        else if (approval)
            buf_printf(b, "    treadle approve %s %.*s   (or: treadle reject %s %.*s)\n", r->home.id, STR_ARG(step),
                       r->home.id, STR_ARG(step));
        else
            buf_printf(b, "    treadle signal %s %.*s [JSON]\n", r->home.id,
                       STR_ARG(human_line(a, val_get_str(at->wait, STR("signal"), STR("")), 0)));
    }
    if (n > HELD_SHOWN)
        buf_printf(b, "  and %zu more (treadle show --all)\n", n - HELD_SHOWN);
    return n;
}

static void waiting(struct buf *b, const struct seen_run *r, const struct digest *d, struct arena *a)
{
    size_t shown = 0, more = 0;
    bool interrupted = false;
    buf_addz(b, "Why it waits:\n");
    size_t asked = answerable(b, r, d, a, clock_wall_ms());
    for (const struct digest_node *n = d->root; (n = digest_next(n, d->root));) {
        if (n->status != NODE_HELD)
            continue;
        interrupted |= n->effect;
        if (shown++ >= HELD_SHOWN) {
            more++;
            continue;
        }
        buf_printf(b, "  %.*s%s%.*s\n", STR_ARG(human_line(a, n->path, 0)), n->label.n ? ": " : "",
                   STR_ARG(human_line(a, n->label, 80)));
        message(b, a, n->message);
    }
    if (more)
        buf_printf(b, "  and %zu more (treadle show --all)\n", more);
    if (!shown && !asked) {
        message(b, a, r->row.error.n ? r->row.error : val_get_str(d->error, STR("message"), STR("")));
        buf_addz(b, "\nWhat to do:\n");
        do_this(b, r, "", "goes on");
        return;
    }
    if (!shown && r->home.of_service) {
        buf_addz(b, "\nWhat to do: answer; the service goes on with it.\n");
        return;
    }
    if (!shown) {
        buf_addz(b, "\nWhat to do: answer, then\n");
        do_this(b, r, "", "goes on");
        return;
    }
    struct str class = val_get_str(d->error, STR("class"), STR(""));
    buf_printf(b, "\nWhat to do: %s\n", advice_for(class));
    if (interrupted)
        do_this(b, r, "--force", "does again what was interrupted");
    else
        do_this(b, r, "", "goes on when the reason is gone");
    do_this(b, r, "--workflow FILE", "goes on under a changed workflow");
}

struct str explain_run(const struct seen_run *r, const struct digest *d, const struct workflow *w, struct arena *a)
{
    struct buf b;
    buf_init(&b, TEXT_MAX);
    struct str status = str_c(r->status);
    if (str_is(status, "failed")) {
        failed(&b, r, d, a);
    } else if (str_is(status, "waiting")) {
        waiting(&b, r, d, a);
    } else if (str_is(status, "interrupted") && r->home.of_service) {
        buf_addz(&b, "Why it stopped: the service has; its next start goes on with it.\n");
    } else if (str_is(status, "interrupted")) {
        buf_printf(&b, "Why it stopped: %s\n",
                   d->status.n ? "it was interrupted (Ctrl-C or a signal)."
                               : "its process ended without a word: killed, crashed, or the machine went down.");
        buf_addz(&b, "\nWhat to do: nothing that was reported is lost.\n");
        go_on(&b, r, d, w, a, "goes on where it stopped");
    } else if (str_is(status, "cancelled")) {
        buf_addz(&b, "It was cancelled.\n\nWhat to do:\n");
        go_on(&b, r, d, w, a, "goes on with it all the same");
    } else if (str_is(status, "running")) {
        struct buf waits;
        buf_init(&waits, TEXT_MAX);
        if (answerable(&waits, r, d, a, clock_wall_ms())) {
            buf_addz(&b, "It waits here, while other steps go on:\n");
            buf_add(&b, buf_str(&waits));
        }
        buf_done(&waits);
    } else if (str_is(status, "quarantined")) {
        buf_addz(&b, "It made the engine fail three times and is not tried again by itself.\n\nWhat to do:\n");
        do_this(&b, r, "--force", "tries it once more");
    }
    if (r->home.of_service && seen_run_open(r) && !store_owner(r->home.journal))
        buf_printf(&b, "\nThe service is not running: treadle serve --db %s carries its runs on.\n", r->home.journal);
    struct str text = str_trim(buf_str(&b));
    text = arena_str(a, text);
    buf_done(&b);
    return text;
}

const char *explain_problem(const char *problem)
{
    return strstr(problem, "PRAGMA") ? "it is damaged, or is no journal" : problem;
}
