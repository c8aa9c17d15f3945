/* Answers from a recording.
 *
 * At the start the file is read once, line by line, to learn which calls it holds and to refuse a damaged one before
 * the run begins; bodies stay in the file until they are asked for. A last line without a newline is an exchange whose
 * recording a crash cut short: it counts as not recorded. */
#include "llm/replay.h"

#include "base/map.h"
#include "base/panic.h"
#include "base/sha256.h"
#include "data/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_LINE = 512 << 20, MAX_ENTRIES = 10000000, MAX_PATH = 400, AROUND = 24 };

struct entry {
    struct entry *next; /* with the same key */
    off_t at;
    size_t n, line;
};
struct key { /* all the entries of one (step, turn, attempt) */
    struct entry *first, *last, *current;
};

struct replay {
    struct transport transport;
    struct ev_loop *loop;
    FILE *file;
    struct arena a;
    struct map keys;
    uint64_t last_id;
    struct play *plays;
};

struct play {
    struct replay *replay;
    struct play *next, **link;
    uint64_t id;
    ev_id timer;
    const struct http_sink *sink;
    void *ctx;
    struct arena a;
    struct val entry;
    enum rc rc;
    struct err err;
    bool delivering, cancelled;
};

static struct str key_text(struct arena *a, struct str step, int64_t turn, int64_t attempt)
{
    return arena_printf(a, "%lld %lld %.*s", (long long)turn, (long long)attempt, STR_ARG(step));
}

/* ---- where two requests differ ---- */

struct diff {
    struct buf path; /* "messages[0].content" */
    struct arena *a;
    struct str recorded, now; /* the two values there, shortened */
};

/* Text around the first byte that differs, as JSON. */
static struct str excerpt(struct arena *a, struct str s, size_t at)
{
    size_t from = at > AROUND ? at - AROUND : 0, to = at + AROUND < s.n ? at + AROUND : s.n;
    while (from < to && ((unsigned char)s.p[from] & 0xC0) == 0x80)
        from++;
    struct str part = str_n(s.p + from, to - from);
    part.n = str_utf8_valid(part);
    struct val v = val_str(part);
    struct str text = json_text(a, &v);
    return arena_printf(a, "%s%.*s%s", from ? "…" : "", STR_ARG(text), to < s.n ? "…" : "");
}

static struct str describe(struct arena *a, const struct val *v)
{
    if (!v)
        return STR("nothing");
    if (v->type == VAL_STR)
        return excerpt(a, v->s, 0);
    if (v->type == VAL_ARRAY)
        return arena_printf(a, "a list of %zu", v->arr.n);
    return v->type == VAL_OBJECT ? STR("an object") : json_text(a, v);
}

static bool differ_here(struct diff *d, const struct val *x, const struct val *y)
{
    size_t at = 0;
    d->recorded = describe(d->a, x);
    d->now = describe(d->a, y);
    if (x && y && x->type == VAL_STR && y->type == VAL_STR) {
        while (at < x->s.n && at < y->s.n && x->s.p[at] == y->s.p[at])
            at++;
        d->recorded = excerpt(d->a, x->s, at);
        d->now = excerpt(d->a, y->s, at);
    }
    return true;
}

static bool differ(struct diff *d, const struct val *x, const struct val *y);

static bool differ_at(struct diff *d, const struct val *x, const struct val *y, struct str key, size_t index)
{
    size_t n = d->path.n;
    if (key.p)
        buf_printf(&d->path, "%s%.*s", n ? "." : "", STR_ARG(key));
    else
        buf_printf(&d->path, "[%zu]", index);
    if (!x || !y ? differ_here(d, x, y) : differ(d, x, y))
        return true;
    d->path.n = n;
    d->path.overflow = false;
    return false;
}

/* True, with path and values filled in, at the first difference in the recorded one's order. Depth is bounded by the
 * JSON reader's. */
static bool differ(struct diff *d, const struct val *x, const struct val *y)
{
    if (x->type == VAL_OBJECT && y->type == VAL_OBJECT) {
        for (size_t i = 0; i < x->obj.n; i++) {
            const struct member *m = &x->obj.m[i];
            if (differ_at(d, &m->val, val_get(y, m->key), m->key, 0))
                return true;
        }
        for (size_t i = 0; i < y->obj.n; i++) {
            const struct member *m = &y->obj.m[i];
            if (!val_get(x, m->key))
                return differ_at(d, NULL, &m->val, m->key, 0);
        }
        return false;
    }
    if (x->type == VAL_ARRAY && y->type == VAL_ARRAY) {
        size_t n = x->arr.n > y->arr.n ? x->arr.n : y->arr.n;
        for (size_t i = 0; i < n; i++) {
            if (differ_at(d, val_at(x, i), val_at(y, i), (struct str){0}, i))
                return true;
        }
        return false;
    }
    return val_eq(x, y) ? false : differ_here(d, x, y);
}

/* ---- finding the answer ---- */

