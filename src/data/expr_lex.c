/* Text into tokens, one at a time, because the end of a template's hole is only known to the parser.
 *
 * Positions count lines and bytes from where the text stands in its file; where that is unknown they count within the
 * text and messages say so. Strings take the escapes \\ \" \' \/ \n \t \r and \uXXXX; any other backslash stays as it
 * is, so that regular expressions need no doubling ('\d+\.py' is what it looks like). A name may hold any letters, but
 * the quotes and invisible spaces that word processors leave behind are refused by name: they look right and are not.
 */
#include "data/expr_int.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_MAX = 400 };

struct lexer lex_start(struct arena *a, struct str text, uint32_t line, uint32_t col, struct err *err)
{
    return (struct lexer){
        .a = a,
        .text = text.p ? text : STR(""),
        .line = line ? line : 1,
        .col0 = col ? col : 1,
        .known = line != 0,
        .err = err,
    };
}

uint32_t lex_col(const struct lexer *l)
{
    return l->col0 + (uint32_t)(l->pos - l->line_start);
}

enum rc lex_fail(const struct lexer *l, uint32_t line, uint32_t col, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(l->err, RC_EXPRESSION, fmt, ap);
    va_end(ap);
    if (l->known)
        return err_wrap(l->err, "%u:%u", line, col);
    if (line > 1)
        return err_wrap(l->err, "line %u, column %u", line, col);
    return err_wrap(l->err, "column %u", col);
}

void lex_skip(struct lexer *l, size_t n)
{
    for (; n && l->pos < l->text.n; n--, l->pos++)
        if (l->text.p[l->pos] == '\n') {
            l->line++;
            l->line_start = l->pos + 1;
            l->col0 = 1;
        }
}

bool lex_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}
bool lex_name_char(char c)
{
    return lex_name_start(c) || (c >= '0' && c <= '9');
}

