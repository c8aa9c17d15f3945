/* Requests to start a run.
 *
 * What comes in is loaded, checked against what the service allows, and given a directory of its own before anything
 * is recorded; the run is in the queue once its acceptance is durable, with the texts that it is pinned to. A key of
 * idempotency makes of a second request like the first an answer about the first. */
#include "role/host_ask.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/panic.h"
#include "base/sha256.h"
#include "data/json.h"
#include "data/val_cover.h"
#include "flow/compose.h"
#include "role/run_id.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WORKFLOW_TEXT_MAX = 16 << 20,
    NAME_MAX_BYTES = 200,
    INPUT_DEPTH_MAX = 100,
    PRIORITY_MAX = 1000,
    PROBLEMS_TOLD = 100
};

static bool plain_name(struct str s)
{
    return str_portable(s) && s.n <= NAME_MAX_BYTES && s.p[0] != '.';
}

static enum rc read_stored(struct host *h, struct str name, struct arena *a, struct str *ret, struct err *err)
{
    char path[4096];
    if (!plain_name(name))
        return err_set(err, RC_INVALID,
                       "`workflow` is the name of a stored workflow: letters, digits, `_`, `-` and `.`");
    snprintf(path, sizeof path, "%s/workflows/%.*s.yaml", h->o.home, STR_ARG(name));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
    struct buf b;
    buf_init(&b, WORKFLOW_TEXT_MAX);
    enum rc rc = RC_OK;
    if (fd < 0)
        rc = err_set(err, RC_NOT_FOUND, "no workflow `%.*s` is stored", STR_ARG(name));
    else if (!fd_read_all(fd, &b))
        rc = b.overflow ? err_set(err, RC_LIMIT, "the stored workflow is larger than %d bytes", WORKFLOW_TEXT_MAX)
                        : err_set(err, RC_IO, "the stored workflow: %s", strerror(errno));
    else
        *ret = arena_str(a, buf_str(&b));
    fd_close(fd);
    buf_done(&b);
    return rc;
}

/* Adds the errors of a file, and of those that it is made of. */
static void add_problems(struct val_list *l, struct str file, const struct problems *ps)
{
    for (size_t i = 0; i < ps->n && l->n < PROBLEMS_TOLD; i++) {
        size_t source = PLACE_FILE(ps->v[i].line);
        if (ps->v[i].warning)
            continue;
        struct val_map m = val_map_new(l->a);
        VAL_MAP_SET(&m, "file",
                    val_str(arena_str(l->a, source && source < ps->nsources ? ps->sources[source].name : file)));
        VAL_MAP_SET(&m, "line", val_int(PLACE_LINE(ps->v[i].line)));
        VAL_MAP_SET(&m, "column", val_int(ps->v[i].col));
        VAL_MAP_SET(&m, "detail", val_str(arena_str(l->a, ps->v[i].text)));
        val_list_push(l, val_map_done(&m));
    }
}

struct start {
    struct asked *q;
    struct called_files files;
    const struct val *request;
    struct str text, file;
    struct workflow *workflow;
    struct val_list problems; /* of workflows that it calls */
    struct val inputs;
    struct str workspace, output_dir;
    char id[RUN_ID_SIZE];
};

/* Where files that a run's workflows name are relative to. */
static struct str workflows_dir(const struct start *s)
{
    return arena_printf(&s->q->arena, "%s/workflows", s->q->host->o.home);
}

static struct str without_dot(struct str name)
{
    while (str_starts(name, STR("./")))
        name = str_from(name, 2);
    return name;
}

/* A file that came with the request; NULL: there is none of that name. */
static const struct val *sent_file(const struct start *s, struct str name)
{
    const struct val *files = VAL_GET(s->request, "files"), *v = val_get(files, name);
    return v ? v : val_get(files, without_dot(name));
}

/* A client names files that it sends and stored workflows, never a file of this machine. */
static enum rc find_file(struct start *s, struct str name, bool stored, struct str *ret, struct err *err)
{
    const struct val *sent = stored ? NULL : sent_file(s, name);
    struct str plain = without_dot(name);
    if (val_is(sent, VAL_STR)) {
        *ret = sent->s;
        return RC_OK;
    }
    if (!stored && str_ends(plain, STR(".yaml")))
        plain.n -= 5;
    if (plain_name(plain))
        return read_stored(s->q->host, plain, s->files.a, ret, err);
    return err_set(err, RC_NOT_FOUND, "there is no file %.*s; expected it in `files` of the request",
                   (int)(name.n < 200 ? name.n : 200), name.p);
}

