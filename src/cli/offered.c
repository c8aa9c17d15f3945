/* What is listed is a promise about who may use a value, so a list that cannot be meant is an error and no warning. */
#include "cli/offered.h"

#include "base/str.h"
#include "cli/sealed.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (i && c >= '0' && c <= '9')))
            return false;
    }
    return s.n > 0;
}

static enum rc add(char *room, struct str name, const char *where, struct err *err)
{
    size_t have = strlen(room);
    if (!is_name(name))
        return err_set(err, RC_USAGE,
                       "`%.*s` in %s is no name of an environment variable; expected one such as DEPLOY_TOKEN",
                       (int)(name.n < 60 ? name.n : 60), name.p, where);
    if (sealed_for_calls(name))
        return err_set(err, RC_USAGE, "%s has %.*s, which model steps use without being told; no command is given it",
                       where, STR_ARG(name));
    if (have + name.n + 2 > OFFERED_SIZE)
        return err_set(err, RC_USAGE, "%s has more names than %d bytes hold", where, OFFERED_SIZE);
    if (!str_has_word(str_c(room), ' ', name))
        snprintf(room + have, OFFERED_SIZE - have, "%s%.*s", have ? " " : "", STR_ARG(name));
    return RC_OK;
}

enum rc offered_read(const struct args *args, char *room, struct err *err)
{
    const char *v, *listed = getenv("TREADLE_SECRETS");
    *room = 0;
    for (int i = 0; (v = args_nth(args, "secret", i)); i++)
        TRY(add(room, str_c(v), "--secret", err));
    for (struct str rest = str_c(listed ? listed : ""); rest.n;) {
        size_t n = 0;
        while (n < rest.n && !strchr(", ", rest.p[n]))
            n++;
        if (n)
            TRY(add(room, str_n(rest.p, n), "TREADLE_SECRETS", err));
        rest = str_from(rest, n < rest.n ? n + 1 : n);
    }
    return RC_OK;
}
