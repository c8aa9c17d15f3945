/* The formats that are judged, each by the grammar that the standard names: RFC 3339 (dates, durations), 5321 and 6531
 * (e-mail), 1123 (host names), 3986 and 3987 (addresses), 6570 (templates of addresses), 4122 (UUIDs), 6901 (JSON
 * Pointers), ECMA-262 (regular expressions).
 *
 * A reader eats the text from the left; each piece of a grammar is a function that takes what it recognizes and says
 * whether it did. */
#include "data/schema_int.h"

#include <arpa/inet.h>

enum { LOCAL_PART_MAX = 64 };

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool hex(char c)
{
    return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

static bool eat(struct str *s, const char *set)
{
    if (!s->n || !one_of(s->p[0], set))
        return false;
    *s = str_from(*s, 1);
    return true;
}

static size_t eat_digits(struct str *s)
{
    size_t n = 0;
    while (n < s->n && digit(s->p[n]))
        n++;
    *s = str_from(*s, n);
    return n;
}

/* Exactly `n` digits, a number from low to high. */
static bool eat_number(struct str *s, size_t n, int low, int high, int *ret)
{
    int v = 0;
    if (s->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!digit(s->p[i]))
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = str_from(*s, n);
    *ret = v;
    return v >= low && v <= high;
}

/* ---- dates and times ---- */

static bool eat_date(struct str *s)
{
    static const int days[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;
    if (!eat_number(s, 4, 0, 9999, &year) || !eat(s, "-") || !eat_number(s, 2, 1, 12, &month) || !eat(s, "-") ||
        !eat_number(s, 2, 1, 31, &day) || day > days[month])
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month != 2 || day < 29 || leap;
}

/* With an offset from UTC, as RFC 3339 wants. A leap second is the last one of a day in UTC. */
static bool eat_time(struct str *s)
{
    int hour, minute, second, off_hour = 0, off_minute = 0;
    if (!eat_number(s, 2, 0, 23, &hour) || !eat(s, ":") || !eat_number(s, 2, 0, 59, &minute) || !eat(s, ":") ||
        !eat_number(s, 2, 0, 60, &second) || (eat(s, ".") && !eat_digits(s)))
        return false;
    if (!eat(s, "Zz")) {
        int sign = s->n && s->p[0] == '-' ? 1 : -1;
        if (!eat(s, "+-") || !eat_number(s, 2, 0, 23, &off_hour) || !eat(s, ":") ||
            !eat_number(s, 2, 0, 59, &off_minute))
            return false;
        off_hour *= sign;
        off_minute *= sign;
    }
    const int day = 24 * 60;
    int utc = (hour * 60 + minute + off_hour * 60 + off_minute + day) % day;
    return second < 60 || utc == day - 1;
}

static bool is_date(struct str s)
{
    return eat_date(&s) && !s.n;
}

static bool is_time(struct str s)
{
    return eat_time(&s) && !s.n;
}

static bool is_date_time(struct str s)
{
    return eat_date(&s) && eat(&s, "Tt") && eat_time(&s) && !s.n;
}

/* Units in their order without a gap, at least one: 1Y2M3D, 2M3D, 3D. */
static bool eat_units(struct str *s, const char *units)
{
    const char *next = NULL;
    while (s->n && digit(s->p[0])) {
        eat_digits(s);
        const char *unit = s->n ? strchr(units, s->p[0]) : NULL;
        if (!unit || !*unit || (next && unit != next))
            return false;
        next = unit + 1;
        *s = str_from(*s, 1);
    }
    return next;
}

static bool is_duration(struct str s)
{
    if (!eat(&s, "P"))
        return false;
    if (s.n && s.p[s.n - 1] == 'W')
        return eat_digits(&s) && s.n == 1;
    bool days = s.n && s.p[0] != 'T';
    if (days && !eat_units(&s, "YMD"))
        return false;
    return (eat(&s, "T") ? eat_units(&s, "HMS") : days) && !s.n;
}

/* ---- hosts and addresses ---- */

static bool is_ip(struct str s, int family)
{
    char z[INET6_ADDRSTRLEN + 1];
    struct in6_addr address;
    if (s.n >= sizeof z || memchr(s.p, 0, s.n))
        return false;
    memcpy(z, s.p, s.n);
    z[s.n] = 0;
    return inet_pton(family, z, &address) == 1;
}

static bool is_ipv4(struct str s)
{
    return s.n && is_ip(s, AF_INET);
}

static bool is_ipv6(struct str s)
{
    return s.n && is_ip(s, AF_INET6);
}

/* In an e-mail address; `any`: letters of all scripts. */
static bool is_dot_atom(struct str s, bool any)
{
    char before = '.';
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = alpha(c) || digit(c) || one_of(c, "!#$%&'*+-/=?^_`{|}~") || (any && (unsigned char)c >= 0x80);
        if (c == '.' ? before == '.' : !letter)
            return false;
        before = c;
    }
    return before != '.';
}

static bool is_quoted_string(struct str s, bool any)
{
    if (s.n < 2 || s.p[0] != '"' || s.p[s.n - 1] != '"')
        return false;
    for (size_t i = 1; i + 1 < s.n; i++) {
        if (s.p[i] == '"' || (s.p[i] == '\\' && ++i + 1 >= s.n))
            return false;
        unsigned char c = (unsigned char)s.p[i];
        if (c < ' ' || c == 0x7f || (c >= 0x80 && !any))
            return false;
    }
    return true;
}

static bool is_address_of_mail(struct str s, bool any)
{
    size_t at = s.n;
    while (at > 0 && s.p[at - 1] != '@')
        at--;
    if (at < 2 || at - 1 > LOCAL_PART_MAX)
        return false;
    struct str local = str_n(s.p, at - 1), domain = str_from(s, at);
    if (!is_dot_atom(local, any) && !is_quoted_string(local, any))
        return false;
    if (domain.n < 2 || domain.p[0] != '[' || domain.p[domain.n - 1] != ']')
        return any ? schema_is_idn_hostname(domain) : schema_is_hostname(domain);
    domain = str_n(domain.p + 1, domain.n - 2);
    return str_starts(domain, STR("IPv6:")) ? is_ipv6(str_from(domain, 5)) : is_ipv4(domain);
}

static bool is_email(struct str s)
{
    return is_address_of_mail(s, false);
}

static bool is_idn_email(struct str s)
{
    return is_address_of_mail(s, true);
}

static bool is_uuid(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? s.p[i] != '-' : !hex(s.p[i]))
            return false;
    return s.n == 36;
}

