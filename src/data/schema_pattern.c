/* Patterns: JSON Schema means ECMA-262's, PCRE2 is what matches them. The two differ where it matters:
 *
 *   $            is the very end; in PCRE2 also before a last newline, which would let "abc\n" pass ^[a-z]+$
 *   \d \w        are ASCII; with PCRE2's Unicode classes ٣ would be a digit
 *   \s           has the byte order mark too
 *   \p{Letter}   PCRE2 knows only the short names of categories
 *   \u0041       is unknown to PCRE2, so is \u{1F600}; surrogates written as a pair are one character
 *   [] [^]       nothing, and anything; in PCRE2 the ] would be a member
 *   [[:x]        a plain [; in PCRE2 perhaps a POSIX class
 *   (*           an error; in PCRE2 an instruction to the matcher, which no schema has to give
 * Left as they are: \b, and \D, \W and \S in a class (Unicode-aware here), and what PCRE2 has beyond ECMA-262, such as
 * \A and (?i); `format: regex` asks for ECMA-262 alone. */
#include "data/schema_int.h"

enum { PATTERN_MAX = 64 << 10 };

/* ECMA-262's names of general categories. */
static const struct {
    const char *name, *abbreviation;
} categories[] = {
    {"Letter", "L"},
    {"Cased_Letter", "L&"},
    {"Uppercase_Letter", "Lu"},
    {"Lowercase_Letter", "Ll"},
    {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"},
    {"Other_Letter", "Lo"},
    {"Mark", "M"},
    {"Combining_Mark", "M"},
    {"Nonspacing_Mark", "Mn"},
    {"Spacing_Mark", "Mc"},
    {"Enclosing_Mark", "Me"},
    {"Number", "N"},
    {"Decimal_Number", "Nd"},
    {"digit", "Nd"},
    {"Letter_Number", "Nl"},
    {"Other_Number", "No"},
    {"Punctuation", "P"},
    {"punct", "P"},
    {"Connector_Punctuation", "Pc"},
    {"Dash_Punctuation", "Pd"},
    {"Open_Punctuation", "Ps"},
    {"Close_Punctuation", "Pe"},
    {"Initial_Punctuation", "Pi"},
    {"Final_Punctuation", "Pf"},
    {"Other_Punctuation", "Po"},
    {"Symbol", "S"},
    {"Math_Symbol", "Sm"},
    {"Currency_Symbol", "Sc"},
    {"Modifier_Symbol", "Sk"},
    {"Other_Symbol", "So"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Line_Separator", "Zl"},
    {"Paragraph_Separator", "Zp"},
    {"Other", "C"},
    {"Control", "Cc"},
    {"cntrl", "Cc"},
    {"Format", "Cf"},
    {"Surrogate", "Cs"},
    {"Private_Use", "Co"},
    {"Unassigned", "Cn"},
};

struct reader {
    struct str in;
    size_t at;
    struct buf out;
    bool strict;
    struct err *err;
};

static bool refuse(struct reader *r, const char *why)
{
    err_set(r->err, RC_INVALID, "bad regular expression: %s (at byte %zu)", why, r->at);
    return false;
}

static char peek(const struct reader *r, size_t ahead)
{
    return r->at + ahead < r->in.n ? r->in.p[r->at + ahead] : 0;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Four digits from `ahead` on, or -1. */
static int four_digits(const struct reader *r, size_t ahead)
{
    int v = 0;
    for (size_t i = 0; i < 4; i++) {
        int d = hex(peek(r, ahead + i));
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

/* At \u: \uXXXX, a pair of them, or \u{X…}. */
static bool unicode_escape(struct reader *r)
{
    uint32_t code = 0;
    if (peek(r, 2) == '{') {
        size_t n = 3;
        for (; hex(peek(r, n)) >= 0 && code < 0x110000; n++)
            code = code * 16 + (uint32_t)hex(peek(r, n));
        if (n == 3 || peek(r, n) != '}')
            return refuse(r, "\\u{…} without a character's number");
        r->at += n + 1;
    } else {
        int first = four_digits(r, 2);
        if (first < 0)
            return refuse(r, "\\u without four hexadecimal digits");
        code = (uint32_t)first;
        r->at += 6;
        int second = peek(r, 0) == '\\' && peek(r, 1) == 'u' ? four_digits(r, 2) : -1;
        if (first >= 0xd800 && first < 0xdc00 && second >= 0xdc00 && second < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)second - 0xdc00);
            r->at += 6;
        }
    }
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return refuse(r, "\\u names no character");
    buf_printf(&r->out, "\\x{%x}", code);
    return true;
}

/* \d and \w in ASCII, \s with one more. A hyphen after them stands for itself. */
static void short_class(struct reader *r, char c, bool in_class)
{
    const char *members = strchr("dD", c) ? "0-9" : strchr("wW", c) ? "A-Za-z0-9_" : "\\s\\x{feff}";
    bool complement = strchr("DWS", c);
    r->at += 2;
    if (!in_class) {
        buf_printf(&r->out, "[%s%s]", complement ? "^" : "", members);
        return;
    }
    buf_addz(&r->out, members);
    if (peek(r, 0) == '-') {
        buf_addz(&r->out, "\\-");
        r->at++;
    }
}

/* At \p or \P: \p{Letter}, \p{General_Category=Letter}; anything else is left to PCRE2. */
static void property(struct reader *r)
{
    struct str rest = str_from(r->in, r->at + 2);
    size_t end = str_find(rest, STR("}"));
    if (!rest.n || rest.p[0] != '{' || end == SIZE_MAX) {
        buf_add(&r->out, str_n(r->in.p + r->at, 2));
        r->at += 2;
        return;
    }
    struct str name = str_n(rest.p + 1, end - 1);
    if (str_starts(name, STR("General_Category=")) || str_starts(name, STR("gc="))) {
        name = str_from(name, str_find(name, STR("=")) + 1);
    }
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (str_is(name, categories[i].name))
            name = str_c(categories[i].abbreviation);
    buf_printf(&r->out, "\\%c{%.*s}", r->in.p[r->at + 1], STR_ARG(name));
    r->at += 2 + end + 1;
}

static bool escape(struct reader *r, bool in_class)
{
    char c = peek(r, 1);
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (c == 'u')
        return unicode_escape(r);
    if (c && strchr(in_class ? "dws" : "dwsDWS", c)) {
        short_class(r, c, in_class);
        return true;
    }
    if (c == 'p' || c == 'P') {
        property(r);
        return true;
    }
    if (r->strict && letter && !strchr("DWSbBfnrtvcxk", c))
        return refuse(r, "an escape that ECMA-262 does not have");
    size_t n = r->in.n - r->at < 2 ? r->in.n - r->at : 2;
    buf_add(&r->out, str_n(r->in.p + r->at, n));
    r->at += n;
    return true;
}

/* At [. Copies the class to its end; an unclosed one is left for PCRE2 to refuse. */
static bool char_class(struct reader *r)
{
    size_t negated = peek(r, 1) == '^';
    if (peek(r, 1 + negated) == ']') {
        buf_addz(&r->out, negated ? "[\\s\\S]" : "(?!)");
        r->at += 2 + negated;
        return true;
    }
    buf_addz(&r->out, negated ? "[^" : "[");
    r->at += 1 + negated;
    while (r->at < r->in.n) {
        char c = peek(r, 0);
        if (c == '\\') {
            if (!escape(r, true))
                return false;
            continue;
        }
        if (c == '[')
            buf_addc(&r->out, '\\');
        buf_addc(&r->out, c);
        r->at++;
        if (c == ']')
            break;
    }
    return true;
}

/* At (?. One of (?: (?= (?! (?<= (?<! (?<name> and (?flags: of ECMA-262? */
static bool is_group(const struct reader *r)
{
    size_t at = 2;
    while (peek(r, at) && strchr("ims-", peek(r, at)))
        at++;
    return peek(r, at) == ':' || (at == 2 && peek(r, 2) && strchr("=!<", peek(r, 2)));
}

/* At { of a count: {2} {2,} {2,3}? */
static bool is_count(const struct reader *r)
{
    size_t at = 1, digits = 0;
    for (; peek(r, at) >= '0' && peek(r, at) <= '9'; at++)
        digits++;
    at += digits && peek(r, at) == ',';
    while (peek(r, at) >= '0' && peek(r, at) <= '9')
        at++;
    return digits && peek(r, at) == '}';
}

static bool translate(struct reader *r)
{
    while (r->at < r->in.n) {
        char c = peek(r, 0);
        if (c == '\\' || c == '[') {
            if (!(c == '[' ? char_class(r) : escape(r, false)))
                return false;
            continue;
        }
        if (c == '(' && peek(r, 1) == '*')
            return refuse(r, "nothing to repeat");
        if (r->strict && c == '(' && peek(r, 1) == '?' && !is_group(r))
            return refuse(r, "a group that ECMA-262 does not have");
        if (r->strict && (c == ']' || c == '}' || (c == '{' && !is_count(r))))
            return refuse(r, "a bracket that closes nothing, or a brace that is no count");
        if (r->strict && c == '{') { /* the count goes with its braces */
            size_t n = str_find(str_from(r->in, r->at), STR("}")) + 1;
            buf_add(&r->out, str_n(r->in.p + r->at, n));
            r->at += n;
            continue;
        }
        if (c == '$')
            buf_addz(&r->out, "\\z");
        else
            buf_addc(&r->out, c);
        r->at++;
    }
    return !r->out.overflow || refuse(r, "it is too long");
}

enum rc schema_pattern_compile(struct str pattern, bool strict, struct regex **ret, struct err *err)
{
    struct reader r = {.in = pattern, .strict = strict, .err = err};
    buf_init(&r.out, PATTERN_MAX);
    enum rc rc = translate(&r) ? regex_compile(buf_str(&r.out), false, ret, err) : RC_INVALID;
    buf_done(&r.out);
    return rc;
}
