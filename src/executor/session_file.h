#pragma once
/* EXEC_SESSION: conversations that outlive runs. On a pool thread.
 *
 *   DIR/NAME.jsonl    a line for each exchange: {key, messages: [...]}, `fresh` where a conversation begins anew
 *
 * The file is locked (flock, which the kernel drops with its holder) for the moment of each request, so exchanges stand
 * in the order in which they ended. One with a key that is there already is not added again. A line that a crash cut
 * off is taken away by the next append. */
#include "base/arena.h"
#include "base/err.h"
#include "data/val.h"

/* {op: read, name, otherwise?} -> {messages, turns, name?}; `otherwise` is read where there is no session `name`, and
 * `name` then tells which it was.
 * {op: append, name, key, messages, fresh?} -> {turns}. RC_LIMIT when the session would grow beyond its bound. */
enum rc exec_session(const struct val *req, const char *dir, struct arena *a, struct val *ret,
                     struct err *err) MUST_CHECK;