static enum rc read_called(void *ctx, struct str from, struct str name, bool stored, struct arena *a,
                           struct workflow_text *ret, struct err *err)
{
    struct start *s = ctx;
    struct called_file c = {.from = arena_str(s->files.a, from), .name = arena_str(s->files.a, name), .stored = stored};
    (void)a;
    enum rc rc = find_file(s, c.name, stored, &c.t.text, err);
    if (rc != RC_OK)
        return rc;
    struct str plain = without_dot(c.name);
    c.t.file = arena_printf(s->files.a, "%.*s%s", STR_ARG(plain), str_ends(plain, STR(".yaml")) ? "" : ".yaml");
    c.t.path = arena_printf(s->files.a, "/workflows/%.*s", STR_ARG(c.t.file));
    c.t.dir = workflows_dir(s);
    called_keep(&s->files, &c);
    *ret = c.t;
    return RC_OK;
}

static enum rc read_included(void *ctx, struct str path, struct arena *a, struct str *ret, struct err *err)
{
    (void)a;
    return find_file(ctx, path, false, ret, err);
}

static void note_problems(void *ctx, const struct workflow_text *t, const struct problems *ps)
{
    add_problems(&((struct start *)ctx)->problems, t->file, ps);
}

/* What is made of several files is kept as one text. */
static void pin(void *ctx, const struct workflow_text *t, struct str text)
{
    struct start *s = ctx;
    if (str_eq(t->path, s->files.root_path))
        s->text = arena_str(s->files.a, text);
    for (size_t i = 0; i < s->files.n; i++)
        if (str_eq(s->files.v[i].t.path, t->path))
            s->files.v[i].t.text = arena_str(s->files.a, text);
}

static bool check_start(struct start *s)
{
    struct arena *a = &s->q->arena;
    struct err err;
    struct str yaml = val_get_str(s->request, STR("workflow_yaml"), str_n("", 0));
    struct str name = val_get_str(s->request, STR("workflow"), str_n("", 0));
    if (!yaml.n == !name.n) {
        asked_refuse(s->q, 400, "expected one of `workflow` (the name of a stored one) and `workflow_yaml` (its text)");
        return false;
    }
    s->text = yaml;
    s->file = name.n ? arena_printf(a, "%.*s.yaml", STR_ARG(name)) : STR("workflow.yaml");
    if (name.n && read_stored(s->q->host, name, a, &s->text, &err) != RC_OK) {
        asked_refuse(s->q, asked_status(err.rc), err.msg);
        return false;
    }
    const struct val *sent = VAL_GET(s->request, "files");
    for (size_t i = 0; val_is(sent, VAL_OBJECT) && i < sent->obj.n; i++)
        if (sent->obj.m[i].val.type != VAL_STR)
            sent = &val_true;
    if (sent && sent->type != VAL_OBJECT && sent->type != VAL_NULL) {
        asked_refuse(s->q, 400, "`files` must be an object of names and texts");
        return false;
    }
    struct problems ps = {.a = a};
    s->problems = val_list_new(a);
    s->files = (struct called_files){.a = a, .root_path = STR(HOST_REQUEST_PATH)};
    if (name.n)
        s->files.root_path = arena_printf(a, "/workflows/%.*s.yaml", STR_ARG(name));
    struct workflow_text t = {s->files.root_path, s->file, workflows_dir(s), s->text};
    struct load_files files = {.ctx = s, .read = read_included}; /* `$if` sees nothing of this environment */
    s->workflow = workflow_load_with(
        &t,
        &(struct workflow_reader){
            .read = read_called, .problems = note_problems, .pinned = pin, .ctx = s, .files = &files},
        &ps);
    if (!s->workflow) {
        struct val_list all = val_list_new(a);
        add_problems(&all, s->file, &ps);
        for (size_t i = 0; i < s->problems.n && all.n < PROBLEMS_TOLD; i++)
            val_list_push(&all, s->problems.v[i]);
        struct val list = val_list_done(&all);
        asked_problem(s->q, 422, STR("the workflow cannot be loaded"), &list);
        asked_reply(s->q);
        return false;
    }
    if (!name.n && !called_offered(s->workflow, s->q->host->o.offered, a, note_problems, s)) {
        struct val list = val_list_done(&s->problems);
        asked_problem(s->q, 422, VAL_GET(val_at(&list, 0), "detail")->s, &list);
        asked_reply(s->q);
        return false;
    }
    if (called_keyless(&s->files, s->file, s->text, &err) != RC_OK) {
        asked_refuse(s->q, 422, err.msg);
        return false;
    }
    const struct val *given = VAL_GET(s->request, "inputs");
    if (given && given->type != VAL_OBJECT && given->type != VAL_NULL) {
        asked_refuse(s->q, 400, "`inputs` must be an object");
        return false;
    }
    if (workflow_inputs(s->workflow, given && given->type == VAL_OBJECT ? given : &val_empty_object, a, &s->inputs,
                        &err) != RC_OK ||
        workflow_names_known(s->workflow, &s->inputs, "inputs.", &err) != RC_OK) {
        asked_refuse(s->q, 422, err.msg);
        return false;
    }
    s->inputs = val_covered(a, &s->inputs);
    if (val_depth(&s->inputs) > INPUT_DEPTH_MAX) {
        asked_refuse(s->q, 422, "the inputs are nested too deeply");
        return false;
    }
    return true;
}

