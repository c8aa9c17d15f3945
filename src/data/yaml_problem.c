/* The scanner knows where it could not go on, which is often a line after the mistake, and says so in words about
 * tokens. Some mistakes are so common that the lines around the place are looked at for them first: an unquoted
 * template
 * (`prompt: {{ x }}`) and a missing space (`name:value`, `-item`). Everything else goes through a table: a part of
 * the scanner's words, what is wrong, what was expected, and whether the place to show is where the context began. */
#include "data/yaml_problem.h"

#include <stdio.h>

enum { EXCERPT_MAX = 80 };

/* Line `line` (from 1) without its end. */
static struct str line_at(struct str text, uint32_t line)
{
    for (; line > 1; line--) {
        size_t nl = str_find(text, STR("\n"));
        if (nl == SIZE_MAX)
            return STR("");
        text = str_from(text, nl + 1);
    }
    size_t nl = str_find(text, STR("\n"));
    if (nl != SIZE_MAX)
        text.n = nl;
    if (text.n && text.p[text.n - 1] == '\r')
        text.n--;
    return text;
}

/* Byte offset of column `col` (in characters, from 1), at most s.n. */
static size_t col_offset(struct str s, uint32_t col)
{
    size_t i = 0;
    for (uint32_t c = 1; c < col && i < s.n; c++)
        for (i++; i < s.n && ((unsigned char)s.p[i] & 0xc0) == 0x80;)
            i++;
    return i;
}

static uint32_t col_at(struct str s, size_t offset)
{
    uint32_t col = 1;
    for (size_t i = 0; i < offset && i < s.n; i++)
        col += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return col;
}

/* Past indentation and list dashes. */
static size_t item_start(struct str s)
{
    size_t i = 0;
    while (i < s.n && (s.p[i] == ' ' || (s.p[i] == '-' && i + 1 < s.n && s.p[i + 1] == ' ')))
        i++;
    return i;
}

static size_t key_end(struct str s, size_t i)
{
    while (i < s.n && s.p[i] != ':' && s.p[i] != ' ' && s.p[i] != '"' && s.p[i] != '\'' && s.p[i] != '{' &&
           s.p[i] != '[' && s.p[i] != '#')
        i++;
    return i;
}

/* Where an unquoted `{{` begins the value of a line, or SIZE_MAX. */
static size_t find_template(struct str s)
{
    size_t i = item_start(s), end = key_end(s, i);
    if (end > i && end < s.n && s.p[end] == ':')
        for (i = end + 1; i < s.n && s.p[i] == ' ';)
            i++;
    return str_starts(str_from(s, i), STR("{{")) ? i : SIZE_MAX;
}

/* Where `key:value` lacks its space, or SIZE_MAX. */
static size_t find_tight_colon(struct str s)
{
    size_t i = item_start(s), end = key_end(s, i);
    bool tight = end > i && end + 1 < s.n && s.p[end] == ':' && s.p[end + 1] != ' ' && s.p[end + 1] != '/';
    return tight ? end : SIZE_MAX;
}

enum rc yaml_problem_template(const char *file, struct str text, uint32_t line, uint32_t col, struct err *err)
{
    struct str s = line_at(text, line);
    s = str_trim(str_from(s, col_offset(s, col)));
    size_t close = str_find(s, STR("}}"));
    if (close != SIZE_MAX)
        s.n = close + 2;
    bool whole = s.n <= EXCERPT_MAX && close != SIZE_MAX;
    bool quoted = str_find(s, STR("\"")) != SIZE_MAX;
    return err_set(err, RC_INVALID,
                   "%s:%u:%u: an unquoted {{ begins a YAML mapping, not a template; expected quotes around the whole "
                   "value: %s%.*s%s",
                   file, line, col, quoted ? "'" : "\"", STR_ARG(whole ? s : STR("{{ … }}")), quoted ? "'" : "\"");
}

/* Where a report shows the mistake: at the problem, at the problem with the line where its container begins, or where
 * the context began. */
enum place { HERE, INSIDE, CONTEXT };

