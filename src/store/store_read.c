/* Reading: records, runs, blobs, copies, checks. All through a read-only connection of the calling thread, which sees
 * only what is committed.
 *
 * Long reads are cut into short ones, because a read transaction that stays open keeps the WAL from being reused; the
 * journal only grows, so the pieces fit together. A callback may itself read: statements in use are not shared. */
#include "base/panic.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CHUNK = 256, FINDINGS = 5 };

/* store_read.c */
static enum rc read_conn(struct store *s, struct err *err)
{
    CHECK_OBJ(s, STORE_MAGIC);
    return s->read.db ? RC_OK : sql_open_reader(s->file, true, &s->read, err);
}

/* Takes a statement out of the cache for the time of its use, so that a callback that reads gets another. */
static sqlite3_stmt *take(struct store *s, enum statement which, struct err *err)
{
    if (read_conn(s, err))
        return NULL;
    sqlite3_stmt *st = sql_get(&s->read, which, err);
    s->read.stmt[which] = NULL;
    return st;
}
static void give(struct store *s, enum statement which, sqlite3_stmt *st)
{
    sqlite3_reset(st);
    if (s->read.stmt[which]) {
        sqlite3_finalize(st);
    } else {
        sqlite3_clear_bindings(st);
        s->read.stmt[which] = st;
    }
}

static void bind_text(sqlite3_stmt *st, int i, struct str s)
{
    sqlite3_bind_text64(st, i, s.p ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
}
static struct str column(sqlite3_stmt *st, int i)
{
    const char *p = sqlite3_column_blob(st, i); /* before the length, as SQLite asks */
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(st, i));
}

static enum rc check_blob(struct str hash, struct str data, struct err *err)
{
    struct sha256 h = sha256_of(data);
    if (str_eq(hash, str_n((const char *)h.b, sizeof h.b)))
        return RC_OK;
    return err_set(err, RC_CORRUPT, "stored content does not match its hash %s", sha256_hex(&h).z);
}

/* The record of the statement's row. */
static enum rc read_record(sqlite3_stmt *st, struct record *r, struct err *err)
{
    *r = (struct record){.seq = (uint64_t)sqlite3_column_int64(st, 0),
                         .kind = (enum record_kind)sqlite3_column_int(st, 1),
                         .attempt = (uint32_t)sqlite3_column_int64(st, 2),
                         .time_ms = sqlite3_column_int64(st, 3),
                         .path = column(st, 4),
                         .data = column(st, 5)};
    if (r->kind < RECORD_RUN || r->kind > RECORD_SIGNAL)
        return err_set(err, RC_CORRUPT, "record %llu is of an unknown kind", (unsigned long long)r->seq);
    if (sqlite3_column_type(st, 6) == SQLITE_NULL)
        return RC_OK;
    r->data = column(st, 8);
    return check_blob(column(st, 7), r->data, err);
}

enum rc store_each_record(struct store *s, struct str run, uint64_t after_seq,
                          bool (*cb)(void *ctx, const struct record *r), void *ctx, struct err *err)
{
    sqlite3_stmt *st = take(s, ST_RECORD_EACH, err);
    if (!st)
        return err->rc;
    bind_text(st, 1, run);
    enum rc rc = RC_OK;
    int rows = CHUNK;
    bool more = true;
    while (rows == CHUNK && more && !rc) {
        sqlite3_bind_int64(st, 2, after_seq > INT64_MAX ? INT64_MAX : (int64_t)after_seq);
        sqlite3_bind_int(st, 3, CHUNK);
        int code = SQLITE_ROW;
        for (rows = 0; more && !rc && (code = sqlite3_step(st)) == SQLITE_ROW; rows++) {
            struct record r;
            rc = read_record(st, &r, err);
            after_seq = r.seq;
            more = rc || cb(ctx, &r);
        }
        if (!rc && more && code != SQLITE_DONE)
            rc = sql_fail(s->read.db, code, err, "reading records");
        sqlite3_reset(st);
    }
    give(s, ST_RECORD_EACH, st);
    return rc;
}

enum rc store_each_at(struct store *s, struct str run, enum record_kind kind, struct str path, bool below,
                      bool (*cb)(void *ctx, const struct record *r), void *ctx, struct err *err)
{
    enum statement which = below ? ST_RECORD_BELOW : ST_RECORD_AT;
    sqlite3_stmt *st = take(s, which, err);
    if (!st)
        return err->rc;
    bind_text(st, 1, run);
    bind_text(st, 2, path);
    sqlite3_bind_int(st, 3, (int)kind);
    enum rc rc = RC_OK;
    bool more = true;
    int code = SQLITE_DONE;
    while (more && !rc && (code = sqlite3_step(st)) == SQLITE_ROW) {
        struct record r;
        rc = read_record(st, &r, err);
        more = rc || cb(ctx, &r);
    }
    if (!rc && more && code != SQLITE_DONE)
        rc = sql_fail(s->read.db, code, err, "reading records");
    give(s, which, st);
    return rc;
}

