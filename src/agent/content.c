/* The post-processing steps read the text line by line or mark by mark. For a JSON text what they find is only reported
 * beside it: behind it, it would be JSON no more. */
#include "agent/content.h"

#include "base/buf.h"

#include <ctype.h>

enum { TEXT_MAX = 64 << 20, FOUND_MAX = 10000, SUMMARY_SENTENCES = 3, SUMMARY_MAX = 200 };

/* The first `max` characters, not cut inside one; "..." shows that something was left out. */
static struct str content_cut(struct arena *a, struct str s, int64_t max)
{
    size_t chars = 0, i = 0, keep = 0;
    if (max < 0)
        return s;
    for (; i < s.n; i++) {
        if (((unsigned char)s.p[i] & 0xC0) == 0x80)
            continue;
        if (chars == (size_t)(max > 3 ? max - 3 : max))
            keep = i;
        if (chars++ == (size_t)max)
            return max > 3 ? arena_printf(a, "%.*s...", (int)keep, s.p) : str_n(s.p, keep);
    }
    return s;
}

/* ---- lines ---- */

static bool next_line(struct str *rest, struct str *line)
{
    if (!rest->n)
        return false;
    size_t n = str_find(*rest, STR("\n"));
    *line = str_n(rest->p, n < rest->n ? n : rest->n);
    *rest = n < rest->n ? str_from(*rest, n + 1) : STR("");
    return true;
}

/* Without regard to the case of ASCII letters. `word` is in lower case. */
static bool mentions(struct str line, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= line.n; i++) {
        size_t k = 0;
        while (k < n && tolower((unsigned char)line.p[i + k]) == word[k])
            k++;
        if (k == n)
            return true;
    }
    return false;
}

static void keep(struct val_list *l, struct str s)
{
    if (s.n && l->n < FOUND_MAX)
        val_list_push(l, val_str(s));
}

static void lines_with(struct val_list *l, struct str text, const char *const *words)
{
    struct str line;
    while (next_line(&text, &line))
        for (size_t i = 0; words[i]; i++)
            if (mentions(line, words[i])) {
                keep(l, str_trim(line));
                break;
            }
}

/* ---- what is looked for ---- */

static void code_blocks(struct arena *a, struct val_list *l, struct str text)
{
    struct str line, language = {0};
    const char *start = NULL;
    while (next_line(&text, &line)) {
        struct str t = str_trim(line);
        if (!str_starts(t, STR("```")))
            continue;
        if (!start) {
            language = str_trim(str_from(t, 3));
            start = text.n ? text.p : line.p + line.n;
            continue;
        }
        struct val_map m = val_map_new(a);
        size_t n = line.p > start ? (size_t)(line.p - start) : 0;
        VAL_MAP_SET(&m, "language", val_str(language));
        VAL_MAP_SET(&m, "code", val_str(str_n(start, n && start[n - 1] == '\n' ? n - 1 : n)));
        if (l->n < FOUND_MAX)
            val_list_push(l, val_map_done(&m));
        start = NULL;
    }
}

static void recommendations(struct arena *a, struct val_list *l, struct str text)
{
    (void)a;
    lines_with(l, text, (const char *const[]){"recommend", "suggest", "should ", NULL});
}

static void errors(struct arena *a, struct val_list *l, struct str text)
{
    (void)a;
    lines_with(l, text, (const char *const[]){"error", "exception", "failed", "failure", "panic", NULL});
}

static void dependencies(struct arena *a, struct val_list *l, struct str text)
{
    (void)a;
    lines_with(l, text,
               (const char *const[]){"depends on", "dependency", "dependencies", "requires ", "import ", NULL});
}