static const struct {
    const char *part, *wrong, *expected;
    enum place place;
} table[] = {
    {"mapping values are not allowed", "a ':' stands where no key can be",
     "quotes around a value that contains ': ', or the key on a line of its own, indented like its siblings", HERE},
    {"could not find expected ':'", "this line has no ':' and a value after its key",
     "\"key: value\" (or quotes, if it is text)", CONTEXT},
    {"did not find expected ',' or ']'", "a [list] is not closed or lacks a comma", "',' or ']'", INSIDE},
    {"did not find expected ',' or '}'", "a {mapping} is not closed or lacks a comma", "',' or '}'", INSIDE},
    {"found unexpected end of stream", "this quote is never closed", "the same quote at the end of the text", CONTEXT},
    {"found unexpected document indicator", "this quote is not closed before the document ends",
     "the same quote at the end of the text", CONTEXT},
    {"found unknown escape character", "an unknown escape in a double-quoted text",
     "\\\\ for a backslash, or single quotes", HERE},
    {"hexdecimal number", "an escape without its hexadecimal digits",
     "\\xHH, \\uHHHH or \\UHHHHHHHH; \\\\ for a backslash", HERE},
    {"invalid Unicode character escape", "an escape that names no character", "a Unicode character", HERE},
    {"tab character", "a tab is used for indentation", "spaces", HERE},
    {"block sequence entries are not allowed", "a list item cannot begin here", "\"- \" on a line of its own", HERE},
    {"mapping keys are not allowed", "a '?' key cannot begin here", "\"key: value\"", HERE},
    {"did not find expected <document start>", "this line does not belong to what is above it",
     "the first column of the other lines, and one document a file", HERE},
    {"did not find expected node content", "a value is missing here", "a value, or quotes around text", HERE},
    {"did not find expected alphabetic or numeric character",
     "a value that begins with '*' or '&' is an alias or an anchor", "quotes around text", CONTEXT},
    {"undefined tag handle", "a value that begins with '!' is a tag, and this one is unknown", "quotes around text",
     HERE},
    {"control characters are not allowed", "a control character", "an escape in double quotes", HERE},
    {"did not find expected comment or line break", "text after '|' or '>'",
     "the text on the next lines, indented, or quotes around it", HERE},
    {"indentation indicator", "a wrong indentation indicator after '|' or '>'", "a digit from 1 to 9", HERE},
    {"incompatible YAML document", "a %YAML directive for another version", "%YAML 1.2", HERE},
};

/* The last line above `line` that has more than blanks and a comment; its number, or 0. */
static uint32_t line_above(struct str text, uint32_t line)
{
    while (--line > 0) {
        struct str s = str_trim(line_at(text, line));
        if (s.n && s.p[0] != '#')
            return line;
    }
    return 0;
}

/* The line above whose text (`|`, `>`) goes down to `line`; 0: there is none. *ret_col: where the text begins. */
static uint32_t text_above(struct str text, uint32_t line, uint32_t *ret_col)
{
    size_t least = SIZE_MAX;
    for (uint32_t n = line_above(text, line); n; n = line_above(text, n)) {
        struct str s = line_at(text, n), head = str_trim(s);
        size_t indent = col_at(s, (size_t)(head.p - s.p));
        while (head.n && memchr("+-0123456789", head.p[head.n - 1], 12))
            head.n--;
        bool header = head.n > 1 && memchr("|>", head.p[head.n - 1], 2) && memchr(": ", head.p[head.n - 2], 2);
        if (header && least != SIZE_MAX && least > indent) {
            *ret_col = (uint32_t)least;
            return n;
        }
        if (header)
            return 0;
        least = indent; /* of the text's first line, at last */
    }
    return 0;
}

/* A quoted text ends in the middle of what was meant: by a quote inside it, or because one above was never closed. */
static enum rc report_quote(const struct yaml_problem *p, struct str s, size_t end, struct err *err)
{
    char quote = s.p[end - 1];
    size_t quotes = 0;
    for (size_t i = 0; i < end; i++)
        quotes += s.p[i] == quote;
    for (uint32_t n = quotes % 2 ? line_above(p->text, p->line) : 0; n; n = line_above(p->text, n)) {
        struct str above = line_at(p->text, n);
        size_t last = 0, count = 0;
        for (size_t i = 0; i < above.n; i++)
            if (above.p[i] == quote)
                last = i, count++;
        if (count % 2)
            return err_set(
                err, RC_INVALID,
                "%s:%u:%u: this quote is not closed in its line, so that the text goes on to line %u; expected "
                "the same quote at the end of the text",
                p->file, n, col_at(above, last), p->line);
    }
    return err_set(
        err, RC_INVALID,
        "%s:%u:%u: something follows the end of a value, which ends with its closing quote; expected %s for a "
        "quote inside, or %s quotes around the whole value",
        p->file, p->line, p->col, quote == '"' ? "\\\"" : "''", quote == '"' ? "single" : "double");
}

