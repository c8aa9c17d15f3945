/* Braces are multiplied out first; each alternative is then a list of segments. Segments are matched against the
 * path's with the usual one-step-back algorithm for `*`, once for characters within a segment and once for segments
 * with `**`, so no pattern takes exponential time. */
#include "executor/globmatch.h"

enum { MAX_ALTERNATIVES = 256, MAX_SEGMENTS = 128, MAX_PATTERN = 4096 };

struct alternative {
    struct str *seg;
    size_t n;
};
struct glob {
    struct alternative alt[MAX_ALTERNATIVES];
    size_t n;
};

/* ---- compiling ---- */

static bool is_any_depth(struct str seg)
{
    return str_is(seg, "**");
}

static enum rc add_alternative(struct arena *a, struct glob *g, struct str text, struct err *err)
{
    struct alternative *alt = &g->alt[g->n];
    if (g->n == MAX_ALTERNATIVES)
        return err_set(err, RC_INVALID, "the pattern has more than %d alternatives", MAX_ALTERNATIVES);
    alt->seg = arena_calloc(a, MAX_SEGMENTS, sizeof *alt->seg);
    alt->n = 0;
    while (str_starts(text, STR("./")))
        text = str_from(text, 2);
    for (;;) {
        size_t slash = str_find(text, STR("/"));
        struct str seg = slash == SIZE_MAX ? text : str_n(text.p, slash);
        bool again = alt->n && is_any_depth(alt->seg[alt->n - 1]) && is_any_depth(seg);
        if (seg.n && !again) {
            if (alt->n == MAX_SEGMENTS)
                return err_set(err, RC_INVALID, "the pattern has too many parts");
            alt->seg[alt->n++] = seg;
        }
        if (slash == SIZE_MAX)
            break;
        text = str_from(text, slash + 1);
    }
    g->n++;
    return RC_OK;
}

/* The place of the first brace that opens a list and the one that closes it. False when there is none. */
static bool find_braces(struct str s, size_t *open, size_t *close)
{
    unsigned depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\') {
            i++;
        } else if (s.p[i] == '{') {
            if (depth++ == 0)
                *open = i;
        } else if (s.p[i] == '}' && depth && --depth == 0) {
            *close = i;
            return true;
        }
    }
    return false;
}

static enum rc expand(struct arena *a, struct glob *g, struct str s, unsigned depth, struct err *err)
{
    size_t open = 0, close = 0;
    if (!find_braces(s, &open, &close))
        return add_alternative(a, g, s, err);
    if (depth == 16)
        return err_set(err, RC_INVALID, "the pattern nests too deeply");
    struct str after = str_from(s, close + 1);
    unsigned inner = 0;
    for (size_t i = open + 1, from = i; i <= close; i++) {
        if (s.p[i] == '\\') {
            i++;
            continue;
        }
        if (s.p[i] == '{')
            inner++;
        else if (s.p[i] == '}' && i != close)
            inner--;
        if (i != close && (s.p[i] != ',' || inner))
            continue;
        struct str one = arena_printf(a, "%.*s%.*s%.*s", (int)open, s.p, (int)(i - from), s.p + from, STR_ARG(after));
        enum rc rc = expand(a, g, one, depth + 1, err);
        if (rc)
            return rc;
        from = i + 1;
    }
    return RC_OK;
}

static bool brackets_close(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '[') {
            size_t j = i + 1;
            if (j < s.n && (s.p[j] == '!' || s.p[j] == '^'))
                j++;
            if (j < s.n && s.p[j] == ']')
                j++;
            while (j < s.n && s.p[j] != ']' && s.p[j] != '/')
                j++;
            if (j >= s.n || s.p[j] == '/')
                return false;
            i = j;
        }
    }
    return true;
}

enum rc glob_compile(struct arena *a, struct str pattern, const struct glob **ret, struct err *err)
{
    if (!pattern.n || pattern.n > MAX_PATTERN || memchr(pattern.p, 0, pattern.n))
        return err_set(err, RC_INVALID, "the pattern is empty or too long");
    if (!brackets_close(pattern))
        return err_set(err, RC_INVALID, "a [ in the pattern is not closed");
    struct glob *g = ARENA_NEW(a, struct glob);
    enum rc rc = expand(a, g, arena_str(a, pattern), 0, err);
    if (rc == RC_OK)
        *ret = g;
    return rc;
}

