/* The formats `hostname` and `idn-hostname`: host names, with letters of all scripts (RFC 5890 to 5893).
 *
 * A label in ASCII is letters, digits and hyphens. One that begins with `xn--` says in Punycode (RFC 3492) what another
 * says in its own letters, and must say it as the encoding would; both are judged by those letters, which must be some
 * that may be registered: letters, digits and marks, small ones, none of those that RFC 5892 excludes, and some only
 * next to what gives them their meaning. Where a label is written from right to left, all must be such that their order
 * on a screen is no riddle (RFC 5893). Classes of characters are PCRE2's; it knows no virama and no joining types:
 * any mark is taken for a virama, and of the scripts that join, Arabic is known. */
#include "data/schema_int.h"

enum { HOSTNAME_MAX = 253, LABEL_MAX = 63 };

/* Arabic letters that join what stands beside them, and those that join only what stands before. */
#define ARABIC "(?:(?=\\p{sc:Arabic})(?![\\x{621}\\x{674}])\\p{Lo})"
#define RIGHT                                                                                                        \
    "[\\x{622}-\\x{625}\\x{627}\\x{629}\\x{62f}-\\x{632}\\x{648}\\x{671}-\\x{673}\\x{675}-\\x{677}\\x{688}-\\x{699}" \
    "\\x{6c0}\\x{6c3}-\\x{6cb}\\x{6cd}\\x{6cf}\\x{6d2}\\x{6d3}\\x{6d5}\\x{6ee}\\x{6ef}]"

/* One line of RFC 5892 each: a label in which it is found is none. */
static const char refused[] =
    "^\\p{M}|[^\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}\\p{Nd}\\x{b7}\\x{375}\\x{5f3}\\x{5f4}\\x{30fb}\\x{200c}\\x{200d}\\x{6fd}\\x{"
    "6fe}"
    "\\x{f0b}\\x{3007}-]" /* the classes of letters and digits, exceptions */
    "|[\\x{640}\\x{7fa}\\x{302e}\\x{302f}\\x{3031}-\\x{3035}\\x{303b}]" /* exceptions that are excluded */
    "|^-|-$|^..--"                                                      /* hyphens */
    "|(?<!l)\\x{b7}|\\x{b7}(?!l)"                                       /* middle dot between two l */
    "|\\x{375}(?!\\p{sc:Greek})"                                        /* Greek lower numeral sign */
    "|(?<!\\p{sc:Hebrew})[\\x{5f3}\\x{5f4}]"                            /* Hebrew punctuation */
    "|(?<!\\p{M})\\x{200d}"                                             /* zero width joiner, after a virama */
    "|(?<!\\p{M})(?<!" ARABIC "(?<!" RIGHT "))\\x{200c}"                /* non-joiner: likewise, or between letters */
    "|(?<!\\p{M})\\x{200c}(?!\\p{Mn}*" ARABIC ")"                       /* that would join */
    "|[\\x{660}-\\x{669}].*[\\x{6f0}-\\x{6f9}]|[\\x{6f0}-\\x{6f9}].*[\\x{660}-\\x{669}]"; /* digits of two kinds */
/* Katakana middle dot: somewhere in the label is a letter of Japanese. */
static const char japanese[] = "^[^\\x{30fb}]*$|[\\p{sc:Hiragana}\\p{sc:Katakana}\\p{sc:Han}]";

/* RFC 5893: a label with letters or digits that are written from right to left; and what each label of such a name must
 * be, from left to right or from right to left. */
#define BC(class) "\\p{bc:" #class "}"
static const char rightwards[] = "[" BC(R) BC(AL) BC(AN) "]";
static const char ordered[] = "^(?=" BC(L) ")[" BC(L) BC(EN) BC(ES) BC(CS) BC(ET) BC(ON) BC(BN) BC(NSM) "]*[" BC(L)
    BC(EN) "]" BC(NSM) "*$"
                       "|^(?=[" BC(R) BC(AL) "])(?!.*" BC(EN) ".*" BC(AN) "|.*" BC(AN) ".*" BC(
                           EN) ")"
                               "[" BC(R) BC(AL) BC(AN) BC(EN) BC(ES) BC(CS) BC(ET) BC(ON) BC(BN)
                                   BC(NSM) "]*"
                                           "[" BC(R) BC(AL) BC(EN) BC(AN) "]" BC(NSM) "*$";

