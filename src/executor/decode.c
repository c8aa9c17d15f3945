/* By hand rather than by iconv: these few are tables of at most 32 characters, and iconv loads modules from the file
 * system, which a confined process may not have. */
#include "executor/decode.h"

#include "base/buf.h"

#include <strings.h>

enum kind { UTF8, ASCII, LATIN1, CP1252, UTF16, UTF16LE, UTF16BE };
enum { GROWTH = 3 }; /* bytes of UTF-8 for one of Latin-1 or for two of UTF-16, at most */

static const struct encoding {
    const char *name;
    enum kind kind;
} encodings[] = {{"utf-8", UTF8},      {"utf8", UTF8},     {"ascii", ASCII},       {"us-ascii", ASCII},
                 {"latin-1", LATIN1},  {"latin1", LATIN1}, {"iso-8859-1", LATIN1}, {"windows-1252", CP1252},
                 {"cp1252", CP1252},   {"utf-16", UTF16},  {"utf16", UTF16},       {"utf-16le", UTF16LE},
                 {"utf-16be", UTF16BE}};

/* 0x80 to 0x9F; 0: none. */
static const uint16_t cp1252[32] = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                    0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                    0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                    0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

static void add_char(struct buf *b, uint32_t c)
{
    if (c < 0x80) {
        buf_addc(b, (char)c);
        return;
    }
    if (c >= 0x10000) {
        buf_addc(b, (char)(0xF0 | c >> 18));
        buf_addc(b, (char)(0x80 | (c >> 12 & 0x3F)));
    } else if (c >= 0x800) {
        buf_addc(b, (char)(0xE0 | c >> 12));
    }
    if (c >= 0x800)
        buf_addc(b, (char)(0x80 | (c >> 6 & 0x3F)));
    else
        buf_addc(b, (char)(0xC0 | c >> 6));
    buf_addc(b, (char)(0x80 | (c & 0x3F)));
}

static enum rc bytes(struct buf *b, struct str text, enum kind kind, struct err *err)
{
    for (size_t i = 0; i < text.n; i++) {
        uint32_t c = (unsigned char)text.p[i];
        if (kind == CP1252 && c >= 0x80 && c < 0xA0)
            c = cp1252[c - 0x80];
        if ((kind == ASCII && c >= 0x80) || (kind == CP1252 && !c && text.p[i]))
            return err_set(err, RC_INVALID, "is not text of that encoding (byte %zu)", i);
        add_char(b, c);
    }
    return RC_OK;
}

static uint32_t unit(struct str s, size_t i, bool big)
{
    uint32_t first = (unsigned char)s.p[i], second = (unsigned char)s.p[i + 1];
    return big ? first << 8 | second : second << 8 | first;
}

static enum rc utf16(struct buf *b, struct str text, enum kind kind, struct err *err)
{
    bool big = kind == UTF16BE;
    size_t i = 0;
    if (text.n >= 2 && (unit(text, 0, true) == 0xFEFF || unit(text, 0, true) == 0xFFFE)) {
        bool marked = unit(text, 0, true) == 0xFEFF;
        if (kind == UTF16 || marked == big)
            i = 2, big = marked;
    }
    for (; i + 1 < text.n; i += 2) {
        uint32_t c = unit(text, i, big), low = i + 3 < text.n ? unit(text, i + 2, big) : 0;
        bool high = c >= 0xD800 && c < 0xDC00, paired = high && low >= 0xDC00 && low < 0xE000;
        if (c >= 0xD800 && c < 0xE000 && !paired)
            break;
        if (paired) {
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            i += 2;
        }
        add_char(b, c);
    }
    return i == text.n ? RC_OK : err_set(err, RC_INVALID, "is not text of that encoding (byte %zu)", i);
}

enum rc decode_text(struct arena *a, struct str text, struct str encoding, struct str *ret, struct err *err)
{
    const struct encoding *e = NULL;
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings && !e; i++)
        if (encoding.n == strlen(encodings[i].name) && !strncasecmp(encodings[i].name, encoding.p, encoding.n))
            e = &encodings[i];
    if (encoding.n && !e)
        return err_set(err, RC_INVALID,
                       "unknown encoding `%.*s`; expected utf-8, ascii, latin-1, windows-1252, utf-16, utf-16le or "
                       "utf-16be",
                       (int)(encoding.n < 60 ? encoding.n : 60), encoding.p);
    if (!e || e->kind == UTF8) {
        *ret = text;
        return str_utf8_valid(text) == text.n
                   ? RC_OK
                   : err_set(err, RC_INVALID, "is not UTF-8 text (byte %zu)", str_utf8_valid(text));
    }
    struct buf b;
    buf_init(&b, GROWTH * text.n + 1);
    enum rc rc = e->kind >= UTF16 ? utf16(&b, text, e->kind, err) : bytes(&b, text, e->kind, err);
    if (rc == RC_OK)
        *ret = arena_str(a, buf_str(&b));
    buf_done(&b);
    return rc;
}