/* ---- matching ---- */

/* Matches one character against the `[...]` at p->p[0] and moves *p past it. */
static bool in_class(struct str *p, char c)
{
    size_t i = 1;
    bool negate = i < p->n && (p->p[i] == '!' || p->p[i] == '^'), hit = false;
    if (negate)
        i++;
    unsigned char x = (unsigned char)c;
    for (size_t first = i; i < p->n && (p->p[i] != ']' || i == first); i++) {
        unsigned char lo = (unsigned char)p->p[i], hi = lo;
        if (i + 2 < p->n && p->p[i + 1] == '-' && p->p[i + 2] != ']')
            hi = (unsigned char)p->p[i + 2], i += 2;
        hit |= lo <= x && x <= hi;
    }
    *p = str_from(*p, i + 1);
    return hit != negate;
}

/* Bytes of the character at the start of `s`: `?` stands for one character, not one byte. */
static size_t character(struct str s)
{
    size_t n = 1;
    if ((unsigned char)s.p[0] >= 0xC0)
        while (n < s.n && n < 4 && ((unsigned char)s.p[n] & 0xC0) == 0x80)
            n++;
    return n;
}

static bool match_segment(struct str p, struct str s)
{
    struct str star_p = {0}, star_s = {0};
    bool starred = false;
    while (s.n) {
        if (p.n && p.p[0] == '*') {
            p = str_from(p, 1);
            star_p = p, star_s = s, starred = true;
            continue;
        }
        struct str next = p;
        size_t took = 0;
        if (p.n && p.p[0] == '?')
            next = str_from(p, 1), took = character(s);
        else if (p.n && p.p[0] == '[')
            took = in_class(&next, s.p[0]);
        else if (p.n > 1 && p.p[0] == '\\' && p.p[1] == s.p[0])
            next = str_from(p, 2), took = 1;
        else if (p.n && p.p[0] == s.p[0] && p.p[0] != '\\')
            next = str_from(p, 1), took = 1;
        if (took) {
            p = next, s = str_from(s, took);
        } else if (starred) {
            star_s = str_from(star_s, 1);
            p = star_p, s = star_s;
        } else {
            return false;
        }
    }
    while (p.n && p.p[0] == '*')
        p = str_from(p, 1);
    return p.n == 0;
}

static size_t split_path(struct str path, struct str *seg)
{
    size_t n = 0;
    while (path.n && n < MAX_SEGMENTS) {
        size_t slash = str_find(path, STR("/"));
        struct str one = slash == SIZE_MAX ? path : str_n(path.p, slash);
        if (one.n)
            seg[n++] = one;
        path = str_from(path, one.n + 1);
    }
    return n;
}

/* `prefix`: it is enough that the path could be the beginning of a match. */
static bool match_list(const struct alternative *alt, const struct str *seg, size_t n, bool prefix)
{
    size_t p = 0, s = 0, star_p = 0, star_s = 0;
    bool starred = false;
    while (s < n) {
        if (p < alt->n && is_any_depth(alt->seg[p])) {
            if (prefix)
                return true;
            star_p = ++p, star_s = s, starred = true;
        } else if (p < alt->n && match_segment(alt->seg[p], seg[s])) {
            p++, s++;
        } else if (starred) {
            p = star_p, s = ++star_s;
        } else {
            return false;
        }
    }
    if (prefix)
        return p < alt->n;
    while (p < alt->n && is_any_depth(alt->seg[p]))
        p++;
    return p == alt->n;
}

static bool any_alternative(const struct glob *g, struct str path, bool prefix)
{
    struct str seg[MAX_SEGMENTS];
    size_t n = split_path(path, seg);
    for (size_t i = 0; i < g->n; i++)
        if (match_list(&g->alt[i], seg, n, prefix))
            return true;
    return false;
}

bool glob_match(const struct glob *g, struct str path)
{
    return any_alternative(g, path, false);
}

bool glob_may_enter(const struct glob *g, struct str path)
{
    return any_alternative(g, path, true);
}
