/* The chunks of a file are those of stream_process (executor/fileop_stream.c): whole lines, the same in every life of
 * the run, and refused when the file is not the one that was looked at first. */
#include "step/rows.h"

#include "data/json.h"

enum { CHUNK_MAX = 4 << 20, TAG_INDEX = 1 << 30, TAG_READ };

bool rows_parse(struct frame *f, struct str text, size_t before, struct arena *a, struct val *ret)
{
    struct val_list out = val_list_new(a);
    if (!before && str_starts(text, STR("\xEF\xBB\xBF"))) /* a byte order mark */
        text = str_from(text, 3);
    while (text.n) {
        size_t end = str_find(text, STR("\n"));
        struct str line = str_trim(str_n(text.p, end < text.n ? end : text.n));
        text = end < text.n ? str_from(text, end + 1) : STR("");
        struct val v;
        struct err err;
        before++;
        if (!line.n)
            continue;
        if (json_parse(a, line, &JSON_DATA, &v, &err) != RC_OK) {
            step_failf(f, RC_INVALID, "line %zu of the file is no JSON: %s", before, err.msg);
            return false;
        }
        val_list_push(&out, v);
    }
    *ret = val_list_done(&out);
    return true;
}

static void ask(struct frame *f, const char *segment, size_t tag, struct val_map *m, const char *label)
{
    struct val *request = ARENA_NEW(&f->arena, struct val);
    *request = val_map_done(m);
    frame_effect(f, segment, tag,
                 &(struct effect_plan){
                     .kind = EFFECT_FILES, .request = request, .on_interrupt = ON_INTERRUPT_RETRY, .label = label});
}

void rows_start(struct frame *f, struct rows *r, struct str path, int64_t lines)
{
    struct val_map m = val_map_new(&f->arena);
    *r = (struct rows){.path = path};
    VAL_MAP_SET(&m, "operation", VAL_LIT("stream_index"));
    VAL_MAP_SET(&m, "source", val_str(path));
    VAL_MAP_SET(&m, "chunk_size", val_int(CHUNK_MAX));
    VAL_MAP_SET(&m, "chunk_by", VAL_LIT("lines"));
    if (lines)
        VAL_MAP_SET(&m, "chunk_lines", val_int(lines));
    ask(f, "index:1", TAG_INDEX, &m, arena_printf(&f->arena, "index %.*s", STR_ARG(path)).p);
}

bool rows_next(struct frame *f, struct rows *r)
{
    struct val_map m = val_map_new(&f->arena);
    if (r->next == r->ends->arr.n)
        return false;
    VAL_MAP_SET(&m, "operation", VAL_LIT("stream_read"));
    VAL_MAP_SET(&m, "source", val_str(r->path));
    VAL_MAP_SET(&m, "stamp", val_str(r->stamp));
    VAL_MAP_SET(&m, "from", r->next ? r->ends->arr.v[r->next - 1] : val_int(r->begin));
    VAL_MAP_SET(&m, "to", r->ends->arr.v[r->next]);
    r->next++;
    ask(f, arena_printf(&f->arena, "read:%zu", r->next).p, TAG_READ, &m,
        arena_printf(&f->arena, "read chunk %zu", r->next).p);
    return true;
}

static void failed(struct frame *f, const struct rows *r, const struct frame *child)
{
    struct failure why = child_failure(child);
    if (why.rc == RC_LIMIT)
        why.message = arena_printf(&f->arena, "%.*s has a line of more than %d MB, or makes too many chunks",
                                   STR_ARG(r->path), CHUNK_MAX >> 20);
    why.below &= !str_is(why.code, "source_changed"); /* a changed file is begun anew */
    step_fail(f, &why);
}

bool rows_child(struct frame *f, struct rows *r, const struct frame *child, struct arena *a, struct val *ret)
{
    *ret = val_empty_array;
    if (!child_ok(child)) {
        failed(f, r, child);
        return false;
    }
    if (child->tag == TAG_INDEX) {
        struct val *index = ARENA_NEW(&f->arena, struct val);
        *index = val_copy(&f->arena, child_result(child));
        r->ends = VAL_GET(index, "ends");
        r->stamp = val_get_str(index, STR("stamp"), STR(""));
        r->begin = val_get_int(index, STR("begin"), 0);
        if (val_is(r->ends, VAL_ARRAY))
            return true;
        step_failf(f, RC_CORRUPT, "the journal holds no index of this file"); /* one that we did not write */
        return false;
    }
    struct str text = val_get_str(child_result(child), STR("text"), STR(""));
    if (!rows_parse(f, text, r->lines, a, ret))
        return false;
    for (size_t i = 0; i < text.n; i++)
        r->lines += text.p[i] == '\n';
    return true;
}
