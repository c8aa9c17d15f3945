/* The advice is one table by error class. A class without a row gets general advice, which is never wrong, only less
 * helpful. */
#include "cli/explain.h"

#include "base/buf.h"
#include "base/err.h"
#include "cli/human.h"

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
    buf_init(&left, 256);
    buf_printf(&left, "treadle resume %s%s%s", r->home.id, *flag ? " " : "", flag);
    buf_printf(b, "  %-*.*s  %s\n", (int)(strlen(r->home.id) + 30), STR_ARG(buf_str(&left)), why);
    buf_done(&left);
}

static void message(struct buf *b, struct arena *a, struct str text)
{
    if (text.n > TEXT_MAX / 8)
        text.n = str_utf8_valid(str_n(text.p, TEXT_MAX / 8));
    buf_add(b, human_lines(a, text, 4));
    buf_addc(b, '\n');
}

static void failed(struct buf *b, const struct seen_run *r, const struct digest *d, struct arena *a)
{
    struct str class = val_get_str(d->error, STR("class"), STR("internal")),
               code = val_get_str(d->error, STR("code"), STR("")), step = val_get_str(d->error, STR("step"), STR("")),
               text = val_get_str(d->error, STR("message"), r->row.error);
    const struct digest_node *n = digest_find(d->root, NODE_FAILED);
    bool deeper = n && n->path.n > step.n && str_starts(n->path, step);
    if (deeper) { /* the loop says "iteration 3: …"; what failed in it is more to the point */
        step = n->path;
        class = n->error_class.n ? n->error_class : class;
        code = n->error_code;
        text = n->message.n ? n->message : text;
    }
    enum rc rc = rc_from_name(class);
    buf_printf(b, "Why it failed: %s", rc == RC_COUNT ? "" : rc_text(rc));
    if (step.n)
        buf_printf(b, ", at %.*s", STR_ARG(human_line(a, step, 0)));
    buf_printf(b, " (%.*s%s%.*s)\n", STR_ARG(class), code.n && !str_eq(code, class) ? ", " : "",
               str_eq(code, class) ? 0 : (int)code.n, code.p ? code.p : "");
    message(b, a, text);
    if (n && n->attempts > 1)
        buf_printf(b, "    (after %u attempts)\n", n->attempts);
    buf_printf(b, "\nWhat to do: %s\n", advice_for(class));
    do_this(b, r, "", "tries what failed again; finished steps keep their results");
    do_this(b, r, "--workflow FILE", "goes on under a corrected workflow");
}

static void waiting(struct buf *b, const struct seen_run *r, const struct digest *d, struct arena *a)
{
    size_t shown = 0, more = 0;
    bool interrupted = false;
    buf_addz(b, "Why it waits:\n");
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
    if (!shown)
        message(b, a, val_get_str(d->error, STR("message"), r->row.error));
    struct str class = val_get_str(d->error, STR("class"), STR(""));
    buf_printf(b, "\nWhat to do: %s\n", advice_for(class));
    if (interrupted)
        do_this(b, r, "--force", "does again what was interrupted");
    else
        do_this(b, r, "", "goes on when the reason is gone");
    do_this(b, r, "--workflow FILE", "goes on under a changed workflow");
}

struct str explain_run(const struct seen_run *r, const struct digest *d, struct arena *a)
{
    struct buf b;
    buf_init(&b, TEXT_MAX);
    struct str status = str_c(r->status);
    if (str_is(status, "failed")) {
        failed(&b, r, d, a);
    } else if (str_is(status, "waiting")) {
        waiting(&b, r, d, a);
    } else if (str_is(status, "interrupted")) {
        buf_printf(&b, "Why it stopped: %s\n",
                   d->status.n ? "it was interrupted (Ctrl-C or a signal)."
                               : "its process ended without a word: killed, crashed, or the machine went down.");
        buf_addz(&b, "\nWhat to do: nothing that was reported is lost.\n");
        do_this(&b, r, "", "goes on where it stopped");
    } else if (str_is(status, "cancelled")) {
        buf_addz(&b, "It was cancelled.\n\nWhat to do:\n");
        do_this(&b, r, "", "goes on with it all the same");
    } else if (str_is(status, "quarantined")) {
        buf_addz(&b, "It made the engine fail three times and is not tried again by itself.\n\nWhat to do:\n");
        do_this(&b, r, "", "tries it once more");
    }
    struct str text = str_trim(buf_str(&b));
    text = arena_str(a, text);
    buf_done(&b);
    return text;
}
