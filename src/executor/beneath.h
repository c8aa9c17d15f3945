#pragma once
/* Paths inside a directory that must not lead out of it, resolved by the kernel.
 *
 * Names come from models and workflows and are hostile. Every file is reached with openat2(RESOLVE_BENEATH |
 * RESOLVE_NO_MAGICLINKS) from the directory's descriptor; there is no checking of path texts that could disagree with
 * what is opened. Symbolic links are followed while they stay beneath (absolute ones never do). Thread-safe. */
#include "base/arena.h"
#include "base/err.h"

#include <sys/stat.h>

struct beneath {
    int fd;          /* directory */
    struct str path; /* as the caller named it: absolute, without trailing slash ("/" for the root) */
};

/* `path` must be absolute; it is kept in `a`. With `create` it and its parents are made (0755) if missing. RC_INVALID,
 * RC_NOT_FOUND, RC_IO. */
enum rc beneath_init(struct beneath *b, struct arena *a, const char *path, bool create, struct err *err) MUST_CHECK;
void beneath_done(struct beneath *b);

/* The text of `path` relative to the directory: `cwd` (relative to it) in front of a relative path, the directory's own
 * path taken off an absolute one. Never empty ("." for the directory). Says nothing about where it leads. RC_INVALID:
 * NUL, too long, or absolute and elsewhere. */
enum rc beneath_relative(const struct beneath *b, struct arena *a, struct str cwd, struct str path, struct str *ret,
                         struct err *err) MUST_CHECK;

/* Opens what `rel` names (O_CLOEXEC, O_NONBLOCK and O_NOCTTY are added). RC_NOT_FOUND; RC_INVALID when it leads
 * outside, through too many links or is otherwise impossible; RC_IO. */
enum rc beneath_open(const struct beneath *b, struct str rel, int flags, int *ret, struct err *err) MUST_CHECK;
/* The same, and it must be a regular file. */
enum rc beneath_open_file(const struct beneath *b, struct str rel, int flags, int *ret, struct stat *st,
                          struct err *err) MUST_CHECK;

/* Opens directory `rel`, in which no part may be a symbolic link: for paths that were resolved before. */
enum rc beneath_directory(const struct beneath *b, struct str rel, int *ret, struct err *err) MUST_CHECK;
/* The path below the root, without links, of what is open as `fd` ("." for the root itself). RC_IO when it is not below
 * any more. */
enum rc beneath_path(const struct beneath *b, struct arena *a, int fd, struct str *ret, struct err *err) MUST_CHECK;
/* What errno says about `path`, as an error. */
enum rc beneath_error(struct err *err, int error, struct str path);

/* Where a file is, or would be: what to rename onto. Links are resolved: `name` in `dir` is no link. */
struct place {
    int dir;         /* open directory; -1 when `make_parents` is false and it is missing */
    struct str name; /* NUL-terminated */
    struct str path; /* relative to the root, without links */
    bool exists;
    struct stat st; /* if it exists */
};
/* RC_INVALID when it exists and is no regular file, is a dangling link, or leads outside. */
enum rc beneath_locate(const struct beneath *b, struct arena *a, struct str rel, bool make_parents, struct place *ret,
                       struct err *err) MUST_CHECK;
void place_done(struct place *p);
