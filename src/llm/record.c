/* The recorder: passes everything through and keeps a copy until the exchange is over.
 *
 * Headers of the request are not written at all, of the reply only those that say something about the reply: a list of
 * what may pass, so a new kind of secret header cannot slip through. The query of the address is left out because
 * clients have put keys there. The file is locked for as long as it is written to. */
#include "llm/replay.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/sha256.h"
#include "data/json.h"
#include "data/val_cover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_BODY = 64 << 20, MAX_LINE = 512 << 20 };

struct recorder {
    struct transport transport;
    struct transport *inner;
    int fd;
    bool broken;
    struct exchange *exchanges;
};

struct exchange {
    struct recorder *recorder;
    struct exchange *next, **link;
    uint64_t id; /* the inner transport's */
    const struct http_sink *sink;
    void *ctx;
    struct arena a;
    struct str step, provider, address, request;
    unsigned turn, attempt;
    int status;
    struct val headers;
    struct buf body;
};

/* ---- writing a line ---- */

static bool may_write_header(struct str name)
{
    static const char *const names[] = {"content-type", "date",           "request-id",    "x-request-id",
                                        "retry-after",  "retry-after-ms", "x-should-retry"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (name.n == strlen(names[i]) && strncasecmp(name.p, names[i], name.n) == 0)
            return true;
    }
    return false;
}

static struct val text_or_hex(struct arena *a, struct str s, bool *is_text)
{
    static const char digits[] = "0123456789abcdef";
    *is_text = str_utf8_valid(s) == s.n;
    if (*is_text)
        return val_str(s);
    char *hex = arena_calloc(a, s.n, 2);
    for (size_t i = 0; i < s.n; i++) {
        hex[2 * i] = digits[(unsigned char)s.p[i] >> 4];
        hex[2 * i + 1] = digits[s.p[i] & 15];
    }
    return val_str(str_n(hex, s.n * 2));
}

static struct val line_of(struct exchange *x, enum rc rc, const struct err *err)
{
    struct arena *a = &x->a;
    struct val_map m = val_map_new(a);
    struct sha256 hash = sha256_of(x->request);
    struct sha256_hex hex = sha256_hex(&hash);
    struct val request;
    struct err ignored;
    bool is_text;
    if (json_parse(a, x->request, &JSON_LIMITS_DEFAULT, &request, &ignored) != RC_OK)
        request = val_str(str_n(x->request.p, str_utf8_valid(x->request)));
    VAL_MAP_SET(&m, "step", val_str(x->step));
    VAL_MAP_SET(&m, "turn", val_int(x->turn));
    VAL_MAP_SET(&m, "attempt", val_int(x->attempt));
    VAL_MAP_SET(&m, "provider", val_str(x->provider));
    VAL_MAP_SET(&m, "address", val_str(x->address));
    VAL_MAP_SET(&m, "request_sha256", val_str(arena_str(a, str_c(hex.z))));
    VAL_MAP_SET(&m, "request", request);
    VAL_MAP_SET(&m, "status", val_int(x->status));
    VAL_MAP_SET(&m, "headers", x->headers);
    struct val body = text_or_hex(a, buf_str(&x->body), &is_text);
    val_map_set(&m, is_text ? STR("body") : STR("body_hex"), body);
    VAL_MAP_SET(&m, "outcome", val_str(str_c(rc_name(rc))));
    if (rc != RC_OK && err)
        VAL_MAP_SET(&m, "message", val_str(str_c(err->msg)));
    struct val line = val_map_done(&m);
    return val_covered(a, &line);
}

static void write_line(struct exchange *x, enum rc rc, const struct err *err)
{
    struct recorder *r = x->recorder;
    struct buf line;
    if (r->broken)
        return;
    buf_init(&line, MAX_LINE);
    struct val v = line_of(x, rc, err);
    json_write(&line, &v, JSON_COMPACT);
    buf_addc(&line, '\n');
    if (line.overflow || x->body.overflow || !fd_write_all(r->fd, buf_str(&line))) {
        r->broken = true;
        log_line(LOG_ERROR, "the recording is incomplete from step %.*s on: %s", STR_ARG(x->step),
                 line.overflow || x->body.overflow ? "the exchange is too large" : strerror(errno));
    }
    buf_done(&line);
}

/* ---- passing through ---- */

static void exchange_free(struct exchange *x)
{
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    buf_done(&x->body);
    arena_done(&x->a);
    free(x);
}

