/* Taking back: exactly what was changed, only where nobody came after, as often as it is interrupted. */
#include "../snapshot_util.h"
#include "executor/undo_log.h"

#include <sys/wait.h>

static const char before[] = "a:644:one d/:755 d/b:644:two e/:755 l->a";
static const char after[] = "a:600:ONE d:644:file l->b n/:755 n/x:644:new";

static void run_in(struct place_of_test *p, const char *script)
{
    char text[600];
    snprintf(text, sizeof text, "cd %s && %s", p->root, script);
    assert_int_equal(system(text), 0);
}

static void make_before(struct place_of_test *p)
{
    run_in(p, "umask 022; printf one > a; mkdir d e; printf two > d/b; ln -s a l");
    test_tree(p->root, before);
}

/* What an effect changed, recorded in the log; the workspace is as after it. */
static struct undo make_after(struct place_of_test *p, const char *frame, const char *script)
{
    struct undo u = {.frame = str_c(frame), .attempt = 1, .untracked = STR(""), .changes.a = &p->arena};
    u.snapshot = test_take(p);
    run_in(p, script);
    struct sha256 now = test_take(p);
    OK(p, tree_diff(&p->s.objects, &u.snapshot, &now, STR(""), &u.changes, &p->err));
    OK(p, undo_write(&p->s, &u, &p->err));
    return u;
}

#define EDIT \
    "umask 022; printf ONE > a; chmod 600 a; rm -r d e; printf file > d; ln -sfn b l; mkdir n; printf new > n/x"

static enum rc roll_back(struct place_of_test *p, const char *step, uint32_t attempt, bool force, struct rollback *r)
{
    struct attempt_at *of = ARENA_NEW(&p->arena, struct attempt_at);
    *of = (struct attempt_at){.frame = str_c(step), .attempt = attempt};
    *r = (struct rollback){.of = of, .n = 1, .below = true, .force = force};
    return undo_rollback(&p->s, &p->arena, r, &p->err);
}

static void back_and_forth(void **state)
{
    (void)state;
    struct place_of_test p;
    struct str conflict;
    size_t done;
    test_begin(&p);
    make_before(&p);
    struct undo u = make_after(&p, "s/exec:1", EDIT);
    test_tree(p.root, after);
    for (int i = 0; i < 3; i++) { /* a second time there is nothing left to do */
        OK(&p, changes_apply(&p.s, &u.changes, true, false, &conflict, &done, &p.err));
        test_tree(p.root, before);
        assert_int_equal(done == 0, i > 0);
    }
    OK(&p, changes_apply(&p.s, &u.changes, false, false, &conflict, &done, &p.err));
    test_tree(p.root, after);
    /* half of it was taken back when the power went */
    run_in(&p, "printf one > a; chmod 644 a; rm d; mkdir d");
    OK(&p, changes_apply(&p.s, &u.changes, true, false, &conflict, &done, &p.err));
    test_tree(p.root, before);
    test_end(&p);
}

static void somebody_else(void **state)
{
    (void)state;
    struct place_of_test p;
    struct rollback r;
    test_begin(&p);
    make_before(&p);
    (void)make_after(&p, "s/exec:1", EDIT);
    run_in(&p, "printf theirs > a; printf theirs > n/theirs; printf theirs > other");
    assert_int_equal(roll_back(&p, "s", 1, false, &r), RC_EXISTS);
    assert_true(str_is(r.conflict, "a"));
    test_tree(p.root, "a:600:theirs d:644:file l->b n/:755 n/theirs:644:theirs n/x:644:new other:644:theirs");
    OK(&p, roll_back(&p, "s", 1, true, &r));
    test_tree(p.root, "a:600:theirs d/:755 d/b:644:two e/:755 l->a n/:755 n/theirs:644:theirs other:644:theirs");
    OK(&p, roll_back(&p, "s", 1, false, &r)); /* it is done */
    assert_int_equal(r.restored, 0);
    test_end(&p);
}

static void has_text(const struct place_of_test *p, const char *name, const char *text)
{
    char path[PATH_MAX], found[64] = "";
    snprintf(path, sizeof path, "%s/%s", p->root, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, found, sizeof found - 1) >= 0);
    close(fd);
    assert_string_equal(found, text);
}

