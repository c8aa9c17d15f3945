/* data_transform: takes data through a list of operations (data/transform.h), in slices.
 *
 *   enter ─┬─ pinned: the result was known, a file is being written ─────────────────────────┐
 *          ├─ a .jsonl file ─▶ read (an effect) ─┐                                           ▼
 *          │     stream_mode ─▶ read, work, read, work, … ─┤
 *          └─ an expression, a template ─────────┴─▶ work ─▶ more ─▶ more ─▶ … ─▶ result ─▶ step_ok
 *
 * Everything that the operations may read (results, variables, inputs) is looked up once, at the beginning, and copied:
 * what other branches do while this works changes nothing. So the result follows from the journal, and after a crash it
 * is computed again. Only where a file is written before the step ends it is pinned, lest the file and the result come
 * from two computations.
 *
 * In stream mode the file comes in chunks, and the first operations, as far as they look at one row at a time, are done
 * with each chunk as it comes; what they leave is kept, and the others are done with all of that. So a file may be much
 * larger than what is made of it. */
#include "data/json.h"
#include "data/transform.h"
#include "step/rows.h"

#define KEPT_MAX ((size_t)256 << 20) /* memory for what the first operations leave of a file */

enum { FILE_MAX = 4 << 20, NAMES_MAX = 200 };

static const struct step_key keys[] = {
    {"input_source", KEY_ANY, .required = true,
     .doc = "The data: an expression such as steps.scan.files, previous_response:STEP.field, a template, a list or "
            "object, or the path of a .jsonl file in the workspace."},
    {"operations", KEY_OPERATIONS, .required = true, .doc = "What is done with it, in order."},
    {"output_field", KEY_TEMPLATE, .fallback = "the step's name",
     .doc = "The field of the result that holds the outcome; a name of its own for later steps."},
    {"output_format", KEY_ENUM, .choices = "json|jsonl|string|count", .fallback = "json",
     .doc = "json: as it is; jsonl: output_to_file gets a line for each item; string: as JSON text; count: how many."},
    {"stream_mode", KEY_BOOL, .fallback = "false",
     .doc = "Whether a .jsonl file is read chunk by chunk: it may then be of any size, as long as what the first "
            "operations (`filter`, `map`, `sanitize`) leave of it fits into memory. Other data is worked on in slices "
            "anyway."},
    {"chunk_size", KEY_INT, KEY_FROM_TO(1, 1000000000), .fallback = "as many as fit into 4 MB",
     .doc = "With stream_mode: how many lines a chunk has at most."},
    {"lazy", KEY_DATA, .doc = "Accepted; the same operations are done."},
    {0}};

/* A name that the operations read, and what it meant when the step began. */
struct known {
    const struct val *key;
    size_t n, used;
    const struct val *v; /* NULL: unknown */
    struct err err;
};

struct work {
    struct frame *f;
    struct transform_run *run;
    struct expr_scope scope; /* of the names */
    struct known *known;
    size_t nknown;
    const struct val *input;
    bool streams;                         /* the rows come in chunks: */
    const struct transform *first, *rest; /* what is done with each, or NULL: nothing; and with all that is left */
    struct rows rows;
    struct arena chunk, kept; /* the chunk at hand; what is left of the chunks before it */
    struct val_list left;
    const struct val *outcome; /* where nothing is to be done with what is left */
};

static void free_state(void *state)
{
    struct work *w = state;
    transform_end(w->run);
    w->run = NULL;
    arena_done(&w->chunk);
    arena_done(&w->kept);
}

/* ---- names ---- */

static struct known *find_known(struct work *w, const struct val *key, size_t n)
{
    for (size_t i = 0; i < w->nknown; i++) {
        struct known *k = &w->known[i];
        size_t same = 0;
        while (same < n && same < k->n && val_eq(&k->key[same], &key[same]))
            same++;
        if (same == k->n && (k->used <= n || !k->v))
            return k;
    }
    return NULL;
}

static enum rc resolve(void *ctx, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    const struct known *k = find_known(ctx, key, n);
    (void)a;
    if (k && k->v) {
        *ret = k->v;
        *ret_used = k->used;
        return RC_OK;
    }
    *err = k ? k->err : *err;
    return k ? RC_NOT_FOUND : err_set(err, RC_NOT_FOUND, "`%.*s` is not known here", STR_ARG(key[0].s));
}

