/* One byte at a time, but for the data itself. */
#include "http/chunks.h"

enum { DIGITS_MAX = 8, EXT_MAX = 4096 /* bytes of extensions in one body */ };

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The line of a chunk's size, after its digits or within its extension. */
static bool size_byte(struct chunks *c, char b)
{
    int digit = digit_of(b);
    if (c->state == CHUNK_SIZE && digit >= 0 && c->digits < DIGITS_MAX) {
        c->left = c->left << 4 | (unsigned)digit;
        c->digits++;
        return true;
    }
    if (!c->digits)
        return false;
    if (b == '\r') {
        c->state = CHUNK_SIZE_LF;
        return true;
    }
    bool begins = b == ';' || b == ' ' || b == '\t';
    if ((c->state == CHUNK_SIZE && !begins) || b == '\n' || b == 0 || ++c->skipped > EXT_MAX)
        return false;
    c->state = CHUNK_EXT;
    return true;
}

static bool expect(struct chunks *c, char got, char wanted, int next)
{
    c->state = next;
    return got == wanted;
}

static bool framing_byte(struct chunks *c, char b)
{
    switch (c->state) {
    case CHUNK_SIZE:
    case CHUNK_EXT:
        return size_byte(c, b);
    case CHUNK_SIZE_LF:
        c->digits = 0;
        return expect(c, b, '\n', c->left ? CHUNK_DATA : CHUNK_LAST_CR);
    case CHUNK_CR:
        return expect(c, b, '\r', CHUNK_LF);
    case CHUNK_LF:
        return expect(c, b, '\n', CHUNK_SIZE);
    case CHUNK_LAST_CR:
        return expect(c, b, '\r', CHUNK_LAST_LF);
    default:
        return b == '\n';
    }
}

enum chunks_end chunks_feed(struct chunks *c, struct str bytes, size_t *used, struct buf *body)
{
    size_t i = 0;
    while (i < bytes.n) {
        if (c->state == CHUNK_DATA) {
            size_t n = bytes.n - i < c->left ? bytes.n - i : (size_t)c->left;
            buf_add(body, str_n(bytes.p + i, n));
            c->left -= n;
            i += n;
            if (body->overflow)
                return CHUNKS_WRONG;
            if (!c->left)
                c->state = CHUNK_CR;
            continue;
        }
        bool last = c->state == CHUNK_LAST_LF;
        if (!framing_byte(c, bytes.p[i++]))
            return CHUNKS_WRONG;
        if (last) {
            *used = i;
            return CHUNKS_WHOLE;
        }
    }
    *used = i;
    return CHUNKS_MORE;
}
