#pragma once
/* A run's workspace, or an isolated one of it: shared by exec_workspace.c and exec_isolated.c. */
#include "executor/exec_workspace.h"
#include "executor/undo_log.h"

#include <pthread.h>

struct workspace {
    struct beneath root;  /* an isolated one's is its own; else borrowed */
    char *dir, *store;    /* of its undo log and views; of all that is kept */
    char *run_dir, *name; /* name: of an isolated one, else NULL */
    char *state_dir;      /* where runs find what earlier ones have seen (seed.h); NULL: nowhere */
    struct str shown;     /* an isolated one: where commands see it; borrowed */
    struct snapshots s;
    struct arena arena;
    bool open, no_layers, no_views; /* what was found out: commands cannot have views of that kind */
    pthread_mutex_t mutex;
    struct workspace *next; /* isolated ones of the same run, the one that was asked for last first */
    unsigned users;         /* of an isolated one */
};

/* Under the mutex: opens the store when it is first needed. */
enum rc workspace_open(struct workspace *w, struct err *err) MUST_CHECK;
/* Under the mutex: records the changes and makes them, all or none (`force`: all that can be made). RC_CONFLICT names
 * the path. */
enum rc workspace_apply(struct workspace *w, struct undo *u, bool force, struct err *err) MUST_CHECK;
/* Frees an isolated one. */
void workspace_unlink(struct workspace *main, struct workspace *w);
/* A new one, not open. `root` is taken over. */
struct workspace *workspace_alloc(const char *run_dir, const struct beneath *root);
