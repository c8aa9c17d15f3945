/* file_ops: operations on files of the workspace. The step says what; the executor does it (executor/fileop.h), all or
 * nothing, in two phases, so that a crash in between is completed or undone.
 *
 * Options may stand on the step or below `options`. Which files are meant is brought into one form first
 * (step/file_choice.h). */
#include "flow/keys.h"
#include "flow/range.h"
#include "step/file_choice.h"
#include "step/stream.h"

#include <stdio.h>

#define OPERATIONS "copy|move|delete|list|validate|convert|wait|stream_copy|stream_process"

const struct step_key file_ops_keys[] = {
    {"operation", KEY_ENUM, .required = true, .choices = OPERATIONS, .doc = "What is done."},
    {"options", KEY_OBJECT, .choices = "options", .doc = "Any of the following keys; the same as on the step."},
    {"source", KEY_ANY,
     .doc = "copy, move: a path, a pattern (`*`, `?`, `**`, `[a-z]`, `{a,b}`), a directory, {pattern, exclude, "
            "older_than}, or a list of these. convert, stream_process: a path; `object_to_…`: a value, or its name."},
    {"destination", KEY_TEMPLATE,
     .doc = "Where it goes: a path; for several sources, or with a slash at its end, a directory."},
    {"path", KEY_TEMPLATE, .doc = "delete: what is deleted. list: the directory, by default the workspace."},
    {"files", KEY_ANY, .choices = "chosen_files",
     .doc = "delete: patterns, paths, {pattern, exclude, older_than}. validate: a list of {path or pattern, and what "
            "it must be}."},
    {"pattern", KEY_TEMPLATE,
     .doc = "list: only these; a pattern of names, or of paths if it has a slash, or a regular expression of names. "
            "stream_process with `replace`: the text that is replaced."},
    {"pattern_type", KEY_ENUM, .choices = "auto|glob|regex", .fallback = "auto",
     .doc = "list: what `pattern` is; `auto`: a regular expression if it has one of `\\ ^ $ ( ) | +` or begins with "
            "`.*`."},
    {"overwrite", KEY_BOOL, .fallback = "true",
     .doc = "Whether what is at the destination is replaced; else it is an error."},
    {"recursive", KEY_BOOL, .fallback = "true; list: false", .doc = "Directories with all that is below them."},
    {"preserve_structure", KEY_BOOL, .fallback = "true for directories, false for patterns",
     .doc = "copy, move: keep the directories below the source."},
    {"preserve_timestamps", KEY_BOOL, .fallback = "false", .doc = "copy: copies keep the time of the last change."},
    {"create_destination", KEY_BOOL, .fallback = "true",
     .doc = "Whether missing directories are made; else it is an error."},
    {"include_hidden", KEY_BOOL, .fallback = "false; whole directories: true",
     .doc = "Also names that begin with a dot."},
    {"dry_run", KEY_BOOL, .fallback = "false", .doc = "copy, move, delete: only say what would be done."},
    {"older_than", KEY_ANY, .doc = "copy, move, delete: only what was not changed for so long: `7 days`, `12h`."},
    {"exclude", KEY_ANY, .doc = "copy, move, delete: patterns of names or paths that are left out."},
    {"sort_by", KEY_ENUM, .choices = "path|name|size|modified", .fallback = "path",
     .doc = "list: the order; `size` and `modified` have the largest and the newest first."},
    {"order", KEY_ENUM, .choices = "asc|desc", .doc = "list: the direction."},
    {"limit", KEY_INT, KEY_FROM_TO(0, 50000), .doc = "list: only the first so many."},
    {"details", KEY_BOOL,
     .doc = "list: `files` has objects (path, name, size, type, modified) instead of paths. Default: true, but false "
            "when nothing more than `path` and a regular expression is given."},
    {"format", KEY_TEMPLATE,
     .doc = "convert: A_to_B with csv, json, jsonl, xml, yaml, or object_to_B. Default: by the names of the files."},
    {"csv_delimiter", KEY_TEMPLATE, .fallback = "`,`", .doc = "convert: one character."},
    {"csv_headers", KEY_ANY, .fallback = "true",
     .doc = "convert: whether the first row has the names of the columns; or the names, for a file without that row."},
    {"json_indent", KEY_INT, KEY_FROM_TO(0, 16), .fallback = "0",
     .doc = "convert: spaces a level in JSON and XML; 0 is one line."},
    {"processor", KEY_EACH, .choices = "identity|uppercase|lowercase|trim|replace", .fallback = "identity",
     .doc = "stream_process: identity, uppercase, lowercase, trim, replace, or {type: …, pattern, replacement}; or a "
            "step, {type: claude, prompt: …}, or {steps: […]}, done for each `chunk`."},
    {"chunk_size", KEY_SIZE, .fallback = "64KB", KEY_FROM_TO(16, 4 << 20),
     .doc = "stream_process with steps: how large a chunk is at most."},
    {"chunk_lines", KEY_INT, KEY_FROM_TO(1, 1000000), .doc = "The same: how many lines it has at most."},
    {"chunk_by", KEY_ENUM, .choices = "text|lines|characters", .fallback = "text",
     .doc = "Where chunks end. text: behind a line, but lines that are larger than a chunk are cut between characters; "
            "lines: such a line is an error; characters: anywhere between characters."},
    {"max_parallel", KEY_INT, KEY_FROM_TO(1, 1000), .fallback = "4",
     .doc = "stream_process with steps: how many chunks at a time."},
    {"replacement", KEY_TEMPLATE, .doc = "stream_process with `replace`: the new text."},
    {"duration_seconds", KEY_DURATION, .doc = "wait: how long; a step of type `sleep` does the same."},
    {"output_field", KEY_STRING, .doc = "The result also has its main part under this name."},
    {0}};

