#pragma once
/* A run as seen from outside: its summary, and whether somebody carries it on right now. */
#include "cli/home.h"
#include "store/store.h"

struct seen_run {
    struct home_run home;
    int owner;           /* pid of the living process that has its journal; 0: none */
    const char *status;  /* as in the row, but `interrupted` where the row says running and nobody does, `starting`
                            before the first commit, `unreadable` */
    const char *problem; /* unreadable: why; else NULL */
    struct str mode;     /* in which it began, or what it was forked from: live, mock, replay; empty: unknown */
    struct run_row row;  /* empty text and zeros where there is none */
};

/* Never fails: what cannot be read is told by `status`. Text lives in `a`. */
void seen_run_read(const struct home_run *h, struct arena *a, struct seen_run *ret);
/* Not over yet, whether or not somebody is at work on it: running, starting, waiting, interrupted, queued,
 * quarantined. */
bool seen_run_open(const struct seen_run *r);
/* home_find(), and then the service's runs: for commands that only read. `home.journal` is the service's then. */
enum rc seen_run_find(struct str name, struct home_run *ret, struct err *err) MUST_CHECK;
/* All runs, the service's too, the newest start first; in `a`. */
enum rc seen_run_all(struct arena *a, struct seen_run **ret, size_t *ret_n, struct err *err) MUST_CHECK;
/* Bytes that the run's directory takes on disk; of a file that several runs have, its part. */
int64_t seen_run_size(const struct home_run *h);
