/* The head is in the machine's own byte order: both ends are the same program on the same machine. */
#include "ipc/frame.h"

#include "base/panic.h"

enum { FRAME_MAGIC16 = 0x7466 };

struct head {
    uint16_t magic;
    uint8_t version, type;
    uint32_t reserved;
    uint64_t id, length;
};
_Static_assert(sizeof(struct head) == FRAME_HEAD, "the head has no holes");

static const struct {
    const char *name;
    size_t max;
} types[] = {
#define X(name, max, who, what) {#name, max},
    FRAME_TYPES(X)
#undef X
};

const char *frame_type_name(enum frame_type t)
{
    CHECK(t < FRAME_TYPE_COUNT);
    return types[t].name;
}

size_t frame_body_max(enum frame_type t)
{
    CHECK(t < FRAME_TYPE_COUNT);
    return types[t].max;
}

void frame_write(struct buf *out, const struct frame *f)
{
    CHECK(f->type < FRAME_TYPE_COUNT && f->body.n <= types[f->type].max);
    struct head h = {FRAME_MAGIC16, FRAME_VERSION, (uint8_t)f->type, 0, f->id, f->body.n};
    buf_add(out, str_n((const char *)&h, sizeof h));
    buf_add(out, f->body);
}

enum rc frame_read(struct str bytes, size_t *used, struct frame *ret, struct err *err)
{
    struct head h;
    *used = FRAME_HEAD;
    if (bytes.n < sizeof h)
        return err_set(err, RC_BUSY, "not whole");
    memcpy(&h, bytes.p, sizeof h);
    if (h.magic != FRAME_MAGIC16 || h.version != FRAME_VERSION || h.type >= FRAME_TYPE_COUNT || h.reserved)
        return err_set(err, RC_CORRUPT, "a message that is none of ours, or of another version");
    if (h.length > types[h.type].max)
        return err_set(err, RC_CORRUPT, "a %s of %llu bytes; at most %zu are allowed", types[h.type].name,
                       (unsigned long long)h.length, types[h.type].max);
    *used = FRAME_HEAD + (size_t)h.length;
    if (bytes.n < *used)
        return err_set(err, RC_BUSY, "not whole");
    *ret = (struct frame){
        .type = (enum frame_type)h.type, .id = h.id, .body = str_n(bytes.p + FRAME_HEAD, (size_t)h.length)};
    return RC_OK;
}
