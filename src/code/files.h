#pragma once
/* The files of a workspace as code queries see them: a list, made once, in the order of their paths.
 *
 * Left out are version control, what .gitignore files name, and directories that tools fill (node_modules, target, …).
 * Everything is in the arena given; the list does not change afterwards. */
#include "base/map.h"
#include "code/lang.h"
#include "executor/beneath.h"

enum file_type { FILE_SOURCE, FILE_TEST, FILE_CONFIG, FILE_DOC, FILE_OTHER };
extern const char *const file_type_names[];

struct outline;
struct code_file {
    struct str path; /* relative to the workspace */
    int64_t size, mtime_ms;
    enum lang lang;
    enum file_type type;
    bool main; /* a source file of the project itself: no test, example, tool or third party */
    /* outline.c */
    bool outlined;
    const struct outline *outline; /* NULL with `outlined`: it was skipped */
};
struct code_files {
    struct code_file *v;
    size_t n;
    struct map by_path;  /* path -> struct code_file */
    const char *cut;     /* why not all were seen, or NULL */
    unsigned unreadable; /* directories */
};

enum { CODE_FILES_MAX = 200000 };

/* RC_TIMEOUT past the deadline (monotonic), RC_LIMIT for more than CODE_FILES_MAX. */
enum rc files_scan(const struct beneath *root, int64_t deadline_ms, struct arena *a, struct code_files *ret,
                   struct err *err) MUST_CHECK;
/* Frees what is outside the arena. */
void files_done(struct code_files *f);
struct code_file *files_get(const struct code_files *f, struct str path);
/* A path as people write it ("./lib/a.ex", absolute beneath the root) as in the list; never fails. */
struct str files_clean(const struct beneath *root, struct arena *a, struct str path);
/* The content; RC_LIMIT above `max` bytes. */
enum rc files_read(const struct beneath *root, struct str path, size_t max, struct arena *a, struct str *ret,
                   struct err *err) MUST_CHECK;

/* Parts of paths; empty where there is none. */
struct str path_name(struct str path);
struct str path_dir(struct str path);
/* The name without its ending, and without what marks a test of something: test_user.py, user_test.exs, User.spec.ts,
 * UserTest.java all give "user". In `a`, lower case. */
struct str path_subject(struct arena *a, struct str path);
