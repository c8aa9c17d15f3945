/* What stream_process needs where its processor is made of steps: an index of the source, chunks of it, and the file
 * that is put together from what was made of them.
 *
 *   stream_index   where chunks end; changes nothing
 *   stream_read    one of them, as text
 *   stream_keep    what became of one: RUN/pieces/HASH/NUMBER, synced before it is reported
 *   stream_join    the pieces in order become the destination, as any file that is written here (fileop_txn.c)
 *
 * A chunk never ends inside a character, nor between CR and LF. The source is looked at again with each read: the stamp
 * that the index gave must be that of the file. Pieces lie in the run's own directory, so no step of it meets them and
 * no snapshot has them; they go when the file is there. */
#include "base/fd.h"
#include "base/sha256.h"
#include "executor/fileop_int.h"
#include "executor/files.h"
#include "executor/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE = 256 << 10, CHUNKS_MAX = 100000, PIECE_MAX = 64 << 20 };

static enum rc changed(struct fileop *op, struct str source, struct err *err)
{
    op->code = "source_changed";
    return err_set(err, RC_CONFLICT,
                   "%.*s was changed while it was being processed; resume the run, and the step begins anew",
                   STR_ARG(source));
}

/* Opens the source; with a stamp in the request it must be as it was. */
static enum rc open_source(struct fileop *op, int *ret, struct stat *st, struct err *err)
{
    struct str source = val_get_str(op->request, STR("source"), STR(""));
    const struct val *stamp = VAL_GET(op->request, "stamp");
    struct found from = {0};
    if (!source.n)
        return err_set(err, RC_INVALID, "`source` is no path; expected the path of one file");
    enum rc rc = fileop_find(op, source, true, &from, err);
    if (rc == RC_OK && !from.exists)
        rc = stamp ? changed(op, source, err) : fileop_no_file(op, source, "stream_process", err);
    if (rc == RC_OK && !S_ISREG(from.st.st_mode))
        rc = err_set(err, RC_INVALID, "%.*s is not a file", STR_ARG(source));
    if (rc == RC_OK && fileop_is_guarded(from.path))
        rc = err_set(err, RC_INVALID, "%.*s belongs to version control and is left alone", STR_ARG(source));
    if (rc == RC_OK)
        rc = beneath_open_file(op->root, from.path, O_RDONLY, ret, st, err);
    if (rc || !stamp)
        return rc;
    struct stamp now = stamp_of(st), then;
    if (stamp_read(stamp, &then) && stamp_eq(&now, &then))
        return RC_OK;
    close(*ret);
    return changed(op, source, err);
}

/* ---- the index ---- */

struct index {
    struct str source;
    int64_t size, lines; /* bounds of a chunk; lines 0: none */
    enum { BY_TEXT, BY_LINES, BY_CHARACTERS } by;
    int64_t start;       /* of the chunk at hand, */
    int64_t line_end;    /* behind its last whole line, 0: there is none; */
    int64_t character;   /* and where its last character begins */
    int64_t nlines;      /* of the chunk at hand */
    int64_t line_number; /* of the file, from 1 */
    char last;           /* byte */
    struct val_list ends;
    struct err *err;
};

static enum rc cut(struct index *x, int64_t at)
{
    if (x->ends.n == CHUNKS_MAX)
        return err_set(x->err, RC_LIMIT, "%.*s makes more than %d chunks; expected a larger `chunk_size`%s",
                       STR_ARG(x->source), CHUNKS_MAX, x->lines ? " or `chunk_lines`" : "");
    val_list_push(&x->ends, val_int(at));
    x->start = at;
    x->line_end = 0;
    x->nlines = 0;
    return RC_OK;
}

/* The byte at `p` does not go into the chunk any more. */
static enum rc cut_before(struct index *x, char c, int64_t p)
{
    bool begins = ((unsigned char)c & 0xC0) != 0x80;
    int64_t at = begins ? p : x->character;
    if (x->by != BY_CHARACTERS && x->line_end)
        return cut(x, x->line_end);
    if (x->by == BY_LINES)
        return err_set(x->err, RC_LIMIT,
                       "line %lld of %.*s is larger than a chunk (%lld bytes); expected a larger `chunk_size`, or "
                       "`chunk_by: text`, which cuts such lines",
                       (long long)x->line_number, STR_ARG(x->source), (long long)x->size);
    if (begins && c == '\n' && x->last == '\r' && p - 1 > x->start)
        at = p - 1;
    return cut(x, at);
}

