/* Reads the few records that speak of a run as a whole; the others are only counted.
 *
 * Records come in their order, so what a later one says holds. Feeding a resumed run takes two passes: what a RESUME
 * makes void must be known before the records that it voids are folded. */
#include "role/history.h"

#include "data/json.h"

struct pass {
    struct history *h;
    struct arena *a;
    bool found;
    enum rc rc;
    struct err *err;
};

/* The data of a RECORD_RUN, and of a NOTE's `accepted`, which is the same before the run has begun. */
static void read_start(struct pass *p, const struct val *v, int64_t time_ms)
{
    struct history *h = p->h;
    p->found = true;
    h->file = val_get_str(v, STR("file"), STR("workflow"));
    h->workflow_sha256 = val_get_str(v, STR("workflow_sha256"), STR(""));
    h->inputs = VAL_GET(v, "inputs") ? *VAL_GET(v, "inputs") : val_empty_object;
    h->workspace = val_get_str(v, STR("workspace"), STR(""));
    h->output_dir = val_get_str(v, STR("output_dir"), STR(""));
    h->workflow_dir = val_get_str(v, STR("workflow_dir"), STR("."));
    size_t slash = h->file.n;
    while (slash && h->file.p[slash - 1] != '/')
        slash--;
    h->path = arena_printf(p->a, "%.*s/%.*s", STR_ARG(h->workflow_dir), STR_ARG(str_from(h->file, slash)));
    h->created_ms = val_get_int(v, STR("started_ms"), time_ms);
}

static bool look(void *ctx, const struct record *r)
{
    struct pass *p = ctx;
    p->h->records++;
    if (r->path.n ||
        (r->kind != RECORD_RUN && r->kind != RECORD_NOTE && r->kind != RECORD_RESUME && r->kind != RECORD_END))
        return true;
    struct val *v = ARENA_NEW(p->a, struct val);
    p->rc = json_parse(p->a, r->data, &JSON_LIMITS_DEFAULT, v, p->err);
    if (p->rc != RC_OK)
        return false;
    if (r->kind == RECORD_RUN) {
        p->h->started = true;
        read_start(p, v, r->time_ms);
    } else if (r->kind == RECORD_NOTE) {
        struct str mode = val_get_str(VAL_GET(v, "session"), STR("mode"), STR(""));
        if (VAL_GET(v, "session"))
            p->h->session = VAL_GET(v, "session");
        p->h->was_live |= VAL_GET(v, "session") && !str_is(mode, "mock") && !str_is(mode, "replay");
        if (VAL_GET(VAL_GET(v, "session"), "files"))
            p->h->files = VAL_GET(VAL_GET(v, "session"), "files");
        if (VAL_GET(v, "accepted") && !p->h->started)
            read_start(p, VAL_GET(v, "accepted"), r->time_ms);
    } else if (r->kind == RECORD_RESUME) {
        p->h->status = STR("running");
        struct str sha = val_get_str(v, STR("workflow_sha256"), STR(""));
        if (sha.n)
            p->h->workflow_sha256 = sha;
        if (sha.n && !VAL_GET(v, "forked_from"))
            p->h->path = val_get_str(v, STR("path"), STR(""));
        else
            p->h->path = val_get_str(v, STR("path"), p->h->path);
        if (VAL_GET(v, "files"))
            p->h->files = VAL_GET(v, "files");
    } else {
        p->h->status = val_get_str(v, STR("status"), STR("running"));
    }
    return true;
}

enum rc history_read(struct store *s, struct str run, struct arena *a, struct history *ret, struct err *err)
{
    *ret = (struct history){.status = STR("running")};
    struct pass p = {.h = ret, .a = a, .err = err};
    enum rc rc = store_each_record(s, run, 0, look, &p, err);
    if (rc == RC_OK)
        rc = p.rc;
    if (rc == RC_OK && !p.found)
        return err_set(err, RC_CORRUPT,
                       "the journal of run %.*s has no start: the run was stopped before its first commit; "
                       "start it again with treadle run",
                       STR_ARG(run));
    return rc;
}

struct recovery {
    struct run *run;
    uint64_t seq;
    enum rc rc;
    struct err err;
};

static void add_void(void *ctx, struct str path, bool forked)
{
    struct recovery *r = ctx;
    run_void(r->run, path, r->seq, forked);
}

static bool find_voids(void *ctx, const struct record *rec)
{
    struct recovery *r = ctx;
    r->seq = rec->seq;
    if (rec->kind == RECORD_RESUME)
        r->rc = run_resume_voids(rec, add_void, r, &r->err);
    return r->rc == RC_OK;
}

static bool feed(void *ctx, const struct record *rec)
{
    struct recovery *r = ctx;
    r->rc = run_recover(r->run, rec, &r->err);
    return r->rc == RC_OK;
}

enum rc history_feed(struct store *s, struct str id, struct run *run, const struct str *voids, size_t nvoids,
                     struct err *err)
{
    struct recovery r = {.run = run};
    enum rc rc = store_each_record(s, id, 0, find_voids, &r, err);
    if (rc == RC_OK && r.rc == RC_OK) {
        r.seq = UINT64_MAX; /* those about to be appended */
        for (size_t i = 0; i < nvoids; i++)
            add_void(&r, voids[i], false);
        rc = store_each_record(s, id, 0, feed, &r, err);
    }
    if (rc == RC_OK && r.rc != RC_OK) {
        *err = r.err;
        rc = r.rc;
    }
    return rc;
}