static struct run_row read_row(sqlite3_stmt *st)
{
    return (struct run_row){.id = column(st, 0),
                            .workflow = column(st, 1),
                            .status = column(st, 2),
                            .workspace = column(st, 3),
                            .file = column(st, 4),
                            .error = column(st, 5),
                            .created_ms = sqlite3_column_int64(st, 6),
                            .updated_ms = sqlite3_column_int64(st, 7),
                            .input_tokens = sqlite3_column_int64(st, 8),
                            .output_tokens = sqlite3_column_int64(st, 9),
                            .cost_usd = sqlite3_column_double(st, 10),
                            .steps_done = sqlite3_column_int64(st, 11)};
}

static enum rc each_row(struct store *s, enum statement which, sqlite3_stmt *st, bool service,
                        bool (*cb)(void *ctx, const struct run_row *r), void *ctx, struct err *err)
{
    int code;
    bool more = true;
    while (more && (code = sqlite3_step(st)) == SQLITE_ROW) {
        struct run_row r = read_row(st);
        if (service)
            r.service = column(st, 12);
        more = cb(ctx, &r);
    }
    enum rc rc = more && code != SQLITE_DONE ? sql_fail(s->read.db, code, err, "reading runs") : RC_OK;
    give(s, which, st);
    return rc;
}

static enum rc each_run(struct store *s, enum statement which, bool service,
                        bool (*cb)(void *ctx, const struct run_row *r), void *ctx, struct err *err)
{
    sqlite3_stmt *st = take(s, which, err);
    return st ? each_row(s, which, st, service, cb, ctx, err) : err->rc;
}

enum rc store_each_run_back(struct store *s, struct str before, bool (*cb)(void *ctx, const struct run_row *r),
                            void *ctx, struct err *err)
{
    sqlite3_stmt *st = take(s, ST_RUN_BACK, err);
    if (!st)
        return err->rc;
    bind_text(st, 1, before.n ? before : STR(""));
    return each_row(s, ST_RUN_BACK, st, false, cb, ctx, err);
}

enum rc store_each_run(struct store *s, bool (*cb)(void *ctx, const struct run_row *r), void *ctx, struct err *err)
{
    bool own = s->mode == STORE_OWN; /* then its schema is the newest */
    return each_run(s, own ? ST_RUN_EACH_2 : ST_RUN_EACH, own, cb, ctx, err);
}

enum rc store_each_open_run(struct store *s, bool (*cb)(void *ctx, const struct run_row *r), void *ctx, struct err *err)
{
    CHECK(s->mode == STORE_OWN);
    return each_run(s, ST_RUN_OPEN, true, cb, ctx, err);
}

enum rc store_run_given(struct store *s, struct str idem, struct arena *a, struct str *ret, struct err *err)
{
    CHECK(s->mode == STORE_OWN);
    sqlite3_stmt *st = take(s, ST_RUN_GIVEN, err);
    if (!st)
        return err->rc;
    bind_text(st, 1, idem);
    int code = sqlite3_step(st);
    enum rc rc = code == SQLITE_ROW    ? RC_OK
                 : code == SQLITE_DONE ? err_set(err, RC_NOT_FOUND, "no run was given that key")
                                       : sql_fail(s->read.db, code, err, "reading a run");
    if (rc == RC_OK)
        *ret = arena_str(a, column(st, 0));
    give(s, ST_RUN_GIVEN, st);
    return rc;
}

/* The column `service` came with version 2 of the schema: only an owner, who has brought the schema up to date, and
 * this function read it. */
enum rc store_run(struct store *s, struct str run, struct arena *a, struct run_row *ret, struct err *err)
{
    sqlite3_stmt *st = take(s, ST_RUN_ONE, err);
    if (!st)
        return err->rc;
    bind_text(st, 1, run);
    int code = sqlite3_step(st);
    enum rc rc = RC_OK;
    if (code == SQLITE_ROW) {
        *ret = read_row(st);
        ret->service = column(st, 12);
        struct str *copy[] = {&ret->id,   &ret->workflow, &ret->status, &ret->workspace,
                              &ret->file, &ret->error,    &ret->service};
        for (size_t i = 0; i < sizeof copy / sizeof *copy; i++)
            *copy[i] = arena_str(a, *copy[i]);
    } else if (code == SQLITE_DONE) {
        rc = err_set(err, RC_NOT_FOUND, "no run %.*s", STR_ARG(run));
    } else {
        rc = sql_fail(s->read.db, code, err, "reading a run");
    }
    give(s, ST_RUN_ONE, st);
    return rc;
}

static bool from_hex(struct str hex, unsigned char out[32])
{
    if (hex.n != 64)
        return false;
    for (size_t i = 0; i < 64; i++) {
        char c = hex.p[i];
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (v < 0)
            return false;
        out[i / 2] = (unsigned char)(i % 2 ? out[i / 2] | v : v << 4);
    }
    return true;
}

