#pragma once
/* A command's own view of the workspace: it sees the workspace, and what it writes goes elsewhere, until it has ended.
 *
 *   DIR/views/N/plan   what the launcher mounts
 *   DIR/views/N/upper  what it wrote, in overlayfs's form          DIR/views/N/work  overlayfs's own
 *   DIR/views/N/copy   where overlayfs cannot be had: a copy of the workspace, which it gets in its place
 *
 * So it is known exactly what the command changed, whoever else works in the workspace meanwhile; and a command that is
 * killed half-way has changed nothing. Version control directories are shown as they are, and written to directly; in
 * an isolated workspace they are those of the workspace that it is a copy of, and can only be read. */
#include "executor/snapshot.h"

struct overlay {
    uint32_t number;
    int dir;     /* open; -1: there is none, the command works in the workspace itself */
    bool copied; /* a copy, whose scan this is */
    struct scan scan;
    struct sha256 base; /* the snapshot that the command saw at its start */
    uint32_t entry;     /* without one: of the undo log, which says that it is not known what it changes */
};
/* For a command that starts in directory `cwd` of the workspace and takes `root` (".", or a path without links) for it.
 * A copy is made of what the last snapshot saw, which
 * must be `snapshot`. */
enum rc overlay_new(struct snapshots *s, const struct sha256 *snapshot, struct str cwd, struct str root, bool copy,
                    struct overlay *ret, struct err *err) MUST_CHECK;
/* What was written there, compared with the snapshot; contents are kept. `skipped` counts what is not taken over:
 * devices, sockets and pipes. */
enum rc overlay_changes(struct snapshots *s, struct overlay *v, struct changes *ret, size_t *skipped,
                        struct err *err) MUST_CHECK;
/* New version control directories are no part of the changes: they are moved to the workspace as they are. */
enum rc overlay_guarded(struct snapshots *s, const struct overlay *v, struct err *err) MUST_CHECK;
/* Closes and removes it. */
void overlay_drop(struct snapshots *s, struct overlay *v);
/* Frees what it holds in memory; what is on disk is swept up when the run goes on. */
void overlay_done(struct overlay *v);
/* Removes what earlier lives left; nobody may be using one. */
void overlays_sweep(struct snapshots *s);

/* Removes a directory with all that is in it, links not followed. */
void overlay_remove(int dir, const char *name);

/* The plan: texts, each ended by a NUL: how, what may be done in version control directories, the view's directory, the
 * workspace's, where it is shown, the directory to start in, what of it is the command's workspace, and paths of
 * version control directories. */
#define OVERLAY_LAYERS "layers"
#define OVERLAY_COPY   "copy"
#define OVERLAY_WRITE  "write"
#define OVERLAY_READ   "read"
/* In the launcher, in a mount namespace of its own: mounts the view over the workspace and makes what the plan says, or
 * (`in_cwd`) the directory of the plan, the current one. False with errno. */
bool overlay_mount(int view_dir, bool user_namespace, bool in_cwd);
