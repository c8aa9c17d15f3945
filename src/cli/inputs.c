/* `run` and `fork` read inputs alike. */
#include "cli/inputs.h"

#include "cli/session.h"

#include <stdlib.h>

static struct str change_case(struct arena *a, struct str s, char from, char to)
{
    char *z = arena_alloc(a, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        z[i] = s.p[i] >= from && s.p[i] <= to ? (char)(s.p[i] ^ 0x20) : s.p[i];
    return str_n(z, s.n);
}

static bool declared(const struct workflow *w, struct str name)
{
    for (size_t i = 0; i < w->ninputs; i++)
        if (str_eq(w->inputs[i].name, name))
            return true;
    return false;
}

enum rc input_word(const struct workflow *w, const char *given, struct arena *a, struct val_map *m, struct err *err)
{
    struct str s = str_c(given);
    size_t eq = str_find(s, STR("="));
    if (eq == SIZE_MAX || eq == 0)
        return err_set(err, RC_USAGE, "`%s`: expected NAME=VALUE", given);
    struct str name = str_n(s.p, eq), lower = change_case(a, name, 'A', 'Z');
    if (declared(w, name) || (w->ninputs && !declared(w, lower)))
        lower = name;
    return input_read(w, "input", arena_printf(a, "%.*s%.*s", STR_ARG(lower), STR_ARG(str_from(s, eq))).p, a, m, err);
}

void input_environment(const struct workflow *w, struct arena *a, struct val_map *m)
{
    for (size_t i = 0; i < w->nwanted; i++) {
        struct str name = w->wanted[i].name, upper = change_case(a, name, 'a', 'z');
        bool given = w->wanted[i].kind != WANTED_BARE;
        for (size_t k = 0; k < m->n; k++)
            given |= str_eq(m->m[k].key, name);
        const char *v = getenv(arena_cstr(a, name));
        v = v ? v : getenv(arena_cstr(a, upper));
        if (!given && v && !env_looks_secret(upper) && str_utf8_valid(str_c(v)) == strlen(v))
            val_map_set(m, name, val_str(arena_str(a, str_c(v))));
    }
}

enum rc input_read(const struct workflow *w, const char *option, const char *given, struct arena *a, struct val_map *m,
                   struct err *err)
{
    struct str s = str_c(given);
    size_t eq = str_find(s, STR("="));
    if (eq == SIZE_MAX || eq == 0)
        return err_set(err, RC_USAGE, "--%s %s: expected NAME=VALUE or NAME=@FILE", option, given);
    struct str name = str_n(s.p, eq), text = str_from(s, eq + 1);
    struct val v;
    enum rc rc = RC_OK;
    if (text.n && text.p[0] == '@')
        rc = read_file(text.p + 1, INPUT_MAX, a, &text, err);
    if (rc == RC_OK && str_utf8_valid(text) != text.n)
        rc = err_set(err, RC_USAGE, "--%s %.*s: the value is not valid UTF-8", option, STR_ARG(name));
    if (rc == RC_OK)
        rc = workflow_input_text(w, name, text, a, &v, err);
    if (rc == RC_OK)
        val_map_set(m, name, v);
    return rc;
}