/* Only characters of `extra`, unreserved ones and sub-delimiters, and whole percent codes; in an IRI any beyond ASCII.
 */
static bool uri_text(struct str s, const char *extra, bool iri)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (i + 2 >= s.n || !hex(s.p[i + 1]) || !hex(s.p[i + 2]))
                return false;
            i += 2;
        } else if (!alpha(c) && !digit(c) && !one_of(c, "-._~!$&'()*+,;=") && !one_of(c, extra) &&
                   !(iri && (unsigned char)c >= 0x80)) {
            return false;
        }
    }
    return true;
}

/* What is behind //: [user@]host[:port] */
static bool is_authority(struct str s, bool iri)
{
    const char *user_end = memchr(s.p, '@', s.n);
    if (user_end) {
        if (!uri_text(str_n(s.p, (size_t)(user_end - s.p)), ":", iri))
            return false;
        s = str_from(s, (size_t)(user_end - s.p) + 1);
    }
    size_t host = s.n;
    while (host > 0 && digit(s.p[host - 1]))
        host--;
    if (host > 0 && s.p[host - 1] == ':') /* else those digits belong to the host */
        s.n = host - 1;
    if (!s.n || s.p[0] != '[')
        return uri_text(s, "", iri);
    if (s.p[s.n - 1] != ']')
        return false;
    s = str_n(s.p + 1, s.n - 2);
    if (!s.n || (s.p[0] != 'v' && s.p[0] != 'V'))
        return is_ipv6(s);
    size_t dot = str_find(s, STR(".")); /* an address of a future version: v1.x */
    for (size_t i = 1; i < dot && i < s.n; i++)
        if (!hex(s.p[i]))
            return false;
    return dot != SIZE_MAX && dot > 1 && dot + 1 < s.n && uri_text(str_from(s, dot + 1), ":", false);
}

/* The text up to the first of `ends`; *s becomes the rest. */
static struct str until(struct str *s, const char *ends)
{
    size_t n = 0;
    while (n < s->n && !one_of(s->p[n], ends))
        n++;
    struct str part = str_n(s->p, n);
    *s = str_from(*s, n);
    return part;
}