/* An item of a list that is not in the column of the others. False: it is none. */
static bool report_stray_item(const struct yaml_problem *p, struct str s, size_t at, struct err *err)
{
    if (!str_starts(str_from(s, at), STR("- ")))
        return false;
    for (uint32_t n = line_above(p->text, p->line); n; n = line_above(p->text, n)) {
        struct str above = line_at(p->text, n), trimmed = str_trim(above);
        uint32_t col = col_at(above, (size_t)(trimmed.p - above.p));
        bool item = str_starts(trimmed, STR("- ")), owner = trimmed.n > 1 && trimmed.p[trimmed.n - 1] == ':';
        if ((!item && !owner) || (item && col == p->col))
            continue;
        err_set(err, RC_INVALID, "%s:%u:%u: this item is in no list; expected \"- \" in column %u%s, %s line %u",
                p->file, p->line, p->col, col, item ? "" : " or further right", item ? "as in" : "below the key of", n);
        return true;
    }
    return false;
}

/* The scanner expected another key or item of the container that began at the context. */
static enum rc report_stray(const struct yaml_problem *p, const char *container, const char *entry, struct err *err)
{
    struct str s = line_at(p->text, p->line);
    size_t at = col_offset(s, p->col), end = at;
    while (end && s.p[end - 1] == ' ')
        end--;
    if (end && memchr("\"'", s.p[end - 1], 2))
        return report_quote(p, s, end, err);
    if (end)
        return err_set(err, RC_INVALID,
                       "%s:%u:%u: something follows the end of a value; expected the end of the line, or quotes around "
                       "the whole value",
                       p->file, p->line, p->col);
    if (report_stray_item(p, s, at, err))
        return RC_INVALID;
    char also[80] = "";
    uint32_t above = line_above(p->text, p->line), col = 0, header = text_above(p->text, p->line, &col);
    struct str before = above ? line_at(p->text, above) : STR("");
    if (header)
        snprintf(also, sizeof also, ", or column %u for the text of line %u", col, header);
    else if (above && col_at(before, item_start(before)) > p->col)
        snprintf(also, sizeof also, ", or column %u, as in line %u", col_at(before, item_start(before)), above);
    return err_set(err, RC_INVALID,
                   "%s:%u:%u: this does not belong to the %s that begins at line %u; expected %s in "
                   "column %u%s",
                   p->file, p->line, p->col, container, p->context_line, entry, p->context_col, also);
}

/* A key among the items of a list: it was meant to go on with the item above. False: it is none. */
static bool report_stray_key(const struct yaml_problem *p, struct err *err)
{
    struct str s = line_at(p->text, p->line), first = line_at(p->text, p->context_line);
    size_t at = col_offset(s, p->col), end = key_end(s, at), item = key_end(first, item_start(first));
    if (str_trim(str_n(s.p, at)).n || end == at || end >= s.n || s.p[end] != ':' || item >= first.n ||
        first.p[item] != ':')
        return false;
    err_set(err, RC_INVALID,
            "%s:%u:%u: this key belongs to no item of the list that begins at line %u; expected it in column %u, below "
            "the keys of an item, or a new \"- \" in column %u",
            p->file, p->line, p->col, p->context_line, col_at(first, item_start(first)), p->context_col);
    return true;
}