static enum rc index_bytes(struct index *x, const char *s, size_t n, int64_t offset)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        int64_t p = offset + (int64_t)i;
        if (p + 1 - x->start > x->size)
            rc = cut_before(x, s[i], p);
        if (((unsigned char)s[i] & 0xC0) != 0x80)
            x->character = p;
        x->last = s[i];
        if (rc || s[i] != '\n')
            continue;
        x->line_number++;
        x->line_end = p + 1;
        if (x->lines && ++x->nlines == x->lines)
            rc = cut(x, p + 1);
    }
    return rc;
}

/* All of it must be text, before anything is asked about a part of it. */
static enum rc index_file(struct fileop *op, struct index *x, int fd, int64_t *begin, int64_t *ret_size,
                          struct err *err)
{
    char *buf = malloc(PIECE);
    size_t have = 0;
    int64_t offset = 0;
    enum rc rc = buf ? RC_OK : err_set(err, RC_IO, "out of memory");
    for (bool last = false; rc == RC_OK && !last;) {
        ssize_t n = fd_read(fd, buf + have, PIECE - have);
        if (n < 0) {
            rc = err_set(err, RC_IO, "reading: %s", strerror(errno));
            break;
        }
        last = n == 0;
        have += (size_t)n;
        size_t good = str_utf8_valid(str_n(buf, have));
        if (good < have && (last || have - good > 3)) {
            for (size_t i = 0; i < good; i++)
                x->line_number += buf[i] == '\n';
            op->code = "not_text";
            rc = err_set(err, RC_INVALID,
                         "%.*s is not UTF-8 (byte %lld, line %lld); expected text: convert it first, for instance "
                         "with a command that calls iconv",
                         STR_ARG(x->source), (long long)(offset + (int64_t)good), (long long)x->line_number);
            break;
        }
        if (offset == 0 && good >= 3 && memcmp(buf, "\xEF\xBB\xBF", 3) == 0)
            *begin = x->start = 3;
        size_t skip = offset == 0 ? (size_t)*begin : 0;
        rc = index_bytes(x, buf + skip, good - skip, offset + (int64_t)skip);
        offset += (int64_t)good;
        memmove(buf, buf + good, have - good);
        have -= good;
        if (rc == RC_OK)
            rc = fileop_over(op, err);
    }
    free(buf);
    *ret_size = offset;
    return rc == RC_OK && x->start < offset ? cut(x, offset) : rc;
}

static enum rc check_destination(struct fileop *op, struct str source, struct err *err)
{
    struct str destination = val_get_str(op->request, STR("destination"), source);
    struct found to = {0};
    enum rc rc = fileop_find(op, destination, true, &to, err);
    if (rc == RC_OK && to.exists && !S_ISREG(to.st.st_mode))
        rc = err_set(err, RC_INVALID, "%.*s is not a file", STR_ARG(destination));
    if (rc == RC_OK && fileop_is_guarded(to.path))
        rc = err_set(err, RC_INVALID, "%.*s belongs to version control and is left alone", STR_ARG(destination));
    if (rc == RC_OK && to.exists && !str_eq(destination, source) && !val_get_bool(op->request, STR("overwrite"), true))
        rc = err_set(err, RC_EXISTS, "%.*s exists already, and overwrite is false", STR_ARG(destination));
    return rc;
}

enum rc fileop_stream_index(struct fileop *op, struct val *ret, struct err *err)
{
    struct str by = val_get_str(op->request, STR("chunk_by"), STR("text"));
    struct index x = {.source = val_get_str(op->request, STR("source"), STR("")),
                      .size = val_get_int(op->request, STR("chunk_size"), 0),
                      .lines = val_get_int(op->request, STR("chunk_lines"), 0),
                      .by = str_is(by, "lines")        ? BY_LINES
                            : str_is(by, "characters") ? BY_CHARACTERS
                                                       : BY_TEXT,
                      .line_number = 1,
                      .ends = val_list_new(op->arena),
                      .err = err};
    int64_t begin = 0, size = 0;
    struct stat st = {0}, after;
    int fd = -1;
    if (x.size < 4)
        return err_set(err, RC_INVALID, "a chunk has at least 4 bytes");
    enum rc rc = open_source(op, &fd, &st, err);
    if (rc)
        return rc;
    rc = check_destination(op, x.source, err);
    if (rc == RC_OK)
        rc = index_file(op, &x, fd, &begin, &size, err);
    struct stamp then = stamp_of(&st), now = then;
    if (rc == RC_OK && fstat(fd, &after) == 0)
        now = stamp_of(&after);
    close(fd);
    if (rc == RC_OK && (!stamp_eq(&now, &then) || size != st.st_size))
        rc = changed(op, x.source, err);
    if (rc)
        return rc;
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "stamp", stamp_val(op->arena, &then));
    VAL_MAP_SET(&m, "bytes", val_int(size));
    VAL_MAP_SET(&m, "begin", val_int(begin));
    VAL_MAP_SET(&m, "ends", val_list_done(&x.ends));
    *ret = val_map_done(&m);
    return RC_OK;
}