static bool found(const char *pattern, struct str text)
{
    struct regex *re = NULL;
    struct regex_match m = {.found = false};
    struct err err;
    bool ok = regex_compile(str_c(pattern), false, &re, &err) == RC_OK && regex_search(re, text, 0, &m, &err) == RC_OK;
    regex_free(re);
    return ok && m.found;
}

static uint32_t next_character(struct str *s)
{
    unsigned char c = (unsigned char)s->p[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    uint32_t cp = n == 1 ? c : c & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        cp = cp << 6 | ((unsigned char)s->p[i] & 0x3f);
    *s = str_from(*s, n);
    return cp;
}

/* ---- Punycode ---- */

enum { BASE = 36, T_MIN = 1, T_MAX = 26 };

/* Characters of a label and their number. */
struct label {
    uint32_t cp[HOSTNAME_MAX];
    size_t n;
};
/* What it is in the DNS; what does not fit is only counted. */
struct dns {
    char p[LABEL_MAX];
    size_t n;
};

static void put(struct dns *d, char c)
{
    if (d->n < sizeof d->p)
        d->p[d->n] = c;
    d->n++;
}

static uint32_t threshold(uint32_t k, uint32_t bias)
{
    return k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
}

static void put_delta(struct dns *d, uint64_t delta, uint32_t bias)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (uint32_t k = BASE;; k += BASE) {
        uint32_t t = threshold(k, bias);
        if (delta < t)
            break;
        put(d, digits[t + (delta - t) % (BASE - t)]);
        delta = (delta - t) / (BASE - t);
    }
    put(d, digits[delta]);
}

static uint32_t adapted(uint64_t delta, uint64_t points, bool first)
{
    uint32_t k = 0;
    delta = first ? delta / 700 : delta / 2;
    for (delta += delta / points; delta > 455; k += BASE)
        delta /= BASE - T_MIN;
    return k + (uint32_t)(BASE * delta / (delta + 38));
}

static void encode(const struct label *l, struct dns *d)
{
    uint32_t n = 128, bias = 72;
    size_t basic = 0;
    uint64_t delta = 0;
    d->n = 0;
    for (size_t i = 0; i < 4; i++)
        put(d, "xn--"[i]);
    for (size_t i = 0; i < l->n; i++)
        if (l->cp[i] < 128) {
            put(d, (char)l->cp[i]);
            basic++;
        }
    if (basic)
        put(d, '-');
    for (size_t done = basic; done < l->n; delta++, n++) {
        uint32_t least = UINT32_MAX;
        for (size_t i = 0; i < l->n; i++)
            if (l->cp[i] >= n && l->cp[i] < least)
                least = l->cp[i];
        delta += (uint64_t)(least - n) * (done + 1);
        n = least;
        for (size_t i = 0; i < l->n; i++) {
            delta += l->cp[i] < n;
            if (l->cp[i] != n)
                continue;
            put_delta(d, delta, bias);
            bias = adapted(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
    }
}

static int digit_of(char c)
{
    return c >= 'a' && c <= 'z' ? c - 'a' : c >= '0' && c <= '9' ? c - '0' + 26 : -1;
}

/* One delta from the front of *s. False: there is none. */
static bool take_delta(struct str *s, uint32_t bias, uint64_t *ret)
{
    uint64_t weight = 1;
    *ret = 0;
    for (uint32_t k = BASE; s->n && weight <= UINT32_MAX; k += BASE) {
        int digit = digit_of(s->p[0]);
        uint32_t t = threshold(k, bias);
        if (digit < 0)
            return false;
        *s = str_from(*s, 1);
        *ret += (uint64_t)digit * weight;
        if ((uint32_t)digit < t)
            return *ret <= UINT32_MAX;
        weight *= BASE - t;
    }
    return false;
}

/* What stands behind `xn--`, in small letters. */
static bool decode(struct str s, struct label *l)
{
    size_t basic = s.n;
    while (basic && s.p[basic - 1] != '-')
        basic--;
    l->n = 0;
    for (size_t i = 0; i + 1 < basic; i++)
        l->cp[l->n++] = (unsigned char)s.p[i];
    s = str_from(s, basic);
    uint32_t bias = 72;
    uint64_t n = 128, at = 0, delta;
    for (bool first = true; s.n; first = false) {
        if (l->n == HOSTNAME_MAX || !take_delta(&s, bias, &delta))
            return false;
        at += delta;
        n += at / (l->n + 1);
        at %= l->n + 1;
        if (n > 0x10ffff || (n >= 0xd800 && n < 0xe000))
            return false;
        bias = adapted(delta, l->n + 1, first);
        memmove(l->cp + at + 1, l->cp + at, (l->n - at) * sizeof *l->cp);
        l->cp[at++] = (uint32_t)n;
        l->n++;
    }
    return true;
}

/* ---- labels ---- */

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return false;
    return true;
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return s.n && s.p[0] != '-' && s.p[s.n - 1] != '-';
}

static size_t put_utf8(char *to, uint32_t cp)
{
    size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; cp >>= 6)
        to[i] = (char)(0x80 | (cp & 0x3f));
    to[0] = (char)(heads[n] | cp);
    return n;
}

