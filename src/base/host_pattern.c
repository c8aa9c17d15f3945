/* Names are compared by their length and byte by byte: what is compared is the whole of what is used. There are no
 * addresses of version 6 here (their colons would need brackets); a list names hosts. */
#include "base/host_pattern.h"

#include <ctype.h>
#include <strings.h>

enum { NAME_LONGEST = 253 };

struct str host_bare(struct str name)
{
    return name.n && name.p[name.n - 1] == '.' ? str_n(name.p, name.n - 1) : name;
}

bool host_name_valid(struct str name)
{
    struct str s = host_bare(name);
    if (!s.n || s.n > NAME_LONGEST || s.p[0] == '.' || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '-' && s.p[i] != '.' && s.p[i] != '_')
            return false;
    return true;
}

bool host_split(struct str s, struct str *name, unsigned *port)
{
    size_t colon = str_find(s, STR(":"));
    *name = colon == SIZE_MAX ? s : str_n(s.p, colon);
    *port = 0;
    for (size_t i = colon + 1; colon != SIZE_MAX && i < s.n; i++) {
        if (!isdigit((unsigned char)s.p[i]) || i > colon + 5)
            return false;
        *port = *port * 10 + (unsigned)(s.p[i] - '0');
    }
    return colon == SIZE_MAX || (*port > 0 && *port < 65536);
}

static bool is_below(struct str *pattern)
{
    bool below = str_starts(*pattern, STR("*."));
    if (below)
        *pattern = str_from(*pattern, 2);
    return below;
}

bool host_pattern_valid(struct str pattern)
{
    struct str name;
    unsigned port;
    (void)is_below(&pattern);
    return host_split(pattern, &name, &port) && host_name_valid(name);
}

bool host_pattern_matches(struct str pattern, struct str name, uint16_t port)
{
    struct str want;
    unsigned at;
    bool below = is_below(&pattern);
    if (!host_split(pattern, &want, &at) || !host_name_valid(want) || (at ? at != port : port != 80 && port != 443))
        return false;
    want = host_bare(want), name = host_bare(name);
    if (!below)
        return want.n == name.n && strncasecmp(want.p, name.p, want.n) == 0;
    return name.n > want.n + 1 && name.p[name.n - want.n - 1] == '.' &&
           strncasecmp(name.p + name.n - want.n, want.p, want.n) == 0;
}
