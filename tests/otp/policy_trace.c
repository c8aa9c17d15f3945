/* What src/supervisor/policy.c does with given traces, as text, to be compared with OTP's own supervisor
 * (otp_trace.escript does the same there; traces.py makes the traces, explains their notation and compares).
 *
 * Traces come from standard input, one a line; what was done goes to standard output, one a line. */
#include "base/panic.h"
#include "base/str.h"
#include "supervisor/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHILDREN_MAX = 8, OUT_MAX = 8192, WAIT_MS = 2600 };

static struct {
    struct sup *sup;
    struct sup_child_spec specs[CHILDREN_MAX];
    size_t n;
    unsigned failing[CHILDREN_MAX]; /* starts that will fail yet */
    bool alive[CHILDREN_MAX];
    bool ended;
    int64_t now;
    bool hold; /* the next operation is not answered */
    enum { NOTHING, A_START, A_STOP } held;
    size_t held_child;
    char out[OUT_MAX];
    size_t at;
} t;

/* Takes the next word off, up to `mark`. Empty: there is none. */
static struct str word(struct str *rest, const char *mark)
{
    size_t end = str_find(*rest, str_c(mark));
    struct str w = end == SIZE_MAX ? *rest : str_n(rest->p, end);
    *rest = end == SIZE_MAX ? str_n("", 0) : str_from(*rest, end + 1);
    return w;
}

static unsigned number(struct str s)
{
    int64_t n;
    CHECK(str_to_i64(s, &n) && n >= 0);
    return (unsigned)n;
}

static void say(const char *what, size_t child)
{
    int n = snprintf(t.out + t.at, OUT_MAX - t.at, child < CHILDREN_MAX ? "%s%c" : "%s", what, 'a' + (int)child);
    t.at += (size_t)n;
    CHECK(t.at < OUT_MAX);
}

static int64_t op_now(void *ctx)
{
    (void)ctx;
    return t.now;
}

static void answer_start(size_t child)
{
    bool ok = !t.failing[child];
    t.failing[child] -= !ok;
    t.alive[child] = ok;
    sup_started(t.sup, child, ok);
}

static void answer_stop(size_t child)
{
    t.alive[child] = false;
    sup_exited(t.sup, child, SUP_SHUTDOWN);
}

static bool held(int what, size_t child)
{
    if (!t.hold)
        return false;
    t.hold = false;
    t.held = what;
    t.held_child = child;
    return true;
}

static void op_start(void *ctx, size_t child)
{
    (void)ctx;
    say("+", child);
    if (!held(A_START, child))
        answer_start(child);
}

static void op_terminate(void *ctx, size_t child)
{
    (void)ctx;
    say("-", child);
    if (!held(A_STOP, child))
        answer_stop(child);
}

static void op_ended(void *ctx, enum sup_reason reason)
{
    (void)ctx;
    t.ended = true;
    say(reason == SUP_ABNORMAL ? "!abnormal" : "!", CHILDREN_MAX);
}

static const struct sup_ops ops = {op_now, op_start, op_terminate, op_ended, NULL, NULL};

/* `1n`: child 1 exits normally, if it is there; `S`: stop. */
static void happen(struct str e)
{
    if (t.ended)
        return;
    if (str_is(e, "S")) {
        sup_stop(t.sup);
        return;
    }
    CHECK(e.n == 2);
    size_t child = (size_t)(e.p[0] - '0');
    CHECK(child < t.n);
    if (!t.alive[child] || (t.held == A_STOP && t.held_child == child))
        return;
    t.alive[child] = false;
    sup_exited(t.sup, child, e.p[1] == 'n' ? SUP_NORMAL : e.p[1] == 's' ? SUP_SHUTDOWN : SUP_ABNORMAL);
}

/* `1n,2k`: the first; what follows happens while the operation that it leads to, if any, is under way. */
static void happen_together(struct str list)
{
    t.hold = true;
    while (list.n)
        happen(word(&list, ","));
    t.hold = false;
    int what = t.held;
    t.held = NOTHING;
    if (what == A_START)
        answer_start(t.held_child);
    else if (what == A_STOP)
        answer_stop(t.held_child);
}

static void event(struct str e)
{
    CHECK(e.n);
    say(" ", CHILDREN_MAX);
    if (e.p[0] == 'f' && e.n > 2 && e.p[1] >= '0' && e.p[1] < '0' + CHILDREN_MAX)
        t.failing[e.p[1] - '0'] = number(str_from(e, 2));
    else if (e.p[0] == 'w')
        t.now += WAIT_MS;
    else if (e.p[0] == 'h')
        happen_together(str_from(e, 1));
    else
        happen(e.p[0] == 'x' ? str_from(e, 1) : e);
}

static void trace(struct str line)
{
    memset(&t, 0, sizeof t);
    t.now = 1000000;
    word(&line, " "); /* its name */
    struct str strategy = word(&line, " ");
    struct sup_spec spec = {.strategy = str_is(strategy, "one_for_one")   ? SUP_ONE_FOR_ONE
                                        : str_is(strategy, "one_for_all") ? SUP_ONE_FOR_ALL
                                                                          : SUP_REST_FOR_ONE};
    spec.intensity = number(word(&line, " "));
    spec.period_ms = (int64_t)number(word(&line, " ")) * 1000;
    struct str automatic = word(&line, " "), children = word(&line, " ");
    spec.auto_shutdown = str_is(automatic, "never")             ? SUP_AUTO_NEVER
                         : str_is(automatic, "any_significant") ? SUP_AUTO_ANY
                                                                : SUP_AUTO_ALL;
    for (size_t i = 0; i < children.n; i++) {
        char c = children.p[i];
        if (c == '*') {
            t.specs[t.n - 1].significant = true;
            continue;
        }
        CHECK(t.n < CHILDREN_MAX);
        t.specs[t.n++] = (struct sup_child_spec){.id = "c",
                                                 .restart = c == 'p'   ? SUP_PERMANENT
                                                            : c == 't' ? SUP_TRANSIENT
                                                                       : SUP_TEMPORARY};
    }
    spec.children = t.specs;
    spec.nchildren = t.n;
    t.sup = sup_new(&spec, &ops, NULL);
    if (line.n && line.p[0] == 'f') /* of the very start */
        event(word(&line, " "));
    sup_start(t.sup);
    while (line.n)
        event(word(&line, " "));
    puts(t.out);
    sup_free(t.sup);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    while ((n = getline(&line, &size, stdin)) > 0)
        trace(str_n(line, (size_t)n - (line[n - 1] == '\n')));
    free(line);
    return 0;
}
