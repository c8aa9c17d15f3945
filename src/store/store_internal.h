#pragma once
/* What the files of store/ share: the handle, its batches, and SQLite behind a few verbs. Nobody else includes this,
 * except tests that choose the VFS or the thresholds. */
#include "base/buf.h"
#include "base/sha256.h"
#include "store/store.h"

#include <pthread.h>
#include <sqlite3.h>

enum {
    STORE_INLINE_MAX = 16 << 10,
    STORE_BALLAST = 1 << 20,
    STORE_RUN_CACHE = 64,
    STORE_BUSY_MS = 10000,
    STORE_MAGIC = 0x53746f72
};

/* Set by tests before store_open(), at their risk; the defaults are what is shipped. */
struct store_tuning {
    const char *vfs;          /* NULL: SQLite's own */
    int wal_soft, wal_hard;   /* pages in the WAL that ask for a checkpoint: when idle; before the next commit */
    int idle_ms;              /* without work for so long is idle */
    int64_t ballast_min_free; /* free bytes on the disk that let the ballast be made (again) */
};
extern struct store_tuning store_tuning;

/* One thing to write. Its texts live in the batch's arena. */
struct op {
    struct op *next;
    enum op_type { OP_RECORD, OP_RUN, OP_BLOB } type;
    struct str run; /* OP_RECORD */
    union {
        struct record record;
        struct run_row row;
        struct str blob;
    };
};

struct store_batch {
    uint32_t magic;
    struct arena arena;
    struct op *first, **last;
    size_t count;
    bool too_large; /* something in it exceeds a limit */
    /* Once submitted: */
    struct store_batch *next;
    uint64_t epoch; /* the failures its submitter knew of */
    void (*done)(void *ctx, enum rc rc, const struct err *err);
    void *ctx;
    bool waited;   /* by store_commit(), not delivered */
    bool finished; /* under store.mutex */
    enum rc rc;
    struct err *err; /* malloc'ed when rc is not RC_OK */
};

struct batch_list {
    struct store_batch *first, *last;
};
void batch_list_add(struct batch_list *l, struct store_batch *b);
void batch_fail(struct store_batch *b, const struct err *err);

/* A connection's statements, prepared at first use and kept. */
enum statement {
#define X(name, sql) name,
#include "store/statements.def"
#undef X
    STATEMENT_COUNT
};
struct conn {
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENT_COUNT];
};

struct owner_lock {
    int fd;
    char *path;
};

/* What the store thread alone uses between start and join. */
struct writer {
    struct conn conn;
    struct store_tuning tuning; /* as it was at store_open() */
    int wal_pages;              /* in the WAL after the last commit */
    int checkpoint_at;          /* pages at which a checkpoint is worth another try */
    uint64_t failed_epoch;      /* batches of this epoch fail like the one before them */
    struct err failure;         /* of that epoch; for ever when `broken` */
    bool broken;
    bool committed;       /* anything yet: a start is not slowed down by work for idle moments */
    bool ballast;         /* FILE.ballast exists */
    int64_t ballast_next; /* clock_mono_ms() at which to try making it */
    struct {
        struct str id;
        int64_t key;
        char text[64];
    } runs[STORE_RUN_CACHE]; /* keys of runs used lately, by hash */
};

struct store {
    uint32_t magic;
    enum store_mode mode;
    char *file;
    struct conn read; /* the caller's thread's; opened at first use by an owner */
    struct owner_lock lock;
    struct writer writer;
    pthread_t thread;
    bool started;
    void (*wake)(void *ctx);
    void *wake_ctx;
    uint64_t epoch;               /* caller's thread */
    struct batch_list delivering; /* caller's thread: taken from `finished`, callbacks to come */
    struct store_batch *in_callback;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t work, waited;
    struct batch_list queue, finished;
    bool stop, sleeping;
};

/* sqlite.c */
enum rc sql_fail(sqlite3 *db, int code, struct err *err, const char *what);
enum rc sql_open_owner(const char *file, struct conn *c, struct err *err);
enum rc sql_open_reader(const char *file, bool own_process, struct conn *c, struct err *err);
void sql_close(struct conn *c, int checkpoint_ms);
/* The statement, reset and unbound; NULL with `err` set. Give it back with sqlite3_reset(). */
sqlite3_stmt *sql_get(struct conn *c, enum statement which, struct err *err);
enum rc sql_exec(sqlite3 *db, const char *sql, struct err *err);
char *sql_path(const char *file, const char *suffix); /* malloc'ed */
enum rc sql_sync_directory(const char *file, struct err *err);

/* store_lock.c */
enum rc lock_take(const char *file, struct owner_lock *l, struct err *err);
void lock_drop(struct owner_lock *l);

/* store_thread.c */
void *store_thread_main(void *store);

/* store_write.c: SQLITE_OK or the first error, left for the caller to roll back */
int write_batch(struct writer *w, const struct store_batch *b);

/* store_ballast.c; store thread only, or before it starts */
void ballast_make(struct store *s);
void ballast_drop(struct store *s);