/* `name w` above `steps:`: to the scanner both are one text, and the ':' is in its way. */
static bool report_missing_colon(const struct yaml_problem *p, struct err *err)
{
    struct str s = line_at(p->text, p->line);
    if (key_end(s, item_start(s)) != col_offset(s, p->col)) /* the line as such is fine */
        return false;
    uint32_t above = line_above(p->text, p->line);
    struct str before = above ? line_at(p->text, above) : STR("");
    size_t at = item_start(before);
    struct str text = str_trim(str_from(before, at));
    if (!text.n || memchr(text.p, ':', text.n) || memchr("\"'{[|>#", text.p[0], 7))
        return false;
    err_set(err, RC_INVALID, "%s:%u:%u: this line has no ':'; expected \"key: value\", as in `%.*s:%.*s`", p->file,
            above, col_at(before, at), (int)(key_end(text, 0) > 30 ? 30 : key_end(text, 0)), text.p,
            (int)(text.n - key_end(text, 0) > 30 ? 30 : text.n - key_end(text, 0)), text.p + key_end(text, 0));
    return true;
}

/* A key further right than the one above it: to the scanner it goes on with that one's value. */
static bool report_deeper_key(const struct yaml_problem *p, struct err *err)
{
    struct str s = line_at(p->text, p->line);
    uint32_t above = line_above(p->text, p->line);
    if (!above || key_end(s, item_start(s)) != col_offset(s, p->col))
        return false;
    struct str before = line_at(p->text, above);
    size_t at = item_start(before), end = key_end(before, at);
    if (end == at || end + 1 >= before.n || before.p[end] != ':')
        return false;
    err_set(
        err, RC_INVALID,
        "%s:%u:%u: a ':' stands where no key can be; expected the key in column %u, as in line %u, whose value this "
        "line goes on with",
        p->file, p->line, p->col, col_at(before, at), above);
    return true;
}

/* A line of text at or left of the key whose `|` it was meant for. */
static bool report_text_block(const struct yaml_problem *p, struct err *err)
{
    uint32_t above = p->context_line ? line_above(p->text, p->context_line) : 0;
    struct str before = str_trim(line_at(p->text, above ? above : 1));
    while (before.n && memchr("+-0123456789", before.p[before.n - 1], 12))
        before.n--;
    if (!above || before.n < 2 || !memchr("|>", before.p[before.n - 1], 2) || !memchr(": ", before.p[before.n - 2], 2))
        return false;
    err_set(
        err, RC_INVALID,
        "%s:%u:%u: this is not indented and so no part of the text of '%c' in line %u; expected it further right than "
        "the key",
        p->file, p->context_line, p->context_col, before.p[before.n - 1], above);
    return true;
}

static unsigned char char_at(const struct yaml_problem *p)
{
    struct str s = line_at(p->text, p->line);
    s = str_from(s, col_offset(s, p->col));
    return s.n ? (unsigned char)s.p[0] : 0;
}

static enum rc report_char(const struct yaml_problem *p, struct err *err)
{
    unsigned char c = char_at(p);
    if (c == '\t')
        return err_set(err, RC_INVALID, "%s:%u:%u: a tab is used for indentation; expected spaces", p->file, p->line,
                       p->col);
    struct str s = line_at(p->text, p->line);
    if (str_starts(str_from(s, col_offset(s, p->col)), STR("```")))
        return err_set(err, RC_INVALID, "%s:%u:%u: a fence of Markdown; expected only the lines between two of them",
                       p->file, p->line, p->col);
    return err_set(err, RC_INVALID, "%s:%u:%u: '%c' cannot begin a value; expected quotes around it", p->file, p->line,
                   p->col, c > 0x20 && c < 0x7f ? c : '?');
}

/* What was never meant as YAML: marks of version control, spaces that only look like one, comments of other languages.
 */
static bool report_foreign(const struct yaml_problem *p, const uint32_t *lines, struct err *err)
{
    static const struct {
        const char *text, *wrong;
        bool first; /* at the beginning of a line only */
    } foreign[] = {
        {"<<<<<<< ", "a conflict that version control has left; expected one of its two versions", true},
        {">>>>>>> ", "a conflict that version control has left; expected one of its two versions", true},
        {"\xc2\xa0", "a no-break space; expected a plain space", false},
        {" // ", "'//' begins no comment here; expected '#'", false},
    };
    for (size_t f = 0; f < sizeof foreign / sizeof *foreign; f++)
        for (unsigned i = 0; i < 3; i++) {
            struct str s = lines[i] ? line_at(p->text, lines[i]) : STR("");
            size_t at = str_find(s, str_c(foreign[f].text));
            size_t quotes = 0;
            for (size_t k = 0; at != SIZE_MAX && k < at; k++)
                quotes += s.p[k] == '"' || s.p[k] == '\'';
            if (at == SIZE_MAX || (foreign[f].first && at) || quotes % 2)
                continue;
            err_set(err, RC_INVALID, "%s:%u:%u: %s", p->file, lines[i], col_at(s, at + (s.p[at] == ' ')),
                    foreign[f].wrong);
            return true;
        }
    return false;
}

