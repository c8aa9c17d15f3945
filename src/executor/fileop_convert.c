/* convert: one file of data in another format. The result is known before anything is written, so this is a Write with
 * a computed content: hashes of the file before and after tell what a crash left.
 *
 * The source may also be a value of the run (`value`), which has no file. Conversion needs the whole of the data, so
 * sources are bounded. */
#include "data/convert.h"
#include "executor/fileop_int.h"
#include "executor/files.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { NEW_MODE = 0644 };

static enum rc read_options(struct fileop *op, struct convert_options *o, enum convert_format *from,
                            enum convert_format *to, struct err *err)
{
    const struct val *req = op->request;
    struct str delimiter = val_get_str(req, STR("csv_delimiter"), STR(","));
    *o = (struct convert_options){.delimiter = delimiter.n ? delimiter.p[0] : ',',
                                  .no_headers = !val_get_bool(req, STR("csv_headers"), true),
                                  .columns = VAL_GET(req, "csv_columns"),
                                  .indent = (unsigned)val_get_int(req, STR("json_indent"), 0)};
    *from = convert_format_named(val_get_str(req, STR("from"), STR("")));
    *to = convert_format_named(val_get_str(req, STR("to"), STR("")));
    if (delimiter.n != 1 || (unsigned char)delimiter.p[0] >= 0x80 || memchr("\"\r\n", delimiter.p[0], 3))
        return err_set(err, RC_INVALID, "csv_delimiter must be one character, such as , or ; or a tab");
    if (!val_is(o->columns, VAL_ARRAY))
        o->columns = NULL;
    if (*to == CONVERT_COUNT || (*from == CONVERT_COUNT && !VAL_GET(req, "value")))
        return err_set(err, RC_INVALID, "a format is missing");
    return RC_OK;
}

static enum rc read_source(struct fileop *op, struct str *path, struct str *text, struct err *err)
{
    struct str source = val_get_str(op->request, STR("source"), STR(""));
    struct found at;
    struct stat st;
    int fd;
    enum rc rc = fileop_find(op, source, true, &at, err);
    if (rc == RC_OK && !at.exists)
        rc = fileop_no_file(op, source, "convert", err);
    if (rc == RC_OK && fileop_is_guarded(at.path))
        rc = err_set(err, RC_INVALID, "%.*s belongs to version control and is left alone", STR_ARG(source));
    if (rc == RC_OK)
        rc = beneath_open_file(op->root, at.path, O_RDONLY, &fd, &st, err);
    if (rc)
        return rc;
    *path = at.path;
    rc = file_slurp(fd, FILEOP_CONVERT_MAX, op->arena, text, err);
    close(fd);
    return rc ? err_wrap(err, "%.*s", STR_ARG(source)) : RC_OK;
}

/* The new content, in `out`. */
static enum rc compute(struct fileop *op, struct str *source, struct buf *out, struct err *err)
{
    struct convert_options o;
    enum convert_format from, to;
    const struct val *value = VAL_GET(op->request, "value");
    struct val read;
    struct str text;
    enum rc rc = read_options(op, &o, &from, &to, err);
    if (rc == RC_OK && !value) {
        rc = read_source(op, source, &text, err);
        if (rc == RC_OK && (rc = convert_read(from, text, &o, op->arena, &read, err)) != RC_OK) {
            op->code = "bad_data";
            err_wrap(err, "%.*s is no %s that can be read", STR_ARG(*source), convert_format_name(from));
        }
        value = &read;
    }
    if (rc == RC_OK && (rc = convert_write(to, value, &o, out, err)) != RC_OK) {
        op->code = "bad_data";
        err_wrap(err, "%s cannot hold this data", convert_format_name(to));
    }
    return rc;
}

static enum rc hash_place(struct fileop *op, const struct place *p, struct val *ret, struct err *err)
{
    struct sha256_hex hex;
    *ret = val_null;
    if (!p->exists)
        return RC_OK;
    int fd = openat(p->dir, p->name.p, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return beneath_error(err, errno, p->path);
    enum rc rc = file_hash(op, fd, &hex, err);
    close(fd);
    if (rc == RC_OK)
        *ret = val_str(arena_str(op->arena, str_c(hex.z)));
    return rc;
}

static struct val result_of(struct fileop *op, struct str source, struct str destination)
{
    const struct val *given = VAL_GET(op->request, "source");
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "operation", VAL_LIT("convert"));
    VAL_MAP_SET(&m, "source", source.n ? val_str(fileop_absolute(op, source)) : given ? *given : val_null);
    VAL_MAP_SET(&m, "destination", val_str(fileop_absolute(op, destination)));
    VAL_MAP_SET(&m, "format", val_str(val_get_str(op->request, STR("format"), STR(""))));
    VAL_MAP_SET(&m, "status", VAL_LIT("completed"));
    return val_map_done(&m);
}