static void on_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
    struct exchange *x = ctx;
    struct val_list list = val_list_new(&x->a);
    x->status = status;
    for (size_t i = 0; i < n; i++) {
        struct str value = headers[i].value;
        if (!may_write_header(headers[i].name) || str_utf8_valid(value) != value.n)
            continue;
        struct val_list pair = val_list_new(&x->a);
        val_list_push(&pair, val_str(arena_str(&x->a, headers[i].name)));
        val_list_push(&pair, val_str(arena_str(&x->a, value)));
        val_list_push(&list, val_list_done(&pair));
    }
    x->headers = val_list_done(&list);
    x->sink->head(x->ctx, status, headers, n);
}

static void on_data(void *ctx, struct str chunk)
{
    struct exchange *x = ctx;
    buf_add(&x->body, chunk);
    x->sink->data(x->ctx, chunk);
}

static void on_done(void *ctx, enum rc rc, const struct err *err)
{
    struct exchange *x = ctx;
    const struct http_sink *sink = x->sink;
    void *sink_ctx = x->ctx;
    write_line(x, rc, err);
    exchange_free(x);
    sink->done(sink_ctx, rc, err);
}

static const struct http_sink record_sink = {on_head, on_data, on_done};

static uint64_t record_start(struct transport *t, const struct http_request *req, const struct call_info *info,
                             const struct http_sink *sink, void *ctx)
{
    struct recorder *r = (struct recorder *)t;
    struct exchange *x = calloc(1, sizeof *x);
    if (!x)
        PANIC("out of memory");
    *x = (struct exchange){.recorder = r, .next = r->exchanges, .link = &r->exchanges, .sink = sink, .ctx = ctx};
    if (x->next)
        x->next->link = &x->next;
    r->exchanges = x;
    buf_init(&x->body, MAX_BODY + 1);
    x->headers = val_empty_array;
    x->step = arena_str(&x->a, info->step);
    x->provider = arena_str(&x->a, info->provider);
    x->address = arena_str(&x->a, replay_address(req->url));
    x->request = arena_str(&x->a, req->body);
    x->turn = info->turn;
    x->attempt = info->attempt;
    x->id = r->inner->ops->start(r->inner, req, info, &record_sink, x);
    return x->id;
}

static void record_cancel(struct transport *t, uint64_t id)
{
    struct recorder *r = (struct recorder *)t;
    r->inner->ops->cancel(r->inner, id);
    for (struct exchange *x = r->exchanges; x; x = x->next) {
        if (x->id == id) {
            exchange_free(x);
            return;
        }
    }
}

static void record_free(struct transport *t)
{
    struct recorder *r = (struct recorder *)t;
    r->inner->ops->free(r->inner);
    while (r->exchanges)
        exchange_free(r->exchanges);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

static const struct transport_ops record_ops = {record_start, record_cancel, record_free};

/* ---- opening ---- */

/* Removes what follows the last newline: the line that a crash cut short. */
static bool drop_torn_line(int fd)
{
    off_t end = lseek(fd, 0, SEEK_END);
    char chunk[4096];
    off_t keep = 0;
    for (off_t at = end; at > 0 && !keep;) {
        size_t n = at < (off_t)sizeof chunk ? (size_t)at : sizeof chunk;
        at -= (off_t)n;
        if (pread(fd, chunk, n, at) != (ssize_t)n)
            return false;
        const char *newline = memrchr(chunk, '\n', n);
        if (newline)
            keep = at + (newline - chunk) + 1;
    }
    return end >= 0 && (keep == end || ftruncate(fd, keep) == 0);
}

static enum rc open_file(struct recorder *r, const char *path, struct err *err)
{
    struct stat st;
    r->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (r->fd < 0)
        return err_set(err, RC_IO, "%s: %s", path, strerror(errno));
    if (fstat(r->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, RC_IO, "%s: a recording must be a plain file", path);
    if (flock(r->fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, RC_BUSY, "%s: another process records into it", path);
    if (fchmod(r->fd, 0600) < 0 || !drop_torn_line(r->fd))
        return err_set(err, RC_IO, "%s: %s", path, strerror(errno));
    return RC_OK;
}

enum rc record_new(struct transport *inner, const char *path, struct transport **ret, struct err *err)
{
    struct recorder *r = calloc(1, sizeof *r);
    if (!r)
        PANIC("out of memory");
    r->transport.ops = &record_ops;
    r->inner = inner;
    enum rc rc = open_file(r, path, err);
    if (rc != RC_OK)
        record_free(&r->transport);
    else
        *ret = &r->transport;
    return rc;
}
