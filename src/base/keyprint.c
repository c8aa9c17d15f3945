/* What a fingerprint tells, and to whom. It lies in the memory of processes that must not have the key, so whoever
 * gets hold of it can try guesses. It consists of:
 *
 *   proof   SHA-256 of salt and key, stretched a thousand times: a guess can be confirmed, and costs that much
 *   hint    the upper 20 bits of a rolling hash: what makes the search fast. All that it gives away is 20 bits. (A
 * whole rolling hash would be 64 linear equations about the key; of a short key that is most of it.) length, and which
 * of three alphabets all characters are of
 *
 * The least key, 20 random characters, has 80 bits if they are hexadecimal digits and 119 if they are letters and
 * digits; 60 and 99 remain, at a thousand hashes a guess. Keys of providers have 128 and more.
 *
 * How a text is searched. Keys consist of characters that words consist of, but are much longer than words. So the text
 * is looked at in steps of a key's length: where the character is none of the alphabet, no key is around it. Only in
 * longer runs of the alphabet the rolling hash (a cyclic polynomial over a random table) goes over each byte, and only
 * where its hint agrees, once in a million, the proof is made. Encoded keys are found by decoding: the windows of a run
 * in base64 at four alignments, and in hexadecimal at two, go through the same hash. One fingerprint serves all forms,
 * so nothing more is given away for them. What is encoded may come in lines, as base64 and xxd write it.
 *
 * What repeats itself, or comes in small pieces, would be proved again and again; so proofs are remembered for the time
 * of one text, by a keyed hash of the window. */
#include "base/keyprint_int.h"

#include "base/hash.h"
#include "base/panic.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    MAGIC = 0x4b505231,
    HINT_BITS = 20,
    STRETCH = 1024,
    BREAKS_MAX = 2, /* in a row, within what is encoded: CR LF */
    BLOCK = 4096    /* decoded bytes at a time */
};

/* ---- alphabets ---- */

enum { TOKEN = 1, VISIBLE = 2, ANY = 4, BASE64 = 8, HEX = 16, BREAK = 32 /* of lines */ };

static unsigned char kinds[256]; /* which alphabets a byte is of */
static signed char base64_digit[256], hex_digit[256];

static void fill_tables(void)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char more[] = "-_.~+/="; /* of tokens (RFC 6750), besides letters and digits */
    memset(base64_digit, -1, sizeof base64_digit);
    memset(hex_digit, -1, sizeof hex_digit);
    for (int i = 0; i < 64; i++)
        base64_digit[(unsigned char)digits[i]] = (signed char)i;
    base64_digit['-'] = 62, base64_digit['_'] = 63;
    for (int i = 0; i < 16; i++) {
        hex_digit[(unsigned char)"0123456789abcdef"[i]] = (signed char)i;
        hex_digit[(unsigned char)"0123456789ABCDEF"[i]] = (signed char)i;
    }
    for (int c = 0; c < 256; c++) {
        bool letter = c < 128 && base64_digit[c] >= 0;
        kinds[c] = ANY;
        kinds[c] |= letter || (c && strchr(more, c)) ? TOKEN : 0;
        kinds[c] |= c > ' ' && c <= '~' ? VISIBLE : 0;
        kinds[c] |= letter ? BASE64 : 0;
        kinds[c] |= hex_digit[c] >= 0 ? HEX : 0;
        kinds[c] |= c == '\n' || c == '\r' ? BREAK : 0;
    }
}

/* ---- the set of this process ---- */

static struct {
    struct keyprints p;
    uint64_t in[256];                 /* the random table */
    uint64_t out[KEYPRINTS_MAX][256]; /* the same, rotated by the key's length */
} set;

static uint64_t rotl(uint64_t x, unsigned k)
{
    k %= 64;
    return k ? x << k | x >> (64 - k) : x;
}

