/* SQLite behind a few verbs: opening a journal safely, its schema, statements, errors.
 *
 * A new journal appears complete or not at all: its first image (the whole schema, marked as WAL) is built in memory,
 * written to FILE.new, synced and renamed. That costs two syncs instead of SQLite's six, and a power loss in the middle
 * leaves nothing that has to be explained to anybody.
 *
 * SQLite before 3.51.3 can damage a file when two connections write or checkpoint at once. So the owner's writer is the
 * only connection that does either: readers are opened read-only and do not checkpoint on close. What a reader may have
 * to do after a crash is rebuild the index of the WAL (-shm); that writes neither the journal nor the WAL, and SQLite
 * serialises it against the writer.
 *
 * A process that died in the middle of a sync leaves frames in the WAL which read as committed and may not be on the
 * disk. Nobody may act on those: an owner that finds a WAL copies it into the journal and syncs both before anything
 * is read, a reader without a living owner syncs the WAL first. */
#include "base/fault.h"
#include "base/fd.h"
#include "base/panic.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x54524a31 /* "TRJ1" */, CACHE_KIB = 16384, RECOVERY_BUSY_MS = 1000 };

struct store_tuning store_tuning = {.wal_soft = 500, .wal_hard = 500, .idle_ms = 20, .ballast_min_free = 16 << 20};

static const struct {
    int version;
    const char *sql;
} migrations[] = {
#define X(version, sql) {version, sql},
#include "store/schema.def"
#undef X
};
enum { MIGRATIONS = sizeof migrations / sizeof *migrations };

static const char *const statements[STATEMENT_COUNT] = {
#define X(name, sql) [name] = sql,
#include "store/statements.def"
#undef X
};

enum rc sql_fail(sqlite3 *db, int code, struct err *err, const char *what)
{
    enum rc rc = RC_INTERNAL;
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        rc = RC_BUSY;
        break;
    case SQLITE_FULL:
        rc = RC_DISK_FULL;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        rc = RC_CORRUPT;
        break;
    case SQLITE_TOOBIG:
        rc = RC_LIMIT;
        break;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        rc = db ? rc_of_errno(sqlite3_system_errno(db)) : RC_IO;
        break;
    }
    bool own = db && sqlite3_extended_errcode(db) == code; /* SQLite's message, if it is about this error */
    return err_set(err, rc, "%s: %s", what, own ? sqlite3_errmsg(db) : sqlite3_errstr(code));
}

enum rc sql_exec(sqlite3 *db, const char *sql, struct err *err)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? RC_OK : sql_fail(db, code, err, sql);
}

