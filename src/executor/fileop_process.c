/* stream_process: a file rewritten by a simple processor, in place or to another path, in pieces of bounded memory.
 *
 * A piece may end in the middle of a character or of a text to be replaced; what might be the beginning of either is
 * kept for the next piece. `trim` drops white space at both ends of the whole: runs of it are remembered by their place
 * in the source and copied only when something else follows. To know after a crash whether the new file is there, its
 * hash is computed first; so the source is read twice. */
#include "base/fd.h"
#include "base/sha256.h"
#include "data/letters.h"
#include "executor/fileop_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE = 256 << 10, PATTERN_MAX = 64 << 10, REPLACEMENT_MAX = 1 << 20 };

enum processor { IDENTITY, UPPERCASE, LOWERCASE, TRIM, REPLACE, PROCESSORS };
static const char *const names[PROCESSORS] = {"identity", "uppercase", "lowercase", "trim", "replace"};

struct sink {
    int fd; /* -1: only the hash counts */
    struct sha256_stream *hash;
    int64_t written;
    struct err *err;
};

static enum rc sink_add(struct sink *s, struct str text)
{
    if (s->hash)
        sha256_add(s->hash, text);
    s->written += (int64_t)text.n;
    if (s->written > FILEOP_BYTES_MAX)
        return err_set(s->err, RC_LIMIT, "the result is larger than %lld GB", (long long)(FILEOP_BYTES_MAX >> 30));
    if (s->fd >= 0 && !fd_write_all(s->fd, text))
        return err_set(s->err, rc_of_errno(errno), "writing: %s", strerror(errno));
    return RC_OK;
}

