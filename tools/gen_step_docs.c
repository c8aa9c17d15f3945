/* Writes the tables of keys, step types and error classes in the documentation from the tables of the program.
 *
 *   gen_step_docs FILE...          rewrites what stands between <!-- table: NAME --> and <!-- end --> in each file
 *   gen_step_docs --check FILE...  changes nothing; exit 1 when a file is not as it would be written
 *
 * NAME is `keys WHAT` (workflow, step, a block such as retry or claude_options (flow/keys.h), or a step type), `types`,
 * `errors`, `environment` (older variables), or `unused WHERE` (workflow, step, or a block). An unknown name is an
 * error: a page cannot keep a table of something that no longer exists. A step type without a table on any of the pages
 * given is an error too. */
#include "base/buf.h"
#include "base/err.h"
#include "cli/old_env.h"
#include "flow/keys.h"
#include "flow/range.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE_MAX = 4 << 20, TYPES_MAX = 100 };

static bool documented[TYPES_MAX];
static const char *home[TYPES_MAX]; /* the page that describes the type */
static const char *writing;         /* the page at hand */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- tables ---- */

/* Text in a table's cell: a bar would end it. */
static void add_cell(struct buf *b, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '|')
            buf_addc(b, '\\');
        buf_addc(b, *c);
    }
}

static void add_choices(struct buf *b, const char *choices)
{
    buf_addc(b, '`');
    for (const char *c = choices; *c; c++)
        buf_addz(b, *c == '|' ? "` `" : (char[]){*c, 0});
    buf_addc(b, '`');
}

static const char *kind_text(enum key_kind kind)
{
    static const char *const names[] = {
        [KEY_STRING] = "text, literal",
        [KEY_TEMPLATE] = "text",
        [KEY_ANY] = "any value",
        [KEY_DATA] = "any value, literal",
        [KEY_COND] = "condition",
        [KEY_STEPS] = "list of steps",
        [KEY_EACH] = "text, or a step",
        [KEY_TASKS] = "of tasks, see below",
        [KEY_OPERATIONS] = "list of operations",
        [KEY_BRANCHES] = "map of lists of steps",
        [KEY_PROMPT] = "text, or list of parts",
        [KEY_BOOL] = "boolean",
        [KEY_INT] = "integer",
        [KEY_NUMBER] = "number",
        [KEY_SECONDS] = "seconds",
        [KEY_MS] = "milliseconds",
        [KEY_DURATION] = "duration",
        [KEY_SIZE] = "size",
        [KEY_ENUM] = "",
        [KEY_STRINGS] = "list of text",
        [KEY_INTS] = "list of integers",
        [KEY_OBJECT] = "object",
    };
    return names[kind];
}

static void add_row(struct buf *b, const struct step_key *k)
{
    struct arena scratch = {0};
    struct str range = key_range_text(&scratch, k);
    buf_printf(b, "| `%s` | ", k->name);
    if (k->kind == KEY_ENUM)
        add_choices(b, k->choices);
    else
        buf_addz(b, kind_text(k->kind));
    if (range.n)
        buf_printf(b, ", %.*s", STR_ARG(range));
    arena_done(&scratch);
    buf_addz(b, " | ");
    if (k->required)
        buf_addz(b, "*required*");
    else if (k->fallback) {
        buf_addc(b, '`');
        add_cell(b, k->fallback);
        buf_addc(b, '`');
    }
    buf_addz(b, " | ");
    add_cell(b, k->doc);
    buf_addz(b, " |\n");
}

static void add_keys(struct buf *b, const struct step_key *keys)
{
    bool others = false;
    buf_addz(b, "| key | type | default | meaning |\n|---|---|---|---|\n");
    for (const struct step_key *k = keys; k->name; k++) {
        if (!k->alias_of)
            add_row(b, k);
        others |= k->alias_of != NULL;
    }
    if (!others)
        return;
    buf_addz(b, "\nOther spellings: ");
    const char *comma = "";
    for (const struct step_key *k = keys; k->name; k++) {
        if (!k->alias_of)
            continue;
        buf_printf(b, "%s`%s` for `%s`", comma, k->name, k->alias_of);
        bool plain = str_starts(str_c(k->doc), STR("Another spelling")) || str_starts(str_c(k->doc), STR("As ")) ||
                     str_is(str_c(k->doc), key_canonical(keys, k)->doc);
        if (!plain)
            buf_printf(b, " (%s)", k->doc);
        comma = ", ";
    }
    buf_addz(b, ".\n");
}