static char at(const struct lexer *l, size_t i)
{
    return l->pos + i < l->text.n ? l->text.p[l->pos + i] : 0;
}
static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Characters that look like quotes or blanks: what they are, or NULL. */
static const char *impostor(struct str s)
{
    static const struct {
        const char *bytes, *what;
    } table[] = {
        {"\xC2\xA0", "a no-break space (U+00A0): write a plain space"},
        {"\xE2\x80\x8B", "an invisible space (U+200B): remove it"},
        {"\xEF\xBB\xBF", "a byte order mark (U+FEFF): remove it"},
        {"\xE2\x80\x98", "a curly quote (U+2018): write '"},
        {"\xE2\x80\x99", "a curly quote (U+2019): write '"},
        {"\xE2\x80\x9C", "a curly quote (U+201C): write \""},
        {"\xE2\x80\x9D", "a curly quote (U+201D): write \""},
        {"\xE2\x80\x93", "a dash (U+2013): write -"},
        {"\xE2\x88\x92", "a minus sign (U+2212): write -"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_starts(s, str_c(table[i].bytes)))
            return table[i].what;
    return NULL;
}

static enum rc lex_name(struct lexer *l, struct token *t)
{
    size_t n = 0;
    while (lex_name_char(at(l, n)) && !impostor(str_from(l->text, l->pos + n)))
        n++;
    if (n == 0) {
        const char *what = impostor(str_from(l->text, l->pos));
        return lex_fail(l, t->line, t->col, "unexpected %s", what ? what : "character");
    }
    t->kind = TK_NAME;
    t->name = str_n(l->text.p + l->pos, n);
    l->pos += n;
    return RC_OK;
}

static enum rc lex_number(struct lexer *l, struct token *t)
{
    size_t n = 0;
    bool real = false;
    while (digit(at(l, n)))
        n++;
    if (at(l, 0) == '0' && n > 1)
        return lex_fail(l, t->line, t->col, "a number must not begin with 0");
    if (at(l, n) == '.' && digit(at(l, n + 1))) {
        real = true;
        for (n++; digit(at(l, n));)
            n++;
    }
    if (at(l, n) == 'e' || at(l, n) == 'E') {
        size_t sign = at(l, n + 1) == '+' || at(l, n + 1) == '-';
        if (digit(at(l, n + 1 + sign))) {
            real = true;
            for (n += 1 + sign; digit(at(l, n));)
                n++;
        }
    }
    struct str s = {l->text.p + l->pos, n};
    if (n > NUMBER_MAX)
        return lex_fail(l, t->line, t->col, "a number may have at most %d digits", NUMBER_MAX);
    if (lex_name_start(at(l, n)))
        return lex_fail(l, t->line, t->col, "`%.*s%c` is neither a number nor a name; expected an operator after %.*s",
                        STR_ARG(s), (unsigned char)at(l, n) < 0x80 ? at(l, n) : '?', STR_ARG(s));
    t->kind = TK_NUMBER;
    int64_t i;
    if (real) {
        char z[NUMBER_MAX + 1];
        memcpy(z, s.p, n);
        z[n] = 0;
        double d = strtod(z, NULL);
        if (!isfinite(d))
            return lex_fail(l, t->line, t->col, "the number %.*s is too large", STR_ARG(s));
        t->val = val_double(d);
    } else if (str_to_i64(s, &i)) {
        t->val = val_int(i);
    } else {
        t->val = (struct val){.type = VAL_BIGINT, .s = s};
    }
    l->pos += n;
    return RC_OK;
}

static int hex4(const struct lexer *l, size_t i)
{
    int v = 0;
    for (size_t k = 0; k < 4; k++) {
        char c = at(l, i + k);
        int d = digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static size_t utf8_put(char *out, unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)), out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63)), out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* One escape at `\`; adds to out[*n] and moves on. */
static enum rc lex_escape(struct lexer *l, char *out, size_t *n)
{
    static const char from[] = "\\\"'/ntr", to[] = "\\\"'/\n\t\r";
    char c = at(l, 1);
    const char *hit = c ? strchr(from, c) : NULL;
    if (hit) {
        out[(*n)++] = to[hit - from];
        l->pos += 2;
        return RC_OK;
    }
    if (c != 'u') {
        out[(*n)++] = '\\';
        l->pos++;
        return RC_OK;
    }
    int u = hex4(l, 2);
    if (u < 0)
        return lex_fail(l, l->line, lex_col(l),
                        "\\u needs four hexadecimal digits; write \\\\u for a backslash and a u");
    unsigned cp = (unsigned)u;
    size_t used = 6;
    if (cp >= 0xD800 && cp < 0xDC00 && at(l, 6) == '\\' && at(l, 7) == 'u') {
        int low = hex4(l, 8);
        if (low >= 0xDC00 && low < 0xE000) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + ((unsigned)low - 0xDC00);
            used = 12;
        }
    }
    if (cp >= 0xD800 && cp < 0xE000)
        return lex_fail(l, l->line, lex_col(l), "\\u%04x is half of a surrogate pair; expected both halves", cp);
    *n += utf8_put(out + *n, cp);
    l->pos += used;
    return RC_OK;
}

static enum rc lex_string(struct lexer *l, struct token *t)
{
    char quote = at(l, 0);
    size_t end = l->pos + 1;
    bool plain = true;
    while (end < l->text.n && l->text.p[end] != quote) {
        if (l->text.p[end] == '\\')
            plain = false, end++;
        end++;
    }
    if (end >= l->text.n)
        return lex_fail(l, t->line, t->col, "this text is never closed; expected another %c", quote);
    t->kind = TK_STRING;
    if (plain) {
        t->val = val_str(str_n(l->text.p + l->pos + 1, end - l->pos - 1));
        lex_skip(l, end + 1 - l->pos);
        return RC_OK;
    }
    char *out = arena_alloc(l->a, end - l->pos); /* no escape is shorter than what it stands for */
    size_t n = 0;
    l->pos++;
    while (l->pos < end) {
        if (at(l, 0) == '\\') {
            enum rc rc = lex_escape(l, out, &n);
            if (rc != RC_OK)
                return rc;
        } else {
            out[n++] = at(l, 0);
            lex_skip(l, 1);
        }
    }
    l->pos = end + 1;
    t->val = val_str(str_n(out, n));
    return RC_OK;
}

/* `x | upper`, as Jinja has it. */
static enum rc no_filter(struct lexer *l, struct token *t)
{
    size_t from = 1, n = 0;
    const char *nearest, *instead = NULL;
    while (at(l, from) == ' ')
        from++;
    while (lex_name_char(at(l, from + n)))
        n++;
    struct str name = str_n(l->text.p + l->pos + from, n);
    const struct expr_fn *fn = n ? expr_fn_find(name, &nearest) : NULL;
    if (n && !fn)
        instead = expr_foreign_function(name);
    if (fn || (instead && !strpbrk(instead, " (.")))
        return lex_fail(l, t->line, t->col, "there are no filters (`|`); write %s(%s) for x | %.*s",
                        fn ? fn->name : instead, fn && fn->max == 1 ? "x" : "x, …", STR_ARG(name));
    if (instead)
        return lex_fail(l, t->line, t->col, "there are no filters (`|`); write %s for x | %.*s", instead,
                        STR_ARG(name));
    return lex_fail(l, t->line, t->col, "unknown operator `|`; write || or a function, such as upper(x)");
}

static enum rc lex_punct(struct lexer *l, struct token *t)
{
    static const struct {
        const char z[4];
        int punct;
        const char *instead; /* what to write, for other languages' operators */
    } table[] = {
        {"===", 0, "=="},
        {"!==", 0, "!="},
        {"==", P_EQ, NULL},
        {"!=", P_NE, NULL},
        {"<=", P_LE, NULL},
        {">=", P_GE, NULL},
        {"<>", 0, "!="},
        {"&&", P_AND, NULL},
        {"||", P_OR, NULL},
        {"=>", P_ARROW, NULL},
        {"??", 0, "||"},
        {"?.", 0, "."},
        {"**", 0, "pow(x, y)"},
        {"=~", 0, "matches"},
        {"=", 0, "== to compare"},
        {"!~", 0, "not matches"},
        {"&", 0, "and"},
        {"|", 0, NULL},
        {"//", 0, "floor(x / y)"},
        {"^", 0, "pow(x, y)"},
        {"...", 0, "merge(a, b) or concat(a, b)"},
        {"~", 0, "+, with string(x) for what is no text"},
        {"`", 0, "' or \" around text, + to join it"},
        {"${", 0, "the name alone"},
        {"$", 0, "a name, such as steps.plan.text"},
    };
    struct str rest = str_from(l->text, l->pos);
    t->kind = TK_PUNCT;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct str z = str_c(table[i].z);
        if (!str_starts(rest, z))
            continue;
        if (z.p[0] == '|' && z.n == 1)
            return no_filter(l, t);
        if (table[i].instead)
            return lex_fail(l, t->line, t->col, "unknown operator `%s`; write %s", table[i].z, table[i].instead);
        t->punct = table[i].punct;
        l->pos += z.n;
        return RC_OK;
    }
    char c = at(l, 0);
    if (!strchr("()[]{},:?.+-*/%<>!@", c) || !c) {
        if (c < 0x20 || c == 0x7F)
            return lex_fail(l, t->line, t->col, "unexpected control character 0x%02x", (unsigned)(unsigned char)c);
        return lex_fail(l, t->line, t->col, "unexpected character `%c`", c);
    }
    t->punct = (unsigned char)c;
    l->pos++;
    return RC_OK;
}

enum rc lex_next(struct lexer *l, struct token *ret)
{
    while (l->pos < l->text.n && (at(l, 0) == ' ' || (at(l, 0) >= '\t' && at(l, 0) <= '\r')))
        lex_skip(l, 1);
    struct token t = {.kind = TK_END, .from = l->pos, .line = l->line, .col = lex_col(l)};
    enum rc rc = RC_OK;
    char c = at(l, 0);
    if (l->pos < l->text.n) {
        if (lex_name_start(c))
            rc = lex_name(l, &t);
        else if (digit(c))
            rc = lex_number(l, &t);
        else if (c == '"' || c == '\'')
            rc = lex_string(l, &t);
        else
            rc = lex_punct(l, &t);
    }
    t.to = l->pos;
    *ret = t;
    return rc;
}
