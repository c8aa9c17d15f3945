/* A file goes through steps chunk by chunk.
 *
 *   stream_enter ─ index:1 ─▶ 0/chunk, 1/chunk, … (some at a time) ─▶ join:1 ─▶ step_ok
 *
 *   N/chunk: read:1 ─▶ do (the processor's steps, which see `chunk`) ─▶ keep:1 ─▶ step_ok
 *
 * The index says where chunks end, which is settled before anything is asked: no boundary depends on how far an earlier
 * life came. A chunk is an iteration as in a loop: when it ends, a bit remains of it. What its steps said is kept by
 * the executor as a piece of the result (keep), and when all pieces are there they become the file in one step (join).
 * So memory does not grow with the file but for the index, and a chunk whose end is recorded is never asked for again.
 *
 * The source must stay as it was when the index was made; every read looks at that, and so does the end. */
#include "step/stream.h"

#include "data/json.h"

#include <stdio.h>

enum { CHUNK_LEAST = 16, CHUNK_MOST = 4 << 20, DEFAULT_PARALLEL = 4, PARALLEL_MOST = 1000 };
enum { TAG_INDEX = 1 << 30, TAG_JOIN }; /* chunks have their numbers */

struct stream {
    const struct val *config;
    const struct val *ends; /* of the chunks, in bytes */
    struct str source, stamp;
    int64_t begin; /* of the first one */
    size_t n, next, running;
    int64_t max_parallel;
};

static const struct stream *stream_of(const struct frame *chunk)
{
    return chunk->parent->parent->type_state;
}

static void effect(struct frame *f, const char *segment, size_t tag, struct val_map *m, bool two_phase,
                   const char *label)
{
    struct val *request = ARENA_NEW(&f->arena, struct val);
    *request = val_map_done(m);
    frame_effect(f, segment, tag,
                 &(struct effect_plan){.kind = EFFECT_FILES,
                                       .request = request,
                                       .on_interrupt = f->def->on_interrupt == ON_INTERRUPT_DEFAULT
                                                           ? ON_INTERRUPT_RETRY
                                                           : f->def->on_interrupt,
                                       .two_phase = two_phase,
                                       .label = label});
}

/* ---- the whole file ---- */

void stream_enter(struct frame *f, const struct val *config)
{
    static const char *const passed[] = {"source", "destination", "overwrite", "chunk_lines", "chunk_by"};
    struct stream *s = ARENA_NEW(&f->arena, struct stream);
    struct val *kept = ARENA_NEW(&f->arena, struct val);
    struct val_map m = val_map_new(&f->arena);
    int64_t size, lines;
    *kept = *config;
    f->type_state = s;
    s->config = kept;
    if (!frame_size(f, config, "chunk_size", 64 << 10, &size) ||
        !frame_int(f, config, "chunk_lines", 0, 0, INT64_MAX, &lines) ||
        !frame_int(f, config, "max_parallel", DEFAULT_PARALLEL, 1, PARALLEL_MOST, &s->max_parallel))
        return;
    if (size < CHUNK_LEAST || size > CHUNK_MOST) {
        step_failf(f, RC_INVALID, "`chunk_size` is %lld bytes; expected %d bytes to %d MB", (long long)size,
                   CHUNK_LEAST, CHUNK_MOST >> 20);
        return;
    }
    int64_t ceiling = frame_limits(f)->max_parallel;
    if (ceiling && s->max_parallel > ceiling)
        s->max_parallel = ceiling;
    VAL_MAP_SET(&m, "operation", VAL_LIT("stream_index"));
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        const struct val *v = val_get(config, str_c(passed[i]));
        if (v)
            val_map_set(&m, str_c(passed[i]), *v);
    }
    VAL_MAP_SET(&m, "chunk_size", val_int(size));
    s->source = val_get_str(config, STR("source"), STR(""));
    struct str name = s->source;
    name.n = str_utf8_valid(str_n(name.p, name.n < 80 ? name.n : 80));
    effect(f, "index:1", TAG_INDEX, &m, false, arena_printf(&f->arena, "index %.*s", STR_ARG(name)).p);
}

static struct str processor_name(const struct frame *f)
{
    const struct list_def *steps = f->def->branches[0].list->steps[0]->lists[0];
    return steps->n == 1 ? steps->steps[0]->type_name : STR("steps");
}

