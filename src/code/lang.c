/* The grammars are found from where the program is: PREFIX/bin/treadle has PREFIX/lib/treadle, build/release/treadle
 * has build/lib/treadle. Nothing from the environment or a workspace has a say in which code is loaded. */
#include "code/lang.h"

#include "executor/exec_code.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <tree_sitter/api.h>
#include <unistd.h>

static const struct {
    const char *name, *grammar, *library, *endings, *names;
} langs[] = {
    [LANG_NONE] = {"", "", "", "", ""},
#define X(id, name, grammar, library, endings, names) [LANG_##id] = {name, grammar, library, endings, names},
#include "code/lang.def"
#undef X
};

static bool one_of(const char *list, struct str s, bool (*test)(struct str, struct str))
{
    struct str rest = str_c(list), one;
    while (str_word(&rest, '|', &one))
        if (test(s, one))
            return true;
    return false;
}

enum lang lang_of(struct str path)
{
    const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
    struct str name = slash ? str_from(path, (size_t)(slash - path.p) + 1) : path;
    for (enum lang l = LANG_NONE + 1; l < LANG_COUNT; l++)
        if (one_of(langs[l].endings, name, str_ends) || one_of(langs[l].names, name, str_eq))
            return l;
    return LANG_NONE;
}

const char *lang_name(enum lang l)
{
    return langs[l].name;
}

unsigned lang_by_name(struct str name)
{
    static const struct {
        const char *other, *name;
    } others[] = {{"js", "javascript"},  {"jsx", "javascript"}, {"ts", "typescript"},
                  {"tsx", "typescript"}, {"golang", "go"},      {"py", "python"},
                  {"rs", "rust"},        {"rb", "ruby"},        {"ex", "elixir"}};
    unsigned found = 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (str_is(name, others[i].other))
            name = str_c(others[i].name);
    for (enum lang l = LANG_NONE + 1; l < LANG_COUNT; l++)
        if (str_is(name, langs[l].name))
            found |= 1u << l;
    return found;
}

/* ---- grammars ---- */

/* Whoever confines us knows better: from inside, the way to our own program may not be there. */
static bool library_directory(char *ret, size_t size)
{
    char self[PATH_MAX];
    const char *told = getenv(CODE_LIBRARY_ENV);
    if (told && *told)
        return snprintf(ret, size, "%s", told) < (int)size;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return false;
    self[n] = 0;
    char *slash = strrchr(self, '/');
    if (!slash)
        return false;
    *slash = 0;
    return snprintf(ret, size, "%s/../lib/treadle", self) < (int)size;
}

static enum rc load(enum lang l, const TSLanguage **ret, struct err *err)
{
    char dir[PATH_MAX], path[PATH_MAX + 64], symbol[64];
    const TSLanguage *(*make)(void) = NULL;
    if (!library_directory(dir, sizeof dir))
        return err_set(err, RC_IO, "cannot find out where this program lies");
    snprintf(path, sizeof path, "%s/grammar-%s.so", dir, langs[l].library);
    if (access(path, F_OK) != 0)
        return err_set(err, RC_NOT_FOUND,
                       "the grammar for %s is not installed (%s); in Treadle's source directory run `make grammars`, "
                       "and `make install` again where Treadle was installed",
                       langs[l].name, path);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    snprintf(symbol, sizeof symbol, "tree_sitter_%s", langs[l].grammar);
    void *found = library ? dlsym(library, symbol) : NULL;
    if (!found)
        return err_set(err, RC_VERSION, "the grammar for %s cannot be loaded: %s; run `make grammars` again",
                       langs[l].name, dlerror());
    memcpy(&make, &found, sizeof make);
    const TSLanguage *grammar = make();
    uint32_t version = ts_language_version(grammar);
    if (version < TREE_SITTER_MIN_COMPATIBLE_LANGUAGE_VERSION || version > TREE_SITTER_LANGUAGE_VERSION)
        return err_set(err, RC_VERSION, "the grammar for %s has format %u, this program reads %d to %d", langs[l].name,
                       version, TREE_SITTER_MIN_COMPATIBLE_LANGUAGE_VERSION, TREE_SITTER_LANGUAGE_VERSION);
    *ret = grammar;
    return RC_OK;
}

enum rc lang_grammar(enum lang l, const struct TSLanguage **ret, struct err *err)
{
    static const TSLanguage *loaded[LANG_COUNT];
    if (!loaded[l]) {
        enum rc rc = load(l, &loaded[l], err);
        if (rc)
            return rc;
    }
    *ret = loaded[l];
    return RC_OK;
}
