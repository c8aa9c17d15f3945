/* What each operation of a batch does to the tables; runs in the store thread, inside its transaction.
 *
 * Errors are SQLite codes and pass straight up: the thread rolls everything back, so nothing here undoes anything. The
 * keys of runs used lately are remembered; after a rollback they may be of rows that do not exist, so the thread
 * forgets them all then. */
#include "base/panic.h"
#include "store/store_internal.h"

static sqlite3_stmt *get(struct writer *w, enum statement which, int *code)
{
    struct err err;
    sqlite3_stmt *st = sql_get(&w->conn, which, &err);
    *code = st ? SQLITE_OK : sqlite3_extended_errcode(w->conn.db);
    return st;
}

/* The parameters are only borrowed: they outlive the step, and the reset clears nothing that is read again. */
static void bind_text(sqlite3_stmt *st, int i, struct str s)
{
    sqlite3_bind_text64(st, i, s.p ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
}
static void bind_blob(sqlite3_stmt *st, int i, struct str s)
{
    sqlite3_bind_blob64(st, i, s.p ? s.p : "", s.n, SQLITE_STATIC);
}

/* Runs a statement that returns no rows. */
static int run(sqlite3_stmt *st)
{
    int code = sqlite3_step(st);
    if (code == SQLITE_DONE)
        return sqlite3_reset(st);
    int again = sqlite3_reset(st);
    return again ? again : SQLITE_INTERNAL;
}

/* Runs a query for one number: SQLITE_ROW with `ret` set, SQLITE_DONE, or an error. */
static int find(sqlite3_stmt *st, int64_t *ret)
{
    int code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    int error = sqlite3_reset(st);
    return code == SQLITE_ROW || code == SQLITE_DONE ? code : error;
}

static int run_key(struct writer *w, struct str id, int64_t *key)
{
    size_t slot = str_hash(id, 0) % STORE_RUN_CACHE;
    if (w->runs[slot].key && str_eq(w->runs[slot].id, id)) {
        *key = w->runs[slot].key;
        return SQLITE_OK;
    }
    int code;
    sqlite3_stmt *st = get(w, ST_RUN_KEY, &code);
    if (!st)
        return code;
    bind_text(st, 1, id);
    code = find(st, key);
    if (code == SQLITE_DONE) {
        st = get(w, ST_RUN_NEW, &code);
        if (!st)
            return code;
        bind_text(st, 1, id);
        code = run(st);
        if (code != SQLITE_OK)
            return code;
        *key = sqlite3_last_insert_rowid(w->conn.db);
    } else if (code != SQLITE_ROW) {
        return code;
    }
    if (id.n <= sizeof w->runs[slot].text) {
        if (id.n)
            memcpy(w->runs[slot].text, id.p, id.n);
        w->runs[slot].id = str_n(w->runs[slot].text, id.n);
        w->runs[slot].key = *key;
    }
    return SQLITE_OK;
}

static int put_blob(struct writer *w, struct str data, int64_t *key)
{
    struct sha256 hash = sha256_of(data);
    struct str h = str_n((const char *)hash.b, sizeof hash.b);
    int code;
    sqlite3_stmt *st = get(w, ST_BLOB_KEY, &code);
    if (!st)
        return code;
    bind_blob(st, 1, h);
    code = find(st, key);
    if (code != SQLITE_DONE)
        return code == SQLITE_ROW ? SQLITE_OK : code;
    st = get(w, ST_BLOB_PUT, &code);
    if (!st)
        return code;
    bind_blob(st, 1, h);
    bind_blob(st, 2, data);
    code = run(st);
    *key = sqlite3_last_insert_rowid(w->conn.db);
    return code;
}

/* Whether that record is there already: SQLITE_ROW or SQLITE_DONE. Asked only before storing something large. */
static int has_record(struct writer *w, int64_t key, const struct record *r)
{
    int code;
    int64_t one;
    sqlite3_stmt *st = get(w, ST_RECORD_HAS, &code);
    if (!st)
        return code;
    sqlite3_bind_int64(st, 1, key);
    bind_text(st, 2, r->path);
    sqlite3_bind_int64(st, 3, r->kind);
    sqlite3_bind_int64(st, 4, r->attempt);
    return find(st, &one);
}

static int write_record(struct writer *w, const struct op *op)
{
    const struct record *r = &op->record;
    int64_t key = 0, blob = 0;
    int code = run_key(w, op->run, &key);
    if (code != SQLITE_OK)
        return code;
    if (r->data.n > STORE_INLINE_MAX) {
        code = has_record(w, key, r);
        if (code != SQLITE_DONE)
            return code == SQLITE_ROW ? SQLITE_OK : code;
        code = put_blob(w, r->data, &blob);
        if (code != SQLITE_OK)
            return code;
    }
    sqlite3_stmt *st = get(w, ST_RECORD_PUT, &code);
    if (!st)
        return code;
    sqlite3_bind_int64(st, 1, key);
    sqlite3_bind_int64(st, 2, r->kind);
    sqlite3_bind_int64(st, 3, r->attempt);
    sqlite3_bind_int64(st, 4, r->time_ms);
    bind_text(st, 5, r->path);
    if (blob) {
        sqlite3_bind_int64(st, 6, blob);
        sqlite3_bind_null(st, 7);
    } else {
        sqlite3_bind_null(st, 6);
        bind_text(st, 7, r->data);
    }
    return run(st);
}

static int write_run(struct writer *w, const struct op *op)
{
    const struct run_row *r = &op->row;
    int code;
    sqlite3_stmt *st = get(w, ST_RUN_PUT, &code);
    if (!st)
        return code;
    const struct str text[] = {r->id, r->workflow, r->status, r->workspace, r->file, r->error};
    int at = 1;
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        bind_text(st, at++, text[i]);
    const int64_t number[] = {r->created_ms, r->updated_ms, r->input_tokens, r->output_tokens};
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        sqlite3_bind_int64(st, at++, number[i]);
    sqlite3_bind_double(st, at++, r->cost_usd);
    sqlite3_bind_int64(st, at++, r->steps_done);
    bind_text(st, at++, r->service);
    bind_text(st, at, r->idem);
    return run(st);
}

static int write_blob(struct writer *w, const struct op *op)
{
    int64_t key;
    return put_blob(w, op->blob, &key);
}

int write_batch(struct writer *w, const struct store_batch *b)
{
    static int (*const write_op[])(struct writer *, const struct op *) = {
        [OP_RECORD] = write_record, [OP_RUN] = write_run, [OP_BLOB] = write_blob};
    int code = SQLITE_OK;
    for (const struct op *op = b->first; op && code == SQLITE_OK; op = op->next)
        code = write_op[op->type](w, op);
    return code;
}