static const struct val *lacking(void *ctx, const struct val *object, const struct val *key, size_t at, struct arena *a)
{
    struct expr_scope scope = frame_scope(((struct work *)ctx)->f, true);
    return scope.lacking(scope.ctx, object, key, at, a);
}

/* A step's name alone means what it yields. */
static enum rc alone(struct frame *f, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                     struct err *err)
{
    bool step = n == 2 && (str_is(key[0].s, "steps") || str_is(key[0].s, "previous_response:"));
    *ret = NULL;
    return step || n == 1 ? frame_step_value(f, key[n - 1].s, a, ret, err) : RC_OK;
}

struct asking {
    struct frame *f;
    struct work *w;
};

static enum rc ask(void *ctx, const struct expr_path *path, bool local, struct err *err)
{
    const struct asking *q = ctx;
    struct frame *f = q->f;
    struct work *w = q->w;
    struct val *key = arena_calloc(&f->arena, path->n, sizeof *key);
    size_t n = 0;
    (void)local;
    for (; n < path->n && !path->seg[n].index; n++)
        key[n] = val_str(path->seg[n].name);
    if (find_known(w, key, n))
        return RC_OK;
    if (w->nknown == NAMES_MAX)
        return err_set(err, RC_LIMIT, "the operations read more than %d names", NAMES_MAX);
    struct known *k = &w->known[w->nknown++];
    struct expr_scope scope = frame_scope(f, true);
    struct arena scratch = {0};
    const struct val *v;
    *k = (struct known){.key = key, .n = n, .used = n};
    enum rc rc = alone(f, key, n, &scratch, &v, err);
    if (rc == RC_OK && !v)
        rc = scope.resolve(scope.ctx, key, n, &scratch, &v, &k->used, err);
    if (rc == RC_NOT_FOUND) {
        k->err = *err;
        v = NULL;
        rc = RC_OK;
    }
    if (rc == RC_OK && v) {
        struct val *copy = ARENA_NEW(&f->arena, struct val);
        *copy = val_copy(&f->arena, v);
        k->v = copy;
    }
    arena_done(&scratch);
    return rc;
}

/* ---- operations ---- */

/* Templates in keys that are no code are the step's, and evaluated now. */
static bool fill_templates(struct frame *f, const struct val *operations, struct val *ret)
{
    struct arena *a = &f->arena;
    struct val_list out = val_list_new(a);
    for (size_t i = 0; i < operations->arr.n; i++) {
        const struct val *op = &operations->arr.v[i];
        struct val_map m = val_map_new(a);
        for (size_t k = 0; k < op->obj.n; k++) {
            struct val v = op->obj.m[k].val;
            if (!transform_is_code(op->obj.m[k].key) && !frame_fill(f, &v))
                return false;
            val_map_set(&m, op->obj.m[k].key, v);
        }
        val_list_push(&out, val_map_done(&m));
    }
    *ret = val_list_done(&out);
    return true;
}

static void tell(void *ctx, uint32_t line, uint32_t col, const char *text)
{
    struct err *err = ctx;
    if (err->rc == RC_OK)
        err_set(err, RC_INVALID, "`operations`: %s", text);
    (void)line, (void)col;
}

/* ---- the work ---- */

static struct val outcome(struct frame *f, const struct val *v, struct str format)
{
    if (str_is(format, "string"))
        return v->type == VAL_STR ? *v : val_str(json_text(&f->arena, v));
    if (str_is(format, "count"))
        return val_int((int64_t)(v->type == VAL_ARRAY ? v->arr.n : v->type == VAL_OBJECT ? v->obj.n : 1));
    return *v;
}

