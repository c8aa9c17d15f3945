#pragma once
/* What the parts of fileop.h share: entries that were selected, the plan, the transaction. */
#include "base/sha256.h"
#include "executor/fileop.h"

/* ---- what is there (fileop_select.c) ---- */

/* Enough to know a file again: a change of content, a replacement or a deletion shows in it; a rename does not. */
struct stamp {
    bool there;
    uint64_t ino;
    int64_t size, sec, nsec;
};
struct stamp stamp_of(const struct stat *st);
bool stamp_eq(const struct stamp *a, const struct stamp *b);
/* As a value and back; false: it is none. (fileop_plan.c) */
struct val stamp_val(struct arena *a, const struct stamp *s);
bool stamp_read(const struct val *v, struct stamp *ret);

struct entry {
    struct str path; /* in the workspace, without links but for the last name */
    struct str rel;  /* below the directory where the selection began; for a single file its name */
    struct stat st;  /* of the entry itself, a link is not followed */
};
struct entries {
    struct arena *a;
    struct entry *v;
    size_t n, cap;
    int64_t bytes;
};

/* Which entries of a directory. */
struct selection {
    const struct glob *glob;     /* of paths below the directory, or NULL: all */
    const struct regex *regex;   /* of names, or NULL */
    const struct glob **exclude; /* of paths below the directory and of names */
    size_t nexclude;
    bool recursive, hidden;
    bool directories;  /* these too */
    int64_t before_ms; /* only what was changed before that time; 0: all */
    struct str skip;   /* a directory that is left out with all below, or empty */
    bool everything;   /* also version control directories, sockets, pipes, devices */
    bool all;          /* a version control directory is an error, not left out: all means all */
};
/* Adds the entries of directory `dir` (a path without links), in order of their names. */
enum rc fileop_walk(struct fileop *op, struct str dir, const struct selection *s, struct entries *ret,
                    struct err *err) MUST_CHECK;

/* What a path leads to. With `follow` a link at its end counts as what it points to. */
struct found {
    struct str path; /* without links (without `follow`: but for the last name) */
    bool exists;
    struct stat st;
};
enum rc fileop_find(struct fileop *op, struct str path, bool follow, struct found *ret, struct err *err) MUST_CHECK;
/* The sources of a copy, move or delete. */
struct source {
    struct found at; /* a path that was named as such; else .path is the directory where the pattern begins */
    struct str name; /* of a path: its last name as written */
    bool pattern;
    bool directory; /* a directory that was named */
    size_t from, n; /* its entries */
};
struct sources {
    struct source *v;
    size_t n;
    bool many; /* more than one file was asked for: a list, a pattern or a directory */
    struct entries entries;
    struct str skip; /* directory that patterns do not look into, or empty */
};
enum rc fileop_sources(struct fileop *op, bool follow, bool all, struct sources *ret, struct err *err) MUST_CHECK;
bool fileop_is_pattern(struct str text);
/* There is no such file, which an operation on one file was to read. */
enum rc fileop_no_file(const struct fileop *op, struct str source, const char *operation, struct err *err) MUST_CHECK;
/* Is there a version control directory among the path's parts? */
bool fileop_is_guarded(struct str path);
bool path_within(struct str dir, struct str path);
struct str path_below(struct arena *a, struct str dir, struct str name);
void path_split(struct str path, struct str *dir, struct str *name);
struct str fileop_absolute(struct fileop *op, struct str path);
/* What is at `path` (without links but for its last name) now. */
enum rc fileop_stat(struct fileop *op, struct str path, bool *there, struct stat *ret, struct err *err) MUST_CHECK;

/* ---- what is to be done (fileop_plan.c, fileop_txn.c) ---- */