/* The label in its own letters, in `text`, which has room for it. */
static bool is_encoded(struct str s, char *text, struct str *ret)
{
    char small[LABEL_MAX];
    struct label l;
    struct dns back;
    for (size_t i = 0; i < s.n; i++)
        small[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
    s = str_n(small, s.n);
    if (!decode(str_from(s, 4), &l))
        return false;
    encode(&l, &back);
    if (back.n != s.n || memcmp(back.p, s.p, s.n) != 0)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < l.n; i++)
        n += put_utf8(text + n, l.cp[i]);
    *ret = str_n(text, n);
    return !is_ascii(*ret);
}

static bool begins_encoded(struct str s)
{
    return s.n > 4 && (s.p[0] | 32) == 'x' && (s.p[1] | 32) == 'n' && s.p[2] == '-' && s.p[3] == '-';
}

/* *length: of the label in the DNS; *own: in its own letters, perhaps in `text`. */
static bool is_label(struct str s, bool idn, char *text, struct str *own, size_t *length)
{
    *own = s;
    *length = s.n;
    if (s.n > (idn ? 4 * LABEL_MAX : LABEL_MAX))
        return false;
    bool ascii = is_ascii(s);
    if (ascii && (!is_plain(s) || s.n > LABEL_MAX))
        return false;
    if (ascii && !begins_encoded(s))
        return true;
    if (ascii ? !is_encoded(s, text, own) : !idn)
        return false;
    if (!ascii) {
        struct label l = {.n = 0};
        struct dns d;
        for (struct str rest = s; rest.n;)
            l.cp[l.n++] = next_character(&rest);
        encode(&l, &d);
        *length = d.n;
    }
    return *length <= LABEL_MAX && !found(refused, *own) && found(japanese, *own);
}

/* ---- names ---- */

/* Bytes of the dot at the front of s, or 0. RFC 3490 has more than one dot. */
static size_t dot_at(struct str s, bool idn)
{
    static const char *const others[] = {"\xe3\x80\x82", "\xef\xbc\x8e", "\xef\xbd\xa1"};
    if (s.p[0] == '.')
        return 1;
    for (size_t i = 0; idn && i < sizeof others / sizeof *others; i++)
        if (str_starts(s, str_c(others[i])))
            return 3;
    return 0;
}

static bool is_name(struct str s, bool idn)
{
    char text[4 * (HOSTNAME_MAX + LABEL_MAX)];
    struct str own[HOSTNAME_MAX];
    size_t total = 0, labels = 0, used = 0;
    bool right = false;
    if (!s.n || s.n > 4 * HOSTNAME_MAX || str_utf8_valid(s) != s.n)
        return false;
    for (bool more = true; more; labels++) {
        size_t n = 0, dot = 0, length;
        while (n < s.n && !(dot = dot_at(str_from(s, n), idn)))
            n++;
        if (labels == HOSTNAME_MAX || !n || !is_label(str_n(s.p, n), idn, text + used, &own[labels], &length))
            return false;
        total += length + 1;
        if (total > HOSTNAME_MAX + 1)
            return false;
        used += own[labels].p == text + used ? own[labels].n : 0;
        right |= !is_ascii(own[labels]) && found(rightwards, own[labels]);
        more = dot != 0;
        s = str_from(s, n + dot);
    }
    for (size_t i = 0; right && i < labels; i++)
        if (!found(ordered, own[i]))
            return false;
    return true;
}

bool schema_is_hostname(struct str s)
{
    return is_name(s, false);
}

bool schema_is_idn_hostname(struct str s)
{
    return is_name(s, true);
}
