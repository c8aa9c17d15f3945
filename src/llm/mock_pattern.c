/* A recursive descent over the pattern that writes while it reads: each atom is written as often as its quantifier asks
 * at least, a few times more where the text is still too short. What comes out is matched against the pattern, so a
 * construct that this reading misses can only lead to "cannot", never to a wrong text. */
#include "llm/mock_pattern.h"

#include "base/buf.h"
#include "data/regex.h"

#include <ctype.h>

enum { MAX_TEXT = 4000, MAX_DEPTH = 20, MAX_REPEAT = 1000 };

struct reader {
    struct str p;
    size_t i;
    unsigned depth;
    bool failed;
};

static char peek(const struct reader *r)
{
    return r->i < r->p.n ? r->p.p[r->i] : 0;
}
static bool at_end(const struct reader *r)
{
    return r->i >= r->p.n || r->failed;
}

/* A character that the escape behind the backslash stands for; 0: none (an anchor). */
static char escape(struct reader *r)
{
    static const char classes[] = "dwsDWSnrtbB", examples[] = "0a xx-\n\r\t\0";
    char c = peek(r);
    r->i++;
    if (c == 0 || (isalnum((unsigned char)c) && !memchr(classes, c, sizeof classes - 1))) {
        r->failed = true; /* back references, properties, … */
        return 0;
    }
    const char *at = memchr(classes, c, sizeof classes - 1);
    if (!at)
        return c;
    return at - classes >= 9 ? 0 : examples[at - classes];
}

/* Which characters stand in a class, so that one outside can be found when it is negated. */
static char class_member(struct reader *r)
{
    bool in[128] = {false}, negated = peek(r) == '^', first = true;
    char one = 0;
    r->i += negated;
    while (!at_end(r) && (peek(r) != ']' || first)) {
        first = false;
        char low = peek(r);
        r->i++;
        bool escaped = low == '\\';
        char kind = peek(r);
        if (escaped)
            low = escape(r);
        char high = low;
        if (escaped && low && (kind == 'd' || kind == 'w' || kind == 's')) {
            for (int c = 0; c < 128; c++)
                in[c] |= kind == 'd' ? isdigit(c) != 0 : kind == 'w' ? isalnum(c) || c == '_' : isspace(c) != 0;
        } else if (peek(r) == '-' && r->i + 1 < r->p.n && r->p.p[r->i + 1] != ']') {
            r->i++;
            high = peek(r);
            r->i++;
            if (high == '\\')
                high = escape(r);
        }
        for (unsigned c = (unsigned char)low; c <= (unsigned char)high && c < 128; c++)
            in[c] = true;
        if (!one)
            one = low;
    }
    r->failed |= at_end(r);
    r->i++;
    for (int c = 'a'; negated && c != 'a' - 1; c = c == 126 ? 32 : c + 1) {
        if (!in[c])
            return (char)c;
    }
    r->failed |= negated || !one;
    return one;
}

static void alternatives(struct reader *r, struct buf *out, size_t min);

/* Behind `(`: `?:`, a name, or options. True when that was all, as in (?i); what looks ahead or back is not read. */
static bool skip_marks(struct reader *r)
{
    r->i++;
    if (peek(r) == 'P' || peek(r) == '<') {
        r->i += peek(r) == 'P';
        r->failed |= peek(r) != '<';
        for (r->i++; isalnum((unsigned char)peek(r)) || peek(r) == '_'; r->i++)
            ;
        r->failed |= peek(r) != '>'; /* (?<= and (?<! too */
    } else {
        while (isalpha((unsigned char)peek(r)) || peek(r) == '-')
            r->i++;
        r->failed |= peek(r) != ':' && peek(r) != ')';
    }
    r->i++;
    return !r->failed && r->p.p[r->i - 1] == ')';
}

/* One atom is written to `out`; false when there is none to repeat (an anchor). */
static bool atom(struct reader *r, struct buf *out)
{
    char c = peek(r);
    r->i++;
    if (c == '^' || c == '$')
        return false;
    if (c == '(') {
        if (peek(r) == '?' && skip_marks(r))
            return false;
        alternatives(r, out, 0);
        r->failed |= peek(r) != ')';
        r->i++;
        return true;
    }
    c = c == '.' ? 'a' : c == '[' ? class_member(r) : c == '\\' ? escape(r) : c;
    if (c)
        buf_addc(out, c);
    return c != 0;
}

static size_t number(struct reader *r)
{
    size_t n = 0;
    while (isdigit((unsigned char)peek(r)) && n <= MAX_REPEAT) {
        n = n * 10 + (size_t)(peek(r) - '0');
        r->i++;
    }
    r->failed |= n > MAX_REPEAT;
    return n;
}

static void quantifier(struct reader *r, size_t *least, size_t *most)
{
    char c = peek(r);
    *least = *most = 1;
    if (c == '*' || c == '+' || c == '?') {
        *least = c == '+';
        *most = c == '?' ? 1 : MAX_REPEAT;
        r->i++;
    } else if (c == '{') {
        r->i++;
        *least = *most = number(r);
        if (peek(r) == ',') {
            r->i++;
            *most = peek(r) == '}' ? MAX_REPEAT : number(r);
        }
        r->failed |= peek(r) != '}';
        r->i++;
    } else {
        return;
    }
    if (peek(r) == '?' || peek(r) == '+') /* lazy, possessive */
        r->i++;
}

static void sequence(struct reader *r, struct buf *out, size_t min)
{
    struct buf one;
    buf_init(&one, MAX_TEXT);
    while (!at_end(r) && peek(r) != '|' && peek(r) != ')' && !out->overflow) {
        buf_clear(&one);
        size_t least, most;
        if (!atom(r, &one))
            continue;
        quantifier(r, &least, &most);
        for (size_t n = 0; n < least || (n < most && one.n && out->n < min); n++)
            buf_add(out, buf_str(&one));
        r->failed |= one.overflow;
    }
    buf_done(&one);
}

/* The first alternative is written, the others are only read. */
static void alternatives(struct reader *r, struct buf *out, size_t min)
{
    if (++r->depth > MAX_DEPTH)
        r->failed = true;
    sequence(r, out, min);
    while (!at_end(r) && peek(r) == '|') {
        struct buf unused;
        buf_init(&unused, MAX_TEXT);
        r->i++;
        sequence(r, &unused, 0);
        buf_done(&unused);
    }
    r->depth--;
}

bool mock_pattern(struct arena *a, struct str pattern, size_t min, struct str *ret)
{
    struct reader r = {.p = pattern};
    struct buf out;
    struct regex *regex;
    struct regex_match m;
    struct err ignored;
    buf_init(&out, MAX_TEXT);
    alternatives(&r, &out, min);
    bool good = !r.failed && !out.overflow && r.i >= pattern.n;
    if (good && regex_compile(pattern, false, &regex, &ignored) == RC_OK) {
        good = regex_search(regex, buf_str(&out), 0, &m, &ignored) == RC_OK && m.found;
        regex_free(regex);
    } else {
        good = false;
    }
    if (good)
        *ret = arena_str(a, buf_str(&out));
    buf_done(&out);
    return good;
}
