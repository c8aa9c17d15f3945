#pragma once
/* A command's own view of the workspace: it sees the workspace, and what it writes goes elsewhere, until it has ended.
 *
 *   DIR/views/N/upper  what it wrote, in overlayfs's form          DIR/views/N/plan  what the launcher mounts
 *   DIR/views/N/work   overlayfs's own
 *
 * So it is known exactly what the command changed, whoever else works in the workspace meanwhile; and a command that is
 * killed half-way has changed nothing. Version control directories are shown as they are, and written to directly. */
#include "executor/snapshot.h"

struct overlay {
    uint32_t number;
    int dir;        /* open; -1: there is none, the command works in the workspace itself */
    uint32_t entry; /* of the undo log, then: which says that it is not known what it changes */
};
/* For a command that starts in directory `cwd` of the workspace. */
enum rc overlay_new(struct snapshots *s, const struct sha256 *snapshot, struct str cwd, struct overlay *ret,
                    struct err *err) MUST_CHECK;
/* What was written there, compared with the snapshot; contents are kept. `skipped` counts what is not taken over:
 * devices, sockets and pipes. */
enum rc overlay_changes(struct snapshots *s, const struct overlay *v, const struct sha256 *snapshot,
                        struct changes *ret, size_t *skipped, struct err *err) MUST_CHECK;
/* New version control directories are no part of the changes: they are moved to the workspace as they are. */
enum rc overlay_guarded(struct snapshots *s, const struct overlay *v, struct err *err) MUST_CHECK;
/* Closes and removes it. */
void overlay_drop(struct snapshots *s, struct overlay *v);
/* Removes what earlier lives left; nobody may be using one. */
void overlays_sweep(struct snapshots *s);

/* Removes a directory with all that is in it, links not followed. */
void overlay_remove(int dir, const char *name);

/* In the launcher, in a mount namespace of its own: mounts the view over the workspace and makes its root, or
 * (`in_cwd`) the directory of the plan, the current one. False with errno. */
bool overlay_mount(int view_dir, bool user_namespace, bool in_cwd);