/* Each run acts in a directory of its own: a client names none. */
static enum rc make_directories(struct start *s, struct err *err)
{
    struct arena *a = &s->q->arena;
    const char *home = s->q->host->o.home;
    const char *runs = arena_printf(a, "%s/runs", home).p, *own = arena_printf(a, "%s/%s", runs, s->id).p;
    if ((mkdir(runs, 0700) != 0 && errno != EEXIST) || mkdir(own, 0700) != 0)
        return err_set(err, rc_of_errno(errno), "cannot make %s: %s", own, strerror(errno));
    s->workspace = arena_printf(a, "%s/workspace", own);
    s->output_dir = arena_printf(a, "%s/outputs", own);
    return RC_OK;
}

static struct store_batch *acceptance(struct start *s, const struct hosted *r)
{
    struct arena *a = &s->q->arena;
    struct sha256 h = sha256_of(s->text);
    struct sha256_hex x = sha256_hex(&h);
    int64_t now = clock_wall_ms();
    struct val_map acc = val_map_new(a), ses = val_map_new(a), o = val_map_new(a);
    VAL_MAP_SET(&acc, "workflow_sha256", val_str(arena_str(a, str_c(x.z))));
    VAL_MAP_SET(&acc, "file", val_str(s->file));
    VAL_MAP_SET(&acc, "inputs", s->inputs);
    VAL_MAP_SET(&acc, "workspace", val_str(s->workspace));
    VAL_MAP_SET(&acc, "output_dir", val_str(s->output_dir));
    VAL_MAP_SET(&acc, "workflow_dir", val_str(workflows_dir(s)));
    VAL_MAP_SET(&acc, "started_ms", val_int(now));
    VAL_MAP_SET(&ses, "mode", s->q->host->o.mock ? VAL_LIT("mock") : VAL_LIT("live"));
    VAL_MAP_SET(&ses, "service", val_true);
    VAL_MAP_SET(&ses, "files", called_val(&s->files, a));
    VAL_MAP_SET(&o, "session", val_map_done(&ses));
    VAL_MAP_SET(&o, "accepted", val_map_done(&acc));
    struct val note = val_map_done(&o);
    struct store_batch *b = store_batch_new();
    store_batch_blob(b, s->text);
    called_put(&s->files, b);
    store_batch_record(
        b, str_c(s->id),
        &(struct record){
            .kind = RECORD_NOTE, .attempt = 1, .path = STR(""), .time_ms = now, .data = json_text(a, &note)});
    store_batch_run(b, &(struct run_row){.id = str_c(s->id),
                                         .workflow = s->workflow->name,
                                         .status = STR("queued"),
                                         .workspace = s->workspace,
                                         .file = s->file,
                                         .created_ms = now,
                                         .updated_ms = now,
                                         .service = host_service_text(r, a),
                                         .idem = r->idem ? str_c(r->idem) : STR("")});
    return b;
}

struct starting {
    struct asked *q;
    struct hosted *run;
};

static void on_accepted(void *ctx, enum rc rc, const struct err *err)
{
    struct starting *s = ctx;
    if (rc == RC_OK) {
        host_queue(s->run);
    } else {
        rmdir(arena_printf(&s->q->arena, "%s/runs/%s", s->run->host->o.home, s->run->id).p);
        host_forget(s->run);
    }
    asked_durable(s->q, rc, err);
    free(s);
}