static enum rc prepare(struct fileop *op, struct str source, struct str content, struct val *ret, struct err *err)
{
    struct str rel, text = val_get_str(op->request, STR("destination"), STR(""));
    struct place place = {.dir = -1};
    struct val before = val_null;
    enum rc rc = beneath_relative(op->root, op->arena, STR("."), text, &rel, err);
    if (rc == RC_OK)
        rc = beneath_locate(op->root, op->arena, rel, false, &place, err);
    if (rc == RC_INVALID)
        op->code = "outside";
    if (rc)
        return rc;
    if (fileop_is_guarded(place.path))
        rc = err_set(err, RC_INVALID, "%.*s belongs to version control and is left alone", STR_ARG(text));
    else if (place.exists && !val_get_bool(op->request, STR("overwrite"), true))
        rc = err_set(err, RC_EXISTS, "%.*s exists already, and overwrite is false", STR_ARG(text));
    else if (place.dir < 0 && !val_get_bool(op->request, STR("create_destination"), true))
        rc = err_set(err, RC_NOT_FOUND, "the directory of %.*s does not exist, and create_destination is false",
                     STR_ARG(text));
    else
        rc = hash_place(op, &place, &before, err);
    if (rc == RC_OK) {
        struct sha256 hash = sha256_of(content);
        struct sha256_hex hex = sha256_hex(&hash);
        struct val_map plan = val_map_new(op->arena), m = val_map_new(op->arena);
        VAL_MAP_SET(&plan, "path", val_str(place.path));
        VAL_MAP_SET(&plan, "before", before);
        VAL_MAP_SET(&plan, "after", val_str(arena_str(op->arena, str_c(hex.z))));
        VAL_MAP_SET(&plan, "mode", val_int(place.exists ? place.st.st_mode & 0777 : NEW_MODE));
        VAL_MAP_SET(&plan, "result", result_of(op, source, place.path));
        VAL_MAP_SET(&m, "plan", val_map_done(&plan));
        *ret = val_map_done(&m);
    }
    place_done(&place);
    return rc;
}

struct goal {
    struct str path;
    const struct val *before, *after, *result;
    int64_t mode;
};

static enum rc goal_of(struct fileop *op, struct goal *g, struct err *err)
{
    *g = (struct goal){val_get_str(op->plan, STR("path"), STR("")), VAL_GET(op->plan, "before"),
                       VAL_GET(op->plan, "after"), VAL_GET(op->plan, "result"),
                       val_get_int(op->plan, STR("mode"), NEW_MODE)};
    if (g->path.n && g->before && val_is(g->after, VAL_STR) && g->result)
        return RC_OK;
    return err_set(err, RC_CORRUPT, "the plan of this operation is damaged");
}

static enum rc apply(struct fileop *op, struct str content, struct val *ret, struct err *err)
{
    struct goal g;
    struct place place = {.dir = -1};
    struct val now;
    struct sha256 hash = sha256_of(content), was;
    struct sha256_hex hex = sha256_hex(&hash);
    enum rc rc = goal_of(op, &g, err);
    if (rc == RC_OK && !str_is(g.after->s, hex.z))
        rc = err_set(err, RC_EXISTS, "the source was changed by somebody else meanwhile");
    if (rc == RC_OK)
        rc = beneath_locate(op->root, op->arena, g.path, true, &place, err);
    if (rc)
        return rc;
    if (place.exists)
        rc = hash_place(op, &place, &now, err);
    if (rc == RC_OK && (!str_eq(place.path, g.path) || place.exists != val_is(g.before, VAL_STR) ||
                        (place.exists && !val_eq(&now, g.before))))
        rc = err_set(err, RC_EXISTS, "%.*s was changed by somebody else meanwhile", STR_ARG(g.path));
    if (rc == RC_OK && place.exists && !sha256_read(g.before->s, &was))
        rc = err_set(err, RC_CORRUPT, "the plan of this operation is damaged");
    if (rc == RC_OK)
        rc = place_replace(&place, op->arena, content, (mode_t)g.mode & 0777, place.exists ? &was : NULL, err);
    place_done(&place);
    *ret = *g.result;
    return rc;
}

static enum rc settle(struct fileop *op, struct val *ret, struct err *err)
{
    struct goal g;
    struct place place = {.dir = -1};
    struct val now = val_null;
    struct str outcome = STR("changed");
    enum rc rc = goal_of(op, &g, err);
    if (rc)
        return rc;
    if (beneath_locate(op->root, op->arena, g.path, false, &place, err) == RC_OK && str_eq(place.path, g.path)) {
        rc = hash_place(op, &place, &now, err);
        outcome = val_eq(&now, g.after) ? STR("done") : val_eq(&now, g.before) ? STR("again") : outcome;
        place_sweep(&place, op->arena, g.after->s);
    }
    place_done(&place);
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "outcome", val_str(outcome));
    VAL_MAP_SET(&m, "path", val_str(g.path));
    VAL_MAP_SET(&m, "result", *g.result);
    *ret = val_map_done(&m);
    return rc;
}

enum rc fileop_convert(struct fileop *op, struct val *ret, struct err *err)
{
    struct str source = {0};
    struct buf out;
    if (op->phase == TOOL_SETTLE)
        return settle(op, ret, err);
    buf_init(&out, (size_t)4 * FILEOP_CONVERT_MAX);
    enum rc rc = compute(op, &source, &out, err);
    if (rc == RC_OK && op->phase == TOOL_PREPARE)
        rc = prepare(op, source, buf_str(&out), ret, err);
    else if (rc == RC_OK)
        rc = apply(op, buf_str(&out), ret, err);
    buf_done(&out);
    return rc;
}