/* ---- checks before a run ---- */

enum op {
    COPY = 1,
    MOVE = 2,
    DELETE = 4,
    LIST = 8,
    VALIDATE = 16,
    CONVERT = 32,
    STREAM_COPY = 64,
    PROCESS = 128,
    WAIT = 256
};
enum { ALL = 255, TRANSFER = COPY | MOVE | STREAM_COPY };

static const struct {
    const char *name;
    unsigned needs, takes;
} uses[] = {
    {"source", TRANSFER | CONVERT | PROCESS, TRANSFER | CONVERT | PROCESS | DELETE},
    {"destination", TRANSFER | CONVERT, TRANSFER | CONVERT | PROCESS},
    {"path", 0, DELETE | LIST | VALIDATE},
    {"files", 0, DELETE | VALIDATE},
    {"pattern", 0, LIST | PROCESS | DELETE},
    {"pattern_type", 0, LIST},
    {"overwrite", 0, TRANSFER | CONVERT | PROCESS},
    {"recursive", 0, TRANSFER | DELETE | LIST},
    {"preserve_structure", 0, TRANSFER},
    {"preserve_timestamps", 0, TRANSFER},
    {"create_destination", 0, TRANSFER | CONVERT},
    {"include_hidden", 0, TRANSFER | DELETE | LIST},
    {"dry_run", 0, TRANSFER | DELETE},
    {"older_than", 0, TRANSFER | DELETE},
    {"exclude", 0, TRANSFER | DELETE},
    {"sort_by", 0, LIST},
    {"order", 0, LIST},
    {"limit", 0, LIST},
    {"details", 0, LIST},
    {"format", 0, CONVERT},
    {"csv_delimiter", 0, CONVERT},
    {"csv_headers", 0, CONVERT},
    {"json_indent", 0, CONVERT},
    {"processor", 0, PROCESS},
    {"chunk_size", 0, PROCESS},
    {"chunk_lines", 0, PROCESS},
    {"chunk_by", 0, PROCESS},
    {"max_parallel", 0, PROCESS},
    {"replacement", 0, PROCESS},
    {"duration_seconds", WAIT, WAIT},
    {"output_field", 0, ALL},
};

static unsigned op_bit(struct str name)
{
    static const char *const names[] = {"copy",    "move",        "delete",         "list", "validate",
                                        "convert", "stream_copy", "stream_process", "wait"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(name, names[i]))
            return 1u << i;
    return 0;
}