struct str replay_address(struct str url)
{
    size_t query = str_find(url, STR("?"));
    url.n = query == SIZE_MAX ? url.n : query;
    for (size_t i = url.n; i > 0; i--) {
        if (url.p[i - 1] == '/')
            return str_from(url, i);
    }
    return url;
}

static enum rc compare(struct play *p, const struct http_request *req, const struct call_info *info)
{
    struct sha256 hash = sha256_of(req->body);
    struct sha256_hex hex = sha256_hex(&hash);
    struct str address = replay_address(req->url), was = val_get_str(&p->entry, STR("address"), address);
    if (!str_eq(address, was))
        return err_set(&p->err, RC_REPLAY, "step %.*s, turn %u: recorded was a call of %.*s, now it is %.*s",
                       STR_ARG(info->step), info->turn, STR_ARG(was), STR_ARG(address));
    if (str_is(val_get_str(&p->entry, STR("request_sha256"), (struct str){0}), hex.z))
        return RC_OK;
    struct val now;
    const struct val *recorded = VAL_GET(&p->entry, "request");
    if (json_parse(&p->a, req->body, &JSON_LIMITS_DEFAULT, &now, &p->err) != RC_OK)
        now = val_str(req->body);
    struct diff d = {.a = &p->a};
    buf_init(&d.path, MAX_PATH);
    if (differ(&d, recorded ? recorded : &val_null, &now))
        err_set(&p->err, RC_REPLAY,
                "step %.*s, turn %u: the request differs from the recording at %.*s: was %.*s, is %.*s",
                STR_ARG(info->step), info->turn, STR_ARG(d.path.n ? buf_str(&d.path) : STR("its top")),
                STR_ARG(d.recorded), STR_ARG(d.now));
    else
        p->err.rc = RC_OK;
    buf_done(&d.path);
    return p->err.rc;
}

static enum rc read_entry(struct replay *r, const struct entry *e, struct arena *a, struct val *ret, struct err *err)
{
    struct json_limits limits = {.depth = 160, .max_size = MAX_LINE};
    char *text = malloc(e->n + 1);
    if (!text)
        PANIC("out of memory");
    enum rc rc = RC_OK;
    if (fseeko(r->file, e->at, SEEK_SET) < 0 || fread(text, 1, e->n, r->file) != e->n)
        rc = err_set(err, RC_IO, "the recording cannot be read: %s", strerror(errno));
    if (rc == RC_OK)
        rc = json_parse(a, str_n(text, e->n), &limits, ret, err);
    free(text);
    return rc;
}

static enum rc look_up(struct play *p, const struct http_request *req, const struct call_info *info)
{
    struct replay *r = p->replay;
    struct str name = key_text(&p->a, info->step, info->turn, info->attempt);
    struct key *key = map_get(&r->keys, name);
    if (!key)
        return err_set(&p->err, RC_REPLAY, "the recording has no call of step %.*s, turn %u, attempt %u",
                       STR_ARG(info->step), info->turn, info->attempt);
    if (!key->current)
        key->current = key->first;
    else if (key->current->next)
        key->current = key->current->next;
    enum rc rc = read_entry(r, key->current, &p->a, &p->entry, &p->err);
    if (rc != RC_OK)
        return err_set(&p->err, RC_REPLAY, "the recording changed since it was opened (line %zu)", key->current->line);
    return compare(p, req, info);
}

/* ---- delivering ---- */

