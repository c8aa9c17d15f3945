/* The barrier: nothing leaves before the records in front of it are durable, and then in its order. */
#include "flow/outbox.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct bench {
    struct outbox *o;
    struct buf log; /* what left, in order: "e7 " an effect, "s:text " an event, "c7 " a cancelled effect */
    struct buf records;
    bool again; /* the next effect that starts asks for another at once */
};
static struct bench b;

static void start(void *ctx, const struct effect *e)
{
    struct bench *x = ctx;
    buf_printf(&x->log, "e%d ", (int)e->id);
    if (x->again) {
        x->again = false;
        outbox_effect(x->o, &(struct effect){.id = 99, .path = STR("again")});
        outbox_release(x->o);
        buf_addz(&x->log, "asked ");
    }
}

static void show(void *ctx, const struct event *e)
{
    buf_printf(&((struct bench *)ctx)->log, "s:%.*s", STR_ARG(e->detail));
    if (e->data)
        buf_printf(&((struct bench *)ctx)->log, "=%lld", (long long)e->data->i);
    buf_addc(&((struct bench *)ctx)->log, ' ');
}

static void cancelled(void *ctx, uint64_t id)
{
    buf_printf(&((struct bench *)ctx)->log, "c%d ", (int)id);
}

static void leave_turn(void *ctx, uint64_t turn)
{
    buf_printf(&((struct bench *)ctx)->log, "l%d ", (int)turn);
}

static void take(void *ctx, const struct record *r)
{
    buf_printf(&((struct bench *)ctx)->records, "%.*s:%.*s ", STR_ARG(r->path), STR_ARG(r->data));
}

static int fresh(void **state)
{
    (void)state;
    static const struct outbox_ops ops = {start, show, cancelled, leave_turn};
    b = (struct bench){0};
    buf_init(&b.log, 1 << 20);
    buf_init(&b.records, 1 << 20);
    b.o = outbox_new(&ops, &b);
    return 0;
}

static int done(void **state)
{
    (void)state;
    outbox_free(b.o);
    buf_done(&b.log);
    buf_done(&b.records);
    return 0;
}

static void record(const char *path)
{
    outbox_append(b.o, &(struct record){.kind = RECORD_NOTE, .path = str_c(path), .data = STR("{}")});
}
static void effect(uint64_t id)
{
    outbox_effect(b.o, &(struct effect){.id = id, .path = STR("p"), .key = STR("k")});
}
static void event(const char *text)
{
    outbox_event(b.o, &(struct event){.path = STR("p"), .type = STR("t"), .detail = str_c(text)});
}
static void left(const char *expected)
{
    assert_string_equal(b.log.n ? buf_str(&b.log).p : "", expected);
    buf_clear(&b.log);
}

static void test_waits_for_its_batch(void **state)
{
    (void)state;
    record("a");
    effect(1);
    event("x");
    assert_int_equal(outbox_seal(b.o, take, &b), 1);
    record("b");
    effect(2);
    assert_int_equal(outbox_seal(b.o, take, &b), 2);
    event("y"); /* nothing recorded since, but b is not durable either */
    outbox_release(b.o);
    left("");
    outbox_committed(b.o, 1);
    left("e1 s:x ");
    assert_false(outbox_empty(b.o));
    assert_int_equal(outbox_pending(b.o), 1);
    outbox_committed(b.o, 2);
    left("e2 s:y ");
    assert_true(outbox_empty(b.o));
    assert_string_equal(buf_str(&b.records).p, "a:{} b:{} ");
}

/* What was asked for before the seal waits for records appended before it, and those alone. */
static void test_not_for_later_records(void **state)
{
    (void)state;
    effect(1);
    record("a");
    event("x");
    outbox_release(b.o);
    left("e1 ");
    assert_int_equal(outbox_seal(b.o, take, &b), 1);
    assert_int_equal(outbox_seal(b.o, take, &b), 0);
    outbox_committed(b.o, 1);
    left("s:x ");
}

/* Nobody else may build upon what is not durable. */
static void test_turns_are_left_late(void **state)
{
    (void)state;
    outbox_leave(b.o, 1);
    record("a");
    outbox_leave(b.o, 2);
    outbox_release(b.o);
    left("l1 ");
    assert_int_equal(outbox_seal(b.o, take, &b), 1);
    outbox_release(b.o);
    left("");
    outbox_committed(b.o, 1);
    left("l2 ");
}

static void test_cancel(void **state)
{
    (void)state;
    record("a");
    effect(1);
    effect(2);
    assert_true(outbox_cancel(b.o, 1));
    assert_false(outbox_cancel(b.o, 1)); /* once */
    assert_false(outbox_cancel(b.o, 7));
    left("");
    assert_int_equal(outbox_seal(b.o, take, &b), 1);
    outbox_committed(b.o, 1);
    left("c1 e2 ");
    assert_false(outbox_cancel(b.o, 2)); /* it has left */
}

/* A callback may ask for more: it comes after what waits already, without recursion. */
static void test_asks_for_more(void **state)
{
    (void)state;
    b.again = true;
    effect(1);
    event("x");
    outbox_release(b.o);
    left("e1 asked s:x e99 ");
}

/* An event keeps its result alive, though the frame that had it is gone. */
static void test_event_keeps_result(void **state)
{
    (void)state;
    struct val v = val_int(42);
    struct box *box = box_new(&v);
    record("a");
    outbox_event(b.o, &(struct event){.detail = STR("r"), .box = box, .data = &box->val});
    box_unref(box);
    assert_int_equal(outbox_seal(b.o, take, &b), 1);
    outbox_committed(b.o, 1);
    left("s:r=42 ");
}

static void test_texts_are_copied(void **state)
{
    (void)state;
    char path[] = "path", text[] = "text";
    outbox_append(b.o, &(struct record){.kind = RECORD_NOTE, .path = str_c(path), .data = str_c(text)});
    outbox_event(b.o, &(struct event){.path = str_c(path), .detail = str_c(text)});
    path[0] = text[0] = '?';
    assert_int_equal(outbox_seal(b.o, take, &b), 1);
    outbox_committed(b.o, 1);
    left("s:text ");
    assert_string_equal(buf_str(&b.records).p, "path:text ");
}

/* The run dies with all sorts of things waiting: nothing leaks (the sanitizer looks). */
static void test_freed_full(void **state)
{
    (void)state;
    struct val v = val_int(1);
    struct box *box = box_new(&v);
    record("a");
    effect(1);
    outbox_event(b.o, &(struct event){.box = box, .data = &box->val});
    box_unref(box);
    assert_int_equal(outbox_seal(b.o, take, &b), 1);
    record("b");
    assert_true(outbox_cancel(b.o, 1));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_waits_for_its_batch, fresh, done),
        cmocka_unit_test_setup_teardown(test_not_for_later_records, fresh, done),
        cmocka_unit_test_setup_teardown(test_turns_are_left_late, fresh, done),
        cmocka_unit_test_setup_teardown(test_cancel, fresh, done),
        cmocka_unit_test_setup_teardown(test_asks_for_more, fresh, done),
        cmocka_unit_test_setup_teardown(test_event_keeps_result, fresh, done),
        cmocka_unit_test_setup_teardown(test_texts_are_copied, fresh, done),
        cmocka_unit_test_setup_teardown(test_freed_full, fresh, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
