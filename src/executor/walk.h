#pragma once
/* Visits the regular files below a directory of the workspace, in order of their names, within limits.
 *
 * Symbolic links are not followed (they would lead out, or in circles), version control directories not entered. */
#include "executor/tools.h"

struct walk_file {
    struct str path; /* relative to where the walk began */
    int dir;         /* open directory that holds it */
    const char *name;
    const struct stat *st;
};
struct walk {
    struct tool_call *call; /* for its root, deadline and cancel flag */
    /* Whether to go into directory `path`; NULL: all. */
    bool (*enter)(void *ctx, struct str path);
    /* False ends the walk. */
    bool (*file)(void *ctx, const struct walk_file *f);
    void *ctx;
    /* Set by walk_run(): why not everything was seen, or NULL; directories that could not be read. */
    const char *cut;
    unsigned unreadable;
    size_t seen; /* entries */
};
/* `dir` is an open directory; it is closed. */
void walk_run(struct walk *w, int dir);
