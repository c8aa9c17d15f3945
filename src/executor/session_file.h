#pragma once
/* EXEC_SESSION: conversations that outlive runs, and those that end with theirs. On a pool thread.
 *
 *   DIR/NAME.jsonl                a line for each exchange: {key, messages: [...]}, `fresh` where it begins anew
 *   RUN_DIR/sessions/NAME.jsonl   the same of those that are the run's own
 *
 * The file is locked (flock, which the kernel drops with its holder) for the moment of each request, so exchanges stand
 * in the order in which they ended. One with a key that is there already is not added again. A line that a crash cut
 * off is taken away by the next append. Since the file only grows, its first bytes say for ever what was there at a
 * time: whoever knows how many they were, and their hash, can read the same again. */
#include "base/arena.h"
#include "base/err.h"
#include "data/val.h"

/* {op: read, name, own?: true | "first"} -> {messages, turns, name, own, bytes, sha256}; with "first" the run's own is
 * read, or, where it has none of that name, the other. The same with {phase: "again", plan: an earlier answer without
 * its messages} -> what the file said then, whatever was added since; RC_NOT_FOUND when it is gone, RC_CONFLICT when
 * those bytes are others now. {op: append, name, own?: true, key, messages, fresh?} -> {turns, name, own}. RC_LIMIT
 * when it would grow beyond its bound, RC_CORRUPT when a line of it is no exchange. */
enum rc exec_session(const struct val *req, const char *dir, const char *run_dir, struct arena *a, struct val *ret,
                     struct err *err) MUST_CHECK;

/* For a run that begins with a part of what another did: copies the conversations in the directory `from`, which may be
 * missing, to `to`, without the exchanges whose keys `keep` says no to. They are those of append above. */
enum rc session_copy_all(const char *from, const char *to, bool (*keep)(void *ctx, struct str key), void *ctx,
                         struct err *err) MUST_CHECK;
