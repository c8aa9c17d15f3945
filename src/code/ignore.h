#pragma once
/* .gitignore files, and directories that are never looked into. */
#include "base/arena.h"

struct ignore;
struct ignore *ignore_new(struct arena *a);
/* Adds the rules of a .gitignore in directory `dir` (relative, "" for the top). Bad lines are passed over. */
void ignore_add(struct ignore *g, struct str dir, struct str text);
/* Ask top-down: what lies in an ignored directory is not asked about. */
bool ignore_match(const struct ignore *g, struct str path, bool directory);
/* Directories full of what tools made: their name, given which manifests lie beside them. `has` answers for a file of
 * the same directory. */
bool ignore_tool_directory(struct str name, bool (*has)(void *ctx, const char *file), void *ctx);
