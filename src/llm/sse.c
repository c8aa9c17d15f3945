/* The parser keeps three buffers: an unfinished line, and the name and data of the event that is being collected.
 * A line that lies whole in one chunk (nearly all of them) is used in place and never copied.
 *
 * A CR ends its line at once; the LF that may follow it, perhaps in the next chunk, is skipped then. Thus an event ends
 * as early as its bytes allow, and a stream cut right behind it still has it. */
#include "llm/sse.h"

enum { BOM_BYTES = 3 };

void sse_init(struct sse *s, size_t max_event)
{
    *s = (struct sse){.max_event = max_event};
    buf_init(&s->line, max_event);
    buf_init(&s->name, max_event);
    buf_init(&s->data, max_event);
}

void sse_done(struct sse *s)
{
    buf_done(&s->line);
    buf_done(&s->name);
    buf_done(&s->data);
}

bool sse_unfinished(const struct sse *s)
{
    return s->line.n || s->has_data;
}

static void take_field(struct sse *s, struct str line)
{
    const char *colon = memchr(line.p, ':', line.n);
    struct str field = line, value = {0};
    if (colon) {
        field.n = (size_t)(colon - line.p);
        value = str_from(line, field.n + 1);
        if (value.n && value.p[0] == ' ')
            value = str_from(value, 1);
    }
    if (str_is(field, "data")) {
        if (s->has_data)
            buf_addc(&s->data, '\n');
        buf_add(&s->data, value);
        s->has_data = true;
    } else if (str_is(field, "event")) {
        buf_clear(&s->name);
        buf_add(&s->name, value);
    }
}

static enum rc too_large(const struct sse *s, struct err *err)
{
    return err_set(err, RC_LIMIT, "an event of the stream is larger than %zu bytes", s->max_event);
}

static enum rc take_line(struct sse *s, struct str line,
                         enum rc (*event)(void *ctx, struct str name, struct str data, struct err *err), void *ctx,
                         struct err *err)
{
    if (line.n > s->max_event)
        return too_large(s, err);
    if (line.n) {
        if (line.p[0] != ':')
            take_field(s, line);
        return s->data.overflow || s->name.overflow ? too_large(s, err) : RC_OK;
    }
    enum rc rc = RC_OK;
    if (s->has_data)
        rc = event(ctx, buf_str(&s->name), buf_str(&s->data), err);
    s->has_data = false;
    buf_clear(&s->name);
    buf_clear(&s->data);
    return rc;
}

/* Skips a byte order mark, which may itself be split; a false start of one is part of the first line after all. */
static struct str skip_bom(struct sse *s, struct str chunk)
{
    static const char mark[] = "\xEF\xBB\xBF";
    while (s->bom < BOM_BYTES && chunk.n) {
        if (chunk.p[0] != mark[s->bom]) {
            buf_add(&s->line, str_n(mark, s->bom));
            s->bom = BOM_BYTES;
            break;
        }
        s->bom++;
        chunk = str_from(chunk, 1);
    }
    return chunk;
}

static size_t line_length(struct str text)
{
    const char *lf = memchr(text.p, '\n', text.n);
    size_t n = lf ? (size_t)(lf - text.p) : text.n;
    const char *cr = memchr(text.p, '\r', n);
    return cr ? (size_t)(cr - text.p) : n;
}

enum rc sse_feed(struct sse *s, struct str chunk,
                 enum rc (*event)(void *ctx, struct str name, struct str data, struct err *err), void *ctx,
                 struct err *err)
{
    chunk = skip_bom(s, chunk);
    while (chunk.n) {
        if (s->after_cr) {
            s->after_cr = false;
            if (chunk.p[0] == '\n') {
                chunk = str_from(chunk, 1);
                continue;
            }
        }
        size_t n = line_length(chunk);
        if (n == chunk.n || s->line.n) {
            buf_add(&s->line, str_n(chunk.p, n));
            if (s->line.overflow)
                return too_large(s, err);
        }
        if (n == chunk.n)
            break;
        s->after_cr = chunk.p[n] == '\r';
        enum rc rc = take_line(s, s->line.n ? buf_str(&s->line) : str_n(chunk.p, n), event, ctx, err);
        buf_clear(&s->line);
        if (rc != RC_OK)
            return rc;
        chunk = str_from(chunk, n + 1);
    }
    return RC_OK;
}