static void random_table(const unsigned char *salt, uint64_t table[256])
{
    uint64_t seed;
    struct rng rng;
    memcpy(&seed, salt, sizeof seed);
    rng_seed(&rng, seed);
    for (int i = 0; i < 256; i++)
        table[i] = rng_next(&rng);
}

static struct sha256 prove(const unsigned char salt[32], struct str key)
{
    unsigned char text[32 + KEYPRINT_MOST];
    memcpy(text, salt, 32);
    memcpy(text + 32, key.p, key.n);
    struct sha256 h = sha256_of(str_n((const char *)text, 32 + key.n));
    for (int i = 0; i < STRETCH; i++) {
        memcpy(text + 32, h.b, sizeof h.b);
        h = sha256_of(str_n((const char *)text, 32 + sizeof h.b));
    }
    explicit_bzero(text, sizeof text);
    return h;
}

void keyprints_begin(struct keyprints *p)
{
    *p = (struct keyprints){.magic = MAGIC};
    CHECK(getrandom(p->salt, sizeof p->salt, 0) == (ssize_t)sizeof p->salt);
}

bool keyprints_add(struct keyprints *p, const char *name, struct str key)
{
    uint64_t table[256], h = 0;
    unsigned common = TOKEN | VISIBLE | ANY;
    if (key.n < KEYPRINT_LEAST || key.n > KEYPRINT_MOST || p->n == KEYPRINTS_MAX)
        return false;
    fill_tables();
    random_table(p->salt, table);
    for (size_t i = 0; i < key.n; i++) {
        h = rotl(h, 1) ^ table[(unsigned char)key.p[i]];
        common &= kinds[(unsigned char)key.p[i]];
    }
    struct keyprint *k = &p->v[p->n++];
    *k = (struct keyprint){.length = (uint32_t)key.n, .hint = (uint32_t)(h >> (64 - HINT_BITS))};
    k->alphabet = common & TOKEN ? TOKEN : common & VISIBLE ? VISIBLE : ANY;
    k->proof = prove(p->salt, key);
    snprintf(k->name, sizeof k->name, "%s", name);
    return true;
}

static bool is_sound(const struct keyprints *p)
{
    for (size_t i = 0; i < p->n && p->n <= KEYPRINTS_MAX; i++) {
        const struct keyprint *k = &p->v[i];
        if (k->length < KEYPRINT_LEAST || k->length > KEYPRINT_MOST || !memchr(k->name, 0, sizeof k->name) ||
            (k->alphabet != TOKEN && k->alphabet != VISIBLE && k->alphabet != ANY))
            return false;
    }
    return p->magic == MAGIC && p->n <= KEYPRINTS_MAX;
}

void keyprints_use(const struct keyprints *p)
{
    if (!is_sound(p)) {
        set.p.n = 0;
        return;
    }
    fill_tables();
    random_table(p->salt, set.in);
    for (size_t i = 0; i < p->n; i++)
        for (int c = 0; c < 256; c++)
            set.out[i][c] = rotl(set.in[c], p->v[i].length);
    set.p = *p;
}

bool keyprints_used(void)
{
    return set.p.n > 0;
}

/* ---- the search for one key ---- */

/* What is searched: a part of the text, or (`gaps`) a copy of one without its line breaks. */
struct gap {
    size_t at, skipped; /* from this byte on, so many have been left out in all */
};
struct view {
    const unsigned char *p;
    size_t n, base; /* base: where it begins in the text */
    struct gap *gaps;
    size_t ngaps, cap;
};

struct code;
struct search {
    struct str s;
    struct view view;
    unsigned alphabet;       /* keys of this one are looked for */
    size_t least;            /* the shortest key's length */
    const struct code *code; /* of what is decoded */
    size_t which;            /* the key, and its fingerprint */
    const struct keyprint *print;
    struct keymatches *found;
    struct keyprint_proved *proved;
};