sqlite3_stmt *sql_get(struct conn *c, enum statement which, struct err *err)
{
    sqlite3_stmt **st = &c->stmt[which];
    if (!*st) {
        int code = sqlite3_prepare_v3(c->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
        if (code != SQLITE_OK) {
            sql_fail(c->db, code, err, "preparing a statement");
            return NULL;
        }
    }
    return *st;
}

char *sql_path(const char *file, const char *suffix)
{
    char *p = NULL;
    if (asprintf(&p, "%s%s", file, suffix) < 0)
        PANIC("out of memory");
    return p;
}

enum rc sql_sync_directory(const char *file, struct err *err)
{
    const char *slash = strrchr(file, '/');
    char *dir = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
    CHECK(dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum rc rc = RC_OK;
    if (fd < 0 || fsync(fd) != 0)
        rc = err_set(err, RC_IO, "%s: %s", dir, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(dir);
    return rc;
}

static enum rc read_number(sqlite3 *db, const char *sql, int64_t *ret, struct err *err)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    *ret = 0;
    if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
        *ret = sqlite3_column_int64(st, 0);
        code = SQLITE_DONE;
    }
    enum rc rc = code == SQLITE_DONE ? RC_OK : sql_fail(db, code, err, sql);
    sqlite3_finalize(st);
    return rc;
}

/* Brings the schema from `from` to ours, inside the caller's transaction. */
static enum rc migrate(sqlite3 *db, int64_t from, struct err *err)
{
    char sql[160];
    for (int i = 0; i < MIGRATIONS; i++) {
        if (migrations[i].version <= from)
            continue;
        if (sql_exec(db, migrations[i].sql, err))
            return err->rc;
        snprintf(sql, sizeof sql, "PRAGMA user_version = %d", migrations[i].version);
        if (sql_exec(db, sql, err))
            return err->rc;
    }
    snprintf(sql, sizeof sql, "REPLACE INTO meta VALUES('format', %d), ('semantics', %d)",
             migrations[MIGRATIONS - 1].version, STORE_SEMANTICS);
    return sql_exec(db, sql, err);
}

/* The bytes of an empty journal, to be freed with sqlite3_free(). */
static enum rc build_image(unsigned char **image, size_t *size, struct err *err)
{
    sqlite3 *db = NULL;
    char sql[64];
    int code = sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d", APPLICATION_ID);
    enum rc rc = code ? sql_fail(db, code, err, "preparing a new journal") : RC_OK;
    if (!rc)
        rc = sql_exec(db, "PRAGMA page_size = 4096; BEGIN", err);
    if (!rc)
        rc = sql_exec(db, sql, err);
    if (!rc)
        rc = migrate(db, 0, err);
    if (!rc)
        rc = sql_exec(db, "COMMIT", err);
    if (!rc) {
        sqlite3_int64 n = 0;
        *image = sqlite3_serialize(db, "main", &n, 0);
        *size = (size_t)n;
        if (!*image || n < 4096)
            rc = err_set(err, RC_INTERNAL, "a new journal could not be prepared");
        else
            (*image)[18] = (*image)[19] = 2; /* file format: read and write version 2 is WAL */
    }
    sqlite3_close(db);
    return rc;
}

static enum rc create_file(const char *file, struct err *err)
{
    unsigned char *image = NULL;
    size_t size = 0;
    if (build_image(&image, &size, err)) {
        sqlite3_free(image);
        return err->rc;
    }
    /* What lies beside a journal that is gone must not be taken for the new one's. */
    static const char *const stale[] = {"-wal", "-shm", "-journal", ".new"};
    for (size_t i = 0; i < sizeof stale / sizeof *stale; i++) {
        char *path = sql_path(file, stale[i]);
        unlink(path);
        free(path);
    }
    char *fresh = sql_path(file, ".new");
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0 && fchmod(fd, 0600) == 0 && fd_write_all(fd, str_n((char *)image, size)) && fdatasync(fd) == 0;
    good = good && rename(fresh, file) == 0;
    if (!good) {
        err_set(err, rc_of_errno(errno), "%s: %s", fresh, strerror(errno));
        unlink(fresh);
    }
    if (fd >= 0)
        close(fd);
    free(fresh);
    sqlite3_free(image);
    return good ? sql_sync_directory(file, err) : err->rc;
}

/* Refuses what is not a journal or is newer than this program; returns the file's version, and whether it is all
 * ours. */
static enum rc check_version(const char *file, sqlite3 *db, int64_t *version, bool *ret_ours, struct err *err)
{
    int64_t id, semantics;
    if (read_number(db, "PRAGMA application_id", &id, err))
        return err->rc;
    if (id != APPLICATION_ID)
        return err_set(err, RC_CORRUPT, "%s is not a Treadle journal", file);
    if (read_number(db, "PRAGMA user_version", version, err) ||
        read_number(db, "SELECT value FROM meta WHERE key = 'semantics'", &semantics, err))
        return err->rc;
    int ours = migrations[MIGRATIONS - 1].version;
    if (*version > ours || semantics > STORE_SEMANTICS)
        return err_set(err, RC_VERSION, "%s was written by a newer Treadle (format %lld.%lld, this one knows %d.%d)",
                       file, (long long)*version, (long long)semantics, ours, STORE_SEMANTICS);
    *ret_ours = *version == ours && semantics == STORE_SEMANTICS;
    return RC_OK;
}

static void configure_once(void)
{
    /* Saves a global lock at every allocation; refused (harmlessly) when somebody has initialised SQLite before. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_initialize();
}

static enum rc open_conn(const char *name, int flags, struct conn *c, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure_once);
    *c = (struct conn){0};
    int code = sqlite3_open_v2(name, &c->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, store_tuning.vfs);
    if (code != SQLITE_OK) {
        sql_fail(c->db, code, err, name);
        sql_close(c, 0);
        return err->rc;
    }
    sqlite3_busy_timeout(c->db, STORE_BUSY_MS);
    sqlite3_wal_autocheckpoint(c->db, 0);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return RC_OK;
}

void sql_close(struct conn *c, int checkpoint_ms)
{
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(c->stmt[i]);
    if (c->db && checkpoint_ms > 0) {
        /* Without success the next owner finds the WAL and does it. Closing then removes the WAL if nobody reads. */
        sqlite3_busy_timeout(c->db, checkpoint_ms);
        if (sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK)
            sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    }
    int code = sqlite3_close(c->db);
    CHECK(code == SQLITE_OK);
    *c = (struct conn){0};
}

