/* Everything that a workflow, a model or a command wrote passes through here before it reaches a terminal: an escape
 * sequence in a step's error must not move the cursor, rename the window or hide what comes after it. The journal and
 * --json keep the bytes as they are.
 *
 * Widths are those of the usual terminals: two columns for East Asian wide characters and emoji, none for combining
 * marks. Where that is wrong a line is a little short or long; nothing depends on it. */
#include "cli/human.h"

#include "base/buf.h"
#include "flow/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
static const int64_t DAY = 24 * (int64_t)HOUR;

struct human human_duration(int64_t ms)
{
    struct human h;
    if (ms < 0)
        ms = 0;
    if (ms < SECOND)
        snprintf(h.z, sizeof h.z, "%lldms", (long long)ms);
    else if (ms < MINUTE)
        snprintf(h.z, sizeof h.z, "%lld.%llds", (long long)(ms / SECOND), (long long)(ms % SECOND / 100));
    else if (ms < HOUR)
        snprintf(h.z, sizeof h.z, "%lldm%02llds", (long long)(ms / MINUTE), (long long)(ms % MINUTE / SECOND));
    else if (ms < DAY)
        snprintf(h.z, sizeof h.z, "%lldh%02lldm", (long long)(ms / HOUR), (long long)(ms % HOUR / MINUTE));
    else
        snprintf(h.z, sizeof h.z, "%lldd%02lldh", (long long)(ms / DAY), (long long)(ms % DAY / HOUR));
    return h;
}

struct human human_time(int64_t wall_ms)
{
    struct human h = {"?"};
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (localtime_r(&t, &tm))
        strftime(h.z, sizeof h.z, "%Y-%m-%d %H:%M:%S", &tm);
    return h;
}

static struct human scaled(double n, double step, const char *const units[4])
{
    struct human h;
    int i = 0;
    for (; i < 3 && n >= step; i++)
        n /= step;
    snprintf(h.z, sizeof h.z, "%.*f%s", i == 0 ? 0 : n < 10 ? 2 : n < 100 ? 1 : 0, n, units[i]);
    return h;
}

struct human human_count(int64_t n)
{
    static const char *const units[] = {"", "k", "M", "G"};
    return scaled((double)n, 1000, units);
}

struct human human_size(int64_t bytes)
{
    static const char *const units[] = {" B", " KB", " MB", " GB"};
    return scaled((double)bytes, 1024, units);
}

struct human human_cost(double usd)
{
    struct human h;
    snprintf(h.z, sizeof h.z, "%s", units_usd(usd).z);
    return h;
}

struct human human_spent(double usd, bool some_unknown)
{
    struct human h;
    if (some_unknown && usd <= 0)
        snprintf(h.z, sizeof h.z, "price unknown");
    else
        snprintf(h.z, sizeof h.z, "%s%s", units_usd(usd).z, some_unknown ? " + unknown" : "");
    return h;
}

/* The character at `s.p` (valid UTF-8, not empty); *n its bytes. */
static uint32_t decode(struct str s, size_t *n)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t len = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (len > s.n)
        len = 1;
    uint32_t u = len == 1 ? c : c & (0xFFU >> (len + 1));
    for (size_t i = 1; i < len; i++)
        u = u << 6 | ((unsigned char)s.p[i] & 0x3FU);
    *n = len;
    return u;
}

struct range {
    uint32_t first, last;
};
static bool within(uint32_t u, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (u >= r[i].first && u <= r[i].last)
            return true;
    return false;
}
#define WITHIN(u, table) within((u), (table), sizeof(table) / sizeof *(table))

static bool obeyed(uint32_t u)
{
    static const struct range controls[] = {{0, 0x1F},        {0x7F, 0x9F},     {0x200E, 0x200F}, {0x2028, 0x202E},
                                            {0x2066, 0x2069}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}};
    return WITHIN(u, controls);
}

