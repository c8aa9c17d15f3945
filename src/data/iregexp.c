/* A recursive descent over RFC 9485's grammar that writes while it reads.
 *
 * The grammar is checked in full, so nothing that PCRE2 would understand differently gets through. Written anew are the
 * dot (not a line feed, nor a carriage return), the ends (the very ends of the text; the RFC's own mapping leaves `^`
 * and `$` to the target, and the compliance tests expect anchors), and every sign of punctuation in a class. */
#include "data/iregexp.h"

enum { DEPTH_MAX = 50, REPEAT_MAX = 65535 };

struct reader {
    struct str in;
    size_t at;
    unsigned depth;
    struct buf *out;
    struct err *err;
};

static enum rc refuse(const struct reader *r, const char *why)
{
    return err_set(r->err, RC_INVALID, "not an I-Regexp (RFC 9485): %s (at byte %zu)", why, r->at);
}

static int peek(const struct reader *r)
{
    return r->at < r->in.n ? (unsigned char)r->in.p[r->at] : -1;
}

static bool take(struct reader *r, char c)
{
    if (peek(r) != (unsigned char)c)
        return false;
    r->at++;
    return true;
}

static bool one_of(int c, const char *set)
{
    return c > 0 && strchr(set, c) != NULL;
}

/* A literal character; punctuation is escaped, letters, digits and what is not ASCII stand for themselves. */
static void put_char(struct reader *r, int c)
{
    bool plain = c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c < 0x20;
    if (!plain && c != 0x7F)
        buf_addc(r->out, '\\');
    buf_addc(r->out, (char)c);
}

/* Behind \p or \P: {Lu}, {L}… */
static enum rc category(struct reader *r, char kind)
{
    static const struct {
        char major;
        const char *minor;
    } all[] = {{'L', "lmotu"}, {'M', "cen"},  {'N', "dlo"}, {'P', "cdefios"},
               {'Z', "lps"},   {'S', "ckmo"}, {'C', "cfno"}};
    if (!take(r, '{'))
        return refuse(r, "expected { and a category, as in \\p{Lu}");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!take(r, all[i].major))
            continue;
        char name[3] = {all[i].major};
        if (one_of(peek(r), all[i].minor))
            name[1] = r->in.p[r->at++];
        if (!take(r, '}'))
            break;
        buf_printf(r->out, "\\%c{%s}", kind, name);
        return RC_OK;
    }
    return refuse(r, "unknown category; expected one of Unicode's, such as \\p{L} or \\p{Nd}");
}

/* Behind a backslash: a single character, or with *set a category. */
static enum rc escape(struct reader *r, int *ret, bool *set)
{
    int c = peek(r);
    *set = false;
    if (c == 'p' || c == 'P') {
        r->at++;
        *set = true;
        return category(r, (char)c);
    }
    if (!one_of(c, "()*+-.?[\\]^nrt{|}"))
        return refuse(r, "unknown escape; write [0-9] for \\d, [A-Za-z0-9_] for \\w and [ \\t\\n\\r] for \\s");
    r->at++;
    *ret = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
    return RC_OK;
}

/* Takes a whole character that stands for itself; its number. */
static uint32_t itself(struct reader *r)
{
    const unsigned char *p = (const unsigned char *)r->in.p + r->at;
    size_t len = *p < 0x80 ? 1 : *p < 0xE0 ? 2 : *p < 0xF0 ? 3 : 4;
    uint32_t code = len == 1 ? *p : *p & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++)
        code = code << 6 | (p[i] & 0x3Fu);
    if (len == 1)
        put_char(r, *p);
    else
        buf_add(r->out, str_n(r->in.p + r->at, len));
    r->at += len;
    return code;
}

/* One member of a class, or an end of a range. */
static enum rc class_char(struct reader *r, uint32_t *code, bool *set)
{
    int c = peek(r), single = 0;
    *set = false;
    if (c < 0)
        return refuse(r, "a class without ]");
    if (c == '-' || c == '[')
        return refuse(r, c == '-' ? "a - in a class stands first, last or behind a backslash"
                                  : "a [ in a class stands behind a backslash");
    if (take(r, '\\')) {
        TRY(escape(r, &single, set));
        if (!*set) {
            put_char(r, single);
            *code = (uint32_t)single;
        }
        return RC_OK;
    }
    *code = itself(r);
    return RC_OK;
}