/* What was asked for, apart from how long to wait for it: the same for the same request sent again. */
static struct sha256_hex fingerprint(const struct val *request, struct arena *a)
{
    static const char *const left_out[] = {"idempotency_key", "wait", "do"};
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < request->obj.n; i++) {
        bool counts = request->obj.m[i].val.type != VAL_NULL;
        for (size_t k = 0; k < sizeof left_out / sizeof *left_out; k++)
            counts &= !str_is(request->obj.m[i].key, left_out[k]);
        if (counts)
            val_map_set(&m, request->obj.m[i].key, request->obj.m[i].val);
    }
    struct val v = val_map_done(&m);
    struct sha256 h = sha256_of(json_canonical(a, &v));
    return sha256_hex(&h);
}

static void begin_start(struct start *s)
{
    struct host *h = s->q->host;
    struct err err;
    struct str idem = val_get_str(s->request, STR("idempotency_key"), str_n("", 0));
    struct str group = val_get_str(s->request, STR("concurrency_key"), str_n("", 0));
    int64_t priority = val_get_int(s->request, STR("priority"), 0);
    if (idem.n > NAME_MAX_BYTES || group.n > NAME_MAX_BYTES || priority > PRIORITY_MAX || priority < -PRIORITY_MAX) {
        asked_refuse(s->q, 400,
                     "`idempotency_key` and `concurrency_key` have at most 200 bytes, `priority` is -1000 to 1000");
        return;
    }
    run_id_new(s->id, sizeof s->id);
    if (make_directories(s, &err) != RC_OK) {
        asked_refuse(s->q, 503, err.msg);
        return;
    }
    struct str name = s->workflow->name;
    if (name.n > NAME_MAX_BYTES)
        name.n = str_utf8_valid(str_n(name.p, NAME_MAX_BYTES));
    struct hosted *r = host_add(h, str_c(s->id), group.n ? group : name, idem, priority);
    if (idem.n)
        snprintf(r->asked, sizeof r->asked, "%.32s", fingerprint(s->request, &s->q->arena).z);
    struct starting *w = calloc(1, sizeof *w);
    CHECK(w);
    *w = (struct starting){s->q, r};
    asked_accepted(s->q, 202, s->id, "queued");
    store_submit(h->o.store, acceptance(s, r), on_accepted, w);
}

static void start_again(struct asked *q, const struct val *request, struct str known, struct str asked)
{
    struct host *h = q->host;
    struct run_row row;
    struct err err;
    struct val service;
    bool have = store_run(h->o.store, known, &q->arena, &row, &err) == RC_OK;
    if (!asked.n && have && json_parse(&q->arena, row.service, &JSON_LIMITS_DEFAULT, &service, &err) == RC_OK)
        asked = val_get_str(&service, STR("asked"), STR(""));
    if (asked.n && !str_starts(str_c(fingerprint(request, &q->arena).z), asked)) {
        asked_refuse(
            q, 422,
            arena_printf(&q->arena,
                         "the idempotency key was given to another request, which started run %.*s; send that one "
                         "again, or this one with a key of its own",
                         STR_ARG(known))
                .p);
        return;
    }
    struct val_map m = val_map_new(&q->arena);
    VAL_MAP_SET(&m, "run_id", val_str(arena_str(&q->arena, known)));
    VAL_MAP_SET(&m, "status", val_str(have ? row.status : STR("queued")));
    VAL_MAP_SET(&m, "replayed", val_true);
    q->status = 200;
    q->body = val_map_done(&m);
    store_submit(h->o.store, store_batch_new(), asked_durable, q);
}

void asked_start(struct asked *q, const struct val *request)
{
    struct host *h = q->host;
    struct str idem = val_get_str(request, STR("idempotency_key"), str_n("", 0));
    struct err err;
    const struct hosted *living = idem.n ? map_get(&h->idems, idem) : NULL;
    struct str known = living ? str_c(living->id) : STR("");
    enum rc rc = idem.n && !living ? store_run_given(h->o.store, idem, &q->arena, &known, &err) : RC_NOT_FOUND;
    if (living || rc == RC_OK) { /* a duplicate start answers with the first run, once that is durable */
        start_again(q, request, known, living ? str_c(living->asked) : STR(""));
        return;
    }
    if (rc != RC_NOT_FOUND) {
        asked_refuse(q, 503, err.msg);
        return;
    }
    struct start s = {.q = q, .request = request};
    if (check_start(&s))
        begin_start(&s);
    workflow_unref(s.workflow);
}