static bool is_key(struct search *q, const unsigned char *window)
{
    struct str w = str_n((const char *)window, q->print->length);
    uint64_t hash = (hash_keyed(w) + q->which) | (uint64_t)1 << 63;
    struct keyprint_proved *p = &q->proved[hash % KEYPRINT_PROVED];
    if (p->hash != hash) {
        struct sha256 proof = prove(set.p.salt, w);
        *p = (struct keyprint_proved){hash, memcmp(&proof, &q->print->proof, sizeof proof) == 0};
    }
    return p->yes;
}

/* Where byte `i` of the view is in the text. */
static size_t place(const struct view *v, size_t i)
{
    size_t low = 0, high = v->ngaps;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (v->gaps[middle].at <= i)
            low = middle + 1;
        else
            high = middle;
    }
    return v->base + i + (low ? v->gaps[low - 1].skipped : 0);
}

static void note(struct search *q, size_t begin, size_t end)
{
    struct keymatches *f = q->found;
    begin = place(&q->view, begin);
    end = place(&q->view, end - 1) + 1;
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 16;
        f->v = realloc(f->v, f->cap * sizeof *f->v);
        CHECK(f->v);
    }
    f->v[f->n++] = (struct keymatch){begin, end, q->print};
}

/* The hash after byte `i` of a sequence of which each byte comes once. */
struct rolling {
    uint64_t h;
    size_t n; /* bytes taken */
};

/* Takes the bytes of `p` from `from` to `to`; those of the window before must still lie there. Returns where the first
 * window ends whose hint agrees (one past its last byte), or 0: none. */
static size_t roll(const struct search *q, struct rolling *r, const unsigned char *p, size_t from, size_t to)
{
    const uint64_t *in = set.in, *out = set.out[q->which];
    size_t length = q->print->length, i = from;
    uint64_t h = r->h, hint = q->print->hint;
    for (; i < to && r->n < length; i++) {
        h = rotl(h, 1) ^ in[p[i]];
        if (++r->n == length && h >> (64 - HINT_BITS) == hint) {
            r->h = h;
            return i + 1;
        }
    }
    for (; i < to; i++) {
        h = (h << 1 | h >> 63) ^ in[p[i]] ^ out[p[i - length]];
        if (h >> (64 - HINT_BITS) == hint) {
            r->h = h;
            return i + 1;
        }
    }
    r->h = h;
    return 0;
}

static void raw_run(struct search *q, size_t begin, size_t end)
{
    const unsigned char *p = q->view.p;
    struct rolling r = {0};
    size_t length = q->print->length;
    for (size_t at = begin; (at = roll(q, &r, p, at, end)) != 0;)
        if (is_key(q, p + at - length))
            note(q, at - length, at);
}

/* ---- decoded ---- */

static size_t decode_hex(const unsigned char *s, size_t n, unsigned char *ret)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = (unsigned char)(hex_digit[s[2 * i]] << 4 | hex_digit[s[2 * i + 1]]);
    return n;
}

/* `n` bytes, a multiple of three but at the end of a run. */
static size_t decode_base64(const unsigned char *s, size_t n, unsigned char *ret)
{
    for (size_t i = 0; i < n; i += 3, s += 4) {
        unsigned x = (unsigned)base64_digit[s[0]] << 18 | (unsigned)base64_digit[s[1]] << 12;
        ret[i] = (unsigned char)(x >> 16);
        if (i + 1 < n)
            ret[i + 1] = (unsigned char)((x |= (unsigned)base64_digit[s[2]] << 6) >> 8);
        if (i + 2 < n)
            ret[i + 2] = (unsigned char)(x | (unsigned)base64_digit[s[3]]);
    }
    return n;
}

struct code {
    unsigned alphabet;
    size_t bits, alignments; /* of a character */
    size_t (*decode)(const unsigned char *s, size_t n, unsigned char *ret);
};
static const struct code base64 = {BASE64, 6, 4, decode_base64}, hex = {HEX, 4, 2, decode_hex};