struct job {
    struct fileop *op;
    enum processor kind;
    struct str pattern, replacement;
    int from;
    char *buf;           /* 2 * PIECE + PATTERN_MAX */
    int64_t offset;      /* of what is in `buf` */
    int64_t spaces_from; /* TRIM: where a run of white space began, -1: none */
    bool begun;          /* TRIM: something else was met */
    struct sink sink;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Copies a part of the source again, from its place. */
static enum rc copy_range(struct job *j, int64_t from, int64_t to)
{
    char piece[4096];
    while (from < to) {
        ssize_t n = pread(j->from, piece, to - from < (int64_t)sizeof piece ? (size_t)(to - from) : sizeof piece, from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(j->sink.err, RC_IO, "reading: %s", n ? strerror(errno) : "the file became shorter");
        enum rc rc = sink_add(&j->sink, str_n(piece, (size_t)n));
        if (rc)
            return rc;
        from += n;
    }
    return RC_OK;
}

static enum rc trim_piece(struct job *j, struct str s)
{
    size_t last = s.n, first = 0;
    while (last && is_space(s.p[last - 1]))
        last--;
    if (!last) {
        if (j->begun && j->spaces_from < 0)
            j->spaces_from = j->offset;
        return RC_OK;
    }
    while (!j->begun && is_space(s.p[first]))
        first++;
    enum rc rc = RC_OK;
    if (j->spaces_from >= 0)
        rc = copy_range(j, j->spaces_from, j->offset);
    j->begun = true;
    j->spaces_from = last < s.n ? j->offset + (int64_t)last : -1;
    return rc ? rc : sink_add(&j->sink, str_n(s.p + first, last - first));
}

/* Bytes at the end of `s` that belong to a character which is not complete. */
static size_t partial_character(struct str s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char c = (unsigned char)s.p[s.n - back];
        if (c < 0x80)
            return 0;
        if (c >= 0xC0)
            return (c >= 0xF0 ? 4u : c >= 0xE0 ? 3u : 2u) > back ? back : 0;
    }
    return 0;
}

/* Handles what is in the buffer; *keep: bytes at its end that must wait for the next piece. */
static enum rc process_piece(struct job *j, struct str s, bool last, size_t *keep)
{
    enum rc rc = RC_OK;
    size_t at;
    *keep = 0;
    switch (j->kind) {
    case TRIM:
        return trim_piece(j, s);
    case UPPERCASE:
    case LOWERCASE:
        *keep = last ? 0 : partial_character(s);
        s.n -= *keep;
        letters_change(s, j->kind == UPPERCASE, j->buf);
        return sink_add(&j->sink, s);
    case REPLACE:
        while (rc == RC_OK && (at = str_find(s, j->pattern)) != SIZE_MAX) {
            rc = sink_add(&j->sink, str_n(s.p, at));
            if (rc == RC_OK)
                rc = sink_add(&j->sink, j->replacement);
            s = str_from(s, at + j->pattern.n);
        }
        *keep = last ? 0 : s.n < j->pattern.n - 1 ? s.n : j->pattern.n - 1;
        return rc ? rc : sink_add(&j->sink, str_n(s.p, s.n - *keep));
    default:
        return sink_add(&j->sink, s);
    }
}

static enum rc process(struct job *j, struct err *err)
{
    size_t have = 0;
    enum rc rc = RC_OK;
    j->sink.err = err;
    j->spaces_from = -1;
    j->buf = malloc((size_t)2 * PIECE + PATTERN_MAX);
    if (!j->buf)
        return err_set(err, RC_IO, "out of memory");
    for (bool last = false; rc == RC_OK && !last;) {
        ssize_t n = fd_read(j->from, j->buf + have, PIECE);
        if (n < 0) {
            rc = err_set(err, RC_IO, "reading: %s", strerror(errno));
            break;
        }
        last = n == 0;
        have += (size_t)n;
        size_t keep;
        rc = process_piece(j, str_n(j->buf, have), last, &keep);
        j->offset += (int64_t)(have - keep);
        memmove(j->buf, j->buf + have - keep, keep);
        have = keep;
        if (rc == RC_OK)
            rc = fileop_over(j->op, err);
    }
    free(j->buf);
    return rc;
}

static enum rc read_job(struct fileop *op, struct job *j, struct err *err)
{
    const struct val *p = VAL_GET(op->request, "processor");
    struct str name = val_get_str(op->request, STR("processor"), val_get_str(p, STR("type"), STR("identity")));
    int i = 0;
    while (i < PROCESSORS && !str_is(name, names[i]))
        i++;
    const struct val *options = val_is(p, VAL_OBJECT) ? p : op->request;
    *j = (struct job){.op = op,
                      .kind = (enum processor)i,
                      .pattern = val_get_str(options, STR("pattern"), STR("")),
                      .replacement = val_get_str(options, STR("replacement"), STR(""))};
    if (i == PROCESSORS)
        return err_set(err, RC_INVALID,
                       "there is no processor %.*s; expected identity, uppercase, lowercase, trim or replace",
                       (int)(name.n < 60 ? name.n : 60), name.p);
    if (j->kind == REPLACE && (!j->pattern.n || j->pattern.n > PATTERN_MAX || j->replacement.n > REPLACEMENT_MAX))
        return err_set(err, RC_INVALID, "replace needs a pattern of at most %d bytes and a replacement of at most %d",
                       PATTERN_MAX, REPLACEMENT_MAX);
    return RC_OK;
}

static enum rc write_processed(struct fileop *op, int from, int to, struct err *err)
{
    struct job j;
    enum rc rc = read_job(op, &j, err);
    if (rc)
        return rc;
    j.from = from, j.sink.fd = to;
    return process(&j, err);
}

static enum rc hash_processed(struct job *j, const struct found *from, struct str *ret, struct err *err)
{
    struct stat st;
    enum rc rc = beneath_open_file(j->op->root, from->path, O_RDONLY, &j->from, &st, err);
    if (rc)
        return rc;
    j->sink = (struct sink){.fd = -1, .hash = sha256_new()};
    rc = process(j, err);
    close(j->from);
    struct sha256 h = sha256_end(j->sink.hash);
    struct sha256_hex hex = sha256_hex(&h);
    *ret = arena_str(j->op->arena, str_c(hex.z));
    return rc;
}

enum rc fileop_process_places(struct fileop *op, struct found *from, struct found *to, struct err *err)
{
    struct str source = val_get_str(op->request, STR("source"), STR(""));
    struct str destination = val_get_str(op->request, STR("destination"), source);
    enum rc rc = fileop_find(op, source, true, from, err);
    if (rc == RC_OK && !from->exists)
        rc = fileop_no_file(op, source, "stream_process", err);
    if (rc == RC_OK && !S_ISREG(from->st.st_mode))
        rc = err_set(err, RC_INVALID, "%.*s is not a file", STR_ARG(source));
    if (rc == RC_OK)
        rc = fileop_find(op, destination, true, to, err);
    if (rc == RC_OK && to->exists && !S_ISREG(to->st.st_mode))
        rc = err_set(err, RC_INVALID, "%.*s is not a file", STR_ARG(destination));
    if (rc == RC_OK && (fileop_is_guarded(from->path) || fileop_is_guarded(to->path)))
        rc = err_set(err, RC_INVALID, "%.*s belongs to version control and is left alone", STR_ARG(source));
    if (rc == RC_OK && to->exists && !str_eq(from->path, to->path) &&
        !val_get_bool(op->request, STR("overwrite"), true))
        rc = err_set(err, RC_EXISTS, "%.*s exists already, and overwrite is false", STR_ARG(destination));
    return rc;
}

enum rc fileop_missing_dirs(struct fileop *op, struct str path, struct plan *p, struct err *err)
{
    enum { DEEP = 128 };
    struct str dir, name, found[DEEP];
    struct stat st;
    bool there = false;
    size_t n = 0;
    path_split(path, &dir, &name);
    while (!str_is(dir, ".") && n < DEEP) {
        enum rc rc = fileop_stat(op, dir, &there, &st, err);
        if (rc)
            return rc;
        if (there)
            break;
        found[n++] = dir;
        path_split(dir, &dir, &name);
    }
    p->dirs = arena_calloc(op->arena, n + 1, sizeof *p->dirs);
    while (n)
        p->dirs[p->ndirs++] = found[--n];
    return RC_OK;
}

enum rc fileop_process(struct fileop *op, struct val *ret, struct err *err)
{
    struct job j;
    struct found from, to;
    struct plan p = {0};
    if (op->phase != TOOL_PREPARE)
        return fileop_carry_out(op, write_processed, ret, err);
    enum rc rc = read_job(op, &j, err);
    if (rc == RC_OK)
        rc = fileop_process_places(op, &from, &to, err);
    if (rc == RC_OK)
        rc = hash_processed(&j, &from, &p.after, err);
    if (rc == RC_OK)
        rc = fileop_missing_dirs(op, to.path, &p, err);
    if (rc)
        return rc;
    struct item it = {.kind = ITEM_WRITE, .from = from.path, .to = to.path, .stamp = stamp_of(&from.st)};
    if (to.exists)
        it.before = stamp_of(&to.st);
    p.id = plan_id(op->arena);
    p.item = &it, p.n = 1;
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "operation", VAL_LIT("stream_process"));
    VAL_MAP_SET(&m, "source", val_str(fileop_absolute(op, from.path)));
    VAL_MAP_SET(&m, "processed_path", val_str(fileop_absolute(op, to.path)));
    VAL_MAP_SET(&m, "processor", val_str(str_c(names[j.kind])));
    VAL_MAP_SET(&m, "status", VAL_LIT("completed"));
    VAL_MAP_SET(&m, "method", VAL_LIT("streaming"));
    p.result = val_map_done(&m);
    *ret = fileop_planned(op, &p);
    return RC_OK;
}
