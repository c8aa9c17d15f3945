/* Messages between roles, and control messages: whole, split, hostile. */
#include "base/buf.h"
#include "ipc/control.h"
#include "ipc/frame.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void test_frames_at_every_split(void **state)
{
    (void)state;
    struct buf b;
    struct err err;
    struct frame f;
    size_t used;
    buf_init(&b, 1 << 20);
    frame_write(&b, &(struct frame){FRAME_CALL, 7, STR("{\"a\":1}")});
    frame_write(&b, &(struct frame){FRAME_CANCEL, UINT64_MAX, STR("")});
    size_t first = FRAME_HEAD + 7;
    for (size_t n = 0; n < first; n++) {
        assert_int_equal(frame_read(str_n(b.p, n), &used, &f, &err), RC_BUSY);
        assert_int_equal(used, n < FRAME_HEAD ? FRAME_HEAD : first);
    }
    assert_int_equal(frame_read(buf_str(&b), &used, &f, &err), RC_OK);
    assert_true(f.type == FRAME_CALL && f.id == 7 && str_is(f.body, "{\"a\":1}") && used == first);
    assert_int_equal(frame_read(str_from(buf_str(&b), used), &used, &f, &err), RC_OK);
    assert_true(f.type == FRAME_CANCEL && f.id == UINT64_MAX && f.body.n == 0 && used == FRAME_HEAD);
    buf_done(&b);
}

/* Every single byte of a head changed: never taken for a longer message than its type allows, never a crash. */
static void test_hostile_heads(void **state)
{
    (void)state;
    struct buf b;
    struct err err;
    struct frame f;
    size_t used, refused = 0;
    buf_init(&b, 1 << 20);
    frame_write(&b, &(struct frame){FRAME_FORGET, 1, STR("run")});
    for (size_t i = 0; i < FRAME_HEAD; i++)
        for (int v = 0; v < 256; v++) {
            char kept = b.p[i];
            b.p[i] = (char)v;
            enum rc rc = frame_read(buf_str(&b), &used, &f, &err);
            assert_true(rc == RC_OK || rc == RC_BUSY || rc == RC_CORRUPT);
            assert_true(rc == RC_CORRUPT || used <= FRAME_HEAD + ((size_t)256 << 20));
            if (rc == RC_OK)
                assert_true(f.body.n <= b.n);
            refused += rc == RC_CORRUPT;
            b.p[i] = kept;
        }
    assert_true(refused > FRAME_HEAD * 100);
    buf_done(&b);
}

static void test_control_carries_descriptors(void **state)
{
    (void)state;
    int pair[2], pipes[2];
    char room[CONTROL_TEXT_MAX], byte = 'x';
    struct control_message m;
    struct err err;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(control_receive(pair[1], room, &m, &err), RC_BUSY);
    assert_int_equal(control_send(pair[0], &(struct control_message){CONTROL_PEER, 5, STR("egress"), pipes[1]}, &err),
                     RC_OK);
    assert_int_equal(control_receive(pair[1], room, &m, &err), RC_OK);
    assert_true(m.kind == CONTROL_PEER && m.number == 5 && str_is(m.text, "egress") && m.fd >= 0);
    assert_true(fcntl(m.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(m.fd, &byte, 1), 1);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    close(m.fd);
    close(pair[0]);
    assert_int_equal(control_receive(pair[1], room, &m, &err), RC_NOT_FOUND);
    close(pair[1]);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_control_refuses_what_is_not_its_own(void **state)
{
    (void)state;
    int pair[2];
    char room[CONTROL_TEXT_MAX];
    static char large[CONTROL_TEXT_MAX + 100];
    struct control_message m;
    struct err err;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(send(pair[0], "hello", 5, 0), 5);
    assert_int_equal(control_receive(pair[1], room, &m, &err), RC_CORRUPT);
    assert_true(send(pair[0], large, sizeof large, 0) > 0);
    assert_int_equal(control_receive(pair[1], room, &m, &err), RC_CORRUPT);
    struct control_message full = {CONTROL_OBITUARY, 1, str_n(large, CONTROL_TEXT_MAX), -1};
    assert_int_equal(control_send(pair[0], &full, &err), RC_OK);
    assert_int_equal(control_receive(pair[1], room, &m, &err), RC_OK);
    assert_int_equal(m.text.n, CONTROL_TEXT_MAX);
    enum rc rc = RC_OK;
    for (int i = 0; i < 10000 && rc == RC_OK; i++) /* a reader that does not read */
        rc = control_send(pair[0], &full, &err);
    assert_int_equal(rc, RC_BUSY);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_at_every_split),
        cmocka_unit_test(test_hostile_heads),
        cmocka_unit_test(test_control_carries_descriptors),
        cmocka_unit_test(test_control_refuses_what_is_not_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