/* One alignment of a run: its bytes are decoded block by block, each behind the last window of the one before. */
static void decoded_run(struct search *q, const struct code *c, size_t begin, size_t end)
{
    unsigned char block[KEYPRINT_MOST + BLOCK];
    const unsigned char *p = q->view.p;
    size_t total = (end - begin) * c->bits / 8, length = q->print->length, kept = 0;
    struct rolling r = {0};
    for (size_t done = 0; done < total;) {
        size_t n = total - done < BLOCK / 3 * 3 ? total - done : BLOCK / 3 * 3;
        c->decode(p + begin + done * 8 / c->bits, n, block + kept);
        for (size_t at = kept; (at = roll(q, &r, block, at, kept + n)) != 0;) {
            size_t last = done + at - kept, first = last - length; /* bytes of the run */
            if (is_key(q, block + at - length))
                note(q, begin + first * 8 / c->bits, begin + (last * 8 + c->bits - 1) / c->bits);
        }
        done += n;
        n += kept;
        kept = n < length ? n : length;
        memmove(block, block + n - kept, kept);
    }
    explicit_bzero(block, sizeof block);
}

static void code_run(struct search *q, const struct code *c, size_t begin, size_t end)
{
    for (size_t i = 0; i < c->alignments && begin + i < end; i++)
        decoded_run(q, c, begin + i, end);
}

static size_t chars_of(const struct keyprint *k, const struct code *c)
{
    return (k->length * (size_t)8 + c->bits - 1) / c->bits;
}

/* ---- runs ---- */

typedef void on_run(void *ctx, size_t begin, size_t end);

/* Runs of at least `least` characters of the alphabet, from `from` to `to`. */
static void each_run(const unsigned char *p, size_t from, size_t to, unsigned alphabet, size_t least, on_run *cb,
                     void *ctx)
{
    size_t known = from; /* up to there no run goes back */
    for (size_t i = from + least - 1; i < to;) {
        if (!(kinds[p[i]] & alphabet)) {
            known = i + 1;
            i += least;
            continue;
        }
        size_t begin = i, end = i + 1;
        while (begin > known && kinds[p[begin - 1]] & alphabet)
            begin--;
        while (end < to && end - begin < least && kinds[p[end]] & alphabet)
            end++;
        if (end - begin >= least) {
            while (end < to && kinds[p[end]] & alphabet)
                end++;
            cb(ctx, begin, end);
        }
        known = end;
        i = end + least;
    }
}

static int by_begin(const void *a, const void *b)
{
    const struct keymatch *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end == y->end ? 0 : x->end > y->end ? -1 : 1;
}

/* Goes through the keys for what can be in a run. */
static void raw_runs(void *ctx, size_t begin, size_t end)
{
    struct search *q = ctx;
    for (q->which = 0; q->which < set.p.n; q->which++) {
        q->print = &set.p.v[q->which];
        if (q->print->alphabet == q->alphabet && end - begin >= q->print->length)
            raw_run(q, begin, end);
    }
}

static void code_runs(void *ctx, size_t begin, size_t end)
{
    struct search *q = ctx;
    for (q->which = 0; q->which < set.p.n; q->which++) {
        q->print = &set.p.v[q->which];
        if (end - begin >= chars_of(q->print, q->code))
            code_run(q, q->code, begin, end);
    }
}

/* `view` is one run of base64. */
static void coded_view(struct search *q)
{
    const struct view *v = &q->view;
    q->code = &base64;
    code_runs(q, 0, v->n);
    q->code = &hex;
    each_run(v->p, 0, v->n, HEX, q->least * 2, code_runs, q);
}

static void add_gap(struct view *v, size_t at, size_t skipped)
{
    if (v->ngaps == v->cap) {
        v->cap = v->cap ? 2 * v->cap : 64;
        v->gaps = realloc(v->gaps, v->cap * sizeof *v->gaps);
        CHECK(v->gaps);
    }
    v->gaps[v->ngaps++] = (struct gap){at, skipped};
}

