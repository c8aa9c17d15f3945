/* What a fingerprint tells, and to whom. It lies in the memory of processes that must not have the key, so whoever
 * gets hold of it can try guesses. It consists of:
 *
 *   proof   SHA-256 of salt and key, stretched a thousand times: a guess can be confirmed, and costs that much
 *   hint    the upper 20 bits of a hash: what makes the search fast. All that it gives away is 20 bits. (A whole hash
 *           would be 32 linear equations about the key; of a short key that is much of it.)
 *   length, and which of four alphabets all characters are of
 *
 * The least key, 20 random characters, has 80 bits if they are hexadecimal digits and 119 if they are letters and
 * digits; 60 and 99 remain, at a thousand hashes a guess. Keys of providers have 128 and more.
 *
 * How a text is searched. Keys consist of characters that words consist of, but are much longer than words. So the text
 * is looked at in steps of a key's length: where the character is none of the alphabet, no key is around it. Only in
 * longer runs of the alphabet there is hashing, and only where a hint agrees, once in a million, the proof is made.
 *
 * The hash of a window is the exclusive or of a random number for each byte, rotated by the byte's place. So hashes of
 * all windows, of whatever length, come from one row of sums: G[s + length] ^ G[s] is that of the window at s, rotated
 * by s. The row is made once for all keys; what is left for each is a comparison of neighbours without any order, which
 * is done for four places at a time.
 *
 * Encoded keys are found by decoding: the windows of a run in base64 at four alignments, and in hexadecimal at two.
 * There too only single bytes are decoded, in steps of a key's length, until a run of the alphabet is met. One
 * fingerprint serves all forms, so nothing more is given away for them. What is encoded may come in lines, as base64
 * and xxd write it.
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
    MAGIC = 0x4b505232,
    HINT_BITS = 20,
    STRETCH = 1024,
    BREAKS_MAX = 2, /* in a row, within what is encoded: CR LF */
    TURN = 32,      /* places after which the rotation is the same again */
    PIECE = 4224    /* places of windows that are looked at together: a multiple of three and of TURN */
};

/* ---- alphabets ---- */

enum { PLAIN = 1, TOKEN = 2, VISIBLE = 4, ANY = 8, BASE64 = 16, HEX = 32, BREAK = 64 /* of lines */ };

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
        kinds[c] |= letter && c != '+' && c != '/' ? PLAIN : 0;
        kinds[c] |= letter || (c && strchr(more, c)) ? TOKEN : 0;
        kinds[c] |= c > ' ' && c <= '~' ? VISIBLE : 0;
        kinds[c] |= letter ? BASE64 : 0;
        kinds[c] |= hex_digit[c] >= 0 ? HEX : 0;
        kinds[c] |= c == '\n' || c == '\r' ? BREAK : 0;
    }
}

/* ---- the set of this process ---- */

typedef uint32_t four __attribute__((vector_size(16)));

static struct {
    struct keyprints p;
    uint32_t numbers[256]; /* of the bytes */
    /* By key: its hint and which bits of a sum it is, as they are where a window begins at a place that leaves this
     * remainder by TURN. */
    four hint[KEYPRINTS_MAX][TURN / 4], mask[KEYPRINTS_MAX][TURN / 4];
} set;

static uint32_t rotr(uint32_t x, unsigned k)
{
    k %= TURN;
    return k ? x >> k | x << (TURN - k) : x;
}