/* Behind [. */
static enum rc bracketed(struct reader *r)
{
    bool any = false;
    buf_addc(r->out, '[');
    if (take(r, '^'))
        buf_addc(r->out, '^');
    if (take(r, '-')) {
        buf_addz(r->out, "\\-");
        any = true;
    }
    while (!(any && take(r, ']'))) {
        uint32_t first = 0, last = 0;
        bool set;
        if (peek(r) == ']')
            return refuse(r, "an empty class");
        if (any && peek(r) == '-' && r->at + 1 < r->in.n && r->in.p[r->at + 1] == ']') {
            buf_addz(r->out, "\\-]");
            r->at += 2;
            return RC_OK;
        }
        TRY(class_char(r, &first, &set));
        any = true;
        if (set || peek(r) != '-' || (r->at + 1 < r->in.n && r->in.p[r->at + 1] == ']'))
            continue;
        r->at++;
        buf_addc(r->out, '-');
        TRY(class_char(r, &last, &set));
        if (set || last < first)
            return refuse(r, "a range that ends before it begins");
    }
    buf_addc(r->out, ']');
    return RC_OK;
}

static enum rc number(struct reader *r, unsigned *ret)
{
    unsigned n = 0;
    size_t from = r->at;
    for (; peek(r) >= '0' && peek(r) <= '9'; r->at++)
        n = n > REPEAT_MAX ? n : n * 10 + (unsigned)(peek(r) - '0');
    if (r->at == from)
        return refuse(r, "expected a number in { }");
    if (n > REPEAT_MAX)
        return err_set(r->err, RC_LIMIT, "a regular expression repeats something more than %d times", REPEAT_MAX);
    *ret = n;
    return RC_OK;
}

static enum rc quantifier(struct reader *r)
{
    int c = peek(r);
    if (one_of(c, "*+?")) {
        r->at++;
        buf_addc(r->out, (char)c);
        return RC_OK;
    }
    if (!take(r, '{'))
        return RC_OK;
    unsigned least = 0, most = 0;
    TRY(number(r, &least));
    buf_printf(r->out, "{%u", least);
    if (take(r, ',')) {
        buf_addc(r->out, ',');
        if (peek(r) != '}') {
            TRY(number(r, &most));
            if (most < least)
                return refuse(r, "a range that ends before it begins");
            buf_printf(r->out, "%u", most);
        }
    }
    if (!take(r, '}'))
        return refuse(r, "expected } after a number");
    buf_addc(r->out, '}');
    return RC_OK;
}

static enum rc branches(struct reader *r);

static enum rc atom(struct reader *r)
{
    int c = peek(r), single = 0;
    bool set;
    switch (c) {
    case '(':
        r->at++;
        if (++r->depth > DEPTH_MAX)
            return err_set(r->err, RC_LIMIT, "a regular expression nested more than %d levels deep", DEPTH_MAX);
        buf_addz(r->out, "(?:");
        TRY(branches(r));
        if (!take(r, ')'))
            return refuse(r, "expected )");
        r->depth--;
        buf_addc(r->out, ')');
        return RC_OK;
    case '.':
        r->at++;
        buf_addz(r->out, "[^\\n\\r]");
        return RC_OK;
    case '^':
    case '$':
        r->at++;
        buf_addz(r->out, c == '^' ? "\\A" : "\\z");
        return RC_OK;
    case '[':
        r->at++;
        return bracketed(r);
    case '\\':
        r->at++;
        TRY(escape(r, &single, &set));
        if (!set)
            put_char(r, single);
        return RC_OK;
    case '*':
    case '+':
    case '?':
    case '{':
        return refuse(r, "nothing to repeat");
    case ']':
    case '}':
        return refuse(r, "a ] or } without its beginning; write it behind a backslash");
    default:
        itself(r);
        return RC_OK;
    }
}

static enum rc branches(struct reader *r)
{
    for (;;) {
        int c = peek(r);
        if (c < 0 || c == ')')
            return RC_OK;
        if (take(r, '|')) {
            buf_addc(r->out, '|');
            continue;
        }
        TRY(atom(r));
        TRY(quantifier(r));
    }
}

enum rc iregexp_translate(struct str pattern, bool whole, struct buf *out, struct err *err)
{
    struct reader r = {.in = pattern, .out = out, .err = err};
    if (str_utf8_valid(pattern) != pattern.n)
        return err_set(err, RC_INVALID, "not an I-Regexp (RFC 9485): not valid UTF-8");
    buf_addz(out, whole ? "\\A(?:" : "(?:");
    TRY(branches(&r));
    if (r.at < pattern.n)
        return refuse(&r, "a ) without its beginning");
    buf_addz(out, whole ? ")\\z" : ")");
    if (out->overflow)
        return err_set(err, RC_LIMIT, "a regular expression that is too long");
    return RC_OK;
}