/* Lines with a number that has a unit, a percent sign, or a name in front of it. */
static void metrics(struct arena *a, struct val_list *l, struct str text)
{
    (void)a;
    struct str line;
    while (next_line(&text, &line)) {
        bool measured = false;
        for (size_t i = 1; i + 1 < line.n && !measured; i++)
            measured = isdigit((unsigned char)line.p[i]) &&
                       (line.p[i + 1] == '%' || line.p[i - 1] == ' ' || line.p[i - 1] == '$') &&
                       (line.p[i + 1] == '%' || str_find(str_n(line.p, i), STR(":")) != SIZE_MAX ||
                        str_find(str_n(line.p, i), STR("=")) != SIZE_MAX);
        if (measured)
            keep(l, str_trim(line));
    }
}

static void links(struct arena *a, struct val_list *l, struct str text)
{
    (void)a;
    for (size_t i = 0; i + 8 < text.n; i++) {
        struct str s = str_from(text, i);
        if (!str_starts(s, STR("http://")) && !str_starts(s, STR("https://")))
            continue;
        size_t n = 0;
        while (n < s.n && !isspace((unsigned char)s.p[n]) && !strchr("\"'<>`", s.p[n]))
            n++;
        size_t end = n;
        while (n && strchr(".,;:!?)]}*", s.p[n - 1]))
            n--;
        keep(l, str_n(s.p, n));
        i += end;
    }
}

static void key_points(struct arena *a, struct val_list *l, struct str text)
{
    (void)a;
    struct str line;
    while (next_line(&text, &line)) {
        struct str t = str_trim(line);
        size_t digits = 0;
        while (digits < t.n && isdigit((unsigned char)t.p[digits]))
            digits++;
        if (str_starts(t, STR("- ")) || str_starts(t, STR("* ")))
            keep(l, str_trim(str_from(t, 2)));
        else if (digits && digits < t.n && (t.p[digits] == '.' || t.p[digits] == ')'))
            keep(l, str_trim(str_from(t, digits + 1)));
    }
}

static bool has(const struct val_list *l, struct str s)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].s, s))
            return true;
    return false;
}

/* Runs of words with a capital that do not begin a sentence. */
static void entities(struct arena *a, struct val_list *l, struct str text)
{
    (void)a;
    bool beginning = true;
    for (size_t i = 0; i < text.n && l->n < FOUND_MAX / 10;) {
        unsigned char c = (unsigned char)text.p[i];
        if (!isalnum(c) && c < 0x80) {
            beginning |= c == '.' || c == '!' || c == '?' || c == '\n';
            i++;
            continue;
        }
        size_t start = i, end = i;
        while (i < text.n && isupper((unsigned char)text.p[i])) {
            while (i < text.n && (isalnum((unsigned char)text.p[i]) || (unsigned char)text.p[i] >= 0x80 ||
                                  text.p[i] == '-' || text.p[i] == '_'))
                i++;
            end = i;
            if (i + 1 < text.n && text.p[i] == ' ')
                i++;
        }
        struct str name = str_n(text.p + start, end - start);
        if (name.n > 1 && (!beginning || memchr(name.p, ' ', name.n)) && !has(l, name))
            keep(l, name);
        beginning = false;
        for (i = end > i ? end : i;
             end == start && i < text.n && (isalnum((unsigned char)text.p[i]) || (unsigned char)text.p[i] >= 0x80);)
            i++;
    }
}

/* The first sentences. */
static void summary(struct arena *a, struct val_list *l, struct str text)
{
    size_t sentences = 0, end = text.n;
    for (size_t i = 0; i + 1 < text.n && sentences < SUMMARY_SENTENCES; i++)
        if ((text.p[i] == '.' || text.p[i] == '!' || text.p[i] == '?') && isspace((unsigned char)text.p[i + 1])) {
            end = i + 1;
            sentences++;
        }
    if (sentences < SUMMARY_SENTENCES)
        end = text.n;
    keep(l, content_cut(a, str_trim(str_n(text.p, end)), SUMMARY_MAX));
}