static bool is_address(struct str s, bool absolute, bool iri)
{
    size_t n = 0;
    while (n < s.n && (alpha(s.p[n]) || (n && (digit(s.p[n]) || one_of(s.p[n], "+-.")))))
        n++;
    bool scheme = n > 0 && n < s.n && s.p[n] == ':';
    if (scheme)
        s = str_from(s, n + 1);
    else if (absolute)
        return false;
    if (str_starts(s, STR("//"))) {
        s = str_from(s, 2);
        if (!is_authority(until(&s, "/?#"), iri))
            return false;
    } else if (!scheme) { /* a colon in the first segment would make it a scheme */
        struct str rest = s, segment = until(&rest, "/?#");
        if (segment.n && memchr(segment.p, ':', segment.n))
            return false;
    }
    if (!uri_text(until(&s, "?#"), ":@/", iri))
        return false;
    if (eat(&s, "?") && !uri_text(until(&s, "#"), ":@/?", iri))
        return false;
    return eat(&s, "#") ? uri_text(s, ":@/?", iri) : !s.n;
}

static bool is_uri(struct str s)
{
    return is_address(s, true, false);
}

static bool is_uri_reference(struct str s)
{
    return is_address(s, false, false);
}

static bool is_iri(struct str s)
{
    return is_address(s, true, true);
}

static bool is_iri_reference(struct str s)
{
    return is_address(s, false, true);
}

/* Behind `{` of a template: [operator] name[:length|*] {, ...} `}` */
static bool eat_hole(struct str *s)
{
    eat(s, "+#./;?&=,!@|");
    do {
        size_t n = 0;
        for (bool dot = true; n < s->n; n++) {
            char c = s->p[n];
            bool code = c == '%' && n + 2 < s->n && hex(s->p[n + 1]) && hex(s->p[n + 2]);
            if (!alpha(c) && !digit(c) && c != '_' && !code && (c != '.' || dot))
                break;
            dot = c == '.';
            n += code ? 2 : 0;
        }
        if (!n || s->p[n - 1] == '.')
            return false;
        *s = str_from(*s, n);
        if (eat(s, ":")) {
            size_t length = s->n && s->p[0] != '0' ? eat_digits(s) : 0;
            if (length < 1 || length > 4)
                return false;
        } else {
            eat(s, "*");
        }
    } while (eat(s, ","));
    return eat(s, "}");
}

static bool is_uri_template(struct str s)
{
    while (s.n) {
        char c = s.p[0];
        s = str_from(s, 1);
        if (c == '{' ? !eat_hole(&s) : (unsigned char)c <= ' ' || one_of(c, "\"<>\\^`|}") || c == 0x7f)
            return false;
        if (c == '%' && (s.n < 2 || !hex(s.p[0]) || !hex(s.p[1])))
            return false;
    }
    return true;
}

/* ---- pointers and patterns ---- */

static bool is_json_pointer(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '~' && (i + 1 >= s.n || (s.p[i + 1] != '0' && s.p[i + 1] != '1')))
            return false;
    return !s.n || s.p[0] == '/';
}

static bool is_relative_json_pointer(struct str s)
{
    struct str number = s;
    size_t n = eat_digits(&s);
    return n && (n == 1 || number.p[0] != '0') && (str_is(s, "#") || is_json_pointer(s));
}

static bool is_regex(struct str s)
{
    struct regex *r = NULL;
    struct err err;
    bool ok = schema_pattern_compile(s, true, &r, &err) == RC_OK;
    regex_free(r);
    return ok;
}

static const struct {
    const char *name;
    schema_format *fits;
    const char *expected;
} formats[] = {
#define X(name, fits, expected) {name, fits, expected},
#include "data/schema_formats.def"
#undef X
};
enum { FORMATS = sizeof formats / sizeof *formats };

static size_t find(struct str name)
{
    size_t i = 0;
    while (i < FORMATS && !str_is(name, formats[i].name))
        i++;
    return i;
}

const char *schema_format_expected(struct str format)
{
    size_t i = find(format);
    return i < FORMATS ? formats[i].expected : NULL;
}

bool schema_format_fits(struct str format, struct str text)
{
    size_t i = find(format);
    return i == FORMATS || formats[i].fits(text);
}