static size_t width(uint32_t u)
{
    static const struct range none[] = {{0x300, 0x36F}, {0x200B, 0x200D}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}};
    static const struct range wide[] = {{0x1100, 0x115F}, {0x2E80, 0xA4CF},   {0xAC00, 0xD7A3},
                                        {0xF900, 0xFAFF}, {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
                                        {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};
    return WITHIN(u, none) ? 0 : WITHIN(u, wide) ? 2 : 1;
}

size_t human_columns(struct str s)
{
    size_t columns = 0, n;
    for (size_t i = 0; i < s.n; i += n)
        columns += width(decode(str_from(s, i), &n));
    return columns;
}

static void clean(struct buf *b, struct str s)
{
    while (s.n) {
        size_t valid = str_utf8_valid(s), n;
        for (size_t i = 0; i < valid; i += n) {
            uint32_t u = decode(str_n(s.p + i, valid - i), &n);
            if (obeyed(u))
                buf_addc(b, ' ');
            else
                buf_add(b, str_n(s.p + i, n));
        }
        if (valid < s.n)
            buf_addc(b, '?');
        s = str_from(s, valid + 1);
    }
}

struct str human_line(struct arena *a, struct str s, size_t columns)
{
    if (columns && s.n > columns * 8 + 64) /* the rest would be cut anyway */
        s.n = columns * 8 + 64;
    struct buf b;
    buf_init(&b, s.n * 2 + 64);
    clean(&b, s);
    struct str line = buf_str(&b);
    if (columns && human_columns(line) > columns) {
        size_t have = 0, i = 0, n = 0;
        for (; i < line.n; i += n) {
            size_t w = width(decode(str_from(line, i), &n));
            if (have + w > columns - 1)
                break;
            have += w;
        }
        line = arena_printf(a, "%.*s…", (int)i, line.p);
    } else {
        line = arena_str(a, line);
    }
    buf_done(&b);
    return line;
}

struct str human_lines(struct arena *a, struct str s, unsigned indent)
{
    struct buf b;
    buf_init(&b, s.n * (indent + 2) + 1024);
    while (s.n) {
        size_t end = str_find(s, STR("\n"));
        struct str line = end == SIZE_MAX ? s : str_n(s.p, end);
        buf_printf(&b, "%*s", (int)indent, "");
        clean(&b, line);
        s = str_from(s, line.n + 1);
        if (s.n)
            buf_addc(&b, '\n');
    }
    struct str ret = arena_str(a, buf_str(&b));
    buf_done(&b);
    return ret;
}

size_t human_terminal(int fd)
{
    enum { NARROWEST = 20, WIDEST = 10000, USUAL = 80 };
    if (!isatty(fd))
        return 0;
    struct winsize w;
    const char *given = getenv("COLUMNS");
    int64_t columns = 0;
    if (!given || !str_to_i64(str_c(given), &columns) || columns <= 0)
        columns = ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : USUAL;
    return (size_t)(columns < NARROWEST ? NARROWEST : columns > WIDEST ? WIDEST : columns);
}

/* How many bytes of `s` go into `columns`: up to a space where there is one, at least one character. */
static size_t fitting(struct str s, size_t columns)
{
    size_t have = 0, space = 0, n, i = 0;
    for (; i < s.n; i += n) {
        have += width(decode(str_from(s, i), &n));
        if (have > columns && i)
            return space && s.p[i] != ' ' ? space : i;
        if (s.p[i] == ' ')
            space = i;
    }
    return s.n;
}

struct str human_wrap(struct arena *a, struct str s, size_t columns)
{
    struct buf b;
    buf_init(&b, s.n * 64 + 64);
    while (s.n) {
        size_t end = str_find(s, STR("\n")), indent = 0;
        struct str line = end == SIZE_MAX ? s : str_n(s.p, end);
        s = str_from(s, line.n + 1);
        while (indent < line.n && line.p[indent] == ' ')
            indent++;
        line = str_from(line, indent);
        if (indent > columns / 2)
            indent = columns / 2;
        for (size_t in = indent;; in = indent + 2 < columns ? indent + 2 : indent) {
            size_t n = fitting(line, columns > in ? columns - in : 1);
            buf_printf(&b, "%*s%.*s", line.n ? (int)in : 0, "", (int)n, line.p);
            line = str_from(line, n);
            while (line.n && line.p[0] == ' ')
                line = str_from(line, 1);
            if (!line.n)
                break;
            buf_addc(&b, '\n');
        }
        if (end != SIZE_MAX)
            buf_addc(&b, '\n');
    }
    struct str ret = arena_str(a, buf_str(&b));
    buf_done(&b);
    return ret;
}