/* ---- a chunk ---- */

enum rc fileop_stream_read(struct fileop *op, struct val *ret, struct err *err)
{
    int64_t from = val_get_int(op->request, STR("from"), -1), to = val_get_int(op->request, STR("to"), -1);
    struct stat st = {0};
    int fd = -1;
    if (from < 0 || to <= from || to - from > FILEOP_CHUNK_MAX)
        return err_set(err, RC_INVALID, "a chunk has 1 to %d bytes", FILEOP_CHUNK_MAX);
    enum rc rc = open_source(op, &fd, &st, err);
    if (rc)
        return rc;
    size_t have = 0, want = (size_t)(to - from);
    char *text = arena_alloc(op->arena, want);
    while (have < want) {
        ssize_t n = pread(fd, text + have, want - have, from + (int64_t)have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    close(fd);
    if (have < want || str_utf8_valid(str_n(text, want)) < want)
        return changed(op, val_get_str(op->request, STR("source"), STR("")), err);
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "text", val_str(str_n(text, want)));
    *ret = val_map_done(&m);
    return RC_OK;
}

/* ---- pieces ---- */

struct pieces_name {
    char z[24];
};
static struct pieces_name pieces_name(const struct fileop *op)
{
    struct pieces_name p;
    struct sha256 h = sha256_of(val_get_str(op->request, STR("stream"), STR("")));
    struct sha256_hex x = sha256_hex(&h);
    snprintf(p.z, sizeof p.z, "%.16s", x.z);
    return p;
}

static enum rc open_pieces(struct fileop *op, bool make, struct beneath *ret, struct err *err)
{
    if (!op->run_dir)
        return err_set(err, RC_INVALID, "there is nowhere to keep pieces");
    const char *dir = arena_printf(op->arena, "%s/" FILEOP_PIECES "/%s", op->run_dir, pieces_name(op).z).p;
    return beneath_init(ret, op->arena, dir, make, err);
}

enum rc fileop_stream_keep(struct fileop *op, struct val *ret, struct err *err)
{
    int64_t index = val_get_int(op->request, STR("index"), -1);
    struct str text = val_get_str(op->request, STR("text"), STR(""));
    struct beneath dir = {.fd = -1};
    struct place p;
    if (index < 0 || index >= CHUNKS_MAX)
        return err_set(err, RC_INVALID, "there is no such piece");
    if (text.n > PIECE_MAX)
        return err_set(err, RC_LIMIT, "what was made of the chunk is larger than %d MB", PIECE_MAX >> 20);
    enum rc rc = open_pieces(op, true, &dir, err);
    if (rc)
        return rc;
    rc = beneath_locate(&dir, op->arena, arena_printf(op->arena, "%lld", (long long)index), false, &p, err);
    if (rc == RC_OK) {
        rc = place_put(&p, op->arena, text, 0600, err);
        place_done(&p);
    }
    beneath_done(&dir);
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "bytes", val_int((int64_t)text.n));
    *ret = val_map_done(&m);
    return rc;
}

/* Takes what is read to a file (fd >= 0) or a hash. */
struct taker {
    int fd;
    struct sha256_stream *hash;
    int64_t bytes;
};

static enum rc take_piece(struct fileop *op, const struct beneath *dir, int64_t i, char *buf, struct taker *t,
                          struct err *err)
{
    struct stat st = {0};
    ssize_t n;
    int fd = -1;
    char name[24];
    snprintf(name, sizeof name, "%lld", (long long)i);
    enum rc rc = beneath_open_file(dir, str_c(name), O_RDONLY, &fd, &st, err);
    if (rc)
        return err_set(err, RC_IO,
                       "what was made of chunk %lld is not there any more (%s); run the step anew: treadle fork RUN "
                       "--from STEP",
                       (long long)i + 1, arena_cstr(op->arena, dir->path));
    while (rc == RC_OK && (n = fd_read(fd, buf, PIECE)) != 0) {
        if (n < 0) {
            rc = err_set(err, RC_IO, "reading: %s", strerror(errno));
            break;
        }
        t->bytes += n;
        if (t->hash)
            sha256_add(t->hash, str_n(buf, (size_t)n));
        if (t->bytes > FILEOP_BYTES_MAX)
            rc = err_set(err, RC_LIMIT, "the result is larger than %lld GB", (long long)(FILEOP_BYTES_MAX >> 30));
        else if (t->fd >= 0 && !fd_write_all(t->fd, str_n(buf, (size_t)n)))
            rc = err_set(err, rc_of_errno(errno), "writing: %s", strerror(errno));
    }
    close(fd);
    return rc ? rc : fileop_over(op, err);
}