static void join(struct frame *f, void *unused)
{
    const struct stream *s = f->type_state;
    struct val_map m = val_map_new(&f->arena);
    const struct val *destination = VAL_GET(s->config, "destination"), *overwrite = VAL_GET(s->config, "overwrite");
    (void)unused;
    VAL_MAP_SET(&m, "operation", VAL_LIT("stream_join"));
    VAL_MAP_SET(&m, "source", val_str(s->source));
    VAL_MAP_SET(&m, "stamp", val_str(s->stamp));
    if (destination)
        VAL_MAP_SET(&m, "destination", *destination);
    if (overwrite)
        VAL_MAP_SET(&m, "overwrite", *overwrite);
    VAL_MAP_SET(&m, "stream", val_str(f->base));
    VAL_MAP_SET(&m, "chunks", val_int((int64_t)s->n));
    VAL_MAP_SET(&m, "processor", val_str(processor_name(f)));
    effect(f, "join:1", TAG_JOIN, &m, true, arena_printf(&f->arena, "join %zu chunks", s->n).p);
}

static void start_more(struct frame *f)
{
    struct stream *s = f->type_state;
    for (; s->next < s->n && (int64_t)s->running < s->max_parallel; s->next++) {
        char segment[24];
        struct loop_scope scope = {.index = (int64_t)s->next, .total = (int64_t)s->n};
        if (frame_past_passed(f, s->next))
            continue;
        snprintf(segment, sizeof segment, "%zu", s->next);
        frame_list(f, segment, s->next, f->def->branches[0].list, &scope, NULL);
        s->running++;
    }
    if (!s->running)
        frame_workspace(f, join, NULL);
}

static void indexed(struct frame *f, struct stream *s, const struct val *result)
{
    struct val *kept = ARENA_NEW(&f->arena, struct val);
    *kept = val_copy(&f->arena, result);
    s->ends = VAL_GET(kept, "ends");
    s->stamp = val_get_str(kept, STR("stamp"), STR(""));
    s->begin = val_get_int(kept, STR("begin"), 0);
    if (!val_is(s->ends, VAL_ARRAY)) { /* a journal that we did not write */
        step_failf(f, RC_CORRUPT, "the journal holds no index of this file");
        return;
    }
    s->n = s->ends->arr.n;
    (void)frame_past_count(f); /* frames of chunks that earlier lives have done */
    frame_total(f, s->n);
    start_more(f);
}

