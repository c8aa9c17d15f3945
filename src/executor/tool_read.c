/* Read: lines of a text file with their numbers, a window at a time.
 *
 * The file is streamed, so the window may be anywhere in a large file; what is kept is bounded by lines, by bytes and
 * by the length of a line. The text ends with a note whenever something was left out, with the offset to go on from,
 * because a model that is not told takes the part for the whole. */
#include "executor/tools.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/keyprint.h"
#include "executor/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    DEFAULT_LINES = 2000,
    MAX_LINES = 100000,
    MAX_LINE = 2000,
    MAX_TEXT = 256 << 10,
    MAX_SCAN = 256 << 20,
    PIECE = 64 << 10
};

struct reader {
    struct keyprint_stream keys; /* in front of it: lines may be cut */
    struct buf out;
    char line[MAX_LINE];
    size_t nline;
    bool long_line, in_line;
    int64_t number, first, last; /* of the current line; the window */
    int64_t shown;               /* last line put out */
    size_t scanned;
    bool full; /* MAX_TEXT is reached */
};

static void line_end(struct reader *r)
{
    if (r->number >= r->first && r->number <= r->last && !r->full) {
        struct arena scratch = {0};
        struct str text = {r->line, r->nline};
        if (text.n && text.p[text.n - 1] == '\r')
            text.n--;
        text = text_clean(&scratch, r->long_line ? text_whole(text) : text);
        if (r->out.n + text.n + 64 > MAX_TEXT) {
            r->full = true;
        } else {
            buf_printf(&r->out, "%lld\t", (long long)r->number);
            buf_add(&r->out, text);
            buf_addz(&r->out, r->long_line ? " [... the rest of this line is left out]\n" : "\n");
            r->shown = r->number;
        }
        arena_done(&scratch);
    }
    r->number++;
    r->nline = 0;
    r->long_line = r->in_line = false;
}

static void feed(struct reader *r, const char *p, size_t n)
{
    bool window = r->number >= r->first && r->number <= r->last && !r->full;
    while (n) {
        const char *end = memchr(p, '\n', n);
        size_t part = end ? (size_t)(end - p) : n;
        if (part)
            r->in_line = true;
        if (window && part) {
            size_t room = MAX_LINE - r->nline, take = part < room ? part : room;
            memcpy(r->line + r->nline, p, take);
            r->nline += take;
            r->long_line |= take < part;
        }
        p += part, n -= part;
        if (end) {
            line_end(r);
            p++, n--;
            window = r->number >= r->first && r->number <= r->last && !r->full;
        }
    }
}

static void feed_piece(void *ctx, const char *p, size_t n)
{
    feed(ctx, p, n);
}

static bool scan(struct tool_call *c, struct reader *r, int fd, struct err *err)
{
    char piece[PIECE];
    for (;;) {
        ssize_t n = fd_read(fd, piece, sizeof piece);
        if (n < 0) {
            err_set(err, RC_IO, "The file cannot be read: %s.", strerror(errno));
            return false;
        }
        if (n == 0)
            break;
        if (r->scanned < 8192 && memchr(piece, 0, (size_t)n)) {
            err_set(err, RC_INVALID, "This is a binary file; Read shows text only.");
            return false;
        }
        r->scanned += (size_t)n;
        keyprint_stream_add(&r->keys, piece, (size_t)n, feed_piece, r);
        if (tool_over(c) || r->scanned > MAX_SCAN) {
            err_set(err, RC_LIMIT, "The file is too large to be read this way; use Bash or Grep for a part of it.");
            return false;
        }
    }
    keyprint_stream_end(&r->keys, feed_piece, r);
    if (r->in_line) /* a last line without newline */
        line_end(r);
    return true;
}

static struct val present(struct tool_call *c, struct reader *r, const struct stat *st)
{
    int64_t total = r->number - 1;
    if (total == 0)
        return tool_text(c, STR("(The file exists but is empty.)"));
    if (r->first > total)
        return tool_result(c, true, "The file has only %lld lines; offset %lld is past its end.", (long long)total,
                           (long long)r->first);
    if (r->shown < total || r->first > 1)
        buf_printf(&r->out, "\n(Lines %lld to %lld of %lld, %lld bytes in all.", (long long)r->first,
                   (long long)r->shown, (long long)total, (long long)st->st_size);
    if (r->shown < total)
        buf_printf(&r->out, " Use offset %lld to go on.", (long long)r->shown + 1);
    if (r->shown < total || r->first > 1)
        buf_addz(&r->out, ")\n");
    return tool_text(c, arena_str(c->arena, buf_str(&r->out)));
}

struct val tool_read(struct tool_call *c)
{
    struct val bad;
    struct str path, rel;
    struct err err;
    struct stat st;
    int64_t offset, limit;
    int fd;
    if (!tool_arg_str(c, "file_path", true, &path, &bad) ||
        !tool_arg_int(c, "offset", 0, INT64_MAX / 2, 1, &offset, &bad) ||
        !tool_arg_int(c, "limit", 1, MAX_LINES, DEFAULT_LINES, &limit, &bad))
        return bad;
    if (beneath_relative(c->root, c->arena, c->cwd, path, &rel, &err))
        return tool_error(c, &err);
    if (beneath_open_file(c->root, rel, O_RDONLY, &fd, &st, &err))
        return tool_error_at(c, rel, &err);
    struct reader *r = ARENA_NEW(c->arena, struct reader);
    r->number = 1;
    r->first = offset > 0 ? offset : 1;
    r->last = r->first + limit - 1;
    r->shown = r->first - 1;
    buf_init(&r->out, MAX_TEXT + 512);
    struct val ret = scan(c, r, fd, &err) ? present(c, r, &st) : tool_error(c, &err);
    buf_done(&r->out);
    keyprint_stream_end(&r->keys, NULL, NULL);
    close(fd);
    return ret;
}
