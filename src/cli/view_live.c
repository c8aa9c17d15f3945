/* The drawing is a block of whole lines; the cursor rests on the line below it, at its beginning, and is never hidden
 * or moved elsewhere, and no mode of the terminal is changed. So whatever ends the process, kill -9 included, leaves a
 * usable terminal with the last picture on it.
 *
 * To redraw, the cursor goes up by as many rows as the block took, each line is written over (and cleared to its end),
 * and what is left below is cleared. No line reaches the last column, so none wraps, except when the terminal was made
 * narrower since: terminals then wrap what is there, and the rows to go up are computed with the new width. All of a
 * picture goes out in one write. At most ten pictures a second; with nothing new two, for the clocks. */
#include "cli/view_live.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/panic.h"
#include "cli/human.h"
#include "ev/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { FRAME_MS = 100, TICK_MS = 500, LINES_MAX = 40, NAME_COLUMNS = 28, PICTURE_MAX = 1 << 20, LINES_SIZE = 1 << 16 };

struct view_live {
    struct view_options o;
    const struct view_tree *tree;
    int64_t started_ms, drawn_ms;
    ev_id timer, cont;
    bool color, dirty;
    bool rests;                    /* somebody types */
    struct buf prompt;             /* in answer to this */
    size_t rows, columns;          /* of the terminal */
    size_t nlines;                 /* of the block on the screen */
    uint16_t width[LINES_MAX + 2]; /* of each of its lines */
    struct buf lines;              /* that stay, not shown yet */
};

static void get_size(struct view_live *l)
{
    struct winsize w;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col;
    l->rows = known ? w.ws_row : 24;
    l->columns = known ? (w.ws_col < 20 ? 20 : w.ws_col) : 80;
}

const char *view_live_color(const struct view_live *l, enum view_color c)
{
    static const char *const codes[] = {"\033[0m", "\033[32m", "\033[31m", "\033[33m", "\033[2m", "\033[36m"};
    return l->color ? codes[c] : "";
}

size_t view_live_columns(const struct view_live *l)
{
    return l->columns - 1;
}

/* ---- putting it out ---- */

static void out(const struct buf *b)
{
    (void)!fd_write_all(STDERR_FILENO, buf_str(b)); /* when the terminal is gone, the run is not */
}

/* To the beginning of the block that is on the screen. */
static void go_up(struct view_live *l, struct buf *b)
{
    size_t rows = 0;
    for (size_t i = 0; i < l->nlines; i++)
        rows += l->width[i] ? (l->width[i] + l->columns - 1) / l->columns : 1;
    if (rows)
        buf_printf(b, "\033[%zuA", rows);
    buf_addc(b, '\r');
    l->nlines = 0;
}

/* ---- the picture ---- */

static struct human elapsed(int64_t ms)
{
    struct human h;
    if (ms >= 60000)
        return human_duration(ms);
    snprintf(h.z, sizeof h.z, "%llds", (long long)(ms / 1000));
    return h;
}

/* What the step is about right now. */
static struct str doing(struct arena *a, const struct view_step *s, int64_t now)
{
    if (s->retry_ms) {
        int64_t left = s->retry_ms - now;
        return arena_printf(a, "next attempt %s%s: %s", left > 0 ? "in " : "now", left > 0 ? elapsed(left + 999).z : "",
                            s->trouble);
    }
    if (!s->next_index)
        return str_c(s->label);
    struct buf b;
    buf_init(&b, 256);
    buf_printf(&b, "%lld", (long long)view_tree_items_done(s));
    if (s->total >= 0)
        buf_printf(&b, "/%lld", (long long)s->total);
    buf_printf(&b, " done, %zu running", s->running);
    if (s->failed)
        buf_printf(&b, ", %zu failed", s->failed);
    struct str text = arena_str(a, buf_str(&b));
    buf_done(&b);
    return text;
}

static void end_line(struct view_live *l, struct buf *b, size_t width)
{
    buf_addz(b, "\033[K\n");
    l->width[l->nlines++] = (uint16_t)width;
}

static void step_line(struct view_live *l, struct buf *b, const struct view_step *s, int64_t now)
{
    struct arena a = {0};
    unsigned indent = view_tree_depth(s) * 2;
    size_t room = l->columns - 1;
    if (indent > room / 2)
        indent = (unsigned)(room / 2);
    size_t most = room < 2 * NAME_COLUMNS ? room / 2 : NAME_COLUMNS;
    size_t name_columns = indent + 8 < most ? most - indent : 8;
    struct str name = human_line(&a, s->name, name_columns);
    struct str rest = arena_printf(&a, "%.*s%*s  %7s  %.*s", STR_ARG(name), (int)(name_columns - human_columns(name)),
                                   "", elapsed(now - s->started_ms).z, STR_ARG(doing(&a, s, now)));
    rest = human_line(&a, str_trim(rest), room - indent - 2);
    buf_printf(b, "%*s%s%s%s %.*s", (int)indent, "", view_live_color(l, s->retry_ms ? COLOR_WARN : COLOR_BUSY),
               s->retry_ms ? "!" : "▸", view_live_color(l, COLOR_NONE), STR_ARG(rest));
    end_line(l, b, indent + 2 + human_columns(rest));
    arena_done(&a);
}

static void text_line(struct view_live *l, struct buf *b, struct str text)
{
    struct arena a = {0};
    text = human_line(&a, text, l->columns - 1);
    buf_printf(b, "%s%.*s%s", view_live_color(l, COLOR_DIM), STR_ARG(text), view_live_color(l, COLOR_NONE));
    end_line(l, b, human_columns(text));
    arena_done(&a);
}