static bool is_template(const struct val *v)
{
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX;
}

static bool known_format(struct str s)
{
    static const char *const names[] = {"csv", "json", "jsonl", "xml", "yaml", "yml"};
    for (size_t i = 0; i < 6; i++)
        if (str_is(s, names[i]))
            return true;
    return false;
}

/* "csv_to_json" in two. */
static bool split_format(struct str s, struct str *from, struct str *to)
{
    size_t at = str_find(s, STR("_to_"));
    if (at == SIZE_MAX)
        return false;
    *from = str_n(s.p, at);
    *to = str_from(s, at + 4);
    return (known_format(*from) || str_is(*from, "object")) && known_format(*to);
}

static void check_options(const struct step_def *s, const struct val *options, unsigned op, struct problems *ps)
{
    for (size_t i = 0; val_is(options, VAL_OBJECT) && i < options->obj.n; i++)
        for (size_t k = 0; k < sizeof uses / sizeof *uses; k++)
            if (str_is(options->obj.m[i].key, uses[k].name) && !(uses[k].takes & op))
                problem_add(ps, true, options->obj.m[i].line, options->obj.m[i].col,
                            "option `%s` has no effect on %.*s", uses[k].name,
                            STR_ARG(val_get_str(s->source, STR("operation"), STR(""))));
}

static void check_format(const struct step_def *s, const struct val *options, struct problems *ps)
{
    const struct val *format = VAL_GET(s->source, "format");
    struct str from, to;
    if (!format)
        format = VAL_GET(options, "format");
    if (val_is(format, VAL_STR) && !is_template(format) && !split_format(format->s, &from, &to))
        problem_add(ps, false, format->line, format->col,
                    "unknown format `%.*s`; expected A_to_B with csv, json, jsonl, xml or yaml, or object_to_B",
                    (int)(format->s.n < 60 ? format->s.n : 60), format->s.p);
}

/* convert and stream_process make one file of one; a value that is made to a file may be a list. */
static void check_source(const struct step_def *s, const struct val *options, unsigned op, struct problems *ps)
{
    const struct val *source = VAL_GET(s->source, "source"), *format = VAL_GET(s->source, "format");
    source = source ? source : VAL_GET(options, "source");
    format = format ? format : VAL_GET(options, "format");
    bool value =
        op & CONVERT && val_is(format, VAL_STR) && (is_template(format) || str_starts(format->s, STR("object")));
    if (op & (CONVERT | PROCESS) && !value && source && source->type != VAL_STR)
        problem_add(ps, false, source->line, source->col,
                    "%s takes one file, and `source` is of type %s; expected a path, or a for_loop over the files of "
                    "`operation: list` with `source: \"{{ loop.item.path }}\"`",
                    op & CONVERT ? "convert" : "stream_process", val_type_name(source));
}

static void check(const struct step_def *s, struct problems *ps)
{
    const struct val *operation = VAL_GET(s->source, "operation"), *options = VAL_GET(s->source, "options");
    unsigned op = val_is(operation, VAL_STR) ? op_bit(operation->s) : 0;
    static const char *const what[] = {"a path, a pattern, or a list of them", "where it goes", "how long"};
    if (!op)
        return; /* reported, or known only in a run */
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        const struct member *m = val_member(s->source, str_c(uses[i].name));
        if (!m && uses[i].needs & op && !val_get(options, str_c(uses[i].name)))
            problem_add(ps, false, operation->line, operation->col, "%.*s needs `%s`; expected %s",
                        STR_ARG(operation->s), uses[i].name, what[i < 2 ? i : 2]);
        else if (m && !(uses[i].takes & op))
            problem_add(ps, true, m->line, m->col, "`%s` has no effect on %.*s", uses[i].name, STR_ARG(operation->s));
    }
    bool any = VAL_GET(s->source, "files") || VAL_GET(s->source, "path");
    if (op & DELETE && !any && !VAL_GET(s->source, "source") && !VAL_GET(s->source, "pattern"))
        problem_add(ps, false, operation->line, operation->col,
                    "delete needs `path` or `files`; expected what is to be deleted");
    if (op & VALIDATE && !any)
        problem_add(ps, false, operation->line, operation->col, "validate needs `files`, a list of {path, criteria}");
    check_options(s, options, op, ps);
    if (op & VALIDATE)
        file_criteria_check(VAL_GET(s->source, "files"), ps);
    if (op & DELETE)
        file_sources_check(VAL_GET(s->source, "files"), ps);
    if (op & (TRANSFER | DELETE))
        file_sources_check(VAL_GET(s->source, "source"), ps);
    if (op & PROCESS && !s->nbranches)
        key_check_object(ps, VAL_GET(s->source, "processor"), processor_keys, "`processor`");
    if (op & CONVERT)
        check_format(s, options, ps);
    check_source(s, options, op, ps);
}