/* From `from` on, what is of one piece: up to `to`, or to more line breaks than BREAKS_MAX. Copied without them. */
static size_t join(struct search *q, const unsigned char *p, size_t from, size_t to, unsigned char *copy)
{
    struct view *v = &q->view;
    size_t skipped = 0, i = from;
    *v = (struct view){.p = copy, .base = from, .gaps = v->gaps, .cap = v->cap};
    while (i < to) {
        size_t breaks = 0;
        while (i + breaks < to && kinds[p[i + breaks]] & BREAK)
            breaks++;
        if (breaks > BREAKS_MAX)
            break;
        if (breaks)
            add_gap(v, v->n, skipped += breaks);
        for (i += breaks; i < to && !(kinds[p[i]] & BREAK); i++)
            copy[v->n++] = p[i];
    }
    return i;
}

/* A run of base64, perhaps in lines. */
static void coded_run(void *ctx, size_t begin, size_t end)
{
    struct search *q = ctx;
    const unsigned char *p = (const unsigned char *)q->s.p;
    bool lines = false;
    for (size_t i = begin; i < end && !lines; i++)
        lines = kinds[p[i]] & BREAK;
    if (!lines) {
        q->view = (struct view){.p = p + begin, .n = end - begin, .base = begin};
        coded_view(q);
        return;
    }
    unsigned char *copy = malloc(end - begin);
    CHECK(copy);
    q->view = (struct view){.n = 0};
    for (size_t at = begin; at < end;) {
        while (at < end && kinds[p[at]] & BREAK)
            at++;
        at = join(q, p, at, end, copy);
        coded_view(q);
    }
    free(q->view.gaps);
    explicit_bzero(copy, end - begin);
    free(copy);
}

/* Words of a text are shorter than any key, so it is gone over quickly: once for keys as they are, of each alphabet
 * that keys have, and once for encoded ones. */
void keyprints_scan(struct str s, bool joined, struct keyprint_proved *proved, struct keymatches *ret)
{
    const unsigned char *p = (const unsigned char *)s.p;
    struct view whole = {.p = p, .n = s.n};
    struct search q = {.s = s, .view = whole, .found = ret, .least = KEYPRINT_MOST, .proved = proved};
    unsigned alphabets = 0;
    for (size_t i = 0; i < set.p.n; i++) {
        const struct keyprint *k = &set.p.v[i];
        q.least = k->length < q.least ? k->length : q.least;
        alphabets |= k->alphabet;
    }
    for (q.alphabet = TOKEN; q.alphabet <= ANY; q.alphabet *= 2)
        if (alphabets & q.alphabet)
            each_run(p, 0, s.n, q.alphabet, q.least, raw_runs, &q);
    each_run(p, 0, s.n, BASE64 | (joined ? BREAK : 0), q.least * 4 / 3, coded_run, &q);
    if (ret->n > 1)
        qsort(ret->v, ret->n, sizeof *ret->v, by_begin);
}

/* How much of the end of `s` consists of at most `most` characters of the alphabet, and (with `joined`) line breaks
 * within and behind them. */
static size_t tail_of(struct str s, unsigned alphabet, size_t most, bool joined)
{
    size_t first = s.n, n = 0, breaks = 0;
    for (size_t i = s.n; i && n < most; i--) {
        unsigned kind = kinds[(unsigned char)s.p[i - 1]];
        if (kind & alphabet)
            n++, breaks = 0, first = i - 1;
        else if (!joined || !(kind & BREAK) || breaks++ == BREAKS_MAX)
            break;
    }
    return s.n - first;
}

size_t keyprints_open_end(struct str s, bool joined)
{
    size_t most = 0;
    for (size_t i = 0; i < set.p.n; i++) {
        const struct keyprint *k = &set.p.v[i];
        size_t raw = tail_of(s, k->alphabet, k->length - 1, false);
        size_t coded = tail_of(s, BASE64, chars_of(k, &hex) - 1, joined);
        most = raw > most ? raw : most;
        most = coded > most ? coded : most;
    }
    return most;
}
