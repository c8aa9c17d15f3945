/* `run` and `fork` read inputs alike. */
#include "cli/inputs.h"

#include "cli/session.h"

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
