/* Addresses within a schema: which absolute one a relative $id or $ref means (RFC 3986, section 5.2).
 *
 * Nothing is ever fetched; an address is only the name of a part of the schema. Parts are compared as they are written,
 * after dots in paths are gone. */
#include "data/schema_int.h"

struct parts {
    struct str scheme, authority, path, query;
    bool has_scheme, has_authority, has_query;
};

static bool scheme_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!first && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'));
}

/* The text before the first of `ends`; *s becomes the rest. */
static struct str until(struct str *s, const char *ends)
{
    size_t n = 0;
    while (n < s->n && !(s->p[n] && strchr(ends, s->p[n])))
        n++;
    struct str part = str_n(s->p, n);
    *s = str_from(*s, n);
    return part;
}

/* A fragment is not looked at: the caller has cut it off. */
static struct parts split(struct str s)
{
    struct parts u = {.has_scheme = false};
    size_t n = 0;
    while (n < s.n && scheme_char(s.p[n], n == 0))
        n++;
    if (n && n < s.n && s.p[n] == ':') {
        u.has_scheme = true;
        u.scheme = str_n(s.p, n);
        s = str_from(s, n + 1);
    }
    if (str_starts(s, STR("//"))) {
        s = str_from(s, 2);
        u.has_authority = true;
        u.authority = until(&s, "/?");
    }
    u.path = until(&s, "?");
    u.has_query = s.n != 0;
    u.query = str_from(s, u.has_query);
    return u;
}

static struct str without_dots(struct arena *a, struct str path)
{
    char *out = arena_alloc(a, path.n + 1); /* nothing written is longer than what was read */
    size_t n = 0;
    bool relative = path.n && path.p[0] != '/';
    while (path.n) {
        bool rooted = path.p[0] == '/';
        struct str rest = str_from(path, rooted), segment = until(&rest, "/");
        bool last = !rest.n;
        if (str_is(segment, ".") || str_is(segment, "..")) {
            if (segment.n == 2) {
                while (n && out[n - 1] != '/')
                    n--;
                n -= n != 0;
            }
            if (last && rooted && !(relative && !n))
                out[n++] = '/';
            path = rooted && !(relative && !n) ? rest : str_from(rest, !last);
            continue;
        }
        if (rooted)
            out[n++] = '/';
        if (segment.n)
            memcpy(out + n, segment.p, segment.n);
        n += segment.n;
        path = rest;
    }
    return str_n(out, n);
}

/* All of the base's path up to its last `/`, and then `path`. */
static struct str merged(struct arena *a, const struct parts *base, struct str path)
{
    size_t n = base->path.n;
    if (base->has_authority && !n)
        return arena_printf(a, "/%.*s", STR_ARG(path));
    while (n && base->path.p[n - 1] != '/')
        n--;
    return arena_printf(a, "%.*s%.*s", STR_ARG(str_n(base->path.p, n)), STR_ARG(path));
}

struct str schema_uri(struct arena *a, struct str base, struct str reference)
{
    struct parts b = split(base), r = split(reference);
    if (!r.has_scheme) {
        r.has_scheme = b.has_scheme;
        r.scheme = b.scheme;
        if (!r.has_authority) {
            r.has_authority = b.has_authority;
            r.authority = b.authority;
            if (!r.path.n) {
                r.path = b.path;
                if (!r.has_query) {
                    r.has_query = b.has_query;
                    r.query = b.query;
                }
            } else if (r.path.p[0] != '/') {
                r.path = merged(a, &b, r.path);
            }
        }
    }
    r.path = without_dots(a, r.path);
    return arena_printf(a, "%.*s%s%s%.*s%.*s%s%.*s", STR_ARG(r.scheme), r.has_scheme ? ":" : "",
                        r.has_authority ? "//" : "", STR_ARG(r.authority), STR_ARG(r.path), r.has_query ? "?" : "",
                        STR_ARG(r.query));
}