static void finish(struct frame *f)
{
    struct work *w = f->type_state;
    struct arena *a = &f->arena;
    const struct val *c = frame_config(f, false), *v = w->outcome ? w->outcome : transform_result(w->run);
    struct str format, field;
    struct val time; /* the same in each life of the run */
    if (!c || !frame_text(f, c, "output_format", STR("json"), &format) ||
        !frame_text(f, c, "output_field", f->def->name, &field) || !frame_expr(f, STR("timestamp"), &time))
        return;
    struct val_map meta = val_map_new(a), m = val_map_new(a);
    VAL_MAP_SET(&meta, "operation_count", val_int((int64_t)VAL_GET(c, "operations")->arr.n));
    VAL_MAP_SET(&meta, "input_type", val_str(str_c(transform_type(w->input))));
    VAL_MAP_SET(&meta, "output_type", val_str(str_c(transform_type(v))));
    VAL_MAP_SET(&meta, "processed_at", time);
    VAL_MAP_SET(&m, "metadata", val_map_done(&meta));
    val_map_set(&m, field, outcome(f, v, format));
    struct val *result = ARENA_NEW(a, struct val);
    *result = val_map_done(&m);
    if (f->def->output_to_file && !frame_pin(f, result))
        return;
    step_ok(f, result);
}

static void chunk_worked(struct frame *f);

static void more(struct frame *f)
{
    struct work *w = f->type_state;
    struct err err;
    bool again = false;
    enum rc rc = transform_work(w->run, TRANSFORM_SLICE, &again, &err);
    if (rc != RC_OK)
        step_fail(f, FAILURE(rc == RC_NOT_FOUND ? RC_EXPRESSION : rc, str_c(err.msg)));
    else if (again)
        frame_more(f);
    else if (w->streams)
        chunk_worked(f);
    else
        finish(f);
}

static bool parse(struct frame *f, const struct val *operations, const struct transform **ret)
{
    struct err err = {.rc = RC_OK};
    if (transform_parse(&f->arena, operations, false, tell, &err, ret) == RC_OK)
        return true;
    step_fail(f, FAILURE(RC_INVALID, str_c(err.msg)));
    return false;
}

/* What is to be done, and the names that it reads. NULL: the step has failed. */
static struct work *prepare(struct frame *f, struct val *ret_operations)
{
    const struct val *c = frame_config(f, false);
    struct arena *a = &f->arena;
    struct err err = {.rc = RC_OK};
    struct work *w = ARENA_NEW(a, struct work);
    f->type_state = w;
    if (!c || !fill_templates(f, VAL_GET(c, "operations"), ret_operations) || !parse(f, ret_operations, &w->rest))
        return NULL;
    w->known = arena_calloc(a, NAMES_MAX, sizeof *w->known);
    w->f = f;
    w->scope = frame_scope(f, true);
    w->scope.resolve = resolve;
    w->scope.count = NULL;
    w->scope.fields = NULL;
    w->scope.lacking = lacking;
    w->scope.ctx = w;
    if (transform_each_path(w->rest, ask, &(struct asking){f, w}, &err) != RC_OK) {
        frame_fail(f, &err);
        return NULL;
    }
    return w;
}

/* Takes a value that lives as long as the frame. */
static void begin(struct frame *f, const struct val *input)
{
    struct val operations;
    struct work *w = prepare(f, &operations);
    if (!w)
        return;
    w->input = input;
    w->run = transform_begin(w->rest, input, &w->scope, &f->arena);
    more(f);
}

/* ---- a file in chunks ---- */

static enum rc no_index(void *ctx, const struct expr_path *path, bool local, struct err *err)
{
    (void)ctx;
    return local && str_is(path->seg[0].name, "index") ? err_set(err, RC_INVALID, "reads its place") : RC_OK;
}

/* Does it make of each row something by itself, wherever the row stands? */
static bool by_rows(struct frame *f, const struct val *op)
{
    static const char *const names[] = {"filter", "map", "sanitize"};
    struct str name = val_get_str(op, STR("operation"), STR(""));
    struct val_list one = val_list_new(&f->arena);
    const struct transform *t;
    struct err err;
    bool known = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        known |= str_is(name, names[i]);
    if (!known || VAL_GET(op, "as"))
        return false;
    val_list_push(&one, *op);
    struct val list = val_list_done(&one);
    return transform_parse(&f->arena, &list, false, tell, &err, &t) == RC_OK &&
           transform_each_path(t, no_index, NULL, &err) == RC_OK;
}