static const struct content_step {
    const char *name, *field, *title;
    void (*find)(struct arena *a, struct val_list *l, struct str text);
} steps[] = {
    {"extract_code_blocks", "code_blocks", "Code Blocks", code_blocks},
    {"extract_recommendations", "recommendations", "Recommendations", recommendations},
    {"extract_key_points", "key_points", "Key Points", key_points},
    {"extract_links", "links", "Links", links},
    {"extract_entities", "entities", "Entities", entities},
    {"extract_errors", "errors", "Errors", errors},
    {"extract_metrics", "metrics", "Metrics", metrics},
    {"extract_dependencies", "dependencies", "Dependencies", dependencies},
    {"generate_summary", "summary", "Summary", summary},
    {"format_markdown", NULL, NULL, NULL},
};

const char *content_step_at(size_t i)
{
    return i < sizeof steps / sizeof *steps ? steps[i].name : NULL;
}

static const struct content_step *step_find(struct str name)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (str_is(name, steps[i].name))
            return &steps[i];
    return NULL;
}

bool content_step_known(struct str name)
{
    return step_find(name) != NULL;
}

/* ---- the whole ---- */

static struct str with_heading(struct arena *a, struct str text, const char *mark, const char *heading)
{
    if (str_find(text, str_c(mark)) != SIZE_MAX)
        return text;
    return arena_printf(a, "%s\n\n%.*s", heading, STR_ARG(text));
}

static struct str formatted(struct arena *a, struct str text, struct str format, int64_t max_summary)
{
    if (str_is(format, "structured"))
        return with_heading(a, text, "## ", "## Extracted Content");
    if (str_is(format, "markdown"))
        return with_heading(a, text, "#", "# Extracted Content");
    if (str_is(format, "summary"))
        return content_cut(a, str_trim(text), max_summary);
    return text;
}

static void add_section(struct buf *b, const struct content_step *step, const struct val *found)
{
    if (!found->arr.n)
        return;
    buf_printf(b, "\n\n## %s\n", step->title);
    for (size_t i = 0; i < found->arr.n; i++) {
        const struct val *v = &found->arr.v[i];
        struct str language = val_get_str(v, STR("language"), STR("")), code = val_get_str(v, STR("code"), STR(""));
        if (v->type == VAL_OBJECT)
            buf_printf(b, "\n```%.*s\n%.*s\n```", STR_ARG(language), STR_ARG(code));
        else
            buf_printf(b, "%s%.*s", strcmp(step->field, "summary") == 0 ? "\n" : "\n- ", STR_ARG(v->s));
    }
}

struct content content_process(struct arena *a, struct str text, struct str format, const struct val *names,
                               int64_t max_summary)
{
    bool json = str_is(format, "json");
    struct val_map extracted = val_map_new(a);
    struct val_list applied = val_list_new(a);
    struct buf b;
    buf_init(&b, TEXT_MAX);
    struct str body = formatted(a, text, format, max_summary);
    for (size_t i = 0; val_at(names, i); i++)
        if (!json && val_is(val_at(names, i), VAL_STR) && str_is(val_at(names, i)->s, "format_markdown"))
            body = with_heading(a, body, "#", "# Content");
    buf_add(&b, body);
    for (size_t i = 0; val_at(names, i); i++) {
        const struct content_step *step = val_is(val_at(names, i), VAL_STR) ? step_find(val_at(names, i)->s) : NULL;
        if (!step)
            continue;
        val_list_push(&applied, val_str(str_c(step->name)));
        if (!step->find)
            continue;
        struct val_list l = val_list_new(a);
        step->find(a, &l, text);
        struct val found = val_list_done(&l);
        val_map_set(&extracted, str_c(step->field), found);
        if (!json)
            add_section(&b, step, &found);
    }
    struct str whole = b.overflow ? body : arena_str(a, buf_str(&b));
    buf_done(&b);
    return (struct content){whole, val_map_done(&extracted), val_list_done(&applied)};
}
