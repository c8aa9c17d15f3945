/* The format `idn-hostname`: host names with letters of all scripts (RFC 5890 to 5892).
 *
 * A label in ASCII is judged as in `hostname`. Another must be one that may be registered: letters, digits and marks,
 * small ones, none of those that RFC 5892 excludes, and some only next to what gives them their meaning. Its length is
 * that of its Punycode (RFC 3492), of which only the length is computed here. Classes of characters are PCRE2's. */
#include "data/schema_int.h"

enum { HOSTNAME_MAX = 253, LABEL_MAX = 63 };

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
    "|(?<!\\p{M})[\\x{200c}\\x{200d}]"                                  /* joiners, after a virama */
    "|[\\x{660}-\\x{669}].*[\\x{6f0}-\\x{6f9}]|[\\x{6f0}-\\x{6f9}].*[\\x{660}-\\x{669}]"; /* digits of two kinds */
/* Katakana middle dot: somewhere in the label is a letter of Japanese. */
static const char japanese[] = "^[^\\x{30fb}]*$|[\\p{sc:Hiragana}\\p{sc:Katakana}\\p{sc:Han}]";

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

/* The characters that Punycode takes for one delta. */
static size_t digits(uint64_t delta, uint32_t bias)
{
    size_t n = 1;
    for (uint32_t k = 36;; k += 36, n++) {
        uint32_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
        if (delta < t)
            return n;
        delta = (delta - t) / (36 - t);
    }
}

static uint32_t adapted(uint64_t delta, uint64_t points, bool first)
{
    uint32_t k = 0;
    delta = first ? delta / 700 : delta / 2;
    for (delta += delta / points; delta > 455; k += 36)
        delta /= 35;
    return k + (uint32_t)(36 * delta / (delta + 38));
}

/* The length of a label in the DNS, `xn--` included. The label is valid UTF-8, not longer than HOSTNAME_MAX. */
static size_t dns_length(struct str label)
{
    uint32_t cp[HOSTNAME_MAX], n = 128, bias = 72;
    size_t count = 0, basic = 0;
    while (label.n && count < HOSTNAME_MAX) {
        cp[count] = next_character(&label);
        basic += cp[count++] < 128;
    }
    size_t out = sizeof "xn--" - 1 + basic + (basic > 0), done = basic;
    uint64_t delta = 0;
    while (done < count) {
        uint32_t least = UINT32_MAX;
        for (size_t i = 0; i < count; i++)
            if (cp[i] >= n && cp[i] < least)
                least = cp[i];
        delta += (uint64_t)(least - n) * (done + 1);
        n = least;
        for (size_t i = 0; i < count; i++) {
            delta += cp[i] < n;
            if (cp[i] != n)
                continue;
            out += digits(delta, bias);
            bias = adapted(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
        delta++;
        n++;
    }
    return out;
}

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return false;
    return true;
}

bool schema_is_idn_hostname(struct str s)
{
    size_t total = 0;
    if (!s.n || s.n > 4 * HOSTNAME_MAX || str_utf8_valid(s) != s.n)
        return false;
    while (true) {
        size_t dot = str_find(s, STR(".")), n = dot == SIZE_MAX ? s.n : dot;
        struct str label = str_n(s.p, n);
        bool ascii = is_ascii(label);
        if (n > HOSTNAME_MAX ||
            !(ascii ? schema_format_fits(STR("hostname"), label) : !found(refused, label) && found(japanese, label)))
            return false;
        size_t length = ascii ? n : dns_length(label);
        total += length + 1;
        if (length > LABEL_MAX || total > HOSTNAME_MAX + 1)
            return false;
        if (dot == SIZE_MAX)
            return true;
        s = str_from(s, n + 1);
    }
}
