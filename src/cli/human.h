#pragma once
/* How times, sizes, numbers and other people's text are shown to people. */
#include "base/arena.h"

struct human { /* by value, so that a printf can hold several */
    char z[48];
};

struct human human_duration(int64_t ms);  /* 340ms 12.3s 2m05s 3h12m 4d06h */
struct human human_time(int64_t wall_ms); /* 2026-11-23 08:27:01, local time */
struct human human_count(int64_t n);      /* 950 12.3k 4.56M */
struct human human_size(int64_t bytes);   /* 950 B, 12.3 KB, 4.56 GB */
struct human human_cost(double usd);      /* $0.0123 */
/* The same of several calls; "$0.0123 + unknown" or "price unknown" where some have no known price. */
struct human human_spent(double usd, bool some_unknown);

/* `s` as one line that no terminal obeys: controls (C0, C1, DEL, those that change direction) become spaces, bytes that
 * are no UTF-8 a question mark; cut to `columns` with an ellipsis (0: not cut). Lives in `a`. */
struct str human_line(struct arena *a, struct str s, size_t columns);
/* The same, but lines stay lines, each behind `indent` spaces (the first too). */
struct str human_lines(struct arena *a, struct str s, unsigned indent);
/* Columns of the terminal that `fd` is ($COLUMNS goes first, 80 when nobody knows); 0: it is none. */
size_t human_terminal(int fd);
/* Lines broken at spaces so that none is wider than `columns`, each piece behind its line's indent and two more. */
struct str human_wrap(struct arena *a, struct str s, size_t columns);
/* Columns that valid UTF-8 takes on a terminal. */
size_t human_columns(struct str s);