/* ---- convert ---- */

static struct str extension(struct str path)
{
    for (size_t i = path.n; i-- && path.p[i] != '/';)
        if (path.p[i] == '.')
            return str_from(path, i + 1);
    return STR("");
}

/* The value that `object_to_…` writes: what a template made, or what a plain text names. */
static bool object_source(struct frame *f, const struct val *source, struct val_map *m)
{
    const struct val *written = VAL_GET(f->def->source, "source");
    struct val v;
    if (val_is(source, VAL_STR) && !is_template(written)) {
        struct str name = source->s;
        if (str_starts(name, STR("previous_response:")))
            name = arena_printf(&f->arena, "steps.%.*s", STR_ARG(str_from(name, 18)));
        else if (list_find(f->def->list, name))
            name = arena_printf(&f->arena, "steps.%.*s", STR_ARG(name));
        if (!frame_expr(f, name, &v))
            return false;
        VAL_MAP_SET(m, "value", v);
    } else {
        VAL_MAP_SET(m, "value", source ? *source : val_null);
    }
    return true;
}

static bool convert_request(struct frame *f, const struct val *c, struct val_map *m)
{
    const struct val *source = VAL_GET(c, "source"), *headers = VAL_GET(c, "csv_headers");
    struct str format, delimiter, from = {0}, to = {0};
    if (!frame_text(f, c, "format", STR(""), &format) || !frame_text(f, c, "csv_delimiter", STR(","), &delimiter))
        return false;
    if (!format.n && val_is(source, VAL_STR)) {
        from = extension(source->s), to = extension(val_get_str(c, STR("destination"), STR("")));
        if (str_is(from, "ndjson"))
            from = STR("jsonl");
        format = arena_printf(&f->arena, "%.*s_to_%.*s", STR_ARG(from), STR_ARG(to));
    }
    if (!split_format(format, &from, &to)) {
        step_failf(
            f, RC_INVALID,
            "`%.*s` is no conversion; expected a `format` A_to_B with csv, json, jsonl, xml or yaml, or object_to_B",
            (int)(format.n < 80 ? format.n : 80), format.p);
        return false;
    }
    if (str_is(from, "object")) {
        if (!object_source(f, source, m))
            return false;
    } else if (!val_is(source, VAL_STR)) {
        step_failf(f, RC_INVALID, "`source` is %s; expected the path of a file", val_type_name(source));
        return false;
    }
    VAL_MAP_SET(m, "format", val_str(format));
    VAL_MAP_SET(m, "from", val_str(from));
    VAL_MAP_SET(m, "to", val_str(to));
    VAL_MAP_SET(m, "csv_delimiter",
                val_str(str_is(delimiter, "\\t") || str_is(delimiter, "tab") ? STR("\t") : delimiter));
    if (val_is(headers, VAL_ARRAY)) {
        VAL_MAP_SET(m, "csv_columns", *headers);
        VAL_MAP_SET(m, "csv_headers", val_true);
    }
    return true;
}

/* ---- list ---- */

/* Older workflows write regular expressions where newer ones write patterns. */
static bool looks_regular(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (memchr("\\^$()|+", s.p[i], 7))
            return true;
    return str_starts(s, STR(".*"));
}