enum item_kind {
    ITEM_COPY = 'c',   /* `from` stays, `to` becomes a copy */
    ITEM_MOVE = 'm',   /* renamed */
    ITEM_ACROSS = 'x', /* to another file system: copied, then removed */
    ITEM_DELETE = 'd', /* to: empty */
    ITEM_WRITE = 'w'   /* `to` becomes what `write` makes of `from`; may be the same path */
};
struct item {
    enum item_kind kind;
    struct str from, to;
    struct stamp stamp, before; /* of `from`; of what is at `to` */
    /* while it is carried out */
    enum { ITEM_PENDING, ITEM_STAGED, ITEM_COMMITTED, ITEM_CLEANED, ITEM_FOREIGN } state;
    uint64_t mine; /* inode of the copy */
};
struct plan {
    struct str id;             /* part of the names of temporary files */
    struct str *dirs, *rmdirs; /* to make, in order; to remove at the end if they are empty, in order */
    size_t ndirs, nrmdirs;
    struct item *item;
    size_t n;
    bool times;       /* copies keep the time of change */
    struct str after; /* ITEM_WRITE: hash of what is written */
    struct val result;
};
struct val plan_val(struct arena *a, const struct plan *p);
enum rc plan_read(struct arena *a, const struct val *v, struct plan *ret, struct err *err) MUST_CHECK;
struct str plan_id(struct arena *a);

/* Carries out the plan. `write` fills an ITEM_WRITE's new file. On error everything is as before, or the message says
 * what could not be put back. RC_EXISTS: a path is not as planned. */
typedef enum rc (*fileop_writer)(struct fileop *op, int from, int to, struct err *err);
enum rc txn_apply(struct fileop *op, struct plan *p, fileop_writer write, struct err *err) MUST_CHECK;
/* "done", "again" or "changed"; *what: the path that was changed. */
enum rc txn_settle(struct fileop *op, struct plan *p, const char **outcome, struct str *what,
                   struct err *err) MUST_CHECK;

/* ---- content (fileop_copy.c) ---- */

enum rc file_copy(struct fileop *op, int from, int to, struct err *err) MUST_CHECK;
/* RC_EXISTS when they differ. */
enum rc file_compare(struct fileop *op, int a, int b, struct err *err) MUST_CHECK;
enum rc file_hash(struct fileop *op, int fd, struct sha256_hex *ret, struct err *err) MUST_CHECK;
enum rc fileop_over(struct fileop *op, struct err *err) MUST_CHECK; /* RC_CANCELLED when it was cancelled */

/* ---- operations ---- */

enum rc fileop_transfer(struct fileop *op, bool move, struct val *ret, struct err *err) MUST_CHECK; /* fileop_move.c */
enum rc fileop_delete(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK;
enum rc fileop_make_directory(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK; /* fileop_directory.c */
enum rc fileop_remove_directory(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK;
/* RC_NOT_FOUND for a path that does not exist; where it begins with the workspace's own name, with what was meant. */
enum rc fileop_missing(const struct fileop *op, struct str path, struct err *err) MUST_CHECK;
enum rc fileop_list(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK; /* fileop_look.c */
enum rc fileop_validate(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK;
enum rc fileop_convert(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK; /* fileop_convert.c */
enum rc fileop_process(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK; /* fileop_process.c */
/* Its source and destination (which is the source where the request has none): files that may be read and written. */
enum rc fileop_process_places(struct fileop *op, struct found *from, struct found *to, struct err *err) MUST_CHECK;
/* What the plan has to make of the directories around `path`. */
enum rc fileop_missing_dirs(struct fileop *op, struct str path, struct plan *p, struct err *err) MUST_CHECK;
enum rc fileop_stream_index(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK; /* fileop_stream.c */
enum rc fileop_stream_read(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK;
enum rc fileop_stream_keep(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK;
enum rc fileop_stream_join(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK;
/* apply and settle of an operation whose plan is a transaction; {plan} from prepare. */
enum rc fileop_carry_out(struct fileop *op, fileop_writer write, struct val *ret, struct err *err) MUST_CHECK;
struct val fileop_planned(struct fileop *op, const struct plan *p);
/* The result of a plan that is done; one that counts its files names them too. */
struct val fileop_result(struct fileop *op, const struct plan *p);
