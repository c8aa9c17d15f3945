#pragma once
/* What a command writes, within a limit: the beginning and the end are kept, the middle is counted.
 *
 * A flood costs at most `limit` bytes of memory and never blocks the writer. Read out as valid UTF-8. */
#include "base/arena.h"

struct capture {
    size_t limit;           /* bytes kept, half of them for the beginning */
    char *head, *tail;      /* tail is a ring */
    size_t nhead, cap_head; /* filled and allocated bytes of head */
    size_t ntail, at;       /* filled bytes of tail, where the next one goes */
    uint64_t total;         /* bytes seen */
};

void capture_init(struct capture *c, size_t limit);
void capture_done(struct capture *c);
void capture_add(struct capture *c, const char *p, size_t n);
static inline bool capture_truncated(const struct capture *c)
{
    return c->total > c->limit;
}
/* All of it, or: beginning, "\n[... N bytes left out ...]\n", end. Bytes that are not UTF-8 become U+FFFD. */
struct str capture_text(const struct capture *c, struct arena *a);

/* `s` itself when it is valid UTF-8, else a copy with U+FFFD for every maximal part that is not. */
struct str text_clean(struct arena *a, struct str s);
/* `s` without the beginning of a character at its end: where to cut without leaving half of one. */
struct str text_whole(struct str s);