static void totals_line(struct view_live *l, struct buf *b, int64_t now)
{
    struct run_totals t = run_totals(l->o.run);
    struct arena a = {0};
    struct str text = arena_printf(&a, "%s · %lld step%s done · %zu in flight", elapsed(now - l->started_ms).z,
                                   (long long)t.steps_done, t.steps_done == 1 ? "" : "s", t.in_flight);
    if (t.calls)
        text = arena_printf(&a, "%.*s · %s tokens in, %s out · %s", STR_ARG(text),
                            human_count(t.input_tokens + t.cache_read_tokens + t.cache_write_tokens).z,
                            human_count(t.output_tokens).z, human_spent(t.cost_usd, t.cost_unknown).z);
    if (t.held)
        text = arena_printf(&a, "%.*s · %zu held", STR_ARG(text), t.held);
    text_line(l, b, text);
    arena_done(&a);
}

static void picture(struct view_live *l, struct buf *b, int64_t now)
{
    /* two rows less than there are: one for the cursor, one for the line that scrolled up last */
    size_t most = l->rows > 5 ? l->rows - 2 : 3;
    if (most > LINES_MAX)
        most = LINES_MAX;
    size_t steps = l->tree->active, show = steps + 1 <= most ? steps : most - 2, shown = 0;
    for (struct view_step *s = view_tree_next(&l->tree->top); s && shown < show; s = view_tree_next(s), shown++)
        step_line(l, b, s, now);
    if (shown < steps) {
        struct arena a = {0};
        text_line(l, b, arena_printf(&a, "  … and %zu more", steps - shown));
        arena_done(&a);
    }
    totals_line(l, b, now);
}

static void draw(struct view_live *l)
{
    struct buf b;
    buf_init(&b, LINES_SIZE + PICTURE_MAX);
    int64_t now = clock_mono_ms();
    get_size(l);
    go_up(l, &b);
    buf_add(&b, buf_str(&l->lines));
    buf_clear(&l->lines);
    picture(l, &b, now);
    buf_addz(&b, "\033[J");
    out(&b);
    buf_done(&b);
    l->drawn_ms = now;
    l->dirty = false;
}

/* The lines that wait, without a drawing, and something behind them. */
static void put_out(struct view_live *l, struct str end)
{
    struct buf b;
    buf_init(&b, LINES_SIZE + 4096);
    get_size(l);
    go_up(l, &b);
    buf_addz(&b, "\033[J");
    buf_add(&b, buf_str(&l->lines));
    buf_clear(&l->lines);
    buf_add(&b, end);
    out(&b);
    buf_done(&b);
}

/* ---- when ---- */

static void tick(void *ctx)
{
    struct view_live *l = ctx;
    l->timer = 0;
    if (l->rests)
        return;
    draw(l);
    l->timer = ev_timer(l->o.loop, TICK_MS, tick, l);
}

void view_live_dirty(struct view_live *l)
{
    if (l->dirty || l->rests)
        return;
    l->dirty = true;
    int64_t wait = l->drawn_ms + FRAME_MS - clock_mono_ms();
    ev_cancel(l->o.loop, l->timer);
    l->timer = ev_timer(l->o.loop, wait > 0 ? wait : 0, tick, l);
}

/* Lines wait for the next picture, so that ten thousand quick steps are not ten thousand pictures. */
void view_live_line(struct view_live *l, struct str line)
{
    if (l->lines.n + line.n + 8 > LINES_SIZE)
        l->rests ? put_out(l, buf_str(&l->prompt)) : draw(l);
    buf_add(&l->lines, line);
    buf_addz(&l->lines, "\033[K\n");
    view_live_dirty(l);
}

void view_live_prompt(struct view_live *l, struct str prompt)
{
    buf_clear(&l->prompt);
    if (prompt.n && !str_is(prompt, "\n")) {
        buf_add(&l->prompt, prompt);
        put_out(l, prompt);
        l->rests = true;
        return;
    }
    if (prompt.n) /* behind what was asked */
        fputc('\n', stderr);
    l->rests = l->dirty = false;
    view_live_dirty(l);
}

/* Back from the background: the shell has written below, so what was drawn is left where it is. */
static void continued(void *ctx, int signo)
{
    (void)signo;
    struct view_live *l = ctx;
    l->nlines = 0;
    view_live_dirty(l);
}

static bool set(const char *name)
{
    const char *v = getenv(name);
    return v && *v;
}

struct view_live *view_live_new(const struct view_options *o, const struct view_tree *tree, int64_t started_ms)
{
    const char *term = getenv("TERM");
    if (!isatty(STDERR_FILENO) || !term || !*term || str_is(str_c(term), "dumb"))
        return NULL;
    struct view_live *l = calloc(1, sizeof *l);
    if (!l)
        PANIC("out of memory");
    l->o = *o;
    l->tree = tree;
    l->started_ms = started_ms;
    l->color = !set("NO_COLOR");
    buf_init(&l->lines, LINES_SIZE);
    buf_init(&l->prompt, LINES_SIZE);
    get_size(l);
    l->cont = ev_signal(o->loop, SIGCONT, continued, l);
    view_live_dirty(l);
    return l;
}

void view_live_free(struct view_live *l)
{
    if (!l)
        return;
    ev_cancel(l->o.loop, l->timer);
    ev_cancel(l->o.loop, l->cont);
    if (l->rests) /* behind what was asked */
        fputc('\n', stderr);
    put_out(l, STR(""));
    buf_done(&l->lines);
    buf_done(&l->prompt);
    free(l);
}
