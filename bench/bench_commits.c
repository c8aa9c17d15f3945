/* What the disk and SQLite alone cost: commits of a few small rows, WAL with synchronous=FULL, one after another in one
 * thread. The yardstick of bench_engine.
 *
 *     bench_commits [COMMITS [ROWS [DIRECTORY]]]   (1000 commits of 4 rows, in the current directory)
 *
 * Prints microseconds a commit: mean, median, 99th percentile. */
#include "base/clock.h"
#include "base/panic.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char data[] =
    "{\"ok\":{\"success\":true,\"text\":\"The quick brown fox jumps over the lazy dog\",\"usage\":"
    "{\"input_tokens\":12,\"output_tokens\":10,\"cache_read_tokens\":0}}}";

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        PANIC("%s: %s", text, sqlite3_errmsg(db));
}

static void insert(sqlite3_stmt *st, long n)
{
    char path[64];
    int len = snprintf(path, sizeof path, "step%ld/turn:1", n);
    sqlite3_bind_text(st, 1, path, len, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, data, (int)sizeof data - 1, SQLITE_STATIC);
    CHECK(sqlite3_step(st) == SQLITE_DONE);
    sqlite3_reset(st);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void remove_file(const char *file, const char *suffix)
{
    char path[4200];
    snprintf(path, sizeof path, "%s%s", file, suffix);
    unlink(path);
}

int main(int argc, char **argv)
{
    long commits = argc > 1 ? strtol(argv[1], NULL, 10) : 1000, rows = argc > 2 ? strtol(argv[2], NULL, 10) : 4;
    char file[4096];
    sqlite3 *db;
    sqlite3_stmt *st;
    if (commits < 1 || rows < 1)
        PANIC("usage: bench_commits [COMMITS [ROWS [DIRECTORY]]]");
    snprintf(file, sizeof file, "%s/bench-commits-%d.db", argc > 3 ? argv[3] : ".", (int)getpid());
    if (sqlite3_open(file, &db) != SQLITE_OK)
        PANIC("%s: %s", file, sqlite3_errmsg(db));
    sql(db, "PRAGMA journal_mode = WAL");
    sql(db, "PRAGMA synchronous = FULL");
    sql(db, "CREATE TABLE record(seq INTEGER PRIMARY KEY, path TEXT NOT NULL, data TEXT NOT NULL)");
    CHECK(sqlite3_prepare_v2(db, "INSERT INTO record(path, data) VALUES(?1, ?2)", -1, &st, NULL) == SQLITE_OK);
    int64_t *took = calloc((size_t)commits, sizeof *took), sum = 0;
    CHECK(took);
    for (long i = 0; i < commits; i++) {
        int64_t begin = clock_mono_us();
        sql(db, "BEGIN IMMEDIATE");
        for (long k = 0; k < rows; k++)
            insert(st, i);
        sql(db, "COMMIT");
        took[i] = clock_mono_us() - begin;
        sum += took[i];
    }
    qsort(took, (size_t)commits, sizeof *took, by_size);
    printf("%ld commits of %ld rows: mean %ld us, median %ld us, 99%% %ld us\n", commits, rows, (long)(sum / commits),
           (long)took[commits / 2], (long)took[commits * 99 / 100]);
    sqlite3_finalize(st);
    sqlite3_close(db);
    free(took);
    remove_file(file, "");
    remove_file(file, "-wal");
    remove_file(file, "-shm");
    return 0;
}
