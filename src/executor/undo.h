#pragma once
/* What effects changed in the workspace, and taking it back: exactly that, and only where nobody else came after.
 *
 * An entry is durable before the first of its changes is made; so after a crash in between, the paths are each as
 * before or as after, and taking back can begin again as often as it is interrupted. */
#include "executor/snapshot.h"

/* What is at a path of the workspace now; its content is kept. */
enum rc undo_look(struct snapshots *s, struct str path, struct node *ret, struct err *err) MUST_CHECK;

/* Makes the changes, or (`back`) takes them back. First all paths are looked at: if one is neither as before nor as
 * after, nothing is done (RC_EXISTS, *conflict in changes.a). With `force` such paths are left as they are. A path that
 * somebody changes in the very moment is put back as he left it: RC_EXISTS too, with a part of the changes made.
 * *done counts. */
enum rc changes_apply(struct snapshots *s, const struct changes *c, bool back, bool force, struct str *conflict,
                      size_t *done, struct err *err) MUST_CHECK;