/* Who opened the file before it was exchanged may write after it: it stays until he has closed it. */
static void somebody_writes(void **state)
{
    (void)state;
    struct place_of_test p;
    struct str conflict;
    size_t done;
    char path[PATH_MAX];
    test_begin(&p);
    make_before(&p);
    struct undo u = make_after(&p, "s/exec:1", EDIT);
    snprintf(path, sizeof path, "%s/a", p.root);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(changes_apply(&p.s, &u.changes, true, false, &conflict, &done, &p.err), RC_EXISTS);
    assert_true(str_is(conflict, "a"));
    assert_non_null(strstr(p.err.msg, "open for writing"));
    assert_int_equal(write(fd, " more", 5), 5);
    has_text(&p, "a", "ONE more");
    run_in(&p, "printf ONE > a");
    pid_t pid = fork();
    if (pid == 0) {
        usleep(10000);
        _exit(write(fd, " again", 6) != 6);
    }
    close(fd);
    assert_int_equal(changes_apply(&p.s, &u.changes, true, false, &conflict, &done, &p.err), RC_EXISTS);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    has_text(&p, "a", "ONE again");
    run_in(&p, "printf ONE > a");
    OK(&p, changes_apply(&p.s, &u.changes, true, false, &conflict, &done, &p.err));
    test_tree(p.root, before);
    test_end(&p);
}

static void which_effects(void **state)
{
    (void)state;
    static const char *const frames[] = {"s/exec:1", "s~2/exec:1", "s~3/0/t/exec:1", "sx/exec:1"};
    struct place_of_test p;
    struct rollback r;
    test_begin(&p);
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        char script[60];
        snprintf(script, sizeof script, "umask 022; printf %zu > f%zu", i, i);
        (void)make_after(&p, frames[i], script);
    }
    test_reopen(&p);
    OK(&p, roll_back(&p, "s", 2, false, &r));
    test_tree(p.root, "f0:644:0 f2:644:2 f3:644:3");
    OK(&p, roll_back(&p, "s", 3, false, &r));
    test_tree(p.root, "f0:644:0 f3:644:3");
    OK(&p, roll_back(&p, "s", 1, false, &r));
    test_tree(p.root, "f3:644:3");
    test_end(&p);
}

static bool every(void *ctx, const struct undo *u)
{
    (void)ctx, (void)u;
    return true;
}

static void folded(void **state)
{
    (void)state;
    struct place_of_test p;
    struct undo_net net;
    struct rollback r;
    test_begin(&p);
    make_before(&p);
    (void)make_after(&p, "s/1", "umask 022; printf x > a; printf y > new");
    struct undo u = make_after(&p, "s/2", "umask 022; printf z > a; rm new; printf w > last");
    u.untracked = STR("it worked in the workspace itself");
    OK(&p, undo_write(&p.s, &u, &p.err)); /* in its place */
    OK(&p, undo_fold(&p.s, &p.arena, every, NULL, true, &net, &p.err));
    test_changes(&net.changes, "~a +last");
    assert_int_equal(net.n, 2);
    assert_int_equal(net.untracked, 1);
    OK(&p, undo_fold(&p.s, &p.arena, every, NULL, false, &net, &p.err));
    test_changes(&net.changes, "~a +new");
    undo_forget(&p.s, u.number);
    run_in(&p, "printf x > a; printf y > new");
    OK(&p, roll_back(&p, "s", 1, false, &r));
    test_tree(p.root, "a:644:one d/:755 d/b:644:two e/:755 l->a last:644:w");
    test_end(&p);
}

static void damaged(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "treadle-undo-1", "treadle-undo-1\0s/1\0001\0zz\0\0"};
    struct place_of_test p;
    struct undo_net net;
    test_begin(&p);
    make_before(&p);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        test_write(p.store, "undo/00000007", texts[i]);
        assert_int_equal(undo_fold(&p.s, &p.arena, every, NULL, true, &net, &p.err), RC_CORRUPT);
    }
    test_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(back_and_forth), cmocka_unit_test(somebody_else), cmocka_unit_test(somebody_writes),
        cmocka_unit_test(which_effects),  cmocka_unit_test(folded),        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