static enum rc prepare_owner(const char *file, bool had_wal, struct conn *c, struct err *err)
{
    char sql[64];
    int64_t version;
    bool ours;
    snprintf(sql, sizeof sql, "PRAGMA synchronous = %s", fault_hit("store.nosync") ? "OFF" : "FULL");
    if (sql_exec(c->db, sql, err))
        return err->rc;
    snprintf(sql, sizeof sql, "PRAGMA cache_size = %d", -CACHE_KIB);
    if (sql_exec(c->db, sql, err) || check_version(file, c->db, &version, &ours, err) ||
        sql_exec(c->db, "PRAGMA journal_mode = WAL", err))
        return err->rc;
    if (had_wal) {
        sqlite3_busy_timeout(c->db, RECOVERY_BUSY_MS);
        int code = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        sqlite3_busy_timeout(c->db, STORE_BUSY_MS);
        /* The WAL itself was synced before either of these could come up. */
        if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY && (code & 0xff) != SQLITE_FULL)
            return sql_fail(c->db, code, err, "recovering");
    }
    if (ours)
        return RC_OK;
    if (sql_exec(c->db, "BEGIN IMMEDIATE", err) || migrate(c->db, version, err) || sql_exec(c->db, "COMMIT", err))
        return err->rc; /* closing the connection rolls back */
    return RC_OK;
}

enum rc sql_open_owner(const char *file, struct conn *c, struct err *err)
{
    struct stat st;
    bool exists = lstat(file, &st) == 0; /* a link would have its WAL and its lock in two places */
    if (!exists && errno != ENOENT)
        return err_set(err, RC_IO, "%s: %s", file, strerror(errno));
    if (exists && !S_ISREG(st.st_mode))
        return err_set(err, RC_IO, "%s is not a regular file", file);
    if ((!exists || st.st_size == 0) && create_file(file, err))
        return err->rc;
    char *wal = sql_path(file, "-wal");
    bool had_wal = stat(wal, &st) == 0 && st.st_size > 0;
    free(wal);
    if (open_conn(file, SQLITE_OPEN_READWRITE, c, err))
        return err->rc;
    if (prepare_owner(file, had_wal, c, err)) {
        sql_close(c, 0);
        return err_wrap(err, "%s", file);
    }
    return RC_OK;
}

/* Makes what a dead owner left in the WAL durable before anybody is told of it. Returns whether there is a WAL. */
static enum rc sync_wal(const char *file, bool *some, struct err *err)
{
    char *wal = sql_path(file, "-wal");
    struct stat st;
    *some = stat(wal, &st) == 0 && st.st_size > 0;
    enum rc rc = RC_OK;
    if (*some && !store_owner(file)) {
        int fd = open(wal, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 ? errno != ENOENT : fdatasync(fd) != 0)
            rc = err_set(err, RC_IO, "%s: %s", wal, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    free(wal);
    return rc;
}

/* `file` as a URI: for a place that cannot be written (a read-only mount, somebody else's directory), where SQLite
 * could not make the files that WAL needs, and where therefore nobody is writing either. */
static enum rc open_immutable(const char *file, struct conn *c, struct err *err)
{
    char *full = realpath(file, NULL);
    if (!full)
        return err_set(err, RC_IO, "%s: %s", file, strerror(errno));
    struct buf uri;
    buf_init(&uri, 4 * (strlen(full) + 16));
    buf_addz(&uri, "file:");
    for (const char *p = full; *p; p++)
        if (*p == '%' || *p == '?' || *p == '#')
            buf_printf(&uri, "%%%02X", (unsigned char)*p);
        else
            buf_addc(&uri, *p);
    buf_addz(&uri, "?immutable=1");
    enum rc rc = open_conn(uri.p, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, c, err);
    buf_done(&uri);
    free(full);
    return rc;
}

enum rc sql_open_reader(const char *file, bool own_process, struct conn *c, struct err *err)
{
    struct stat st;
    bool some_wal = true, ours;
    int64_t version;
    if (lstat(file, &st) != 0)
        return err_set(err, errno == ENOENT || errno == ENOTDIR ? RC_NOT_FOUND : RC_IO, "%s: %s", file,
                       strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, RC_IO, "%s is not a regular file", file);
    if (!own_process && sync_wal(file, &some_wal, err))
        return err->rc;
    if (open_conn(file, SQLITE_OPEN_READONLY, c, err))
        return err->rc;
    enum rc rc = check_version(file, c->db, &version, &ours, err);
    int code = sqlite3_errcode(c->db) & 0xff;
    if (rc == RC_IO && !some_wal && (code == SQLITE_CANTOPEN || code == SQLITE_READONLY)) {
        sql_close(c, 0);
        if (open_immutable(file, c, err))
            return err->rc;
        rc = check_version(file, c->db, &version, &ours, err);
    }
    if (rc)
        sql_close(c, 0);
    return rc;
}