static enum rc take_pieces(struct fileop *op, struct taker *t, struct err *err)
{
    int64_t n = val_get_int(op->request, STR("chunks"), 0);
    struct beneath dir = {.fd = -1};
    enum rc rc = n ? open_pieces(op, true, &dir, err) : RC_OK;
    if (rc || !n)
        return rc;
    char *buf = malloc(PIECE);
    if (!buf)
        rc = err_set(err, RC_IO, "out of memory");
    for (int64_t i = 0; i < n && rc == RC_OK; i++)
        rc = take_piece(op, &dir, i, buf, t, err);
    free(buf);
    beneath_done(&dir);
    return rc;
}

static enum rc write_joined(struct fileop *op, int from, int to, struct err *err)
{
    (void)from; /* it is only looked at: whether it is still the same */
    return take_pieces(op, &(struct taker){.fd = to}, err);
}

static enum rc hash_joined(struct fileop *op, struct str *ret, int64_t *bytes, struct err *err)
{
    struct taker t = {.fd = -1, .hash = sha256_new()};
    enum rc rc = take_pieces(op, &t, err);
    struct sha256 h = sha256_end(t.hash);
    struct sha256_hex hex = sha256_hex(&h);
    *ret = arena_str(op->arena, str_c(hex.z));
    *bytes = t.bytes;
    return rc;
}

static void drop_pieces(struct fileop *op)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/" FILEOP_PIECES, op->run_dir);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    overlay_remove(fd, pieces_name(op).z);
    close(fd);
}

static enum rc plan_join(struct fileop *op, struct val *ret, struct err *err)
{
    struct found from = {0}, to = {0};
    struct plan p = {0};
    struct stamp then;
    int64_t bytes = 0;
    enum rc rc = fileop_process_places(op, &from, &to, err);
    if (rc == RC_OK) {
        p.item = ARENA_NEW(op->arena, struct item);
        *p.item = (struct item){.kind = ITEM_WRITE, .from = from.path, .to = to.path, .stamp = stamp_of(&from.st)};
        p.n = 1;
        if (!stamp_read(VAL_GET(op->request, "stamp"), &then) || !stamp_eq(&p.item->stamp, &then))
            rc = changed(op, val_get_str(op->request, STR("source"), STR("")), err);
    }
    if (rc == RC_OK)
        rc = hash_joined(op, &p.after, &bytes, err);
    if (rc == RC_OK)
        rc = fileop_missing_dirs(op, to.path, &p, err);
    if (rc)
        return rc;
    if (to.exists)
        p.item->before = stamp_of(&to.st);
    p.id = plan_id(op->arena);
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "operation", VAL_LIT("stream_process"));
    VAL_MAP_SET(&m, "source", val_str(fileop_absolute(op, from.path)));
    VAL_MAP_SET(&m, "processed_path", val_str(fileop_absolute(op, to.path)));
    VAL_MAP_SET(&m, "processor", val_str(val_get_str(op->request, STR("processor"), STR("steps"))));
    VAL_MAP_SET(&m, "status", VAL_LIT("completed"));
    VAL_MAP_SET(&m, "method", VAL_LIT("streaming"));
    VAL_MAP_SET(&m, "chunks", val_int(val_get_int(op->request, STR("chunks"), 0)));
    VAL_MAP_SET(&m, "bytes", val_int(bytes));
    p.result = val_map_done(&m);
    *ret = fileop_planned(op, &p);
    return RC_OK;
}

enum rc fileop_stream_join(struct fileop *op, struct val *ret, struct err *err)
{
    if (op->phase == TOOL_PREPARE)
        return plan_join(op, ret, err);
    enum rc rc = fileop_carry_out(op, write_joined, ret, err);
    bool done = op->phase == TOOL_APPLY || str_is(val_get_str(ret, STR("outcome"), STR("")), "done");
    if (rc == RC_OK && done && op->run_dir)
        drop_pieces(op);
    return rc;
}