static void play_free(struct play *p)
{
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    arena_done(&p->a);
    free(p);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

static struct str body_of(struct play *p)
{
    struct str hex = val_get_str(&p->entry, STR("body_hex"), (struct str){0});
    if (hex.n == 0)
        return val_get_str(&p->entry, STR("body"), (struct str){0});
    char *bytes = arena_alloc(&p->a, hex.n / 2 + 1);
    for (size_t i = 0; i + 1 < hex.n; i += 2)
        bytes[i / 2] = (char)(hex_digit(hex.p[i]) << 4 | hex_digit(hex.p[i + 1]));
    return str_n(bytes, hex.n / 2);
}

static void deliver_head(struct play *p)
{
    const struct val *list = VAL_GET(&p->entry, "headers");
    size_t n = 0, count = val_is(list, VAL_ARRAY) ? list->arr.n : 0;
    struct http_header *headers = arena_calloc(&p->a, count + 1, sizeof *headers);
    for (size_t i = 0; i < count; i++) {
        const struct val *name = val_at(&list->arr.v[i], 0), *value = val_at(&list->arr.v[i], 1);
        if (val_is(name, VAL_STR) && val_is(value, VAL_STR))
            headers[n++] = (struct http_header){name->s, value->s};
    }
    p->sink->head(p->ctx, (int)val_get_int(&p->entry, STR("status"), 0), headers, n);
}

static void on_timer(void *ctx)
{
    struct play *p = ctx;
    enum rc rc = p->rc;
    p->delivering = true;
    if (rc == RC_OK) {
        if (val_get_int(&p->entry, STR("status"), 0) > 0)
            deliver_head(p);
        struct str body = body_of(p);
        if (body.n && !p->cancelled)
            p->sink->data(p->ctx, body);
        rc = rc_from_name(val_get_str(&p->entry, STR("outcome"), STR("ok")));
        if (rc != RC_OK) {
            struct str message = val_get_str(&p->entry, STR("message"), STR("as recorded"));
            rc = err_set(&p->err, rc == RC_COUNT ? RC_REPLAY : rc, "%.*s", STR_ARG(message));
        }
    }
    if (!p->cancelled)
        p->sink->done(p->ctx, rc, rc == RC_OK ? NULL : &p->err);
    play_free(p);
}

static uint64_t replay_start(struct transport *t, const struct http_request *req, const struct call_info *info,
                             const struct http_sink *sink, void *ctx)
{
    struct replay *r = (struct replay *)t;
    struct play *p = calloc(1, sizeof *p);
    if (!p)
        PANIC("out of memory");
    *p = (struct play){.replay = r, .next = r->plays, .link = &r->plays, .id = ++r->last_id, .sink = sink, .ctx = ctx};
    if (p->next)
        p->next->link = &p->next;
    r->plays = p;
    p->rc = look_up(p, req, info);
    p->timer = ev_timer(r->loop, 0, on_timer, p);
    return p->id;
}

static void replay_cancel(struct transport *t, uint64_t id)
{
    struct replay *r = (struct replay *)t;
    for (struct play *p = r->plays; p; p = p->next) {
        if (p->id != id)
            continue;
        if (p->delivering) {
            p->cancelled = true;
        } else {
            ev_cancel(r->loop, p->timer);
            play_free(p);
        }
        return;
    }
}

static void replay_free(struct transport *t)
{
    struct replay *r = (struct replay *)t;
    while (r->plays) {
        ev_cancel(r->loop, r->plays->timer);
        play_free(r->plays);
    }
    if (r->file)
        fclose(r->file);
    map_done(&r->keys);
    arena_done(&r->a);
    free(r);
}

static const struct transport_ops replay_ops = {replay_start, replay_cancel, replay_free};

/* ---- opening ---- */

static enum rc index_line(struct replay *r, struct str text, off_t at, size_t line, struct err *err)
{
    struct json_limits limits = {.depth = 160, .max_size = MAX_LINE};
    struct arena scratch = {0};
    struct val v = val_null;
    enum rc rc = json_parse(&scratch, text, &limits, &v, err);
    const struct val *step = VAL_GET(&v, "step"), *turn = VAL_GET(&v, "turn"), *attempt = VAL_GET(&v, "attempt");
    if (rc == RC_OK && !(val_is(step, VAL_STR) && val_is(turn, VAL_INT) && val_is(attempt, VAL_INT)))
        rc = err_set(err, RC_INVALID, "no step, turn and attempt");
    if (rc == RC_OK) {
        struct str name = key_text(&r->a, step->s, turn->i, attempt->i);
        struct entry *e = ARENA_NEW(&r->a, struct entry);
        struct key *key = map_get(&r->keys, name);
        *e = (struct entry){.at = at, .n = text.n, .line = line};
        if (!key) {
            key = ARENA_NEW(&r->a, struct key);
            key->first = e;
            map_put(&r->keys, name, key);
        } else {
            key->last->next = e;
        }
        key->last = e;
    }
    arena_done(&scratch);
    return rc;
}

static enum rc read_index(struct replay *r, const char *path, struct err *err)
{
    char *text = NULL;
    size_t cap = 0;
    enum rc rc = RC_OK;
    off_t at = 0;
    for (size_t line = 1; rc == RC_OK; line++) {
        errno = 0;
        ssize_t n = getline(&text, &cap, r->file);
        if (n < 0 && ferror(r->file))
            rc = err_set(err, RC_IO, "%s: %s", path, strerror(errno));
        if (n < 0 || text[n - 1] != '\n')
            break;
        if (line > MAX_ENTRIES)
            rc = err_set(err, RC_LIMIT, "%s: more than %d lines", path, MAX_ENTRIES);
        else
            rc = index_line(r, str_n(text, (size_t)n - 1), at, line, err);
        if (rc == RC_INVALID)
            err_wrap(err, "%s, line %zu is no entry of a recording", path, line);
        at += n;
    }
    free(text);
    return rc;
}

enum rc replay_new(struct ev_loop *l, const char *path, struct transport **ret, struct err *err)
{
    struct replay *r = calloc(1, sizeof *r);
    if (!r)
        PANIC("out of memory");
    r->transport.ops = &replay_ops;
    r->loop = l;
    r->file = fopen(path, "re");
    enum rc rc = r->file ? read_index(r, path, err) : err_set(err, RC_IO, "%s: %s", path, strerror(errno));
    if (rc != RC_OK)
        replay_free(&r->transport);
    else
        *ret = &r->transport;
    return rc;
}