static void stream(struct frame *f, const struct val *c, struct str path)
{
    struct val operations, part;
    int64_t lines;
    if (!frame_int(f, c, "chunk_size", 0, 0, INT64_MAX, &lines))
        return;
    struct work *w = prepare(f, &operations);
    if (!w)
        return;
    size_t n = 0;
    while (n < operations.arr.n && by_rows(f, &operations.arr.v[n]))
        n++;
    part = (struct val){.type = VAL_ARRAY, .arr = {operations.arr.v, n}};
    if (n && !parse(f, &part, &w->first))
        return;
    part = (struct val){.type = VAL_ARRAY, .arr = {operations.arr.v + n, operations.arr.n - n}};
    w->rest = NULL;
    if (part.arr.n && !parse(f, &part, &w->rest))
        return;
    w->streams = true;
    arena_init(&w->kept, KEPT_MAX);
    w->left = val_list_new(&w->kept);
    rows_start(f, &w->rows, path, lines);
}

static void all_read(struct frame *f, struct work *w)
{
    struct val *input = ARENA_NEW(&f->arena, struct val);
    *input = val_list_done(&w->left);
    w->input = input;
    w->streams = false;
    if (!w->rest) {
        w->outcome = input;
        finish(f);
        return;
    }
    w->run = transform_begin(w->rest, input, &w->scope, &f->arena);
    more(f);
}

static void next_chunk(struct frame *f, struct work *w)
{
    transform_end(w->run);
    w->run = NULL;
    arena_done(&w->chunk);
    if (!rows_next(f, &w->rows))
        all_read(f, w);
}

static void keep_rows(struct frame *f, struct work *w, const struct val *rows)
{
    for (size_t i = 0; i < rows->arr.n && !arena_over(&w->kept); i++)
        val_list_push(&w->left, val_copy(&w->kept, &rows->arr.v[i]));
    if (arena_over(&w->kept))
        step_failf(f, RC_LIMIT,
                   "more than %zu MB are left of the file after its first operations; expected a `filter` that leaves "
                   "less, or a file_ops stream_process, which writes a file",
                   KEPT_MAX >> 20);
    else
        next_chunk(f, w);
}

static void chunk_worked(struct frame *f)
{
    struct work *w = f->type_state;
    keep_rows(f, w, transform_result(w->run));
}

static void chunk_read(struct frame *f, struct work *w, struct frame *child)
{
    struct val *rows = ARENA_NEW(&w->chunk, struct val);
    if (!rows_child(f, &w->rows, child, &w->chunk, rows))
        return;
    if (!w->first) {
        keep_rows(f, w, rows);
        return;
    }
    w->run = transform_begin(w->first, rows, &w->scope, &w->chunk);
    more(f);
}

/* ---- the input ---- */

static bool is_data_file(struct str s)
{
    return str_ends(s, STR(".jsonl")) || str_ends(s, STR(".ndjson"));
}

static void read_file(struct frame *f, struct str path)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "path", val_str(path));
    VAL_MAP_SET(&m, "base", VAL_LIT("workspace"));
    VAL_MAP_SET(&m, "max", val_int(FILE_MAX));
    struct val *request = ARENA_NEW(a, struct val);
    *request = val_map_done(&m);
    frame_effect(f, "input:1", 0,
                 &(struct effect_plan){.kind = EFFECT_READ,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = arena_printf(a, "read %.*s", STR_ARG(path)).p});
}

/* Text that is JSON is meant as data; other text is a text. NULL: the step has failed, for it would be JSON but for
 * keys that stand twice. */
static const struct val *as_data(struct frame *f, const struct val *v)
{
    struct str s = v->type == VAL_STR ? str_trim(v->s) : STR("");
    struct val *parsed = ARENA_NEW(&f->arena, struct val);
    struct err err, ignored;
    if (!s.n || (s.p[0] != '[' && s.p[0] != '{'))
        return v;
    if (json_parse(&f->arena, s, &JSON_DATA, parsed, &err) == RC_OK)
        return parsed;
    if (json_parse(&f->arena, s, &JSON_LIMITS_DEFAULT, parsed, &ignored) != RC_OK)
        return v;
    step_failf(f, RC_INVALID, "`input_source` is text: %s", err.msg);
    return NULL;
}