static void add_unused(struct buf *b, const struct unused_key *keys)
{
    buf_addz(b, "| key | instead |\n|---|---|\n");
    for (const struct unused_key *k = keys; k->name; k++) {
        buf_printf(b, "| `%s` | ", k->name);
        add_cell(b, k->why);
        buf_addz(b, " |\n");
    }
}

static void add_types(struct buf *b)
{
    buf_addz(b, "| type | does | result |\n|---|---|---|\n");
    const struct step_type *t;
    for (size_t i = 0; (t = step_type_at(i)); i++) {
        bool elsewhere = i < TYPES_MAX && home[i] && strcmp(home[i], writing) != 0;
        buf_printf(b, "| [`%s`](%s#%s)", t->name, elsewhere ? base_name(home[i]) : "", t->name);
        if (t->aliases) {
            buf_addz(b, ", also ");
            add_choices(b, t->aliases);
        }
        buf_printf(b, " | %s | ", t->doc);
        if (t->result_doc)
            add_choices(b, t->result_doc);
        buf_addz(b, " |\n");
    }
}

static void add_errors(struct buf *b)
{
    buf_addz(b, "| class | means | tried again by default |\n|---|---|---|\n");
    for (int i = 1; i < RC_COUNT; i++)
        buf_printf(b, "| `%s` | %s | %s |\n", rc_name((enum rc)i), rc_text((enum rc)i),
                   rc_retryable((enum rc)i) ? "yes" : "");
}

/* What codebase_query can ask. */
static void add_questions(struct buf *b)
{
    static const struct {
        const char *name, *field, *criteria, *doc;
    } rows[] = {
#define X(kind, field, criteria, doc) {#kind, #field, criteria, doc},
#include "data/code_queries.def"
#undef X
    };
    buf_addz(b, "| question | asks for | criteria | beside others as |\n|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_printf(b, "| `%s` | %s | ", rows[i].name, rows[i].doc);
        for (struct str rest = str_c(rows[i].criteria); rest.n;) {
            size_t n = str_find(rest, STR("|"));
            struct str one = str_n(rest.p, n < rest.n ? n : rest.n);
            buf_printf(b, "%s`%.*s`", rest.p == rows[i].criteria ? "" : " ", (int)one.n - 2, one.p);
            rest = n < rest.n ? str_from(rest, n + 1) : STR("");
        }
        buf_printf(b, " | %s%s%s |\n", rows[i].field[0] ? "`" : "its fields", rows[i].field,
                   rows[i].field[0] ? "`" : "");
    }
}

static const struct step_key *key_table(struct str name)
{
    if (str_is(name, "workflow") || str_is(name, "step"))
        return str_is(name, "step") ? step_common_keys : workflow_keys;
    for (size_t i = 0; key_block_at(i); i++)
        if (str_is(name, key_block_at(i)->name))
            return key_block_at(i)->keys;
    return NULL;
}

static const struct unused_key *unused_table(struct str name)
{
    if (str_is(name, "workflow") || str_is(name, "step"))
        return str_is(name, "step") ? step_unused_keys : workflow_unused_keys;
    for (size_t i = 0; key_block_at(i); i++)
        if (str_is(name, key_block_at(i)->name))
            return key_block_at(i)->unused;
    return NULL;
}

static void add_environment(struct buf *b)
{
    static const char *const how[] = {[OLD_VARIABLE_COUNTS] = "counts",
                                      [OLD_VARIABLE_BECOMES] = "counts",
                                      [OLD_VARIABLE_TOLD] = "no effect, told",
                                      [OLD_VARIABLE_OF_OTHERS] = "not read"};
    buf_addz(b, "| variable | | meaning, or what is so instead |\n|---|---|---|\n");
    for (unsigned i = 0; old_variable_at(i)->name; i++) {
        const struct old_variable *o = old_variable_at(i);
        buf_printf(b, "| `%s` | %s | ", o->name, how[o->how]);
        add_cell(b, o->what);
        if (o->in_service) {
            buf_addz(b, "; in the service no effect, told: ");
            add_cell(b, o->in_service);
        }
        buf_addz(b, " |\n");
    }
}

