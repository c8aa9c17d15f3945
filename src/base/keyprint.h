#pragma once
/* Knows API keys when it sees them without having them: salted fingerprints, by which any process takes keys out of
 * what it records, shows or passes on.
 *
 * Who has the keys makes a set (keyprints_begin, keyprints_add); it is plain bytes and may be handed to other
 * processes. keyprints_use() makes it the set of this process, for all threads, from before there are any; everything
 * else here works with that set, and does nothing while there is none. In the place of a key stands "[secret NAME]".
 *
 * A key is found raw, in hexadecimal digits, and in base64 at any alignment, in both alphabets, also over several
 * lines. A part of a key is not found, so text must come here before anything is cut off it. */
#include "base/arena.h"
#include "base/sha256.h"

enum {
    KEYPRINT_LEAST = 20, /* bytes of a key: a shorter one could be guessed from its fingerprint, so it has none */
    KEYPRINT_MOST = 1024,
    KEYPRINTS_MAX = 8
};

struct keyprint {
    char name[48];
    uint32_t length, alphabet, hint;
    struct sha256 proof;
};
struct keyprints {
    uint32_t magic, n;
    unsigned char salt[32];
    struct keyprint v[KEYPRINTS_MAX];
};

/* An empty set with a new salt. */
void keyprints_begin(struct keyprints *p);
/* False: the key is too short or too long to have a fingerprint, or the set is full. */
bool keyprints_add(struct keyprints *p, const char *name, struct str key);
/* Copies. An empty set, or what is none, turns everything off. */
void keyprints_use(const struct keyprints *p);
bool keyprints_used(void);

/* `s` itself when no key is in it, else a copy without. */
struct str keyprints_cover(struct arena *a, struct str s);
/* Where the first key begins, and its name; false: there is none. */
bool keyprints_find(struct str s, size_t *at, const char **name);

/* The same for text that comes in pieces. What goes to `out` is, put together, what keyprints_cover() makes of the
 * whole. The end of a piece is kept back as long as it may be the beginning of a key, a few thousand bytes at most.
 * With `lines` nothing is kept back behind the end of a line; then keys over several lines are not found. All zero is a
 * good beginning. */
struct keyprint_proved {
    uint64_t hash; /* of a part of the text, and of which key it might be; 0: nothing */
    bool yes;
};
enum { KEYPRINT_PROVED = 32 };
struct keyprint_stream {
    bool lines;
    struct keyprint_proved proved[KEYPRINT_PROVED]; /* not to be found out again with each piece */
    char *held;
    size_t n, cap;
};
typedef void keyprint_out(void *ctx, const char *bytes, size_t n);
void keyprint_stream_add(struct keyprint_stream *s, const char *bytes, size_t n, keyprint_out *out, void *ctx);
/* Frees; the stream may be begun again. `out` NULL: what is held is dropped. */
void keyprint_stream_end(struct keyprint_stream *s, keyprint_out *out, void *ctx);