static bool report_common_mistake(const struct yaml_problem *p, struct err *err)
{
    const uint32_t lines[] = {p->context_line, p->line, p->line - 1};
    if (report_foreign(p, lines, err))
        return true;
    for (unsigned i = 0; i < 2; i++) { /* not the line before: it may be the end of a text block */
        struct str s = lines[i] ? line_at(p->text, lines[i]) : STR("");
        size_t at = find_template(s);
        if (at != SIZE_MAX) {
            yaml_problem_template(p->file, p->text, lines[i], col_at(s, at), err);
            return true;
        }
    }
    bool about_colon = p->problem && (strstr(p->problem, "':'") || strstr(p->problem, "mapping values"));
    for (unsigned i = 0; about_colon && i < 3; i++) {
        struct str s = lines[i] ? line_at(p->text, lines[i]) : STR("");
        size_t at = find_tight_colon(s);
        if (at != SIZE_MAX) {
            err_set(err, RC_INVALID, "%s:%u:%u: a space is missing after ':'; expected \"key: value\"", p->file,
                    lines[i], col_at(s, at));
            return true;
        }
    }
    for (unsigned i = 0; about_colon && i < 3; i++) {
        struct str s = lines[i] ? line_at(p->text, lines[i]) : STR("");
        size_t at = item_start(s);
        if (at + 1 < s.n && s.p[at] == '-' && s.p[at + 1] != '-') {
            err_set(err, RC_INVALID, "%s:%u:%u: a space is missing after '-'; expected \"- item\"", p->file, lines[i],
                    col_at(s, at));
            return true;
        }
    }
    return false;
}

bool yaml_problem_is_template(struct str text, uint32_t line, uint32_t col)
{
    struct str s = line_at(text, line);
    return str_starts(str_from(s, col_offset(s, col)), STR("{{"));
}

enum rc yaml_problem_report(const struct yaml_problem *p, struct err *err)
{
    const char *problem = p->problem ? p->problem : "not understood";
    if (strstr(problem, "<document start>") && str_starts(p->text, STR("%")))
        return err_set(err, RC_INVALID, "%s:%u:%u: a line with '%%' begins the file; expected '---' on a line below it",
                       p->file, p->line, p->col);
    if (report_common_mistake(p, err))
        return RC_INVALID;
    if (strstr(problem, "cannot start any token"))
        return report_char(p, err);
    bool key_or_value = strstr(problem, "expected key") || strstr(problem, "expected node content");
    if (key_or_value && char_at(p) == ':')
        return err_set(err, RC_INVALID, "%s:%u:%u: a key is missing before ':'; expected \"key: value\"", p->file,
                       p->line, p->col);
    if (strstr(problem, "did not find expected key"))
        return report_stray(p, "mapping", "\"key: value\"", err);
    if (strstr(problem, "did not find expected '-' indicator"))
        return report_stray_key(p, err) ? RC_INVALID : report_stray(p, "list", "\"- \"", err);
    if (strstr(problem, "mapping values") && (report_missing_colon(p, err) || report_deeper_key(p, err)))
        return RC_INVALID;
    if (strstr(problem, "could not find expected ':'") && report_text_block(p, err))
        return RC_INVALID;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!strstr(problem, table[i].part))
            continue;
        bool there = table[i].place == CONTEXT && p->context_line;
        char since[64] = "";
        if (table[i].place == INSIDE && p->context_line && p->context_line != p->line)
            snprintf(since, sizeof since, " (which begins at line %u)", p->context_line);
        return err_set(err, RC_INVALID, "%s:%u:%u: %s%s; expected %s", p->file, there ? p->context_line : p->line,
                       there ? p->context_col : p->col, table[i].wrong, since, table[i].expected);
    }
    return err_set(err, RC_INVALID, "%s:%u:%u: %s%s%s; expected valid YAML", p->file, p->line, p->col, problem,
                   p->context ? " " : "", p->context ? p->context : "");
}