/* False when nothing has that name. */
static bool add_table(struct buf *b, struct str name)
{
    if (str_is(name, "questions")) {
        add_questions(b);
        return true;
    }
    if (str_is(name, "environment")) {
        add_environment(b);
        return true;
    }
    if (str_is(name, "types") || str_is(name, "errors")) {
        (str_is(name, "types") ? add_types : add_errors)(b);
        return true;
    }
    struct str keys = STR("keys "), unused = STR("unused ");
    if (str_starts(name, unused)) {
        const struct unused_key *table = unused_table(str_from(name, unused.n));
        if (table)
            add_unused(b, table);
        return table;
    }
    if (!str_starts(name, keys))
        return false;
    name = str_from(name, keys.n);
    const struct step_key *table = key_table(name);
    if (table) {
        add_keys(b, table);
        return true;
    }
    const struct step_type *t;
    for (size_t i = 0; (t = step_type_at(i)) && i < TYPES_MAX; i++)
        if (str_is(name, t->name)) {
            documented[i] = true;
            add_keys(b, t->keys);
            return true;
        }
    return false;
}

/* ---- pages ---- */

static bool rewrite(const char *path, struct str page, struct buf *out)
{
    struct str begin = STR("<!-- table: "), close = STR(" -->\n"), end = STR("<!-- end -->\n");
    for (;;) {
        size_t at = str_find(page, begin);
        if (at == SIZE_MAX)
            break;
        struct str rest = str_from(page, at + begin.n);
        size_t name_n = str_find(rest, close), stop = str_find(rest, end);
        if (name_n == SIZE_MAX || stop == SIZE_MAX || stop < name_n) {
            fprintf(stderr, "%s: a table has no `<!-- end -->`\n", path);
            return false;
        }
        struct str name = str_n(rest.p, name_n);
        buf_add(out, str_n(page.p, at + begin.n + name_n + close.n));
        if (!add_table(out, name)) {
            fprintf(stderr, "%s: there is no table `%.*s`\n", path, STR_ARG(name));
            return false;
        }
        page = str_from(rest, stop);
    }
    buf_add(out, page);
    return !out->overflow;
}

static bool read_page(const char *path, struct buf *b)
{
    FILE *f = fopen(path, "rb");
    char *at = buf_reserve(b, PAGE_MAX - 1);
    size_t n = f && at ? fread(at, 1, PAGE_MAX - 1, f) : 0;
    bool ok = f && at && !ferror(f) && feof(f);
    if (f)
        fclose(f);
    b->n += n;
    if (!ok)
        fprintf(stderr, "%s: cannot be read\n", path);
    return ok;
}

static bool write_page(const char *path, struct str text)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(text.p, 1, text.n, f) == text.n;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok)
        fprintf(stderr, "%s: cannot be written\n", path);
    return ok;
}

static bool page(const char *path, bool check)
{
    struct buf old, fresh;
    buf_init(&old, PAGE_MAX);
    buf_init(&fresh, PAGE_MAX);
    writing = path;
    bool ok = read_page(path, &old) && rewrite(path, buf_str(&old), &fresh);
    bool same = ok && str_eq(buf_str(&old), buf_str(&fresh));
    if (ok && check && !same)
        fprintf(stderr, "%s: its tables are not those of the program; run gen_step_docs on it\n", path);
    if (ok && check)
        ok = same;
    else if (ok && !same)
        ok = write_page(path, buf_str(&fresh));
    buf_done(&old);
    buf_done(&fresh);
    return ok;
}

/* Links to a type lead to the page with its table. */
static void find_homes(const char *path)
{
    struct buf text;
    buf_init(&text, PAGE_MAX);
    const struct step_type *t;
    bool read = read_page(path, &text);
    for (size_t i = 0; read && (t = step_type_at(i)) && i < TYPES_MAX; i++) {
        char mark[128];
        snprintf(mark, sizeof mark, "<!-- table: keys %s -->", t->name);
        if (str_find(buf_str(&text), str_c(mark)) != SIZE_MAX)
            home[i] = path;
    }
    buf_done(&text);
}

int main(int argc, char **argv)
{
    bool check = argc > 1 && strcmp(argv[1], "--check") == 0, ok = true;
    int first = check ? 2 : 1;
    if (argc <= first) {
        fprintf(stderr, "usage: gen_step_docs [--check] FILE...\n");
        return 2;
    }
    for (int i = first; i < argc; i++)
        find_homes(argv[i]);
    for (int i = first; i < argc; i++)
        ok &= page(argv[i], check);
    const struct step_type *t;
    for (size_t i = 0; (t = step_type_at(i)) && i < TYPES_MAX; i++)
        if (!documented[i]) {
            fprintf(stderr, "step type %s has no table; add <!-- table: keys %s -->\n", t->name, t->name);
            ok = false;
        }
    return ok ? 0 : 1;
}