static bool list_request(struct frame *f, const struct val *c, struct val_map *m)
{
    static const char *const modern[] = {"recursive", "include_hidden", "sort_by", "order", "limit", "output_field"};
    struct str pattern, type;
    bool more = false;
    if (!frame_text(f, c, "pattern", STR(""), &pattern) || !frame_text(f, c, "pattern_type", STR("auto"), &type))
        return false;
    bool glob = str_is(type, "glob") || (str_is(type, "auto") && !looks_regular(pattern));
    for (size_t i = 0; i < sizeof modern / sizeof *modern; i++)
        more |= val_get(c, str_c(modern[i])) != NULL;
    VAL_MAP_SET(m, "glob", val_bool(glob));
    if (!VAL_GET(c, "details"))
        VAL_MAP_SET(m, "details", val_bool(more || (glob && pattern.n)));
    return true;
}

/* ---- the step ---- */

/* Keys below `options` and those on the step, which win. */
static struct val with_options(struct frame *f, const struct val *c)
{
    struct val_map m = val_map_new(&f->arena);
    const struct val *options = VAL_GET(c, "options");
    if (val_is(options, VAL_OBJECT))
        val_map_merge(&m, options);
    for (size_t i = 0; i < c->obj.n; i++)
        if (!str_is(c->obj.m[i].key, "options") && c->obj.m[i].val.type != VAL_NULL)
            val_map_set(&m, c->obj.m[i].key, c->obj.m[i].val);
    return val_map_done(&m);
}

static bool build(struct frame *f, const struct val *c, unsigned op, struct val *ret)
{
    struct val_map m = val_map_new(&f->arena);
    const struct val *files = VAL_GET(c, "files"), *path = VAL_GET(c, "path"), *pattern = VAL_GET(c, "pattern");
    struct val v;
    bool ok = true;
    val_map_merge(&m, c);
    if (op & (TRANSFER | DELETE)) {
        const struct val *from = op & DELETE && files ? files : op & DELETE && path ? path : VAL_GET(c, "source");
        if (op & DELETE && !from && pattern)
            from = pattern;
        ok = file_sources(f, c, from, &v);
        VAL_MAP_SET(&m, "sources", ok ? v : val_null);
    } else if (op & VALIDATE) {
        ok = file_criteria(f, files ? files : path, &v);
        VAL_MAP_SET(&m, "files", ok ? v : val_null);
    } else if (op & CONVERT) {
        ok = convert_request(f, c, &m);
    } else if (op & LIST) {
        ok = list_request(f, c, &m);
    }
    *ret = val_map_done(&m);
    return ok;
}

static const char *label_of(struct frame *f, const struct val *c, struct str operation)
{
    const char *const keys_[] = {"source", "path", "pattern", "files"};
    struct str what = {0};
    for (size_t i = 0; i < 4 && !what.n; i++)
        what = val_get_str(c, str_c(keys_[i]), STR(""));
    struct str to = val_get_str(c, STR("destination"), STR(""));
    struct str text =
        arena_printf(&f->arena, "%.*s %.*s%s%.*s", STR_ARG(operation), (int)(what.n < 60 ? what.n : 60),
                     what.p ? what.p : "", to.n ? " to " : "", (int)(to.n < 60 ? to.n : 60), to.p ? to.p : "");
    text.n = str_utf8_valid(text);
    return arena_cstr(&f->arena, text);
}

enum { FILES, PAUSE }; /* tags of the child */

/* Its end is fixed when it begins, so a resumed run waits only what is left. */
static void pause_enter(struct frame *f, const struct val *c)
{
    struct val wait = val_null;
    int64_t ms;
    if (!frame_past_wait(f, "wait:1")) {
        if (!frame_duration(f, c, "duration_seconds", 0, &ms))
            return;
        struct val_map m = val_map_new(&f->arena);
        VAL_MAP_SET(&m, "for", VAL_LIT("time"));
        VAL_MAP_SET(&m, "until_ms", val_int(frame_now(f) + ms));
        wait = val_map_done(&m);
    }
    frame_wait(f, "wait:1", PAUSE, &wait);
}

static void carry_out(struct frame *f, void *plan)
{
    frame_effect(f, "files:1", FILES, plan);
}

