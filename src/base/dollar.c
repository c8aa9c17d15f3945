/* What is not closed by a `}` is text. */
#include "base/dollar.h"

bool dollar_next(struct str *rest, struct dollar *ret)
{
    size_t at = str_find(*rest, STR("${"));
    size_t end = at == SIZE_MAX ? SIZE_MAX : str_find(str_from(*rest, at), STR("}"));
    if (end == SIZE_MAX)
        return false;
    struct str in = str_n(rest->p + at + 2, end - 2);
    size_t dash = str_find(in, STR(":-"));
    *ret = (struct dollar){.before = str_n(rest->p, at), .name = in};
    if (dash != SIZE_MAX) {
        ret->name.n = dash;
        ret->fallback = str_from(in, dash + 2);
    }
    *rest = str_from(*rest, at + end + 1);
    return true;
}