/* The name in `NAME`, `steps.NAME`, `previous_response:NAME`, with or without {{ }}; else empty. */
static struct str step_alone(const struct val *source)
{
    static const char *const heads[] = {"steps.", "previous_response:"};
    struct str s = val_is(source, VAL_STR) ? str_trim(source->s) : STR("");
    if (str_starts(s, STR("{{")) && str_ends(s, STR("}}")) && s.n >= 4)
        s = str_trim(str_n(s.p + 2, s.n - 4));
    for (size_t i = 0; i < 2; i++)
        if (str_starts(s, str_c(heads[i])))
            s = str_from(s, strlen(heads[i]));
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
              (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_' || s.p[i] == '-' || (unsigned char)s.p[i] >= 0x80))
            return STR("");
    return s;
}

static bool find_input(struct frame *f, const struct val *c, const struct val **ret)
{
    const struct val *written = VAL_GET(f->def->source, "input_source"), *given = VAL_GET(c, "input_source");
    struct arena scratch = {0};
    struct str name = step_alone(written);
    const struct val *v = NULL;
    struct val *copy = ARENA_NEW(&f->arena, struct val);
    struct err err;
    bool good = !name.n || frame_step_value(f, name, &scratch, &v, &err) == RC_OK;
    if (!good) {
        arena_done(&scratch);
        frame_fail(f, &err);
        return false;
    }
    bool code = val_is(written, VAL_STR) && str_find(written->s, STR("{{")) == SIZE_MAX;
    if (v)
        *copy = val_copy(&f->arena, v);
    else if (val_is(given, VAL_STR) && code)
        good = frame_expr(f, given->s, copy);
    else
        *copy = given ? *given : val_null; /* in the frame's arena already */
    arena_done(&scratch);
    *ret = good ? as_data(f, copy) : NULL;
    return *ret;
}

static void enter(struct frame *f)
{
    const struct val *done = frame_pinned(f), *input;
    if (done) {
        step_ok(f, done);
        return;
    }
    const struct val *c = frame_config(f, false), *source = c ? VAL_GET(c, "input_source") : NULL;
    if (!c)
        return;
    bool streams;
    if (!frame_bool(f, c, "stream_mode", false, &streams))
        return;
    if (val_is(source, VAL_STR) && is_data_file(source->s) && streams)
        stream(f, c, source->s);
    else if (val_is(source, VAL_STR) && is_data_file(source->s))
        read_file(f, source->s);
    else if (find_input(f, c, &input))
        begin(f, input);
}

static void child_done(struct frame *f, struct frame *child)
{
    struct work *w = f->type_state;
    if (w && w->streams) {
        chunk_read(f, w, child);
        return;
    }
    struct failure why = child_ok(child) ? (struct failure){0} : child_failure(child);
    if (why.rc == RC_LIMIT)
        why.message = arena_printf(&f->arena, "%.*s; `stream_mode: true` reads larger files", STR_ARG(why.message));
    if (!child_ok(child)) {
        step_fail(f, &why);
        return;
    }
    struct val *rows = ARENA_NEW(&f->arena, struct val);
    if (rows_parse(f, val_get_str(child_result(child), STR("text"), STR("")), 0, &f->arena, rows))
        begin(f, rows);
}

/* The outcome alone, without what the step says about it. */
static struct str file_text(struct frame *f, const struct val *result, struct str path)
{
    const struct val *c = frame_config(f, false);
    struct str format, field;
    if (!c || !frame_text(f, c, "output_format", STR("json"), &format) ||
        !frame_text(f, c, "output_field", f->def->name, &field))
        return STR("");
    const struct val *v = val_get(result, field);
    if (!v)
        v = &val_null;
    if (v->type == VAL_STR)
        return v->s;
    if (v->type != VAL_ARRAY || !(str_is(format, "jsonl") || is_data_file(path)))
        return json_text(&f->arena, v);
    struct buf b;
    buf_init(&b, (size_t)256 << 20);
    for (size_t i = 0; i < v->arr.n; i++) {
        json_write(&b, &v->arr.v[i], JSON_COMPACT);
        buf_addc(&b, '\n');
    }
    struct str text = arena_str(&f->arena, buf_str(&b));
    buf_done(&b);
    return text;
}

const struct step_type step_data_transform = {.name = "data_transform",
                                              .doc = "Filters, maps, groups, joins and otherwise transforms data.",
                                              .keys = keys,
                                              .result_doc = "metadata|*",
                                              .named_value = true,
                                              .enter = enter,
                                              .child_done = child_done,
                                              .more = more,
                                              .file_text = file_text,
                                              .free_state = free_state};