static void random_numbers(const unsigned char *salt, uint32_t numbers[256])
{
    uint64_t seed;
    struct rng rng;
    memcpy(&seed, salt, sizeof seed);
    rng_seed(&rng, seed);
    for (int i = 0; i < 256; i++)
        numbers[i] = (uint32_t)(rng_next(&rng) >> 32);
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
    uint32_t numbers[256], h = 0;
    unsigned common = PLAIN | TOKEN | VISIBLE | ANY;
    if (key.n < KEYPRINT_LEAST || key.n > KEYPRINT_MOST || p->n == KEYPRINTS_MAX)
        return false;
    fill_tables();
    random_numbers(p->salt, numbers);
    for (size_t i = 0; i < key.n; i++) {
        h ^= rotr(numbers[(unsigned char)key.p[i]], (unsigned)(i % TURN));
        common &= kinds[(unsigned char)key.p[i]];
    }
    struct keyprint *k = &p->v[p->n++];
    *k = (struct keyprint){.length = (uint32_t)key.n, .hint = h >> (32 - HINT_BITS)};
    k->alphabet = common & -common; /* the narrowest */
    k->proof = prove(p->salt, key);
    snprintf(k->name, sizeof k->name, "%s", name);
    return true;
}

static bool is_sound(const struct keyprints *p)
{
    for (size_t i = 0; i < p->n && p->n <= KEYPRINTS_MAX; i++) {
        const struct keyprint *k = &p->v[i];
        if (k->length < KEYPRINT_LEAST || k->length > KEYPRINT_MOST || !memchr(k->name, 0, sizeof k->name) ||
            (k->alphabet != PLAIN && k->alphabet != TOKEN && k->alphabet != VISIBLE && k->alphabet != ANY))
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
    random_numbers(p->salt, set.numbers);
    for (size_t i = 0; i < p->n; i++)
        for (unsigned k = 0; k < TURN; k++) {
            set.hint[i][k / 4][k % 4] = rotr(p->v[i].hint << (32 - HINT_BITS), k);
            set.mask[i][k / 4][k % 4] = rotr(~(uint32_t)0 << (32 - HINT_BITS), k);
        }
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
    const struct code *code; /* of what is decoded, */
    size_t begin;            /* and where in the view it begins */
    size_t which;            /* the key, and its fingerprint */
    const struct keyprint *print;
    struct keymatches *found;
    struct keyprint_proved *proved;
};

/* A window from `first` to before `last` of a run holds a key. */
typedef void on_window(struct search *q, size_t first, size_t last);

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

/* sums[i]: of the bytes before `i`. */
static void sum_up(const unsigned char *p, size_t n, uint32_t *sums)
{
    uint32_t g = 0;
    size_t i = 0;
    sums[0] = 0;
    for (; i + TURN <= n; i += TURN)
        for (unsigned k = 0; k < TURN; k++)
            sums[i + k + 1] = g ^= rotr(set.numbers[p[i + k]], k);
    for (; i < n; i++)
        sums[i + 1] = g ^= rotr(set.numbers[p[i]], (unsigned)(i % TURN));
}

/* The first place from `from` on, before `to`, where a window begins whose hint agrees; `to`: none. */
static size_t agree(const struct search *q, const uint32_t *sums, size_t from, size_t to)
{
    const four *hint = set.hint[q->which], *mask = set.mask[q->which];
    const uint32_t *ends = sums + q->print->length;
    size_t s = from;
    for (; s < to; s++) {
        if (s % TURN == 0) {
            four any = {0};
            for (; s + TURN <= to && !(any[0] | any[1] | any[2] | any[3]); s += TURN) {
                for (unsigned k = 0; k < TURN / 4; k++) {
                    four a, b;
                    memcpy(&a, sums + s + 4 * k, sizeof a);
                    memcpy(&b, ends + s + 4 * k, sizeof b);
                    any |= (four)(((a ^ b ^ hint[k]) & mask[k]) == 0);
                }
            }
            if (any[0] | any[1] | any[2] | any[3])
                s -= TURN;
            if (s == to)
                break;
        }
        uint32_t x = sums[s] ^ ends[s]; /* NOLINT: sum_up() has filled both */
        if (((x ^ hint[s % TURN / 4][s % 4]) & mask[s % TURN / 4][s % 4]) == 0)
            return s;
    }
    return to;
}

/* The longest window that is looked for in a run. */
static size_t longest(const struct search *q)
{
    size_t most = 0;
    for (size_t i = 0; i < set.p.n; i++)
        if (set.p.v[i].alphabet == q->alphabet && set.p.v[i].length > most)
            most = set.p.v[i].length;
    return most;
}

/* `n` bytes, of which those before `places` are the beginnings of windows; `first`: of them in the run. */
static void sweep(struct search *q, const unsigned char *p, size_t n, size_t places, on_window *cb, size_t first)
{
    uint32_t sums[PIECE + KEYPRINT_MOST + 1];
    sum_up(p, n, sums);
    for (q->which = 0; q->which < set.p.n; q->which++) {
        q->print = &set.p.v[q->which];
        size_t length = q->print->length;
        if (q->print->alphabet != q->alphabet || n < length)
            continue;
        size_t to = n - length + 1 < places ? n - length + 1 : places;
        for (size_t s = 0; (s = agree(q, sums, s, to)) < to; s++)
            if (is_key(q, p + s))
                cb(q, first + s, first + s + length);
    }
    explicit_bzero(sums, (n + 1) * sizeof *sums);
}

static void raw_run(void *ctx, size_t begin, size_t end)
{
    struct search *q = ctx;
    size_t most = longest(q);
    for (size_t at = begin; at < end; at += PIECE) {
        size_t n = end - at < PIECE + most - 1 ? end - at : PIECE + most - 1;
        sweep(q, q->view.p + at, n, PIECE, note, at);
    }
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
    size_t bits, alignments; /* of a character */
    size_t group;            /* bytes after which a character begins with a byte again */
    size_t (*decode)(const unsigned char *s, size_t n, unsigned char *ret);
};
static const struct code base64 = {6, 4, 3, decode_base64}, hex = {4, 2, 1, decode_hex};

static void note_decoded(struct search *q, size_t first, size_t last)
{
    const struct code *c = q->code;
    note(q, q->begin + first * 8 / c->bits, q->begin + (last * 8 + c->bits - 1) / c->bits);
}

/* A run of decoded bytes that are of the alphabet. */
static void decoded_run(void *ctx, size_t begin, size_t end)
{
    struct search *q = ctx;
    unsigned char piece[PIECE + KEYPRINT_MOST];
    const struct code *c = q->code;
    const unsigned char *p = q->view.p + q->begin;
    size_t most = longest(q);
    for (size_t at = begin / c->group * c->group; at < end; at += PIECE) {
        size_t n = end - at < PIECE + most - 1 ? end - at : PIECE + most - 1;
        c->decode(p + at * 8 / c->bits, n, piece);
        sweep(q, piece, n, PIECE, note_decoded, at);
        explicit_bzero(piece, n);
    }
}

static size_t chars_of(const struct keyprint *k, const struct code *c)
{
    return (k->length * (size_t)8 + c->bits - 1) / c->bits;
}

/* ---- runs ---- */

typedef void on_run(void *ctx, size_t begin, size_t end);

/* Byte `i` of what `p` holds: as it is (`bits` 8), or decoded. */
static inline __attribute__((always_inline)) unsigned char byte_at(const unsigned char *p, size_t i, unsigned bits)
{
    if (bits == 8)
        return p[i];
    if (bits == 4)
        return (unsigned char)(hex_digit[p[2 * i]] << 4 | hex_digit[p[2 * i + 1]]);
    unsigned r = (unsigned)(i % 3);
    const unsigned char *at = p + i / 3 * 4 + r;
    return (unsigned char)((unsigned)base64_digit[at[0]] << (2 + 2 * r) | (unsigned)base64_digit[at[1]] >> (4 - 2 * r));
}

/* Are the next eight bytes? */
static inline bool all_of(const unsigned char *p, unsigned alphabet)
{
    return kinds[p[0]] & kinds[p[1]] & kinds[p[2]] & kinds[p[3]] & kinds[p[4]] & kinds[p[5]] & kinds[p[6]] &
           kinds[p[7]] & alphabet;
}

/* Runs of at least `least` bytes of the alphabet, from `from` to `to`. */
static inline __attribute__((always_inline)) void runs(const unsigned char *p, unsigned bits, size_t from, size_t to,
                                                       unsigned alphabet, size_t least, on_run *cb, void *ctx)
{
    size_t known = from; /* up to there no run goes back */
    for (size_t i = from + least - 1; i < to;) {
        if (!(kinds[byte_at(p, i, bits)] & alphabet)) {
            known = i + 1;
            i += least;
            continue;
        }
        size_t begin = i, end = i + 1;
        while (begin > known && kinds[byte_at(p, begin - 1, bits)] & alphabet)
            begin--;
        while (end < to && end - begin < least && kinds[byte_at(p, end, bits)] & alphabet)
            end++;
        if (end - begin >= least) {
            while (bits == 8 && to - end >= 8 && all_of(p + end, alphabet))
                end += 8;
            while (end < to && kinds[byte_at(p, end, bits)] & alphabet)
                end++;
            cb(ctx, begin, end);
        }
        known = end;
        i = end + least;
    }
}

static void each_run(const unsigned char *p, size_t from, size_t to, unsigned alphabet, size_t least, on_run *cb,
                     void *ctx)
{
    runs(p, 8, from, to, alphabet, least, cb, ctx);
}

/* The same of the bytes that base64 and hexadecimal digits stand for. */
static void each_base64_run(const unsigned char *p, size_t n, unsigned alphabet, size_t least, on_run *cb, void *ctx)
{
    runs(p, 6, 0, n, alphabet, least, cb, ctx);
}

static void each_hex_run(const unsigned char *p, size_t n, unsigned alphabet, size_t least, on_run *cb, void *ctx)
{
    runs(p, 4, 0, n, alphabet, least, cb, ctx);
}

/* The length of the shortest key of the alphabet; 0: there is none. */
static size_t shortest(unsigned alphabet)
{
    size_t least = 0;
    for (size_t i = 0; i < set.p.n; i++)
        if (set.p.v[i].alphabet == alphabet && (!least || set.p.v[i].length < least))
            least = set.p.v[i].length;
    return least;
}

static int by_begin(const void *a, const void *b)
{
    const struct keymatch *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end == y->end ? 0 : x->end > y->end ? -1 : 1;
}

/* A run of digits, of each alignment and for keys of each alphabet. */
static void code_run(void *ctx, size_t begin, size_t end)
{
    struct search *q = ctx;
    const struct code *c = q->code;
    for (size_t i = 0; i < c->alignments && begin + i < end; i++) {
        q->begin = begin + i;
        size_t n = (end - q->begin) * c->bits / 8;
        for (q->alphabet = PLAIN; q->alphabet <= ANY; q->alphabet *= 2) {
            size_t least = shortest(q->alphabet);
            if (least)
                (c == &hex ? each_hex_run : each_base64_run)(q->view.p + q->begin, n, q->alphabet, least, decoded_run,
                                                             q);
        }
    }
}

/* `view` is one run of base64. */
static void coded_view(struct search *q)
{
    const struct view *v = &q->view;
    q->code = &base64;
    code_run(q, 0, v->n);
    q->code = &hex;
    each_run(v->p, 0, v->n, HEX, q->least * 2, code_run, q);
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
    if (!memchr(p + begin, '\n', end - begin) && !memchr(p + begin, '\r', end - begin)) {
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
    for (size_t i = 0; i < set.p.n; i++)
        q.least = set.p.v[i].length < q.least ? set.p.v[i].length : q.least;
    for (q.alphabet = PLAIN; q.alphabet <= ANY; q.alphabet *= 2) {
        size_t least = shortest(q.alphabet);
        if (least)
            each_run(p, 0, s.n, q.alphabet, least, raw_run, &q);
    }
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