static void finish(struct frame *f, const struct stream *s, const struct val *result)
{
    struct str field = val_get_str(s->config, STR("output_field"), STR(""));
    const struct val *path = VAL_GET(result, "processed_path");
    struct val_map m = val_map_new(&f->arena);
    val_map_merge(&m, result);
    field = val_get_str(f->def->data, STR("output_field"), field);
    if (field.n)
        val_map_set(&m, field, path ? *path : val_null);
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

/* A file that was changed needs a new index: then the attempt cannot go on when the run is resumed. */
static void failed(struct frame *f, const struct frame *child)
{
    struct failure why = child_failure(child);
    if (child->tag < TAG_INDEX)
        why.message = arena_printf(&f->arena, "chunk %zu: %.*s", child->tag + 1, STR_ARG(why.message));
    if (str_is(why.code, "source_changed"))
        why.below = false;
    step_fail(f, &why);
}

void stream_child_done(struct frame *f, struct frame *child)
{
    struct stream *s = f->type_state;
    if (!child_ok(child)) {
        s->running -= child->tag < TAG_INDEX;
        failed(f, child);
    } else if (child->tag == TAG_INDEX) {
        indexed(f, s, child_result(child));
    } else if (child->tag == TAG_JOIN) {
        finish(f, s, child_result(child));
    } else {
        s->running--;
        if (!f->failing_set)
            start_more(f);
    }
}

/* ---- one chunk ---- */

enum { TAG_READ, TAG_DO, TAG_KEEP };

struct chunk {
    size_t index;
    struct str text;
};

static void chunk_enter(struct frame *f)
{
    const struct stream *s = stream_of(f);
    struct chunk *c = ARENA_NEW(&f->arena, struct chunk);
    struct val_map m = val_map_new(&f->arena);
    f->type_state = c;
    c->index = f->parent->tag;
    const struct val *ends = s->ends;
    VAL_MAP_SET(&m, "operation", VAL_LIT("stream_read"));
    VAL_MAP_SET(&m, "source", val_str(s->source));
    VAL_MAP_SET(&m, "stamp", val_str(s->stamp));
    VAL_MAP_SET(&m, "from", c->index ? ends->arr.v[c->index - 1] : val_int(s->begin));
    VAL_MAP_SET(&m, "to", ends->arr.v[c->index]);
    effect(f, "read:1", TAG_READ, &m, false, arena_printf(&f->arena, "read chunk %zu", c->index + 1).p);
}

static void chunk_read(struct frame *f, struct chunk *c, const struct val *result)
{
    struct box *b = box_empty();
    struct val_map m = val_map_new(&b->arena);
    c->text = arena_str(&b->arena, val_get_str(result, STR("text"), STR("")));
    VAL_MAP_SET(&m, EACH_NAME, val_str(c->text));
    b->val = val_map_done(&m);
    box_unref(f->locals);
    f->locals = b; /* which the steps below see; it lives as long as the frame */
    frame_list(f, "do", TAG_DO, f->def->lists[0], NULL, NULL);
}

/* The name of the last step that was not skipped; NULL: all were. */
static const struct step_def *last_done(const struct list_def *list, const struct val *results)
{
    for (size_t i = list->n; i--;) {
        const struct val *v = val_get(results, list->steps[i]->name);
        if (v && !val_get_bool(v, STR("skipped"), false))
            return list->steps[i];
    }
    return NULL;
}

/* What a step's result comes to in a file, as with output_to_file; of a command it is what it has printed. */
static struct str as_text(struct arena *a, const struct step_def *d, const struct val *result)
{
    static const char *const texts[] = {"text", "stdout"};
    const struct val *data = VAL_GET(result, "data"), *value = d->value_name.n ? val_get(result, d->value_name) : NULL;
    if (value)
        result = value;
    if (val_is(data, VAL_OBJECT) || val_is(data, VAL_ARRAY))
        return json_text(a, data);
    for (size_t i = 0; i < 2; i++)
        if (val_is(val_get(result, str_c(texts[i])), VAL_STR))
            return val_get(result, str_c(texts[i]))->s;
    return result->type == VAL_STR ? result->s : json_text(a, result);
}

/* A model's answer rarely ends its last line; a chunk that was whole lines stays whole lines. */
static struct str ended(struct arena *a, struct str text, struct str chunk)
{
    bool line = chunk.n && chunk.p[chunk.n - 1] == '\n', open = text.n && text.p[text.n - 1] != '\n';
    return line && open ? arena_printf(a, "%.*s\n", STR_ARG(text)) : text;
}

static void chunk_said(struct frame *f, struct chunk *c, struct frame *list)
{
    const struct list_def *def = f->def->lists[0];
    struct arena *a = &f->arena;
    struct val results = list_results(list, a), result;
    const struct step_def *d = last_done(def, &results);
    struct str text = c->text;
    struct err err;
    if (d && !child_expr(list, arena_printf(a, "steps[\"%.*s\"]", STR_ARG(d->name)), a, &result, &err)) {
        frame_fail(f, &err);
        return;
    }
    if (d)
        text = arena_str(a, ended(a, as_text(a, d, &result), c->text)); /* results go with the list */
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "operation", VAL_LIT("stream_keep"));
    VAL_MAP_SET(&m, "stream", val_str(f->parent->parent->base));
    VAL_MAP_SET(&m, "index", val_int((int64_t)c->index));
    VAL_MAP_SET(&m, "text", val_str(text));
    effect(f, "keep:1", TAG_KEEP, &m, false, arena_printf(a, "keep chunk %zu", c->index + 1).p);
}

static void chunk_child_done(struct frame *f, struct frame *child)
{
    struct chunk *c = f->type_state;
    if (!child_ok(child))
        step_fail_as(f, child);
    else if (child->tag == TAG_READ)
        chunk_read(f, c, child_result(child));
    else if (child->tag == TAG_DO)
        chunk_said(f, c, child);
    else
        step_ok(f, &val_empty_object);
}

static const struct step_key chunk_keys[] = {{"steps", KEY_STEPS, .required = true, .doc = "What is done with it."},
                                             {0}};

const struct step_type stream_chunk = {.name = "chunk",
                                       .doc = "One chunk of a file.",
                                       .keys = chunk_keys,
                                       .enter = chunk_enter,
                                       .child_done = chunk_child_done};