enum rc store_blob(struct store *s, struct str sha256_hex, struct arena *a, struct str *ret, struct err *err)
{
    unsigned char hash[32];
    if (!from_hex(sha256_hex, hash))
        return err_set(err, RC_NOT_FOUND, "not a content hash: %.*s", (int)(sha256_hex.n < 80 ? sha256_hex.n : 80),
                       sha256_hex.p ? sha256_hex.p : "");
    sqlite3_stmt *st = take(s, ST_BLOB_GET, err);
    if (!st)
        return err->rc;
    sqlite3_bind_blob(st, 1, hash, sizeof hash, SQLITE_STATIC);
    int code = sqlite3_step(st);
    enum rc rc;
    if (code == SQLITE_ROW) {
        struct str data = column(st, 0);
        rc = check_blob(str_n((const char *)hash, sizeof hash), data, err);
        if (!rc)
            *ret = arena_str(a, data);
    } else if (code == SQLITE_DONE) {
        rc = err_set(err, RC_NOT_FOUND, "no content with hash %.*s", STR_ARG(sha256_hex));
    } else {
        rc = sql_fail(s->read.db, code, err, "reading content");
    }
    give(s, ST_BLOB_GET, st);
    return rc;
}

/* Copies into the empty file `to`, in one read transaction: a writer goes on meanwhile. */
static enum rc copy_into(struct store *s, const char *to, struct err *err)
{
    sqlite3 *out = NULL;
    int code = sqlite3_open_v2(to, &out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    enum rc rc = code == SQLITE_OK ? RC_OK : sql_fail(out, code, err, to);
    /* Nobody knows the copy yet: it is synced once, whole, by the caller. */
    if (!rc)
        rc = sql_exec(out, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", err);
    if (!rc) {
        sqlite3_backup *b = sqlite3_backup_init(out, "main", s->read.db, "main");
        if (b) {
            while ((code = sqlite3_backup_step(b, -1)) == SQLITE_BUSY || code == SQLITE_LOCKED)
                sqlite3_sleep(10);
            code = sqlite3_backup_finish(b);
        }
        if (!b || code != SQLITE_OK)
            rc = sql_fail(out, b ? code : sqlite3_errcode(out), err, "copying the journal");
    }
    sqlite3_close(out);
    return rc;
}

enum rc store_backup(struct store *s, const char *to, struct err *err)
{
    if (read_conn(s, err))
        return err->rc;
    if (access(to, F_OK) == 0)
        return err_set(err, RC_EXISTS, "%s exists already", to);
    char *part = sql_path(to, ".part");
    unlink(part);
    int fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum rc rc = fd < 0 ? err_set(err, RC_IO, "%s: %s", part, strerror(errno)) : copy_into(s, part, err);
    if (!rc && fdatasync(fd) != 0)
        rc = err_set(err, RC_IO, "%s: %s", part, strerror(errno));
    if (fd >= 0)
        close(fd);
    /* link() refuses to replace what appeared there in the meantime; rename() would not. */
    if (!rc && link(part, to) != 0)
        rc = err_set(err, errno == EEXIST ? RC_EXISTS : RC_IO, "%s: %s", to, strerror(errno));
    unlink(part);
    free(part);
    return rc ? rc : sql_sync_directory(to, err);
}

static enum rc check_structure(sqlite3 *db, struct err *err)
{
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA integrity_check(%d)", FINDINGS);
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    struct buf found;
    buf_init(&found, 400);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(st);
        if (code != SQLITE_ROW)
            break;
        struct str line = column(st, 0);
        if (found.n || !str_is(line, "ok")) {
            if (found.n)
                buf_addz(&found, "; ");
            buf_add(&found, str_n(line.p, line.n < 75 ? line.n : 75));
        }
    }
    enum rc rc = RC_OK;
    if (code != SQLITE_DONE)
        rc = sql_fail(db, code, err, "checking the journal");
    else if (found.n)
        rc = err_set(err, RC_CORRUPT, "%.*s", STR_ARG(buf_str(&found)));
    sqlite3_finalize(st);
    buf_done(&found);
    return rc;
}

enum rc store_check(struct store *s, struct err *err)
{
    if (read_conn(s, err) || check_structure(s->read.db, err))
        return err->rc;
    sqlite3_stmt *st = take(s, ST_BLOB_EACH, err);
    if (!st)
        return err->rc;
    int code = SQLITE_DONE;
    enum rc rc = RC_OK;
    while (!rc && (code = sqlite3_step(st)) == SQLITE_ROW)
        rc = check_blob(column(st, 0), column(st, 1), err);
    if (!rc && code != SQLITE_DONE)
        rc = sql_fail(s->read.db, code, err, "checking content");
    give(s, ST_BLOB_EACH, st);
    return rc;
}
