/* The terminal is opened anew, because a descriptor of a loop does not block, and the shell's must. It is read line by
 * line, as the terminal gives them, so what is typed can be corrected. */
#include "cli/ask.h"

#include "base/buf.h"
#include "base/panic.h"
#include "cli/answer.h"
#include "cli/human.h"
#include "ev/loop.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

struct ask {
    struct ev_loop *loop;
    struct view *view;
    struct run *run;
    int fd;
    ev_id watch;
    struct buf path;    /* of the question that is open; empty: none */
    struct arena arena; /* of that question */
    struct val wait;
    bool seen, over;
};

/* ---- what may be answered ---- */

static void find(void *ctx, const struct run_wait *w)
{
    struct ask *a = ctx;
    if (str_eq(w->path, buf_str(&a->path)))
        a->seen = true;
}

static void take_first(void *ctx, const struct run_wait *w)
{
    struct ask *a = ctx;
    if (a->path.n || !str_is(val_get_str(w->wait, STR("for"), STR("")), "approval"))
        return;
    buf_add(&a->path, w->path);
    a->wait = val_copy(&a->arena, w->wait);
    struct str question = human_lines(&a->arena, val_get_str(w->wait, STR("message"), STR("")), 2);
    view_say(a->view, true, "? %.*s asks", STR_ARG(human_line(&a->arena, w->step, 0)));
    view_lines(a->view, question);
}

static struct str choices(struct ask *a)
{
    const struct val *c = VAL_GET(&a->wait, "choices");
    struct str list = STR("");
    for (size_t i = 0; val_at(c, i); i++)
        if (val_is(val_at(c, i), VAL_STR))
            list = arena_printf(&a->arena, "%.*s%s%.*s", STR_ARG(list), i ? ", " : "",
                                STR_ARG(human_line(&a->arena, val_at(c, i)->s, 0)));
    return list;
}

static void prompt(struct ask *a)
{
    view_prompt(a->view, arena_printf(&a->arena, "  %.*s (a comment may follow): ", STR_ARG(choices(a))));
}

static void close_question(struct ask *a)
{
    buf_clear(&a->path);
    arena_done(&a->arena);
    a->wait = val_null;
    view_prompt(a->view, str_n("", 0));
}

void ask_look(struct ask *a)
{
    if (!a || a->over || run_status(a->run) != RUN_RUNNING)
        return;
    if (a->path.n) {
        a->seen = false;
        run_each_wait(a->run, find, a);
        if (a->seen)
            return;
        view_prompt(a->view, STR("\n")); /* somebody else answered, or its time is over */
        close_question(a);
    }
    run_each_wait(a->run, take_first, a);
    if (a->path.n)
        prompt(a);
}

/* ---- answers ---- */

/* The choice that the line begins with: whole (the longest such), or a beginning of one that no other has. */
static struct str choice_of(const struct val *list, struct str line, struct str *ret_rest)
{
    struct str word = line, found = STR("");
    size_t space = str_find(line, STR(" "));
    if (space != SIZE_MAX)
        word.n = space;
    for (size_t i = 0; val_at(list, i); i++) {
        struct str c = val_at(list, i)->s;
        if (str_starts(line, c) && (line.n == c.n || line.p[c.n] == ' ') && c.n > found.n)
            found = c;
    }
    if (found.n) {
        *ret_rest = str_trim(str_from(line, found.n));
        return found;
    }
    for (size_t i = 0; val_at(list, i); i++) {
        struct str c = val_at(list, i)->s;
        if (!str_starts(c, word))
            continue;
        if (found.n)
            return STR("");
        found = c;
    }
    *ret_rest = str_trim(str_from(line, word.n));
    return found;
}

static void answer(struct ask *a, struct str line)
{
    struct str comment = STR(""), choice = line.n ? choice_of(VAL_GET(&a->wait, "choices"), line, &comment) : line;
    struct err err;
    if (!choice.n) {
        view_say(a->view, true, "  please answer with one of: %.*s", STR_ARG(choices(a)));
        prompt(a);
        return;
    }
    struct val_map m = val_map_new(&a->arena);
    VAL_MAP_SET(&m, "choice", val_str(choice));
    VAL_MAP_SET(&m, "by", val_str(str_c(answer_by(NULL))));
    VAL_MAP_SET(&m, "comment", val_str(comment));
    struct val v = val_map_done(&m);
    if (run_answer(a->run, buf_str(&a->path), &v, &err) != RC_OK)
        view_say(a->view, true, "  %s", err.msg);
    close_question(a);
    ask_look(a);
}

static void readable(void *ctx)
{
    struct ask *a = ctx;
    char text[LINE_MAX_BYTES];
    ssize_t n = read(a->fd, text, sizeof text);
    if (n > 0) {
        struct str line = str_trim(str_n(text, (size_t)n));
        line.n = str_utf8_valid(line);
        if (a->path.n) /* what is typed while nothing is asked is no answer to anything */
            answer(a, line);
        return;
    }
    if (a->path.n) {
        view_prompt(a->view, STR("\n"));
        close_question(a);
    }
    a->over = true;
    ev_cancel(a->loop, a->watch);
    a->watch = 0;
    run_stay(a->run, STAY_NO);
}

/* ---- life ---- */

static int open_terminal(void)
{
    char name[256];
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) || ttyname_r(STDIN_FILENO, name, sizeof name) != 0)
        return -1;
    pid_t front = tcgetpgrp(STDIN_FILENO);
    if (front >= 0 && front != getpgrp()) /* in the background: reading would stop us */
        return -1;
    return open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

struct ask *ask_new(struct ev_loop *l, struct view *v, struct run *r)
{
    int fd = open_terminal();
    if (fd < 0)
        return NULL;
    struct ask *a = calloc(1, sizeof *a);
    if (!a)
        PANIC("out of memory");
    *a = (struct ask){.loop = l, .view = v, .run = r, .fd = fd};
    buf_init(&a->path, 1 << 20);
    a->watch = ev_readable(l, fd, readable, a);
    return a;
}

void ask_free(struct ask *a)
{
    if (!a)
        return;
    ev_cancel(a->loop, a->watch);
    close(a->fd);
    buf_done(&a->path);
    arena_done(&a->arena);
    free(a);
}