static void enter(struct frame *f)
{
    const struct val *c = frame_config(f, true);
    struct val *request = ARENA_NEW(&f->arena, struct val);
    struct str operation;
    if (!c || !frame_text(f, c, "operation", STR(""), &operation))
        return;
    struct val all = with_options(f, c);
    unsigned op = op_bit(operation);
    if (!op) {
        step_failf(f, RC_INVALID, "there is no operation `%.*s`; expected one of %s",
                   (int)(operation.n < 60 ? operation.n : 60), operation.p, OPERATIONS);
        return;
    }
    if (op == PROCESS && f->def->nbranches) {
        stream_enter(f, &all);
        return;
    }
    if (op == WAIT) {
        pause_enter(f, &all);
        return;
    }
    if (!build(f, &all, op, request))
        return;
    struct effect_plan *plan = ARENA_NEW(&f->arena, struct effect_plan);
    *plan = (struct effect_plan){.kind = EFFECT_FILES,
                                 .request = request,
                                 .on_interrupt = f->def->on_interrupt == ON_INTERRUPT_DEFAULT ? ON_INTERRUPT_RETRY
                                                                                              : f->def->on_interrupt,
                                 .two_phase = !(op & (LIST | VALIDATE)),
                                 .label = label_of(f, &all, operation)};
    if (plan->two_phase)
        frame_workspace(f, carry_out, plan);
    else
        carry_out(f, plan);
}

/* What `output_field` names: the main part of a result. */
static const struct val *main_part(const struct val *r)
{
    static const char *const parts[] = {"files", "results", "processed_path", "destination", "path"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (val_get(r, str_c(parts[i])))
            return val_get(r, str_c(parts[i]));
    return &val_null;
}

static struct str invalid_files(struct frame *f, const struct val *results)
{
    struct str text = {0};
    size_t n = 0;
    for (size_t i = 0; val_is(results, VAL_ARRAY) && i < results->arr.n; i++) {
        struct str problem = val_get_str(&results->arr.v[i], STR("problem"), STR(""));
        if (!problem.n)
            continue;
        if (n++ < 3)
            text = arena_printf(&f->arena, "%.*s%s%.*s %.*s", STR_ARG(text), n > 1 ? "; " : "",
                                STR_ARG(val_get_str(&results->arr.v[i], STR("path"), STR(""))), STR_ARG(problem));
    }
    return arena_printf(&f->arena, "%zu invalid: %.*s%s", n, STR_ARG(text), n > 3 ? "; …" : "");
}

static void child_done(struct frame *f, struct frame *child)
{
    if (f->type_state) {
        stream_child_done(f, child);
        return;
    }
    if (!child_ok(child)) {
        step_fail_as(f, child);
        return;
    }
    const struct val *r = child_result(child), *c = frame_config(f, true);
    if (!c)
        return;
    struct val_map waited = val_map_new(&f->arena);
    if (child->tag == PAUSE) {
        VAL_MAP_SET(&waited, "operation", VAL_LIT("wait"));
        VAL_MAP_SET(&waited, "status", VAL_LIT("completed"));
        struct val v = val_map_done(&waited);
        step_ok(f, &v);
        return;
    }
    struct str field = val_get_str(c, STR("output_field"), STR(""));
    struct val_map m = val_map_new(&f->arena);
    val_map_merge(&m, r);
    if (field.n)
        val_map_set(&m, field, *main_part(r));
    struct val result = val_map_done(&m);
    if (str_is(val_get_str(r, STR("status"), STR("")), "invalid"))
        step_fail(f, &(struct failure){.rc = RC_INVALID,
                                       .code = STR("validation"),
                                       .message = invalid_files(f, VAL_GET(r, "results")),
                                       .partial = &result});
    else
        step_ok(f, &result);
}

const struct step_type step_file_ops = {
    .name = "file_ops",
    .writes = true,
    .makes_files = true,
    .doc = "Copies, moves, deletes, lists, checks, converts and processes files of the workspace.",
    .keys = file_ops_keys,
    .result_doc =
        "operation|source|destination|path|pattern|format|processor|processed_path|method|status|results|files|"
        "count|bytes|chunks|error",
    .each = &stream_chunk,
    .check = check,
    .enter = enter,
    .child_done = child_done};
